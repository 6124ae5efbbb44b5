//! The calls that the steps of a run make: HTTP, `OpenAPI`, commands and events.
//!
//! Each call is an activity of its own. Its input is the interpreter's request, and its
//! result is the task's output. A failure carries the specification's error object in its
//! details.
//!
//! Always holds: no address is called that the [`EgressGuard`] refuses, no command runs
//! that the configuration does not name, and no secret's text is in a result, an error or a
//! log.

mod activity;
mod caller_check;
mod egress;
mod events;
mod failure;
mod http;
mod keys;
mod openapi;
mod secrets;
mod shell;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_base::size::{PAYLOAD_LIMIT, json_size};
use almanac_steps::machine::{HttpRequest, OpenApiRequest, ShellRequest, Standard};
use serde_json::Value;

pub use activity::StepActivities;
pub use caller_check::CallerCheck;
pub use egress::{Allow, AllowError, EgressGuard, HostError, HostPattern, Kind, Refused};
pub(crate) use events::{BY_HEADER, CONNECTION_TIMEOUT, CredentialsWatch, VIA_HEADER, one_line};
pub use events::{
    EmitCall, EventReceiver, Events, NatsConnection, NatsFileError, NatsFiles, NatsUrl,
    NatsUrlError, StoredAt, Subject, SubjectError,
};
pub use failure::StepError;
pub use keys::{KeyEntry, KeyError, StepKeys};
pub(crate) use secrets::Source;
pub use secrets::{Secret, SecretEntry, SecretError, Secrets};
pub use shell::{Commands, ShellEntry, ShellError, ShellVariable};

use http::Web;

/// The calls that steps may make, as the worker's configuration allows.
#[derive(Debug)]
pub struct Steps {
    web: Web,
    secrets: Secrets,
    commands: Commands,
    events: Option<Arc<Events>>,
    /// `true` if the process is ending.
    leaving: AtomicBool,
}

impl Steps {
    /// Creates steps that may call the addresses that the guard allows, name these secrets
    /// and run these commands.
    pub fn new(guard: EgressGuard, secrets: Secrets, commands: Commands) -> Self {
        Self {
            web: Web::new(guard),
            secrets,
            commands,
            events: None,
            leaving: AtomicBool::new(false),
        }
    }

    /// Sets the NATS that events are published to, if there is one.
    #[must_use]
    pub fn publishing(mut self, events: Option<Arc<Events>>) -> Self {
        self.events = events;
        self
    }

    /// Notes that the process is ending: from now on, a call that is canceled is canceled
    /// because its worker ends.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn leaves(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// The publisher of events, if there is one.
    pub fn publisher(&self) -> Option<Arc<Events>> {
        self.events.clone()
    }

    /// Publishes the event of `emit`. Returns `false` if there is no NATS to publish it to.
    pub async fn emit(&self, event: &Value, within: Duration) -> Result<bool, StepError> {
        let Some(events) = &self.events else {
            return Ok(false);
        };
        events.publish(event, within).await?;
        Ok(true)
    }

    /// Sends the HTTP request of `call: http`.
    pub async fn http(&self, request: &HttpRequest, within: Duration) -> Result<Value, StepError> {
        fitting(http::call(&self.web, &self.secrets, request, within).await?)
    }

    /// Calls the operation of `call: openapi`. A second attempt is made only if the call is
    /// repeatable.
    pub async fn openapi(
        &self,
        request: &OpenApiRequest,
        within: Duration,
        attempt: u32,
    ) -> Result<Value, StepError> {
        fitting(openapi::call(&self.web, &self.secrets, request, within, attempt).await?)
    }

    /// Returns `true` if the command is bound to definitions.
    pub(crate) fn is_bound(&self, request: &ShellRequest) -> bool {
        self.commands.is_bound(&request.command)
    }

    /// Returns the names of the secrets that may be sent to every host.
    pub fn unbound_secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.unbound()
    }

    /// Runs the command of `run: shell`, for a step of the definition `caller`. When `stop`
    /// resolves, the command is ended.
    pub async fn shell(
        &self,
        request: ShellRequest,
        caller: Option<&DefinitionId>,
        within: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<Value, StepError> {
        fitting(shell::run(&self.commands, request, caller, within, stop).await?)
    }

    /// Number of running commands that no step waits for.
    pub fn unawaited(&self) -> usize {
        self.commands.unawaited()
    }

    /// Waits until the commands that no step waits for have ended.
    pub async fn unawaited_end(&self) {
        self.commands.unawaited_end().await;
    }

    /// Asks the commands that no step waits for to end, and waits until they have: a few
    /// seconds at most.
    pub async fn end_unawaited(&self) {
        self.commands.end_unawaited().await;
    }

    /// Kills all commands and lets none begin any more, for a process that is ending.
    pub fn kill_commands(&self) {
        self.commands.kill();
    }
}

/// Returns an output if Temporal takes it. Otherwise the error is lasting: if Temporal
/// refused the output, the call would be made twice.
fn fitting(output: Value) -> Result<Value, StepError> {
    match json_size(&output) {
        bytes if bytes > PAYLOAD_LIMIT => {
            let detail =
                format!("the output has {bytes} bytes as JSON, over the limit of {PAYLOAD_LIMIT}");
            Err(StepError::lasting(Standard::Runtime, detail))
        }
        _ => Ok(output),
    }
}
