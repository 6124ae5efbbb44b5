//! Definitions that triggers name in `after`, and cycles of definitions that start each other.
//!
//! Files are parsed one by one, so a parsed definition has only the names of other definitions. The
//! caller that holds all documents compares them here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use almanac_base::names::DefinitionId;
use almanac_base::nearest;
use almanac_steps::language::{Trigger, TriggerFilter};
use serde_json::Value;

use super::{Definition, Diagnostic, ParsedDocument, Program, Severity};

/// Maximum number of definitions among which a hint chooses.
const HINTED: usize = 50;
/// Maximum number of cycles whose definitions are named. Each costs a search.
const CYCLES_NAMED: usize = 100;
/// Maximum number of names in the message about a cycle.
const NAMES_SHOWN: usize = 20;

/// A definition that a trigger names in `after`, with the place of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AfterUse {
    /// Id of the other definition.
    pub definition: DefinitionId,
    /// Place of the key, as a diagnostic without a message.
    pub(super) at: Diagnostic,
}

impl AfterUse {
    /// Warning about a definition that is not among `known`. `None` if the definition is known.
    pub fn warning(&self, known: &BTreeSet<&DefinitionId>) -> Option<Diagnostic> {
        let id = &self.definition;
        if known.contains(id) {
            return None;
        }
        let names: Vec<&str> = known.iter().take(HINTED).map(|id| id.as_str()).collect();
        let hint = nearest::hint(id.as_str(), &names).or_else(|| {
            let is_duration = almanac_base::duration::parse(id.as_str()).is_ok();
            is_duration.then(|| {
                format!(
                    "to start the definition again some time after its own run, write \
                     `schedule: {{ after: {id} }}`"
                )
            })
        });
        Some(Diagnostic {
            severity: Severity::Warning,
            message: format!("there is no definition `{id}`: nothing starts after it"),
            hint,
            ..self.at.clone()
        })
    }
}

/// Cycles of definitions whose ends and events start each other without a condition.
#[derive(Debug, Default)]
pub struct Cycles {
    errors: BTreeMap<DefinitionId, Vec<Diagnostic>>,
}

/// A definition, or a type of events between two definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node<'a> {
    Definition(&'a DefinitionId),
    Event(&'a str),
}

impl std::fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Definition(id) => write!(f, "{id}"),
            Self::Event(kind) => write!(f, "event {kind}"),
        }
    }
}

/// A trigger without a condition: `from` starts `to`.
#[derive(Debug)]
struct Edge<'a> {
    from: Node<'a>,
    to: Node<'a>,
    /// Key and place of the trigger; `None` for the event of a step.
    place: Option<(&'static str, &'a Diagnostic)>,
}

/// The nodes that each node leads to.
type Graph<'a> = BTreeMap<Node<'a>, Vec<Node<'a>>>;

impl Cycles {
    /// Finds the cycles of valid definitions, each with its document. Of two documents with one id,
    /// the caller gives none.
    pub fn of<'a>(documents: impl Iterator<Item = (&'a Definition, &'a ParsedDocument)>) -> Self {
        let enabled: Vec<_> = documents.filter(|(one, _)| one.enabled).collect();
        // A definition that nothing starts is in no cycle, so its steps do not matter.
        let started = enabled.iter().filter(|(definition, document)| {
            let mut edges = Vec::new();
            incoming(definition, document, &mut edges);
            !edges.is_empty()
        });
        let emitted: Vec<_> = started
            .map(|(definition, _)| (&definition.id, emitted_types(definition)))
            .collect();
        let mut edges = Vec::new();
        for (definition, document) in &enabled {
            incoming(definition, document, &mut edges);
        }
        for (id, kinds) in &emitted {
            edges.extend(kinds.iter().map(|kind| Edge {
                from: Node::Definition(id),
                to: Node::Event(kind),
                place: None,
            }));
        }
        Self {
            errors: errors(&edges),
        }
    }

    /// The errors of a definition that is on a cycle, at the triggers that close it.
    pub fn errors(&self, id: &DefinitionId) -> Option<&[Diagnostic]> {
        self.errors.get(id).map(Vec::as_slice)
    }
}

/// Adds the triggers of a definition that have no condition.
fn incoming<'a>(
    definition: &'a Definition,
    document: &'a ParsedDocument,
    edges: &mut Vec<Edge<'a>>,
) {
    let to = Node::Definition(&definition.id);
    let mut places = document.after.iter();
    for trigger in definition.triggers.list.iter() {
        // The places are in the order of the triggers.
        let place = trigger.after.as_ref().and_then(|_| places.next());
        if !trigger.enabled || trigger.when.is_some() {
            continue;
        }
        if let (Some(after), Some(place)) = (&trigger.after, place) {
            edges.push(Edge {
                from: Node::Definition(&after.definition),
                to,
                place: Some(("after", &place.at)),
            });
            continue;
        }
        for kind in trigger.filters.iter().filter_map(type_alone) {
            let place = document.events.iter().find(|one| one.event == kind);
            edges.extend(place.map(|place| Edge {
                from: Node::Event(kind),
                to,
                place: Some(("event", &place.at)),
            }));
        }
    }
}

