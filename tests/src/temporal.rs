//! Raw requests to Temporal, as any client, an operator or the UI makes them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use almanac_core::record::Status;
use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};
use temporalio_common::protos::temporal::api::common::v1::{
    Memo, Payload, Payloads, WorkflowExecution, WorkflowType,
};
use temporalio_common::protos::temporal::api::enums::v1::UpdateWorkflowExecutionLifecycleStage;
use temporalio_common::protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Range, Schedule, ScheduleAction, ScheduleListEntry, SchedulePatch, ScheduleSpec,
    StructuredCalendarSpec,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::update::v1::{
    Input, Meta, Request, WaitPolicy, outcome,
};
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, CreateScheduleRequest, DeleteScheduleRequest,
    DescribeScheduleRequest, DescribeScheduleResponse, DescribeWorkflowExecutionRequest,
    ListSchedulesRequest, ListWorkflowExecutionsRequest, PatchScheduleRequest,
    QueryWorkflowRequest, SignalWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
    UpdateScheduleRequest, UpdateWorkflowExecutionRequest,
};
use tonic::Code;

use crate::wait::{AGAIN, SOON, wait_for};

const NAMESPACE: &str = "default";
/// Beginning of the error of an update that the workflow refused.
const REFUSED: &str = "refused: ";
/// Maximum time for one attempt of a query.
const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// A client of one server.
#[derive(Clone)]
pub struct Temporal {
    connection: Connection,
}

impl fmt::Debug for Temporal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Temporal")
    }
}

/// A schedule as it was described.
#[derive(Debug, Clone)]
pub struct Live(pub DescribeScheduleResponse);

