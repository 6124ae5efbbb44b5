//! Evicts a workflow run that a query has taken ahead of its workflow tasks.
//!
//! A query that is not part of a workflow task may come with events that no workflow task
//! has delivered yet. This happens in three cases:
//! - if the server does not know that a worker has the run in memory,
//! - if the worker no longer has the run and reads the whole history,
//! - while a task is on its way.
//!
//! The SDK applies these events before it answers, keeps the run, and keeps the commands
//! that result from the events. The next workflow task sends these commands before those
//! that the task's own updates and signals ask for. No replay has that order, so the
//! history can never be replayed again.
//! [ADR 9](../../../docs/adr/0009-forget-what-is-ahead.md) describes the observation.
//!
//! The history shows whether a task delivered the events: that task is then completed.
//! The next task of an evicted run reads the run from its history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context;
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_common::protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryReverseRequest;
use temporalio_sdk::interceptors::WorkerInterceptor;
use temporalio_sdk_core::Worker;

/// The id that the SDK gives to a query that is not part of a workflow task.
const LEGACY_QUERY_ID: &str = "legacy_query";
/// Maximum time for the server to say whether a task is completed. The query waits.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of events from the history's end that are asked for at a time.
const HISTORY_PAGE_SIZE: i32 = 100;

/// An interceptor that makes the SDK evict each run that is ahead of its tasks.
pub(super) struct StaleRunEviction {
    client: Client,
    /// Weak, because the worker holds its interceptors.
    core: Weak<Worker>,
    runs: Mutex<CachedRuns>,
}

impl StaleRunEviction {
    pub(super) fn new(client: Client, core: &Arc<Worker>) -> Self {
        Self {
            client,
            core: Arc::downgrade(core),
            runs: Mutex::default(),
        }
    }

    /// Returns `true` if the history says that the task which began with the suspect's
    /// event is completed.
    async fn is_done(&self, suspect: &SuspectRun) -> anyhow::Result<bool> {
        let mut service = self.client.connection().workflow_service();
        let mut next_page_token = Vec::new();
        loop {
            let request = GetWorkflowExecutionHistoryReverseRequest {
                namespace: self.client.namespace(),
                execution: Some(WorkflowExecution {
                    workflow_id: suspect.workflow_id.clone(),
                    run_id: suspect.run_id.clone(),
                }),
                maximum_page_size: HISTORY_PAGE_SIZE,
                next_page_token,
            };
            let request = temporalio_client::tonic::Request::new(request);
            let page = service
                .get_workflow_execution_history_reverse(request)
                .await?
                .into_inner();
            for event in page.history.context("no history")?.events {
                if event.event_id <= suspect.event {
                    return Ok(false);
                }
                if let Some(Attributes::WorkflowTaskCompletedEventAttributes(done)) =
                    event.attributes
                    && done.started_event_id == suspect.event
                {
                    return Ok(true);
                }
            }
            if page.next_page_token.is_empty() {
                return Ok(false);
            }
            next_page_token = page.next_page_token;
        }
    }
}

#[async_trait::async_trait(?Send)]
impl WorkerInterceptor for StaleRunEviction {
    async fn on_workflow_activation(&self, activation: &WorkflowActivation) -> anyhow::Result<()> {
        let suspect = self
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .activated(activation);
        let Some(suspect) = suspect else {
            return Ok(());
        };
        let done = tokio::time::timeout(HISTORY_TIMEOUT, self.is_done(&suspect)).await;
        if !matches!(done, Ok(Ok(true)))
            && let Some(core) = self.core.upgrade()
        {
            tracing::debug!(
                workflow = suspect.workflow_id,
                run_id = suspect.run_id,
                event = suspect.event,
                "a query moved a run past its workflow tasks; evicting the run"
            );
            // The query is answered first.
            core.request_workflow_eviction(&suspect.run_id);
        }
        Ok(())
    }
}

