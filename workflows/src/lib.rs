//! The workflows of Almanac, and the contracts of their handlers and activities.
//!
//! This crate does no I/O, reads no clock and no environment, and does not know the SDK's
//! client. `clippy.toml` bans what the compiler cannot check.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod codec;
pub mod contracts;
pub mod follow;
pub mod reconcile;
pub mod run;
