//! File, last applied and live values side by side, with the one that counts.

use almanac_core::plan::{FieldState, Verdict, value_text};
use maud::{Markup, html};
use serde_json::Value;

use super::super::condition::{Tone, state};
use super::super::glyphs::Glyph;
use super::Subject;

pub(super) fn section(subject: &Subject) -> Markup {
    let fields = subject.detail().map_or(&[][..], |detail| &detail.fields);
    if fields.is_empty() {
        return Markup::default();
    }
    let (differing, agreeing): (Vec<_>, Vec<_>) = fields
        .iter()
        .partition(|one| one.verdict != Verdict::Agrees);
    html! {
        section.sec id="compared" {
            header {
                h2 { "File, last applied, live" }
                span.dim { (differing.len()) " differ, " (agreeing.len()) " agree" }
            }
            @if !differing.is_empty() { (table(&differing)) }
            details {
                summary { "The " (agreeing.len()) " fields that agree" }
                (table(&agreeing))
            }
        }
    }
}

fn table(fields: &[&FieldState]) -> Markup {
    html! {
        table.data.wide {
            thead { tr {
                th { "Field" } th { "File" } th { "Last applied" } th { "Live in Temporal" } th { "Which counts, and why" }
            } }
            tbody {
                @for one in fields {
                    @let (glyph, tone, class, words) = explain(one.verdict);
                    tr.(class) {
                        td.mono data-h="Field" { (one.field) }
                        td.mono data-h="File" { (text(one, &one.file)) }
                        td.mono data-h="Last applied" {
                            @match &one.written {
                                Some(value) => (text(one, value)),
                                None => span.faint title="The schedule keeps only a digest of it" { "another value" },
                            }
                        }
                        td.mono data-h="Live" { (text(one, &one.live)) }
                        td data-h="Counts" {
                            @if one.verdict == Verdict::Agrees { span.faint { (words) } }
                            @else { (state(glyph, tone, "")) (words) }
                        }
                    }
                }
            }
        }
    }
}

fn text(state: &FieldState, value: &Value) -> String {
    value_text(state.field, value)
}

fn explain(verdict: Verdict) -> (Glyph, Tone, &'static str, &'static str) {
    match verdict {
        Verdict::Contested => (
            Glyph::Drift,
            Tone::Amber,
            "warm",
            "Live, for now: someone keeps changing it back",
        ),
        Verdict::Drift => (
            Glyph::Drift,
            Tone::Amber,
            "warm",
            "Live: drift is only reported (--drift=report)",
        ),
        Verdict::Corrected => (
            Glyph::Drift,
            Tone::Amber,
            "warm",
            "File: the next pass writes it back",
        ),
        Verdict::Changed => (
            Glyph::Waiting,
            Tone::Ink,
            "",
            "File: it changed, and the next pass writes it",
        ),
        Verdict::Applied => (Glyph::Waiting, Tone::Ink, "", "The next pass writes it"),
        Verdict::Overridden => (Glyph::Overridden, Tone::Violet, "own", "Override"),
        Verdict::Kept => (
            Glyph::Paused,
            Tone::Ink,
            "",
            "Live: a pause stays until someone ends it",
        ),
        Verdict::Agrees => (Glyph::Check, Tone::Quiet, "", "agree"),
    }
}
