//! Recovery of runs that a write dropped: each is found and started once.
//!
//! Expected flow: the writer of a schedule names the runs that were due at the
//! write ([`super::due_runs::at_risk`]). Each of them is looked for. A run that
//! was started, or that is still to come, needs nothing. A run that will
//! certainly not start is started by a backfill. The backfill is a write too,
//! so it waits for a moment at which no run is due. The runs that it puts at
//! risk are looked for in the next round.
//!
//! Guarantees: a run is started only if the schedule has not started it and
//! will not start it. A run whose state cannot be determined is reported and
//! not started, since it is worse to start a run twice than not at all.

use std::time::Duration;

use almanac_base::names::{Project, ScheduleId};
use almanac_core::definition::OverlapPolicy;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};

use super::apply::request_id;
use super::due_runs::{Backend, DueRun, ServerClock, WriteGuard, WriteMoment, at_risk};
use super::operation_permit::OperationPermit;
use super::wire::Described;
use super::{RequestError, Schedules};
use crate::blocking::compute;

/// Maximum time for a patch that starts runs.
const PATCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval between two descriptions of one schedule.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum time for which a run that was due at a write is looked for.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum wait for a run that a backfill starts.
const STARTED_WITHIN: Duration = Duration::from_secs(3);
/// Time after a write within which the server recomputes a schedule's next
/// runs.
const RECOMPUTED_WITHIN: Duration = Duration::from_secs(1);
/// Maximum wait of a backfill for a moment at which no run is due.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// Maximum number of backfills of lost runs, since each may drop another run.
const ROUNDS: u32 = 8;

/// Finds and starts runs that writes dropped.
pub(crate) struct Recovery<'a> {
    /// The client for requests.
    pub(crate) schedules: &'a Schedules,
    pub(crate) project: &'a Project,
    /// The server's present time.
    pub(crate) clock: ServerClock,
}

/// A write, and the runs that were due at it.
pub(crate) struct Written<'a> {
    /// The schedule that was written.
    pub(crate) schedule: &'a ScheduleId,
    /// The server's time of the write.
    pub(crate) at: Timestamp,
    /// The possible workflow ids, without the time that each run appends.
    pub(crate) workflow_ids: Vec<&'a str>,
    /// Number of runs that were due and skipped or missed before the write.
    pub(crate) passed_over: i64,
    /// The runs that were due at the write.
    pub(crate) at_risk: Vec<DueRun>,
}

/// The runs that were at risk and were not seen to start without help.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Runs that were dropped and have been started.
    pub(crate) started: Vec<DueRun>,
    /// Runs that were dropped and start when an earlier run has ended.
    pub(crate) waiting: Vec<DueRun>,
    /// Runs that were dropped and could not be started.
    pub(crate) lost: Vec<DueRun>,
    /// Runs that were not seen to start. The overlap policy may have skipped
    /// them, a backfill had no answer, or they start later.
    pub(crate) unsure: Vec<DueRun>,
}

/// The result of looking for runs that were at risk.
pub(crate) struct LookupResult {
    /// Runs that will not start.
    pub(crate) lost: Vec<DueRun>,
    /// The unsure runs of [`Recovered`].
    pub(crate) unsure: Vec<DueRun>,
    /// The last description of the schedule. `None` if the schedule is not
    /// managed any more, or could never be described.
    now: Option<Described>,
}

