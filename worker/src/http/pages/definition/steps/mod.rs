//! The steps of a definition as a graph, and the steps at which runs are now.

mod drawing;
mod layout;
mod outline;

use std::collections::{BTreeMap, BTreeSet};

use almanac_activities::schedules::LiveRun;
use almanac_core::definition::Program;
use almanac_core::snapshot::Loaded;
use almanac_steps::language::{self, Flow};
use almanac_workflows::run::place;
use jiff::Timestamp;
use maud::{Markup, html};

use self::drawing::{Mark, Marks};
use self::outline::Steps;
use super::super::times::Times;
use super::Subject;
use crate::time_text::span_between;
use crate::wording::counted;

pub(super) fn section(subject: &Subject, times: &Times) -> Markup {
    let Some((loaded, flow)) = subject
        .served()
        .and_then(|loaded| Some((loaded, flow(loaded)?)))
    else {
        return Markup::default();
    };
    let outline = outline::outline(&flow);
    let live = Live::of(subject, loaded, &flow, &outline);
    let marks = live.marks(times.now, subject);
    let high: BTreeSet<&str> = marks.keys().copied().collect();
    let layout = layout::layout(&outline, &high);
    let has_condition = layout.boxes.iter().any(|one| one.condition.is_some());
    html! {
        section.sec id="steps" {
            header {
                h2 { "Steps" }
                @if live.all > 0 { span.end { (counted(live.all, "live run", "live runs")) } }
            }
            (drawing::drawing(&layout, &marks))
            div.vh { (drawing::list(&outline, true, &marks)) }
            @if has_condition { p.small.dim.under { "A dashed step runs only if its condition is true." } }
            (live.notes(times.now, subject))
        }
    }
}

/// The typed steps of a definition; `None` if it starts a workflow instead.
fn flow(loaded: &Loaded) -> Option<Flow> {
    match &loaded.definition.program {
        Program::Steps(steps) => language::parse(&steps.value()).ok(),
        Program::Workflow(_) => None,
    }
}

/// The runs that have not ended, by their place.
#[derive(Debug, Default)]
struct Live<'s> {
    /// Number of runs of all versions.
    all: u64,
    /// Number of runs of other versions than the served one.
    others: u64,
    /// Number of runs of the served version whose place is not known.
    somewhere: u64,
    /// The runs at each step that is drawn, by its path.
    at: BTreeMap<&'s str, Vec<&'s LiveRun>>,
}

impl<'s> Live<'s> {
    fn of(subject: &'s Subject, loaded: &Loaded, flow: &'s Flow, outline: &'s Steps) -> Self {
        let current = &loaded.definition.revision;
        let versions = &subject.reading.live.versions.versions;
        let all = versions.iter().map(|one| one.runs).sum();
        let others = versions.iter();
        let others = others.filter(|one| one.revision.as_ref() != Some(current));
        let others = others.map(|one| one.runs).sum();
        let mut live = Self {
            all,
            others,
            ..Self::default()
        };
        let known = flow.lists.values().flat_map(|list| list.iter());
        let known: Vec<&str> = known.map(|task| task.path.as_str()).collect();
        let drawn = outline.paths();
        let mut placed = 0;
        for run in &subject.reading.live.newest {
            let details = run.details.as_deref().unwrap_or_default();
            let at = place::read(
                details,
                &loaded.definition.id,
                current,
                known.iter().copied(),
            );
            let at: BTreeSet<&str> = deepest(&at)
                .filter_map(|path| ancestor(&drawn, path))
                .collect();
            placed += u64::from(!at.is_empty());
            for path in at {
                live.at.entry(path).or_default().push(run);
            }
        }
        live.somewhere = (all - others).saturating_sub(placed);
        live
    }
}

impl Live<'_> {
    /// The words at each step with runs.
    fn marks(&self, now: Timestamp, subject: &Subject) -> Marks<'_> {
        let mark = |runs: &Vec<&LiveRun>| {
            let count = counted(runs.len() as u64, "run", "runs");
            let oldest = runs.iter().min_by_key(|run| run.began);
            let age = oldest.and_then(|run| Some(span_between(run.began?, now)));
            let age = age.map(|age| match runs.len() {
                1 => format!(", {age} old"),
                _ => format!(", up to {age} old"),
            });
            Mark {
                words: format!("{count} here{}", age.unwrap_or_default()),
                link: oldest.and_then(|run| subject.run_address(&run.workflow_id, &run.run_id)),
            }
        };
        let at = self.at.iter();
        at.map(|(path, runs)| (*path, mark(runs))).collect()
    }

    /// The runs that the drawing does not show, and each run of a step with several.
    fn notes(&self, now: Timestamp, subject: &Subject) -> Markup {
        let is = |count: u64, one: &str, many: &str| counted(count, one, many);
        let crowded = || self.at.iter().filter(|(_, runs)| runs.len() > 1);
        html! {
            @if self.somewhere > 0 {
                p.small.dim.under {
                    (is(self.somewhere, "run is at a step that is not known", "runs are at steps that are not known")) "."
                }
            }
            @if self.others > 0 {
                p.small.dim.under {
                    (is(self.others, "run uses another version, and is not in the drawing", "runs use other versions, and are not in the drawing")) "."
                }
            }
            @if crowded().next().is_some() {
                details.small.under {
                    summary { "Each run of steps with several runs" }
                    ul.step-runs {
                        @for (path, runs) in crowded() {
                            @for run in runs {
                                li {
                                    @match subject.run_address(&run.workflow_id, &run.run_id) {
                                        Some(address) => a.link href=(address) rel="noreferrer" { (run.workflow_id) },
                                        None => span { (run.workflow_id) },
                                    }
                                    " at " code { (path.trim_start_matches('/')) }
                                    @if let Some(began) = run.began { ", " (span_between(began, now)) " old" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The paths that contain no other of the paths. A `fork` waits for its branches: the runs are
/// in those.
fn deepest<'p>(paths: &[&'p str]) -> impl Iterator<Item = &'p str> {
    let all = paths.to_vec();
    let paths: Vec<_> = paths.to_vec();
    paths
        .into_iter()
        .filter(move |path| !all.iter().any(|other| is_inside(other, path)))
}

/// Returns `true` if the task at `inner` is in a list of the task at `outer`.
fn is_inside(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The task that is drawn and is or contains the task at `path`.
fn ancestor<'p>(drawn: &[&'p str], path: &str) -> Option<&'p str> {
    let around = drawn
        .iter()
        .filter(|one| **one == path || is_inside(path, one));
    around.max_by_key(|one| one.len()).copied()
}

#[cfg(test)]
mod tests;
