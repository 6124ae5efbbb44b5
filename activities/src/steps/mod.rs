//! What the steps of a run ask of the world: HTTP, `OpenAPI`, commands, events.
//!
//! Each call is one activity of its own, with the interpreter's request as its
//! input and the task's output as its result. A failure carries the
//! specification's error object in its details.
//!
//! Always holds: nothing is called that the [`EgressGuard`] refuses, no command runs
//! that the configuration does not name, and no secret's text is in a result,
//! an error or a log.

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

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_base::size::{PAYLOAD_LIMIT, json_size};
use almanac_steps::machine::{HttpRequest, OpenApiRequest, ShellRequest, Standard};
use serde_json::Value;

pub use activity::StepActivities;
pub use caller_check::CallerCheck;
pub use egress::{Allow, AllowError, EgressGuard, HostError, HostPattern, Kind, Refused};
pub use events::{Events, NatsUrl, NatsUrlError, Subject, SubjectError};
pub use failure::StepError;
pub use keys::{KeyEntry, KeyError, StepKeys};
pub use secrets::{Secret, SecretEntry, SecretError, Secrets};
pub use shell::{Commands, ShellEntry, ShellError, ShellVariable};

use http::Web;

/// What steps may do, as the worker's configuration says.
#[derive(Debug)]
pub struct Steps {
    web: Web,
    secrets: Secrets,
    commands: Commands,
    events: Option<Events>,
    /// Whether the process was told to end.
    leaving: AtomicBool,
}

impl Steps {
    /// Steps that may call what the guard lets through, name these secrets and
    /// run these commands.
    pub fn new(guard: EgressGuard, secrets: Secrets, commands: Commands) -> Self {
        Self {
            web: Web::new(guard),
            secrets,
            commands,
            events: None,
            leaving: AtomicBool::new(false),
        }
    }

    /// The same, with somewhere to publish events to.
    #[must_use]
    pub fn publishing(mut self, events: Option<Events>) -> Self {
        self.events = events;
        self
    }

    /// Tells that the process ends: what is cancelled from now on, is since its
    /// worker goes.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn leaves(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Whether there is somewhere to publish events to.
    pub fn publishes(&self) -> bool {
        self.events.is_some()
    }

    /// `emit`.
    pub async fn emit(&self, event: &Value, within: Duration) -> Result<Value, StepError> {
        let Some(events) = &self.events else {
            let detail = "the worker has nowhere to publish events to; hint: --nats-url names a NATS server with JetStream";
            return Err(StepError::configuration(detail));
        };
        events.publish(event, within).await?;
        Ok(Value::Null)
    }

    /// `call: http`.
    pub async fn http(&self, request: &HttpRequest, within: Duration) -> Result<Value, StepError> {
        fitting(http::call(&self.web, &self.secrets, request, within).await?)
    }

    /// `call: openapi`. A second attempt is one of what is repeatable alone.
    pub async fn openapi(
        &self,
        request: &OpenApiRequest,
        within: Duration,
        attempt: u32,
    ) -> Result<Value, StepError> {
        fitting(openapi::call(&self.web, &self.secrets, request, within, attempt).await?)
    }

    /// Whether a command is bound to definitions.
    pub(crate) fn is_bound(&self, request: &ShellRequest) -> bool {
        self.commands.is_bound(&request.command)
    }

    /// The names of the secrets that may be sent to every host.
    pub fn unbound_secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.unbound()
    }

    /// `run: shell`, for a step of the definition `caller`. When `stop` resolves,
    /// the command is ended.
    pub async fn shell(
        &self,
        request: ShellRequest,
        caller: Option<&DefinitionId>,
        within: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<Value, StepError> {
        fitting(shell::run(&self.commands, request, caller, within, stop).await?)
    }

    /// How many commands run that no step waits for.
    pub fn unawaited(&self) -> usize {
        self.commands.unawaited()
    }

    /// Waits until those have ended.
    pub async fn unawaited_end(&self) {
        self.commands.unawaited_end().await;
    }

    /// Asks those to end, and waits until they have: a few seconds at most.
    pub async fn end_unawaited(&self) {
        self.commands.end_unawaited().await;
    }

    /// Kills all commands, and lets none begin any more: for a process that goes.
    pub fn kill_commands(&self) {
        self.commands.kill();
    }
}

/// An output that Temporal takes. One that is refused there would be asked for
/// again, and what was called would be done twice.
fn fitting(output: Value) -> Result<Value, StepError> {
    match json_size(&output) {
        bytes if bytes > PAYLOAD_LIMIT => {
            let detail = format!(
                "the output takes {bytes} bytes as JSON, more than the {PAYLOAD_LIMIT} that it may"
            );
            Err(StepError::lasting(Standard::Runtime, detail))
        }
        _ => Ok(output),
    }
}
