//! The effects of `call` and `run` tasks.

use almanac_base::percent;
use serde_json::{Map, Value};

use super::evaluate::View;
use super::frames::Place;
use super::tasks::Interpreter;
use super::{
    ActivityRequest, Effect, Fault, HttpRequest, OpenApiRequest, RequestAuthentication,
    RequestCredentials, ShellRequest, Standard, WorkflowRequest,
};
use crate::language::{
    Authentication, Call, Credentials, Process, Run, Template, Uri, UriPart, describe,
};
use crate::limits::{RefusedName, check_name, check_queue};

impl Interpreter<'_> {
    pub(super) fn call_request(&self, place: Place, call: &Call) -> Result<Effect, Fault> {
        Ok(match call {
            Call::Http(call) => Effect::Http(Box::new(HttpRequest {
                method: self.text(place, "method", &call.method)?,
                uri: self.uri(place, &call.endpoint.uri)?,
                authentication: self
                    .authentication(place, call.endpoint.authentication.as_deref())?,
                headers: self.map(place, "headers", call.headers.as_ref())?,
                query: self.map(place, "query", call.query.as_ref())?,
                body: self.optional(place, call.body.as_ref())?,
                output: call.output,
                redirect: call.redirect,
            })),
            Call::OpenApi(call) => Effect::OpenApi(Box::new(OpenApiRequest {
                document: self.uri(place, &call.document.uri)?,
                document_authentication: self
                    .authentication(place, call.document.authentication.as_deref())?,
                operation: self.text(place, "operationId", &call.operation)?,
                parameters: self.map(place, "parameters", call.parameters.as_ref())?,
                authentication: self.authentication(place, call.authentication.as_deref())?,
                output: call.output,
                redirect: call.redirect,
            })),
            Call::Activity(call) => Effect::Activity(ActivityRequest {
                name: taken("name", self.text(place, "name", &call.name)?, check_name)?,
                task_queue: taken(
                    "task_queue",
                    self.text(place, "task_queue", &call.task_queue)?,
                    check_queue,
                )?,
                arguments: self.list(place, "arguments", Some(&call.arguments))?,
            }),
        })
    }

    pub(super) fn run_request(&self, place: Place, run: &Run) -> Result<Effect, Fault> {
        Ok(match &run.process {
            Process::Workflow {
                namespace,
                name,
                version,
                input,
            } => Effect::Workflow(WorkflowRequest {
                namespace: namespace.clone(),
                name: name.clone(),
                version: version.clone(),
                input: self.optional(place, input.as_ref())?,
                wait: run.wait,
            }),
            Process::Shell {
                command,
                arguments,
                stdin,
                environment,
            } => {
                let arguments = self.list(place, "arguments", arguments.as_ref())?;
                let arguments = arguments.into_iter().map(scalar);
                Effect::Shell(ShellRequest {
                    command: self.text(place, "command", command)?,
                    arguments: arguments
                        .collect::<Option<_>>()
                        .ok_or_else(|| wrong("arguments", "a list of texts", &Value::Null))?,
                    stdin: self
                        .optional(place, stdin.as_ref())?
                        .map(|value| match value {
                            Value::String(text) => text,
                            other => other.to_string(),
                        }),
                    environment: self.map(place, "environment", environment.as_ref())?,
                    wait: run.wait,
                    output: run.output,
                })
            }
        })
    }

    fn optional(&self, place: Place, template: Option<&Template>) -> Result<Option<Value>, Fault> {
        let input = self.frame(place).input();
        let fill = |template| self.fill(View::body(place), template, input);
        template.map(fill).transpose()
    }

    fn text(&self, place: Place, what: &str, template: &Template) -> Result<String, Fault> {
        let value = self.optional(place, Some(template))?.unwrap_or_default();
        match value {
            Value::String(text) if !text.is_empty() => Ok(text),
            other => Err(wrong(what, "text", &other)),
        }
    }

    fn map(
        &self,
        place: Place,
        what: &str,
        template: Option<&Template>,
    ) -> Result<Option<Value>, Fault> {
        match self.optional(place, template)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Value::Object(map))),
            Some(other) => Err(wrong(what, "a map", &other)),
        }
    }

    fn list(
        &self,
        place: Place,
        what: &str,
        template: Option<&Template>,
    ) -> Result<Vec<Value>, Fault> {
        match self.optional(place, template)? {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(wrong(what, "a list", &other)),
        }
    }

    fn uri(&self, place: Place, uri: &Uri) -> Result<String, Fault> {
        let input = self.frame(place).input();
        let parts = match uri {
            Uri::Expression(expression) => {
                let value = self.evaluate(View::body(place), expression, input)?;
                return match value {
                    Value::String(text) if !text.is_empty() => Ok(text),
                    other => Err(wrong("endpoint", "text", &other)),
                };
            }
            Uri::Template(parts) => parts,
        };
        let mut whole = String::new();
        let mut segment = Segment::default();
        for part in parts {
            match part {
                UriPart::Text(text) => {
                    whole.push_str(text);
                    segment.text(text)?;
                }
                UriPart::Variable(name) => {
                    let value = input.as_object().and_then(|map: &Map<_, _>| map.get(name));
                    let text = match value {
                        Some(Value::Null) => Some(String::new()),
                        value => value.cloned().and_then(scalar),
                    };
                    let text = text.ok_or_else(|| {
                        let expected = "text, a number or a boolean in the input";
                        wrong(
                            &format!("{{{name}}}"),
                            expected,
                            value.unwrap_or(&Value::Null),
                        )
                    })?;
                    let from = whole.len();
                    // RFC 6570, section 3.2.2.
                    whole.push_str(&percent::encode(&text));
                    segment.variable(name, &whole[from..]);
                }
            }
        }
        segment.end()?;
        Ok(whole)
    }

    fn authentication(
        &self,
        place: Place,
        authentication: Option<&Authentication>,
    ) -> Result<Option<RequestAuthentication>, Fault> {
        let Some(authentication) = authentication else {
            return Ok(None);
        };
        let credentials = match &authentication.credentials {
            Credentials::Secret(name) => RequestCredentials::Secret(name.clone()),
            Credentials::Inline(template) => {
                let filled = self.optional(place, Some(template))?.unwrap_or_default();
                RequestCredentials::Inline(filled)
            }
        };
        Ok(Some(RequestAuthentication {
            scheme: authentication.scheme,
            credentials,
        }))
    }
}

