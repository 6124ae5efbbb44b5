//! Reads what a timeline is made of, for a list of schedules: their runs, and
//! the descriptions of those schedules whose runs do not agree with their times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout, timeout_at};

use super::assemble::{DescribedLane, Draft, Timeline};
use super::gaps::Facts;
use super::model::Lane;
use super::runs::{self, LaneIds};
use super::window::Window;
use crate::blocking::compute;
use crate::schedules::view::{self, ListedSchedule, ViewContext};
use crate::schedules::{Missed, RequestError, Schedules, last_change, wire};

/// Number of schedules that are described at a time.
const CONCURRENCY: usize = 10;
/// Maximum time for the descriptions.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(5);
/// Maximum age of a description whose list entry has not changed.
const DESCRIPTION_AGE: Duration = Duration::from_mins(1);
/// Maximum number of descriptions that are kept.
const DESCRIPTIONS: usize = 1000;
/// Maximum age of the namespace's retention.
const RETENTION_AGE: Duration = Duration::from_mins(10);

/// Maximum number of runs that are read for the lane of one definition.
const LANE_RUNS: u64 = 2000;

/// Limits of what is read for one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineLimits {
    /// Maximum number of runs that started in the window.
    pub runs: u64,
    /// Maximum number of schedules that are described.
    pub described: usize,
    /// Maximum time for which a timeline waits for descriptions. Those that take longer are made
    /// for the next timeline.
    pub described_within: Duration,
}

impl Default for TimelineLimits {
    fn default() -> Self {
        Self {
            runs: 20_000,
            described: 100,
            described_within: DESCRIBED_WITHIN,
        }
    }
}

/// Reads timelines, and keeps for a short time what several of them need.
#[derive(Debug, Default)]
pub struct TimelineReader {
    limits: TimelineLimits,
    retention: Mutex<Option<(Instant, Option<Duration>)>>,
    descriptions: Arc<Descriptions>,
    /// Held by the one who describes schedules.
    describing: Arc<Mutex<()>>,
}

/// A description that was made before.
#[derive(Debug, Clone)]
struct Description {
    at: Instant,
    /// Digest of the list entry at that time.
    digest: u64,
    /// `None` if the schedule could not be described.
    lane: Option<DescribedLane>,
}

