//! The result of `almanac adopt`, before or after it is applied, and its text.

use std::collections::BTreeMap;
use std::path::Path;

use almanac_base::duration;
use almanac_base::names::{DefinitionId, Revision, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan::value_text;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::args::{ADOPT_WAIT, AdoptArgs, DEFINITIONS};
use crate::console::{Cell, Page, Tone};
use crate::failure::Failure;
use crate::wording::{counted, next_command, project_flag, shell_flag, shell_word};

/// The steps of an adoption, in lines.
const STEPS: [&str; 5] = [
    "Steps of each adoption:",
    "  1. The new schedule is created paused, or is paused if it exists.",
    "  2. The old schedule is paused.",
    "  3. The new schedule is released with the state of the old one.",
    "  4. The old schedule is deleted.",
];

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
    /// `true` if the definition's own schedule already waits, paused, for the adoption.
    #[serde(skip)]
    pub waits: bool,
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

/// The result for people, with the command that confirms it if it needs confirmation.
pub(super) fn text(outcome: &Outcome, args: &AdoptArgs) -> Page {
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
    } else if open && args.confirm.is_none() {
        let is_possible = |item: &Item| matches!(item.state, State::Ready | State::Begun);
        if outcome.adoptions.iter().any(is_possible) {
            page.line("");
            for line in STEPS {
                page.line(line);
            }
        }
        page.line("");
        page.line("To do this, run:");
        next_command(&mut page, confirming(args, &outcome.digest));
    }
    page
}

/// The command line that does what `args` ask for, with the digest that confirms it.
fn confirming(args: &AdoptArgs, digest: &str) -> String {
    let mut command = "almanac adopt".to_owned();
    for id in &args.ids {
        command.push(' ');
        command += &shell_word(id.as_str());
    }
    if let Some(from) = &args.from {
        command += &shell_flag("--from", from.as_str());
    }
    if let Some(project) = &args.from_project {
        command += &shell_flag("--from-project", project.as_str());
    }
    for folder in &args.dir {
        if folder != Path::new(DEFINITIONS) || args.dir.len() > 1 {
            command += &shell_flag("--dir", &folder.to_string_lossy());
        }
    }
    let wait = duration::show(args.wait);
    if wait != ADOPT_WAIT {
        command += &shell_flag("--wait", &wait);
    }
    command += &project_flag(&args.target.project);
    command + &shell_flag("--confirm", digest)
}

