//! Runs of schedules, read from visibility.
//!
//! Visibility lists the runs that have not ended first, then the others by
//! their ends. So a part of a list is no span of time. If there are too many
//! runs, they are counted, and the latest span with few enough of them is read.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;

use super::model::{RunCounts, RunStatus, TimelineRun};
use super::window::Window;
use crate::payload::decode_json;
use crate::schedules::wire::decode_time;
use crate::schedules::{RequestError, Schedules};

/// Number of runs on a page of a list.
const PAGE: u64 = 1000;
/// Number of pages that are read beyond those of the counted runs: some runs may start while
/// they are read.
const MORE_PAGES: u64 = 2;
/// Maximum number of pages of runs that started before the window.
const EARLIER_PAGES: usize = 2;
/// Maximum number of counts in the search for a span with few enough runs.
const COUNTS: usize = 16;
/// Maximum number of schedules that a query names.
const NAMED: usize = 50;

/// The search attributes of a run that a schedule started.
const BY_ID: &str = "TemporalScheduledById";
const DUE: &str = "TemporalScheduledStartTime";

/// The runs of a window, by the position of their schedule.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) by_lane: Vec<Vec<TimelineRun>>,
    pub(super) counts: RunCounts,
    /// Time from which on all runs are known. `None` if the window is in the
    /// future.
    pub(super) from: Option<Timestamp>,
}

/// The schedules whose runs are read, in the order of the lanes.
#[derive(Debug)]
pub(super) struct LaneIds<'a> {
    /// Prefix of the ids.
    pub(super) prefix: &'a str,
    /// The ids; `None` for an unmanaged schedule.
    pub(super) ids: Vec<Option<&'a str>>,
}

impl LaneIds<'_> {
    /// The visibility query for the runs of these schedules. A query that names
    /// no schedules finds those of other owners with the same prefix too.
    /// `None` if there are no schedules.
    fn query(&self) -> Option<String> {
        let known = self.ids.iter().flatten();
        match known.clone().count() {
            0 => None,
            count if count <= NAMED => {
                let known: Vec<_> = known.copied().collect();
                Some(named(&known))
            }
            _ => Some(format!("{BY_ID} STARTS_WITH '{}'", self.prefix)),
        }
    }
}

/// The visibility query for the runs of these schedules.
pub(super) fn named(ids: &[&str]) -> String {
    let quoted: Vec<_> = ids.iter().map(|id| format!("'{id}'")).collect();
    format!("{BY_ID} IN ({})", quoted.join(", "))
}

/// Reads the runs of schedules within a window: at most `limit` that started in
/// it.
pub(super) async fn read(
    schedules: &Schedules,
    lanes: &LaneIds<'_>,
    window: Window,
    now: Timestamp,
    limit: u64,
) -> Result<Runs, RequestError> {
    let mut runs = Runs {
        by_lane: vec![Vec::new(); lanes.ids.len()],
        ..Runs::default()
    };
    if window.from() >= now {
        return Ok(runs);
    }
    runs.from = Some(window.from());
    let Some(query) = lanes.query() else {
        return Ok(runs);
    };
    let to = window.to();
    let since =
        |from: Timestamp| format!("{query} AND StartTime >= '{from}' AND StartTime < '{to}'");
    let found = schedules.count_by_status(&since(window.from())).await?;
    let mut from = window.from();
    if found.values().sum::<u64>() > limit {
        let total = found.values().sum();
        from = latest_span(schedules, since, (window.from(), to.min(now)), total, limit).await?;
        runs.counts.truncated = true;
        runs.counts.found = found
            .into_iter()
            .map(|(status, count)| (snake_case(&status), count))
            .collect();
    }
    let mut reader = LaneReader {
        lanes: lanes
            .ids
            .iter()
            .enumerate()
            .filter_map(|(lane, id)| Some(((*id)?, lane)))
            .collect(),
        by_lane: &mut runs.by_lane,
    };
    let within = since(from);
    let pages = usize::try_from(limit.div_ceil(PAGE) + MORE_PAGES).unwrap_or(usize::MAX);
    let more = schedules.each_workflow(&within, pages, |info| reader.take(&info));
    let is_cut = more.await?;
    // A run belongs to the window if it has not ended before it.
    let running = "ExecutionStatus = 'Running'";
    let open = if runs.counts.truncated {
        running.to_owned()
    } else {
        format!("(CloseTime >= '{from}' OR {running})")
    };
    let earlier = format!("{query} AND StartTime < '{from}' AND {open}");
    let more = schedules.each_workflow(&earlier, EARLIER_PAGES, |info| reader.take(&info));
    let lacks_earlier = more.await?;
    runs.counts.truncated |= is_cut || lacks_earlier;
    runs.from = Some(if is_cut { now } else { from });
    for lane in &mut runs.by_lane {
        joined(lane);
        runs.counts.read += lane.len() as u64;
    }
    Ok(runs)
}

/// The start of the latest span with at most `limit` of the runs. `total` runs
/// started between the two times.
async fn latest_span(
    schedules: &Schedules,
    since: impl Fn(Timestamp) -> String,
    (mut early, end): (Timestamp, Timestamp),
    total: u64,
    limit: u64,
) -> Result<Timestamp, RequestError> {
    let mut late = end;
    // The first guess: runs start evenly.
    let share = |span: SignedDuration| {
        let milliseconds = span.as_millis() * i128::from(limit) / i128::from(total.max(1));
        SignedDuration::from_millis(i64::try_from(milliseconds * 9 / 10).unwrap_or_default())
    };
    let mut guess = end - share(end.duration_since(early));
    for _ in 0..COUNTS {
        let count = schedules.count_workflows(since(guess)).await?;
        if count <= limit {
            late = guess;
        } else {
            early = guess;
        }
        let span = late.duration_since(early);
        if count <= limit && count >= limit / 2 || span <= SignedDuration::from_secs(1) {
            break;
        }
        guess = early + span / 2;
    }
    Ok(late)
}

