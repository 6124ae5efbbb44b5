//! Almanac's effects: everything outside the process is reached from here.
//!
//! This crate sends the raw requests to the Temporal server and implements the
//! activities that the workflows call. `almanac_workflows` decides; this crate
//! observes and applies.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod blocking;
pub mod codec;
pub mod definitions;
pub mod event_stream;
pub mod follow;
mod jitter;
pub mod manual_runs;
pub mod metrics;
mod payload;
pub mod reconcile;
pub mod router;
pub mod schedules;
pub mod spans;
pub mod steps;
pub mod timeline;
pub mod webhooks;
