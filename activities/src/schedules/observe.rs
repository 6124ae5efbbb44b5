//! Observes the schedules of a project.
//!
//! A pass lists them, and describes only those that the list does not prove in
//! sync.
//!
//! A schedule that cannot be described is recorded as unreadable, and the pass
//! continues. A server that is away, or a namespace that does not exist, ends
//! the pass.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::plan::{
    Comparison, Expectation, InSync, KnownSchedule, Observed, Policy, ScheduledDefinitions,
    Unreadable, compare, protected_ids,
};
use almanac_core::record::OrphanPolicy;
use almanac_core::schedule::ScheduledDefinition;
use almanac_core::snapshot::Snapshot;
use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::monitor::ExpectedRuns;
use super::wire::{self, Described};
use super::{Fingerprints, InSyncCache, ListEntry, RequestError, ScheduleMonitor, Schedules};

/// Observes the server's schedules for a plan.
#[derive(Debug)]
pub struct Observer<'a> {
    /// The client for requests.
    pub schedules: &'a Schedules,
    pub project: &'a Project,
    /// The schedules that earlier passes of this worker found in sync.
    pub cache: &'a InSyncCache,
    /// The fingerprints that this worker has hashed.
    pub fingerprints: &'a Fingerprints,
    /// The findings of earlier passes of this worker.
    pub monitor: &'a ScheduleMonitor,
    /// Maximum number of schedules that are described at a time.
    pub concurrency: usize,
}

/// Maximum wait for the times by which a zone is compared.
const ZONE_LIMIT: Duration = Duration::from_secs(3);

/// The extent of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescribeScope {
    /// Describes the schedules that the list does not prove in sync. Also
    /// describes a rolling share of the others, so that each has a turn within
    /// this time.
    ListFirst(Duration),
    /// Describes all schedules. The other variant is tested against this one.
    All,
}

/// The result of an observation.
#[derive(Debug, Default)]
pub struct Observation {
    /// The observed schedules, for the plan.
    pub observed: Observed,
    /// The described schedules that may be written, each with the body and the
    /// token that an update starts from.
    pub described: BTreeMap<ScheduleId, Described>,
    /// Number of descriptions.
    pub describes: u64,
}

/// Minimum number of consecutive requests without an answer after which the
/// server counts as away.
const AWAY_AFTER: usize = 20;

/// A schedule that has to be described.
struct Suspect {
    schedule: ScheduleId,
    /// The definition that its listed memo names, or that asks for it.
    definition: DefinitionId,
    /// The workflow type in the list; `None` if the schedule was not listed.
    listed_type: Option<String>,
    /// Digests of the list entry and of the expectation, for the cache.
    digests: Option<(u64, u64)>,
}

impl Suspect {
    /// A schedule that is not listed and may exist.
    fn unlisted(wanted: &ScheduledDefinition) -> Self {
        Self {
            schedule: wanted.schedule.clone(),
            definition: wanted.definition().clone(),
            listed_type: None,
            digests: None,
        }
    }
}

