//! `GET /api/v1/definitions`: the definitions in the files, and their errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Revision};
use almanac_core::definition::{Diagnostic, Kind, Labels};
use almanac_core::snapshot::{Archived, LoadStatus, Loaded, LoadedCalendar, Snapshot, file_of};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use super::auth::Caller;
use super::openapi::{PROBLEM, written};
use super::problem::{Details, Problem};
use super::query::{Id, ListQuery, Listed, StrictQuery, size};
use crate::backend::Backend;

/// Maximum number of findings that are shown of a document, and their maximum size in
/// bytes.
const LOAD_ERRORS: usize = 100;
const LOAD_ERROR_BYTES: usize = 64 * 1024;
/// Maximum length of a finding's text that is shown, in bytes.
const TEXT_LIMIT: usize = 4 * 1024;

/// A definition, or a document that should be a definition.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DefinitionView {
    /// Id of the definition; `None` if it cannot be read.
    pub id: Option<DefinitionId>,
    /// Kind of the document.
    pub kind: Kind,
    /// State of the definition: the version of it that is served, if any.
    pub status: DefinitionStatus,
    /// `path` or `path:line`, relative to the folder given.
    pub source: String,
    /// Digest of the definition's contents; `None` if no version of it was ever valid.
    pub revision: Option<Revision>,
    /// Description, from the document.
    pub description: Option<String>,
    /// The value of `enabled` in the YAML; `None` for anything but a workflow definition.
    pub enabled: Option<bool>,
    /// Labels of the definition.
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: Labels,
    /// The first error of the document.
    pub load_error: Option<Diagnostic>,
    /// Errors of the document: 100 findings or 64 KiB at most.
    pub load_errors: Vec<Diagnostic>,
    /// Number of findings that are left out of `load_errors`.
    pub load_errors_truncated: usize,
}

/// State of a definition: the version of it that is served, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionStatus {
    /// The document's version is served.
    Loaded,
    /// The document fails, and its last good version is served.
    Stale,
    /// The document fails, and no version is served.
    Invalid,
    /// The document was removed, and no version is served.
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

/// A page of the definitions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DefinitionPage {
    /// Definitions by id; those whose id cannot be read are last.
    definitions: Vec<DefinitionView>,
    /// Number of definitions that match, the same on every page.
    total: usize,
    /// Token of the next page; `None` on the last page.
    next_page_token: Option<String>,
    /// Digest of all that is served.
    revision: Revision,
    /// Reasons why not all files can be read; nothing is removed while there is a reason.
    incomplete: Vec<String>,
}

/// A definition before it is shown: a list holds thousands, but shows few.
struct Row<'a> {
    kind: Kind,
    id: Option<&'a DefinitionId>,
    status: DefinitionStatus,
    source: &'a str,
    of: Of<'a>,
    /// The errors of the document, or of its file if no document states the id.
    errors: Vec<&'a [Diagnostic]>,
}

/// The contents of a row that can be shown.
enum Of<'a> {
    Workflow(&'a Loaded),
    Calendar(&'a LoadedCalendar),
    Archived(&'a Archived),
    Nothing,
}

impl Listed for Row<'_> {
    type State = DefinitionStatus;

    fn place(&self) -> Vec<u8> {
        let id = self.id.map_or("", DefinitionId::as_str);
        let mut place = vec![u8::from(self.id.is_none())];
        place.extend(id.bytes());
        place.extend([0, self.kind as u8]);
        place.extend(self.source.bytes());
        place
    }

    fn state(&self) -> DefinitionStatus {
        self.status
    }

    fn labels(&self) -> &Labels {
        match self.of {
            Of::Workflow(loaded) => &loaded.definition.labels,
            Of::Calendar(loaded) => &loaded.calendar.labels,
            Of::Archived(_) | Of::Nothing => Labels::none(),
        }
    }

    fn texts(&self) -> [Option<&str>; 3] {
        let id = self.id.map(DefinitionId::as_str);
        [id, Some(self.source), self.description()]
    }
}

/// Lists the definitions in the files, with their errors.
#[utoipa::path(
    get, path = "/api/v1/definitions", operation_id = "list_definitions", tag = "definitions",
    params(ListQuery<DefinitionStatus>),
    responses((status = 200, description = "A page of definitions", body = DefinitionPage))
)]
pub(super) async fn list<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    StrictQuery(query): StrictQuery<ListQuery<DefinitionStatus>>,
) -> Result<Response, Problem> {
    let _turn = service.lists.take(&caller)?;
    let snapshot = service.backend.snapshot();
    let page = move || {
        let page = query.page(&rows(&snapshot), Row::view);
        written(&DefinitionPage {
            definitions: page.entries,
            total: page.total,
            next_page_token: page.next,
            revision: snapshot.revision.clone(),
            incomplete: snapshot.incomplete.clone(),
        })
    };
    service.render_workers.work(page).await?
}

/// Returns one definition, or one failing document that states its id.
#[utoipa::path(
    get, path = "/api/v1/definitions/{id}", operation_id = "get_definition", tag = "definitions",
    params(("id" = String, Path, description = "The definition's id")),
    responses(
        (status = 200, description = "The definition", body = DefinitionView),
        (status = 404, description = "There is no such definition", body = Details, content_type = PROBLEM)
    )
)]
pub(super) async fn one<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    Id(id): Id,
) -> Result<Json<DefinitionView>, Problem> {
    let _turn = service.lists.take(&caller)?;
    let snapshot = service.backend.snapshot();
    let found = move || {
        let rows = rows(&snapshot);
        let found = rows
            .iter()
            .find(|row| row.id.is_some_and(|known| known.as_str() == id));
        found.map(Row::view).ok_or_else(|| {
            let detail = format!("there is no definition `{id}`");
            Problem::new(StatusCode::NOT_FOUND, detail)
        })
    };
    service.render_workers.work(found).await?.map(Json)
}

