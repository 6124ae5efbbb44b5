//! Schedules of any owner, read as far as a definition can say them.

use almanac_workflows::names::{Project, ScheduleId};
use almanac_workflows::record::{MEMO_KEY, OwnerMemo};
use almanac_workflows::schedule::ScheduleValues;
use almanac_workflows::times::Calendar;
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_common::protos::temporal::api::enums::v1::WorkflowIdReusePolicy;
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::{is_being_adopted, original_note, wire};

/// A schedule, whoever made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// Its id.
    pub id: ScheduleId,
    /// The Almanac project that it belongs to, and its definition there.
    pub owner: Option<OwnerMemo>,
    /// Its values, normalised.
    pub values: ScheduleValues,
    /// Its own note, also while it is paused for one of ours.
    pub note: String,
    /// It is paused for one of ours that takes over.
    pub being_adopted: bool,
    /// How many actions are left, where they are limited.
    pub remaining_actions: Option<u64>,
    /// How many of its runs go on.
    pub running: usize,
    /// How many runs wait for these.
    pub buffered: u64,
    /// What no definition says.
    pub losses: Vec<Loss>,
}

/// A part of a schedule that a definition cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What, for people.
    pub what: String,
    /// Without it, a run would do something else.
    pub harmful: bool,
}

impl Loss {
    fn harmful(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            harmful: true,
        }
    }

    fn of(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            harmful: false,
        }
    }
}

impl Foreign {
    /// Reads a described schedule.
    pub fn of(id: &ScheduleId, response: DescribeScheduleResponse) -> Self {
        let owner = wire::owner_in(id, response.memo.as_ref());
        let mut losses = Vec::new();
        let memo = response.memo.unwrap_or_default().fields;
        lost_keys(&mut losses, "memo of the schedule itself", memo.keys());
        let attributes = response.search_attributes.unwrap_or_default();
        lost_keys(
            &mut losses,
            "search attributes of the schedule itself",
            attributes.indexed_fields.keys(),
        );
        let body = response.schedule.unwrap_or_default();
        let info = response.info.unwrap_or_default();
        let state = body.state.clone().unwrap_or_default();
        let being_adopted = state.paused && is_being_adopted(&state.notes);
        let mut values = wire::decode_values(&body);
        values.paused &= !being_adopted;
        times(&mut losses, &body, &values);
        policies(&mut losses, &body, &values);
        match body.action.and_then(|action| action.action) {
            Some(Action::StartWorkflow(started)) => action(&mut losses, &started),
            None => losses.push(Loss::harmful("an action that starts no workflow")),
        }
        Self {
            id: id.clone(),
            owner,
            values,
            note: original_note(&state.notes).to_owned(),
            being_adopted,
            remaining_actions: state
                .limited_actions
                .then(|| u64::try_from(state.remaining_actions).unwrap_or_default()),
            running: info.running_workflows.len(),
            buffered: u64::try_from(info.buffer_size).unwrap_or_default(),
            losses,
        }
    }

    /// The Almanac project that it belongs to.
    pub fn project(&self) -> Option<&Project> {
        self.owner.as_ref().map(|owner| &owner.project)
    }
}

/// The server's own search attributes of a schedule are nobody's loss.
fn lost_keys<'a>(losses: &mut Vec<Loss>, what: &str, keys: impl Iterator<Item = &'a String>) {
    let mut keys: Vec<&str> = keys
        .map(String::as_str)
        .filter(|key| *key != MEMO_KEY && !key.starts_with("Temporal"))
        .collect();
    keys.sort_unstable();
    if !keys.is_empty() {
        losses.push(Loss::of(format!("the {what}: {}", keys.join(", "))));
    }
}

