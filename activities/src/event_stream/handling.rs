//! Handling of one message: from its arrival to its acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::{Delivery, DeliveryState, DeliveryVia, EventKey, delivery_text};
use almanac_core::routing::Maker;
use async_nats::jetstream;
use async_nats::jetstream::message::{AckKind, Info};
use opentelemetry::trace::FutureExt as _;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::dead_letters::{DeadLetter, DeadLetters, LetterHeaders};
use super::reading::Received;
use super::temporal_gate::TemporalGate;
use super::unreadable::StoredMessage;
use crate::blocking::compute;
use crate::router::{Arrival, EventRouter};
use crate::spans;
use crate::steps::{BY_HEADER, Subject, VIA_HEADER};

/// Wait after the first failed attempt. Each wait is twice the one before.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Maximum wait between two attempts.
const LONGEST_DELAY: Duration = Duration::from_mins(5);
/// Number of times that Temporal answers others and is not available for an event, before the
/// failure counts as the event's own.
const AWAY_FOR_ONE: u32 = 3;
/// Number of deliveries without an end, after which an event is not tried again: each of them
/// ended with its process. Processes that hand an event back while Temporal is away count too, so
/// the number is large.
const UNENDED: u64 = 200;

/// Handles messages.
pub(super) struct Handler {
    pub(super) router: Arc<EventRouter>,
    pub(super) temporal: Arc<TemporalGate>,
    pub(super) dead_letters: DeadLetters,
    /// Start of the subjects of all events.
    pub(super) subject: Subject,
    pub(super) reads_plain_json: bool,
    /// Number of the attempt after which an event is not tried again.
    pub(super) last_attempt: u64,
    /// Interval between two signs that a message is being handled, or waits for its turn.
    pub(super) progress: Duration,
    pub(super) turns: Semaphore,
    /// Canceled when messages that wait for Temporal go back to the stream.
    pub(super) stop: CancellationToken,
    /// Canceled when every message goes back to the stream.
    pub(super) hand_back: CancellationToken,
}

/// A message, its place in the stream and its number of deliveries.
struct Message<'m> {
    received: Received<'m>,
    subject: &'m str,
    delivered: u64,
}

impl Handler {
    /// Handles a message and acknowledges it.
    pub(super) async fn handle(&self, message: jetstream::Message) {
        let Ok(info) = message.info() else {
            let subject = message.subject.as_str();
            tracing::warn!(
                subject,
                "a message of NATS is not one of a stream; it is ignored"
            );
            return;
        };
        if self.subject.rest(message.subject.as_str()).is_none() {
            // A consumer without a filter, on a stream that stores other messages too.
            if let Err(error) = message.ack().await {
                tracing::debug!(%error, "cannot acknowledge a message");
            }
            return;
        }
        let placed = Message::new(&message.message, &info, &self.subject);
        let answer = tokio::select! {
            answer = self.answer(&placed) => answer,
            () = self.keep(&message) => AckKind::Nak(None),
            () = self.hand_back.cancelled() => AckKind::Nak(None),
        };
        if let Err(error) = message.ack_with(answer).await {
            // The message is delivered again.
            tracing::debug!(%error, sequence = info.stream_sequence, "cannot acknowledge a message");
        }
    }

    /// Tells the stream that the message is being handled, again and again. Does not end.
    async fn keep(&self, message: &jetstream::Message) {
        loop {
            tokio::time::sleep(self.progress).await;
            if let Err(error) = message.ack_with(AckKind::Progress).await {
                tracing::debug!(%error, "cannot tell NATS of progress");
            }
        }
    }

    /// Handles a message, and returns the answer to the stream.
    async fn answer(&self, message: &Message<'_>) -> AckKind {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let event = compute(|| message.received.event(self.reads_plain_json));
        let event = match event {
            Ok(event) => Arc::new(event.into_json()),
            Err(reason) => {
                let delivery = message.unread(&reason);
                return self.bury(message, delivery, &Arc::new(Value::Null)).await;
            }
        };
        if message.delivered > self.last_attempt.max(UNENDED) {
            // Each earlier attempt ended with the end of its process.
            let reason = format!("{} attempts did not end", message.delivered - 1);
            let delivery = Delivery {
                reason: Some(reason),
                ..message
                    .arrival()
                    .delivery(&event, crate::router::Routed::default())
            };
            return self.bury(message, delivery, &event).await;
        }
        let sent = spans::sent_with(message.received.trace_headers(), &event);
        let mut away = 0;
        loop {
            let schedules = tokio::select! {
                schedules = self.temporal.available() => schedules,
                () = self.stop.cancelled() => return AckKind::Nak(None),
            };
            let handled = self.router.handle(&schedules, &event, message.arrival());
            let delivery = handled.with_context(sent.clone()).await;
            match delivery.state {
                DeliveryState::Waiting if delivery.waits_for_temporal() && away < AWAY_FOR_ONE => {
                    if away == 0 {
                        self.router.record(delivery, &event);
                    }
                    away += 1;
                    self.temporal.was_away();
                }
                DeliveryState::Waiting if message.delivered >= self.last_attempt => {
                    return self.bury(message, delivery, &event).await;
                }
                DeliveryState::Waiting => {
                    self.router.record(delivery, &event);
                    return AckKind::Nak(Some(delay(message.delivered)));
                }
                DeliveryState::Refused => return self.bury(message, delivery, &event).await,
                _ => {
                    self.router.record(delivery, &event);
                    return AckKind::Ack;
                }
            }
        }
    }

