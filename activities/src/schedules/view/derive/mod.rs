//! Derives the view of a schedule from what was observed of it. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;

use almanac_base::names::DefinitionId;
use almanac_core::field::Field;
use almanac_core::plan::{contested_fields, drifted_fields};
use almanac_core::record::{ActionMemo, Flag, Override};
use almanac_core::schedule::{Desired, Live, Note, NoteKind};
use almanac_times::{Spec, compile_cron};

use super::{LastRun, ListedTimes, PausedBy, ScheduleState, ScheduleView, TimesAfter, ViewContext};
use crate::schedules::list::SPEC_CUT;
use crate::schedules::{ListEntry, Missed, Overdue};

/// The observations of one schedule.
pub(super) struct Observed {
    /// The definition that it belongs to, or would belong to if it were managed.
    pub(super) definition: DefinitionId,
    /// The schedule's entry in the list.
    pub(super) entry: ListEntry,
    /// The schedule's description. `None` in a list, and for an unmanaged
    /// schedule.
    pub(super) described: Option<Description>,
    /// The result of the check for a run that was due and has not started.
    pub(super) overdue: Overdue,
    /// The drift that passes found, if there is no description.
    pub(super) drift: Option<BTreeSet<Field>>,
}

/// The override in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InForce<'a> {
    /// An override may be in force: the reconcile workflow is unreachable, or
    /// its data may be incomplete.
    Unknown,
    /// No override is in force.
    None,
    /// This override is in force.
    Override(&'a Override),
}

impl<'a> InForce<'a> {
    fn known(self) -> Option<&'a Override> {
        match self {
            Self::Override(set) => Some(set),
            Self::Unknown | Self::None => None,
        }
    }
}

impl<'a> From<Option<&'a Override>> for InForce<'a> {
    fn from(set: Option<&'a Override>) -> Self {
        set.map_or(Self::None, Self::Override)
    }
}

/// The facts from a description.
pub(super) struct Description {
    pub(super) live: Live,
    pub(super) missed: Missed,
}

impl Observed {
    fn live(&self) -> Option<&Live> {
        self.described.as_ref().map(|described| &described.live)
    }

    fn memo(&self) -> Option<&ActionMemo> {
        self.live().and_then(Live::readable_memo)
    }
}

/// The states that apply to a schedule, and those that could not be checked.
#[derive(Default)]
struct Conditions {
    apply: BTreeSet<ScheduleState>,
    unknown: BTreeSet<ScheduleState>,
}

impl Conditions {
    /// Records a state that applies or does not. `None` if that is not known.
    fn check(&mut self, state: ScheduleState, applies: Option<bool>) {
        match applies {
            Some(true) => self.apply.insert(state),
            Some(false) => false,
            None => self.unknown.insert(state),
        };
    }

    fn state(&self) -> ScheduleState {
        let first = self.apply.first().copied();
        first.unwrap_or(ScheduleState::Active)
    }
}

