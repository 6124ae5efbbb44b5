//! Expressions, and data with expressions in it.

use std::sync::Arc;

use serde_json::Value;

use super::reader::{At, Reader, Target};
use super::{Expression, Stage, Template};
use crate::definition::quoted;
use crate::expression::{ExpressionError, NOW, UUID, unescaped, within};

/// What to do where `${ … }` is a part of a text.
const WHOLE: &str =
    r#"an expression is the whole text; put text into it: `${ "costs \(.price)" }`"#;

/// The inside of `${ … }`, when that is the whole text.
pub(super) fn runtime_expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    Some(inside.trim())
}

/// What jq writes in place of what stands at a mistake.
fn of_another_language(text: &str, offset: usize) -> Option<&'static str> {
    let (before, after) = text.split_at_checked(offset)?;
    let both = before.ends_with('|') && after.starts_with('|');
    if after.starts_with("&&") {
        Some("jq writes `and`")
    } else if both || after.starts_with("||") {
        Some("jq writes `or`")
    } else if after.starts_with('!') {
        Some("jq writes `.a | not`")
    } else {
        None
    }
}

/// What stands at a mistake where `${ … }` ends and another begins.
fn of_two(text: &str, offset: usize) -> Option<&'static str> {
    let after = text.get(offset..)?;
    (after.starts_with('}') && after.contains("${")).then_some(WHOLE)
}

impl Reader {
    /// An expression, with or without `${ … }` around it.
    pub(super) fn expression(&mut self, at: &At<'_>, stage: Stage) -> Option<Expression> {
        let text = self.text(at)?;
        let inside = if text.trim_start().starts_with("${") {
            self.inside(at, text)?
        } else {
            text.trim()
        };
        self.site(at, inside, stage)
    }

    /// The inside of a text that begins like an expression.
    fn inside<'v>(&mut self, at: &At<'_>, text: &'v str) -> Option<&'v str> {
        let inside = runtime_expression(text);
        if inside.is_none() {
            let what = format!(
                "begins as an expression and does not end as one: {}",
                quoted(text)
            );
            self.wrong_with_hint(at, &what, WHOLE);
        }
        inside
    }

    /// A text that is no expression.
    fn plain(&mut self, at: &At<'_>, text: &str) -> Template {
        if let Some(offset) = within(text) {
            self.warn(
                at,
                offset,
                "has `${ … }` within a text, where it does nothing",
                WHOLE,
            );
        }
        Template::Literal(Value::String(unescaped(text)))
    }

    fn site(&mut self, at: &At<'_>, text: &str, stage: Stage) -> Option<Expression> {
        if text.is_empty() {
            self.wrong(at, "is an empty expression");
            return None;
        }
        if !self.problems.is_empty() && self.is_full(self.problems.len()) {
            // It is invalid, and no more is told of it.
            return None;
        }
        let own = stage.variables().iter().map(|name| Arc::from(*name));
        let variables: Vec<Arc<str>> = own.chain(self.scope.iter().cloned()).collect();
        let names = variables.iter().map(AsRef::as_ref);
        let names: Vec<&str> = names.chain([NOW, UUID]).collect();
        let compiled = match Expression::compile(text, &names) {
            Ok(compiled) => compiled,
            Err(error) => {
                self.uncompiled(at, text, &error);
                return None;
            }
        };
        self.reads_header |= text.contains("$workflow");
        #[cfg(test)]
        self.expressions.push(super::reader::ExpressionSite {
            path: at.path(),
            text: text.to_owned(),
            variables,
        });
        Some(compiled)
    }

    /// Reports an expression that cannot be used, at the mistake.
    fn uncompiled(&mut self, at: &At<'_>, text: &str, error: &ExpressionError) {
        let message = format!("{}: {error}", at.shown());
        let inside = match error {
            ExpressionError::Invalid { offset, .. } => *offset,
            _ => 0,
        };
        let before = at.value.as_str().and_then(|whole| whole.find(text));
        let problem = self.problem(at, Target::Value, message);
        problem.offset = before.unwrap_or_default() + inside;
        let hint = of_another_language(text, inside).or(of_two(text, inside));
        problem.hint = hint.map(str::to_owned);
    }

