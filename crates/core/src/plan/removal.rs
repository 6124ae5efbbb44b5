//! Decides if an orphaned schedule is protected, renamed, held or removed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use almanac_base::names::{DefinitionId, Revision, ScheduleId};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::compare::SOURCE_LIMIT;
use super::note_line::kept_beside;
use super::{
    Cause, Create, Delete, FieldChange, KnownSchedule, Observed, Plan, Policy, Remaining,
    ScheduledDefinitions, Unreadable, Update,
};
use crate::field::{Field, HASH_VERSION};
use crate::record::{ActionMemo, ErrorSource, Flag, Held, LIST_LIMIT, Op, OrphanPolicy};
use crate::schedule::{Fingerprint, Live, LiveMemo, Note, NoteLine, base_of};
use crate::snapshot::{Snapshot, file_of};

/// Removals wait for confirmation if they are at least this many, and more than [`SHARE`] of
/// the managed schedules.
const AT_LEAST: u64 = 10;
/// A share of the managed schedules, in percent.
const SHARE: u64 = 30;

/// The digest that names exactly this set of schedules: the SHA-256 of their sorted ids, joined
/// by line feeds, in hexadecimal digits.
pub fn held_digest(schedules: &BTreeSet<&ScheduleId>) -> String {
    let ids: Vec<_> = schedules.iter().map(|id| id.as_str()).collect();
    hex::encode(Sha256::digest(ids.join("\n").as_bytes()))
}

