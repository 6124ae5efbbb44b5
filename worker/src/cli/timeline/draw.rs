//! Draws a timeline: an axis, the density of starts, and one line for each lane.

use almanac_activities::schedules::view::ScheduleState;
use almanac_activities::timeline::{Gap, GapCause, Lane, RunStatus, TimelineOverview, TimelineRun};
use almanac_base::text;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::list::tone;
use super::Shown;
use super::axis::Axis;
use super::summary::{moment, span_of_time};
use crate::console::{Cell, Page, Tone, cut};

/// Minimum number of columns of the axis.
const LEAST_COLUMNS: usize = 24;
/// Maximum number of columns of the names.
const NAME_COLUMNS: usize = 32;
/// Minimum number of columns of the names.
const LEAST_NAME_COLUMNS: usize = 8;
/// The bars of the density, the lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Mark of the present.
const NOW: char = '│';
/// Mark of the columns that have a label.
const GUIDE: char = '·';
/// Mark of a run between its start and its end.
const DURING: char = '━';
/// Name of the line with the density.
const DENSITY: &str = "starts a minute";

/// A mark of a lane. If several are in one column, the last of these counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    ToCome,
    Completed,
    Canceled,
    Skipped,
    Running,
    Missed,
    Failed,
}

impl Mark {
    const ALL: [Self; 7] = [
        Self::Completed,
        Self::Failed,
        Self::Running,
        Self::Canceled,
        Self::Missed,
        Self::Skipped,
        Self::ToCome,
    ];

    const fn glyph(self) -> char {
        match self {
            Self::ToCome => '○',
            Self::Completed => '■',
            Self::Canceled => '□',
            Self::Skipped => '~',
            Self::Running => '►',
            Self::Missed => '!',
            Self::Failed => '✗',
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::ToCome => "to come",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Skipped => "an earlier run had not ended",
            Self::Running => "running",
            Self::Missed => "due, not started",
            Self::Failed => "failed",
        }
    }

    const fn tone(self) -> Option<Tone> {
        match self {
            Self::ToCome => None,
            Self::Completed => Some(Tone::Good),
            Self::Canceled | Self::Skipped | Self::Missed => Some(Tone::Caution),
            Self::Running => Some(Tone::Strong),
            Self::Failed => Some(Tone::Bad),
        }
    }

    const fn of_run(status: RunStatus) -> Self {
        match status {
            RunStatus::Running | RunStatus::Paused => Self::Running,
            RunStatus::Completed | RunStatus::ContinuedAsNew => Self::Completed,
            RunStatus::Failed | RunStatus::TimedOut | RunStatus::Terminated => Self::Failed,
            RunStatus::Canceled | RunStatus::Unknown => Self::Canceled,
        }
    }

    const fn of_gap(gap: &Gap) -> Self {
        match gap.cause {
            Some(GapCause::Overlap | GapCause::Waiting) => Self::Skipped,
            Some(GapCause::CatchupWindow | GapCause::Buffer) | None => Self::Missed,
        }
    }
}

/// A column of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Column {
    glyph: Option<char>,
    tone: Option<Tone>,
    mark: Option<Mark>,
    /// The mark whose place in the order counts.
    rank: Option<Mark>,
}

/// Returns `true` if a lane has nothing to draw.
pub(super) fn is_empty(lane: &Lane) -> bool {
    lane.runs.is_empty() && lane.gaps.is_empty() && lane.expected.is_empty() && lane.band.is_none()
}

/// Draws the lanes that have something in the window, with a legend.
pub(super) fn draw(shown: &Shown, width: usize, zone: &TimeZone, page: &mut Page) {
    let overview = &shown.overview;
    let lanes: Vec<_> = shown.lanes.iter().filter(|lane| !is_empty(lane)).collect();
    let names = lanes.iter().map(|lane| text::width(name(lane)));
    let most = NAME_COLUMNS.min(width / 3);
    let least = text::width(DENSITY).min(most).max(LEAST_NAME_COLUMNS);
    let names = names
        .max()
        .unwrap_or_default()
        .clamp(least, most.max(least));
    let states = lanes.iter().map(|lane| state(lane).len());
    let states = states.max().unwrap_or_default();
    let state_room = if states == 0 { 0 } else { states + 1 };
    let columns = width
        .saturating_sub(names + 1 + state_room)
        .max(LEAST_COLUMNS);
    let axis = Axis::new(overview, columns, zone);
    let drawing = Drawing {
        overview,
        now: axis.column(overview.now),
        axis: &axis,
        zone,
        names,
    };
    drawing.head(page);
    let mut seen = Vec::new();
    for lane in lanes {
        drawing.lane(lane, &mut seen, page);
    }
    page.line("");
    drawing.legend(&seen, width, page);
}

