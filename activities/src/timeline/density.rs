//! Starts by minute, and what follows from them: slots, the busiest minute and
//! free spans.

use jiff::Timestamp;

use super::model::{BusyMinute, Density, FreeSpan};
use super::window::{MINUTE, Slots, Window};

/// Minimum length of a free span, in minutes.
const FREE_MINUTES: usize = 10;
/// Maximum number of free spans.
const FREE_SPANS: usize = 5;

/// The starts of each minute of a window.
#[derive(Debug)]
pub(super) struct Minutes {
    window: Window,
    starts: Vec<u32>,
    expected: Vec<u32>,
    gaps: Vec<bool>,
}

impl Minutes {
    pub(super) fn new(window: Window) -> Self {
        let count = window.minutes();
        Self {
            window,
            starts: vec![0; count],
            expected: vec![0; count],
            gaps: vec![false; count],
        }
    }

    fn index(&self, time: Timestamp) -> Option<usize> {
        let seconds = time.as_second() - self.window.from().as_second();
        self.window
            .contains(time)
            .then(|| usize::try_from(seconds / MINUTE).ok())
            .flatten()
    }

    /// Adds a run that started.
    pub(super) fn start(&mut self, time: Timestamp) {
        if let Some(count) = self.index(time).and_then(|at| self.starts.get_mut(at)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds starts that are to come at a time.
    pub(super) fn expect(&mut self, time: Timestamp, starts: u32) {
        if let Some(count) = self.index(time).and_then(|at| self.expected.get_mut(at)) {
            *count = count.saturating_add(starts);
        }
    }

    /// Marks a minute in which a start was due.
    pub(super) fn gap(&mut self, time: Timestamp) {
        if let Some(is_gap) = self.index(time).and_then(|at| self.gaps.get_mut(at)) {
            *is_gap = true;
        }
    }

    fn second(&self, minute: usize) -> i64 {
        let minute = i64::try_from(minute).unwrap_or_default();
        self.window.from().as_second() + minute * MINUTE
    }

    fn time(&self, minute: usize) -> Timestamp {
        Timestamp::from_second(self.second(minute)).unwrap_or(self.window.to())
    }

    fn sums(&self) -> impl Iterator<Item = u32> {
        let pairs = self.starts.iter().zip(&self.expected);
        pairs.map(|(starts, expected)| starts.saturating_add(*expected))
    }

    /// The counts by slot.
    pub(super) fn density(&self, slots: Slots) -> Density {
        let mut density = Density {
            starts: vec![0; slots.len()],
            expected: vec![0; slots.len()],
            busiest: vec![0; slots.len()],
        };
        for (minute, sum) in self.sums().enumerate() {
            let Some(slot) = slots.index(self.second(minute)) else {
                continue;
            };
            let add = |to: &mut u32, count: u32| *to = to.saturating_add(count);
            add(&mut density.starts[slot], self.starts[minute]);
            add(&mut density.expected[slot], self.expected[minute]);
            density.busiest[slot] = density.busiest[slot].max(sum);
        }
        density
    }

    /// The first minute with the most starts.
    pub(super) fn busiest(&self) -> Option<BusyMinute> {
        let mut busiest: Option<BusyMinute> = None;
        for (minute, starts) in self.sums().enumerate() {
            if starts > busiest.map_or(0, |one| one.starts) {
                let at = self.time(minute);
                busiest = Some(BusyMinute { at, starts });
            }
        }
        busiest
    }

    /// The longest spans without any start between two times.
    pub(super) fn free(&self, from: Timestamp, to: Timestamp) -> Vec<FreeSpan> {
        let mut spans = Vec::new();
        let mut first = None;
        let mut end = |first: usize, minute: usize| {
            if minute - first >= FREE_MINUTES {
                spans.push((minute - first, first));
            }
        };
        for (minute, sum) in self.sums().enumerate() {
            let is_known = from <= self.time(minute) && self.time(minute + 1) <= to;
            let is_free = is_known && sum == 0 && !self.gaps[minute];
            match first {
                None if is_free => first = Some(minute),
                Some(start) if !is_free => {
                    end(start, minute);
                    first = None;
                }
                _ => {}
            }
        }
        if let Some(start) = first {
            end(start, self.starts.len());
        }
        // Equal spans stay in the order of their starts.
        spans.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        spans.truncate(FREE_SPANS);
        let spans = spans.into_iter().map(|(length, first)| FreeSpan {
            from: self.time(first),
            to: self.time(first + length),
        });
        spans.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-01T{text}Z").parse().unwrap()
    }

    fn minutes() -> Minutes {
        let ends = (Some(at("00:03:00")), Some(at("06:03:00")));
        let window = Window::new(ends.0, ends.1, Timestamp::UNIX_EPOCH).unwrap();
        Minutes::new(window)
    }

    #[test]
    fn starts_are_counted_by_slot_with_its_busiest_minute() {
        let mut minutes = minutes();
        for time in ["00:02:59", "00:03:00", "00:04:10", "00:04:59.9", "06:03:00"] {
            minutes.start(at(time));
        }
        minutes.expect(at("00:04:00"), 5);
        minutes.expect(at("06:02:59"), 4);
        let slots = minutes.window.slots();
        let density = minutes.density(slots);
        assert_eq!((slots.seconds, density.starts.len()), (120, 181));
        assert_eq!(density.starts[..3], [1, 2, 0]);
        assert_eq!(density.expected[..3], [0, 5, 0]);
        assert_eq!(density.busiest[..3], [1, 7, 0]);
        assert_eq!(density.expected.last(), Some(&4));
        let busiest = minutes.busiest().unwrap();
        assert_eq!((busiest.at, busiest.starts), (at("00:04:00"), 7));
    }

    #[test]
    fn free_spans_are_the_longest_without_a_start_or_a_gap() {
        let mut minutes = minutes();
        minutes.start(at("01:00:30"));
        minutes.expect(at("01:09:00"), 1);
        minutes.expect(at("04:00:00"), 1);
        minutes.gap(at("04:30:00"));
        let free = |from: &str, to: &str| {
            let spans = minutes.free(at(from), at(to)).into_iter();
            let spans = spans.map(|span| {
                let time = |time: Timestamp| time.strftime("%H:%M").to_string();
                format!("{}-{}", time(span.from), time(span.to))
            });
            spans.collect::<Vec<_>>().join(" ")
        };
        let all = "01:10-04:00 04:31-06:03 00:03-01:00 04:01-04:30";
        assert_eq!(free("00:00:00", "07:00:00"), all);
        // A span is free only where everything is known.
        assert_eq!(free("00:50:30", "04:20:00"), "01:10-04:00 04:01-04:20");
        assert_eq!(free("00:51:00", "01:09:00"), "");
    }

    #[test]
    fn there_are_at_most_five_free_spans() {
        let mut minutes = minutes();
        for hour in 0..6 {
            minutes.expect(at(&format!("0{hour}:30:00")), 1);
        }
        assert_eq!(
            minutes.free(at("00:00:00"), at("07:00:00")).len(),
            FREE_SPANS
        );
    }
}
