//! The changes that a pass which has ended makes in the workflow's state.

use almanac_core::record::{
    DefinitionCounts, ErrorSource, HistoryEntry, PassDone, PassInput, PendingPass, Report, State,
    append_history, bound_corrections, bound_overrides, bound_report,
};
use jiff::Timestamp;

use super::state_limits;

/// Takes in the outcome of a pass that ran.
///
/// A dry run leaves a report and changes nothing else. Only full passes update the held
/// removals and the time of the last full pass: a pass over some definitions does not plan
/// removals.
pub(super) fn done(state: &mut State, input: &PassInput, done: PassDone, now: Timestamp) {
    let PassDone {
        mut report,
        interrupted,
        removed,
        overrides,
        corrections,
        announcements: _,
    } = done;
    report.pass = input.pass;
    report.continued_by = None;
    bound_report(&mut report);
    if !input.dry_run {
        take_counts(&mut state.definitions, input.definitions);
        take_counts(&mut state.event_types, input.event_types);
        for (id, now_is) in overrides {
            match now_is {
                Some(value) => state.overrides.insert(id, value),
                None => state.overrides.remove(&id),
            };
        }
        if !interrupted {
            // A request that was made since has another number, and stays.
            state
                .orders
                .retain(|id, order| input.orders.get(id) != Some(order));
            state
                .adoptions
                .retain(|id, one| input.adoptions.get(id) != Some(one));
        }
        state.corrections = corrections;
        bound_corrections(&mut state.corrections);
        let left = bound_overrides(&mut state.overrides);
        state.overrides_left = match &input.only {
            None => left,
            Some(_) => state.overrides_left.saturating_add(left),
        };
        if removed > 0 {
            state_limits::removed(state, now, removed);
        }
        if input.only.is_none() {
            state.held.clone_from(&report.held);
            state.last_full = Some(now);
            if !interrupted {
                state.last_success = Some(now);
                state.last_error = None;
            }
        }
    }
    if !input.dry_run {
        let written = report.changes.iter();
        let written = written.map(|change| HistoryEntry::written(&report, change));
        let failed = report.errors.iter();
        let failed = failed.filter_map(|error| HistoryEntry::failed(&report, error));
        written.chain(failed).for_each(|mut entry| {
            state_limits::history_entry(&mut entry);
            append_history(&mut state.history, entry);
        });
        state_limits::history(&mut state.history);
    }
    ended(state, report, now);
}

/// Reports to the caller of a pass that the pass failed for good.
pub(super) fn report_failure(state: &mut State, pass: &PendingPass, error: String, now: Timestamp) {
    let mut report = Report {
        errors: vec![ErrorSource::Temporal.error(None, error)],
        ..without_result(state, pass, now)
    };
    bound_report(&mut report);
    ended(state, report, now);
}

/// Reports that a pass was interrupted, and that what it did is not known.
pub(super) fn report_interruption(state: &mut State, pass: &PendingPass, now: Timestamp) {
    let report = without_result(state, pass, now);
    ended(state, report, now);
}

/// Records in the report of an interrupted pass which pass does the rest.
pub(super) fn continued_by(state: &mut State, interrupted: u64, rest: u64) {
    let reports = state.reports.iter_mut();
    for report in reports.filter(|report| report.pass == interrupted) {
        report.continued_by = Some(rest);
    }
}

fn without_result(state: &State, pass: &PendingPass, now: Timestamp) -> Report {
    Report {
        pass: pass.pass,
        revision: state.revision.clone().unwrap_or_default(),
        trigger: pass.trigger,
        dry_run: pass.dry_run,
        started_at: now,
        held: state.held.clone(),
        ..Report::default()
    }
}

fn ended(state: &mut State, report: Report, now: Timestamp) {
    state.pass = state.pass.max(report.pass);
    state.reports.push_back(report);
    state_limits::reports(&mut state.reports);
    state_limits::forget_old(state, now);
}

/// Subtracts the counts that a report has stated. Counts that came since stay. Totals do
/// not add up and are left as they are.
fn take_counts(counts: &mut DefinitionCounts, reported: DefinitionCounts) {
    counts.new = counts.new.saturating_sub(reported.new);
    counts.updated = counts.updated.saturating_sub(reported.updated);
    counts.archived = counts.archived.saturating_sub(reported.archived);
}
