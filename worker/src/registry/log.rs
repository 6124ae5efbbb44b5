//! What a reload tells: log lines and metrics, each thing once.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_activities::metrics::Metric;
use almanac_workflows::definition::Diagnostic;
use almanac_workflows::snapshot::{FailedDocument, LoadStatus, Snapshot};
use metrics::{counter, gauge, histogram};

use super::{Reload, ReloadError, ReloadSummary};

/// The most documents that one reload logs one by one.
const DOCUMENTS_LOGGED: usize = 100;
/// The most errors of one document that are logged.
const ERRORS_LOGGED: usize = 5;

/// A reload has ended.
pub(super) fn reloaded(result: &Result<Reload, ReloadError>, took: Duration) {
    let label = match result {
        Ok(Reload::Unchanged) => "unchanged",
        Ok(Reload::Changed(_)) => "changed",
        Err(error) => {
            tracing::error!(%error, "reload failed");
            "failed"
        }
    };
    counter!(Metric::ReloadTotal.as_str(), "result" => label).increment(1);
    histogram!(Metric::ReloadDuration.as_str()).record(took);
}

/// A reload found other contents.
pub(super) fn changed(before: &Snapshot, now: &Snapshot, summary: &ReloadSummary) {
    tracing::info!(
        revision = %now.revision,
        total = summary.counts.total,
        new = summary.counts.new,
        updated = summary.counts.updated,
        archived = summary.counts.archived,
        invalid = summary.counts.invalid,
        "definitions reloaded"
    );
    failures(before, now);
    warnings(before, now);
    for reason in now
        .incomplete
        .iter()
        .filter(|r| !before.incomplete.contains(r))
    {
        tracing::warn!(%reason, "view of the definitions is incomplete, nothing is removed");
    }
    if now.is_complete() && !before.is_complete() {
        tracing::info!("view of the definitions is complete again");
    }
    count(before, now);
}

fn failures(before: &Snapshot, now: &Snapshot) {
    let by_source = |snapshot: &Snapshot| -> BTreeMap<String, FailedDocument> {
        let failed = snapshot.failed.iter();
        failed.map(|f| (f.source.clone(), f.clone())).collect()
    };
    let (was, is) = (by_source(before), by_source(now));
    let new: Vec<_> = is
        .values()
        .filter(|failed| was.get(&failed.source) != Some(failed))
        .collect();
    for failed in new.iter().take(DOCUMENTS_LOGGED) {
        let served = failed
            .id
            .as_ref()
            .and_then(|id| now.definitions.get(id))
            .is_some();
        tracing::error!(
            definition = failed.id.as_ref().map(tracing::field::display),
            error = %joined(&failed.errors),
            last_good_version_served = served,
            "definition is invalid"
        );
    }
    if let Some(more @ 1..) = new.len().checked_sub(DOCUMENTS_LOGGED) {
        tracing::error!(more, "more definitions are invalid");
    }
    let healed = was.values().filter_map(|failed| {
        let id = failed.id.as_ref()?;
        let loaded = now.definitions.get(id)?;
        (loaded.status == LoadStatus::Loaded).then_some((id, &loaded.source))
    });
    for (definition, source) in healed.take(DOCUMENTS_LOGGED) {
        tracing::info!(%definition, %source, "definition is valid again");
    }
}

fn warnings(before: &Snapshot, now: &Snapshot) {
    let known: std::collections::BTreeSet<_> = before.warnings.iter().collect();
    let new = now
        .warnings
        .iter()
        .filter(|warning| !known.contains(warning));
    for warning in new.take(DOCUMENTS_LOGGED) {
        tracing::warn!(
            at = %place(warning),
            warning = %warning.message,
            hint = warning.hint,
            "definition may not mean what it says"
        );
    }
}

fn count(before: &Snapshot, now: &Snapshot) {
    let with = |status| {
        let all = now.definitions.values();
        all.filter(|loaded| loaded.status == status).count()
    };
    for (status, number) in [
        ("loaded", with(LoadStatus::Loaded)),
        ("stale", with(LoadStatus::Stale)),
        ("invalid", now.failed.len()),
    ] {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        gauge!(Metric::Definitions.as_str(), "kind" => "workflow", "status" => status).set(number);
    }
    // The series of revisions that are no longer held fall to 0.
    let info =
        |revision: &str| gauge!(Metric::RegistryInfo.as_str(), "revision" => revision.to_owned());
    if !before.revision.as_str().is_empty() {
        info(before.revision.as_str()).set(0.0);
    }
    info(now.revision.as_str()).set(1.0);
}

fn joined(errors: &[Diagnostic]) -> String {
    let mut all: Vec<_> = errors
        .iter()
        .take(ERRORS_LOGGED)
        .map(|error| match &error.hint {
            Some(hint) => format!("{}: {} (hint: {hint})", place(error), error.message),
            None => format!("{}: {}", place(error), error.message),
        })
        .collect();
    if let Some(more @ 1..) = errors.len().checked_sub(ERRORS_LOGGED) {
        all.push(format!("{more} more"));
    }
    all.join("; ")
}

fn place(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        path, line, column, ..
    } = diagnostic;
    format!("{path}:{line}:{column}")
}
