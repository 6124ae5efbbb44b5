//! Events that reach a run as signals.

use std::collections::VecDeque;

use serde_json::Value;
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::WorkflowContext;

use super::RunDefinition;
use super::effects::Effects;
use crate::run::cloud_event;
use crate::run::machine::{Delivery, Machine, UNREAD_BYTES, UNREAD_LIMIT};

/// The longest reason that is shown.
const REASON: usize = 200;

/// What was heard and not told to the machine yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    events: VecDeque<Value>,
    /// What they take.
    bytes: usize,
    /// What all signals took since the machine was told.
    heard: usize,
    /// How many were no events, and why the last was none.
    ignored: u64,
    why: String,
    /// How many came when too many waited.
    dropped: u64,
}

impl Inbox {
    /// Takes a signal. Whatever it is, the run goes on.
    pub(super) fn hear(&mut self, input: &RawValue) {
        let bytes: usize = input
            .payloads
            .iter()
            .map(|payload| payload.data.len())
            .sum();
        self.heard = self.heard.saturating_add(bytes);
        match event(input) {
            // The machine has the same limits: these hold until there is one.
            Ok(_) if self.events.len() >= UNREAD_LIMIT || self.bytes + bytes > UNREAD_BYTES => {
                self.dropped += 1;
            }
            Ok(event) => {
                self.bytes += bytes;
                self.events.push_back(event);
            }
            Err(why) => {
                self.ignored += 1;
                self.why = why.chars().take(REASON).collect();
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What is to be known of signals that are lost; empty where none is.
    pub(super) fn notes(&self) -> String {
        let mut notes = String::new();
        if self.ignored > 0 {
            notes += &format!(
                "; {} signals were ignored, the last since {}",
                self.ignored, self.why
            );
        }
        if self.dropped > 0 {
            notes += &format!("; {} events were dropped: too many wait", self.dropped);
        }
        notes
    }

    fn take(&mut self) -> (VecDeque<Value>, usize) {
        self.bytes = 0;
        (
            std::mem::take(&mut self.events),
            std::mem::take(&mut self.heard),
        )
    }
}

/// The one event that a signal brings.
fn event(input: &RawValue) -> Result<Value, String> {
    let [payload] = input.payloads.as_slice() else {
        return Err(format!("it has {} inputs, not one", input.payloads.len()));
    };
    let value = serde_json::from_slice(&payload.data)
        .map_err(|error| format!("it is not JSON: {error}"))?;
    cloud_event(value)
}

/// Tells the machine what was heard.
pub(super) fn tell(
    ctx: &WorkflowContext<RunDefinition>,
    machine: &mut Machine,
    effects: &mut Effects<'_>,
) {
    if ctx.state(|s| s.inbox.heard == 0) {
        return;
    }
    let (events, heard) = ctx.state_mut(|s| s.inbox.take());
    effects.heard(heard);
    for event in events {
        if machine.deliver(event) == Delivery::Full {
            ctx.state_mut(|s| s.inbox.dropped += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use temporalio_common::protos::temporal::api::common::v1::Payload;

    use super::*;

    fn signal(inputs: &[&[u8]]) -> RawValue {
        let payload = |data: &&[u8]| Payload {
            data: data.to_vec(),
            ..Payload::default()
        };
        RawValue::new(inputs.iter().map(payload).collect())
    }

    #[test]
    fn whatever_is_no_event_is_ignored_and_counted() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.notes(), "");
        let odd: [Vec<&[u8]>; 6] = [
            vec![],
            vec![b"{"],
            vec![b"null"],
            vec![b"[]"],
            vec![b"\xff\xfe"],
            vec![b"{}", b"{}"],
        ];
        for inputs in odd {
            inbox.hear(&signal(&inputs));
        }
        inbox.hear(&signal(&[br#"{"type":"t"}"#]));
        assert!(inbox.is_empty());
        assert_eq!(
            inbox.notes(),
            "; 7 signals were ignored, the last since `specversion` must be text"
        );
    }

    #[test]
    fn events_are_kept_in_order_up_to_the_limits() {
        let mut inbox = Inbox::default();
        let event = |id: usize, text: &str| {
            json!({ "specversion": "1.0", "id": id.to_string(), "source": "/s", "type": "t", "data": text }).to_string()
        };
        for id in 0..UNREAD_LIMIT + 5 {
            inbox.hear(&signal(&[event(id, "").as_bytes()]));
        }
        assert_eq!(inbox.notes(), "; 5 events were dropped: too many wait");
        let (events, _) = inbox.take();
        let ids: Vec<&str> = events
            .iter()
            .filter_map(|event| event["id"].as_str())
            .collect();
        assert_eq!((ids.len(), ids[0], ids[999]), (UNREAD_LIMIT, "0", "999"));
        let large = "x".repeat(UNREAD_BYTES / 2);
        for id in 0..3 {
            inbox.hear(&signal(&[event(id, &large).as_bytes()]));
        }
        assert_eq!(inbox.take().0.len(), 1);
    }
}
