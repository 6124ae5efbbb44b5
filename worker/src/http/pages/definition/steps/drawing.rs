//! The drawing of steps as SVG, and the same as a list for those who do not see it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::layout::{Fitted, Layout, StepBox, WIDTH};
use super::outline::{Steps, To};
use crate::wording::counted;

/// The runs at a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Words such as `2 runs here, up to 3m old`.
    pub(super) words: String,
    /// Address of a run in Temporal's own UI.
    pub(super) link: Option<String>,
}

/// The runs at each step, by the step's path.
pub(super) type Marks<'a> = BTreeMap<&'a str, Mark>;

/// The drawing. Geometry is in attributes: the pages allow no inline style.
pub(super) fn drawing(layout: &Layout, marks: &Marks<'_>) -> Markup {
    let height = layout.height;
    let (x, y) = layout.end;
    html! {
        svg.steps width=(WIDTH) height=(height) viewBox={ "0 0 " (WIDTH) " " (height) } {
            g aria-hidden="true" {
                @for frame in &layout.frames {
                    rect.step-frame x=(frame.x) y=(frame.y) width=(frame.width) height=(frame.height) {}
                }
                @for line in &layout.lines { path.step-line d=(line) {} }
                @for tip in &layout.tips { path.step-tip d=(tip) {} }
                @for one in &layout.boxes { (step(one, marks.contains_key(one.path.as_str()))) }
                @for note in &layout.notes {
                    text.t.m x=(note.x) y=(note.y) {
                        (title([note.words.whole.as_deref(), note.title.as_deref()]))
                        (note.words.text)
                    }
                }
                circle.step-box cx=(x) cy=(y) r="6" {}
            }
            @for one in &layout.boxes {
                @if let Some(mark) = marks.get(one.path.as_str()) { (runs(one, mark)) }
            }
        }
    }
}

fn step(one: &StepBox, is_on: bool) -> Markup {
    let StepBox {
        x,
        y,
        width,
        height,
        ..
    } = *one;
    let condition = one.condition.as_ref();
    let condition = condition.map(|text| format!("runs only if {text}"));
    let parts = [&one.name, &one.work].map(|part: &Fitted| part.whole.as_deref());
    let dashes = condition.as_ref().map(|_| "4 3");
    let left = x + if one.is_switch { 16 } else { 12 };
    let right = x + width - if one.is_switch { 16 } else { 12 };
    html! {
        g {
            (title([parts[0], parts[1], condition.as_deref()]))
            @if one.is_switch {
                @let (half, side) = (height / 2, width - 20);
                path.step-box.on[is_on] stroke-dasharray=[dashes]
                    d={ "M" (x + 10) " " (y) "h" (side) "l10 " (half) "l-10 " (half) "h-" (side) "l-10 -" (half) "z" } {}
            } @else {
                rect.step-box.on[is_on] x=(x) y=(y) width=(width) height=(height) rx="2" stroke-dasharray=[dashes] {}
            }
            text.t.b x=(left) y=(y + 18) { (one.name.text) }
            text.t.m.end x=(right) y=(y + 18) { (one.work.text) }
        }
    }
}

fn runs(one: &StepBox, mark: &Mark) -> Markup {
    let left = one.x + if one.is_switch { 16 } else { 12 };
    let text = html! {
        text.t.bl x=(left) y=(one.y + 36) { "▶ " (mark.words) }
    };
    html! {
        @match &mark.link {
            Some(address) => a href=(address) rel="noreferrer" aria-label={ (mark.words) ": " (one.name.text) } { (text) },
            None => (text),
        }
    }
}

/// The title of a part of the drawing, which browsers show beside the pointer.
fn title<const N: usize>(parts: [Option<&str>; N]) -> Markup {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    html! {
        @if !parts.is_empty() { title { (parts.join(" · ")) } }
    }
}

/// The steps as a list, with everything that the drawing says.
pub(super) fn list(steps: &Steps, is_outermost: bool, marks: &Marks<'_>) -> Markup {
    html! {
        @if !steps.caption.is_empty() { p { (steps.caption) ":" } }
        ol {
            @for step in &steps.shown {
                li {
                    (step.name) ": " (step.work)
                    @if let Some(condition) = &step.condition { ", only if " (condition) }
                    @if let Some(mark) = marks.get(step.path.as_str()) { " (" (mark.words) ")" }
                    @for exit in &step.exits {
                        "; " (exit.name) @if let Some(when) = &exit.when { " (if " (when) ")" }
                        @if exit.to == To::Next { " goes on with the " } @else { " goes to " }
                        (exit.to.words(is_outermost))
                    }
                    @if step.more_exits > 0 { "; and " (counted(step.more_exits as u64, "more case", "more cases")) }
                    @for list in &step.lists { (self::list(list, false, marks)) }
                    @if step.inside > 0 { "; " (counted(step.inside as u64, "step", "steps")) " inside" }
                }
            }
            @if steps.more > 0 { li { "and " (counted(steps.more as u64, "more step", "more steps")) } }
        }
    }
}
