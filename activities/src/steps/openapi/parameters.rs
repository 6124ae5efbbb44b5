//! Placement of parameters in the request of an operation. Pure.

use std::collections::BTreeSet;

use almanac_base::percent;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::super::StepError;
use super::super::http::{Credentials, FORM, Outgoing, describe, texts};
use super::document::{Operation, Parameter, Place, Style};

/// Maximum length of a path, in bytes.
const PATH_LIMIT: usize = 64 * 1024;

/// Returns the request of an operation with these parameters.
pub(super) fn fill(
    operation: &Operation,
    values: Option<&Value>,
    credentials: Option<Credentials>,
) -> Result<Outgoing, StepError> {
    let empty = Map::new();
    let values = match values {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(map)) => map,
        Some(other) => {
            let detail = format!("`parameters` must be a map, not {}", describe(other));
            return Err(StepError::configuration(detail));
        }
    };
    only_known(operation, values)?;
    if operation.path.len() > PATH_LIMIT {
        return Err(too_long());
    }
    let mut path = operation.path.clone();
    let (mut query, mut form, mut cookies) = (Vec::new(), Vec::new(), Vec::new());
    let mut headers = Vec::new();
    for parameter in &operation.parameters {
        let value = values.get(&parameter.name).filter(|value| !value.is_null());
        let Some(value) = value else {
            if parameter.required {
                return Err(missing(&parameter.name));
            }
            continue;
        };
        let pairs = written(parameter, value)?;
        match parameter.place {
            Place::Path => {
                let text: Vec<String> = pairs.into_iter().map(|(_, text)| text).collect();
                let text = segment(&parameter.name, text.join(","))?;
                let place = format!("{{{}}}", parameter.name);
                let added = path.matches(&place).count().saturating_mul(text.len());
                if path.len().saturating_add(added) > PATH_LIMIT {
                    return Err(too_long());
                }
                path = path.replace(&place, &text);
            }
            Place::Query => query.extend(pairs),
            Place::Header => headers.extend(pairs),
            Place::Cookie => cookies.extend(pairs),
            Place::Form => form.extend(pairs),
        }
    }
    if path.contains('{') {
        let detail = format!("the path {path} has a parameter that the document does not describe");
        return Err(StepError::configuration(detail));
    }
    let mut outgoing = Outgoing::new(&operation.method, below(&operation.server, &path))?;
    outgoing.credentials = credentials;
    if !query.is_empty() {
        let own = outgoing.url.query().map(str::to_owned);
        let query = own.into_iter().chain([assigned(&query, "&")]);
        let query = query.collect::<Vec<_>>().join("&");
        outgoing.url.set_query(Some(&query));
    }
    for (name, text) in headers {
        outgoing.add_header(&name, &text)?;
    }
    if !cookies.is_empty() {
        outgoing.add_header("cookie", &assigned(&cookies, "; "))?;
    }
    set_body(operation, values, &form, &mut outgoing)?;
    Ok(outgoing)
}

fn set_body(
    operation: &Operation,
    values: &Map<String, Value>,
    form: &[(String, String)],
    outgoing: &mut Outgoing,
) -> Result<(), StepError> {
    if !form.is_empty() {
        outgoing.body = Some(assigned(form, "&").into_bytes());
        return outgoing.add_header(CONTENT_TYPE.as_str(), FORM);
    }
    let Some(body) = &operation.body else {
        return Ok(());
    };
    match values.get(&body.name).filter(|value| !value.is_null()) {
        Some(value) => {
            if !outgoing.headers.contains_key(CONTENT_TYPE) {
                outgoing.add_header(CONTENT_TYPE.as_str(), &body.kind)?;
            }
            // A text is a JSON value here, because the document says so.
            match value {
                Value::String(_) if body.kind.contains("json") => {
                    outgoing.body = Some(value.to_string().into_bytes());
                    Ok(())
                }
                value => outgoing.set_body(Some(value)),
            }
        }
        None if body.required => Err(missing(&body.name)),
        None => Ok(()),
    }
}

