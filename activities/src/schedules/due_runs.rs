//! Due runs, and the moments at which a schedule can be written without
//! dropping one.
//!
//! A run is *due* from its nominal time, the time that its spec gives, and
//! starts up to its jitter later. CHASM forgets at each write what is due and
//! not started. The workflow-backed scheduler keeps it, unless the write
//! changes the times (`docs/adr/0012-writes-lose-no-run.md`). Except for
//! [`ServerClock`], everything here decides from data; `apply`, `recovery` and
//! `manual_runs` wait and send.

use std::time::Duration;

use almanac_times::{Rest, Spec};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::blocking::compute;

/// Time within which a start is waited for, be it ahead or past but not yet
/// seen.
const STARTING: SignedDuration = SignedDuration::from_millis(300);
/// Time before a write in which no run may become due.
const WRITE_MARGIN: SignedDuration = SignedDuration::from_millis(500);
/// Maximum wait for a due run to start. A run that starts later is started
/// early.
const WAIT_FOR_START_LIMIT: SignedDuration = SignedDuration::from_secs(5);
/// Time after a start in which the server has handled the run.
const HANDLED_AFTER: SignedDuration = SignedDuration::from_millis(50);
/// Maximum number of runs, after those that the server showed, that count as
/// due.
const EXTRAPOLATED_LIMIT: usize = 100;
/// Maximum number of times that are searched for the nominal time of a run.
const SEARCHED: usize = 5000;

/// The server's implementation of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The workflow-backed scheduler (V1): one workflow per schedule.
    Workflow,
    /// The CHASM scheduler (V2).
    Chasm,
}

impl Backend {
    /// The backend that issued a conflict token. Both backends count writes in
    /// eight bytes; the workflow-backed one puts the highest byte first. Any
    /// other token counts as the workflow-backed one's, whose schedules keep
    /// their due runs.
    pub fn of_token(token: &[u8]) -> Self {
        match <[u8; 8]>::try_from(token) {
            Ok(bytes) if u64::from_le_bytes(bytes) < u64::from_be_bytes(bytes) => Self::Chasm,
            _ => Self::Workflow,
        }
    }
}

/// Bounds of the server's present time. The clocks of the server and of this
/// machine may differ. Use the earliest bound for what must be over, and the
/// latest bound for what must be ahead.
#[derive(Debug, Clone, Copy)]
pub struct ServerClock {
    reported: Timestamp,
    since: Instant,
}

impl ServerClock {
    /// Creates a clock from a time that the server reported before this call.
    pub fn from_reported(reported: Timestamp) -> Self {
        Self {
            reported,
            since: Instant::now(),
        }
    }

    /// The bounds of the server's present time.
    pub fn now(&self) -> ServerTimeBounds {
        let earliest = self.reported.saturating_add(self.since.elapsed());
        let earliest = earliest.unwrap_or(self.reported);
        ServerTimeBounds {
            earliest,
            latest: earliest.max(Timestamp::now()),
        }
    }
}

/// Two times between which the server's present time lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimeBounds {
    /// The present time is not earlier than this.
    pub earliest: Timestamp,
    /// The present time is assumed to be not later than this.
    pub latest: Timestamp,
}

/// A run of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueRun {
    /// The time that the spec gives; the run's workflow id ends in it.
    pub nominal: Timestamp,
    /// The time at which the server starts it.
    pub starts: Timestamp,
    /// The nominal time is certain. Otherwise it is the earliest possible one,
    /// since this program's time zone data do not explain the server's time.
    pub is_known: bool,
}

impl DueRun {
    /// The run for a nominal time, without jitter.
    pub(crate) fn at(nominal: Timestamp) -> Self {
        Self {
            nominal,
            starts: nominal,
            is_known: true,
        }
    }

    /// The run that the server starts at `starts`.
    pub(crate) fn of(spec: &Spec, starts: Timestamp) -> Self {
        let due = |nominal, is_known| Self {
            nominal,
            starts,
            is_known,
        };
        if spec.jitter.is_zero() {
            return due(starts, true);
        }
        let jitter = signed(spec.jitter);
        // The jitter ends before the next nominal time, so a run's nominal time
        // is the last one before its start.
        for back in [2, 120, 7200, i64::MAX] {
            let back = SignedDuration::from_secs(back).min(jitter);
            let from = starts.saturating_sub(back).unwrap_or(Timestamp::MIN);
            let from = from.saturating_sub(SignedDuration::from_nanos(1));
            let found = spec.times_after(from.unwrap_or(Timestamp::MIN), SEARCHED);
            let is_cut = found.times.last().is_some_and(|last| *last <= starts);
            let before = found.times.iter().rev().find(|time| **time <= starts);
            match before {
                Some(nominal) if !is_cut || found.rest == Rest::Nothing => {
                    return due(*nominal, true);
                }
                _ if back == jitter => break,
                _ => {}
            }
        }
        due(starts.saturating_sub(jitter).unwrap_or(starts), false)
    }
}

