//! What passes notice beside differences: schedules that should have fired and
//! did not, and actions that the server counts as missed.
//!
//! Costs no request. Whether a schedule is overdue is decided from its list
//! entry and its own times, never from the server's word on what comes next.
//! What does not show in a list, the counters and the time of the last change,
//! is taken from descriptions that are made anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use almanac_workflows::definition::OverlapPolicy;
use almanac_workflows::names::ScheduleId;
use almanac_workflows::schedule::{Field, Live, line_of};
use almanac_workflows::times::Spec;
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::ScheduleInfo;

use super::wire::decode_time;
use super::{ListEntry, Missed, Run};
use crate::metrics;

/// What one process has noticed, pass after pass.
#[derive(Debug)]
pub struct Watch {
    began: Timestamp,
    state: Mutex<BTreeMap<ScheduleId, Watched>>,
}

/// What a schedule should be doing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Its times.
    pub(super) spec: &'a Spec,
    /// What it does while a run goes on.
    pub(super) overlap: OverlapPolicy,
    /// Its actions are limited.
    pub(super) is_limited: bool,
}

#[derive(Debug, Default)]
struct Watched {
    /// Digest of the list entry: what begins anew when somebody changes it.
    /// `None`: not listed since it was written or described.
    digest: Option<u64>,
    /// Nothing that was due up to here is expected any more.
    since: Option<Timestamp>,
    /// The first time after that, once computed; the end of time when there is none.
    due: Option<Timestamp>,
    is_overdue: bool,
    /// All that were missed, when that was last seen.
    missed: Option<u64>,
    /// Fields found different, and left so.
    drift: BTreeSet<Field>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            began: Timestamp::now(),
            state: Mutex::default(),
        }
    }
}

impl Watch {
    /// Takes a list entry in. Nothing is expected of a schedule before it was
    /// first seen as it is: it may have been paused until then.
    pub(super) fn listed(
        &self,
        entry: &ListEntry,
        digest: u64,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) {
        let mut state = self.lock();
        let watched = state.entry(entry.schedule.clone()).or_default();
        if watched
            .digest
            .replace(digest)
            .is_some_and(|was| was != digest)
        {
            watched.since = None;
        }
        let mut since = watched.since.unwrap_or(now);
        let last = entry.last.as_ref().and_then(|run| run.started);
        since = since.max(last.unwrap_or(since));
        if watched.since != Some(since) {
            watched.since = Some(since);
            watched.due = None;
        }
        let next = || {
            let times = wanted.spec.fire_times(since, 1).times;
            times.first().copied().unwrap_or(Timestamp::MAX)
        };
        let due = *watched.due.get_or_insert_with(next);
        let is_busy = wanted.overlap != OverlapPolicy::AllowAll && entry.is_busy;
        let is_used_up = wanted.is_limited && entry.next.is_empty();
        let is_late = wanted.spec.is_late(due, now) && !entry.paused && !is_busy && !is_used_up;
        if is_late && !watched.is_overdue {
            tracing::warn!(
                schedule = %entry.schedule, %due,
                "a schedule is overdue: nothing was started when it was due"
            );
        }
        watched.is_overdue = is_late;
    }

    /// Takes in that a pass wrote a schedule: from now on it is as it is wanted.
    pub(crate) fn written(&self, id: &ScheduleId, now: Timestamp) {
        let mut state = self.lock();
        let watched = state.entry(id.clone()).or_default();
        watched.digest = None;
        watched.since = Some(now);
        watched.due = None;
    }

    /// Takes a description in.
    pub(super) fn described(&self, live: &Live, info: &ScheduleInfo) {
        let mut state = self.lock();
        let watched = state.entry(live.schedule.clone()).or_default();
        let total = Missed::of(info).total();
        // What was missed before this process began has been told before.
        let created = info.create_time.as_ref().and_then(decode_time);
        let is_new = created.is_some_and(|created| created >= self.began);
        let before = watched.missed.unwrap_or(if is_new { 0 } else { total });
        // Fewer than before: it was deleted and made anew.
        metrics::missed(total.checked_sub(before).unwrap_or(total));
        watched.missed = Some(total);
        if let (Some(since), Some(changed)) = (watched.since, last_change(live))
            && changed < since
        {
            watched.since = Some(changed);
            watched.due = None;
        }
    }

    /// Takes in which fields were found different, and are left so.
    pub(super) fn drifted(&self, id: &ScheduleId, drift: BTreeSet<Field>) {
        self.lock().entry(id.clone()).or_default().drift = drift;
    }

    /// Fields that the last description found different and that were left so.
    pub fn drift(&self, id: &ScheduleId) -> BTreeSet<Field> {
        let state = self.lock();
        let drift = state.get(id).map(|watched| watched.drift.clone());
        drift.unwrap_or_default()
    }

    /// Forgets all but `known` schedules.
    pub(super) fn retain(&self, known: &BTreeSet<&ScheduleId>) {
        self.lock().retain(|id, _| known.contains(id));
    }

    /// What the last pass found overdue: when it was due.
    pub fn overdue(&self, id: &ScheduleId) -> Option<Timestamp> {
        let state = self.lock();
        let watched = state.get(id)?;
        watched.due.filter(|_| watched.is_overdue)
    }

