//! Any schedule, managed or not, in the form in which a definition can express
//! it.

use std::collections::{BTreeMap, HashMap};

use almanac_base::exact::{Inexact, inexact};
use almanac_base::names::{MEMO_KEY, Project, ScheduleId};
use almanac_core::record::OwnerMemo;
use almanac_core::schedule::ScheduleValues;
use almanac_times::Calendar;
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::common::v1::{
    Payload, Priority, RetryPolicy, WorkflowType,
};
use temporalio_common::protos::temporal::api::enums::v1::{
    ScheduleOverlapPolicy, TaskQueueKind, WorkflowIdReusePolicy,
};
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Schedule, SchedulePolicies, ScheduleSpec,
};
use temporalio_common::protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::wire;
use super::{is_being_adopted, original_note};
use crate::codec::is_internal;

/// The metadata key of a payload's encoding.
const ENCODING: &str = "encoding";
/// The metadata key of a search attribute's type.
const TYPE: &str = "type";

/// A schedule of any owner.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportableSchedule {
    pub id: ScheduleId,
    /// The Almanac project that the schedule belongs to, and its definition
    /// there.
    pub owner: Option<OwnerMemo>,
    /// The schedule's values, normalised.
    pub values: ScheduleValues,
    /// The schedule's own note, without an adoption note before it.
    pub note: String,
    /// `true` if the schedule is paused because another schedule takes over
    /// from it.
    pub being_adopted: bool,
    /// Number of remaining actions; `None` if the actions are not limited.
    pub remaining_actions: Option<u64>,
    /// Number of runs of the schedule that have not ended.
    pub running: usize,
    /// Number of runs in the schedule's buffer.
    pub buffered: u64,
    /// Messages for the parts that no definition can express.
    pub losses: Vec<String>,
}

impl ImportableSchedule {
    /// Reads a described schedule.
    pub fn of(id: &ScheduleId, response: DescribeScheduleResponse) -> Self {
        let owner = wire::owner_in(id, response.memo.as_ref());
        let mut losses = Losses::default();
        let memo = response.memo.unwrap_or_default().fields;
        let is_own_memo = |key: &String| key == MEMO_KEY && owner.is_some();
        losses.keys(
            "the memo of the schedule itself",
            memo.keys().filter(|key| !is_own_memo(key)),
        );
        let attributes = response.search_attributes.unwrap_or_default();
        // Attributes that the server sets itself need no definition.
        let attributes = attributes.indexed_fields;
        losses.keys(
            "the search attributes of the schedule itself",
            attributes.keys().filter(|key| !key.starts_with("Temporal")),
        );
        let body = response.schedule.unwrap_or_default();
        let info = response.info.unwrap_or_default();
        let Schedule {
            spec,
            action,
            policies,
            state,
        } = body.clone();
        let state = state.unwrap_or_default();
        let being_adopted = state.paused && is_being_adopted(&state.notes);
        let mut values = wire::decode_values(&body);
        values.paused &= !being_adopted;
        losses.times(spec.unwrap_or_default(), &values);
        losses.policies(policies.unwrap_or_default());
        if state.limited_actions && u32::try_from(state.remaining_actions).unwrap_or(0) == 0 {
            losses.add(match state.remaining_actions {
                ..=0 => "limited actions that are used up".to_owned(),
                more => format!("a limit of {more} actions"),
            });
        }
        match action.and_then(|action| action.action) {
            Some(Action::StartWorkflow(started)) => losses.action(started, owner.is_some()),
            None => losses.add("an action that starts no workflow"),
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
            losses: losses.0,
        }
    }

    /// The Almanac project that the schedule belongs to.
    pub fn project(&self) -> Option<&Project> {
        self.owner.as_ref().map(|owner| &owner.project)
    }
}

/// The parts of a schedule that no definition can express, as messages for
/// people.
///
/// The code destructures each server message with all of its fields. A field
/// that a later release of Temporal adds does not compile until someone decides
/// here if a definition can express it.
#[derive(Debug, Default)]
struct Losses(Vec<String>);

