//! Builds a timeline from what was read. Pure.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::budget::Budget;
use almanac_times::{LATENESS, Spec};
use jiff::{SignedDuration, Timestamp};

use super::density::Minutes;
use super::expected::{Coming, Segment, SegmentKey};
use super::gaps::{Facts, Gaps, Unmatched};
use super::model::{
    Band, Gap, GapsUnknown, Lane, RunStatus, TimelineOverview, TimelineRun, Typical,
};
use super::runs::Runs;
use super::window::{Slots, Window};
use crate::schedules::agrees;
use crate::schedules::view::{ListedSchedule, ScheduleView};

/// Maximum number of runs of a lane, and of its times to come. A lane with more
/// gets counts instead.
const MARKS: usize = 300;
/// Maximum number of runs that did not complete, of a lane with counts.
const BAND_RUNS: usize = 50;
/// Maximum number of steps of the search for all times to come: 0.4 seconds.
const COMING_STEPS: u64 = 40_000_000;
/// Maximum number of steps of the search for all past times: 0.2 seconds.
const PAST_STEPS: u64 = 20_000_000;
/// Maximum number of steps of the search for the times of the lanes of one
/// answer: 0.2 seconds.
const ANSWER_STEPS: u64 = 20_000_000;
/// Maximum number of steps of the search for the times of one lane of an answer.
const LANE_STEPS: u64 = 2_000_000;
/// Minimum number of steps of each of several searches, while there are any.
const LEAST_STEPS: u64 = 2_000;
/// Maximum number of past times of a spec.
const PAST_TIMES: usize = 100_000;

/// All schedules of a project within a window.
#[derive(Debug)]
pub struct Timeline {
    window: Window,
    now: Timestamp,
    slots: Slots,
    lanes: Vec<TimelineLane>,
    overview: TimelineOverview,
}

/// A schedule of a timeline. [`LaneBuilder`] makes its marks.
#[derive(Debug)]
pub struct TimelineLane {
    listed: Arc<ListedSchedule>,
    /// The complete spec, if the list has cut it.
    spec: Option<Arc<Spec>>,
    runs: Vec<TimelineRun>,
    gaps: Gaps,
}

impl TimelineLane {
    /// The schedule.
    pub fn view(&self) -> &ScheduleView {
        &self.listed.view
    }

    /// The runs in the window, in the order of their starts.
    pub fn runs(&self) -> &[TimelineRun] {
        &self.runs
    }

    /// The times in the past at which the schedule was due and nothing started.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps.list
    }
}

impl Timeline {
    /// The timeline of a window in the future, of which nothing has to be read.
    pub fn of_future(window: Window, now: Timestamp, listed: Vec<Arc<ListedSchedule>>) -> Self {
        let runs = Runs {
            by_lane: vec![Vec::new(); listed.len()],
            ..Runs::default()
        };
        Draft::new(window, now, listed, runs, None).finish(&BTreeMap::new())
    }

    /// The parts that concern all schedules.
    pub fn overview(&self) -> &TimelineOverview {
        &self.overview
    }

    /// The schedules, by definition.
    pub fn lanes(&self) -> &[TimelineLane] {
        &self.lanes
    }

    /// The maker of the marks for the lanes of one answer.
    pub fn lane_builder(&self) -> LaneBuilder<'_> {
        LaneBuilder {
            timeline: self,
            budget: RefCell::new(Budget::of(ANSWER_STEPS)),
            fires: RefCell::default(),
        }
    }
}

/// Makes the marks of lanes. All lanes of an answer share one budget of steps.
#[derive(Debug)]
pub struct LaneBuilder<'a> {
    timeline: &'a Timeline,
    budget: RefCell<Budget>,
    /// Results of [`LaneBuilder::has_times`] that several lanes share.
    fires: RefCell<BTreeMap<SegmentKey, bool>>,
}

