//! When a run goes on in a new execution: its history must stay short enough to
//! be replayed within one workflow task, and below the server's limits.
//!
//! All that is looked at stands in the history, so each replay decides alike.

use temporalio_workflow::WorkflowContext;

use super::RunDefinition;
use super::effects::Effects;

/// How many turns a run may end with more to do before it goes on in a new
/// execution. Each has a local activity and so an event.
const YIELDS: u32 = 50;
/// How many at most, when it could not be left before.
const MOST_YIELDS: u32 = 200;
/// What all turns may take, in steps of expressions: each replay takes as much
/// again, and has the ten seconds of a workflow task. A slow machine takes two
/// seconds for them, without optimisation.
const WORK: u64 = 4_000_000;
/// How much at most, when it could not be left before.
const MOST_WORK: u64 = 12_000_000;
/// From how much on no result is looked at before, either: each may take as much
/// as a task does, and hundreds of calls may be under way.
const REST_WORK: u64 = 16_000_000;
/// How many times as many yields and as much work may be before events are given
/// up that wait beyond those that a new execution gets.
const FOR_EVENTS: u32 = 4;
/// How many events a history may have before no further task begins: Temporal
/// ends a run at 51,200.
const MOST_EVENTS: u32 = 30_000;
/// How many bytes of calls and answers a history may have before no further
/// task begins: Temporal ends a run at 50 MiB.
const MOST_BYTES: usize = 20 * 1024 * 1024;

/// Whether a run should go on in a new execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
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
pub(super) struct Course {
    yields: u32,
    work: u64,
    /// From when on to leave: in yields, in steps of expressions, and in events.
    leave_yields: u32,
    leave_work: u64,
    leave_events: u32,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            yields: 0,
            work: 0,
            leave_yields: YIELDS,
            leave_work: WORK,
            leave_events: 0,
        }
    }
}

impl Course {
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
        effects: &Effects<'_>,
        wait: bool,
    ) -> Due {
        let times = if wait { FOR_EVENTS } else { 1 };
        self.after(
            ctx.history_length(),
            effects.bytes(),
            ctx.continue_as_new_suggested(),
            times,
        )
    }

    /// It cannot be left yet: not until twice as much was done.
    pub(super) fn postpone(&mut self, ctx: &WorkflowContext<RunDefinition>) {
        self.leave_yields = self.yields.max(YIELDS).saturating_mul(2);
        self.leave_work = self.work.max(WORK).saturating_mul(2);
        self.leave_events = ctx.history_length().saturating_mul(2);
    }

    fn after(&self, events: u32, bytes: usize, suggested: bool, times: u32) -> Due {
        let now = self.yields >= MOST_YIELDS * times
            || self.work >= MOST_WORK * u64::from(times)
            || events >= MOST_EVENTS
            || bytes >= MOST_BYTES;
        let soon = self.yields >= self.leave_yields
            || self.work >= self.leave_work
            || (suggested && events >= self.leave_events);
        match (now, soon) {
            _ if self.work >= REST_WORK * u64::from(times) => Due::Rest,
            (true, _) => Due::Now,
            (false, true) => Due::Soon,
            (false, false) => Due::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_leaves_when_it_computed_long_or_its_history_is_long() {
        let mut course = Course::default();
        assert_eq!(course.after(4000, 0, false, 1), Due::No);
        assert_eq!(course.after(4096, 0, true, 1), Due::Soon);
        assert_eq!(course.after(MOST_EVENTS, 0, false, 1), Due::Now);
        assert_eq!(course.after(10, MOST_BYTES, false, 1), Due::Now);
        for _ in 0..YIELDS {
            assert_eq!(course.after(10, 0, false, 1), Due::No);
            course.yielded();
        }
        assert_eq!(course.after(10, 0, false, 1), Due::Soon);
        for _ in YIELDS..MOST_YIELDS {
            course.yielded();
        }
        assert_eq!(course.after(10, 0, false, 1), Due::Now);
    }

    #[test]
    fn work_of_turns_that_end_with_nothing_more_to_do_counts_too() {
        let mut course = Course::default();
        course.did(WORK - 1);
        assert_eq!(course.after(10, 0, false, 1), Due::No);
        course.did(1);
        assert_eq!(course.after(10, 0, false, 1), Due::Soon);
        course.did(MOST_WORK - WORK);
        assert_eq!(course.after(10, 0, false, 1), Due::Now);
        course.did(REST_WORK - MOST_WORK);
        assert_eq!(course.after(10, 0, false, 1), Due::Rest);
        // Events are not given up so soon.
        assert_eq!(course.after(10, 0, false, FOR_EVENTS), Due::Soon);
        assert_eq!(course.after(MOST_EVENTS, 0, false, FOR_EVENTS), Due::Now);
        course.did(MOST_WORK * u64::from(FOR_EVENTS));
        assert_eq!(course.after(10, 0, false, FOR_EVENTS), Due::Rest);
    }
}