impl Losses {
    fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    fn keys<'a>(&mut self, what: &str, keys: impl Iterator<Item = &'a String>) {
        let mut keys: Vec<&str> = keys.map(String::as_str).collect();
        keys.sort_unstable();
        if !keys.is_empty() {
            self.add(format!("{what}: {}", keys.join(", ")));
        }
    }

    fn duration(&mut self, what: &str, duration: Option<&prost_types::Duration>) {
        if let Some(duration) = duration
            && !wire::holds_duration(Some(duration))
        {
            let prost_types::Duration { seconds, nanos } = duration;
            self.add(format!("{what} of {seconds} s and {nanos} ns"));
        }
    }

    fn time(&mut self, what: &str, time: Option<&prost_types::Timestamp>) {
        if let Some(time) = time
            && wire::decode_time(time).is_none()
        {
            self.add(format!(
                "{what} of {} s after 1970, beyond the last time, {}",
                time.seconds,
                Timestamp::MAX
            ));
        }
    }

    fn times(&mut self, spec: ScheduleSpec, values: &ScheduleValues) {
        #[expect(deprecated, reason = "an old schedule may have such calendars")]
        let ScheduleSpec {
            structured_calendar,
            cron_string,
            calendar,
            interval,
            exclude_calendar,
            exclude_structured_calendar,
            start_time,
            end_time,
            jitter,
            timezone_name: _,
            timezone_data,
        } = spec;
        if !timezone_data.is_empty() {
            self.add("a time zone given by its data, not by its name");
        }
        // The server rewrites these to structured calendars when it accepts
        // them.
        if !(cron_string.is_empty() && calendar.is_empty() && exclude_calendar.is_empty()) {
            self.add("cron strings or calendars in their original form");
        }
        let never = |calendar: &Calendar| calendar.is_never();
        let calendars = &values.spec.calendars;
        if calendars.iter().any(never) || values.spec.exclude.iter().any(never) {
            self.add("a calendar that matches nothing");
        }
        let comments: Vec<&str> = structured_calendar
            .iter()
            .chain(&exclude_structured_calendar)
            .map(|calendar| calendar.comment.trim())
            .filter(|comment| !comment.is_empty())
            .collect();
        if !comments.is_empty() {
            self.add(format!(
                "comments of its calendars: {}",
                comments.join("; ")
            ));
        }
        for IntervalSpec { interval, phase } in &interval {
            self.duration("an interval", interval.as_ref());
            self.duration("an offset of an interval", phase.as_ref());
        }
        let whole =
            |duration: Option<&prost_types::Duration>| duration.is_none_or(|d| d.nanos == 0);
        let fraction = interval
            .iter()
            .any(|one| !whole(one.interval.as_ref()) || !whole(one.phase.as_ref()));
        if fraction {
            self.add("fractions of a second in an interval, which the server ignores");
        }
        self.time("a start", start_time.as_ref());
        self.time("an end", end_time.as_ref());
        self.duration("a jitter", jitter.as_ref());
        let times = calendars.iter().any(|one| !never(one)) || !values.spec.intervals.is_empty();
        if !times {
            self.add("a schedule without times: a definition without times has no schedule");
        } else if values.spec.fire_times(Timestamp::now(), 1).is_never() {
            self.add("a schedule that never fires again: such a definition has no schedule");
        }
    }

    fn policies(&mut self, policies: SchedulePolicies) {
        let SchedulePolicies {
            overlap_policy,
            catchup_window,
            pause_on_failure: _,
            keep_original_workflow_id,
        } = policies;
        if ScheduleOverlapPolicy::try_from(overlap_policy).is_err() {
            self.add(format!("the unknown overlap policy {overlap_policy}"));
        }
        self.duration("a catch-up window", catchup_window.as_ref());
        if keep_original_workflow_id {
            self.add("one workflow id for all runs, without a time");
        }
    }

    /// Adds the losses of an action. `managed`: the schedule belongs to an
    /// Almanac project, whose memo stands beside the workflow's own.
    fn action(&mut self, started: NewWorkflowExecutionInfo, managed: bool) {
        let NewWorkflowExecutionInfo {
            // Runs are named after the definition, which is reported elsewhere.
            workflow_id: _,
            workflow_type,
            task_queue,
            input,
            workflow_execution_timeout,
            workflow_run_timeout,
            workflow_task_timeout,
            workflow_id_reuse_policy,
            retry_policy,
            cron_schedule,
            memo,
            search_attributes,
            header,
            user_metadata,
            versioning_override,
            priority,
        } = started;
        if workflow_type.is_none_or(|WorkflowType { name }| name.is_empty()) {
            self.add("an action without a workflow type");
        }
        let TaskQueue {
            name: _,
            kind,
            normal_name,
        } = task_queue.unwrap_or_default();
        let kind = TaskQueueKind::try_from(kind);
        let normal = matches!(kind, Ok(TaskQueueKind::Unspecified | TaskQueueKind::Normal));
        if !normal || !normal_name.is_empty() {
            self.add("a task queue that is sticky or of another kind than normal");
        }
        let header = header.unwrap_or_default().fields;
        self.keys("headers", header.keys());
        let args = input.iter().flat_map(|input| &input.payloads);
        for (number, payload) in (1..).zip(args) {
            self.payload(&format!("argument {number}"), payload, &[ENCODING]);
        }
        self.duration("an execution timeout", workflow_execution_timeout.as_ref());
        self.duration("a run timeout", workflow_run_timeout.as_ref());
        self.duration("a task timeout", workflow_task_timeout.as_ref());
        if let Some(retry) = retry_policy {
            self.retry(&retry);
        }
        for (key, payload) in sorted(memo.unwrap_or_default().fields) {
            let what = format!("`{key}` of the memo of its runs");
            if key != MEMO_KEY {
                self.payload(&what, &payload, &[ENCODING]);
            } else if !managed {
                self.add(format!("{what}, a key that Almanac reserves"));
            }
        }
        for (name, payload) in sorted(search_attributes.unwrap_or_default().indexed_fields) {
            let what = format!("the search attribute `{name}`");
            let kind = payload.metadata.get(TYPE).map(Vec::as_slice);
            let known = self.payload(&what, &payload, &[ENCODING, TYPE]);
            if kind == Some(b"Text") {
                self.add(format!("the type Text of the search attribute `{name}`"));
            } else if known && !wire::holds_search_attribute(&payload) {
                self.add(format!("{what}, whose value does not match its type"));
            }
        }
        if !cron_schedule.is_empty() {
            self.add(format!("a cron of its runs: {cron_schedule}"));
        }
        match WorkflowIdReusePolicy::try_from(workflow_id_reuse_policy) {
            Ok(WorkflowIdReusePolicy::Unspecified | WorkflowIdReusePolicy::AllowDuplicate) => {}
            Ok(policy) => self.add(format!("the {}", policy.as_str_name())),
            Err(_) => self.add(format!(
                "the unknown workflow id reuse policy {workflow_id_reuse_policy}"
            )),
        }
        if versioning_override.is_some() {
            self.add("a versioning override");
        }
        let UserMetadata { summary, details } = user_metadata.unwrap_or_default();
        if details.is_some() {
            self.add("the details shown with its runs");
        }
        if let Some(summary) = summary
            && self.payload("the summary of its runs", &summary, &[ENCODING])
            && !wire::decode_json(&summary).is_string()
        {
            self.add("the summary of its runs, which is not text");
        }
        let Priority {
            priority_key,
            fairness_key,
            fairness_weight,
        } = priority.unwrap_or_default();
        if !(0..=5).contains(&priority_key) {
            self.add(format!("the priority {priority_key} of its runs"));
        }
        if !fairness_key.is_empty() || fairness_weight != 0.0 {
            self.add("the fairness key and weight of its runs");
        }
    }

    fn retry(&mut self, retry: &RetryPolicy) {
        let RetryPolicy {
            initial_interval,
            backoff_coefficient,
            maximum_interval,
            maximum_attempts,
            non_retryable_error_types: _,
        } = retry;
        self.duration("an initial interval of retries", initial_interval.as_ref());
        self.duration("a maximum interval of retries", maximum_interval.as_ref());
        if *backoff_coefficient != 0.0 && !(1.0..).contains(backoff_coefficient) {
            self.add(format!(
                "the backoff coefficient {backoff_coefficient} of retries"
            ));
        }
        if *maximum_attempts < 0 {
            self.add(format!("the {maximum_attempts} attempts of retries"));
        }
    }

    /// Adds the losses of a payload whose metadata may have the keys `known`.
    /// Returns `true` if the payload is JSON that a definition can hold,
    /// exactly or rounded.
    fn payload(&mut self, what: &str, payload: &Payload, known: &[&str]) -> bool {
        let Payload {
            metadata,
            data,
            external_payloads,
        } = payload;
        if !external_payloads.is_empty() {
            self.add(format!("{what}, whose data is stored elsewhere"));
        }
        let more = metadata
            .keys()
            .filter(|key| !known.contains(&key.as_str()) && !is_internal(key));
        self.keys(&format!("the metadata of {what}"), more);
        let encoding = metadata.get(ENCODING).map_or(&[][..], Vec::as_slice);
        if encoding == b"binary/null" {
            return true;
        }
        let json = std::str::from_utf8(data)
            .ok()
            .filter(|json| serde_json::from_str::<serde_json::Value>(json).is_ok());
        let Some(json) = json.filter(|_| encoding == b"json/plain") else {
            let encoding = match String::from_utf8_lossy(encoding).as_ref() {
                "" => "which has no encoding".to_owned(),
                "json/plain" => "which is marked as JSON and is not valid JSON".to_owned(),
                text => format!("which is encoded as {text}, not as JSON"),
            };
            self.add(format!("{what}, {encoding}"));
            return false;
        };
        match inexact(json) {
            None => {}
            Some(Inexact::Number(number, rounded)) => self.add(format!(
                "the number {number} in {what}, which would be rounded to {rounded}"
            )),
            Some(Inexact::Key(key)) => self.add(format!(
                "the key `{key}` in {what}, which occurs twice in one object"
            )),
        }
        true
    }
}