    /// Writes a message that the client of NATS cannot read as a dead letter, which has no event.
    pub(super) async fn bury_unreadable(
        &self,
        stream: &str,
        message: &StoredMessage,
        reason: &str,
    ) -> Result<(), String> {
        let kind = self.subject.rest(&message.subject);
        let placed = Message {
            received: Received {
                kind: kind.unwrap_or(&message.subject),
                stream,
                sequence: message.sequence,
                stored_at: message.stored_at,
                headers: None,
                body: &message.body,
            },
            subject: &message.subject,
            delivered: 1,
        };
        let letter = DeadLetter {
            deliveries: None,
            headers: LetterHeaders::Raw(&message.headers),
            ..placed.dead_letter(reason)
        };
        self.dead_letters.write(&letter).await?;
        let delivery = Delivery {
            state: DeliveryState::Dead,
            ..placed.unread(reason)
        };
        self.router.record(delivery, &Arc::new(Value::Null));
        Ok(())
    }

    /// Writes a dead letter, and only then ends the message.
    async fn bury(&self, message: &Message<'_>, delivery: Delivery, event: &Arc<Value>) -> AckKind {
        let reason = delivery.reason.clone().unwrap_or_default();
        let written = self.dead_letters.write(&message.dead_letter(&reason)).await;
        match written {
            Ok(()) => {
                let delivery = Delivery {
                    state: DeliveryState::Dead,
                    ..delivery
                };
                self.router.record(delivery, event);
                AckKind::Term
            }
            Err(why) => {
                tracing::error!(
                    reason = why,
                    stream = self.dead_letters.stream(),
                    sequence = message.received.sequence,
                    "cannot write a dead letter; trying again later"
                );
                let delivery = Delivery {
                    state: DeliveryState::Waiting,
                    ..delivery
                };
                self.router.record(delivery, event);
                AckKind::Nak(Some(delay(message.delivered)))
            }
        }
    }
}

impl<'m> Message<'m> {
    fn new(message: &'m async_nats::Message, info: &Info<'m>, subject: &Subject) -> Self {
        let whole = message.subject.as_str();
        let kind = subject.rest(whole).unwrap_or(whole);
        let (headers, body) = (message.headers.as_ref(), message.payload.as_ref());
        Self {
            received: Received::new(kind, info, headers, body),
            subject: whole,
            delivered: u64::try_from(info.delivered).unwrap_or(1).max(1),
        }
    }

    /// The arrival of the event. A worker that received the event first says so in headers.
    fn arrival(&self) -> Arrival {
        let received = &self.received;
        let intake = match received.header(VIA_HEADER) {
            Some("http") => Some(DeliveryVia::Http),
            Some("webhook") => Some(DeliveryVia::Webhook),
            _ => None,
        };
        let by = intake.and_then(|_| received.header(BY_HEADER));
        Arrival {
            delivery: delivery_id(received.stream, received.sequence),
            at: received.stored_at,
            via: intake.unwrap_or(DeliveryVia::Nats),
            made_by: Maker::Other,
            by: delivery_text(by.unwrap_or(received.stream)),
            attempt: self.delivered,
        }
    }

    /// The delivery of a message that has no event.
    fn unread(&self, reason: &str) -> Delivery {
        let arrival = self.arrival();
        Delivery {
            id: arrival.delivery,
            at: arrival.at,
            via: arrival.via,
            by: arrival.by,
            event: EventKey {
                kind: delivery_text(self.received.kind),
                ..EventKey::default()
            },
            bytes: self.received.body.len() as u64,
            attempt: arrival.attempt,
            state: DeliveryState::Refused,
            reason: Some(delivery_text(reason)),
            ..Delivery::default()
        }
    }

    fn dead_letter<'a>(&'a self, reason: &'a str) -> DeadLetter<'a> {
        DeadLetter {
            reason,
            subject: self.subject,
            stream: self.received.stream,
            sequence: self.received.sequence,
            deliveries: Some(self.delivered),
            stored_at: self.received.stored_at,
            headers: LetterHeaders::Read(self.received.headers),
            body: self.received.body,
        }
    }
}

/// Id of the delivery of a message.
pub fn delivery_id(stream: &str, sequence: u64) -> String {
    format!("nats-{stream}-{sequence}")
}

/// Wait before the next attempt, after an attempt with this number.
fn delay(attempt: u64) -> Duration {
    let exponent = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let delay = 2_u32
        .checked_pow(exponent)
        .and_then(|factor| FIRST_DELAY.checked_mul(factor));
    delay.map_or(LONGEST_DELAY, |delay| delay.min(LONGEST_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_fails_is_tried_for_about_an_hour() {
        assert_eq!(delay(1), Duration::from_secs(1));
        assert_eq!(delay(2), Duration::from_secs(2));
        assert_eq!(delay(9), Duration::from_secs(256));
        assert_eq!(delay(10), LONGEST_DELAY);
        assert_eq!(delay(u64::MAX), LONGEST_DELAY);
        let all: Duration = (1..super::super::consumer::LAST_ATTEMPT).map(delay).sum();
        assert!((50..70).contains(&(all.as_secs() / 60)), "{all:?}");
    }
}
