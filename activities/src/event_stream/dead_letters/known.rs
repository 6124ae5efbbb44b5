//! The dead letters of a project, as the deliveries of a process: those of other processes, and
//! those of earlier ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_core::record::{Delivery, DeliveryState, DeliveryVia, EventKey, delivery_text};
use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    DELIVERIES, DeadLetters, MESSAGE_ID, OMITTED, RAW_HEADERS, REASON, SEQUENCE, STREAM, SUBJECT,
    TIME,
};
use crate::event_stream::handling::delivery_id;
use crate::event_stream::reading::Received;
use crate::router::{DELIVERIES_KEPT, EventRouter};
use crate::steps::Subject;

/// The dead letters that a process knows.
#[derive(Debug, Default)]
pub(in crate::event_stream) struct KnownDeadLetters {
    /// The letters, by their numbers in their stream.
    letters: BTreeMap<u64, KnownLetter>,
    /// Number of the first message that has not been read.
    next: u64,
    /// Number of messages in the stream.
    messages: u64,
}

#[derive(Debug)]
struct KnownLetter {
    /// Id of the delivery of the message that the letter is about.
    delivery: String,
    /// Time at which that message was stored.
    stored_at: Timestamp,
}

/// Reader of the events of dead letters.
pub(in crate::event_stream) struct LetterReader<'a> {
    pub(in crate::event_stream) letters: &'a DeadLetters,
    pub(in crate::event_stream) router: &'a EventRouter,
    pub(in crate::event_stream) subject: &'a Subject,
    pub(in crate::event_stream) reads_plain_json: bool,
}

impl KnownDeadLetters {
    /// Reads the dead letters that have come since, at most the last [`DELIVERIES_KEPT`], and
    /// forgets those that are gone.
    pub(in crate::event_stream) async fn refresh(
        &mut self,
        reader: &LetterReader<'_>,
    ) -> Result<(), String> {
        let Some(stream) = reader.letters.open().await? else {
            return Ok(());
        };
        let state = &stream.cached_info().state;
        let kept = DELIVERIES_KEPT as u64;
        // A stream that was removed and created again begins with 1.
        if self.next > state.last_sequence + 1 {
            self.forget_all(reader);
        }
        let first_unread = match self.next {
            // At the first reading, nothing that was known can be missing.
            0 => state.last_sequence + 1,
            next => next,
        };
        let oldest = (state.last_sequence + 1).saturating_sub(kept);
        self.next = self.next.max(state.first_sequence).max(oldest).max(1);
        while self.next <= state.last_sequence {
            let subject = reader.letters.subject.as_str();
            let found = stream.get_first_raw_message_by_subject(subject, self.next);
            let message = match found.await {
                Ok(message) => message,
                Err(error) => match error.kind() {
                    RawMessageErrorKind::NoMessageFound => break,
                    RawMessageErrorKind::Other => {
                        // Somebody else wrote it.
                        let (sequence, stream) = (self.next, reader.letters.stream());
                        tracing::warn!(%error, sequence, stream, "cannot read a dead letter");
                        self.next += 1;
                        continue;
                    }
                    _ => return Err(error.to_string()),
                },
            };
            self.next = message.sequence + 1;
            let (delivery, event) = reader.read(&message);
            let letter = KnownLetter {
                delivery: delivery.id.clone(),
                stored_at: stored_at(&message),
            };
            self.letters.insert(message.sequence, letter);
            reader.router.deliveries().recall_dead(delivery, &event);
        }
        let come = (state.last_sequence + 1).saturating_sub(first_unread);
        let is_missing = state.messages < self.messages + come;
        self.messages = state.messages;
        self.next = state.last_sequence + 1;
        while self.letters.len() > DELIVERIES_KEPT {
            self.letters.pop_first();
        }
        if is_missing {
            self.forget_removed(&stream, reader).await?;
        }
        Ok(())
    }

    /// Returns `true` if there is a letter about the message of a delivery.
    pub(in crate::event_stream) fn has(&self, delivery: &str, stored_at: Timestamp) -> bool {
        let mut letters = self.letters.values();
        letters.any(|letter| letter.delivery == delivery && letter.stored_at == stored_at)
    }

