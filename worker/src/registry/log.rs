//! Log lines and metrics of a reload. Each change is reported once.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_activities::metrics::Metric;
use almanac_base::names::DefinitionId;
use almanac_core::definition::{Diagnostic, Kind};
use almanac_core::snapshot::{FailedDocument, LoadStatus, Snapshot, file_of};
use metrics::{counter, gauge, histogram};

use super::{Reload, ReloadError, ReloadSummary};

/// Maximum number of documents that a reload logs one by one.
const DOCUMENTS_LOGGED: usize = 100;
/// Maximum number of errors that are logged for a document.
const ERRORS_LOGGED: usize = 5;

/// Reports that a reload has ended.
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

/// Reports that a reload changed the definitions.
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
        tracing::warn!(%reason, "view of the definitions is incomplete; nothing is removed");
    }
    if now.is_complete() && !before.is_complete() {
        tracing::info!("view of the definitions is complete again");
    }
    count(now);
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
        let id = failed.id.as_ref().map(tracing::field::display);
        let error = joined(&failed.errors);
        let last_good_version_served = match &failed.id {
            Some(id) => now.served(failed.kind, id).is_some(),
            // A file that cannot be read may hold any of the definitions that it held before.
            None => of_file(now, &failed.source).any(|(_, status)| status != LoadStatus::Loaded),
        };
        match failed.kind {
            Kind::Workflow => tracing::error!(
                definition = id,
                %error,
                last_good_version_served,
                "definition is invalid"
            ),
            Kind::Calendar => {
                tracing::error!(calendar = id, %error, last_good_version_served, "calendar is invalid");
            }
            Kind::EventType => {
                tracing::error!(event_type = id, %error, last_good_version_served, "event type is invalid");
            }
        }
    }
    if let Some(more @ 1..) = new.len().checked_sub(DOCUMENTS_LOGGED) {
        tracing::error!(more, "more definitions are invalid");
    }
    let healed = was.values().filter_map(|failed| {
        let served = now.served(failed.kind, failed.id.as_ref()?)?;
        (served.status == LoadStatus::Loaded).then_some((served.id, served.source))
    });
    let unread = was.values().filter(|failed| failed.id.is_none());
    let healed_too = unread.flat_map(|failed| {
        of_file(before, &failed.source).filter_map(|(id, status)| {
            let loaded = now.definitions.get(id)?;
            (status != LoadStatus::Loaded && loaded.status == LoadStatus::Loaded)
                .then_some((id, loaded.source.as_str()))
        })
    });
    for (definition, source) in healed.chain(healed_too).take(DOCUMENTS_LOGGED) {
        tracing::info!(%definition, %source, "definition is valid again");
    }
}

/// The definitions that a file holds, or held when it could last be read.
fn of_file<'a>(
    snapshot: &'a Snapshot,
    source: &'a str,
) -> impl Iterator<Item = (&'a DefinitionId, LoadStatus)> {
    let held = snapshot.definitions.iter();
    held.filter(|(_, loaded)| file_of(&loaded.source) == file_of(source))
        .map(|(id, loaded)| (id, loaded.status))
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
            "definition has a warning"
        );
    }
}

fn count(now: &Snapshot) {
    for kind in Kind::ALL {
        for (status, number) in by_status(now, kind) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let labels = [("kind", kind.as_str()), ("status", status)];
            gauge!(Metric::Definitions.as_str(), &labels).set(number);
        }
    }
}

