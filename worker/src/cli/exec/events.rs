//! The events of a run without a server, read from the lines of a file.

use std::collections::VecDeque;
use std::path::Path;

use almanac_events::cloud_event;
use anyhow::Context as _;
use serde_json::Value;

/// Events that have not been delivered, in order.
#[derive(Debug, Default)]
pub(super) struct Events(VecDeque<Value>);

impl Events {
    /// The events of a file, or of standard input for `-`. Without a file there are no events.
    pub(super) fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let text = if file == Path::new("-") {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(file)
        };
        let name = file.display();
        let text = text.with_context(|| format!("--events {name}"))?;
        let mut events = VecDeque::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let place = || format!("{name}:{}", index + 1);
            let value = serde_json::from_str(line).with_context(place)?;
            let event = cloud_event(value)
                .map_err(|why| anyhow::anyhow!("not a CloudEvent: {why}"))
                .with_context(place)?;
            events.push_back(event);
        }
        Ok(Self(events))
    }

    /// Removes and returns the next event.
    pub(super) fn next(&mut self) -> Option<Value> {
        self.0.pop_front()
    }
}
