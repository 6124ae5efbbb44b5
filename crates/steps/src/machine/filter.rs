//! Whether an event is one of those that a `listen` waits for.

use serde_json::Value;

use super::evaluate::View;
use super::frames::Place;
use super::tasks::Interpreter;
use super::{Fault, WORK_PER_TASK};
use crate::language::{Correlation, EventFilter, Expression, Template};

impl Interpreter<'_> {
    /// Whether an event has the attributes of a filter, and in common with
    /// others what it must have. Anybody sends events: one that takes more work
    /// to look at than a step may is not the one that is waited for.
    pub(super) fn matches(
        &mut self,
        place: Place,
        filter: &EventFilter,
        event: &Value,
    ) -> Result<bool, Fault> {
        let of = |name: &String| event.get(name).unwrap_or(&Value::Null);
        // What says nothing of the event costs the same for each.
        for (name, wanted) in &filter.with {
            if matches!(wanted, Template::Expression(_)) {
                continue;
            }
            let value = self.fill(View::body(place), wanted, self.frame(place).input());
            match value {
                Ok(value) if same(&value, of(name)) => {}
                Err(fault) if !self.is_spent() => return Err(fault),
                _ => return Ok(false),
            }
        }
        for (name, wanted) in &filter.with {
            let Template::Expression(expression) = wanted else {
                continue;
            };
            let matches = match self.tried(place, expression, of(name)) {
                Value::Bool(is) => is,
                Value::Null => false,
                value => same(&value, of(name)),
            };
            if !matches {
                return Ok(false);
            }
        }
        let mut learned = Vec::new();
        for correlation in &filter.correlate {
            match self.correlates(place, correlation, event)? {
                None => return Ok(false),
                Some(value) => learned.push((correlation.name.clone(), value)),
            }
        }
        if let Some(listening) = self.listening_mut(place) {
            listening.correlations.extend(learned);
        }
        Ok(true)
    }

    /// The value that an event has in common with what is expected.
    fn correlates(
        &self,
        place: Place,
        correlation: &Correlation,
        event: &Value,
    ) -> Result<Option<Value>, Fault> {
        let value = self.tried(place, &correlation.from, event);
        let expected = match &correlation.expect {
            Some(expect) => {
                let input = self.frame(place).input();
                match self.fill(View::body(place), expect, input) {
                    Err(_) if self.is_spent() => return Ok(None),
                    value => Some(value?),
                }
            }
            None => self
                .listening(place)
                .and_then(|listening| listening.correlations.get(&correlation.name).cloned()),
        };
        let alike = expected.is_none_or(|expected| same(&expected, &value));
        Ok((alike && !value.is_null()).then_some(value))
    }

    /// What an expression gives for an event; null where it fails: one of another
    /// form is not the one that is waited for.
    fn tried(&self, place: Place, expression: &Expression, of: &Value) -> Value {
        let value = self.evaluate(View::body(place), expression, of);
        value.unwrap_or_default()
    }

    /// Whether the work that the present task may take is used up.
    fn is_spent(&self) -> bool {
        self.task_work.get() > WORK_PER_TASK
    }
}

/// Whether two values are the same to jq: 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let in_b = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(in_b)
        }
        _ => one == other,
    }
}
