//! YAML that is not a definition, read as JSON by the same rules.

use serde_json::Value as Json;

use super::decode::Decoder;
use super::source::{Document, Finding, Lines};
use super::yaml;

almanac_base::message_error! {
    /// The first error of a YAML document, as `line:column: message`.
    pub YamlError
}

/// Converts a YAML document to JSON, or returns its first error as `line:column: message`. Aliases,
/// anchors, tags, duplicate keys and deep nesting are refused.
pub fn yaml_value(text: &str) -> Result<Json, YamlError> {
    let document = Document {
        first_line: 1,
        line: 1,
        bytes: text.as_bytes(),
    };
    let lines = Lines::new(&document);
    let mut decoder = Decoder::new(&lines);
    let root = yaml::parse(text, 1, &mut decoder.errors);
    let value = root.and_then(|root| decoder.json(&root));
    let first = decoder.errors.into_iter().next();
    match (value, first) {
        (Some(value), None) => Ok(value),
        (_, Some(Finding { at, message, .. })) => {
            Err(format!("{}:{}: {message}", at.line, at.column).into())
        }
        (None, None) => Err("the document is empty".into()),
    }
}
