//! The web server that scenarios call. The first part of a path is the scenario's name.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::scenario::Call;
use super::{Case, Cases, HOST};
use crate::web::{Answer, Request, Web};

/// The path of an operation in the documents of `OpenAPI`, before its id.
const OPERATIONS: &str = "operations";

/// A request to the services of one scenario.
struct Asked<'r> {
    request: &'r Request,
    name: &'r str,
    path: &'r str,
    query: &'r str,
}

/// Starts the server.
pub(super) async fn start(cases: &Arc<Cases>) -> anyhow::Result<Web> {
    let cases = Arc::clone(cases);
    Web::start(move |request| answer(&cases, request)).await
}

fn answer(cases: &Cases, request: &Request) -> Answer {
    let target = request.target.as_str();
    let (target, query) = target.split_once('?').unwrap_or((target, ""));
    let (name, path) = target[1..].split_once('/').unwrap_or((&target[1..], ""));
    let asked = Asked {
        request,
        name,
        path,
        query,
    };
    if let Some(answer) = asked.on_the_way(cases) {
        return Some(answer);
    }
    let of = |case: &Case| case.name == asked.name;
    match cases.take(of, |_, call| asked.is_of(call)) {
        Ok((_, call)) if call.takes.is_some() => None,
        Ok((_, call)) => match &call.location {
            Some(location) if !follows(call) => Some((call.status, asked.here(location))),
            _ => Some((call.status, call.answer.clone())),
        },
        Err(why) => {
            cases.differs(format!("{request:?}: {why}"));
            Some((400, Value::Null))
        }
    }
}

/// Returns `true` if the request of a call follows redirections.
fn follows(call: &Call) -> bool {
    let http = call.http.as_ref();
    http.is_some_and(|http| http.get("redirect") == Some(&json!(true)))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Asked<'_> {
    /// The answer of a request that is not the last one of a call: a redirection, or the document
    /// of an operation.
    fn on_the_way(&self, cases: &Cases) -> Option<(u16, Value)> {
        let case = cases.all.iter().find(|case| case.name == self.name)?;
        case.scenario.calls.iter().find_map(|call| {
            let location = call.location.as_ref().filter(|_| follows(call));
            match (call.request()?, location) {
                (("http", http), Some(location)) if self.is_at(&http["uri"]) => {
                    Some((307, self.here(location)))
                }
                (("open_api", openapi), _) if self.is_at(&openapi["document"]) => {
                    Some((200, self.document(openapi)))
                }
                _ => None,
            }
        })
    }

    fn is_at(&self, address: &Value) -> bool {
        *address == json!(format!("{HOST}/{}", self.path))
    }

    /// An address of the scenario, with the host of the server.
    fn here(&self, address: &str) -> Value {
        let host = &self.request.headers["host"];
        json!(address.replace(HOST, &format!("http://{host}/{}", self.name)))
    }

    /// The `OpenAPI` document of a call: its operation, with its parameters in the query.
    fn document(&self, openapi: &Map<String, Value>) -> Value {
        let parameters = openapi.get("parameters").and_then(Value::as_object);
        let parameters = parameters.into_iter().flatten().map(
            |(name, _)| json!({ "name": name, "in": "query", "required": true, "schema": {} }),
        );
        let parameters: Vec<Value> = parameters.collect();
        let operation = text(&openapi["operation"]);
        json!({
            "openapi": "3.0.3",
            "info": { "title": "A service", "version": "1" },
            "servers": [{ "url": self.here(HOST) }],
            "paths": {
                format!("/{OPERATIONS}/{operation}"): {
                    "get": { "operationId": operation, "parameters": parameters, "responses": {} },
                },
            },
        })
    }

    /// Compares the request with the one that a call describes.
    fn is_of(&self, call: &Call) -> Result<(), String> {
        let is_so = match call.request() {
            Some(("http", http)) => self.is_http(http, call),
            Some(("open_api", openapi)) => {
                self.path == format!("{OPERATIONS}/{}", text(&openapi["operation"]))
                    && self.has_query(openapi.get("parameters"))
            }
            _ => false,
        };
        is_so
            .then_some(())
            .ok_or_else(|| format!("it is not {:?}", call.request()))
    }

    fn is_http(&self, http: &Map<String, Value>, call: &Call) -> bool {
        let request = self.request;
        let uri = call.location.as_ref().filter(|_| follows(call));
        let uri = uri.map_or_else(|| http["uri"].clone(), |location| json!(location));
        let headers = http.get("headers").and_then(Value::as_object);
        let has_headers = headers.into_iter().flatten().all(|(name, value)| {
            request.headers.get(&name.to_ascii_lowercase()) == Some(&text(value))
        });
        let method = http.get("method").map(text);
        let body = http.get("body").filter(|body| !body.is_null()).map(|body| {
            serde_json::from_str(&request.body).is_ok_and(|found: Value| found == *body)
                || request.body == text(body)
        });
        self.is_at(&uri)
            && method.is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
            && body.unwrap_or(true)
            && has_headers
            && self.has_query(http.get("query"))
    }

    fn has_query(&self, wanted: Option<&Value>) -> bool {
        let wanted = wanted.and_then(Value::as_object);
        wanted.into_iter().flatten().all(|(name, value)| {
            let wanted = format!("{name}={}", text(value));
            self.query.split('&').any(|found| found == wanted)
        })
    }
}
