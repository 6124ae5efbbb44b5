//! A task list of the Open Workflow Specification, as typed steps.
//!
//! Which tasks exist: `set` and `wait`, without expressions. Everything else is
//! an error at its place, a JSON pointer into the definition.

use std::time::Duration;

use jiff::{Span, SpanTotal, Unit};
use serde_json::{Map, Value};

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 366 * 100);

/// One task of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name in the list.
    pub name: String,
    /// Where it stands: a JSON pointer, `/do/0/name`.
    pub path: String,
    /// What it does.
    pub task: Task,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// The output is this, whatever the input was.
    Set(Value),
    /// The output is the input, this much later.
    Wait(Duration),
}

/// A task that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct StepError {
    /// Where: a JSON pointer.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Reads the value of a `do:`. All errors of the list at once, in its order.
pub fn parse_steps(list: &Value) -> Result<Vec<Step>, Vec<StepError>> {
    let Value::Array(items) = list else {
        return Err(vec![error("/do", "must be a list of tasks")]);
    };
    let mut steps = Vec::new();
    let mut errors = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match step(index, item) {
            Ok(step) => steps.push(step),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(steps)
    } else {
        Err(errors)
    }
}

fn step(index: usize, item: &Value) -> Result<Step, StepError> {
    let place = format!("/do/{index}");
    let named = item.as_object().filter(|object| object.len() == 1);
    let Some((name, task)) = named.and_then(|object| object.iter().next()) else {
        return Err(error(&place, "must be one task: `name: {…}`"));
    };
    let path = format!("{place}/{}", escaped(name));
    let Value::Object(body) = task else {
        return Err(error(&path, "must be a map"));
    };
    for key in body.keys() {
        if !matches!(key.as_str(), "set" | "wait" | "metadata") {
            return Err(error(
                &format!("{path}/{}", escaped(key)),
                &format!("`{key}` is not supported yet; only `set` and `wait` are"),
            ));
        }
    }
    let task = match (body.get("set"), body.get("wait")) {
        (Some(value), None) => Task::Set(set(&format!("{path}/set"), value)?),
        (None, Some(value)) => Task::Wait(wait(&format!("{path}/wait"), value)?),
        (Some(_), Some(_)) => return Err(error(&path, "`set` and `wait` exclude each other")),
        (None, None) => return Err(error(&path, "must have `set` or `wait`")),
    };
    Ok(Step {
        name: name.clone(),
        path,
        task,
    })
}

fn set(path: &str, value: &Value) -> Result<Value, StepError> {
    if !value.is_object() {
        return Err(error(path, "must be a map"));
    }
    no_expressions(path, value)?;
    Ok(value.clone())
}

/// A text `${…}` is an expression to the specification: taking it literally
/// would give another meaning to a definition once expressions are supported.
fn no_expressions(path: &str, value: &Value) -> Result<(), StepError> {
    match value {
        Value::String(text) if text.trim_start().starts_with("${") => Err(error(
            path,
            &format!("expressions are not supported yet: `{text}`"),
        )),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| no_expressions(&format!("{path}/{index}"), item)),
        Value::Object(object) => object
            .iter()
            .try_for_each(|(key, item)| no_expressions(&format!("{path}/{}", escaped(key)), item)),
        _ => Ok(()),
    }
}

fn wait(path: &str, value: &Value) -> Result<Duration, StepError> {
    let duration = match value {
        Value::String(text) => iso_8601(path, text)?,
        Value::Object(parts) => sum(path, parts)?,
        _ => {
            return Err(error(
                path,
                "must be a duration: `{seconds: 5}` or an ISO 8601 text such as `PT5S`",
            ));
        }
    };
    if duration > LONGEST_WAIT {
        return Err(error(path, "must not be longer than 100 years"));
    }
    Ok(duration)
}

fn sum(path: &str, parts: &Map<String, Value>) -> Result<Duration, StepError> {
    if parts.is_empty() {
        return Err(error(path, "must name at least one unit"));
    }
    let mut total = Duration::ZERO;
    for (unit, amount) in parts {
        let place = format!("{path}/{}", escaped(unit));
        let milliseconds: u64 = match unit.as_str() {
            "days" => 24 * 60 * 60 * 1000,
            "hours" => 60 * 60 * 1000,
            "minutes" => 60 * 1000,
            "seconds" => 1000,
            "milliseconds" => 1,
            _ => {
                return Err(error(
                    &place,
                    &format!(
                        "unknown unit `{unit}`; units are days, hours, minutes, seconds and milliseconds"
                    ),
                ));
            }
        };
        let part = amount
            .as_u64()
            .ok_or_else(|| {
                error(
                    &place,
                    &format!("must be a whole number, not negative: `{amount}`"),
                )
            })?
            .checked_mul(milliseconds)
            .map(Duration::from_millis)
            .ok_or_else(|| error(&place, &format!("is too long: `{amount}`")))?;
        total = total.saturating_add(part);
    }
    Ok(total)
}

fn iso_8601(path: &str, text: &str) -> Result<Duration, StepError> {
    let wrong = |why: &str| error(path, &format!("{why}: `{text}`"));
    // jiff reads other forms too, which the specification does not know.
    if !text.starts_with(['P', 'p']) {
        return Err(wrong(
            "must be a duration in ISO 8601, such as `PT5S`; expressions are not supported yet",
        ));
    }
    let span: Span = text
        .parse()
        .map_err(|_| wrong("is not a duration in ISO 8601"))?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(wrong("must not have years or months"));
    }
    let milliseconds = span
        .total(SpanTotal::from(Unit::Millisecond).days_are_24_hours())
        .map_err(|_| wrong("is too long"))?;
    if milliseconds < 0.0 {
        return Err(wrong("must not be negative"));
    }
    Duration::try_from_secs_f64((milliseconds / 1000.0 * 1e3).round() / 1e3)
        .map_err(|_| wrong("is too long"))
}

fn error(path: &str, message: &str) -> StepError {
    StepError {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

/// A name as a part of a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
