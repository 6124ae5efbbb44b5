//! Scenario files: a definition, the answers of the services that it calls, and how its run must
//! end. The end-to-end tests read the same files, for runs on a real server.
//!
//! `crates/steps/scenarios/README.md` describes the form.

use std::path::{Path, PathBuf};

use almanac_core::definition::{ParseContext, ParsedDocument, parse_file, yaml_value};
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// The beginning of the standard error types.
const TYPES: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// The rule that the scenario shows.
    pub(super) title: String,
    /// The definition, as YAML.
    pub(super) definition: String,
    /// The run's input.
    #[serde(default = "no_properties")]
    pub(super) input: Value,
    /// The calls that the run makes, with their answers.
    #[serde(default)]
    pub(super) calls: Vec<Call>,
    /// The events that the run receives, in order.
    #[serde(default)]
    events: Vec<Map<String, Value>>,
    /// The end that the run must have.
    pub(super) expect: Expectation,
    /// The reason why the scenario does not hold on a real server.
    pub(super) server: Option<String>,
}

/// A call that a run makes. One of the first five fields describes the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) http: Option<Map<String, Value>>,
    openapi: Option<Map<String, Value>>,
    activity: Option<Map<String, Value>>,
    workflow: Option<Map<String, Value>>,
    shell: Option<Map<String, Value>>,
    /// Temporal's options of the call.
    #[serde(default)]
    pub(super) options: Map<String, Value>,
    /// The answer.
    #[serde(default)]
    pub(super) answer: Value,
    /// The answer in base64, for a call that asks for it.
    pub(super) raw: Option<String>,
    /// The HTTP status of the answer.
    #[serde(default = "ok")]
    pub(super) status: u16,
    /// The address to which the service redirects the request.
    pub(super) location: Option<String>,
    /// The error of the call, instead of an answer.
    pub(super) error: Option<Map<String, Value>>,
    /// The time until the answer.
    pub(super) takes: Option<SignedDuration>,
}

/// The end that a run must have: exactly one of `output`, `error`, `waits` and `refused`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// The output.
    #[serde(default, deserialize_with = "present")]
    output: Option<Value>,
    /// Properties of the error.
    error: Option<Map<String, Value>>,
    /// The run still waits for an event.
    #[serde(default)]
    pub(super) waits: bool,
    /// The errors of the definition.
    #[serde(default)]
    pub(super) refused: Vec<Finding>,
    /// The warnings of the definition.
    #[serde(default)]
    pub(super) warned: Vec<Finding>,
    /// The names of the steps that begin, in order.
    pub(super) began: Option<Vec<String>>,
    /// Attributes of the events that are published, in order.
    pub(super) emitted: Option<Vec<Map<String, Value>>>,
    /// The time from the beginning to the end.
    pub(super) elapsed: Option<SignedDuration>,
}

/// An error or a warning of a definition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finding {
    /// The beginning of the text at its place.
    pub(super) at: String,
    /// A part of its message.
    pub(super) says: String,
}

/// The end of a run.
#[derive(Debug)]
pub(super) enum End {
    /// The run has completed with this output.
    Completed(Value),
    /// The run has failed with this error.
    Faulted(Value),
    /// The run waits for an event.
    Waiting,
}

fn no_properties() -> Value {
    json!({})
}

const fn ok() -> u16 {
    200
}

/// Reads a value that may be null.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// The paths of all scenario files in a folder, in order.
pub(super) fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// The name of a scenario: its folder and its file, such as `for-while`.
pub(super) fn name(path: &Path) -> String {
    let part = |path: Option<&Path>| {
        let name = path.and_then(Path::file_stem).unwrap();
        name.to_str().unwrap().to_owned()
    };
    format!("{}-{}", part(path.parent()), part(Some(path)))
}

