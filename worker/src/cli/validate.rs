//! `almanac validate`: checks definitions offline, by the rules of the worker.
//!
//! The registry loads a folder. A file alone is parsed. The rules that need other files take
//! only the files given into account. The calendars that a file names may also stand in the
//! folders given, and in the files of the same folder.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_core::definition::{
    Calendars, Cycles, DayCalendar, Definition, Diagnostic, Kind, ParseContext, Parsed,
    ParsedDocument, Severity, parse_file,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{DEFINITIONS, ValidateArgs};
use crate::console::{self, Page, Tone};
use crate::failure::Failure;
use crate::registry::{ReadDepth, Registry};

/// Maximum number of bytes that are read of a file: more than the parser takes.
const READ_LIMIT: u64 = 2 * 1024 * 1024;

/// Maximum number of findings that are shown to people: a file of a megabyte may have a hundred
/// thousand.
const SHOWN: usize = 1000;

/// Results of the checks.
#[derive(Debug, Default, Serialize)]
struct Findings {
    /// Number of valid documents.
    valid: usize,
    /// Number of invalid documents.
    invalid: usize,
    /// Errors, and warnings about values that are probably not meant.
    diagnostics: Vec<Diagnostic>,
    /// Errors of reading files and folders.
    problems: Vec<String>,
}

pub(super) async fn run(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let default = [PathBuf::from(DEFINITIONS)];
    let paths = if args.paths.is_empty() {
        &default[..]
    } else {
        &args.paths[..]
    };
    let (files, folders): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| path.is_file());
    let mut findings = Findings::default();
    let mut calendars = Vec::new();
    if !folders.is_empty() {
        calendars = check_folders(folders, &mut findings).await?;
    }
    check_files(&files, calendars, &mut findings);
    findings.diagnostics.sort();
    if findings.is_empty() {
        let paths: Vec<_> = paths
            .iter()
            .map(|it| format!("`{}`", it.display()))
            .collect();
        console::eprint(&format!("no definitions in {}", paths.join(", ")));
    }
    super::print(args.format, &findings, text)?;
    let good = findings.invalid == 0 && findings.problems.is_empty();
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Findings {
    /// Returns `true` if no document was found and nothing failed to be read.
    fn is_empty(&self) -> bool {
        self.valid == 0 && self.invalid == 0 && self.problems.is_empty()
    }
}

fn text(findings: &Findings) -> Page {
    let mut page = Page::default();
    for diagnostic in findings.diagnostics.iter().take(SHOWN) {
        let tone = match diagnostic.severity {
            Severity::Error => Tone::Bad,
            Severity::Warning => Tone::Caution,
        };
        let mut lines = diagnostic.lines().into_iter();
        page.toned(tone, lines.next().unwrap_or_default());
        lines.for_each(|line| page.line(line));
        page.line("");
    }
    if findings.diagnostics.len() > SHOWN {
        let more = findings.diagnostics.len() - SHOWN;
        page.line(format!("and {more} more; `--format json` lists all"));
        page.line("");
    }
    for problem in &findings.problems {
        page.signed(format!("error: {problem}"));
    }
    let is_good = findings.invalid == 0 && findings.problems.is_empty();
    page.toned(
        if is_good { Tone::Good } else { Tone::Bad },
        format!("{} valid, {} invalid", findings.valid, findings.invalid),
    );
    page
}

/// Checks folders, and returns the calendars in them.
async fn check_folders(
    folders: Vec<PathBuf>,
    findings: &mut Findings,
) -> anyhow::Result<Vec<Arc<DayCalendar>>> {
    let registry = Registry::new(folders, Duration::ZERO);
    registry.reload(ReadDepth::Contents).await?;
    let snapshot = registry.snapshot();
    // This registry served no definitions before, so none is stale.
    let valid = Kind::ALL
        .into_iter()
        .flat_map(|kind| snapshot.all_served(kind));
    findings.valid += valid.count();
    findings.invalid += snapshot.failed.len();
    let errors = snapshot.failed.iter().flat_map(|failed| &failed.errors);
    findings
        .diagnostics
        .extend(errors.chain(&snapshot.warnings).cloned());
    findings
        .problems
        .extend(snapshot.incomplete.iter().cloned());
    let calendars = snapshot.calendars.values();
    Ok(calendars
        .map(|loaded| Arc::clone(&loaded.calendar))
        .collect())
}