impl Observer<'_> {
    /// Observes all schedules of the project.
    pub async fn observe(
        &self,
        snapshot: &Snapshot,
        scheduled: &ScheduledDefinitions,
        policy: &Policy<'_>,
        scope: DescribeScope,
    ) -> Result<Observation, RequestError> {
        let entries = self.schedules.list(self.project).await?;
        let managed: BTreeSet<_> = entries
            .iter()
            .filter(|entry| entry.owner.is_some())
            .map(|entry| &entry.schedule)
            .collect();
        let listed: BTreeSet<_> = entries.iter().map(|entry| &entry.schedule).collect();
        // A list lacks a new schedule for a moment, and one that the server moves to its other
        // scheduler.
        let known = |one: &Arc<ScheduledDefinition>| {
            !listed.contains(&one.schedule) && self.monitor.knows(&one.schedule)
        };
        let unlisted = scheduled.values().filter(|one| known(one));
        let mut suspects: Vec<_> = unlisted.map(|one| Suspect::unlisted(one)).collect();
        self.cache.retain(&managed);
        let unlisted = suspects.iter().map(|suspect: &Suspect| &suspect.schedule);
        self.monitor
            .retain(&managed.iter().copied().chain(unlisted).collect());
        self.fingerprints.retain(snapshot);
        let due = match scope {
            DescribeScope::All => BTreeSet::new(),
            DescribeScope::ListFirst(interval) => {
                self.cache
                    .due(&managed, interval, self.schedules.rate_limiter().rate())
            }
        };
        let may_be_renamed = scheduled
            .values()
            .any(|one| !listed.contains(&one.schedule));
        let left_alone = ids_left_alone(snapshot, policy, may_be_renamed);
        let mut observation = Observation::default();
        let twice = listed_twice(&entries);
        let mut suspected = BTreeSet::new();
        for entry in &entries {
            let Some(owner) = &entry.owner else {
                observation
                    .observed
                    .insert(entry.schedule.clone(), KnownSchedule::Unmanaged);
                continue;
            };
            let suspect = |digests| Suspect {
                schedule: entry.schedule.clone(),
                definition: owner.clone(),
                listed_type: Some(entry.workflow_type.clone()),
                digests,
            };
            // It is not known which of two entries is the present one.
            if twice.contains(&entry.schedule) {
                if suspected.insert(&entry.schedule) {
                    suspects.push(suspect(None));
                }
                continue;
            }
            let wanted = scheduled
                .get(owner)
                .filter(|one| one.schedule == entry.schedule);
            let Some(wanted) = wanted else {
                if left_alone(owner) {
                    observation.add_in_sync(&entry.schedule, InSync::nothing(owner, entry.paused));
                } else {
                    suspects.push(suspect(None));
                }
                continue;
            };
            let wanted = wanted.desired();
            let plain = || self.fingerprints.of(&wanted, snapshot);
            let expected = Expectation::of(&wanted, policy, plain);
            let digests = (entry.digest(), digest_of(&expected, policy));
            let doing = ExpectedRuns {
                spec: &expected.spec,
                overlap: wanted.values.overlap_policy,
                is_limited: expected.limited,
            };
            self.monitor.listed(entry, digests.0, doing, policy.now);
            // An operator's request is not part of the expectation, so no list
            // proves it done.
            let closely = scope == DescribeScope::All
                || due.contains(&entry.schedule)
                || self.cache.is_unreadable(&entry.schedule)
                || policy.requests.contains_key(owner);
            let in_sync =
                (!closely).then(|| self.in_sync(entry, owner, &expected, digests, policy));
            match in_sync.flatten() {
                Some(in_sync) => observation.add_in_sync(&entry.schedule, in_sync),
                None => suspects.push(suspect(Some(digests))),
            }
        }
        self.describe(suspects, scheduled, policy, &mut observation)
            .await?;
        self.observe_adopted(scheduled.values(), &mut observation)
            .await?;
        self.compare_zones(&entries).await;
        Ok(observation)
    }

    /// Compares the server's time zone data with this program's: one request
    /// per zone and hour. A pass does not depend on the answers.
    async fn compare_zones(&self, entries: &[ListEntry]) {
        let now = Timestamp::now();
        let compared = stream::iter(self.monitor.zones_to_compare(entries, now))
            .map(|(id, spec)| async move {
                let asked = self.schedules.zone_difference(&id, &spec, now);
                let answer = tokio::time::timeout(ZONE_LIMIT, asked).await;
                (spec.timezone, answer)
            })
            .buffer_unordered(self.concurrency);
        futures::pin_mut!(compared);
        while let Some((timezone, answer)) = compared.next().await {
            if let Ok(Ok(difference)) = answer {
                self.monitor.zone_compared(&timezone, difference, now);
            } else {
                tracing::debug!(timezone, "cannot compare time zone data now");
                self.monitor.zone_not_compared(&timezone, now);
            }
        }
    }

    /// Observes the schedules that new schedules of this project are to take
    /// over from, before the new ones are created.
    async fn observe_adopted(
        &self,
        scheduled: impl Iterator<Item = &Arc<ScheduledDefinition>>,
        observation: &mut Observation,
    ) -> Result<(), RequestError> {
        let known = |id| observation.observed.contains_key(id);
        let new = scheduled.filter(|one| !known(&one.schedule));
        let pairs = new.flat_map(|one| {
            let unknown = one.adopts.iter().filter(|from| !known(*from));
            unknown.map(|from| (one.definition().clone(), one.schedule.clone(), from.clone()))
        });
        let pairs: Vec<_> = pairs.collect();
        let found = stream::iter(pairs)
            .map(|(definition, new, from)| async move {
                let response = self.schedules.describe(&from).await;
                (definition, new, from, response)
            })
            .buffer_unordered(self.concurrency);
        futures::pin_mut!(found);
        let mut service = Service::new(self.concurrency);
        while let Some((definition, new, from, response)) = found.next().await {
            match service.judge(response)? {
                Ok(one) if wire::owner_of(self.project, &from, one.memo.as_ref()).is_some() => {}
                Err(RequestError::NotFound) => {}
                // The new schedule is not created until this is known, since
                // both could run.
                Err(error @ RequestError::Unavailable(_)) => {
                    let unreadable = Unreadable {
                        definition,
                        reason: format!("schedule `{from}`, which is to be taken over: {error}"),
                        listed_type: None,
                    };
                    observation
                        .observed
                        .insert(new, KnownSchedule::Unreadable(unreadable));
                }
                // An old schedule that cannot be read may still fire.
                Ok(_) | Err(_) => {
                    observation.observed.insert(from, KnownSchedule::Unmanaged);
                }
            }
        }
        self.check_service(&service).await
    }

    /// Ends the pass if requests were not served and the server does not answer
    /// another request either.
    async fn check_service(&self, service: &Service) -> Result<(), RequestError> {
        if service.unserved == 0 {
            return Ok(());
        }
        self.schedules.check_service().await
    }

    /// Observes only the schedules of these definitions.
    pub async fn observe_only(
        &self,
        only: &BTreeSet<DefinitionId>,
        scheduled: &ScheduledDefinitions,
        policy: &Policy<'_>,
    ) -> Result<Observation, RequestError> {
        let suspects = only
            .iter()
            .map(|id| Suspect {
                schedule: self.project.schedule_id(id),
                definition: id.clone(),
                listed_type: None,
                digests: None,
            })
            .collect();
        let mut observation = Observation::default();
        self.describe(suspects, scheduled, policy, &mut observation)
            .await?;
        let wanted = only.iter().filter_map(|id| scheduled.get(id));
        self.observe_adopted(wanted, &mut observation).await?;
        Ok(observation)
    }

    /// The finding without a description: an earlier description if the entry
    /// has not changed since, else the list's proof. The earlier description
    /// comes first. It may have shown drift that the list does not show and
    /// that is only to be reported.
    fn in_sync(
        &self,
        entry: &ListEntry,
        owner: &DefinitionId,
        expected: &Expectation,
        digests: (u64, u64),
        policy: &Policy<'_>,
    ) -> Option<InSync> {
        let known = self.cache.get(&entry.schedule, digests.0, digests.1);
        known.or_else(|| {
            entry.proves(expected).then(|| InSync {
                overridden: policy.overrides.get(owner).cloned().map(Box::new),
                ..InSync::nothing(owner, entry.paused)
            })
        })
    }

    async fn describe(
        &self,
        suspects: Vec<Suspect>,
        scheduled: &ScheduledDefinitions,
        policy: &Policy<'_>,
        observation: &mut Observation,
    ) -> Result<(), RequestError> {
        observation.describes += suspects.len() as u64;
        let described = stream::iter(suspects)
            .map(|suspect| async move {
                let id = &suspect.schedule;
                let response = if suspect.listed_type.is_some() || self.monitor.knows(id) {
                    self.schedules.describe(id).await
                } else {
                    self.schedules.describe_once(id).await
                };
                (suspect, response)
            })
            .buffer_unordered(self.concurrency);
        futures::pin_mut!(described);
        let mut service = Service::new(self.concurrency);
        while let Some((suspect, response)) = described.next().await {
            let response = service.judge(response)?;
            let readable = matches!(response, Ok(_) | Err(RequestError::NotFound));
            self.cache.described(&suspect.schedule, readable);
            match response {
                // The list is out of date: the schedule does not exist any
                // more.
                Err(RequestError::NotFound) => {}
                Err(error) => {
                    let unreadable = Unreadable {
                        definition: suspect.definition,
                        reason: error.to_string(),
                        listed_type: suspect.listed_type,
                    };
                    observation
                        .observed
                        .insert(suspect.schedule, KnownSchedule::Unreadable(unreadable));
                }
                Ok(response) => {
                    let info = response.info.clone().unwrap_or_default();
                    let seen = self
                        .schedules
                        .live(self.project, &suspect.schedule, response);
                    if let Some(described) = &seen {
                        self.monitor.described(&described.live, &info);
                    }
                    self.take(suspect, seen, scheduled, policy, observation);
                }
            }
        }
        self.check_service(&service).await
    }

    /// Records a description. The body of a schedule in sync is dropped
    /// immediately, so that ten thousand bodies are not held in memory.
    fn take(
        &self,
        suspect: Suspect,
        described: Option<Described>,
        scheduled: &ScheduledDefinitions,
        policy: &Policy<'_>,
        observation: &mut Observation,
    ) {
        let Some(described) = described else {
            observation
                .observed
                .insert(suspect.schedule, KnownSchedule::Unmanaged);
            return;
        };
        let comparison = scheduled
            .get(&described.live.definition)
            .map(|one| compare(&one.desired(), &described.live, policy));
        if let Some(Comparison::Known(known)) = comparison
            && known.update.is_none()
            && known.ended_override.is_none()
        {
            let in_sync = InSync {
                definition: described.live.definition.clone(),
                paused: described.live.values.paused,
                overridden: known.overridden.map(Box::new),
                drift: known.drift,
                contested: known.contested,
            };
            let drift = in_sync.drift.union(&in_sync.contested).copied().collect();
            self.monitor.drifted(&suspect.schedule, drift);
            if let Some((listed, expected)) = suspect.digests
                && in_sync.contested.is_empty()
            {
                self.cache
                    .put(&suspect.schedule, listed, expected, in_sync.clone());
            }
            observation.add_in_sync(&suspect.schedule, in_sync);
            return;
        }
        self.monitor.drifted(&suspect.schedule, BTreeSet::new());
        let live = Box::new(described.live.clone());
        observation
            .observed
            .insert(suspect.schedule.clone(), KnownSchedule::Described(live));
        observation.described.insert(suspect.schedule, described);
    }
}

