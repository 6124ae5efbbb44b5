//! `GET /api/v1/definitions`: what the files say, and what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_workflows::definition::{Diagnostic, Kind};
use almanac_workflows::names::{DefinitionId, Revision};
use almanac_workflows::snapshot::{
    FailedDocument, LoadStatus, Loaded, LoadedCalendar, Snapshot, file_of,
};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::openapi::PROBLEM;
use super::problem::{Details, Problem};
use super::query::{Asked, Id, ListQuery, Listed};
use super::{Backend, Service};

/// A definition, or a document that should be one.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DefinitionView {
    /// Its id; `None` where that cannot be read.
    pub id: Option<DefinitionId>,
    /// What kind of document it is.
    pub kind: Kind,
    /// Whether it is served, and how.
    pub status: DefinitionStatus,
    /// `path` or `path:line`, relative to the folder given.
    pub source: String,
    /// Digest of what it says; `None` where no version of it was ever valid.
    pub revision: Option<Revision>,
    /// Its own description.
    pub description: Option<String>,
    /// What its YAML says of it.
    pub enabled: Option<bool>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The first thing that is wrong with the document.
    pub load_error: Option<Diagnostic>,
    /// All that is wrong with it.
    pub load_errors: Vec<Diagnostic>,
}

/// Whether a definition is served, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionStatus {
    /// As the document says.
    Loaded,
    /// In its last good version.
    Stale,
    /// Not at all: the document fails.
    Invalid,
    /// Not any more: the document is gone.
    Archived,
}

impl From<LoadStatus> for DefinitionStatus {
    fn from(status: LoadStatus) -> Self {
        match status {
            LoadStatus::Loaded => Self::Loaded,
            LoadStatus::Stale => Self::Stale,
        }
    }
}

/// What the files say.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DefinitionPage {
    /// By id; those whose id cannot be read last.
    definitions: Vec<DefinitionView>,
    /// How many match, on every page.
    total: usize,
    /// Asks for the next page; `None` on the last one.
    next_page_token: Option<String>,
    /// Digest of all that is served.
    revision: Revision,
    /// Why not all files can be seen; nothing is removed while there is a reason.
    incomplete: Vec<String>,
}

impl Listed for DefinitionView {
    type State = DefinitionStatus;

    fn place(&self) -> Vec<u8> {
        let id = self.id.as_ref().map_or("", DefinitionId::as_str);
        let mut place = vec![u8::from(self.id.is_none())];
        place.extend(id.bytes());
        place.extend([0, self.kind as u8]);
        place.extend(self.source.bytes());
        place
    }

    fn state(&self) -> DefinitionStatus {
        self.status
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn texts(&self) -> [Option<&str>; 3] {
        let id = self.id.as_ref().map(DefinitionId::as_str);
        [id, Some(&self.source), self.description.as_deref()]
    }
}

/// What the files say, and what is wrong with them.
#[utoipa::path(
    get, path = "/api/v1/definitions", operation_id = "list_definitions", tag = "definitions",
    params(ListQuery<DefinitionStatus>),
    responses((status = 200, description = "A page of them", body = DefinitionPage))
)]
pub(super) async fn list<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Asked(query): Asked<ListQuery<DefinitionStatus>>,
) -> Json<DefinitionPage> {
    let snapshot = service.backend.snapshot();
    let page = query.page(&views(&snapshot));
    Json(DefinitionPage {
        definitions: page.entries,
        total: page.total,
        next_page_token: page.next,
        revision: snapshot.revision.clone(),
        incomplete: snapshot.incomplete.clone(),
    })
}

/// One definition, or one failing document that states its id.
#[utoipa::path(
    get, path = "/api/v1/definitions/{id}", operation_id = "get_definition", tag = "definitions",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "It", body = DefinitionView),
        (status = 404, description = "There is none", body = Details, content_type = PROBLEM)
    )
)]
pub(super) async fn one<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Id(id): Id,
) -> Result<Json<DefinitionView>, Problem> {
    views(&service.backend.snapshot())
        .into_iter()
        .find(|view| view.id.as_ref().is_some_and(|known| known.as_str() == id))
        .map(Json)
        .ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                format!("there is no definition `{id}`"),
            )
        })
}

