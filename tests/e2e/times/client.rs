//! Raw requests about one schedule, each made once.

use std::time::{Duration, SystemTime};

use almanac_times::{Calendar, CalendarRanges, Interval, Range, Spec};
use anyhow::Context;
use jiff::Timestamp;
use temporalio_client::request_extensions::RetryConfigForCall;
use temporalio_client::{Connection, ConnectionOptions, RetryOptions, Url};
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Range as ProtoRange, Schedule, ScheduleAction, ScheduleSpec, ScheduleState,
    StructuredCalendarSpec,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DescribeScheduleRequest,
    ListScheduleMatchingTimesRequest,
};
use tonic::{Code, Request, Response, Status};

const SEARCH_ENDED: [&str; 2] = ["too many exclusions", "Workflow Task in failed state"];
const NAMESPACE: &str = "default";

pub(super) struct Client(Connection);

/// A schedule as a server describes it.
pub(super) struct Described {
    pub(super) spec: Spec,
    pub(super) future: Vec<Timestamp>,
}

impl Client {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let target = Url::parse(&format!("http://{address}"))?;
        let options = ConnectionOptions::new(target).identity("tests").build();
        Ok(Self(Connection::connect(options).await?))
    }

    /// Creates a paused schedule; the refusal's message when the server refuses.
    pub(super) async fn create(
        &self,
        id: &str,
        spec: ScheduleSpec,
    ) -> anyhow::Result<Result<(), String>> {
        let start = NewWorkflowExecutionInfo {
            workflow_id: id.to_owned(),
            workflow_type: Some(WorkflowType {
                name: "Nothing".to_owned(),
            }),
            task_queue: Some(TaskQueue {
                name: "nobody".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let schedule = Schedule {
            spec: Some(spec),
            action: Some(ScheduleAction {
                action: Some(Action::StartWorkflow(start)),
            }),
            state: Some(ScheduleState {
                paused: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = CreateScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(schedule),
            request_id: id.to_owned(),
            ..Default::default()
        };
        let ask = async |request| self.0.workflow_service().create_schedule(request).await;
        match patiently(request, ask).await {
            Ok(_) => Ok(Ok(())),
            // An attempt whose answer was lost; the ids are this test's own.
            Err(status) if status.code() == Code::AlreadyExists => Ok(Ok(())),
            Err(status) if status.code() == Code::InvalidArgument => {
                Ok(Err(status.message().to_owned()))
            }
            Err(status) => Err(status).with_context(|| format!("create {id}")),
        }
    }

    pub(super) async fn describe(&self, id: &str) -> anyhow::Result<Described> {
        let request = DescribeScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
        };
        let ask = async |request| self.0.workflow_service().describe_schedule(request).await;
        let answer = patiently(request, ask).await;
        let answer = answer
            .with_context(|| format!("describe {id}"))?
            .into_inner();
        let spec = answer
            .schedule
            .and_then(|schedule| schedule.spec)
            .context("a spec")?;
        let future = answer
            .info
            .map(|info| info.future_action_times)
            .unwrap_or_default();
        Ok(Described {
            spec: decode(&spec)?,
            future: timestamps(future.into_iter().map(|t| (t.seconds, t.nanos)))?,
        })
    }

    /// The times from `after`, exclusive, to `until`, the first thousand. None
    /// when the server gives up, which it says in more than one way: CHASM by
    /// its error, V1 by no times, or by having failed its workflow task.
    pub(super) async fn matching(
        &self,
        id: &str,
        after: Timestamp,
        until: Timestamp,
    ) -> anyhow::Result<Vec<Timestamp>> {
        let request = ListScheduleMatchingTimesRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            start_time: Some(SystemTime::from(after).into()),
            end_time: Some(SystemTime::from(until).into()),
        };
        let ask = async |request| {
            let mut service = self.0.workflow_service();
            service.list_schedule_matching_times(request).await
        };
        match patiently(request, ask).await {
            Ok(answer) => {
                let times = answer.into_inner().start_time;
                timestamps(times.into_iter().map(|t| (t.seconds, t.nanos)))
            }
            Err(status) if SEARCH_ENDED.iter().any(|it| status.message().contains(it)) => {
                Ok(Vec::new())
            }
            Err(status) => Err(status).with_context(|| format!("matching times of {id}")),
        }
    }

    pub(super) async fn delete(&self, id: &str) -> anyhow::Result<()> {
        let request = DeleteScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            ..Default::default()
        };
        let ask = async |request| self.0.workflow_service().delete_schedule(request).await;
        match patiently(request, ask).await {
            Err(status) if status.code() != Code::NotFound => {
                Err(status).with_context(|| format!("delete {id}"))
            }
            _ => Ok(()),
        }
    }
}

/// Asks again when a server that is short of time misses a deadline, its own
/// or ours.
async fn patiently<T: Clone, A>(
    message: T,
    mut ask: impl AsyncFnMut(Request<T>) -> Result<Response<A>, Status>,
) -> Result<Response<A>, Status> {
    let mut pause = Duration::from_millis(200);
    loop {
        let answer = ask(once(message.clone())).await;
        let busy = answer.as_ref().is_err_and(|status| {
            matches!(
                status.code(),
                Code::DeadlineExceeded
                    | Code::Cancelled
                    | Code::Unavailable
                    | Code::ResourceExhausted
            )
        });
        if !busy || pause > Duration::from_secs(10) {
            return answer;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

fn once<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .extensions_mut()
        .insert(RetryConfigForCall(RetryOptions::no_retries()));
    request.set_timeout(Duration::from_mins(1));
    request
}

pub(super) fn proto_interval((every, phase): (Duration, Duration)) -> IntervalSpec {
    IntervalSpec {
        interval: every.try_into().ok(),
        phase: phase.try_into().ok(),
    }
}

pub(super) fn proto_calendar(calendar: &Calendar) -> StructuredCalendarSpec {
    let convert = |ranges: Vec<Range>| {
        ranges
            .into_iter()
            .map(|Range { start, end, step }| ProtoRange { start, end, step })
            .collect()
    };
    let ranges = calendar.ranges();
    StructuredCalendarSpec {
        second: convert(ranges.second),
        minute: convert(ranges.minute),
        hour: convert(ranges.hour),
        day_of_month: convert(ranges.day_of_month),
        month: convert(ranges.month),
        year: convert(ranges.year),
        day_of_week: convert(ranges.day_of_week),
        comment: String::new(),
    }
}

fn decode(spec: &ScheduleSpec) -> anyhow::Result<Spec> {
    let mut decoded = Spec {
        calendars: spec
            .structured_calendar
            .iter()
            .map(decode_calendar)
            .collect(),
        exclude: spec
            .exclude_structured_calendar
            .iter()
            .map(decode_calendar)
            .collect(),
        start_at: timestamps(
            spec.start_time
                .as_slice()
                .iter()
                .map(|t| (t.seconds, t.nanos)),
        )?
        .pop(),
        end_at: timestamps(
            spec.end_time
                .as_slice()
                .iter()
                .map(|t| (t.seconds, t.nanos)),
        )?
        .pop(),
        ..Spec::default()
    };
    for interval in &spec.interval {
        let every = interval.interval.map(Duration::try_from).transpose()?;
        let phase = interval.phase.map(Duration::try_from).transpose()?;
        decoded.intervals.insert(Interval::read(
            every.unwrap_or_default(),
            phase.unwrap_or_default(),
        ));
    }
    if !spec.timezone_name.is_empty() {
        decoded.timezone.clone_from(&spec.timezone_name);
    }
    Ok(decoded)
}

fn decode_calendar(calendar: &StructuredCalendarSpec) -> Calendar {
    let convert = |ranges: &[ProtoRange]| -> Vec<Range> {
        ranges
            .iter()
            .map(|range| Range {
                start: range.start,
                end: range.end,
                step: range.step,
            })
            .collect()
    };
    Calendar::from_ranges(&CalendarRanges {
        second: convert(&calendar.second),
        minute: convert(&calendar.minute),
        hour: convert(&calendar.hour),
        day_of_month: convert(&calendar.day_of_month),
        month: convert(&calendar.month),
        year: convert(&calendar.year),
        day_of_week: convert(&calendar.day_of_week),
    })
}

fn timestamps(times: impl IntoIterator<Item = (i64, i32)>) -> anyhow::Result<Vec<Timestamp>> {
    times
        .into_iter()
        .map(|(seconds, nanos)| Ok(Timestamp::new(seconds, nanos)?))
        .collect()
}
