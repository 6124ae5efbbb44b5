//! The result of a pass: the report, and the updates for the reconcile
//! workflow.

use almanac_base::names::ScheduleId;
use almanac_core::field::Field;
use almanac_core::plan::{Plan, record_corrections};
use almanac_core::record::{
    Change, ErrorSource, Listed, Op, PassDone, PassInput, Report, bound_news, bound_report,
};
use almanac_core::snapshot::{FailedDocument, Snapshot};
use jiff::Timestamp;

use crate::metrics;
use crate::schedules::Applied;

/// The result of a pass for the reconcile workflow.
pub(super) fn conclude(
    input: &PassInput,
    plan: &Plan,
    applied: Option<&Applied>,
    report: Report,
) -> PassDone {
    let mut corrections = input.corrections.clone();
    let mut overrides = plan.overrides.clone();
    if let Some(applied) = applied {
        let now = Timestamp::now();
        for (id, fields) in &applied.corrected {
            record_corrections(&mut corrections, id, fields, now);
            for field in fields {
                metrics::corrected(*field);
            }
        }
        overrides.extend(applied.overrides.clone());
    }
    // Only overrides that the workflow does not know yet are sent.
    overrides.retain(|id, one| input.overrides.get(id) != one.as_ref());
    if report.dry_run {
        overrides.clear();
    }
    bound_news(&mut overrides, &mut corrections);
    PassDone {
        interrupted: applied.is_some_and(|applied| applied.interrupted),
        removed: applied.map_or(0, |applied| applied.removed),
        overrides,
        corrections,
        report,
        announcements: None,
    }
}

/// The report of a pass. Without `applied`, the report of a dry run.
pub(super) fn report(
    input: &PassInput,
    snapshot: &Snapshot,
    plan: &Plan,
    applied: Option<&Applied>,
    started_at: Timestamp,
) -> Report {
    let mut report = Report {
        pass: input.pass,
        revision: plan.revision.clone(),
        trigger: input.trigger,
        dry_run: applied.is_none(),
        started_at,
        definitions: input.definitions,
        event_types: input.event_types,
        held: plan.held.clone(),
        changes: applied.map_or_else(|| planned_changes(plan), |applied| applied.changes.clone()),
        errors: plan.problems.clone(),
        conflicts: ids(input, &plan.conflicts),
        without_definition: ids(input, &plan.without_definition).map(|ids| Listed {
            count: ids.len() as u64,
            ids,
        }),
        unreadable: ids(input, &plan.unreadable),
        ..Report::default()
    };
    report.definitions.total = snapshot.definitions.len() as u64;
    report.definitions.invalid = snapshot.failed.len() as u64;
    report
        .errors
        .extend(snapshot.incomplete.iter().map(|reason| {
            ErrorSource::Definitions.error(
                None,
                format!("the view of the definitions is incomplete: {reason}"),
            )
        }));
    report
        .errors
        .extend(applied.iter().flat_map(|applied| applied.errors.clone()));
    let failed = snapshot.failed.iter().map(FailedDocument::report_error);
    report.errors.extend(failed);
    count(&mut report, plan, applied);
    report.truncated = plan
        .held
        .as_ref()
        .map_or(0, |held| held.count.saturating_sub(held.ids.len() as u64));
    bound_report(&mut report);
    report.duration_ms = Timestamp::now()
        .duration_since(started_at)
        .as_millis()
        .try_into()
        .unwrap_or_default();
    report
}

/// The ids in a full pass, sorted; `None` in a fast pass.
fn ids(input: &PassInput, schedules: &[ScheduleId]) -> Option<Vec<String>> {
    input.only.is_none().then(|| {
        let mut ids: Vec<_> = schedules.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    })
}

fn count(report: &mut Report, plan: &Plan, applied: Option<&Applied>) {
    let of = |op: Op| {
        report
            .changes
            .iter()
            .filter(|change| change.op == op)
            .count() as u64
    };
    let counts = &mut report.schedules;
    counts.desired = plan.desired;
    counts.created = of(Op::Create);
    counts.updated = of(Op::Update);
    counts.deleted = of(Op::Delete);
    (counts.paused, counts.unpaused) = match applied {
        Some(applied) => (applied.paused, applied.unpaused),
        None => (planned_pauses(plan, true), planned_pauses(plan, false)),
    };
    counts.unchanged = plan.unchanged;
    counts.overridden = plan.overrides.values().flatten().count() as u64;
    counts.conflicts = plan.conflicts.len() as u64 + applied.map_or(0, |applied| applied.conflicts);
    counts.held = plan.held.as_ref().map_or(0, |held| held.count);
    counts.orphaned = plan.orphaned.len() as u64;
    counts.contested = plan.contested.len() as u64;
    counts.unreadable = plan.unreadable.len() as u64;
    let by_field = &mut report.drift.by_field;
    let mut drift = plan.drift.clone();
    // Drift that was found while applying, in a race, counts as found too.
    for (id, fields) in applied.iter().flat_map(|applied| &applied.corrected) {
        drift.entry(id.clone()).or_default().extend(fields);
    }
    for field in drift.values().flatten() {
        *by_field.entry(*field).or_default() += 1;
    }
    report.drift.detected = by_field.values().sum();
    report.drift.corrected = match applied {
        Some(applied) => applied
            .corrected
            .values()
            .map(|fields| fields.len() as u64)
            .sum(),
        None => 0,
    };
}

fn planned_pauses(plan: &Plan, paused: bool) -> u64 {
    plan.updates
        .iter()
        .filter(|update| {
            update.changes.iter().any(|change| {
                change.field == Field::Paused && change.after == serde_json::Value::Bool(paused)
            })
        })
        .count() as u64
}

fn planned_changes(plan: &Plan) -> Vec<Change> {
    let creates = plan.creates.iter().map(|create| Change {
        id: create.definition().to_string(),
        op: Op::Create,
        fields: Vec::new(),
        reason: "the schedule does not exist".to_owned(),
    });
    let updates = plan.updates.iter().map(|update| Change {
        id: update.definition.to_string(),
        op: update.op,
        fields: update.fields.keys().copied().collect(),
        reason: update.reason.clone(),
    });
    let deletes = plan.deletes.iter().map(|delete| Change {
        id: delete.definition.to_string(),
        op: Op::Delete,
        fields: Vec::new(),
        reason: "its definition is gone".to_owned(),
    });
    creates.chain(updates).chain(deletes).collect()
}
