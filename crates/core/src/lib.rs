//! Schedules and definitions, without Temporal: definitions and their text, schedules with their
//! compared fields, records that later releases read, the registry's snapshot, and `plan()`.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod definition;
pub mod event_types;
pub mod field;
pub mod follow;
pub mod plan;
pub mod record;
pub mod routing;
pub mod schedule;
pub mod snapshot;
pub mod write;