    /// Removes the dead letter of a delivery from the stream, if there is one.
    pub(in crate::event_stream) async fn remove(
        &mut self,
        reader: &LetterReader<'_>,
        delivery: &str,
    ) -> Result<(), String> {
        // This process may have written the letter a moment ago.
        let refreshed = self.refresh(reader).await;
        let mut known = self.letters.iter();
        let known = known.find(|(_, letter)| letter.delivery == delivery);
        if let Some(sequence) = known.map(|(sequence, _)| *sequence)
            && let Some(stream) = reader.letters.open().await?
        {
            let removed = stream.delete_message(sequence).await;
            removed.map_err(|error| error.to_string())?;
            self.letters.remove(&sequence);
            self.messages = self.messages.saturating_sub(1);
        } else {
            refreshed?;
        }
        reader.router.deliveries().forget_dead(delivery);
        Ok(())
    }

    /// Forgets the dead letters that another process or a person removed.
    async fn forget_removed(
        &mut self,
        stream: &Stream,
        reader: &LetterReader<'_>,
    ) -> Result<(), String> {
        let sequences: Vec<u64> = self.letters.keys().copied().collect();
        for sequence in sequences {
            match stream.get_raw_message(sequence).await {
                Ok(_message) => {}
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                    if let Some(letter) = self.letters.remove(&sequence) {
                        reader.router.deliveries().forget_dead(&letter.delivery);
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn forget_all(&mut self, reader: &LetterReader<'_>) {
        for letter in std::mem::take(&mut self.letters).into_values() {
            reader.router.deliveries().forget_dead(&letter.delivery);
        }
        (self.next, self.messages) = (0, 0);
    }
}

impl LetterReader<'_> {
    /// The delivery that a dead letter is about, and its event: null if it has none.
    fn read(&self, message: &StreamMessage) -> (Delivery, Arc<Value>) {
        let header = |name: &str| {
            let value = message.headers.get(name);
            value.map(async_nats::HeaderValue::as_str)
        };
        let number = |name: &str| header(name).and_then(|text| text.parse().ok());
        let (subject, stream) = (header(SUBJECT), header(STREAM).unwrap_or_default());
        let subject = subject.unwrap_or_default();
        let sequence = number(SEQUENCE).unwrap_or_default();
        let headers = original_headers(&message.headers);
        let received = Received {
            kind: self.subject.rest(subject).unwrap_or(subject),
            stream,
            sequence,
            stored_at: stored_at(message),
            headers: Some(&headers),
            body: message.payload.as_ref(),
        };
        // A part of an event is another event.
        let is_whole = header(OMITTED).is_none() && header(RAW_HEADERS).is_none();
        let event = is_whole.then(|| received.event(self.reads_plain_json).ok());
        let event = event.flatten();
        let event = event.map_or(Value::Null, almanac_events::CloudEvent::into_json);
        let mut key = EventKey::of(&event);
        if event.is_null() {
            key.kind = delivery_text(received.kind);
        }
        let at = header(TIME).and_then(|time| time.parse().ok());
        let delivery = Delivery {
            id: delivery_text(&delivery_id(stream, sequence)),
            at: at.unwrap_or(Timestamp::UNIX_EPOCH),
            via: DeliveryVia::Nats,
            by: delivery_text(stream),
            event: key,
            bytes: message.payload.len() as u64,
            attempt: number(DELIVERIES).unwrap_or(1),
            state: DeliveryState::Dead,
            reason: header(REASON).map(delivery_text),
            ..Delivery::default()
        };
        (delivery, Arc::new(event))
    }
}

/// Time at which the message of a dead letter was stored: the end of the letter's own id.
fn stored_at(letter: &StreamMessage) -> Timestamp {
    let id = letter.headers.get("Nats-Msg-Id");
    let end = id.and_then(|id| id.as_str().rsplit('/').next());
    let time = end.and_then(|end| Timestamp::from_nanosecond(end.parse().ok()?).ok());
    time.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The headers of the message that a dead letter is about.
fn original_headers(headers: &HeaderMap) -> HeaderMap {
    let mut original = HeaderMap::new();
    headers.iter().for_each(|(name, values)| {
        let text: &str = name.as_ref();
        for value in values {
            if text.eq_ignore_ascii_case(MESSAGE_ID) {
                original.append("Nats-Msg-Id", value.clone());
            } else if !text.to_ascii_lowercase().starts_with(super::SERVER) {
                original.append(name.clone(), value.clone());
            }
        }
    });
    original
}
