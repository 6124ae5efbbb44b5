//! Reading JSON: where one is, and what was found wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use almanac_base::nearest;
use serde_json::{Map, Value};

use super::shapes::Shape;
use super::{Authentication, DEPTH_LIMIT, Length, RaisedError, Retry, TASKS_LIMIT, Task, TaskList};

/// How much of a path is shown, in characters.
const SHOWN: usize = 1000;
/// How much is told of problems, in bytes.
const PROBLEMS_LIMIT: usize = 200_000;

/// How many problems are told of. Nobody reads more, and each is looked for in
/// the text.
pub(super) const PROBLEMS_MOST: usize = 1000;

/// What is wrong with steps, at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON pointer into the definition, `/do/0/name/call`.
    pub path: String,
    /// The part of that place that is meant.
    pub target: Target,
    /// What is wrong, with the path.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in a text, in bytes from its beginning.
    pub offset: usize,
}

/// The part of a place that a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The key, or the item of a list.
    Key,
    /// The value.
    Value,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An expression of the steps, and where it stands.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpressionSite {
    /// A JSON pointer into the definition.
    pub(crate) path: String,
    /// The expression, without `${` and `}`.
    pub(crate) text: String,
    /// The names of the variables that it may name, without `$`.
    pub(crate) variables: Vec<Arc<str>>,
}

/// A place in the JSON, with its value.
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

    /// The JSON pointer of the place (RFC 6901).
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

    /// The path as messages show it: its beginning, where it is long.
    pub(super) fn shown(&self) -> String {
        let mut path = String::new();
        self.show(&mut path);
        let path = path.strip_prefix('/').unwrap_or(&path);
        match path.char_indices().nth(SHOWN) {
            None => format!("`{path}`"),
            Some((end, _)) => format!("`{}…`", &path[..end]),
        }
    }

    /// Appends the path, as much of it as can be shown.
    fn show(&self, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.show(path);
        }
        // A character has four bytes at most; one more tells that there is more.
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

/// A map that was checked against its shape.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) at: At<'a>,
    shape: &'static Shape,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The place of a key; `None` when it is left out or has no value.
    pub(super) fn get<'s>(&'s self, key: &'s str) -> Option<At<'s>> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        Some(self.at.key(key, value))
    }

    /// Whether the key is written, with a value or without, or mistyped.
    pub(super) fn has(&self, key: &str) -> bool {
        let unknown = self.map.keys().map(String::as_str);
        let unknown = unknown.filter(|given| !self.shape.knows(given));
        self.map.contains_key(key) || nearest::is_meant(key, unknown, self.shape.keys)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a String> {
        self.map.keys()
    }
}

/// What `use` defines. What may be large is shared by those that name it.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub(super) secrets: BTreeSet<String>,
    pub(super) errors: BTreeMap<String, Option<Arc<RaisedError>>>,
    pub(super) retries: BTreeMap<String, Option<Retry>>,
    pub(super) timeouts: BTreeMap<String, Option<Length>>,
    pub(super) authentications: BTreeMap<String, Option<Arc<Authentication>>>,
}

/// Collects what is found while steps are read.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
    /// What can be, and is hardly meant.
    pub(super) warnings: Vec<Problem>,
    /// Whether an expression may look at the header of the definition.
    pub(super) reads_header: bool,
    #[cfg(test)]
    pub(super) expressions: Vec<ExpressionSite>,
    pub(super) lists: BTreeMap<String, TaskList>,
    pub(super) uses: Uses,
    /// What of `use` tasks name, by its part.
    pub(super) used: BTreeSet<(&'static str, String)>,
    /// The variables that tasks around the present place define.
    pub(super) scope: Vec<Arc<str>>,
    depth: usize,
    tasks: usize,
    /// What the problems take, in bytes.
    told: usize,
}

