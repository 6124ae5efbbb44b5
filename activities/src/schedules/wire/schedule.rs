//! Whole schedules: encodes planned ones, and decodes live ones.

use std::collections::HashMap;
use std::time::Duration;

use almanac_base::names::{DefinitionId, MEMO_KEY, Project, ScheduleId};
use almanac_core::definition::OverlapPolicy;
use almanac_core::field::Field;
use almanac_core::plan::{Create, Remaining, Update};
use almanac_core::record::OwnerMemo;
use almanac_core::schedule::{Live, ScheduleValues};
use jiff::Timestamp;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::Memo;
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, SchedulePolicies, ScheduleState,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::action::{
    decode_action, decode_input, decode_memo, decode_run_input, encode_action, encode_input,
    refreshed, set_memo, started, starting,
};
use super::spec::{decode_duration, decode_spec, decode_time, encode_duration, encode_spec};
use crate::codec::undecoded_reason;
use crate::payload::{decode_json, encode_readable};
use crate::schedules::due_runs::Backend;

/// Catch-up window that the server uses for a schedule without one.
const SERVER_CATCHUP_WINDOW: Duration = Duration::from_hours(365 * 24);
/// Minimum catch-up window; the server raises shorter ones.
const SHORTEST_CATCHUP_WINDOW: Duration = Duration::from_secs(10);

/// A schedule as it was described: the model, and the basis of an update.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The schedule in the model's form.
    pub live: Live,
    /// The body as the server holds it.
    pub body: Schedule,
    /// The token that an update must present.
    pub conflict_token: Vec<u8>,
    /// The times at which its next runs start, jitter included, as the server
    /// computed them when it last handled the schedule.
    pub coming: Vec<Timestamp>,
    /// Number of runs that wait in the schedule's buffer.
    pub buffered: i64,
    /// Number of runs so far that were due and were not started.
    pub passed_over: i64,
}

impl Described {
    /// The server's implementation of the schedule.
    pub fn backend(&self) -> Backend {
        Backend::of_token(&self.conflict_token)
    }
}

/// The definition of `project` that a schedule belongs to by its memo; `None`
/// if the schedule is unmanaged.
pub fn owner_of(project: &Project, id: &ScheduleId, memo: Option<&Memo>) -> Option<DefinitionId> {
    let payload = memo?.fields.get(MEMO_KEY)?;
    let owner: OwnerMemo = serde_json::from_value(decode_json(payload)).ok()?;
    owner.owned_by(project, id).cloned()
}

/// The Almanac project that a schedule belongs to by its memo, and its
/// definition there.
pub fn owner_in(id: &ScheduleId, memo: Option<&Memo>) -> Option<OwnerMemo> {
    let payload = memo?.fields.get(MEMO_KEY)?;
    let owner: OwnerMemo = serde_json::from_value(decode_json(payload)).ok()?;
    owner.owned_by(&owner.project, id)?;
    Some(owner)
}

/// The memo that makes a schedule managed by `project`.
pub fn owner_memo(project: &Project, definition: &DefinitionId) -> Memo {
    let owner = OwnerMemo {
        project: project.clone(),
        definition: definition.clone(),
    };
    Memo {
        fields: HashMap::from([(MEMO_KEY.to_owned(), encode_readable(&json!(owner)))]),
    }
}

/// Reads a described schedule; `None` if it is not managed by `project`.
pub fn live(
    project: &Project,
    id: &ScheduleId,
    response: DescribeScheduleResponse,
) -> Option<Described> {
    let definition = owner_of(project, id, response.memo.as_ref())?;
    let body = response.schedule.unwrap_or_default();
    let info = response.info.unwrap_or_default();
    let state = body.state.clone().unwrap_or_default();
    let action = started(body.action.as_ref());
    let live = Live {
        schedule: id.clone(),
        definition,
        values: decode_values(&body),
        remaining_actions: state
            .limited_actions
            .then(|| u64::try_from(state.remaining_actions).unwrap_or_default()),
        action_count: u64::try_from(info.action_count).unwrap_or_default(),
        memo: decode_memo(&action),
        note: state.notes,
        // A schedule that was never updated may have an update time of 0.
        updated_at: [info.update_time, info.create_time]
            .iter()
            .flatten()
            .filter_map(decode_time)
            .filter(|at| *at > Timestamp::UNIX_EPOCH)
            .max(),
    };
    let coming = info.future_action_times.iter().filter_map(decode_time);
    Some(Described {
        live,
        body,
        conflict_token: response.conflict_token,
        coming: coming.collect(),
        buffered: info.buffer_size,
        passed_over: info
            .overlap_skipped
            .saturating_add(info.buffer_dropped)
            .saturating_add(info.missed_catchup_window),
    })
}

/// The reason for which a payload of a described schedule could not be decrypted. `None` if all
/// could be.
pub fn undecoded(response: &DescribeScheduleResponse) -> Option<String> {
    let schedule = response.schedule.as_ref();
    let info = started(schedule.and_then(|schedule| schedule.action.as_ref()));
    let input = info.input.iter().flat_map(|input| &input.payloads);
    let memo = info.memo.iter().flat_map(|memo| memo.fields.values());
    let summary = info.user_metadata.iter();
    let summary = summary.filter_map(|metadata| metadata.summary.as_ref());
    let mut all = input.chain(memo).chain(summary);
    all.find_map(undecoded_reason)
}

/// The argument that pins the steps of a schedule's runs.
pub fn run_input(body: &Schedule) -> Option<Value> {
    decode_run_input(&started(body.action.as_ref()))
}

