//! `GET /api/v1/definitions`: the definitions in the files, and their errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Revision};
use almanac_core::definition::{Diagnostic, Kind, Labels};
use almanac_core::snapshot::{LoadStatus, ServedDocument, Snapshot, file_of};
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
    /// Revision of the version that is served, or of the last one that was.
    revision: Option<&'a Revision>,
    description: Option<&'a str>,
    labels: &'a Labels,
    /// `enabled` of a definition.
    enabled: Option<bool>,
    /// The errors of the document, or of its file if no document states the id.
    errors: Vec<&'a [Diagnostic]>,
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
        self.labels
    }

    fn texts(&self) -> [Option<&str>; 3] {
        let id = self.id.map(DefinitionId::as_str);
        [id, Some(self.source), self.description]
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

/// Returns a row for every document that is served, fails or is archived, by id. Rows without an
/// id are last; documents with the same id are in the order of their kinds.
fn rows(snapshot: &Snapshot) -> Vec<Row<'_>> {
    let mut by_id: BTreeMap<_, Vec<&[Diagnostic]>> = BTreeMap::new();
    let mut by_file: BTreeMap<_, Vec<&[Diagnostic]>> = BTreeMap::new();
    for failed in &snapshot.failed {
        let errors = match &failed.id {
            Some(id) => by_id.entry((failed.kind, id)).or_default(),
            None => by_file.entry(file_of(&failed.source)).or_default(),
        };
        // A view shows no more findings, and a file may have thousands of documents.
        if errors.len() < LOAD_ERRORS {
            errors.push(failed.errors.as_slice());
        }
    }
    // A last good version is served because of the errors of its document, or of its file
    // if no document states the id.
    let errors_of = |kind, served: ServedDocument<'_>| {
        let errors = by_id.get(&(kind, served.id));
        let errors = errors.or_else(|| match served.status {
            LoadStatus::Loaded => None,
            LoadStatus::Stale => by_file.get(file_of(served.source)),
        });
        errors.cloned().unwrap_or_default()
    };
    let served = Kind::ALL.into_iter().flat_map(|kind| {
        let all = snapshot.all_served(kind);
        all.map(move |served| (kind, served))
    });
    let served = served.map(|(kind, served)| Row {
        kind,
        id: Some(served.id),
        status: served.status.into(),
        source: served.source,
        revision: Some(served.revision),
        description: served.description,
        labels: served.labels,
        enabled: match kind {
            Kind::Workflow => {
                let loaded = snapshot.definitions.get(served.id);
                loaded.map(|loaded| loaded.definition.enabled)
            }
            Kind::Calendar | Kind::EventType => None,
        },
        errors: errors_of(kind, served),
    });
    let failed = snapshot.failed.iter().filter(|failed| {
        let id = failed.id.as_ref();
        id.is_none_or(|id| snapshot.served(failed.kind, id).is_none())
    });
    let invalid = failed.map(|failed| Row {
        errors: vec![failed.errors.as_slice()],
        ..Row::without_contents(
            failed.kind,
            failed.id.as_ref(),
            DefinitionStatus::Invalid,
            &failed.source,
        )
    });
    let archived = snapshot.archived.iter().map(|archived| Row {
        revision: Some(&archived.revision),
        ..Row::without_contents(
            archived.kind,
            Some(&archived.id),
            DefinitionStatus::Archived,
            &archived.source,
        )
    });
    let mut all: Vec<_> = served.chain(invalid).chain(archived).collect();
    all.sort_by_cached_key(Listed::place);
    all
}

impl<'a> Row<'a> {
    /// Returns the row of a document that is not served.
    fn without_contents(
        kind: Kind,
        id: Option<&'a DefinitionId>,
        status: DefinitionStatus,
        source: &'a str,
    ) -> Self {
        Self {
            kind,
            id,
            status,
            source,
            revision: None,
            description: None,
            labels: Labels::none(),
            enabled: None,
            errors: Vec::new(),
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
            revision: self.revision.cloned(),
            description: self.description.map(str::to_owned),
            enabled: self.enabled,
            labels: self.labels.clone(),
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
