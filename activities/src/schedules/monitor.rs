//! Findings of the passes besides drift: overdue schedules and missed actions.
//!
//! An overdue schedule should have fired and did not. The server counts missed
//! actions.
//!
//! The monitor sends no request for this. It remembers the next times that the
//! server gave in the list. A server that misses a time continues with the next
//! one, and a server that has stopped serving a schedule gives no new times. If
//! the server did not give the time in question, the schedule's times are
//! computed. They count only if the server's next times agree with the
//! computation. The list does not show the counters and the time of the last
//! change. They come from descriptions that are made anyway.
//!
//! The monitor also finds time zones for which the server has other data. Each
//! zone costs one request per hour, however many schedules are in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use almanac_base::budget::Budget;
use almanac_base::names::ScheduleId;
use almanac_core::definition::OverlapPolicy;
use almanac_core::field::Field;
use almanac_core::schedule::{Live, Note};
use almanac_times::{QUICK_STEPS, Spec, ZoneDifference, check_zone};
use jiff::{SignedDuration, Timestamp};
use temporalio_common::protos::temporal::api::schedule::v1::ScheduleInfo;

use super::wire::decode_time;
use super::{ListEntry, Missed, Run, Schedules};
use crate::metrics;

/// The findings of one worker, over its passes.
#[derive(Debug)]
pub struct ScheduleMonitor {
    began: Timestamp,
    state: Mutex<BTreeMap<ScheduleId, MonitoredSchedule>>,
    zones: Mutex<BTreeMap<String, MonitoredZone>>,
    /// Number of the last full pass of this worker; 0 until there has been one.
    last_pass: AtomicU64,
}

/// A time zone that schedules use.
#[derive(Debug, Default)]
struct MonitoredZone {
    checked: Timestamp,
    difference: Option<ZoneDifference>,
    is_logged: bool,
}

/// Interval between two comparisons of a zone's data with the server's.
const ZONE_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Maximum number of zones that one pass compares; the others wait for the
/// next.
const ZONES_IN_A_PASS: usize = 20;

/// The runs that are expected of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpectedRuns<'a> {
    /// The times of the schedule.
    pub(super) spec: &'a Spec,
    /// The schedule's overlap policy.
    pub(super) overlap: OverlapPolicy,
    /// The schedule's actions are limited.
    pub(super) is_limited: bool,
}

#[derive(Debug, Default)]
struct MonitoredSchedule {
    /// Digest of the list entry; when it changes, the expectation starts anew.
    /// `None` if the schedule was not listed yet, or not since it was written.
    digest: Option<u64>,
    /// Time from which runs are expected; earlier ones are not expected any
    /// more.
    since: Option<Timestamp>,
    /// The first due time after `since`, once computed; the end of time if
    /// there is none.
    due: Option<Timestamp>,
    /// `true` if the server gave `due` itself; otherwise it was computed.
    is_from_server: bool,
    is_overdue: bool,
    /// Number of all missed actions at the last description.
    missed: Option<u64>,
    /// Fields with drift that was left in place.
    drift: BTreeSet<Field>,
}

impl Default for ScheduleMonitor {
    fn default() -> Self {
        Self {
            last_pass: AtomicU64::new(0),
            began: Timestamp::now(),
            state: Mutex::default(),
            zones: Mutex::default(),
        }
    }
}

impl ScheduleMonitor {
    /// Records a list entry. No run is expected before the first time that the
    /// schedule was listed in this state, since it may have been paused until
    /// then.
    pub(super) fn listed(
        &self,
        entry: &ListEntry,
        digest: u64,
        expected: ExpectedRuns<'_>,
        now: Timestamp,
    ) {
        let mut state = self.lock();
        let monitored = state.entry(entry.schedule.clone()).or_default();
        if monitored
            .digest
            .replace(digest)
            .is_some_and(|was| was != digest)
        {
            monitored.since = None;
        }
        let mut since = monitored.since.unwrap_or(now);
        let last = entry.last.as_ref().and_then(|run| run.started);
        since = since.max(last.unwrap_or(since));
        if monitored.since != Some(since) {
            monitored.since = Some(since);
            monitored.due = None;
        }
        let due = monitored.due.unwrap_or_else(|| {
            let (due, is_from_server) = next_due(expected.spec, &entry.next, since, now);
            monitored.due = Some(due);
            monitored.is_from_server = is_from_server;
            due
        });
        let is_busy = expected.overlap != OverlapPolicy::AllowAll && entry.is_busy;
        let is_used_up = expected.is_limited && entry.next.is_empty();
        let is_late = expected.spec.is_late(due, now)
            && !entry.paused
            && !is_busy
            && !is_used_up
            && (monitored.is_from_server || agrees(expected.spec, &entry.next, now));
        if is_late && !monitored.is_overdue {
            tracing::warn!(
                schedule = %entry.schedule, %due,
                "a schedule is overdue: a due run was not started"
            );
        }
        monitored.is_overdue = is_late;
    }

