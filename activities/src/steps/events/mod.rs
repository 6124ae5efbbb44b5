//! `emit`: events are published to a stream of NATS (`JetStream`).
//!
//! Always holds: an event that the stream has acknowledged is stored; the same event (by
//! its source and id) published again within the stream's window for duplicates is stored
//! once; no stream is created or changed here.

mod address;
mod connection;
mod message;
mod subject;
#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::fmt;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_base::names::TRACEPARENT;
use almanac_core::record::DeliveryVia;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{self, ErrorCode, context::PublishError, message::PublishMessage};
use async_nats::{AuthError, Client, ConnectError, ConnectErrorKind};
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use address::{NatsUrl, NatsUrlError};
pub(crate) use connection::{CONNECTION_TIMEOUT, CredentialsWatch};
pub use connection::{NatsConnection, NatsFileError, NatsFiles};
pub use subject::{Subject, SubjectError};

use super::StepError;
use crate::spans;
use message::{CONTENT, Message};

/// Time for which no event is stored after a failure. Whoever sent an event need not wait for a NATS
/// that does not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Header of a message with the way by which the event arrived at a worker.
pub(crate) const VIA_HEADER: &str = "Almanac-Via";
/// Header of a message with the name of the caller or the webhook that delivered the event.
pub(crate) const BY_HEADER: &str = "Almanac-By";

/// Publisher of events to a NATS cluster.
pub struct Events {
    connection: NatsConnection,
    subject: Subject,
    /// The client, made at the first event: a worker starts, and makes other calls, without
    /// NATS.
    client: Mutex<Option<(Client, CredentialsWatch)>>,
    /// Time until which no event is stored, because NATS could not store one.
    paused_until: StdMutex<Option<Instant>>,
}

/// The receiver of emitted events of a worker that has no NATS to publish them to.
pub trait EventReceiver: Send + Sync {
    /// Handles an event in the JSON format of `CloudEvents`. The same event can be given again.
    fn receive(&self, event: Value, call: EmitCall) -> BoxFuture<'_, Result<(), StepError>>;
}

/// The call of a step that emits an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmitCall {
    /// Id of the delivery, the same for each attempt.
    pub delivery: String,
    /// Workflow id of the run that emits the event.
    pub by: String,
    /// Number of the attempt, from 1.
    pub attempt: u64,
}

/// The place in which a stream stores an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAt {
    /// Name of the stream.
    pub stream: String,
    /// Number of the message in the stream.
    pub sequence: u64,
    /// The stream stored an event with the same source and id before, and not this one.
    pub is_duplicate: bool,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({}, {})", self.connection.url(), self.subject)
    }
}

impl Events {
    /// Creates a publisher to that NATS, with `subject` as the start of all subjects.
    pub fn new(connection: NatsConnection, subject: Subject) -> Self {
        Self {
            connection,
            subject,
            client: Mutex::default(),
            paused_until: StdMutex::default(),
        }
    }

    /// Publishes an event, and waits until the stream has stored it.
    pub(super) async fn publish(&self, event: &Value, within: Duration) -> Result<(), StepError> {
        let message = Message::of(event, &self.subject)?;
        self.publish_within(message, within).await?;
        Ok(())
    }

    /// Publishes an event that arrived at this worker, and waits until the stream has stored it.
    /// The message says how the event arrived. For a moment after a failure that is not the event's
    /// own, no event is stored.
    pub async fn store(
        &self,
        event: &Value,
        via: DeliveryVia,
        by: &str,
        within: Duration,
    ) -> Result<StoredAt, StepError> {
        let mut message = Message::of(event, &self.subject)?;
        message.headers = vec![
            (VIA_HEADER, via.as_str().to_owned()),
            (BY_HEADER, one_line(by)),
        ];
        let now = Instant::now();
        if self.paused_until().is_some_and(|until| now < until) {
            return Err(away(
                self.connection.url(),
                "could not store an event a moment ago",
            ));
        }
        let stored = self.publish_within(message, within).await;
        if stored.as_ref().is_err_and(|error| error.retryable) {
            *self.paused_until() = Some(Instant::now() + PAUSE);
        }
        stored
    }

