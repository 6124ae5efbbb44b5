//! The reader of steps as JSON: the current place, and the problems found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use almanac_base::shape::{KeyFault, Shape};
use serde_json::{Map, Value};

use super::{Authentication, DEPTH_LIMIT, Length, RaisedError, Retry, TASKS_LIMIT, Task, TaskList};

/// Maximum length of a path in messages, in characters.
const SHOWN: usize = 1000;
/// Maximum size of all problems and warnings together, in bytes.
const PROBLEMS_LIMIT: usize = 200_000;

/// Maximum number of problems, and of warnings. Nobody reads more, and each needs a search in the
/// text of the definition.
pub(super) const PROBLEMS_MOST: usize = 1000;

/// A problem at a place of the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place: a JSON pointer into the definition, such as `/do/0/name/call`.
    pub path: String,
    /// The part of the place that has the problem.
    pub target: Target,
    /// The description of the problem, with the path.
    pub message: String,
    /// The advice for a fix.
    pub hint: Option<String>,
    /// The position of the problem inside a text, in bytes from the text's beginning.
    pub offset: usize,
}

/// The part of a place that a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The key, or the item of a list.
    Key,
    /// The value of the key or item.
    Value,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An expression of the steps and its place.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpressionSite {
    /// The place: a JSON pointer into the definition.
    pub(crate) path: String,
    /// The expression, without `${` and `}`.
    pub(crate) text: String,
    /// The names of the variables that the expression may use, without `$`.
    pub(crate) variables: Vec<Arc<str>>,
}

/// A place in the JSON and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    token: Token<'a>,
    pub(super) value: &'a Value,
}

#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            parent: None,
            token: Token::Root,
            value,
        }
    }

    pub(super) fn key<'s>(&'s self, key: &'s str, value: &'s Value) -> At<'s> {
        At {
            parent: Some(self),
            token: Token::Key(key),
            value,
        }
    }

    pub(super) fn item<'s>(&'s self, index: usize, value: &'s Value) -> At<'s> {
        At {
            parent: Some(self),
            token: Token::Index(index),
            value,
        }
    }

    /// Returns the JSON pointer of the place (RFC 6901).
    pub(super) fn path(&self) -> String {
        let mut path = self.parent.map(At::path).unwrap_or_default();
        match self.token {
            Token::Root => {}
            Token::Key(key) => {
                path.push('/');
                path.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Token::Index(index) => {
                path.push('/');
                path.push_str(&index.to_string());
            }
        }
        path
    }

    /// Returns the path for messages. A long path is cut after its beginning.
    pub(super) fn shown(&self) -> String {
        let mut path = String::new();
        self.show(&mut path);
        let path = path.strip_prefix('/').unwrap_or(&path);
        match path.char_indices().nth(SHOWN) {
            None => format!("`{path}`"),
            Some((end, _)) => format!("`{}…`", &path[..end]),
        }
    }

    /// Appends the path to `path`, up to the length that messages show.
    fn show(&self, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.show(path);
        }
        // A character has at most four bytes. One more character shows that the path is longer.
        if path.len() > 4 * SHOWN + 4 {
            return;
        }
        match self.token {
            Token::Root => {}
            Token::Key(key) => {
                path.push('/');
                for c in key.chars().take(SHOWN + 2) {
                    match c {
                        '~' => path.push_str("~0"),
                        '/' => path.push_str("~1"),
                        c => path.push(c),
                    }
                }
            }
            Token::Index(index) => {
                path.push('/');
                path.push_str(&index.to_string());
            }
        }
    }
}

/// A map whose keys were checked against a shape.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) at: At<'a>,
    shape: &'static Shape,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// Returns the place of a key's value. `None` if the key is left out or has no value.
    pub(super) fn get<'s>(&'s self, key: &'s str) -> Option<At<'s>> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        Some(self.at.key(key, value))
    }

    /// Returns `true` if the key is present, with or without a value, or if an unknown key is
    /// probably a misspelling of it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.shape.has(key, self.map.keys().map(String::as_str))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a String> {
        self.map.keys()
    }
}

/// The definitions of `use`. Definitions that may be large are shared by the tasks that name
/// them.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub(super) secrets: BTreeSet<String>,
    pub(super) errors: BTreeMap<String, Option<Arc<RaisedError>>>,
    pub(super) retries: BTreeMap<String, Option<Retry>>,
    pub(super) timeouts: BTreeMap<String, Option<Length>>,
    pub(super) authentications: BTreeMap<String, Option<Arc<Authentication>>>,
}

/// Reads steps and collects the results, problems and warnings.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
    /// Warnings about steps that are valid but probably not intended.
    pub(super) warnings: Vec<Problem>,
    /// `true` if an expression may read the header of the definition.
    pub(super) reads_header: bool,
    #[cfg(test)]
    pub(super) expressions: Vec<ExpressionSite>,
    pub(super) lists: BTreeMap<String, TaskList>,
    pub(super) uses: Uses,
    /// The names of `use` that tasks refer to, each after its part of `use`.
    pub(super) used: BTreeSet<(&'static str, String)>,
    /// Variables that the tasks around the current place define.
    pub(super) scope: Vec<Arc<str>>,
    depth: usize,
    tasks: usize,
    /// Size of the problems and warnings so far, in bytes.
    reported_bytes: usize,
}