/// The entries of a map, in the order of their keys.
fn sorted<T>(map: HashMap<String, T>) -> BTreeMap<String, T> {
    map.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::common::v1::{Memo, Payloads, SearchAttributes};
    use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleAction, ScheduleState};

    use super::*;

    fn payload(json: &str, metadata: &[(&str, &str)]) -> Payload {
        let plain = [(ENCODING, "json/plain")];
        let metadata = plain.iter().chain(metadata);
        Payload {
            metadata: metadata
                .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
                .collect(),
            data: json.as_bytes().to_vec(),
            ..Payload::default()
        }
    }

    fn losses(change: impl FnOnce(&mut Schedule, &mut NewWorkflowExecutionInfo)) -> Vec<String> {
        let mut started = NewWorkflowExecutionInfo {
            workflow_type: Some(WorkflowType {
                name: "Job".to_owned(),
            }),
            ..NewWorkflowExecutionInfo::default()
        };
        let mut schedule = Schedule {
            spec: Some(ScheduleSpec {
                interval: vec![IntervalSpec {
                    interval: Some(prost_types::Duration {
                        seconds: 60,
                        nanos: 0,
                    }),
                    phase: None,
                }],
                ..ScheduleSpec::default()
            }),
            ..Schedule::default()
        };
        change(&mut schedule, &mut started);
        schedule.action = Some(ScheduleAction {
            action: Some(Action::StartWorkflow(started)),
        });
        let described = DescribeScheduleResponse {
            schedule: Some(schedule),
            ..DescribeScheduleResponse::default()
        };
        ImportableSchedule::of(&ScheduleId::from_server("old"), described).losses
    }

    fn memo(key: &str, payload: Payload) -> Memo {
        Memo {
            fields: HashMap::from([(key.to_owned(), payload)]),
        }
    }

    fn attribute(json: &str, kind: &str) -> Vec<String> {
        losses(|_, started| {
            started.search_attributes = Some(SearchAttributes {
                indexed_fields: HashMap::from([(
                    "Since".to_owned(),
                    payload(json, &[(TYPE, kind)]),
                )]),
            });
        })
    }

    #[test]
    fn a_plain_schedule_loses_nothing() {
        assert_eq!(losses(|_, _| {}), Vec::<String>::new());
    }

    #[test]
    fn numbers_keys_and_metadata_that_a_definition_changes_are_lost() {
        let found = losses(|_, started| {
            let big =
                "115792089237316195423570985008687907853269984665640564039457584007913129639935";
            started.input = Some(Payloads {
                payloads: vec![
                    payload(&format!("{{\"wei\":{big}}}"), &[]),
                    payload("{\"a\":1,\"a\":2}", &[]),
                    payload("1", &[("messageType", "x.Y")]),
                ],
            });
            started.memo = Some(memo("price", payload("0.12345678901234567890123", &[])));
        });
        insta::assert_snapshot!(found.join("\n"), @"
        the number 115792089237316195423570985008687907853269984665640564039457… in argument 1, which would be rounded to 1.157920892373162e+77
        the key `a` in argument 2, which occurs twice in one object
        the metadata of argument 3: messageType
        the number 0.12345678901234567890123 in `price` of the memo of its runs, which would be rounded to 0.12345678901234568
        ");
    }

    #[test]
    fn the_reserved_memo_key_is_lost_if_no_project_wrote_it() {
        let reserved = || payload(r#"{"x": 1}"#, &[]);
        let found = losses(|_, started| started.memo = Some(memo(MEMO_KEY, reserved())));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("a key that Almanac reserves"),
            "{found:?}"
        );

        let described = DescribeScheduleResponse {
            memo: Some(memo(MEMO_KEY, reserved())),
            ..DescribeScheduleResponse::default()
        };
        let found = ImportableSchedule::of(&ScheduleId::from_server("old"), described).losses;
        let own = "the memo of the schedule itself: almanac".to_owned();
        assert!(found.contains(&own), "{found:?}");
    }

    #[test]
    fn a_search_attribute_is_lost_if_its_value_or_type_would_change() {
        for (json, kind) in [
            ("\"a\"", "Keyword"),
            ("7", "Int"),
            ("7", "Double"),
            ("true", "Bool"),
            ("[\"a\"]", "KeywordList"),
            ("\"2026-01-01T01:00:00+01:00\"", "Datetime"),
        ] {
            assert_eq!(attribute(json, kind), Vec::<String>::new(), "{json} {kind}");
        }
        for (json, kind) in [
            ("\"9999-12-31T23:59:59Z\"", "Datetime"),
            ("\"tomorrow\"", "Datetime"),
            ("9223372036854775808", "Int"),
            ("1.5", "Int"),
            ("null", "Keyword"),
            ("[1]", "KeywordList"),
            ("\"a\"", "Text"),
            ("\"a\"", "Fancy"),
        ] {
            assert_eq!(attribute(json, kind).len(), 1, "{json} {kind}");
        }
    }

    #[test]
    fn times_durations_and_numbers_out_of_range_are_lost() {
        let found = losses(|schedule, started| {
            let spec = schedule.spec.get_or_insert_default();
            spec.end_time = Some(prost_types::Timestamp {
                seconds: 253_402_300_799,
                nanos: 0,
            });
            schedule.policies = Some(SchedulePolicies {
                overlap_policy: 99,
                ..SchedulePolicies::default()
            });
            schedule.state = Some(ScheduleState {
                limited_actions: true,
                remaining_actions: 1 << 40,
                ..ScheduleState::default()
            });
            started.workflow_run_timeout = Some(prost_types::Duration {
                seconds: -1,
                nanos: 0,
            });
            started.priority = Some(Priority {
                priority_key: -1,
                ..Priority::default()
            });
            started.user_metadata = Some(UserMetadata {
                summary: Some(payload("7", &[])),
                details: None,
            });
        });
        insta::assert_snapshot!(found.join("\n"), @"
        an end of 253402300799 s after 1970, beyond the last time, 9999-12-30T22:00:00.999999999Z
        the unknown overlap policy 99
        a limit of 1099511627776 actions
        a run timeout of -1 s and 0 ns
        the summary of its runs, which is not text
        the priority -1 of its runs
        ");
    }

    #[test]
    fn a_payload_of_another_encoding_is_lost() {
        let found = losses(|_, started| {
            let mut binary = payload("\u{0}", &[]);
            binary
                .metadata
                .insert(ENCODING.to_owned(), b"binary/plain".to_vec());
            started.input = Some(Payloads {
                payloads: vec![binary, payload("{", &[])],
            });
        });
        assert_eq!(
            found,
            [
                "argument 1, which is encoded as binary/plain, not as JSON",
                "argument 2, which is marked as JSON and is not valid JSON"
            ]
        );
    }
}
