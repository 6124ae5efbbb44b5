//! The last runs: when they were due, when they started, and how they ended.

use almanac_activities::schedules::Run;
use maud::{Markup, html};

use super::super::condition::run_status;
use super::super::times::Times;
use super::Subject;
use crate::time_text::precise;

pub(super) fn section(subject: &Subject, times: &Times) -> Markup {
    // Without a schedule, only events start runs, and these have a section of their own.
    if subject.detail().is_none() && super::triggers::has_triggers(subject) {
        return Markup::default();
    }
    let runs = subject
        .detail()
        .map_or(&[][..], |detail| &detail.recent_runs);
    let zone = subject
        .detail()
        .map_or("UTC", |detail| &detail.view.timezone);
    html! {
        section.sec id="runs" {
            header { h2 { "Runs" } span.dim { "the last " (runs.len()) } }
            @if runs.is_empty() { p.dim { "The schedule has not started a run." } }
            @else {
                table.data.wide {
                    thead { tr {
                        th { "Due" } th { "Started" } th { "Delay" } th { "Duration" } th { "Result" } th { "Workflow" }
                    } }
                    tbody { @for run in runs.iter().rev() { (row(subject, run, zone, times)) } }
                }
            }
        }
    }
}

fn row(subject: &Subject, run: &Run, zone: &str, times: &Times) -> Markup {
    let link = subject.run_address(&run.workflow_id, &run.run_id);
    let is_bad = matches!(
        run.status.as_deref(),
        Some("failed" | "timed_out" | "terminated")
    );
    html! {
        tr.hot[is_bad] {
            td data-h="Due" { @if let Some(due) = run.due { (times.exact(due, zone)) } @else { "by hand" } }
            td data-h="Started" { @if let Some(started) = run.started { (times.exact(started, zone)) } }
            td.num data-h="Delay" {
                @if let (Some(due), Some(started)) = (run.due, run.started) { (precise(due, started)) }
            }
            td.num data-h="Duration" {
                @match (run.started, run.ended) {
                    (Some(started), Some(ended)) => (precise(started, ended)),
                    (Some(started), None) if run.is_running() => { (precise(started, times.now)) " so far" },
                    _ => "–",
                }
            }
            td data-h="Result" { (run_status(run.status.as_deref())) }
            td.mono.cut data-h="Workflow" {
                @match link {
                    Some(address) => a.link href=(address) rel="noreferrer" title=(run.run_id) { (run.workflow_id) },
                    None => span title=(run.run_id) { (run.workflow_id) },
                }
            }
        }
    }
}
