//! End-to-end tests: real servers of both schedulers, the real binary. See
//! [`almanac_tests`] for what they stand on.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod fake;
mod harness;
mod reconcile_workflow;
mod replay;
mod run_definition;
mod told;
