//! `GET /timeline`: all schedules on one time axis, past and future, the present marked.

mod axis;
mod drawing;
mod query;

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_activities::schedules::view::ScheduleView;
use almanac_activities::timeline::{Lane, Timeline, TimelineLane, Window};
use almanac_core::definition::Labels;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use self::axis::Axis;
use self::query::{GroupBy, Query, Span};
use super::super::Service;
use super::super::problem::Problem;
use super::super::query::{Label, StrictQuery};
use super::super::requests::bad_request;
use super::condition::Tone;
use super::frame::{Frame, Tab};
use super::glyphs::{Glyph, glyph};
use super::links;
use super::pager::pager;
use crate::backend::Backend;
use crate::time_text::{precise, span};
use crate::wording::counted;

/// Number of schedules on a page.
const PAGE: usize = 60;

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Response, Problem> {
    let _turn = service.page_loads.take(&frame.caller)?;
    let (from, to) = query.ends(frame.times.now);
    let window = Window::new(Some(from), Some(to), frame.times.now)
        .map_err(|error| bad_request(format!("at: {error}")))?;
    let take_turn = || service.lists.take(&frame.caller);
    let timelines = &service.timelines;
    let timeline = timelines.get_recent(&*service.backend, &service.listings, window, take_turn);
    let timeline = timeline.await?;
    let ui = frame.temporal_ui();
    let render = move || Drawing::of(&timeline, &query, ui).markup();
    let main = service.render_workers.work(render).await?;
    Ok(frame.page(Some(Tab::Timeline), "Timeline", &main))
}

/// The part of a timeline that is drawn.
struct Drawing<'a> {
    timeline: &'a Timeline,
    query: &'a Query,
    axis: Axis,
    /// Groups of lanes, each with the value of its label.
    groups: Vec<(String, Vec<Lane>)>,
    /// Number of lanes that are drawn, on all pages.
    total: usize,
    /// Number of lanes with nothing in the window, which are not drawn.
    folded: usize,
    /// The labels that lanes can be grouped by.
    label_names: Vec<String>,
    /// Address of the namespace in Temporal's own UI.
    ui: Option<String>,
}

impl<'a> Drawing<'a> {
    fn of(timeline: &'a Timeline, query: &'a Query, ui: Option<String>) -> Self {
        let views = || timeline.lanes().iter().map(TimelineLane::view);
        let label_names = label_names(views());
        let by = query.group_by(label_names.first().map(String::as_str));
        let mut lanes = query.selected(timeline.lanes());
        lanes.sort_by_cached_key(|lane| {
            let value = group(&by, lane.view());
            (value.is_empty(), value, lane.view().definition.clone())
        });
        let builder = timeline.lane_builder();
        let has_marks = |lane: &TimelineLane| builder.has_marks(lane) || lane.view().paused;
        let (drawn, folded): (Vec<_>, Vec<_>) = lanes
            .into_iter()
            .partition(|lane| query.shows(lane) && has_marks(lane));
        let total = drawn.len();
        let first = query.page.saturating_sub(1).saturating_mul(PAGE);
        let mut groups: Vec<(String, Vec<Lane>)> = Vec::new();
        for lane in drawn.into_iter().skip(first).take(PAGE) {
            let value = group(&by, lane.view());
            let lane = builder.lane(lane);
            match groups.last_mut().filter(|(known, _)| *known == value) {
                Some((_, lanes)) => lanes.push(lane),
                None => groups.push((value, vec![lane])),
            }
        }
        let overview = timeline.overview();
        let zone = query.zone.as_ref().map(|zone| zone.0.clone());
        let zone = zone.unwrap_or_else(|| usual_zone(views()));
        Self {
            axis: Axis::new(overview.from, overview.to, overview.now, &zone),
            timeline,
            query,
            groups,
            total,
            folded: folded.len(),
            label_names,
            ui,
        }
    }

    fn markup(&self) -> Markup {
        let overview = self.timeline.overview();
        html! {
            div.head { div {
                h1 { "Timeline" }
                p.dim { (self.axis.title()) }
            } }
            (self.tools())
            div id="timeline" data-live {
                @if overview.schedules == 0 { p.empty { "The project has no schedules." } }
                @else if self.query.is_filtered() && self.total + self.folded == 0 {
                    p.empty { "No schedule matches. " a.link href=(self.query.with(Query::clear_filter)) { "Show all" } }
                }
                @else {
                    div.day {
                        div.grid aria-hidden="true" { (self.axis.grid()) }
                        div.axis { span.who { (self.axis.zone) } (self.axis.labels()) }
                        (self.density())
                        @for (name, lanes) in &self.groups { (self.group(name, lanes)) }
                    }
                    (legend())
                    (self.notes())
                    (pager(self.query.page, self.total, PAGE, |page| self.query.with(|one| one.page = page)))
                }
            }
        }
    }