    /// Records that a pass wrote a schedule: runs are expected from now on.
    pub(crate) fn written(&self, id: &ScheduleId, now: Timestamp) {
        let mut state = self.lock();
        let monitored = state.entry(id.clone()).or_default();
        monitored.digest = None;
        monitored.since = Some(now);
        monitored.due = None;
    }

    /// Records a description.
    pub(super) fn described(&self, live: &Live, info: &ScheduleInfo) {
        let mut state = self.lock();
        let monitored = state.entry(live.schedule.clone()).or_default();
        let total = Missed::of(info).total();
        // Actions that were missed before this worker began were counted
        // before.
        let created = info.create_time.as_ref().and_then(decode_time);
        let is_new = created.is_some_and(|created| created >= self.began);
        let before = monitored.missed.unwrap_or(if is_new { 0 } else { total });
        // A lower count than before: the schedule was deleted and created
        // again.
        metrics::missed(total.checked_sub(before).unwrap_or(total));
        monitored.missed = Some(total);
        if let (Some(since), Some(changed)) = (monitored.since, last_change(live))
            && changed < since
        {
            monitored.since = Some(changed);
            monitored.due = None;
        }
    }

    /// Records the fields with drift that was left in place.
    pub(super) fn drifted(&self, id: &ScheduleId, drift: BTreeSet<Field>) {
        self.lock().entry(id.clone()).or_default().drift = drift;
    }

    /// The fields with drift that was left in place, at the last description.
    /// `None` for a schedule that no pass of this worker has seen.
    pub fn drift(&self, id: &ScheduleId) -> Option<BTreeSet<Field>> {
        let state = self.lock();
        state.get(id).map(|monitored| monitored.drift.clone())
    }

    /// The zones of these schedules that were not compared within the last
    /// hour, each with a schedule that uses it.
    pub(super) fn zones_to_compare(
        &self,
        entries: &[ListEntry],
        now: Timestamp,
    ) -> Vec<(ScheduleId, Spec)> {
        let zones = self.lock_zones();
        let is_due = |entry: &&ListEntry| {
            let known = zones.get(&entry.spec.timezone);
            known.is_none_or(|zone| now.duration_since(zone.checked).abs() >= ZONE_INTERVAL)
        };
        let comparable = |entry: &&ListEntry| {
            let spec = &entry.spec;
            entry.owner.is_some()
                && spec.depends_on_zone()
                && !entry.is_cut()
                && check_zone(&spec.timezone).is_ok()
        };
        let mut found: BTreeMap<&str, &ListEntry> = BTreeMap::new();
        for entry in entries.iter().filter(comparable).filter(is_due) {
            found.entry(&entry.spec.timezone).or_insert(entry);
        }
        let found = found.into_values().take(ZONES_IN_A_PASS);
        found
            .map(|entry| (entry.schedule.clone(), entry.spec.clone()))
            .collect()
    }

    /// Records the comparison of the server's data of a zone with this
    /// program's.
    pub(super) fn zone_compared(
        &self,
        timezone: &str,
        difference: Option<ZoneDifference>,
        now: Timestamp,
    ) {
        let mut zones = self.lock_zones();
        let zone = zones.entry(timezone.to_owned()).or_default();
        zone.checked = now;
        zone.is_logged = zone.is_logged && difference.is_some();
        zone.difference = difference;
    }

    /// Records that a zone could not be compared now.
    pub(super) fn zone_not_compared(&self, timezone: &str, now: Timestamp) {
        let mut zones = self.lock_zones();
        zones.entry(timezone.to_owned()).or_default().checked = now;
    }

    /// The time zones for which the server had other data at the last
    /// comparison.
    pub fn zone_differences(&self) -> Vec<ZoneDifference> {
        let zones = self.lock_zones();
        let differences = zones.values().filter_map(|zone| zone.difference.clone());
        differences.collect()
    }

    /// Logs each time zone for which the server has other data, once.
    pub(crate) fn log_zone_differences(&self) {
        for zone in self.lock_zones().values_mut() {
            let Some(difference) = zone.difference.as_ref().filter(|_| !zone.is_logged) else {
                continue;
            };
            tracing::warn!(
                timezone = difference.timezone, from = %difference.at,
                server = %difference.server, computed = %difference.computed,
                "time zone data differ from the server's; live schedules follow the server's"
            );
            zone.is_logged = true;
        }
    }