/// The body of a schedule to create. `run_input` is the only argument of
/// `RunDefinition`, if the definition runs steps.
pub fn encode_create(create: &Create, run_input: Option<&Value>) -> Schedule {
    let values = create.values();
    let mut info = encode_action(&values.action);
    info.input = Some(encode_input(&values.input, run_input));
    set_memo(&mut info, &create.memo());
    Schedule {
        spec: Some(encode_spec(&values.spec)),
        action: Some(starting(info)),
        policies: Some(SchedulePolicies {
            overlap_policy: encode_overlap(values.overlap_policy).into(),
            catchup_window: Some(encode_duration(values.catchup_window)),
            pause_on_failure: values.pause_on_failure,
            ..SchedulePolicies::default()
        }),
        state: Some(ScheduleState {
            notes: create.note.clone(),
            paused: values.paused,
            limited_actions: create.remaining.is_some(),
            remaining_actions: encode_remaining(create.remaining.unwrap_or_default()),
        }),
    }
}

/// The body of a changed schedule: the described body, in which only the
/// planned fields, the paused state, the note and Almanac's memo are replaced.
pub fn encode_update(update: &Update, body: &Schedule) -> Schedule {
    let mut body = body.clone();
    let values = &update.values;
    let wanted = encode_spec(&values.spec);
    let spec = body.spec.get_or_insert_default();
    let policies = body.policies.get_or_insert_default();
    let mut info = started(body.action.as_ref());
    for field in update.fields.keys() {
        match field {
            Field::Times => {
                spec.structured_calendar
                    .clone_from(&wanted.structured_calendar);
                spec.cron_string.clear();
                spec.calendar.clear();
            }
            Field::Intervals => spec.interval.clone_from(&wanted.interval),
            Field::Exclude => {
                spec.exclude_structured_calendar
                    .clone_from(&wanted.exclude_structured_calendar);
            }
            Field::Timezone => {
                spec.timezone_name.clone_from(&wanted.timezone_name);
                spec.timezone_data.clear();
            }
            Field::StartAt => spec.start_time = wanted.start_time,
            Field::EndAt => spec.end_time = wanted.end_time,
            Field::Jitter => spec.jitter = wanted.jitter,
            Field::OverlapPolicy => {
                policies.overlap_policy = encode_overlap(values.overlap_policy).into();
            }
            Field::CatchupWindow => {
                policies.catchup_window = Some(encode_duration(values.catchup_window));
            }
            Field::PauseOnFailure => policies.pause_on_failure = values.pause_on_failure,
            Field::Action => {
                // The encryption belongs to the action, so the input gets the same.
                let input = refreshed(info.input.take());
                info = encode_action(&values.action);
                info.input = input;
            }
            Field::Input | Field::Definition => {
                info.input = Some(encode_input(&values.input, update.run_input.as_ref()));
            }
            Field::MaxActions | Field::Paused | Field::Unknown => {}
        }
    }
    set_memo(&mut info, &update.memo);
    body.action = Some(starting(info));
    let state = body.state.get_or_insert_default();
    state.paused = values.paused;
    state.notes.clone_from(&update.note);
    match update.remaining {
        Remaining::Keep => {}
        Remaining::Unlimited => {
            state.limited_actions = false;
            state.remaining_actions = 0;
        }
        Remaining::Set(left) => {
            state.limited_actions = true;
            state.remaining_actions = encode_remaining(left);
        }
    }
    body
}

/// The values in the body of any schedule, managed or not.
pub fn decode_values(body: &Schedule) -> ScheduleValues {
    let policies = body.policies.unwrap_or_default();
    let state = body.state.clone().unwrap_or_default();
    let info = started(body.action.as_ref());
    let (input, definition) = decode_input(&info);
    ScheduleValues {
        spec: body.spec.as_ref().map(decode_spec).unwrap_or_default(),
        overlap_policy: decode_overlap(policies.overlap_policy()),
        catchup_window: policies
            .catchup_window
            .as_ref()
            .map_or(SERVER_CATCHUP_WINDOW, |window| {
                decode_duration(window).max(SHORTEST_CATCHUP_WINDOW)
            }),
        pause_on_failure: policies.pause_on_failure,
        max_actions: state
            .limited_actions
            .then(|| u32::try_from(state.remaining_actions.max(0)).unwrap_or(u32::MAX)),
        paused: state.paused,
        input,
        definition,
        action: decode_action(&info),
    }
}

pub(crate) fn encode_overlap(policy: OverlapPolicy) -> ScheduleOverlapPolicy {
    match policy {
        OverlapPolicy::Skip => ScheduleOverlapPolicy::Skip,
        OverlapPolicy::BufferOne => ScheduleOverlapPolicy::BufferOne,
        OverlapPolicy::BufferAll => ScheduleOverlapPolicy::BufferAll,
        OverlapPolicy::CancelOther => ScheduleOverlapPolicy::CancelOther,
        OverlapPolicy::TerminateOther => ScheduleOverlapPolicy::TerminateOther,
        OverlapPolicy::AllowAll => ScheduleOverlapPolicy::AllowAll,
    }
}

fn decode_overlap(policy: ScheduleOverlapPolicy) -> OverlapPolicy {
    match policy {
        ScheduleOverlapPolicy::Unspecified | ScheduleOverlapPolicy::Skip => OverlapPolicy::Skip,
        ScheduleOverlapPolicy::BufferOne => OverlapPolicy::BufferOne,
        ScheduleOverlapPolicy::BufferAll => OverlapPolicy::BufferAll,
        ScheduleOverlapPolicy::CancelOther => OverlapPolicy::CancelOther,
        ScheduleOverlapPolicy::TerminateOther => OverlapPolicy::TerminateOther,
        ScheduleOverlapPolicy::AllowAll => OverlapPolicy::AllowAll,
    }
}

fn encode_remaining(left: u64) -> i64 {
    i64::try_from(left).unwrap_or(i64::MAX)
}
