//! Evaluation of triggers on events: the events that a trigger takes, and the input and the
//! workflow id of the run that each event starts.

use std::time::Duration;

use almanac_base::duration::show;
use almanac_events::RUN_LATE;
use almanac_jq::{NOW, UUID};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::language::{
    After, Expression, Otherwise, Template, Trigger, TriggerFilter, TriggerInput, describe,
};
use crate::machine::{WORK_PER_TASK, same, seconds};

/// Maximum length of the last part of a workflow id, in bytes. The server accepts ids of 1000
/// bytes, and the project and the definition are a part of the id.
pub const ID_PART_LIMIT: usize = 700;

almanac_base::message_error! {
    /// The reason for which a trigger cannot be evaluated on an event.
    pub TriggerFault
}

/// The evaluation of one trigger on one event.
#[derive(Debug)]
pub struct Evaluation<'e> {
    trigger: &'e Trigger,
    /// The event in the JSON format of `CloudEvents`.
    event: &'e Value,
    /// The time that `now` gives.
    now: Timestamp,
    /// The text from which `uuid` makes its values: it differs for each event and trigger.
    seed: &'e str,
    /// Number of values of `uuid` so far.
    uuids: u64,
    /// Work of the expressions so far.
    work: u64,
}

impl<'e> Evaluation<'e> {
    /// Begins the evaluation of a trigger on an event.
    pub fn new(trigger: &'e Trigger, event: &'e Value, now: Timestamp, seed: &'e str) -> Self {
        Self {
            trigger,
            event,
            now,
            seed,
            uuids: 0,
            work: 0,
        }
    }

    /// The trigger that is evaluated.
    pub fn trigger(&self) -> &'e Trigger {
        self.trigger
    }

    /// Returns `true` if the trigger takes the event: a filter matches, and `when` is true.
    ///
    /// An expression of a filter that fails does not match. A `when` that fails is an error, so
    /// that a mistake in it is noticed. A deadline that passed is an error if the trigger has
    /// `else: fail`.
    pub fn is_taken(&mut self) -> Result<bool, TriggerFault> {
        if !self.trigger.enabled {
            return Ok(false);
        }
        let filters = &self.trigger.filters;
        if !filters.is_empty() && !filters.iter().any(|filter| self.matches(filter)) {
            return Ok(false);
        }
        let deadline = match &self.trigger.after {
            Some(after) if !meets_deadline(after, self.event) => return Ok(false),
            Some(after) => after.deadline,
            None => None,
        };
        let is_taken = match &self.trigger.when {
            None => true,
            Some(when) => match self.evaluate(when, self.event) {
                Ok(Value::Bool(value)) => value,
                Ok(Value::Null) => false,
                Ok(other) => {
                    let why = format!("`when` must be true or false, not {}", describe(&other));
                    return Err(why.into());
                }
                Err(why) => return Err(format!("`when`: {why}").into()),
            },
        };
        let is_failure = deadline.is_some_and(|one| one.otherwise == Otherwise::Fail);
        if is_taken && is_failure && kind(self.event) == RUN_LATE {
            return Err(late(self.event).into());
        }
        Ok(is_taken)
    }

    /// Returns the input of the run.
    pub fn input(&mut self) -> Result<Value, TriggerFault> {
        match &self.trigger.input {
            TriggerInput::Data => Ok(data(self.event)),
            TriggerInput::List { envelope: true } => Ok(Value::Array(vec![self.event.clone()])),
            TriggerInput::List { envelope: false } => Ok(Value::Array(vec![data(self.event)])),
            TriggerInput::Made(template) => self
                .fill(template)
                .map_err(|why| format!("`input`: {why}").into()),
        }
    }

    /// Returns the last part of the run's workflow id. `None` if the id is derived from the
    /// event's source and id.
    pub fn workflow_id(&mut self) -> Result<Option<String>, TriggerFault> {
        let Some(template) = &self.trigger.workflow_id else {
            return Ok(None);
        };
        let value = match self.fill(template) {
            Ok(value) => value,
            Err(why) => return Err(format!("`workflow_id`: {why}").into()),
        };
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            other => {
                return Err(format!("`workflow_id` must be text, not {}", describe(&other)).into());
            }
        };
        if text.is_empty() {
            return Err("`workflow_id` is empty".into());
        }
        if text.len() > ID_PART_LIMIT {
            return Err(format!(
                "`workflow_id` has {} bytes, over the limit of {ID_PART_LIMIT}",
                text.len()
            )
            .into());
        }
        if text.chars().any(char::is_control) {
            return Err("`workflow_id` has control characters".into());
        }
        Ok(Some(text))
    }

    fn matches(&mut self, filter: &TriggerFilter) -> bool {
        filter.iter().all(|(name, wanted)| {
            let has = self.event.get(name).unwrap_or(&Value::Null);
            match wanted {
                Template::Expression(expression) => match self.evaluate(expression, has) {
                    Ok(Value::Bool(is)) => is,
                    Ok(Value::Null) | Err(_) => false,
                    Ok(value) => same(&value, has),
                },
                other => self.fill(other).is_ok_and(|value| same(&value, has)),
            }
        })
    }

    fn fill(&mut self, template: &Template) -> Result<Value, String> {
        let event = self.event;
        template.fill(&mut |expression| self.evaluate(expression, event))
    }

    fn evaluate(&mut self, expression: &Expression, input: &Value) -> Result<Value, String> {
        let compiled = expression.compiled();
        let (now, seed) = (
            seconds(self.now),
            Value::from(format!("{}/{}", self.seed, self.uuids)),
        );
        if compiled.makes_uuids() {
            self.uuids = self.uuids.saturating_add(1);
        }
        let (result, spent) = compiled.evaluate_counting(input, &[(NOW, &now), (UUID, &seed)]);
        self.work = self.work.saturating_add(spent.work());
        if self.work > WORK_PER_TASK {
            return Err("the expressions of the trigger take too long together".to_owned());
        }
        result.map_err(|error| format!("`{}`: {error}", expression.text()))
    }
}

