//! The examples and the reference are definitions that work.

use std::path::{Path, PathBuf};

use super::{context, rendered};
use crate::definition::source::documents;
use crate::definition::{Definition, Program, parse_file};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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

#[track_caller]
fn definitions(name: &str, text: &str) -> Vec<Definition> {
    for text in texts(text) {
        assert_eq!(super::schema::violation(&text), None, "{name}");
    }
    let documents = parse_file(name, text.as_bytes(), &context());
    let definitions = documents.into_iter().map(|document| {
        assert_eq!(document.warnings, [], "{}", rendered(&document.warnings));
        document
            .result
            .unwrap_or_else(|errors| panic!("{}", rendered(&errors)))
    });
    definitions.collect()
}

#[test]
fn examples_are_valid_and_need_no_worker_but_almanac() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(repository().join("examples/definitions")).unwrap() {
        let path = entry.unwrap().path();
        for definition in definitions(path.to_str().unwrap(), &read(&path)) {
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
        definitions("definitions/reference.yaml", block);
    }
}
