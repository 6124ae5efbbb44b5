//! What adopting would do or did, and how it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use almanac_workflows::names::{DefinitionId, Revision, ScheduleId};
use almanac_workflows::schedule::Field;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// What is to be done, or was.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub digest: String,
    pub done: bool,
    pub adoptions: Vec<Item>,
}

/// One definition that takes over.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub id: DefinitionId,
    pub schedule: ScheduleId,
    pub from: ScheduleId,
    pub state: State,
    /// Why it cannot be, or was not.
    pub error: Option<String>,
    /// Ours exists.
    pub exists: bool,
    /// The live state that ours takes over.
    pub live: Option<LiveState>,
    /// Where the definition says something else than the other schedule.
    pub differences: BTreeMap<Field, [Value; 2]>,
    /// The next moment at which neither runs.
    pub quiet: Option<Timestamp>,
    #[serde(skip)]
    pub jitter: bool,
    #[serde(skip)]
    pub revision: Revision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It can be done.
    Ready,
    /// It was begun before, and goes on.
    Begun,
    /// It is done.
    Adopted,
    /// It cannot be done.
    Refused,
}

#[derive(Debug, Serialize)]
pub(super) struct LiveState {
    pub paused: bool,
    pub note: String,
    pub remaining_actions: Option<u64>,
    pub running: usize,
}

impl Item {
    /// The first reason is the one that is told.
    pub(super) fn refuse(&mut self, why: String) {
        if self.error.is_none() {
            self.state = State::Refused;
            self.error = Some(why);
        }
    }
}

/// The outcome for people; how to confirm it, where it was not.
pub(super) fn text(outcome: &Outcome, confirmed: bool) -> String {
    let mut out = String::new();
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
        };
        writeln!(out, "{id}: {schedule} {state} from {from}").unwrap_or_default();
        if item.state == State::Adopted {
            continue;
        }
        for line in details(item) {
            writeln!(out, "  {line}").unwrap_or_default();
        }
    }
    let open = outcome
        .adoptions
        .iter()
        .any(|item| item.state != State::Adopted);
    if outcome.adoptions.is_empty() {
        out += "no definition names a schedule to take over from\n";
    } else if open && !confirmed {
        writeln!(
            out,
            "to do it, repeat the command with --confirm {}",
            outcome.digest
        )
        .unwrap_or_default();
    }
    out
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
