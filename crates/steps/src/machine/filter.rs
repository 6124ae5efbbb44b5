//! The filters of a `listen`: they decide the events that the `listen` takes.

use serde_json::Value;

use super::evaluate::View;
use super::frames::Place;
use super::tasks::Interpreter;
use super::{Fault, WORK_PER_TASK};
use crate::language::{Correlation, EventFilter, Expression, Template};

impl Interpreter<'_> {
    /// Returns `true` if an event has the attributes of a filter and meets the filter's
    /// correlations.
    ///
    /// Anybody can send events. So an event is not a match if checking it takes more work than a
    /// step may do.
    pub(super) fn matches(
        &mut self,
        place: Place,
        filter: &EventFilter,
        event: &Value,
    ) -> Result<bool, Fault> {
        let of = |name: &String| event.get(name).unwrap_or(&Value::Null);
        // These templates do not depend on the event, so their cost is the same for each event.
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

    /// Returns the value of a correlation if the event has the expected value.
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

    /// Evaluates an expression for an event. Returns null if the expression fails, because an
    /// event of another form is not a match.
    fn tried(&self, place: Place, expression: &Expression, of: &Value) -> Value {
        let value = self.evaluate(View::body(place), expression, of);
        value.unwrap_or_default()
    }

    /// Returns `true` if the current task has used up its limit of work.
    fn is_spent(&self) -> bool {
        self.task_work.get() > WORK_PER_TASK
    }
}

/// Returns `true` if two values are equal in jq, where 1 equals 1.0.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
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
