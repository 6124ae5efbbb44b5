//! The outcome of a manual run, from what its schedule showed before and shows
//! now.

use std::collections::BTreeSet;

use almanac_core::definition::OverlapPolicy;
use almanac_core::record::{ManualRunInput, RUNS_NAMED, RunAnswer, RunBaseline, RunKind, RunState};
use jiff::{SignedDuration, Timestamp};
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleActionResult, ScheduleInfo};

use super::named;
use crate::schedules::wire::decode_time;

/// Maximum number of recent runs that are recorded before a run is sent.
const REMEMBERED: usize = 100;
/// Time within which a run of the schedule counts as about to start; the manual
/// run must not take its name.
const STARTING_SOON: SignedDuration = SignedDuration::from_millis(300);

/// The outcome of a manual run, as far as the schedule shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RunOutcome {
    /// The schedule shows nothing of the run yet.
    Nothing,
    /// The run waits, or was skipped. A wait may last a moment only, since one
    /// server passes every run through its buffer. The skipped run may be the
    /// schedule's own.
    Waits(RunAnswer),
    /// Some of the runs have shown, and more are to come.
    Part(RunAnswer),
    /// The complete outcome.
    Whole(RunAnswer),
}

/// The counters of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScheduleCounters {
    pub(super) started: u64,
    pub(super) skipped: u64,
    pub(super) dropped: u64,
    pub(super) buffered: u64,
}

pub(super) fn counters(info: &ScheduleInfo) -> ScheduleCounters {
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    ScheduleCounters {
        started: count(info.action_count),
        skipped: count(info.overlap_skipped),
        dropped: count(info.buffer_dropped),
        buffered: count(info.buffer_size),
    }
}

/// Records the runs that exist before a manual run is sent.
pub(super) fn record_baseline(before: &mut RunBaseline, info: &ScheduleInfo) {
    let mut recent: Vec<_> = info
        .recent_actions
        .iter()
        .map(|action| (started_at(action), run_id(action).to_owned()))
        .collect();
    recent.sort();
    let cut = recent.len().saturating_sub(REMEMBERED);
    before.since = recent.drain(..cut).next_back().and_then(|(at, _)| at);
    before.recent = recent.into_iter().map(|(_, id)| id).collect();
}

/// The outcome of a request, from the schedule as it is now.
pub(super) fn outcome_of(
    input: &ManualRunInput,
    before: &RunBaseline,
    info: &ScheduleInfo,
) -> RunOutcome {
    match input.kind {
        RunKind::Trigger => trigger(before, info),
        RunKind::Backfill => backfill(before, info),
    }
}

fn trigger(before: &RunBaseline, info: &ScheduleInfo) -> RunOutcome {
    let policy = before.overlap;
    let mut answer = answer(before, info);
    // One server names the run by the second that it was given. The other names
    // it by the moment, which is no whole millisecond; the schedule's own times
    // are, jitter included. Other manual runs may have waited; their times are
    // earlier.
    let is_manual = |action: &ScheduleActionResult| {
        let due = action.schedule_time.as_ref().and_then(decode_time);
        let moment = |due| !is_whole_millisecond(due) && (before.buffered == 0 || due > before.at);
        due.is_some_and(|due| due == before.at || moment(due))
    };
    let new = new_runs(before, info);
    if let Some(run) = new.into_iter().find(|action| is_manual(action)) {
        answer.state = RunState::Started;
        answer.started = 1;
        name(&mut answer, &[run]);
        "started".clone_into(&mut answer.message);
        return RunOutcome::Whole(answer);
    }
    let now = counters(info);
    let waits = policy_text(policy);
    let running = answer.running.first().cloned();
    let beside = running.map_or_else(
        || "another run is in progress".to_owned(),
        |id| format!("`{id}` is in progress"),
    );
    if now.dropped > before.dropped {
        answer.state = RunState::Skipped;
        answer.dropped = 1;
        "skipped: too many runs are already buffered".clone_into(&mut answer.message);
        RunOutcome::Whole(answer)
    } else if waiting(before, &now, 0) > 0 {
        answer.state = RunState::Buffered;
        answer.buffered = 1;
        answer.message = format!("buffered: {beside}, and the overlap policy is {waits}");
        RunOutcome::Waits(answer)
    } else if now.skipped > before.skipped && skips(policy) {
        answer.state = RunState::Skipped;
        answer.skipped = 1;
        answer.message = format!("skipped: {beside}, and the overlap policy is {waits}");
        RunOutcome::Waits(answer)
    } else {
        RunOutcome::Nothing
    }
}

fn backfill(before: &RunBaseline, info: &ScheduleInfo) -> RunOutcome {
    let now = counters(info);
    // The time that an action shows includes its jitter.
    let end = before.window.map_or(before.last, |window| window.end);
    let (requested, others): (Vec<_>, Vec<_>) =
        new_runs(before, info).into_iter().partition(|action| {
            let due = action.schedule_time.as_ref().and_then(decode_time);
            due.is_some_and(|due| (before.first..=end).contains(&due))
        });
    let grown = |now: u64, before: u64, left: u64| now.saturating_sub(before).min(left);
    let mut answer = answer(before, info);
    // The list of recent runs may be cut, and the counters also count other
    // runs.
    let of_others = before.started.saturating_add(others.len() as u64);
    answer.started = grown(now.started, of_others, before.asked).max(requested.len() as u64);
    let mut left = before.asked.saturating_sub(answer.started);
    answer.buffered = waiting(before, &now, answer.started).min(left);
    left -= answer.buffered;
    answer.dropped = grown(now.dropped, before.dropped, left);
    left -= answer.dropped;
    if skips(before.overlap) {
        answer.skipped = grown(now.skipped, before.skipped, left);
        left -= answer.skipped;
    }
    if left == before.asked {
        return RunOutcome::Nothing;
    }
    name(&mut answer, &requested);
    answer.state = if answer.started > 0 {
        RunState::Started
    } else if answer.buffered > 0 {
        RunState::Buffered
    } else {
        RunState::Skipped
    };
    answer.message = summary(&answer, before.overlap, left);
    match (left, answer.buffered) {
        (0, 0) => RunOutcome::Whole(answer),
        (0, _) => RunOutcome::Waits(answer),
        _ => RunOutcome::Part(answer),
    }
}

