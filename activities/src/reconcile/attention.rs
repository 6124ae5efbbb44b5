//! The schedules that need attention, for labels of metrics that name them.
//!
//! Metrics carry no ids unless an operator asks for it (`--metrics-schedules`). Always holds: at
//! most that many schedules are kept, the most urgent ones, and a schedule is forgotten with the
//! first full pass that finds it in order. No request is sent for this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::definition::Kind;
use almanac_core::plan::Plan;
use almanac_core::record::ReportError;
use almanac_core::snapshot::Snapshot;

use crate::schedules::Applied;

/// Reasons why a schedule needs attention, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttentionReason {
    /// A due run was not started.
    Overdue,
    /// The server could not describe the schedule, so nothing was written to it.
    Unreadable,
    /// An operation of the pass on the schedule failed, or dropped a due run.
    Failed,
    /// An unmanaged schedule has the id.
    Conflict,
    /// Others keep changing a field back.
    Contested,
    /// The document of the definition has an error.
    Invalid,
    /// Fields with drift were left in place.
    Drift,
    /// The removal of the schedule waits for confirmation.
    Held,
    /// No definition asks for the schedule, and it stays.
    Orphaned,
}

impl AttentionReason {
    /// The name of the reason, as in the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::Conflict => "conflict",
            Self::Contested => "contested",
            Self::Invalid => "invalid",
            Self::Drift => "drift",
            Self::Held => "held",
            Self::Orphaned => "orphaned",
        }
    }
}

/// The schedules that the last full pass of this process found to need attention.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NeedAttention {
    /// The definitions of the schedules, each with its most urgent reason; the most urgent first.
    pub named: Vec<(DefinitionId, AttentionReason)>,
    /// Number of schedules that are left out.
    pub omitted: u64,
}

/// Keeps the schedules that need attention, for the metrics page.
#[derive(Debug, Default)]
pub struct AttentionList {
    limit: usize,
    last: Mutex<Option<NeedAttention>>,
}

