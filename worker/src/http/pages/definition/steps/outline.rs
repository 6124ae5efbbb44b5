//! The steps as the page shows them: names, kinds in words, and the places at which each
//! step continues.
//!
//! An outline is small: it has at most [`STEPS`] steps and [`DEPTH`] levels, and says how many
//! it leaves out.

use almanac_steps::language::{
    Call, Case, Catch, Flow, Kind, Length, Listen, Process, Run, Task, Template, Then,
};
use serde_json::Value;

use crate::time_text::span;
use crate::wording::counted;

/// Maximum number of steps that are shown.
pub(super) const STEPS: usize = 60;
/// Maximum number of steps of a nested list that are shown, so that one list cannot hide the
/// rest.
const NESTED: usize = 15;
/// Maximum number of levels of lists that are shown.
pub(super) const DEPTH: usize = 4;
/// Maximum number of cases of a `switch` that are shown.
const CASES: usize = 12;

/// A list of steps.
#[derive(Debug, PartialEq)]
pub(super) struct Steps {
    /// Words that say when the list runs. Empty for the outermost list.
    pub(super) caption: String,
    pub(super) order: Order,
    pub(super) shown: Vec<Step>,
    /// Number of steps of the list that are not shown.
    pub(super) more: usize,
}

impl Steps {
    /// The paths of all steps that are shown.
    pub(super) fn paths(&self) -> Vec<&str> {
        let mut paths = Vec::new();
        for step in &self.shown {
            paths.push(step.path.as_str());
            paths.extend(step.lists.iter().flat_map(Self::paths));
        }
        paths
    }
}

/// The order in which the steps of a list run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Once,
    /// From the first to the last, for each item.
    Loop,
    /// All at the same time.
    Together,
}

/// A step.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    pub(super) name: String,
    /// Path of the step: a JSON pointer.
    pub(super) path: String,
    /// The step's work in words.
    pub(super) work: String,
    pub(super) is_switch: bool,
    /// The condition without which the step is left out.
    pub(super) condition: Option<String>,
    /// The places at which the run continues, if there is more to say than "the next step".
    pub(super) exits: Vec<Exit>,
    /// Number of cases that are not shown.
    pub(super) more_exits: usize,
    /// `true` if the next step of the list may follow.
    pub(super) continues: bool,
    pub(super) lists: Vec<Steps>,
    /// Number of steps in lists that are too deep to be shown.
    pub(super) inside: usize,
}

/// A way out of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exit {
    /// Name of the case, or words that say when the run takes this way. Empty for always.
    pub(super) name: String,
    /// The condition of a case.
    pub(super) when: Option<String>,
    pub(super) to: To,
    /// `true` if the place is the next one in the drawing.
    pub(super) follows: bool,
}

/// The place at which a run continues after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// The next step of the list.
    Next,
    /// The end of the list.
    Leave,
    /// The end of the run.
    End,
    /// The step of the same list with this index and name.
    Step(usize, String),
}

impl To {
    /// The place in words. `is_outermost`: the list is that of the whole run.
    pub(super) fn words(&self, is_outermost: bool) -> &str {
        match self {
            Self::Next => "next step",
            Self::Leave if !is_outermost => "end of these steps",
            Self::Leave | Self::End => "end",
            Self::Step(_, name) => name,
        }
    }
}

/// The outline of steps.
pub(super) fn outline(flow: &Flow) -> Steps {
    let mut reader = Reader { flow, left: STEPS };
    reader.steps(Flow::ROOT, 0, String::new(), Order::Once)
}

struct Reader<'f> {
    flow: &'f Flow,
    /// Number of steps that may still be shown.
    left: usize,
}

impl Reader<'_> {
    fn steps(&mut self, path: &str, depth: usize, caption: String, order: Order) -> Steps {
        let tasks = self.flow.list(path);
        let limit = if depth == 0 { STEPS } else { NESTED };
        let mut shown = Vec::new();
        for task in tasks.iter().take(limit) {
            // Each step that follows in this list has a claim to a place, too.
            let Some(left) = self.left.checked_sub(1) else {
                break;
            };
            self.left = left;
            let siblings = tasks.len().min(limit) - shown.len() - 1;
            let kept = siblings.min(self.left);
            self.left -= kept;
            shown.push(self.step(task, tasks, depth));
            self.left += kept;
        }
        Steps {
            caption,
            order,
            more: tasks.len() - shown.len(),
            shown,
        }
    }

    fn step(&mut self, task: &Task, siblings: &[Task], depth: usize) -> Step {
        let nested = nested(task);
        let (mut lists, mut inside) = (Vec::new(), 0);
        for (path, caption, order) in nested {
            if depth + 1 < DEPTH && self.left > 0 {
                lists.push(self.steps(&path, depth + 1, caption, order));
            } else {
                inside += self.count(&path);
            }
        }
        let index = siblings.iter().position(|one| one.path == task.path);
        let following = index.map_or(0, |index| index + 1);
        // The last step of a list leads to its end in any case.
        let follows = |to: &To| match to {
            To::Next => true,
            To::Step(index, _) => *index == following,
            To::Leave => following == siblings.len(),
            To::End => following == siblings.len() && depth == 0,
        };
        let mut exits = exits(task, siblings);
        for exit in &mut exits {
            exit.follows = follows(&exit.to);
        }
        let continues = task.condition.is_some()
            || match &task.kind {
                Kind::Raise(_) => false,
                _ => exits.is_empty() || exits.iter().any(|exit| exit.follows),
            };
        // "The next step" is the rule: only a `switch` says so.
        if !matches!(task.kind, Kind::Switch(_)) {
            exits.retain(|exit| !exit.follows);
        }
        let more_exits = exits.len().saturating_sub(CASES);
        exits.truncate(CASES);
        Step {
            name: task.name.clone(),
            path: task.path.clone(),
            work: work(&task.kind),
            is_switch: matches!(task.kind, Kind::Switch(_)),
            condition: task.condition.as_ref().map(|it| it.text().to_owned()),
            exits,
            more_exits,
            continues,
            lists,
            inside,
        }
    }

    /// Number of steps of a list, with all that are nested in it.
    fn count(&self, path: &str) -> usize {
        let below = format!("{path}/");
        let lists = self.flow.lists.range(path.to_owned()..);
        lists
            .take_while(|(list, _)| list.starts_with(path))
            .filter(|(list, _)| *list == path || list.starts_with(&below))
            .map(|(_, tasks)| tasks.len())
            .sum()
    }
}

