//! Entries of the server's list of schedules, and the facts that they prove.

use std::hash::{DefaultHasher, Hash, Hasher};

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::plan::Expectation;
use almanac_core::schedule::Note;
use almanac_times::{Sorted, Spec};
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleListEntry, ScheduleListInfo};

use super::wire::decode_time;
use super::{Run, wire};

/// Number of entries to which the server cuts each repeated field of a listed
/// spec.
pub(super) const SPEC_CUT: usize = 10;

/// A schedule as the list shows it.
#[derive(Debug, Clone)]
pub struct ListEntry {
    pub schedule: ScheduleId,
    /// The project's definition that the schedule belongs to; `None` if the
    /// schedule is unmanaged.
    pub owner: Option<DefinitionId>,
    /// The schedule's note.
    pub note: String,
    /// The schedule is paused.
    pub paused: bool,
    /// Type of the workflow that the schedule starts.
    pub workflow_type: String,
    /// The schedule's spec; the server may have cut it.
    pub spec: Spec,
    /// The next times at which the schedule fires.
    pub next: Vec<Timestamp>,
    /// The last run that the schedule started.
    pub last: Option<Run>,
    /// `true` if a run has not ended, as far as the schedule knows.
    pub is_busy: bool,
}

impl ListEntry {
    /// Reads an entry. An entry whose memo cannot be decoded counts as
    /// unmanaged; the list continues.
    pub fn of(project: &Project, entry: ScheduleListEntry) -> Self {
        let schedule = ScheduleId::from_server(entry.schedule_id);
        let owner = wire::owner_of(project, &schedule, entry.memo.as_ref());
        let info: ScheduleListInfo = entry.info.unwrap_or_default();
        let runs = Run::all_of(&info.recent_actions);
        Self {
            schedule,
            owner,
            note: info.notes,
            paused: info.paused,
            workflow_type: info.workflow_type.map(|one| one.name).unwrap_or_default(),
            spec: info
                .spec
                .as_ref()
                .map(wire::decode_spec)
                .unwrap_or_default(),
            next: info
                .future_action_times
                .iter()
                .filter_map(decode_time)
                .collect(),
            is_busy: runs.iter().any(Run::is_running),
            last: runs.into_iter().next_back(),
        }
    }

    /// Returns `true` if this entry proves its schedule in sync.
    pub fn proves(&self, expected: &Expectation) -> bool {
        Note::read(&self.note).proves(&expected.fingerprint)
            && self.paused == expected.paused
            && self.workflow_type == expected.workflow_type
            && self.shows(&expected.spec)
            && !(expected.limited && !self.paused && self.next.is_empty())
    }

    /// A digest of the parts that do not change while the schedule merely runs.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.owner.hash(&mut hasher);
        self.note.hash(&mut hasher);
        self.paused.hash(&mut hasher);
        self.workflow_type.hash(&mut hasher);
        self.spec.hash(&mut hasher);
        self.next.is_empty().hash(&mut hasher);
        hasher.finish()
    }

    /// Returns `true` if the server may have cut the spec.
    pub(super) fn is_cut(&self) -> bool {
        let spec = &self.spec;
        let longest = spec.calendars.len().max(spec.exclude.len());
        longest.max(spec.intervals.len()) >= SPEC_CUT
    }

    /// Returns `true` if the entry shows the calendars and intervals of `spec`, as
    /// far as the server shows them.
    pub(super) fn shows_times(&self, spec: &Spec) -> bool {
        let shown = &self.spec;
        shows_all(&shown.calendars, &spec.calendars) && shows_all(&shown.intervals, &spec.intervals)
    }

    /// Returns `true` if the entry shows `spec`, as far as the server shows it.
    pub(super) fn shows(&self, spec: &Spec) -> bool {
        let shown = &self.spec;
        self.shows_times(spec)
            && shows_all(&shown.exclude, &spec.exclude)
            && shown.timezone == spec.timezone
            && shown.start_at == spec.start_at
            && shown.end_at == spec.end_at
            && shown.jitter == spec.jitter
    }
}

/// Returns `true` if a listed field is `all`, or the part of it that the server
/// shows.
fn shows_all<T: Ord>(shown: &Sorted<T>, all: &Sorted<T>) -> bool {
    let is_cut = shown.len() >= SPEC_CUT && all.len() > shown.len();
    shown.is_subset(all) && (shown.len() == all.len() || is_cut)
}
