//! `almanac sync`: asks the reconcile workflow for a pass and prints its report.

use std::process::ExitCode;
use std::time::Duration;

use almanac_base::names::Project;
use almanac_core::record::{Op, Report, SyncRequest};
use almanac_workflows::contracts::reconciler as contract;
use anyhow::bail;
use serde_json::json;

use super::plan::held_page;
use super::{Remote, progress};
use crate::args::SyncArgs;
use crate::backoff::random;
use crate::console::{Cell, Page, Tone};
use crate::failure::Failure;
use crate::reconcile_client::ReconcileClientError;
use crate::wording::{counted, invalid_documents, next_command, operation, shell_quoted};

/// Maximum time to wait for a report: as long as the longest pass.
const REPORT_LIMIT: Duration = Duration::from_hours(1);

pub(super) async fn run(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let request = SyncRequest {
        request_id: format!("sync-{:016x}", random()),
        dry_run: args.dry_run,
        confirm: args.confirm.clone(),
        by: super::operator(),
    };
    request.check()?;
    let answer = match remote.reconciler.sync(&request).await {
        Ok(answer) => answer,
        Err(error @ ReconcileClientError::NoAnswer(_)) => {
            let why = format!("{error}; after that, do it without Almanac:");
            return Err(Failure::new(why)
                .line(temporal_command(&remote, &request))
                .into());
        }
        Err(error @ ReconcileClientError::Absent(_)) => bail!(
            "{error} in namespace `{}`; hint: `almanac run --project {}` starts it",
            remote.namespace,
            args.target.project
        ),
        Err(error) => return Err(error.into()),
    };
    if args.no_wait {
        super::print(args.target.format, &answer, |answer| {
            let project = &args.target.project;
            let mut page = Page::of_line(format!("Pass {} was requested.", answer.pass));
            next_command(&mut page, format!("almanac status --project {project}"));
            page
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = progress::report(&remote.reconciler, answer.pass, REPORT_LIMIT).await?;
    let Some(report) = report else {
        bail!(
            "pass {} has not ended within an hour; the workflow `{}` shows its state",
            answer.pass,
            remote.reconciler.workflow_id()
        );
    };
    super::print(args.target.format, &report, |report| {
        text(report, &args.target.project)
    })?;
    Ok(if report.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The command of the Temporal CLI that does the same.
fn temporal_command(remote: &Remote, request: &SyncRequest) -> String {
    let workflow = format!(
        "--address {} --namespace {} --workflow-id {}",
        remote.address,
        remote.namespace,
        remote.reconciler.workflow_id()
    );
    if request.dry_run || request.confirm.is_some() {
        let input = json!({ "dry_run": request.dry_run, "confirm": request.confirm });
        format!(
            "temporal workflow update execute {workflow} --name {} --input {}",
            contract::Sync::NAME,
            shell_quoted(&input.to_string())
        )
    } else {
        format!(
            "temporal workflow signal {workflow} --name {}",
            contract::Reconcile::NAME
        )
    }
}

/// A report for people.
fn text(report: &Report, project: &Project) -> Page {
    let dry = if report.dry_run { ", dry run" } else { "" };
    let mut page = Page::default();
    page.cells([
        Cell::toned(Tone::Strong, format!("Pass {}", report.pass)),
        format!(
            ", revision {}, {} ms{dry}",
            report.revision, report.duration_ms
        )
        .into(),
    ]);
    for change in &report.changes {
        let (sign, tone) = match change.op {
            Op::Create => ("  + ", Tone::Good),
            Op::Delete => ("  - ", Tone::Bad),
            _ => ("  ~ ", Tone::Caution),
        };
        let done = operation(change.op, report.dry_run);
        page.cells([
            Cell::toned(tone, sign),
            Cell::toned(Tone::Strong, change.id.clone()),
            format!(": {done} ({})", change.reason).into(),
        ]);
    }
    // The held removals that their list leaves out are counted there.
    let held = report.held.as_ref();
    let held = held.map_or(0, |held| held.count.saturating_sub(held.ids.len() as u64));
    let left_out = report.truncated.saturating_sub(held);
    if left_out > 0 {
        let left = counted(left_out, "entry", "entries");
        page.toned(
            Tone::Muted,
            format!("  and {left} that the report leaves out"),
        );
    }
    if let Some(held) = &report.held {
        page.append(held_page(held, project));
    }
    let invalid = report.definitions.invalid;
    if invalid > 0 {
        page.cells([
            Cell::toned(Tone::Bad, "! "),
            invalid_documents(invalid).into(),
        ]);
        next_command(&mut page, "almanac validate");
    }
    for error in &report.errors {
        let id = error
            .id
            .as_ref()
            .map_or_else(String::new, |id| format!("{id}: "));
        page.signed(format!("error: {}: {id}{}", error.source, error.message));
    }
    let numbers = counts(report);
    if report.errors.is_empty() && report.dry_run {
        let done = format!("Dry run, nothing was written: {numbers}.");
        page.toned(Tone::Strong, done);
    } else if report.errors.is_empty() {
        page.toned(Tone::Good, format!("Done: {numbers}."));
    } else {
        let errors = counted(report.errors.len() as u64, "error", "errors");
        page.toned(
            Tone::Bad,
            format!("Failed: {errors}, see above. {numbers}."),
        );
    }
    page
}

/// The numbers of schedules in a report that are not 0, operations first.
pub(super) fn counts(report: &Report) -> String {
    let schedules = &report.schedules;
    let words = |done: &'static str, planned: &'static str| {
        if report.dry_run { planned } else { done }
    };
    let all = [
        (schedules.created, words("created", "to create")),
        (schedules.updated, words("updated", "to update")),
        (schedules.paused, words("paused", "to pause")),
        (schedules.unpaused, words("unpaused", "to unpause")),
        (schedules.deleted, words("deleted", "to delete")),
        (schedules.unchanged, "unchanged"),
        (schedules.overridden, "overridden"),
        (schedules.held, "held"),
        (schedules.conflicts, "in conflict"),
        (schedules.contested, "contested"),
        (schedules.orphaned, "orphaned"),
        (schedules.unreadable, "unreadable"),
    ];
    let counted: Vec<_> = all
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    if counted.is_empty() {
        "no schedules".to_owned()
    } else {
        counted.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use almanac_base::names::Revision;
    use almanac_core::record::{Change, DefinitionCounts, Held, ReportError, ScheduleCounts};

    use super::*;
    use crate::console::Medium;

    fn change(id: &str, op: Op, reason: &str) -> Change {
        Change {
            id: id.to_owned(),
            op,
            fields: Vec::new(),
            reason: reason.to_owned(),
        }
    }

    fn report() -> Report {
        Report {
            pass: 12,
            revision: Revision::of(b"x"),
            duration_ms: 47,
            schedules: ScheduleCounts {
                desired: 5,
                created: 1,
                updated: 1,
                unpaused: 1,
                deleted: 1,
                unchanged: 2,
                ..ScheduleCounts::default()
            },
            changes: vec![
                change("ledger", Op::Create, "the schedule does not exist"),
                change("invoices", Op::Update, "definition changed: times"),
                change("payouts", Op::Unpause, "override applied"),
                change("old", Op::Delete, "its definition is gone\nforged"),
            ],
            ..Report::default()
        }
    }

    fn shown(report: &Report, colors: bool) -> String {
        let shown = text(report, &"billing".parse().unwrap());
        let width = Some(80);
        shown
            .rendered(Medium { colors, width })
            .replace('\u{1b}', "ESC")
    }

    #[test]
    fn a_report_has_a_line_for_each_change() {
        insta::assert_snapshot!(shown(&report(), false), @r"
        Pass 12, revision 2d711642b726b044, 47 ms
          + ledger: created (the schedule does not exist)
          ~ invoices: updated (definition changed: times)
          ~ payouts: unpaused (override applied)
          - old: deleted (its definition is gone\nforged)
        Done: 1 created, 1 updated, 1 unpaused, 1 deleted, 2 unchanged.
        ");
        insta::assert_snapshot!(shown(&report(), true), @r"
        ESC[1mPass 12ESC[0m, revision 2d711642b726b044, 47 ms
        ESC[32m  + ESC[0mESC[1mledgerESC[0m: created (the schedule does not exist)
        ESC[33m  ~ ESC[0mESC[1minvoicesESC[0m: updated (definition changed: times)
        ESC[33m  ~ ESC[0mESC[1mpayoutsESC[0m: unpaused (override applied)
        ESC[31m  - ESC[0mESC[1moldESC[0m: deleted (its definition is gone\nforged)
        ESC[32mDone: 1 created, 1 updated, 1 unpaused, 1 deleted, 2 unchanged.ESC[0m
        ");
        let nothing = Report {
            pass: 13,
            ..Report::default()
        };
        assert!(shown(&nothing, false).ends_with("\nDone: no schedules.\n"));
    }

    #[test]
    fn a_dry_run_says_what_it_would_do() {
        let dry = Report {
            dry_run: true,
            ..report()
        };
        insta::assert_snapshot!(shown(&dry, false), @r"
        Pass 12, revision 2d711642b726b044, 47 ms, dry run
          + ledger: would be created (the schedule does not exist)
          ~ invoices: would be updated (definition changed: times)
          ~ payouts: would be unpaused (override applied)
          - old: would be deleted (its definition is gone\nforged)
        Dry run, nothing was written: 1 to create, 1 to update, 1 to unpause, 1 to delete, 2 unchanged.
        ");
    }

    #[test]
    fn what_needs_a_person_stands_last() {
        let mut report = report();
        report.schedules.held = 40;
        report.held = Some(Held {
            digest: "5f2a".to_owned(),
            reason: "40 of 100 schedules within 10 minutes are more than 30 %".to_owned(),
            ids: vec!["schedule-billing-z".to_owned()],
            count: 40,
        });
        report.definitions = DefinitionCounts {
            invalid: 1,
            ..DefinitionCounts::default()
        };
        let error = |source: &str, id: Option<&str>, message: &str| ReportError {
            source: source.to_owned(),
            id: id.map(str::to_owned),
            message: message.to_owned(),
        };
        report.errors = vec![
            error("a.yaml:3:5", None, "schedule.corn: unknown key"),
            error("temporal", Some("b"), "refused"),
        ];
        report.truncated = 39 + 2;
        insta::assert_snapshot!(shown(&report, false), @r"
        Pass 12, revision 2d711642b726b044, 47 ms
          + ledger: created (the schedule does not exist)
          ~ invoices: updated (definition changed: times)
          ~ payouts: unpaused (override applied)
          - old: deleted (its definition is gone\nforged)
          and 2 entries that the report leaves out
        ! 40 removals wait for confirmation: 40 of 100 schedules within 10 minutes are more than 30 %
            schedule-billing-z
            and 39 more
          → almanac sync --project billing --confirm 5f2a
        ! 1 document is invalid, and its schedule stays as it is
          → almanac validate
        error: a.yaml:3:5: schedule.corn: unknown key
        error: temporal: b: refused
        Failed: 2 errors, see above. 1 created, 1 updated, 1 unpaused, 1 deleted, 2 unchanged, 40 held.
        ");
    }
}
