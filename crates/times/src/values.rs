//! The values that one field of a calendar matches, as a set of bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TimesError;

/// A set of whole numbers from `MIN` to `MAX`, both included.
///
/// The text of a set is canonical: `*` for all values, else ascending values and ranges such
/// as `1-5,10-50/10`. The text of the empty set is empty; no text of the server's dialect
/// means the empty set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Values<const MIN: u16, const MAX: u16>(u128);

/// Values from 0 to 59, for seconds and minutes.
pub type Sixty = Values<0, 59>;
/// Values from 0 to 23.
pub type Hours = Values<0, 23>;
/// Values from 1 to 31.
pub type DaysOfMonth = Values<1, 31>;
/// Values from 1 to 12.
pub type Months = Values<1, 12>;
/// Years that the server knows. A set of all years means the same as "any year".
pub type Years = Values<2000, 2100>;
/// Values from 0 (Sunday) to 6.
pub type DaysOfWeek = Values<0, 6>;

/// A range of a structured calendar as the server sends and receives it: `start`,
/// `start + step` and so on, up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First value of the range.
    pub start: i32,
    /// Last value that may match. If it is below `start`, the server uses `start`.
    pub end: i32,
    /// Distance between two values. For 0, the server uses 1.
    pub step: i32,
}

impl<const MIN: u16, const MAX: u16> Values<MIN, MAX> {
    /// The set of all values.
    pub const ALL: Self = Self(u128::MAX >> (127 - (MAX - MIN)));
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set of `value` alone; the empty set if `value` is out of range.
    pub fn only(value: u16) -> Self {
        let mut values = Self::NONE;
        values.insert(value);
        values
    }

    /// Adds `value`, unless it is out of range.
    pub fn insert(&mut self, value: u16) {
        if (MIN..=MAX).contains(&value) {
            self.0 |= 1 << (value - MIN);
        }
    }

    /// Returns `true` if the set contains `value`.
    pub fn contains(self, value: u16) -> bool {
        (MIN..=MAX).contains(&value) && self.0 & (1 << (value - MIN)) != 0
    }

    /// Returns `true` if the set contains every value.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Returns `true` if the set contains no value.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The set as bits: bit n for the value n. Only for sets of values below 128.
    pub(super) fn bits(self) -> u128 {
        self.0 << MIN
    }

    /// The values in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (MIN..=MAX).filter(move |value| self.contains(*value))
    }

    /// The first value that is `from` or more.
    pub fn at_or_after(self, from: u16) -> Option<u16> {
        if from > MAX {
            return None;
        }
        let skipped = from.saturating_sub(MIN);
        let rest = self.0 >> skipped;
        let zeros = u16::try_from(rest.trailing_zeros()).unwrap_or(u16::MAX);
        (rest != 0).then(|| MIN + skipped + zeros)
    }

    /// The set as canonical ranges, ascending and disjoint. Three or more values at the same
    /// distance make one range.
    pub fn ranges(self) -> Vec<Range> {
        let values: Vec<i32> = self.iter().map(i32::from).collect();
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < values.len() {
            let run = run_length(&values[at..]);
            let step = if run > 1 {
                values[at + 1] - values[at]
            } else {
                1
            };
            ranges.push(Range {
                start: values[at],
                end: values[at + run - 1],
                step,
            });
            at += run;
        }
        ranges
    }

    /// The set that the server reads in `ranges`. A value out of range never matches.
    pub fn from_ranges(ranges: &[Range]) -> Self {
        let mut values = Self::NONE;
        for range in ranges {
            let step = i64::from(range.step.max(1));
            let (start, min) = (i64::from(range.start), i64::from(MIN));
            let end = i64::from(range.end.max(range.start)).min(i64::from(MAX));
            let mut value = if start < min {
                start + (min - start + step - 1) / step * step
            } else {
                start
            };
            while value <= end {
                values.insert(u16::try_from(value).unwrap_or(u16::MAX));
                value += step;
            }
        }
        values
    }
}

