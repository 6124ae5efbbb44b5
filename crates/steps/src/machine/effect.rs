//! What a run asks of its host.

use std::time::Duration;

use almanac_base::size::json_size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::language::{AuthenticationScheme, CallOutput, RunOutput};

/// Something for the host to do. All expressions in it were evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Wait this long. The result does not matter.
    Timer {
        /// How long.
        duration: Duration,
    },
    /// Call over HTTP. The result is the task's output.
    Http(Box<HttpRequest>),
    /// Call by a document of `OpenAPI`. The result is the task's output.
    OpenApi(Box<OpenApiRequest>),
    /// Call an activity. The result is the task's output.
    Activity(ActivityRequest),
    /// Run a child workflow. The result is the task's output.
    Workflow(WorkflowRequest),
    /// Run a command. The result is the task's output.
    Shell(ShellRequest),
    /// Publish an event. The result does not matter.
    Emit {
        /// The event, as `CloudEvents` has it in JSON.
        event: Value,
    },
    /// Deliver events until this is cancelled. It has no result.
    Listen {
        /// Their types; empty for all.
        types: Vec<String>,
    },
}

impl Effect {
    /// What it takes in memory, about.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Timer { .. } | Self::Listen { .. } => 0,
            other => json_size(other) as u64,
        }
    }
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method, as written.
    pub method: String,
    /// Where to.
    pub uri: String,
    /// Who calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<RequestAuthentication>,
    /// The headers, a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Value>,
    /// The query parameters, a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// What the output is.
    #[serde(default)]
    pub output: CallOutput,
    /// Whether a redirection is followed rather than an error.
    #[serde(default)]
    pub redirect: bool,
}

impl HttpRequest {
    /// Whether it may be made twice (RFC 9110, 9.2.2).
    pub fn is_repeatable(&self) -> bool {
        let method = self.method.to_ascii_uppercase();
        ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"].contains(&method.as_str())
    }
}

/// A call by a document of `OpenAPI`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenApiRequest {
    /// Where the document is.
    pub document: String,
    /// Who reads the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_authentication: Option<RequestAuthentication>,
    /// The operation's id.
    pub operation: String,
    /// Its parameters, a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// Who calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<RequestAuthentication>,
    /// What the output is.
    #[serde(default)]
    pub output: CallOutput,
    /// Whether a redirection is followed rather than an error.
    #[serde(default)]
    pub redirect: bool,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestAuthentication {
    /// How.
    pub scheme: AuthenticationScheme,
    /// With what.
    pub credentials: RequestCredentials,
}

/// What a caller shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestCredentials {
    /// The secret of this name, which the host resolves.
    Secret(String),
    /// `username` and `password`, or `token`.
    Inline(Value),
}

/// A call of an activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityRequest {
    /// The activity type.
    pub name: String,
    /// The queue of its worker.
    pub task_queue: String,
    /// The arguments.
    pub arguments: Vec<Value>,
}

/// A child workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowRequest {
    /// The namespace, as written.
    pub namespace: String,
    /// The workflow type.
    pub name: String,
    /// The version, as written.
    pub version: String,
    /// Its input.
    pub input: Option<Value>,
    /// Whether to wait for its end.
    pub wait: bool,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShellRequest {
    /// The command.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its standard input.
    pub stdin: Option<String>,
    /// Its environment, a map of texts.
    pub environment: Option<Value>,
    /// Whether to wait for its end.
    pub wait: bool,
    /// What the output is.
    pub output: RunOutput,
}
