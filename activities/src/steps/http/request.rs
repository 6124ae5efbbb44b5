//! The request that is sent. Pure.

use almanac_base::percent;
use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use reqwest::{Method, Url};
use serde_json::{Map, Value};

use super::super::StepError;
use super::super::secrets::Scrubber;
use super::Credentials;

/// Content type of a body that is data.
pub(in super::super) const JSON: &str = "application/json";
/// Content type of a body that is a form.
pub(in super::super) const FORM: &str = "application/x-www-form-urlencoded";
/// Headers that belong to the connection, or say where a request goes.
const OWN: [HeaderName; 8] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TE,
    TRAILER,
    UPGRADE,
    PROXY_AUTHORIZATION,
];

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub(in super::super) struct Outgoing {
    pub(in super::super) method: Method,
    pub(in super::super) url: Url,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Option<Vec<u8>>,
    pub(in super::super) credentials: Option<Credentials>,
    /// `true` if redirections are followed.
    pub(in super::super) redirect: bool,
}

impl Outgoing {
    /// Creates a request with a method and a URL only.
    pub(in super::super) fn new(method: &str, url: Url) -> Result<Self, StepError> {
        let upper = method.to_ascii_uppercase();
        let method = Method::from_bytes(upper.as_bytes())
            .ok()
            .filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE))
            .ok_or_else(|| {
                StepError::configuration(format!("the method {method:?} is not supported"))
            })?;
        Ok(Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            credentials: None,
            redirect: false,
        })
    }

    /// Adds parameters to the query: texts, numbers, booleans or lists of them.
    pub(in super::super) fn add_query(&mut self, query: Option<&Value>) -> Result<(), StepError> {
        for (name, value) in entries("query", query)? {
            for text in texts("query", name, value)? {
                self.url.query_pairs_mut().append_pair(name, &text);
            }
        }
        Ok(())
    }

    /// Adds headers: texts, numbers, booleans or lists of them.
    pub(in super::super) fn add_headers(
        &mut self,
        headers: Option<&Value>,
    ) -> Result<(), StepError> {
        for (name, value) in entries("headers", headers)? {
            for text in texts("headers", name, value)? {
                self.add_header(name, &text)?;
            }
        }
        Ok(())
    }

    /// Adds a header. Headers that the client sets itself are refused.
    pub(in super::super) fn add_header(
        &mut self,
        name: &str,
        value: &str,
    ) -> Result<(), StepError> {
        let bad = |why: &str| StepError::configuration(format!("the header {name:?} {why}"));
        let key = HeaderName::try_from(name).map_err(|_| bad("has an invalid name"))?;
        if OWN.contains(&key) {
            return Err(bad("is set by the HTTP client and cannot be changed"));
        }
        if key == AUTHORIZATION && self.credentials.is_some() {
            return Err(bad("cannot be combined with `authentication`"));
        }
        let mut value =
            HeaderValue::try_from(value).map_err(|_| bad("has a value that cannot be sent"))?;
        value.set_sensitive(matches!(key, AUTHORIZATION | COOKIE));
        self.headers.append(key, value);
        Ok(())
    }

    /// Sets the body: a text as it is, anything else in the form of the content type, which
    /// is JSON if none is given.
    pub(in super::super) fn set_body(&mut self, body: Option<&Value>) -> Result<(), StepError> {
        let Some(body) = body.filter(|body| !body.is_null()) else {
            return Ok(());
        };
        let content_type = self.headers.get(CONTENT_TYPE);
        let content_type = content_type.map(|value| media_type(value.to_str().unwrap_or_default()));
        let (bytes, kind) = match (body, content_type.as_deref()) {
            (Value::String(text), _) => (text.clone().into_bytes(), "text/plain; charset=utf-8"),
            (Value::Object(map), Some(FORM)) => (form(map)?.into_bytes(), FORM),
            (_, None) => (body.to_string().into_bytes(), JSON),
            (_, Some(kind)) if is_json(kind) => (body.to_string().into_bytes(), JSON),
            (_, Some(kind)) => {
                return Err(StepError::configuration(format!(
                    "a body of type {kind:?} must be text, not {}",
                    describe(body)
                )));
            }
        };
        self.body = Some(bytes);
        if content_type.is_none() {
            self.headers
                .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Ok(())
    }

    /// Returns `true` if the request may be sent twice (RFC 9110, 9.2.2).
    pub(in super::super) fn is_repeatable(&self) -> bool {
        self.method.is_idempotent()
    }

    /// Returns a scrubber that knows the secrets of this request.
    pub(in super::super) fn scrubber(&self) -> Scrubber {
        let mut scrubber = Scrubber::default();
        if let Some(credentials) = &self.credentials {
            credentials.known_to(&mut scrubber);
        }
        scrubber
    }
}

/// Returns the entries of a map that may be missing.
pub(in super::super) fn entries<'v>(
    what: &str,
    map: Option<&'v Value>,
) -> Result<impl Iterator<Item = (&'v String, &'v Value)>, StepError> {
    let entries = match map {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) => Some(map),
        Some(other) => {
            return Err(StepError::configuration(format!(
                "`{what}` must be a map, not {}",
                describe(other)
            )));
        }
    };
    Ok(entries.into_iter().flatten())
}

/// Names the type of a value, for messages. The value itself may be a secret.
pub(in super::super) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Returns the texts of a value: one, those of a list, or none for null.
pub(in super::super) fn texts(
    what: &str,
    name: &str,
    value: &Value,
) -> Result<Vec<String>, StepError> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => Err(StepError::configuration(format!(
            "`{name}` of `{what}` must be text, a number, a boolean or a list of them, not {}",
            describe(other)
        ))),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn form(map: &Map<String, Value>) -> Result<String, StepError> {
    let mut pairs = Vec::new();
    for (name, value) in map {
        for text in texts("body", name, value)? {
            pairs.push(format!(
                "{}={}",
                percent::encode(name),
                percent::encode(&text)
            ));
        }
    }
    Ok(pairs.join("&"))
}

/// A content type without its parameters, in lower case.
pub(in super::super) fn media_type(header: &str) -> String {
    let end = header.find(';').unwrap_or(header.len());
    header[..end].trim().to_ascii_lowercase()
}

/// Returns `true` if a media type is JSON.
pub(super) fn is_json(kind: &str) -> bool {
    kind == JSON || kind == "text/json" || kind.ends_with("+json")
}
