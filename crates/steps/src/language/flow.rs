//! Reader of the tasks that decide which task runs next: `switch`, `for`, `fork`, `try`, `raise`.

use std::sync::Arc;
use std::time::Duration;

use almanac_base::text::quoted;
use almanac_jq::key_of_input;
use serde_json::Value;

use super::reader::{At, Object, Reader, Target};
use super::shapes::{
    ATTEMPT, BACKOFF, CASE, CATCH, ERROR, ERROR_FILTER, ERRORS, FOR, FORK, JITTER, LIMIT, RAISE,
    RETRY,
};
use super::task::Siblings;
use super::{
    BRANCHES_LIMIT, Backoff, Case, Catch, ErrorFilter, Expression, For, Kind, Length, RaisedError,
    Retry, Stage, Template,
};

/// Properties of an error that conditions may compare.
const ERROR_PROPERTIES: [&str; 5] = ["type", "status", "title", "detail", "instance"];
/// Default wait before a retry, for a policy without `delay`.
const DELAY: Length = Length::Fixed(Duration::from_secs(1));

impl Reader {
    pub(super) fn switch(&mut self, at: &At<'_>, siblings: &Siblings<'_>) -> Option<Vec<Case>> {
        let items = self.ordered(at, "a list of cases")?;
        if items.is_empty() {
            self.wrong(at, "has no cases");
            return None;
        }
        let cases: Vec<Option<Case>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.case(&at.item(index, item), siblings))
            .collect();
        let cases: Vec<Case> = cases.into_iter().collect::<Option<_>>()?;
        let mut defaults = (0..).zip(&cases).filter(|(_, case)| case.when.is_none());
        if let (Some(_), Some((second, _))) = (defaults.next(), defaults.next()) {
            let at = at.item(second, &items[second]);
            self.wrong_with_hint(
                &at,
                "has no `when`, like an earlier case",
                "at most one case has no `when`: it is taken if no other case matches, wherever \
                 it is in the list",
            );
            return None;
        }
        Some(cases)
    }

    fn case(&mut self, at: &At<'_>, siblings: &Siblings<'_>) -> Option<Case> {
        let single = at.value.as_object().filter(|map| map.len() == 1);
        let Some((name, body)) = single.and_then(|map| map.iter().next()) else {
            self.mismatch(at, "a case like `name: { when: …, then: … }`");
            return None;
        };
        let at = at.key(name, body);
        let object = self.object(&at, &CASE)?;
        let when = self.body_condition(&object, "when");
        let then = self
            .required(&object, "then")
            .and_then(|at| self.then(&at, siblings));
        Some(Case {
            name: name.clone(),
            when: when?,
            then: then?,
        })
    }

    pub(super) fn for_each(&mut self, at: &At<'_>, task: &Object<'_>) -> Option<For> {
        self.missing(task, "do");
        let object = self.object(at, &FOR)?;
        let each = self.variable_or(&object, "each", "item");
        let index = self.variable_or(&object, "at", "index");
        if each.is_some() && each == index {
            self.wrong(at, "has the same name for the item and its index");
            return None;
        }
        let items = self.required(&object, "in").and_then(|at| match at.value {
            Value::String(_) => self.expression(&at, Stage::Body).map(Template::Expression),
            Value::Array(_) => self.template(&at, Stage::Body),
            _ => {
                self.mismatch(&at, "an expression, or a list");
                None
            }
        });
        let names = [
            each.as_deref().unwrap_or("item"),
            index.as_deref().unwrap_or("index"),
        ];
        let (condition, body) = self.within(&names, |reader| {
            let condition = reader.body_condition(task, "while");
            (condition, task.get("do").and_then(|at| reader.tasks(&at)))
        });
        body?;
        Some(For {
            each: each?,
            at: index?,
            items: items?,
            condition: condition?,
        })
    }

    /// Reads the name of a variable, or returns its default.
    pub(super) fn variable_or(
        &mut self,
        object: &Object<'_>,
        key: &str,
        default: &str,
    ) -> Option<String> {
        let name = self.optional(object, key, |reader, at| {
            reader.variable(at).map(str::to_owned)
        });
        name.map(|name| name.unwrap_or_else(|| default.to_owned()))
    }

    pub(super) fn fork(&mut self, at: &At<'_>) -> Option<Kind> {
        let object = self.object(at, &FORK)?;
        let compete = self.optional(&object, "compete", Self::boolean);
        let branches = self.required(&object, "branches")?;
        let count = branches.value.as_array().map_or(0, Vec::len);
        if count > BRANCHES_LIMIT {
            let what = format!("has {count} branches, over the limit of {BRANCHES_LIMIT}");
            self.wrong(&branches, &what);
        }
        self.task_list(&branches, true)?;
        Some(Kind::Fork {
            compete: compete?.unwrap_or(false),
        })
    }

    pub(super) fn try_catch(
        &mut self,
        at: &At<'_>,
        task: &Object<'_>,
        siblings: &Siblings<'_>,
    ) -> Option<Catch> {
        let body = self.tasks(at);
        let at = self.required(task, "catch")?;
        let object = self.object(&at, &CATCH)?;
        let with = self.optional(&object, "errors", Self::errors);
        let variable = self.variable_or(&object, "as", "error");
        let names = [variable.as_deref().unwrap_or("error")];
        let (when, except_when, retry, handler) = self.within(&names, |reader| {
            (
                reader.error_condition(&object, "when"),
                reader.error_condition(&object, "exceptWhen"),
                reader.optional(&object, "retry", Self::retry),
                reader.optional(&object, "do", Self::tasks),
            )
        });
        let then = self.optional(&object, "then", |reader, at| reader.then(at, siblings));
        body?;
        Some(Catch {
            with: with?.unwrap_or_default(),
            variable: variable?,
            when: when?,
            except_when: except_when?,
            retry: retry?,
            handles: handler?.is_some(),
            then: then?,
        })
    }

    /// Reads a condition on an error. The error is a variable, and `.` is the task's input; a
    /// condition that seems to confuse them gets a warning.
    #[expect(clippy::option_option, reason = "left out and wrong differ")]
    fn error_condition(&mut self, object: &Object<'_>, key: &str) -> Option<Option<Expression>> {
        let condition = self.body_condition(object, key)?;
        let error = self.scope.last().cloned().unwrap_or_default();
        if let (Some(condition), Some(at)) = (&condition, object.get(key))
            && !condition.text().contains(&format!("${error}"))
            && let Some(property) = key_of_input(condition.text(), &ERROR_PROPERTIES)
        {
            let offset = at.value.as_str().and_then(|text| {
                let read = format!(".{property}");
                text.find(&read)
            });
            self.warn(
                &at,
                offset.unwrap_or_default(),
                &format!("reads `.{property}` of the task's input, not of the error"),
                &format!("the error is `${error}`: write `${error}.{property}`"),
            );
        }
        Some(condition)
    }

    fn errors(&mut self, at: &At<'_>) -> Option<ErrorFilter> {
        let object = self.object(at, &ERRORS)?;
        let Some(at) = object.get("with") else {
            return Some(ErrorFilter::default());
        };
        let object = self.object(&at, &ERROR_FILTER)?;
        if object.is_empty() {
            self.wrong(&at, "has no properties to match");
            return None;
        }
        let mut text = |key| {
            self.optional(&object, key, |reader, at| {
                reader.name(at).map(str::to_owned)
            })
        };
        let (kind, instance) = (text("type"), text("instance"));
        let (title, detail) = (text("title"), text("detail"));
        if let Some(at) = object.get("type") {
            self.error_type(&at);
        }
        let status = self.optional(&object, "status", Self::status);
        Some(ErrorFilter {
            kind: kind?,
            status: status?,
            instance: instance?,
            title: title?,
            detail: detail?,
        })
    }

    /// Reports an error type that is a bare word.
    ///
    /// The type of an error is a URI, which can be relative. A bare word is only the name of one
    /// of the specification's types, and no error has it as its type.
    fn error_type(&mut self, at: &At<'_>) {
        let Value::String(text) = at.value else {
            return;
        };
        if !text.is_empty() && !text.contains([':', '/']) {
            self.wrong_with_hint(
                at,
                &format!("must be a URI, not {}", quoted(text)),
                "the specification's own types are \
                 `https://serverlessworkflow.io/spec/1.0.0/errors/` followed by a name, such as \
                 `communication`",
            );
        }
    }

    fn status(&mut self, at: &At<'_>) -> Option<u16> {
        let status = self.integer(at, 100..=599)?;
        u16::try_from(status).ok()
    }

    /// Reads a retry policy, or the name of a policy of `use.retries`.
    fn retry(&mut self, at: &At<'_>) -> Option<Retry> {
        let Value::String(name) = at.value else {
            return self.retry_policy(at);
        };
        let known = self.uses.retries.get(name).cloned();
        self.used.insert(("retries", name.clone()));
        if known.is_none() {
            let names: Vec<String> = self.uses.retries.keys().cloned().collect();
            self.unknown_name(at, name, "use/retries", &names);
        }
        known.flatten().map(|policy| Retry {
            shared: true,
            ..policy
        })
    }

    pub(super) fn retry_policy(&mut self, at: &At<'_>) -> Option<Retry> {
        let object = self.object(at, &RETRY)?;
        let when = self.error_condition(&object, "when");
        let except_when = self.error_condition(&object, "exceptWhen");
        let delay = self.optional(&object, "delay", Self::length);
        let backoff = self.optional(&object, "backoff", Self::backoff);
        let jitter = self.optional(&object, "jitter", Self::jitter);
        let limit = self.optional(&object, "limit", Self::limit);
        let (attempts, attempt_duration, duration) = limit?.unwrap_or_default();
        Some(Retry {
            shared: false,
            when: when?,
            except_when: except_when?,
            delay: delay?.unwrap_or(DELAY),
            backoff: backoff?.unwrap_or_default(),
            attempts,
            attempt_duration,
            duration,
            jitter: jitter?,
        })
    }

    fn backoff(&mut self, at: &At<'_>) -> Option<Backoff> {
        let object = self.object(at, &BACKOFF)?;
        let kinds = [
            ("constant", Backoff::Constant),
            ("linear", Backoff::Linear),
            ("exponential", Backoff::Exponential),
        ];
        let mut found = Vec::new();
        for (key, backoff) in kinds {
            if let Some(at) = object.get(key) {
                if at.value.as_object().is_none_or(|map| !map.is_empty()) {
                    self.wrong(&at, "must be `{}`: it has no keys");
                }
                found.push(backoff);
            }
        }
        if let [backoff] = found.as_slice() {
            return Some(*backoff);
        }
        let message = format!("{} must have one key", at.shown());
        self.problem(at, Target::Key, message).hint =
            Some("the keys are constant, linear, exponential".to_owned());
        None
    }

    fn jitter(&mut self, at: &At<'_>) -> Option<(Length, Length)> {
        let object = self.object(at, &JITTER)?;
        let from = self
            .required(&object, "from")
            .and_then(|at| self.length(&at));
        let to = self.required(&object, "to").and_then(|at| self.length(&at));
        let (from, to) = (from?, to?);
        if let (Length::Fixed(from), Length::Fixed(to)) = (&from, &to)
            && from > to
        {
            self.wrong(at, "must not end before it begins");
            return None;
        }
        Some((from, to))
    }

    fn limit(&mut self, at: &At<'_>) -> Option<(Option<u32>, Option<Length>, Option<Length>)> {
        let object = self.object(at, &LIMIT)?;
        let attempt = self.optional(&object, "attempt", |reader, at| {
            let object = reader.object(at, &ATTEMPT)?;
            let count = reader.optional(&object, "count", |reader, at| {
                reader.integer(at, 0..=u32::MAX)
            });
            let duration = reader.optional(&object, "duration", Self::length);
            Some((count?, duration?))
        });
        let duration = self.optional(&object, "duration", Self::length);
        let (count, attempt_duration) = attempt?.unwrap_or_default();
        Some((count, attempt_duration, duration?))
    }

    pub(super) fn raise(&mut self, at: &At<'_>) -> Option<Arc<RaisedError>> {
        let object = self.object(at, &RAISE)?;
        let at = self.required(&object, "error")?;
        let Value::String(name) = at.value else {
            return self.raised_error(&at);
        };
        let known = self.uses.errors.get(name).cloned();
        self.used.insert(("errors", name.clone()));
        if known.is_none() {
            let names: Vec<String> = self.uses.errors.keys().cloned().collect();
            self.unknown_name(&at, name, "use/errors", &names);
        }
        known.flatten()
    }

    pub(super) fn raised_error(&mut self, at: &At<'_>) -> Option<Arc<RaisedError>> {
        let object = self.object(at, &ERROR)?;
        let kind = self.required(&object, "type").and_then(|at| {
            let kind = self.text_template(&at)?;
            if let Template::Literal(Value::String(text)) = &kind {
                self.error_type(&at);
                self.has_no_braces(&at, text);
            }
            Some(kind)
        });
        let status = self
            .required(&object, "status")
            .and_then(|at| self.status(&at));
        let title = self.optional(&object, "title", Self::text_template);
        let detail = self.optional(&object, "detail", Self::text_template);
        let instance = self.optional(&object, "instance", Self::text_template);
        Some(Arc::new(RaisedError {
            kind: kind?,
            status: status?,
            title: title?,
            detail: detail?,
            instance: instance?,
        }))
    }
}
