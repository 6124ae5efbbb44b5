//! `almanac trigger` and `almanac backfill`: start manual runs and print their results.

use std::process::ExitCode;
use std::time::Duration;

use almanac_activities::manual_runs::{Range, Times};
use almanac_base::names::{DefinitionId, Project, RUN_WORKFLOW};
use almanac_core::definition::OverlapPolicy;
use almanac_core::record::{RunAnswer, RunKind, RunRequest, RunState};
use almanac_core::schedule::Live;
use almanac_times::BackfillWindow;
use anyhow::{Context as _, bail};
use futures::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;

use super::Remote;
use super::selection::{CONCURRENCY, selected, show_selected};
use crate::args::{BackfillArgs, Format, Target, TriggerArgs, Which};
use crate::backoff::random;
use crate::console::{self, Cell, Page, Tone};
use crate::failure::{self, Failure};
use crate::reconcile_client::ReconcileClientError;
use crate::time_text::{in_zone, span};
use crate::wording::{next_command, project_flag, shell_quoted};

/// Maximum time to wait for a run: other runs of its schedule may come before it.
const SEEN_LIMIT: Duration = Duration::from_mins(2);
/// The exit code if the overlap policy skipped all runs.
const SKIPPED: u8 = 2;

/// The request for a single schedule.
struct Job {
    id: DefinitionId,
    live: Live,
    /// The times of a backfill. `None` if the schedule has no time in the range, or for a
    /// trigger.
    times: Option<Times>,
}

pub(super) async fn trigger(args: TriggerArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let ids = selected(&remote, &args.which, args.limit).await?;
    if args.which.dry_run {
        show_selected(&args.target, "be triggered", &ids)?;
        return Ok(ExitCode::SUCCESS);
    }
    let request = RunRequest {
        overlap: args.overlap.map(Into::into),
        reason: args.reason,
        by: super::operator(),
        ..RunRequest::default()
    };
    let mut jobs = Vec::new();
    let mut unread = Vec::new();
    for id in ids {
        let hint = as_a_workflow(&remote, &args.target, &id);
        let live = match remote
            .managed_schedule(&args.target.project, &id, Some(&hint))
            .await
        {
            Ok(live) => live,
            Err(error) if args.which.selector.is_none() => return Err(error),
            Err(error) => {
                unread.push(not_asked(RunKind::Trigger, id, &error));
                continue;
            }
        };
        jobs.push(Job {
            id,
            live,
            times: None,
        });
    }
    all(
        &remote,
        &args.target,
        &args.which,
        RunKind::Trigger,
        &request,
        (jobs, unread),
    )
    .await
}

pub(super) async fn backfill(args: BackfillArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let ids = selected(&remote, &args.which, args.max_schedules).await?;
    let mut jobs = Vec::new();
    let mut unread = Vec::new();
    let mut total = 0;
    for id in ids {
        let live = match remote
            .managed_schedule(&args.target.project, &id, None)
            .await
        {
            Ok(live) => live,
            Err(error) if args.which.selector.is_none() => return Err(error),
            Err(error) => {
                unread.push(not_asked(RunKind::Backfill, id, &error));
                continue;
            }
        };
        let spec = &live.values.spec;
        let range = Range::of(spec, Some(args.from), Some(args.to))?;
        let served = range.served(&remote.schedules, &live.schedule, spec).await;
        let served = served.with_context(|| format!("ask for the times of `{id}`"))?;
        let times = if args.which.selector.is_some() {
            served
        } else {
            let times = range.within(served, Some(args.limit));
            Some(times.map_err(|why| anyhow::anyhow!("{id}: {why}"))?)
        };
        total += times.map_or(0, |times| times.count);
        jobs.push(Job { id, live, times });
    }
    if total > u64::from(args.limit) {
        bail!(
            "{total} runs would be started, more than the limit of {}; nothing was started",
            args.limit
        );
    }
    if args.which.dry_run {
        planned(&args.target, &jobs)?;
        for answer in &unread {
            let id = answer.id.as_ref().map_or("", |id| id.as_str());
            console::eprint(&format!("error: {id}: {}", answer.message));
        }
        return Ok(exit_code(&unread));
    }
    let request = RunRequest {
        overlap: args.overlap.map(Into::into),
        from: Some(args.from),
        to: Some(args.to),
        limit: Some(args.limit),
        reason: args.reason,
        by: super::operator(),
        ..RunRequest::default()
    };
    jobs.retain(|job| job.times.is_some());
    all(
        &remote,
        &args.target,
        &args.which,
        RunKind::Backfill,
        &request,
        (jobs, unread),
    )
    .await
}

