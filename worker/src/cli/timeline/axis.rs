//! The time axis of a drawing: its columns and its labels.

use almanac_activities::timeline::TimelineOverview;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Possible distances between two labels, in minutes.
const STEPS: [i64; 11] = [5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440];
/// Distance between two times that may have a label, in seconds.
const GRID: i64 = 300;

/// The axis of a drawing.
#[derive(Debug)]
pub(super) struct Axis {
    from: i64,
    to: i64,
    /// Number of columns.
    pub(super) columns: usize,
    /// Columns that have a label, with the label.
    pub(super) labels: Vec<(usize, String)>,
}

impl Axis {
    /// Creates the axis of a timeline, with its labels in a time zone.
    pub(super) fn new(overview: &TimelineOverview, columns: usize, zone: &TimeZone) -> Self {
        let mut axis = Self {
            from: overview.from.as_second(),
            to: overview.to.as_second(),
            columns,
            labels: Vec::new(),
        };
        axis.labels = axis.label(zone);
        axis
    }

    /// The column of a time. `None` if the time is outside of the axis.
    pub(super) fn column(&self, time: Timestamp) -> Option<usize> {
        let second = time.as_second();
        (self.from..self.to)
            .contains(&second)
            .then(|| self.column_within(second))
    }

    /// The column of a time, or the nearest one.
    pub(super) fn nearest(&self, time: Timestamp) -> usize {
        self.column_within(time.as_second().clamp(self.from, self.to - 1))
    }

    fn column_within(&self, second: i64) -> usize {
        let columns = i64::try_from(self.columns).unwrap_or(i64::MAX);
        let column = (second - self.from) * columns / (self.to - self.from);
        usize::try_from(column).unwrap_or_default()
    }

    /// The labels: hours, and the day at each midnight.
    fn label(&self, zone: &TimeZone) -> Vec<(usize, String)> {
        let seconds = (self.to - self.from).max(1);
        let columns = i64::try_from(self.columns).unwrap_or(1);
        let has_room = |step: &i64| {
            let room = if *step < 60 { 7 } else { 4 };
            columns * step * 60 >= room * seconds
        };
        let step = STEPS.into_iter().find(has_room).unwrap_or(1440);
        let mut labels: Vec<(usize, String)> = Vec::new();
        let first = self.from.div_euclid(GRID) * GRID;
        let grid = (0..).map(|n| first + n * GRID);
        let times = grid
            .take_while(|second| *second < self.to)
            .filter(|second| *second >= self.from)
            .filter_map(|second| Timestamp::from_second(second).ok())
            .map(|time| time.to_zoned(zone.clone()));
        let times: Vec<_> = times
            .filter_map(|time| {
                let minute = i64::from(time.hour()) * 60 + i64::from(time.minute());
                (minute % step == 0).then_some((minute, time))
            })
            .collect();
        // The days first: an hour has a label where they leave room.
        for is_day in [true, false] {
            for (minute, time) in &times {
                if (*minute == 0) != is_day {
                    continue;
                }
                let label = match (is_day, step) {
                    (true, _) => time.strftime("%a %d").to_string(),
                    (false, ..60) => time.strftime("%H:%M").to_string(),
                    (false, _) => time.strftime("%H").to_string(),
                };
                let column = self.nearest(time.timestamp());
                let end = column + label.len();
                let is_free = labels
                    .iter()
                    .all(|(other, text)| end < *other || other + text.len() < column);
                if is_free && end <= self.columns {
                    labels.push((column, label));
                }
            }
        }
        labels.sort();
        labels
    }
}
