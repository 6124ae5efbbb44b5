//! The parser from outside: text in, definitions and diagnostics out.

mod after;
mod bad_keys;
mod bad_steps;
mod bad_syntax;
mod bad_times;
mod bad_types;
mod calendars;
mod defaults;
mod event_types;
mod examples;
mod good;
mod good_steps;
mod limits;
mod other_formats;
mod ows_examples;
mod properties;
mod schema;
mod schema_steps;
mod triggers;
mod validation_cost;
mod warnings;
mod webhooks;

use std::sync::Arc;

use super::{Definition, Diagnostic, ParseContext, Parsed, ParsedDocument, parse_file};

/// A Tuesday in January.
fn context() -> ParseContext {
    ParseContext {
        now: "2026-01-06T12:00:00Z".parse().unwrap(),
    }
}

fn parse(text: &str) -> Vec<ParsedDocument> {
    parse_file("jobs/nightly.yaml", text.as_bytes(), &context())
}

/// The only document's definition; there must be no error and no warning.
#[track_caller]
fn definition(text: &str) -> Definition {
    let warnings: Vec<Diagnostic> = parse(text)
        .into_iter()
        .flat_map(|document| document.warnings)
        .collect();
    assert_eq!(warnings, [], "{}", rendered(&warnings));
    warned(text)
}

/// Returns the definition of the only document, ignoring warnings.
#[track_caller]
fn warned(text: &str) -> Definition {
    let mut documents = parse(text);
    assert_eq!(documents.len(), 1, "{documents:#?}");
    let document = documents.remove(0);
    match document.result {
        Ok(Parsed::Definition(definition)) => Arc::unwrap_or_clone(definition),
        Ok(other) => panic!("{other:?}"),
        Err(errors) => panic!("{}", rendered(&errors)),
    }
}

/// Everything found in a file, as people see it.
fn report(text: &str) -> String {
    let found: Vec<Diagnostic> = parse(text)
        .into_iter()
        .flat_map(|document| {
            let errors = document.result.err().unwrap_or_default();
            errors.into_iter().chain(document.warnings)
        })
        .collect();
    rendered(&found)
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::render).collect();
    lines.join("\n")
}
