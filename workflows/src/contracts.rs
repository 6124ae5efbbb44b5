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

use temporalio_common::ActivityError;
use temporalio_macros::activity_definitions;

use crate::names::DefinitionId;
use crate::record::{PassInput, PassOutcome, RunOrder, RunStep, Selection, Selector};
use crate::run::PinnedDefinition;

pub use definitions::CurrentDefinition;
pub use manual_runs::ManualRun;
pub use reconciler::{Reconcile, Select};

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
}