/// Adds the operations on orphaned schedules to `plan`.
pub(super) fn plan_removals(
    plan: &mut Plan,
    snapshot: &Snapshot,
    scheduled: &ScheduledDefinitions,
    observed: &Observed,
    policy: &Policy<'_>,
) {
    let protected = protected_ids(snapshot);
    let mut orphans: Vec<&Live> = Vec::new();
    let mut unreadable: Vec<(&ScheduleId, &Unreadable)> = Vec::new();
    let mut owned: u64 = 0;
    let is_unreadable = |seen: &KnownSchedule| matches!(seen, KnownSchedule::Unreadable(_));
    let created = if observed.values().any(is_unreadable) {
        created_by_type(plan)
    } else {
        BTreeMap::new()
    };
    for (schedule, seen) in observed {
        let (id, live) = match seen {
            KnownSchedule::Unmanaged => continue,
            KnownSchedule::InSync(in_sync) => (&in_sync.definition, None),
            KnownSchedule::Described(live) => (&live.definition, Some(live)),
            KnownSchedule::Unreadable(one) => (&one.definition, None),
        };
        // A schedule that no list shows may not exist, or may belong to another owner.
        let is_listed =
            !matches!(seen, KnownSchedule::Unreadable(one) if one.listed_type.is_none());
        owned += u64::from(is_listed);
        if scheduled.contains_key(id) || protected.contains(id) {
            continue;
        }
        plan.without_definition.push(schedule.clone());
        if let KnownSchedule::Unreadable(one) = seen {
            match reason_to_keep(one, &created, snapshot, policy.orphans) {
                None => unreadable.push((schedule, one)),
                Some(reason) => {
                    plan.orphaned.push(schedule.clone());
                    let fate = format!("its definition is gone, but it is not removed: {reason}");
                    plan.skip(schedule, one, &fate);
                }
            }
            continue;
        }
        match live.map(|live| (&live.memo, live)) {
            None => plan.orphaned.push(schedule.clone()),
            Some((LiveMemo::Newer(v), live)) => plan.problems.push(ErrorSource::Temporal.error(
                Some(id.to_string()),
                format!(
                    "schedule `{}` was written by a newer release (memo version {v}); it is not \
                     removed",
                    live.schedule
                ),
            )),
            Some((_, live)) => orphans.push(live),
        }
    }
    let wait = reasons_to_wait(plan, snapshot, &mut orphans, policy);

    let renames = pair_renames(plan, scheduled, &orphans);
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
        plan.take_over(scheduled, &orphans, &renames);
        return;
    }

    let (reason, confirmable) = match wait {
        Some(reason) => (Some(reason), false),
        None => (brake(plan, ids.len() as u64, &renames, owned, policy), true),
    };
    let digest = held_digest(&ids);
    let confirmed = confirmable && policy.confirm == Some(digest.as_str());
    if let (Some(confirm), false, true) = (policy.confirm, confirmed, reason.is_some()) {
        plan.problems.push(ErrorSource::Confirm.error(
            None,
            format!(
                "digest `{confirm}` does not match the removals that are held now; nothing was \
                 removed"
            ),
        ));
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
    plan.take_over(scheduled, &orphans, &renames);
    for live in removals {
        match policy.orphans {
            OrphanPolicy::Delete => plan.deletes.push(Delete {
                definition: live.definition.clone(),
                schedule: live.schedule.clone(),
                renamed_to: renames
                    .get(&live.schedule)
                    .map(|id| scheduled[id].schedule.clone()),
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

/// Returns a definition whose schedule is created, for each type of workflow that such schedules
/// start.
fn created_by_type(plan: &Plan) -> BTreeMap<String, DefinitionId> {
    let mut created = BTreeMap::new();
    for create in &plan.creates {
        let workflow_type = create.scheduled.workflow_type();
        if !created.contains_key(workflow_type) {
            created.insert(workflow_type.to_owned(), create.definition().clone());
        }
    }
    created
}

/// Reason why an orphaned schedule that could not be described stays; `None` if it may be
/// deleted.
///
/// The rules that need a description are replaced by stricter ones: the schedule stays unless
/// every reason to keep it is ruled out.
fn reason_to_keep(
    one: &Unreadable,
    created: &BTreeMap<String, DefinitionId>,
    snapshot: &Snapshot,
    orphans: OrphanPolicy,
) -> Option<String> {
    let Some(listed_type) = &one.listed_type else {
        return Some("the list does not show which project it belongs to".to_owned());
    };
    match orphans {
        OrphanPolicy::Delete => {}
        OrphanPolicy::Pause => {
            return Some("a schedule that cannot be described cannot be paused".to_owned());
        }
        OrphanPolicy::Keep => return Some("--orphans is keep".to_owned()),
    }
    // The schedule's memo would name the file of its definition.
    if let Some(failing) = snapshot.failed.first() {
        return Some(format!(
            "the document at `{}` is invalid, and may be its definition",
            failing.source
        ));
    }
    // The schedule's memo would name the revision, and so show a rename. The pass after the one
    // that creates the new schedule deletes this one.
    let new = created.get(listed_type)?;
    Some(format!(
        "it may be the former schedule of `{new}`, which does not exist yet"
    ))
}

/// Ids that failing documents state. Their schedules stay.
pub fn protected_ids(snapshot: &Snapshot) -> BTreeSet<&DefinitionId> {
    snapshot
        .failed
        .iter()
        .filter_map(|document| document.id.as_ref())
        .collect()
}

/// Reason why no removal at all is possible now. Orphans that may belong to a failing document
/// of their file are taken out of `orphans`.
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
        wait.get_or_insert_with(|| "live workers hold different revisions".to_owned());
    }
    // Grouped by file, since several documents of a file may fail. The id that a failing
    // document states may be a part of the real id, so all schedules of the file stay.
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
        // Definitions of the file that are still served, also as last good versions, are no
        // orphans.
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

/// Returns `true` if the source in a memo lies in `file`. A long source has lost its beginning.
fn is_from(source: &str, file: &str) -> bool {
    let named = file_of(source);
    named == file || (source.len() + 3 >= SOURCE_LIMIT && file.ends_with(named))
}

/// Pairs orphaned schedules with new definitions that are equal except for id and source.
fn pair_renames(
    plan: &Plan,
    scheduled: &ScheduledDefinitions,
    orphans: &[&Live],
) -> BTreeMap<ScheduleId, DefinitionId> {
    // A schedule that waits for an adoption takes over from the unmanaged schedule, and not
    // from an orphan.
    let free = |one: &&Create| !one.flags.contains(&Flag::Adopting);
    let creates = plan.creates.iter().filter(free);
    let mut news: BTreeMap<&Revision, VecDeque<&DefinitionId>> = BTreeMap::new();
    for one in creates {
        let revision = scheduled[one.definition()].revision();
        news.entry(revision)
            .or_default()
            .push_back(one.definition());
    }
    let mut pairs = BTreeMap::new();
    for live in orphans {
        let Some(memo) = live.readable_memo() else {
            continue;
        };
        let same = news.get_mut(&memo.revision);
        if let Some(id) = same.and_then(VecDeque::pop_front) {
            pairs.insert(live.schedule.clone(), id.clone());
        }
    }
    pairs
}

/// Returns `true` if the policy still requires an operation on an orphan.
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

/// Reason why these removals are too many to be done without confirmation; `None` if they are
/// not.
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
    /// Holds the removals, and the creations of renamed schedules, for confirmation.
    fn hold(
        &mut self,
        ids: &BTreeSet<&ScheduleId>,
        reason: String,
        digest: String,
        renames: &BTreeMap<ScheduleId, DefinitionId>,
    ) {
        let waiting: BTreeSet<_> = renames.values().collect();
        self.creates
            .retain(|create| !waiting.contains(create.definition()));
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

    /// Lets the new schedules of renames begin in the state of the old ones.
    fn take_over(
        &mut self,
        scheduled: &ScheduledDefinitions,
        orphans: &[&Live],
        renames: &BTreeMap<ScheduleId, DefinitionId>,
    ) {
        let old: BTreeMap<&DefinitionId, &Live> = orphans
            .iter()
            .filter_map(|live| Some((renames.get(&live.schedule)?, *live)))
            .collect();
        for create in &mut self.creates {
            if let Some(live) = old.get(create.definition()) {
                *create = Create::renamed(&scheduled[create.definition()], live);
            }
        }
    }
}

/// Pauses an orphaned schedule. It is unpaused if its definition returns.
pub fn pause_orphan(live: &Live) -> Update {
    let before = Note::read(&live.note);
    pause(live, NoteLine::DefinitionGone { before })
}

/// Pauses a schedule that `new` replaces, since its definition has another id.
pub fn pause_for_rename(live: &Live, new: &ScheduleId) -> Update {
    pause(live, NoteLine::ReplacedBy(new))
}

/// Returns `true` if a schedule is paused because `new` replaces it.
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
    let earlier = kept_beside(&memo, Note::read(&live.note).earlier());
    Update {
        definition: live.definition.clone(),
        schedule: live.schedule.clone(),
        fields: BTreeMap::from([(Field::Paused, Cause::Orphan)]),
        values,
        remaining: Remaining::Keep,
        note: why.write_with(earlier, &fingerprint),
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