/// A run that answers a query and may be ahead of its tasks.
#[derive(Debug, PartialEq, Eq)]
struct SuspectRun {
    workflow_id: String,
    run_id: String,
    /// The last event that was applied. Unless it began a workflow task that is
    /// completed, the run is ahead.
    event: i64,
}

/// The runs that the SDK has in memory.
#[derive(Debug, Default)]
struct CachedRuns(HashMap<String, CachedRun>);

#[derive(Debug, Default)]
struct CachedRun {
    workflow_id: String,
    /// The last event that the workflow was activated for since a query was answered.
    event: Option<i64>,
}

impl CachedRuns {
    fn activated(&mut self, activation: &WorkflowActivation) -> Option<SuspectRun> {
        let run_id = &activation.run_id;
        let (mut asked, mut advances) = (false, false);
        for job in &activation.jobs {
            match &job.variant {
                Some(Variant::RemoveFromCache(_)) => {
                    self.0.remove(run_id);
                    return None;
                }
                Some(Variant::QueryWorkflow(query)) => asked |= query.query_id == LEGACY_QUERY_ID,
                Some(Variant::InitializeWorkflow(start)) => {
                    let run = self.0.entry(run_id.clone()).or_default();
                    run.workflow_id.clone_from(&start.workflow_id);
                    advances = true;
                }
                _ => advances = true,
            }
        }
        let run = self.0.get_mut(run_id)?;
        if advances {
            run.event = Some(activation.history_length.into());
        }
        if !asked {
            return None;
        }
        Some(SuspectRun {
            workflow_id: run.workflow_id.clone(),
            run_id: run_id.clone(),
            event: run.event.take()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::coresdk::workflow_activation::{
        InitializeWorkflow, QueryWorkflow, RemoveFromCache, ResolveActivity, WorkflowActivationJob,
    };

    use super::*;

    fn activation(job: Variant, event: u32) -> WorkflowActivation {
        WorkflowActivation {
            run_id: "run".to_owned(),
            history_length: event,
            jobs: vec![WorkflowActivationJob { variant: Some(job) }],
            ..Default::default()
        }
    }

    fn start() -> WorkflowActivation {
        let start = InitializeWorkflow {
            workflow_id: "workflow".to_owned(),
            ..Default::default()
        };
        activation(Variant::InitializeWorkflow(start), 3)
    }

    fn resolved(event: u32) -> WorkflowActivation {
        activation(Variant::ResolveActivity(ResolveActivity::default()), event)
    }

    fn query(id: &str, event: u32) -> WorkflowActivation {
        let query = QueryWorkflow {
            query_id: id.to_owned(),
            ..Default::default()
        };
        activation(Variant::QueryWorkflow(query), event)
    }

    #[test]
    fn a_query_checks_earlier_tasks_once() {
        let mut runs = CachedRuns::default();
        assert_eq!(runs.activated(&start()), None);
        assert_eq!(runs.activated(&resolved(12)), None);
        let suspect = SuspectRun {
            workflow_id: "workflow".to_owned(),
            run_id: "run".to_owned(),
            event: 12,
        };
        assert_eq!(runs.activated(&query(LEGACY_QUERY_ID, 12)), Some(suspect));
        assert_eq!(runs.activated(&query(LEGACY_QUERY_ID, 14)), None);
        assert_eq!(runs.activated(&resolved(20)), None);
        assert_eq!(
            runs.activated(&query(LEGACY_QUERY_ID, 20)).unwrap().event,
            20
        );
    }

    #[test]
    fn a_query_within_a_task_needs_no_check() {
        let mut runs = CachedRuns::default();
        runs.activated(&start());
        assert_eq!(runs.activated(&query("1", 3)), None);
    }

    #[test]
    fn a_run_that_left_memory_is_unknown() {
        let mut runs = CachedRuns::default();
        runs.activated(&start());
        let gone = Variant::RemoveFromCache(RemoveFromCache::default());
        assert_eq!(runs.activated(&activation(gone, 3)), None);
        assert!(runs.0.is_empty());
        assert_eq!(runs.activated(&query(LEGACY_QUERY_ID, 3)), None);
    }
}
