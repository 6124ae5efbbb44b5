//! Times at which schedules are due, computed within a budget of steps.

use std::ops::ControlFlow;
use std::sync::Arc;

use almanac_base::budget::Budget;
use almanac_times::{Rest, Spec};
use jiff::{SignedDuration, Timestamp};

use super::window::Window;
use crate::schedules::view::{ListedSchedule, TimesAfter};

/// Minimum number of next times that the server lists of a schedule that has
/// more: one scheduler lists 5, the other 10.
const LISTED_TIMES: usize = 5;

/// A span in which a spec is in force.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) spec: Arc<Spec>,
    /// The time before the first possible one.
    pub(super) after: Timestamp,
    /// The end of the span, which does not belong to it.
    pub(super) until: Timestamp,
}

/// Equal for segments with the same times. Identifies the spec by its address.
pub(super) type SegmentKey = (usize, Timestamp, Timestamp);

impl Segment {
    pub(super) fn key(&self) -> SegmentKey {
        (Arc::as_ptr(&self.spec) as usize, self.after, self.until)
    }

    /// Returns `true` if the span has a time. `None` if the budget is too small.
    pub(super) fn has_time(&self, budget: &mut Budget) -> Option<bool> {
        let mut has_time = false;
        let rest = self.search(budget, |_| {
            has_time = true;
            ControlFlow::Break(())
        });
        (has_time || rest != Rest::Unknown).then_some(has_time)
    }

    /// Gives the times of the span to `take`, in order.
    ///
    /// # Errors
    /// The budget is too small; the value is the time up to which the times are
    /// known.
    pub(super) fn each(
        &self,
        budget: &mut Budget,
        mut take: impl FnMut(Timestamp),
    ) -> Result<(), Timestamp> {
        let mut last = self.after;
        let rest = self.search(budget, |time| {
            last = time;
            take(time);
            ControlFlow::Continue(())
        });
        if rest == Rest::Unknown {
            return Err(last);
        }
        Ok(())
    }

    fn search(&self, budget: &mut Budget, take: impl FnMut(Timestamp) -> ControlFlow<()>) -> Rest {
        let Self { spec, after, until } = self;
        spec.each_time_within(*after, *until, budget, take)
    }
}

/// The times to come of a schedule.
#[derive(Debug, Default)]
pub(super) struct Coming {
    /// Spans whose times are computed, in order.
    pub(super) segments: Vec<Segment>,
    /// Times that the server gave.
    pub(super) given: Vec<Timestamp>,
    /// Time up to which the times are known. `None` if all are known.
    pub(super) until: Option<Timestamp>,
}

impl Coming {
    /// The times to come of a listed schedule within a window. `spec` is the
    /// complete spec if the list has cut it.
    pub(super) fn of(
        listed: &ListedSchedule,
        spec: Option<&Arc<Spec>>,
        window: Window,
        now: Timestamp,
    ) -> Self {
        let mut coming = Self::default();
        let (view, times) = (&listed.view, &listed.times);
        if !times.is_managed || window.to() <= now {
            return coming;
        }
        let just_before = window.from() - SignedDuration::from_nanos(1);
        let start = now.max(just_before);
        let after = times.after.as_ref();
        let until = after.map_or(window.to(), |after| after.at.min(window.to()));
        if !view.paused && until > start {
            let next = view.next_run.iter().chain(&view.next_runs).copied();
            let is_within = |time: &Timestamp| *time > start && *time < until;
            let whole = times.is_whole.then_some(&times.spec).or(spec);
            if times.server_times < LISTED_TIMES {
                // These are the last ones: the spec ends, or the actions are limited.
                coming.given.extend(next.filter(is_within));
            } else if let Some(spec) = whole {
                coming.segments.push(Segment {
                    spec: Arc::clone(spec),
                    after: start,
                    until,
                });
            } else {
                let last = next.clone().max().unwrap_or(start);
                coming.until = (last < until).then_some(last.max(start));
                coming.given.extend(next.filter(is_within));
            }
        }
        if let Some(TimesAfter { at, spec }) = after
            && *at < window.to()
            && coming.until.is_none()
        {
            let after = start.max(*at);
            match spec {
                Some(spec) => coming.segments.push(Segment {
                    spec: Arc::clone(spec),
                    after,
                    until: window.to(),
                }),
                None => coming.until = Some(after),
            }
        }
        coming
    }

    /// Gives the times to `take`. Returns the time up to which they are known;
    /// `None` if all are known.
    pub(super) fn each(
        &self,
        budget: &mut Budget,
        mut take: impl FnMut(Timestamp),
    ) -> Option<Timestamp> {
        self.given.iter().copied().for_each(&mut take);
        for segment in &self.segments {
            if let Err(until) = segment.each(budget, &mut take) {
                return Some(until);
            }
        }
        self.until
    }
}
