//! The keys of every map of the language.
//!
//! The reader uses them, and a test compares the JSON Schema with them.

use almanac_base::shape::Shape;

macro_rules! shapes {
    ($($constant:ident = $name:literal $schema:literal [$($key:literal)*] $([$($refused:literal $hint:expr),*])?;)*) => {
        $(pub(super) const $constant: Shape = Shape {
            name: $name,
            keys: &[$($key),*],
            refused: &[$($(($refused, $hint)),*)?],
        };)*
        /// The shapes of all maps of the language, each with its name among the definitions of the
        /// JSON Schema.
        pub const SHAPES: &[(&Shape, &str)] = &[$((&$constant, $schema)),*];
    };
}

const PLAIN: Option<&str> = None;
const RESOURCE: Option<&str> = Some("write the schema into the definition, under `document`");

shapes! {
    TRIGGER = "a trigger" "trigger" [
        "event" "after" "outcome" "within" "else" "when" "input" "workflow_id" "on_conflict" "enabled"
    ];
    START_EVENTS = "the events" "start_events" ["any" "one"]
        ["all" Some("start the definition on one event, and wait for the others with `listen`"),
         "until" Some("each event starts a run of its own")];
    START_FILTER = "an event filter" "start_filter" ["with"]
        ["correlate" Some("each event starts a run of its own; give the event's attributes in `with`")];
    TASK = "a task" "task" [
        "call" "with" "do" "emit" "for" "while" "fork" "listen" "foreach" "raise" "run" "set" "switch"
        "try" "catch" "wait" "if" "then" "input" "output" "export" "timeout" "metadata"
    ] ["execute" Some("an older form of the DSL: write `do` for steps in sequence, `fork` for steps in parallel")];
    DURATION = "a duration" "ows_duration" ["days" "hours" "minutes" "seconds" "milliseconds"];
    INPUT = "an input" "ows_input" ["schema" "from"];
    OUTPUT = "an output" "ows_output" ["schema" "as"];
    SCHEMA = "a schema" "ows_schema" ["format" "document"] ["resource" RESOURCE];
    TIMEOUT = "a timeout" "ows_timeout" ["after"];
    USE = "`use`" "use" ["authentications" "errors" "retries" "secrets" "timeouts"]
        ["catalogs" PLAIN, "extensions" PLAIN, "functions" PLAIN];
    EVALUATE = "`evaluate`" "evaluate" ["language" "mode"];
    CASE = "a case" "case" ["when" "then"];
    FOR = "`for`" "for" ["each" "in" "at"];
    FORK = "`fork`" "fork" ["branches" "compete"];
    CATCH = "`catch`" "catch" ["errors" "as" "when" "exceptWhen" "retry" "do" "then"];
    ERRORS = "`errors`" "errors" ["with"];
    ERROR_FILTER = "an error filter" "error_filter" ["type" "status" "instance" "title" "detail"];
    RETRY = "a retry policy" "retry_policy" ["when" "exceptWhen" "delay" "backoff" "limit" "jitter"];
    BACKOFF = "a backoff" "backoff" ["constant" "linear" "exponential"];
    LIMIT = "a limit" "limit" ["attempt" "duration"];
    ATTEMPT = "the limit of an attempt" "attempt" ["count" "duration"];
    JITTER = "a jitter" "jitter" ["from" "to"];
    RAISE = "`raise`" "raise" ["error"];
    ERROR = "an error" "error" ["type" "status" "instance" "title" "detail"];
    EMIT = "`emit`" "emit" ["event"];
    EMITTED = "an event" "emitted" ["with"];
    LISTEN = "`listen`" "listen" ["to" "read"];
    EVENTS = "the events" "events" ["all" "any" "one" "until"];
    EVENT_FILTER = "an event filter" "event_filter" ["with" "correlate"];
    CORRELATION = "a correlation" "correlation" ["from" "expect"];
    FOREACH = "`foreach`" "foreach" ["item" "at" "do" "output" "export"];
    HTTP = "an HTTP call" "http_call" ["method" "endpoint" "headers" "body" "query" "output" "redirect"];
    OPENAPI = "an OpenAPI call" "openapi_call"
        ["document" "operationId" "parameters" "authentication" "output" "redirect"];
    ACTIVITY = "an activity call" "activity_call" ["name" "task_queue" "arguments"];
    RESOURCE_SHAPE = "a resource" "resource" ["name" "endpoint"];
    ENDPOINT = "an endpoint" "endpoint" ["uri" "authentication"];
    AUTHENTICATION = "an authentication" "authentication" ["use" "basic" "bearer" "digest"]
        ["oauth2" PLAIN, "oidc" PLAIN];
    USER = "the credentials" "user" ["use" "username" "password"];
    TOKEN = "the credentials" "token" ["use" "token"];
    RUN = "`run`" "run" ["workflow" "shell" "await" "return"]
        ["container" Some("`run: shell` and `call: activity` are supported"),
         "script" Some("`run: shell` and `call: activity` are supported")];
    SUBFLOW = "a workflow to run" "subflow" ["namespace" "name" "version" "input"];
    SHELL = "a shell command" "shell" ["command" "arguments" "stdin" "environment"];
    TEMPORAL = "`metadata.temporal`" "temporal" [
        "start_to_close" "schedule_to_close" "schedule_to_start" "heartbeat" "task_queue" "priority" "summary"
    ];
    TEMPORAL_DEFAULTS = "the document's `metadata.temporal`" "temporal_defaults" [
        "start_to_close" "schedule_to_close" "schedule_to_start" "heartbeat" "task_queue" "priority"
    ] ["summary" Some("a summary belongs to one task: write it into the task's `metadata.temporal`")];
}
