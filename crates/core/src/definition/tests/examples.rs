//! The examples and the reference are definitions that work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{context, rendered};
use crate::definition::source::documents;
use crate::definition::{Calendars, DayCalendar, Definition, ParsedDocument, Program, parse_file};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test may read the files it tests"
)]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The text of each document, for the schema.
fn texts(text: &str) -> Vec<String> {
    let documents = documents(text.as_bytes());
    let texts = documents
        .iter()
        .map(|document| std::str::from_utf8(document.bytes).unwrap());
    texts.map(str::to_owned).collect()
}

/// The definitions of a text. The calendars that they name are among `others`
/// or in the text itself.
#[track_caller]
fn definitions(name: &str, text: &str, others: &[Arc<DayCalendar>]) -> Vec<Definition> {
    let all = valid(name, text);
    let own = all.iter().filter_map(ParsedDocument::calendar);
    let calendars = Calendars::new(own.chain(others).map(Arc::as_ref), []);
    all.iter()
        .filter_map(|document| {
            let resolved = calendars.resolve(document.definition()?, &document.calendars);
            Some(resolved.unwrap_or_else(|errors| panic!("{}", rendered(&errors))))
        })
        .collect()
}

#[track_caller]
fn valid(name: &str, text: &str) -> Vec<ParsedDocument> {
    for text in texts(text) {
        assert_eq!(super::schema::violation(&text), None, "{name}");
    }
    let documents = parse_file(name, text.as_bytes(), &context());
    for document in &documents {
        let found = document.result.as_ref().err().unwrap_or(&document.warnings);
        assert_eq!(*found, [], "{}", rendered(found));
    }
    documents
}

#[test]
fn the_example_of_a_mistake_has_one_error_with_its_place() {
    let text = read(&repository().join("examples/mistake/late-fees.yaml"));
    let documents = parse_file("late-fees.yaml", text.as_bytes(), &context());
    let errors = documents[0].result.as_ref().unwrap_err();
    insta::assert_snapshot!(rendered(errors), @r#"
    late-fees.yaml:7:22: `schedule.cron`: day_of_week `FRY` is not a value from 0 to 7
      7 |   cron: "0 8 * * MON-FRY"
        |                      ^
      hint: a day is 0 (Sunday) to 7 (also Sunday), its English name, or at least the first 2 letters of the name
    "#);
}

#[test]
fn examples_are_valid_and_need_no_worker_but_almanac() {
    let mut names = Vec::new();
    let files = std::fs::read_dir(repository().join("examples/definitions")).unwrap();
    let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    let calendars: Vec<_> = files
        .iter()
        .flat_map(|path| valid(path.to_str().unwrap(), &read(path)))
        .filter_map(|document| document.calendar().cloned())
        .collect();
    assert!(!calendars.is_empty());
    for path in files {
        for definition in definitions(path.to_str().unwrap(), &read(&path), &calendars) {
            assert!(
                matches!(definition.program, Program::Steps(_)),
                "{}",
                definition.id
            );
            names.push(definition.id);
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two examples have one id");
    assert!(count >= 6);
}

/// The folders that the worker of an environment reads: the common one and its own.
#[test]
fn each_environment_is_valid_with_the_common_folder() {
    for environment in ["production", "staging"] {
        let mut ids = Vec::new();
        for folder in ["common", environment] {
            let folder = repository().join("examples/environments").join(folder);
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                for definition in definitions(path.to_str().unwrap(), &read(&path), &[]) {
                    ids.push(definition.id.to_string());
                }
            }
        }
        ids.sort();
        assert_eq!(ids, ["heartbeat", "payouts"], "{environment}");
    }
}

#[test]
fn the_reference_shows_definitions_that_are_valid() {
    let text = read(&repository().join("docs/definitions.md"));
    let blocks: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        definitions("definitions/reference.yaml", block, &[]);
    }
}