impl Temporal {
    /// Connects.
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let target = Url::parse(&format!("http://{address}"))?;
        let options = ConnectionOptions::new(target)
            .identity("tests")
            .connect_timeout(SOON)
            .build();
        Ok(Self {
            connection: Connection::connect(options).await?,
        })
    }

    /// The client of Almanac's own requests.
    pub fn client(&self) -> anyhow::Result<Client> {
        let options = ClientOptions::new(NAMESPACE).build();
        Ok(Client::new(self.connection.clone(), options)?)
    }

    /// The ids of the schedules whose id begins with `prefix`, sorted.
    pub async fn list(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let entries = self.list_entries(prefix).await?;
        let mut ids: Vec<_> = entries.into_iter().map(|entry| entry.schedule_id).collect();
        ids.sort();
        Ok(ids)
    }

    /// The schedules whose id begins with `prefix`, as the list shows them. It
    /// lags behind what was written.
    pub async fn list_entries(&self, prefix: &str) -> anyhow::Result<Vec<ScheduleListEntry>> {
        let mut entries = Vec::new();
        let mut next_page_token = Vec::new();
        loop {
            let request = ListSchedulesRequest {
                namespace: NAMESPACE.to_owned(),
                maximum_page_size: 1000,
                next_page_token,
                query: format!("ScheduleId STARTS_WITH '{prefix}'"),
            };
            let mut service = self.service();
            let page = service.list_schedules(tonic::Request::new(request)).await?;
            let page = page.into_inner();
            entries.extend(page.schedules);
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(entries);
            }
        }
    }

    /// A schedule; `None` when there is none.
    pub async fn describe(&self, id: &str) -> anyhow::Result<Option<Live>> {
        let request = DescribeScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
        };
        let mut service = self.service();
        match service
            .describe_schedule(tonic::Request::new(request))
            .await
        {
            Ok(answer) => Ok(Some(Live(answer.into_inner()))),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// A schedule that must exist.
    pub async fn live(&self, id: &str) -> anyhow::Result<Live> {
        self.describe(id)
            .await?
            .with_context(|| format!("no schedule {id}"))
    }

    /// Creates a schedule with any memo.
    pub async fn create(
        &self,
        id: &str,
        schedule: Schedule,
        memo: &[(&str, Payload)],
    ) -> anyhow::Result<()> {
        let fields = memo
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let request = CreateScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(schedule),
            identity: "tests".to_owned(),
            request_id: request_id(),
            memo: Some(Memo {
                fields: fields.collect(),
            }),
            ..Default::default()
        };
        let mut service = self.service();
        service
            .create_schedule(tonic::Request::new(request))
            .await?;
        Ok(())
    }

    /// Replaces a schedule, with a conflict token or, as the UI does, without.
    pub async fn update(
        &self,
        id: &str,
        schedule: Schedule,
        conflict_token: Vec<u8>,
    ) -> anyhow::Result<()> {
        let request = UpdateScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(schedule),
            conflict_token,
            identity: "tests".to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        let mut service = self.service();
        service
            .update_schedule(tonic::Request::new(request))
            .await?;
        Ok(())
    }

    /// Changes a part of a schedule manually, as the UI's edit form does:
    /// everything else stays, and nobody's token is asked for. Waits until the
    /// server shows it.
    pub async fn edit(&self, id: &str, change: impl Fn(&mut Schedule)) -> anyhow::Result<()> {
        let before = self.live(id).await?;
        let mut schedule = before.schedule().clone();
        change(&mut schedule);
        self.update(id, schedule, Vec::new()).await?;
        self.applied(id, &before).await
    }

    /// Pauses manually, with a patch as the UI sends it: the note is replaced.
    pub async fn pause(&self, id: &str, note: &str) -> anyhow::Result<()> {
        let patch = SchedulePatch {
            pause: note.to_owned(),
            ..Default::default()
        };
        self.patch(id, patch).await
    }

    /// Unpauses manually, with a patch.
    pub async fn unpause(&self, id: &str, note: &str) -> anyhow::Result<()> {
        let patch = SchedulePatch {
            unpause: note.to_owned(),
            ..Default::default()
        };
        self.patch(id, patch).await
    }

    /// Sends a patch and waits until the server shows it.
    pub async fn patch(&self, id: &str, patch: SchedulePatch) -> anyhow::Result<()> {
        let before = self.live(id).await?;
        let request = PatchScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            patch: Some(patch),
            identity: "tests".to_owned(),
            request_id: request_id(),
        };
        let mut service = self.service();
        service.patch_schedule(tonic::Request::new(request)).await?;
        self.applied(id, &before).await
    }

    async fn applied(&self, id: &str, before: &Live) -> anyhow::Result<()> {
        crate::wait::eventually(&format!("the change of {id} to show"), || async {
            Ok(self.live(id).await?.0.conflict_token != before.0.conflict_token)
        })
        .await
    }

    /// Deletes a schedule.
    pub async fn delete(&self, id: &str) -> anyhow::Result<()> {
        let request = DeleteScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            identity: "tests".to_owned(),
        };
        let mut service = self.service();
        service
            .delete_schedule(tonic::Request::new(request))
            .await?;
        Ok(())
    }

    /// The answer of a project's reconcile workflow to `status`.
    pub async fn status(&self, project: &str) -> anyhow::Result<Status> {
        let workflow = format!("almanac/{project}/reconcile");
        let answer = self.query(&workflow, "status", None).await?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Queries a workflow; the answer's first payload as JSON. Asks again while
    /// there is no answer, since a query may wait for a worker that was killed.
    pub async fn query(
        &self,
        workflow: &str,
        query: &str,
        args: Option<Payloads>,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + SOON;
        loop {
            let asked = self.query_once(workflow, query, args.clone());
            match tokio::time::timeout(QUERY_LIMIT, asked).await {
                Ok(answer) => return answer,
                Err(_) if Instant::now() < deadline => {}
                Err(_) => bail!("the query has no answer"),
            }
        }
    }

    async fn query_once(
        &self,
        workflow: &str,
        query: &str,
        args: Option<Payloads>,
    ) -> anyhow::Result<Value> {
        let request = QueryWorkflowRequest {
            namespace: NAMESPACE.to_owned(),
            execution: execution(workflow),
            query: Some(WorkflowQuery {
                query_type: query.to_owned(),
                query_args: args,
                header: None,
            }),
            ..Default::default()
        };
        let mut service = self.service();
        let answer = service.query_workflow(tonic::Request::new(request)).await?;
        first_json(answer.into_inner().query_result)
    }

    /// Signals a workflow with any payloads.
    pub async fn signal(
        &self,
        workflow: &str,
        signal: &str,
        input: Option<Payloads>,
    ) -> anyhow::Result<()> {
        let request = SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: execution(workflow),
            signal_name: signal.to_owned(),
            input,
            identity: "tests".to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        let mut service = self.service();
        service
            .signal_workflow_execution(tonic::Request::new(request))
            .await?;
        Ok(())
    }

    /// Sends an update to a workflow with any payloads; its answer, or its failure as an error.
    pub async fn update_workflow(
        &self,
        workflow: &str,
        update: &str,
        args: Option<Payloads>,
    ) -> anyhow::Result<Value> {
        let request = UpdateWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: execution(workflow),
            wait_policy: Some(WaitPolicy {
                lifecycle_stage: UpdateWorkflowExecutionLifecycleStage::Completed.into(),
            }),
            request: Some(Request {
                meta: Some(Meta {
                    update_id: request_id(),
                    identity: "tests".to_owned(),
                }),
                input: Some(Input {
                    name: update.to_owned(),
                    args,
                    header: None,
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut service = self.service();
        let request = service.update_workflow_execution(tonic::Request::new(request));
        let answer = tokio::time::timeout(SOON, request)
            .await
            .context("the update has no answer")??;
        let outcome = answer.into_inner().outcome.context("an outcome")?;
        match outcome.value.context("a value")? {
            outcome::Value::Success(payloads) => first_json(Some(payloads)),
            outcome::Value::Failure(failure) => bail!("{REFUSED}{}", failure.message),
        }
    }

    /// Sends an update that carries a request id until it is taken: the server takes
    /// ten of a workflow at a time, and none while a run continues as new.
    pub async fn update_until_taken(
        &self,
        workflow: &str,
        update: &str,
        request: &Value,
    ) -> anyhow::Result<Value> {
        wait_for("the update to be taken", 3 * SOON, || async {
            let payloads = json_payloads(std::slice::from_ref(request));
            match self.update_workflow(workflow, update, payloads).await {
                Err(error) if !error.to_string().starts_with(REFUSED) => {
                    tokio::time::sleep(AGAIN).await;
                    Err(error)
                }
                answer => Ok(Some(answer)),
            }
        })
        .await?
    }

    /// Terminates a workflow.
    pub async fn terminate(&self, workflow: &str) -> anyhow::Result<()> {
        let request = TerminateWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: execution(workflow),
            reason: "a test".to_owned(),
            ..Default::default()
        };
        let mut service = self.service();
        service
            .terminate_workflow_execution(tonic::Request::new(request))
            .await?;
        Ok(())
    }

    /// The run id of a workflow, and how many events its history has.
    pub async fn run_of(&self, workflow: &str) -> anyhow::Result<(String, i64)> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            execution: execution(workflow),
        };
        let mut service = self.service();
        let answer = service
            .describe_workflow_execution(tonic::Request::new(request))
            .await?
            .into_inner();
        let info = answer.workflow_execution_info.context("an execution")?;
        let run = info.execution.context("ids")?.run_id;
        Ok((run, info.history_length))
    }

    /// Number of workflows that match a visibility query.
    pub async fn count_workflows(&self, query: &str) -> anyhow::Result<i64> {
        let request = CountWorkflowExecutionsRequest {
            namespace: NAMESPACE.to_owned(),
            query: query.to_owned(),
        };
        let mut service = self.service();
        let answer = service
            .count_workflow_executions(tonic::Request::new(request))
            .await?;
        Ok(answer.into_inner().count)
    }

    /// The ids of the workflows that match a visibility query, sorted.
    pub async fn workflow_ids(&self, query: &str) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut next_page_token = Vec::new();
        loop {
            let request = ListWorkflowExecutionsRequest {
                namespace: NAMESPACE.to_owned(),
                page_size: 1000,
                next_page_token,
                query: query.to_owned(),
            };
            let mut service = self.service();
            let page = service
                .list_workflow_executions(tonic::Request::new(request))
                .await?
                .into_inner();
            let executions = page.executions.into_iter();
            ids.extend(executions.filter_map(|one| Some(one.execution?.workflow_id)));
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                ids.sort();
                return Ok(ids);
            }
        }
    }

    /// For requests that are not here. Asks again where a connection broke, which
    /// servers do to old ones.
    pub fn service(&self) -> Box<dyn WorkflowService> {
        Box::new(self.connection.clone())
    }
}

