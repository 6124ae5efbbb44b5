//! What steps say, typed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ExpressionSite, JsonSchema};

/// The steps of a definition, ready to be interpreted.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// What was read, for `$workflow.definition` and `$task.definition`.
    pub definition: Value,
    /// What is done with the run's input.
    pub input: Input,
    /// What is done with the run's output.
    pub output: Output,
    /// The limit of the whole run.
    pub timeout: Option<Length>,
    /// Every task list by its place, a JSON pointer such as `/do/0/loop/do`.
    pub lists: BTreeMap<String, TaskList>,
    /// The names that `use.secrets` declares.
    pub secrets: BTreeSet<String>,
    /// Every expression, with the variables that it may name.
    pub expressions: Vec<ExpressionSite>,
}

impl Flow {
    /// The place of the outermost list.
    pub const ROOT: &'static str = "/do";

    /// The list at a place; empty when there is none.
    pub fn list(&self, path: &str) -> &[Task] {
        self.lists.get(path).map_or(&[], |list| list)
    }
}

/// Tasks in their order.
pub type TaskList = Arc<[Task]>;

/// One task of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name in the list.
    pub name: String,
    /// Where it stands: a JSON pointer, `/do/0/name`.
    pub path: String,
    /// `if`: without it, or when it is true, the task is done.
    pub condition: Option<Expression>,
    /// `input`.
    pub input: Input,
    /// `output`.
    pub output: Output,
    /// `export`.
    pub export: Output,
    /// `timeout`, of the task with all that is in it.
    pub timeout: Option<Length>,
    /// What comes after it.
    pub then: Then,
    /// `metadata.temporal`.
    pub temporal: Temporal,
    /// What it does.
    pub kind: Kind,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The output is this.
    Set(Template),
    /// The output is the input, this much later.
    Wait(Length),
    /// The list at `/do` of the task.
    Do,
    /// The first case that matches says where to go on.
    Switch(Vec<Case>),
    /// The list at `/do` of the task, for each item.
    For(For),
    /// The branches at `/fork/branches` of the task, at once.
    Fork {
        /// Whether the first to complete is the only one that counts.
        compete: bool,
    },
    /// The list at `/try` of the task, with what to do about errors.
    Try(Catch),
    /// An error, made here.
    Raise(RaisedError),
    /// The attributes of an event to publish.
    Emit(Template),
    /// Events to wait for.
    Listen(Listen),
    /// A call of a service.
    Call(Call),
    /// A process to run.
    Run(Run),
}

/// A jq expression, without `${` and `}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(pub String);

/// Data of the definition, in which whole texts may be expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// Data without expressions.
    Literal(Value),
    /// The result of an expression.
    Expression(Expression),
    /// A list with expressions in it.
    List(Vec<Template>),
    /// A map with expressions in it.
    Map(Vec<(String, Template)>),
}

/// A duration.
#[derive(Debug, Clone, PartialEq)]
pub enum Length {
    /// As written.
    Fixed(Duration),
    /// The result of an expression: ISO 8601 text, or a map of units.
    Expression(Expression),
}

/// `input` of a workflow or a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Input {
    /// What the raw input must satisfy.
    pub schema: Option<JsonSchema>,
    /// What becomes of it.
    pub from: Option<Template>,
}

/// `output` of a workflow or a task, or `export` of a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// What becomes of the raw output.
    pub transform: Option<Template>,
    /// What the result must satisfy.
    pub schema: Option<JsonSchema>,
}

/// A flow directive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Then {
    /// The next task of the list.
    #[default]
    Continue,
    /// The end of the list.
    Exit,
    /// The end of the run.
    End,
    /// The task with this index in the list.
    Task(usize),
}

/// A case of a `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Without it, the case matches.
    pub when: Option<Expression>,
    /// Where to go on.
    pub then: Then,
}

/// `for`.
#[derive(Debug, Clone, PartialEq)]
pub struct For {
    /// The variable of the item.
    pub each: String,
    /// The variable of the index.
    pub at: String,
    /// The items.
    pub items: Template,
    /// Tried before each item: the loop ends when it is not true.
    pub condition: Option<Expression>,
}

/// `catch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Catch {
    /// `errors.with`: properties that the error must have.
    pub with: ErrorFilter,
    /// The variable of the error.
    pub variable: String,
    /// The error is caught only when this is true.
    pub when: Option<Expression>,
    /// The error is not caught when this is true.
    pub except_when: Option<Expression>,
    /// Whether and when the `try` is done again.
    pub retry: Option<Retry>,
    /// Whether there is a list at `/catch/do` of the task.
    pub handles: bool,
    /// Where to go on after an error was caught; the task's own `then` without it.
    pub then: Option<Then>,
}

/// Properties that an error must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorFilter {
    /// The type's URI.
    pub kind: Option<String>,
    /// The status.
    pub status: Option<u16>,
    /// The place.
    pub instance: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// The detail.
    pub detail: Option<String>,
}

/// A retry policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Tried again only when this is true.
    pub when: Option<Expression>,
    /// Not tried again when this is true.
    pub except_when: Option<Expression>,
    /// The wait before the first retry.
    pub delay: Length,
    /// How the wait grows.
    pub backoff: Backoff,
    /// How often it is tried again.
    pub attempts: Option<u32>,
    /// The limit of each attempt.
    pub attempt_duration: Option<Length>,
    /// The limit of all attempts and waits together.
    pub duration: Option<Length>,
    /// What is added to each wait, between these two.
    pub jitter: Option<(Length, Length)>,
}

/// How the wait before a retry grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// Not at all.
    #[default]
    Constant,
    /// By the delay each time.
    Linear,
    /// Twofold each time.
    Exponential,
}

/// An error as `raise` or `use.errors` defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct RaisedError {
    /// The type's URI.
    pub kind: Template,
    /// The status.
    pub status: u16,
    /// A summary.
    pub title: Option<Template>,
    /// What happened.
    pub detail: Option<Template>,
    /// The place; the task's own without it.
    pub instance: Option<Template>,
}

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
    pub authentication: Option<Authentication>,
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
    pub authentication: Option<Authentication>,
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

/// Who calls.
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

/// Where an expression stands, which decides what it may see (the
/// specification's table of runtime expression arguments).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `input.from` of the workflow.
    RunInput,
    /// `if` of a task.
    Condition,
    /// `input.from` of a task.
    TaskInput,
    /// Everything that a task does.
    Body,
    /// `output.as` of a task.
    TaskOutput,
    /// `export.as` of a task.
    Export,
    /// `output.as` of the workflow.
    RunOutput,
}

impl Stage {
    /// Names that no variable of a definition may have.
    pub const RESERVED: &'static [&'static str] = &[
        "context",
        "input",
        "output",
        "workflow",
        "runtime",
        "task",
        "secrets",
        "authorization",
    ];

    /// The variables that an expression there may name, without `$`.
    pub const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::RunInput => &["workflow", "runtime", "secrets"],
            Self::Condition => &["context", "workflow", "runtime", "task"],
            Self::TaskInput => &["context", "workflow", "runtime", "task", "secrets"],
            Self::Body | Self::TaskOutput => &["context", "workflow", "runtime", "task", "input"],
            Self::Export => &["context", "workflow", "runtime", "task", "input", "output"],
            Self::RunOutput => &["context", "workflow", "runtime"],
        }
    }
}
