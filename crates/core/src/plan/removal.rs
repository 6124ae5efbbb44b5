//! Schedules whose definition is gone: protected, renamed, held, or removed.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, ScheduleId};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::compare::SOURCE_LIMIT;
use super::{
    Cause, Create, Delete, FieldChange, KnownSchedule, Observed, Plan, Policy, Remaining,
    Unreadable, Update,
};
use crate::field::{Field, HASH_VERSION};
use crate::record::{ActionMemo, Flag, Held, LIST_LIMIT, Op, OrphanPolicy, ReportError};
use crate::schedule::{Desired, Fingerprint, Live, LiveMemo, Note, NoteLine, base_of};
use crate::snapshot::{Snapshot, file_of};

/// Removals that are at least this many, and more than [`SHARE`] of the owned
/// schedules, wait for confirmation.
const AT_LEAST: u64 = 10;
/// In percent.
const SHARE: u64 = 30;

/// The digest that names exactly this set of schedules: the SHA-256 of their
/// sorted ids, joined by line feeds, in hexadecimal digits.
pub fn held_digest(schedules: &BTreeSet<&ScheduleId>) -> String {
    let ids: Vec<_> = schedules.iter().map(|id| id.as_str()).collect();
    hex::encode(Sha256::digest(ids.join("\n").as_bytes()))
}

/// Adds to `plan` what becomes of schedules whose definition is gone.
pub(super) fn plan_removals(
    plan: &mut Plan,
    snapshot: &Snapshot,
    desired: &BTreeMap<DefinitionId, Desired>,
    observed: &Observed,
    policy: &Policy<'_>,
) {
    let protected = protected_ids(snapshot);
    let mut orphans: Vec<&Live> = Vec::new();
    let mut unreadable: Vec<(&ScheduleId, &Unreadable)> = Vec::new();
    let mut owned: u64 = 0;
    for (schedule, seen) in observed {
        let (id, live) = match seen {
            KnownSchedule::Unmanaged => continue,
            KnownSchedule::InSync(settled) => (&settled.definition, None),
            KnownSchedule::Described(live) => (&live.definition, Some(live)),
            KnownSchedule::Unreadable(one) => (&one.definition, None),
        };
        // One that no list shows may not exist, or be another owner's.
        let is_listed =
            !matches!(seen, KnownSchedule::Unreadable(one) if one.listed_type.is_none());
        owned += u64::from(is_listed);
        if desired.contains_key(id) || protected.contains(id) {
            continue;
        }
        plan.without_definition.push(schedule.clone());
        if let KnownSchedule::Unreadable(one) = seen {
            match reason_to_keep(one, plan, snapshot, policy.orphans) {
                None => unreadable.push((schedule, one)),
                Some(reason) => {
                    plan.orphaned.push(schedule.clone());
                    let fate = format!("its definition is gone, and it stays: {reason}");
                    plan.skip(schedule, one, &fate);
                }
            }
            continue;
        }
        match live.map(|live| (&live.memo, live)) {
            None => plan.orphaned.push(schedule.clone()),
            Some((LiveMemo::Newer(v), live)) => plan.problems.push(ReportError {
                source: "temporal".to_owned(),
                id: Some(id.to_string()),
                message: format!(
                    "schedule `{}` was written by a newer release (memo version {v}); not removed",
                    live.schedule
                ),
            }),
            Some((_, live)) => orphans.push(live),
        }
    }
    let wait = reasons_to_wait(plan, snapshot, &mut orphans, policy);

    let renames = pair_renames(plan, desired, &orphans);
    let removals: Vec<&Live> = orphans
        .iter()
        .copied()
        .filter(|live| needs_removal(live, policy.orphans))
        .collect();
    plan.orphaned.extend(
        orphans
            .iter()
            .filter(|live| !needs_removal(live, policy.orphans))
            .map(|live| live.schedule.clone()),
    );
    let ids: BTreeSet<&ScheduleId> = removals
        .iter()
        .map(|live| &live.schedule)
        .chain(unreadable.iter().map(|(schedule, _)| *schedule))
        .collect();
    if ids.is_empty() {
        plan.take_over(desired, &orphans, &renames);
        return;
    }

    let (reason, confirmable) = match wait {
        Some(reason) => (Some(reason), false),
        None => (brake(plan, ids.len() as u64, &renames, owned, policy), true),
    };
    let digest = held_digest(&ids);
    let confirmed = confirmable && policy.confirm == Some(digest.as_str());
    if let (Some(confirm), false, true) = (policy.confirm, confirmed, reason.is_some()) {
        plan.problems.push(ReportError {
            source: "confirm".to_owned(),
            id: None,
            message: format!(
                "digest `{confirm}` does not name the removals that are held now; nothing removed"
            ),
        });
    }
    if let (Some(reason), false) = (reason, confirmed) {
        plan.hold(
            &ids,
            reason,
            if confirmable { digest } else { String::new() },
            &renames,
        );
        return;
    }
    plan.take_over(desired, &orphans, &renames);
    for live in removals {
        match policy.orphans {
            OrphanPolicy::Delete => plan.deletes.push(Delete {
                definition: live.definition.clone(),
                schedule: live.schedule.clone(),
                renamed_to: renames
                    .get(&live.schedule)
                    .map(|id| desired[id].schedule.clone()),
            }),
            OrphanPolicy::Pause => plan.updates.push(pause_orphan(live)),
            OrphanPolicy::Keep => {}
        }
    }
    plan.deletes
        .extend(unreadable.into_iter().map(|(schedule, one)| Delete {
            definition: one.definition.clone(),
            schedule: schedule.clone(),
            renamed_to: None,
        }));
}