impl Recovery<'_> {
    /// Looks for the runs at risk by a write, and starts those that will not
    /// start.
    pub(crate) async fn recover(
        &self,
        written: Written<'_>,
        permit: &mut OperationPermit<'_>,
    ) -> Recovered {
        if written.at_risk.is_empty() {
            return Recovered::default();
        }
        let LookupResult { lost, unsure, now } =
            Box::pin(self.poll_lost_runs(&written, permit)).await;
        let mut recovered = Recovered {
            unsure,
            ..Recovered::default()
        };
        match now {
            Some(now) if !lost.is_empty() => {
                let mut more = Box::pin(self.start_all(now, lost, permit)).await;
                more.unsure.append(&mut recovered.unsure);
                recovered = more;
            }
            _ => recovered.lost.extend(lost),
        }
        recovered
    }

    /// Starts runs that will not start by themselves, then the runs that these
    /// backfills drop, in at most [`ROUNDS`] rounds.
    pub(crate) async fn start_all(
        &self,
        described: Described,
        lost: Vec<DueRun>,
        permit: &mut OperationPermit<'_>,
    ) -> Recovered {
        let mut recovered = Recovered::default();
        let mut described = described;
        let mut lost = lost;
        for _ in 0..ROUNDS {
            if lost.is_empty() {
                return recovered;
            }
            let (now, early) = match self.wait_for_quiet(described, permit).await {
                Ok(Some(quiet)) => quiet,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "cannot describe a schedule");
                    break;
                }
            };
            let elsewhere;
            (lost, elsewhere) = compute(|| split_by_spec(lost, &now));
            recovered.lost.extend(elsewhere);
            if lost.is_empty() || now.live.values.paused {
                break;
            }
            let id = &now.live.schedule;
            // The schedule may still show one of the runs in `lost`.
            let early = early.filter(|early| lost.iter().all(|due| due.nominal != early.nominal));
            let starts: Vec<DueRun> = lost.iter().copied().chain(early).collect();
            match self.start(&now, &starts).await {
                Ok(()) => self.confirm(&now, &lost, &mut recovered, permit).await,
                // The backfill may have happened: a second one could start the
                // runs twice.
                Err(error) if error.is_ambiguous() => {
                    tracing::warn!(schedule = %id, %error, "the server did not answer a backfill of dropped runs");
                    recovered.unsure.append(&mut lost);
                    return recovered;
                }
                Err(error) => {
                    tracing::warn!(schedule = %id, %error, "cannot start runs that a write dropped");
                    break;
                }
            }
            let LookupResult {
                lost: next,
                unsure,
                now,
            } = self.find_dropped_by_patch(&now, &starts, permit).await;
            recovered.unsure.extend(unsure);
            lost = next;
            match now {
                Some(now) => described = now,
                None => break,
            }
        }
        recovered.lost.append(&mut lost);
        recovered
    }

    /// Waits until the runs that a patch starts exist, or wait for another run
    /// to end.
    async fn confirm(
        &self,
        before: &Described,
        starts: &[DueRun],
        recovered: &mut Recovered,
        permit: &mut OperationPermit<'_>,
    ) {
        let began = Instant::now();
        let workflow_id = &before.live.values.action.workflow_id;
        let mut missing = starts.to_vec();
        let mut is_waiting = false;
        while !missing.is_empty() && began.elapsed() < STARTED_WITHIN {
            if let Ok(Some(now)) = self.describe(&before.live.schedule).await {
                is_waiting = now.buffered > 0;
            }
            let mut rest = Vec::new();
            for due in missing {
                match has_run(self.schedules, workflow_id, &due).await {
                    Ok(true) => recovered.started.push(due),
                    Ok(false) | Err(_) => rest.push(due),
                }
            }
            missing = rest;
            if !missing.is_empty() {
                permit.sleep(POLL_INTERVAL).await;
            }
        }
        if is_waiting {
            recovered.waiting.append(&mut missing);
        } else {
            recovered.unsure.append(&mut missing);
        }
    }

    /// Looks for the runs that a patch dropped, without those in `starts`,
    /// which the patch itself starts. `before` is the schedule before the
    /// patch.
    async fn find_dropped_by_patch(
        &self,
        before: &Described,
        starts: &[DueRun],
        permit: &mut OperationPermit<'_>,
    ) -> LookupResult {
        let id = &before.live.schedule;
        let after = self.describe(id).await.ok().flatten();
        let at = after.as_ref().and_then(|after| after.live.updated_at);
        // If the time of the patch is not known, it may have dropped all that
        // was due until now.
        let at = at.unwrap_or_else(|| self.clock.now().latest);
        let mut at_risk = match before.backend() {
            Backend::Workflow => Vec::new(),
            Backend::Chasm => at_risk(
                &before.live.values.spec,
                &before.coming,
                at,
                before.live.remaining_actions,
            ),
        };
        at_risk.retain(|due| starts.iter().all(|one| one.nominal != due.nominal));
        let written = Written {
            schedule: id,
            at,
            workflow_ids: vec![&before.live.values.action.workflow_id],
            passed_over: before.passed_over,
            at_risk,
        };
        if written.at_risk.is_empty() {
            return LookupResult {
                lost: Vec::new(),
                unsure: Vec::new(),
                now: after,
            };
        }
        self.poll_lost_runs(&written, permit).await
    }

    /// Starts the runs for these times. No run is skipped because an earlier
    /// run has not ended: under a policy that skips or buffers, it waits for
    /// that run to end.
    pub(crate) async fn start(
        &self,
        described: &Described,
        runs: &[DueRun],
    ) -> Result<(), RequestError> {
        let policy = match described.live.values.overlap_policy {
            policy @ (OverlapPolicy::AllowAll
            | OverlapPolicy::CancelOther
            | OverlapPolicy::TerminateOther) => policy,
            OverlapPolicy::Skip | OverlapPolicy::BufferOne | OverlapPolicy::BufferAll => {
                OverlapPolicy::BufferAll
            }
        };
        let sent = self.schedules.backfill_times(
            &described.live.schedule,
            &described.live.values.spec,
            runs.iter().map(|due| due.nominal),
            policy,
            request_id(),
        );
        timeout(PATCH_TIMEOUT, sent).await.unwrap_or_else(|_| {
            let why = "the server did not answer a request to start a run";
            Err(RequestError::Unavailable(why.to_owned()))
        })
    }

    async fn describe(&self, id: &ScheduleId) -> Result<Option<Described>, RequestError> {
        let response = self.schedules.describe(id).await?;
        Ok(self.schedules.live(self.project, id, response))
    }

    /// Waits for a moment at which no run is due, up to [`QUIET_WITHIN`].
    /// Returns the schedule as it was then. Also returns a run that the patch
    /// must start because the patch would drop it. `None` if the schedule is
    /// not managed any more.
    async fn wait_for_quiet(
        &self,
        described: Described,
        permit: &mut OperationPermit<'_>,
    ) -> Result<Option<(Described, Option<DueRun>)>, RequestError> {
        let deadline = Instant::now() + QUIET_WITHIN;
        let mut now = described;
        loop {
            let is_kept = now.backend() == Backend::Workflow || now.live.values.paused;
            let spec = &now.live.values.spec;
            let moment = if is_kept {
                WriteMoment::Quiet
            } else {
                WriteGuard::Due.moment(spec, &now.coming, self.clock.now())
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match moment {
                WriteMoment::Wait(wait) if !left.is_zero() => {
                    permit.sleep(wait.max(POLL_INTERVAL).min(left)).await;
                }
                WriteMoment::Due(due)
                    if due.is_known && self.schedules.drops_due_runs().await? =>
                {
                    return Ok(Some((now, Some(due))));
                }
                _ => return Ok(Some((now, None))),
            }
            match self.describe(&now.live.schedule).await? {
                Some(again) => now = again,
                None => return Ok(None),
            }
        }
    }

    /// Looks for runs that were due at a write, up to [`LOOKUP_TIMEOUT`], until
    /// each was started or will certainly not start.
    pub(crate) async fn poll_lost_runs(
        &self,
        written: &Written<'_>,
        permit: &mut OperationPermit<'_>,
    ) -> LookupResult {
        let began = Instant::now();
        let mut risk = written.at_risk.clone();
        let mut lost = Vec::new();
        let mut now = None;
        loop {
            // The schedule is described first: a run that it does not hold any
            // more then was started.
            let shown = match self.describe(written.schedule).await {
                Ok(None) | Err(RequestError::NotFound) => {
                    now = None;
                    break;
                }
                Ok(Some(shown)) => Some(shown),
                // An error proves nothing: the runs are looked for again.
                Err(_) => None,
            };
            if let Some(shown) = shown {
                let drops_due_runs = shown.backend() == Backend::Chasm
                    && self.schedules.drops_due_runs().await.unwrap_or(false);
                let is_late = began.elapsed() > RECOMPUTED_WITHIN;
                let mut unknown = Vec::new();
                for due in risk {
                    let outcome = match written.has_run(self.schedules, &due).await {
                        Ok(true) if due.is_known => continue,
                        Ok(_) => compute(|| {
                            start_outcome(&due, written, &shown, drops_due_runs, is_late)
                        }),
                        Err(_) => StartOutcome::Unknown,
                    };
                    match outcome {
                        StartOutcome::Lost => lost.push(due),
                        StartOutcome::WillStart => {}
                        StartOutcome::Unknown => unknown.push(due),
                    }
                }
                risk = unknown;
                now = Some(shown);
            }
            if risk.is_empty() || began.elapsed() > LOOKUP_TIMEOUT {
                break;
            }
            permit.sleep(POLL_INTERVAL).await;
        }
        LookupResult {
            lost,
            unsure: risk,
            now,
        }
    }
}

