//! Limits of the workflow's state, independent of its inputs.
//!
//! Each part of the state has a limit in bytes of JSON. The sum of the limits fits into a
//! payload. So do the input of a pass and the answer of `status`, which are made of some of the
//! parts. A request is refused if the part that it would add to is full.
//!
//! If a state is too large, its least important parts are removed first: the history, runs that
//! have ended, all reports but the last, remembered requests, corrections, and the names in
//! waiting passes (which become full passes). The suspension and the requests of operators stay.

use std::collections::VecDeque;
use std::time::Duration;

use almanac_base::names::WorkerId;
use almanac_base::size::{PAYLOAD_LIMIT, json_size};
use almanac_core::field::Field;
pub(super) use almanac_core::record::is_name as good_name;
use almanac_core::record::{
    Announcement, CLAIMS_KEPT, CORRECTIONS_LIMIT, Held, HistoryEntry, LIST_LIMIT, ManualRunInput,
    NAME_LIMIT, OVERRIDES_LIMIT, OperatorRequest, Options, PENDING_KEPT, REASON_LIMIT,
    REPORT_LIMIT, REPORTS_KEPT, REQUESTS_KEPT, REVISIONS_KEPT, RUNS_KEPT, RUNS_NAMED, RUNS_WAITING,
    Report, RequestProblem, RunAnswer, RunBaseline, RunRecord, SCHEDULE_ID_LIMIT, State,
    Suspension, WORKERS_KEPT, WorkerEvent, bound_corrections, bound_history, bound_overrides,
    bound_report, cut_text, is_bounded, keep_first, text_size,
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// Maximum size of a state, in bytes of JSON. A larger state is made smaller.
const STATE_LIMIT: usize = 1024 * 1024;
/// Maximum size of the reports, in bytes of JSON: `status` answers with all of them.
const REPORTS_LIMIT: usize = 512 * 1024;
/// Maximum size of the history, in bytes of JSON.
const HISTORY_LIMIT: usize = 256 * 1024;
/// Maximum number of definitions with a waiting request.
pub(super) const ORDERS_KEPT: usize = 500;
/// Maximum size of these requests, in bytes of JSON.
pub(super) const ORDERS_LIMIT: usize = 256 * 1024;
/// Maximum size of the waiting adoptions, in bytes of JSON.
pub(super) const ADOPTIONS_LIMIT: usize = 128 * 1024;
/// Maximum size of the runs that wait or have not ended, in bytes of JSON.
pub(super) const RUNS_LIMIT: usize = 256 * 1024;
/// Maximum size that running runs add to [`RUNS_LIMIT`], in bytes of JSON: the earlier runs of
/// their schedules.
const RUNS_GROWTH: usize = 96 * 1024;
/// Maximum size of the runs that have ended, in bytes of JSON.
const RUNS_OVER_LIMIT: usize = 128 * 1024;
/// Maximum size of the remembered requests with their answers, in bytes of JSON.
const REQUESTS_LIMIT: usize = 128 * 1024;
/// Maximum size of a remembered answer, in bytes of JSON.
const ANSWER_LIMIT: usize = 4 * 1024;
/// Maximum size of the waiting passes, in bytes of JSON: they hold names of definitions.
const PENDING_LIMIT: usize = 256 * 1024;
/// Maximum number of removals that are remembered singly.
const REMOVALS_LISTED: usize = 100;
/// Maximum number of ids of earlier runs that are remembered for a run.
const RECENT_KEPT: usize = 50;
/// Maximum size of the rest of a state, in bytes of JSON: workers, revisions, held removals,
/// the suspension.
const REST: usize = 256 * 1024;

// The parts that are never removed fit into a payload together. So do the input of a pass and
// the answer of `status`.
const STAYING: usize = OVERRIDES_LIMIT
    + ORDERS_LIMIT
    + ADOPTIONS_LIMIT
    + RUNS_LIMIT
    + RUNS_GROWTH
    + REPORT_LIMIT
    + REST;
const _: () = assert!(STAYING <= PAYLOAD_LIMIT && STATE_LIMIT <= PAYLOAD_LIMIT);
const PASS: usize =
    OVERRIDES_LIMIT + ORDERS_LIMIT + ADOPTIONS_LIMIT + CORRECTIONS_LIMIT + PENDING_LIMIT;
const _: () = assert!(PASS <= PAYLOAD_LIMIT);
const ANSWERED: usize =
    OVERRIDES_LIMIT + ORDERS_LIMIT + ADOPTIONS_LIMIT + CORRECTIONS_LIMIT + REPORTS_LIMIT + REST;
const _: () = assert!(ANSWERED <= PAYLOAD_LIMIT);

const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));
const RESYNC: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24 * 30));

