//! The states of a schedule, their order, and the origin of a pause.

use std::fmt;

use almanac_core::schedule::{Note, NoteKind};
use serde::{Deserialize, Serialize};

use super::derive::InForce;

/// The state of a schedule. If several apply, the first counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// An unmanaged schedule has the id that the definition's schedule would have.
    Conflict,
    /// The server could not describe the schedule in the last full pass.
    /// Almanac does not write to it.
    Unreadable,
    /// The removal of the schedule waits for confirmation.
    Held,
    /// No definition asks for the schedule.
    Orphaned,
    /// Others keep changing fields of the schedule back.
    Contested,
    /// The limited actions of the schedule are used up.
    Finished,
    /// An operator's override is in force.
    Overridden,
    /// The schedule is paused: it starts nothing by itself.
    Paused,
    /// The schedule runs as its definition says.
    Active,
}

impl ScheduleState {
    /// Every state, in order of precedence.
    pub const ALL: [Self; 9] = [
        Self::Conflict,
        Self::Unreadable,
        Self::Held,
        Self::Orphaned,
        Self::Contested,
        Self::Finished,
        Self::Overridden,
        Self::Paused,
        Self::Active,
    ];

    /// The state's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Unreadable => "unreadable",
            Self::Held => "held",
            Self::Orphaned => "orphaned",
            Self::Contested => "contested",
            Self::Finished => "finished",
            Self::Overridden => "overridden",
            Self::Paused => "paused",
            Self::Active => "active",
        }
    }
}

impl fmt::Display for ScheduleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The origin of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// The definition, or Almanac: the schedule is orphaned, its actions are
    /// used up, or its adoption has not ended.
    Yaml,
    /// An operator's override.
    Override,
    /// The server, after a failed run.
    Failure,
    /// A person, in the UI or with a command.
    Hand,
}

impl PausedBy {
    /// The origin's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Override => "override",
            Self::Failure => "failure",
            Self::Hand => "hand",
        }
    }

    /// The origin of a schedule's pause, from its note: everyone who pauses a
    /// schedule replaces the note. `workflow_id` begins the ids of the
    /// schedule's runs.
    pub(super) fn of(note: Note<'_>, workflow_id: &str, in_force: InForce<'_>) -> Self {
        if note.is_failure_of(workflow_id) {
            return Self::Failure;
        }
        if let InForce::Override(set) = in_force
            && set.enabled == Some(false)
        {
            return Self::Override;
        }
        match note.kind() {
            NoteKind::PausedByOverride if in_force == InForce::Unknown => Self::Override,
            NoteKind::Managed
            | NoteKind::Finished
            | NoteKind::DefinitionGone
            | NoteKind::Waiting => Self::Yaml,
            NoteKind::PausedByOverride | NoteKind::Overridden | NoteKind::Words => Self::Hand,
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_core::record::Override;
    use serde_json::json;

    use super::*;

    #[test]
    fn states_are_sorted_by_precedence_and_named_as_in_json() {
        assert!(ScheduleState::ALL.is_sorted());
        for state in ScheduleState::ALL {
            assert_eq!(json!(state), state.as_str());
        }
    }

    #[test]
    fn the_documented_order_is_the_order_of_precedence() {
        let page = include_str!("../../../../docs/operating.md");
        let table = page.split("| state | applies when |").nth(1).unwrap();
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with("| `"));
        let documented: Vec<_> = rows
            .map(|row| row.split('`').nth(1).unwrap().to_owned())
            .collect();
        assert_eq!(documented, ScheduleState::ALL.map(ScheduleState::as_str));
    }

    #[test]
    fn whoever_paused_a_schedule_left_a_note() {
        let paused = Override {
            enabled: Some(false),
            ..Override::default()
        };
        let cron = Override {
            cron: Some(vec!["@daily".to_owned()]),
            ..Override::default()
        };
        let by =
            |note: &str, in_force: InForce<'_>| PausedBy::of(Note::read(note), "p/a", in_force);
        let mark = "[almanac v1:abc]";
        let unset = InForce::None;
        for (line, expected) in [
            ("Managed by Almanac from a.yaml", PausedBy::Yaml),
            ("Paused: its definition is gone ()", PausedBy::Yaml),
            ("Finished: its actions are used up", PausedBy::Yaml),
            ("lunch", PausedBy::Hand),
            ("Paused by ann: disk full", PausedBy::Hand),
            ("paused, workflow failed: p/a-1", PausedBy::Failure),
        ] {
            assert_eq!(by(&format!("{line} {mark}"), unset), expected, "{line}");
        }
        // A person's words are no state, whatever they read like.
        for note in [
            "",
            "(no reason provided)",
            "Finished: tired",
            "Managed by Almanac from a",
        ] {
            assert_eq!(by(note, unset), PausedBy::Hand, "{note}");
        }
        assert_eq!(
            by("paused due to workflow failure: p/a-1: boom", unset),
            PausedBy::Failure
        );
        assert_eq!(by("paused due to workflow rework", unset), PausedBy::Hand);
        assert_eq!(
            by("incident", InForce::Override(&paused)),
            PausedBy::Override
        );
        assert_eq!(by("incident", InForce::Override(&cron)), PausedBy::Hand);
        // Without a worker only the note has the answer.
        let note = format!("Paused by ann: disk full {mark}");
        assert_eq!(by(&note, InForce::Unknown), PausedBy::Override);
        assert_eq!(by(&note, unset), PausedBy::Hand);
    }
}
