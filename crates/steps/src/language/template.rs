//! Reader of expressions, and of data with expressions in it.

use std::sync::Arc;

use almanac_base::text::quoted;
use almanac_jq::{ExpressionError, NOW, UUID, assigns, unescaped, within};
use serde_json::Value;

use super::reader::{At, Reader, Target};
use super::{Expression, Stage, Template};

/// Hint for `${ … }` that is only a part of a text.
const WHOLE: &str =
    r#"an expression must be the whole text; put the text into it: `${ "costs \(.price)" }`"#;

/// Hint for an expression without `${ }`.
const BARE: &str = r#"only text in `${ … }` is an expression: write `${ .a }`; for the text itself, write `${ ".a" }`"#;
/// Operators that can follow a path in a longer expression.
const OPERATORS: [char; 9] = ['+', '-', '*', '/', '%', '=', '!', '<', '>'];

/// Maximum length of a text that is checked for being an expression without `${ }`, in bytes.
const BARE_LIMIT: usize = 1000;

/// Returns the inside of `${ … }`. `None` if `${ … }` is not the whole text.
pub(super) fn runtime_expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    Some(inside.trim())
}

/// Returns a hint with jq's operator if an operator of another language is at the mistake.
fn of_another_language(text: &str, offset: usize) -> Option<&'static str> {
    let (before, after) = text.split_at_checked(offset)?;
    let both = before.ends_with('|') && after.starts_with('|');
    if after.starts_with("&&") {
        Some("in jq, write `and`")
    } else if both || after.starts_with("||") {
        Some("in jq, write `or`")
    } else if after.starts_with('!') {
        Some("in jq, write `.a | not`")
    } else {
        None
    }
}

/// Returns a hint if one `${ … }` ends and another begins at the mistake.
fn of_two(text: &str, offset: usize) -> Option<&'static str> {
    let after = text.get(offset..)?;
    (after.starts_with('}') && after.contains("${")).then_some(WHOLE)
}

impl Reader {
    /// Reads an expression, with or without `${ … }` around it.
    pub(super) fn expression(&mut self, at: &At<'_>, stage: Stage) -> Option<Expression> {
        let text = self.text(at)?;
        let inside = if text.trim_start().starts_with("${") {
            self.inside(at, text)?
        } else {
            text.trim()
        };
        self.site(at, inside, stage)
    }

    /// Returns the inside of a text that begins like an expression.
    fn inside<'v>(&mut self, at: &At<'_>, text: &'v str) -> Option<&'v str> {
        let inside = runtime_expression(text);
        if inside.is_none() {
            let what = format!(
                "begins like an expression, but does not end like one: {}",
                quoted(text)
            );
            self.wrong_with_hint(at, &what, WHOLE);
        }
        inside
    }

    /// Reads a text that is no expression.
    fn plain(&mut self, at: &At<'_>, text: &str) -> Template {
        if let Some(offset) = within(text) {
            self.warn(
                at,
                offset,
                "has `${ … }` within a text, where it has no effect",
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
            // The steps are invalid already, and no further problem would be reported.
            return None;
        }
        let variables = self.variables(stage);
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

    /// Returns the variables that an expression at this place may use, without `$`.
    fn variables(&self, stage: Stage) -> Vec<Arc<str>> {
        let own = stage.variables().iter().map(|name| Arc::from(*name));
        own.chain(self.scope.iter().cloned()).collect()
    }

    /// Reads an expression whose result must be true or false.
    pub(super) fn condition(&mut self, at: &At<'_>, stage: Stage) -> Option<Expression> {
        let condition = self.expression(at, stage)?;
        if assigns(condition.text()) {
            self.warn(
                at,
                0,
                "is an assignment, which is neither true nor false",
                "`=` assigns, `==` compares",
            );
        }
        Some(condition)
    }

    /// Warns of texts in data that look like expressions without `${ }`.
    ///
    /// In `transforms` (`from` and `as`), a path alone looks like an expression. In other data, a
    /// text such as `.csv` may be intended.
    pub(super) fn bare(&mut self, at: &At<'_>, stage: Stage, transforms: bool) {
        match at.value {
            Value::String(text) if self.is_bare(text.trim(), stage, transforms) => {
                let what = format!("is text, not an expression: {}", quoted(text.trim()));
                self.warn(at, 0, &what, BARE);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.bare(&at.item(index, item), stage, transforms);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    self.bare(&at.key(key, value), stage, transforms);
                }
            }
            _ => {}
        }
    }

    fn is_bare(&self, text: &str, stage: Stage, transforms: bool) -> bool {
        if !text.starts_with(['.', '$']) || text.starts_with("${") || text.len() > BARE_LIMIT {
            return false;
        }
        let begins = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '[' | '"');
        let is_path = text
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(begins));
        let more = text.contains(['[', '|'])
            || text
                .split_once(' ')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with(OPERATORS));
        let variables = self.variables(stage);
        let is_variable = text.strip_prefix('$').is_some_and(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            variables.iter().any(|variable| **variable == *name)
        });
        if !is_variable && !(is_path && (transforms || more)) {
            return false;
        }
        let names: Vec<&str> = variables.iter().map(AsRef::as_ref).collect();
        let names: Vec<&str> = names.into_iter().chain([NOW, UUID]).collect();
        Expression::compile(text, &names).is_ok()
    }

    /// Reports an expression that does not compile, at the position of the mistake.
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

    /// Reads data in which each whole text `${ … }` is an expression.
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

    /// Reads the value of `from` or `as`: an expression, or a map with expressions.
    pub(super) fn transform(&mut self, at: &At<'_>, stage: Stage) -> Option<Template> {
        match at.value {
            Value::String(_) => self.expression(at, stage).map(Template::Expression),
            Value::Object(_) => {
                self.bare(at, stage, true);
                self.template(at, stage)
            }
            _ => {
                self.mismatch(at, "an expression, or a map with expressions");
                None
            }
        }
    }

    /// Reads text, or an expression for a text.
    pub(super) fn text_template(&mut self, at: &At<'_>) -> Option<Template> {
        if self.text(at)?.is_empty() {
            self.wrong(at, "is empty");
            return None;
        }
        self.template(at, Stage::Body)
    }

    /// Reads a map whose values satisfy `fits`, or an expression for a map.
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

    /// Reads a list whose items satisfy `fits`, or an expression for a list.
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

    /// Returns `true` if all values satisfy `fits`. Every value is checked, so that each problem
    /// is reported.
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

/// The values that a map or a list may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fits {
    Any,
    Texts,
    /// Values of a query or a header: text, numbers, booleans, and lists of these.
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