impl LaneBuilder<'_> {
    /// Returns `true` if the lane has a run, a gap or a time to come in the
    /// window, or if the search for a time takes too many steps. Takes less work
    /// than to make the marks.
    pub fn has_marks(&self, lane: &TimelineLane) -> bool {
        !lane.runs.is_empty() || !lane.gaps.list.is_empty() || self.has_times(lane)
    }

    fn has_times(&self, lane: &TimelineLane) -> bool {
        let Timeline { window, now, .. } = *self.timeline;
        let coming = Coming::of(&lane.listed, lane.spec.as_ref(), window, now);
        let mut fires = self.fires.borrow_mut();
        !coming.given.is_empty()
            || coming.segments.iter().any(|segment| {
                *fires.entry(segment.key()).or_insert_with(|| {
                    let mut budget = self.budget.borrow_mut();
                    let mut part = budget.part(LANE_STEPS);
                    let has_time = segment.has_time(&mut part).unwrap_or(true);
                    // A part never has more steps than are left.
                    budget.spend(part.spent()).unwrap_or_default();
                    has_time
                })
            })
    }

    /// The lane with its marks.
    pub fn lane(&self, lane: &TimelineLane) -> Lane {
        let Timeline {
            window, now, slots, ..
        } = *self.timeline;
        let coming = Coming::of(&lane.listed, lane.spec.as_ref(), window, now);
        let mut budget = self.budget.borrow_mut();
        let mut part = budget.part(LANE_STEPS);
        let mut band = Band {
            starts: vec![0; slots.len()],
            failures: vec![0; slots.len()],
            expected: vec![0; slots.len()],
        };
        let (mut expected, mut count) = (Vec::new(), 0_usize);
        let expected_until = coming.each(&mut part, |time| {
            count += 1;
            if count <= MARKS {
                expected.push(time);
            }
            add(&mut band.expected, slots, time);
        });
        // A part never has more steps than are left.
        budget.spend(part.spent()).unwrap_or_default();
        let is_band = count > MARKS || lane.runs.len() > MARKS;
        let runs = if is_band {
            expected.clear();
            for run in lane.runs.iter().filter(|run| window.contains(run.started)) {
                add(&mut band.starts, slots, run.started);
                if run.status.is_failure() {
                    add(&mut band.failures, slots, run.started);
                }
            }
            let completed = |run: &&TimelineRun| run.status != RunStatus::Completed;
            let open = lane.runs.iter().rev().filter(completed);
            let mut latest: Vec<_> = open.take(BAND_RUNS).cloned().collect();
            latest.reverse();
            latest
        } else {
            lane.runs.clone()
        };
        Lane {
            schedule: lane.listed.view.clone(),
            typical: typical(&lane.runs),
            runs,
            gaps: lane.gaps.list.clone(),
            gaps_from: lane.gaps.from,
            gaps_unknown: lane.gaps.unknown,
            expected,
            expected_until,
            band: is_band.then_some(band),
        }
    }
}

fn add(counts: &mut [u32], slots: Slots, time: Timestamp) {
    let slot = slots.index(time.as_second());
    if let Some(count) = slot.and_then(|slot| counts.get_mut(slot)) {
        *count = count.saturating_add(1);
    }
}

/// The median duration of the completed runs.
fn typical(runs: &[TimelineRun]) -> Option<Typical> {
    let completed = runs.iter().filter(|run| run.status == RunStatus::Completed);
    let mut durations: Vec<_> = completed
        .filter_map(|run| u64::try_from(run.ended?.duration_since(run.started).as_millis()).ok())
        .collect();
    durations.sort_unstable();
    let runs = durations.len();
    let upper = *durations.get(runs / 2)?;
    let lower = durations[(runs - 1) / 2];
    Some(Typical {
        milliseconds: lower.midpoint(upper),
        runs,
    })
}

/// A timeline whose gaps are not checked yet.
#[derive(Debug)]
pub(super) struct Draft {
    window: Window,
    now: Timestamp,
    listed: Vec<Arc<ListedSchedule>>,
    runs: Runs,
    /// Time from which on gaps can be known.
    gaps_from: Option<Timestamp>,
    checks: Vec<Check>,
}

/// The first check of a lane for gaps.
#[derive(Debug)]
enum Check {
    /// The gaps of the lane are known, or cannot be known.
    Done(Gaps),
    /// The lane has times without a run: its description decides.
    Suspect(Unmatched),
    /// The list has cut the times of the lane.
    Cut,
}

/// A description of a schedule.
#[derive(Debug, Clone)]
pub(super) struct DescribedLane {
    pub(super) facts: Facts,
    pub(super) spec: Arc<Spec>,
}

impl Draft {
    /// Compares runs with times. `retention` is the time for which the server
    /// keeps runs, if it is known.
    pub(super) fn new(
        window: Window,
        now: Timestamp,
        listed: Vec<Arc<ListedSchedule>>,
        runs: Runs,
        retention: Option<SignedDuration>,
    ) -> Self {
        let kept_from = retention.map(|retention| now.saturating_sub(retention).unwrap_or(now));
        // Without the retention, a missing run may just have been deleted.
        let gaps_from = runs.from.zip(kept_from).map(|(from, kept)| from.max(kept));
        let gaps_from = gaps_from.filter(|from| *from < now && *from < window.to());
        let mut draft = Self {
            window,
            now,
            listed,
            runs,
            gaps_from,
            checks: Vec::new(),
        };
        draft.checks = draft.check();
        draft
    }

