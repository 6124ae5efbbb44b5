//! The times of an adoption: moments at which neither schedule runs, and what
//! neither ran.

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

/// The time without a run in which the two are exchanged, where there is one.
pub const QUIET: Quiet = Quiet {
    before: Duration::from_secs(2),
    after: Duration::from_secs(3),
};
/// A narrower one, for a schedule that runs every few seconds.
const NARROW: Quiet = Quiet {
    before: Duration::from_secs(1),
    after: Duration::from_millis(700),
};
/// The narrowest, for one that runs every second: well after a run.
const NARROWEST: Quiet = Quiet {
    before: Duration::from_millis(600),
    after: Duration::from_millis(100),
};
/// Time between two looks.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long a quiet moment is waited for.
pub(super) const QUIET_TIMEOUT: SignedDuration = SignedDuration::from_secs(10);
/// A run that is due starts within this.
const STARTS_WITHIN: SignedDuration = SignedDuration::from_secs(3);
/// A run that waits in a buffer is waited for this long.
const BUFFER_WAIT: SignedDuration = SignedDuration::from_secs(20);
/// The most times that ours runs for the two.
const MISSED_LIMIT: usize = 1000;

impl Adopter<'_> {
    /// Runs what of these times nobody ran; the number of runs, and the times
    /// that could not be run.
    ///
    /// The server may drop a time that is due and not yet handled when a
    /// schedule is written: the times just before each write are looked at.
    pub(super) async fn start_missed(
        &self,
        desired: &Desired,
        old: &AdoptedSchedule,
        due: BTreeSet<Timestamp>,
    ) -> Result<(usize, Vec<Timestamp>), AdoptError> {
        let ours = self.must(&desired.schedule).await?;
        if !old.marked || ours.live.values.paused {
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
            Box::pin(recovery.start_all(ours, gone, &mut OperationPermit::unlimited())).await;
        let lost = recovered.lost.iter().chain(&recovered.unsure);
        Ok((
            recovered.started.len() + recovered.waiting.len(),
            lost.map(|due| due.nominal).collect(),
        ))
    }

    /// The times of these that nobody ran. A run that was due until the pause of
    /// the foreign schedule may be starting still, or may have been skipped,
    /// since an earlier run went on.
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
                // What waits in a buffer is started yet.
                let waits = patient && self.buffered(&old.id).await? > 0;
                for name in names {
                    let found = has_run(self.schedules, name, &DueRun::at(time)).await;
                    ran = ran || found.map_err(request("look for a run of", &old.id))?;
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

    /// The number of runs that wait in a schedule's buffer.
    async fn buffered(&self, id: &ScheduleId) -> Result<i64, AdoptError> {
        let response = self.schedules.describe(id).await;
        let response = response.map_err(request("describe", id))?;
        Ok(response.info.map_or(0, |info| info.buffer_size))
    }
}

/// The times of ours that the foreign one may not have run any more, and that
/// ours, let go at `now`, did not run.
pub(super) async fn between(
    schedules: &Schedules,
    old: &AdoptedSchedule,
    ours: &Desired,
    now: Timestamp,
) -> BTreeSet<Timestamp> {
    let spec = &ours.values.spec;
    // Around a pause at a quiet moment nothing with jitter is due.
    let before = if spec.jitter.is_zero() {
        STARTS_WITHIN
    } else {
        SignedDuration::ZERO
    };
    let oldest = now.saturating_sub(signed(ours.values.catchup_window));
    let start = (old.updated - before).max(oldest.unwrap_or(Timestamp::MIN));
    let (theirs, mut due) = futures::join!(
        served_until(schedules, &old.id, &old.values.spec, start, old.updated),
        served_until(schedules, &ours.schedule, spec, start, now)
    );
    due.retain(|time| *time > old.updated || theirs.contains(time));
    due
}

/// The same by the server's word, where its time zone data matter. With jitter
/// it tells other moments than those that runs are named after.
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
            tracing::debug!(schedule = %id, %error, "the server's times are not known");
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

/// Waits for a moment at which neither runs. One that runs so often that there
/// is none is exchanged at once: what it misses is seen.
pub(super) async fn wait_for_quiet(
    ours: &Desired,
    old: &AdoptedSchedule,
) -> Result<(), AdoptError> {
    let specs = [&old.values.spec, &ours.values.spec];
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
