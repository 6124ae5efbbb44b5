//! Search for an operation in a document. Pure.
//!
//! References within the document are followed. References to other documents are refused.

use std::collections::BTreeSet;

use reqwest::Url;
use serde_json::{Map, Value};

use super::super::http::{FORM, JSON};

/// The keys of a path that are operations.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// Maximum number of references that lead to each other.
const REFERENCES: usize = 16;
/// Maximum length of a reference, in bytes.
const REFERENCE_LIMIT: usize = 2000;
/// Maximum number of parameters of an operation, and of its path beside them.
const PARAMETERS: usize = 1000;
/// Maximum length of a server's address, in bytes.
const ADDRESS_LIMIT: usize = 8192;

/// An operation that can be called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operation {
    pub(super) method: String,
    /// The address that `path` is below.
    pub(super) server: Url,
    /// Template of the path: `/pets/{id}`.
    pub(super) path: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
}

/// A parameter of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) required: bool,
    pub(super) style: Style,
}

/// Place of a parameter in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
    /// A field of a form (Swagger 2).
    Form,
}

/// Form in which lists and maps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A parameter for each item; each entry of a map by its own name.
    Exploded,
    /// The items joined by this text, with the keys and values of a map as items.
    Joined(&'static str),
    /// The items joined by commas, those of a map as `key=value`.
    Paired,
    /// Each entry of a map as `name[key]=value`.
    Deep,
    /// The whole value as JSON text.
    Json,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// Name of the parameter that is the body.
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) kind: String,
}

/// A document that is searched.
struct Document<'d> {
    root: &'d Value,
    /// `true` for Swagger 2, `false` for `OpenAPI` 3.
    old: bool,
}

almanac_base::message_error! {
    /// The reason for which a document does not describe an operation that can be called.
    pub(super) DocumentError
}

impl Operation {
    /// Finds the operation of this id. `base` is the URL of the document.
    pub(super) fn find(root: &Value, id: &str, base: &Url) -> Result<Self, DocumentError> {
        let text = |key: &str| root.get(key).and_then(Value::as_str).unwrap_or_default();
        let old = match (text("swagger"), text("openapi")) {
            ("2.0", _) => true,
            (_, version) if version.starts_with("3.") => false,
            _ => return Err("the document is neither OpenAPI 3 nor Swagger 2".into()),
        };
        let document = Document { root, old };
        let paths = root.get("paths").and_then(Value::as_object);
        let mut known = Vec::new();
        for (path, item) in paths.into_iter().flatten() {
            let item = document.resolve(item)?;
            for method in METHODS {
                let Some(operation) = item.get(method) else {
                    continue;
                };
                match operation.get("operationId").and_then(Value::as_str) {
                    Some(own) if own == id => {
                        let found = document.operation(path, method, item, operation, base);
                        return found.map_err(DocumentError::from);
                    }
                    Some(other) => known.push(other),
                    None => {}
                }
            }
        }
        known.truncate(20);
        Err(format!(
            "the document has no operation {id:?}; its operation ids: {}",
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )
        .into())
    }
}