    /// Returns `true` if a pass of this worker has seen the schedule or written it.
    pub(super) fn knows(&self, id: &ScheduleId) -> bool {
        self.lock().contains_key(id)
    }

    /// Removes all schedules that are not in `known`.
    pub(super) fn retain(&self, known: &BTreeSet<&ScheduleId>) {
        self.lock().retain(|id, _| known.contains(id));
    }

    /// Records that this worker has ended the full pass with this number.
    pub(crate) fn passed(&self, pass: u64) {
        self.last_pass.store(pass, Ordering::Relaxed);
    }

    /// Returns `true` if this worker did the full pass with this number, or a
    /// later one. Its findings are then up to date.
    pub fn is_current(&self, last_pass: u64) -> bool {
        let own = self.last_pass.load(Ordering::Relaxed);
        own > 0 && own >= last_pass
    }

    /// The overdue state of a schedule in the last pass of this worker.
    pub fn overdue(&self, id: &ScheduleId) -> Overdue {
        let state = self.lock();
        match state.get(id) {
            Some(monitored) if monitored.is_overdue => monitored.due.into(),
            Some(monitored) if monitored.digest.is_some() => Overdue::No,
            _ => Overdue::NotChecked,
        }
    }

    /// The schedules that the last pass found overdue.
    pub fn overdue_schedules(&self) -> Vec<ScheduleId> {
        let state = self.lock();
        let overdue = state.iter().filter(|(_, monitored)| monitored.is_overdue);
        overdue.map(|(id, _)| id.clone()).collect()
    }

    fn lock_zones(&self) -> MutexGuard<'_, BTreeMap<String, MonitoredZone>> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ScheduleId, MonitoredSchedule>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first time after `since` by which a run must start, and `true` if the
/// server gave that time itself.
fn next_due(
    spec: &Spec,
    from_server: &[Timestamp],
    since: Timestamp,
    now: Timestamp,
) -> (Timestamp, bool) {
    let from_server = from_server.iter().copied().find(|time| *time > since);
    // A time that takes too long to find counts as no time: no run is expected
    // then.
    let budget = &mut Budget::of(QUICK_STEPS);
    let computed = spec.times_after_within(since, 1, budget).times;
    let computed = computed.first().copied();
    match (from_server, computed) {
        // The server does not list times before now any more.
        (Some(from_server), Some(computed)) if computed < from_server && computed <= now => {
            (computed, false)
        }
        (Some(from_server), _) => (from_server, true),
        (None, computed) => (computed.unwrap_or(Timestamp::MAX), false),
    }
}

/// Returns `true` if the server's next times are those that are computed here.
pub(crate) fn agrees(spec: &Spec, from_server: &[Timestamp], now: Timestamp) -> bool {
    spec.zone_difference(now, from_server).is_none()
}

/// The result of a check for a run that was due and has not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// The schedule could not be checked.
    NotChecked,
    /// Every run that was due has started.
    No,
    /// The run that was due at this time has not started.
    Since(Timestamp),
}

impl From<Option<Timestamp>> for Overdue {
    fn from(due: Option<Timestamp>) -> Self {
        due.map_or(Self::No, Self::Since)
    }
}

/// Checks if a described schedule is overdue, by the server's own times. `last`
/// is its last run. `is_busy` is `true` if a run of it has not ended.
pub async fn check_overdue(
    schedules: &Schedules,
    live: &Live,
    last: Option<&Run>,
    is_busy: bool,
    now: Timestamp,
) -> Overdue {
    let values = &live.values;
    let is_busy = is_busy && values.overlap_policy != OverlapPolicy::AllowAll;
    if values.paused || is_busy || live.remaining_actions == Some(0) {
        return Overdue::No;
    }
    let Some(changed) = last_change(live) else {
        return Overdue::NotChecked;
    };
    let last = last.and_then(|run| run.started);
    let since = changed.max(last.unwrap_or(changed));
    let due = match schedules.first_overdue(&live.schedule, since, now).await {
        Ok(due) => due,
        Err(error) => {
            tracing::debug!(schedule = %live.schedule, %error, "cannot get the server's times");
            live.values.spec.overdue(since, now)
        }
    };
    due.into()
}

/// Time of the last change of the schedule. `None` if it is not known: a manual
/// pause and its end replace the note and leave no time behind.
pub(crate) fn last_change(live: &Live) -> Option<Timestamp> {
    live.updated_at
        .filter(|_| Note::read(&live.note).is_marked())
}

