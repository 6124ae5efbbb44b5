//! The result of `almanac adopt`, before or after it is applied, and its text.

use std::collections::BTreeMap;

use almanac_base::names::{DefinitionId, Revision, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan::value_text;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::super::wording::{counted, next_command};
use crate::console::{Cell, Page, Tone};
use crate::failure::Failure;

/// The adoptions of a command, planned or done.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub digest: String,
    pub done: bool,
    pub adoptions: Vec<Item>,
}

/// An adoption by a single definition.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub id: DefinitionId,
    pub schedule: ScheduleId,
    pub from: ScheduleId,
    pub state: State,
    /// Reason why the adoption is refused or has failed.
    pub error: Option<Failure>,
    /// `true` if the definition's own schedule exists.
    pub exists: bool,
    /// The live state of the unmanaged schedule, which the managed schedule takes over.
    pub live: Option<LiveState>,
    /// Fields in which the definition differs from the other schedule, with both values.
    pub differences: BTreeMap<Field, [Value; 2]>,
    /// The next time at which neither schedule starts a run.
    pub quiet: Option<Timestamp>,
    #[serde(skip)]
    pub jitter: bool,
    #[serde(skip)]
    pub revision: Revision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// The adoption can be done.
    Ready,
    /// The adoption was begun before and has not ended.
    Begun,
    /// The adoption is done.
    Adopted,
    /// The adoption cannot be done.
    Refused,
    /// A schedule of the two cannot be described. The other adoptions continue.
    Unreadable,
}

#[derive(Debug, Serialize)]
pub(super) struct LiveState {
    pub paused: bool,
    pub note: String,
    pub remaining_actions: Option<u64>,
    pub running: usize,
}

impl Item {
    /// Marks the adoption as unreadable, since a schedule cannot be described.
    pub(super) fn leave(&mut self, why: String) {
        self.state = State::Unreadable;
        self.error = Some(why.into());
    }

    /// Refuses the adoption, unless it has an error already. The first reason is kept.
    pub(super) fn refuse(&mut self, why: impl Into<Failure>) {
        if self.error.is_none() {
            self.state = State::Refused;
            self.error = Some(why.into());
        }
    }
}

/// The result for people, with the digest that confirms it if that is missing.
pub(super) fn text(outcome: &Outcome, confirmed: bool) -> Page {
    let mut page = Page::default();
    for item in &outcome.adoptions {
        let Item {
            id, schedule, from, ..
        } = item;
        let (tone, state) = match item.state {
            State::Ready | State::Begun if item.error.is_some() => {
                (Tone::Bad, "has not taken over")
            }
            State::Ready => (Tone::Caution, "would take over"),
            State::Begun => (Tone::Caution, "would continue to take over"),
            State::Adopted => (Tone::Good, "has taken over"),
            State::Refused => (Tone::Bad, "cannot take over"),
            State::Unreadable => (Tone::Bad, "stays as it is, and does not take over"),
        };
        page.cells([
            Cell::toned(Tone::Strong, id.to_string()),
            format!(": {schedule} ").into(),
            Cell::toned(tone, state),
            format!(" from {from}").into(),
        ]);
        if item.state != State::Adopted {
            details(item, &mut page);
        }
    }
    let open = outcome
        .adoptions
        .iter()
        .any(|item| item.state != State::Adopted);
    if outcome.adoptions.is_empty() {
        page.line("no definition names a schedule to take over from");
    } else if open && !confirmed {
        page.line("");
        page.line("To do this, repeat the command with:");
        next_command(&mut page, format!("--confirm {}", outcome.digest));
    }
    page
}

fn details(item: &Item, page: &mut Page) {
    let Item { schedule, from, .. } = item;
    if let Some(live) = &item.live {
        if live.paused {
            let note = match live.note.trim() {
                "" => String::new(),
                note => format!(" ({note})"),
            };
            page.line(format!(
                "    {from} is paused{note}; {schedule} will be paused too"
            ));
        }
        if let Some(left) = live.remaining_actions {
            let left = counted(left, "action", "actions");
            page.line(format!(
                "    {from} has {left} left; {schedule} takes over the rest"
            ));
        }
        if live.running > 0 {
            let runs = counted(live.running as u64, "run", "runs");
            page.line(format!(
                "    {from} has {runs} in progress; {schedule} does not wait for their end"
            ));
        }
        let first = if item.exists {
            "is paused"
        } else {
            "is created paused"
        };
        page.line(format!(
            "    steps: {schedule} {first}, {from} is paused, {schedule} is released, {from} is deleted"
        ));
    }
    let widest = item.differences.keys().map(|field| field.as_str().len());
    let widest = widest.max().unwrap_or_default();
    for (field, [theirs, ours]) in &item.differences {
        let name = format!("{field}:");
        let name = format!("    {name:<width$} ", width = widest + 1);
        page.cells([
            Cell::toned(Tone::Muted, name),
            value_text(*field, theirs).into(),
            Cell::toned(Tone::Muted, " → "),
            Cell::toned(Tone::Strong, value_text(*field, ours)),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(id: &str, state: State) -> Item {
        Item {
            id: id.parse().unwrap(),
            schedule: ScheduleId::from_server(format!("schedule-billing-{id}")),
            from: ScheduleId::from_server(format!("cron-{id}")),
            state,
            error: None,
            exists: false,
            live: None,
            differences: BTreeMap::new(),
            quiet: None,
            jitter: false,
            revision: Revision::of(b"x"),
        }
    }

    #[test]
    fn adoptions_are_told_one_by_one() {
        let mut ready = item("report", State::Ready);
        ready.live = Some(LiveState {
            paused: true,
            note: "the bank is down".to_owned(),
            remaining_actions: Some(1),
            running: 2,
        });
        ready.differences = BTreeMap::from([
            (Field::Times, [json!(["0 3 * * *"]), json!(["30 2 * * *"])]),
            (Field::CatchupWindow, [json!("1h"), json!("6h")]),
        ]);
        let mut refused = item("taken", State::Ready);
        refused.refuse("no".to_owned());
        let outcome = Outcome {
            digest: "5f2a".to_owned(),
            done: false,
            adoptions: vec![item("done", State::Adopted), ready, refused],
        };
        insta::assert_snapshot!(text(&outcome, false), @r#"
        done: schedule-billing-done has taken over from cron-done
        report: schedule-billing-report would take over from cron-report
            cron-report is paused (the bank is down); schedule-billing-report will be paused too
            cron-report has 1 action left; schedule-billing-report takes over the rest
            cron-report has 2 runs in progress; schedule-billing-report does not wait for their end
            steps: schedule-billing-report is created paused, cron-report is paused, schedule-billing-report is released, cron-report is deleted
            times:          "0 3 * * *" → "30 2 * * *"
            catchup_window: 1h → 6h
        taken: schedule-billing-taken cannot take over from cron-taken

        To do this, repeat the command with:
          → --confirm 5f2a
        "#);
    }
}