fn check_files(files: &[PathBuf], calendars: Vec<Arc<DayCalendar>>, findings: &mut Findings) {
    let mut all = Vec::new();
    for file in files {
        match read_documents(file) {
            Ok(documents) => all.push((file.as_path(), documents)),
            Err(problem) => findings.problems.push(problem),
        }
    }
    let world = World::of(&all, calendars);
    let calendars = world.calendars();
    let definitions = documents_of(&all);
    let cycles = Cycles::of(
        definitions.filter_map(|(_, document)| Some((&**document.definition()?, document))),
    );
    let mut first: BTreeMap<(Kind, &DefinitionId), String> = BTreeMap::new();
    for (file, document) in documents_of(&all) {
        findings.diagnostics.extend_from_slice(&document.warnings);
        let cycle = document.definition().and_then(|one| cycles.errors(&one.id));
        let result = match cycle {
            Some(errors) => Err(errors.to_vec()),
            None => checked(document, &calendars),
        };
        match result {
            Ok(resolved) => {
                let warning = document
                    .definition()
                    .zip(resolved)
                    .and_then(|(parsed, it)| {
                        Calendars::warning(parsed, &it, &document.calendars, Timestamp::now())
                    });
                findings.diagnostics.extend(warning);
            }
            Err(errors) => {
                findings.invalid += 1;
                findings.diagnostics.extend(errors);
                continue;
            }
        }
        let Some(id) = &document.id else { continue };
        let place = format!("{}:{}", file.display(), document.line);
        match first.entry((document.kind, id)) {
            Entry::Vacant(entry) => {
                findings.valid += 1;
                entry.insert(place);
            }
            Entry::Occupied(other) => {
                findings.invalid += 1;
                findings.diagnostics.push(Diagnostic::error(
                    file.display().to_string(),
                    document.line,
                    1,
                    format!("id `{id}` is used twice; also at {}", other.get()),
                ));
            }
        }
    }
}

/// Files with their documents.
type Documents<'a> = [(&'a Path, Vec<ParsedDocument>)];

fn documents_of<'a>(
    all: &'a Documents<'_>,
) -> impl Iterator<Item = (&'a Path, &'a ParsedDocument)> {
    all.iter()
        .flat_map(|(file, documents)| documents.iter().map(move |document| (*file, document)))
}

/// The definition of a valid document, if the document is one, with the days of the calendars
/// that it names.
fn checked(
    document: &ParsedDocument,
    calendars: &Calendars<'_>,
) -> Result<Option<Definition>, Vec<Diagnostic>> {
    match &document.result {
        Ok(Parsed::Definition(definition)) => {
            calendars.resolve(definition, &document.calendars).map(Some)
        }
        Ok(Parsed::Calendar(_) | Parsed::EventType(_)) => Ok(None),
        Err(errors) => Err(errors.clone()),
    }
}

/// The calendars that the files can name.
struct World {
    known: Vec<Arc<DayCalendar>>,
    failing: Vec<DefinitionId>,
}

impl World {
    /// The calendars of the files themselves. A name that is not among them is looked up in
    /// `others`, then in the other files of the same folders.
    fn of(all: &Documents<'_>, others: Vec<Arc<DayCalendar>>) -> Self {
        let names = |documents: &[ParsedDocument]| {
            let mut documents = documents.iter();
            documents.any(|document| !document.calendars.is_empty())
        };
        let folders: BTreeSet<&Path> = all
            .iter()
            .filter(|(_, documents)| names(documents))
            .filter_map(|(file, _)| file.parent())
            .collect();
        let mut known: Vec<_> = folders.into_iter().flat_map(calendars_in).collect();
        known.extend(others);
        let own = documents_of(all).filter_map(|(_, document)| document.calendar());
        known.extend(own.map(Arc::clone));
        let failing = documents_of(all)
            .filter(|(_, document)| document.kind == Kind::Calendar && document.result.is_err())
            .filter_map(|(_, document)| document.id.clone())
            .collect();
        Self { known, failing }
    }

    fn calendars(&self) -> Calendars<'_> {
        Calendars::new(self.known.iter().map(Arc::as_ref), &self.failing)
    }
}

/// The calendars in the files of a folder, without the folders below it.
fn calendars_in(folder: &Path) -> Vec<Arc<DayCalendar>> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_yaml = |path: &PathBuf| {
        let ending = path.extension();
        ending.is_some_and(|ending| ending == "yaml" || ending == "yml") && path.is_file()
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(is_yaml);
    files.sort();
    files
        .iter()
        .filter_map(|file| read_documents(file).ok())
        .flatten()
        .filter_map(|document| document.calendar().cloned())
        .collect()
}

/// The documents of a file, or the reason why it cannot be read.
fn read_documents(path: &Path) -> Result<Vec<ParsedDocument>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(READ_LIMIT).read_to_end(&mut bytes))
        .map_err(|error| format!("read {}: {error}", path.display()))?;
    let context = ParseContext {
        now: Timestamp::now(),
    };
    Ok(parse_file(&path.display().to_string(), &bytes, &context))
}

/// The definitions of a file. If a document is invalid, the errors are returned instead.
pub(super) fn definitions_of(path: &Path) -> anyhow::Result<Vec<Definition>> {
    let (definitions, errors) = read_definitions(path)?;
    match Failure::of_findings(&errors) {
        None => Ok(definitions),
        Some(failure) => Err(failure.into()),
    }
}