/// Time for which a removal counts towards the limit on removals.
pub(super) const REMOVALS_KEPT: SignedDuration = SignedDuration::from_mins(10);
/// Time for which a correction is remembered: the hour in which it counts towards a contested
/// field, and the hour until that field is tried again.
const CORRECTION_KEPT: SignedDuration = SignedDuration::from_hours(2);

/// Cuts a text from outside.
pub(super) fn text(text: &mut String) {
    cut_text(text, REASON_LIMIT);
}

/// Cuts the name of an operator, or another name.
pub(super) fn name(name: &mut String) {
    cut_text(name, NAME_LIMIT);
}

/// Cuts the texts and lists of an announcement.
pub(super) fn announcement(announcement: &mut Announcement) {
    options(&mut announcement.options);
    name(&mut announcement.version);
    if !announcement
        .previous
        .as_ref()
        .is_none_or(|previous| good_name(previous.as_str()))
    {
        announcement.previous = None;
    }
    if announcement
        .changed
        .as_ref()
        .is_some_and(|ids| ids.len() > LIST_LIMIT)
    {
        announcement.changed = None;
    }
}

/// Limits intervals to those that a timer and the arithmetic of time can take.
fn options(options: &mut Options) {
    options.reconcile_interval = options.reconcile_interval.clamp(INTERVAL.0, INTERVAL.1);
    options.resync_interval = options.resync_interval.clamp(RESYNC.0, RESYNC.1);
}

/// Keeps the workers with the latest answers.
pub(super) fn workers(state: &mut State, kept: usize) {
    while state.workers.len() > kept {
        let oldest: Option<WorkerId> = state
            .workers
            .iter()
            .min_by_key(|(id, worker)| (worker.answered_at, *id))
            .map(|(id, _)| id.clone());
        let Some(oldest) = oldest else { break };
        state.workers.remove(&oldest);
    }
    while state.seen.len() > REVISIONS_KEPT {
        state.seen.pop_front();
    }
}

/// Keeps the last reports, always including the last one and that of the last full pass.
pub(super) fn reports(reports: &mut VecDeque<Report>) {
    while reports.len() > REPORTS_KEPT || (reports.len() > 2 && json_size(reports) > REPORTS_LIMIT)
    {
        forget_report(reports);
    }
}

/// Removes the oldest report that is not that of the last full pass.
fn forget_report(reports: &mut VecDeque<Report>) {
    let last_full = reports.iter().rposition(Report::is_full);
    let oldest = usize::from(last_full == Some(0));
    reports.remove(oldest);
}

/// Cuts the texts of a history entry.
pub(super) fn history_entry(entry: &mut HistoryEntry) {
    for one in [
        &mut entry.id,
        &mut entry.op,
        &mut entry.reason,
        &mut entry.by,
    ] {
        text(one);
    }
    entry.fields.truncate(Field::ALL.len());
    entry.overridden = entry.overridden.take().filter(is_bounded);
}

/// Keeps the most important history entries.
pub(super) fn history(history: &mut VecDeque<HistoryEntry>) {
    bound_history(history, HISTORY_LIMIT);
}

/// Cuts the lists and texts of an answer.
pub(super) fn answer(answer: &mut RunAnswer) {
    answer.runs.truncate(RUNS_NAMED);
    answer.running.truncate(RUNS_NAMED);
    text(&mut answer.message);
    let ids = answer.runs.iter_mut();
    let ids = ids.flat_map(|run| [&mut run.workflow_id, &mut run.run_id]);
    let ids = ids.chain(&mut answer.running);
    let ids = ids.chain(&mut answer.workflow_id).chain(&mut answer.run_id);
    for id in ids {
        cut_text(id, SCHEDULE_ID_LIMIT);
    }
    // No real schedule has ids of a kilobyte each. The names are only a convenience, so they
    // can be left out.
    if json_size(answer) > ANSWER_LIMIT {
        answer.runs.clear();
        answer.running.clear();
    }
}

/// Cuts the recorded state of a schedule before a run.
pub(super) fn run_baseline(seen: &mut RunBaseline) {
    let old = seen.recent.len().saturating_sub(RECENT_KEPT);
    seen.recent.drain(..old);
    seen.recent.retain(|id| text_size(id) <= NAME_LIMIT);
}

/// Cuts the texts of a suspension.
pub(super) fn suspension(suspension: &mut Suspension) {
    text(&mut suspension.reason);
    name(&mut suspension.by);
}