    /// How many schedules the last pass found overdue.
    pub fn overdue_count(&self) -> u64 {
        let state = self.lock();
        state.values().filter(|watched| watched.is_overdue).count() as u64
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ScheduleId, Watched>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a described schedule is overdue: what was due and not started.
/// `last` is its last run; `is_busy` says whether any really goes on.
pub fn overdue(
    live: &Live,
    last: Option<&Run>,
    is_busy: bool,
    now: Timestamp,
) -> Option<Timestamp> {
    let values = &live.values;
    let is_busy = is_busy && values.overlap_policy != OverlapPolicy::AllowAll;
    if values.paused || is_busy || live.remaining_actions == Some(0) {
        return None;
    }
    let since = last_change(live)?;
    let last = last.and_then(|run| run.started);
    values.spec.overdue(since.max(last.unwrap_or(since)), now)
}

/// When the schedule became what it is, where that is known: a pause and its
/// end by hand replace the note, and leave no time behind.
fn last_change(live: &Live) -> Option<Timestamp> {
    let is_as_written = line_of(&live.note) != live.note;
    live.updated_at.filter(|_| is_as_written)
}

#[cfg(test)]
mod tests {
    use almanac_workflows::names::Project;
    use almanac_workflows::times::compile_cron;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hourly() -> Spec {
        Spec {
            calendars: compile_cron("@hourly")
                .unwrap()
                .calendars
                .into_iter()
                .collect(),
            ..Spec::default()
        }
    }

    fn wanted(spec: &Spec) -> Wanted<'_> {
        Wanted {
            spec,
            overlap: OverlapPolicy::Skip,
            is_limited: false,
        }
    }

    fn entry(last: Option<(&str, &str)>) -> ListEntry {
        let project: Project = "test".parse().unwrap();
        let definition = "a".parse().unwrap();
        ListEntry {
            schedule: project.schedule_id(&definition),
            owner: Some(definition),
            note: String::new(),
            paused: false,
            workflow_type: String::new(),
            spec: Spec::default(),
            next: Vec::new(),
            is_busy: last.is_some_and(|(_, status)| status == "running"),
            last: last.map(|(started, status)| Run {
                due: None,
                started: Some(at(started)),
                workflow_id: "test/a".into(),
                run_id: String::new(),
                status: Some(status.into()),
            }),
        }
    }

    /// Whether it is overdue after it was listed so at these times.
    fn overdue_after(watch: &Watch, looks: &[(&ListEntry, &str)]) -> bool {
        let spec = hourly();
        for (entry, now) in looks {
            watch.listed(entry, u64::from(entry.paused), wanted(&spec), at(now));
        }
        watch.overdue_count() == 1
    }

    #[test]
    fn an_hour_without_its_run_is_overdue_until_one_starts() {
        let watch = Watch::default();
        let before = entry(Some(("2026-01-01T03:00:00Z", "completed")));
        let after = entry(Some(("2026-01-01T04:02:00Z", "completed")));
        // Before it was first seen nothing is expected of it.
        assert!(!overdue_after(&watch, &[(&before, "2026-01-01T03:59:00Z")]));
        assert!(!overdue_after(&watch, &[(&before, "2026-01-01T04:01:00Z")]));
        assert!(overdue_after(&watch, &[(&before, "2026-01-01T04:01:01Z")]));
        assert_eq!(
            watch.overdue(&before.schedule),
            Some(at("2026-01-01T04:00:00Z"))
        );
        assert!(!overdue_after(&watch, &[(&after, "2026-01-01T04:03:00Z")]));
    }

    #[test]
    fn a_pause_and_a_run_that_goes_on_are_no_delay() {
        let ran = entry(Some(("2026-01-01T03:00:00Z", "completed")));
        let paused = ListEntry {
            paused: true,
            ..ran.clone()
        };
        let looks = [
            (&ran, "2026-01-01T03:30:00Z"),
            (&paused, "2026-01-01T09:30:00Z"),
            (&ran, "2026-01-01T09:40:00Z"),
        ];
        assert!(!overdue_after(&Watch::default(), &looks));
        let goes_on = entry(Some(("2026-01-01T03:00:00Z", "running")));
        let looks = [
            (&goes_on, "2026-01-01T03:30:00Z"),
            (&goes_on, "2026-01-01T09:30:00Z"),
        ];
        assert!(!overdue_after(&Watch::default(), &looks));
    }

    #[test]
    fn one_that_a_pass_wrote_is_expected_to_run_from_then_on() {
        let watch = Watch::default();
        let written = entry(None);
        watch.written(&written.schedule, at("2026-01-01T03:30:00Z"));
        assert!(overdue_after(&watch, &[(&written, "2026-01-01T04:30:00Z")]));
        watch.written(&written.schedule, at("2026-01-01T04:31:00Z"));
        assert!(!overdue_after(
            &watch,
            &[(&written, "2026-01-01T04:32:00Z")]
        ));
    }

    #[test]
    fn one_that_was_never_seen_to_run_is_overdue_too() {
        let never = entry(None);
        let looks = [
            (&never, "2026-01-01T03:30:00Z"),
            (&never, "2026-01-01T04:30:00Z"),
        ];
        assert!(overdue_after(&Watch::default(), &looks));
    }
}
