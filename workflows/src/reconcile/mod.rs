//! `ReconcileSchedules`: the workflow that decides when and where a project is
//! reconciled.
//!
//! [`workflow`](self) is the thin part that knows Temporal: its handlers; `pass_loop`
//! is its loop, with the activity and continue-as-new. What it decides with is plain and tested
//! without Temporal: `current_revision` (which revision is current, and who holds it),
//! `pass_queue` (which passes are asked for), `pass_outcome` (what a pass changes in the
//! state), `coordinator` (these three put together), `details` (the report for
//! people), `handler_input` (what strangers send). `manual_run_lanes` does the runs that operators
//! ask for, and `probe_lanes` asks workers about themselves, beside the passes.
//!
//! What always holds:
//! - one pass at a time, in the order of their numbers, and numbers only grow;
//! - a request is forgotten only when a pass that serves it ended, or (dry runs
//!   and confirmations) when it failed three times and a report says so;
//! - the state is bounded, whatever is signalled;
//! - no input of any handler fails a workflow task.
//!
//! What a pass does is the activity's business, in the `activities` crate.

mod coordinator;
mod current_revision;
mod details;
mod handler_input;
mod manual_run_lanes;
mod pass_loop;
mod pass_outcome;
mod pass_queue;
mod probe_lanes;
mod state_limits;
mod workflow;

pub use workflow::ReconcileSchedules;