impl TimelineReader {
    /// Creates a reader with other limits than the usual ones.
    pub fn new(limits: TimelineLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Reads the timeline of a window for the project's schedules, as they were
    /// listed a moment ago. The runs, and the times up to the present, are those
    /// of now.
    ///
    /// # Errors
    /// The runs could not be listed.
    pub async fn read(
        &self,
        schedules: &Schedules,
        project: &Project,
        window: Window,
        listed: Vec<Arc<ListedSchedule>>,
    ) -> Result<Timeline, RequestError> {
        self.read_listed(schedules, project, window, listed, self.limits.runs)
            .await
    }

    /// Reads the lane of one definition's schedule, with the latest 2000 runs at most. `None` if
    /// there is no such schedule.
    ///
    /// # Errors
    /// The schedule could not be described, or its runs could not be listed.
    pub async fn read_lane(
        &self,
        schedules: &Schedules,
        context: ViewContext<'_>,
        window: Window,
        definition: &DefinitionId,
    ) -> Result<Option<Lane>, RequestError> {
        let Some(listed) = view::listed(schedules, definition, context).await? else {
            return Ok(None);
        };
        let listed = vec![Arc::new(listed)];
        let timeline = self.read_listed(schedules, context.project, window, listed, LANE_RUNS);
        let timeline = timeline.await?;
        let lane = timeline.lanes().first();
        Ok(lane.map(|lane| compute(|| timeline.lane_builder().lane(lane))))
    }

    async fn read_listed(
        &self,
        schedules: &Schedules,
        project: &Project,
        window: Window,
        listed: Vec<Arc<ListedSchedule>>,
        most_runs: u64,
    ) -> Result<Timeline, RequestError> {
        let now = Timestamp::now();
        if window.from() >= now {
            return Ok(compute(|| Timeline::of_future(window, now, listed)));
        }
        let lanes = LaneIds {
            prefix: &project.schedule_prefix(),
            ids: listed.iter().map(|one| managed_id(one)).collect(),
        };
        let (runs, retention) = futures::join!(
            runs::read(schedules, &lanes, window, now, most_runs),
            self.retention(schedules)
        );
        let retention = retention.and_then(|one| SignedDuration::try_from(one).ok());
        let runs = runs?;
        drop(lanes);
        let draft = compute(|| Draft::new(window, now, listed, runs, retention));
        let described = self.describe(schedules, project, &draft).await;
        Ok(compute(|| draft.finish(&described)))
    }

    async fn retention(&self, schedules: &Schedules) -> Option<Duration> {
        let mut kept = self.retention.lock().await;
        if let Some((at, retention)) = &*kept
            && at.elapsed() < RETENTION_AGE
        {
            return *retention;
        }
        let retention = schedules.retention().await;
        // An answer that did not come is asked for again.
        *kept = retention.map(|retention| (Instant::now(), Some(retention)));
        retention
    }

    /// The descriptions that the draft needs, as far as they can be made in
    /// time, by lane.
    async fn describe(
        &self,
        schedules: &Schedules,
        project: &Project,
        draft: &Draft,
    ) -> BTreeMap<usize, DescribedLane> {
        let deadline = Instant::now() + self.limits.described_within;
        let turn = Arc::clone(&self.describing).lock_owned();
        let Ok(turn) = timeout_at(deadline, turn).await else {
            return self.descriptions.known(draft).0;
        };
        let (described, mut missing) = self.descriptions.known(draft);
        missing.truncate(self.limits.described);
        if missing.is_empty() {
            return described;
        }
        // What is not described in time is known to those who ask later.
        let describing = tokio::spawn(describe_all(
            schedules.clone(),
            project.clone(),
            missing,
            Arc::clone(&self.descriptions),
            turn,
        ));
        drop(timeout_at(deadline, describing).await);
        self.descriptions.known(draft).0
    }
}

/// Describes schedules, and keeps the descriptions that are made in time.
async fn describe_all(
    schedules: Schedules,
    project: Project,
    missing: Vec<Arc<ListedSchedule>>,
    descriptions: Arc<Descriptions>,
    _turn: OwnedMutexGuard<()>,
) {
    let describe = async |listed: Arc<ListedSchedule>| {
        let lane = described_lane(&schedules, &project, &listed.view.id).await;
        descriptions.keep(&listed, lane);
    };
    let all = stream::iter(missing).for_each_concurrent(CONCURRENCY, describe);
    if timeout(DESCRIBED_WITHIN, all).await.is_err() {
        tracing::debug!("some schedules of the timeline could not be described in time");
    }
}

/// The last descriptions.
#[derive(Debug, Default)]
struct Descriptions(StdMutex<BTreeMap<ScheduleId, Description>>);

impl Descriptions {
    /// The descriptions that a draft needs, by lane, and the schedules of those that are not
    /// known.
    fn known(&self, draft: &Draft) -> (BTreeMap<usize, DescribedLane>, Vec<Arc<ListedSchedule>>) {
        let mut described = BTreeMap::new();
        let mut missing = Vec::new();
        let mut kept = self.kept();
        kept.retain(|_, one| one.at.elapsed() < DESCRIPTION_AGE);
        for lane in draft.to_describe() {
            let listed = draft.listed(lane);
            let known = kept.get(&listed.view.id);
            match known.filter(|known| known.digest == listed.times.digest) {
                Some(known) => described.extend(known.lane.clone().map(|one| (lane, one))),
                None => missing.push(Arc::clone(listed)),
            }
        }
        (described, missing)
    }

    fn keep(&self, listed: &ListedSchedule, lane: Option<DescribedLane>) {
        let mut kept = self.kept();
        if kept.len() < DESCRIPTIONS {
            let description = Description {
                at: Instant::now(),
                digest: listed.times.digest,
                lane,
            };
            kept.insert(listed.view.id.clone(), description);
        }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<ScheduleId, Description>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of a schedule that belongs to the project.
fn managed_id(listed: &ListedSchedule) -> Option<&str> {
    listed.times.is_managed.then(|| listed.view.id.as_str())
}

/// The description of a schedule. `None` if it cannot be described, or if it
/// does not belong to the project any more.
async fn described_lane(
    schedules: &Schedules,
    project: &Project,
    id: &ScheduleId,
) -> Option<DescribedLane> {
    let response = match schedules.describe(id).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(schedule = %id, %error, "cannot describe a schedule for the timeline");
            return None;
        }
    };
    let missed = Missed::of(response.info.as_ref()?);
    let live = wire::live(project, id, response)?.live;
    Some(DescribedLane {
        facts: Facts {
            since: last_change(&live),
            paused: live.values.paused,
            overlap: live.values.overlap_policy,
            remaining: live.remaining_actions,
            missed,
        },
        spec: Arc::new(live.values.spec),
    })
}
