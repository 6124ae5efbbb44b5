//! History of schedules and of requests: limited in size, and kept longer than reports.

use std::collections::{BTreeSet, VecDeque};

use almanac_base::size::json_size;
use almanac_times::When;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Change, Override, Report, ReportError, RunKind};
use crate::field::Field;

/// Maximum number of history entries that are kept.
pub const HISTORY_KEPT: usize = 1000;
/// Maximum number of history entries that are kept for one schedule, without those of its manual
/// runs. As many of its manual runs are kept, and as many entries about the whole project.
pub const HISTORY_KEPT_PER_SCHEDULE: usize = 20;

/// A write of a pass, a failure, or a request of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct HistoryEntry {
    /// Time of the event; for an operation, the time at which its pass started.
    pub at: Timestamp,
    /// Id of the definition, or of the schedule if no definition is left. Empty if the request
    /// is about the whole project.
    pub id: String,
    pub kind: HistoryEntryKind,
    /// Operation: the report's `op`; for a request, `override`, `clear_override`, `unpause`,
    /// `adopt`, `trigger`, `backfill`, `suspend`, `resume` or `confirm`; for a manual run that
    /// failed or was lost, `trigger` or `backfill`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// Number of the pass that did the operation, or that will do it; 0 if no pass does it.
    pub pass: u64,
    /// Fields that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Reason for the operation; for a failure, the error.
    pub reason: String,
    /// Name of the operator who asked for it; of a manual run that failed, for the run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The override that the operator asked for.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
    /// Start of the range of a backfill, included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<When>,
    /// End of the range of a backfill, excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<When>,
    /// Number of times that the same failure repeated in a row, after the first.
    #[serde(skip_serializing_if = "is_zero")]
    pub again: u64,
}

/// Kinds of history entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryEntryKind {
    /// A pass wrote the schedule.
    Written,
    /// A pass failed to write the schedule, or a manual run failed and nothing was started.
    Failed,
    /// The request for a manual run was sent, or may have been, and no run was observed.
    Lost,
    /// An operator made a request.
    Asked,
    /// A kind of a newer release.
    #[default]
    #[serde(other)]
    Unknown,
}

impl HistoryEntry {
    /// Returns the entry for an operation of a pass.
    pub fn written(report: &Report, change: &Change) -> Self {
        Self {
            op: change.op.as_str().to_owned(),
            fields: change.fields.clone(),
            ..Self::of(
                report,
                HistoryEntryKind::Written,
                &change.id,
                &change.reason,
            )
        }
    }

    /// Returns the entry for a failure of a pass; `None` if the failure is not about a schedule.
    pub fn failed(report: &Report, error: &ReportError) -> Option<Self> {
        let id = error.id.as_ref()?;
        Some(Self::of(
            report,
            HistoryEntryKind::Failed,
            id,
            &error.message,
        ))
    }

    fn of(report: &Report, kind: HistoryEntryKind, id: &str, reason: &str) -> Self {
        Self {
            at: report.started_at,
            id: id.to_owned(),
            kind,
            pass: report.pass,
            reason: reason.to_owned(),
            ..Self::default()
        }
    }

    /// Returns `true` if the entry is about a manual run.
    pub fn is_of_manual_run(&self) -> bool {
        [RunKind::Trigger, RunKind::Backfill]
            .into_iter()
            .any(|kind| self.op == kind.name())
    }

    /// Returns `true` if this entry and `before` record the same failure.
    fn repeats(&self, before: &Self) -> bool {
        self.kind == HistoryEntryKind::Failed
            && before.kind == HistoryEntryKind::Failed
            && self.op == before.op
            && self.reason == before.reason
            && self.by == before.by
    }

    fn importance(&self) -> Importance {
        if self.is_of_manual_run() {
            Importance::ManualRun
        } else if self.id.is_empty() {
            Importance::Project
        } else if self.kind == HistoryEntryKind::Asked {
            Importance::Request
        } else {
            Importance::Write
        }
    }
}