/// Cuts the texts of an operator's request for a schedule.
pub(super) fn operator_request(order: &mut OperatorRequest) {
    text(&mut order.reason);
    name(&mut order.by);
}

/// Cuts the texts of a request for a run.
pub(super) fn manual_run_input(order: &mut ManualRunInput) {
    text(&mut order.reason);
    name(&mut order.by);
    cut_text(&mut order.request_id, REASON_LIMIT);
    order.before.iter_mut().for_each(run_baseline);
}

/// Keeps the runs that have not ended, and the last ones that have.
pub(super) fn runs(runs: &mut VecDeque<RunRecord>) {
    let sizes = runs.iter().rev().filter(|run| run.answer.is_some());
    let mut size = 0;
    let kept = sizes.take(RUNS_KEPT).take_while(|run| {
        size += json_size(run);
        size <= RUNS_OVER_LIMIT
    });
    let over = runs.iter().filter(|run| run.answer.is_some()).count();
    let cut = over - kept.count();
    forget_runs(runs, cut);
    // Only a state from elsewhere can have more waiting runs.
    runs.truncate(RUNS_KEPT + RUNS_WAITING);
}

/// Removes the oldest of the runs that have ended.
fn forget_runs(runs: &mut VecDeque<RunRecord>, mut cut: usize) {
    runs.retain(|run| {
        let goes = cut > 0 && run.answer.is_some();
        cut -= usize::from(goes);
        !goes
    });
}

/// Keeps the newest requests with their answers.
pub(super) fn requests(requests: &mut VecDeque<(String, Value)>) {
    while requests.len() > REQUESTS_KEPT || json_size(requests) > REQUESTS_LIMIT {
        requests.pop_front();
    }
}

/// Checks that a part of the state has room for another entry.
pub(super) fn admits<T: Serialize>(
    what: &str,
    part: &T,
    more: usize,
    limit: usize,
) -> Result<(), RequestProblem> {
    let size = json_size(part) + more;
    if size > limit {
        return Err(format!(
            "the pending {what} would take {size} bytes, over the limit of {limit}; try again later"
        )
        .into());
    }
    Ok(())
}

/// Records that a pass removed schedules. Beyond the maximum, the oldest removals are counted
/// together.
pub(super) fn removed(state: &mut State, now: Timestamp, count: u64) {
    state.removals.push_back((now, count));
    removals(state);
}

fn removals(state: &mut State) {
    while state.removals.len() > REMOVALS_LISTED {
        let Some((_, count)) = state.removals.pop_front() else {
            break;
        };
        if let Some((_, next)) = state.removals.front_mut() {
            *next = next.saturating_add(count);
        }
    }
}

/// Removes removals and corrections that no longer count.
pub(super) fn forget_old(state: &mut State, now: Timestamp) {
    let recent = |at: Timestamp, kept| now.duration_since(at) <= kept;
    state.removals.retain(|(at, _)| recent(*at, REMOVALS_KEPT));
    for fields in state.corrections.values_mut() {
        for times in fields.values_mut() {
            times.retain(|at| recent(*at, CORRECTION_KEPT));
        }
        fields.retain(|_, times| !times.is_empty());
    }
    state.corrections.retain(|_, fields| !fields.is_empty());
    bound_corrections(&mut state.corrections);
}

/// Limits a whole state. The state that a run begins with may come from any source, and a state
/// that is carried on must fit into a payload.
pub(super) fn state(state: &mut State, now: Timestamp) {
    state.suspended.iter_mut().for_each(suspension);
    known_workers(state, now);
    pending(state);
    state.last_full = state.last_full.map(|at| at.min(now));
    state.reports.iter_mut().for_each(bound_report);
    reports(&mut state.reports);
    held(&mut state.held);
    state
        .requests
        .retain(|(id, answer)| text_size(id) <= NAME_LIMIT && json_size(answer) <= ANSWER_LIMIT);
    requests(&mut state.requests);
    state.overrides_left = state
        .overrides_left
        .saturating_add(bound_overrides(&mut state.overrides));
    asked(state);
    if let Some(error) = &mut state.last_error {
        text(error);
    }
    state.history.iter_mut().for_each(history_entry);
    history(&mut state.history);
    removals(state);
    forget_old(state, now);
    shrink(state);
}