/// The view of the observations of one schedule.
pub(super) fn view(observed: Observed, context: ViewContext<'_>) -> ScheduleView {
    let (id, entry) = (&observed.definition, &observed.entry);
    let files = context.files;
    let loaded = files.and_then(|files| files.snapshot.definitions.get(id));
    let desired = files.and_then(|files| files.desired(id));
    let desired = desired.as_ref();
    // An unmanaged schedule's note says nothing about this project.
    let note = match entry.owner {
        Some(_) => Note::read(&entry.note),
        None => Note::of_words(&entry.note),
    };
    let in_force = in_force(&observed, note, context);
    let conditions = conditions(&observed, note, desired, in_force, context);
    let set = in_force.known();
    let is_finished = conditions.apply.contains(&ScheduleState::Finished);
    let workflow_id = context.project.run_workflow_id(id);
    let mut next = entry.next.iter().copied().filter(|_| !entry.paused);
    let memo = observed.memo();
    let (by, reason) = words_of_people(&observed, note, set);
    let drift = match observed.live() {
        Some(live) => drifted_fields(live, desired, set),
        None => observed.drift.clone(),
    };
    ScheduleView {
        source: loaded
            .map(|loaded| loaded.source.clone())
            .or_else(|| memo.map(|memo| memo.source.clone())),
        description: loaded.and_then(|loaded| loaded.definition.description.clone()),
        labels: loaded
            .map(|loaded| loaded.definition.labels.clone())
            .unwrap_or_default(),
        paused: entry.paused,
        paused_by: (entry.paused && !is_finished)
            .then(|| PausedBy::of(note, &workflow_id, in_force)),
        note: note.text().into_owned(),
        reason: reason.map(str::to_owned),
        by: by.map(str::to_owned),
        summary: summary(&observed, desired, set),
        cron: crons(entry, desired, set),
        every: exact(entry.spec.intervals.iter().map(ToString::to_string)),
        timezone: entry.spec.timezone.clone(),
        workflow_type: entry.workflow_type.clone(),
        next_run: next.next(),
        next_runs: exact(next),
        last_run: entry.last.clone().and_then(|run| {
            let last = LastRun {
                at: run.started?,
                workflow_id: run.workflow_id,
                run_id: run.run_id,
                status: run.status,
            };
            Some(Box::new(last))
        }),
        missed: observed
            .described
            .as_ref()
            .map(|described| described.missed),
        overdue: match observed.overdue {
            Overdue::NotChecked => None,
            Overdue::No => Some(false),
            Overdue::Since(_) => Some(true),
        },
        overdue_since: match observed.overdue {
            Overdue::NotChecked | Overdue::No => None,
            Overdue::Since(due) => Some(due),
        },
        remaining_actions: observed.live().and_then(|live| live.remaining_actions),
        drift,
        overridden: set.cloned().map(Box::new),
        state: conditions.state(),
        conditions: conditions.apply,
        unknown: conditions.unknown,
        id: entry.schedule.clone(),
        definition: observed.definition,
    }
}

/// The override in force. The memo counts if it can be read, because it was
/// written together with the change.
fn in_force<'a>(observed: &'a Observed, note: Note<'_>, context: ViewContext<'a>) -> InForce<'a> {
    if observed.entry.owner.is_none() {
        return InForce::None;
    }
    if let Some(memo) = observed.memo() {
        return memo.overridden.as_ref().into();
    }
    let Some(status) = context.status else {
        return InForce::Unknown;
    };
    match status.overrides.get(&observed.definition) {
        Some(set) => InForce::Override(set),
        // The workflow may not hold all overrides, may just have begun without
        // state, or may not have received yet what a pass has written.
        None if status.overrides_left > 0
            || status.last_full_report().is_none()
            || is_of_override(note.kind()) =>
        {
            InForce::Unknown
        }
        None => InForce::None,
    }
}

fn conditions(
    observed: &Observed,
    note: Note<'_>,
    desired: Option<&Desired>,
    in_force: InForce<'_>,
    context: ViewContext<'_>,
) -> Conditions {
    let mut conditions = Conditions::default();
    let entry = &observed.entry;
    if entry.owner.is_none() {
        // Almanac can say nothing else about an unmanaged schedule.
        conditions.check(ScheduleState::Conflict, Some(true));
        conditions.check(ScheduleState::Paused, Some(entry.paused));
        return conditions;
    }
    let status = context.status;
    let unreadable = status.and_then(|status| status.is_unreadable(&entry.schedule));
    let orphaned = is_orphaned(observed, note, context);
    let contested = status.and_then(|status| {
        let fields = contested_fields(&status.corrections, &observed.definition, context.now);
        let is_known = !fields.is_empty() || status.last_full_report().is_some();
        is_known.then_some(!fields.is_empty())
    });
    let kind = note.kind();
    let overridden = match in_force {
        InForce::Override(_) => Some(true),
        InForce::None => Some(false),
        InForce::Unknown => is_of_override(kind).then_some(true),
    };
    conditions.check(ScheduleState::Unreadable, unreadable);
    conditions.check(ScheduleState::Held, is_held(observed, orphaned, context));
    conditions.check(ScheduleState::Orphaned, orphaned);
    conditions.check(ScheduleState::Contested, contested);
    let finished = is_finished(observed, kind, desired);
    conditions.check(ScheduleState::Finished, finished);
    conditions.check(ScheduleState::Overridden, overridden);
    conditions.check(ScheduleState::Paused, Some(entry.paused));
    conditions
}

