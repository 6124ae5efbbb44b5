//! The page of a project without definitions: the first definition, line by line.

use maud::{Markup, html};

/// The lines of the first definition, each with its meaning.
const LINES: [(&str, &str, &str); 6] = [
    (
        "id",
        "hello",
        "the definition's name; its schedule is called schedule-PROJECT-hello",
    ),
    (
        "schedule",
        "",
        "when it runs; leave this out, and it runs only on demand",
    ),
    (
        "  cron",
        "\"30 8 * * MON-FRI\"",
        "at 08:30 from Monday to Friday",
    ),
    (
        "  timezone",
        "Europe/Berlin",
        "the clock that this time is read from; UTC if left out",
    ),
    (
        "do",
        "",
        "the steps of a run; or `workflow:`, to start a workflow of your own worker",
    ),
    (
        "  - greet",
        "{ set: { said: hello } }",
        "the first step: its result is the run's result",
    ),
];

/// The page. `folders` are the folders that are watched.
pub(super) fn welcome(folders: &[String]) -> Markup {
    html! {
        div.begin {
            h1 { "Write the first definition" }
            p.lede {
                "Save these six lines as " span.mono.file { "hello.yaml" } " in "
                @for (place, folder) in folders.iter().enumerate() {
                    @if place > 0 { " or " }
                    span.mono.file { (folder) }
                }
                ". Its schedule appears here a moment later."
            }
            ol.six {
                @for (number, (key, value, meaning)) in (1..).zip(LINES) {
                    li {
                        code { i { (number) } span.k { (key) } ":" @if !value.is_empty() { " " span.s { (value) } } }
                        span.say { (meaning) }
                    }
                }
            }
            div.then {
                div { h2 { "Check it" } p { "Finds mistakes before you save." }
                    span.mono { "almanac validate" } }
                div { h2 { "See what a save would do" } p { "Lists every change, and writes nothing." }
                    span.mono { "almanac plan" } }
                div { h2 { "Take over what exists" } p { "Writes definitions of schedules that Temporal already has." }
                    span.mono { "almanac import" } }
            }
        }
    }
}
