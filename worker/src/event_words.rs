//! Words for deliveries of events and for triggers, the same on pages and on the command line.

use almanac_base::duration::show;
use almanac_base::json_text::JsonText;
use almanac_core::definition::{Again, Definition, Triggers};
use almanac_core::record::{Delivery, DeliveryState, DeliveryVia, TriggerResult};
use almanac_steps::language::{
    After, Deadline, OnConflict, Otherwise, Outcome, Template, Trigger, TriggerInput,
};
use serde_json::Value;

/// The state of a delivery in words.
pub(crate) const fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Accepted => "Accepted",
        DeliveryState::NoMatch => "No match",
        DeliveryState::Started => "Started",
        DeliveryState::Refused => "Refused",
        DeliveryState::Waiting => "Waiting",
        DeliveryState::Dead => "Dead",
        DeliveryState::Unknown => "Not known",
    }
}

/// The meaning of a delivery's state, and what follows from it.
pub(crate) const fn meaning(delivery: &Delivery) -> &'static str {
    match delivery.state {
        DeliveryState::Accepted => "The event is stored. Its triggers have not been evaluated.",
        DeliveryState::NoMatch => "No trigger took the event, so no run was started.",
        DeliveryState::Started => "Every trigger that took the event has a run for it.",
        DeliveryState::Refused => {
            "A trigger or the schema of the event's type refuses the event. \
             The same event would be refused again."
        }
        DeliveryState::Waiting => {
            "A run could not be started. Whoever sent the event sends it again."
        }
        DeliveryState::Dead if !delivery.has_event() => {
            "What arrived is no event. It is not tried again, and there is nothing to replay."
        }
        DeliveryState::Dead => "The event is not tried again. A person can replay it.",
        DeliveryState::Unknown => "A newer release wrote this state.",
    }
}

/// The way by which an event arrived, in words.
pub(crate) const fn via(via: DeliveryVia) -> &'static str {
    match via {
        DeliveryVia::Http => "HTTP",
        DeliveryVia::Webhook => "Webhook",
        DeliveryVia::Nats => "NATS",
        DeliveryVia::Emit => "Emit",
        DeliveryVia::Run => "Run",
        DeliveryVia::Replay => "Replay",
        DeliveryVia::Unknown => "Not known",
    }
}

/// The way by which an event arrived and the name of who delivered it: `Webhook stripe`.
pub(crate) fn came(delivery: &Delivery) -> String {
    let way = via(delivery.via);
    match deliverer(delivery) {
        None => way.to_owned(),
        Some(by) => format!("{way} {by}"),
    }
}

/// The name of who delivered an event. A caller without a name is called by the way: that is no
/// name.
pub(crate) fn deliverer(delivery: &Delivery) -> Option<&str> {
    let by = Some(delivery.by.as_str());
    by.filter(|by| !by.is_empty() && *by != DeliveryVia::Http.as_str())
}

/// The result of a trigger in words that follow its definition.
pub(crate) const fn result(result: &TriggerResult) -> &'static str {
    match result {
        TriggerResult::Started { .. } => "started a run",
        TriggerResult::Existing { .. } => "has a run already",
        TriggerResult::Conflict { .. } => "conflict",
        TriggerResult::Refused { .. } => "refused the event",
        TriggerResult::Failed { .. } => "could not start a run",
    }
}

/// The workflow id and the run id that a result names.
pub(crate) fn run_of(result: &TriggerResult) -> Option<(&str, &str)> {
    match result {
        TriggerResult::Started {
            workflow_id,
            run_id,
        } => Some((workflow_id, run_id)),
        TriggerResult::Existing { workflow_id } | TriggerResult::Conflict { workflow_id, .. } => {
            Some((workflow_id, ""))
        }
        TriggerResult::Refused { .. } | TriggerResult::Failed { .. } => None,
    }
}

