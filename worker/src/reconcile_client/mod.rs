//! Client of a project's reconcile workflow, for its workers and the command line.
//!
//! The client addresses the workflow by its id, never by the id of a run, because the workflow
//! continues as new. Everything is sent as plain JSON, so that a release can talk to the
//! workflow of another release. Only [`ReconcileClient::report`] waits for a pass.

mod error;
mod run_poller;

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_activities::codec::undecoded_reason;
use almanac_base::names::{DefinitionId, MEMO_KEY, Project, READABLE, RECONCILE_WORKFLOW};
use almanac_core::record::{
    AdoptAnswer, AdoptRequest, Announcement, AwaitedReport, HistoryEntry, HistoryRequest,
    NOT_AFTER, OverrideAnswer, OverrideRequest, PassReport, Progress, Report, RunAnswer, RunKind,
    RunRequest, RunState, RunsQuery, SelectRequest, Selection, Selector, State, Status,
    SuspendAnswer, SuspendRequest, Suspension, SyncAnswer, SyncRequest, TOO_LATE, WorkflowMemo,
};
use almanac_workflows::contracts::{Query, Signal, Update, reconciler as contract};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use temporalio_client::errors::{
    WorkflowInteractionError, WorkflowQueryError, WorkflowStartError, WorkflowUpdateError,
};
use temporalio_client::tonic::{Code, Request};
use temporalio_client::{
    Client, NamespacedClient, QueryRejectCondition, RetryOptions, RpcOptions, UntypedQuery,
    UntypedSignal, UntypedUpdate, UntypedWorkflow, UntypedWorkflowHandle, WorkflowDescribeOptions,
    WorkflowExecuteUpdateOptions, WorkflowExecutionStatus, WorkflowIdConflictPolicy,
    WorkflowQueryOptions, WorkflowSignalOptions, WorkflowStartOptions,
};
use temporalio_common::data_converters::{PayloadConverter, RawValue, SerializationContextData};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::HistoryEventFilterType;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, GetWorkflowExecutionHistoryRequest,
};
use tokio::sync::Semaphore;

use crate::backoff::Backoff;
pub use error::{ReconcileClientError, Silence};
use error::{absent, temporal};
use run_poller::RunPoller;

/// The reason given when `almanac destroy` terminates the workflow.
pub const DESTROYED: &str = "almanac destroy";
/// Maximum time for an answer of the workflow.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Number of times that a request is sent again at least, if a run ends before it answers and the
/// workflow goes on.
const ABSENCES: u32 = 3;
/// Time after which a worker no longer takes up an update, counted from when it was sent. The
/// server keeps an update that no worker takes. The time leaves room for clocks that differ.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// The server's text for a query that it sends to no worker, since the last workflow tasks
/// failed.
const TASK_FAILS: &str = "Workflow Task in failed state";
/// Interval between two queries of the state while waiting for a report.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Limits the number of updates that this process sends at a time. The server takes ten of one
/// workflow; each further one makes the server drop the workflow task in progress.
static UPDATES: Semaphore = Semaphore::const_new(6);

/// The runs that this process waits for.
static RUN_POLLER: RunPoller = RunPoller::none();

/// A client of the reconcile workflow of a project.
#[derive(Debug, Clone)]
pub struct ReconcileClient {
    client: Client,
    project: Project,
}

impl ReconcileClient {
    /// A client for `project`, in the client's namespace.
    pub fn new(client: Client, project: Project) -> Self {
        Self { client, project }
    }

    /// Id of the reconcile workflow.
    pub fn workflow_id(&self) -> String {
        self.project.reconcile_workflow_id()
    }

    /// Announces a worker to the workflow, and starts the workflow if it does not run.
    ///
    /// In that case a single request starts the workflow and signals it, so no worker has to be
    /// polling yet. A suspension survives the run in which it began.
    pub async fn announce(&self, announcement: &Announcement) -> Result<(), ReconcileClientError> {
        match self.announce_if_running(announcement).await {
            Err(ReconcileClientError::Absent(_)) => {}
            result => return result,
        }
        let input = match self.suspension_left().await? {
            None => RawValue::new(Vec::new()),
            suspended => raw(&State {
                suspended,
                ..State::default()
            }),
        };
        let options = WorkflowStartOptions::new(self.project.reconcile_queue(), self.workflow_id())
            .id_conflict_policy(WorkflowIdConflictPolicy::UseExisting)
            .static_summary(format!("Keeps the schedules of project {}", self.project))
            .rpc_options(once(ANSWER_LIMIT))
            .build();
        let started = self.client.signal_with_start_workflow(
            UntypedWorkflow::new(RECONCILE_WORKFLOW),
            input,
            UntypedSignal::new(contract::DefinitionsChanged::NAME),
            announced(announcement),
            options,
        );
        within(ANSWER_LIMIT, started)
            .await?
            .map(drop)
            .map_err(|error| match error {
                WorkflowStartError::Rpc(status) => self.refused(&status),
                other => ReconcileClientError::Temporal(other.to_string()),
            })
    }

