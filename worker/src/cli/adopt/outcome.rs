//! The result of `almanac adopt`, before or after it is applied, and its text.

use std::collections::BTreeMap;

use almanac_base::names::{DefinitionId, Revision, ScheduleId};
use almanac_core::field::Field;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::console::Page;
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

/// The result for people, with the command that confirms it if that is missing.
pub(super) fn text(outcome: &Outcome, confirmed: bool) -> Page {
    let mut page = Page::default();
    for item in &outcome.adoptions {
        let Item {
            id, schedule, from, ..
        } = item;
        let state = match item.state {
            State::Ready | State::Begun if item.error.is_some() => "not taken over",
            State::Ready => "would take over",
            State::Begun => "would go on taking over",
            State::Adopted => "has taken over",
            State::Refused => "cannot take over",
            State::Unreadable => "is left alone, and does not take over",
        };
        page.line(format!("{id}: {schedule} {state} from {from}"));
        if item.state == State::Adopted {
            continue;
        }
        for line in details(item) {
            page.line(format!("  {line}"));
        }
    }
    let open = outcome
        .adoptions
        .iter()
        .any(|item| item.state != State::Adopted);
    if outcome.adoptions.is_empty() {
        page.line("no definition names a schedule to take over from");
    } else if open && !confirmed {
        page.line(format!(
            "to do it, repeat the command with --confirm {}",
            outcome.digest
        ));
    }
    page
}

fn details(item: &Item) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(live) = &item.live {
        if live.paused {
            lines.push(match live.note.trim() {
                "" => "it is paused, and ours will be".to_owned(),
                note => format!("it is paused, and ours will be: {note}"),
            });
        }
        if let Some(left) = live.remaining_actions {
            lines.push(format!("it has {left} actions left"));
        }
        if live.running > 0 {
            lines.push(format!(
                "{} of its runs go on; they are left alone, and ours does not wait for them",
                live.running
            ));
        }
        let what = if item.exists { "held" } else { "made paused" };
        lines.push(format!(
            "ours is {what}, the other paused, ours let go, the other deleted"
        ));
    }
    for (field, [theirs, ours]) in &item.differences {
        lines.push(format!("{field}: {theirs} becomes {ours}"));
    }
    lines
}
