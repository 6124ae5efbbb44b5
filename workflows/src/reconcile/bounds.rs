//! Bounds of what the workflow remembers, whatever it is told.
//!
//! Temporal refuses a payload over 2 MiB, and a workflow that cannot continue
//! as new, or give an activity its input, is wedged: so everything that grows
//! with what others send or with the number of schedules is cut here.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::names::WorkerId;
use crate::record::{
    Announcement, LIST_LIMIT, Options, PENDING_KEPT, REPORTS_KEPT, REQUESTS_KEPT, REVISIONS_KEPT,
    RUNS_KEPT, RUNS_NAMED, RUNS_WAITING, Report, RunAnswer, RunRecord, State, TOUCHES_KEPT, Touch,
    WORKERS_KEPT, bound_corrections,
};
use crate::schedule::Field;

/// The longest text kept from outside: an error, a reason.
const TEXT_LIMIT: usize = 500;
/// The longest name kept from outside: a worker, a revision, a version, a digest, a request.
pub(super) const NAME_LIMIT: usize = 200;
/// The largest state carried on, in bytes of JSON.
const STATE_LIMIT: usize = 1024 * 1024;
/// The largest list of reports, in bytes of JSON: `status` answers them all at once.
const REPORTS_LIMIT: usize = 512 * 1024;
/// The largest history of single schedules, in bytes of JSON.
const HISTORY_LIMIT: usize = 256 * 1024;
/// How many definitions' orders may wait at a time.
pub(super) const ORDERS_KEPT: usize = 500;
/// How many overrides are remembered; a schedule's memo holds its own too.
const OVERRIDES_KEPT: usize = 1000;

const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));
const RESYNC: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24 * 30));

/// How long a removal counts towards the brake on removals.
pub(super) const REMOVALS_KEPT: SignedDuration = SignedDuration::from_mins(10);
/// How long a correction is remembered: the hour in which it counts towards a
/// contested field, and the hour until that field's retry.
const CORRECTION_KEPT: SignedDuration = SignedDuration::from_hours(2);