fn kind(event: &Value) -> &str {
    event
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Returns `true` if an event about a run concerns the deadline of a trigger, or if the run ended
/// before the deadline.
fn meets_deadline(after: &After, event: &Value) -> bool {
    let text = |name: &str| event.get("data")?.get(name)?.as_str();
    let number = |name: &str| event.get("data")?.get(name)?.as_u64();
    let Some(deadline) = after.deadline else {
        return kind(event) != RUN_LATE;
    };
    let within = deadline.within.as_secs();
    if kind(event) == RUN_LATE {
        return text("outcome") == Some(after.outcome.as_str())
            && number("within_seconds") == Some(within);
    }
    let time = |name: &str| text(name)?.parse::<Timestamp>().ok();
    let (Some(started), Some(ended)) = (time("started_at"), time("ended_at")) else {
        return false;
    };
    ended.duration_since(started)
        <= SignedDuration::try_from(deadline.within).unwrap_or(SignedDuration::MAX)
}

/// The reason for which a deadline that passed is an error.
fn late(event: &Value) -> String {
    let data = event.get("data").unwrap_or(&Value::Null);
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let outcome = match text("outcome") {
        "any" => "ended",
        "failed" => "failed",
        _ => "completed",
    };
    let within = data.get("within_seconds").and_then(Value::as_u64);
    let within = show(Duration::from_secs(within.unwrap_or_default()));
    format!(
        "no run of `{}` {outcome} within {within} after the run `{}` began at {}",
        text("definition"),
        text("workflow_id"),
        text("started_at")
    )
}

/// The data of an event. Binary data is base64 text.
fn data(event: &Value) -> Value {
    let data = event.get("data").or_else(|| event.get("data_base64"));
    data.cloned().unwrap_or_default()
}
