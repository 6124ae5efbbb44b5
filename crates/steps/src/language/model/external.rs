//! Tasks that interact with the outside: events, calls and processes.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Expression, Output, Template};

/// The settings of a `listen` task.
#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    /// The events that the task waits for.
    pub to: Events,
    /// `true` if the output has each event with its envelope, `false` if it has the event's data
    /// alone.
    pub envelope: bool,
    /// The handling of each event. `None` if the events are only collected.
    pub each: Option<EachEvent>,
}

/// The events that a `listen` waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Events {
    /// An event for each of the filters.
    All(Vec<EventFilter>),
    /// An event that matches any of the filters. With `until`, all such events until the end of
    /// listening.
    Any {
        /// The filters. If the list is empty, any event matches.
        filters: Vec<EventFilter>,
        /// The end of listening. `None` to end after the first event.
        until: Option<Until>,
    },
}

/// The end of a `listen` that takes several events.
#[derive(Debug, Clone, PartialEq)]
pub enum Until {
    /// Listening ends if this condition is true of the list of events so far.
    Condition(Expression),
    /// Listening ends after these events.
    Events(Box<Events>),
}

/// `foreach` of a `listen`. Its list of tasks, if any, is at `/foreach/do`.
#[derive(Debug, Clone, PartialEq)]
pub struct EachEvent {
    /// The variable that holds the event.
    pub item: String,
    /// The variable that holds the index of the event.
    pub at: String,
    /// `true` if there is a list of tasks to run for each event.
    pub handles: bool,
    /// Transformation of the output of the list, or of the event if there is no list.
    pub output: Output,
    /// Transformation that updates the context after each event.
    pub export: Output,
}

#[derive(Debug, Clone, PartialEq)]
pub struct EventFilter {
    /// Attributes that the event must have.
    ///
    /// An expression is evaluated with the attribute as its input. The attribute matches if the
    /// result is `true` or equal to the attribute.
    pub with: Vec<(String, Template)>,
    /// Values that the event must share with other events or with an expected value.
    pub correlate: Vec<Correlation>,
}

/// A correlation of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    /// The name of the correlation. Correlations with the same name share the value.
    pub name: String,
    /// The expression that takes the value from the event.
    pub from: Expression,
    /// The expected value. `None` if the value of the first event is the expected value.
    pub expect: Option<Template>,
}

/// The settings of a `call` task.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// `call: http`: an HTTP request.
    Http(HttpCall),
    /// `call: openapi`: an operation of an `OpenAPI` document.
    OpenApi(OpenApiCall),
    /// `call: activity`: an activity of any Temporal worker.
    Activity(ActivityCall),
}

/// The settings of `call: http`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCall {
    pub method: Template,
    /// The address of the request, with its authentication.
    pub endpoint: Endpoint,
    /// The headers, a map.
    pub headers: Option<Template>,
    /// The query parameters, a map.
    pub query: Option<Template>,
    pub body: Option<Template>,
    /// The form of the task's output.
    pub output: CallOutput,
    /// `true` to follow redirections, `false` to treat a redirection as an error.
    pub redirect: bool,
}

/// The settings of `call: openapi`.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenApiCall {
    /// The address of the `OpenAPI` document, with its authentication.
    pub document: Endpoint,
    /// The `operationId` of the operation.
    pub operation: Template,
    /// The parameters of the operation, a map.
    pub parameters: Option<Template>,
    pub authentication: Option<Arc<Authentication>>,
    /// The form of the task's output.
    pub output: CallOutput,
    /// `true` to follow redirections, `false` to treat a redirection as an error.
    pub redirect: bool,
}

/// The settings of `call: activity`, a call of a Temporal activity of any worker.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityCall {
    /// The activity type.
    pub name: Template,
    /// The task queue of the activity's worker.
    pub task_queue: Template,
    /// The arguments, a list.
    pub arguments: Template,
}

/// The form of a call's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutput {
    /// The body of the response, read by its content type.
    #[default]
    Content,
    /// The bytes of the response's body, in base64.
    Raw,
    /// The request, with the status, headers and content of the response.
    Response,
}

/// The destination of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The address of the request.
    pub uri: Uri,
    pub authentication: Option<Arc<Authentication>>,
}

/// An address: a URI template or an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri {
    /// A URI template, in which `{name}` stands for a property of the input.
    Template(Vec<UriPart>),
    Expression(Expression),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriPart {
    /// Text that is used as written.
    Text(String),
    /// The value of a property of the input, percent-encoded.
    Variable(String),
}

/// The authentication of a call.
///
/// All calls that name an authentication of `use.authentications` share it.
#[derive(Debug, Clone, PartialEq)]
pub struct Authentication {
    pub scheme: AuthenticationScheme,
    pub credentials: Credentials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationScheme {
    /// Basic authentication (RFC 7617).
    Basic,
    /// Bearer tokens (RFC 6750).
    Bearer,
    /// Digest authentication (RFC 7616).
    Digest,
}

/// The credentials of an authentication.
#[derive(Debug, Clone, PartialEq)]
pub enum Credentials {
    /// The name of a secret. The host of the run resolves it for the call.
    Secret(String),
    /// `username` and `password`, or `token`.
    Inline(Template),
}

/// The settings of a `run` task.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// `true` if the task waits for the end of the process.
    pub wait: bool,
    /// The form of the task's output.
    pub output: RunOutput,
    pub process: Process,
}

/// The form of a process's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutput {
    /// The text that a command wrote to stdout, or the result of a workflow.
    #[default]
    Stdout,
    /// The text that the command wrote to stderr.
    Stderr,
    /// The exit code of the command.
    Code,
    /// The stdout, the stderr and the exit code.
    All,
    /// No output: the output of the task is null.
    None,
}

/// A process that a `run` task starts.
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
        input: Option<Template>,
    },
    /// A command that the worker's configuration names.
    Shell {
        /// The name of the command.
        command: Template,
        /// The arguments of the command, a list.
        arguments: Option<Template>,
        /// The standard input of the command.
        stdin: Option<Template>,
        /// The environment of the command, a map.
        environment: Option<Template>,
    },
}

/// `metadata.temporal`: Temporal's options of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Temporal {
    /// Maximum duration of one attempt.
    pub start_to_close: Option<Duration>,
    /// Maximum duration of all attempts together.
    pub schedule_to_close: Option<Duration>,
    /// Maximum time until a worker starts the attempt.
    pub schedule_to_start: Option<Duration>,
    /// Maximum time between two heartbeats.
    pub heartbeat: Option<Duration>,
    pub task_queue: Option<String>,
    /// Priority from 1 (highest) to 5.
    pub priority: Option<u8>,
    /// Summary that the Temporal UI shows.
    pub summary: Option<String>,
}
