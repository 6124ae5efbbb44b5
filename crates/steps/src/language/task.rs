//! Reader of task lists and of each task's kind and common keys.

use almanac_base::nearest;
use almanac_base::text::quoted;
use serde_json::Value;

use super::reader::{At, Object, Reader, Target};
use super::shapes::{TASK, TEMPORAL};
use super::template::runtime_expression;
use super::{Call, Expression, Kind, Process, Run, Stage, Task, Then};

/// Maximum length of a step's name, in bytes. The name is a part of the path of every step
/// inside.
const STEP_NAME_LIMIT: usize = 100;

/// The kinds of task, each with the keys that it has beside the common keys.
pub const KINDS: [(&str, &[&str]); 12] = [
    ("call", &["with"]),
    ("do", &[]),
    ("emit", &[]),
    ("for", &["while", "do"]),
    ("fork", &[]),
    ("listen", &["foreach"]),
    ("raise", &[]),
    ("run", &[]),
    ("set", &[]),
    ("switch", &[]),
    ("try", &["catch"]),
    ("wait", &[]),
];
/// Values of `then` that are not the name of a step.
const DIRECTIVES: [&str; 3] = ["continue", "exit", "end"];
const COMMON: &[&str] = &[
    "if", "then", "input", "output", "export", "timeout", "metadata",
];

/// The names that the tasks of a list may use in `then`.
pub(super) struct Siblings<'n> {
    /// The names. `None` if the list is not a sequence, such as the branches of a `fork`.
    names: Option<Vec<&'n str>>,
}

impl Reader {
    /// Reads a task list and stores it under its path.
    pub(super) fn tasks(&mut self, at: &At<'_>) -> Option<()> {
        self.task_list(at, false)
    }

