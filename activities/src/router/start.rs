//! Starts of workflows by events.

use std::collections::BTreeSet;

use almanac_base::json_text::JsonText;
use almanac_base::names::{Project, Revision};
use almanac_core::definition::Program;
use almanac_core::record::{
    DefinitionRef, PinnedDefinition, RunInput, RunMemo, TriggerResult, delivery_text,
};
use almanac_core::routing::{Route, RunToStart};
use almanac_core::schedule::Action;
use almanac_steps::language::OnConflict;
use serde_json::json;
use temporalio_common::protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use super::search_attributes::of_event;
use crate::schedules::wire::encode_start;
use crate::schedules::{RequestError, Schedules, request_id};
use crate::steps::StepKeys;

/// The request that starts a run, without the namespace and the caller's identity. `attributes`
/// are the search attributes for the event that the namespace has.
pub(super) fn request(
    route: &Route,
    run: &RunToStart,
    project: &Project,
    keys: Option<&StepKeys>,
    attributes: &BTreeSet<&'static str>,
) -> StartWorkflowExecutionRequest {
    let definition = &route.definition;
    let mut action = Action {
        workflow_id: run.workflow_id.clone(),
        ..Action::of(project, definition)
    };
    action
        .search_attributes
        .extend(of_event(&route.origin.event, attributes));
    let args = match &definition.program {
        Program::Workflow(block) => match &block.args {
            Some(args) => args.clone(),
            None => vec![JsonText::from(&run.input)],
        },
        Program::Steps(steps) => {
            let mut pinned = PinnedDefinition {
                id: definition.id.clone(),
                revision: definition.revision.clone(),
                steps: steps.value(),
                signature: None,
            };
            if let Some(keys) = keys {
                keys.sign(&mut pinned);
            }
            let input = RunInput {
                definition: DefinitionRef::Pinned(pinned),
                input: run.input.clone(),
                event: Some(route.origin.clone()),
                position: None,
                dropped: 0,
            };
            vec![JsonText::from(json!(input))]
        }
    };
    let memo = RunMemo {
        definition: definition.id.clone(),
        revision: definition.revision.clone(),
        event: Some(route.origin.clone()),
    };
    let (reuse, conflict) = policies(run);
    StartWorkflowExecutionRequest {
        request_id: start_request_id(route, run),
        workflow_id_reuse_policy: reuse.into(),
        workflow_id_conflict_policy: conflict.into(),
        ..encode_start(&action, &args, &memo)
    }
}

/// Sends a request, and returns what followed.
pub(super) async fn start(
    schedules: &Schedules,
    route: &Route,
    run: &RunToStart,
    request: StartWorkflowExecutionRequest,
) -> TriggerResult {
    let workflow_id = run.workflow_id.clone();
    match schedules.start_workflow(request).await {
        Ok(answer) if answer.started => TriggerResult::Started {
            workflow_id,
            run_id: answer.run_id,
        },
        Err(RequestError::AlreadyExists)
            if run.on_conflict == OnConflict::Fail && !run.is_derived =>
        {
            let reason = format!(
                "a run with the workflow id `{workflow_id}` is running, and the trigger has \
                 `on_conflict: fail`"
            );
            TriggerResult::Conflict {
                workflow_id,
                reason: delivery_text(&reason),
            }
        }
        Ok(_) | Err(RequestError::AlreadyExists) => existing(schedules, route, run).await,
        Err(RequestError::Refused(reason)) => TriggerResult::Refused {
            reason: delivery_text(&format!("Temporal refused the start: {reason}")),
        },
        Err(error) => TriggerResult::Failed {
            reason: delivery_text(&error.to_string()),
            away: error.is_about_all() || matches!(error, RequestError::Denied(_)),
        },
    }
}

/// The result for a workflow id that a run has already. An id that is derived from an event
/// belongs to one event: if another event with the same source and id started the run, the two
/// differ in their data.
async fn existing(schedules: &Schedules, route: &Route, run: &RunToStart) -> TriggerResult {
    let workflow_id = run.workflow_id.clone();
    if !run.is_derived {
        return TriggerResult::Existing { workflow_id };
    }
    // Without an answer, the event is taken for the same one.
    let memo = schedules.run_memo(&workflow_id).await.ok().flatten();
    let digest = memo.and_then(|memo| memo.event).map(|event| event.digest);
    if digest.is_none_or(|digest| digest == route.origin.digest) {
        return TriggerResult::Existing { workflow_id };
    }
    TriggerResult::Conflict {
        workflow_id,
        reason: "another event with the same source and id, and with other data, started the run"
            .to_owned(),
    }
}

/// The policies of the server for a workflow id that is taken: by a run that has ended, and by a
/// run that is running.
fn policies(run: &RunToStart) -> (WorkflowIdReusePolicy, WorkflowIdConflictPolicy) {
    use {WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse};
    match (run.on_conflict, run.is_derived) {
        (OnConflict::RetryFailed, _) => (Reuse::AllowDuplicateFailedOnly, Conflict::UseExisting),
        // No other event has the id: whatever has it was started by this event.
        (_, true) => (Reuse::RejectDuplicate, Conflict::UseExisting),
        (OnConflict::UseExisting, false) => (Reuse::AllowDuplicate, Conflict::UseExisting),
        (OnConflict::Fail, false) => (Reuse::AllowDuplicate, Conflict::Fail),
        (OnConflict::TerminateExisting, false) => {
            (Reuse::AllowDuplicate, Conflict::TerminateExisting)
        }
    }
}

/// The id of the request. The server takes a second request with the same id for the first one.
///
/// Several events can have the same stated workflow id. An id that is derived from the event lets
/// the server recognize a second delivery, so that it neither starts nor terminates anything. A
/// workflow id that belongs to the event needs no such help, and the server would not say that the
/// run exists already. `retry_failed` must not get the failed run as the answer.
fn start_request_id(route: &Route, run: &RunToStart) -> String {
    if run.is_derived || run.on_conflict == OnConflict::RetryFailed {
        return request_id();
    }
    let origin = &route.origin;
    let key = json!([
        origin.event.source,
        origin.event.id,
        route.definition.id,
        origin.trigger
    ]);
    format!("almanac-event-{}", Revision::of(key.to_string().as_bytes()))
}
