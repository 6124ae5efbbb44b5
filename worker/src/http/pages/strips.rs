//! The strips of recent runs beside the rows of the table, read for all pages together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_activities::schedules::view::ScheduleView;
use almanac_activities::timeline::{RECENT, RunStatus, TimelineRun};
use almanac_base::names::ScheduleId;
use jiff::Timestamp;
use maud::{Markup, html};
use tokio::time::{Instant, timeout};

use super::super::Service;
use super::links;
use super::times::Times;
use crate::backend::Backend;
use crate::time_text::precise;

/// Maximum age of a strip whose schedule shows no newer run.
const FRESH: Duration = Duration::from_secs(30);
/// Maximum age of a strip whose schedule shows a newer run, or a run that goes on.
const FRESH_WHILE_CHANGING: Duration = Duration::from_secs(2);
/// Time for which a page waits for its strips. A strip that comes later is on the next page.
const WAIT: Duration = Duration::from_millis(400);
/// Maximum number of strips that are kept.
const KEPT: usize = 2000;
/// Width of a run and height of the strip, in pixels.
const STEP: f64 = 6.0;
const HEIGHT: f64 = 20.0;

/// The recent runs of a schedule.
pub(super) type Runs = Arc<Vec<TimelineRun>>;

/// The last strips.
#[derive(Debug, Default)]
pub(in crate::http) struct Strips {
    strips: Arc<Mutex<BTreeMap<ScheduleId, Strip>>>,
    /// Held while strips are read: pages that want the same ones wait for each other.
    reader: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone)]
struct Strip {
    read_at: Instant,
    /// The last run and its status, as the list showed them.
    last: LastSeen,
    runs: Runs,
}

/// A schedule that has started runs, with its last run.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    id: ScheduleId,
    last: LastSeen,
}

impl Wanted {
    /// The schedule's strip is wanted. `None` if the schedule has started nothing.
    pub(super) fn of(view: &ScheduleView) -> Option<Self> {
        let run = view.last_run.as_ref()?;
        Some(Self {
            id: view.id.clone(),
            last: (run.run_id.clone(), run.status.clone()),
        })
    }
}

/// The last run of a schedule and its status.
type LastSeen = (String, Option<String>);

/// The schedules whose strips are too old.
fn old(all: &BTreeMap<ScheduleId, Strip>, wanted: &[Wanted]) -> Vec<Wanted> {
    let is_old = |one: &&Wanted| {
        let strip = all.get(&one.id);
        strip.is_none_or(|strip| !strip.is_fresh(&one.last))
    };
    wanted.iter().filter(is_old).cloned().collect()
}

impl Strip {
    fn is_fresh(&self, last: &LastSeen) -> bool {
        let is_same = self.last == *last && self.runs.iter().all(|run| run.ended.is_some());
        self.read_at.elapsed() < if is_same { FRESH } else { FRESH_WHILE_CHANGING }
    }
}

impl Strips {
    fn all(&self) -> MutexGuard<'_, BTreeMap<ScheduleId, Strip>> {
        self.strips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recent runs of these schedules, as far as they could be read in time.
    pub(super) async fn get<B: Backend>(
        &self,
        service: &Service<B>,
        wanted: Vec<Wanted>,
    ) -> BTreeMap<ScheduleId, Runs> {
        let ids: Vec<_> = wanted.iter().map(|one| one.id.clone()).collect();
        if !old(&self.all(), &wanted).is_empty() {
            let (backend, strips) = (Arc::clone(&service.backend), Arc::clone(&self.strips));
            let reader = Arc::clone(&self.reader);
            let read = tokio::spawn(async move {
                let _reading = reader.lock().await;
                // Another page may have read them meanwhile.
                let old = {
                    let all = strips.lock().unwrap_or_else(PoisonError::into_inner);
                    old(&all, &wanted)
                };
                if old.is_empty() {
                    return;
                }
                let ids: Vec<_> = old.iter().map(|one| one.id.clone()).collect();
                let read_at = Instant::now();
                match backend.recent_runs(ids).await {
                    Ok(runs) => keep(&strips, read_at, old.into_iter().zip(runs)),
                    Err(error) => tracing::debug!(%error, "cannot read recent runs"),
                }
            });
            // The reading continues, and the next page shows its result.
            drop(timeout(WAIT, read).await);
        }
        let all = self.all();
        let found = ids.into_iter().filter_map(|id| {
            let runs = Arc::clone(&all.get(&id)?.runs);
            Some((id, runs))
        });
        found.collect()
    }
}

