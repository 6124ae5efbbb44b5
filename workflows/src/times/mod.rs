//! When a schedule fires, as the Temporal server reads it.
//!
//! A [`Spec`] is canonical: two specs are equal exactly when the server would
//! match the same times, whichever way they were written. It is compiled from
//! a definition, decoded from a live schedule, compared, hashed, and asked for
//! its fire times. Turning it into requests is left to the `activities` crate.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The times of a schedule: the union of calendars and intervals, minus the
/// exclusions, within the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Calendars that match, sorted and without duplicates.
    pub calendars: BTreeSet<Calendar>,
    /// Intervals, sorted and without duplicates.
    pub intervals: BTreeSet<Interval>,
    /// Calendars that exclude, sorted and without duplicates.
    pub exclude: BTreeSet<Calendar>,
    /// IANA name of the zone that calendars and exclusions are read in; `UTC` by default.
    pub timezone: String,
    /// Nothing fires before this.
    pub start_at: Option<Timestamp>,
    /// Nothing fires after this.
    pub end_at: Option<Timestamp>,
    /// The server delays each action by a random part of this.
    pub jitter: Duration,
}

/// One calendar: a time matches when every field holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Calendar {
    /// 0 to 59.
    pub second: Values,
    /// 0 to 59.
    pub minute: Values,
    /// 0 to 23.
    pub hour: Values,
    /// 1 to 31.
    pub day_of_month: Values,
    /// 1 to 12.
    pub month: Values,
    /// Any year when empty.
    pub year: Values,
    /// 0 (Sunday) to 6.
    pub day_of_week: Values,
}

/// The values a calendar's field matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(pub BTreeSet<u16>);

/// Fires at every `phase + n * every` since the Unix epoch, whatever the time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval {
    /// The period, at least a second.
    pub every: Duration,
    /// The offset within the period.
    pub phase: Duration,
}
