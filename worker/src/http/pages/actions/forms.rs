//! The forms of the actions.

use almanac_activities::schedules::view::ScheduleDetail;
use almanac_base::names::DefinitionId;
use maud::{Markup, html};

use super::super::condition::run_status;
use super::super::frame::Frame;
use super::super::links;
use super::super::times::Times;
use super::{Action, Fields};
use crate::backend::BackfillTimes;
use crate::wording::counted;

/// The overlap policies, with their effect while another run is running.
const OVERLAP: [(&str, &str); 7] = [
    ("", "as the schedule says"),
    ("skip", "skip: start nothing"),
    ("buffer_one", "buffer_one: start when the present run ends"),
    ("buffer_all", "buffer_all: start all, one after the other"),
    ("cancel_other", "cancel_other: cancel the present run first"),
    (
        "terminate_other",
        "terminate_other: terminate the present run first",
    ),
    ("allow_all", "allow_all: start beside the present run"),
];

/// The page with the form of an action. `error` is the mistake in the fields.
pub(super) fn page(
    id: &str,
    action: Action,
    detail: &ScheduleDetail,
    fields: &Fields,
    error: Option<&str>,
    frame: &Frame,
) -> Markup {
    let view = &detail.view;
    let at = links::definition(id);
    html! {
        div.head {
            div {
                p.crumb { a.link href="/" { "Schedules" } " / " a.link href=(at) { (id) } }
                h1 { (action.words()) " " (id) }
                p.lede { (effect(action, detail, &frame.times)) }
            }
        }
        @if let Some(error) = error {
            div.notice.red role="alert" id="error" { span.say { (error) } }
        }
        form.form method="post" action={ (at) "/" (action.as_str()) } aria-describedby=[error.map(|_| "error")] {
            (frame.token.fields())
            (inputs(action, view.timezone.as_str(), fields))
            div.btns {
                button.main { @if action == Action::Backfill { "Show the runs…" } @else { (action.words()) } }
                a.btn href=(at) { "Cancel" }
            }
            @if !frame.caller.may_operate() {
                p.red { "Your login may only read: the scope `almanac:operate` is missing." }
            }
        }
    }
}

/// The fields of an action. `timezone` is the schedule's.
pub(super) fn inputs(action: Action, timezone: &str, fields: &Fields) -> Markup {
    html! {
        @match action {
            Action::Pause => {
                (reason(fields, true, "Shown to everyone who looks at the schedule."))
                (duration(fields, "Empty: until someone unpauses it."))
            },
            Action::Unpause => (reason(fields, false, "Recorded in the history.")),
            Action::Clear => p.help { "The values of the file are in force again." },
            Action::Override => {
                (text("cron", "Cron", &fields.cron, "Empty: as in the file. Several lines: several times.", true))
                (text("timezone", "Time zone", &fields.timezone, "IANA name, such as Europe/Berlin. Empty: as in the file.", false))
                (select("enabled", "Enabled", &fields.enabled, &[("", "as in the file"), ("true", "yes: it fires"), ("false", "no: it is paused")]))
                (duration(fields, "Empty: until it is cleared, or the file changes what it overrides."))
                (reason(fields, true, "Shown to everyone who looks at the schedule."))
            },
            Action::Trigger => {
                (select("overlap", "If another run is running", &fields.overlap, &OVERLAP))
                (reason(fields, false, "Recorded with the run."))
            },
            Action::Backfill => {
                @let help = format!("A date or a date and a time in {timezone}, or with an offset: 2026-03-01, 2026-03-01T06:00, 2026-03-01T06:00:00Z.");
                (text("from", "From", &fields.from, &help, false))
                (text("to", "To, which is not part of it", &fields.to, "", false))
                (select("overlap", "If another run is running", &fields.overlap, &OVERLAP))
                (text("limit", "At most this many runs", &fields.limit, "Empty: 100.", false))
                (reason(fields, false, "Recorded with the runs."))
            },
        }
    }
}

