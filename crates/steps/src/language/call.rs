//! Reader of `call`: a call over HTTP, by an `OpenAPI` document, or of an activity.

use std::sync::Arc;

use almanac_base::nearest;
use almanac_base::text::quoted;
use serde_json::Value;

use super::reader::{At, Object, Reader, Target};
use super::shapes::{
    ACTIVITY, AUTHENTICATION, ENDPOINT, HTTP, OPENAPI, RESOURCE_SHAPE, TOKEN, USER,
};
use super::template::Fits;
use super::{
    ActivityCall, Authentication, AuthenticationScheme, Call, CallOutput, Credentials, Endpoint,
    Expression, HttpCall, OpenApiCall, Stage, Template, Uri, UriPart,
};
use crate::limits::{RefusedName, check_name, check_queue};

const OUTPUTS: &[(&str, CallOutput)] = &[
    ("content", CallOutput::Content),
    ("raw", CallOutput::Raw),
    ("response", CallOutput::Response),
];
/// Calls of the specification that are not supported.
const REFUSED: [&str; 4] = ["asyncapi", "grpc", "a2a", "mcp"];

impl Reader {
    pub(super) fn call(&mut self, at: &At<'_>, task: &Object<'_>) -> Option<Call> {
        let kind = self.text(at)?;
        let known = ["http", "openapi", "activity"];
        if REFUSED.contains(&kind) {
            let message = format!("{}: calls of `{kind}` are not supported", at.shown());
            self.problem(at, Target::Value, message).hint = Some(
                "use `call: activity` with a worker of your own that makes the call".to_owned(),
            );
            return None;
        }
        if !known.contains(&kind) {
            let message = format!(
                "{}: {} is a custom function, which is not supported",
                at.shown(),
                quoted(kind)
            );
            let hint = nearest::hint(kind, &known)
                .unwrap_or_else(|| "the calls are http, openapi and activity".to_owned());
            self.problem(at, Target::Value, message).hint = Some(hint);
            return None;
        }
        let with = self.required(task, "with")?;
        match kind {
            "http" => self.http(&with).map(Call::Http),
            "openapi" => self.openapi(&with).map(Call::OpenApi),
            _ => self.activity(&with).map(Call::Activity),
        }
    }

    fn http(&mut self, at: &At<'_>) -> Option<HttpCall> {
        let object = self.object(at, &HTTP)?;
        let method = self
            .required(&object, "method")
            .and_then(|at| self.method(&at));
        let endpoint = self
            .required(&object, "endpoint")
            .and_then(|at| self.endpoint(&at));
        let headers = self.optional(&object, "headers", |reader, at| {
            reader.map_template(at, Fits::Parameters)
        });
        let query = self.optional(&object, "query", |reader, at| {
            reader.map_template(at, Fits::Parameters)
        });
        let body = self.optional(&object, "body", |reader, at| {
            reader.template(at, Stage::Body)
        });
        let output = self.optional(&object, "output", |reader, at| reader.choice(at, OUTPUTS));
        let redirect = self.optional(&object, "redirect", Self::boolean);
        Some(HttpCall {
            method: method?,
            endpoint: endpoint?,
            headers: headers?,
            query: query?,
            body: body?,
            output: output?.unwrap_or_default(),
            redirect: redirect?.unwrap_or(false),
        })
    }

    fn method(&mut self, at: &At<'_>) -> Option<Template> {
        let template = self.text_template(at)?;
        if let Template::Literal(Value::String(text)) = &template
            && !text.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
        {
            let what = format!("must be a method like `get`, not {}", quoted(text));
            self.wrong(at, &what);
            return None;
        }
        Some(template)
    }

