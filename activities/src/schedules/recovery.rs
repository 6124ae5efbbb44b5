//! Runs that a write dropped: found, and started once.
//!
//! Expected flow: whoever wrote a schedule names the runs that were due at the
//! write ([`super::due::at_risk`]). Each is looked for: one that was started,
//! or still comes, is well. What is certainly gone is started by a backfill.
//! That is a write too, so it waits for a moment at which no run is due, and
//! the runs at risk by it are looked for in the next round.
//!
//! Guarantees: a run is started only when the schedule has not started it and
//! will not; what cannot be told is said. Not starting a run twice counts more
//! than starting it.

use std::time::Duration;

use almanac_workflows::definition::OverlapPolicy;
use almanac_workflows::names::{Project, ScheduleId};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};

use super::apply::request_id;
use super::due::{Backend, Due, Guard, Moment, ServerClock, at_risk};
use super::slot::Slot;
use super::wire::Described;
use super::{RequestError, Schedules};

/// A patch that starts a run may take this long.
const PATCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two descriptions of one schedule.
const LOOK: Duration = Duration::from_millis(100);
/// A run that was due at a write is looked for this long.
const LOOKED_FOR: Duration = Duration::from_secs(5);
/// The server computes a schedule's next runs anew within this of a write.
const COMPUTED: Duration = Duration::from_secs(1);
/// A backfill waits this long for a moment at which no run is due.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// How often lost runs are started: each time may lose another.
const ROUNDS: u32 = 8;

/// Finds and starts runs that writes dropped.
pub(crate) struct Recovery<'a> {
    /// The requests.
    pub(crate) schedules: &'a Schedules,
    /// The project.
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
    /// The workflow id that its runs begin with.
    pub(crate) workflow_id: &'a str,
    /// Its runs that were due and not started before the write, so far.
    pub(crate) passed_over: i64,
    /// Its runs that were due at the write.
    pub(crate) at_risk: Vec<Due>,
}

/// What became of runs that were at risk and were not seen to start by themselves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// They were dropped, and were started.
    pub(crate) started: Vec<Due>,
    /// They were dropped, and could not be started.
    pub(crate) lost: Vec<Due>,
    /// The overlap policy may have skipped them, or they may start yet.
    pub(crate) unsure: Vec<Due>,
}

/// What looking for runs came to.
pub(crate) struct Looked {
    /// They will not start.
    pub(crate) gone: Vec<Due>,
    /// As in [`Recovered`].
    pub(crate) unsure: Vec<Due>,
    /// The schedule as it was last described; `None` where it is not ours any more.
    now: Option<Described>,
}

