//! Types of events that triggers name.
//!
//! Files are parsed one by one, so a parsed definition has only the names of its event types. The
//! caller that holds all documents compares them with the declared types here.

use std::collections::BTreeSet;

use almanac_base::names::DefinitionId;
use almanac_base::nearest;
use almanac_events::is_run_event;

use super::{Diagnostic, Severity};

/// Maximum number of event types among which a hint chooses.
const HINTED: usize = 50;

/// A type of events that a trigger names, with the place of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventUse {
    /// Type of the events.
    pub event: String,
    /// Place of the name, as a diagnostic without a message.
    pub(super) at: Diagnostic,
}

impl EventUse {
    /// Warning about a type that is not among `declared`. `None` if the type is declared, or if
    /// Almanac makes the events.
    pub fn warning(&self, declared: &BTreeSet<&str>) -> Option<Diagnostic> {
        let event = self.event.as_str();
        if declared.contains(event) || is_run_event(event) {
            return None;
        }
        let known: Vec<&str> = declared.iter().take(HINTED).copied().collect();
        let hint = nearest::hint(event, &known).unwrap_or_else(|| {
            let is_id = event.parse::<DefinitionId>().is_ok();
            let key = if is_id { "id" } else { "type" };
            format!(
                "declare it with a document of `kind: event_type` and `{key}: {event}`, so that the \
                 data of its events can be checked"
            )
        });
        Some(Diagnostic {
            severity: Severity::Warning,
            message: format!("no event type `{event}` is declared"),
            hint: Some(hint),
            ..self.at.clone()
        })
    }
}