/// The effect of an event whose workflow id is taken, in words.
pub(crate) const fn on_conflict(effect: OnConflict) -> &'static str {
    match effect {
        OnConflict::UseExisting => "use_existing: the event starts nothing",
        OnConflict::Fail => "fail: the event is refused",
        OnConflict::TerminateExisting => "terminate_existing: the running run is terminated",
        OnConflict::RetryFailed => "retry_failed: a run that failed is repeated",
    }
}

/// The events that start a definition, as its triggers name them, without repetitions. Triggers
/// that are not enabled take no events.
pub(crate) fn events_of(definition: &Definition) -> Vec<String> {
    let triggers = TriggerWords::all(&definition.triggers).into_iter();
    let mut events: Vec<_> = triggers
        .filter(|one| definition.enabled && one.enabled)
        .map(|one| one.event)
        .collect();
    events.sort();
    events.dedup();
    events
}

/// The type of the events that a trigger takes, or the attributes that an event must have, or the
/// runs that must end.
fn event_of(trigger: &Trigger) -> String {
    if let Some(after) = &trigger.after {
        return after_words(after);
    }
    let filters: Vec<_> = trigger.filters.iter().map(|one| filter(one)).collect();
    if filters.is_empty() {
        "any event".to_owned()
    } else {
        filters.join(" or ")
    }
}

/// The runs that must end: `after extract completed, within 2h, otherwise run`.
fn after_words(after: &After) -> String {
    let end = match after.outcome {
        Outcome::Completed => "completed",
        Outcome::Failed => "failed",
        Outcome::Any => "ended",
    };
    let within = match after.deadline {
        None => String::new(),
        Some(Deadline { within, otherwise }) => {
            let within = show(within);
            match otherwise {
                Otherwise::Skip => format!(", within {within}"),
                Otherwise::Run | Otherwise::Fail => {
                    format!(", within {within}, otherwise {}", otherwise.as_str())
                }
            }
        }
    };
    format!("after {} {end}{within}", after.definition)
}

/// A trigger as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TriggerWords {
    /// The type of the events, the attributes that an event must have, or the runs that must end.
    pub(crate) event: String,
    /// The condition on the event.
    pub(crate) when: Option<String>,
    /// The input of the run.
    pub(crate) input: String,
    /// The last part of the run's workflow id.
    pub(crate) workflow_id: String,
    /// Effect of an event whose workflow id is taken.
    pub(crate) on_conflict: &'static str,
    pub(crate) enabled: bool,
}

impl TriggerWords {
    /// The words of all triggers of a definition.
    pub(crate) fn all(triggers: &Triggers) -> Vec<Self> {
        let again = triggers.again.as_ref().map(Self::again);
        triggers.list.iter().map(Self::of).chain(again).collect()
    }

    /// The words of a start after the definition's own last run.
    fn again(again: &Again) -> Self {
        let input = again
            .input
            .as_ref()
            .map(JsonText::value)
            .unwrap_or_default();
        Self {
            event: format!("{} after its last run ended", show(again.delay)),
            when: None,
            input: input.to_string(),
            workflow_id: "of the last run's id".to_owned(),
            on_conflict: on_conflict(OnConflict::UseExisting),
            enabled: again.enabled,
        }
    }

    /// The words of a trigger.
    fn of(trigger: &Trigger) -> Self {
        Self {
            event: event_of(trigger),
            when: trigger.when.as_ref().map(|when| when.text().to_owned()),
            input: match &trigger.input {
                TriggerInput::Data => "the event's data".to_owned(),
                TriggerInput::List { envelope: true } => "a list with the event".to_owned(),
                TriggerInput::List { envelope: false } => "a list with the event's data".to_owned(),
                TriggerInput::Made(template) => written(template),
            },
            workflow_id: match &trigger.workflow_id {
                Some(template) => written(template),
                None => "of the event's source and id".to_owned(),
            },
            on_conflict: on_conflict(trigger.on_conflict),
            enabled: trigger.enabled,
        }
    }
}