    /// Links to other windows, lengths and groupings.
    fn tools(&self) -> Markup {
        let query = self.query;
        let now = self.timeline.overview().now;
        let by = query.group_by(self.label_names.first().map(String::as_str));
        html! {
            div.bar-tools {
                div.seg role="group" aria-label="Time" {
                    a href=(query.moved(now, -1)) rel="prev" aria-label="Earlier" { "‹" }
                    a href=(query.with(|one| one.at = None)) { "Now" }
                    a href=(query.moved(now, 1)) rel="next" aria-label="Later" { "›" }
                }
                div.seg role="group" aria-label="Length" {
                    @for span in Span::ALL {
                        a href=(query.with(|one| one.span = span)) aria-current=[(query.span == span).then_some("true")] { (span.words()) }
                    }
                }
                span.lead { "Group by" }
                div.seg role="group" aria-label="Group by" {
                    @for name in &self.label_names {
                        a href=(query.with(|one| one.group = Some(GroupBy::Label(name.clone()))))
                            aria-current=[(by == GroupBy::Label(name.clone())).then_some("true")] { (name) }
                    }
                    a href=(query.with(|one| one.group = Some(GroupBy::Nothing)))
                        aria-current=[(by == GroupBy::Nothing).then_some("true")] { "nothing" }
                }
                div.end {
                    (self.filter())
                    a.chip href=(query.with(|one| one.trouble = !one.trouble)) aria-current=[query.trouble.then_some("true")] {
                        "Only trouble"
                    }
                }
            }
        }
    }

    /// The form that selects schedules by text, and the labels that are selected.
    fn filter(&self) -> Markup {
        let query = self.query;
        html! {
            @for label in &query.label {
                a.chip href=(query.with(|one| one.label.retain(|known| known != label))) aria-current="true"
                    aria-label={ "Show schedules without " (label) " too" } { (label) " ×" }
            }
            form.only action="/timeline" method="get" {
                @for (name, value) in query.pairs() {
                    @if name != "q" && name != "page" { input type="hidden" name=(name) value=(value); }
                }
                label.vh for="only" { "Only schedules with this text" }
                input id="only" name="q" type="search" placeholder="Filter" maxlength="200" value=[query.q.as_ref()]
                    autocomplete="off" spellcheck="false";
            }
        }
    }

    /// The starts of all schedules, the busiest minute, and the free spans.
    fn density(&self) -> Markup {
        let overview = self.timeline.overview();
        html! {
            div.dens {
                p.who {
                    "Starts a minute"
                    br;
                    @if let Some(busiest) = overview.busiest {
                        (counted(u64::from(busiest.starts), "start", "starts")) " at most, " (self.axis.short(busiest.at))
                    } @else { "nothing starts" }
                }
                (drawing::density(overview, &self.axis))
            }
        }
    }

    /// The name of the group of lanes that do not have the label.
    fn without(&self) -> String {
        match self
            .query
            .group_by(self.label_names.first().map(String::as_str))
        {
            GroupBy::Label(name) => format!("no {name}"),
            GroupBy::Nothing => String::new(),
        }
    }

    /// The label of a group.
    fn label(&self, value: &str) -> Option<Label> {
        let by = self
            .query
            .group_by(self.label_names.first().map(String::as_str));
        match by {
            GroupBy::Label(name) if !value.is_empty() => Some(Label::new(&name, value)),
            GroupBy::Label(_) | GroupBy::Nothing => None,
        }
    }

    fn group(&self, name: &str, lanes: &[Lane]) -> Markup {
        html! {
            @if !name.is_empty() || self.groups.len() > 1 {
                div.lg { b {
                    @match self.label(name) {
                        Some(label) => a href=(self.query.with(|one| one.label.push(label.clone()))) title={ "Only " (label) } { (name) },
                        None => (self.without()),
                    }
                    span { (lanes.len()) }
                } }
            }
            @for lane in lanes { (self.lane(lane)) }
        }
    }

    fn lane(&self, lane: &Lane) -> Markup {
        let view = &lane.schedule;
        let id = view.definition.as_str();
        html! {
            div.lane {
                div.nm {
                    @if let Some((mark, tone, _)) = note(lane) { span.(tone.class()) { (glyph(mark)) } }
                    a href=(links::definition(id)) title={ (id) " · " (view.summary) } { (id) }
                    @if let Some((_, tone, words)) = note(lane) { span.end.(tone.class()) { (words) } }
                }
                (drawing::lane(lane, self.timeline.overview(), &self.axis, self.ui.as_deref()))
            }
        }
    }

