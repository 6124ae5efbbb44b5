//! The times of an adoption: quiet moments, and times that neither schedule
//! ran.

use std::collections::BTreeSet;
use std::time::Duration;

use almanac_base::names::ScheduleId;
use almanac_core::definition::OverlapPolicy;
use almanac_core::schedule::Desired;
use almanac_times::{Quiet, Spec};
use jiff::{SignedDuration, Timestamp};

use super::adopted::AdoptedSchedule;
use super::{AdoptError, Adopter, request};
use crate::blocking::compute;
use crate::schedules::Schedules;
use crate::schedules::due_runs::DueRun;
use crate::schedules::operation_permit::OperationPermit;
use crate::schedules::recovery::{Recovery, has_run};

/// The time without a run, before and after the exchange of the two schedules.
pub const QUIET: Quiet = Quiet {
    before: Duration::from_secs(2),
    after: Duration::from_secs(3),
};
/// A shorter quiet time, for a schedule that runs every few seconds.
const NARROW: Quiet = Quiet {
    before: Duration::from_secs(1),
    after: Duration::from_millis(700),
};
/// The shortest quiet time, for a schedule that runs every second: just after a
/// run.
const NARROWEST: Quiet = Quiet {
    before: Duration::from_millis(600),
    after: Duration::from_millis(100),
};
/// Interval between two descriptions of the old schedule.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum wait for a quiet moment.
pub(super) const QUIET_TIMEOUT: SignedDuration = SignedDuration::from_secs(10);
/// Time within which a run that is due starts.
const STARTS_WITHIN: SignedDuration = SignedDuration::from_secs(3);
/// Maximum wait for a run in a buffer to start.
const BUFFER_WAIT: SignedDuration = SignedDuration::from_secs(20);
/// Maximum number of missed times that the new schedule runs.
const MISSED_LIMIT: usize = 1000;

