//! Fuzz targets: functions that take any bytes and check what Almanac promises of them.
//!
//! A target returns if the promises hold, and panics if one is broken. `make fuzz` searches for
//! inputs that break one. The test `corpus` replays the inputs that are kept in `corpus/TARGET/`.

#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how a target reports a broken promise"
)]

mod cron;
mod definition_yaml;
mod event;
mod jq;
mod memo;

pub use cron::cron;
pub use definition_yaml::definition_yaml;
pub use event::event;
pub use jq::jq;
pub use memo::memo;

/// A function that checks one input.
pub type Target = fn(&[u8]);

/// All targets, with the names of their folders in `corpus/`.
pub const TARGETS: [(&str, Target); 5] = [
    ("cron", cron),
    ("definition_yaml", definition_yaml),
    ("event", event),
    ("jq", jq),
    ("memo", memo),
];

/// Returns the target of this name.
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target)
}

/// Returns the text, if the bytes are UTF-8, up to the first NUL, and what follows the NUL.
fn two_texts(bytes: &[u8]) -> Option<(&str, Option<&str>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(match text.split_once('\0') {
        Some((first, second)) => (first, Some(second)),
        None => (text, None),
    })
}