/// The type of the events that match a filter, if no other attribute matters.
fn type_alone(filter: &TriggerFilter) -> Option<&str> {
    match filter.as_slice() {
        [_] => Trigger::named(filter).0,
        _ => None,
    }
}

/// Types of the events that each run of a definition emits: those of steps without a condition.
fn emitted_types(definition: &Definition) -> Vec<String> {
    let Program::Steps(steps) = &definition.program else {
        return Vec::new();
    };
    let steps = steps.value();
    let tasks = steps.get("do").unwrap_or(&steps).as_array();
    let tasks = tasks.into_iter().flatten().filter_map(Value::as_object);
    tasks
        .flat_map(serde_json::Map::values)
        .filter(|task| task.get("if").is_none())
        .filter_map(|task| task.pointer("/emit/event/with/type")?.as_str())
        .filter(|kind| !kind.contains("${"))
        .map(str::to_owned)
        .collect()
}

/// The errors at the triggers that are a part of a cycle.
fn errors(edges: &[Edge<'_>]) -> BTreeMap<DefinitionId, Vec<Diagnostic>> {
    let mut graph = Graph::new();
    let mut reverse = Graph::new();
    for edge in edges {
        graph.entry(edge.from).or_default().push(edge.to);
        reverse.entry(edge.to).or_default().push(edge.from);
    }
    let component = components(&graph, &reverse);
    let mut all: BTreeMap<DefinitionId, Vec<Diagnostic>> = BTreeMap::new();
    let mut named = 0;
    for edge in edges {
        let (Some((key, at)), Node::Definition(id)) = (edge.place, edge.to) else {
            continue;
        };
        if edge.from != edge.to && component.get(&edge.from) != component.get(&edge.to) {
            continue;
        }
        named += 1;
        let path = (named <= CYCLES_NAMED).then(|| path(&graph, edge));
        let cycle = path
            .flatten()
            .map_or_else(String::new, |path| format!(": {path}"));
        all.entry(id.clone()).or_default().push(Diagnostic {
            severity: Severity::Error,
            message: format!("`{key}` closes a cycle{cycle}"),
            hint: Some(
                "the definitions would start each other for ever; give a trigger on the way a \
                 `when`, or remove it"
                    .to_owned(),
            ),
            ..at.clone()
        });
    }
    all
}

/// The strongly connected component of each node that has an edge, as the number of the component.
/// No recursion, because a chain of definitions can be long.
fn components<'a>(graph: &Graph<'a>, reverse: &Graph<'a>) -> BTreeMap<Node<'a>, usize> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for root in graph.keys() {
        let mut stack = vec![(*root, 0)];
        if !seen.insert(*root) {
            continue;
        }
        while let Some((node, next)) = stack.last_mut() {
            let follower = graph.get(node).and_then(|all| all.get(*next));
            *next += 1;
            if let Some(follower) = follower {
                if seen.insert(*follower) {
                    stack.push((*follower, 0));
                }
            } else {
                order.push(*node);
                stack.pop();
            }
        }
    }
    let mut component = BTreeMap::new();
    for (number, root) in order.iter().rev().enumerate() {
        let mut stack = vec![*root];
        while let Some(node) = stack.pop() {
            if component.contains_key(&node) {
                continue;
            }
            component.insert(node, number);
            stack.extend(reverse.get(&node).into_iter().flatten());
        }
    }
    component
}

/// The shortest cycle that an edge closes, beginning and ending with the definition that it starts:
/// `a -> b -> a`.
fn path(graph: &Graph<'_>, edge: &Edge<'_>) -> Option<String> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([edge.to]);
    while let Some(node) = queue.pop_front() {
        if node == edge.from {
            let mut names = vec![edge.to.to_string()];
            let mut at = node;
            names.push(at.to_string());
            while at != edge.to {
                at = *before.get(&at)?;
                names.push(at.to_string());
            }
            names.reverse();
            if names.len() > NAMES_SHOWN {
                let more = names.len() - NAMES_SHOWN;
                names.splice(
                    NAMES_SHOWN / 2..NAMES_SHOWN / 2 + more,
                    [format!("({more} more)")],
                );
            }
            return Some(names.join(" -> "));
        }
        for next in graph.get(&node).into_iter().flatten() {
            if *next != edge.to && !before.contains_key(next) {
                before.insert(*next, node);
                queue.push_back(*next);
            }
        }
    }
    None
}
