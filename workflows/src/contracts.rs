//! The activities that workflows call, by name and type. They are implemented
//! in the `activities` crate.

#![expect(
    missing_docs,
    reason = "the macro makes items that cannot be documented"
)]
#![expect(
    clippy::unused_async,
    reason = "the macro wants definitions without a body"
)]

use almanac_base::names::DefinitionId;
use almanac_core::record::{
    PassInput, PassOutcome, PinnedDefinition, RunOrder, RunStep, Selection, Selector,
};
use temporalio_common::ActivityError;
use temporalio_macros::activity_definitions;

pub use definitions::{CurrentDefinition, Pause};
pub use manual_runs::ManualRun;
pub use reconciler::{Reconcile, Select};

/// `call: http`. It takes an [`HttpRequest`](almanac_steps::machine::HttpRequest).
pub const HTTP: &str = "almanac_http";
/// `call: openapi`. It takes an [`OpenApiRequest`](almanac_steps::machine::OpenApiRequest).
pub const OPENAPI: &str = "almanac_openapi";
/// `run: shell`. It takes a [`ShellRequest`](almanac_steps::machine::ShellRequest).
pub const SHELL: &str = "almanac_shell";
/// `emit`. It takes an event, as `CloudEvents` has it in JSON.
pub const EMIT: &str = "almanac_emit";

/// Work that needs the files of one worker process, on that process's queue.
#[derive(Debug)]
pub struct Reconciler;

#[activity_definitions]
impl Reconciler {
    /// One pass: observe, plan, apply, report. Called once per attempt at a
    /// pass, on the queue of one worker; also, as a probe, with pass 0 (see
    /// [`PassInput`]).
    #[activity(name = "reconcile")]
    pub async fn reconcile(_input: PassInput) -> Result<PassOutcome, ActivityError> {
        unimplemented!()
    }

    /// The definitions with a schedule that have these labels.
    #[activity(name = "select")]
    pub async fn select(_selector: Selector) -> Result<Selection, ActivityError> {
        unimplemented!()
    }
}

/// Runs that operators ask for, on any worker of the project.
#[derive(Debug)]
pub struct ManualRuns;

#[activity_definitions]
impl ManualRuns {
    /// One step of a run: look, send, or look for what was sent (see [`RunOrder`]).
    #[activity(name = "manual_run")]
    pub async fn manual_run(_order: RunOrder) -> Result<RunStep, ActivityError> {
        unimplemented!()
    }
}

/// Reads of the registry, on any worker of the project.
#[derive(Debug)]
pub struct Definitions;

#[activity_definitions]
impl Definitions {
    /// The registry's current version of a definition that has steps.
    #[activity(name = "current_definition")]
    pub async fn current_definition(_id: DefinitionId) -> Result<PinnedDefinition, ActivityError> {
        unimplemented!()
    }

    /// Nothing: a run that has more to do at once calls it as a local activity, so
    /// that others have their turn. A timer would take up to a second.
    #[activity(name = "pause")]
    pub async fn pause() -> Result<(), ActivityError> {
        unimplemented!()
    }
}