/// Number of documents of a kind, by status: served, or failing.
fn by_status(now: &Snapshot, kind: Kind) -> [(&'static str, usize); 3] {
    let with = |status| {
        let all = now.all_served(kind);
        all.filter(|served| served.status == status).count()
    };
    [
        ("loaded", with(LoadStatus::Loaded)),
        ("stale", with(LoadStatus::Stale)),
        ("invalid", now.failing(kind)),
    ]
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use almanac_base::names::Revision;
    use almanac_core::definition::{ParseContext, parse_file};
    use almanac_core::snapshot::Loaded;
    use insta::assert_snapshot;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(before: &Snapshot, now: &Snapshot) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        let summary = ReloadSummary::between(Some(before), now);
        crate::telemetry::ask_every_subscriber();
        tracing::subscriber::with_default(subscriber, || changed(before, now, &summary));
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
    }

    fn broken(revision: &str) -> Snapshot {
        Snapshot {
            revision: Revision::of(revision.as_bytes()),
            failed: vec![FailedDocument {
                source: "a.yaml".into(),
                id: Some("a".parse().unwrap()),
                kind: Kind::Workflow,
                errors: vec![
                    Diagnostic {
                        hint: Some("say when".into()),
                        ..Diagnostic::error("defs/a.yaml", 3, 5, "schedule: no times")
                    },
                    Diagnostic::error("defs/a.yaml", 7, 1, "workflow.type: missing"),
                ],
            }],
            incomplete: vec!["folder `b` is missing".into()],
            ..Snapshot::default()
        }
    }

    #[test]
    fn an_invalid_document_is_logged_once() {
        let nothing = Snapshot::default();
        assert_snapshot!(logged(&nothing, &broken("1")), @r"
        INFO definitions reloaded revision=6b86b273ff34fce1 total=0 new=0 updated=0 archived=0 invalid=1
        ERROR definition is invalid definition=a error=defs/a.yaml:3:5: schedule: no times (hint: say when); defs/a.yaml:7:1: workflow.type: missing last_good_version_served=false
        WARN view of the definitions is incomplete; nothing is removed reason=folder `b` is missing
        ");
        assert_snapshot!(logged(&broken("1"), &broken("2")), @"INFO definitions reloaded revision=d4735e3a265e16ee total=0 new=0 updated=0 archived=0 invalid=1");
        assert_snapshot!(logged(&broken("2"), &nothing), @r"
        INFO definitions reloaded revision= total=0 new=0 updated=0 archived=0 invalid=0
        INFO view of the definitions is complete again
        ");
    }

    /// The document's id cannot be read, so it may be any id that its file held.
    #[test]
    fn an_unreadable_file_is_logged_with_the_definitions_still_served() {
        let text = b"schedule: { every: 1h }\nworkflow: { type: Job, task_queue: jobs }\n";
        let context = ParseContext {
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let good = |status| {
            let parsed = parse_file("a.yaml", text, &context).remove(0);
            let definition = Arc::clone(parsed.definition().unwrap());
            let loaded = Loaded {
                definition: Arc::clone(&definition),
                source: "a.yaml".to_owned(),
                status,
            };
            Snapshot {
                definitions: [(definition.id.clone(), loaded)].into(),
                ..Snapshot::default()
            }
        };
        let kept = Snapshot {
            failed: vec![FailedDocument {
                source: "a.yaml:1".into(),
                id: None,
                kind: Kind::Workflow,
                errors: vec![Diagnostic::error("defs/a.yaml", 1, 5, "not valid YAML")],
            }],
            ..good(LoadStatus::Stale)
        };
        let lines = logged(&good(LoadStatus::Loaded), &kept);
        assert!(lines.contains("last_good_version_served=true"), "{lines}");
        let lines = logged(&kept, &good(LoadStatus::Loaded));
        let again = "definition is valid again definition=a source=a.yaml";
        assert!(lines.contains(again), "{lines}");
    }

    #[test]
    fn the_metrics_are_those_of_the_present_revision() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            count(&broken("1"));
            count(&broken("2"));
            reloaded(&Ok(Reload::Unchanged), Duration::from_millis(5));
        });
        let page = page.render();
        let mut values: Vec<_> = page.lines().filter(|l| l.starts_with("almanac_")).collect();
        values.retain(|line| !line.contains("_seconds"));
        values.sort_unstable();
        assert_snapshot!(values.join("\n"), @r#"
        almanac_definitions{kind="calendar",status="invalid"} 0
        almanac_definitions{kind="calendar",status="loaded"} 0
        almanac_definitions{kind="calendar",status="stale"} 0
        almanac_definitions{kind="event_type",status="invalid"} 0
        almanac_definitions{kind="event_type",status="loaded"} 0
        almanac_definitions{kind="event_type",status="stale"} 0
        almanac_definitions{kind="workflow",status="invalid"} 1
        almanac_definitions{kind="workflow",status="loaded"} 0
        almanac_definitions{kind="workflow",status="stale"} 0
        almanac_reload_total{result="unchanged"} 1
        "#);
    }
}