struct Drawing<'a> {
    overview: &'a TimelineOverview,
    axis: &'a Axis,
    zone: &'a TimeZone,
    /// The column of the present.
    now: Option<usize>,
    /// Width of the names.
    names: usize,
}

impl Drawing<'_> {
    /// The window, the labels of the axis, the present, and the density.
    fn head(&self, page: &mut Page) {
        let span = span_of_time(self.overview.from, self.overview.to, self.zone);
        let zone = match self.zone.iana_name() {
            Some(name) => name.to_owned(),
            // A machine without a zone has UTC.
            None => format!("UTC{}", self.zone.to_offset(self.overview.now)),
        };
        let zone = zone.strip_suffix("+00").unwrap_or(&zone);
        page.cut_cells([format!("{span}, {zone}").into()]);
        page.line("");
        let mut labels = String::new();
        for (column, label) in &self.axis.labels {
            let gap = column - text::width(&labels);
            labels.extend(std::iter::repeat_n(' ', gap));
            labels += label;
        }
        self.row("", [Cell::toned(Tone::Muted, labels)], page);
        if let Some(now) = self.now {
            let time = self.overview.now.to_zoned(self.zone.clone());
            let time = time.strftime("now %H:%M").to_string();
            let text = match now.checked_sub(time.len() + 1) {
                Some(before) => format!("{}{time} ▼", " ".repeat(before)),
                None => format!("{}▼ {time}", " ".repeat(now)),
            };
            self.row("", [Cell::toned(Tone::Strong, text)], page);
        }
        self.density(page);
    }

    /// The busiest minute of each column.
    fn density(&self, page: &mut Page) {
        let overview = self.overview;
        let mut busiest = vec![0_u32; self.axis.columns];
        for (slot, count) in overview.density.busiest.iter().enumerate() {
            for column in self.slot(slot) {
                busiest[column] = busiest[column].max(*count);
            }
        }
        let most = busiest.iter().copied().max().unwrap_or_default();
        let bar = |count: u32| match count {
            0 => ' ',
            _ => BARS[(count * 8).div_ceil(most.max(1)) as usize - 1],
        };
        let bars: Vec<char> = busiest.into_iter().map(bar).collect();
        let is_coming = overview.now < overview.from;
        let split = self.now.unwrap_or(if is_coming { 0 } else { bars.len() });
        let (past, future) = bars.split_at(split.min(bars.len()));
        let past = Cell::from(past.iter().collect::<String>());
        let future = Cell::toned(Tone::Muted, future.iter().collect::<String>());
        self.row(DENSITY, [past, future], page);
    }

    /// The columns of a slot.
    fn slot(&self, slot: usize) -> std::ops::RangeInclusive<usize> {
        let overview = self.overview;
        let slot = i64::try_from(slot).unwrap_or_default();
        let start = overview.slots_from.as_second() + slot * overview.slot_seconds;
        let time = |second: i64| Timestamp::from_second(second).unwrap_or(overview.to);
        let last = start + overview.slot_seconds - 1;
        self.axis.nearest(time(start))..=self.axis.nearest(time(last))
    }

    fn lane(&self, lane: &Lane, seen: &mut Vec<Mark>, page: &mut Page) {
        let mut columns = vec![Column::default(); self.axis.columns];
        for (column, _) in &self.axis.labels {
            columns[*column].glyph = Some(GUIDE);
            columns[*column].tone = Some(Tone::Muted);
        }
        if let Some(now) = self.now {
            columns[now].glyph = Some(NOW);
            columns[now].tone = Some(Tone::Strong);
        }
        let mut set = |column: usize, mark: Mark, glyph: char| {
            // A mark is not hidden by the rest of another run.
            let rank = if glyph == DURING { Mark::ToCome } else { mark };
            let place = &mut columns[column];
            if place.rank < Some(rank) {
                *place = Column {
                    glyph: Some(glyph),
                    tone: mark.tone(),
                    mark: Some(mark),
                    rank: Some(rank),
                };
            }
        };
        let times = lane.expected.iter();
        for column in times.filter_map(|time| self.axis.column(*time)) {
            set(column, Mark::ToCome, Mark::ToCome.glyph());
        }
        if let Some(band) = &lane.band {
            let counts = band.starts.iter().zip(&band.failures).zip(&band.expected);
            for (slot, ((starts, failures), expected)) in counts.enumerate() {
                let marks = [
                    (*expected, Mark::ToCome),
                    (*starts, Mark::Completed),
                    (*failures, Mark::Failed),
                ];
                for (_, mark) in marks.into_iter().filter(|(count, _)| *count > 0) {
                    for column in self.slot(slot) {
                        set(column, mark, mark.glyph());
                    }
                }
            }
        }
        for run in &lane.runs {
            self.run(run, &mut set);
        }
        for gap in &lane.gaps {
            if let Some(column) = self.axis.column(gap.due) {
                let mark = Mark::of_gap(gap);
                set(column, mark, mark.glyph());
            }
        }
        for mark in columns.iter().filter_map(|column| column.mark) {
            if !seen.contains(&mark) {
                seen.push(mark);
            }
        }
        let words = self.next(lane);
        let name = name(lane);
        let mut cells = cells(&columns, self.now, words.as_deref());
        let state = state(lane);
        if !state.is_empty() {
            cells.push(" ".into());
            cells.push(Cell::toned(tone(lane.schedule.state), state));
        }
        self.row(name, cells, page);
    }

    /// Draws a run from its start to its end, or to the present.
    fn run(&self, run: &TimelineRun, set: &mut impl FnMut(usize, Mark, char)) {
        let end = run.ended.unwrap_or(self.overview.now);
        if end < self.overview.from || run.started >= self.overview.to {
            return;
        }
        let mark = Mark::of_run(run.status);
        let (first, last) = (self.axis.nearest(run.started), self.axis.nearest(end));
        for column in first..last {
            set(column, mark, DURING);
        }
        set(last.max(first), mark, mark.glyph());
    }

    /// The next run of a lane that has none in the window.
    fn next(&self, lane: &Lane) -> Option<String> {
        let next = lane.schedule.next_run?;
        (lane.expected.is_empty() && lane.band.is_none() && next >= self.overview.to)
            .then(|| format!("next {}", moment(next, self.zone)))
    }

    /// A line with a name.
    fn row(&self, name: &str, cells: impl IntoIterator<Item = Cell>, page: &mut Page) {
        let name = cut(name, self.names);
        let padding = self.names.saturating_sub(text::width(&name)) + 1;
        let name = Cell::from(format!("{name}{}", " ".repeat(padding)));
        let mut cells: Vec<_> = std::iter::once(name).chain(cells).collect();
        // Nothing is left behind the last mark.
        while let Some(last) = cells.last_mut() {
            last.trim_end();
            if !last.is_empty() {
                break;
            }
            cells.pop();
        }
        page.cells(cells);
    }

    /// The marks that the drawing has, with their meanings.
    fn legend(&self, seen: &[Mark], width: usize, page: &mut Page) {
        let marks = Mark::ALL.into_iter().filter(|mark| seen.contains(mark));
        let marks = marks.map(|mark| (mark.glyph(), mark.words(), mark.tone()));
        let now = self.now.map(|_| (NOW, "now", Some(Tone::Strong)));
        let (mut line, mut used): (Vec<Cell>, usize) = (Vec::new(), 0);
        for (glyph, words, tone) in marks.chain(now) {
            let glyph = glyph.to_string();
            let taken = text::width(&glyph) + 1 + text::width(words);
            if used > 0 && used + 3 + taken > width {
                page.cells(std::mem::take(&mut line));
                used = 0;
            }
            if used > 0 {
                line.push("   ".into());
                used += 3;
            }
            line.push(match tone {
                Some(tone) => Cell::toned(tone, glyph),
                None => glyph.into(),
            });
            line.push(format!(" {words}").into());
            used += taken;
        }
        page.cells(line);
    }
}