/// Every definition, calendar and failing document: by id, those without one
/// last; a definition before a calendar with its id.
fn views(snapshot: &Snapshot) -> Vec<DefinitionView> {
    let mut by_id: BTreeMap<_, Vec<Diagnostic>> = BTreeMap::new();
    let mut by_file: BTreeMap<_, Vec<Diagnostic>> = BTreeMap::new();
    for failed in &snapshot.failed {
        let errors = match &failed.id {
            Some(id) => by_id.entry((of_calendar(failed.kind), id)).or_default(),
            None => by_file.entry(file_of(&failed.source)).or_default(),
        };
        errors.extend_from_slice(&failed.errors);
    }
    // A last good version is served for what its document says, or for what
    // its file says where no document states the id.
    let errors_of = |calendar: bool, id, status, source: &str| {
        let errors = by_id.get(&(calendar, id)).or_else(|| match status {
            LoadStatus::Loaded => None,
            LoadStatus::Stale => by_file.get(file_of(source)),
        });
        errors.cloned().unwrap_or_default()
    };
    let served = snapshot.definitions.iter().map(|(id, loaded)| {
        DefinitionView::of(
            id,
            loaded,
            errors_of(false, id, loaded.status, &loaded.source),
        )
    });
    let calendars = snapshot.calendars.iter().map(|(id, loaded)| {
        let errors = errors_of(true, id, loaded.status, &loaded.source);
        DefinitionView::of_calendar(id, loaded, errors)
    });
    let invalid = snapshot
        .failed
        .iter()
        .filter(|failed| {
            !failed.id.as_ref().is_some_and(|id| match failed.kind {
                Kind::Calendar => snapshot.calendars.contains_key(id),
                Kind::Workflow | Kind::EventType => snapshot.definitions.contains_key(id),
            })
        })
        .map(DefinitionView::invalid);
    let archived = snapshot.archived.iter().map(|archived| DefinitionView {
        revision: Some(archived.revision.clone()),
        ..DefinitionView::bare(
            archived.kind,
            Some(archived.id.clone()),
            DefinitionStatus::Archived,
            &archived.source,
        )
    });
    let mut all: Vec<_> = served
        .chain(calendars)
        .chain(invalid)
        .chain(archived)
        .collect();
    all.sort_by_cached_key(Listed::place);
    all
}

/// Whether errors of a document of this kind are a calendar's.
fn of_calendar(kind: Kind) -> bool {
    kind == Kind::Calendar
}

impl DefinitionView {
    fn bare(kind: Kind, id: Option<DefinitionId>, status: DefinitionStatus, source: &str) -> Self {
        Self {
            id,
            kind,
            status,
            source: source.to_owned(),
            revision: None,
            description: None,
            enabled: None,
            labels: BTreeMap::new(),
            load_error: None,
            load_errors: Vec::new(),
        }
    }

    fn of(id: &DefinitionId, loaded: &Loaded, errors: Vec<Diagnostic>) -> Self {
        let status = loaded.status.into();
        let definition = &loaded.definition;
        Self {
            revision: Some(definition.revision.clone()),
            description: definition.description.clone(),
            enabled: Some(definition.enabled),
            labels: definition.labels.clone(),
            load_error: errors.first().cloned(),
            load_errors: errors,
            ..Self::bare(Kind::Workflow, Some(id.clone()), status, &loaded.source)
        }
    }

    fn of_calendar(id: &DefinitionId, loaded: &LoadedCalendar, errors: Vec<Diagnostic>) -> Self {
        let status = loaded.status.into();
        let calendar = &loaded.calendar;
        Self {
            revision: Some(calendar.revision.clone()),
            description: calendar.description.clone(),
            labels: calendar.labels.clone(),
            load_error: errors.first().cloned(),
            load_errors: errors,
            ..Self::bare(Kind::Calendar, Some(id.clone()), status, &loaded.source)
        }
    }

    fn invalid(failed: &FailedDocument) -> Self {
        Self {
            load_error: failed.errors.first().cloned(),
            load_errors: failed.errors.clone(),
            ..Self::bare(
                failed.kind,
                failed.id.clone(),
                DefinitionStatus::Invalid,
                &failed.source,
            )
        }
    }
}