    pub(super) fn task_list(&mut self, at: &At<'_>, branches: bool) -> Option<()> {
        let items = self.ordered(at, "a list of steps")?;
        if items.is_empty() {
            self.wrong(at, "has no steps");
            return None;
        }
        if !self.enter(at) {
            return None;
        }
        let names: Vec<&str> = items.iter().filter_map(name_of).collect();
        self.repeated_names(at, items);
        let siblings = Siblings {
            names: (!branches).then_some(names),
        };
        let mut tasks = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = at.item(index, item);
            let Some((name, body)) = self.single(&at) else {
                continue;
            };
            if name.len() > STEP_NAME_LIMIT {
                let (bytes, name) = (name.len(), quoted(name));
                let what = format!(
                    "has a name of {bytes} bytes, over the limit of {STEP_NAME_LIMIT}: {name}"
                );
                self.wrong(&at, &what);
                continue;
            }
            let at = at.key(name, body);
            self.nameable(&at, name, &siblings);
            if !self.count_task(&at) {
                break;
            }
            tasks.extend(self.task(&at, name, &siblings));
        }
        let whole = tasks.len() == items.len();
        self.leave(at.path(), tasks);
        whole.then_some(())
    }

    /// Reads a step: a map whose single key is the step's name.
    fn single<'v>(&mut self, at: &At<'v>) -> Option<(&'v str, &'v Value)> {
        match at.value {
            Value::Object(map) if map.len() == 1 => {
                let (name, body) = map.iter().next()?;
                Some((name, body))
            }
            Value::Object(map) => {
                let message = format!(
                    "{} must have one key, the step's name, not {}",
                    at.shown(),
                    map.len()
                );
                self.problem(at, Target::Value, message).hint = Some(
                    "write `- name: { wait: { seconds: 5 } }`; begin each step with `-`, and indent the task under its name".to_owned(),
                );
                None
            }
            Value::String(text) if TASK.keys.contains(&text.as_str()) => {
                self.unnamed(at, text);
                None
            }
            _ => {
                self.mismatch(at, "a step like `name: { wait: { seconds: 5 } }`");
                None
            }
        }
    }

    fn unnamed(&mut self, at: &At<'_>, key: &str) {
        let message = format!("{}: a step needs a name before `{key}`", at.shown());
        self.problem(at, Target::Key, message).hint =
            Some(format!("write `- name: {{ {key}: … }}`"));
    }

    /// Reports names that occur twice in a list. A flow directive refers to a task by its name,
    /// so the name must be unique.
    fn repeated_names(&mut self, at: &At<'_>, items: &[Value]) {
        let mut names: Vec<(&str, usize)> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Some((name_of(item)?, index)))
            .collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            if let [(first, before), (again, index)] = pair
                && first == again
            {
                let item = at.item(*index, &items[*index]);
                let at = item.key(again, &Value::Null);
                let message = format!(
                    "{} has the same name as step {before} of the list",
                    at.shown()
                );
                self.problem(&at, Target::Key, message).hint = Some(
                    "`then` refers to a step by its name; give each step its own name".to_owned(),
                );
            }
        }
    }

    /// Reports a name that a `then` could not refer to.
    fn nameable(&mut self, at: &At<'_>, name: &str, siblings: &Siblings<'_>) {
        let why = if name.is_empty() {
            "has an empty name"
        } else if siblings.names.is_some() && DIRECTIVES.contains(&name) {
            "is a flow directive; no `then` could refer to it"
        } else {
            return;
        };
        let message = format!("{} {why}", at.shown());
        self.problem(at, Target::Key, message).hint = Some("give the step another name".to_owned());
    }

    fn task(&mut self, at: &At<'_>, name: &str, siblings: &Siblings<'_>) -> Option<Task> {
        // `- set: {…}` without a name would be a step with the name `set`.
        let nameless = TASK.keys.contains(&name);
        let Value::Object(map) = at.value else {
            if nameless {
                self.unnamed(at, name);
            } else {
                self.mismatch(at, "a task like `wait: { seconds: 5 }`");
            }
            return None;
        };
        if nameless
            && !map
                .keys()
                .any(|key| KINDS.iter().any(|(kind, _)| kind == key))
        {
            self.unnamed(at, name);
            return None;
        }
        let object = self.object(at, &TASK)?;
        let kinds = self.kinds_of(&object);
        let condition = self.optional(&object, "if", |reader, at| {
            reader.condition(at, Stage::Condition)
        });
        let input = self.optional(&object, "input", |reader, at| {
            reader.input(at, Stage::TaskInput)
        });
        let output = self.optional(&object, "output", |reader, at| {
            reader.output(at, Stage::TaskOutput)
        });
        let export = self.optional(&object, "export", |reader, at| {
            reader.output(at, Stage::Export)
        });
        let timeout = self.optional(&object, "timeout", Self::timeout);
        let then = self.optional(&object, "then", |reader, at| reader.then(at, siblings));
        let temporal = self.optional(&object, "metadata", Self::metadata);
        // Every kind is read for its problems, although only one is allowed.
        let mut kinds: Vec<Option<Kind>> = kinds
            .into_iter()
            .map(|kind| self.kind(kind, &object, siblings))
            .collect();
        let kind = kinds.pop().filter(|_| kinds.is_empty());
        if let (Some(Some(kind)), Some(Some(_))) = (&kind, &temporal) {
            self.useless_options(&object, kind);
        }
        Some(Task {
            name: name.to_owned(),
            path: at.path(),
            condition: condition?,
            input: input?.unwrap_or_default(),
            output: output?.unwrap_or_default(),
            export: export?.unwrap_or_default(),
            timeout: timeout?,
            then: then?.unwrap_or_default(),
            temporal: temporal?.unwrap_or_default(),
            kind: kind??,
        })
    }

    /// Reports Temporal's options that have no effect on the task. Their author expects an
    /// effect.
    fn useless_options(&mut self, task: &Object<'_>, kind: &Kind) {
        let Some(metadata) = task.get("metadata") else {
            return;
        };
        let Some(Value::Object(options)) = metadata.value.get("temporal") else {
            return;
        };
        let (what, useful) = options_of(kind);
        for (key, value) in options {
            // The timer of the task's timeout shows the summary.
            let limit = key == "summary" && has_key(task, "timeout");
            if limit || useful.contains(&key.as_str()) {
                continue;
            }
            let at = metadata.key("temporal", &Value::Null);
            let at = at.key(key, value);
            let message = format!("{} has no effect on `{what}`", at.shown());
            self.problem(&at, Target::Key, message).hint = match (kind, useful) {
                (Kind::Call(Call::Activity(_)), _) => {
                    Some("its task queue is `task_queue` of `with`".to_owned())
                }
                (_, []) => None,
                _ => Some(format!("the options of `{what}` are {}", useful.join(", "))),
            };
        }
    }

    /// Returns the keys that state the kind of a task.
    ///
    /// There must be exactly one, and the task's other keys must go with it. Anything else is a
    /// problem.
    fn kinds_of(&mut self, object: &Object<'_>) -> Vec<&'static str> {
        let mut present: Vec<_> = KINDS
            .iter()
            .filter(|(kind, _)| has_key(object, kind))
            .collect();
        if present.iter().any(|(kind, _)| *kind == "for") {
            present.retain(|(kind, _)| *kind != "do");
        }
        match present.as_slice() {
            [] => {
                // A misspelled kind was reported as an unknown key, and a kind of an older DSL
                // was refused.
                if object.keys().all(|key| TASK.keys.contains(&key.as_str())) {
                    let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
                    let message = format!("{} has no task", object.at.shown());
                    self.problem(&object.at, Target::Key, message).hint =
                        Some(format!("a task is one of {}", kinds.join(", ")));
                }
            }
            [(kind, beside)] => {
                let stray: Vec<&String> = object
                    .keys()
                    .filter(|key| {
                        TASK.keys.contains(&key.as_str())
                            && key != kind
                            && !COMMON.contains(&key.as_str())
                            && !beside.contains(&key.as_str())
                    })
                    .collect();
                for key in stray {
                    let at = object.at.key(key, &Value::Null);
                    let message = format!("{} cannot be combined with `{kind}`", at.shown());
                    self.problem(&at, Target::Key, message);
                }
            }
            [(one, _), (other, _), ..] => {
                let message = format!("{} has both `{one}` and `{other}`", object.at.shown());
                self.problem(&object.at, Target::Key, message).hint =
                    Some("split it into two steps".to_owned());
            }
        }
        present.into_iter().map(|(kind, _)| *kind).collect()
    }

    fn kind(&mut self, kind: &str, task: &Object<'_>, siblings: &Siblings<'_>) -> Option<Kind> {
        let at = task.get(kind)?;
        match kind {
            "set" => self.set(&at).map(Kind::Set),
            "wait" => self.length(&at).map(Kind::Wait),
            "do" => self.tasks(&at).map(|()| Kind::Do),
            "switch" => self.switch(&at, siblings).map(Kind::Switch),
            "for" => self.for_each(&at, task).map(Kind::For),
            "fork" => self.fork(&at),
            "try" => self.try_catch(&at, task, siblings).map(Kind::Try),
            "raise" => self.raise(&at).map(Kind::Raise),
            "emit" => self.emit(&at).map(Kind::Emit),
            "listen" => self.listen(&at, task).map(Kind::Listen),
            "call" => self.call(&at, task).map(Kind::Call),
            _ => self.run(&at).map(Kind::Run),
        }
    }

    fn set(&mut self, at: &At<'_>) -> Option<super::Template> {
        match at.value {
            Value::Object(map) if map.is_empty() => {
                self.wrong(at, "sets nothing");
                None
            }
            Value::String(text) if runtime_expression(text).is_some() => {
                self.template(at, Stage::Body)
            }
            Value::Object(_) => {
                self.bare(at, Stage::Body, false);
                self.template(at, Stage::Body)
            }
            _ => {
                self.mismatch(at, "a map, or an expression `${ … }`");
                None
            }
        }
    }

    /// Reads a value that may be left out. The outer `None` means that the value is wrong.
    #[expect(clippy::option_option, reason = "left out and wrong differ")]
    pub(super) fn optional<T>(
        &mut self,
        object: &Object<'_>,
        key: &str,
        read: impl FnOnce(&mut Self, &At<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match object.get(key) {
            None => Some(None),
            Some(at) => read(self, &at).map(Some),
        }
    }

    pub(super) fn then(&mut self, at: &At<'_>, siblings: &Siblings<'_>) -> Option<Then> {
        let text = self.text(at)?;
        match text {
            "continue" => return Some(Then::Continue),
            "exit" => return Some(Then::Exit),
            "end" => return Some(Then::End),
            _ => {}
        }
        let Some(names) = &siblings.names else {
            let what = format!(
                "must be continue, exit or end in a branch, not {}",
                quoted(text)
            );
            self.wrong(at, &what);
            return None;
        };
        let found = names.iter().position(|name| *name == text);
        if found.is_none() {
            let what = format!("refers to {}, but the list has no such step", quoted(text));
            let hint = nearest::hint(text, names).unwrap_or_else(|| {
                "write continue, exit, end, or the name of a step of the same list".to_owned()
            });
            self.wrong_with_hint(at, &what, hint);
        }
        found.map(Then::Task)
    }

    /// Reads an optional condition in a task's body.
    #[expect(clippy::option_option, reason = "left out and wrong differ")]
    pub(super) fn body_condition(
        &mut self,
        object: &Object<'_>,
        key: &str,
    ) -> Option<Option<Expression>> {
        self.optional(object, key, |reader, at| reader.condition(at, Stage::Body))
    }
}

fn name_of(item: &Value) -> Option<&str> {
    let map = item.as_object().filter(|map| map.len() == 1)?;
    map.keys().next().map(String::as_str)
}

fn has_key(object: &Object<'_>, key: &str) -> bool {
    object.keys().any(|other| other == key)
}

/// Returns the name of a task's kind in messages, and the keys of `metadata.temporal` that affect
/// the task.
pub(super) fn options_of(kind: &Kind) -> (&'static str, &'static [&'static str]) {
    const OWN: &[&str] = TEMPORAL.keys;
    const ACTIVITY: &[&str] = &[
        "start_to_close",
        "schedule_to_close",
        "schedule_to_start",
        "heartbeat",
        "priority",
        "summary",
    ];
    const CHILD: &[&str] = &[
        "start_to_close",
        "schedule_to_close",
        "task_queue",
        "priority",
        "summary",
    ];
    match kind {
        Kind::Call(Call::Activity(_)) => ("call: activity", ACTIVITY),
        Kind::Call(_) => ("call", OWN),
        Kind::Emit(_) => ("emit", OWN),
        Kind::Run(Run {
            process: Process::Workflow { .. },
            ..
        }) => ("run: workflow", CHILD),
        Kind::Run(_) => ("run: shell", OWN),
        Kind::Wait(_) => ("wait", &["summary"]),
        Kind::Try(_) => ("try", &["summary"]),
        Kind::Set(_) => ("set", &[]),
        Kind::Do => ("do", &[]),
        Kind::Switch(_) => ("switch", &[]),
        Kind::For(_) => ("for", &[]),
        Kind::Fork { .. } => ("fork", &[]),
        Kind::Raise(_) => ("raise", &[]),
        Kind::Listen(_) => ("listen", &[]),
    }
}
