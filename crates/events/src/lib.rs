//! Events: `CloudEvents` 1.0, and the ways in which they come from outside.
//!
//! This crate is the one place that says what an event is. Runs that hear events, steps that send
//! events and readers of events use the same constants and checks.
//!
//! - [`CloudEvent`] is an event that was checked, in its JSON format. [`cloud_event`] is the looser
//!   check for the signals of runs.
//! - [`binding`] reads the messages of HTTP and NATS that hold events.
//! - [`webhook`] verifies the signed requests of services that send no `CloudEvents`, and makes
//!   events of them.
//!
//! Always holds: the crate does no I/O and reads no clock. Equal input gives equal results. Input of
//! any kind gives an event or an error. No error shows a secret or the signature that a request
//! should have had. JSON that would change when it is read is refused: a whole number of more than
//! 64 bits, and a key that occurs twice in an object.
//!
//! Left to callers: limits on headers, the answer to an error, and the comparison of an event's
//! source and id with those of earlier events.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod attributes;
pub mod binding;
mod event;
mod json;
mod media;
mod run_event;
pub mod webhook;

pub use attributes::{DEPTH_ATTRIBUTE, REQUIRED, TEXTS, is_attribute_name, refused_attribute};
pub use event::{
    CloudEvent, InvalidEvent, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_BYTES, MAX_VALUES,
    cloud_event,
};
pub use json::read as read_json;
pub use run_event::{
    RUN_AGAIN, RUN_COMPLETED, RUN_EVENT_PREFIX, RUN_EVENTS, RUN_FAILED, RUN_LATE, is_run_event,
};