/// The hint for steps without a schedule: they are started as a workflow, since there is no
/// schedule to trigger.
fn as_a_workflow(remote: &Remote, target: &Target, id: &DefinitionId) -> String {
    format!(
        "steps without a schedule are started as a workflow: temporal workflow start \
         --address {} --namespace {} --type {RUN_WORKFLOW} --task-queue {} --input {}",
        remote.address,
        remote.namespace,
        target.project.run_queue(),
        shell_quoted(&json!({ "definition": id }).to_string())
    )
}

/// Prints the runs that a backfill would start.
fn planned(target: &Target, jobs: &[Job]) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Planned<'a> {
        id: &'a DefinitionId,
        runs: u64,
        first: Option<jiff::Timestamp>,
        last: Option<jiff::Timestamp>,
    }
    let all: Vec<_> = jobs
        .iter()
        .map(|job| Planned {
            id: &job.id,
            runs: job.times.map_or(0, |times| times.count),
            first: job.times.map(|times| times.first),
            last: job.times.map(|times| times.last),
        })
        .collect();
    super::print(target.format, &all, |_| {
        let mut page = Page::default();
        for job in jobs {
            let zone = &job.live.values.spec.timezone;
            page.append(planned_text(&job.id, job.times, zone));
        }
        page
    })
}

/// The runs of a schedule that a backfill would start.
fn planned_text(id: &DefinitionId, times: Option<Times>, timezone: &str) -> Page {
    let Some(Times {
        first, last, count, ..
    }) = times
    else {
        return Page::of_line(format!("{id}: no time in the range"));
    };
    let (first, last) = (in_zone(first, timezone), in_zone(last, timezone));
    if count == 1 {
        return Page::of_line(format!("{id}: would start 1 run, of {first}"));
    }
    let mut page = Page::of_line(format!("{id}: would start {count} runs"));
    page.facts(4, [("first", first.into()), ("last", last.into())]);
    page
}

/// Sends the request for every job, a few at a time, and prints the results.
async fn all(
    remote: &Remote,
    target: &Target,
    which: &Which,
    kind: RunKind,
    request: &RunRequest,
    (jobs, unread): (Vec<Job>, Vec<RunAnswer>),
) -> anyhow::Result<ExitCode> {
    let is_one = which.selector.is_none();
    let mut answers: Vec<RunAnswer> = unread;
    if target.format == Format::Text {
        for answer in &answers {
            let id = answer.id.as_ref().map_or("", |id| id.as_str());
            console::print(&Page::of_line(format!("{id}: failed: {}", answer.message)));
        }
    }
    let asked = jobs
        .iter()
        .map(|job| async move { (job, ask(remote, target, kind, request, job).await) });
    let mut asked = stream::iter(asked).buffered(CONCURRENCY);
    while let Some((job, answer)) = asked.next().await {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_one => return Err(error),
            Err(error) => not_asked(kind, job.id.clone(), &error),
        };
        if target.format == Format::Text {
            console::print(&text(&job.id, &answer, &target.project, is_one));
        }
        answers.push(answer);
    }
    match &answers[..] {
        [answer] if is_one => super::print_data(target.format, answer)?,
        answers => super::print_data(target.format, &answers)?,
    }
    Ok(exit_code(&answers))
}

/// The answer for a schedule, among many, that could not be asked for its run.
fn not_asked(kind: RunKind, id: DefinitionId, error: &anyhow::Error) -> RunAnswer {
    RunAnswer {
        kind,
        id: Some(id),
        state: RunState::Failed,
        message: failure::causes(error),
        ..RunAnswer::default()
    }
}

fn exit_code(answers: &[RunAnswer]) -> ExitCode {
    if answers.iter().any(|answer| !answer.state.is_good()) {
        ExitCode::FAILURE
    } else if answers.iter().any(|one| one.state == RunState::Skipped) {
        ExitCode::from(SKIPPED)
    } else {
        ExitCode::SUCCESS
    }
}

async fn ask(
    remote: &Remote,
    target: &Target,
    kind: RunKind,
    request: &RunRequest,
    job: &Job,
) -> anyhow::Result<RunAnswer> {
    let request = RunRequest {
        request_id: format!("{}-{:016x}{:016x}", kind.name(), random(), random()),
        id: Some(job.id.clone()),
        ..request.clone()
    };
    request.check(kind)?;
    match remote.reconciler.run(kind, &request, SEEN_LIMIT).await {
        Ok(answer) => Ok(answer),
        Err(error @ (ReconcileClientError::NoAnswer(_) | ReconcileClientError::Absent(_))) => {
            let when = super::when_by_hand(&error);
            let why = format!("{error}; no run is known to have started; {when}:");
            let command = temporal_command(remote, target, kind, &request, job);
            Err(Failure::new(why).line(command).into())
        }
        Err(error) => Err(error.into()),
    }
}

