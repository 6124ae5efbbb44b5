//! Reader of triggers, and of the schemas of event types.

use almanac_base::duration;
use almanac_base::names::DefinitionId;
use almanac_base::text::quoted;
use almanac_events::{RUN_EVENTS, RUN_LATE, is_run_event};
use serde_json::Value;

use super::reader::{At, Object, Problem, Reader, Target};
use super::shapes::{START_EVENTS, START_FILTER, TRIGGER};
use super::{
    After, Deadline, JsonSchema, OnConflict, Otherwise, Outcome, Stage, Template, Trigger,
    TriggerFilter, TriggerInput,
};

/// Maximum number of triggers of a definition.
pub const TRIGGERS_LIMIT: usize = 50;
/// Maximum length of the type of an event, in bytes.
pub const EVENT_TYPE_LIMIT: usize = 256;

/// Returns what is wrong with a text that states a type of events, to follow the name of its key.
pub fn bad_event_type(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("is empty".to_owned())
    } else if text.len() > EVENT_TYPE_LIMIT {
        let length = text.len();
        Some(format!(
            "has {length} bytes, over the limit of {EVENT_TYPE_LIMIT}"
        ))
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let text = quoted(text);
        Some(format!("must be a type without spaces, not {text}"))
    } else {
        None
    }
}

/// Triggers of a definition, and the warnings about them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadTriggers {
    /// Triggers, in the order of the document.
    pub triggers: Vec<Trigger>,
    /// Warnings about triggers that are valid but probably not intended.
    pub warnings: Vec<Problem>,
}

/// Reads the value of a document's `triggers`.
///
/// Returns all problems, in no particular order.
pub fn parse_triggers(value: &Value) -> Result<ReadTriggers, Vec<Problem>> {
    let mut reader = Reader::default();
    let nothing = Value::Null;
    let root = At::root(&nothing);
    let triggers = reader.triggers(&root.key("triggers", value));
    finish(reader, triggers)
}

/// Reads `on` and `read` of a document's `schedule`, in the specification's form.
///
/// Returns all problems, in no particular order.
pub fn parse_schedule_on(schedule: &Value) -> Result<ReadTriggers, Vec<Problem>> {
    let mut reader = Reader::default();
    let nothing = Value::Null;
    let root = At::root(&nothing);
    let triggers = reader.schedule_on(&root.key("schedule", schedule));
    finish(reader, triggers.map(|trigger| vec![trigger]))
}

/// Reads the schema of an event type's data, at the key `schema` of its document.
pub fn parse_event_schema(value: &Value) -> Result<JsonSchema, Vec<Problem>> {
    let mut reader = Reader::default();
    let nothing = Value::Null;
    let root = At::root(&nothing);
    let schema = reader.json_schema(&root.key("schema", value));
    schema.ok_or(reader.problems)
}

fn finish(reader: Reader, triggers: Option<Vec<Trigger>>) -> Result<ReadTriggers, Vec<Problem>> {
    match triggers {
        Some(triggers) if reader.problems.is_empty() => Ok(ReadTriggers {
            triggers,
            warnings: reader.warnings,
        }),
        _ => Err(reader.problems),
    }
}

