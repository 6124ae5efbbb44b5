//! The registry against real folders. The documents are of a made-up kind, so
//! that these tests are about files: see [`parse`].

mod after;
mod calendars;
mod encryption;
mod event_types;
mod files;
mod follow;
mod real;
mod recent_reloads;
mod rescan;
mod retention;
mod speed;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::Revision;
use almanac_core::definition::{
    Definition, Diagnostic, Kind, Labels, OverlapPolicy, ParseContext, Parsed, ParsedDocument,
    Program, ScheduleBlock, Triggers,
};
use almanac_core::snapshot::LoadStatus;
use almanac_times::Spec;
use serde_json::Value;
use tempfile::TempDir;

use super::load::Loader;
use super::{Codec, ReadDepth, Registry, Reload};

/// The text of a document that is valid.
fn document(id: &str, text: &str) -> String {
    format!("id: {id}\n{text}\nend\n")
}

/// Documents are parted by `---`. One states its id by `id:`, is valid when it
/// has a line `end`, has no schedule when it has a line `no schedule`, and
/// makes the parser panic when it has a line `panic`. Lines of `#` alone make none.
fn parse(path: &str, bytes: &[u8], _: &ParseContext) -> Vec<ParsedDocument> {
    let text = String::from_utf8_lossy(bytes);
    let mut line = 1;
    let mut documents = Vec::new();
    for part in text.split_inclusive("---\n") {
        let first = line;
        line += part.lines().count();
        let lines: Vec<_> = part.lines().filter(|line| *line != "---").collect();
        if lines.iter().all(|line| line.starts_with('#')) {
            continue;
        }
        assert!(!lines.contains(&"panic"), "asked to");
        let id = lines.iter().find_map(|line| line.strip_prefix("id: "));
        let id = id.and_then(|id| id.parse().ok());
        let error = |message: &str| vec![Diagnostic::error(path, first, 1, message)];
        let result = match &id {
            None => Err(error("id: missing")),
            Some(_) if !lines.contains(&"end") => Err(error("document does not end")),
            Some(id) => Ok(Parsed::Definition(Arc::new(Definition {
                id: Clone::clone(id),
                revision: Revision::of(part.as_bytes()),
                description: Some(lines[1].to_owned()),
                enabled: true,
                labels: Labels::default(),
                schedule: (!lines.contains(&"no schedule")).then(|| ScheduleBlock {
                    enabled: true,
                    cron: Vec::new(),
                    spec: Spec::default(),
                    overlap_policy: OverlapPolicy::Skip,
                    catchup_window: Duration::from_hours(1),
                    pause_on_failure: false,
                    max_actions: None,
                    input: None,
                    adopts: None,
                }),
                triggers: Triggers::default(),
                program: Program::Steps(Value::Null.into()),
            }))),
        };
        documents.push(ParsedDocument {
            line: first,
            id,
            kind: Kind::Workflow,
            result,
            calendars: Box::default(),
            events: Box::default(),
            after: Box::default(),
            warnings: Vec::new(),
        });
    }
    documents
}

/// A folder of definitions.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn root(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Writes a file as it stands, and its folders.
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a file beside it, then renames it over.
    fn save(&self, path: &str, text: &str) {
        let beside = self.path(&format!("{path}.new"));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.path(path)).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        symlink(target, self.path(path)).unwrap();
    }

    fn registry(&self) -> Arc<Registry> {
        registry(&[self.root()])
    }
}

/// A registry of made-up documents that takes files as they stand.
fn registry(roots: &[PathBuf]) -> Arc<Registry> {
    patient_registry(roots, Duration::ZERO, Duration::from_secs(5))
}

fn patient_registry(roots: &[PathBuf], still_for: Duration, patience: Duration) -> Arc<Registry> {
    let loader = Loader::new(roots.to_vec(), still_for).with(parse, patience);
    Registry::with_loader(roots.to_vec(), loader, Codec::default())
}

/// Reloads, and shows what is served.
async fn reloaded(registry: &Arc<Registry>) -> String {
    registry.reload(ReadDepth::Changed).await.unwrap();
    shown(registry)
}

/// Reloads, and tells whether anything changed.
async fn changes(registry: &Arc<Registry>, depth: ReadDepth) -> bool {
    registry.reload(depth).await.unwrap() != Reload::Unchanged
}

/// The served documents, a line each, with the folders' own paths left out.
fn shown(registry: &Registry) -> String {
    let snapshot = registry.snapshot();
    let mut out = String::new();
    for (id, loaded) in &snapshot.definitions {
        let text = loaded.definition.description.as_deref().unwrap_or_default();
        let stale = match loaded.status {
            LoadStatus::Loaded => "",
            LoadStatus::Stale => ", stale",
        };
        writeln!(out, "{id}: {text} ({}{stale})", loaded.source).unwrap();
    }
    for (id, loaded) in &snapshot.calendars {
        let stale = match loaded.status {
            LoadStatus::Loaded => "",
            LoadStatus::Stale => ", stale",
        };
        let days = loaded.calendar.exclusions.iter();
        let days: Vec<_> = days.map(ToString::to_string).collect();
        let days = days.join("; ");
        writeln!(out, "calendar {id}: {days} ({}{stale})", loaded.source).unwrap();
    }
    for failed in &snapshot.failed {
        let id = failed.id.as_ref().map_or("?", |id| id.as_str());
        for error in &failed.errors {
            writeln!(out, "invalid {id} ({}): {error}", failed.source).unwrap();
        }
    }
    for archived in &snapshot.archived {
        let kind = match archived.kind {
            Kind::Calendar => "calendar ",
            _ => "",
        };
        writeln!(out, "archived {kind}{} ({})", archived.id, archived.source).unwrap();
    }
    for reason in &snapshot.incomplete {
        writeln!(out, "incomplete: {reason}").unwrap();
    }
    for root in registry.roots() {
        out = out.replace(&format!("{}/", root.display()), "");
        out = out.replace(&root.display().to_string(), "FOLDER");
    }
    out
}
