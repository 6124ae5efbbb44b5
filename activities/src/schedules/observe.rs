//! Observing: the list first, and a description of just those schedules that
//! it does not prove in sync.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use almanac_workflows::names::{DefinitionId, Project, ScheduleId};
use almanac_workflows::plan::{
    Comparison, Expectation, Observed, Policy, Seen, Settled, compare, protected_ids,
};
use almanac_workflows::record::OrphanPolicy;
use almanac_workflows::schedule::Desired;
use almanac_workflows::snapshot::Snapshot;
use futures::{StreamExt, TryStreamExt, stream};

use super::watch::Wanted;
use super::wire::{self, Described};
use super::{Fingerprints, ListEntry, RequestError, Schedules, SettledCache, Watch};

/// Looks at the server's schedules for a plan.
#[derive(Debug)]
pub struct Observer<'a> {
    /// The requests.
    pub schedules: &'a Schedules,
    /// The project.
    pub project: &'a Project,
    /// What this process knows from earlier.
    pub cache: &'a SettledCache,
    /// What it hashed earlier.
    pub fingerprints: &'a Fingerprints,
    /// What it noticed earlier.
    pub watch: &'a Watch,
    /// How many schedules are described at a time.
    pub concurrency: usize,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Describe what the list does not prove in sync, and a rolling share of
    /// the rest, so that each comes round once within this time.
    ListFirst(Duration),
    /// Describe everything: the reference that the other way is tested against.
    DescribeAll,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Observation {
    /// The schedules, for the plan.
    pub observed: Observed,
    /// Those of them that were described and may be written: the body and the
    /// token that an update starts from.
    pub described: BTreeMap<ScheduleId, Described>,
    /// How many were described.
    pub describes: u64,
}

/// One schedule of ours to describe.
struct Suspect {
    schedule: ScheduleId,
    /// Digests of its list entry and of its expectation, for the cache.
    digests: Option<(u64, u64)>,
}