/// The runs that a write must not disturb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteGuard {
    /// The write pauses the schedule. On both backends, runs that are due and
    /// have not begun will not begin after it. Runs that begin at this very
    /// moment are waited for.
    Starting,
    /// The schedule is active after the write: every due run starts once.
    Due,
}

/// The next step before a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteMoment {
    /// Write now: no run is due.
    Quiet,
    /// Wait for this time, then describe the schedule again.
    Wait(Duration),
    /// This run is due and starts too late to wait for.
    Due(DueRun),
}

impl WriteGuard {
    /// The next step for a schedule whose next runs start at `coming`.
    pub(crate) fn moment(
        self,
        spec: &Spec,
        coming: &[Timestamp],
        present: ServerTimeBounds,
    ) -> WriteMoment {
        let Some(first) = coming.first() else {
            return WriteMoment::Quiet;
        };
        let left = first.duration_since(present.latest);
        let starts = WriteMoment::Wait(unsigned(left.max(SignedDuration::ZERO) + HANDLED_AFTER));
        if left <= STARTING {
            return starts;
        }
        if self == Self::Starting {
            return WriteMoment::Quiet;
        }
        let due = compute(|| DueRun::of(spec, *first));
        if due.nominal.duration_since(present.latest) > WRITE_MARGIN {
            return WriteMoment::Quiet;
        }
        if left <= WAIT_FOR_START_LIMIT {
            return starts;
        }
        let until_due = due.nominal.duration_since(present.earliest);
        if due.is_known && until_due >= SignedDuration::ZERO {
            return WriteMoment::Wait(unsigned(until_due + HANDLED_AFTER));
        }
        WriteMoment::Due(due)
    }
}

/// The runs that a write at `written` may have dropped, of a schedule whose
/// next runs were to start at `coming`. If the write came later than the last
/// of these, the runs that were due just before the write count too.
/// `remaining` is the number of remaining actions; it limits the result.
pub(crate) fn at_risk(
    spec: &Spec,
    coming: &[Timestamp],
    written: Timestamp,
    remaining: Option<u64>,
) -> Vec<DueRun> {
    compute(|| all_at_risk(spec, coming, written, remaining))
}

