//! Search attributes that name the event of a run, so that people find the runs of an event.
//!
//! A server refuses a run with a search attribute that the namespace lacks, so only those are set
//! that it has.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_core::definition::SearchAttribute;
use almanac_core::record::EventKey;
use tokio::time::Instant;

use crate::schedules::Schedules;

/// Names of the search attributes for the type, the source and the id of an event. Each has the
/// type keyword.
pub const EVENT_ATTRIBUTES: [&str; 3] =
    ["AlmanacEventType", "AlmanacEventSource", "AlmanacEventId"];
/// Maximum length of a value, in characters: what a server with an SQL database keeps.
const VALUE_LIMIT: usize = 255;
/// Maximum age of the answer which search attributes the namespace has.
const AGE: Duration = Duration::from_mins(5);

/// The search attributes that the namespace has.
#[derive(Debug, Default)]
pub(super) struct EventAttributes(Mutex<Option<Known>>);

/// An answer of the server.
#[derive(Debug, Clone)]
struct Known {
    at: Instant,
    names: BTreeSet<&'static str>,
}

impl EventAttributes {
    /// The names of those that the namespace has. None if the server does not say.
    pub(super) async fn names(&self, schedules: &Schedules) -> BTreeSet<&'static str> {
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < AGE) {
            return known.names;
        }
        let names = match schedules.keyword_attributes().await {
            Ok(all) => EVENT_ATTRIBUTES
                .into_iter()
                .filter(|name| all.contains(*name))
                .collect(),
            Err(error) => {
                tracing::debug!(%error, "cannot read the search attributes of the namespace");
                BTreeSet::new()
            }
        };
        let known = Known {
            at: Instant::now(),
            names: names.clone(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        names
    }

    /// Forgets the answer of the server, which is asked again for the next event.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The search attributes with these names that name an event. Values that are too long are left
/// out.
pub(super) fn of_event(
    event: &EventKey,
    names: &BTreeSet<&'static str>,
) -> impl Iterator<Item = (String, SearchAttribute)> {
    let values = [&event.kind, &event.source, &event.id];
    let all = EVENT_ATTRIBUTES.into_iter().zip(values);
    all.filter(|(name, value)| names.contains(name) && value.chars().count() <= VALUE_LIMIT)
        .map(|(name, value)| (name.to_owned(), SearchAttribute::Keyword(value.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_namespace_has_is_set_and_only_if_it_fits() {
        let event = EventKey {
            kind: "paid".to_owned(),
            source: "/shop".to_owned(),
            id: "x".repeat(256),
        };
        let all = BTreeSet::from(EVENT_ATTRIBUTES);
        let set = |names: &BTreeSet<&'static str>| -> Vec<String> {
            of_event(&event, names).map(|(name, _)| name).collect()
        };
        assert_eq!(set(&all), ["AlmanacEventType", "AlmanacEventSource"]);
        assert_eq!(set(&BTreeSet::new()), [""; 0]);
    }
}
