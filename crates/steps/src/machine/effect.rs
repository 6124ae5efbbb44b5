//! Requests of a run to its host.

use std::time::Duration;

use almanac_base::size::json_size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::language::{AuthenticationScheme, CallOutput, RunOutput};

/// An effect: something that the host does for a run. All expressions in it have been evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Wait for a time. The value of the result does not matter.
    Timer {
        /// The length of the wait.
        duration: Duration,
    },
    /// Make an HTTP request. The result is the task's output.
    Http(Box<HttpRequest>),
    /// Call an operation of an `OpenAPI` document. The result is the task's output.
    OpenApi(Box<OpenApiRequest>),
    /// Call an activity. The result is the task's output.
    Activity(ActivityRequest),
    /// Run a child workflow. The result is the task's output.
    Workflow(WorkflowRequest),
    /// Run a command. The result is the task's output.
    Shell(ShellRequest),
    /// Publish an event. The value of the result does not matter.
    Emit {
        /// The event in the JSON format of `CloudEvents`.
        event: Value,
    },
    /// Deliver events until the effect is canceled. The effect has no result.
    Listen {
        /// The types of the events. Empty for all types.
        types: Vec<String>,
    },
}

impl Effect {
    /// Estimated size of the effect in memory, in bytes.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Timer { .. } | Self::Listen { .. } => 0,
            other => json_size(other) as u64,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method, as written.
    pub method: String,
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<RequestAuthentication>,
    /// The headers, a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Value>,
    /// The query parameters, a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The form of the task's output.
    #[serde(default)]
    pub output: CallOutput,
    /// `true` to follow redirections, `false` to treat a redirection as an error.
    #[serde(default)]
    pub redirect: bool,
}

impl HttpRequest {
    /// Returns `true` if the method is idempotent (RFC 9110, 9.2.2), so that the request can be
    /// sent twice.
    pub fn is_repeatable(&self) -> bool {
        let method = self.method.to_ascii_uppercase();
        ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"].contains(&method.as_str())
    }
}

/// A call of an operation of an `OpenAPI` document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenApiRequest {
    /// The URI of the document.
    pub document: String,
    /// The authentication for reading the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_authentication: Option<RequestAuthentication>,
    /// The operation's id.
    pub operation: String,
    /// The parameters of the operation, a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<RequestAuthentication>,
    /// The form of the task's output.
    #[serde(default)]
    pub output: CallOutput,
    /// `true` to follow redirections, `false` to treat a redirection as an error.
    #[serde(default)]
    pub redirect: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestAuthentication {
    pub scheme: AuthenticationScheme,
    pub credentials: RequestCredentials,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestCredentials {
    /// The name of a secret, which the host resolves.
    Secret(String),
    /// `username` and `password`, or `token`.
    Inline(Value),
}

/// A call of an activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityRequest {
    /// The type of the activity.
    pub name: String,
    /// The task queue of the activity's worker.
    pub task_queue: String,
    pub arguments: Vec<Value>,
}

/// A request to run a child workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowRequest {
    /// The namespace, as written.
    pub namespace: String,
    /// The type of the workflow.
    pub name: String,
    /// The version, as written.
    pub version: String,
    pub input: Option<Value>,
    /// `true` if the task waits for the end of the workflow.
    pub wait: bool,
}

/// A request to run a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShellRequest {
    /// The name of the command.
    pub command: String,
    pub arguments: Vec<String>,
    /// The standard input of the command.
    pub stdin: Option<String>,
    /// The environment of the command, a map of texts.
    pub environment: Option<Value>,
    /// `true` if the task waits for the end of the command.
    pub wait: bool,
    /// The form of the task's output.
    pub output: RunOutput,
}