    fn check(&self) -> Vec<Check> {
        let mut by_spec: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut checks: Vec<Option<Check>> = Vec::with_capacity(self.listed.len());
        for (lane, listed) in self.listed.iter().enumerate() {
            let times = &listed.times;
            let unknown = |why| Some(Check::Done(Gaps::unknown(why)));
            checks.push(if !times.is_managed {
                unknown(GapsUnknown::Unmanaged)
            } else if listed.view.paused {
                unknown(GapsUnknown::Paused)
            } else if !times.is_marked {
                unknown(GapsUnknown::Note)
            } else if self.gaps_from.is_none() {
                unknown(GapsUnknown::Runs)
            } else if !times.is_whole {
                Some(Check::Cut)
            } else {
                let spec = Arc::as_ptr(&times.spec) as usize;
                by_spec.entry(spec).or_default().push(lane);
                None
            });
        }
        let mut budget = Shares::new(PAST_STEPS, by_spec.len());
        for lanes in by_spec.into_values() {
            let Some(first) = lanes.first() else { continue };
            let spec = &self.listed[*first].times.spec;
            let past = budget.take(|budget| self.past_times(spec, budget));
            for lane in lanes {
                checks[lane] = Some(match &past {
                    Some((times, from)) => self.compare(lane, times, *from),
                    None => Check::Done(Gaps::unknown(GapsUnknown::Times)),
                });
            }
        }
        let checks = checks.into_iter();
        let missing = || Check::Done(Gaps::unknown(GapsUnknown::Runs));
        checks.map(|check| check.unwrap_or_else(missing)).collect()
    }

    /// The past times of a spec at which runs had to start by now, and the time
    /// from which on they are searched. `None` if they are not known.
    fn past_times(
        &self,
        spec: &Arc<Spec>,
        budget: &mut Budget,
    ) -> Option<(Vec<Timestamp>, Timestamp)> {
        let from = self.gaps_from?;
        let jitter = SignedDuration::try_from(spec.jitter).ok()?;
        let allowed = LATENESS.saturating_add(jitter);
        let until = self.now.saturating_sub(allowed).ok()?.min(self.window.to());
        let segment = Segment {
            spec: Arc::clone(spec),
            after: from - SignedDuration::from_nanos(1),
            until,
        };
        let mut times = Vec::new();
        let mut is_too_long = false;
        let searched = segment.each(budget, |time| {
            is_too_long |= times.len() >= PAST_TIMES;
            if !is_too_long {
                times.push(time);
            }
        });
        (searched.is_ok() && !is_too_long).then_some((times, from))
    }

    fn compare(&self, lane: usize, times: &[Timestamp], from: Timestamp) -> Check {
        let unmatched = Unmatched::of(times, &self.runs.by_lane[lane]);
        if unmatched.times.is_empty() {
            return Check::Done(Gaps::none(from));
        }
        let listed = &self.listed[lane];
        let view = &listed.view;
        let next: Vec<_> = view
            .next_run
            .iter()
            .chain(&view.next_runs)
            .copied()
            .collect();
        if !agrees(&listed.times.spec, &next, self.now) {
            return Check::Done(Gaps::unknown(GapsUnknown::Times));
        }
        Check::Suspect(unmatched)
    }

    /// The lanes that must be described, the one with the latest time without a
    /// run first.
    pub(super) fn to_describe(&self) -> Vec<usize> {
        let checks = self.checks.iter().enumerate();
        let mut lanes: Vec<_> = checks
            .filter_map(|(lane, check)| match check {
                Check::Done(_) => None,
                Check::Suspect(unmatched) => Some((unmatched.times.last().copied(), lane)),
                Check::Cut => Some((None, lane)),
            })
            .collect();
        lanes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        lanes.into_iter().map(|(_, lane)| lane).collect()
    }

    /// The schedule of a lane.
    pub(super) fn listed(&self, lane: usize) -> &Arc<ListedSchedule> {
        &self.listed[lane]
    }