    fn openapi(&mut self, at: &At<'_>) -> Option<OpenApiCall> {
        let object = self.object(at, &OPENAPI)?;
        let document = self.required(&object, "document").and_then(|at| {
            let object = self.object(&at, &RESOURCE_SHAPE)?;
            let name = self.optional(&object, "name", |reader, at| reader.text(at).map(drop));
            let endpoint = self
                .required(&object, "endpoint")
                .and_then(|at| self.endpoint(&at));
            name?;
            endpoint
        });
        let operation = self
            .required(&object, "operationId")
            .and_then(|at| self.text_template(&at));
        let parameters = self.optional(&object, "parameters", |reader, at| {
            reader.map_template(at, Fits::Any)
        });
        let authentication = self.optional(&object, "authentication", Self::authentication);
        let output = self.optional(&object, "output", |reader, at| reader.choice(at, OUTPUTS));
        let redirect = self.optional(&object, "redirect", Self::boolean);
        Some(OpenApiCall {
            document: document?,
            operation: operation?,
            parameters: parameters?,
            authentication: authentication?,
            output: output?.unwrap_or_default(),
            redirect: redirect?.unwrap_or(false),
        })
    }

    fn activity(&mut self, at: &At<'_>) -> Option<ActivityCall> {
        let object = self.object(at, &ACTIVITY)?;
        let name = self
            .required(&object, "name")
            .and_then(|at| self.name_template(&at, check_name));
        let queue = self
            .required(&object, "task_queue")
            .and_then(|at| self.name_template(&at, check_queue));
        let arguments = self.optional(&object, "arguments", |reader, at| {
            reader.list_template(at, Fits::Any)
        });
        Some(ActivityCall {
            name: name?,
            task_queue: queue?,
            arguments: arguments?.unwrap_or(Template::Literal(Value::Array(Vec::new()))),
        })
    }

    /// Reads a name that Temporal accepts, or an expression for a name.
    fn name_template(
        &mut self,
        at: &At<'_>,
        check: fn(&str) -> Result<(), RefusedName>,
    ) -> Option<Template> {
        let template = self.text_template(at)?;
        if let Template::Literal(Value::String(name)) = &template
            && let Err(why) = check(name)
        {
            self.wrong(at, &why.to_string());
            return None;
        }
        Some(template)
    }

    /// Reads an endpoint: a URI, or a map of a URI and its authentication.
    fn endpoint(&mut self, at: &At<'_>) -> Option<Endpoint> {
        if at.value.is_string() {
            return Some(Endpoint {
                uri: self.uri(at)?,
                authentication: None,
            });
        }
        let object = self.object(at, &ENDPOINT)?;
        let uri = self.required(&object, "uri").and_then(|at| self.uri(&at));
        let authentication = self.optional(&object, "authentication", Self::authentication);
        Some(Endpoint {
            uri: uri?,
            authentication: authentication?,
        })
    }

    fn uri(&mut self, at: &At<'_>) -> Option<Uri> {
        let text = self.text(at)?;
        if text.trim_start().starts_with("${") {
            let expression = self.expression(at, Stage::Body);
            return expression.map(Uri::Expression);
        }
        // Schemes are case-insensitive (RFC 3986, 3.1).
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        if !["https", "http"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(scheme))
        {
            let what = format!("must be a URI with http or https, not {}", quoted(text));
            self.wrong_with_hint(
                at,
                &what,
                "if data determines the host, write an expression: `${ .base + \"/items\" }`",
            );
            return None;
        }
        if has_credentials(text) {
            self.wrong_with_hint(
                at,
                "contains credentials, which would be in the history of each run",
                "use `authentication` beside `uri`, with a secret of `use/secrets`",
            );
            return None;
        }
        match parts(text) {
            Ok(parts) => Some(Uri::Template(parts)),
            Err(message) => {
                self.wrong_with_hint(
                    at,
                    &message,
                    r#"a template supports only `{name}`; for more, write an expression: `${ @uri "https://…/\(.a.b)" }`"#,
                );
                None
            }
        }
    }