impl Recovery<'_> {
    /// Looks for the runs at risk by a write, and starts those that are gone.
    pub(crate) async fn recover(&self, written: Written<'_>, slot: &mut Slot<'_>) -> Recovered {
        if written.at_risk.is_empty() {
            return Recovered::default();
        }
        let Looked { gone, unsure, now } = Box::pin(self.look_for(&written, slot)).await;
        let mut recovered = Recovered {
            unsure,
            ..Recovered::default()
        };
        match now {
            Some(now) if !gone.is_empty() => {
                let policy = now.live.values.overlap_policy;
                let more = Box::pin(self.start_all(now, gone, policy, slot)).await;
                recovered.started.extend(more.started);
                recovered.lost.extend(more.lost);
                recovered.unsure.extend(more.unsure);
            }
            _ => recovered.lost.extend(gone),
        }
        recovered
    }

    /// Starts runs that are gone, and those that this drops.
    pub(crate) async fn start_all(
        &self,
        described: Described,
        gone: Vec<Due>,
        policy: OverlapPolicy,
        slot: &mut Slot<'_>,
    ) -> Recovered {
        let mut recovered = Recovered::default();
        let mut described = described;
        let mut gone = gone;
        for _ in 0..ROUNDS {
            if gone.is_empty() {
                return recovered;
            }
            let (now, early) = match self.wait_for_quiet(described.clone(), slot).await {
                Ok(Some(settled)) => settled,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "a schedule cannot be described");
                    break;
                }
            };
            // A backfill knows the times that the schedule has now.
            let spec = &now.live.values.spec;
            let is_there = |due: &Due| {
                let before = due.nominal - SignedDuration::from_nanos(1);
                spec.times_after(before, 1).times.first() == Some(&due.nominal)
            };
            let (there, elsewhere): (Vec<_>, Vec<_>) = gone.into_iter().partition(is_there);
            recovered.lost.extend(elsewhere);
            gone = there;
            if gone.is_empty() || now.live.values.paused {
                break;
            }
            let id = &now.live.schedule;
            let starts: Vec<Due> = gone.iter().copied().chain(early).collect();
            if let Err(error) = self.start(&now, &starts, policy).await {
                tracing::warn!(schedule = %id, %error, "runs that a write dropped cannot be started");
                break;
            }
            recovered.started.append(&mut gone);
            // The patch is a write too.
            let Ok(Some(after)) = self.describe(id).await else {
                return recovered;
            };
            let mut risk = match now.backend() {
                Backend::Workflow => Vec::new(),
                Backend::Chasm => at_risk(
                    spec,
                    &now.coming,
                    after.live.updated_at.unwrap_or(Timestamp::MIN),
                ),
            };
            risk.retain(|due| starts.iter().all(|one| one.nominal != due.nominal));
            let written = Written {
                schedule: id,
                at: after.live.updated_at.unwrap_or(Timestamp::MIN),
                workflow_id: &now.live.values.action.workflow_id,
                passed_over: now.passed_over,
                at_risk: risk,
            };
            if written.at_risk.is_empty() {
                return recovered;
            }
            let looked = self.look_for(&written, slot).await;
            recovered.unsure.extend(looked.unsure);
            gone = looked.gone;
            match looked.now {
                Some(now) => described = now,
                None => break,
            }
        }
        recovered.lost.append(&mut gone);
        recovered
    }

    /// Starts runs for their times, under an overlap policy.
    pub(crate) async fn start(
        &self,
        described: &Described,
        runs: &[Due],
        policy: OverlapPolicy,
    ) -> Result<(), RequestError> {
        let sent = self.schedules.backfill_times(
            &described.live.schedule,
            &described.live.values.spec,
            runs.iter().map(|due| due.nominal),
            policy,
            request_id(),
        );
        timeout(PATCH_TIMEOUT, sent).await.unwrap_or_else(|_| {
            let why = "a run was to be started, and the server did not answer";
            Err(RequestError::Unavailable(why.to_owned()))
        })
    }

    async fn describe(&self, id: &ScheduleId) -> Result<Option<Described>, RequestError> {
        let response = self.schedules.describe(id).await?;
        Ok(self.schedules.live(self.project, id, response))
    }

    /// Waits a while for a moment at which no run is due. The schedule then,
    /// and the run that a patch must start, since it would drop it; `None`
    /// where the schedule is not ours any more.
    async fn wait_for_quiet(
        &self,
        described: Described,
        slot: &mut Slot<'_>,
    ) -> Result<Option<(Described, Option<Due>)>, RequestError> {
        let deadline = Instant::now() + QUIET_WITHIN;
        let mut now = described;
        loop {
            let is_kept = now.backend() == Backend::Workflow || now.live.values.paused;
            let spec = &now.live.values.spec;
            let moment = if is_kept {
                Moment::Quiet
            } else {
                Guard::Due.moment(spec, &now.coming, self.clock.now())
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match moment {
                Moment::Wait(wait) if !left.is_zero() => slot.sleep(wait.max(LOOK).min(left)).await,
                Moment::Due(due) if due.is_known && self.schedules.drops_due_runs().await? => {
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

    /// Looks for runs that were due at a write until each was started, or is
    /// gone for certain, or a while is over.
    pub(crate) async fn look_for(&self, written: &Written<'_>, slot: &mut Slot<'_>) -> Looked {
        let began = Instant::now();
        let mut risk = written.at_risk.clone();
        let mut gone = Vec::new();
        let mut now = None;
        loop {
            // First the schedule: what it does not hold any more then was started.
            let shown = match self.describe(written.schedule).await {
                Ok(None) | Err(RequestError::NotFound) => {
                    now = None;
                    break;
                }
                Ok(Some(shown)) => Some(shown),
                // An error tells nothing: it is looked for again.
                Err(_) => None,
            };
            if let Some(shown) = shown {
                let forgets = shown.backend() == Backend::Chasm
                    && self.schedules.drops_due_runs().await.unwrap_or(false);
                let is_late = began.elapsed() > COMPUTED;
                let mut unknown = Vec::new();
                for due in risk {
                    let fate = match has_run(self.schedules, written.workflow_id, &due).await {
                        Ok(true) if due.is_known => continue,
                        Ok(_) => fate(&due, written, &shown, forgets, is_late),
                        Err(_) => Fate::Unknown,
                    };
                    match fate {
                        Fate::Gone => gone.push(due),
                        Fate::Comes => {}
                        Fate::Unknown => unknown.push(due),
                    }
                }
                risk = unknown;
                now = Some(shown);
            }
            if risk.is_empty() || began.elapsed() > LOOKED_FOR {
                break;
            }
            slot.sleep(LOOK).await;
        }
        Looked {
            gone,
            unsure: risk,
            now,
        }
    }
}

/// What becomes of a run that was due at a write and was not seen to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It will not start.
    Gone,
    /// The schedule starts it later.
    Comes,
    /// It may be starting, or it was skipped.
    Unknown,
}

/// The fate of a run, by what its schedule showed before the run was looked for.
fn fate(due: &Due, written: &Written<'_>, shown: &Described, forgets: bool, is_late: bool) -> Fate {
    if !due.is_known {
        return Fate::Unknown;
    }
    let spec = &shown.live.values.spec;
    let mut coming = shown.coming.iter();
    let is_shown = coming.any(|starts| Due::of(spec, *starts).nominal == due.nominal);
    // What began before the write waits in the buffer until it is started.
    let nothing_waits = shown.buffered == 0 && shown.passed_over == written.passed_over;
    let had_begun = due.starts <= written.at;
    // Its times until the write are over, whatever the schedule shows until it
    // computes them anew.
    let is_over = forgets || shown.live.values.paused;
    match () {
        () if is_over && !had_begun => Fate::Gone,
        () if !is_over && is_late && is_shown => Fate::Comes,
        () if had_begun && nothing_waits && (forgets || is_late) => Fate::Gone,
        () if !is_over && is_late && !had_begun => Fate::Gone,
        () => Fate::Unknown,
    }
}

/// Whether the run for a time was started: its workflow id ends in it.
pub(crate) async fn has_run(
    schedules: &Schedules,
    workflow_id: &str,
    due: &Due,
) -> Result<bool, RequestError> {
    let time = due.nominal.strftime("%Y-%m-%dT%H:%M:%SZ");
    schedules
        .has_workflow(&format!("{workflow_id}-{time}"))
        .await
}

#[cfg(test)]
mod tests {
    use almanac_workflows::times::compile_cron;
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
    fn a_run_is_gone_only_when_nothing_can_start_it() {
        use Fate::{Comes, Gone, Unknown};
        let begins = |starts| Due {
            nominal: at("00:05:00"),
            starts: at(starts),
            is_known: true,
        };
        // Written at 00:05:20; the run was to start before that, or after it.
        let (begun, later) = (begins("00:05:10"), begins("00:05:30"));
        let next = &["00:06:05"][..];
        let same = &["00:05:30", "00:06:05"][..];
        for (due, is_paused, buffered, coming, forgets, is_late, expected) in [
            // A server that forgets: its list of starts may be an old one.
            (later, false, 0, next, true, false, Gone),
            (later, false, 0, same, true, true, Gone),
            (later, false, 1, next, true, true, Gone),
            (begun, false, 0, next, true, false, Gone),
            (begun, false, 1, next, true, true, Unknown),
            // One that is not known to forget.
            (later, false, 0, same, false, false, Unknown),
            (later, false, 0, same, false, true, Comes),
            (later, false, 0, next, false, false, Unknown),
            (later, false, 0, next, false, true, Gone),
            (begun, false, 0, next, false, false, Unknown),
            (begun, false, 0, next, false, true, Gone),
            (begun, false, 1, next, false, true, Unknown),
            // A paused schedule starts nothing but what waits in its buffer.
            (later, true, 0, same, false, false, Gone),
            (begun, true, 0, same, false, false, Unknown),
            (begun, true, 0, same, false, true, Gone),
            (begun, true, 1, same, false, true, Unknown),
        ] {
            let shown = shown(is_paused, buffered, coming);
            let written = Written {
                schedule: &shown.live.schedule,
                at: at("00:05:20"),
                workflow_id: "p/job",
                passed_over: 0,
                at_risk: vec![due],
            };
            let told = fate(&due, &written, &shown, forgets, is_late);
            assert_eq!(told, expected, "{due:?} {forgets} {is_late} {shown:?}");
            // Its time is a guess, or one more was skipped: that may be this one.
            let guess = Due {
                is_known: false,
                ..due
            };
            assert_eq!(fate(&guess, &written, &shown, forgets, is_late), Unknown);
            let mut skipped = shown.clone();
            skipped.passed_over = 1;
            if due == begun {
                assert_eq!(fate(&due, &written, &skipped, forgets, is_late), Unknown);
            }
        }
    }
}