    /// Returns `true` if the message in this place has this event, with the same data. `false` if
    /// that is not known.
    pub async fn has_stored(&self, event: &Value, place: &StoredAt) -> bool {
        let stored = async {
            let client = self.connected().await.ok()?;
            let mut context = jetstream::new(client);
            context.set_timeout(CONNECTION_TIMEOUT);
            let stream = context.get_stream_no_info(&place.stream).await.ok()?;
            stream.get_raw_message(place.sequence).await.ok()
        };
        let body = Message::of(event, &self.subject).map(|message| message.body);
        matches!((body, stored.await), (Ok(body), Some(stored)) if *stored.payload == *body)
    }

    fn paused_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish_within(
        &self,
        message: Message,
        within: Duration,
    ) -> Result<StoredAt, StepError> {
        match tokio::time::timeout(within, self.publish_message(message)).await {
            Ok(done) => done,
            Err(_elapsed) => {
                // What the client still holds back must not be sent later.
                *self.client.lock().await = None;
                Err(away(self.connection.url(), "did not answer in time"))
            }
        }
    }

    async fn publish_message(&self, message: Message) -> Result<StoredAt, StepError> {
        let client = self.connected().await?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(CONNECTION_TIMEOUT);
        let mut publish = PublishMessage::build()
            .message_id(message.id)
            .header("Content-Type", CONTENT)
            .payload(message.body.into());
        for (name, value) in message.headers {
            publish = publish.header(name, value.as_str());
        }
        if let Some(traceparent) = spans::propagated() {
            publish = publish.header(TRACEPARENT, traceparent.as_str());
        }
        let stored = async {
            let acknowledged = context.send_publish(message.subject.clone(), publish);
            acknowledged.await?.await
        };
        match stored.await {
            Ok(acknowledgement) => Ok(StoredAt {
                stream: acknowledgement.stream,
                sequence: acknowledgement.sequence,
                is_duplicate: acknowledgement.duplicate,
            }),
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
        if let Some((client, watch)) = client.as_mut()
            && client.connection_state() == State::Connected
            && !watch.has_changed()
        {
            return Ok(client.clone());
        }
        let watch = self.connection.watch_credentials();
        match self.connection.connect(|options| options).await {
            Ok(made) => Ok(client.insert((made, watch)).0.clone()),
            Err(why) => Err(away(self.connection.url(), &why)),
        }
    }

    fn refused(&self, error: &PublishError, subject: &str) -> StepError {
        let lasting = |detail: String| StepError::configuration(detail);
        match error.kind() {
            PublishErrorKind::StreamNotFound => lasting(format!(
                "no JetStream stream at {} stores `{subject}`; {}",
                self.connection.url(),
                self.subject.stream_hint()
            )),
            PublishErrorKind::MaxPayloadExceeded => lasting(format!(
                "the event is larger than NATS at {} accepts (max_payload)",
                self.connection.url()
            )),
            // The event may have been stored: the same event again is stored once.
            PublishErrorKind::TimedOut => away(
                self.connection.url(),
                "did not acknowledge the event in time",
            ),
            PublishErrorKind::BrokenPipe => away(self.connection.url(), "closed the connection"),
            _ if answer(error).is_some_and(lasts) => lasting(format!(
                "NATS at {} refused the event: {error}",
                self.connection.url()
            )),
            _ => away(
                self.connection.url(),
                &format!("did not accept the event: {error}"),
            ),
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
    StepError::passing(format!("NATS at {url} {why}"))
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
    // Only the system's error and that of the credentials file are shown, for example a refused connection or certificate,
    // and never the text that was sent.
    let mut cause = error.source();
    while let Some(one) = cause {
        if one.is::<AuthError>() {
            return format!("cannot be used: {one}");
        }
        if one.is::<std::io::Error>() {
            return format!("{what}: {one}");
        }
        cause = one.source();
    }
    what.to_owned()
}

/// Returns a text without control characters, as a header has it.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}
