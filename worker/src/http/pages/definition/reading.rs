//! The parts of a definition's page that are the same for all its viewers. They are read once
//! for all viewers together, so that many open pages cost the Temporal server what one costs.

use std::sync::Arc;
use std::time::Duration;

use almanac_activities::schedules::view::ScheduleDetail;
use almanac_activities::schedules::{EventRun, LiveRuns};
use almanac_activities::timeline::Lane;
use almanac_base::names::Revision;
use almanac_core::record::HistoryEntry;
use tokio::time::Instant;

use super::super::super::cached_map::CachedMap;
use super::super::super::definitions::{DefinitionView, failing_where};
use super::super::super::problem::Problem;
use super::super::super::{Caller, Service};
use super::super::live;
use super::source::SourceText;
use crate::backend::{Backend, BackendError};
use crate::overview::{Overview, Row};

/// Maximum age of a reading that a page shows. After that, the reading is forgotten.
const FRESH: Duration = Duration::from_secs(2);
/// Maximum number of definitions whose readings are kept: those of all pages that can be open.
const DEFINITIONS: usize = live::STREAMS;

/// A definition, its schedule and its runs at one moment. Nothing of it depends on who reads it.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) detail: Result<Option<ScheduleDetail>, BackendError>,
    pub(super) history: Result<Vec<HistoryEntry>, BackendError>,
    /// The last days of the schedule.
    pub(super) lane: Result<Arc<Option<Lane>>, BackendError>,
    pub(super) live: LiveRuns,
    /// The last runs that events started. Empty if the definition has no triggers.
    pub(super) event_runs: Result<Vec<EventRun>, BackendError>,
    pub(super) source: Option<SourceText>,
    /// The errors of the document.
    pub(super) errors: Option<DefinitionView>,
}

/// The readings of the definitions that were asked for last, each with the revision of the files
/// from which it was made.
#[derive(Debug)]
pub(in crate::http) struct Readings(CachedMap<(String, Revision), Reading, Problem>);

impl Default for Readings {
    fn default() -> Self {
        Self(CachedMap::new(DEFINITIONS, FRESH))
    }
}

impl Readings {
    /// Returns a definition as it was a moment ago.
    ///
    /// # Errors
    /// A 429, if nobody has read the definition, and this caller reads too many others.
    pub(super) async fn get<B: Backend>(
        &self,
        service: &Service<B>,
        caller: &Caller,
        overview: &Arc<Overview>,
        row: &Row,
        id: &str,
    ) -> Result<Arc<Reading>, Problem> {
        let key = (id.to_owned(), overview.snapshot.revision.clone());
        let take_turn = || service.describes.take(caller);
        self.0
            .get(
                key,
                FRESH,
                take_turn,
                Box::pin(read(service, overview, row, id)),
            )
            .await
    }

    /// Forgets the readings of these definitions.
    pub(in crate::http) fn forget_those(&self, is_changed: impl Fn(&str) -> bool) {
        self.0.forget_those(|(id, _)| is_changed(id));
    }
}

async fn read<B: Backend>(
    service: &Service<B>,
    overview: &Arc<Overview>,
    row: &Row,
    id: &str,
) -> Result<(Instant, Reading), Problem> {
    let began = Instant::now();
    let backend = &*service.backend;
    let source = async {
        let source = row.source.as_deref();
        let text = backend.source_text(source?).await?;
        Some(SourceText::of(&text, source))
    };
    let errors = {
        let (overview, id) = (Arc::clone(overview), id.to_owned());
        service.render_workers.work(move || {
            let failing = failing_where(&overview.snapshot, |known, _| {
                known.is_some_and(|known| known.as_str() == id)
            });
            failing.into_iter().next()
        })
    };
    let event_runs = async {
        let served = overview.served(row);
        if served.is_none_or(|loaded| loaded.definition.triggers.is_empty()) {
            return Ok(Vec::new());
        }
        backend.event_runs(id).await
    };
    // In boxes: together they would take too much of a thread's stack.
    let (detail, history, lane, live, event_runs, source, errors) = tokio::join!(
        Box::pin(backend.schedule(id)),
        Box::pin(backend.history(Some(id))),
        Box::pin(service.timelines.lane(backend, id)),
        Box::pin(backend.live_runs(id)),
        Box::pin(event_runs),
        source,
        errors
    );
    let reading = Reading {
        detail,
        history,
        lane,
        live: live.unwrap_or_default(),
        event_runs,
        source,
        errors: errors?,
    };
    Ok((began, reading))
}
