//! `POST /admin/sync`: re-reads the files, asks for a pass and waits for its report.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::definition::Kind;
use almanac_core::record::{
    AwaitedReport, DefinitionCounts, ErrorSource, LIST_LIMIT, NAME_LIMIT, PassReport, Report,
    SyncRequest, check_text,
};
use almanac_core::snapshot::{FailedDocument, Snapshot};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::openapi::{PROBLEM, Upstream};
use super::problem::{Details, Problem};
use super::query::{StrictQuery, parsed};
use super::requests::bad_request;
use super::status_cache::STATUS_MAX_AGE;
use super::{Caller, Service};
use crate::backend::{Backend, BackendError};
use crate::backoff::random;
use crate::registry::Reload;

/// Maximum time that a pass waits for the workflow to know the files that the pass is
/// about.
const ANNOUNCED_TIMEOUT: Duration = Duration::from_secs(5);

/// Independent switches; `confirm` is a digest of held removals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the parameters are independent of each other"
)]
pub(super) struct SyncParameters {
    /// Re-read the files.
    #[serde(deserialize_with = "parsed")]
    #[param(default = true, required = false)]
    pub(super) definitions: bool,
    /// Ask for a pass, and wait for its report.
    #[serde(deserialize_with = "parsed")]
    #[param(default = true, required = false)]
    pub(super) schedules: bool,
    /// Re-read the event types, which are in the same files.
    #[serde(deserialize_with = "parsed")]
    #[param(default = false, required = false)]
    pub(super) event_types: bool,
    /// Let the pass plan and report, but write nothing.
    #[serde(deserialize_with = "parsed")]
    #[param(default = false, required = false)]
    pub(super) dry_run: bool,
    /// Digest of the held removals to confirm; needs `schedules`.
    pub(super) confirm: Option<String>,
}

/// A pass that has not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Number of the pass; its report will be in `/api/v1/reconcile`.
    pass: u64,
}

impl Default for SyncParameters {
    fn default() -> Self {
        Self {
            definitions: true,
            schedules: true,
            event_types: false,
            dry_run: false,
            confirm: None,
        }
    }
}

/// Re-reads the files, asks for a pass, and waits for its report.
///
/// Each switch is independent of the others.
#[utoipa::path(
    post, path = "/admin/sync", operation_id = "sync", tag = "passes",
    params(SyncParameters),
    responses(
        (status = 200, description = "The report of the pass, or of reading the files again", body = Report),
        (status = 202, description = "The pass has not ended", body = Accepted,
         headers(("location" = String, description = "Path of its report"))),
        (status = 207, description = "The report of a pass with errors", body = Report),
        (status = 500, description = "The files cannot be read", body = Details,
         content_type = PROBLEM),
        Upstream
    )
)]
pub(super) async fn sync<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Extension(caller): Extension<Caller>,
    StrictQuery(switches): StrictQuery<SyncParameters>,
) -> Result<Response, Problem> {
    let request_id = format!("{:016x}{:016x}", random(), random());
    Ok(match run(&service, &caller, switches, request_id).await? {
        Synced::Report(report) => answer(&report),
        Synced::Pending(pass) => accepted(pass),
    })
}

/// Result of a request for a pass.
#[derive(Debug)]
pub(super) enum Synced {
    /// The report of the pass, or of reading the files again.
    Report(Box<Report>),
    /// The pass with this number has not ended.
    Pending(u64),
}

/// Re-reads the files, asks for a pass, and waits for its report, as the switches say.
///
/// # Errors
/// A switch is wrong, Temporal does not answer, or the digest names other removals.
pub(super) async fn run<B: Backend>(
    service: &Service<B>,
    caller: &Caller,
    switches: SyncParameters,
    request_id: String,
) -> Result<Synced, Problem> {
    let confirm = switches.confirm.filter(|digest| !digest.is_empty());
    check_text(
        "confirm",
        confirm.as_deref().unwrap_or_default(),
        NAME_LIMIT,
    )
    .map_err(bad_request)?;
    if confirm.is_some() && !switches.schedules {
        let detail = "confirm: only a pass removes schedules, and schedules=false requests no pass";
        return Err(bad_request(detail));
    }
    let _turn = service.syncs.take(caller)?;
    tracing::info!(
        caller = caller.name,
        definitions = switches.definitions,
        schedules = switches.schedules,
        dry_run = switches.dry_run,
        confirm,
        "sync requested"
    );
    let mut changes = FileChanges::default();
    // Definitions and event types are in the same files.
    if switches.definitions || switches.event_types {
        changes = reread(&*service.backend, &caller.name).await?;
    }
    if !switches.schedules {
        let report = files_only(&service.backend.snapshot(), changes);
        return Ok(Synced::Report(Box::new(report)));
    }
    let request = SyncRequest {
        request_id,
        dry_run: switches.dry_run,
        confirm,
        by: caller.name.clone(),
    };
    let deadline = Instant::now() + service.sync_wait;
    let asked = async {
        heard(service).await?;
        service.backend.sync(request).await
    };
    let pass = timeout_at(deadline, asked)
        .await
        .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "temporal does not answer"))??;
    let report = tokio::select! {
        report = timeout_at(deadline, report(service, pass)) => report.ok().flatten(),
        () = service.stop.cancelled() => None,
    };
    service.forget_schedules();
    match report {
        Some(report)
            if report
                .errors
                .iter()
                .any(|error| ErrorSource::Confirm.is_of(error)) =>
        {
            Err(wrong_digest(&report))
        }
        Some(report) => Ok(Synced::Report(Box::new(report))),
        None => Ok(Synced::Pending(pass)),
    }
}

