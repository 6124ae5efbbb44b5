//! `ReconcileSchedules`: the workflow that decides when a project is reconciled, and by
//! which worker.
//!
//! The modules that know Temporal are thin:
//!
//! - [`workflow`](self): the handlers;
//! - `pass_loop`: the loop, with the activity and continue-as-new;
//! - `manual_run_lanes`: manual runs, beside the passes;
//! - `probe_lanes`: probes of workers, beside the passes.
//!
//! The decisions are plain code that is tested without Temporal:
//!
//! - `current_revision`: which revision is current, and which workers hold it;
//! - `pass_queue`: the passes that are asked for;
//! - `pass_outcome`: what a pass changes in the state;
//! - `coordinator`: these three put together;
//! - `details`: the report for the Temporal UI;
//! - `handler_input`: the inputs that anyone may send.
//!
//! Always holds:
//! - one pass runs at a time, in the order of the numbers, and numbers only grow;
//! - a request is forgotten only when a pass that serves it has ended, or (dry runs and
//!   confirmations) when it failed three times and a report says so;
//! - the size of the state is bounded, whatever is signalled;
//! - no input of any handler fails a workflow task.
//!
//! The work of a pass is left to the activity, in the `activities` crate.

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