    /// Data, in which each whole text `${ … }` is an expression.
    pub(super) fn template(&mut self, at: &At<'_>, stage: Stage) -> Option<Template> {
        match at.value {
            Value::String(text) if text.trim_start().starts_with("${") => {
                let inside = self.inside(at, text)?;
                self.site(at, inside, stage).map(Template::Expression)
            }
            Value::Array(items) => {
                let parts: Vec<Option<Template>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.template(&at.item(index, item), stage))
                    .collect();
                Some(Template::list(parts.into_iter().collect::<Option<_>>()?))
            }
            Value::Object(map) => {
                let parts: Vec<Option<(String, Template)>> = map
                    .iter()
                    .map(|(key, value)| {
                        let part = self.template(&at.key(key, value), stage)?;
                        Some((key.clone(), part))
                    })
                    .collect();
                Some(Template::map(parts.into_iter().collect::<Option<_>>()?))
            }
            Value::String(text) => Some(self.plain(at, text)),
            other => Some(Template::Literal(other.clone())),
        }
    }

    /// What `from` and `as` take: an expression, or a map with expressions.
    pub(super) fn transform(&mut self, at: &At<'_>, stage: Stage) -> Option<Template> {
        match at.value {
            Value::String(_) => self.expression(at, stage).map(Template::Expression),
            Value::Object(_) => self.template(at, stage),
            _ => {
                self.mismatch(at, "an expression, or a map with expressions");
                None
            }
        }
    }

    /// Text, or an expression for one.
    pub(super) fn text_template(&mut self, at: &At<'_>) -> Option<Template> {
        if self.text(at)?.is_empty() {
            self.wrong(at, "is empty");
            return None;
        }
        self.template(at, Stage::Body)
    }

    /// A map or an expression for one, each value of which `fits`.
    pub(super) fn map_template(&mut self, at: &At<'_>, fits: Fits) -> Option<Template> {
        match at.value {
            Value::String(text) if text.trim_start().starts_with("${") => {}
            Value::Object(map) => {
                let values = map.iter().map(|(key, value)| at.key(key, value));
                if !self.all_fit(values, fits) {
                    return None;
                }
            }
            _ => {
                self.mismatch(at, "a map, or an expression `${ … }`");
                return None;
            }
        }
        self.template(at, Stage::Body)
    }

    /// A list or an expression for one, each item of which `fits`.
    pub(super) fn list_template(&mut self, at: &At<'_>, fits: Fits) -> Option<Template> {
        match at.value {
            Value::String(text) if text.trim_start().starts_with("${") => {}
            Value::Array(items) => {
                let items = items.iter().enumerate();
                if !self.all_fit(items.map(|(index, item)| at.item(index, item)), fits) {
                    return None;
                }
            }
            _ => {
                self.mismatch(at, "a list, or an expression `${ … }`");
                return None;
            }
        }
        self.template(at, Stage::Body)
    }

    /// Each is looked at, for its problem.
    fn all_fit<'v>(&mut self, values: impl Iterator<Item = At<'v>>, fits: Fits) -> bool {
        let good: Vec<bool> = values.map(|at| self.fits(&at, fits)).collect();
        !good.contains(&false)
    }

    fn fits(&mut self, at: &At<'_>, fits: Fits) -> bool {
        let is_one = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        match (fits, at.value) {
            (Fits::Any, _) => true,
            (Fits::Texts, _) => self.text(at).is_some(),
            (Fits::Parameters, Value::Array(items)) if items.iter().all(is_one) => true,
            (Fits::Parameters, value) if is_one(value) => true,
            (Fits::Parameters, _) => {
                self.mismatch(at, "text, a number, a boolean or a list of them");
                false
            }
        }
    }
}

/// What the values of a map or a list may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fits {
    Any,
    Texts,
    /// What a query or a header may be: texts, numbers, booleans, lists of them.
    Parameters,
}

impl Template {
    fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            _ => None,
        }
    }

    fn list(parts: Vec<Self>) -> Self {
        let values: Option<Vec<Value>> = parts.iter().map(|part| part.literal().cloned()).collect();
        values.map_or(Self::List(parts), |values| {
            Self::Literal(Value::Array(values))
        })
    }

    fn map(parts: Vec<(String, Self)>) -> Self {
        let values: Option<serde_json::Map<String, Value>> = parts
            .iter()
            .map(|(key, part)| Some((key.clone(), part.literal()?.clone())))
            .collect();
        values.map_or(Self::Map(parts), |values| {
            Self::Literal(Value::Object(values))
        })
    }
}
