//! Check of the runs that call the activities of steps: their definition, and the
//! signature of their steps.
//!
//! An activity knows the run that asks for it, but not which steps that run does. The first
//! event of the run's history has the answer: the type of the workflow, its task queue and
//! its steps. The event is read once for each run, and only if the answer matters: with
//! keys, or for a command that is bound to definitions.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, RUN_WORKFLOW};
use almanac_core::record::{DefinitionRef, RunInput};
use almanac_steps::machine::Standard;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::data_converters::SerializationContextData;
use temporalio_common::payload_visitor::decode_payloads;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;
use tonic::Request;

use super::{StepError, StepKeys};
use crate::payload::decode_json;

/// Maximum number of attempts at reading the history, and the pause between two of them.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Time limit of one attempt.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of runs that are remembered.
const REMEMBERED: usize = 10_000;

/// Finds the definition of the run that calls an activity, and refuses runs whose steps
/// have no valid signature.
pub struct CallerCheck {
    client: Client,
    project: Project,
    keys: Option<StepKeys>,
    known: Mutex<BTreeMap<String, DefinitionId>>,
}

impl CallerCheck {
    /// Creates the check for the callers of a project's activities. With keys, only runs of
    /// steps that one of these keys signed may call.
    pub fn new(client: Client, project: Project, keys: Option<StepKeys>) -> Self {
        Self {
            client,
            project,
            keys,
            known: Mutex::default(),
        }
    }

    /// Returns `true` if each call must come from signed steps.
    pub(super) fn must_be_signed(&self) -> bool {
        self.keys.is_some()
    }

    /// Returns the definition whose steps the run `execution` does.
    pub(super) async fn definition(
        &self,
        execution: WorkflowExecution,
    ) -> Result<DefinitionId, StepError> {
        if execution.run_id.is_empty() {
            return Err(refused(format!(
                "only a run of `{RUN_WORKFLOW}` may call this activity"
            )));
        }
        if let Some(known) = self.known().get(&execution.run_id) {
            return Ok(known.clone());
        }
        let run_id = execution.run_id.clone();
        let started = self.started(execution).await?;
        let id = self.read(&started).map_err(refused)?;
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(run_id, id.clone());
        Ok(id)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, DefinitionId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(
        &self,
        started: &WorkflowExecutionStartedEventAttributes,
    ) -> Result<DefinitionId, String> {
        let kind = started.workflow_type.clone().unwrap_or_default().name;
        let queue = started.task_queue.clone().unwrap_or_default().name;
        if kind != RUN_WORKFLOW || queue != self.project.run_queue() {
            return Err(format!(
                "only a run of `{RUN_WORKFLOW}` on the queue `{}` may call this activity",
                self.project.run_queue()
            ));
        }
        let payloads = started.input.iter().flat_map(|input| &input.payloads);
        let input = payloads.map(decode_json).next().unwrap_or_default();
        let input: RunInput = serde_json::from_value(input)
            .map_err(|_| "the run's input cannot be read".to_owned())?;
        match input.definition {
            DefinitionRef::Current(id) => Ok(id),
            DefinitionRef::Pinned(pinned) => match &self.keys {
                Some(keys) if !keys.verify(&pinned) => Err(format!(
                    "the steps of `{}` have no signature of this project (--steps-key); \
                     hint: steps that were put into a schedule before there was a key are signed \
                     when the schedule is next described in full",
                    pinned.id
                )),
                _ => Ok(pinned.id),
            },
        }
    }

    async fn started(
        &self,
        execution: WorkflowExecution,
    ) -> Result<WorkflowExecutionStartedEventAttributes, StepError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let request = Request::new(GetWorkflowExecutionHistoryRequest {
                namespace: self.client.namespace(),
                execution: Some(execution.clone()),
                maximum_page_size: 1,
                ..Default::default()
            });
            let mut client = self.client.clone();
            let asked = WorkflowService::get_workflow_execution_history(&mut client, request);
            let why = match tokio::time::timeout(ANSWER_LIMIT, asked).await {
                Ok(Ok(answer)) => {
                    let history = answer.into_inner().history.unwrap_or_default();
                    let first = history.events.into_iter().next();
                    return match first.and_then(|event| event.attributes) {
                        Some(Attributes::WorkflowExecutionStartedEventAttributes(mut started)) => {
                            let codec = self.client.options().data_converter.codec();
                            let context = SerializationContextData::None;
                            let decoded = decode_payloads(&mut started, codec, &context).await;
                            decoded.map_err(|error| {
                                let detail = format!("the run's input cannot be read: {error}");
                                StepError::if_again(true, Standard::Communication, detail)
                            })?;
                            Ok(started)
                        }
                        _ => Err(refused(
                            "the run's history does not begin with the start of a \
                             workflow"
                                .to_owned(),
                        )),
                    };
                }
                Ok(Err(status)) => format!("{:?}: {}", status.code(), status.message()),
                Err(_) => "no answer in time".to_owned(),
            };
            if tries == TRIES {
                let detail = format!("the history of the run cannot be read: {why}");
                return Err(StepError::if_again(true, Standard::Communication, detail));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The specification's error for a caller that may not call.
fn refused(why: String) -> StepError {
    tracing::warn!(why, "refused a step");
    StepError::lasting(Standard::Authorization, why)
}