/// The attributes that an event must have. A type alone stands for itself.
fn filter(wanted: &[(String, Template)]) -> String {
    if let [(name, Template::Literal(Value::String(kind)))] = wanted
        && name == "type"
    {
        return kind.clone();
    }
    let parts = wanted.iter();
    let parts: Vec<_> = parts
        .map(|(name, wanted)| format!("{name}: {}", written(wanted)))
        .collect();
    parts.join(", ")
}

/// A text as it is, other data as JSON, and expressions in `${ … }`.
fn written(template: &Template) -> String {
    match data(template) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn data(template: &Template) -> Value {
    match template {
        Template::Literal(value) => value.clone(),
        Template::Expression(expression) => format!("${{ {} }}", expression.text()).into(),
        Template::List(items) => items.iter().map(data).collect(),
        Template::Map(entries) => {
            let entries = entries.iter();
            entries
                .map(|(key, value)| (key.clone(), data(value)))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_steps::language::{parse_schedule_on, parse_triggers};
    use serde_json::json;

    use super::*;

    fn words(triggers: &Value) -> Vec<TriggerWords> {
        let read = parse_triggers(triggers).unwrap();
        read.triggers.iter().map(TriggerWords::of).collect()
    }

    #[test]
    fn a_trigger_is_shown_as_it_is_written() {
        let shown = words(&json!([
            { "event": "com.shop.paid" },
            {
                "event": "com.shop.paid",
                "when": ".data.amount > 9",
                "input": { "order": "${ .data.id }", "list": [1, "${ .id }"] },
                "workflow_id": "${ .data.id }",
                "on_conflict": "terminate_existing",
                "enabled": false,
            },
        ]));
        assert_eq!(
            shown,
            [
                TriggerWords {
                    event: "com.shop.paid".to_owned(),
                    when: None,
                    input: "the event's data".to_owned(),
                    workflow_id: "of the event's source and id".to_owned(),
                    on_conflict: "use_existing: the event starts nothing",
                    enabled: true,
                },
                TriggerWords {
                    event: "com.shop.paid".to_owned(),
                    when: Some(".data.amount > 9".to_owned()),
                    input: r#"{"list":[1,"${ .id }"],"order":"${ .data.id }"}"#.to_owned(),
                    workflow_id: "${ .data.id }".to_owned(),
                    on_conflict: "terminate_existing: the running run is terminated",
                    enabled: false,
                },
            ]
        );
    }

    #[test]
    fn a_trigger_after_runs_is_shown_in_words() {
        let shown = words(&json!([
            { "after": "extract" },
            { "after": "extract", "outcome": "failed", "within": "90m" },
            { "after": "extract", "outcome": "any", "within": "2h", "else": "run" },
            { "after": "extract", "within": "1s", "else": "fail" },
        ]));
        let events: Vec<_> = shown.iter().map(|one| one.event.as_str()).collect();
        assert_eq!(
            events,
            [
                "after extract completed",
                "after extract failed, within 1h30m",
                "after extract ended, within 2h, otherwise run",
                "after extract completed, within 1s, otherwise fail",
            ]
        );
        let again = Triggers {
            again: Some(Again {
                delay: std::time::Duration::from_mins(10),
                input: None,
                enabled: false,
            }),
            ..Triggers::default()
        };
        let [again] = &TriggerWords::all(&again)[..] else {
            panic!("one trigger");
        };
        assert_eq!(again.event, "10m after its last run ended");
        assert_eq!((again.input.as_str(), again.enabled), ("null", false));
    }

    #[test]
    fn the_filters_of_a_schedule_are_shown_with_their_attributes() {
        let on = json!({
            "on": { "any": [
                { "with": { "type": "a" } },
                { "with": { "source": "${ startswith(\"/shop\") }", "type": "b" } },
            ] },
        });
        let read = parse_schedule_on(&on).unwrap();
        let shown = TriggerWords::of(&read.triggers[0]);
        assert_eq!(
            shown.event,
            "a or source: ${ startswith(\"/shop\") }, type: b"
        );
        assert_eq!(shown.input, "a list with the event's data");
    }
}
