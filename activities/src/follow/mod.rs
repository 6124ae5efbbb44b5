//! Follows the runs of definitions: reads the runs that end from visibility, and starts the
//! definitions that follow them.
//!
//! Always holds: the cursor passes an end only once its runs are started, or once the end is kept to
//! be tried again. The decisions are in `almanac_core::follow`.

mod activity;
mod runs;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project};
use almanac_core::definition::{Again, Definition};
use almanac_core::follow::{Followed, again_route, end_event};
use almanac_core::record::{
    Delivery, DeliveryState, DeliveryVia, FollowState, FollowedRun, TriggerResult, delivery_text,
};
use almanac_core::routing::Maker;
use almanac_core::snapshot::Snapshot;
use almanac_events::RUN_LATE;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

pub use activity::FollowActivities;
pub use start::start_following;

use crate::definitions::DefinitionSource;
use crate::router::{Arrival, EventRouter};
use crate::schedules::{RequestError, Schedules, ServerClock};
use runs::{Newest, Runs, Scope};

/// Wait after a start that failed, before the definition is started again.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Attempts to start the runs of an event, after which the event is given up.
const ATTEMPTS_LIMIT: u64 = 1000;

/// Follows the runs of a project's definitions.
pub struct Follower {
    project: Project,
    source: Arc<dyn DefinitionSource>,
    router: Arc<EventRouter>,
    schedules: Schedules,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Follower({})", self.project)
    }
}

/// The work of one activity: a state, and what the process remembers beside it.
#[derive(Debug)]
struct Following {
    state: FollowState,
    clock: ServerClock,
    /// The last snapshot, and the runs that it follows.
    followed: Option<(Arc<Snapshot>, Arc<Followed>)>,
    /// Times before which definitions are not started again, because their start failed.
    not_before: BTreeMap<DefinitionId, Instant>,
    /// An error was logged, and no poll has succeeded since.
    is_failing: bool,
}

/// Result of one poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Poll {
    /// The definitions are loaded completely.
    is_loaded: bool,
    /// No run is to be followed.
    is_idle: bool,
    /// The state has to be kept before anything else is done.
    must_keep: bool,
    /// Number of runs that were read.
    read: usize,
}

impl Follower {
    /// Creates a follower that starts runs by `router`, with requests of `schedules`.
    pub fn new(
        project: Project,
        source: Arc<dyn DefinitionSource>,
        router: Arc<EventRouter>,
        schedules: Schedules,
    ) -> Self {
        Self {
            project,
            source,
            router,
            schedules,
        }
    }

    /// Reads the runs once, and starts what follows.
    async fn poll(&self, work: &mut Following) -> Result<Poll, RequestError> {
        let snapshot = self.source.snapshot();
        // Without all definitions, runs may seem to start nothing.
        if snapshot.revision.as_str().is_empty() || !snapshot.is_complete() {
            return Ok(Poll::default());
        }
        let followed = work.followed(&snapshot);
        let now = work.clock.now().earliest;
        let must_keep = work.state.follow(&followed, now);
        let mut poll = Poll {
            is_loaded: true,
            is_idle: followed.is_empty() && work.state.waiting.is_empty(),
            must_keep,
            read: 0,
        };
        if poll.is_idle || must_keep {
            return Ok(poll);
        }
        self.try_again(work).await;
        let again = followed.again().iter();
        let again: BTreeSet<_> = again.map(|(one, _)| one.id.clone()).collect();
        let open = self.open(&followed, &again).await?;
        poll.read += open.runs.len();
        self.handle_ends(work, &followed, &open, &mut poll).await?;
        for (definition, again) in followed.again() {
            let is_running = open.runs.iter().any(|run| run.definition == definition.id);
            if !is_running {
                self.start_again(work, definition, again).await?;
            }
        }
        Ok(poll)
    }

    /// The runs that have not ended, of definitions with deadlines and of those that start again.
    async fn open(
        &self,
        followed: &Followed,
        again: &BTreeSet<DefinitionId>,
    ) -> Result<Runs, RequestError> {
        let ids = followed.with_deadlines().chain(again).cloned().collect();
        let scope = Scope::of(&self.project, false, ids);
        scope.open(&self.schedules).await
    }

    /// Handles the ends since the last poll, and the deadlines that passed.
    async fn handle_ends(
        &self,
        work: &mut Following,
        followed: &Followed,
        open: &Runs,
        poll: &mut Poll,
    ) -> Result<(), RequestError> {
        let Some(from) = work.state.read_from() else {
            return Ok(());
        };
        let to = work.clock.now().earliest;
        let scope = Scope::of(
            &self.project,
            followed.follows_all(),
            followed.definitions(),
        );
        let (ends, to) = scope.ended(&self.schedules, from, to).await?;
        poll.read += ends.len();
        let mut ends: Vec<_> = ends
            .into_iter()
            .filter(|end| !work.state.is_past(end))
            .collect();
        ends.sort_by(|a, b| (a.ended, &a.run.run_id).cmp(&(b.ended, &b.run.run_id)));
        for run in &open.runs {
            work.watch(followed, run);
        }
        for end in &mut ends {
            end.run.started = work.state.start_of(&end.run);
            work.watch(followed, &end.run);
        }
        for end in ends {
            let kind = end.status.event_type();
            let id = &end.run.definition;
            let is_wanted = followed.wants(kind, id);
            if is_wanted || followed.has_deadline(id) {
                // A run that the server retries has not ended. Its next execution will.
                if runs::is_retried(&self.schedules, &end).await? {
                    work.state.handled(&end);
                    continue;
                }
            }
            if is_wanted {
                let event = end_event(&self.project, &end);
                if !self.start(work, event).await {
                    // Temporal is not available, or too many events wait.
                    work.state.advance(end.ended);
                    return Ok(());
                }
            }
            work.state.ended(followed, &end);
            work.state.handled(&end);
        }
        work.state.advance(to);
        for passed in work.state.passed(&self.project, followed) {
            if !self.start(work, passed.event.clone()).await {
                return Ok(());
            }
            work.state.settle(&passed);
        }
        let open: Option<BTreeSet<_>> = (!open.truncated).then(|| {
            open.runs
                .iter()
                .map(|run| run.workflow_id.clone())
                .collect()
        });
        work.state.forget_watched(followed, open.as_ref());
        Ok(())
    }

