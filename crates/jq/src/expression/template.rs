//! Data with expressions in it, as definitions write it.
//!
//! A string that is `${ … }` as a whole is an expression. All other strings are literal.
//! `$${ … }` is the text `${ … }`, and `$$${ … }` is `$${ … }`. Keys are never expressions, and
//! the result of an expression never contains expressions.

use serde_json::{Map, Value};

use super::{Expression, ExpressionError};

/// A compiled piece of a definition.
#[derive(Debug, Clone)]
pub struct Template(Part);

#[derive(Debug, Clone)]
enum Part {
    Constant(Value),
    Expression(Box<Expression>),
    List(Vec<Part>),
    Map(Vec<(String, Part)>),
}

/// Error of an expression of a template: the expression is wrong or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct TemplateError {
    /// Place of the expression: a JSON pointer into the template, empty for the whole.
    pub pointer: String,
    /// Number of bytes of the string before the expression's text.
    pub before: usize,
    pub error: ExpressionError,
}

impl Template {
    /// Compiles a value. The error has all mistakes, in the value's order.
    pub fn compile(value: &Value, variables: &[&str]) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let part = part(value, variables, &mut String::new(), &mut errors);
        if errors.is_empty() {
            Ok(Self(part))
        } else {
            Err(errors)
        }
    }

    /// Evaluates the template, on an input and with variables as [`Expression::evaluate`] takes
    /// them.
    pub fn evaluate(
        &self,
        input: &Value,
        variables: &[(&str, &Value)],
    ) -> Result<Value, TemplateError> {
        self.0.evaluate(input, variables, &mut String::new())
    }

    /// Returns the value itself if it contains no expression.
    pub fn as_constant(&self) -> Option<&Value> {
        match &self.0 {
            Part::Constant(value) => Some(value),
            _ => None,
        }
    }
}

/// Returns the expression in a string, and the number of bytes before the expression. `None` for
/// a literal string.
pub fn expression_in(text: &str) -> Option<(usize, &str)> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("${")?.strip_suffix('}')?;
    let before = text.len() - text.trim_start().len() + "${".len();
    Some((before, inner))
}

fn part(
    value: &Value,
    variables: &[&str],
    pointer: &mut String,
    errors: &mut Vec<TemplateError>,
) -> Part {
    match value {
        Value::String(text) => string(text, variables, pointer, errors),
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| {
                below(pointer, &index.to_string(), |pointer| {
                    part(item, variables, pointer, errors)
                })
            });
            let items: Vec<Part> = items.collect();
            constant(&items).map_or(Part::List(items), Part::Constant)
        }
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| {
                let part = below(pointer, key, |pointer| {
                    part(item, variables, pointer, errors)
                });
                (key.clone(), part)
            });
            let entries: Vec<(String, Part)> = entries.collect();
            let all: Option<Map<String, Value>> = entries
                .iter()
                .map(|(key, part)| match part {
                    Part::Constant(value) => Some((key.clone(), value.clone())),
                    _ => None,
                })
                .collect();
            all.map_or(Part::Map(entries), |all| Part::Constant(Value::Object(all)))
        }
        other => Part::Constant(other.clone()),
    }
}

fn constant(items: &[Part]) -> Option<Value> {
    let items = items.iter().map(|part| match part {
        Part::Constant(value) => Some(value.clone()),
        _ => None,
    });
    items.collect::<Option<Vec<Value>>>().map(Value::Array)
}

fn string(text: &str, variables: &[&str], pointer: &str, errors: &mut Vec<TemplateError>) -> Part {
    let Some((before, inner)) = expression_in(text) else {
        return Part::Constant(Value::String(unescaped(text)));
    };
    match Expression::compile(inner, variables) {
        Ok(expression) => Part::Expression(Box::new(expression)),
        Err(error) => {
            let pointer = pointer.to_owned();
            errors.push(TemplateError {
                pointer,
                before,
                error,
            });
            Part::Constant(Value::Null)
        }
    }
}

/// Removes one `$` from a text that begins with two or more of them and a `{`.
pub fn unescaped(text: &str) -> String {
    let dollars = text.trim_start();
    let rest = dollars.trim_start_matches('$');
    if rest.starts_with('{') && dollars.len() - rest.len() >= 2 {
        return text.replacen('$', "", 1);
    }
    text.to_owned()
}

/// Returns the position, in bytes, of `${ … }` within a text that is no expression. There it
/// has no effect. A `${` after another `$` is meant as text.
pub fn within(text: &str) -> Option<usize> {
    let found = text.match_indices("${").map(|(at, _)| at);
    let mut meant = found.filter(|at| !text[..*at].ends_with('$'));
    meant.find(|at| text[*at..].contains('}'))
}

/// Does work below a key, and then removes the key from the pointer (RFC 6901).
fn below<T>(pointer: &mut String, key: &str, work: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
    let done = work(pointer);
    pointer.truncate(length);
    done
}

impl Part {
    fn evaluate(
        &self,
        input: &Value,
        variables: &[(&str, &Value)],
        pointer: &mut String,
    ) -> Result<Value, TemplateError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Expression(expression) => {
                let evaluated = expression.evaluate(input, variables);
                evaluated.map_err(|error| TemplateError {
                    pointer: pointer.clone(),
                    before: 0,
                    error,
                })
            }
            Self::List(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    below(pointer, &index.to_string(), |pointer| {
                        item.evaluate(input, variables, pointer)
                    })
                });
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, item)| {
                    let value = below(pointer, key, |pointer| {
                        item.evaluate(input, variables, pointer)
                    });
                    Ok((key.clone(), value?))
                });
                entries.collect::<Result<_, _>>().map(Value::Object)
            }
        }
    }
}