fn name(lane: &Lane) -> &str {
    lane.schedule.definition.as_str()
}

/// The state of a lane in one word; empty for an active schedule.
fn state(lane: &Lane) -> &'static str {
    match lane.schedule.state {
        ScheduleState::Active => "",
        state => state.as_str(),
    }
}

/// The columns as parts of equal tone. `words` are written after the present, where nothing
/// is drawn.
fn cells(columns: &[Column], now: Option<usize>, words: Option<&str>) -> Vec<Cell> {
    let mut columns: Vec<_> = columns
        .iter()
        .map(|column| (column.glyph.unwrap_or(' '), column.tone))
        .collect();
    if let Some(words) = words {
        let start = now.map_or(0, |now| now + 2);
        let words: Vec<char> = words.chars().collect();
        if let Some(room) = columns.get_mut(start..start + words.len()) {
            for (place, letter) in room.iter_mut().zip(words) {
                *place = (letter, Some(Tone::Muted));
            }
        }
    }
    let mut cells = Vec::new();
    for part in columns.chunk_by(|a, b| a.1 == b.1) {
        let text: String = part.iter().map(|(glyph, _)| glyph).collect();
        cells.push(match part[0].1 {
            Some(tone) => Cell::toned(tone, text),
            None => text.into(),
        });
    }
    cells
}