/// Returns `true` if no definition asks for the schedule: by the files, else by
/// the last full pass, else by the note. `None` if that is not known.
fn is_orphaned(observed: &Observed, note: Note<'_>, context: ViewContext<'_>) -> Option<bool> {
    if let Some(files) = context.files {
        return Some(!files.wants(&observed.definition));
    }
    let by_pass = context
        .status
        .and_then(|status| status.is_without_definition(&observed.entry.schedule));
    by_pass.or_else(|| (note.kind() == NoteKind::DefinitionGone).then_some(true))
}

/// Returns `true` if the schedule's removal waits for confirmation. The list of
/// such schedules is bounded; for those that it leaves out, being orphaned
/// counts. `None` if that is not known.
fn is_held(observed: &Observed, orphaned: Option<bool>, context: ViewContext<'_>) -> Option<bool> {
    let status = context.status?;
    let Some(held) = &status.held else {
        return status.last_full_report().map(|_| false);
    };
    let schedule = observed.entry.schedule.as_str();
    if held.ids.iter().any(|id| id == schedule) {
        return Some(true);
    }
    let is_cut = held.count > held.ids.len() as u64;
    if is_cut { orphaned } else { Some(false) }
}

fn is_of_override(kind: NoteKind) -> bool {
    matches!(kind, NoteKind::PausedByOverride | NoteKind::Overridden)
}

/// Returns `true` if the schedule's limited actions are used up. A list shows
/// no limit. There the note counts, or that a schedule with a limit has no
/// further run. `None` if a person's note has replaced Almanac's.
fn is_finished(observed: &Observed, kind: NoteKind, desired: Option<&Desired>) -> Option<bool> {
    let entry = &observed.entry;
    if let Some(live) = observed.live() {
        let memo = live.readable_memo();
        let is_flagged = memo.is_some_and(|memo| memo.flags.contains(&Flag::Finished));
        return Some((is_flagged && entry.paused) || live.remaining_actions == Some(0));
    }
    let is_limited = desired.map(|desired| desired.values.max_actions.is_some());
    match (entry.paused, kind) {
        (true, NoteKind::Finished) => Some(true),
        (true, NoteKind::Words) if is_limited != Some(false) => None,
        (true, _) => Some(false),
        (false, _) => Some(is_limited == Some(true) && entry.next.is_empty()),
    }
}

/// The name of the operator who set an override, and the reason that a person
/// or the server gave. A name or a reason that is not known is `None`.
fn words_of_people<'a>(
    observed: &'a Observed,
    note: Note<'a>,
    set: Option<&'a Override>,
) -> (Option<&'a str>, Option<&'a str>) {
    let known = set.map(|set| (set.by.as_str(), set.reason.as_str()));
    if let Some((by, reason)) = known.or_else(|| note.override_words()) {
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        return (some(by), some(reason));
    }
    // Another project's line in an unmanaged schedule is not a person's.
    let is_foreign = observed.entry.owner.is_none() && Note::read(&observed.entry.note).is_marked();
    (None, note.words().filter(|_| !is_foreign))
}

/// The times in force in words. A list shows the first of many calendars; if
/// these are those of the override or the definition, so are the others.
fn summary(observed: &Observed, desired: Option<&Desired>, set: Option<&Override>) -> String {
    let entry = &observed.entry;
    if let Some(live) = observed.live() {
        return live.values.spec.words(None);
    }
    match whole_spec(entry, desired, set) {
        Some(spec) => spec.words(None),
        None => entry.spec.words(Some(SPEC_CUT)),
    }
}

