//! Routing of events: the triggers that take an event, and the run that each starts.
//!
//! Always holds: one trigger's failure does not affect another trigger. The same event, by its
//! source and id, leads to the same workflow ids, so a second delivery starts nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Project, Revision};
use almanac_base::size::{PAYLOAD_LIMIT, json_size};
use almanac_events::{DEPTH_ATTRIBUTE, is_run_event};
use almanac_steps::language::{OnConflict, Trigger};
use almanac_steps::trigger::Evaluation;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::definition::{Definition, EventType};
use crate::record::{DeliveryVia, EventKey, EventOrigin};
use crate::snapshot::{Snapshot, by_type};

/// Maximum number of runs in a chain of events.
pub const CHAIN_LIMIT: u32 = 16;
/// Length of the digest in a derived workflow id, in hexadecimal digits.
const DIGEST_DIGITS: usize = 32;

/// The triggers of a snapshot's enabled definitions, by the type of the events that they take.
#[derive(Debug, Default)]
pub struct TriggerIndex {
    by_type: BTreeMap<String, Vec<TriggerPlace>>,
    /// Triggers that may take events of any type.
    any_type: Vec<TriggerPlace>,
    event_types: BTreeMap<String, Arc<EventType>>,
}

/// A trigger of a definition.
#[derive(Debug, Clone)]
struct TriggerPlace {
    definition: Arc<Definition>,
    /// Position of the trigger in its definition.
    trigger: usize,
}

/// The maker of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Almanac made the event of a run.
    Almanac,
    /// Anyone else made the event, or a step of a run.
    Other,
}

impl Maker {
    /// The maker of an event that arrived by this way. The way of a replay proves nothing: the
    /// event may be one that was refused because somebody else made it.
    pub fn of_arrival(via: DeliveryVia) -> Self {
        match via {
            DeliveryVia::Run => Self::Almanac,
            _ => Self::Other,
        }
    }
}

/// A trigger that takes an event, and the run that follows.
#[derive(Debug, Clone)]
pub struct Route {
    /// Definition of the trigger.
    pub definition: Arc<Definition>,
    /// The event, and the trigger that takes it.
    pub origin: EventOrigin,
    /// The run to start, or the reason for which the trigger refuses the event.
    pub run: Result<RunToStart, String>,
}

/// A run that an event starts.
#[derive(Debug, Clone, PartialEq)]
pub struct RunToStart {
    /// Workflow id of the run.
    pub workflow_id: String,
    /// `true` if the workflow id is derived from the event, so that no other event has it.
    pub is_derived: bool,
    /// Effect of the event if the workflow id is taken.
    pub on_conflict: OnConflict,
    /// Input of the run.
    pub input: Value,
}

impl TriggerIndex {
    /// Creates the index of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut index = Self::default();
        for loaded in snapshot.definitions.values() {
            let definition = &loaded.definition;
            if !definition.enabled {
                continue;
            }
            for (trigger, one) in definition.triggers.list.iter().enumerate() {
                if !one.enabled {
                    continue;
                }
                let place = || TriggerPlace {
                    definition: Arc::clone(definition),
                    trigger,
                };
                match types(one) {
                    None => index.any_type.push(place()),
                    Some(types) => {
                        for name in types {
                            let places = index.by_type.entry(name.to_owned());
                            places.or_default().push(place());
                        }
                    }
                }
            }
        }
        index.event_types = by_type(&snapshot.event_types)
            .into_iter()
            .map(|(kind, loaded)| (kind.to_owned(), Arc::clone(&loaded.event_type)))
            .collect();
        index
    }

    /// Returns the triggers that take an event in the JSON format of `CloudEvents`. Triggers that
    /// refuse the event are among them.
    ///
    /// Only Almanac makes events about runs. Such an event from anyone else is refused.
    pub fn routes(
        &self,
        project: &Project,
        event: &Value,
        made_by: Maker,
        now: Timestamp,
    ) -> Vec<Route> {
        let key = EventKey::of(event);
        let is_run_event = is_run_event(&key.kind);
        let forged = is_run_event && made_by == Maker::Other;
        let depth = depth_of(event);
        let derived = derived_id(&key);
        let digest = data_digest(event);
        let mut checked = None;
        let of_type = self.by_type.get(&key.kind).into_iter().flatten();
        // Events about runs are for triggers that name them: a trigger for any event would start
        // its definition after each run of the project.
        let any_type = self.any_type.iter().filter(|_| !is_run_event);
        let places = of_type.chain(any_type);
        // The definitions that have a run whose workflow id is derived from the event.
        let mut derived_runs = BTreeSet::new();
        let routes = places.filter_map(|place| {
            let TriggerPlace {
                definition,
                trigger: index,
            } = place;
            let trigger = &definition.triggers.list[*index];
            if is_run_event && is_of_own_run(trigger, &definition.id, event) {
                return None;
            }
            let seed = format!("{derived}/{}/{index}", definition.id);
            let mut evaluation = Evaluation::new(trigger, event, now, &seed);
            let run = match evaluation.is_taken() {
                Ok(false) => return None,
                Err(fault) => Err(fault.to_string()),
                Ok(true) if forged => {
                    Err(format!("only Almanac makes events of type `{}`", key.kind))
                }
                Ok(true) => {
                    let violation = checked.get_or_insert_with(|| self.violation(&key, event));
                    match violation {
                        Some(violation) => Err(violation.clone()),
                        None if depth >= CHAIN_LIMIT => Err(format!(
                            "the event is the last of a chain of {depth} runs that started each \
                             other by events; the limit is {CHAIN_LIMIT}"
                        )),
                        None => run_to_start(project, &definition.id, &derived, &mut evaluation),
                    }
                }
            };
            // A second one would have the same workflow id.
            if let Ok(run) = &run
                && run.is_derived
                && !derived_runs.insert(&definition.id)
            {
                return None;
            }
            Some(Route {
                definition: Arc::clone(definition),
                origin: EventOrigin {
                    event: key.clone(),
                    trigger: u32::try_from(*index).unwrap_or(u32::MAX),
                    digest: digest.clone(),
                    depth,
                },
                run,
            })
        });
        routes.collect()
    }

    /// Returns the violation of the schema of the event's type, if there is one.
    fn violation(&self, key: &EventKey, event: &Value) -> Option<String> {
        let schema = self.event_types.get(&key.kind)?.schema.as_ref()?;
        let nothing = Value::Null;
        let data = event.get("data").unwrap_or(&nothing);
        let violation = schema.check(data).0.err()?;
        Some(format!(
            "the data does not match the schema of event type `{}`: {violation}",
            key.kind
        ))
    }
}

