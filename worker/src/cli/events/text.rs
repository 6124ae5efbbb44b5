//! Deliveries as text for people.

use almanac_base::text::json;
use almanac_core::record::{Delivery, DeliveryState, EventKey, TriggeredRun};
use jiff::Timestamp;
use serde_json::Value;

use crate::console::{Cell, Column, Page, Table, Tone};
use crate::event_words::{came, meaning, result, run_of, state};
use crate::time_text::{ago, utc};
use crate::wording::counted;

/// Tone of a state.
const fn tone(state: DeliveryState) -> Tone {
    match state {
        DeliveryState::Started => Tone::Good,
        DeliveryState::Refused | DeliveryState::Dead => Tone::Bad,
        DeliveryState::Waiting => Tone::Caution,
        DeliveryState::Accepted | DeliveryState::NoMatch | DeliveryState::Unknown => Tone::Muted,
    }
}

/// The state as a word of JSON, which `--state` takes.
fn word(state: DeliveryState) -> Cell {
    Cell::toned(tone(state), state.as_str())
}

/// A line for each delivery. `total` is the number of deliveries that match.
pub(super) fn list(
    deliveries: &[Delivery],
    total: u64,
    only: Option<DeliveryState>,
    now: Timestamp,
) -> Page {
    if deliveries.is_empty() {
        return Page::of_line(match only {
            Some(state) => format!("no delivery is `{}`", state.as_str()),
            None => "no event has come to this worker since it started".to_owned(),
        });
    }
    let mut table = Table::new([
        Column::new("DELIVERY"),
        Column::new("TIME"),
        Column::new("STATE"),
        Column::shrinking("TYPE", 12),
        Column::shrinking("CAME BY", 8),
        Column::shrinking("RESULT", 12),
    ]);
    for one in deliveries {
        table.row([
            one.id.clone().into(),
            ago(one.at, now).into(),
            word(one.state),
            one.event.kind.clone().into(),
            came(one).into(),
            outcome_of(one).into(),
        ]);
    }
    let mut page = Page::default();
    page.table(table);
    let shown = deliveries.len() as u64;
    if total > shown {
        page.toned(
            Tone::Muted,
            format!("{shown} of {total} deliveries; --limit lists more"),
        );
    }
    page
}

/// The reason, or the definitions that have runs.
fn outcome_of(delivery: &Delivery) -> String {
    if let Some(reason) = &delivery.reason {
        return reason.clone();
    }
    let names = delivery.runs.iter().map(|run| run.definition.as_str());
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    if delivery.truncated > 0 {
        names.push(format!("{} more", delivery.truncated));
    }
    names.join(", ")
}

/// A delivery with its event.
pub(super) fn show(delivery: &Delivery, event: Option<&Value>, now: Timestamp) -> Page {
    let mut page = Page::default();
    let key = &delivery.event;
    page.cells([
        Cell::toned(tone(delivery.state), "● "),
        Cell::toned(Tone::Strong, key.kind.as_str()),
        "  ".into(),
        Cell::toned(tone(delivery.state), state(delivery.state)),
    ]);
    page.line(format!("  {}", meaning(delivery)));
    let mut facts: Vec<(&str, Cell)> = vec![
        ("Delivery", delivery.id.clone().into()),
        (
            "Arrived",
            format!("{} ({})", utc(delivery.at), ago(delivery.at, now)).into(),
        ),
        ("Came by", came(delivery).into()),
        ("Source", key.source.clone().into()),
        ("Id", key.id.clone().into()),
        ("Size", format!("{} bytes", delivery.bytes).into()),
    ];
    if delivery.attempt > 1 {
        facts.push(("Attempt", delivery.attempt.to_string().into()));
    }
    if let Some(reason) = &delivery.reason {
        facts.push(("Reason", Cell::toned(tone(delivery.state), reason.as_str())));
    }
    page.facts(2, facts);
    heading("Triggers that took it", &mut page);
    if delivery.runs.is_empty() {
        page.line("  none");
    }
    runs(delivery, &mut page);
    heading("Event", &mut page);
    match event {
        Some(event) => {
            let written = format!("{event:#}");
            for line in json(&written).lines() {
                page.line(format!("  {line}"));
            }
        }
        None if !delivery.has_event() => page.line("  none: what arrived is no event"),
        None => page.line("  the worker no longer keeps it"),
    }
    page
}

/// What followed from an event that was sent or replayed. `is_done`: no trigger refused it, and
/// every run could be started.
pub(super) fn outcome(sent: Option<&EventKey>, deliveries: &[Delivery], is_done: bool) -> Page {
    let mut page = Page::default();
    if let Some(sent) = sent {
        page.cells([
            Cell::toned(Tone::Strong, sent.kind.as_str()),
            format!("  id {} of {}", sent.id, sent.source).into(),
        ]);
    }
    for one in deliveries {
        page.cells([
            "  ".into(),
            word(one.state),
            Cell::toned(Tone::Muted, format!("  delivery {}", one.id)),
        ]);
        runs(one, &mut page);
    }
    if deliveries.is_empty() && is_done {
        page.line("  no trigger takes the event: nothing was started");
    }
    page
}

fn runs(delivery: &Delivery, page: &mut Page) {
    for run in &delivery.runs {
        page.cells(line(run));
    }
    if delivery.truncated > 0 {
        let more = counted(delivery.truncated.into(), "more trigger", "more triggers");
        page.line(format!("  and {more}"));
    }
}

fn line(run: &TriggeredRun) -> [Cell; 4] {
    let tone = match &run.result {
        one if one.is_refusal() => Tone::Bad,
        one if one.reason().is_some() => Tone::Caution,
        _ => Tone::Good,
    };
    let workflow = run_of(&run.result).map(|(workflow_id, _)| format!(": {workflow_id}"));
    let reason = run.result.reason().map(|reason| format!(": {reason}"));
    [
        "  ".into(),
        Cell::toned(Tone::Strong, run.definition.as_str()),
        Cell::toned(tone, format!(" {}", result(&run.result))),
        reason.or(workflow).unwrap_or_default().into(),
    ]
}

fn heading(text: &str, page: &mut Page) {
    page.line("");
    page.toned(Tone::Strong, text);
}
