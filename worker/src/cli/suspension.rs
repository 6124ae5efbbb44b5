//! `almanac suspend` and `almanac resume`: stop the reconciler itself, and let it continue.

use std::process::ExitCode;
use std::time::Duration;

use almanac_base::names::Project;
use almanac_core::record::{SuspendAnswer, SuspendRequest, Suspension};
use almanac_workflows::contracts::reconciler as contract;
use anyhow::bail;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Remote;
use crate::args::{ResumeArgs, SuspendArgs, Target};
use crate::backoff::random;
use crate::console::Page;
use crate::failure::Failure;
use crate::reconcile_client::ReconcileClientError;
use crate::time_text::utc;
use crate::wording::{next_command, shell_quoted};

/// Maximum time to wait for a running pass: as long as the longest pass.
const STILL_LIMIT: Duration = Duration::from_hours(1);
/// Interval between two queries of the state.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn suspend(args: SuspendArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let request = request("suspend", args.reason);
    request.check()?;
    let answer = remote.reconciler.suspend(&request).await;
    let answer =
        answer.map_err(|error| explained(error, &remote, contract::Suspend::NAME, &request))?;
    still(&remote).await?;
    print_answer(&args.target, &answer)
}

pub(super) async fn resume(args: ResumeArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let request = request("resume", String::new());
    let answer = remote.reconciler.resume(&request).await;
    let answer =
        answer.map_err(|error| explained(error, &remote, contract::Resume::NAME, &request))?;
    print_answer(&args.target, &answer)
}

/// Waits until the running pass has ended. After that, Almanac writes nothing.
async fn still(remote: &Remote) -> anyhow::Result<()> {
    let deadline = Instant::now() + STILL_LIMIT;
    loop {
        match remote.reconciler.status().await {
            Ok(status) if status.state != "running" => return Ok(()),
            Ok(_) | Err(ReconcileClientError::NoAnswer(_) | ReconcileClientError::Busy(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() > deadline {
            bail!("suspended, but the pass that was running has not ended yet");
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn request(command: &str, reason: String) -> SuspendRequest {
    SuspendRequest {
        request_id: format!("{command}-{:016x}", random()),
        reason,
        by: super::operator(),
    }
}

fn explained(
    error: ReconcileClientError,
    remote: &Remote,
    update: &str,
    request: &SuspendRequest,
) -> anyhow::Error {
    if !matches!(error, ReconcileClientError::NoAnswer(_)) {
        return error.into();
    }
    let input = shell_quoted(&json!(request).to_string());
    let command = format!(
        "temporal workflow update execute --address {} --namespace {} --workflow-id {} --name {update} --input {input}",
        remote.address,
        remote.namespace,
        remote.reconciler.workflow_id(),
    );
    Failure::new(format!("{error}; after that, do it without Almanac:"))
        .line(command)
        .into()
}

fn print_answer(target: &Target, answer: &SuspendAnswer) -> anyhow::Result<ExitCode> {
    super::print(target.format, answer, |answer| {
        text(answer, &target.project)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(answer: &SuspendAnswer, project: &Project) -> Page {
    match (&answer.suspended, answer.pass) {
        (Some(Suspension { reason, by, at }), _) => {
            let mut page = Page::of_line(format!(
                "{project}: suspended by {by} at {}: {reason}",
                utc(*at)
            ));
            page.line("  Almanac writes nothing until you resume it:");
            next_command(&mut page, format!("almanac resume --project {project}"));
            page
        }
        (None, Some(pass)) => Page::of_line(format!("{project}: resumed; pass {pass} catches up")),
        (None, None) => Page::of_line(format!("{project}: resumed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_names_the_command_that_ends_it() {
        let shown = |suspended: Option<Suspension>, pass: Option<u64>| {
            let answer = SuspendAnswer { suspended, pass };
            text(&answer, &"billing".parse().unwrap()).to_string()
        };
        let suspension = Suspension {
            reason: "moving house".to_owned(),
            by: "ann@ops".to_owned(),
            at: "2026-03-02T10:00:00.123456789Z".parse().unwrap(),
        };
        insta::assert_snapshot!(shown(Some(suspension), None), @r"
        billing: suspended by ann@ops at 2026-03-02 10:00:00Z: moving house
          Almanac writes nothing until you resume it:
          → almanac resume --project billing
        ");
        insta::assert_snapshot!(shown(None, Some(43)), @"billing: resumed; pass 43 catches up");
        insta::assert_snapshot!(shown(None, None), @"billing: resumed");
    }

    #[test]
    fn the_command_that_ends_a_suspension_is_colored() {
        let answer = SuspendAnswer {
            suspended: Some(Suspension {
                reason: "moving\u{1b}[2J".to_owned(),
                by: "ann@ops".to_owned(),
                at: "2026-03-02T10:00:00Z".parse().unwrap(),
            }),
            pass: None,
        };
        let page = text(&answer, &"billing".parse().unwrap());
        insta::assert_snapshot!(page.in_color(), @r"
        billing: suspended by ann@ops at 2026-03-02 10:00:00Z: moving\u{1b}[2J
          Almanac writes nothing until you resume it:
        ESC[2m  → ESC[0malmanac resume --project billing
        ");
    }
}