/// Whether a name from outside may be part of a task queue's name and of the state.
pub(super) fn good_name(name: &str) -> bool {
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Cuts a text at a character's border.
pub(super) fn text(text: &mut String) {
    if text.len() > TEXT_LIMIT {
        let mut end = TEXT_LIMIT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

/// Cuts what an announcement carries.
pub(super) fn announcement(said: &mut Announcement) {
    options(&mut said.options);
    text(&mut said.version);
    if said
        .changed
        .as_ref()
        .is_some_and(|ids| ids.len() > LIST_LIMIT)
    {
        said.changed = None;
    }
}

/// Intervals that a timer and the arithmetic of time can take.
fn options(options: &mut Options) {
    options.reconcile_interval = options.reconcile_interval.clamp(INTERVAL.0, INTERVAL.1);
    options.resync_interval = options.resync_interval.clamp(RESYNC.0, RESYNC.1);
}

/// Keeps the workers that spoke last.
pub(super) fn workers(state: &mut State, kept: usize) {
    while state.workers.len() > kept {
        let oldest: Option<WorkerId> = state
            .workers
            .iter()
            .min_by_key(|(id, worker)| (worker.spoke_at, *id))
            .map(|(id, _)| id.clone());
        let Some(oldest) = oldest else { break };
        state.workers.remove(&oldest);
    }
    while state.seen.len() > REVISIONS_KEPT {
        state.seen.pop_front();
    }
}

/// Cuts a report's lists and texts.
pub(super) fn report(report: &mut Report) {
    let mut cut = 0;
    cut += shorten(&mut report.changes);
    cut += shorten(&mut report.errors);
    if let Some(held) = &mut report.held {
        held.count = held.count.max(held.ids.len() as u64);
        cut += shorten(&mut held.ids);
        text(&mut held.reason);
        held.ids.iter_mut().for_each(text);
        text(&mut held.digest);
    }
    report.truncated = report.truncated.saturating_add(cut);
    for change in &mut report.changes {
        text(&mut change.id);
        text(&mut change.reason);
    }
    for error in &mut report.errors {
        text(&mut error.source);
        text(&mut error.message);
        if let Some(id) = &mut error.id {
            text(id);
        }
    }
}

/// Keeps the last reports; the last one always.
pub(super) fn reports(reports: &mut VecDeque<Report>) {
    while reports.len() > REPORTS_KEPT || (reports.len() > 1 && size(reports) > REPORTS_LIMIT) {
        reports.pop_front();
    }
}

/// Cuts what is remembered of a schedule.
pub(super) fn touch(touch: &mut Touch) {
    for one in [
        &mut touch.id,
        &mut touch.op,
        &mut touch.reason,
        &mut touch.by,
    ] {
        text(one);
    }
    touch.fields.truncate(Field::ALL.len());
}

/// Keeps the newest touches.
pub(super) fn history(history: &mut VecDeque<Touch>) {
    while history.len() > TOUCHES_KEPT {
        history.pop_front();
    }
    while size(history) > HISTORY_LIMIT {
        history.drain(..history.len().div_ceil(8));
    }
}

/// Cuts the lists and texts of an answer.
pub(super) fn answer(answer: &mut RunAnswer) {
    answer.runs.truncate(RUNS_NAMED);
    answer.running.truncate(RUNS_NAMED);
    text(&mut answer.message);
}

/// Keeps the runs that are not over, and the last that are.
pub(super) fn runs(runs: &mut VecDeque<RunRecord>) {
    let over = runs.iter().filter(|run| run.answer.is_some()).count();
    let mut cut = over.saturating_sub(RUNS_KEPT);
    runs.retain(|run| {
        let goes = cut > 0 && run.answer.is_some();
        cut -= usize::from(goes);
        !goes
    });
    // More can wait only in a state that came from elsewhere.
    runs.truncate(RUNS_KEPT + RUNS_WAITING);
}

fn shorten<T>(list: &mut Vec<T>) -> u64 {
    let cut = list.len().saturating_sub(LIST_LIMIT);
    list.truncate(LIST_LIMIT);
    cut as u64
}

/// Forgets removals and corrections that no longer count.
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

/// Bounds a whole state: one that a run begins with may come from anyone, and
/// one that is carried on must fit into a payload.
pub(super) fn state(state: &mut State, now: Timestamp) {
    state
        .workers
        .retain(|id, worker| good_name(id.as_str()) && good_name(worker.revision.as_str()));
    for worker in state.workers.values_mut() {
        options(&mut worker.options);
        text(&mut worker.version);
        // A clock that was ahead must not make a worker the last to speak for ever.
        worker.spoke_at = worker.spoke_at.min(now);
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
    let ended = state.pass;
    state.pending.retain(|request| request.pass > ended);
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
    state.last_full = state.last_full.map(|at| at.min(now));
    for report in &mut state.reports {
        self::report(report);
    }
    reports(&mut state.reports);
    while state.requests.len() > REQUESTS_KEPT {
        state.requests.pop_front();
    }
    while state.overrides.len() > OVERRIDES_KEPT {
        state.overrides.pop_last();
    }
    while state.orders.len() > ORDERS_KEPT {
        state.orders.pop_last();
    }
    while state.adoptions.len() > ORDERS_KEPT {
        state.adoptions.pop_last();
    }
    for run in &mut state.runs {
        text(&mut run.order.reason);
        text(&mut run.order.by);
        run.answer.iter_mut().for_each(answer);
    }
    runs(&mut state.runs);
    let last = state.runs.back().map_or(0, |run| run.order.number);
    state.runs_asked = state.runs_asked.max(last);
    if let Some(error) = &mut state.last_error {
        text(error);
    }
    if let Some(suspension) = &mut state.suspended {
        text(&mut suspension.reason);
        text(&mut suspension.by);
    }
    state.history.iter_mut().for_each(touch);
    history(&mut state.history);
    forget_old(state, now);
    while size(state) > STATE_LIMIT && !state.history.is_empty() {
        let half = state.history.len().div_ceil(2);
        state.history.drain(..half);
    }
    while size(state) > STATE_LIMIT && !state.corrections.is_empty() {
        let half = state.corrections.len() / 2;
        while state.corrections.len() > half {
            state.corrections.pop_last();
        }
    }
    while size(state) > STATE_LIMIT && state.runs.iter().any(|run| run.answer.is_some()) {
        let half = state.runs.len() / 2;
        let mut cut = state.runs.len() - half;
        state.runs.retain(|run| {
            let goes = cut > 0 && run.answer.is_some();
            cut -= usize::from(goes);
            !goes
        });
    }
    while size(state) > STATE_LIMIT && !state.overrides.is_empty() {
        let half = state.overrides.len() / 2;
        while state.overrides.len() > half {
            state.overrides.pop_last();
        }
    }
}

fn size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}