impl Reader {
    fn triggers(&mut self, at: &At<'_>) -> Option<Vec<Trigger>> {
        let items = self.list(at, "a list of triggers")?;
        if items.is_empty() {
            self.wrong(at, "has no triggers");
            return None;
        }
        if items.len() > TRIGGERS_LIMIT {
            let what = format!(
                "has {} triggers, over the limit of {TRIGGERS_LIMIT}",
                items.len()
            );
            self.wrong(at, &what);
            return None;
        }
        let triggers: Vec<Option<Trigger>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.trigger(&at.item(index, item)))
            .collect();
        triggers.into_iter().collect()
    }

    fn trigger(&mut self, at: &At<'_>) -> Option<Trigger> {
        let object = self.object(at, &TRIGGER)?;
        let (filters, after) = match (object.has("event"), object.has("after")) {
            (false, true) => {
                let after = self.after(&object);
                (after.as_ref().map(ends), after.map(Some))
            }
            (true, false) => {
                self.without_after(&object);
                let event = object.get("event").and_then(|at| self.event_type(&at));
                let wanted = event.map(|event| vec![vec![attribute("type", &event)]]);
                (wanted, Some(None))
            }
            _ => {
                let message = format!("{} must have one of `event` and `after`", at.shown());
                self.problem(at, Target::Key, message);
                (None, None)
            }
        };
        let when = self.optional(&object, "when", |reader, at| {
            reader.condition(at, Stage::Event)
        });
        let input = self.optional(&object, "input", |reader, at| {
            reader.transform(at, Stage::Event)
        });
        let workflow_id = self.optional(&object, "workflow_id", Self::id_template);
        let on_conflict = self.optional(&object, "on_conflict", |reader, at| {
            reader.choice(at, &OnConflict::NAMES)
        });
        let enabled = self.optional(&object, "enabled", Self::boolean);
        if let (Some(OnConflict::Fail | OnConflict::TerminateExisting), Some(at)) =
            (on_conflict.flatten(), object.get("on_conflict"))
            && !object.has("workflow_id")
        {
            self.warn_of_key(
                &at,
                "has no effect without `workflow_id`",
                "each event has a workflow id of its own unless `workflow_id` gives several \
                 events the same one",
            );
        }
        Some(Trigger {
            filters: filters?,
            when: when?,
            input: input?.map_or(TriggerInput::Data, TriggerInput::Made),
            workflow_id: workflow_id?,
            on_conflict: on_conflict?.unwrap_or_default(),
            enabled: enabled?.unwrap_or(true),
            after: after?,
        })
    }

    /// Reads `after` and the keys that belong to it.
    fn after(&mut self, object: &Object<'_>) -> Option<After> {
        let definition = object.get("after").and_then(|at| self.definition_id(&at));
        let outcome = self.optional(object, "outcome", |reader, at| {
            reader.choice(at, &Outcome::NAMES)
        });
        let within = self.optional(object, "within", |reader, at| {
            let within = reader.second_or_more(at)?;
            if within.subsec_nanos() != 0 {
                reader.wrong(at, "must be whole seconds");
                return None;
            }
            Some(within)
        });
        let otherwise = self.optional(object, "else", |reader, at| {
            reader.choice(at, &Otherwise::NAMES)
        });
        if let Some(at) = object.get("else").filter(|_| !object.has("within")) {
            let message = format!("{} needs `within`", at.shown());
            self.problem(&at, Target::Key, message);
        }
        let otherwise = otherwise?.unwrap_or_default();
        Some(After {
            definition: definition?,
            outcome: outcome?.unwrap_or_default(),
            deadline: within?.map(|within| Deadline { within, otherwise }),
        })
    }

    /// Reports keys that only `after` has.
    fn without_after(&mut self, object: &Object<'_>) {
        for key in ["outcome", "within", "else"] {
            if let Some(at) = object.get(key) {
                let message = format!("{} needs `after`", at.shown());
                self.problem(&at, Target::Key, message);
            }
        }
    }

    /// Reads the id of a definition.
    fn definition_id(&mut self, at: &At<'_>) -> Option<DefinitionId> {
        let text = self.text(at)?;
        if let Ok(id) = text.parse() {
            return Some(id);
        }
        let what = format!("must be the id of a definition, not {}", quoted(text));
        if duration::parse(text).is_ok() {
            let hint = "to start the definition again some time after its own run, write \
                        `schedule: { after: PT1H }`";
            self.wrong_with_hint(at, &what, hint);
        } else {
            self.wrong(at, &what);
        }
        None
    }

    /// Reads the type of an event.
    fn event_type(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?;
        if text.contains("${") {
            self.wrong_with_hint(
                at,
                "must be the type of the events, not an expression",
                "write conditions on the event into `when`",
            );
            return None;
        }
        if let Some(what) = bad_event_type(text) {
            self.wrong(at, &what);
            return None;
        }
        if is_run_event(text) && !RUN_EVENTS.contains(&text) {
            let what = format!("{} is no type of events about runs", quoted(text));
            self.wrong_with_hint(
                at,
                &what,
                format!("the types are {}", RUN_EVENTS.join(", ")),
            );
            return None;
        }
        Some(text.to_owned())
    }

    /// Reads the last part of a workflow id, which should depend on the event.
    fn id_template(&mut self, at: &At<'_>) -> Option<Template> {
        if self.text(at)?.is_empty() {
            self.wrong(at, "is empty");
            return None;
        }
        let template = self.template(at, Stage::Event)?;
        if matches!(template, Template::Literal(_)) {
            self.warn(
                at,
                0,
                "is the same for every event",
                "events that come while such a run is running start nothing or replace it; \
                 to have a run for each order, write `${ .data.order_id }`",
            );
        }
        Some(template)
    }

    /// Reads `schedule.on`: one event, or any of several.
    fn schedule_on(&mut self, at: &At<'_>) -> Option<Trigger> {
        let Value::Object(schedule) = at.value else {
            self.mismatch(at, "a map");
            return None;
        };
        let envelope = match schedule.get("read") {
            None => Some(false),
            Some(value) => {
                let reads = [("data", false), ("envelope", true), ("raw", false)];
                self.choice(&at.key("read", value), &reads)
            }
        };
        let on = schedule.get("on").unwrap_or(&Value::Null);
        let at = at.key("on", on);
        let object = self.object(&at, &START_EVENTS)?;
        let filters = match (object.get("any"), object.get("one")) {
            (Some(any), None) => {
                let items = self.list(&any, "a list of events")?;
                let filters: Vec<Option<TriggerFilter>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.start_filter(&any.item(index, item)))
                    .collect();
                filters.into_iter().collect::<Option<Vec<_>>>()?
            }
            (None, Some(one)) => vec![self.start_filter(&one)?],
            _ => {
                if self.problems.is_empty() {
                    let message = format!("{} must have one of `any` and `one`", at.shown());
                    self.problem(&at, Target::Key, message);
                }
                return None;
            }
        };
        Some(Trigger {
            filters,
            when: None,
            input: TriggerInput::List {
                envelope: envelope?,
            },
            workflow_id: None,
            on_conflict: OnConflict::default(),
            enabled: true,
            after: None,
        })
    }

    /// Reads the attributes that an event must have to start the definition.
    fn start_filter(&mut self, at: &At<'_>) -> Option<TriggerFilter> {
        let object = self.object(at, &START_FILTER)?;
        let with = self.required(&object, "with")?;
        self.filter_attributes(&with, Stage::Event)
    }
}

/// The filters of the events that a trigger with `after` takes.
fn ends(after: &After) -> Vec<TriggerFilter> {
    let takes_late = after
        .deadline
        .is_some_and(|deadline| deadline.otherwise != Otherwise::Skip);
    let late = takes_late.then_some(RUN_LATE);
    let kinds = after.outcome.event_types().iter().copied().chain(late);
    kinds
        .map(|kind| {
            vec![
                attribute("type", kind),
                attribute("subject", after.definition.as_str()),
            ]
        })
        .collect()
}

fn attribute(name: &str, value: &str) -> (String, Template) {
    (
        name.to_owned(),
        Template::Literal(Value::String(value.to_owned())),
    )
}