/// The lists of a task: path, words and order.
fn nested(task: &Task) -> Vec<(String, String, Order)> {
    let path = &task.path;
    let at = |list: &str| format!("{path}/{list}");
    match &task.kind {
        Kind::Do => vec![(at("do"), String::new(), Order::Once)],
        Kind::For(_) => vec![(at("do"), String::new(), Order::Loop)],
        Kind::Fork { compete } => {
            let caption = if *compete {
                "at the same time; the first that ends counts"
            } else {
                "at the same time"
            };
            vec![(at("fork/branches"), caption.to_owned(), Order::Together)]
        }
        Kind::Try(catch) => {
            let mut lists = vec![(at("try"), String::new(), Order::Once)];
            if catch.handles {
                let caption = format!("after {}", caught(catch));
                lists.push((at("catch/do"), caption, Order::Once));
            }
            lists
        }
        Kind::Listen(Listen {
            each: Some(each), ..
        }) if each.handles => {
            let caption = "for each event".to_owned();
            vec![(at("foreach/do"), caption, Order::Loop)]
        }
        _ => Vec::new(),
    }
}

/// The ways out of a task, in their order.
fn exits(task: &Task, siblings: &[Task]) -> Vec<Exit> {
    let to = |then: &Then| match then {
        Then::Continue => To::Next,
        Then::Exit => To::Leave,
        Then::End => To::End,
        Then::Task(index) => {
            let name = siblings.get(*index).map(|task| task.name.clone());
            To::Step(*index, name.unwrap_or_default())
        }
    };
    let always = |name: &str, then: &Then| Exit {
        name: name.to_owned(),
        when: None,
        to: to(then),
        follows: false,
    };
    match &task.kind {
        Kind::Switch(cases) => {
            let case = |case: &Case| Exit {
                name: case.name.clone(),
                when: case.when.as_ref().map(|it| it.text().to_owned()),
                to: to(&case.then),
                follows: false,
            };
            let mut exits: Vec<_> = cases.iter().map(case).collect();
            if cases.iter().all(|case| case.when.is_some()) {
                exits.push(always("otherwise", &task.then));
            }
            exits
        }
        Kind::Try(Catch {
            then: Some(then), ..
        }) => vec![always("", &task.then), always("after a caught error", then)],
        Kind::Try(_) => vec![always("", &task.then)],
        _ if task.then == Then::Continue => Vec::new(),
        _ => vec![always("", &task.then)],
    }
}

/// The work of a task in words.
fn work(kind: &Kind) -> String {
    let literal = |template: &Template| match template {
        Template::Literal(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let with = |word: &str, detail: Option<String>| match detail {
        Some(detail) if !detail.is_empty() => format!("{word} {detail}"),
        _ => word.to_owned(),
    };
    match kind {
        Kind::Set(_) => "set".to_owned(),
        Kind::Wait(Length::Fixed(length)) if length.as_secs() > 0 => {
            format!("wait {}", span(*length, 2))
        }
        Kind::Wait(_) => "wait".to_owned(),
        Kind::Do => "do".to_owned(),
        Kind::Switch(_) => "switch".to_owned(),
        Kind::For(each) => format!("for each {}", each.each),
        Kind::Fork { .. } => "fork".to_owned(),
        Kind::Try(catch) => attempts(catch),
        Kind::Raise(error) => format!("raise error {}", error.status),
        Kind::Emit(attributes) => with("emit", attribute(attributes, "type", &literal)),
        Kind::Listen(_) => "listen".to_owned(),
        Kind::Call(Call::Http(call)) => {
            let method = literal(&call.method).map(|method| method.to_uppercase());
            with("call http", method)
        }
        Kind::Call(Call::OpenApi(call)) => with("call openapi", literal(&call.operation)),
        Kind::Call(Call::Activity(call)) => with("call activity", literal(&call.name)),
        Kind::Run(Run {
            process: Process::Workflow { name, .. },
            ..
        }) => format!("run workflow {name}"),
        Kind::Run(Run {
            process: Process::Shell { command, .. },
            ..
        }) => with("run", literal(command)),
    }
}

/// The text of a property of a map.
fn attribute(
    map: &Template,
    key: &str,
    literal: &impl Fn(&Template) -> Option<String>,
) -> Option<String> {
    match map {
        Template::Map(entries) => {
            let (_, value) = entries.iter().find(|(name, _)| name == key)?;
            literal(value)
        }
        Template::Literal(value) => value.get(key)?.as_str().map(str::to_owned),
        _ => None,
    }
}

fn attempts(catch: &Catch) -> String {
    match &catch.retry {
        None => "try".to_owned(),
        Some(retry) => match retry.attempts {
            Some(count) => {
                let retries = counted(u64::from(count), "retry", "retries");
                format!("try, {retries}")
            }
            None => "try, with retries".to_owned(),
        },
    }
}

/// The errors that a `catch` takes.
fn caught(catch: &Catch) -> String {
    match catch.with.status {
        Some(status) => format!("an error {status}"),
        None => "an error".to_owned(),
    }
}
