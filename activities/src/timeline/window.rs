//! The span of time that a timeline shows, and its slots.

use jiff::{SignedDuration, Timestamp};

/// Maximum length of a window.
pub const LONGEST_WINDOW: SignedDuration = SignedDuration::from_hours(8 * 24);
/// Length of a window of which only one end is given.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Time that a window shows before and after the present, if no end is given.
const HALF_DAY: SignedDuration = SignedDuration::from_hours(12);
/// The present is rounded down to a multiple of this if no end is given, so that
/// the requests of some minutes have the same window, in seconds.
const ROUND: i64 = 5 * MINUTE;
/// Maximum number of slots of a window.
const SLOTS: i64 = 300;
/// Possible lengths of a slot, in minutes.
const SLOT_MINUTES: [i64; 7] = [1, 2, 5, 10, 15, 30, 60];

/// Number of seconds of a minute.
pub(super) const MINUTE: i64 = 60;

/// A span of time in whole minutes: from `from`, up to and without `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    from: Timestamp,
    to: Timestamp,
}

/// The ends of a window do not make a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The end is not after the start.
    #[error("{to} is not after {from}")]
    Empty { from: Timestamp, to: Timestamp },
    /// The window is too long.
    #[error("{from} to {to} is longer than 8 days")]
    TooLong { from: Timestamp, to: Timestamp },
    /// An end is before 1970, or at the edge of all times. Temporal's visibility cannot be asked
    /// for times before the year 0, and no run is older than Temporal.
    #[error("{0} is outside of the years that can be shown")]
    OutOfRange(Timestamp),
}

impl Window {
    /// Creates a window: from some 12 hours ago to 12 hours ahead by default, and
    /// of 24 hours if only one end is given. Its ends move outward to whole
    /// minutes.
    ///
    /// # Errors
    /// The end is not after the start, or is more than [`LONGEST_WINDOW`] after
    /// it, or one of them is outside of the years that can be shown.
    pub fn new(
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, WindowError> {
        let moved = |time: Timestamp, by: SignedDuration| {
            let moved = time.checked_add(by);
            moved.map_err(|_| WindowError::OutOfRange(time))
        };
        let (from, to) = match (from, to) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, moved(from, DAY)?),
            (None, Some(to)) => (moved(to, -DAY)?, to),
            (None, None) => {
                let now = whole(now, ROUND);
                (moved(now, -HALF_DAY)?, moved(now, HALF_DAY)?)
            }
        };
        if from < Timestamp::UNIX_EPOCH {
            return Err(WindowError::OutOfRange(from));
        }
        if to <= from {
            return Err(WindowError::Empty { from, to });
        }
        if to.duration_since(from) > LONGEST_WINDOW {
            return Err(WindowError::TooLong { from, to });
        }
        let start = whole(from, MINUTE);
        let end = whole(to, MINUTE);
        let end = if end < to {
            moved(end, SignedDuration::from_mins(1))?
        } else {
            end
        };
        // The last slot ends up to an hour after the window.
        moved(end, DAY)?;
        Ok(Self {
            from: start,
            to: end,
        })
    }

    /// The start of the window.
    pub const fn from(self) -> Timestamp {
        self.from
    }

    /// The end of the window, which does not belong to it.
    pub const fn to(self) -> Timestamp {
        self.to
    }

    /// Returns `true` if the time is within the window.
    pub fn contains(self, time: Timestamp) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// Number of minutes of the window.
    pub(super) fn minutes(self) -> usize {
        let seconds = self.to.as_second() - self.from.as_second();
        usize::try_from(seconds / MINUTE).unwrap_or_default()
    }

    /// The slots in which starts are counted: of the shortest length with which
    /// there are few enough. A slot begins at a multiple of its length.
    pub(super) fn slots(self) -> Slots {
        let of = |minutes: i64| {
            let seconds = minutes * MINUTE;
            let start = self.from.as_second().div_euclid(seconds) * seconds;
            let count = (self.to.as_second() - start + seconds - 1) / seconds;
            Slots {
                start,
                seconds,
                count,
            }
        };
        let longest = of(SLOT_MINUTES[SLOT_MINUTES.len() - 1]);
        let mut all = SLOT_MINUTES.iter().map(|minutes| of(*minutes));
        all.find(|slots| slots.count <= SLOTS).unwrap_or(longest)
    }
}

/// The last multiple of a number of seconds up to a time.
fn whole(time: Timestamp, seconds: i64) -> Timestamp {
    let whole = time.as_second().div_euclid(seconds) * seconds;
    Timestamp::from_second(whole).unwrap_or(time)
}

/// Spans of equal length that cover a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    /// Start of the first slot, in seconds since the epoch.
    pub(super) start: i64,
    /// Length of a slot, in seconds.
    pub(super) seconds: i64,
    count: i64,
}