    /// The timeline. `described` has the descriptions that were made, by lane.
    pub(super) fn finish(mut self, described: &BTreeMap<usize, DescribedLane>) -> Timeline {
        let mut not_checked = 0;
        let checks = std::mem::take(&mut self.checks).into_iter().enumerate();
        let gaps: Vec<Gaps> = checks
            .map(|(lane, check)| match (check, described.get(&lane)) {
                (Check::Done(gaps), _) => gaps,
                (Check::Suspect(unmatched), Some(known)) => {
                    self.gaps(lane, unmatched, &known.facts)
                }
                (Check::Cut, Some(known)) => self.gaps_of_cut(lane, known),
                (Check::Suspect(_) | Check::Cut, None) => {
                    not_checked += 1;
                    Gaps::unknown(GapsUnknown::NotChecked)
                }
            })
            .collect();
        let specs = |lane: usize| described.get(&lane).map(|known| Arc::clone(&known.spec));
        let lanes = self.listed.into_iter().zip(self.runs.by_lane).zip(gaps);
        let lanes: Vec<_> = lanes
            .enumerate()
            .map(|(lane, ((listed, runs), gaps))| TimelineLane {
                spec: specs(lane).filter(|_| !listed.times.is_whole),
                listed,
                runs,
                gaps,
            })
            .collect();
        let slots = self.window.slots();
        let (minutes, until) = minutes(&lanes, self.window, self.now, COMING_STEPS);
        let expected_until = until.unwrap_or(self.window.to());
        let free_from = self.runs.from.unwrap_or(self.window.from());
        let overview = TimelineOverview {
            from: self.window.from(),
            to: self.window.to(),
            now: self.now,
            schedules: lanes.len(),
            slot_seconds: slots.seconds,
            slots_from: Timestamp::from_second(slots.start).unwrap_or(self.window.from()),
            density: minutes.density(slots),
            busiest: minutes.busiest(),
            free: minutes.free(free_from, expected_until),
            runs_from: self.runs.from,
            runs: self.runs.counts,
            expected_until,
            gaps: lanes.iter().map(|lane| lane.gaps.list.len() as u64).sum(),
            gaps_not_checked: not_checked,
        };
        Timeline {
            window: self.window,
            now: self.now,
            slots,
            lanes,
            overview,
        }
    }

    fn gaps(&self, lane: usize, unmatched: Unmatched, facts: &Facts) -> Gaps {
        let Some(from) = self.gaps_from else {
            return Gaps::unknown(GapsUnknown::Runs);
        };
        Gaps::of(unmatched, &self.runs.by_lane[lane], facts, from, self.now)
    }

    fn gaps_of_cut(&self, lane: usize, known: &DescribedLane) -> Gaps {
        let past = self.past_times(&known.spec, &mut Budget::of(LANE_STEPS));
        match past {
            Some((times, _)) => {
                let unmatched = Unmatched::of(&times, &self.runs.by_lane[lane]);
                self.gaps(lane, unmatched, &known.facts)
            }
            None => Gaps::unknown(GapsUnknown::Times),
        }
    }
}

/// The starts of all lanes by minute, and the time up to which the times to come
/// are known; `None` if all are known. `steps` is the maximum number of steps.
fn minutes(
    lanes: &[TimelineLane],
    window: Window,
    now: Timestamp,
    steps: u64,
) -> (Minutes, Option<Timestamp>) {
    let mut minutes = Minutes::new(window);
    let mut until: Option<Timestamp> = None;
    let mut limit = |time: Option<Timestamp>| {
        until = [until, time].into_iter().flatten().min();
    };
    // Many schedules have the same times.
    let mut by_times: BTreeMap<SegmentKey, (Segment, u32)> = BTreeMap::new();
    for lane in lanes {
        for run in &lane.runs {
            minutes.start(run.started);
        }
        for gap in &lane.gaps.list {
            minutes.gap(gap.due);
        }
        let coming = Coming::of(&lane.listed, lane.spec.as_ref(), window, now);
        for time in coming.given {
            minutes.expect(time, 1);
        }
        limit(coming.until);
        for segment in coming.segments {
            by_times.entry(segment.key()).or_insert((segment, 0)).1 += 1;
        }
    }
    let mut budget = Shares::new(steps, by_times.len());
    for (segment, schedules) in by_times.into_values() {
        let found =
            budget.take(|budget| segment.each(budget, |time| minutes.expect(time, schedules)));
        limit(found.err());
    }
    (minutes, until)
}

/// A budget of steps that several searches share.
struct Shares {
    budget: Budget,
    steps: u64,
    searches: usize,
}

impl Shares {
    fn new(steps: u64, searches: usize) -> Self {
        Self {
            budget: Budget::of(steps),
            steps,
            searches,
        }
    }

    /// Does the next search, with its share of the steps that are left.
    fn take<T>(&mut self, search: impl FnOnce(&mut Budget) -> T) -> T {
        let left = self.steps - self.budget.spent();
        let share = left / (self.searches.max(1) as u64);
        let mut part = self.budget.part(share.max(LEAST_STEPS));
        self.searches = self.searches.saturating_sub(1);
        let result = search(&mut part);
        // A part never has more steps than are left.
        self.budget.spend(part.spent()).unwrap_or_default();
        result
    }
}

#[cfg(test)]
mod tests;
