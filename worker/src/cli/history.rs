//! `almanac history`: prints the history entries of a schedule that the reconcile workflow
//! remembers.

use std::process::ExitCode;

use almanac_core::record::{HistoryEntry, HistoryEntryKind};
use anyhow::Context as _;

use super::Remote;
use crate::args::HistoryArgs;
use crate::console::{Cell, Page};

pub(super) async fn run(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let history = remote.reconciler.history(&args.id).await;
    let history = history.context("ask the reconcile workflow")?;
    super::show(args.target.format, &history, |history| {
        if history.is_empty() {
            Page::of_line(format!("nothing is remembered of `{}`", args.id))
        } else {
            text(history)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(history: &[HistoryEntry]) -> Page {
    let rows: Vec<[Cell; 4]> = history
        .iter()
        .map(|touch| {
            [
                touch.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                touch.pass.to_string(),
                what(touch),
                why(touch),
            ]
            .map(Cell::from)
        })
        .collect();
    let mut page = Page::default();
    page.table(["TIME", "PASS", "WHAT", "WHY"], &rows);
    page
}

fn what(touch: &HistoryEntry) -> String {
    let op = touch.op.replace('_', "-");
    match touch.kind {
        HistoryEntryKind::Written => {
            let fields: Vec<_> = touch.fields.iter().map(|field| field.as_str()).collect();
            format!("{op} {}", fields.join(", ")).trim_end().to_owned()
        }
        HistoryEntryKind::Asked => format!("asked: {op}"),
        HistoryEntryKind::Failed if touch.again > 0 => format!("failed {} times", touch.again + 1),
        HistoryEntryKind::Failed => "failed".to_owned(),
        HistoryEntryKind::Unknown => format!("unknown to this release: {op}"),
    }
}

fn why(touch: &HistoryEntry) -> String {
    let set = touch.overridden.as_ref().map(|one| {
        let enabled = one.enabled.map(|enabled| format!("enabled={enabled}"));
        let cron = one.cron.iter().flatten().map(|cron| format!("cron={cron}"));
        let zone = one.timezone.iter().map(|zone| format!("timezone={zone}"));
        let until = one.until.map(|until| format!("until {until}"));
        let all: Vec<_> = enabled
            .into_iter()
            .chain(cron)
            .chain(zone)
            .chain(until)
            .collect();
        format!("[{}]", all.join(", "))
    });
    let by = Some(&touch.by).filter(|by| !by.is_empty());
    let by = by.map(|by| format!("(by {by})"));
    let reason = Some(touch.reason.clone()).filter(|reason| !reason.is_empty());
    let all: Vec<_> = [reason, set, by].into_iter().flatten().collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use almanac_core::field::Field;
    use almanac_core::record::Override;

    use super::*;

    #[test]
    fn a_history_reads_from_the_newest_back() {
        let touch = |kind, op: &str, reason: &str| HistoryEntry {
            kind,
            op: op.to_owned(),
            pass: 7,
            reason: reason.to_owned(),
            ..HistoryEntry::default()
        };
        let history = [
            HistoryEntry {
                again: 3,
                ..touch(HistoryEntryKind::Failed, "", "refused by the server")
            },
            HistoryEntry {
                fields: vec![Field::Times, Field::Paused],
                ..touch(HistoryEntryKind::Written, "update", "overridden")
            },
            HistoryEntry {
                by: "ann".to_owned(),
                overridden: Some(Override {
                    enabled: Some(false),
                    cron: Some(vec!["@daily".to_owned()]),
                    ..Override::default()
                }),
                ..touch(HistoryEntryKind::Asked, "override", "disk full")
            },
            touch(HistoryEntryKind::Written, "create", "no such schedule"),
        ];
        insta::assert_snapshot!(text(&history), @r"
        TIME                  PASS  WHAT                  WHY
        1970-01-01 00:00:00Z  7     failed 4 times        refused by the server
        1970-01-01 00:00:00Z  7     update times, paused  overridden
        1970-01-01 00:00:00Z  7     asked: override       disk full [enabled=false, cron=@daily] (by ann)
        1970-01-01 00:00:00Z  7     create                no such schedule
        ");
    }
}
