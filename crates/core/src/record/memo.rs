//! The two memos and the note that a schedule carries.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventOrigin;
use crate::field::{Field, FieldHash};

/// Maximum size of an action memo, in bytes of JSON.
pub const ACTION_MEMO_LIMIT: usize = 1536;

/// The schedule's own memo, written once, at creation. It names the owner of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerMemo {
    /// Project that the schedule belongs to.
    pub project: Project,
    /// Definition that the schedule was created from.
    pub definition: DefinitionId,
}

impl OwnerMemo {
    /// Returns the definition if this memo makes `schedule` a schedule of `project`. Project and
    /// definition must produce exactly the schedule's id: the prefix proves nothing.
    pub fn owned_by(&self, project: &Project, schedule: &ScheduleId) -> Option<&DefinitionId> {
        (self.project == *project && project.schedule_id(&self.definition) == *schedule)
            .then_some(&self.definition)
    }
}

/// The memo of the schedule's action: a part of each write, copied to each run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActionMemo {
    /// Version of the hashes in `base`.
    pub v: u32,
    /// Revision of the definition that the schedule was written from.
    pub revision: Revision,
    /// File (and line, in a file of several documents) that the definition came from.
    pub source: String,
    /// Hash of the YAML's value at the last write, for each field whose value
    /// is not the default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub base: BTreeMap<Field, FieldHash>,
    /// Override that an operator set, with its end.
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
    /// Flags that later passes need to know about the schedule.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<Flag>,
}

/// The memo of a run that no schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMemo {
    pub definition: DefinitionId,
    /// Revision that the run continues with.
    pub revision: Revision,
    /// Event that started the run. `None` if a person or a program did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventOrigin>,
}

/// Fact about a schedule that later passes need to know.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The schedule was paused already when the YAML set it to paused. When the YAML sets the
    /// schedule to active again, the earlier pause stays.
    PausedBefore,
    /// The definition was removed under `ALMANAC_ORPHANS=pause` while the schedule was active. If
    /// the definition returns, a pass unpauses the schedule.
    OrphanPaused,
    /// The limited actions of the schedule are used up. The schedule stays, paused, so that it is
    /// not created and run again.
    Finished,
    /// The schedule was created paused beside an unmanaged schedule that it is to take over from,
    /// and waits for `almanac adopt`.
    Adopting,
    /// A flag of a newer release.
    #[serde(other)]
    Unknown,
}

/// Values that an operator set over those of the YAML.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Override {
    /// Value of `enabled` that the operator set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Paused state of the schedule before an override of `enabled`; restored when the override
    /// ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_paused: Option<bool>,
    /// Value of `cron` that the operator set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<Vec<String>>,
    /// Value of `timezone` that the operator set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Reason that the operator gave.
    pub reason: String,
    /// Name of the operator.
    pub by: String,
    /// Time at which the override was set.
    pub at: Timestamp,
    /// Number of the request that set the override. The workflow's clock may stand still
    /// between two requests.
    #[serde(skip_serializing_if = "is_zero")]
    pub order: u64,
    /// Time at which the override expires.
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
