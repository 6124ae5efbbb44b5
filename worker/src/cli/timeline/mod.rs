//! `almanac timeline`: draws the project's schedules on one time axis, past and future.

mod axis;
mod draw;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::process::ExitCode;

use almanac_activities::schedules::view;
use almanac_activities::timeline::{
    Lane, Timeline, TimelineLane, TimelineOverview, TimelineReader, Window,
};
use almanac_base::names::DefinitionId;
use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Remote;
use super::selection::definitions_with_labels;
use crate::args::TimelineArgs;
use crate::console::{self, Page, Tone};

/// Maximum number of lanes of an answer.
const LANES: usize = 1000;
/// Width of the drawing where there is no terminal.
const WIDTH: usize = 80;

/// Output of `almanac timeline`.
#[derive(Debug, Serialize)]
struct Shown {
    /// The parts that concern all schedules of the project.
    #[serde(flatten)]
    overview: TimelineOverview,
    /// Lanes by definition.
    lanes: Vec<Lane>,
    /// Number of lanes that match.
    total: usize,
    /// Number of lanes that match and are left out.
    truncated: usize,
}

impl Shown {
    /// The lanes of these definitions; of all if there is no selection.
    fn of(timeline: &Timeline, selected: Option<&BTreeSet<DefinitionId>>) -> Self {
        let is_selected =
            |lane: &&TimelineLane| selected.is_none_or(|ids| ids.contains(&lane.view().definition));
        let matching: Vec<_> = timeline.lanes().iter().filter(is_selected).collect();
        let builder = timeline.lane_builder();
        let lanes = matching.iter().take(LANES);
        let lanes: Vec<_> = lanes.map(|lane| builder.lane(lane)).collect();
        Self {
            overview: timeline.overview().clone(),
            total: matching.len(),
            truncated: matching.len() - lanes.len(),
            lanes,
        }
    }
}

pub(super) async fn run(args: &TimelineArgs) -> anyhow::Result<ExitCode> {
    let window = Window::new(args.from, args.to, Timestamp::now()).context("--from, --to")?;
    let remote = Remote::of(&args.target).await?;
    let selected = match &args.selector {
        Some(selector) => Some(definitions_with_labels(&remote, selector).await?),
        None => None,
    };
    let status = remote.status_if_any().await;
    let context = super::view_context(&args.target.project, status.as_ref());
    let listed = view::list_with_times(&remote.schedules, context, None, &[])
        .await
        .context("list the schedules")?;
    let reader = TimelineReader::default();
    let timeline = reader
        .read(&remote.schedules, &args.target.project, window, listed)
        .await
        .context("read the timeline")?;
    let shown = Shown::of(&timeline, selected.as_ref());
    super::print(args.target.format, &shown, |shown| {
        let width = console::output_width().unwrap_or(WIDTH);
        let title = format!(
            "project `{}` in namespace `{}`",
            args.target.project, remote.namespace
        );
        page(shown, &title, width, &TimeZone::system())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The drawing with its summary. `title` names the project.
fn page(shown: &Shown, title: &str, width: usize, zone: &TimeZone) -> Page {
    let mut page = Page::default();
    if shown.overview.schedules == 0 {
        page.line(format!("no schedules of {title}"));
        return page;
    }
    if shown.total == 0 {
        let all = shown.overview.schedules;
        page.line(format!("none of the {all} schedules matches"));
        return page;
    }
    page.toned(Tone::Strong, title);
    draw::draw(shown, width, zone, &mut page);
    page.line("");
    summary::summary(shown, zone, &mut page);
    page
}