fn known_workers(state: &mut State, now: Timestamp) {
    state
        .workers
        .retain(|id, worker| good_name(id.as_str()) && good_name(worker.revision.as_str()));
    for worker in state.workers.values_mut() {
        options(&mut worker.options);
        name(&mut worker.version);
        // A worker whose clock was ahead must not count as the latest for ever.
        worker.answered_at = worker.answered_at.min(now);
    }
    state.claims.retain(|id, claim| {
        let holds = claim.event == WorkerEvent::Stopping || good_name(claim.revision.as_str());
        *id == claim.worker && good_name(id.as_str()) && holds
    });
    while state.claims.len() > CLAIMS_KEPT {
        state.claims.pop_last();
    }
    for claim in state.claims.values_mut() {
        announcement(claim);
        // The worker announces the names again.
        claim.changed = None;
    }
    workers(state, WORKERS_KEPT);
    state.seen.retain(|revision| good_name(revision.as_str()));
    if state
        .revision
        .as_ref()
        .is_some_and(|revision| !good_name(revision.as_str()))
    {
        state.revision = None;
    }
}

fn pending(state: &mut State) {
    let ended = state.pass;
    state.pending.retain(|request| {
        let digest = request.confirm.as_deref().unwrap_or_default();
        request.pass > ended && text_size(digest) <= NAME_LIMIT
    });
    state
        .pending
        .make_contiguous()
        .sort_by_key(|request| request.pass);
    state.pending.truncate(PENDING_KEPT);
    let last = state.pending.back().map_or(ended, |request| request.pass);
    state.requested = state.requested.max(last);
    for request in &mut state.pending {
        if request
            .only
            .as_ref()
            .is_some_and(|ids| ids.len() > LIST_LIMIT)
        {
            request.only = None;
        }
    }
}

fn held(held: &mut Option<Held>) {
    if held.is_some() {
        let mut report = Report {
            held: held.take(),
            ..Report::default()
        };
        bound_report(&mut report);
        *held = report.held;
    }
}

/// Limits the requests of operators. Requests that this workflow accepted fit, so only a state
/// from elsewhere is cut.
fn asked(state: &mut State) {
    state.orders.values_mut().for_each(operator_request);
    state
        .orders
        .retain(|_, order| order.overridden.as_ref().is_none_or(is_bounded));
    while state.orders.len() > ORDERS_KEPT {
        state.orders.pop_last();
    }
    keep_first(&mut state.orders, ORDERS_LIMIT);
    let last = state.orders.values().map(|order| order.number).max();
    state.requests_made = state.requests_made.max(last.unwrap_or_default());
    for adoption in state.adoptions.values_mut() {
        name(&mut adoption.by);
    }
    state.adoptions.retain(|_, one| {
        text_size(one.from.as_str()) <= SCHEDULE_ID_LIMIT
            && one.revision.as_ref().is_none_or(|r| good_name(r.as_str()))
    });
    while state.adoptions.len() > ORDERS_KEPT {
        state.adoptions.pop_last();
    }
    keep_first(&mut state.adoptions, ADOPTIONS_LIMIT);
    state
        .runs
        .retain(|run| text_size(&run.request_id) <= NAME_LIMIT);
    for run in &mut state.runs {
        manual_run_input(&mut run.order);
        run.answer.iter_mut().for_each(answer);
    }
    runs(&mut state.runs);
    let mut size = 0;
    state.runs.retain(|run| {
        size += if run.answer.is_none() {
            json_size(run)
        } else {
            0
        };
        run.answer.is_some() || size <= RUNS_LIMIT + RUNS_GROWTH
    });
    let last = state.runs.back().map_or(0, |run| run.order.number);
    state.runs_asked = state.runs_asked.max(last);
}

/// Makes a state that is too large smaller, in the order of the module's documentation.
fn shrink(state: &mut State) {
    let is_large = |state: &State| json_size(state) > STATE_LIMIT;
    while is_large(state) && !state.history.is_empty() {
        let half = json_size(&state.history) / 2;
        bound_history(&mut state.history, half);
    }
    while is_large(state) && state.runs.iter().any(|run| run.answer.is_some()) {
        let over = state.runs.iter().filter(|run| run.answer.is_some()).count();
        forget_runs(&mut state.runs, over.div_ceil(2));
    }
    while is_large(state) && state.reports.len() > 1 {
        forget_report(&mut state.reports);
    }
    while is_large(state) && !state.requests.is_empty() {
        let half = state.requests.len().div_ceil(2);
        state.requests.drain(..half);
    }
    while is_large(state) && !state.corrections.is_empty() {
        let half = state.corrections.len() / 2;
        while state.corrections.len() > half {
            state.corrections.pop_last();
        }
    }
    if is_large(state) {
        for pass in &mut state.pending {
            pass.only = None;
        }
    }
}