fn text(id: &DefinitionId, answer: &RunAnswer, project: &Project, is_one: bool) -> Page {
    let (tone, what) = match (answer.state, answer.kind) {
        (RunState::Started, RunKind::Trigger) => {
            let workflow = answer.workflow_id.as_deref().unwrap_or_default();
            let run = answer.run_id.as_deref().unwrap_or_default();
            (None, format!("started {workflow} (run {run})"))
        }
        (RunState::Lost, _) => (Some(Tone::Bad), format!("lost: {}", answer.message)),
        (RunState::Pending, _) => {
            let waited = span(SEEN_LIMIT, 1);
            let what = format!("pending: no run was observed within {waited}");
            (Some(Tone::Caution), what)
        }
        (state, _) if !state.is_good() => (Some(Tone::Bad), format!("failed: {}", answer.message)),
        (RunState::Skipped, _) => (Some(Tone::Caution), answer.message.clone()),
        _ => (None, answer.message.clone()),
    };
    let mut page = Page::default();
    page.cells([
        format!("{id}: ").into(),
        match tone {
            Some(tone) => Cell::toned(tone, what),
            None => what.into(),
        },
    ]);
    if !is_one {
        return page;
    }
    if answer.kind == RunKind::Backfill {
        for run in &answer.runs {
            page.line(format!("  {} (run {})", run.workflow_id, run.run_id));
        }
        let more = answer.started.saturating_sub(answer.runs.len() as u64);
        if more > 0 && !answer.runs.is_empty() {
            page.toned(Tone::Muted, format!("  and {more} more"));
        }
        if answer.skipped > 0 {
            page.line("  hint: --overlap buffer-all starts the runs one after the other,");
            page.line("        --overlap allow-all starts all at once");
        }
    }
    if matches!(answer.state, RunState::Pending | RunState::Lost) {
        next_command(
            &mut page,
            format!("almanac show {id}{}", project_flag(project)),
        );
    }
    page
}

/// The command of the Temporal CLI that does the same.
fn temporal_command(
    remote: &Remote,
    target: &Target,
    kind: RunKind,
    request: &RunRequest,
    job: &Job,
) -> String {
    let policy = request.overlap.unwrap_or(job.live.values.overlap_policy);
    let policy = match policy {
        OverlapPolicy::Skip => "Skip",
        OverlapPolicy::BufferOne => "BufferOne",
        OverlapPolicy::BufferAll => "BufferAll",
        OverlapPolicy::CancelOther => "CancelOther",
        OverlapPolicy::TerminateOther => "TerminateOther",
        OverlapPolicy::AllowAll => "AllowAll",
    };
    let range = job.times.map_or_else(String::new, |times| {
        let BackfillWindow { start, end } = times.window;
        format!(" --start-time {start} --end-time {end}")
    });
    format!(
        "temporal schedule {} --address {} --namespace {} --schedule-id {}{range} --overlap-policy {policy}",
        kind.name(),
        remote.address,
        remote.namespace,
        target.project.schedule_id(&job.id),
    )
}

#[cfg(test)]
mod tests {
    use almanac_core::record::StartedRun;

    use super::*;

    fn shown(answer: &RunAnswer, is_one: bool) -> String {
        let (id, project) = ("report".parse().unwrap(), "billing".parse().unwrap());
        text(&id, answer, &project, is_one).to_string()
    }

