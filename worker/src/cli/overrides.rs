//! `almanac pause`, `unpause`, `override` and `clear-override`: ask the reconcile workflow for
//! an operator's change, and wait until a pass has applied it.

use std::process::ExitCode;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project};
use almanac_core::record::{Override, OverrideRequest, Report};
use almanac_workflows::contracts::reconciler as contract;
use anyhow::{Context as _, bail};
use futures::{StreamExt, stream};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
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
use crate::wording::{
    next_command, only_pauses, operation, override_end, override_values, project_flag, shell_quoted,
};

/// Maximum time to wait for the pass that applies the change. That pass is short, but others
/// may come before it.
const DONE_LIMIT: Duration = Duration::from_mins(5);

pub(super) async fn pause(args: PauseArgs) -> anyhow::Result<ExitCode> {
    let request = OverrideRequest {
        enabled: Some(false),
        reason: args.reason,
        until: end(args.duration)?,
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
        until: end(args.duration)?,
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

/// The end of an override that lasts this long, as a whole second.
fn end(duration: Option<Duration>) -> anyhow::Result<Option<Timestamp>> {
    duration
        .map(|duration| {
            let duration = SignedDuration::try_from(duration).ok();
            let end = duration.and_then(|duration| Timestamp::now().checked_add(duration).ok());
            let up = TimestampRound::new()
                .smallest(Unit::Second)
                .mode(RoundMode::Ceil);
            let end = end.and_then(|end| end.round(up).ok());
            end.context("--for ends after the year 9999")
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
        text(outcome, &target.project, Timestamp::now())
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
                    let lines = lines(&outcome, Timestamp::now());
                    console::print(&Page::of_line(lines.join("; ")));
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
    let id = request.check(Timestamp::now())?;
    remote.managed_schedule(&target.project, id, None).await?;
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
            "the request is accepted, but pass {} has not ended yet; `almanac show {id}{}` shows \
             the schedule",
            answer.pass,
            project_flag(&target.project)
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
    let errors = outcome.report.errors_of(&outcome.id);
    errors.map(|error| error.message.as_str())
}

/// The result in lines for people.
fn lines(outcome: &Outcome, now: Timestamp) -> Vec<String> {
    let id = &outcome.id;
    let own = id.to_string();
    let mut lines: Vec<_> = errors(outcome)
        .map(|error| format!("error: {id}: {error}"))
        .collect();
    match &outcome.overridden {
        Some(one) if lines.is_empty() => lines.push(format!("{id}: {}", in_force(one, now))),
        Some(one) => lines.push(format!("{id}: not applied yet: {}", in_force(one, now))),
        None => {
            let changes = outcome.report.changes.iter();
            lines.extend(changes.filter(|one| one.id == own).map(|change| {
                let done = operation(change.op, false);
                format!("{id}: {done} ({})", change.reason)
            }));
        }
    }
    if lines.is_empty() {
        lines.push(format!("{id}: nothing to change"));
    }
    lines
}

/// An override in words.
fn in_force(set: &Override, now: Timestamp) -> String {
    let values = override_values(set);
    let end = override_end(set, now);
    if only_pauses(set) {
        format!("{values} {end}: {}", set.reason)
    } else {
        format!("override of {values} {end}: {}", set.reason)
    }
}

/// The result for people, with the command that ends the override.
fn text(outcome: &Outcome, project: &Project, now: Timestamp) -> Page {
    let mut page = Page::default();
    for line in lines(outcome, now) {
        page.signed(line);
    }
    if let Some(one) = &outcome.overridden {
        let command = if only_pauses(one) {
            "unpause"
        } else {
            "clear-override"
        };
        let flag = project_flag(project);
        next_command(&mut page, format!("almanac {command} {}{flag}", outcome.id));
    }
    page
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
        let reason = shell_quoted(&request.reason);
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
            shell_quoted(&json!(request).to_string()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use almanac_core::record::{Change, Op, ReportError};

    use super::*;

    fn now() -> Timestamp {
        "2026-03-02T12:00:00.4Z".parse().unwrap()
    }

    fn outcome(overridden: Option<Override>, changes: &[(&str, Op, &str)]) -> Outcome {
        let changes = changes.iter().map(|(id, op, reason)| Change {
            id: (*id).to_owned(),
            op: *op,
            fields: Vec::new(),
            reason: (*reason).to_owned(),
        });
        Outcome {
            id: "payouts".parse().unwrap(),
            overridden,
            report: Report {
                changes: changes.collect(),
                ..Report::default()
            },
        }
    }

    fn shown(outcome: &Outcome) -> String {
        text(outcome, &"billing".parse().unwrap(), now()).to_string()
    }

    #[test]
    fn a_pause_says_when_it_ends_and_how_to_end_it() {
        let mut pause = Override {
            enabled: Some(false),
            reason: "the bank is down\nforged".to_owned(),
            by: "ann@ops".to_owned(),
            until: Some("2026-03-02T14:00:01Z".parse().unwrap()),
            ..Override::default()
        };
        let changes = [("payouts", Op::Pause, "override applied")];
        insta::assert_snapshot!(shown(&outcome(Some(pause.clone()), &changes)), @r"
        payouts: paused until 2026-03-02 14:00:01Z (in 2h): the bank is down\nforged
          → almanac unpause payouts --project billing
        ");
        pause.until = None;
        let mut failed = outcome(Some(pause.clone()), &[]);
        insta::assert_snapshot!(shown(&failed), @r"
        payouts: paused until someone unpauses it: the bank is down\nforged
          → almanac unpause payouts --project billing
        ");
        failed.report.errors.push(ReportError {
            source: "temporal".to_owned(),
            id: Some("payouts".to_owned()),
            message: "update: refused".to_owned(),
        });
        insta::assert_snapshot!(shown(&failed), @r"
        error: payouts: update: refused
        payouts: not applied yet: paused until someone unpauses it: the bank is down\nforged
          → almanac unpause payouts --project billing
        ");
    }

    #[test]
    fn an_override_says_what_it_sets() {
        let set = Override {
            cron: Some(vec!["*/5 * * * *".to_owned(), "0 3 * * *".to_owned()]),
            timezone: Some("Europe/Berlin".to_owned()),
            enabled: Some(true),
            reason: "slow disk".to_owned(),
            ..Override::default()
        };
        insta::assert_snapshot!(shown(&outcome(Some(set), &[])), @r#"
        payouts: override of enabled, cron "*/5 * * * *", "0 3 * * *", timezone Europe/Berlin until someone clears it or its definition changes: slow disk
          → almanac clear-override payouts --project billing
        "#);
    }

    #[test]
    fn without_an_override_the_changes_are_listed() {
        let changes = [
            ("payouts", Op::Unpause, "cleared by ann@ops"),
            ("other", Op::Update, "x"),
        ];
        insta::assert_snapshot!(shown(&outcome(None, &changes)), @"payouts: unpaused (cleared by ann@ops)");
        insta::assert_snapshot!(shown(&outcome(None, &[])), @"payouts: nothing to change");
    }

    #[test]
    fn an_override_ends_at_a_whole_second() {
        let before = Timestamp::now();
        let end = end(Some(Duration::from_hours(2))).unwrap().unwrap();
        assert_eq!(end.subsec_nanosecond(), 0);
        assert!(end >= before + SignedDuration::from_hours(2), "{end}");
        assert!(
            end < Timestamp::now() + SignedDuration::from_secs(7201),
            "{end}"
        );
        assert!(super::end(Some(Duration::MAX)).is_err());
    }

    #[test]
    fn errors_and_the_next_command_are_colored() {
        let in_color = |outcome| text(&outcome, &"billing".parse().unwrap(), now()).in_color();
        let pause = Override {
            enabled: Some(false),
            reason: "the bank is down".to_owned(),
            ..Override::default()
        };
        insta::assert_snapshot!(in_color(outcome(Some(pause.clone()), &[])), @r"
        payouts: paused until someone unpauses it: the bank is down
        ESC[2m  → ESC[0malmanac unpause payouts --project billing
        ");
        let mut failed = outcome(Some(pause), &[]);
        failed.report.errors.push(ReportError {
            source: "temporal".to_owned(),
            id: Some("payouts".to_owned()),
            message: "update: refused\u{1b}[2J".to_owned(),
        });
        insta::assert_snapshot!(in_color(failed), @r"
        ESC[31merror: payouts: update: refused\u{1b}[2JESC[0m
        payouts: not applied yet: paused until someone unpauses it: the bank is down
        ESC[2m  → ESC[0malmanac unpause payouts --project billing
        ");
        let set = Override {
            timezone: Some("Europe/Berlin".to_owned()),
            reason: "summer".to_owned(),
            until: Some("2026-03-02T14:00:01Z".parse().unwrap()),
            ..Override::default()
        };
        insta::assert_snapshot!(in_color(outcome(Some(set), &[])), @r"
        payouts: override of timezone Europe/Berlin until 2026-03-02 14:00:01Z (in 2h): summer
        ESC[2m  → ESC[0malmanac clear-override payouts --project billing
        ");
        let changes = [("payouts", Op::Unpause, "cleared by ann@ops")];
        insta::assert_snapshot!(in_color(outcome(None, &changes)), @"payouts: unpaused (cleared by ann@ops)");
    }
}