/// Numbers of changes that re-reading the files found.
#[derive(Clone, Copy, Default)]
struct FileChanges {
    definitions: DefinitionCounts,
    event_types: DefinitionCounts,
}

/// Re-reads the files, and returns the numbers of changes.
async fn reread(backend: &impl Backend, by: &str) -> Result<FileChanges, Problem> {
    match backend.reload(by).await {
        Ok(Reload::Changed(summary)) => Ok(FileChanges {
            definitions: summary.counts,
            event_types: summary.event_types,
        }),
        Ok(Reload::Unchanged) => Ok(FileChanges::default()),
        Err(error) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        )),
    }
}

/// Waits until the workflow knows the revision of this process's registry, so that no
/// replica with another revision gets the pass. If that takes too long the pass is asked
/// for first, and the announcement leads to another pass.
async fn heard<B: Backend>(service: &Service<B>) -> Result<(), BackendError> {
    let deadline = Instant::now() + ANNOUNCED_TIMEOUT;
    loop {
        let revision = &service.backend.snapshot().revision;
        let is_late = Instant::now() > deadline;
        match service.status_cache.status(&*service.backend).await {
            Ok(status) => {
                let own = status.workers.get(service.backend.worker());
                let is_alone = own.is_some() && status.workers.len() == 1;
                if is_alone || is_late || own.is_some_and(|own| own.revision == *revision) {
                    return Ok(());
                }
            }
            // At the start, the announcement creates the workflow.
            Err(BackendError::Absent(_) | BackendError::Busy(_)) if !is_late => {}
            Err(error) => return Err(error),
        }
        sleep(STATUS_MAX_AGE).await;
    }
}

/// Waits for a pass to end, and returns its report; `None` if the report has been
/// forgotten.
pub(super) async fn report<B: Backend>(service: &Service<B>, pass: u64) -> Option<Report> {
    let mut awaited = AwaitedReport::of(pass);
    loop {
        // The pass continues even if its state cannot be read.
        if let Ok(status) = service.status_cache.status(&*service.backend).await {
            match awaited.find_in(&status) {
                PassReport::Ended(report) => return Some(*report),
                PassReport::Forgotten => return None,
                PassReport::Pending => {}
            }
        }
        sleep(STATUS_MAX_AGE).await;
    }
}

/// Returns the result of re-reading the files, in the form of a report without a pass.
fn files_only(snapshot: &Snapshot, changes: FileChanges) -> Report {
    let invalid_event_types = snapshot.failing(Kind::EventType);
    let errors = snapshot.failed.iter().map(FailedDocument::report_error);
    Report {
        revision: snapshot.revision.clone(),
        started_at: Timestamp::now(),
        definitions: DefinitionCounts {
            total: snapshot.definitions.len() as u64,
            invalid: (snapshot.failed.len() - invalid_event_types) as u64,
            ..changes.definitions
        },
        event_types: DefinitionCounts {
            total: snapshot.event_types.len() as u64,
            invalid: invalid_event_types as u64,
            ..changes.event_types
        },
        truncated: snapshot.failed.len().saturating_sub(LIST_LIMIT) as u64,
        errors: errors.take(LIST_LIMIT).collect(),
        ..Report::default()
    }
}

fn answer(report: &Report) -> Response {
    let status = if report.errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    };
    (status, Json(report)).into_response()
}

pub(super) fn accepted(pass: u64) -> Response {
    let place = [(header::LOCATION, "/api/v1/reconcile")];
    (StatusCode::ACCEPTED, place, Json(Accepted { pass })).into_response()
}

fn wrong_digest(report: &Report) -> Problem {
    let message = report
        .errors
        .iter()
        .find(|error| ErrorSource::Confirm.is_of(error))
        .map(|error| error.message.clone())
        .unwrap_or_default();
    Problem::new(StatusCode::CONFLICT, message)
        .with("pass", json!(report.pass))
        .with("held", json!(report.held))
}