    /// Reads an authentication, or the name of an authentication of `use.authentications`.
    pub(super) fn authentication(&mut self, at: &At<'_>) -> Option<Arc<Authentication>> {
        let object = self.object(at, &AUTHENTICATION)?;
        if let Some(at) = object.get("use") {
            let name = self.name(&at)?;
            let known = self.uses.authentications.get(name).cloned();
            self.used.insert(("authentications", name.to_owned()));
            if known.is_none() {
                let names: Vec<String> = self.uses.authentications.keys().cloned().collect();
                self.unknown_name(&at, name, "use/authentications", &names);
            }
            return known.flatten();
        }
        let schemes = [
            ("basic", AuthenticationScheme::Basic),
            ("bearer", AuthenticationScheme::Bearer),
            ("digest", AuthenticationScheme::Digest),
        ];
        let found: Vec<_> = schemes.iter().filter(|(key, _)| object.has(key)).collect();
        let [(key, scheme)] = found.as_slice() else {
            // A scheme that is not supported was already refused at its key.
            if found.len() > 1
                || object
                    .keys()
                    .all(|key| AUTHENTICATION.keys.contains(&key.as_str()))
            {
                let message = format!("{} must have one key", at.shown());
                self.problem(at, Target::Key, message).hint =
                    Some(format!("the keys are {}", AUTHENTICATION.keys.join(", ")));
            }
            return None;
        };
        let at = object.get(key)?;
        let fields: &[&str] = match scheme {
            AuthenticationScheme::Bearer => &["token"],
            AuthenticationScheme::Basic | AuthenticationScheme::Digest => &["username", "password"],
        };
        Some(Arc::new(Authentication {
            scheme: *scheme,
            credentials: self.credentials(&at, fields)?,
        }))
    }

    fn credentials(&mut self, at: &At<'_>, fields: &[&str]) -> Option<Credentials> {
        let object = self.object(at, if fields.len() == 1 { &TOKEN } else { &USER })?;
        if let Some(secret) = object.get("use") {
            let name = self.name(&secret)?;
            if object.keys().count() > 1 {
                self.wrong(
                    at,
                    "has `use` and other keys; the secret must contain all of them",
                );
                return None;
            }
            return self.secret(&secret, name).map(Credentials::Secret);
        }
        let parts: Vec<Option<()>> = fields
            .iter()
            .map(|field| {
                let at = self.required(&object, field)?;
                self.text_template(&at).map(drop)
            })
            .collect();
        parts.into_iter().collect::<Option<()>>()?;
        // Each field was read above for its problems. The template of the whole map is the
        // result, and its warnings would repeat those of the fields.
        let warnings = self.warnings.len();
        #[cfg(test)]
        let sites = self.expressions.len();
        let template = self.template(at, Stage::Body);
        #[cfg(test)]
        self.expressions.truncate(sites);
        self.warnings.truncate(warnings);
        template.map(Credentials::Inline)
    }

    /// Returns the name of a secret. A secret that `use.secrets` does not declare is a problem.
    fn secret(&mut self, at: &At<'_>, name: &str) -> Option<String> {
        if self.uses.secrets.contains(name) {
            return Some(name.to_owned());
        }
        let names: Vec<String> = self.uses.secrets.iter().cloned().collect();
        self.unknown_name(at, name, "use/secrets", &names);
        None
    }
}

/// Returns `true` if a URI has credentials before its host: `https://user:password@host`.
fn has_credentials(uri: &str) -> bool {
    let after = uri.split_once("://").map_or("", |(_, after)| after);
    let authority = after.split(['/', '\\', '?', '#']).next();
    authority.is_some_and(|authority| authority.contains('@'))
}

/// Splits a URI template into its parts. Of the forms of a URI template, only `{name}` is
/// supported.
fn parts(text: &str) -> Result<Vec<UriPart>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(format!("has `{{` without `}}`: {}", quoted(text)));
        };
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        {
            return Err(format!(
                "has the template {}",
                quoted(&format!("{{{name}}}"))
            ));
        }
        if !before.is_empty() {
            parts.push(UriPart::Text(before.to_owned()));
        }
        parts.push(UriPart::Variable(name.to_owned()));
        rest = after;
    }
    if rest.contains('}') {
        return Err(format!("has `}}` without `{{`: {}", quoted(text)));
    }
    if !rest.is_empty() {
        parts.push(UriPart::Text(rest.to_owned()));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("contains whitespace: {}", quoted(text)));
    }
    Ok(parts)
}

impl Uri {
    /// The expression. `None` for a URI template.
    pub fn expression(&self) -> Option<&Expression> {
        match self {
            Self::Expression(expression) => Some(expression),
            Self::Template(_) => None,
        }
    }
}
