//! The two memos and the note that a schedule carries.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::field::{Field, FieldHash};

/// The longest action memo, in bytes of JSON.
pub const ACTION_MEMO_LIMIT: usize = 1536;

/// The schedule's own memo, written once, at creation: who owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerMemo {
    /// The project.
    pub project: Project,
    /// The definition.
    pub definition: DefinitionId,
}

impl OwnerMemo {
    /// The definition, when this memo makes `schedule` one of `project`'s.
    /// Both names must produce exactly the schedule's id: the prefix proves nothing.
    pub fn owned_by(&self, project: &Project, schedule: &ScheduleId) -> Option<&DefinitionId> {
        (self.project == *project && project.schedule_id(&self.definition) == *schedule)
            .then_some(&self.definition)
    }
}

/// The memo of the schedule's action: part of each write, stamped on each run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActionMemo {
    /// Version of the hashes in `base`.
    pub v: u32,
    /// Revision of the definition it was written from.
    pub revision: Revision,
    /// The file (and line, for a file of several documents) it came from.
    pub source: String,
    /// Hash of the YAML's value at the last write, for each field whose value
    /// is not the default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub base: BTreeMap<Field, FieldHash>,
    /// What an operator set, and until when.
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
    /// What must be remembered about the schedule.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<Flag>,
}

/// The memo of a run that no schedule started: of which definition it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMemo {
    /// The definition.
    pub definition: DefinitionId,
    /// The revision that it goes on with.
    pub revision: Revision,
}

/// What must be remembered about a schedule.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// When the YAML turned paused, someone had paused it already: the YAML
    /// turning active again leaves that pause alone.
    PausedBefore,
    /// Its definition went away under `ALMANAC_ORPHANS=pause`, and it was
    /// active then: a returning definition unpauses it.
    OrphanPaused,
    /// Its limited actions are used up; it stays, paused, so that it is not
    /// created and run again.
    Finished,
    /// It was made paused beside a foreign schedule that it is to take over
    /// from, and waits for `almanac adopt`.
    Adopting,
    /// A flag of a newer release.
    #[serde(other)]
    Unknown,
}

/// What an operator set over the YAML.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Override {
    /// `enabled` as set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The paused state that an override of `enabled` found, to come back at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_paused: Option<bool>,
    /// `cron` as set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<Vec<String>>,
    /// `timezone` as set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When it was set.
    pub at: Timestamp,
    /// Number of the order that set it: the workflow's clock may stand still
    /// between two.
    #[serde(skip_serializing_if = "is_zero")]
    pub order: u64,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_largest_memo_leaves_room_for_an_override() {
        let memo = ActionMemo {
            v: 1,
            revision: Revision::of(b"x"),
            source: "s".repeat(300),
            base: Field::ALL
                .into_iter()
                .map(|field| (field, FieldHash("01234567".to_owned())))
                .collect(),
            overridden: None,
            flags: BTreeSet::from([
                Flag::PausedBefore,
                Flag::OrphanPaused,
                Flag::Finished,
                Flag::Adopting,
            ]),
        };
        let length = json!(memo).to_string().len();
        assert!(length < ACTION_MEMO_LIMIT * 2 / 3, "{length} bytes");
    }

    #[test]
    fn a_memo_of_another_release_reads_as_far_as_it_is_known() {
        let memo: ActionMemo = serde_json::from_value(json!({
            "v": 1, "revision": "r", "source": "a.yaml", "new": true,
            "base": { "colour": "00000000" }, "flags": ["levitating"],
        }))
        .unwrap();
        assert_eq!(memo.flags, BTreeSet::from([Flag::Unknown]));
        assert_eq!(memo.overridden, None);
    }

    #[test]
    fn a_prefix_proves_no_ownership() {
        let project: Project = "a".parse().unwrap();
        let owner = |project: &str, definition: &str| OwnerMemo {
            project: project.parse().unwrap(),
            definition: definition.parse().unwrap(),
        };
        let schedule = ScheduleId::from_server("schedule-a-b-x");
        assert!(owner("a", "b-x").owned_by(&project, &schedule).is_some());
        assert!(owner("a-b", "x").owned_by(&project, &schedule).is_none());
        assert!(owner("a", "x").owned_by(&project, &schedule).is_none());
    }
}