/// Number of the first values that make one range: 1, or 3 and more at the same distance.
fn run_length(values: &[i32]) -> usize {
    let step = match values {
        [first, second, ..] => second - first,
        _ => return 1,
    };
    let run = 1 + values
        .windows(2)
        .take_while(|pair| pair[1] - pair[0] == step)
        .count();
    if run < 3 { 1 } else { run }
}

impl<const MIN: u16, const MAX: u16> FromIterator<u16> for Values<MIN, MAX> {
    fn from_iter<I: IntoIterator<Item = u16>>(iter: I) -> Self {
        let mut values = Self::NONE;
        iter.into_iter().for_each(|value| values.insert(value));
        values
    }
}

impl<const MIN: u16, const MAX: u16> fmt::Display for Values<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("*");
        }
        for (index, Range { start, end, step }) in self.ranges().into_iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match (start == end, step) {
                (true, _) => write!(f, "{comma}{start}")?,
                (false, 1) => write!(f, "{comma}{start}-{end}")?,
                (false, _) => write!(f, "{comma}{start}-{end}/{step}")?,
            }
        }
        Ok(())
    }
}

impl<const MIN: u16, const MAX: u16> fmt::Debug for Values<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl<const MIN: u16, const MAX: u16> FromStr for Values<MIN, MAX> {
    type Err = TimesError;

    /// Reads the canonical text. Texts that people write are read by
    /// [`super::compile_cron`] and [`super::compile_calendar`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "*" => return Ok(Self::ALL),
            "" => return Ok(Self::NONE),
            _ => {}
        }
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let range = canonical_range(part)
                .filter(|range| range.start >= i32::from(MIN) && range.end <= i32::from(MAX))
                .ok_or_else(|| {
                    TimesError::new(format!("`{part}` is not a range within {MIN} to {MAX}"))
                })?;
            ranges.push(range);
        }
        Ok(Self::from_ranges(&ranges))
    }
}

fn canonical_range(part: &str) -> Option<Range> {
    let (bounds, step) = part.split_once('/').unwrap_or((part, "1"));
    let (start, end) = bounds.split_once('-').unwrap_or((bounds, bounds));
    Some(Range {
        start: start.parse().ok()?,
        end: end.parse().ok()?,
        step: step.parse().ok()?,
    })
}

impl<const MIN: u16, const MAX: u16> Serialize for Values<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const MIN: u16, const MAX: u16> Deserialize<'de> for Values<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_canonical() {
        for (values, text) in [
            (vec![0, 15, 30, 45], "0-45/15"),
            (vec![1, 3, 4, 5], "1,3-5"),
            (vec![1, 2, 4, 6, 8], "1,2-8/2"),
            (vec![7, 8], "7,8"),
            (vec![59, 0], "0,59"),
            (vec![], ""),
            ((0..60).collect(), "*"),
            (vec![70, 3], "3"),
        ] {
            assert_eq!(Sixty::from_iter(values).to_string(), text);
        }
    }

    #[test]
    fn ranges_of_a_live_schedule_are_read_as_the_server_reads_them() {
        let read = |start, end, step| Sixty::from_ranges(&[Range { start, end, step }]).to_string();
        assert_eq!(read(5, 0, 0), "5");
        assert_eq!(read(5, 0, 3), "5");
        assert_eq!(read(0, 59, 0), "*");
        assert_eq!(read(50, i32::MAX, 7), "50,57");
        assert_eq!(read(i32::MIN, i32::MAX, 30), "22,52");
        assert_eq!(read(-5, -1, 1), "");
    }

    #[test]
    fn text_that_is_not_canonical_is_refused() {
        for text in ["60", "1-60", "x", "1-", "-1", "1//2", "1,"] {
            assert!(text.parse::<Sixty>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_ranges_describe_the_whole_set(values in proptest::collection::btree_set(2000_u16..=2100, 0..101)) {
            let set = Years::from_iter(values.clone());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), values.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(Years::from_ranges(&set.ranges()), set);
            prop_assert_eq!(set.to_string().parse::<Years>().unwrap(), set);
            for from in 1999..=2101 {
                prop_assert_eq!(set.at_or_after(from), values.range(from..).next().copied());
            }
        }
    }
}