impl Reader {
    pub(super) fn problem(&mut self, at: &At<'_>, target: Target, message: String) -> &mut Problem {
        let path = at.path();
        // Nobody reads more problems than that, so the new problem replaces the last one.
        if self.is_full(self.problems.len()) {
            self.problems.pop();
        }
        self.reported_bytes = self
            .reported_bytes
            .saturating_add(path.len() + message.len());
        self.problems.push(Problem {
            path,
            target,
            message,
            hint: None,
            offset: 0,
        });
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Returns `true` if no further problem is reported after `count` problems.
    pub(super) fn is_full(&self, count: usize) -> bool {
        self.reported_bytes > PROBLEMS_LIMIT || count >= PROBLEMS_MOST
    }

    /// Reports that a value is wrong.
    pub(super) fn wrong(&mut self, at: &At<'_>, what: &str) {
        let message = format!("{} {what}", at.shown());
        self.problem(at, Target::Value, message);
    }

    pub(super) fn wrong_with_hint(&mut self, at: &At<'_>, what: &str, hint: impl Into<String>) {
        let message = format!("{} {what}", at.shown());
        self.problem(at, Target::Value, message).hint = Some(hint.into());
    }

    /// Warns of a value that is valid but probably not intended. `offset` is the position inside
    /// a text, in bytes.
    pub(super) fn warn(&mut self, at: &At<'_>, offset: usize, what: &str, hint: &str) {
        // Nobody reads more warnings than that.
        if self.is_full(self.warnings.len()) {
            return;
        }
        let (path, message) = (at.path(), format!("{} {what}", at.shown()));
        self.reported_bytes = self
            .reported_bytes
            .saturating_add(path.len() + message.len());
        self.warnings.push(Problem {
            path,
            target: Target::Value,
            message,
            hint: Some(hint.to_owned()),
            offset,
        });
    }

    /// Warns of a key that is valid but probably not intended.
    pub(super) fn warn_of_key(&mut self, at: &At<'_>, what: &str, hint: &str) {
        let before = self.warnings.len();
        self.warn(at, 0, what, hint);
        if let Some(warning) = self.warnings.get_mut(before) {
            warning.target = Target::Key;
        }
    }

    /// Reports that a value does not have the expected type.
    pub(super) fn mismatch(&mut self, at: &At<'_>, expected: &str) {
        let what = format!("must be {expected}, not {}", super::describe(at.value));
        self.wrong(at, &what);
    }

    /// Reports a part of the specification that is not supported.
    pub(super) fn unsupported(&mut self, at: &At<'_>, target: Target, hint: Option<&str>) {
        let message = format!("{} is not supported", at.shown());
        self.problem(at, target, message).hint = hint.map(str::to_owned);
    }

    pub(super) fn missing(&mut self, object: &Object<'_>, key: &str) {
        if !object.has(key) {
            let path = object.at.shown();
            let path = path.trim_matches('`');
            let slash = if path.is_empty() { "" } else { "/" };
            let message = format!("`{path}{slash}{key}` is missing");
            self.problem(&object.at, Target::Key, message);
        }
    }

    /// Returns the value of a key. A missing key is a problem.
    pub(super) fn required<'s>(&mut self, object: &'s Object<'_>, key: &'s str) -> Option<At<'s>> {
        self.missing(object, key);
        object.get(key)
    }

    /// Reads a map with the keys of `shape`.
    ///
    /// Unknown keys are problems. Known keys without a value are problems too, because the author
    /// probably forgot the value.
    pub(super) fn object<'s>(
        &mut self,
        at: &'s At<'s>,
        shape: &'static Shape,
    ) -> Option<Object<'s>> {
        let Value::Object(map) = at.value else {
            self.mismatch(at, "a map");
            return None;
        };
        for (key, value) in map {
            let at = at.key(key, value);
            match shape.fault(key, value.is_null(), self.problems.len()) {
                None => {}
                Some(KeyFault::Refused(hint)) => self.unsupported(&at, Target::Key, hint),
                Some(KeyFault::Unknown(hint)) => {
                    let message = format!("{} is not a key of {}", at.shown(), shape.name);
                    self.problem(&at, Target::Key, message).hint = Some(hint);
                }
                Some(KeyFault::NoValue(hint)) => {
                    let message = format!("{} has no value", at.shown());
                    self.problem(&at, Target::Key, message).hint = Some(hint.to_owned());
                }
            }
        }
        Some(Object {
            at: *at,
            shape,
            map,
        })
    }

    /// Counts a task. Returns `false` over the limit; the first task over the limit is reported
    /// as a problem.
    pub(super) fn count_task(&mut self, at: &At<'_>) -> bool {
        self.tasks += 1;
        if self.tasks == TASKS_LIMIT + 1 {
            let message = format!("{} is task {}, over the limit", at.shown(), self.tasks);
            self.problem(at, Target::Key, message).hint = Some(format!(
                "a definition has at most {TASKS_LIMIT} tasks; move a part of it into a workflow \
                 of its own"
            ));
        }
        self.tasks <= TASKS_LIMIT
    }

    /// Enters a task list. Returns `false` and reports a problem if the list is nested too
    /// deeply.
    pub(super) fn enter(&mut self, at: &At<'_>) -> bool {
        if self.depth == DEPTH_LIMIT {
            let message = format!(
                "{} is nested deeper than {DEPTH_LIMIT} task lists",
                at.shown()
            );
            self.problem(at, Target::Key, message);
            return false;
        }
        self.depth += 1;
        true
    }

    pub(super) fn leave(&mut self, list: String, tasks: Vec<Task>) {
        self.depth -= 1;
        self.lists.insert(list, tasks.into());
    }

    /// Reads a part of the steps in which additional variables are defined.
    pub(super) fn within<T>(&mut self, variables: &[&str], part: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.scope.len();
        self.scope
            .extend(variables.iter().map(|name| Arc::from(*name)));
        let result = part(self);
        self.scope.truncate(before);
        result
    }
}