fn keep(
    strips: &Mutex<BTreeMap<ScheduleId, Strip>>,
    read_at: Instant,
    read: impl Iterator<Item = (Wanted, Vec<TimelineRun>)>,
) {
    let mut all = strips.lock().unwrap_or_else(PoisonError::into_inner);
    for (Wanted { id, last }, runs) in read {
        let runs = Arc::new(runs);
        all.insert(
            id,
            Strip {
                read_at,
                last,
                runs,
            },
        );
    }
    if all.len() > KEPT {
        all.retain(|_, strip| strip.read_at.elapsed() < FRESH);
    }
    if all.len() > KEPT {
        all.clear();
    }
}

/// The strip: newest run on the right; the height is the duration compared with the others.
pub(super) fn strip(runs: &[TimelineRun], times: &Times, ui: Option<&str>) -> Markup {
    let longest = runs
        .iter()
        .map(|run| seconds(run, times.now))
        .fold(1.0, f64::max);
    let width = STEP * 20.0;
    html! {
        svg.strip viewBox={ "0 0 " (width) " 24" } role="img" aria-label=(words(runs)) {
            line.r-base x1="0" x2=(width) y1="23.5" y2="23.5" {}
            @for (place, run) in runs.iter().rev().take(RECENT).enumerate() {
                @let x = width - STEP * (number(place) + 1.0);
                @let height = (2.0 + (HEIGHT - 4.0) * (seconds(run, times.now) / longest).sqrt()).max(4.0);
                (bar(run, x, height, ui))
            }
        }
    }
}

fn bar(run: &TimelineRun, x: f64, height: f64, ui: Option<&str>) -> Markup {
    let class = match run.status {
        RunStatus::Completed | RunStatus::ContinuedAsNew => "r-ok",
        RunStatus::Failed | RunStatus::TimedOut | RunStatus::Terminated => "r-bad",
        RunStatus::Running | RunStatus::Paused => "r-run",
        RunStatus::Canceled | RunStatus::Unknown => "r-cut",
    };
    let y = 23.0 - height;
    let drawing = html! {
        rect.(class) x=(format!("{x:.0}")) y=(format!("{y:.0}")) width="4" height=(format!("{height:.0}")) {
            title { (title(run)) }
        }
        @if run.status.is_failure() { path.r-bad d=(format!("M{:.0} {:.0}h6l-3 3z", x - 1.0, y - 4.0)) {} }
    };
    match ui {
        Some(ui) => html! {
            a href=(links::temporal_run(ui, &run.workflow_id, &run.run_id)) tabindex="-1" { (drawing) }
        },
        None => drawing,
    }
}

fn title(run: &TimelineRun) -> String {
    let status = format!("{:?}", run.status).to_lowercase();
    let started = run.started.strftime("%a %-d %b %H:%M:%S UTC");
    let length = run
        .ended
        .map(|ended| format!(", {}", precise(run.started, ended)));
    format!("{status}, {started}{}", length.unwrap_or_default())
}

fn words(runs: &[TimelineRun]) -> String {
    let failed = runs.iter().filter(|run| run.status.is_failure()).count();
    format!("last {} runs, {failed} failed", runs.len())
}

fn seconds(run: &TimelineRun, now: Timestamp) -> f64 {
    let end = run.ended.unwrap_or(now);
    end.duration_since(run.started).as_secs_f64().max(0.0)
}

fn number(place: usize) -> f64 {
    u32::try_from(place).map_or(0.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: i64, status: RunStatus) -> TimelineRun {
        let started = Timestamp::UNIX_EPOCH;
        TimelineRun {
            due: None,
            started,
            ended: Timestamp::from_second(seconds).ok(),
            status,
            workflow_id: "p/<a>".into(),
            run_id: "r".into(),
        }
    }

    #[test]
    fn the_newest_run_is_on_the_right_and_failures_have_a_cap() {
        let times = Times {
            now: Timestamp::from_second(100).unwrap(),
        };
        let runs = [run(4, RunStatus::Completed), run(16, RunStatus::Failed)];
        let shown = strip(&runs, &times, Some("http://ui/namespaces/n")).into_string();
        assert!(shown.contains("last 2 runs, 1 failed"), "{shown}");
        let failed = shown.find("class=\"r-bad\" x=\"114\"").unwrap();
        let completed = shown.find("class=\"r-ok\" x=\"108\"").unwrap();
        assert!(failed < completed, "{shown}");
        assert!(shown.contains("M113"), "{shown}");
        assert!(shown.contains("/workflows/p%2F%3Ca%3E/r"), "{shown}");
        let many = vec![run(1, RunStatus::Completed); 50];
        let shown = strip(&many, &times, None).into_string();
        assert_eq!(shown.matches("<rect").count(), RECENT);
        assert!(!shown.contains("<a "), "{shown}");
    }
}