impl Observation {
    fn add_in_sync(&mut self, id: &ScheduleId, in_sync: InSync) {
        self.observed
            .insert(id.clone(), KnownSchedule::InSync(in_sync));
    }
}

/// Returns a test for schedules without a desired one: `true` if the schedule
/// stays, so that no description is needed. That is the case if its document
/// fails. It is also the case if orphans are kept and no new schedule can be
/// its renamed successor.
fn ids_left_alone<'a>(
    snapshot: &'a Snapshot,
    policy: &Policy<'_>,
    may_be_renamed: bool,
) -> impl Fn(&DefinitionId) -> bool + 'a {
    let protected = protected_ids(snapshot);
    let keep = policy.orphans == OrphanPolicy::Keep && !may_be_renamed;
    move |id| keep || protected.contains(id)
}

/// Ids that a list names more than once. That may happen while the server moves
/// a schedule from one scheduler to the other.
fn listed_twice(entries: &[ListEntry]) -> BTreeSet<&ScheduleId> {
    let mut listed = BTreeSet::new();
    let again = entries
        .iter()
        .filter(|entry| !listed.insert(&entry.schedule));
    again.map(|entry| &entry.schedule).collect()
}

/// Distinguishes a schedule that is not served from a server that serves
/// nothing.
#[derive(Debug)]
struct Service {
    /// Number of consecutive requests that were not served.
    streak: usize,
    /// Number of all requests that were not served.
    unserved: usize,
    limit: usize,
}