fn only_known(operation: &Operation, values: &Map<String, Value>) -> Result<(), StepError> {
    let mut known: BTreeSet<&str> = operation
        .parameters
        .iter()
        .map(|parameter| parameter.name.as_str())
        .collect();
    known.extend(operation.body.iter().map(|body| body.name.as_str()));
    let Some(other) = values.keys().find(|name| !known.contains(name.as_str())) else {
        return Ok(());
    };
    let known: Vec<&str> = known.into_iter().collect();
    let detail = format!(
        "the operation has no parameter {other:?}; its parameters: {}",
        if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        }
    );
    Err(StepError::configuration(detail))
}

fn too_long() -> StepError {
    StepError::configuration(format!(
        "the operation's path has more than {PATH_LIMIT} bytes"
    ))
}

fn missing(name: &str) -> StepError {
    StepError::configuration(format!("the operation's parameter `{name}` is required"))
}

/// Returns the names of a parameter and its texts, encoded as they are sent. Only the marks
/// between items are not encoded: a comma inside an item is.
fn written(parameter: &Parameter, value: &Value) -> Result<Vec<(String, String)>, StepError> {
    let (name, place) = (&parameter.name, parameter.place);
    let sent = |text: &str| match place {
        Place::Header => text.to_owned(),
        _ => percent::encode(text),
    };
    let flat = |value: &Value| texts("parameters", name, value);
    let items = |value: &Value| -> Result<Vec<String>, StepError> {
        Ok(flat(value)?.iter().map(|text| sent(text)).collect())
    };
    let named = |texts: Vec<String>| texts.into_iter().map(|text| (name.clone(), text)).collect();
    if parameter.style == Style::Json {
        return Ok(named(vec![sent(&value.to_string())]));
    }
    match (value, parameter.style) {
        (Value::Object(map), style) => {
            let mut pairs = Vec::new();
            for (key, value) in map {
                let text = sent(&flat(value)?.join(","));
                pairs.push((key.clone(), text));
            }
            Ok(match style {
                Style::Deep => pairs
                    .into_iter()
                    .map(|(key, text)| (format!("{name}[{key}]"), text))
                    .collect(),
                Style::Joined(mark) => {
                    let words = pairs.into_iter().flat_map(|(key, text)| [sent(&key), text]);
                    named(vec![words.collect::<Vec<_>>().join(&between(place, mark))])
                }
                Style::Paired => {
                    let words = pairs
                        .into_iter()
                        .map(|(key, text)| format!("{}={text}", sent(&key)));
                    named(vec![words.collect::<Vec<_>>().join(",")])
                }
                Style::Exploded | Style::Json => pairs,
            })
        }
        (value, Style::Joined(mark)) => Ok(named(vec![items(value)?.join(&between(place, mark))])),
        (value, Style::Paired) => Ok(named(vec![items(value)?.join(",")])),
        (value, _) => Ok(named(items(value)?)),
    }
}

/// Returns the mark between items.
///
/// A URI has no blank and no `|` (RFC 3986), and a cookie has no comma either (RFC 6265,
/// 4.1.1), so these are encoded, as `OpenAPI` 3.1.1 shows.
fn between(place: Place, mark: &str) -> String {
    match (place, mark) {
        (Place::Header, _) | (Place::Path | Place::Query | Place::Form, ",") => mark.to_owned(),
        _ => percent::encode(mark),
    }
}

/// Joins names with their texts, which are encoded already.
fn assigned(pairs: &[(String, String)], mark: &str) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, text)| format!("{}={text}", percent::encode(name)));
    pairs.collect::<Vec<_>>().join(mark)
}

/// Checks a parameter of a path: it is never empty, and never leads to another path.
fn segment(name: &str, text: String) -> Result<String, StepError> {
    if matches!(text.as_str(), "" | "." | "..") {
        let detail = format!("the path parameter `{name}` cannot be {text:?}");
        return Err(StepError::configuration(detail));
    }
    Ok(text)
}

/// Returns a server's address with a path below its own.
fn below(server: &Url, path: &str) -> Url {
    let mut url = server.clone();
    url.set_query(None);
    url.set_fragment(None);
    let own = url.path().trim_end_matches('/').to_owned();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    url.set_path(&format!("{own}{slash}{path}"));
    if !query.is_empty() {
        url.set_query(Some(query));
    }
    url
}