    /// Starts the runs of an event. Returns `false` if the event has to be handled again: Temporal
    /// is not available, or too many events wait already.
    async fn start(&self, work: &mut Following, event: Value) -> bool {
        let delivery = self.deliver(&event, 1).await;
        match delivery.state {
            DeliveryState::Waiting if delivery.waits_for_temporal() => false,
            DeliveryState::Waiting => work.state.wait(&event),
            _ => true,
        }
    }

    /// Starts the runs of the events that wait. Attempts while Temporal is not available do not
    /// count.
    async fn try_again(&self, work: &mut Following) {
        let mut is_away = false;
        for mut waiting in std::mem::take(&mut work.state.waiting) {
            if is_away {
                work.state.waiting.push(waiting);
                continue;
            }
            let attempt = waiting.attempts.saturating_add(1);
            let delivery = self.deliver(&waiting.event, attempt).await;
            is_away = delivery.waits_for_temporal();
            if !is_away {
                waiting.attempts = attempt;
            }
            if delivery.state == DeliveryState::Waiting {
                work.state.waiting.push(waiting);
            }
        }
    }

    /// Starts the runs of an event, and records the delivery. A delivery that waits as before is not
    /// recorded again: it is tried every few seconds.
    async fn deliver(&self, event: &Value, attempt: u64) -> Delivery {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let arrival = arrival(text("id"), text("subject"), attempt);
        let event = Arc::new(event.clone());
        let mut delivery = self.router.handle(&self.schedules, &event, arrival).await;
        let is_waiting = delivery.state == DeliveryState::Waiting;
        if is_waiting && attempt >= ATTEMPTS_LIMIT && !delivery.waits_for_temporal() {
            delivery.state = DeliveryState::Dead;
        }
        let is_late = delivery.event.kind == RUN_LATE;
        if delivery.state == DeliveryState::NoMatch && is_late {
            delivery.reason = Some("no run ended before the deadline".to_owned());
        }
        let before = self.router.deliveries().get(&delivery.id);
        let is_known = before.is_some_and(|(before, _)| before.runs == delivery.runs);
        if delivery.state != DeliveryState::Waiting || !is_known {
            self.router.record(delivery.clone(), &event);
        }
        delivery
    }

    /// Starts a definition without a running run again, if the time has come.
    async fn start_again(
        &self,
        work: &mut Following,
        definition: &Arc<Definition>,
        again: &Again,
    ) -> Result<(), RequestError> {
        let id = &definition.id;
        let now = work.clock.now().earliest;
        let due = |ended: Timestamp| ended.saturating_add(again.delay).unwrap_or(Timestamp::MAX);
        let known = work.state.last_runs.get(id);
        let is_early = known.is_some_and(|last| due(last.ended) > now);
        let has_failed = work
            .not_before
            .get(id)
            .is_some_and(|at| *at > Instant::now());
        if is_early || has_failed {
            return Ok(());
        }
        match Scope::newest(&self.schedules, &self.project, id).await? {
            Newest::Running => return Ok(()),
            Newest::Ended(last) => {
                let is_early = due(last.ended) > now;
                work.state.last_runs.insert(id.clone(), last);
                if is_early {
                    return Ok(());
                }
            }
            // The server keeps no run that ended long ago.
            Newest::None => {}
        }
        let last = work.state.last_runs.get(id);
        let (route, event) = again_route(&self.project, definition, again, last, now);
        let arrival = arrival(&route.origin.event.id, id.as_str(), 1);
        let started = self
            .router
            .handle_route(&self.schedules, route, &event, arrival);
        let delivery = started.await;
        // Visibility does not show the run yet.
        let exists = |result: &TriggerResult| matches!(result, TriggerResult::Existing { .. });
        if delivery.runs.iter().all(|run| exists(&run.result)) {
            return Ok(());
        }
        if delivery.state != DeliveryState::Started {
            let at = Instant::now() + AFTER_FAILURE;
            work.not_before.insert(id.clone(), at);
        }
        self.router.record(delivery, &Arc::new(event));
        Ok(())
    }
}

impl Following {
    fn followed(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Followed> {
        if let Some((of, followed)) = &self.followed
            && Arc::ptr_eq(of, snapshot)
        {
            return Arc::clone(followed);
        }
        let followed = Arc::new(Followed::of(snapshot));
        self.followed = Some((Arc::clone(snapshot), Arc::clone(&followed)));
        followed
    }

    fn watch(&mut self, followed: &Followed, run: &FollowedRun) {
        if !self.state.watch(followed, run) {
            tracing::warn!(
                definition = %run.definition,
                workflow_id = run.workflow_id,
                "too many runs have deadlines; the deadline of this run is not watched"
            );
        }
    }
}

/// The arrival of an event about a run of a definition.
fn arrival(event: &str, definition: &str, attempt: u64) -> Arrival {
    Arrival {
        delivery: delivery_text(&format!("run-{}", event.replace('/', "-"))),
        at: Timestamp::now(),
        via: DeliveryVia::Run,
        made_by: Maker::Almanac,
        by: delivery_text(definition),
        attempt,
    }
}
