//! Limits at which a run continues as new: its history must stay short enough to be
//! replayed within one workflow task, and must stay below the server's limits.
//!
//! All inputs of the decision are in the history, so each replay decides alike.

use temporalio_workflow::WorkflowContext;

use super::RunDefinition;
use super::temporal_effects::TemporalEffects;

/// Number of yields after which a run continues as new. A yield is a turn that ends with
/// more to do. Each yield has a local activity, and so an event in the history.
const YIELDS_SOFT_LIMIT: u32 = 50;
/// Number of yields after which a run must continue as new, if it could not do so before.
const YIELDS_HARD_LIMIT: u32 = 200;
/// Work after which a run continues as new, in steps of expressions. Each replay does the
/// same work again, within the ten seconds of a workflow task. A slow machine takes two
/// seconds for this much, without optimisation.
const WORK_SOFT_LIMIT: u64 = 4_000_000;
/// Work after which a run must continue as new, if it could not do so before.
const WORK_HARD_LIMIT: u64 = 12_000_000;
/// Work after which no further result is processed before the run continues as new. A
/// result may take as much work as a task does, and hundreds of calls may be under way.
const WORK_STOP_LIMIT: u64 = 16_000_000;
/// Factor for the limits of yields and work while events wait that the next execution would
/// not get. At the raised limits these events are given up.
const WAITING_EVENTS_FACTOR: u32 = 4;
/// Number of events in a history after which no further task begins. Temporal ends a run at
/// 51,200.
const HISTORY_EVENTS_LIMIT: u32 = 30_000;
/// Size of the calls and answers in a history after which no further task begins, in bytes.
/// Temporal ends a run at 50 MiB.
const HISTORY_BYTES_LIMIT: usize = 20 * 1024 * 1024;

/// Urgency with which a run should continue as new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ContinueAsNewDue {
    No,
    /// The run continues as new as soon as it can be left.
    WhenSafe,
    /// No further task begins before the run continues as new.
    NoNewTasks,
    /// No further task begins, and no further result is processed.
    NoNewResults,
}

/// Use that an execution has made of its limits.
#[derive(Debug)]
pub(super) struct HistoryUse {
    yields: u32,
    work: u64,
    /// Limits in yields, in steps of expressions and in events at which to continue as new.
    leave_yields: u32,
    leave_work: u64,
    leave_events: u32,
}

impl Default for HistoryUse {
    fn default() -> Self {
        Self {
            yields: 0,
            work: 0,
            leave_yields: YIELDS_SOFT_LIMIT,
            leave_work: WORK_SOFT_LIMIT,
            leave_events: 0,
        }
    }
}

impl HistoryUse {
    /// Counts a turn that ended with more to do.
    pub(super) fn yielded(&mut self) {
        self.yields = self.yields.saturating_add(1);
    }

    /// Adds the work of a turn, in steps of expressions.
    pub(super) fn did(&mut self, work: u64) {
        self.work = self.work.saturating_add(work);
    }

    /// Returns the urgency with which the run should continue as new. If events `wait` that
    /// the next execution would not get, the limits are higher: steps may listen to them
    /// soon.
    pub(super) fn due(
        &self,
        ctx: &WorkflowContext<RunDefinition>,
        effects: &TemporalEffects<'_>,
        wait: bool,
    ) -> ContinueAsNewDue {
        let times = if wait { WAITING_EVENTS_FACTOR } else { 1 };
        self.after(
            ctx.history_length(),
            effects.bytes(),
            ctx.continue_as_new_suggested(),
            times,
        )
    }

    /// Raises the limits, because the run cannot be left yet: the next attempt comes when
    /// twice as much is done.
    pub(super) fn postpone(&mut self, ctx: &WorkflowContext<RunDefinition>) {
        self.leave_yields = self.yields.max(YIELDS_SOFT_LIMIT).saturating_mul(2);
        self.leave_work = self.work.max(WORK_SOFT_LIMIT).saturating_mul(2);
        self.leave_events = ctx.history_length().saturating_mul(2);
    }

    fn after(&self, events: u32, bytes: usize, suggested: bool, times: u32) -> ContinueAsNewDue {
        let now = self.yields >= YIELDS_HARD_LIMIT * times
            || self.work >= WORK_HARD_LIMIT * u64::from(times)
            || events >= HISTORY_EVENTS_LIMIT
            || bytes >= HISTORY_BYTES_LIMIT;
        let soon = self.yields >= self.leave_yields
            || self.work >= self.leave_work
            || (suggested && events >= self.leave_events);
        match (now, soon) {
            _ if self.work >= WORK_STOP_LIMIT * u64::from(times) => ContinueAsNewDue::NoNewResults,
            (true, _) => ContinueAsNewDue::NoNewTasks,
            (false, true) => ContinueAsNewDue::WhenSafe,
            (false, false) => ContinueAsNewDue::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_leaves_when_it_computed_long_or_its_history_is_long() {
        let mut course = HistoryUse::default();
        assert_eq!(course.after(4000, 0, false, 1), ContinueAsNewDue::No);
        assert_eq!(course.after(4096, 0, true, 1), ContinueAsNewDue::WhenSafe);
        assert_eq!(
            course.after(HISTORY_EVENTS_LIMIT, 0, false, 1),
            ContinueAsNewDue::NoNewTasks
        );
        assert_eq!(
            course.after(10, HISTORY_BYTES_LIMIT, false, 1),
            ContinueAsNewDue::NoNewTasks
        );
        for _ in 0..YIELDS_SOFT_LIMIT {
            assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::No);
            course.yielded();
        }
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::WhenSafe);
        for _ in YIELDS_SOFT_LIMIT..YIELDS_HARD_LIMIT {
            course.yielded();
        }
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::NoNewTasks);
    }

    #[test]
    fn work_of_turns_that_end_with_nothing_more_to_do_counts_too() {
        let mut course = HistoryUse::default();
        course.did(WORK_SOFT_LIMIT - 1);
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::No);
        course.did(1);
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::WhenSafe);
        course.did(WORK_HARD_LIMIT - WORK_SOFT_LIMIT);
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::NoNewTasks);
        course.did(WORK_STOP_LIMIT - WORK_HARD_LIMIT);
        assert_eq!(
            course.after(10, 0, false, 1),
            ContinueAsNewDue::NoNewResults
        );
        // Events are not given up so soon.
        assert_eq!(
            course.after(10, 0, false, WAITING_EVENTS_FACTOR),
            ContinueAsNewDue::WhenSafe
        );
        assert_eq!(
            course.after(HISTORY_EVENTS_LIMIT, 0, false, WAITING_EVENTS_FACTOR),
            ContinueAsNewDue::NoNewTasks
        );
        course.did(WORK_HARD_LIMIT * u64::from(WAITING_EVENTS_FACTOR));
        assert_eq!(
            course.after(10, 0, false, WAITING_EVENTS_FACTOR),
            ContinueAsNewDue::NoNewResults
        );
    }
}