impl Live {
    /// The schedule.
    pub fn schedule(&self) -> &Schedule {
        self.0.schedule.as_ref().expect("a described schedule")
    }

    /// Spec of the schedule.
    pub fn spec(&self) -> &ScheduleSpec {
        self.schedule().spec.as_ref().expect("a spec")
    }

    /// The workflow it starts.
    pub fn starts(&self) -> &NewWorkflowExecutionInfo {
        let action = self
            .schedule()
            .action
            .as_ref()
            .and_then(|a| a.action.as_ref());
        match action {
            Some(Action::StartWorkflow(start)) => start,
            None => panic!("no action"),
        }
    }

    /// Returns `true` if the schedule is paused.
    pub fn paused(&self) -> bool {
        self.schedule()
            .state
            .as_ref()
            .is_some_and(|state| state.paused)
    }

    /// Note of the schedule.
    pub fn note(&self) -> &str {
        self.schedule()
            .state
            .as_ref()
            .map_or("", |state| &state.notes)
    }

    /// Number of remaining actions. `None` if they are not limited.
    pub fn remaining_actions(&self) -> Option<i64> {
        let state = self.schedule().state.as_ref()?;
        state.limited_actions.then_some(state.remaining_actions)
    }

    /// Calendars of the schedule, one a line: `minute hour day-of-month month day-of-week`.
    pub fn times(&self) -> String {
        calendars(&self.spec().structured_calendar)
    }