impl Scenario {
    /// Reads a scenario file.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let scenario = serde_json::from_value(yaml_value(text).map_err(|error| error.to_string())?);
        let scenario: Self = scenario.map_err(|error| error.to_string())?;
        let Expectation {
            output,
            error,
            waits,
            refused,
            ..
        } = &scenario.expect;
        let ends = [
            output.is_some(),
            error.is_some(),
            *waits,
            !refused.is_empty(),
        ];
        if ends.into_iter().filter(|is| *is).count() != 1 {
            return Err("`expect` must have one of output, error, waits, refused".to_owned());
        }
        if scenario.title.is_empty() || scenario.server.as_ref().is_some_and(String::is_empty) {
            return Err("`title` and `server` must not be empty".to_owned());
        }
        let is_redirected = |call: &Call| call.location.is_some() && call.http.is_none();
        if scenario.calls.iter().any(is_redirected) {
            return Err("`location` is for calls of `http`".to_owned());
        }
        Ok(scenario)
    }

    /// The definition as Almanac reads it, in a file with this name.
    pub(super) fn document(&self, name: &str) -> ParsedDocument {
        let now = "2026-01-06T12:00:00Z".parse().unwrap();
        let path = format!("{name}.yaml");
        let mut documents = parse_file(&path, self.definition.as_bytes(), &ParseContext { now });
        assert_eq!(documents.len(), 1, "{name}: a scenario has one document");
        documents.remove(0)
    }

    /// The events that the run receives. An event that does not say otherwise is a number from
    /// the source `/scenario`.
    pub(super) fn events(&self) -> impl Iterator<Item = Value> {
        self.events.iter().enumerate().map(|(number, attributes)| {
            let mut event = Map::from_iter([
                ("specversion".to_owned(), json!("1.0")),
                ("id".to_owned(), json!(number.to_string())),
                ("source".to_owned(), json!("/scenario")),
            ]);
            event.extend(attributes.clone());
            Value::Object(event)
        })
    }
}

impl Call {
    /// The kind of the request, and the properties that it must have.
    pub(super) fn request(&self) -> Option<(&'static str, &Map<String, Value>)> {
        let kinds = [
            ("http", &self.http),
            ("open_api", &self.openapi),
            ("activity", &self.activity),
            ("workflow", &self.workflow),
            ("shell", &self.shell),
        ];
        let mut requests = kinds
            .into_iter()
            .filter_map(|(kind, request)| Some((kind, request.as_ref()?)));
        requests.next().filter(|_| requests.next().is_none())
    }
}

impl Expectation {
    /// Compares the end of a run with the expected one. The error is the difference.
    pub(super) fn holds(&self, end: &End) -> Result<(), String> {
        match (end, &self.output, &self.error) {
            (End::Completed(found), Some(expected), _) => same("output", expected, found),
            (End::Faulted(found), _, Some(expected)) => error_has(expected, found),
            (End::Waiting, ..) if self.waits => Ok(()),
            (end, ..) => Err(format!("the run ended differently: {end:?}")),
        }
    }
}

/// The URI of an error type. A single word is the name of a standard type.
pub(super) fn error_type(text: &str) -> String {
    if text.contains(['/', ':']) {
        return text.to_owned();
    }
    format!("{TYPES}{text}")
}

/// Compares properties of an error: a part of the detail, and the others as they are.
fn error_has(expected: &Map<String, Value>, found: &Value) -> Result<(), String> {
    for (key, expected) in expected {
        let found = &found[key];
        match (key.as_str(), expected) {
            ("detail", Value::String(part)) => {
                let detail = found.as_str().unwrap_or_default();
                if !detail.contains(part.as_str()) {
                    return Err(format!("error/detail has no {part:?}: {detail:?}"));
                }
            }
            ("type", Value::String(text)) => same("error/type", &json!(error_type(text)), found)?,
            _ => same(&format!("error/{key}"), expected, found)?,
        }
    }
    Ok(())
}

/// Compares a value with the expected one. The error names the first place that differs.
pub(super) fn same(place: &str, expected: &Value, found: &Value) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            if let Some(more) = found.keys().find(|key| !expected.contains_key(*key)) {
                return Err(format!("{place}/{more} is {}, not expected", found[more]));
            }
            has(place, expected, found)
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.try_for_each(|(index, (expected, found))| {
                same(&format!("{place}/{index}"), expected, found)
            })
        }
        _ if expected == found => Ok(()),
        _ => Err(format!("{place} is {found}, expected {expected}")),
    }
}

/// Compares the expected entries of a map. The map may have others. A missing entry is null.
pub(super) fn has(
    place: &str,
    expected: &Map<String, Value>,
    found: &Map<String, Value>,
) -> Result<(), String> {
    expected.iter().try_for_each(|(key, expected)| {
        let found = found.get(key).unwrap_or(&Value::Null);
        same(&format!("{place}/{key}"), expected, found)
    })
}