fn times(losses: &mut Vec<Loss>, body: &Schedule, values: &ScheduleValues) {
    let spec = body.spec.clone().unwrap_or_default();
    if !spec.timezone_data.is_empty() {
        losses.push(Loss::harmful(
            "a time zone given by its data, not by its name",
        ));
    }
    let never = |calendar: &Calendar| calendar.is_never();
    let calendars = &values.spec.calendars;
    if calendars.iter().any(never) || values.spec.exclude.iter().any(never) {
        losses.push(Loss::of("a calendar that matches nothing"));
    }
    let comments: Vec<&str> = spec
        .structured_calendar
        .iter()
        .chain(&spec.exclude_structured_calendar)
        .map(|calendar| calendar.comment.trim())
        .filter(|comment| !comment.is_empty())
        .collect();
    if !comments.is_empty() {
        losses.push(Loss::of(format!(
            "comments of its calendars: {}",
            comments.join("; ")
        )));
    }
    let whole = |duration: Option<&prost_types::Duration>| duration.is_none_or(|d| d.nanos == 0);
    let fraction = spec
        .interval
        .iter()
        .any(|one| !whole(one.interval.as_ref()) || !whole(one.phase.as_ref()));
    if fraction {
        losses.push(Loss::of(
            "fractions of a second of an interval, which the server ignores",
        ));
    }
    let times = calendars.iter().any(|one| !never(one)) || !values.spec.intervals.is_empty();
    if !times {
        losses.push(Loss::of(
            "a schedule without times: the definition has none, and makes no schedule",
        ));
    } else if values.spec.fire_times(Timestamp::now(), 1).is_never() {
        losses.push(Loss::of(
            "a schedule that fires no more: its definition makes none",
        ));
    }
}

fn policies(losses: &mut Vec<Loss>, body: &Schedule, values: &ScheduleValues) {
    let policies = body.policies.unwrap_or_default();
    if policies.keep_original_workflow_id {
        losses.push(Loss::harmful(
            "runs that all have one workflow id, without a time",
        ));
    }
    if values.max_actions == Some(0) {
        losses.push(Loss::harmful("a limit of actions that are used up"));
    }
}

fn action(losses: &mut Vec<Loss>, started: &NewWorkflowExecutionInfo) {
    let header = started.header.clone().unwrap_or_default().fields;
    if !header.is_empty() {
        let mut keys: Vec<_> = header.into_keys().collect();
        keys.sort();
        losses.push(Loss::harmful(format!("headers: {}", keys.join(", "))));
    }
    let args = started.input.iter().flat_map(|input| &input.payloads);
    for (index, payload) in args.enumerate() {
        if let Some(encoding) = not_json(payload) {
            let number = index + 1;
            losses.push(Loss::harmful(format!(
                "argument {number}, which is {encoding} and not JSON"
            )));
        }
    }
    let memo = started.memo.clone().unwrap_or_default().fields;
    let mut memo: Vec<_> = memo.into_iter().collect();
    memo.sort_by(|a, b| a.0.cmp(&b.0));
    for (key, payload) in memo {
        if let Some(encoding) = not_json(&payload) {
            losses.push(Loss::harmful(format!(
                "`{key}` of the memo of its runs, which is {encoding} and not JSON"
            )));
        }
    }
    let attributes = started.search_attributes.clone().unwrap_or_default();
    let mut attributes: Vec<_> = attributes.indexed_fields.into_iter().collect();
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, payload) in attributes {
        if payload
            .metadata
            .get("type")
            .is_some_and(|kind| kind == b"Text")
        {
            losses.push(Loss::of(format!(
                "the type Text of the search attribute `{name}`"
            )));
        }
    }
    if !started.cron_schedule.is_empty() {
        losses.push(Loss::harmful(format!(
            "a cron of its runs: {}",
            started.cron_schedule
        )));
    }
    let reuse = started.workflow_id_reuse_policy();
    if !matches!(
        reuse,
        WorkflowIdReusePolicy::Unspecified | WorkflowIdReusePolicy::AllowDuplicate
    ) {
        losses.push(Loss::of(format!("the {}", reuse.as_str_name())));
    }
    if started.versioning_override.is_some() {
        losses.push(Loss::harmful("a versioning override"));
    }
    let metadata = started.user_metadata.clone().unwrap_or_default();
    if metadata.details.is_some() {
        losses.push(Loss::of("the details shown with its runs"));
    }
    if metadata.summary.as_ref().and_then(not_json).is_some() {
        losses.push(Loss::of("the summary of its runs, which is not JSON"));
    }
    let priority = started.priority.clone().unwrap_or_default();
    if !priority.fairness_key.is_empty() || priority.fairness_weight != 0.0 {
        losses.push(Loss::of("the fairness key and weight of its runs"));
    }
}

/// The encoding of a payload that is not plain JSON.
fn not_json(payload: &Payload) -> Option<String> {
    let encoding = payload.metadata.get("encoding");
    let encoding = encoding.map_or(&[][..], Vec::as_slice);
    let json = encoding == b"json/plain"
        && serde_json::from_slice::<serde_json::Value>(&payload.data).is_ok();
    if json || encoding == b"binary/null" {
        return None;
    }
    Some(match String::from_utf8_lossy(encoding).as_ref() {
        "" => "without an encoding".to_owned(),
        text => text.to_owned(),
    })
}
