//! The activities that workflows call. They are implemented in the `activities`
//! crate.

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
    ManualRunInput, PassInput, PassOutcome, PinnedDefinition, RunStep, Selection, Selector,
};
use almanac_steps::machine::{HttpRequest, OpenApiRequest, ShellRequest};
use serde_json::Value;
use temporalio_common::ActivityError;
use temporalio_macros::activity_definitions;

pub use definition_contract::{CurrentDefinition, Pause};
pub use manual_run_contract::ManualRun;
pub use reconcile_contract::{Reconcile, Select};
pub use step_contract::{Emit, Http, Openapi, Shell};

/// See [`Reconcile`].
pub const RECONCILE: &str = "reconcile";
/// See [`Select`].
pub const SELECT: &str = "select";
/// See [`ManualRun`].
pub const MANUAL_RUN: &str = "manual_run";
/// See [`CurrentDefinition`].
pub const CURRENT_DEFINITION: &str = "current_definition";
/// See [`Pause`].
pub const PAUSE: &str = "pause";
/// See [`Http`].
pub const HTTP: &str = "almanac_http";
/// See [`Openapi`].
pub const OPENAPI: &str = "almanac_openapi";
/// See [`Shell`].
pub const SHELL: &str = "almanac_shell";
/// See [`Emit`].
pub const EMIT: &str = "almanac_emit";

/// Every activity that a process registers.
pub const ACTIVITIES: [&str; 9] = [
    RECONCILE,
    SELECT,
    MANUAL_RUN,
    CURRENT_DEFINITION,
    PAUSE,
    HTTP,
    OPENAPI,
    SHELL,
    EMIT,
];

/// Work that needs the files of one worker process, on that process's queue.
#[derive(Debug)]
pub struct ReconcileContract;

#[activity_definitions]
impl ReconcileContract {
    /// One pass: observe, plan, apply, report. Called once per attempt at a
    /// pass, on the queue of one worker; also, as a probe, with pass 0 (see
    /// [`PassInput`]).
    #[activity(name = RECONCILE)]
    pub async fn reconcile(_input: PassInput) -> Result<PassOutcome, ActivityError> {
        unimplemented!()
    }

    /// The definitions with a schedule that have these labels.
    #[activity(name = SELECT)]
    pub async fn select(_selector: Selector) -> Result<Selection, ActivityError> {
        unimplemented!()
    }
}

/// Runs that operators ask for, on any worker of the project.
#[derive(Debug)]
pub struct ManualRunContract;

#[activity_definitions]
impl ManualRunContract {
    /// One step of a run: look, send, or look for what was sent (see [`ManualRunInput`]).
    #[activity(name = MANUAL_RUN)]
    pub async fn manual_run(_order: ManualRunInput) -> Result<RunStep, ActivityError> {
        unimplemented!()
    }
}

/// Reads of the registry, on any worker of the project.
#[derive(Debug)]
pub struct DefinitionContract;

#[activity_definitions]
impl DefinitionContract {
    /// The registry's current version of a definition that has steps.
    #[activity(name = CURRENT_DEFINITION)]
    pub async fn current_definition(_id: DefinitionId) -> Result<PinnedDefinition, ActivityError> {
        unimplemented!()
    }

    /// Nothing: a run that has more to do at once calls it as a local activity, so
    /// that others have their turn. A timer would take up to a second.
    #[activity(name = PAUSE)]
    pub async fn pause() -> Result<(), ActivityError> {
        unimplemented!()
    }
}

/// What the steps of a run ask of the world, on any worker of the project.
#[derive(Debug)]
pub struct StepContract;

#[activity_definitions]
impl StepContract {
    /// `call: http`.
    #[activity(name = HTTP)]
    pub async fn http(_request: HttpRequest) -> Result<Value, ActivityError> {
        unimplemented!()
    }

    /// `call: openapi`.
    #[activity(name = OPENAPI)]
    pub async fn openapi(_request: OpenApiRequest) -> Result<Value, ActivityError> {
        unimplemented!()
    }

    /// `run: shell`.
    #[activity(name = SHELL)]
    pub async fn shell(_request: ShellRequest) -> Result<Value, ActivityError> {
        unimplemented!()
    }

    /// `emit`: an event, as `CloudEvents` has it in JSON.
    #[activity(name = EMIT)]
    pub async fn emit(_event: Value) -> Result<Value, ActivityError> {
        unimplemented!()
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::ActivityDefinition;

    use super::*;

    fn name(activity: &impl ActivityDefinition) -> String {
        activity.name().to_owned()
    }

    #[test]
    fn each_activity_is_registered_under_its_name() {
        let names = [
            name(&Reconcile),
            name(&Select),
            name(&ManualRun),
            name(&CurrentDefinition),
            name(&Pause),
            name(&Http),
            name(&Openapi),
            name(&Shell),
            name(&Emit),
        ];
        assert_eq!(names, ACTIVITIES);
    }
}