/// Kinds of entries, in the order in which they are removed from a history that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Importance {
    /// Manual runs: anyone who may start one may start many, also of ids that do not exist.
    ManualRun,
    /// Writes of passes, and their failures.
    Write,
    /// Requests about schedules.
    Request,
    /// Requests about the project.
    Project,
}

impl Importance {
    const ALL: [Self; 4] = [Self::ManualRun, Self::Write, Self::Request, Self::Project];
}

/// Adds an entry. If its schedule has too many, the oldest of them is removed. Manual runs count on
/// their own: a program may start many, and they must not displace the rest of a schedule's
/// history. A failure that repeats the last entry of its schedule only increases that entry's
/// `again`; entries of manual runs and other entries do not stand between one another. If there
/// are too many entries in all, they are removed as by [`bound_history`].
pub fn append_history(history: &mut VecDeque<HistoryEntry>, entry: HistoryEntry) {
    let mut last = None;
    let mut oldest = None;
    let mut count = 0;
    for (place, one) in history.iter().enumerate() {
        if one.id == entry.id && one.is_of_manual_run() == entry.is_of_manual_run() {
            last = Some(place);
            oldest = oldest.or(last);
            count += 1;
        }
    }
    if let Some(last) = last.and_then(|place| history.get_mut(place))
        && entry.repeats(last)
    {
        last.again = last.again.saturating_add(1);
        return;
    }
    if count >= HISTORY_KEPT_PER_SCHEDULE
        && let Some(oldest) = oldest
    {
        history.remove(oldest);
    }
    history.push_back(entry);
    remove_least_important(history, HISTORY_KEPT, |_| 1);
}

/// Limits a history to [`HISTORY_KEPT`] entries and to `limit` bytes of JSON. Entries of manual
/// runs are removed first, then writes and their failures, then requests about schedules, and
/// requests about the project last; of each kind, the oldest first. A kind that takes no more
/// than a quarter of the limit stays, so that no kind displaces all others.
pub fn bound_history(history: &mut VecDeque<HistoryEntry>, limit: usize) {
    remove_least_important(history, HISTORY_KEPT, |_| 1);
    // Each entry has a comma or the end of the list after it, and the list has a start.
    remove_least_important(history, limit.saturating_sub(1), |one| json_size(one) + 1);
}

