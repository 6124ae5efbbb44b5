//! Expressions: the variables that each may use, and the use of the results.

use std::borrow::Cow;
use std::time::Duration;

use almanac_base::size::{depth, weight};
use almanac_jq::{MAX_DEPTH, NOW, UUID, error_type};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::frames::Place;
use super::tasks::Interpreter;
use super::{DATA_LIMIT, Fault, Standard, WORK_PER_TASK};
use crate::language::{
    Expression, JsonSchema, Length, Output, Stage, Template, describe, duration_of,
};

/// Number of bytes of data whose copy counts as one step.
pub(super) const BYTES_PER_STEP: u64 = 64;

/// The context in which an expression is evaluated.
#[derive(Clone, Copy)]
pub(super) struct View<'v> {
    /// The task. `None` for expressions of the run itself.
    pub(super) place: Option<Place>,
    pub(super) stage: Stage,
    /// Variables in addition to those of the tasks around.
    pub(super) extra: &'v [(&'v str, Value)],
    /// The raw output: `$task.output`.
    pub(super) raw: Option<&'v Value>,
    /// The transformed output: `$output`.
    pub(super) output: Option<&'v Value>,
}

impl<'v> View<'v> {
    pub(super) fn of(place: Place, stage: Stage) -> Self {
        Self {
            place: Some(place),
            stage,
            extra: &[],
            raw: None,
            output: None,
        }
    }

    pub(super) fn body(place: Place) -> Self {
        Self::of(place, Stage::Body)
    }

    pub(super) fn with(self, extra: &'v [(&'v str, Value)]) -> Self {
        Self { extra, ..self }
    }
}