#[cfg(test)]
mod tests {
    use almanac_base::names::Project;
    use almanac_times::compile_cron;

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

    fn expected(spec: &Spec) -> ExpectedRuns<'_> {
        ExpectedRuns {
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
                ended: None,
                workflow_id: "test/a".into(),
                run_id: String::new(),
                status: Some(status.into()),
            }),
        }
    }

    /// Returns `true` if the schedule is overdue after these listings.
    fn overdue_after(monitor: &ScheduleMonitor, listings: &[(&ListEntry, &str)]) -> bool {
        let spec = hourly();
        for (entry, now) in listings {
            monitor.listed(entry, u64::from(entry.paused), expected(&spec), at(now));
        }
        monitor.overdue_schedules().len() == 1
    }

    #[test]
    fn an_hour_without_its_run_is_overdue_until_one_starts() {
        let monitor = ScheduleMonitor::default();
        let before = entry(Some(("2026-01-01T03:00:00Z", "completed")));
        let after = entry(Some(("2026-01-01T04:02:00Z", "completed")));
        // Before it was first seen nothing is expected of it.
        assert!(!overdue_after(
            &monitor,
            &[(&before, "2026-01-01T03:59:00Z")]
        ));
        assert!(!overdue_after(
            &monitor,
            &[(&before, "2026-01-01T04:01:00Z")]
        ));
        assert!(overdue_after(
            &monitor,
            &[(&before, "2026-01-01T04:01:01Z")]
        ));
        assert_eq!(
            monitor.overdue(&before.schedule),
            Overdue::Since(at("2026-01-01T04:00:00Z"))
        );
        assert!(!overdue_after(
            &monitor,
            &[(&after, "2026-01-01T04:03:00Z")]
        ));
    }

    #[test]
    fn a_paused_or_running_schedule_is_not_overdue() {
        let ran = entry(Some(("2026-01-01T03:00:00Z", "completed")));
        let paused = ListEntry {
            paused: true,
            ..ran.clone()
        };
        let listings = [
            (&ran, "2026-01-01T03:30:00Z"),
            (&paused, "2026-01-01T09:30:00Z"),
            (&ran, "2026-01-01T09:40:00Z"),
        ];
        assert!(!overdue_after(&ScheduleMonitor::default(), &listings));
        let goes_on = entry(Some(("2026-01-01T03:00:00Z", "running")));
        let listings = [
            (&goes_on, "2026-01-01T03:30:00Z"),
            (&goes_on, "2026-01-01T09:30:00Z"),
        ];
        assert!(!overdue_after(&ScheduleMonitor::default(), &listings));
    }

    #[test]
    fn a_written_schedule_is_expected_to_run_from_the_write_on() {
        let monitor = ScheduleMonitor::default();
        let written = entry(None);
        monitor.written(&written.schedule, at("2026-01-01T03:30:00Z"));
        assert!(overdue_after(
            &monitor,
            &[(&written, "2026-01-01T04:30:00Z")]
        ));
        monitor.written(&written.schedule, at("2026-01-01T04:31:00Z"));
        assert!(!overdue_after(
            &monitor,
            &[(&written, "2026-01-01T04:32:00Z")]
        ));
    }

    /// The entry, with what the server says comes next.
    fn from_server(entry: &ListEntry, next: &[&str]) -> ListEntry {
        ListEntry {
            next: next.iter().map(|text| at(text)).collect(),
            ..entry.clone()
        }
    }

    /// Noon in Tokyo is 03:00 in UTC by the data here.
    fn overdue_in_tokyo(listings: &[(ListEntry, &str)]) -> Option<String> {
        let noon = compile_cron("0 12 * * *").unwrap();
        let spec = Spec {
            calendars: noon.calendars.into_iter().collect(),
            timezone: "Asia/Tokyo".to_owned(),
            ..Spec::default()
        };
        let monitor = ScheduleMonitor::default();
        for (entry, now) in listings {
            monitor.listed(entry, 0, expected(&spec), at(now));
        }
        let overdue = monitor.overdue(&listings[0].0.schedule);
        match overdue {
            Overdue::Since(due) => Some(due.to_string()),
            Overdue::No | Overdue::NotChecked => None,
        }
    }

    #[test]
    fn the_servers_due_time_takes_precedence_over_the_computed_one() {
        let ran = entry(Some(("2026-01-01T04:00:00Z", "completed")));
        // By the server's data it is an hour later, and has not come yet.
        let later = from_server(&ran, &["2026-01-02T04:00:00Z", "2026-01-03T04:00:00Z"]);
        let listings = [
            (later.clone(), "2026-01-02T02:00:00Z"),
            (later.clone(), "2026-01-02T03:30:00Z"),
        ];
        assert_eq!(overdue_in_tokyo(&listings), None);
        // First seen between the two.
        let listings = [(later.clone(), "2026-01-02T03:30:00Z")];
        assert_eq!(overdue_in_tokyo(&listings), None);
        // The time passed. The server moved to the next day without a start.
        let passed = from_server(&ran, &["2026-01-03T04:00:00Z"]);
        let listings = [
            (later.clone(), "2026-01-02T03:30:00Z"),
            (passed, "2026-01-02T04:01:01Z"),
        ];
        let due = Some("2026-01-02T04:00:00Z".to_owned());
        assert_eq!(overdue_in_tokyo(&listings), due);
        // Or stopped serving it.
        let listings = [
            (later.clone(), "2026-01-02T03:30:00Z"),
            (later, "2026-01-02T04:01:01Z"),
        ];
        assert_eq!(overdue_in_tokyo(&listings), due);
    }

    #[test]
    fn due_times_before_the_first_answer_are_computed_if_the_zone_data_agree() {
        let ran = entry(Some(("2026-01-01T03:00:00Z", "completed")));
        let known = |next: &[&str]| {
            let spec = Spec {
                timezone: "Asia/Tokyo".to_owned(),
                calendars: compile_cron("0 12 * * *")
                    .unwrap()
                    .calendars
                    .into_iter()
                    .collect(),
                ..Spec::default()
            };
            let monitor = ScheduleMonitor::default();
            let entry = from_server(&ran, next);
            monitor.listed(&entry, 0, expected(&spec), at("2026-01-02T09:00:00Z"));
            {
                // A description showed that nobody changed it since the day before.
                let mut state = monitor.lock();
                let monitored = state.get_mut(&entry.schedule).unwrap();
                monitored.since = Some(at("2026-01-01T03:00:00Z"));
                monitored.due = None;
            }
            monitor.listed(&entry, 0, expected(&spec), at("2026-01-02T09:00:01Z"));
            monitor.overdue_schedules().len()
        };
        assert_eq!(known(&["2026-01-03T03:00:00Z", "2026-01-04T03:00:00Z"]), 1);
        assert_eq!(known(&["2026-01-03T04:00:00Z", "2026-01-04T04:00:00Z"]), 0);
    }

    #[test]
    fn a_zone_is_compared_once_an_hour_by_one_schedule() {
        let monitor = ScheduleMonitor::default();
        let now = at("2026-01-01T00:00:00Z");
        let one = |zone: &str, cron: &str| ListEntry {
            spec: Spec {
                timezone: zone.to_owned(),
                calendars: compile_cron(cron).unwrap().calendars.into_iter().collect(),
                ..Spec::default()
            },
            ..entry(None)
        };
        let tokyo = one("Asia/Tokyo", "0 12 * * *");
        let unmanaged = ListEntry {
            owner: None,
            ..one("Europe/Paris", "0 12 * * *")
        };
        let unknown = one("Mars/Base", "0 12 * * *");
        let entries = [
            one("UTC", "0 1 * * *"),
            tokyo.clone(),
            tokyo,
            unmanaged,
            unknown,
        ];
        let compared = |now| -> Vec<String> {
            let found = monitor.zones_to_compare(&entries, now);
            found.into_iter().map(|(_, spec)| spec.timezone).collect()
        };
        assert_eq!(compared(now), ["Asia/Tokyo"]);
        let difference = ZoneDifference {
            timezone: "Asia/Tokyo".to_owned(),
            at: now,
            server: now,
            computed: now,
        };
        monitor.zone_compared("Asia/Tokyo", Some(difference.clone()), now);
        let within = now + SignedDuration::from_mins(59);
        assert!(compared(within).is_empty());
        assert_eq!(monitor.zone_differences(), [difference]);
        let after = now + SignedDuration::from_mins(60);
        assert_eq!(compared(after), ["Asia/Tokyo"]);
        monitor.zone_not_compared("Asia/Tokyo", after);
        assert_eq!(monitor.zone_differences().len(), 1);
        monitor.zone_compared("Asia/Tokyo", None, after);
        assert!(monitor.zone_differences().is_empty());
    }

    #[test]
    fn a_schedule_that_never_ran_can_be_overdue() {
        let never = entry(None);
        let listings = [
            (&never, "2026-01-01T03:30:00Z"),
            (&never, "2026-01-01T04:30:00Z"),
        ];
        assert!(overdue_after(&ScheduleMonitor::default(), &listings));
    }
}