impl Service {
    fn new(concurrency: usize) -> Self {
        Self {
            streak: 0,
            unserved: 0,
            limit: AWAY_AFTER.max(2 * concurrency),
        }
    }

    /// Returns the result of one request, or an error if the server is away or
    /// the namespace does not exist, which affects every schedule.
    fn judge<T>(
        &mut self,
        result: Result<T, RequestError>,
    ) -> Result<Result<T, RequestError>, RequestError> {
        match &result {
            Err(error @ RequestError::NoNamespace(_)) => return Err(error.clone()),
            Err(error @ RequestError::Unavailable(_)) => {
                self.streak += 1;
                self.unserved += 1;
                if self.streak >= self.limit {
                    return Err(error.clone());
                }
            }
            _ => self.streak = 0,
        }
        Ok(result)
    }
}

fn digest_of(expected: &Expectation, policy: &Policy<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    expected.hash(&mut hasher);
    policy.drift.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Result<(), RequestError> {
        Err(RequestError::Unavailable("no answer".to_owned()))
    }

    #[test]
    fn one_failing_schedule_does_not_make_the_server_unavailable() {
        let mut service = Service::new(1);
        for _ in 0..100 {
            assert!(service.judge(away()).is_ok());
            assert!(service.judge(Ok(())).is_ok());
        }
        assert_eq!((service.streak, service.unserved), (0, 100));
    }

    #[test]
    fn a_pass_ends_if_the_server_serves_no_schedule() {
        let mut service = Service::new(1);
        let ended = (0..100).position(|_| service.judge(away()).is_err());
        assert_eq!(ended, Some(AWAY_AFTER - 1));
        // With 50 concurrent requests, only the 100th failure proves an outage.
        let mut service = Service::new(50);
        let ended = (0..200).position(|_| service.judge(away()).is_err());
        assert_eq!(ended, Some(99));
    }

    #[test]
    fn a_missing_namespace_ends_the_pass_at_once_and_an_answered_failure_never() {
        let mut service = Service::new(1);
        let nowhere = RequestError::NoNamespace("nope".to_owned());
        assert!(service.judge::<()>(Err(nowhere)).is_err());
        for _ in 0..1000 {
            let failed = RequestError::Failed("Internal: broken".to_owned());
            assert!(service.judge::<()>(Err(failed)).is_ok());
        }
    }
}