/// Why a schedule that could not be described stays although its definition is
/// gone; `None` where it may be deleted. The rules that read a description are
/// replaced by stricter ones: what cannot be ruled out keeps it.
fn reason_to_keep(
    one: &Unreadable,
    plan: &Plan,
    snapshot: &Snapshot,
    orphans: OrphanPolicy,
) -> Option<String> {
    let Some(listed_type) = &one.listed_type else {
        return Some("the list does not show whose it is".to_owned());
    };
    match orphans {
        OrphanPolicy::Delete => {}
        OrphanPolicy::Pause => return Some("a pause needs its description".to_owned()),
        OrphanPolicy::Keep => return Some("orphans are kept".to_owned()),
    }
    // Its memo would name the file it came from.
    if let Some(failing) = snapshot.failed.first() {
        return Some(format!(
            "the document at `{}` fails, and may be its definition",
            failing.source
        ));
    }
    // Its memo would name the revision, and so tell a rename. The pass after
    // the one that creates the other schedule deletes this one.
    plan.creates
        .iter()
        .find(|create| create.values.action.workflow_type == *listed_type)
        .map(|create| {
            format!(
                "it may be the former schedule of `{}`, which does not exist yet",
                create.definition
            )
        })
}

/// Ids that documents which fail now state: their schedules stay.
pub fn protected_ids(snapshot: &Snapshot) -> BTreeSet<&DefinitionId> {
    snapshot
        .failed
        .iter()
        .filter_map(|document| document.id.as_ref())
        .collect()
}

/// Why no removal at all is possible now. Orphans whose file holds a document
/// that cannot be told apart are taken out of `orphans`.
fn reasons_to_wait(
    plan: &mut Plan,
    snapshot: &Snapshot,
    orphans: &mut Vec<&Live>,
    policy: &Policy<'_>,
) -> Option<String> {
    let mut wait = snapshot
        .incomplete
        .first()
        .map(|reason| format!("the view of the definitions is incomplete: {reason}"));
    if policy.replicas_differ {
        wait.get_or_insert_with(|| "live replicas hold different revisions".to_owned());
    }
    // By file: several of its documents may fail. What a document states while
    // it fails may be half of its id, so the whole file's schedules stay.
    let mut failing: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for document in &snapshot.failed {
        let unreadable = document.id.is_none().then_some(document.source.as_str());
        let known = failing.entry(file_of(&document.source)).or_default();
        *known = known.or(unreadable);
    }
    for (file, unreadable) in failing {
        let before = orphans.len();
        orphans.retain(|live| {
            live.readable_memo()
                .is_none_or(|memo| !is_from(&memo.source, file))
        });
        let kept = before - orphans.len();
        plan.unchanged += kept as u64;
        // Those of its definitions that are served still, last good versions
        // among them, are no orphans.
        let served = snapshot
            .definitions
            .values()
            .any(|loaded| file_of(&loaded.source) == file);
        if let Some(source) = unreadable
            && kept == 0
            && !served
        {
            wait.get_or_insert_with(|| {
                format!("the id of the document at `{source}` cannot be read")
            });
        }
    }
    wait
}

/// Whether a memo's source, cut at its beginning where it was long, is in `file`.
fn is_from(source: &str, file: &str) -> bool {
    let named = file_of(source);
    named == file || (source.len() + 3 >= SOURCE_LIMIT && file.ends_with(named))
}

/// Pairs schedules whose definition is gone with new definitions that are
/// equal to it but for id and source.
fn pair_renames(
    plan: &Plan,
    desired: &BTreeMap<DefinitionId, Desired>,
    orphans: &[&Live],
) -> BTreeMap<ScheduleId, DefinitionId> {
    // One that waits for a foreign schedule takes over from that one.
    let free = |one: &&Create| !one.memo.flags.contains(&Flag::Adopting);
    let creates = plan.creates.iter().filter(free);
    let mut news: Vec<&DefinitionId> = creates.map(|one| &one.definition).collect();
    let mut pairs = BTreeMap::new();
    for live in orphans {
        let Some(memo) = live.readable_memo() else {
            continue;
        };
        let found = news
            .iter()
            .position(|id| desired[*id].revision == memo.revision);
        if let Some(index) = found {
            pairs.insert(live.schedule.clone(), news.remove(index).clone());
        }
    }
    pairs
}

