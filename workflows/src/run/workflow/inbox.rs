//! Events that reach a run as signals.
//!
//! The machine takes as many events as a run may carry over when it continues as new.
//! Further events wait here for as long as the execution lasts.

use std::collections::VecDeque;

use almanac_base::text;
use almanac_events::{InvalidEvent, cloud_event};
use almanac_steps::machine::{DATA_LIMIT, Delivery, Machine};
use serde_json::Value;
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::WorkflowContext;

use super::RunDefinition;
use super::temporal_effects::TemporalEffects;

/// Maximum length of a reason that is shown, in characters.
const REASON: usize = 200;

/// Events that were received and not delivered to the machine yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    events: VecDeque<Value>,
    /// `true` if a signal came since the last delivery to the machine.
    news: bool,
    /// Size of the signals since the last delivery, and of all signals, in bytes.
    heard: usize,
    total: usize,
    /// Number of signals, also of those that were not events.
    signals: u64,
    /// Number of signals that were not events, and the reason for the last of them.
    ignored: u64,
    why: String,
    /// Number of events that were lost because too many waited.
    dropped: u64,
}

impl Inbox {
    /// Creates the inbox of an execution that continues a run which lost `dropped` events.
    pub(super) fn after(dropped: u64) -> Self {
        Self {
            dropped,
            ..Self::default()
        }
    }

    /// Counts a signal. Returns its number in this execution.
    pub(super) fn count(&mut self) -> u64 {
        self.signals += 1;
        self.signals
    }

    /// Ignores a signal that could not be decrypted.
    pub(super) fn ignore_undecoded(&mut self) {
        self.ignored += 1;
        "it cannot be decrypted".clone_into(&mut self.why);
        self.news = true;
    }

    /// Receives a signal. The run continues, whatever the signal holds.
    pub(super) fn hear(&mut self, input: &RawValue) {
        let bytes: usize = input
            .payloads
            .iter()
            .map(|payload| payload.data.len())
            .sum();
        self.news = true;
        self.heard = self.heard.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
        match event(input) {
            // Temporal soon ends a run with so long a history.
            Ok(_) if self.total as u64 > DATA_LIMIT => self.dropped += 1,
            Ok(event) => self.events.push_back(event),
            Err(why) => {
                self.ignored += 1;
                self.why = why.to_string().chars().take(REASON).collect();
            }
        }
    }

    /// Returns `true` if a signal came since the last delivery to the machine.
    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    /// Returns `true` if events wait here.
    pub(super) fn waits(&self) -> bool {
        !self.events.is_empty()
    }

    /// Gives up the events that wait here. Returns the number of events lost so far.
    pub(super) fn give_up(&mut self) -> u64 {
        self.dropped += self.events.len() as u64;
        self.events.clear();
        self.dropped
    }

    /// Counts events that were lost elsewhere.
    pub(super) fn lost(&mut self, count: u64) {
        self.dropped += count;
    }

    /// Number of events that were lost.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Describes the signals that were lost or wait here, for the Temporal UI. Empty if
    /// there are none.
    pub(super) fn notes(&self) -> String {
        let many = |count: u64, what: &str| match count {
            0 => String::new(),
            count => format!("; {what}: {count}"),
        };
        let why = match self.ignored {
            0 => String::new(),
            _ => format!(", the last because {}", text::code(&self.why, REASON)),
        };
        let waiting = self.events.len() as u64;
        [
            many(self.ignored, "ignored signals"),
            why,
            many(self.dropped, "events dropped because too many waited"),
            many(waiting, "events beyond the limit that a run keeps"),
        ]
        .concat()
    }
}

/// Returns the event that a signal brings.
fn event(input: &RawValue) -> Result<Value, InvalidEvent> {
    let [payload] = input.payloads.as_slice() else {
        return Err(format!("it has {} inputs, not one", input.payloads.len()).into());
    };
    let value = serde_json::from_slice(&payload.data)
        .map_err(|error| format!("it is not JSON: {error}"))?;
    cloud_event(value)
}

/// Delivers the waiting events to the machine, as many as it takes. Returns `true` if the
/// machine took any.
pub(super) fn deliver_events(
    ctx: &WorkflowContext<RunDefinition>,
    machine: &mut Machine,
    effects: &mut TemporalEffects<'_>,
) -> bool {
    if ctx.state(|s| !s.inbox.news && !s.inbox.waits()) {
        return false;
    }
    let mut taken = false;
    let heard = ctx.state_mut(|s| {
        let inbox = &mut s.inbox;
        inbox.news = false;
        while let Some(event) = inbox.events.pop_front() {
            match machine.deliver(event) {
                Delivery::Taken => taken = true,
                Delivery::Unheard => {}
                Delivery::Full(event) => {
                    inbox.events.push_front(event);
                    break;
                }
            }
        }
        std::mem::take(&mut inbox.heard)
    });
    effects.heard(heard);
    taken
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
    fn signals_that_are_not_events_are_ignored_and_counted() {
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
        assert!(inbox.has_news() && !inbox.waits());
        assert_eq!(
            inbox.notes(),
            "; ignored signals: 7, the last because `'specversion' must be text`"
        );
    }

    #[test]
    fn events_are_kept_in_order_up_to_the_limit() {
        let mut inbox = Inbox::after(2);
        let event = |id: usize, text: &str| {
            json!({ "specversion": "1.0", "id": id.to_string(), "source": "/s", "type": "t", "data": text }).to_string()
        };
        let large = "x".repeat(900_000);
        for id in 0..40 {
            inbox.hear(&signal(&[event(id, &large).as_bytes()]));
        }
        let ids = inbox.events.iter().filter_map(|event| event["id"].as_str());
        let wanted: Vec<String> = (0..37).map(|id| id.to_string()).collect();
        assert_eq!(ids.collect::<Vec<_>>(), wanted);
        assert_eq!(
            inbox.notes(),
            "; events dropped because too many waited: 5; events beyond the limit that a run \
             keeps: 37"
        );
        assert_eq!(inbox.give_up(), 42);
        assert!(!inbox.waits());
    }
}