/// Removes entries as [`bound_history`] describes, until their sizes add up to `limit` or less.
fn remove_least_important(
    history: &mut VecDeque<HistoryEntry>,
    limit: usize,
    size: impl Fn(&HistoryEntry) -> usize,
) {
    let sizes: Vec<_> = history
        .iter()
        .map(|one| (one.importance(), size(one)))
        .collect();
    let mut total: usize = sizes.iter().map(|(_, size)| size).sum();
    let mut removed = BTreeSet::new();
    for kind in Importance::ALL {
        let of_kind = sizes.iter().enumerate();
        let of_kind = of_kind.filter(|(_, (one, _))| *one == kind);
        let mut rest: usize = of_kind.clone().map(|(_, (_, size))| size).sum();
        for (place, (_, size)) in of_kind {
            if total <= limit || rest <= limit / Importance::ALL.len() {
                break;
            }
            total -= size;
            rest -= size;
            removed.insert(place);
        }
    }
    let mut place = 0;
    history.retain(|_| {
        let stays = !removed.contains(&place);
        place += 1;
        stays
    });
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(id: &str, kind: HistoryEntryKind, reason: &str) -> HistoryEntry {
        HistoryEntry {
            id: id.to_owned(),
            kind,
            reason: reason.to_owned(),
            ..HistoryEntry::default()
        }
    }

    #[test]
    fn a_schedule_with_many_entries_does_not_displace_the_history_of_others() {
        let mut history = VecDeque::new();
        append_history(&mut history, entry("quiet", HistoryEntryKind::Written, ""));
        for _ in 0..2 * HISTORY_KEPT {
            append_history(
                &mut history,
                entry("restless", HistoryEntryKind::Written, ""),
            );
        }
        assert_eq!(history.len(), 1 + HISTORY_KEPT_PER_SCHEDULE);
        assert_eq!(history[0].id, "quiet");
        for number in 0..2 * HISTORY_KEPT {
            let one = entry(&number.to_string(), HistoryEntryKind::Written, "");
            append_history(&mut history, one);
        }
        assert_eq!(history.len(), HISTORY_KEPT);
    }

    #[test]
    fn manual_runs_do_not_displace_the_rest_of_a_history() {
        let mut history = VecDeque::new();
        let run = |id: &str, op: &str| HistoryEntry {
            op: op.to_owned(),
            ..entry(id, HistoryEntryKind::Asked, "")
        };
        append_history(&mut history, run("a", "override"));
        append_history(&mut history, run("", "suspend"));
        for number in 0..2 * HISTORY_KEPT_PER_SCHEDULE {
            let op = ["trigger", "backfill"][number % 2];
            append_history(&mut history, run("a", op));
        }
        assert_eq!(history.len(), 2 + HISTORY_KEPT_PER_SCHEDULE);
        assert_eq!(
            (history[0].op.as_str(), history[1].op.as_str()),
            ("override", "suspend")
        );
        for _ in 0..2 * HISTORY_KEPT_PER_SCHEDULE {
            append_history(&mut history, run("a", "override"));
            append_history(&mut history, run("", "resume"));
        }
        assert_eq!(history.len(), 3 * HISTORY_KEPT_PER_SCHEDULE);
    }

    fn asked(id: &str, op: &str) -> HistoryEntry {
        HistoryEntry {
            op: op.to_owned(),
            ..entry(id, HistoryEntryKind::Asked, "because")
        }
    }

    fn ops_of<'a>(history: &'a VecDeque<HistoryEntry>, id: &str) -> Vec<&'a str> {
        let of_id = history.iter().filter(|one| one.id == id);
        of_id.map(|one| one.op.as_str()).collect()
    }

    #[test]
    fn a_full_history_loses_manual_runs_first_then_writes_then_requests() {
        let mut history = VecDeque::new();
        for op in ["suspend", "resume", "confirm"] {
            append_history(&mut history, asked("", op));
        }
        append_history(&mut history, asked("prices", "override"));
        append_history(
            &mut history,
            entry("prices", HistoryEntryKind::Written, "the file changed"),
        );
        let count = |history: &VecDeque<HistoryEntry>, kind| {
            let all = history.iter();
            all.filter(|one| one.importance() == kind).count()
        };
        for number in 0..2 * HISTORY_KEPT {
            append_history(&mut history, asked(&format!("x{number}"), "trigger"));
        }
        assert_eq!(history.len(), HISTORY_KEPT);
        assert_eq!(ops_of(&history, "prices"), ["override", ""]);
        for number in 0..2 * HISTORY_KEPT {
            let id = format!("y{number}");
            append_history(&mut history, entry(&id, HistoryEntryKind::Written, ""));
        }
        assert_eq!(history.len(), HISTORY_KEPT);
        // The newest manual runs keep their quarter.
        assert_eq!(count(&history, Importance::ManualRun), HISTORY_KEPT / 4);
        assert_eq!(ops_of(&history, "x1999"), ["trigger"]);
        assert_eq!(ops_of(&history, "prices"), ["override"]);
        for number in 0..2 * HISTORY_KEPT {
            append_history(&mut history, asked(&format!("z{number}"), "override"));
        }
        assert_eq!(history.len(), HISTORY_KEPT);
        assert_eq!(count(&history, Importance::Write), HISTORY_KEPT / 4);
        assert_eq!(ops_of(&history, "prices"), [""; 0]);
        assert_eq!(ops_of(&history, ""), ["suspend", "resume", "confirm"]);
    }

    #[test]
    fn the_limit_of_bytes_removes_in_the_same_order() {
        let limit = 20_000;
        let mut history = VecDeque::from([asked("", "suspend"), asked("prices", "override")]);
        for number in 0..500 {
            history.push_back(asked(&format!("x{number}"), "backfill"));
        }
        let entry_size = json_size(history.back().unwrap()) + 1;
        assert!(json_size(&history) > 2 * limit);
        bound_history(&mut history, limit);
        let size = json_size(&history);
        assert!((limit - entry_size..=limit).contains(&size), "{size}");
        assert_eq!(ops_of(&history, ""), ["suspend"]);
        assert_eq!(ops_of(&history, "prices"), ["override"]);
        assert_eq!(ops_of(&history, "x499"), ["backfill"]);
        assert_eq!(ops_of(&history, "x0"), [""; 0]);
        // A history that fits stays as it is.
        let before = history.clone();
        bound_history(&mut history, size);
        assert_eq!(history, before);
        bound_history(&mut history, 2);
        assert_eq!(history, []);
    }

    #[test]
    fn a_manual_run_does_not_stand_between_a_failure_and_its_repetition() {
        let mut history = VecDeque::from([asked("a", "override")]);
        for _ in 0..3 * HISTORY_KEPT_PER_SCHEDULE {
            append_history(
                &mut history,
                entry("a", HistoryEntryKind::Failed, "refused"),
            );
            append_history(&mut history, asked("a", "trigger"));
        }
        let failed: Vec<_> = history
            .iter()
            .filter(|one| one.kind == HistoryEntryKind::Failed)
            .map(|one| one.again)
            .collect();
        assert_eq!(failed, [3 * HISTORY_KEPT_PER_SCHEDULE as u64 - 1]);
        assert_eq!(history[0].op, "override");
        assert_eq!(history.len(), 2 + HISTORY_KEPT_PER_SCHEDULE);
    }

    #[test]
    fn failures_of_runs_of_two_people_and_lost_runs_stand_singly() {
        let mut history = VecDeque::new();
        let run = |kind, by: &str| HistoryEntry {
            kind,
            by: by.to_owned(),
            ..asked("a", "trigger")
        };
        for by in ["ann", "ann", "eve"] {
            append_history(&mut history, run(HistoryEntryKind::Failed, by));
        }
        for _ in 0..2 {
            append_history(&mut history, run(HistoryEntryKind::Lost, "eve"));
        }
        let again: Vec<_> = history.iter().map(|one| one.again).collect();
        assert_eq!(again, [1, 0, 0, 0]);
    }

    #[test]
    fn a_failure_that_repeats_itself_stands_once() {
        let mut history = VecDeque::new();
        for reason in ["refused", "refused", "refused", "away", "refused"] {
            append_history(&mut history, entry("a", HistoryEntryKind::Failed, reason));
            append_history(&mut history, entry("b", HistoryEntryKind::Written, "same"));
        }
        let of_a: Vec<_> = history.iter().filter(|one| one.id == "a").collect();
        let shown: Vec<_> = of_a
            .iter()
            .map(|one| (one.reason.as_str(), one.again))
            .collect();
        assert_eq!(shown, [("refused", 2), ("away", 0), ("refused", 0)]);
    }

    #[test]
    fn an_entry_of_another_release_reads_as_far_as_it_is_known() {
        let read: HistoryEntry = serde_json::from_value(json!({
            "id": "a", "kind": "levitated", "op": "lift", "new": 1, "fields": ["colour"],
        }))
        .unwrap();
        assert_eq!(
            (read.kind, read.op.as_str()),
            (HistoryEntryKind::Unknown, "lift")
        );
        assert_eq!(read.fields, [Field::Unknown]);
    }
}