impl Written<'_> {
    async fn has_run(&self, schedules: &Schedules, due: &DueRun) -> Result<bool, RequestError> {
        for workflow_id in &self.workflow_ids {
            if has_run(schedules, workflow_id, due).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The expected outcome of a run that was due at a write and was not seen to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartOutcome {
    /// The run will not start.
    Lost,
    /// The schedule starts the run later.
    WillStart,
    /// The run may be starting, or it was skipped.
    Unknown,
}

/// The outcome of a run, from the schedule as it was before the run was looked
/// for.
fn start_outcome(
    due: &DueRun,
    written: &Written<'_>,
    shown: &Described,
    drops_due_runs: bool,
    is_late: bool,
) -> StartOutcome {
    if !due.is_known {
        return StartOutcome::Unknown;
    }
    let spec = &shown.live.values.spec;
    let mut coming = shown.coming.iter();
    let is_shown = coming.any(|starts| DueRun::of(spec, *starts).nominal == due.nominal);
    // A run that began before the write stays in the buffer until it is
    // started.
    let nothing_waits = shown.buffered == 0 && shown.passed_over == written.passed_over;
    let had_begun = due.starts <= written.at;
    // The times until the write are over, even if the schedule shows them until
    // it recomputes its times.
    let is_over = drops_due_runs || shown.live.values.paused;
    if had_begun {
        if !is_over && is_late && is_shown {
            return StartOutcome::WillStart;
        }
        // The workflow-backed scheduler may hold a run outside of its buffer
        // for a moment.
        let is_certain = drops_due_runs || is_late;
        return if nothing_waits && is_certain {
            StartOutcome::Lost
        } else {
            StartOutcome::Unknown
        };
    }
    if is_over {
        return StartOutcome::Lost;
    }
    match (is_late, is_shown) {
        (false, _) => StartOutcome::Unknown,
        (true, true) => StartOutcome::WillStart,
        (true, false) => StartOutcome::Lost,
    }
}

/// Splits runs into those whose times the spec still has, and the others. A
/// backfill can start only times of the present spec.
fn split_by_spec(runs: Vec<DueRun>, now: &Described) -> (Vec<DueRun>, Vec<DueRun>) {
    let spec = &now.live.values.spec;
    runs.into_iter().partition(|due| {
        let before = due.nominal - SignedDuration::from_nanos(1);
        spec.times_after(before, 1).times.first() == Some(&due.nominal)
    })
}

/// Returns `true` if the run for a time was started. Its workflow id ends in
/// the time.
pub(crate) async fn has_run(
    schedules: &Schedules,
    workflow_id: &str,
    due: &DueRun,
) -> Result<bool, RequestError> {
    let time = due.nominal.strftime("%Y-%m-%dT%H:%M:%SZ");
    schedules
        .has_workflow(&format!("{workflow_id}-{time}"))
        .await
}

#[cfg(test)]
mod tests {
    use almanac_times::compile_cron;
    use temporalio_common::protos::temporal::api::schedule::v1::{
        Schedule, ScheduleInfo, ScheduleState,
    };
    use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

    use super::*;
    use crate::schedules::wire;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    /// A schedule that fires every minute, and whose next runs start at `coming`.
    fn shown(paused: bool, buffered: i64, coming: &[&str]) -> Described {
        let project: Project = "p".parse().unwrap();
        let definition = "job".parse().unwrap();
        let id = project.schedule_id(&definition);
        let body = Schedule {
            state: Some(ScheduleState {
                paused,
                ..ScheduleState::default()
            }),
            ..Schedule::default()
        };
        let response = DescribeScheduleResponse {
            memo: Some(wire::owner_memo(&project, &definition)),
            info: Some(ScheduleInfo {
                buffer_size: buffered,
                ..ScheduleInfo::default()
            }),
            schedule: Some(body),
            ..DescribeScheduleResponse::default()
        };
        let mut shown = wire::live(&project, &id, response).unwrap();
        let spec = &mut shown.live.values.spec;
        spec.calendars = compile_cron("* * * * *")
            .unwrap()
            .calendars
            .into_iter()
            .collect();
        spec.jitter = Duration::from_secs(50);
        shown.coming = coming.iter().map(|text| at(text)).collect();
        shown
    }

    #[test]
    fn a_run_is_lost_only_if_nothing_can_start_it() {
        use StartOutcome::{Lost, Unknown, WillStart};
        let begins = |starts| DueRun {
            nominal: at("00:05:00"),
            starts: at(starts),
            is_known: true,
        };
        // Written at 00:05:20; the run was to start before that, or after it.
        let (begun, later) = (begins("00:05:10"), begins("00:05:30"));
        let next = &["00:06:05"][..];
        let same = &["00:05:30", "00:06:05"][..];
        for (due, is_paused, buffered, coming, drops_due_runs, is_late, expected) in [
            // A server that drops due runs: its list of starts may be an old one.
            (later, false, 0, next, true, false, Lost),
            (later, false, 0, same, true, true, Lost),
            (later, false, 1, next, true, true, Lost),
            (begun, false, 0, next, true, false, Lost),
            (begun, false, 1, next, true, true, Unknown),
            // A server that is not known to drop due runs.
            (later, false, 0, same, false, false, Unknown),
            (later, false, 0, same, false, true, WillStart),
            (later, false, 0, next, false, false, Unknown),
            (later, false, 0, next, false, true, Lost),
            (begun, false, 0, next, false, false, Unknown),
            (begun, false, 0, next, false, true, Lost),
            (begun, false, 1, next, false, true, Unknown),
            // A paused schedule starts nothing; what is left of its buffer may be starting.
            (later, true, 0, same, false, false, Lost),
            (begun, true, 0, same, false, false, Unknown),
            (begun, true, 0, same, false, true, Lost),
            (begun, true, 1, same, false, true, Unknown),
        ] {
            let shown = shown(is_paused, buffered, coming);
            let written = Written {
                schedule: &shown.live.schedule,
                at: at("00:05:20"),
                workflow_ids: vec!["p/job"],
                passed_over: 0,
                at_risk: vec![due],
            };
            let found = start_outcome(&due, &written, &shown, drops_due_runs, is_late);
            assert_eq!(
                found, expected,
                "{due:?} {drops_due_runs} {is_late} {shown:?}"
            );
            // The nominal time is a guess, or another run was skipped and may be this
            // one: the outcome is unknown.
            let guess = DueRun {
                is_known: false,
                ..due
            };
            assert_eq!(
                start_outcome(&guess, &written, &shown, drops_due_runs, is_late),
                Unknown
            );
            let mut skipped = shown.clone();
            skipped.passed_over = 1;
            if due == begun {
                assert_eq!(
                    start_outcome(&due, &written, &skipped, drops_due_runs, is_late),
                    Unknown
                );
            }
        }
    }
}