impl<'d> Document<'d> {
    /// Returns a value, or the value that it refers to.
    fn resolve(&self, value: &'d Value) -> Result<&'d Value, String> {
        let mut value = value;
        for _ in 0..REFERENCES {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            if reference.len() > REFERENCE_LIMIT {
                return Err(format!("a reference has more than {REFERENCE_LIMIT} bytes"));
            }
            let pointer = reference.strip_prefix('#').ok_or_else(|| {
                format!("the reference {reference:?} to another document is not followed")
            })?;
            value = self.root.pointer(pointer).ok_or_else(|| {
                format!("the target of the reference {reference:?} does not exist")
            })?;
        }
        Err("references form a cycle or a chain that is too long".to_owned())
    }

    fn operation(
        &self,
        path: &str,
        method: &str,
        item: &'d Value,
        operation: &'d Value,
        base: &Url,
    ) -> Result<Operation, String> {
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut known: BTreeSet<(Place, &str)> = BTreeSet::new();
        let mut body = None;
        // The operation's parameters replace those of the path (by place and name).
        for holder in [operation, item] {
            for (index, parameter) in list(holder, "parameters").enumerate() {
                if index == PARAMETERS {
                    return Err(format!(
                        "an operation has more than {PARAMETERS} parameters"
                    ));
                }
                let parameter = self.resolve(parameter)?;
                let name = parameter.get("name").and_then(Value::as_str);
                let name = name.ok_or("a parameter has no name")?;
                let called = name;
                let name = name.to_owned();
                let required = truth(parameter, "required").unwrap_or(false);
                let place = match parameter.get("in").and_then(Value::as_str) {
                    Some("path") => Place::Path,
                    Some("query") => Place::Query,
                    Some("header") => Place::Header,
                    Some("cookie") => Place::Cookie,
                    Some("formData") => Place::Form,
                    Some("body") if self.old => {
                        let kind = JSON.to_owned();
                        let own = Body {
                            name,
                            required,
                            kind,
                        };
                        body.get_or_insert(own);
                        continue;
                    }
                    other => return Err(format!("the parameter `{name}` is in {other:?}")),
                };
                if place == Place::Form && text(parameter, "type") == Some("file") {
                    return Err(format!(
                        "the parameter `{name}` is a file, which is not supported"
                    ));
                }
                if !known.insert((place, called)) {
                    continue;
                }
                let style = if self.old {
                    old_style(parameter)
                } else {
                    style(parameter, place)
                }
                .map_err(|what| {
                    format!("the parameter `{name}` has {what}, which is not supported")
                })?;
                parameters.push(Parameter {
                    name,
                    place,
                    required,
                    style,
                });
            }
        }
        if let Some(own) = operation.get("requestBody").filter(|_| !self.old) {
            body = Some(self.body(own)?);
        } else if let Some(body) = &mut body {
            body.kind = self.consumed(operation)?;
        }
        Ok(Operation {
            method: method.to_owned(),
            server: self.server(item, operation, base)?,
            path: path.to_owned(),
            parameters,
            body,
        })
    }

    /// Parses `requestBody` of `OpenAPI` 3.
    fn body(&self, body: &'d Value) -> Result<Body, String> {
        let body = self.resolve(body)?;
        let content = body.get("content").and_then(Value::as_object);
        let kinds = content.into_iter().flat_map(Map::keys).map(String::as_str);
        Ok(Body {
            name: text(body, "x-bodyName").unwrap_or("body").to_owned(),
            required: truth(body, "required").unwrap_or(false),
            kind: preferred(kinds)?,
        })
    }

    /// Returns the content type of a Swagger 2 operation's body.
    fn consumed(&self, operation: &'d Value) -> Result<String, String> {
        let holder = [operation, self.root];
        let holder = holder.into_iter().find(|at| at.get("consumes").is_some());
        match holder {
            Some(holder) => preferred(list(holder, "consumes").filter_map(Value::as_str)),
            None => Ok(JSON.to_owned()),
        }
    }

    fn server(&self, item: &'d Value, operation: &'d Value, base: &Url) -> Result<Url, String> {
        if self.old {
            return self.old_server(operation, base);
        }
        let first = [operation, item, self.root]
            .into_iter()
            .find_map(|holder| list(holder, "servers").next());
        let address = first.and_then(|server| text(server, "url"));
        let variables = first.and_then(|server| server.get("variables"));
        let address = address_of(address.unwrap_or("/"), variables)?;
        base.join(&address)
            .map_err(|error| format!("the server {address:?} is not a valid URL: {error}"))
    }

    fn old_server(&self, operation: &'d Value, base: &Url) -> Result<Url, String> {
        let schemes = [operation, self.root]
            .into_iter()
            .find(|holder| holder.get("schemes").is_some());
        let schemes: Vec<&str> = schemes
            .into_iter()
            .flat_map(|holder| list(holder, "schemes"))
            .filter_map(Value::as_str)
            .collect();
        let has = |known: &str| schemes.iter().any(|one| one.eq_ignore_ascii_case(known));
        let scheme = match schemes.as_slice() {
            [] => base.scheme(),
            _ if has("https") => "https",
            _ if has("http") => "http",
            _ => return Err("the document has neither http nor https among its schemes".to_owned()),
        };
        let own = base.host_str().map(|host| match base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        });
        let host = text(self.root, "host").map(str::to_owned).or(own);
        let host = host.ok_or("the document has no host")?;
        let path = text(self.root, "basePath").unwrap_or("/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        let address = format!("{scheme}://{host}{slash}{path}");
        address
            .parse()
            .map_err(|error| format!("the server {address:?} is not a valid URL: {error}"))
    }
}

/// Returns a server's address: its template with the variables' defaults. The defaults are
/// not expanded again.
fn address_of(template: &str, variables: Option<&Value>) -> Result<String, String> {
    let mut address = String::new();
    let mut rest = template;
    while !rest.is_empty() {
        let known = rest.strip_prefix('{').and_then(|inside| {
            let (name, after) = inside.split_once('}')?;
            let variable = variables?.get(name)?;
            Some((text(variable, "default").unwrap_or_default(), after))
        });
        if let Some((default, after)) = known {
            address.push_str(default);
            rest = after;
        } else {
            // The text up to the next variable is copied.
            let end = rest.char_indices().skip(1).find(|(_, c)| *c == '{');
            let (before, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
            address.push_str(before);
            rest = after;
        }
        if address.len() > ADDRESS_LIMIT {
            return Err(format!(
                "a server's address has more than {ADDRESS_LIMIT} bytes"
            ));
        }
    }
    Ok(address)
}

/// Returns the content type that a map of parameters is best sent as.
fn preferred<'k>(kinds: impl Iterator<Item = &'k str>) -> Result<String, String> {
    let kinds: Vec<&str> = kinds.collect();
    let rank = |kind: &&&str| {
        let bare = super::super::http::media_type(kind);
        match bare.as_str() {
            JSON | "*/*" | "application/*" => 0,
            kind if kind.ends_with("+json") => 1,
            FORM => 2,
            kind if kind.starts_with("text/") => 3,
            _ => 9,
        }
    };
    match kinds.iter().min_by_key(rank) {
        Some(kind) if rank(&kind) < 9 => {
            Ok(if kind.contains('*') { JSON } else { *kind }.to_owned())
        }
        Some(_) => Err(format!(
            "the operation accepts only {}, which is not supported",
            kinds.join(", ")
        )),
        None => Err("the operation's body has no content".to_owned()),
    }
}

/// Parses `style` and `explode` of `OpenAPI` 3.
fn style(parameter: &Value, place: Place) -> Result<Style, String> {
    if parameter.get("content").is_some() {
        return Ok(Style::Json);
    }
    let default = match place {
        Place::Query | Place::Cookie | Place::Form => "form",
        Place::Path | Place::Header => "simple",
    };
    let style = text(parameter, "style").unwrap_or(default);
    let explode = truth(parameter, "explode").unwrap_or(style == "form");
    match style {
        "form" | "spaceDelimited" | "pipeDelimited" if explode => Ok(Style::Exploded),
        "simple" if explode => Ok(Style::Paired),
        "form" | "simple" => Ok(Style::Joined(",")),
        "spaceDelimited" => Ok(Style::Joined(" ")),
        "pipeDelimited" => Ok(Style::Joined("|")),
        "deepObject" => Ok(Style::Deep),
        other => Err(format!("the style {other:?}")),
    }
}

/// Parses `collectionFormat` of Swagger 2.
fn old_style(parameter: &Value) -> Result<Style, String> {
    match text(parameter, "collectionFormat").unwrap_or("csv") {
        "csv" => Ok(Style::Joined(",")),
        "ssv" => Ok(Style::Joined(" ")),
        "tsv" => Ok(Style::Joined("\t")),
        "pipes" => Ok(Style::Joined("|")),
        "multi" => Ok(Style::Exploded),
        other => Err(format!("the collection format {other:?}")),
    }
}

fn list<'v>(holder: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    holder
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'v>(holder: &'v Value, key: &str) -> Option<&'v str> {
    holder.get(key).and_then(Value::as_str)
}

fn truth(holder: &Value, key: &str) -> Option<bool> {
    holder.get(key).and_then(Value::as_bool)
}
