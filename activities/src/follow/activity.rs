//! The activity that follows runs, as Temporal calls it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_core::record::{FollowOutcome, FollowState};
use almanac_workflows::contracts;
use jiff::Timestamp;
use opentelemetry::trace::FutureExt as _;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::time::Instant;

use super::{Follower, Following, Poll};
use crate::schedules::ServerClock;

/// Interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Interval between two polls if each reads many runs.
const BUSY_INTERVAL: Duration = Duration::from_secs(5);
/// Number of runs from which on a poll reads many.
const BUSY: usize = 1000;
/// Duration of an activity.
const LENGTH: Duration = Duration::from_mins(10);
/// Time after which the activity ends if no run is to be followed, and after which another worker
/// gets the activity if this one has not loaded its definitions.
const IDLE: Duration = Duration::from_secs(30);
/// Interval between the heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Interval at which the activity checks whether the worker shuts down.
const STOP_INTERVAL: Duration = Duration::from_millis(500);

/// The activity that follows runs. Any worker of the project serves it.
pub struct FollowActivities {
    follower: Arc<Follower>,
    is_stopping: Box<dyn Fn() -> bool + Send + Sync>,
}

impl FollowActivities {
    /// Creates the activity over `follower`. `is_stopping` returns `true` when the worker shuts
    /// down: then the activity ends, long before the SDK cancels what is still running.
    pub fn new(
        follower: Arc<Follower>,
        is_stopping: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            follower,
            is_stopping: Box::new(is_stopping),
        }
    }
}

#[activities]
impl FollowActivities {
    /// Reads the runs that end, and starts the definitions that follow them, for some minutes. A
    /// second attempt continues with the state of the first one's last heartbeat.
    #[activity(definition = contracts::FollowRuns)]
    pub async fn follow_runs(
        self: Arc<Self>,
        ctx: ActivityContext,
        state: FollowState,
    ) -> Result<FollowOutcome, ActivityError> {
        let started = ctx.info().started_time;
        let started = started.and_then(|at| Timestamp::try_from(at).ok());
        let started = started.unwrap_or_else(Timestamp::now);
        let kept = ctx.heartbeat_details().deserialize::<FollowState>();
        let state = kept.ok().flatten().unwrap_or(state);
        let clock = ServerClock::from_reported(started);
        let latest = Mutex::new(state.bounded(started));
        let take = || {
            latest
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        let heartbeats = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                if let Err(error) = ctx.record_heartbeat(take()).await {
                    break error;
                }
            }
        };
        let mut work = Following {
            state: take(),
            clock,
            followed: None,
            not_before: BTreeMap::new(),
            is_failing: false,
        };
        let keep = |state: &FollowState| {
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
        };
        // Polls that go on for ever would be spans that go on for ever.
        let follow = self.follow(&mut work, &keep);
        let follow = follow.with_context(opentelemetry::Context::new());
        let stopping = async {
            // The wait comes first: a worker that shuts down may get the next activity, too.
            loop {
                tokio::time::sleep(STOP_INTERVAL).await;
                if (self.is_stopping)() {
                    break;
                }
            }
        };
        tokio::select! {
            idle = follow => Ok(FollowOutcome { state: take(), idle }),
            // Another worker continues with the state.
            () = stopping => Ok(FollowOutcome { state: take(), idle: false }),
            () = ctx.cancelled() => Ok(FollowOutcome { state: take(), idle: false }),
            error = heartbeats => Err(ApplicationFailure::new(error).into()),
        }
    }
}

impl FollowActivities {
    /// Polls until the activity has lasted long enough, or until the state should be kept. Returns
    /// `true` if no run is to be followed.
    async fn follow(&self, work: &mut Following, keep: &impl Fn(&FollowState)) -> bool {
        let began = Instant::now();
        let mut last_busy = began;
        while began.elapsed() < LENGTH {
            let polled = self.follower.poll(work).await;
            let poll = match polled {
                Ok(poll) => {
                    if std::mem::take(&mut work.is_failing) {
                        tracing::info!("the ends of runs can be read again");
                    }
                    poll
                }
                Err(error) => {
                    if !std::mem::replace(&mut work.is_failing, true) {
                        tracing::warn!(%error, "cannot read the ends of runs; trying again");
                    }
                    Poll {
                        is_loaded: true,
                        ..Poll::default()
                    }
                }
            };
            keep(&work.state);
            if poll.must_keep {
                return false;
            }
            if poll.is_loaded && !poll.is_idle {
                last_busy = Instant::now();
            }
            if last_busy.elapsed() >= IDLE {
                return poll.is_idle;
            }
            let interval = if poll.read >= BUSY {
                BUSY_INTERVAL
            } else {
                POLL_INTERVAL
            };
            tokio::time::sleep(interval).await;
        }
        false
    }
}