    /// Free spans, and what is not known.
    fn notes(&self) -> Markup {
        let overview = self.timeline.overview();
        html! {
            div.notes {
                @let free: Vec<_> = overview.free.iter().filter(|free| free.to > overview.now).collect();
                @if !free.is_empty() {
                    p { b { "Free: " }
                        @for (place, free) in free.iter().enumerate() {
                            @if place > 0 { " · " }
                            (self.axis.short(free.from)) "–" (self.axis.short(free.to))
                            " (" (length(free.from, free.to)) ")"
                        }
                    }
                }
                @if overview.gaps > 0 {
                    p.amber { (counted(overview.gaps, "run was", "runs were")) " due and did not start." }
                }
                @if overview.gaps_not_checked > 0 {
                    p.dim { (counted(overview.gaps_not_checked, "schedule was", "schedules were")) " not checked for runs that did not start." }
                }
                @if overview.runs.truncated {
                    p.amber { "There are more runs than can be read: only the latest " (overview.runs.read) " are shown"
                        @if let Some(from) = overview.runs_from { ", from " (self.axis.short(from)) " on" } "." }
                }
                @if self.folded > 0 {
                    p.dim { (counted(self.folded as u64, "schedule has", "schedules have")) " nothing in this window and "
                        (if self.folded == 1 { "is" } else { "are" }) " not drawn. " a.link href="/" { "All schedules" } }
                }
            }
        }
    }
}

/// The worst that the lane shows, in a word.
fn note(lane: &Lane) -> Option<(Glyph, Tone, &'static str)> {
    let view = &lane.schedule;
    let failed = lane.runs.last().is_some_and(|run| run.status.is_failure());
    if view.overdue == Some(true) {
        Some((Glyph::Overdue, Tone::Red, "overdue"))
    } else if failed {
        Some((Glyph::Cross, Tone::Red, "failed"))
    } else if !lane.gaps.is_empty() {
        Some((Glyph::Skipped, Tone::Amber, "did not start"))
    } else if view.paused {
        Some((Glyph::Paused, Tone::Ink, "paused"))
    } else if view.overridden.is_some() {
        Some((Glyph::Overridden, Tone::Violet, "overridden"))
    } else {
        None
    }
}

/// The names of labels that many schedules have, the most common first.
fn label_names<'a>(views: impl Iterator<Item = &'a ScheduleView>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in views.flat_map(|view| Labels::iter(&view.labels)) {
        *counts.entry(name).or_default() += 1;
    }
    let mut names: Vec<_> = counts.into_iter().collect();
    names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    names
        .into_iter()
        .take(3)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The zone that most schedules have.
fn usual_zone<'a>(views: impl Iterator<Item = &'a ScheduleView>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for view in views {
        *counts.entry(&view.timezone).or_default() += 1;
    }
    // A zone that this worker does not know cannot be drawn.
    counts.retain(|name, _| TimeZone::get(name).is_ok());
    let usual = counts
        .into_iter()
        .max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)));
    usual.map_or("UTC", |(name, _)| name).to_owned()
}

/// The value by which a lane is grouped.
fn group(by: &GroupBy, view: &ScheduleView) -> String {
    match by {
        GroupBy::Label(name) => view.labels.get(name).unwrap_or_default().to_owned(),
        GroupBy::Nothing => String::new(),
    }
}

fn legend() -> Markup {
    let item = |drawing: Markup, words: &str| {
        html! { span { svg viewBox="0 0 22 12" aria-hidden="true" { g.ln { (drawing) } } (words) } }
    };
    html! {
        div.legend {
            (item(html! { rect.ok x="2" y="2" width="16" height="8" {} }, "completed"))
            (item(html! { rect.bad x="2" y="2" width="16" height="8" {} }, "failed, timed out or terminated"))
            (item(html! { rect.run x="2" y="2" width="16" height="8" {} }, "running"))
            (item(html! { rect.gapbox x="2" y="2" width="16" height="8" fill="url(#hatch)" {} }, "due, did not start"))
            (item(html! { line.tick x1="3" x2="3" y1="1" y2="11" {} rect.typ x="3" y="3" width="14" height="6" {} }, "to come, with its usual length"))
            (item(html! { rect.band x="2" y="4" width="18" height="4" {} }, "more often than can be drawn"))
        }
    }
}

/// A time zone by its name; UTC if there is none.
fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// The words of a mark: what it is, when, and for how long.
fn title(words: &str, started: Timestamp, ended: Option<Timestamp>, axis: &Axis) -> String {
    let length = ended.map(|ended| format!(", {}", precise(started, ended)));
    format!(
        "{words} {}{}",
        axis.exact(started),
        length.unwrap_or_default()
    )
}

/// The length of a span in two units.
fn length(from: Timestamp, to: Timestamp) -> String {
    span(to.duration_since(from).try_into().unwrap_or_default(), 2)
}