impl Reader {
    pub(super) fn problem(&mut self, at: &At<'_>, target: Target, message: String) -> &mut Problem {
        let path = at.path();
        // Nobody reads more than that: the last stands for those after it.
        if self.is_full(self.problems.len()) {
            self.problems.pop();
        }
        self.told = self.told.saturating_add(path.len() + message.len());
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

    /// Whether no more is told after so many problems.
    pub(super) fn is_full(&self, count: usize) -> bool {
        self.told > PROBLEMS_LIMIT || count >= PROBLEMS_MOST
    }

    /// Reports that a value is not what it must be.
    pub(super) fn wrong(&mut self, at: &At<'_>, what: &str) {
        let message = format!("{} {what}", at.shown());
        self.problem(at, Target::Value, message);
    }

    pub(super) fn wrong_with_hint(&mut self, at: &At<'_>, what: &str, hint: impl Into<String>) {
        let message = format!("{} {what}", at.shown());
        self.problem(at, Target::Value, message).hint = Some(hint.into());
    }

    /// Reports what can be, and is hardly meant; `offset` bytes into a text.
    pub(super) fn warn(&mut self, at: &At<'_>, offset: usize, what: &str, hint: &str) {
        // Nobody reads more than that.
        if self.is_full(self.warnings.len()) {
            return;
        }
        let (path, message) = (at.path(), format!("{} {what}", at.shown()));
        self.told = self.told.saturating_add(path.len() + message.len());
        self.warnings.push(Problem {
            path,
            target: Target::Value,
            message,
            hint: Some(hint.to_owned()),
            offset,
        });
    }

    /// The same, of a key.
    pub(super) fn warn_of_key(&mut self, at: &At<'_>, what: &str, hint: &str) {
        let before = self.warnings.len();
        self.warn(at, 0, what, hint);
        if let Some(warning) = self.warnings.get_mut(before) {
            warning.target = Target::Key;
        }
    }

    /// Reports that a value has another type than it must have.
    pub(super) fn mismatch(&mut self, at: &At<'_>, expected: &str) {
        let what = format!("must be {expected}, not {}", super::describe(at.value));
        self.wrong(at, &what);
    }

    /// Reports something of the specification that is not supported.
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

    /// The value of a key that must be there.
    pub(super) fn required<'s>(&mut self, object: &'s Object<'_>, key: &'s str) -> Option<At<'s>> {
        self.missing(object, key);
        object.get(key)
    }

    /// Reads a map with the keys of `shape`. Other keys are problems, and so
    /// are known ones without a value: one was forgotten.
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
            if let Some((_, hint)) = shape.refused.iter().find(|(name, _)| name == key) {
                self.unsupported(&at, Target::Key, *hint);
            } else if !shape.knows(key) {
                self.unknown_key(&at, key, shape);
            } else if value.is_null() {
                let message = format!("{} has no value", at.shown());
                self.problem(&at, Target::Key, message).hint =
                    Some("give it one, or remove the key".to_owned());
            }
        }
        Some(Object {
            at: *at,
            shape,
            map,
        })
    }

    fn unknown_key(&mut self, at: &At<'_>, key: &str, shape: &Shape) {
        let near = if self.problems.len() < nearest::MOST {
            nearest::nearest(key, shape.keys)
        } else {
            None
        };
        let hint = match near {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the keys are {}", shape.keys.join(", ")),
        };
        let message = format!("{} is not a key of {}", at.shown(), shape.name);
        self.problem(at, Target::Key, message).hint = Some(hint);
    }

    /// Counts a task; false, and a problem for the first, over the limit.
    pub(super) fn count_task(&mut self, at: &At<'_>) -> bool {
        self.tasks += 1;
        if self.tasks == TASKS_LIMIT + 1 {
            let message = format!("{} is task {}, over the limit", at.shown(), self.tasks);
            self.problem(at, Target::Key, message).hint = Some(format!(
                "a definition has at most {TASKS_LIMIT} tasks; a part can be a workflow of its own"
            ));
        }
        self.tasks <= TASKS_LIMIT
    }

    /// Enters a task list; false, and a problem, when it is nested too deep.
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

    /// Reads a part in which these variables are defined, too.
    pub(super) fn within<T>(&mut self, variables: &[&str], part: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.scope.len();
        self.scope
            .extend(variables.iter().map(|name| Arc::from(*name)));
        let result = part(self);
        self.scope.truncate(before);
        result
    }
}