/// `TimedOut` becomes `timed_out`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Sorts listed runs to their lanes.
pub(super) struct LaneReader<'a> {
    lanes: BTreeMap<&'a str, usize>,
    by_lane: &'a mut Vec<Vec<TimelineRun>>,
}

impl<'a> LaneReader<'a> {
    /// A reader of the runs of these schedules.
    pub(super) fn new(ids: &[&'a str], by_lane: &'a mut Vec<Vec<TimelineRun>>) -> Self {
        let lanes = ids.iter().enumerate().map(|(place, id)| (*id, place));
        Self {
            lanes: lanes.collect(),
            by_lane,
        }
    }

    /// Takes a run of one of the schedules; leaves out the others.
    pub(super) fn take(&mut self, info: &WorkflowExecutionInfo) {
        let attributes = info.search_attributes.as_ref();
        let attribute = |name: &str| {
            let payload = attributes?.indexed_fields.get(name)?;
            match decode_json(payload) {
                Value::String(text) => Some(text),
                _ => None,
            }
        };
        let Some(lane) = attribute(BY_ID).and_then(|id| self.lanes.get(id.as_str())) else {
            return;
        };
        let Some(started) = info.start_time.as_ref().and_then(decode_time) else {
            return;
        };
        let execution = info.execution.clone().unwrap_or_default();
        self.by_lane[*lane].push(TimelineRun {
            due: attribute(DUE).and_then(|due| due.parse().ok()),
            started,
            ended: info.close_time.as_ref().and_then(decode_time),
            status: RunStatus::of(info.status()),
            workflow_id: execution.workflow_id.into(),
            run_id: execution.run_id.into(),
        });
    }
}

/// Sorts runs by their starts, and joins the executions of a run that continued
/// as new. An execution that two lists gave counts once.
pub(super) fn joined(runs: &mut Vec<TimelineRun>) {
    runs.sort_by(|a, b| (a.started, &a.run_id).cmp(&(b.started, &b.run_id)));
    runs.dedup_by(|a, b| a.run_id == b.run_id && a.workflow_id == b.workflow_id);
    let mut open: BTreeMap<Box<str>, usize> = BTreeMap::new();
    let mut joined: Vec<TimelineRun> = Vec::with_capacity(runs.len());
    for run in runs.drain(..) {
        let first = open.get(&run.workflow_id).copied();
        let at = if let Some(first) = first {
            let earlier = &mut joined[first];
            earlier.ended = run.ended;
            earlier.status = run.status;
            earlier.run_id = run.run_id;
            first
        } else {
            joined.push(run);
            joined.len() - 1
        };
        let last = &joined[at];
        if last.status == RunStatus::ContinuedAsNew {
            open.insert(last.workflow_id.clone(), at);
        } else {
            open.remove(&last.workflow_id);
        }
    }
    *runs = joined;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        id: &str,
        execution: &str,
        started: i64,
        ended: Option<i64>,
        status: RunStatus,
    ) -> TimelineRun {
        let at = |second| Timestamp::from_second(second).unwrap();
        TimelineRun {
            due: Some(at(started)),
            started: at(started),
            ended: ended.map(at),
            status,
            workflow_id: id.into(),
            run_id: execution.into(),
        }
    }

    #[test]
    fn the_executions_of_a_run_are_one_run_and_none_counts_twice() {
        use RunStatus::{Completed, ContinuedAsNew, Failed, Running};
        let mut runs = vec![
            run("b", "b1", 5, Some(6), Failed),
            run("a", "a2", 20, Some(30), ContinuedAsNew),
            run("a", "a1", 10, Some(20), ContinuedAsNew),
            run("a", "a3", 30, None, Running),
            run("b", "b1", 5, Some(6), Failed),
            // Not an execution of the run before: that one had failed.
            run("b", "b2", 7, Some(8), Completed),
        ];
        joined(&mut runs);
        let expected = [
            run("b", "b1", 5, Some(6), Failed),
            run("b", "b2", 7, Some(8), Completed),
            TimelineRun {
                ended: None,
                status: Running,
                ..run("a", "a3", 10, None, Running)
            },
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn few_schedules_are_named_and_many_are_found_by_their_prefix() {
        let lanes = |ids: Vec<Option<&'static str>>| LaneIds {
            prefix: "schedule-p-",
            ids,
        };
        assert_eq!(lanes(vec![None]).query(), None);
        let few = lanes(vec![Some("schedule-p-a"), None, Some("schedule-p-b")]);
        let named = "TemporalScheduledById IN ('schedule-p-a', 'schedule-p-b')";
        assert_eq!(few.query().as_deref(), Some(named));
        let many = lanes(vec![Some("schedule-p-a"); NAMED + 1]);
        let prefix = "TemporalScheduledById STARTS_WITH 'schedule-p-'";
        assert_eq!(many.query().as_deref(), Some(prefix));
        assert_eq!(snake_case("TimedOut"), "timed_out");
    }
}