    /// Exclusions of the schedule, in the form of [`Live::times`].
    pub fn exclusions(&self) -> String {
        calendars(&self.spec().exclude_structured_calendar)
    }

    /// The schedule's own memo under `almanac`.
    pub fn owner_memo(&self) -> Option<Value> {
        memo_json(self.0.memo.as_ref()?, "almanac")
    }

    /// The memo of the action under `almanac`.
    pub fn action_memo(&self) -> Option<Value> {
        memo_json(self.starts().memo.as_ref()?, "almanac")
    }

    /// The arguments of the started workflow.
    pub fn args(&self) -> Vec<Value> {
        let payloads = self.starts().input.iter().flat_map(|input| &input.payloads);
        payloads
            .map(|payload| serde_json::from_slice(&payload.data).unwrap_or(Value::Null))
            .collect()
    }

    /// Number of runs that the schedule has started.
    pub fn runs(&self) -> i64 {
        self.0.info.as_ref().map_or(0, |info| info.action_count)
    }

    /// Number of runs by their fate, for people.
    fn counts(&self) -> String {
        let info = self.0.info.clone().unwrap_or_default();
        format!(
            "started {} waiting {} skipped {} missed {} dropped {}",
            info.action_count,
            info.buffer_size,
            info.overlap_skipped,
            info.missed_catchup_window,
            info.buffer_dropped
        )
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "times {:?} zone {:?} paused {} note {:?} memo {} action {} {}; {}",
            self.times(),
            self.spec().timezone_name,
            self.paused(),
            self.note(),
            self.owner_memo().unwrap_or_default(),
            self.starts()
                .workflow_type
                .as_ref()
                .map_or("", |kind| &kind.name),
            self.action_memo().unwrap_or_default(),
            self.counts(),
        )
    }
}

/// A schedule that somebody else makes: daily, of a workflow that nobody runs.
pub fn unmanaged_schedule(cron: &str) -> Schedule {
    Schedule {
        spec: Some(ScheduleSpec {
            cron_string: vec![cron.to_owned()],
            ..Default::default()
        }),
        action: Some(ScheduleAction {
            action: Some(Action::StartWorkflow(NewWorkflowExecutionInfo {
                workflow_id: "foreign".to_owned(),
                workflow_type: Some(WorkflowType {
                    name: "Foreign".to_owned(),
                }),
                task_queue: Some(TaskQueue {
                    name: "nobody".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            })),
        }),
        ..Default::default()
    }
}

/// A value as the JSON converter encodes it.
pub fn json_payload(value: &impl Serialize) -> Payload {
    Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: serde_json::to_vec(value).expect("JSON"),
        ..Default::default()
    }
}

/// Values as the arguments of a signal, a query or an update.
pub fn json_payloads(values: &[Value]) -> Option<Payloads> {
    Some(Payloads {
        payloads: values.iter().map(json_payload).collect(),
    })
}

fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("tests-{}-{number}", std::process::id())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the requests' fields are optional"
)]
fn execution(workflow: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: workflow.to_owned(),
        run_id: String::new(),
    })
}

fn first_json(payloads: Option<Payloads>) -> anyhow::Result<Value> {
    match payloads.and_then(|payloads| payloads.payloads.into_iter().next()) {
        Some(payload) if !payload.data.is_empty() => Ok(serde_json::from_slice(&payload.data)?),
        _ => Ok(Value::Null),
    }
}

fn memo_json(memo: &Memo, key: &str) -> Option<Value> {
    serde_json::from_slice(&memo.fields.get(key)?.data).ok()
}

fn calendars(calendars: &[StructuredCalendarSpec]) -> String {
    let lines = calendars.iter().map(|calendar| {
        [
            &calendar.minute,
            &calendar.hour,
            &calendar.day_of_month,
            &calendar.month,
            &calendar.day_of_week,
        ]
        .map(|field| ranges(field))
        .join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn ranges(ranges: &[Range]) -> String {
    let texts = ranges.iter().map(|range| {
        let end = match range.end {
            end if end > range.start => format!("-{end}"),
            _ => String::new(),
        };
        let step = match range.step {
            step if step > 1 => format!("/{step}"),
            _ => String::new(),
        };
        format!("{}{end}{step}", range.start)
    });
    texts.collect::<Vec<_>>().join(",")
}