impl Observer<'_> {
    /// Looks at everything of the project.
    pub async fn observe(
        &self,
        snapshot: &Snapshot,
        desired: &BTreeMap<DefinitionId, Desired>,
        policy: &Policy<'_>,
        depth: Depth,
    ) -> Result<Observation, RequestError> {
        let entries = self.schedules.list(self.project).await?;
        let ours: BTreeSet<_> = entries
            .iter()
            .filter(|entry| entry.owner.is_some())
            .map(|entry| &entry.schedule)
            .collect();
        self.cache.retain(&ours);
        self.watch.retain(&ours);
        self.fingerprints.retain(snapshot);
        let due = match depth {
            Depth::DescribeAll => BTreeSet::new(),
            Depth::ListFirst(interval) => {
                self.cache
                    .due(&ours, interval, self.schedules.pace().rate())
            }
        };
        let listed: BTreeSet<_> = entries.iter().map(|entry| &entry.schedule).collect();
        let may_be_renamed = desired.values().any(|one| !listed.contains(&one.schedule));
        let left_alone = ids_left_alone(snapshot, policy, may_be_renamed);
        let mut observation = Observation::default();
        let mut suspects = Vec::new();
        for entry in &entries {
            let Some(owner) = &entry.owner else {
                observation
                    .observed
                    .insert(entry.schedule.clone(), Seen::Foreign);
                continue;
            };
            let wanted = desired
                .get(owner)
                .filter(|one| one.schedule == entry.schedule);
            let Some(wanted) = wanted else {
                if left_alone(owner) {
                    observation.settle(&entry.schedule, Settled::nothing(owner, entry.paused));
                } else {
                    suspects.push(Suspect {
                        schedule: entry.schedule.clone(),
                        digests: None,
                    });
                }
                continue;
            };
            let plain = || self.fingerprints.of(wanted, snapshot);
            let expected = Expectation::of(wanted, policy, plain);
            let digests = (entry.digest(), digest_of(&expected, policy));
            let doing = Wanted {
                spec: &expected.spec,
                overlap: wanted.values.overlap_policy,
                is_limited: expected.limited,
            };
            self.watch.listed(entry, digests.0, doing, policy.now);
            // What an operator asks for is no expectation yet: no list proves it.
            let closely = depth == Depth::DescribeAll
                || due.contains(&entry.schedule)
                || policy.orders.contains_key(owner);
            let settled =
                (!closely).then(|| self.settled(entry, owner, &expected, digests, policy));
            match settled.flatten() {
                Some(settled) => observation.settle(&entry.schedule, settled),
                None => suspects.push(Suspect {
                    schedule: entry.schedule.clone(),
                    digests: Some(digests),
                }),
            }
        }
        self.describe(suspects, desired, policy, &mut observation)
            .await?;
        self.look_for_foreign(desired.values(), &mut observation)
            .await?;
        Ok(observation)
    }

    /// Looks for the foreign schedules that ones of ours, not made yet, are to
    /// take over from.
    async fn look_for_foreign(
        &self,
        desired: impl Iterator<Item = &Desired>,
        observation: &mut Observation,
    ) -> Result<(), RequestError> {
        let from = desired.filter_map(|one| {
            let from = one.adopts.as_ref()?;
            let known = |id| observation.observed.contains_key(id);
            (!known(&one.schedule) && !known(from)).then(|| from.clone())
        });
        let found: Vec<_> = from.collect();
        let found = stream::iter(found)
            .map(|from| async move {
                let response = self.schedules.describe(&from).await;
                (from, response)
            })
            .buffer_unordered(self.concurrency);
        futures::pin_mut!(found);
        while let Some((from, response)) = found.next().await {
            match response {
                Err(RequestError::NotFound) => {}
                Err(error @ RequestError::Unavailable(_)) => return Err(error),
                Ok(one) if wire::owner_of(self.project, &from, one.memo.as_ref()).is_some() => {}
                // One that cannot be read may fire all the same.
                Ok(_) | Err(_) => {
                    observation.observed.insert(from, Seen::Foreign);
                }
            }
        }
        Ok(())
    }

    /// Looks at just these definitions' schedules.
    pub async fn observe_only(
        &self,
        only: &BTreeSet<DefinitionId>,
        desired: &BTreeMap<DefinitionId, Desired>,
        policy: &Policy<'_>,
    ) -> Result<Observation, RequestError> {
        let suspects = only
            .iter()
            .map(|id| Suspect {
                schedule: self.project.schedule_id(id),
                digests: None,
            })
            .collect();
        let mut observation = Observation::default();
        self.describe(suspects, desired, policy, &mut observation)
            .await?;
        let wanted = only.iter().filter_map(|id| desired.get(id));
        self.look_for_foreign(wanted, &mut observation).await?;
        Ok(observation)
    }

    /// What is known without a description: what an earlier one showed, if
    /// the entry has not changed since, or else the list's proof. The earlier
    /// description comes first, since it may have shown drift that the list
    /// does not tell and that is only to be reported.
    fn settled(
        &self,
        entry: &ListEntry,
        owner: &DefinitionId,
        expected: &Expectation,
        digests: (u64, u64),
        policy: &Policy<'_>,
    ) -> Option<Settled> {
        let known = self.cache.get(&entry.schedule, digests.0, digests.1);
        known.or_else(|| {
            entry.proves(expected).then(|| Settled {
                overridden: policy.overrides.get(owner).cloned(),
                ..Settled::nothing(owner, entry.paused)
            })
        })
    }

    async fn describe(
        &self,
        suspects: Vec<Suspect>,
        desired: &BTreeMap<DefinitionId, Desired>,
        policy: &Policy<'_>,
        observation: &mut Observation,
    ) -> Result<(), RequestError> {
        observation.describes += suspects.len() as u64;
        let described = stream::iter(suspects)
            .map(|suspect| async move {
                let response = self.schedules.describe(&suspect.schedule).await;
                self.cache.described(&suspect.schedule);
                (suspect, response)
            })
            .buffer_unordered(self.concurrency)
            .map(|(suspect, response)| match response {
                // A server that is away is no reason to think schedules absent.
                Err(error @ RequestError::Unavailable(_)) => Err(error),
                other => Ok((suspect, other)),
            });
        futures::pin_mut!(described);
        while let Some((suspect, response)) = described.try_next().await? {
            match response {
                // The list is behind; there is no such schedule any more.
                Err(RequestError::NotFound) => {}
                Err(error) => {
                    if let Some(id) = definition_of(&suspect.schedule, desired) {
                        let seen = Seen::Unreadable(id.clone(), error.to_string());
                        observation.observed.insert(suspect.schedule, seen);
                    }
                }
                Ok(response) => {
                    let info = response.info.clone().unwrap_or_default();
                    let seen = wire::live(self.project, &suspect.schedule, response);
                    if let Some(described) = &seen {
                        self.watch.described(&described.live, &info);
                    }
                    self.take(suspect, seen, desired, policy, observation);
                }
            }
        }
        Ok(())
    }

    /// Takes a description in. One that needs nothing is let go at once: ten
    /// thousand bodies need not be held.
    fn take(
        &self,
        suspect: Suspect,
        described: Option<Described>,
        desired: &BTreeMap<DefinitionId, Desired>,
        policy: &Policy<'_>,
        observation: &mut Observation,
    ) {
        let Some(described) = described else {
            observation.observed.insert(suspect.schedule, Seen::Foreign);
            return;
        };
        let comparison = desired
            .get(&described.live.definition)
            .map(|one| compare(one, &described.live, policy));
        if let Some(Comparison::Known(known)) = comparison
            && known.update.is_none()
            && known.ended_override.is_none()
        {
            let settled = Settled {
                definition: described.live.definition.clone(),
                paused: described.live.values.paused,
                overridden: known.overridden,
                drift: known.drift,
                contested: known.contested,
            };
            let drift = settled.drift.union(&settled.contested).copied().collect();
            self.watch.drifted(&suspect.schedule, drift);
            if let Some((listed, expected)) = suspect.digests
                && settled.contested.is_empty()
            {
                self.cache
                    .put(&suspect.schedule, listed, expected, settled.clone());
            }
            observation.settle(&suspect.schedule, settled);
            return;
        }
        self.watch.drifted(&suspect.schedule, BTreeSet::new());
        let live = Box::new(described.live.clone());
        observation
            .observed
            .insert(suspect.schedule.clone(), Seen::Described(live));
        observation.described.insert(suspect.schedule, described);
    }
}

impl Observation {
    fn settle(&mut self, id: &ScheduleId, settled: Settled) {
        self.observed.insert(id.clone(), Seen::Settled(settled));
    }
}

/// Whether a schedule without a desired one is known to stay without a look
/// at it: its document fails, or orphans are kept and none can be a new one's
/// former name.
fn ids_left_alone<'a>(
    snapshot: &'a Snapshot,
    policy: &Policy<'_>,
    may_be_renamed: bool,
) -> impl Fn(&DefinitionId) -> bool + 'a {
    let protected = protected_ids(snapshot);
    let keep = policy.orphans == OrphanPolicy::Keep && !may_be_renamed;
    move |id| keep || protected.contains(id)
}

fn definition_of<'a>(
    schedule: &ScheduleId,
    desired: &'a BTreeMap<DefinitionId, Desired>,
) -> Option<&'a DefinitionId> {
    desired
        .values()
        .find(|one| one.schedule == *schedule)
        .map(|one| &one.definition)
}

fn digest_of(expected: &Expectation, policy: &Policy<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    expected.hash(&mut hasher);
    policy.drift.hash(&mut hasher);
    hasher.finish()
}
