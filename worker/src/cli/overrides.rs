//! `almanac pause`, `unpause`, `override` and `clear-override`: ask the reconcile workflow for
//! an operator's change, and wait until a pass has applied it.

use std::process::ExitCode;
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_core::record::{Override, OverrideRequest, Report};
use almanac_workflows::contracts::reconciler as contract;
use anyhow::{Context as _, bail};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::selection::{CONCURRENCY, selected, show_selected};
use super::{Remote, progress};
use crate::args::{
    ClearOverrideArgs, Format, OverrideArgs, PauseArgs, Setting, Target, UnpauseArgs, Which,
};
use crate::backoff::random;
use crate::console::{self, Page};
use crate::failure::{self, Failure};
use crate::reconcile_client::ReconcileClientError;

/// Maximum time to wait for the pass that applies the change. That pass is short, but others
/// may come before it.
const DONE_LIMIT: Duration = Duration::from_mins(5);

pub(super) async fn pause(args: PauseArgs) -> anyhow::Result<ExitCode> {
    let request = OverrideRequest {
        enabled: Some(false),
        reason: args.reason,
        until: until(args.duration)?,
        ..OverrideRequest::default()
    };
    send_all(&args.target, &args.which, args.limit, "be paused", request).await
}

pub(super) async fn unpause(args: UnpauseArgs) -> anyhow::Result<ExitCode> {
    let request = OverrideRequest {
        unpause: true,
        reason: args.reason,
        ..OverrideRequest::default()
    };
    send_all(
        &args.target,
        &args.which,
        args.limit,
        "be unpaused",
        request,
    )
    .await
}

pub(super) async fn set(args: OverrideArgs) -> anyhow::Result<ExitCode> {
    let mut request = OverrideRequest {
        id: Some(args.id),
        reason: args.reason,
        until: until(args.duration)?,
        ..OverrideRequest::default()
    };
    for setting in args.set {
        match setting {
            Setting::Cron(cron) => request.cron.get_or_insert_default().push(cron),
            Setting::Timezone(zone) => request.timezone = Some(zone),
            Setting::Enabled(enabled) => request.enabled = Some(enabled),
        }
    }
    send(&args.target, request).await
}

pub(super) async fn clear(args: ClearOverrideArgs) -> anyhow::Result<ExitCode> {
    let request = OverrideRequest {
        id: Some(args.id),
        clear: true,
        ..OverrideRequest::default()
    };
    send(&args.target, request).await
}

fn until(duration: Option<Duration>) -> anyhow::Result<Option<Timestamp>> {
    duration
        .map(|duration| {
            let duration = SignedDuration::try_from(duration).ok();
            let at = duration.and_then(|duration| Timestamp::now().checked_add(duration).ok());
            at.context("--for is longer than time goes")
        })
        .transpose()
}

/// Result for a single schedule.
#[derive(Debug, Serialize)]
struct Outcome {
    id: DefinitionId,
    #[serde(rename = "override")]
    overridden: Option<Override>,
    report: Report,
}