/// Says what the action does, and what is the case now.
fn effect(action: Action, detail: &ScheduleDetail, times: &Times) -> Markup {
    let view = &detail.view;
    html! {
        @match action {
            Action::Pause => {
                "The schedule starts nothing until someone unpauses it. Runs that have begun go on."
                @if let Some(next) = view.next_run { " The next run is due " (times.relative(next, &view.timezone)) "." }
                @if view.paused { " It is paused already: " (view.note) }
            },
            Action::Unpause => {
                "The schedule fires again. Runs that were due while it was paused do not start."
                @if view.paused { " It was paused with: " q { (view.reason.as_deref().unwrap_or("no reason")) } }
                @else { " It is not paused." }
            },
            Action::Override => "Other values than the file's are in force for a while. The file stays as it is.",
            Action::Clear => {
                @match &view.overridden {
                    Some(set) => { "Ends the override of " (set.by) ": " q { (set.reason) } },
                    None => "There is no override.",
                }
            },
            Action::Trigger => {
                "One run starts now, with the schedule's own input."
                @if let Some(run) = &view.last_run { " Last run: " (run_status(run.status.as_deref())) " " (times.relative(run.at, &view.timezone)) }
            },
            Action::Backfill => "Runs start for the times of the schedule in a range of the past. You see their list first.",
        }
    }
}

/// The times of a backfill, with the form that starts them.
pub(super) fn backfill_list(
    definition: &DefinitionId,
    fields: &Fields,
    times: Option<&BackfillTimes>,
    frame: &Frame,
) -> Markup {
    let at = links::definition(definition.as_str());
    html! {
        div.head { div {
            p.crumb { a.link href="/" { "Schedules" } " / " a.link href=(at) { (definition) } }
            h1 { "Backfill " (definition) }
            p.lede {
                @match times {
                    Some(times) => {
                        (counted(times.count, "run", "runs")) " would start: from "
                        (frame.times.absolute(times.first, &times.timezone)) " to "
                        (frame.times.absolute(times.last, &times.timezone)) " (" (times.timezone) ")."
                    },
                    None => "The schedule has no time in this range. Nothing would start.",
                }
            }
        } }
        @if let Some(times) = times {
            ol.ids.times {
                @for time in &times.listed { li { time datetime=(time) { (Times::full(*time, &times.timezone)) } } }
                @let more = times.count.saturating_sub(times.listed.len() as u64);
                @if more > 0 { li { "and " (more) " more" } }
            }
        }
        form.form method="post" action={ (at) "/backfill" } {
            (frame.token.fields())
            (hidden_backfill(fields))
            div.btns {
                @if let Some(times) = times { button.main { "Start " (counted(times.count, "run", "runs")) } }
                a.btn href={ (at) "/backfill" } { "Change the range" }
                a.btn href=(at) { "Cancel" }
            }
        }
    }
}

/// The fields of a backfill whose runs have been shown.
pub(super) fn hidden_backfill(fields: &Fields) -> Markup {
    html! {
        @for (name, value) in [
            ("from", &fields.from), ("to", &fields.to), ("overlap", &fields.overlap),
            ("limit", &fields.limit), ("reason", &fields.reason),
        ] {
            input type="hidden" name=(name) value=(value);
        }
        input type="hidden" name="confirmed" value="true";
    }
}

fn reason(fields: &Fields, required: bool, help: &str) -> Markup {
    html! {
        div.field {
            label for="reason" { "Reason" @if !required { span.faint { " (optional)" } } }
            input id="reason" name="reason" type="text" value=(fields.reason) required[required]
                maxlength="480" aria-describedby="help-reason" autocomplete="off";
            span.help id="help-reason" { (help) }
        }
    }
}

fn duration(fields: &Fields, help: &str) -> Markup {
    html! {
        div.field {
            label for="for" { "For" span.faint { " (optional)" } }
            input id="for" name="for" type="text" value=(fields.duration) placeholder="2h, 3d, 1w"
                maxlength="40" aria-describedby="help-for" autocomplete="off";
            span.help id="help-for" { (help) }
        }
    }
}

fn text(name: &str, title: &str, value: &str, help: &str, is_long: bool) -> Markup {
    html! {
        div.field {
            label for=(name) { (title) }
            @if is_long {
                textarea.mono id=(name) name=(name) rows="3" aria-describedby={ "help-" (name) } spellcheck="false" { (value) }
            } @else {
                input.mono id=(name) name=(name) type="text" value=(value) aria-describedby={ "help-" (name) }
                    autocomplete="off" spellcheck="false";
            }
            span.help id={ "help-" (name) } { (help) }
        }
    }
}

fn select(name: &str, title: &str, value: &str, choices: &[(&str, &str)]) -> Markup {
    html! {
        div.field {
            label for=(name) { (title) }
            select id=(name) name=(name) {
                @for (choice, words) in choices {
                    option value=(choice) selected[*choice == value] { (words) }
                }
            }
        }
    }
}