/// Returns `true` if an event is about a run of the trigger's own definition, and the trigger does
/// not name the definition: it would start the definition after its own runs.
fn is_of_own_run(trigger: &Trigger, id: &DefinitionId, event: &Value) -> bool {
    let subject = event.get("subject").and_then(Value::as_str);
    let mut filters = trigger.filters.iter();
    subject == Some(id.as_str())
        && !filters.any(|filter| Trigger::named(filter).1 == Some(id.as_str()))
}

impl EventKey {
    /// Returns the key of an event in the JSON format of `CloudEvents`.
    pub fn of(event: &Value) -> Self {
        let text = |name: &str| {
            let text = event.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        Self {
            kind: text("type"),
            source: text("source"),
            id: text("id"),
        }
    }
}

fn run_to_start(
    project: &Project,
    definition: &DefinitionId,
    derived: &str,
    evaluation: &mut Evaluation<'_>,
) -> Result<RunToStart, String> {
    let input = evaluation.input().map_err(|fault| fault.to_string())?;
    let size = json_size(&input);
    if size > PAYLOAD_LIMIT {
        return Err(format!(
            "`input` has {size} bytes as JSON, over the limit of {PAYLOAD_LIMIT}"
        ));
    }
    let stated = evaluation.workflow_id();
    let stated = stated.map_err(|fault| fault.to_string())?;
    let is_derived = stated.is_none();
    let last = stated.as_deref().unwrap_or(derived);
    Ok(RunToStart {
        workflow_id: format!("{}/{last}", project.run_workflow_id(definition)),
        is_derived,
        on_conflict: evaluation.trigger().on_conflict,
        input,
    })
}

/// Number of runs before an event in a chain of events.
fn depth_of(event: &Value) -> u32 {
    let depth = event.get(DEPTH_ATTRIBUTE).and_then(Value::as_u64);
    depth.map_or(0, |depth| u32::try_from(depth).unwrap_or(u32::MAX))
}

/// Digest of an event's data. An event that is delivered again has the same data.
pub fn data_digest(event: &Value) -> String {
    let data = event.get("data").or_else(|| event.get("data_base64"));
    let text = data.map(ToString::to_string).unwrap_or_default();
    Revision::of(text.as_bytes()).to_string()
}

/// Last part of the workflow ids of the runs that an event starts. Two events differ in it unless
/// they have the same source and id.
pub(crate) fn derived_id(key: &EventKey) -> String {
    let mut digest = Sha256::new();
    for part in [&key.source, &key.id] {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut text = hex::encode(digest.finalize());
    text.truncate(DIGEST_DIGITS);
    text
}

/// The types of the events that a trigger can take; `None` if it can take events of any type.
pub(crate) fn types(trigger: &Trigger) -> Option<BTreeSet<&str>> {
    if trigger.filters.is_empty() {
        return None;
    }
    trigger
        .filters
        .iter()
        .map(|filter| Trigger::named(filter).0)
        .collect()
}

#[cfg(test)]
mod tests;