impl Interpreter<'_> {
    pub(super) fn evaluate(
        &self,
        view: View<'_>,
        expression: &Expression,
        input: &Value,
    ) -> Result<Value, Fault> {
        let text = expression.text();
        let mut variables: Vec<(&str, Cow<'_, Value>)> = Vec::new();
        for name in view.stage.variables() {
            if names(text, name)
                && let Some(value) = self.variable(view, name)
            {
                variables.push((name, value));
            }
        }
        for (name, value) in view.extra {
            variables.push((name, Cow::Borrowed(value)));
        }
        if let Some(place) = view.place {
            // The innermost variable comes first, because it hides those around it with the same
            // name.
            for frame in self.frames(place).iter().rev() {
                for (name, value) in &frame.variables {
                    let hidden = variables.iter().any(|(known, _)| known == name);
                    if !hidden && names(text, name) {
                        variables.push((name, Cow::Borrowed(value)));
                    }
                }
            }
        }
        variables.retain(|(name, _)| names(text, name));
        for (_, value) in &mut variables {
            if let Some(shown) = as_mentioned(text, value) {
                *value = Cow::Owned(shown);
            }
        }
        if expression.compiled().reads_time() {
            variables.push((NOW, Cow::Owned(seconds(self.now))));
        }
        if expression.compiled().makes_uuids() {
            let number = self.uuids.get();
            self.uuids.set(number.saturating_add(1));
            let seed = format!("{}/{number}", self.about.id);
            variables.push((UUID, Cow::Owned(Value::from(seed))));
        }
        let variables: Vec<(&str, &Value)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_ref()))
            .collect();
        let (result, spent) = expression.compiled().evaluate_counting(input, &variables);
        self.worked(spent.work())?;
        result.map_err(|error| Standard::Expression.fault(format!("`{text}`: {error}")))
    }

    /// Checks data against a schema.
    pub(super) fn satisfies(&self, schema: &JsonSchema, value: &Value) -> Result<(), Fault> {
        let (result, steps) = schema.check(value);
        self.worked(steps)?;
        result.map_err(|violation| Standard::Validation.fault(violation.to_string()))
    }

    /// Counts new data. Data that is nested too deeply is an error, because a run that continues
    /// as new could not read it again.
    pub(super) fn take(&self, value: &Value) -> Result<(), Fault> {
        self.keep(weight(value))?;
        if depth(value) > MAX_DEPTH {
            let detail = format!("the data nests more than {MAX_DEPTH} levels deep");
            return Err(Standard::Runtime.fault(detail));
        }
        Ok(())
    }

    /// Counts data that the run will hold in addition: a copy, or a new piece.
    ///
    /// The count does not go down when the run drops data. If the count exceeds the limit, all
    /// data is counted again, which is work of the task.
    pub(super) fn keep(&self, bytes: u64) -> Result<(), Fault> {
        let mut held = self.held.get().saturating_add(bytes);
        if held > DATA_LIMIT {
            let present = self.position.weight();
            self.worked(present / BYTES_PER_STEP)?;
            held = present.saturating_add(bytes);
        }
        if held > DATA_LIMIT {
            let detail =
                format!("the run would hold {held} bytes of data, over the limit of {DATA_LIMIT}");
            return Err(Standard::Runtime.fault(detail));
        }
        self.held.set(held);
        self.worked(bytes / BYTES_PER_STEP)
    }

    /// Counts the work of expressions, and other work in the same unit.
    pub(super) fn worked(&self, work: u64) -> Result<(), Fault> {
        self.turn_work
            .set(self.turn_work.get().saturating_add(work));
        self.task_work
            .set(self.task_work.get().saturating_add(work));
        if self.task_work.get() > WORK_PER_TASK {
            let detail = "the expressions, checks and data of the task take too long together";
            return Err(Standard::Expression.fault(detail));
        }
        Ok(())
    }

    /// Returns a variable of the specification. `None` if it has no value here.
    fn variable(&self, view: View<'_>, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "context" => Some(Cow::Borrowed(self.position.context())),
            "runtime" => Some(Cow::Borrowed(&self.about.runtime)),
            "workflow" => Some(Cow::Owned(json!({
                "id": self.about.id,
                "definition": self.flow.definition,
                "input": self.position.input,
                "startedAt": moment(self.position.started_at),
            }))),
            "input" => view
                .place
                .map(|place| Cow::Borrowed(self.frame(place).input())),
            "output" => view.output.map(|output| Cow::Owned(output.clone())),
            "task" => view
                .place
                .map(|place| Cow::Owned(self.task_descriptor(place, view.raw))),
            _ => None,
        }
    }

    fn task_descriptor(&self, place: Place, output: Option<&Value>) -> Value {
        let (frame, task) = (self.frame(place), self.task(place));
        let mut descriptor = Map::new();
        let mut add = |key: &str, value: Value| descriptor.insert(key.to_owned(), value);
        add("name", Value::from(task.name.as_str()));
        add("reference", Value::from(task.path.as_str()));
        let definition = self.flow.definition.pointer(&task.path);
        add("definition", definition.cloned().unwrap_or_default());
        add("input", frame.data.clone());
        if let Some(output) = output {
            add("output", output.clone());
        }
        let started = frame
            .running
            .as_ref()
            .map_or(self.now, |running| running.started_at);
        add("startedAt", moment(started));
        Value::Object(descriptor)
    }

    /// Evaluates a condition: true, false, or null, which means false.
    pub(super) fn condition(
        &self,
        view: View<'_>,
        expression: &Expression,
        input: &Value,
    ) -> Result<bool, Fault> {
        match self.evaluate(view, expression, input)? {
            Value::Bool(value) => Ok(value),
            Value::Null => Ok(false),
            other => Err(Standard::Expression.fault(format!(
                "`{}` must be true or false, not {}",
                expression.text(),
                describe(&other)
            ))),
        }
    }

    /// Returns data with the results of its expressions. These results are data: expressions in
    /// them are not evaluated.
    pub(super) fn fill(
        &self,
        view: View<'_>,
        template: &Template,
        input: &Value,
    ) -> Result<Value, Fault> {
        template.fill(&mut |expression| self.evaluate(view, expression, input))
    }

    /// Applies the transformation of `output` or `export`, and checks the schema. `None` if there
    /// is no transformation.
    pub(super) fn transform(
        &self,
        view: View<'_>,
        output: &Output,
        data: &Value,
    ) -> Result<Option<Value>, Fault> {
        let made = match &output.transform {
            Some(template) => Some(self.fill(view, template, data)?),
            None => None,
        };
        if let Some(schema) = &output.schema {
            self.satisfies(schema, made.as_ref().unwrap_or(data))?;
        }
        Ok(made)
    }

    /// Returns a duration that the body of a task states.
    pub(super) fn length(
        &self,
        view: View<'_>,
        length: &Length,
        input: &Value,
    ) -> Result<Duration, Fault> {
        match length {
            Length::Fixed(duration) => Ok(*duration),
            Length::Expression(expression) => {
                let value = self.evaluate(view, expression, input)?;
                duration_of(&value).ok_or_else(|| {
                    Standard::Expression.fault(format!(
                        "`{}` must be a duration like `PT5S` or `{{ seconds: 5 }}` of at most 36500 days, not {}",
                        expression.text(),
                        describe(&value)
                    ))
                })
            }
        }
    }
}

/// Returns a copy of an error whose type has the form that the expression mentions. `None` if no
/// change is needed.
fn as_mentioned(text: &str, value: &Value) -> Option<Value> {
    let kind = value.get("type")?.as_str()?;
    let kind = error_type::as_mentioned(text, kind)?;
    let mut shown = value.clone();
    *shown.get_mut("type")? = Value::from(kind);
    Some(shown)
}

/// Returns a time in seconds since 1970, like `now` in an expression.
pub(crate) fn seconds(at: Timestamp) -> Value {
    let milliseconds = at.as_millisecond();
    if milliseconds % 1000 == 0 {
        return Value::from(milliseconds / 1000);
    }
    // A double is exact enough for a millisecond of any year.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of all years fit into a double"
    )]
    Value::from(milliseconds as f64 / 1000.0)
}

/// Returns `true` if an expression may use a variable.
///
/// The check is cheap, and avoids building variables that no expression reads.
fn names(text: &str, variable: &str) -> bool {
    text.match_indices('$')
        .any(|(at, _)| text[at + 1..].starts_with(variable))
}

/// Returns a time in the form that expressions see.
fn moment(at: Timestamp) -> Value {
    json!({
        "iso8601": at.to_string(),
        "epoch": { "seconds": at.as_second(), "milliseconds": at.as_millisecond() },
    })
}
