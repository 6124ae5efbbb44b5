//! `almanac validate`: checks definitions offline, by the rules of the worker.
//!
//! A folder is loaded by the registry itself. A file alone is parsed; of the
//! rules that need the other files it knows those among the files given.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use almanac_workflows::definition::{
    Definition, Diagnostic, ParseContext, ParsedDocument, parse_file,
};
use almanac_workflows::names::DefinitionId;
use almanac_workflows::snapshot::LoadStatus;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::ValidateArgs;
use crate::registry::{Depth, Registry};

/// More than any file that the parser takes.
const READ_LIMIT: u64 = 2 * 1024 * 1024;

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    /// How many documents are valid.
    valid: usize,
    /// How many are not.
    invalid: usize,
    /// All that is wrong, and all that is probably not meant.
    diagnostics: Vec<Diagnostic>,
    /// What could not be looked at.
    problems: Vec<String>,
}

pub(super) async fn run(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let default = [PathBuf::from("definitions")];
    let paths = if args.paths.is_empty() {
        &default[..]
    } else {
        &args.paths[..]
    };
    let (files, folders): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| path.is_file());
    let mut findings = Findings::default();
    if !folders.is_empty() {
        check_folders(folders, &mut findings).await?;
    }
    check_files(&files, &mut findings);
    findings.diagnostics.sort();
    super::show(args.format, &findings, text)?;
    let good = findings.invalid == 0 && findings.problems.is_empty();
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(findings: &Findings) -> String {
    let mut out = String::new();
    for diagnostic in &findings.diagnostics {
        out += &diagnostic.render();
        out += "\n\n";
    }
    for problem in &findings.problems {
        writeln!(out, "error: {problem}").unwrap_or_default();
    }
    out + &format!("{} valid, {} invalid\n", findings.valid, findings.invalid)
}

async fn check_folders(folders: Vec<PathBuf>, findings: &mut Findings) -> anyhow::Result<()> {
    let registry = Registry::new(folders, Duration::ZERO);
    registry.reload(Depth::Contents).await?;
    let snapshot = registry.snapshot();
    let loaded = |loaded: &&_| {
        let loaded: &almanac_workflows::snapshot::Loaded = loaded;
        loaded.status == LoadStatus::Loaded
    };
    findings.valid += snapshot.definitions.values().filter(loaded).count();
    findings.invalid += snapshot.failed.len();
    let errors = snapshot.failed.iter().flat_map(|failed| &failed.errors);
    findings
        .diagnostics
        .extend(errors.chain(&snapshot.warnings).cloned());
    findings
        .problems
        .extend(snapshot.incomplete.iter().cloned());
    Ok(())
}

fn check_files(files: &[PathBuf], findings: &mut Findings) {
    let mut first: BTreeMap<DefinitionId, String> = BTreeMap::new();
    for file in files {
        let documents = match read_documents(file) {
            Ok(documents) => documents,
            Err(problem) => {
                findings.problems.push(problem);
                continue;
            }
        };
        for document in documents {
            findings.diagnostics.extend(document.warnings);
            match document.result {
                Ok(definition) => {
                    let place = format!("{}:{}", file.display(), document.line);
                    match first.get(&definition.id) {
                        None => {
                            findings.valid += 1;
                            first.insert(definition.id, place);
                        }
                        Some(other) => {
                            findings.invalid += 1;
                            findings.diagnostics.push(Diagnostic::error(
                                file.display().to_string(),
                                document.line,
                                1,
                                format!("id `{}` is used twice; also at {other}", definition.id),
                            ));
                        }
                    }
                }
                Err(errors) => {
                    findings.invalid += 1;
                    findings.diagnostics.extend(errors);
                }
            }
        }
    }
}

/// The documents of one file, or why it cannot be read.
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

/// The definitions of one file; all that is wrong with it otherwise.
pub(super) fn definitions_of(path: &Path) -> anyhow::Result<Vec<Definition>> {
    let documents = read_documents(path).map_err(anyhow::Error::msg)?;
    let mut errors = Vec::new();
    let mut definitions = Vec::new();
    for document in documents {
        match document.result {
            Ok(definition) => definitions.push(definition),
            Err(found) => errors.extend(found.iter().map(Diagnostic::render)),
        }
    }
    if errors.is_empty() {
        Ok(definitions)
    } else {
        anyhow::bail!("{}", errors.join("\n"))
    }
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
        check_files(&[file], &mut findings);
        assert_eq!((findings.valid, findings.invalid), (2, 1));
        assert!(findings.diagnostics[0].path.ends_with("b.yaml"));
        assert!(text(&findings).ends_with("2 valid, 1 invalid\n"));
    }

    #[test]
    fn an_id_that_two_of_the_files_state_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("id: same\n{GOOD}");
        let files = ["a.yaml", "b.yaml"].map(|name| write(folder.path(), name, &text));
        let mut findings = Findings::default();
        check_files(&files, &mut findings);
        assert_eq!((findings.valid, findings.invalid), (1, 1));
        assert!(
            findings.diagnostics[0]
                .message
                .starts_with("id `same` is used twice")
        );
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
}
