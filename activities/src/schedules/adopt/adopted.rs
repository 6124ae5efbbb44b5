//! The old schedule of an adoption as it is now, and the note that marks it as
//! paused for the new one.

use almanac_base::names::ScheduleId;
use almanac_core::plan::AdoptedState;
use almanac_core::record::Flag;
use almanac_core::schedule::{Desired, ScheduleValues};
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use crate::schedules::wire::{self, Described, decode_time};

/// Maximum length in bytes of an old note that is kept within the adoption
/// note.
const NOTE_LIMIT: usize = 500;
const MARK: &str = "Paused while Almanac lets `";
const MARK_END: &str = "` take over";

/// The old schedule of an adoption as it is now.
pub(super) struct AdoptedSchedule {
    pub(super) id: ScheduleId,
    pub(super) body: Schedule,
    pub(super) values: ScheduleValues,
    pub(super) token: Vec<u8>,
    pub(super) note: String,
    /// The schedule is paused, and the note says that Almanac paused it for the
    /// new one.
    pub(super) marked: bool,
    pub(super) remaining: Option<u64>,
    pub(super) buffered: i64,
    pub(super) runs: usize,
    pub(super) updated: Timestamp,
}

impl AdoptedSchedule {
    pub(super) fn of(
        id: &ScheduleId,
        desired: &Desired,
        response: DescribeScheduleResponse,
    ) -> Self {
        let body = response.schedule.unwrap_or_default();
        let info = response.info.unwrap_or_default();
        let state = body.state.clone().unwrap_or_default();
        let updated = info.update_time.or(info.create_time);
        Self {
            id: id.clone(),
            values: wire::decode_values(&body),
            token: response.conflict_token,
            marked: state.paused
                && state
                    .notes
                    .starts_with(&adoption_note_prefix(&desired.schedule)),
            remaining: state
                .limited_actions
                .then(|| u64::try_from(state.remaining_actions).unwrap_or_default()),
            note: state.notes,
            buffered: info.buffer_size,
            runs: info.running_workflows.len(),
            updated: updated.as_ref().and_then(decode_time).unwrap_or_default(),
            body,
        }
    }

    /// The live state that the new schedule takes over.
    pub(super) fn state(&self) -> AdoptedState {
        AdoptedState {
            paused: (self.values.paused && !self.marked).then(|| self.note.clone()),
            remaining: self.remaining,
        }
    }
}

/// Returns `true` if the new schedule is held until the adoption releases it.
pub(super) fn is_held_for_adoption(new: &Described) -> bool {
    let memo = new.live.readable_memo();
    new.live.values.paused && memo.is_some_and(|memo| memo.flags.contains(&Flag::Adopting))
}

/// The beginning of an old schedule's note while the schedule `new` takes over.
pub(super) fn adoption_note_prefix(new: &ScheduleId) -> String {
    format!("{MARK}{new}{MARK_END}")
}

/// The note of an old schedule that is paused while the schedule `new` takes
/// over. `note` is the old schedule's own note.
pub(super) fn adoption_note(new: &ScheduleId, note: &str) -> String {
    let end = note.floor_char_boundary(NOTE_LIMIT);
    match &note[..end] {
        "" => adoption_note_prefix(new),
        note => format!("{}; its note was: {note}", adoption_note_prefix(new)),
    }
}

/// Returns `true` if the note says that a schedule of some project takes over.
pub fn is_being_adopted(note: &str) -> bool {
    note.starts_with(MARK) && note.contains(MARK_END)
}

/// The own note of a schedule, without the adoption note that may stand before
/// it.
pub fn original_note(note: &str) -> &str {
    if !is_being_adopted(note) {
        return note;
    }
    note.split_once("; its note was: ")
        .map_or("", |(_, note)| note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_the_note() {
        let new = ScheduleId::from_server("schedule-p-x");
        let note = adoption_note(&new, "made by ann");
        assert!(note.starts_with(&adoption_note_prefix(&new)), "{note}");
        assert!(is_being_adopted(&note));
        assert_eq!(original_note(&note), "made by ann");
        assert_eq!(original_note(&adoption_note_prefix(&new)), "");
        assert_eq!(original_note("lunch"), "lunch");
        // Another schedule's mark is not this one's.
        assert!(!adoption_note(&new, "").starts_with(&adoption_note_prefix(
            &ScheduleId::from_server("schedule-p-xy")
        )));
    }
}