fn all_at_risk(
    spec: &Spec,
    coming: &[Timestamp],
    written: Timestamp,
    remaining: Option<u64>,
) -> Vec<DueRun> {
    let due = coming.iter().map(|starts| DueRun::of(spec, *starts));
    let mut due: Vec<_> = due.take_while(|due| due.nominal <= written).collect();
    if due.len() == coming.len()
        && let Some(last) = due.last()
    {
        let after = spec.times_after(last.nominal, SEARCHED).times;
        let until = after.partition_point(|time| *time <= written);
        let from = until.saturating_sub(EXTRAPOLATED_LIMIT);
        due.extend(after[from..until].iter().copied().map(DueRun::at));
    }
    let most = remaining.and_then(|remaining| usize::try_from(remaining).ok());
    due.truncate(most.unwrap_or(usize::MAX));
    due
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use almanac_times::compile_cron;

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    fn spec(cron: &str, jitter: u64) -> Spec {
        let compiled = compile_cron(cron).unwrap();
        Spec {
            calendars: compiled.calendars.into_iter().collect(),
            intervals: compiled.intervals.into_iter().collect(),
            jitter: Duration::from_secs(jitter),
            ..Spec::default()
        }
    }

    fn present(text: &str) -> ServerTimeBounds {
        ServerTimeBounds {
            earliest: at(text),
            latest: at(text),
        }
    }

    fn waits(millis: u64) -> WriteMoment {
        WriteMoment::Wait(Duration::from_millis(millis))
    }

    #[test]
    fn the_backend_is_read_from_the_conflict_token() {
        assert_eq!(
            Backend::of_token(&[0, 0, 0, 0, 0, 0, 0, 1]),
            Backend::Workflow
        );
        assert_eq!(Backend::of_token(&[1, 0, 0, 0, 0, 0, 0, 0]), Backend::Chasm);
        assert_eq!(Backend::of_token(&[0, 1, 0, 0, 0, 0, 0, 0]), Backend::Chasm);
        assert_eq!(
            Backend::of_token(&[0, 0, 0, 0, 0, 0, 1, 0]),
            Backend::Workflow
        );
        for strange in [&[][..], &[1], &[0; 8], &[7; 8], &[1; 9]] {
            assert_eq!(Backend::of_token(strange), Backend::Workflow, "{strange:?}");
        }
    }

    #[test]
    fn a_run_is_for_the_last_time_before_its_start() {
        for (cron, jitter, starts, nominal) in [
            ("*/5 * * * *", 0, "00:05:00", Some("00:05:00")),
            ("*/5 * * * *", 240, "00:08:12.345", Some("00:05:00")),
            ("*/5 * * * *", 240, "00:05:00", Some("00:05:00")),
            ("* * * * * * *", 3600, "00:08:12.345", Some("00:08:12")),
            ("0 */8 * * *", 3600 * 9, "07:59:59", Some("00:00:00")),
            // The search finds no time of this spec that explains the start.
            ("0 9 * * *", 60, "10:00:30", None),
        ] {
            let due = DueRun::of(&spec(cron, jitter), at(starts));
            assert_eq!(due.is_known, nominal.is_some(), "{cron} {starts}");
            if let Some(nominal) = nominal {
                assert_eq!(due.nominal, at(nominal), "{cron} {starts}");
            }
        }
    }

    #[test]
    fn a_write_waits_between_a_nominal_time_and_the_start_of_its_run() {
        let spec = spec("*/5 * * * *", 240);
        let coming = [at("00:08:12"), at("00:10:01")];
        let due = DueRun {
            nominal: at("00:05:00"),
            starts: at("00:08:12"),
            is_known: true,
        };
        let moment = |now: &str| WriteGuard::Due.moment(&spec, &coming, present(now));
        assert_eq!(moment("00:04:59"), WriteMoment::Quiet);
        // About to be due, and too late to wait for its start.
        assert_eq!(moment("00:04:59.600"), waits(450));
        assert_eq!(moment("00:05:00"), waits(50));
        assert_eq!(moment("00:05:00.001"), WriteMoment::Due(due));
        assert_eq!(moment("00:08:06.900"), WriteMoment::Due(due));
        // The start is near, is now, or has passed without being seen.
        assert_eq!(moment("00:08:07"), waits(5050));
        assert_eq!(moment("00:08:12"), waits(50));
        assert_eq!(moment("00:08:13"), waits(50));
        // The run has started, so only the next run counts.
        let coming = &coming[1..];
        let moment = |now: &str| WriteGuard::Due.moment(&spec, coming, present(now));
        assert_eq!(moment("00:08:12.1"), WriteMoment::Quiet);
        assert_eq!(moment("00:09:59.6"), waits(1450));
    }

    #[test]
    fn without_jitter_just_the_moment_of_a_run_is_avoided() {
        let spec = spec("* * * * * * *", 0);
        let coming = [at("00:00:01")];
        let moment = |now: &str| WriteGuard::Due.moment(&spec, &coming, present(now));
        assert_eq!(moment("00:00:00.02"), WriteMoment::Quiet);
        assert_eq!(moment("00:00:00.6"), waits(450));
        assert_eq!(moment("00:00:01.02"), waits(50));
    }

    #[test]
    fn a_pause_waits_only_for_a_run_that_begins_just_now() {
        let spec = spec("*/5 * * * *", 240);
        let coming = [at("00:08:12")];
        let moment = |now: &str| WriteGuard::Starting.moment(&spec, &coming, present(now));
        assert_eq!(moment("00:06:00"), WriteMoment::Quiet);
        assert_eq!(moment("00:08:11.5"), WriteMoment::Quiet);
        assert_eq!(moment("00:08:11.8"), waits(250));
        assert_eq!(moment("00:08:12.2"), waits(50));
    }

    #[test]
    fn a_run_is_started_early_when_it_is_due_by_both_clocks() {
        let spec = spec("*/5 * * * *", 240);
        let coming = [at("00:08:12")];
        let between = |earliest: &str, latest: &str| {
            let present = ServerTimeBounds {
                earliest: at(earliest),
                latest: at(latest),
            };
            WriteGuard::Due.moment(&spec, &coming, present)
        };
        // Ours goes ahead of the server's.
        assert_eq!(between("00:04:58", "00:05:01"), waits(2050));
        assert!(matches!(
            between("00:05:01", "00:05:04"),
            WriteMoment::Due(_)
        ));
        assert_eq!(between("00:05:01", "00:08:08"), waits(4050));
    }

    #[test]
    fn a_schedule_without_a_next_run_is_quiet() {
        let spec = spec("*/5 * * * *", 240);
        assert_eq!(
            WriteGuard::Due.moment(&spec, &[], present("00:06:00")),
            WriteMoment::Quiet
        );
    }

    #[test]
    fn a_run_that_is_due_at_the_write_is_at_risk() {
        let spec = spec("*/5 * * * *", 240);
        let coming = [at("00:08:12"), at("00:10:01"), at("00:16:00")];
        let count = |written: &str| at_risk(&spec, &coming, at(written), None).len();
        assert_eq!(count("00:04:59"), 0);
        assert_eq!(count("00:05:00"), 1);
        assert_eq!(count("00:09:59"), 1);
        assert_eq!(count("00:10:00.5"), 2);
        assert_eq!(count("00:15:00"), 3);
        // The server showed no further ones.
        assert_eq!(count("00:19:59"), 3);
        assert_eq!(count("00:25:00"), 5);
        assert_eq!(count("20:00:00"), 103);
        // No action is left for more.
        let limited = |written: &str| at_risk(&spec, &coming, at(written), Some(2)).len();
        assert_eq!(limited("00:09:59"), 1);
        assert_eq!(limited("20:00:00"), 2);
    }
}
