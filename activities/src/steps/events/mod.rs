//! `emit`: events are published to a stream of NATS (`JetStream`).
//!
//! Always holds: an event that the stream has acknowledged is stored; the same
//! event (by its source and id) published again within the stream's window for
//! duplicates is stored once; no stream is created or changed here.

mod address;
mod message;
mod subject;
#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use almanac_steps::machine::Standard;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{self, ErrorCode, context::PublishError, message::PublishMessage};
use async_nats::{Client, ConnectError, ConnectErrorKind};
use serde_json::Value;
use tokio::sync::Mutex;

pub use address::{NatsUrl, NatsUrlError};
pub use subject::{Subject, SubjectError};

use super::StepError;
use message::{CONTENT, Message};

/// The longest that a connection, or an acknowledgement, takes.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Where events go.
pub struct Events {
    url: NatsUrl,
    subject: Subject,
    /// Made at the first event: a worker starts, and calls, without NATS.
    client: Mutex<Option<Client>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({}, {})", self.url, self.subject)
    }
}

impl Events {
    /// Events to subjects that begin so, on that NATS.
    pub fn new(url: NatsUrl, subject: Subject) -> Self {
        Self {
            url,
            subject,
            client: Mutex::default(),
        }
    }

    /// Publishes an event, and waits until the stream has it.
    pub(super) async fn publish(&self, event: &Value, within: Duration) -> Result<(), StepError> {
        let message = Message::of(event, &self.subject)?;
        let work = self.publish_message(message);
        match tokio::time::timeout(within, work).await {
            Ok(done) => done,
            Err(_elapsed) => Err(away(&self.url, "did not answer in time")),
        }
    }

    async fn publish_message(&self, message: Message) -> Result<(), StepError> {
        let client = self.connected().await?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(CONNECTION_TIMEOUT);
        let publish = PublishMessage::build()
            .message_id(message.id)
            .header("Content-Type", CONTENT)
            .payload(message.body.into());
        let stored = async {
            let acknowledged = context.send_publish(message.subject.clone(), publish);
            acknowledged.await?.await
        };
        match stored.await {
            Ok(_acknowledgement) => Ok(()),
            Err(error) => {
                if answer(&error).is_none() {
                    // What it still holds back must not come after the step gave up.
                    *self.client.lock().await = None;
                }
                Err(self.refused(&error, &message.subject))
            }
        }
    }

    /// A connection that is there now: what is sent on another would wait for it.
    async fn connected(&self) -> Result<Client, StepError> {
        let mut client = self.client.lock().await;
        if let Some(client) = client.as_ref()
            && client.connection_state() == State::Connected
        {
            return Ok(client.clone());
        }
        let options = self
            .url
            .options()
            .name("almanac")
            .connection_timeout(CONNECTION_TIMEOUT);
        let connecting = options.connect(self.url.servers());
        let made = match tokio::time::timeout(CONNECTION_TIMEOUT, connecting).await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return Err(away(&self.url, &why(&error))),
            Err(_elapsed) => return Err(away(&self.url, "did not answer in time")),
        };
        Ok(client.insert(made).clone())
    }

    fn refused(&self, error: &PublishError, subject: &str) -> StepError {
        let lasting = |detail: String| StepError::configuration(detail);
        match error.kind() {
            PublishErrorKind::StreamNotFound => {
                let all = self.subject.all();
                lasting(format!(
                    "no stream of JetStream at {} keeps `{subject}`; hint: create one, as by `nats stream add EVENTS --subjects '{all}'`",
                    self.url
                ))
            }
            PublishErrorKind::MaxPayloadExceeded => lasting(format!(
                "the event is larger than NATS at {} takes (max_payload)",
                self.url
            )),
            // Perhaps it was stored: the same again is stored once.
            PublishErrorKind::TimedOut => away(&self.url, "did not acknowledge the event in time"),
            PublishErrorKind::BrokenPipe => away(&self.url, "closed the connection"),
            _ if answer(error).is_some_and(lasts) => {
                lasting(format!("NATS at {} refused the event: {error}", self.url))
            }
            _ => away(&self.url, &format!("did not take the event: {error}")),
        }
    }
}

/// What `JetStream` answered, where it did.
fn answer(error: &PublishError) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref()
}

/// Whether the same event would be refused again: it is too large for the
/// stream, say, or the stream is sealed.
fn lasts(answer: &jetstream::Error) -> bool {
    match answer.code() {
        // An attempt before is being stored, or there are too many at once.
        408 | 409 | 429 => false,
        // The account is full; what it has kept long enough goes.
        400..500 => answer.error_code() != ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        _ => false,
    }
}

/// NATS cannot be reached now; the same event again does no harm.
fn away(url: &NatsUrl, why: &str) -> StepError {
    StepError::if_again(
        true,
        Standard::Communication,
        format!("NATS at {url} {why}"),
    )
}

fn why(error: &ConnectError) -> String {
    let what = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            "refused the credentials"
        }
        ConnectErrorKind::Dns => "has no address",
        ConnectErrorKind::TimedOut => "did not answer in time",
        ConnectErrorKind::Tls => "was not reached by TLS",
        _ => "cannot be reached",
    };
    // What the system says, a refused connection or certificate; never what was sent.
    let mut cause = error.source();
    while let Some(one) = cause {
        if one.is::<std::io::Error>() {
            return format!("{what}: {one}");
        }
        cause = one.source();
    }
    what.to_owned()
}