/// Whether the policy has something left to do to an orphan.
fn needs_removal(live: &Live, orphans: OrphanPolicy) -> bool {
    match orphans {
        OrphanPolicy::Delete => true,
        OrphanPolicy::Pause => {
            let done = live
                .readable_memo()
                .is_some_and(|memo| memo.flags.contains(&Flag::OrphanPaused));
            !live.values.paused && !done
        }
        OrphanPolicy::Keep => false,
    }
}

/// Why these removals are too many to be done unasked.
fn brake(
    plan: &Plan,
    now: u64,
    renames: &BTreeMap<ScheduleId, DefinitionId>,
    owned: u64,
    policy: &Policy<'_>,
) -> Option<String> {
    let all = now + policy.recently_removed;
    let before = owned + policy.recently_removed;
    if all >= AT_LEAST && all * 100 > SHARE * before {
        return Some(format!(
            "{all} of {before} schedules within 10 minutes are more than {SHARE} %"
        ));
    }
    let created = plan.creates.len() as u64 - renames.len() as u64;
    let left = owned - now + renames.len() as u64 + created;
    (left == 0).then(|| "no schedule would be left".to_owned())
}

impl Plan {
    /// Keeps the removals, and the other halves of renames, for confirmation.
    fn hold(
        &mut self,
        ids: &BTreeSet<&ScheduleId>,
        reason: String,
        digest: String,
        renames: &BTreeMap<ScheduleId, DefinitionId>,
    ) {
        let waiting: BTreeSet<_> = renames.values().collect();
        self.creates
            .retain(|create| !waiting.contains(&create.definition));
        self.held = Some(Held {
            digest,
            reason,
            ids: ids
                .iter()
                .take(LIST_LIMIT)
                .map(ToString::to_string)
                .collect(),
            count: ids.len() as u64,
        });
    }

    /// Lets the new halves of renames begin as the old ones were.
    fn take_over(
        &mut self,
        desired: &BTreeMap<DefinitionId, Desired>,
        orphans: &[&Live],
        renames: &BTreeMap<ScheduleId, DefinitionId>,
    ) {
        for live in orphans {
            let Some(id) = renames.get(&live.schedule) else {
                continue;
            };
            let new = self
                .creates
                .iter_mut()
                .find(|create| create.definition == *id);
            if let Some(new) = new {
                *new = Create::renamed(&desired[id], live);
            }
        }
    }
}

/// Pauses a schedule whose definition is gone, so that a returning definition
/// is unpaused again.
pub fn pause_orphan(live: &Live) -> Update {
    let before = Note::read(&live.note);
    pause(live, NoteLine::DefinitionGone { before })
}

/// Pauses a schedule that `new` replaces, since its definition has another id.
pub fn pause_for_rename(live: &Live, new: &ScheduleId) -> Update {
    pause(live, NoteLine::ReplacedBy(new))
}

/// True when a schedule was paused because `new` replaces it.
pub fn is_paused_for_rename(live: &Live, new: &ScheduleId) -> bool {
    let (memo, note) = (live.readable_memo(), Note::read(&live.note));
    live.values.paused
        && memo.is_some_and(|memo| memo.flags.contains(&Flag::OrphanPaused))
        && note.is_marked()
        && note.line() == NoteLine::ReplacedBy(new).to_string()
}

fn pause(live: &Live, why: NoteLine<'_>) -> Update {
    let mut memo = live.readable_memo().cloned().unwrap_or_else(|| ActionMemo {
        v: HASH_VERSION,
        base: base_of(HASH_VERSION, &live.values).unwrap_or_default(),
        ..ActionMemo::default()
    });
    memo.flags.insert(Flag::OrphanPaused);
    let mut values = live.values.clone();
    values.paused = true;
    let fingerprint = Fingerprint::of(
        &memo.base,
        memo.overridden.as_ref(),
        &memo.flags,
        &BTreeSet::new(),
    );
    Update {
        definition: live.definition.clone(),
        schedule: live.schedule.clone(),
        fields: BTreeMap::from([(Field::Paused, Cause::Orphan)]),
        values,
        remaining: Remaining::Keep,
        note: why.write(&fingerprint),
        memo,
        run_input: None,
        op: Op::Pause,
        reason: "its definition is gone".to_owned(),
        changes: vec![FieldChange {
            field: Field::Paused,
            cause: Cause::Orphan,
            before: Value::Bool(false),
            after: Value::Bool(true),
        }],
        removal: true,
    }
}
