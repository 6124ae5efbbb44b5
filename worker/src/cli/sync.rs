//! `almanac sync`: asks the reconcile workflow for a pass and prints its report.

use std::process::ExitCode;
use std::time::Duration;

use almanac_core::record::{Op, Report, SyncRequest};
use almanac_workflows::contracts::reconciler as contract;
use anyhow::bail;
use serde_json::json;

use super::{Remote, progress};
use crate::args::SyncArgs;
use crate::backoff::random;
use crate::console::Page;
use crate::failure::Failure;
use crate::reconcile_client::ReconcileClientError;

/// Maximum time to wait for a report: as long as the longest pass.
const REPORT_LIMIT: Duration = Duration::from_hours(1);

pub(super) async fn run(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let request = SyncRequest {
        request_id: format!("sync-{:016x}", random()),
        dry_run: args.dry_run,
        confirm: args.confirm.clone(),
    };
    request.check().map_err(anyhow::Error::msg)?;
    let answer = match remote.reconciler.sync(&request).await {
        Ok(answer) => answer,
        Err(error @ ReconcileClientError::NoAnswer(_)) => {
            let why = format!("{error}; after that, by hand:");
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
            Page::of_line(format!("asked for pass {}", answer.pass))
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = progress::report(&remote.reconciler, answer.pass, REPORT_LIMIT).await?;
    let Some(report) = report else {
        bail!(
            "no report of pass {}; see the workflow `{}`",
            answer.pass,
            remote.reconciler.workflow_id()
        );
    };
    super::print(args.target.format, &report, text)?;
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
            super::shell_quoted(&input.to_string())
        )
    } else {
        format!(
            "temporal workflow signal {workflow} --name {}",
            contract::Reconcile::NAME
        )
    }
}

/// A report for people.
fn text(report: &Report) -> Page {
    let dry = if report.dry_run { ", dry run" } else { "" };
    let mut page = Page::of_line(format!(
        "pass {} of revision {} ({} ms{dry})",
        report.pass, report.revision, report.duration_ms
    ));
    for change in &report.changes {
        let sign = match change.op {
            Op::Create => '+',
            Op::Delete => '-',
            _ => '~',
        };
        let op = almanac_activities::metrics::op_name(change.op);
        page.signed(format!("  {sign} {}: {op}: {}", change.id, change.reason));
    }
    page.signed(format!("schedules: {}", counts(report)));
    if report.definitions.invalid > 0 {
        let invalid = report.definitions.invalid;
        page.signed(format!(
            "definitions: {} loaded, {invalid} invalid",
            report.definitions.total
        ));
    }
    if let Some(held) = &report.held {
        page.signed(format!("held: {} removals: {}", held.count, held.reason));
        for id in &held.ids {
            page.signed(format!("  {id}"));
        }
        if !held.digest.is_empty() {
            page.signed(format!(
                "  confirm with: almanac sync --confirm {}",
                held.digest
            ));
        }
    }
    for error in &report.errors {
        let id = error
            .id
            .as_ref()
            .map_or_else(String::new, |id| format!("{id}: "));
        page.signed(format!("error: {}: {id}{}", error.source, error.message));
    }
    if report.truncated > 0 {
        page.signed(format!("and {} more", report.truncated));
    }
    page
}

/// The numbers of schedules in a report that are not 0.
pub(super) fn counts(report: &Report) -> String {
    let counts = serde_json::to_value(report.schedules).unwrap_or_default();
    let counted: Vec<_> = counts
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if counted.is_empty() {
        "none".to_owned()
    } else {
        counted.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use almanac_base::names::Revision;
    use almanac_core::record::{Change, Held, ReportError, ScheduleCounts};

    use super::*;

    #[test]
    fn a_report_is_told_in_lines() {
        let report = Report {
            pass: 12,
            revision: Revision::of(b"x"),
            duration_ms: 47,
            schedules: ScheduleCounts {
                desired: 3,
                created: 1,
                unchanged: 2,
                ..ScheduleCounts::default()
            },
            held: Some(Held {
                digest: "abc".to_owned(),
                reason: "40 of 100".to_owned(),
                ids: vec!["schedule-p-z".to_owned()],
                count: 40,
            }),
            changes: vec![Change {
                id: "a".to_owned(),
                op: Op::Create,
                fields: Vec::new(),
                reason: "the schedule does not exist".to_owned(),
            }],
            errors: vec![ReportError {
                source: "temporal".to_owned(),
                id: Some("b".to_owned()),
                message: "refused".to_owned(),
            }],
            truncated: 39,
            ..Report::default()
        };
        insta::assert_snapshot!(text(&report), @r"
        pass 12 of revision 2d711642b726b044 (47 ms)
          + a: create: the schedule does not exist
        schedules: 1 created, 3 desired, 2 unchanged
        held: 40 removals: 40 of 100
          schedule-p-z
          confirm with: almanac sync --confirm abc
        error: temporal: b: refused
        and 39 more
        ");
    }
}