/// The valid definitions of a file, and the errors of its other documents.
pub(super) fn read_definitions(path: &Path) -> anyhow::Result<(Vec<Definition>, Vec<Diagnostic>)> {
    let documents = read_documents(path).map_err(anyhow::Error::msg)?;
    let all = [(path, documents)];
    let world = World::of(&all, Vec::new());
    let calendars = world.calendars();
    let mut errors = Vec::new();
    let mut definitions = Vec::new();
    for (_, document) in documents_of(&all) {
        match checked(document, &calendars) {
            Ok(definition) => definitions.extend(definition),
            Err(found) => errors.extend(found),
        }
    }
    Ok((definitions, errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "schedule: { cron: '0 * * * *' }\nworkflow: { type: T, task_queue: q }\n";

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[tokio::test]
    async fn folders_and_files_are_counted_together() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.yaml", GOOD);
        write(folder.path(), "b.yaml", "schedule: 5\n");
        let other = tempfile::tempdir().unwrap();
        let file = write(other.path(), "c.yaml", GOOD);
        let mut findings = Findings::default();
        check_folders(vec![folder.path().to_owned()], &mut findings)
            .await
            .unwrap();
        check_files(&[file], Vec::new(), &mut findings);
        assert_eq!((findings.valid, findings.invalid), (2, 1));
        assert!(findings.diagnostics[0].path.ends_with("b.yaml"));
        assert!(
            text(&findings)
                .to_string()
                .ends_with("2 valid, 1 invalid\n")
        );
    }

    #[test]
    fn an_id_that_two_of_the_files_state_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("id: same\n{GOOD}");
        let files = ["a.yaml", "b.yaml"].map(|name| write(folder.path(), name, &text));
        let mut findings = Findings::default();
        check_files(&files, Vec::new(), &mut findings);
        assert_eq!((findings.valid, findings.invalid), (1, 1));
        assert!(
            findings.diagnostics[0]
                .message
                .starts_with("id `same` is used twice")
        );
    }

    const NAMING: &str = "schedule: { cron: '0 9 * * *', exclude: [{ calendar: days }] }\n\
        workflow: { type: T, task_queue: q }\n";
    const DAYS: &str = "kind: calendar\nid: days\ndates: [12-25]\n";

    #[tokio::test]
    async fn a_calendar_is_found_in_the_files_the_folders_and_beside() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let job = write(folder.path(), "job.yaml", NAMING);
        let mut findings = Findings::default();
        check_files(std::slice::from_ref(&job), Vec::new(), &mut findings);
        assert_eq!((findings.valid, findings.invalid), (0, 1));
        assert!(
            findings.diagnostics[0]
                .message
                .contains("there is no calendar `days`")
        );
        assert!(definitions_of(&job).is_err());

        let days = write(other.path(), "days.yaml", DAYS);
        let mut findings = Findings::default();
        check_files(&[job.clone(), days], Vec::new(), &mut findings);
        assert_eq!((findings.valid, findings.invalid), (2, 0));

        let mut findings = Findings::default();
        let calendars = check_folders(vec![other.path().to_owned()], &mut findings);
        let calendars = calendars.await.unwrap();
        check_files(std::slice::from_ref(&job), calendars, &mut findings);
        assert_eq!((findings.valid, findings.invalid), (2, 0));

        write(folder.path(), "all.yaml", DAYS);
        let definitions = definitions_of(&job).unwrap();
        let spec = &definitions[0].schedule.as_ref().unwrap().spec;
        assert_eq!(spec.exclude[0].to_string(), "* * * 25 12 * *");
    }

    #[tokio::test]
    async fn a_calendar_and_a_definition_may_share_an_id() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "a.yaml",
            &format!("id: days\n{NAMING}---\n{DAYS}"),
        );
        let mut findings = Findings::default();
        check_folders(vec![folder.path().to_owned()], &mut findings)
            .await
            .unwrap();
        assert_eq!((findings.valid, findings.invalid), (2, 0));
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_is_a_problem() {
        let mut findings = Findings::default();
        check_folders(vec!["/nowhere/at/all".into()], &mut findings)
            .await
            .unwrap();
        assert_eq!(findings.problems.len(), 1);
        assert!(findings.problems[0].contains("/nowhere/at/all"));
    }

    #[test]
    fn people_are_shown_no_more_findings_than_they_can_read() {
        let found = |count| Findings {
            invalid: count,
            diagnostics: vec![Diagnostic::error("a.yaml", 1, 1, "bad"); count],
            ..Findings::default()
        };
        let shown = |count| text(&found(count)).to_string();
        let all = shown(SHOWN);
        assert_eq!(all.matches("a.yaml").count(), SHOWN);
        assert!(!all.contains("more"), "{all}");
        let cut = shown(SHOWN + 7);
        assert_eq!(cut.matches("a.yaml").count(), SHOWN);
        assert!(
            cut.contains("and 7 more; `--format json` lists all"),
            "{cut}"
        );
    }
}
