//! Almanac's effects: everything that touches the world.
//!
//! The activities that workflows call are implemented here, above the raw
//! requests to the Temporal server. What to do is decided by `almanac_workflows`;
//! this crate observes and applies.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod blocking;
pub mod definitions;
pub mod manual_runs;
pub mod metrics;
mod payload;
pub mod reconcile;
pub mod schedules;
pub mod steps;