/// Returns the documents that fail and that `is_wanted`, which gets the id and the source of
/// each.
pub(super) fn failing_where(
    snapshot: &Snapshot,
    mut is_wanted: impl FnMut(Option<&DefinitionId>, &str) -> bool,
) -> Vec<DefinitionView> {
    let rows = rows(snapshot);
    let failing = rows.iter().filter(|row| {
        matches!(
            row.status,
            DefinitionStatus::Stale | DefinitionStatus::Invalid
        )
    });
    failing
        .filter(|row| is_wanted(row.id, row.source))
        .map(Row::view)
        .collect()
}

/// Returns a row for every definition, calendar and failing document, by id. Rows without
/// an id are last; a definition comes before a calendar with its id.
fn rows(snapshot: &Snapshot) -> Vec<Row<'_>> {
    let mut by_id: BTreeMap<_, Vec<&[Diagnostic]>> = BTreeMap::new();
    let mut by_file: BTreeMap<_, Vec<&[Diagnostic]>> = BTreeMap::new();
    for failed in &snapshot.failed {
        let errors = match &failed.id {
            Some(id) => by_id.entry((of_calendar(failed.kind), id)).or_default(),
            None => by_file.entry(file_of(&failed.source)).or_default(),
        };
        // A view shows no more findings, and a file may have thousands of documents.
        if errors.len() < LOAD_ERRORS {
            errors.push(failed.errors.as_slice());
        }
    }
    // A last good version is served because of the errors of its document, or of its file
    // if no document states the id.
    let errors_of = |calendar: bool, id, status, source: &str| {
        let errors = by_id.get(&(calendar, id)).or_else(|| match status {
            LoadStatus::Loaded => None,
            LoadStatus::Stale => by_file.get(file_of(source)),
        });
        errors.cloned().unwrap_or_default()
    };
    let served = snapshot.definitions.iter().map(|(id, loaded)| Row {
        kind: Kind::Workflow,
        id: Some(id),
        status: loaded.status.into(),
        source: &loaded.source,
        of: Of::Workflow(loaded),
        errors: errors_of(false, id, loaded.status, &loaded.source),
    });
    let calendars = snapshot.calendars.iter().map(|(id, loaded)| Row {
        kind: Kind::Calendar,
        id: Some(id),
        status: loaded.status.into(),
        source: &loaded.source,
        of: Of::Calendar(loaded),
        errors: errors_of(true, id, loaded.status, &loaded.source),
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
        .map(|failed| Row {
            kind: failed.kind,
            id: failed.id.as_ref(),
            status: DefinitionStatus::Invalid,
            source: &failed.source,
            of: Of::Nothing,
            errors: vec![failed.errors.as_slice()],
        });
    let archived = snapshot.archived.iter().map(|archived| Row {
        kind: archived.kind,
        id: Some(&archived.id),
        status: DefinitionStatus::Archived,
        source: &archived.source,
        of: Of::Archived(archived),
        errors: Vec::new(),
    });
    let mut all: Vec<_> = served
        .chain(calendars)
        .chain(invalid)
        .chain(archived)
        .collect();
    all.sort_by_cached_key(Listed::place);
    all
}

/// Returns `true` if errors of a document of this kind belong to a calendar.
fn of_calendar(kind: Kind) -> bool {
    kind == Kind::Calendar
}

impl Row<'_> {
    fn description(&self) -> Option<&str> {
        match self.of {
            Of::Workflow(loaded) => loaded.definition.description.as_deref(),
            Of::Calendar(loaded) => loaded.calendar.description.as_deref(),
            Of::Archived(_) | Of::Nothing => None,
        }
    }

    fn view(&self) -> DefinitionView {
        let all = || self.errors.iter().copied().flatten();
        let mut left = LOAD_ERROR_BYTES;
        let fitting = all().take(LOAD_ERRORS).map(shortened).take_while(|error| {
            let size = size(error);
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let load_errors: Vec<_> = fitting.collect();
        DefinitionView {
            id: self.id.cloned(),
            kind: self.kind,
            status: self.status,
            source: self.source.to_owned(),
            revision: match self.of {
                Of::Workflow(loaded) => Some(loaded.definition.revision.clone()),
                Of::Calendar(loaded) => Some(loaded.calendar.revision.clone()),
                Of::Archived(archived) => Some(archived.revision.clone()),
                Of::Nothing => None,
            },
            description: self.description().map(str::to_owned),
            enabled: match self.of {
                Of::Workflow(loaded) => Some(loaded.definition.enabled),
                _ => None,
            },
            labels: self.labels().clone(),
            load_error: load_errors.first().cloned(),
            load_errors_truncated: all().count() - load_errors.len(),
            load_errors,
        }
    }
}

/// Returns a finding with texts that are not longer than the limit.
fn shortened(finding: &Diagnostic) -> Diagnostic {
    let mut finding = finding.clone();
    let texts = [&mut finding.path, &mut finding.message].into_iter();
    for text in texts.chain(&mut finding.hint).chain(&mut finding.snippet) {
        if text.len() > TEXT_LIMIT {
            text.truncate(text.floor_char_boundary(TEXT_LIMIT));
            text.push('…');
        }
    }
    finding
}