impl Adopter<'_> {
    /// Starts the runs for those of these times that neither schedule ran.
    /// Returns the number of runs and the times that could not be run.
    ///
    /// The server may drop a time that is due and not yet handled when a
    /// schedule is written. The caller therefore also passes the times just
    /// before each write.
    pub(super) async fn start_missed(
        &self,
        desired: &Desired,
        old: &AdoptedSchedule,
        due: BTreeSet<Timestamp>,
    ) -> Result<(usize, Vec<Timestamp>), AdoptError> {
        let new = self.must(&desired.schedule).await?;
        if !old.marked || new.live.values.paused {
            return Ok((0, Vec::new()));
        }
        let missed = self.missed(desired, old, due).await?;
        if missed.is_empty() {
            return Ok((0, Vec::new()));
        }
        wait_for_quiet(desired, old).await?;
        let gone = missed.into_iter().map(DueRun::at).collect();
        let recovery = Recovery {
            schedules: self.schedules,
            project: self.project,
            clock: self.clock,
        };
        let recovered =
            Box::pin(recovery.start_all(new, gone, &mut OperationPermit::unlimited())).await;
        let lost = recovered.lost.iter().chain(&recovered.unsure);
        Ok((
            recovered.started.len() + recovered.waiting.len(),
            lost.map(|due| due.nominal).collect(),
        ))
    }

    /// Selects the times that neither schedule ran. A run that was due before
    /// the pause of the old schedule may still be starting, so it is polled
    /// for. It may also have been skipped because an earlier run had not ended.
    async fn missed(
        &self,
        desired: &Desired,
        old: &AdoptedSchedule,
        due: BTreeSet<Timestamp>,
    ) -> Result<BTreeSet<Timestamp>, AdoptError> {
        let names = [
            old.values.action.workflow_id.as_str(),
            desired.values.action.workflow_id.as_str(),
        ];
        let busy = old.runs > 0 && old.values.overlap_policy != OverlapPolicy::AllowAll;
        let mut missed = BTreeSet::new();
        for time in due {
            let patient = time <= old.updated;
            let mut ran = false;
            loop {
                // A run that waits in a buffer has yet to start.
                let waits = patient && self.buffered(&old.id).await? > 0;
                for name in names {
                    let found = has_run(self.schedules, name, &DueRun::at(time)).await;
                    ran = ran || found.map_err(request("find a run of", &old.id))?;
                }
                let age = Timestamp::now().duration_since(old.updated);
                if ran || !patient || (age > STARTS_WITHIN && !waits) || age > BUFFER_WAIT {
                    break;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            let skipped = patient && busy;
            if !ran && !skipped {
                missed.insert(time);
            }
        }
        Ok(missed)
    }

    /// Number of runs that wait in a schedule's buffer.
    async fn buffered(&self, id: &ScheduleId) -> Result<i64, AdoptError> {
        let response = self.schedules.describe(id).await;
        let response = response.map_err(request("describe", id))?;
        Ok(response.info.map_or(0, |info| info.buffer_size))
    }
}

/// Times of the new schedule that the old one may not have run any more, and
/// that the new one, released at `now`, did not run.
pub(super) async fn between(
    schedules: &Schedules,
    old: &AdoptedSchedule,
    desired: &Desired,
    now: Timestamp,
) -> BTreeSet<Timestamp> {
    let spec = &desired.values.spec;
    // At a quiet moment, no run with jitter is due around the pause.
    let before = if spec.jitter.is_zero() {
        STARTS_WITHIN
    } else {
        SignedDuration::ZERO
    };
    let oldest = now.saturating_sub(signed(desired.values.catchup_window));
    let start = (old.updated - before).max(oldest.unwrap_or(Timestamp::MIN));
    let (times_of_old, mut due) = futures::join!(
        served_until(schedules, &old.id, &old.values.spec, start, old.updated),
        served_until(schedules, &desired.schedule, spec, start, now)
    );
    due.retain(|time| *time > old.updated || times_of_old.contains(time));
    due
}

/// The times of a spec after `after` and before `until`. The server computes
/// them if its time zone data matter. With jitter they are computed here,
/// because the server then lists other times than those that runs are named
/// after.
async fn served_until(
    schedules: &Schedules,
    id: &ScheduleId,
    spec: &Spec,
    after: Timestamp,
    until: Timestamp,
) -> BTreeSet<Timestamp> {
    if !spec.depends_on_zone() || !spec.jitter.is_zero() {
        return times_until(spec, after, until);
    }
    let start = spec.search_start(after);
    match schedules.matching_times(id, start, until).await {
        Ok(times) => times
            .into_iter()
            .filter(|time| *time > after && *time < until)
            .collect(),
        Err(error) => {
            tracing::debug!(schedule = %id, %error, "cannot get the server's times");
            times_until(spec, after, until)
        }
    }
}

fn times_until(spec: &Spec, after: Timestamp, until: Timestamp) -> BTreeSet<Timestamp> {
    let found = compute(|| spec.times_after(after, MISSED_LIMIT));
    found
        .times
        .into_iter()
        .take_while(|time| *time < until)
        .collect()
}

/// Waits for a moment at which neither schedule runs. Schedules that run too
/// often for such a moment are exchanged immediately; the runs that they miss
/// are started afterwards.
pub(super) async fn wait_for_quiet(
    desired: &Desired,
    old: &AdoptedSchedule,
) -> Result<(), AdoptError> {
    let specs = [&old.values.spec, &desired.values.spec];
    let now = Timestamp::now();
    let found = compute(|| {
        let quiet = [QUIET, NARROW, NARROWEST];
        quiet
            .iter()
            .find_map(|quiet| quiet.next(&specs, now, now + QUIET_TIMEOUT))
    });
    let jitter = specs.iter().any(|spec| !spec.jitter.is_zero());
    match found {
        Some(at) => {
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            tokio::time::sleep(wait).await;
            Ok(())
        }
        None if jitter => {
            let week = SignedDuration::from_hours(24 * 7);
            let next = compute(|| QUIET.next(&specs, now, now + week));
            Err(AdoptError::NotQuiet(old.id.clone(), next))
        }
        None => Ok(()),
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::from_hours(24 * 365))
}