/// The number of runs that wait now and did not wait before. `requested` is the
/// number of requested runs that have started. Runs that waited before start
/// first, so the other started runs came from them.
fn waiting(before: &RunBaseline, now: &ScheduleCounters, requested: u64) -> u64 {
    if before.overlap == OverlapPolicy::Skip {
        return 0;
    }
    let started = now.started.saturating_sub(before.started);
    let gone = started.saturating_sub(requested).min(before.buffered);
    (now.buffered + gone)
        .saturating_sub(before.buffered)
        .min(now.buffered)
}

/// Returns `true` if the server skips a manual run under this policy. Under
/// other policies a skipped run is the schedule's own.
fn skips(policy: OverlapPolicy) -> bool {
    matches!(policy, OverlapPolicy::Skip | OverlapPolicy::BufferOne)
}

/// Returns `true` if a waiting run under this policy is dropped when another
/// one comes. No counter of the server shows that.
fn gives_way(policy: OverlapPolicy) -> bool {
    matches!(
        policy,
        OverlapPolicy::CancelOther | OverlapPolicy::TerminateOther
    )
}

fn summary(answer: &RunAnswer, policy: OverlapPolicy, left: u64) -> String {
    let mut parts = vec![format!("{} of {} started", answer.started, answer.asked)];
    let to_come = if gives_way(policy) {
        "not seen: a run that has not started is replaced by the next"
    } else {
        "to come: the server starts them without another request"
    };
    for (count, what) in [
        (answer.skipped, "skipped"),
        (answer.buffered, "buffered until other runs end"),
        (answer.dropped, "dropped: too many are already buffered"),
        (left, to_come),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let text = parts.join(", ");
    if answer.skipped + answer.buffered > 0 || (left > 0 && gives_way(policy)) {
        format!("{text} (overlap policy {})", policy_text(policy))
    } else {
        text
    }
}

fn answer(before: &RunBaseline, info: &ScheduleInfo) -> RunAnswer {
    let running = info.running_workflows.iter();
    RunAnswer {
        asked: before.asked,
        overlap: Some(before.overlap),
        running: running
            .map(|run| run.workflow_id.clone())
            .take(RUNS_NAMED)
            .collect(),
        ..RunAnswer::default()
    }
}

fn name(answer: &mut RunAnswer, runs: &[&ScheduleActionResult]) {
    let results = runs
        .iter()
        .filter_map(|action| action.start_workflow_result.as_ref());
    answer.runs = results
        .take(RUNS_NAMED)
        .map(|run| named(&run.workflow_id, &run.run_id))
        .collect();
    if let Some(first) = answer.runs.first() {
        answer.workflow_id = Some(first.workflow_id.clone());
        answer.run_id = Some(first.run_id.clone());
    }
}

/// The runs that did not exist before, in the order of their times.
fn new_runs<'a>(before: &RunBaseline, info: &'a ScheduleInfo) -> Vec<&'a ScheduleActionResult> {
    let known: BTreeSet<&str> = before.recent.iter().map(String::as_str).collect();
    let mut new: Vec<_> = info
        .recent_actions
        .iter()
        .filter(|action| {
            let is_late = before.since.is_none() || started_at(action) > before.since;
            is_late && !run_id(action).is_empty() && !known.contains(run_id(action))
        })
        .collect();
    new.sort_by_key(|action| action.schedule_time.as_ref().and_then(decode_time));
    new
}

/// Returns `true` if no run of the schedule is named by the second of `now`, or
/// is about to be. `nominal` are the times that the next runs are named after:
/// jitter delays a run and does not rename it.
pub(super) fn is_free(info: &ScheduleInfo, nominal: &[Timestamp], now: Timestamp) -> bool {
    let taken = |second: Timestamp| {
        let recent = info.recent_actions.iter();
        let mut recent = recent.filter_map(|action| decode_time(action.schedule_time.as_ref()?));
        let mut coming = info.future_action_times.iter().filter_map(decode_time);
        recent.any(|due| floor(due) == second)
            || coming.any(|due| floor(due) == second)
            || nominal.iter().any(|due| floor(*due) == second)
    };
    let soon = now.saturating_add(STARTING_SOON).unwrap_or(now);
    !taken(floor(now)) && !taken(floor(soon))
}

/// The time without its fraction of a second.
pub(super) fn floor(time: Timestamp) -> Timestamp {
    let second = time.as_nanosecond().div_euclid(1_000_000_000);
    let second = i64::try_from(second).unwrap_or_default();
    Timestamp::from_second(second).unwrap_or(time)
}

fn is_whole_millisecond(time: Timestamp) -> bool {
    time.subsec_nanosecond() % 1_000_000 == 0
}

fn started_at(action: &ScheduleActionResult) -> Option<Timestamp> {
    action.actual_time.as_ref().and_then(decode_time)
}

fn run_id(action: &ScheduleActionResult) -> &str {
    let result = action.start_workflow_result.as_ref();
    result.map_or("", |run| run.run_id.as_str())
}

fn policy_text(policy: OverlapPolicy) -> String {
    serde_json::to_value(policy)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
