//! Tasks that reach outside: events, calls and processes.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Expression, Output, Template};

/// `listen`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    /// The events.
    pub to: Events,
    /// Whether an event counts with its envelope, or its data alone.
    pub envelope: bool,
    /// What is done for each event.
    pub each: Option<EachEvent>,
}

/// Which events a `listen` waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Events {
    /// One of each filter.
    All(Vec<EventFilter>),
    /// One that matches any of the filters, or every one `until` something.
    Any {
        /// None: any event.
        filters: Vec<EventFilter>,
        /// When to stop; after the first event without it.
        until: Option<Until>,
    },
}

/// When to stop listening.
#[derive(Debug, Clone, PartialEq)]
pub enum Until {
    /// When this is true of the list of events so far.
    Condition(Expression),
    /// When these were consumed.
    Events(Box<Events>),
}

/// `foreach` of a `listen`; its list, when there is one, is at `/foreach/do`.
#[derive(Debug, Clone, PartialEq)]
pub struct EachEvent {
    /// The variable of the event.
    pub item: String,
    /// The variable of its index.
    pub at: String,
    /// Whether there is a list to do.
    pub handles: bool,
    /// What becomes of the list's output.
    pub output: Output,
    /// What becomes of the context.
    pub export: Output,
}

/// Which events count.
#[derive(Debug, Clone, PartialEq)]
pub struct EventFilter {
    /// Attributes that the event must have; an expression is tried on the attribute.
    pub with: Vec<(String, Template)>,
    /// What events must have in common with others, or with an expected value.
    pub correlate: Vec<Correlation>,
}

/// A correlation of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    /// Its name: equal names share the value.
    pub name: String,
    /// Takes the value from the event.
    pub from: Expression,
    /// The value; without it, that of the first event.
    pub expect: Option<Template>,
}

/// `call`.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// `call: http`.
    Http(HttpCall),
    /// `call: openapi`.
    OpenApi(OpenApiCall),
    /// `call: activity`.
    Activity(ActivityCall),
}

/// `call: http`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCall {
    /// The method.
    pub method: Template,
    /// Where to.
    pub endpoint: Endpoint,
    /// The headers.
    pub headers: Option<Template>,
    /// The query parameters.
    pub query: Option<Template>,
    /// The body.
    pub body: Option<Template>,
    /// What the output is.
    pub output: CallOutput,
    /// Whether a redirection is followed rather than an error.
    pub redirect: bool,
}

/// `call: openapi`.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenApiCall {
    /// Where the document is.
    pub document: Endpoint,
    /// The operation.
    pub operation: Template,
    /// Its parameters.
    pub parameters: Option<Template>,
    /// Who calls.
    pub authentication: Option<Arc<Authentication>>,
    /// What the output is.
    pub output: CallOutput,
    /// Whether a redirection is followed rather than an error.
    pub redirect: bool,
}

/// `call: activity`: a Temporal activity of any worker.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityCall {
    /// The activity type.
    pub name: Template,
    /// The queue of its worker.
    pub task_queue: Template,
    /// The arguments, a list.
    pub arguments: Template,
}

/// What a call's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutput {
    /// The body, read by its content type.
    #[default]
    Content,
    /// The body's bytes, in base64.
    Raw,
    /// The request, status, headers and content.
    Response,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The address.
    pub uri: Uri,
    /// Who calls.
    pub authentication: Option<Arc<Authentication>>,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri {
    /// A URI template, in which `{name}` stands for a property of the input.
    Template(Vec<UriPart>),
    /// The result of an expression.
    Expression(Expression),
}

/// A part of a URI template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriPart {
    /// As written.
    Text(String),
    /// The value of a property of the input, percent-encoded.
    Variable(String),
}

/// Who calls; one of `use.authentications` is shared by all that name it.
#[derive(Debug, Clone, PartialEq)]
pub struct Authentication {
    /// How.
    pub scheme: AuthenticationScheme,
    /// With what.
    pub credentials: Credentials,
}

/// How a caller shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationScheme {
    /// RFC 7617.
    Basic,
    /// RFC 6750.
    Bearer,
    /// RFC 7616.
    Digest,
}

/// What a caller shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Credentials {
    /// The secret of this name, resolved where the call is made.
    Secret(String),
    /// `username` and `password`, or `token`.
    Inline(Template),
}

/// `run`.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Whether the task waits for the end.
    pub wait: bool,
    /// What the output is.
    pub output: RunOutput,
    /// What runs.
    pub process: Process,
}

/// What a process's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutput {
    /// What it wrote to stdout; a workflow's result.
    #[default]
    Stdout,
    /// What it wrote to stderr.
    Stderr,
    /// Its exit code.
    Code,
    /// All three.
    All,
    /// Nothing.
    None,
}

/// What runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Process {
    /// A child workflow of any type.
    Workflow {
        /// The namespace, as written.
        namespace: String,
        /// The workflow type.
        name: String,
        /// The version, as written.
        version: String,
        /// Its input.
        input: Option<Template>,
    },
    /// A command that the worker's configuration names.
    Shell {
        /// The command.
        command: Template,
        /// Its arguments.
        arguments: Option<Template>,
        /// Its standard input.
        stdin: Option<Template>,
        /// Its environment.
        environment: Option<Template>,
    },
}

/// `metadata.temporal`: Temporal's own options of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Temporal {
    /// Limit of one attempt.
    pub start_to_close: Option<Duration>,
    /// Limit of all attempts.
    pub schedule_to_close: Option<Duration>,
    /// Limit of the wait for a worker.
    pub schedule_to_start: Option<Duration>,
    /// Limit between two heartbeats.
    pub heartbeat: Option<Duration>,
    /// The queue.
    pub task_queue: Option<String>,
    /// 1 (first) to 5.
    pub priority: Option<u8>,
    /// Shown in the Temporal UI.
    pub summary: Option<String>,
}
