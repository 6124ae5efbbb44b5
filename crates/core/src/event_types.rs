//! The types of events of a project: those that documents declare, and those that triggers name.

use std::collections::BTreeMap;

use almanac_base::names::DefinitionId;
use almanac_events::is_run_event;

use crate::definition::Kind;
use crate::routing::types;
use crate::snapshot::{LoadStatus, Snapshot, by_type};

/// The types of events of a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventTypes {
    /// Types that are declared or named by a trigger, by name.
    pub types: BTreeMap<String, EventTypeUse>,
    /// Number of triggers that may take events of any type, by definition.
    pub any_type: BTreeMap<DefinitionId, usize>,
}

/// A type of events, with the triggers that may take its events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventTypeUse {
    /// Relation of the type to the documents.
    pub status: EventTypeStatus,
    /// The data of the events must match a schema.
    pub has_schema: bool,
    /// Short description for people.
    pub description: Option<String>,
    /// Number of enabled triggers that name the type, by definition.
    pub triggers: BTreeMap<DefinitionId, usize>,
}

/// Relation of a type of events to the documents of `kind: event_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventTypeStatus {
    /// The document on disk is in force.
    Declared,
    /// The document on disk fails; its last good version is in force.
    Stale,
    /// The document on disk fails, and no version of it is in force.
    Invalid,
    /// Almanac makes the events, about runs. No document declares the type.
    OfRuns,
    /// A trigger names the type, and no document declares it.
    #[default]
    Undeclared,
}

impl EventTypes {
    /// The types of a snapshot. Triggers that are not enabled take no events, so they do not count.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut all = Self::default();
        for failed in &snapshot.failed {
            // The type of a document that was never good is taken to be its id.
            if let (Kind::EventType, Some(id)) = (failed.kind, &failed.id)
                && !snapshot.event_types.contains_key(id)
            {
                all.named(id.as_str()).status = EventTypeStatus::Invalid;
            }
        }
        for (kind, loaded) in by_type(&snapshot.event_types) {
            let one = all.named(kind);
            one.status = match loaded.status {
                LoadStatus::Loaded => EventTypeStatus::Declared,
                LoadStatus::Stale => EventTypeStatus::Stale,
            };
            one.has_schema = loaded.event_type.schema.is_some();
            one.description.clone_from(&loaded.event_type.description);
        }
        let definitions = snapshot.definitions.values();
        for definition in definitions.map(|loaded| &loaded.definition) {
            let triggers = definition.triggers.list.iter();
            for trigger in triggers.filter(|one| definition.enabled && one.enabled) {
                let count = |counts: &mut BTreeMap<DefinitionId, usize>| {
                    *counts.entry(definition.id.clone()).or_default() += 1;
                };
                match types(trigger) {
                    None => count(&mut all.any_type),
                    Some(names) => {
                        for name in names {
                            let one = all.named(name);
                            if one.status == EventTypeStatus::Undeclared && is_run_event(name) {
                                one.status = EventTypeStatus::OfRuns;
                            }
                            count(&mut one.triggers);
                        }
                    }
                }
            }
        }
        all
    }

    fn named(&mut self, name: &str) -> &mut EventTypeUse {
        self.types.entry(name.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests;
