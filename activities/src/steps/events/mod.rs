//! `emit`: events are published to a stream of NATS (`JetStream`).
//!
//! Always holds: an event that the stream has acknowledged is stored; the same event (by
//! its source and id) published again within the stream's window for duplicates is stored
//! once; no stream is created or changed here.

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

/// Time limit of a connection, and of an acknowledgement.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Publisher of events to a NATS cluster.
pub struct Events {
    url: NatsUrl,
    subject: Subject,
    /// The client, made at the first event: a worker starts, and makes other calls, without
    /// NATS.
    client: Mutex<Option<Client>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({}, {})", self.url, self.subject)
    }
}

impl Events {
    /// Creates a publisher to that NATS, with `subject` as the start of all subjects.
    pub fn new(url: NatsUrl, subject: Subject) -> Self {
        Self {
            url,
            subject,
            client: Mutex::default(),
        }
    }

    /// Publishes an event, and waits until the stream has stored it.
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
                    // An event that the client still holds back must not be sent after the
                    // step gave up.
                    *self.client.lock().await = None;
                }
                Err(self.refused(&error, &message.subject))
            }
        }
    }

    /// Returns a client that is connected now. A client that is not would hold events back
    /// until it is connected.
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
                    "no JetStream stream at {} stores `{subject}`; hint: create one, for example \
                     with `nats stream add EVENTS --subjects '{all}'`",
                    self.url
                ))
            }
            PublishErrorKind::MaxPayloadExceeded => lasting(format!(
                "the event is larger than NATS at {} accepts (max_payload)",
                self.url
            )),
            // The event may have been stored: the same event again is stored once.
            PublishErrorKind::TimedOut => away(&self.url, "did not acknowledge the event in time"),
            PublishErrorKind::BrokenPipe => away(&self.url, "closed the connection"),
            _ if answer(error).is_some_and(lasts) => {
                lasting(format!("NATS at {} refused the event: {error}", self.url))
            }
            _ => away(&self.url, &format!("did not accept the event: {error}")),
        }
    }
}

/// Returns the answer of `JetStream`, if the error holds one.
fn answer(error: &PublishError) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref()
}

/// Returns `true` if the same event would be refused again: for example, the event is too
/// large for the stream, or the stream is sealed.
fn lasts(answer: &jetstream::Error) -> bool {
    match answer.code() {
        // An earlier attempt is being stored, or there are too many at a time.
        408 | 409 | 429 => false,
        // The account is full. Messages that it has kept long enough are removed.
        400..500 => answer.error_code() != ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        _ => false,
    }
}

/// Error of a NATS that cannot be reached now. The same event again does no harm.
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
        ConnectErrorKind::Dns => "has a host name that does not resolve",
        ConnectErrorKind::TimedOut => "did not answer in time",
        ConnectErrorKind::Tls => "cannot be reached over TLS",
        _ => "cannot be reached",
    };
    // Only the system's error is shown, for example a refused connection or certificate,
    // and never the text that was sent.
    let mut cause = error.source();
    while let Some(one) = cause {
        if one.is::<std::io::Error>() {
            return format!("{what}: {one}");
        }
        cause = one.source();
    }
    what.to_owned()
}
