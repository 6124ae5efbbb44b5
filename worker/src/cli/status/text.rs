//! The status of a project for people.

use jiff::Timestamp;

use super::super::list::{tone, unknown_remark};
use super::super::sync;
use super::ProjectStatus;
use crate::console::{Cell, Page, Tone};
use crate::time_text::ago;
use crate::wording::{counted, next_command};

pub(super) fn text(status: &ProjectStatus, now: Timestamp) -> Page {
    let problems = status.findings.iter().filter(|one| one.problem).count();
    let mut page = Page::default();
    page.cells(if problems == 0 {
        let (tone, text) = if status.unknown.is_empty() {
            (Tone::Good, ": nothing is wrong")
        } else {
            (Tone::Caution, ": no problem is known")
        };
        [
            Cell::toned(tone, "●"),
            Cell::toned(Tone::Strong, format!(" {}", status.project)),
            text.into(),
        ]
    } else {
        let problems = counted(problems as u64, "problem", "problems");
        [
            Cell::toned(Tone::Bad, "●"),
            Cell::toned(Tone::Strong, format!(" {}", status.project)),
            format!(": {problems}").into(),
        ]
    });
    page.facts(
        2,
        [
            (
                "Temporal",
                format!("{}, namespace {}", status.address, status.namespace).into(),
            ),
            ("Workers", workers(status, now).into()),
            ("Reconciler", status.reconciler.replace('_', " ").into()),
            ("Last pass", last_pass(status, now).into()),
        ],
    );
    page.cells(schedules(status));
    page.append(unknown_remark(&status.unknown, "  "));
    for finding in &status.findings {
        page.line("");
        let tone = if finding.problem {
            Tone::Bad
        } else {
            Tone::Caution
        };
        page.cells([
            Cell::toned(tone, if finding.problem { "! " } else { "~ " }),
            finding.summary.clone().into(),
        ]);
        for item in &finding.items {
            page.line(format!("    {item}"));
        }
        let more = finding.count.saturating_sub(finding.items.len() as u64);
        if more > 0 && !finding.items.is_empty() {
            page.toned(Tone::Muted, format!("    and {more} more"));
        }
        for command in &finding.commands {
            next_command(&mut page, command);
        }
    }
    page
}

fn workers(status: &ProjectStatus, now: Timestamp) -> String {
    let Some(last) = status
        .workers
        .values()
        .map(|worker| worker.answered_at)
        .max()
    else {
        return "none known".to_owned();
    };
    let ids: Vec<_> = status
        .workers
        .keys()
        .take(3)
        .map(ToString::to_string)
        .collect();
    let more = status.workers.len().saturating_sub(ids.len());
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "{} alive ({}{more}), last heard {}",
        status.workers.len(),
        ids.join(", "),
        ago(last, now)
    )
}

fn last_pass(status: &ProjectStatus, now: Timestamp) -> String {
    let Some(report) = &status.last_pass else {
        return match status.last_success {
            Some(at) => format!("ended well {}", ago(at, now)),
            None => "unknown".to_owned(),
        };
    };
    let written = sync::counts(report);
    format!(
        "{}, {}, {} ms: {written}",
        report.pass,
        ago(report.started_at, now),
        report.duration_ms
    )
}

/// The line with the number of schedules in each state.
fn schedules(status: &ProjectStatus) -> Vec<Cell> {
    let mut cells = vec![
        Cell::from("  "),
        Cell::toned(Tone::Muted, "Schedules"),
        "   ".into(),
    ];
    let total: usize = status.schedules.values().sum();
    cells.push(format!("{total}").into());
    for (index, (state, count)) in status.schedules.iter().enumerate() {
        cells.push(if index == 0 { ": " } else { ", " }.into());
        cells.push(Cell::toned(tone(*state), format!("{count} {state}")));
    }
    cells
}