    #[test]
    fn a_trigger_names_its_run() {
        let started = RunAnswer {
            state: RunState::Started,
            workflow_id: Some("billing/report-2026-03-02T12:00:00Z".to_owned()),
            run_id: Some("0195".to_owned()),
            ..RunAnswer::default()
        };
        insta::assert_snapshot!(shown(&started, true), @"report: started billing/report-2026-03-02T12:00:00Z (run 0195)");
        let skipped = RunAnswer {
            state: RunState::Skipped,
            message: "0 of 1 started, 1 skipped (overlap policy Skip)".to_owned(),
            ..RunAnswer::default()
        };
        insta::assert_snapshot!(shown(&skipped, true), @"report: 0 of 1 started, 1 skipped (overlap policy Skip)");
        insta::assert_snapshot!(shown(&RunAnswer::default(), true), @r"
        report: pending: no run was observed within 2m
          → almanac show report --project billing
        ");
        let failed = RunAnswer {
            state: RunState::Failed,
            message: "refused\nforged".to_owned(),
            ..RunAnswer::default()
        };
        insta::assert_snapshot!(shown(&failed, false), @r"report: failed: refused\nforged");
    }

    #[test]
    fn a_backfill_lists_its_first_runs() {
        let runs = (1..=2).map(|n| StartedRun {
            workflow_id: format!("billing/report-2026-03-0{n}T02:30:00Z"),
            run_id: format!("019{n}"),
        });
        let answer = RunAnswer {
            kind: RunKind::Backfill,
            state: RunState::Started,
            runs: runs.collect(),
            started: 5,
            skipped: 1,
            message: "5 of 6 started, 1 skipped (overlap policy Skip)".to_owned(),
            ..RunAnswer::default()
        };
        insta::assert_snapshot!(shown(&answer, true), @r"
        report: 5 of 6 started, 1 skipped (overlap policy Skip)
          billing/report-2026-03-01T02:30:00Z (run 0191)
          billing/report-2026-03-02T02:30:00Z (run 0192)
          and 3 more
          hint: --overlap buffer-all starts the runs one after the other,
                --overlap allow-all starts all at once
        ");
        insta::assert_snapshot!(shown(&answer, false), @"report: 5 of 6 started, 1 skipped (overlap policy Skip)");
    }

    #[test]
    fn a_dry_run_of_a_backfill_names_the_first_and_the_last_time() {
        let at = |text: &str| text.parse().unwrap();
        let times = |count| Times {
            first: at("2026-03-02T01:30:00Z"),
            last: at("2026-03-06T01:30:00Z"),
            count,
            window: BackfillWindow {
                start: at("2026-03-02T00:00:00Z"),
                end: at("2026-03-07T00:00:00Z"),
            },
        };
        let shown = |times| {
            let id = "report".parse().unwrap();
            planned_text(&id, times, "Europe/Berlin").to_string()
        };
        insta::assert_snapshot!(shown(Some(times(5))), @r"
        report: would start 5 runs
            first  Mon 2026-03-02 02:30:00 +01:00  (2026-03-02 01:30:00 UTC)
            last   Fri 2026-03-06 02:30:00 +01:00  (2026-03-06 01:30:00 UTC)
        ");
        insta::assert_snapshot!(shown(Some(times(1))), @"report: would start 1 run, of Mon 2026-03-02 02:30:00 +01:00  (2026-03-02 01:30:00 UTC)");
        insta::assert_snapshot!(shown(None), @"report: no time in the range");
    }

    #[test]
    fn every_state_of_a_run_has_its_color() {
        let in_color = |kind, state, message: &str| {
            let answer = RunAnswer {
                kind,
                state,
                workflow_id: Some("billing/report-2026-03-02T12:00:00Z".to_owned()),
                run_id: Some("0195".to_owned()),
                message: message.to_owned(),
                ..RunAnswer::default()
            };
            let (id, project) = ("report".parse().unwrap(), "billing".parse().unwrap());
            text(&id, &answer, &project, true).in_color()
        };
        let states = [
            in_color(RunKind::Trigger, RunState::Started, ""),
            in_color(
                RunKind::Trigger,
                RunState::Skipped,
                "0 of 1 started, 1 skipped",
            ),
            in_color(RunKind::Trigger, RunState::Pending, ""),
            in_color(RunKind::Trigger, RunState::Lost, "the server was restarted"),
            in_color(RunKind::Trigger, RunState::Failed, "refused\u{1b}[2J"),
            in_color(RunKind::Backfill, RunState::Started, "5 of 5 started"),
            in_color(
                RunKind::Backfill,
                RunState::Skipped,
                "0 of 5 started, 5 skipped",
            ),
        ];
        insta::assert_snapshot!(states.concat(), @r"
        report: started billing/report-2026-03-02T12:00:00Z (run 0195)
        report: ESC[33m0 of 1 started, 1 skippedESC[0m
        report: ESC[33mpending: no run was observed within 2mESC[0m
        ESC[2m  → ESC[0malmanac show report --project billing
        report: ESC[31mlost: the server was restartedESC[0m
        ESC[2m  → ESC[0malmanac show report --project billing
        report: ESC[31mfailed: refused\u{1b}[2JESC[0m
        report: 5 of 5 started
        report: ESC[33m0 of 5 started, 5 skippedESC[0m
        ");
    }

    #[test]
    fn the_rest_of_a_backfill_is_muted() {
        let answer = RunAnswer {
            kind: RunKind::Backfill,
            state: RunState::Started,
            runs: vec![StartedRun {
                workflow_id: "billing/report-2026-03-01T02:30:00Z".to_owned(),
                run_id: "0191".to_owned(),
            }],
            started: 4,
            message: "4 of 4 started".to_owned(),
            ..RunAnswer::default()
        };
        let (id, project) = ("report".parse().unwrap(), "billing".parse().unwrap());
        let page = text(&id, &answer, &project, true);
        insta::assert_snapshot!(page.in_color(), @r"
        report: 4 of 4 started
          billing/report-2026-03-01T02:30:00Z (run 0191)
        ESC[2m  and 3 moreESC[0m
        ");
    }
}