fn details(item: &Item, page: &mut Page) {
    let Item { schedule, from, .. } = item;
    if item.state == State::Ready && item.exists && !item.waits && item.error.is_none() {
        page.line(format!("    {schedule} exists, and will be paused first"));
    }
    if let Some(live) = &item.live {
        if live.paused {
            let note = match live.note.trim() {
                "" => String::new(),
                note => format!(" ({note})"),
            };
            page.line(format!(
                "    {from} is paused{note}; the new one will be paused too"
            ));
        }
        if let Some(left) = live.remaining_actions {
            let left = counted(left, "action", "actions");
            page.line(format!(
                "    {from} has {left} left; the new schedule takes over the rest"
            ));
        }
        if live.running > 0 {
            let runs = counted(live.running as u64, "run", "runs");
            page.line(format!(
                "    {from} has {runs} in progress; the new schedule does not wait for them"
            ));
        }
    }
    let widest = item.differences.keys().map(|field| field.as_str().len());
    let widest = widest.max().unwrap_or_default();
    for (field, [before, after]) in &item.differences {
        let name = format!("{field}:");
        let name = format!("    {name:<width$} ", width = widest + 1);
        page.cells([
            Cell::toned(Tone::Muted, name),
            value_text(*field, before).into(),
            Cell::toned(Tone::Muted, " → "),
            Cell::toned(Tone::Strong, value_text(*field, after)),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::args::Cmd;

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
            waits: false,
            jitter: false,
            revision: Revision::of(b"x"),
        }
    }

    fn args(line: &[&str]) -> AdoptArgs {
        let line = ["almanac"].iter().chain(line);
        let line = line.chain(&["--project", "billing"]);
        match crate::args::Cli::try_parse_from(line).unwrap().command {
            Cmd::Adopt(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_confirming_command_repeats_every_flag_and_can_be_pasted() {
        let command = |line: &[&str]| confirming(&args(line), "5f2a");
        assert_eq!(
            command(&[
                "adopt",
                "b",
                "--from",
                "the bank's; rm *",
                "--from-project",
                "old",
                "--dir",
                "a b,c",
                "--wait",
                "90s",
            ]),
            "almanac adopt b --from 'the bank'\\''s; rm *' --from-project old --dir 'a b' --dir c \
             --wait 1m30s --project billing --confirm 5f2a"
        );
        assert_eq!(
            command(&["adopt", "a", "b", "--from=-x", "--dir=definitions"]),
            "almanac adopt a b --from=-x --project billing --confirm 5f2a"
        );
    }

    #[test]
    fn adoptions_are_listed_one_by_one() {
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
        ready.exists = true;
        let mut refused = item("taken", State::Ready);
        refused.refuse("no".to_owned());
        let outcome = Outcome {
            digest: "5f2a".to_owned(),
            done: false,
            adoptions: vec![item("done", State::Adopted), ready, refused],
        };
        let args = args(&["adopt"]);
        for line in text(&outcome, &args).to_string().lines() {
            assert!(almanac_base::text::width(line) <= 80, "{line}");
        }
        insta::assert_snapshot!(text(&outcome, &args), @r#"
        done: schedule-billing-done has taken over from cron-done
        report: schedule-billing-report would take over from cron-report
            schedule-billing-report exists, and will be paused first
            cron-report is paused (the bank is down); the new one will be paused too
            cron-report has 1 action left; the new schedule takes over the rest
            cron-report has 2 runs in progress; the new schedule does not wait for them
            times:          "0 3 * * *" → "30 2 * * *"
            catchup_window: 1h → 6h
        taken: schedule-billing-taken cannot take over from cron-taken

        Steps of each adoption:
          1. The new schedule is created paused, or is paused if it exists.
          2. The old schedule is paused.
          3. The new schedule is released with the state of the old one.
          4. The old schedule is deleted.

        To do this, run:
          → almanac adopt --project billing --confirm 5f2a
        "#);
    }

    #[test]
    fn the_states_of_adoptions_and_their_differences_are_colored() {
        let mut ready = item("report", State::Ready);
        ready.differences =
            BTreeMap::from([(Field::Times, [json!(["0 3 * * *"]), json!(["30 2 * * *"])])]);
        let mut refused = item("taken", State::Ready);
        refused.refuse("no".to_owned());
        let mut failed = item("failed", State::Ready);
        failed.error = Some("refused".to_owned().into());
        let mut unreadable = item("unreadable", State::Ready);
        unreadable.leave("no".to_owned());
        let outcome = Outcome {
            digest: "5f2a".to_owned(),
            done: false,
            adoptions: vec![
                item("done", State::Adopted),
                ready,
                item("begun", State::Begun),
                refused,
                failed,
                unreadable,
            ],
        };
        let args = args(&["adopt"]);
        insta::assert_snapshot!(text(&outcome, &args).in_color(), @r#"
        ESC[1mdoneESC[0m: schedule-billing-done ESC[32mhas taken overESC[0m from cron-done
        ESC[1mreportESC[0m: schedule-billing-report ESC[33mwould take overESC[0m from cron-report
        ESC[2m    times: ESC[0m"0 3 * * *"ESC[2m → ESC[0mESC[1m"30 2 * * *"ESC[0m
        ESC[1mbegunESC[0m: schedule-billing-begun ESC[33mwould continue to take overESC[0m from cron-begun
        ESC[1mtakenESC[0m: schedule-billing-taken ESC[31mcannot take overESC[0m from cron-taken
        ESC[1mfailedESC[0m: schedule-billing-failed ESC[31mhas not taken overESC[0m from cron-failed
        ESC[1munreadableESC[0m: schedule-billing-unreadable ESC[31mstays as it is, and does not take overESC[0m from cron-unreadable

        Steps of each adoption:
          1. The new schedule is created paused, or is paused if it exists.
          2. The old schedule is paused.
          3. The new schedule is released with the state of the old one.
          4. The old schedule is deleted.

        To do this, run:
        ESC[2m  → ESC[0malmanac adopt --project billing --confirm 5f2a
        "#);
    }

    #[test]
    fn steps_are_listed_only_of_what_can_still_be_adopted() {
        let mut refused = item("taken", State::Ready);
        refused.refuse("no".to_owned());
        let outcome = |adoptions| Outcome {
            digest: "5f2a".to_owned(),
            done: false,
            adoptions,
        };
        let lists_steps = |outcome: &Outcome, line: &[&str]| {
            let text = text(outcome, &args(line)).to_string();
            text.contains("Steps of each adoption")
        };
        assert!(!lists_steps(&outcome(vec![refused]), &["adopt"]));
        let open = outcome(vec![item("begun", State::Begun)]);
        assert!(lists_steps(&open, &["adopt"]));
        assert!(!lists_steps(&open, &["adopt", "--confirm", "5f2a"]));
    }
}