/// The complete spec of a listed schedule. A list shows the first of many
/// calendars; if these are those of the override or the definition, so are the
/// others. `None` if that is not known.
fn whole_spec<'a>(
    entry: &'a ListEntry,
    desired: Option<&Desired>,
    set: Option<&Override>,
) -> Option<Cow<'a, Spec>> {
    if !entry.is_cut() {
        return Some(Cow::Borrowed(&entry.spec));
    }
    let mut spec = desired?.values.spec.clone();
    if let Some(cron) = set.and_then(|set| set.cron.as_deref()) {
        Spec {
            calendars: spec.calendars,
            intervals: spec.intervals,
            ..
        } = compiled(cron);
    }
    if let Some(timezone) = set.and_then(|set| set.timezone.as_ref()) {
        spec.timezone.clone_from(timezone);
    }
    entry.shows(&spec).then_some(Cow::Owned(spec))
}

/// The times of a listed schedule.
pub(super) fn times(observed: &Observed, context: ViewContext<'_>) -> ListedTimes {
    let entry = &observed.entry;
    let note = Note::read(&entry.note);
    let files = context.files;
    let desired = files.and_then(|files| files.desired(&observed.definition));
    let set = in_force(observed, note, context).known();
    let spec = whole_spec(entry, desired.as_ref(), set);
    ListedTimes {
        is_whole: spec.is_some(),
        after: set.and_then(|set| {
            Some(TimesAfter {
                at: set.until?,
                spec: spec_after(set, desired.as_ref(), spec.as_deref()).map(Into::into),
            })
        }),
        spec: spec
            .map_or_else(|| entry.spec.clone(), Cow::into_owned)
            .into(),
        server_times: entry.next.len(),
        is_managed: entry.owner.is_some(),
        is_marked: entry.owner.is_some() && note.is_marked(),
        digest: entry.digest(),
    }
}

/// The spec of a schedule after its override has expired; a spec without times
/// if the schedule is then paused. `None` if that is not known.
fn spec_after(set: &Override, desired: Option<&Desired>, live: Option<&Spec>) -> Option<Spec> {
    let is_paused = match (set.enabled, set.found_paused, desired) {
        (None, ..) => false,
        (_, Some(found), _) => found,
        (_, None, desired) => desired?.values.paused,
    };
    if is_paused {
        return Some(Spec::default());
    }
    if set.cron.is_none() && set.timezone.is_none() {
        return live.cloned();
    }
    Some(desired?.values.spec.clone())
}

/// The calendars in force as cron strings. They are as the override or the
/// definition wrote them, if these are in force; the others are in Temporal's
/// form.
fn crons(entry: &ListEntry, desired: Option<&Desired>, set: Option<&Override>) -> Vec<String> {
    let by_override = set.and_then(|set| set.cron.as_deref());
    let written: &[String] = match (by_override, desired) {
        (Some(cron), _) if entry.shows_times(&compiled(cron)) => cron,
        (None, Some(desired)) if entry.shows_times(&desired.values.spec) => &desired.cron,
        _ => &[],
    };
    let compiled = compiled(written);
    let others = entry.spec.calendars.iter();
    let others = others.filter(|calendar| !compiled.calendars.contains(calendar));
    let others = others.map(ToString::to_string);
    exact(written.iter().cloned().chain(others))
}

/// Collects without reserving room for more: ten thousand views are kept.
fn exact<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = items.collect();
    all.shrink_to_fit();
    all
}

/// The times of cron strings. Strings that do not compile add none.
fn compiled(crons: &[String]) -> Spec {
    let (mut calendars, mut intervals) = (Vec::new(), Vec::new());
    for cron in crons.iter().filter_map(|cron| compile_cron(cron).ok()) {
        calendars.extend(cron.calendars);
        intervals.extend(cron.intervals);
    }
    Spec {
        calendars: calendars.into(),
        intervals: intervals.into(),
        ..Spec::default()
    }
}

#[cfg(test)]
mod tests;
