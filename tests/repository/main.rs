//! Rules about the repository itself: which crate may import which, and what
//! no file may hold.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod alerts;
mod crates;
mod dashboard;
mod files;
mod links;
mod logs;
mod modules;
mod promql;
mod release;
mod workflows;