/// Returns a name if Temporal accepts it. Otherwise the result is an error.
fn taken(
    what: &str,
    name: String,
    check: fn(&str) -> Result<(), RefusedName>,
) -> Result<String, Fault> {
    match check(&name) {
        Ok(()) => Ok(name),
        Err(why) => Err(Standard::Configuration.fault(format!("`{what}` {why}"))),
    }
}

pub(super) fn wrong(what: &str, expected: &str, value: &Value) -> Fault {
    Standard::Expression.fault(format!(
        "`{what}` must be {expected}, not {}",
        describe(value)
    ))
}

/// Returns the text of a value that is a text, a number or a boolean. `None` for other values.
fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The path segment of a URI template that is being filled.
///
/// Data must not select another path. So a segment with a variable may not be empty, `.` or `..`.
#[derive(Default)]
struct Segment<'p> {
    text: String,
    variable: Option<&'p str>,
    /// `true` after the path: in the query or the fragment.
    over: bool,
}

impl<'p> Segment<'p> {
    fn text(&mut self, text: &str) -> Result<(), Fault> {
        for c in text.chars() {
            if matches!(c, '/' | '\\' | '?' | '#') && !self.over {
                self.end()?;
                self.text.clear();
                self.variable = None;
                self.over = matches!(c, '?' | '#');
            } else if !self.over {
                self.text.push(c);
            }
        }
        Ok(())
    }

    fn variable(&mut self, name: &'p str, text: &str) {
        if !self.over {
            self.text.push_str(text);
            self.variable = Some(name);
        }
    }

    fn end(&self) -> Result<(), Fault> {
        let Some(name) = self.variable else {
            return Ok(());
        };
        // URL parsers read `%2e` as a dot.
        let read = self.text.to_ascii_lowercase().replace("%2e", ".");
        if matches!(read.as_str(), "" | "." | "..") {
            let detail = format!(
                "`{{{name}}}` would make a part of the path {:?}, which leads elsewhere",
                self.text
            );
            return Err(Standard::Expression.fault(detail));
        }
        Ok(())
    }
}
