//! The specification's own examples: each is read, or refused for a reason that is listed here.
//!
//! The examples are not part of this repository: the environment variable `ALMANAC_OWS` names a
//! folder with them. Without it, the tests are ignored.

use std::path::PathBuf;

use super::{context, schema};
use crate::definition::parse_file;

/// The examples that are refused, and a part of each message.
const REFUSED: &[(&str, &str)] = &[
    (
        "authentication-oauth2-secret",
        "authentication/oauth2` is not supported",
    ),
    (
        "authentication-oauth2",
        "authentication/oauth2` is not supported",
    ),
    (
        "authentication-oidc-secret",
        "authentication/oidc` is not supported",
    ),
    (
        "authentication-oidc",
        "authentication/oidc` is not supported",
    ),
    (
        "call-asyncapi-publish",
        "calls of `asyncapi` are not supported",
    ),
    (
        "call-asyncapi-subscribe-consume-amount",
        "calls of `asyncapi` are not supported",
    ),
    (
        "call-asyncapi-subscribe-consume-forever-foreach",
        "calls of `asyncapi` are not supported",
    ),
    (
        "call-asyncapi-subscribe-consume-until",
        "calls of `asyncapi` are not supported",
    ),
    (
        "call-asyncapi-subscribe-consume-while",
        "calls of `asyncapi` are not supported",
    ),
    (
        "call-custom-function-cataloged",
        "is a custom function, which is not supported",
    ),
    (
        "call-custom-function-inline",
        "`use/functions` is not supported",
    ),
    ("call-grpc", "calls of `grpc` are not supported"),
    ("call-mcp", "calls of `mcp` are not supported"),
    (
        "mock-service-extension",
        "`use/extensions` is not supported",
    ),
    ("run-container", "run/container` is not supported"),
    (
        "run-container-cleanup-always",
        "run/container` is not supported",
    ),
    (
        "run-container-cleanup-eventually",
        "run/container` is not supported",
    ),
    (
        "run-container-stdin-and-arguments",
        "run/container` is not supported",
    ),
    ("run-container-with-name", "run/container` is not supported"),
    (
        "run-container-with-pull-policy",
        "run/container` is not supported",
    ),
    ("run-return-all", "run/container` is not supported"),
    ("run-return-code", "run/container` is not supported"),
    ("run-return-none", "run/container` is not supported"),
    ("run-return-stderr", "run/container` is not supported"),
    (
        "run-script-with-stdin-and-arguments",
        "run/script` is not supported",
    ),
    (
        "schedule-event-driven",
        "`schedule.on` is not supported yet",
    ),
    ("set", "`schedule.on` is not supported yet"),
    ("set-expression", "`schedule.on` is not supported yet"),
];

/// The examples that do something else than they seem to, and a part of each warning.
const WARNED: &[(&str, &str)] = &[(
    "try-catch-then",
    "setError/set/error` is text, not an expression: `$error`",
)];

/// Folder of the specification's data.
pub(super) fn specification() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may be told where its data is"
    )]
    let folder = std::env::var_os("ALMANAC_OWS");
    PathBuf::from(folder.expect("ALMANAC_OWS names the folder of the specification's data"))
}

#[test]
#[ignore = "needs the specification's data: set ALMANAC_OWS"]
fn the_examples_of_the_specification_are_read_or_refused_for_a_listed_reason() {
    let mut refused = Vec::new();
    let mut read = 0;
    for entry in std::fs::read_dir(specification().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test may read the files it tests"
        )]
        let text = std::fs::read_to_string(&path).unwrap();
        let documents = parse_file("example.yaml", text.as_bytes(), &context());
        let listed = REFUSED.iter().find(|(refused, _)| *refused == name);
        match (&documents[0].result, listed) {
            (Ok(_), None) => {
                assert_eq!(schema::violation(&text), None, "{name}");
                let warnings = super::rendered(&documents[0].warnings);
                let listed = WARNED.iter().find(|(warned, _)| *warned == name);
                match listed {
                    Some((_, warning)) => assert!(warnings.contains(warning), "{warnings}"),
                    None => assert_eq!(warnings, "", "{name}"),
                }
                read += 1;
            }
            (Err(errors), Some((_, reason))) => {
                let messages: Vec<_> = errors.iter().map(|error| &error.message).collect();
                assert!(
                    messages.iter().any(|m| m.contains(reason)),
                    "{name}: {messages:#?}"
                );
                assert!(
                    schema::violation(&text).is_some(),
                    "{name}: the schema takes it"
                );
                refused.push(name);
            }
            (Ok(_), Some(_)) => panic!("{name} is listed as refused, and is read"),
            (Err(errors), None) => panic!("{name}: {}", super::rendered(errors)),
        }
    }
    assert_eq!((read, refused.len()), (40, REFUSED.len()));
}

/// The workflows of the conformance tests are meant as they are written.
#[test]
#[ignore = "needs the specification's data: set ALMANAC_OWS"]
fn the_workflows_of_the_conformance_tests_have_no_warnings() {
    let mut read = 0;
    for entry in std::fs::read_dir(specification().join("ctk/features")).unwrap() {
        let path = entry.unwrap().path();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test may read the files it tests"
        )]
        let text = std::fs::read_to_string(&path).unwrap();
        let blocks = text.split("\"\"\"yaml\n").skip(1);
        for block in blocks.filter(|block| block.trim_start().starts_with("document:")) {
            let block = block.split("\"\"\"").next().unwrap();
            let lines = block
                .lines()
                .map(|line| line.strip_prefix("    ").unwrap_or(line));
            let text = lines.collect::<Vec<_>>().join("\n");
            let documents = parse_file("workflow.yaml", text.as_bytes(), &context());
            let warnings = super::rendered(&documents[0].warnings);
            assert_eq!(warnings, "", "{}", path.display());
            read += usize::from(documents[0].result.is_ok());
        }
    }
    assert!(read > 10, "{read} were read");
}