impl AttentionList {
    /// Creates a list that names at most `limit` schedules. With 0, the list stays empty.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            last: Mutex::default(),
        }
    }

    /// The schedules that the last full pass found. `None` without such a pass, or if no schedule
    /// may be named.
    pub fn last(&self) -> Option<NeedAttention> {
        self.lock().clone()
    }

    /// Replaces the list by the findings of a full pass.
    pub(super) fn passed(&self, findings: &Findings<'_>) {
        if self.limit > 0 {
            *self.lock() = Some(findings.most_urgent(self.limit));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<NeedAttention>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The findings of a full pass.
pub(super) struct Findings<'a> {
    pub(super) project: &'a Project,
    pub(super) snapshot: &'a Snapshot,
    pub(super) plan: &'a Plan,
    pub(super) applied: Option<&'a Applied>,
    pub(super) overdue: &'a [ScheduleId],
}

impl Findings<'_> {
    fn most_urgent(&self, limit: usize) -> NeedAttention {
        let mut reasons: BTreeMap<DefinitionId, AttentionReason> = BTreeMap::new();
        let mut add = |id: DefinitionId, reason| {
            let known = reasons.entry(id).or_insert(reason);
            *known = reason.min(*known);
        };
        let of_schedules = [
            (AttentionReason::Overdue, self.overdue),
            (AttentionReason::Unreadable, self.plan.unreadable.as_slice()),
            (AttentionReason::Conflict, self.plan.conflicts.as_slice()),
            (AttentionReason::Orphaned, self.plan.orphaned.as_slice()),
        ];
        for (reason, schedules) in of_schedules {
            let ids = schedules.iter();
            for id in ids.filter_map(|schedule| self.project.definition_of(schedule)) {
                add(id, reason);
            }
        }
        for id in self.failed() {
            add(id, AttentionReason::Failed);
        }
        for id in self.plan.contested.keys() {
            add(id.clone(), AttentionReason::Contested);
        }
        let failing = self.snapshot.failed.iter();
        for document in failing.filter(|one| one.kind == Kind::Workflow) {
            if let Some(id) = &document.id {
                add(id.clone(), AttentionReason::Invalid);
            }
        }
        for (id, fields) in &self.plan.drift {
            let corrected = self.applied.and_then(|applied| applied.corrected.get(id));
            if !corrected.is_some_and(|corrected| fields.is_subset(corrected)) {
                add(id.clone(), AttentionReason::Drift);
            }
        }
        let held = self.held();
        for id in &held {
            add(id.clone(), AttentionReason::Held);
        }
        // The plan lists the first held removals and counts the others.
        let held_count = self.plan.held.as_ref().map_or(0, |held| held.count);
        let unlisted = held_count.saturating_sub(held.len() as u64);

        let mut named: Vec<_> = reasons.into_iter().collect();
        named.sort_by_key(|(_, reason)| *reason);
        let omitted = named.len().saturating_sub(limit) as u64 + unlisted;
        named.truncate(limit);
        NeedAttention { named, omitted }
    }

    /// The definitions whose operations failed, or which the plan leaves out.
    fn failed(&self) -> impl Iterator<Item = DefinitionId> {
        let applied = self.applied.iter().flat_map(|applied| &applied.errors);
        let errors = self.plan.problems.iter().chain(applied);
        let id = |error: &ReportError| error.id.as_deref()?.parse().ok();
        errors.filter_map(id)
    }

    fn held(&self) -> BTreeSet<DefinitionId> {
        let ids = self.plan.held.iter().flat_map(|held| &held.ids);
        let schedules = ids.map(|id| ScheduleId::from_server(id.as_str()));
        schedules
            .filter_map(|schedule| self.project.definition_of(&schedule))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use almanac_core::field::Field;
    use almanac_core::record::{ErrorSource, Held};
    use almanac_core::snapshot::FailedDocument;

    use super::*;

    fn id(text: &str) -> DefinitionId {
        text.parse().unwrap()
    }

    fn schedule(text: &str) -> ScheduleId {
        ScheduleId::from_server(format!("schedule-p-{text}"))
    }

    /// The names and reasons, as labels have them, and the number that is left out.
    fn found(
        plan: &Plan,
        applied: &Applied,
        overdue: &[ScheduleId],
        limit: usize,
    ) -> (String, u64) {
        let snapshot = Snapshot {
            failed: vec![FailedDocument {
                source: "bad.yaml".to_owned(),
                id: Some(id("bad")),
                kind: Kind::Workflow,
                errors: Vec::new(),
            }],
            ..Snapshot::default()
        };
        let list = AttentionList::new(limit);
        list.passed(&Findings {
            project: &"p".parse().unwrap(),
            snapshot: &snapshot,
            plan,
            applied: Some(applied),
            overdue,
        });
        let NeedAttention { named, omitted } = list.last().unwrap();
        let named: Vec<_> = named
            .iter()
            .map(|(id, reason)| format!("{id}: {}", reason.as_str()))
            .collect();
        (named.join(", "), omitted)
    }

    fn plan() -> Plan {
        Plan {
            unreadable: vec![schedule("unreadable")],
            conflicts: vec![schedule("conflict")],
            orphaned: vec![schedule("orphaned")],
            contested: [(id("contested"), [Field::Times].into())].into(),
            drift: [
                (id("contested"), [Field::Times].into()),
                (id("corrected"), [Field::Times].into()),
                (id("drift"), [Field::Times].into()),
            ]
            .into(),
            problems: vec![ErrorSource::Temporal.error(Some("unreadable".into()), "x".into())],
            held: Some(Held {
                digest: "x".to_owned(),
                reason: "x".to_owned(),
                ids: vec![schedule("held").to_string()],
                count: 3,
            }),
            ..Plan::default()
        }
    }

    fn applied() -> Applied {
        Applied {
            errors: vec![
                ErrorSource::Temporal.error(Some("failed".into()), "x".into()),
                ErrorSource::Temporal.error(None, "x".into()),
            ],
            corrected: [(id("corrected"), [Field::Times].into())].into(),
            ..Applied::default()
        }
    }

    #[test]
    fn each_schedule_is_named_once_with_its_most_urgent_reason() {
        let overdue = [schedule("conflict"), schedule("late")];
        let all = "conflict: overdue, late: overdue, unreadable: unreadable, failed: failed, \
                   contested: contested, bad: invalid, drift: drift, held: held, \
                   orphaned: orphaned";
        // The two held removals that the plan does not list are left out.
        assert_eq!(
            found(&plan(), &applied(), &overdue, 1000),
            (all.to_owned(), 2)
        );
    }

    #[test]
    fn beyond_the_limit_the_least_urgent_are_left_out_and_counted() {
        let overdue: Vec<_> = (0..1500).map(|n| schedule(&format!("n{n:04}"))).collect();
        let (named, omitted) = found(&plan(), &applied(), &overdue, 1000);
        assert_eq!(named.matches(": overdue").count(), 1000);
        assert!(named.ends_with("n0999: overdue"), "{named}");
        assert_eq!(omitted, 500 + 8 + 2);
    }

    #[test]
    fn a_pass_that_finds_all_in_order_empties_the_list() {
        let list = AttentionList::new(5);
        let (project, snapshot) = ("p".parse().unwrap(), Snapshot::default());
        let plan = Plan::default();
        let findings = |overdue| Findings {
            project: &project,
            snapshot: &snapshot,
            plan: &plan,
            applied: None,
            overdue,
        };
        assert_eq!(list.last(), None);
        let late = [schedule("late")];
        list.passed(&findings(&late));
        assert_eq!(list.last().unwrap().named.len(), 1);
        list.passed(&findings(&[]));
        assert_eq!(list.last(), Some(NeedAttention::default()));
    }

    #[test]
    fn without_a_limit_nothing_is_named() {
        let list = AttentionList::default();
        list.passed(&Findings {
            project: &"p".parse().unwrap(),
            snapshot: &Snapshot::default(),
            plan: &plan(),
            applied: Some(&applied()),
            overdue: &[schedule("late")],
        });
        assert_eq!(list.last(), None);
    }
}
