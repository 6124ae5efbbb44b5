//! Local times, and the instants to which the server converts them.

use std::cell::Cell;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// Number of transitions on either side that [`Zone::changes_around`] examines. Two changes
/// that are less than a few days apart belong together.
const CHANGES: usize = 3;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A change of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    at: i64,
    /// Offsets in seconds east of UTC: `before` until the change, `after` from then on.
    before: i64,
    after: i64,
}

impl Change {
    /// Time span in which the change may affect results: its first second, and the first second
    /// after it. At any other time, a local time and its instant correspond as if there were no
    /// change.
    /// Near a midnight, the server may take a day for the day before and skip it. The span then
    /// consists of whole days; otherwise it consists of whole hours.
    pub(super) fn odd_time(&self) -> (i64, i64) {
        let shift = (self.after - self.before).abs();
        let midnight_near = |offset: i64| {
            let since_midnight = (self.at + offset).rem_euclid(DAY);
            since_midnight.min(DAY - since_midnight) < shift + HOUR
        };
        let unit = if midnight_near(self.before) || midnight_near(self.after) {
            DAY
        } else {
            HOUR
        };
        let margin = shift + 2 * HOUR;
        let first = (self.at - margin + self.before).div_euclid(unit) * unit;
        let last = (self.at + margin + self.after).div_euclid(unit) * unit;
        (first - self.before, last + unit - self.after)
    }
}

/// A time zone with offsets by seconds since the epoch.
pub(super) struct Zone {
    zone: TimeZone,
    /// The last offset that was found, with the first second and the end of its time span.
    last: Cell<(i64, i64, i64)>,
}

impl Zone {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            last: Cell::new((0, 0, 0)),
        }
    }

    /// Offset at an instant, in seconds east of UTC.
    pub(super) fn offset(&self, at: i64) -> i64 {
        let (offset, from, until) = self.last.get();
        if (from..until).contains(&at) {
            return offset;
        }
        let time = Timestamp::from_second(at).unwrap_or(Timestamp::MAX);
        let offset = i64::from(self.zone.to_offset(time).seconds());
        // `preceding` is exclusive.
        let inclusive = Timestamp::from_second(at + 1).unwrap_or(Timestamp::MAX);
        let from = self.zone.preceding(inclusive).next();
        let until = self.zone.following(time).next();
        self.last.set((
            offset,
            from.map_or(i64::MIN, |change| change.timestamp().as_second()),
            until.map_or(i64::MAX, |change| change.timestamp().as_second()),
        ));
        offset
    }

    /// The local time at an instant.
    pub(super) fn local(&self, at: i64) -> DateTime {
        civil(at + self.offset(at))
    }

    /// The instant of a local time, by the rule of Go's `time.Date`: guess the offset from the
    /// local time read as UTC, and correct the guess once. A time that does not exist therefore
    /// moves by the gap, forward or backward. For a time that exists twice, the result is the
    /// first or the second one. Both depend on the zone's side of Greenwich.
    pub(super) fn instant(&self, local: DateTime) -> i64 {
        let seconds = epoch(local);
        seconds - self.offset(seconds - self.offset(seconds))
    }

    /// The changes of the offset around an instant: the last ones up to the instant, and the first
    /// ones after it.
    pub(super) fn changes_around(&self, at: i64) -> Vec<Change> {
        let time = Timestamp::from_second(at).unwrap_or(Timestamp::MAX);
        // `preceding` is exclusive.
        let inclusive = Timestamp::from_second(at + 1).unwrap_or(Timestamp::MAX);
        let before = self.zone.preceding(inclusive).take(CHANGES);
        let after = self.zone.following(time).take(CHANGES);
        let all = before.chain(after).map(|change| {
            let at = change.timestamp().as_second();
            let offset = |at| {
                let time = Timestamp::from_second(at).unwrap_or(Timestamp::MIN);
                i64::from(self.zone.to_offset(time).seconds())
            };
            Change {
                at,
                before: offset(at - 1),
                after: offset(at),
            }
        });
        // A transition may change only the abbreviation.
        all.filter(|change| change.before != change.after).collect()
    }

    /// The last instant up to `at` at which the offset changed.
    pub(super) fn last_change(&self, at: i64) -> Option<i64> {
        let mut until = Timestamp::from_second(at.checked_add(1)?).ok()?;
        loop {
            let transition = self.zone.preceding(until).next()?.timestamp();
            if self.offset(transition.as_second()) != self.offset(transition.as_second() - 1) {
                return Some(transition.as_second());
            }
            until = transition;
        }
    }

    /// The next instant at which the offset changes.
    pub(super) fn next_change(&self, after: i64) -> Option<i64> {
        let mut from = Timestamp::from_second(after).ok()?;
        loop {
            let transition = self.zone.following(from).next()?.timestamp();
            // A transition may change only the abbreviation.
            if self.offset(transition.as_second()) != self.offset(transition.as_second() - 1) {
                return Some(transition.as_second());
            }
            from = transition;
        }
    }
}

/// The date and time at a number of seconds after 1970 began.
pub(super) fn civil(seconds: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

/// The inverse of [`civil`].
pub(super) fn epoch(local: DateTime) -> i64 {
    Offset::UTC
        .to_timestamp(local)
        .map_or(i64::MAX / 2, Timestamp::as_second)
}