async fn send(target: &Target, request: OverrideRequest) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(target).await?;
    let outcome = done(&remote, target, request).await?;
    super::print(target.format, &outcome, |outcome| {
        let mut page = Page::default();
        for line in text(outcome) {
            page.signed(line);
        }
        page
    })?;
    Ok(if errors(&outcome).next().is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Result for a schedule among many.
#[derive(Debug, Serialize)]
struct One {
    id: DefinitionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    outcome: Option<Many>,
}

/// A result without the report, which the schedules share.
#[derive(Debug, Serialize)]
struct Many {
    #[serde(rename = "override")]
    overridden: Option<Override>,
    pass: u64,
}

/// Sends the same request for every selected schedule, a few at a time.
async fn send_all(
    target: &Target,
    which: &Which,
    limit: u16,
    what: &str,
    request: OverrideRequest,
) -> anyhow::Result<ExitCode> {
    let of = |id: DefinitionId| OverrideRequest {
        id: Some(id),
        ..request.clone()
    };
    if let (Some(id), false) = (&which.id, which.dry_run) {
        return send(target, of(id.clone())).await;
    }
    let remote = Remote::of(target).await?;
    let ids = selected(&remote, which, limit).await?;
    if which.dry_run {
        show_selected(target, what, &ids)?;
        return Ok(ExitCode::SUCCESS);
    }
    let sent = ids.into_iter().map(|id| {
        let sent = done(&remote, target, of(id.clone()));
        async move { (id, sent.await) }
    });
    let mut sent = stream::iter(sent).buffered(CONCURRENCY);
    let mut all = Vec::new();
    while let Some((id, outcome)) = sent.next().await {
        let one = match outcome {
            Ok(outcome) => {
                if target.format == Format::Text {
                    console::print(&Page::of_line(text(&outcome).join("; ")));
                }
                let error = errors(&outcome).next().map(str::to_owned);
                One {
                    id,
                    error,
                    outcome: Some(Many {
                        pass: outcome.report.pass,
                        overridden: outcome.overridden,
                    }),
                }
            }
            Err(error) => {
                if target.format == Format::Text {
                    console::print(&failure::page(&format!("{id}: error: "), &error));
                }
                One {
                    id,
                    error: Some(format!("{error:#}")),
                    outcome: None,
                }
            }
        };
        all.push(one);
    }
    super::print_data(target.format, &all)?;
    Ok(if all.iter().all(|one| one.error.is_none()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Sends the request to the reconcile workflow, and waits until a pass has applied it.
async fn done(
    remote: &Remote,
    target: &Target,
    request: OverrideRequest,
) -> anyhow::Result<Outcome> {
    let request = OverrideRequest {
        request_id: format!("override-{:016x}", random()),
        by: super::operator(),
        ..request
    };
    let id = request
        .check(Timestamp::now())
        .map_err(anyhow::Error::msg)?;
    remote.ours(&target.project, id, None).await?;
    let answer = match remote.reconciler.set_override(&request).await {
        Ok(answer) => answer,
        Err(error @ (ReconcileClientError::NoAnswer(_) | ReconcileClientError::Absent(_))) => {
            let when = super::when_by_hand(&error);
            let why = format!("{error}; nothing is known to have been changed; {when}:");
            let command = temporal_command(remote, target, &request, id);
            return Err(Failure::new(why).line(command).into());
        }
        Err(error) => return Err(error.into()),
    };
    let report = progress::report(&remote.reconciler, answer.pass, DONE_LIMIT).await?;
    let Some(report) = report else {
        bail!(
            "the override is taken, but pass {} has not ended yet; `almanac show {id}` tells",
            answer.pass
        );
    };
    let status = remote.reconciler.status().await?;
    Ok(Outcome {
        overridden: status.overrides.get(id).cloned(),
        id: id.clone(),
        report,
    })
}

fn errors(outcome: &Outcome) -> impl Iterator<Item = &str> {
    let own = outcome.id.to_string();
    let errors = outcome.report.errors.iter();
    errors
        .filter(move |error| error.id.as_deref().is_none_or(|id| id == own))
        .map(|error| error.message.as_str())
}

/// The result in lines for people.
fn text(outcome: &Outcome) -> Vec<String> {
    let own = outcome.id.to_string();
    let mut lines = Vec::new();
    for change in outcome.report.changes.iter().filter(|one| one.id == own) {
        let op = almanac_activities::metrics::op_name(change.op);
        lines.push(format!("{own}: {op}: {}", change.reason));
    }
    lines.extend(errors(outcome).map(|error| format!("error: {error}")));
    if let Some(one) = &outcome.overridden {
        let until = one
            .until
            .map_or_else(String::new, |until| format!(" until {until}"));
        lines.push(format!(
            "{own}: overridden by {}{until}: {}",
            one.by, one.reason
        ));
    } else if lines.is_empty() {
        lines.push(format!("{own}: nothing to change"));
    }
    lines
}

/// The command of the Temporal CLI that does the same.
fn temporal_command(
    remote: &Remote,
    target: &Target,
    request: &OverrideRequest,
    id: &DefinitionId,
) -> String {
    let whereto = format!(
        "--address {} --namespace {}",
        remote.address, remote.namespace
    );
    let schedule = target.project.schedule_id(id);
    let toggle = |flag: &str| {
        let reason = super::shell_quoted(&request.reason);
        format!(
            "temporal schedule toggle {whereto} --schedule-id {schedule} {flag} --reason {reason}"
        )
    };
    match (request.enabled, request.unpause) {
        (Some(false), _) if request.cron.is_none() && request.timezone.is_none() => {
            toggle("--pause")
        }
        (_, true) => toggle("--unpause"),
        // A manual change of any other field would be drift: the printed command sends the
        // request to the workflow instead, which can take it later.
        _ => format!(
            "temporal workflow update execute {whereto} --workflow-id {} --name {} --input {}",
            remote.reconciler.workflow_id(),
            contract::Override::NAME,
            super::shell_quoted(&json!(request).to_string()),
        ),
    }
}
