//! `ReconcileSchedules`: the workflow that decides when and where a project is
//! reconciled.
//!
//! [`workflow`](self) is the thin part that knows Temporal: its handlers; `passes`
//! is its loop, with the activity and continue-as-new. What it decides with is plain and tested
//! without Temporal: `decide` (which revision is current, and who holds it),
//! `queue` (which passes are asked for), `outcome` (what a pass changes in the
//! state), `machine` (these three put together), `details` (the report for
//! people), `lenient` (what strangers send). `runs` does the runs that operators
//! ask for, and `questions` asks workers about themselves, beside the passes.
//!
//! What always holds:
//! - one pass at a time, in the order of their numbers, and numbers only grow;
//! - a request is forgotten only when a pass that serves it ended, or (dry runs
//!   and confirmations) when it failed three times and a report says so;
//! - the state is bounded, whatever is signalled;
//! - no input of any handler fails a workflow task.
//!
//! What a pass does is the activity's business, in the `activities` crate.

mod bounds;
mod decide;
mod details;
mod lenient;
mod machine;
mod outcome;
mod passes;
mod questions;
mod queue;
mod runs;
mod workflow;

pub use workflow::ReconcileSchedules;
