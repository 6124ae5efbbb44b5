//! When a run goes on in a new execution: its history must stay short enough to
//! be replayed within one workflow task, and below the server's limits.
//!
//! All that is looked at stands in the history, so each replay decides alike.

use temporalio_workflow::WorkflowContext;

use super::RunDefinition;
use super::temporal_effects::TemporalEffects;

/// How many turns a run may end with more to do before it goes on in a new
/// execution. Each has a local activity and so an event.
const YIELDS_SOFT_LIMIT: u32 = 50;
/// How many at most, when it could not be left before.
const YIELDS_HARD_LIMIT: u32 = 200;
/// What all turns may take, in steps of expressions: each replay takes as much
/// again, and has the ten seconds of a workflow task. A slow machine takes two
/// seconds for them, without optimisation.
const WORK_SOFT_LIMIT: u64 = 4_000_000;
/// How much at most, when it could not be left before.
const WORK_HARD_LIMIT: u64 = 12_000_000;
/// From how much on no result is looked at before, either: each may take as much
/// as a task does, and hundreds of calls may be under way.
const WORK_STOP_LIMIT: u64 = 16_000_000;
/// How many times as many yields and as much work may be before events are given
/// up that wait beyond those that a new execution gets.
const WAITING_EVENTS_FACTOR: u32 = 4;
/// How many events a history may have before no further task begins: Temporal
/// ends a run at 51,200.
const HISTORY_EVENTS_LIMIT: u32 = 30_000;
/// How many bytes of calls and answers a history may have before no further
/// task begins: Temporal ends a run at 50 MiB.
const HISTORY_BYTES_LIMIT: usize = 20 * 1024 * 1024;

/// Whether a run should go on in a new execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ContinueAsNewDue {
    No,
    /// As soon as it can be left.
    Soon,
    /// No further task begins before.
    Now,
    /// Nor is any result looked at.
    Rest,
}

/// How far an execution is.
#[derive(Debug)]
pub(super) struct HistoryUse {
    yields: u32,
    work: u64,
    /// From when on to leave: in yields, in steps of expressions, and in events.
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
    /// A turn ended with more to do.
    pub(super) fn yielded(&mut self) {
        self.yields = self.yields.saturating_add(1);
    }

    /// What a turn took, in steps of expressions.
    pub(super) fn did(&mut self, work: u64) {
        self.work = self.work.saturating_add(work);
    }

    /// Where events `wait` that a new execution does not get, what a replay takes
    /// matters less for some time: perhaps steps hear them.
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

    /// It cannot be left yet: not until twice as much was done.
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
            _ if self.work >= WORK_STOP_LIMIT * u64::from(times) => ContinueAsNewDue::Rest,
            (true, _) => ContinueAsNewDue::Now,
            (false, true) => ContinueAsNewDue::Soon,
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
        assert_eq!(course.after(4096, 0, true, 1), ContinueAsNewDue::Soon);
        assert_eq!(
            course.after(HISTORY_EVENTS_LIMIT, 0, false, 1),
            ContinueAsNewDue::Now
        );
        assert_eq!(
            course.after(10, HISTORY_BYTES_LIMIT, false, 1),
            ContinueAsNewDue::Now
        );
        for _ in 0..YIELDS_SOFT_LIMIT {
            assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::No);
            course.yielded();
        }
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::Soon);
        for _ in YIELDS_SOFT_LIMIT..YIELDS_HARD_LIMIT {
            course.yielded();
        }
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::Now);
    }

    #[test]
    fn work_of_turns_that_end_with_nothing_more_to_do_counts_too() {
        let mut course = HistoryUse::default();
        course.did(WORK_SOFT_LIMIT - 1);
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::No);
        course.did(1);
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::Soon);
        course.did(WORK_HARD_LIMIT - WORK_SOFT_LIMIT);
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::Now);
        course.did(WORK_STOP_LIMIT - WORK_HARD_LIMIT);
        assert_eq!(course.after(10, 0, false, 1), ContinueAsNewDue::Rest);
        // Events are not given up so soon.
        assert_eq!(
            course.after(10, 0, false, WAITING_EVENTS_FACTOR),
            ContinueAsNewDue::Soon
        );
        assert_eq!(
            course.after(HISTORY_EVENTS_LIMIT, 0, false, WAITING_EVENTS_FACTOR),
            ContinueAsNewDue::Now
        );
        course.did(WORK_HARD_LIMIT * u64::from(WAITING_EVENTS_FACTOR));
        assert_eq!(
            course.after(10, 0, false, WAITING_EVENTS_FACTOR),
            ContinueAsNewDue::Rest
        );
    }
}