impl Slots {
    /// Number of slots.
    pub(super) fn len(self) -> usize {
        usize::try_from(self.count).unwrap_or_default()
    }

    /// The number of the slot that contains a second.
    pub(super) fn index(self, second: i64) -> Option<usize> {
        let index = (second - self.start).div_euclid(self.seconds);
        (0..self.count)
            .contains(&index)
            .then(|| usize::try_from(index).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_has_12_hours_on_each_side_of_the_present_or_a_day() {
        let now = at("2026-03-02T12:04:30.5Z");
        let (early, late) = (at("2026-03-01T00:00:00Z"), at("2026-03-05T00:00:00Z"));
        let ends = |from, to| {
            let window = Window::new(from, to, now).unwrap();
            format!("{} {}", window.from(), window.to())
        };
        let day = "2026-03-02T00:00:00Z 2026-03-03T00:00:00Z";
        assert_eq!(ends(None, None), day);
        let first = "2026-03-01T00:00:00Z 2026-03-02T00:00:00Z";
        assert_eq!(ends(Some(early), None), first);
        let last = "2026-03-04T00:00:00Z 2026-03-05T00:00:00Z";
        assert_eq!(ends(None, Some(late)), last);
        // Whole minutes, outward.
        let odd = ends(
            Some(at("2026-03-01T00:00:59.9Z")),
            Some(at("2026-03-01T00:01:00.1Z")),
        );
        assert_eq!(odd, "2026-03-01T00:00:00Z 2026-03-01T00:02:00Z");
    }

    #[test]
    fn a_window_is_not_empty_and_not_longer_than_eight_days() {
        let now = at("2026-03-02T12:00:00Z");
        let error = |from: &str, to: &str| {
            let ends = (Some(at(from)), Some(at(to)));
            Window::new(ends.0, ends.1, now).unwrap_err().to_string()
        };
        let (first, ninth) = ("2026-03-01T00:00:00Z", "2026-03-09T00:00:00Z");
        assert!(Window::new(Some(at(first)), Some(at(ninth)), now).is_ok());
        insta::assert_snapshot!(error(first, "2026-03-09T00:00:00.000000001Z"), @"2026-03-01T00:00:00Z to 2026-03-09T00:00:00.000000001Z is longer than 8 days");
        insta::assert_snapshot!(error(first, first), @"2026-03-01T00:00:00Z is not after 2026-03-01T00:00:00Z");
        for edge in [Timestamp::MIN, Timestamp::MAX] {
            for ends in [(Some(edge), None), (None, Some(edge))] {
                let error = Window::new(ends.0, ends.1, now).unwrap_err();
                assert!(matches!(error, WindowError::OutOfRange(_)), "{error}");
            }
        }
        let first = Timestamp::UNIX_EPOCH;
        assert!(Window::new(Some(first), None, now).is_ok());
        insta::assert_snapshot!(error("1969-12-31T23:59:59.9Z", "1970-01-01T00:00:00Z"), @"1969-12-31T23:59:59.9Z is outside of the years that can be shown");
        insta::assert_snapshot!(error("-000100-01-01T00:00:00Z", "-000100-01-02T00:00:00Z"), @"-000100-01-01T00:00:00Z is outside of the years that can be shown");
    }

    #[test]
    fn slots_are_few_and_begin_at_multiples_of_their_length() {
        let of = |from: &str, to: &str| {
            let now = Timestamp::UNIX_EPOCH;
            let window = Window::new(Some(at(from)), Some(at(to)), now).unwrap();
            let slots = window.slots();
            let start = Timestamp::from_second(slots.start).unwrap();
            (start.to_string(), slots.seconds / 60, slots.len())
        };
        for (from, to, start, minutes, count) in [
            (
                "2026-03-01T00:03:00Z",
                "2026-03-01T03:03:00Z",
                "2026-03-01T00:03:00Z",
                1,
                180,
            ),
            (
                "2026-03-01T00:03:00Z",
                "2026-03-02T00:03:00Z",
                "2026-03-01T00:00:00Z",
                5,
                289,
            ),
            (
                "2026-03-01T00:03:00Z",
                "2026-03-08T00:03:00Z",
                "2026-03-01T00:00:00Z",
                60,
                169,
            ),
            (
                "2026-03-01T00:30:00Z",
                "2026-03-09T00:30:00Z",
                "2026-03-01T00:00:00Z",
                60,
                193,
            ),
        ] {
            assert_eq!(of(from, to), (start.to_owned(), minutes, count));
        }
        let now = at("2026-03-01T00:00:00Z");
        let slots = Window::new(None, None, now).unwrap().slots();
        assert_eq!(slots.index(slots.start - 1), None);
        assert_eq!(slots.index(slots.start), Some(0));
        assert_eq!(slots.index(slots.start + 24 * 3600), None);
    }
}