    /// The suspension in the memo of the last run, if that run ended without continuing as new:
    /// the server ends a run whose history is too large. A project that was destroyed leaves
    /// none.
    async fn suspension_left(&self) -> Result<Option<Suspension>, ReconcileClientError> {
        let execution = WorkflowExecution {
            workflow_id: self.workflow_id(),
            run_id: String::new(),
        };
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.client.namespace(),
            execution: Some(execution.clone()),
        };
        let mut service = self.client.connection().workflow_service();
        let described = service.describe_workflow_execution(Request::new(request));
        let info = match within(ANSWER_LIMIT, described).await? {
            Ok(described) => described.into_inner().workflow_execution_info,
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(self.refused(&status)),
        };
        let memo = info.and_then(|info| info.memo).unwrap_or_default();
        let memo: WorkflowMemo = memo
            .fields
            .get(MEMO_KEY)
            .and_then(|payload| serde_json::from_slice(&payload.data).ok())
            .unwrap_or_default();
        if memo.suspended.is_none() {
            return Ok(None);
        }
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: self.client.namespace(),
            execution: Some(execution),
            history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
            ..Default::default()
        };
        let closed = service.get_workflow_execution_history(Request::new(request));
        let closed = match within(ANSWER_LIMIT, closed).await? {
            Ok(closed) => closed.into_inner().history.unwrap_or_default(),
            Err(status) => return Err(self.refused(&status)),
        };
        let was_destroyed = closed.events.iter().any(|event| {
            matches!(
                &event.attributes,
                Some(Attributes::WorkflowExecutionTerminatedEventAttributes(end))
                    if end.reason == DESTROYED
            )
        });
        Ok(memo.suspended.filter(|_| !was_destroyed))
    }

    /// Announces a worker to a workflow that runs. Does not start the workflow.
    pub async fn announce_if_running(
        &self,
        announcement: &Announcement,
    ) -> Result<(), ReconcileClientError> {
        self.signal::<contract::DefinitionsChanged>(announced(announcement))
            .await
    }

    /// State of the workflow, as the query `status` answers.
    pub async fn status(&self) -> Result<Status, ReconcileClientError> {
        self.query::<contract::Status>(None).await
    }

    /// History entries of a definition, or of the whole project, newest first.
    pub async fn history(
        &self,
        id: Option<&DefinitionId>,
    ) -> Result<Vec<HistoryEntry>, ReconcileClientError> {
        let id = id.map(DefinitionId::to_string).unwrap_or_default();
        let request = HistoryRequest { id };
        self.query::<contract::History>(Some(&request)).await
    }

    async fn query<Q: Query>(
        &self,
        input: Option<&Q::Takes>,
    ) -> Result<Q::Gives, ReconcileClientError> {
        let answered = self.until_answered(|| self.query_once::<Q>(input));
        within(ANSWER_LIMIT, answered).await?
    }

    async fn query_once<Q: Query>(
        &self,
        input: Option<&Q::Takes>,
    ) -> Result<Q::Gives, ReconcileClientError> {
        let options = WorkflowQueryOptions::builder()
            .reject_condition(QueryRejectCondition::NotOpen)
            .rpc_options(once(ANSWER_LIMIT))
            .build();
        let handle = self.handle();
        let asked = handle.query(UntypedQuery::new(Q::NAME), payload(input), options);
        match within(ANSWER_LIMIT, asked).await? {
            Ok(answer) => read(answer),
            Err(WorkflowQueryError::Rejected { .. }) => {
                Err(ReconcileClientError::Absent(self.workflow_id()))
            }
            Err(WorkflowQueryError::NotFound(status)) => Err(self.absent(&status)),
            Err(WorkflowQueryError::Rpc(status)) => Err(self.refused(&status)),
            Err(other) => Err(ReconcileClientError::Temporal(other.to_string())),
        }
    }

    /// Asks for a pass. The answer names the pass that will serve the request.
    pub async fn sync(&self, request: &SyncRequest) -> Result<SyncAnswer, ReconcileClientError> {
        self.update::<contract::Sync>(&request.request_id, request)
            .await
    }

    /// Asks for an override, or for its end. The answer names the pass that will apply it.
    pub async fn set_override(
        &self,
        request: &OverrideRequest,
    ) -> Result<OverrideAnswer, ReconcileClientError> {
        self.update::<contract::Override>(&request.request_id, request)
            .await
    }

    /// Asks for an adoption. The answer names the pass that will do it.
    pub async fn adopt(&self, request: &AdoptRequest) -> Result<AdoptAnswer, ReconcileClientError> {
        self.update::<contract::Adopt>(&request.request_id, request)
            .await
    }

    /// Stops the reconciler: no pass begins after this.
    pub async fn suspend(
        &self,
        request: &SuspendRequest,
    ) -> Result<SuspendAnswer, ReconcileClientError> {
        self.update::<contract::Suspend>(&request.request_id, request)
            .await
    }

    /// Lets the reconciler continue. The answer names the pass that catches up.
    pub async fn resume(
        &self,
        request: &SuspendRequest,
    ) -> Result<SuspendAnswer, ReconcileClientError> {
        self.update::<contract::Resume>(&request.request_id, request)
            .await
    }

    /// Starts runs, and waits at most `limit` for their results. The answer is pending if the
    /// runs take longer. The request needs an id.
    pub async fn run(
        &self,
        kind: RunKind,
        request: &RunRequest,
        limit: Duration,
    ) -> Result<RunAnswer, ReconcileClientError> {
        let deadline = tokio::time::Instant::now() + limit;
        let id = &request.request_id;
        let asked = match kind {
            RunKind::Trigger => self.update::<contract::Trigger>(id, request).await,
            RunKind::Backfill => self.update::<contract::Backfill>(id, request).await,
        };
        let mut answer = match asked {
            Ok(answer) => answer,
            // The workflow may have accepted the request, and not have finished it.
            Err(error @ ReconcileClientError::NoAnswer(_)) => {
                let known = self.run_answers(vec![request.request_id.clone()]).await;
                let mut answers = known.unwrap_or_default();
                answers.remove(&request.request_id).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        // The server returns the answer for a known request id, even if the new request has
        // other contents.
        if answer.kind != kind || answer.id != request.id {
            return Err(ReconcileClientError::Refused(format!(
                "request_id `{}` was already used for a {} of `{}`",
                request.request_id,
                answer.kind.name(),
                answer.id.as_ref().map_or("", |id| id.as_str())
            )));
        }
        let mut waits = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let polled = RUN_POLLER.run(&request.request_id);
        while answer.state == RunState::Pending && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(waits.next_wait()).await;
            match polled.poll(|ids| self.run_answers(ids)).await {
                Ok(Some(news)) => answer = news,
                Ok(None)
                | Err(ReconcileClientError::NoAnswer(_) | ReconcileClientError::Busy(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answer)
    }

    /// The answers to requests for runs.
    async fn run_answers(
        &self,
        request_ids: Vec<String>,
    ) -> Result<BTreeMap<String, RunAnswer>, ReconcileClientError> {
        self.query::<contract::Runs>(Some(&RunsQuery { request_ids }))
            .await
    }

    /// The definitions with a schedule that have these labels.
    pub async fn select(
        &self,
        id: &str,
        selector: &Selector,
    ) -> Result<Selection, ReconcileClientError> {
        let request = SelectRequest {
            selector: selector.clone(),
        };
        self.update::<contract::Select>(id, &request).await
    }

    /// Sends an update.
    async fn update<U: Update>(
        &self,
        id: &str,
        request: &U::Takes,
    ) -> Result<U::Gives, ReconcileClientError> {
        let asked = |id: String| async move {
            let once = || Box::pin(self.update_once::<U>(&id, request));
            self.until_answered(once).await
        };
        match asked(id.to_owned()).await {
            // The server repeats the result of an earlier update with the same id. That update
            // expired without effect, and this one has not expired.
            Err(ReconcileClientError::Refused(why)) if why.contains(TOO_LATE) => {
                asked(format!("{id}@{}", Timestamp::now().as_millisecond())).await
            }
            answer => answer,
        }
    }

    /// Sends a request, and sends it again for [`ANSWER_LIMIT`] if the server is too busy for it,
    /// or if the run that it met continues as new. That run answers nothing any more, and the next
    /// run does. A repeated update gets the first one's answer from either.
    ///
    /// The server takes 10 updates of one workflow at a time, and few queries.
    async fn until_answered<T, Asked>(
        &self,
        ask: impl Fn() -> Asked,
    ) -> Result<T, ReconcileClientError>
    where
        Asked: Future<Output = Result<T, ReconcileClientError>>,
    {
        let deadline = tokio::time::Instant::now() + ANSWER_LIMIT;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut absences = 0;
        loop {
            let answer = ask().await;
            let wait = backoff.next_wait();
            let in_time = tokio::time::Instant::now() + wait < deadline;
            let repeats = match &answer {
                Err(ReconcileClientError::Busy(_)) => in_time,
                // The first answer may come late, because many requests waited for their turn.
                Err(ReconcileClientError::Absent(_)) => {
                    absences += 1;
                    (in_time || absences <= ABSENCES) && self.may_be_running().await
                }
                _ => false,
            };
            if !repeats {
                return answer;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Returns `false` if the server says that the workflow is not running. A description may still
    /// be of a run that has continued as new, and an error says nothing.
    async fn may_be_running(&self) -> bool {
        let options = WorkflowDescribeOptions::builder()
            .rpc_options(once(ANSWER_LIMIT))
            .build();
        let handle = self.handle();
        let described = within(ANSWER_LIMIT, Box::pin(handle.describe(options))).await;
        match described {
            Ok(Ok(it)) => matches!(
                it.status(),
                WorkflowExecutionStatus::Running | WorkflowExecutionStatus::ContinuedAsNew
            ),
            Ok(Err(WorkflowInteractionError::NotFound(_))) => false,
            Ok(Err(_)) | Err(_) => true,
        }
    }

    async fn update_once<U: Update>(
        &self,
        id: &str,
        request: &U::Takes,
    ) -> Result<U::Gives, ReconcileClientError> {
        let until = Timestamp::now() + TAKEN_WITHIN;
        let answer = self.update_until::<U>(until, id, request).await;
        answer.map_err(|error| match error {
            ReconcileClientError::NoAnswer(_) => {
                ReconcileClientError::NoAnswer(Silence::Until(until))
            }
            other => other,
        })
    }

    /// Sends an update that the workflow refuses after `until`.
    async fn update_until<U: Update>(
        &self,
        until: Timestamp,
        id: &str,
        request: &U::Takes,
    ) -> Result<U::Gives, ReconcileClientError> {
        let mut request = serde_json::to_value(request).unwrap_or_default();
        if let Some(object) = request.as_object_mut() {
            object.insert(NOT_AFTER.to_owned(), json!(until));
        }
        let options = WorkflowExecuteUpdateOptions::builder()
            .update_id(id.to_owned())
            .rpc_options(once(ANSWER_LIMIT))
            .build();
        let handle = self.handle();
        let asked = async {
            // The semaphore is never closed.
            let _turn = UPDATES.acquire().await;
            let update = UntypedUpdate::new(U::NAME);
            handle.execute_update(update, raw(&request), options).await
        };
        match within(ANSWER_LIMIT, asked).await? {
            Ok(answer) => read(answer),
            Err(WorkflowUpdateError::NotFound(status)) => Err(self.absent(&status)),
            Err(WorkflowUpdateError::Failed(failure)) => {
                Err(ReconcileClientError::Refused(failure.message.clone()))
            }
            Err(WorkflowUpdateError::Rpc(status)) => Err(self.refused(&status)),
            Err(other) => Err(ReconcileClientError::Temporal(other.to_string())),
        }
    }

    /// Waits for the report of a pass, at most for `limit`. `None` if the pass has not ended by
    /// then, or ended so long ago that its report is no longer kept.
    pub async fn report(
        &self,
        pass: u64,
        limit: Duration,
    ) -> Result<Option<Report>, ReconcileClientError> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut awaited = AwaitedReport::of(pass);
        loop {
            let status = self.status().await;
            match status {
                Ok(status) => match awaited.find_in(&status) {
                    PassReport::Ended(report) => return Ok(Some(*report)),
                    PassReport::Forgotten => return Ok(None),
                    PassReport::Pending => {}
                },
                // The worker may be busy for a moment; the deadline limits the wait.
                Err(ReconcileClientError::NoAnswer(_) | ReconcileClientError::Busy(_)) => {}
                Err(error) => return Err(error),
            }
            if tokio::time::Instant::now() + POLL_INTERVAL >= deadline {
                return Ok(None);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Progress of the running pass. `None` if no pass is running, or if it has not reported
    /// any.
    pub async fn progress(&self) -> Result<Option<Progress>, ReconcileClientError> {
        let options = WorkflowDescribeOptions::builder()
            .rpc_options(once(ANSWER_LIMIT))
            .build();
        let handle = self.handle();
        let described = within(ANSWER_LIMIT, handle.describe(options))
            .await?
            .map_err(|error| self.failed(error))?;
        let activities = described.raw_description.pending_activities;
        let heartbeats = activities
            .into_iter()
            .filter_map(|one| one.heartbeat_details);
        let payloads = heartbeats.flat_map(|details| details.payloads).collect();
        let codec = self.client.options().data_converter.codec();
        let decoded = codec.decode(&SerializationContextData::None, payloads);
        let decoded = within(ANSWER_LIMIT, decoded).await?;
        let decoded = decoded.map_err(|error| ReconcileClientError::Temporal(error.to_string()))?;
        Ok(decoded
            .iter()
            .find_map(|payload| serde_json::from_slice(&payload.data).ok()))
    }

    fn failed(&self, error: WorkflowInteractionError) -> ReconcileClientError {
        match error {
            WorkflowInteractionError::NotFound(status) => self.absent(&status),
            WorkflowInteractionError::Rpc(status) => self.refused(&status),
            other => ReconcileClientError::Temporal(other.to_string()),
        }
    }

    fn absent(&self, status: &temporalio_client::tonic::Status) -> ReconcileClientError {
        absent(status, &self.client.namespace(), self.workflow_id())
    }

    fn refused(&self, status: &temporalio_client::tonic::Status) -> ReconcileClientError {
        if status.message().contains(TASK_FAILS) {
            return ReconcileClientError::Stuck(self.workflow_id());
        }
        temporal(status)
    }

    fn handle(&self) -> UntypedWorkflowHandle<Client> {
        self.client.get_workflow_handle(self.workflow_id())
    }

    async fn signal<S: Signal>(&self, input: RawValue) -> Result<(), ReconcileClientError> {
        let options = WorkflowSignalOptions::builder()
            .rpc_options(once(ANSWER_LIMIT))
            .build();
        let handle = self.handle();
        let sent = self.until_answered(|| async {
            let signal = UntypedSignal::new(S::NAME);
            let sent = handle.signal(signal, input.clone(), options.clone());
            sent.await.map_err(|error| self.failed(error))
        });
        within(ANSWER_LIMIT, sent).await?
    }
}

/// Options for a call without retries: the caller knows better when to try again.
fn once(limit: Duration) -> RpcOptions {
    RpcOptions::builder()
        .timeout(limit)
        .retry_options(RetryOptions::no_retries())
        .build()
}

/// Limits the time of a call. The SDK may extend the server's deadline by repeating the call;
/// this limit always holds.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = T>,
) -> Result<T, ReconcileClientError> {
    tokio::time::timeout(limit, call)
        .await
        .map_err(|_| ReconcileClientError::NoAnswer(Silence::For(limit)))
}

/// The payload of an input. `None` is sent as no payload at all.
fn payload<T: Serialize + 'static>(input: Option<&T>) -> RawValue {
    input.map_or_else(|| RawValue::new(Vec::new()), raw)
}

/// The payload of an announcement. No codec encodes it: it has nothing secret, and a worker without
/// the key must not take it for something else than a worker with the key does.
fn announced(announcement: &Announcement) -> RawValue {
    let mut raw = raw(announcement);
    for payload in &mut raw.payloads {
        payload.metadata.insert(READABLE.to_owned(), Vec::new());
    }
    raw
}

fn raw<T: Serialize + 'static>(value: &T) -> RawValue {
    RawValue::from_value(
        &serde_json::to_value(value).unwrap_or_default(),
        &PayloadConverter::default(),
    )
}

fn read<T: DeserializeOwned>(answer: RawValue) -> Result<T, ReconcileClientError> {
    let payload = answer.payloads.into_iter().next().unwrap_or_default();
    if let Some(reason) = undecoded_reason(&payload) {
        return Err(ReconcileClientError::Answer(reason));
    }
    serde_json::from_slice(&payload.data)
        .map_err(|error| ReconcileClientError::Answer(error.to_string()))
}
