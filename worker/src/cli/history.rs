//! `almanac history`: prints the history entries that the reconcile workflow remembers, of a
//! schedule or of the whole project, newest first.

use std::process::ExitCode;

use almanac_core::record::{HistoryEntry, HistoryEntryKind};
use anyhow::Context as _;
use jiff::Timestamp;

use super::Remote;
use crate::args::HistoryArgs;
use crate::console::{Cell, Page, Tone};
use crate::time_text::{ago, utc};
use crate::wording::{history_entry, history_entry_of, person_of};

pub(super) async fn run(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let history = remote.reconciler.history(args.id.as_ref()).await;
    let history = history.context("ask the reconcile workflow")?;
    super::print(args.target.format, &history, |history| {
        let what: &dyn std::fmt::Display = match &args.id {
            Some(id) => id,
            None => &args.target.project,
        };
        if history.is_empty() {
            Page::of_line(format!("no history entries of `{what}`"))
        } else {
            text(history, args.id.is_none(), Timestamp::now())
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Two lines for each entry: when, who and what; and why. `is_of_all`: the entries are about
/// several schedules, so each names its own.
fn text(history: &[HistoryEntry], is_of_all: bool, now: Timestamp) -> Page {
    let mut page = Page::default();
    for entry in history {
        let (sign, tone) = match entry.kind {
            HistoryEntryKind::Failed | HistoryEntryKind::Lost => ("✗ ", Tone::Bad),
            HistoryEntryKind::Asked => ("● ", Tone::Caution),
            HistoryEntryKind::Written | HistoryEntryKind::Unknown => ("○ ", Tone::Good),
        };
        let who = person_of(entry).unwrap_or("Almanac");
        let what = if is_of_all {
            history_entry_of(entry)
        } else {
            history_entry(entry)
        };
        page.cells([
            Cell::toned(tone, sign),
            utc(entry.at).into(),
            Cell::toned(Tone::Muted, format!(" ({})", ago(entry.at, now))),
            "  ".into(),
            Cell::toned(Tone::Strong, who),
            format!(" {what}").into(),
        ]);
        let why = Some(entry.reason.as_str()).filter(|reason| !reason.is_empty());
        let pass = Some(entry.pass).filter(|pass| *pass > 0);
        if why.is_none() && pass.is_none() {
            continue;
        }
        let gap = if why.is_some() && pass.is_some() {
            "  "
        } else {
            ""
        };
        page.cells([
            Cell::from("    "),
            why.unwrap_or_default().into(),
            gap.into(),
            pass.map_or_else(Cell::default, |pass| {
                Cell::toned(Tone::Muted, format!("pass {pass}"))
            }),
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
        let shown = text(&history(), false, now).rendered(Medium { colors, width });
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
    fn the_history_of_a_project_names_schedules_and_requests_about_all_of_it() {
        let entry = |kind, id: &str, op: &str, reason: &str| HistoryEntry {
            at: "2026-03-02T11:57:00Z".parse().unwrap(),
            kind,
            id: id.to_owned(),
            op: op.to_owned(),
            reason: reason.to_owned(),
            ..HistoryEntry::default()
        };
        let by_ann = |op: &str, id: &str, reason: &str| HistoryEntry {
            by: "ann@ops".to_owned(),
            ..entry(HistoryEntryKind::Asked, id, op, reason)
        };
        let history = [
            HistoryEntry {
                pass: 9,
                ..by_ann("confirm", "", "the removals with the digest ab12")
            },
            HistoryEntry {
                pass: 8,
                ..by_ann("resume", "", "")
            },
            by_ann("suspend", "", "moving house"),
            HistoryEntry {
                from: Some("2026-01-01".parse().unwrap()),
                to: Some("2026-01-02T06:00:00Z".parse().unwrap()),
                ..by_ann("backfill", "prices", "outage")
            },
            by_ann("trigger", "prices", ""),
            entry(
                HistoryEntryKind::Failed,
                "prices",
                "trigger",
                "the schedule does not exist",
            ),
            HistoryEntry {
                kind: HistoryEntryKind::Failed,
                ..by_ann("backfill", "prices", "the range has no fire times")
            },
            HistoryEntry {
                kind: HistoryEntryKind::Lost,
                ..by_ann("trigger", "prices", "the server was restarted")
            },
            HistoryEntry {
                pass: 7,
                again: 2,
                ..entry(
                    HistoryEntryKind::Failed,
                    "prices",
                    "",
                    "refused by the server",
                )
            },
            HistoryEntry {
                pass: 7,
                ..entry(
                    HistoryEntryKind::Written,
                    "prices",
                    "update",
                    "the definition changed",
                )
            },
        ];
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        let width = Some(120);
        let colors = false;
        let shown = text(&history, true, now).rendered(Medium { colors, width });
        insta::assert_snapshot!(shown, @r"
        ● 2026-03-02 11:57:00Z (3m ago)  ann@ops confirmed removals
            the removals with the digest ab12  pass 9
        ● 2026-03-02 11:57:00Z (3m ago)  ann@ops resumed Almanac
            pass 8
        ● 2026-03-02 11:57:00Z (3m ago)  ann@ops suspended Almanac
            moving house
        ● 2026-03-02 11:57:00Z (3m ago)  ann@ops asked for a backfill of prices from 2026-01-01T00:00:00 to 2026-01-02T06:00:00Z
            outage
        ● 2026-03-02 11:57:00Z (3m ago)  ann@ops asked for a run of prices
        ✗ 2026-03-02 11:57:00Z (3m ago)  Almanac failed to start the run of prices
            the schedule does not exist
        ✗ 2026-03-02 11:57:00Z (3m ago)  Almanac failed to start the backfill of prices that ann@ops asked for
            the range has no fire times
        ✗ 2026-03-02 11:57:00Z (3m ago)  Almanac does not know whether the run of prices that ann@ops asked for has started
            the server was restarted
        ✗ 2026-03-02 11:57:00Z (3m ago)  Almanac failed 3 times in a row with prices
            refused by the server  pass 7
        ○ 2026-03-02 11:57:00Z (3m ago)  Almanac updated the schedule of prices
            the definition changed  pass 7
        ");
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
