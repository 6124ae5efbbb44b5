//! `almanac history`: prints the history entries of a schedule that the reconcile workflow
//! remembers, newest first.

use std::process::ExitCode;

use almanac_core::record::{HistoryEntry, HistoryEntryKind};
use anyhow::Context as _;
use jiff::Timestamp;

use super::Remote;
use crate::args::HistoryArgs;
use crate::console::{Cell, Page, Tone};
use crate::time_text::{ago, utc};
use crate::wording::history_entry;

pub(super) async fn run(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let history = remote.reconciler.history(&args.id).await;
    let history = history.context("ask the reconcile workflow")?;
    super::print(args.target.format, &history, |history| {
        if history.is_empty() {
            Page::of_line(format!("no history entries of `{}`", args.id))
        } else {
            text(history, Timestamp::now())
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Two lines for each entry: when, who and what; and why.
fn text(history: &[HistoryEntry], now: Timestamp) -> Page {
    let mut page = Page::default();
    for entry in history {
        let (sign, tone) = match entry.kind {
            HistoryEntryKind::Failed => ("✗ ", Tone::Bad),
            HistoryEntryKind::Asked => ("● ", Tone::Caution),
            HistoryEntryKind::Written | HistoryEntryKind::Unknown => ("○ ", Tone::Good),
        };
        let who = if entry.by.is_empty() {
            "Almanac"
        } else {
            entry.by.as_str()
        };
        page.cells([
            Cell::toned(tone, sign),
            utc(entry.at).into(),
            Cell::toned(Tone::Muted, format!(" ({})", ago(entry.at, now))),
            "  ".into(),
            Cell::toned(Tone::Strong, who),
            format!(" {}", history_entry(entry)).into(),
        ]);
        let why = Some(entry.reason.as_str()).filter(|reason| !reason.is_empty());
        page.cells([
            Cell::from("    "),
            why.map_or_else(Cell::default, |why| format!("{why}  ").into()),
            Cell::toned(Tone::Muted, format!("pass {}", entry.pass)),
        ]);
    }
    page
}

#[cfg(test)]
mod tests {
    use almanac_core::field::Field;
    use almanac_core::record::Override;

    use super::*;
    use crate::console::Medium;

    fn history() -> [HistoryEntry; 5] {
        let entry = |kind, op: &str, reason: &str| HistoryEntry {
            at: "2026-03-02T11:57:00.123456789Z".parse().unwrap(),
            kind,
            op: op.to_owned(),
            pass: 7,
            reason: reason.to_owned(),
            ..HistoryEntry::default()
        };
        [
            HistoryEntry {
                again: 3,
                ..entry(HistoryEntryKind::Failed, "", "refused by the server")
            },
            HistoryEntry {
                fields: vec![Field::Times, Field::Paused],
                ..entry(HistoryEntryKind::Written, "update", "overridden")
            },
            HistoryEntry {
                by: "ann@ops".to_owned(),
                overridden: Some(Override {
                    enabled: Some(false),
                    cron: Some(vec!["@daily".to_owned()]),
                    until: Some("2026-03-02T14:00:00.5Z".parse().unwrap()),
                    ..Override::default()
                }),
                ..entry(HistoryEntryKind::Asked, "override", "disk full\nforged")
            },
            entry(
                HistoryEntryKind::Written,
                "create",
                "the schedule does not exist",
            ),
            entry(HistoryEntryKind::Unknown, "lift_off", ""),
        ]
    }

    fn shown(colors: bool) -> String {
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        let width = Some(80);
        let shown = text(&history(), now).rendered(Medium { colors, width });
        shown.replace('\u{1b}', "ESC")
    }

    #[test]
    fn a_history_reads_from_the_newest_entry_back() {
        insta::assert_snapshot!(shown(false), @r#"
        ✗ 2026-03-02 11:57:00Z (2m ago)  Almanac failed 4 times in a row
            refused by the server  pass 7
        ○ 2026-03-02 11:57:00Z (2m ago)  Almanac updated the schedule: times, paused
            overridden  pass 7
        ● 2026-03-02 11:57:00Z (2m ago)  ann@ops asked for an override: paused, cron "@daily" until 2026-03-02 14:00:00Z
            disk full\nforged  pass 7
        ○ 2026-03-02 11:57:00Z (2m ago)  Almanac created the schedule
            the schedule does not exist  pass 7
        ○ 2026-03-02 11:57:00Z (2m ago)  Almanac did `lift-off`, which this release does not know
            pass 7
        "#);
    }

    #[test]
    fn failures_and_requests_of_people_are_colored() {
        insta::assert_snapshot!(shown(true), @r#"
        ESC[31m✗ ESC[0m2026-03-02 11:57:00ZESC[2m (2m ago)ESC[0m  ESC[1mAlmanacESC[0m failed 4 times in a row
            refused by the server  ESC[2mpass 7ESC[0m
        ESC[32m○ ESC[0m2026-03-02 11:57:00ZESC[2m (2m ago)ESC[0m  ESC[1mAlmanacESC[0m updated the schedule: times, paused
            overridden  ESC[2mpass 7ESC[0m
        ESC[33m● ESC[0m2026-03-02 11:57:00ZESC[2m (2m ago)ESC[0m  ESC[1mann@opsESC[0m asked for an override: paused, cron "@daily" until 2026-03-02 14:00:00Z
            disk full\nforged  ESC[2mpass 7ESC[0m
        ESC[32m○ ESC[0m2026-03-02 11:57:00ZESC[2m (2m ago)ESC[0m  ESC[1mAlmanacESC[0m created the schedule
            the schedule does not exist  ESC[2mpass 7ESC[0m
        ESC[32m○ ESC[0m2026-03-02 11:57:00ZESC[2m (2m ago)ESC[0m  ESC[1mAlmanacESC[0m did `lift-off`, which this release does not know
            ESC[2mpass 7ESC[0m
        "#);
    }
}
