//! The activities that workflows call. The `activities` crate implements them.
//!
//! The macro takes the names and types of these functions and drops their bodies, so
//! `unimplemented!()` is never reached.

#![expect(
    clippy::unused_async,
    reason = "the macro wants definitions without a body"
)]

use almanac_base::names::DefinitionId;
use almanac_core::record::{
    FollowOutcome, FollowState, ManualRunInput, PassInput, PassOutcome, PinnedDefinition, RunStep,
    Selection, Selector,
};
use almanac_steps::machine::{HttpRequest, OpenApiRequest, ShellRequest};
use serde_json::Value;
use temporalio_common::ActivityError;
use temporalio_macros::activity_definitions;

pub use definition_contract::{CurrentDefinition, Pause};
pub use follow_contract::FollowRuns;
pub use manual_run_contract::ManualRun;
pub use reconcile_contract::{Reconcile, Select};
pub use step_contract::{Emit, Http, Openapi, Shell};

/// Name of the activity [`Reconcile`].
pub const RECONCILE: &str = "reconcile";
/// Name of the activity [`Select`].
pub const SELECT: &str = "select";
/// Name of the activity [`ManualRun`].
pub const MANUAL_RUN: &str = "manual_run";
/// Name of the activity [`CurrentDefinition`].
pub const CURRENT_DEFINITION: &str = "current_definition";
/// Name of the activity [`Pause`].
pub const PAUSE: &str = "pause";
/// Name of the activity [`FollowRuns`].
pub const FOLLOW_RUNS: &str = "follow_runs";
/// Name of the activity [`Http`].
pub const HTTP: &str = "almanac_http";
/// Name of the activity [`Openapi`].
pub const OPENAPI: &str = "almanac_openapi";
/// Name of the activity [`Shell`].
pub const SHELL: &str = "almanac_shell";
/// Name of the activity [`Emit`].
pub const EMIT: &str = "almanac_emit";

/// Names of all activities that a worker registers.
pub const ACTIVITIES: [&str; 10] = [
    RECONCILE,
    SELECT,
    MANUAL_RUN,
    CURRENT_DEFINITION,
    PAUSE,
    FOLLOW_RUNS,
    HTTP,
    OPENAPI,
    SHELL,
    EMIT,
];

/// Activities that need the files of one worker, on the task queue of that worker.
#[derive(Debug)]
pub struct ReconcileContract;

#[activity_definitions]
impl ReconcileContract {
    /// Does one pass: observe, plan, apply, report. The reconcile workflow calls this
    /// activity once per attempt at a pass, on the task queue of one worker. It also calls
    /// it as a probe, with pass 0 (see [`PassInput`]).
    #[activity(name = RECONCILE)]
    pub async fn reconcile(_input: PassInput) -> Result<PassOutcome, ActivityError> {
        unimplemented!()
    }

    /// Returns the definitions that have a schedule and the given labels.
    #[activity(name = SELECT)]
    pub async fn select(_selector: Selector) -> Result<Selection, ActivityError> {
        unimplemented!()
    }
}

/// Manual runs, which any worker of the project does.
#[derive(Debug)]
pub struct ManualRunContract;

#[activity_definitions]
impl ManualRunContract {
    /// Does one step of a manual run: observes the schedule, sends the request, or looks
    /// for a run that may have been started (see [`ManualRunInput`]).
    #[activity(name = MANUAL_RUN)]
    pub async fn manual_run(_order: ManualRunInput) -> Result<RunStep, ActivityError> {
        unimplemented!()
    }
}

/// Reads of the registry, which any worker of the project does.
#[derive(Debug)]
pub struct DefinitionContract;

#[activity_definitions]
impl DefinitionContract {
    /// Returns the registry's current version of a definition that has steps.
    #[activity(name = CURRENT_DEFINITION)]
    pub async fn current_definition(_id: DefinitionId) -> Result<PinnedDefinition, ActivityError> {
        unimplemented!()
    }

    /// Does nothing. A run that has more to do calls this local activity between two turns,
    /// so that other workflows get their turn. A timer would take up to a second.
    #[activity(name = PAUSE)]
    pub async fn pause() -> Result<(), ActivityError> {
        unimplemented!()
    }
}

/// Following the runs of definitions, which any worker of the project does.
#[derive(Debug)]
pub struct FollowContract;

#[activity_definitions]
impl FollowContract {
    /// Reads the runs that end, and starts the definitions that follow them, for some minutes.
    #[activity(name = FOLLOW_RUNS)]
    pub async fn follow_runs(_state: FollowState) -> Result<FollowOutcome, ActivityError> {
        unimplemented!()
    }
}

/// Calls that the steps of a run make, which any worker of the project does.
#[derive(Debug)]
pub struct StepContract;

#[activity_definitions]
impl StepContract {
    /// Sends the HTTP request of `call: http`.
    #[activity(name = HTTP)]
    pub async fn http(_request: HttpRequest) -> Result<Value, ActivityError> {
        unimplemented!()
    }

    /// Calls the operation of `call: openapi`.
    #[activity(name = OPENAPI)]
    pub async fn openapi(_request: OpenApiRequest) -> Result<Value, ActivityError> {
        unimplemented!()
    }

    /// Runs the command of `run: shell`.
    #[activity(name = SHELL)]
    pub async fn shell(_request: ShellRequest) -> Result<Value, ActivityError> {
        unimplemented!()
    }

    /// Publishes the event of `emit`, as `CloudEvents` has it in JSON.
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
            name(&FollowRuns),
            name(&Http),
            name(&Openapi),
            name(&Shell),
            name(&Emit),
        ];
        assert_eq!(names, ACTIVITIES);
    }
}
