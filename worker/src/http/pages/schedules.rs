//! `GET /`: every definition and schedule in one table, the broken ones first.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_activities::schedules::view::ScheduleView;
use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_core::definition::Kind;
use almanac_core::record::Held;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::super::Service;
use super::super::definitions::{DefinitionView, failing_where};
use super::super::forms::FormToken;
use super::super::problem::Problem;
use super::super::query::{Label, StrictQuery};
use super::condition::{look, of_row, reason, run_status, state};
use super::error_badge::badge;
use super::frame::{Frame, Tab};
use super::glyphs::{Glyph, glyph};
use super::links;
use super::pager::pager;
use super::selection::{PAGE, Selection, Sort, StateFilter};
use super::strips::{Runs, Wanted, strip};
use super::times::Times;
use super::welcome::welcome;
use crate::backend::Backend;
use crate::overview::{Condition, Group, Overview, Row};
use crate::wording::counted;

/// Maximum number of values of a label, or of queues, that have a filter of their own.
const CHIPS: usize = 12;
/// Number of rows, at the end of the table, whose errors open upwards.
const LAST_ROWS: usize = 4;

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    StrictQuery(selection): StrictQuery<Selection>,
) -> Result<Response, Problem> {
    let _turn = service.page_loads.take(&frame.caller)?;
    let seen = service
        .overviews
        .get_recent(&service, frame.status())
        .await?;
    let overview = Arc::clone(&seen.overview);
    if overview.rows.is_empty() && seen.away.is_none() {
        return Ok(frame.page(
            Some(Tab::Schedules),
            "Welcome",
            &welcome(&service.backend.roots()),
        ));
    }
    let held = frame.status().and_then(|status| status.held.clone());
    let (times, token) = (frame.times, frame.token.clone());
    let may_operate = frame.caller.may_operate();
    let away = seen.away.map(|error| error.to_string());
    let ui = frame.temporal_ui();
    let select = {
        let overview = Arc::clone(&overview);
        move || {
            let selected = Selected::of(&overview, &selection);
            let views = selected
                .rows
                .iter()
                .filter_map(|row| overview.schedule(row));
            let wanted: Vec<_> = views.filter_map(Wanted::of).collect();
            (selection, selected, wanted)
        }
    };
    let (selection, selected, wanted) = service.render_workers.work(select).await?;
    let strips = service.strips.get(&service, wanted).await;
    let render = move || {
        let table = Table {
            overview: &overview,
            selection: &selection,
            selected,
        };
        let page = PageParts {
            times: &times,
            token: &token,
            may_operate,
            strips: &strips,
            ui: ui.as_deref(),
        };
        let main = main(&table, held.as_ref(), away.as_deref(), &page);
        (title(&overview), main)
    };
    let (title, main) = service.render_workers.work(render).await?;
    Ok(frame.page(Some(Tab::Schedules), &title, &main))
}

/// Returns the title of the page, which names the most urgent conditions first.
fn title(overview: &Overview) -> String {
    let count = |condition| count(overview, StateFilter::Condition(condition));
    let urgent = [Condition::Broken, Condition::Stale, Condition::Overdue];
    let urgent = urgent.into_iter().filter_map(|condition| {
        let count = count(condition);
        (count > 0).then(|| format!("{count} {}", look(condition).2.to_lowercase()))
    });
    let urgent: Vec<_> = urgent.collect();
    if urgent.is_empty() {
        "Schedules".to_owned()
    } else {
        urgent.join(", ")
    }
}

fn count(overview: &Overview, filter: StateFilter) -> usize {
    let rows = overview.rows.iter();
    rows.filter(|row| filter.shows(overview, row)).count()
}

/// The rows that are shown, with the errors of their documents.
struct Selected {
    /// Number of rows that match.
    total: usize,
    rows: Vec<Row>,
    failing: Vec<DefinitionView>,
}

impl Selected {
    fn of(overview: &Overview, selection: &Selection) -> Self {
        let all = selection.rows(overview);
        let shown = selection.page_of(&all);
        let is_failing = |row: &&&Row| {
            row.conditions.contains(Condition::Broken) || row.conditions.contains(Condition::Stale)
        };
        let failing = if shown.iter().any(|row| is_failing(&row)) {
            failing_where(&overview.snapshot, |id, source| {
                shown.iter().filter(is_failing).any(|row| {
                    row.id.as_ref() == id && (id.is_some() || row.source.as_deref() == Some(source))
                })
            })
        } else {
            Vec::new()
        };
        Self {
            total: all.len(),
            rows: shown.into_iter().cloned().collect(),
            failing,
        }
    }
}

/// The table of one page.
struct Table<'a> {
    overview: &'a Overview,
    selection: &'a Selection,
    selected: Selected,
}

impl Table<'_> {
    fn errors(&self, row: &Row) -> Option<&DefinitionView> {
        self.selected.failing.iter().find(|view| {
            view.id == row.id && (row.id.is_some() || Some(&view.source) == row.source.as_ref())
        })
    }

    fn is_grouped(&self) -> bool {
        self.selection.sort == Sort::State
    }
}

/// The parts of the request that the page shows.
struct PageParts<'a> {
    times: &'a Times,
    token: &'a FormToken,
    may_operate: bool,
    /// The recent runs of schedules.
    strips: &'a BTreeMap<ScheduleId, Runs>,
    /// Address of the namespace in Temporal's own UI.
    ui: Option<&'a str>,
}

fn main(
    table: &Table<'_>,
    held: Option<&Held>,
    away: Option<&str>,
    page: &PageParts<'_>,
) -> Markup {
    html! {
        div.head {
            h1 { "Schedules" }
            p.dim.no-phone { (page.times.now.strftime("%A %-d %B %Y, %H:%M UTC")) }
            @if page.may_operate {
                div.acts.no-phone {
                    form method="post" action="/sync" { (page.token.fields()) button { "Sync now" } }
                    a.btn href="/suspend" { "Suspend…" }
                }
            }
        }
        (figures(table.overview))
        @if let Some(why) = away {
            div.notice.red role="alert" {
                span.st.red { (glyph(Glyph::Cross)) "No answer" }
                span.say { "The schedules are not shown: " (why) ". Schedules keep firing without Almanac. "
                    "Below are the definitions in the files." }
            }
        }
        @if let Some(held) = held { (removals(held)) }
        (filters(table))
        (rows(table, page))
        div id="pager" data-live { (pager(table.selection.page, table.selected.total, PAGE, |page| {
            Selection { page, ..table.selection.clone() }.address()
        })) }
    }
}

/// The numbers at the top: each is a link to the list behind it.
fn figures(overview: &Overview) -> Markup {
    let urgent = [
        Condition::Broken,
        Condition::Stale,
        Condition::Overdue,
        Condition::PausedByFailure,
        Condition::Conflict,
        Condition::Unreadable,
        Condition::Failed,
        Condition::Contested,
        Condition::Drift,
        Condition::Held,
        Condition::Orphaned,
    ];
    let urgent = urgent.into_iter().map(StateFilter::Condition);
    let urgent: Vec<_> = urgent
        .chain([StateFilter::FailedRun])
        .map(|filter| (filter, count(overview, filter)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let calm = [
        StateFilter::AnyPaused,
        StateFilter::Condition(Condition::Overridden),
        StateFilter::Running,
        StateFilter::Condition(Condition::Waiting),
        StateFilter::Condition(Condition::InSync),
    ];
    html! {
        ul.figs id="figures" data-live aria-live="polite" aria-label="Numbers; each is a link to its list" {
            @if urgent.is_empty() {
                li { a href="/" {
                    b { (overview.rows.len()) }
                    span.w { (glyph(Glyph::Check)) "Nothing needs attention" }
                } }
            }
            @for (filter, count) in &urgent { (figure(*filter, *count, false, false)) }
            @for (place, filter) in calm.into_iter().enumerate() {
                (figure(filter, self::count(overview, filter), true, place == 0))
            }
        }
    }
}

fn figure(filter: StateFilter, count: usize, is_calm: bool, is_first_calm: bool) -> Markup {
    let (mark, tone, words) = appearance(filter);
    let address = Selection::default().with(|selection| selection.state = Some(filter));
    let tone = if is_calm { "" } else { tone };
    html! {
        li.calm[is_calm].seam[is_first_calm] {
            a href=(address.address()) {
                b.(tone) { (count) }
                span.w.(tone) { (glyph(mark)) (words) }
            }
        }
    }
}

fn appearance(filter: StateFilter) -> (Glyph, &'static str, &'static str) {
    match filter {
        StateFilter::Condition(condition) => {
            let (mark, tone, words) = look(condition);
            (mark, tone.class(), words)
        }
        StateFilter::Attention => (Glyph::Stale, "red", "Needs attention"),
        StateFilter::AnyPaused => (Glyph::Paused, "ink", "Paused"),
        StateFilter::FailedRun => (Glyph::Cross, "red", "Last run failed"),
        StateFilter::Running => (Glyph::Running, "blue", "Running"),
    }
}

/// The removals that wait for confirmation.
fn removals(held: &Held) -> Markup {
    let count = held.count.max(held.ids.len() as u64);
    html! {
        div.notice role="status" {
            span.st.violet {
                (glyph(Glyph::Held)) (counted(count, "removal held", "removals held"))
            }
            span.say { (held.reason) ". The schedules keep firing until someone confirms. "
                span.dim { "Digest " span.digest { (held.digest.get(..12).unwrap_or(&held.digest)) } } }
            a.btn href="/plan#held" { "Review" }
        }
    }
}

fn filters(table: &Table<'_>) -> Markup {
    let (overview, selection) = (table.overview, table.selection);
    let matching = |filter: Option<StateFilter>| {
        let rows = overview.rows.iter();
        rows.filter(|row| {
            selection.matches_but_state(overview, row)
                && filter.is_none_or(|filter| filter.shows(overview, row))
        })
        .count()
    };
    let states = [
        None,
        Some(StateFilter::Attention),
        Some(StateFilter::Running),
    ];
    let chosen = selection
        .state
        .filter(|state| !states.contains(&Some(*state)));
    html! {
        div.filters id="filters" data-live {
            span.lead { "State" }
            @for state in states.into_iter().chain(chosen.map(Some)) {
                @let words = state.map_or("All", |state| appearance(state).2);
                (chip(&selection.with(|one| one.state = state), words, matching(state),
                    selection.state == state))
            }
            @for (name, values) in labels(overview) {
                span.lead { (name) }
                @for (value, count) in values {
                    @let label = Label::new(name, value);
                    @let is_chosen = selection.label.contains(&label);
                    (chip(&selection.with(|one| {
                        one.label.retain(|known| known.name() != name);
                        if !is_chosen { one.label.push(label); }
                    }), value, count, is_chosen))
                }
            }
            @let queues = queues(overview);
            @if queues.len() > 1 && queues.len() <= CHIPS {
                span.lead { "Queue" }
                @for (queue, count) in queues {
                    @let is_chosen = selection.queue.as_deref() == Some(queue);
                    (chip(&selection.with(|one| {
                        one.queue = (!is_chosen).then(|| queue.to_owned());
                    }), queue, count, is_chosen))
                }
            }
            span.end {
                @if let Some(q) = selection.q.as_ref().filter(|q| !q.is_empty()) {
                    span { "with “" (q) "”" }
                }
                span id="shown" { (table.selected.total) " shown" }
                @if !selection.is_everything() { a.link href="/" { "Show all" } }
            }
        }
    }
}

fn chip(selection: &Selection, words: &str, count: usize, is_chosen: bool) -> Markup {
    html! {
        a.chip href=(selection.address()) aria-current=[is_chosen.then_some("true")] {
            (words) " " span.n { (count) }
        }
    }
}

/// The labels with few values, each value with the number of its rows.
fn labels(overview: &Overview) -> Vec<(&str, Vec<(&str, usize)>)> {
    let mut all: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for row in &overview.rows {
        for (name, value) in overview.labels(row).iter() {
            *all.entry(name).or_default().entry(value).or_default() += 1;
        }
    }
    let few = all
        .into_iter()
        .filter(|(_, values)| (2..=CHIPS).contains(&values.len()));
    few.map(|(name, values)| (name, values.into_iter().collect()))
        .take(3)
        .collect()
}

/// The task queues, each with the number of its rows.
fn queues(overview: &Overview) -> Vec<(&str, usize)> {
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    for queue in overview.rows.iter().filter_map(|row| overview.queue(row)) {
        *all.entry(queue).or_default() += 1;
    }
    all.into_iter().collect()
}

fn rows(table: &Table<'_>, page: &PageParts<'_>) -> Markup {
    let selection = table.selection;
    let heading = |sort: Sort, words: &str| {
        let is_chosen = selection.sort == sort;
        html! {
            a href=(selection.with(|one| one.sort = sort).address()) {
                (words) @if is_chosen { span aria-hidden="true" { " ↑" } }
            }
        }
    };
    let order = |sort: Sort| (selection.sort == sort).then_some("ascending");
    let last = table.selected.rows.len().saturating_sub(LAST_ROWS);
    html! {
        form.desk id="rows" method="post" action="/bulk" {
            (page.token.fields())
            input type="hidden" name="selection" value=(selection.query());
            table.list {
                caption.vh { "Schedules, " (table.selected.total) " shown" }
                thead { tr {
                    th.pick { span.vh { "Pick" } }
                    th.c-state aria-sort=[order(Sort::State)] { (heading(Sort::State, "State")) }
                    th.c-name aria-sort=[order(Sort::Name)] { (heading(Sort::Name, "Name and file")) }
                    th.c-lab { "Labels, queue" }
                    th.c-when { "Schedule" }
                    th.c-next aria-sort=[order(Sort::Next)] { (heading(Sort::Next, "Next")) }
                    th.c-last aria-sort=[order(Sort::Last)] { (heading(Sort::Last, "Last run")) }
                    th.c-strip { "Last 20 runs" }
                    th.c-act { span.vh { "Actions" } }
                } }
                tbody {
                    @for (place, row) in table.selected.rows.iter().enumerate() {
                        @if table.is_grouped() && begins_group(table, place) { (group(table, row)) }
                        (self::row(table, row, place, place >= last && place > 2, page))
                    }
                }
            }
            @if table.selected.rows.is_empty() {
                p.empty { (if table.selected.total > 0 { "There is no such page. " } else { "No schedule matches. " }) a.link href="/" { "Show all " (table.overview.rows.len()) } }
            }
            @if page.may_operate { (bulk_bar(table)) }
        }
    }
}

fn begins_group(table: &Table<'_>, place: usize) -> bool {
    let group = |place: usize| {
        let row = table.selected.rows.get(place);
        row.map(|row| row.conditions.first().group())
    };
    place == 0 || group(place - 1) != group(place)
}

fn group(table: &Table<'_>, row: &Row) -> Markup {
    let group = row.conditions.first().group();
    let (words, order) = match group {
        Group::Attention => ("Needs attention", "worst first"),
        Group::Changed => (
            "Paused or overridden",
            "kept until someone ends it or it expires",
        ),
        Group::Calm => ("In order", "next to run first"),
    };
    let rows = table.overview.rows.iter();
    let count = rows
        .filter(|row| {
            row.conditions.first().group() == group
                && table.selection.matches_but_state(table.overview, row)
                && table
                    .selection
                    .state
                    .is_none_or(|state| state.shows(table.overview, row))
        })
        .count();
    html! {
        tr.grp { th colspan="9" scope="colgroup" { (words) span { (count) ", " (order) } } }
    }
}

/// A row of the table.
fn row(table: &Table<'_>, row: &Row, place: usize, opens_up: bool, page: &PageParts<'_>) -> Markup {
    let times = page.times;
    let overview = table.overview;
    let view = overview.schedule(row);
    let errors = table.errors(row);
    let reason = reason(overview, row, times);
    let id = row.id.as_ref().map(DefinitionId::as_str);
    // A calendar has no page and no actions of its own.
    let name = id.filter(|_| row.kind == Kind::Workflow);
    let source = row.source.as_deref().unwrap_or_default();
    html! {
        tr.row id=[name.map(|name| format!("r-{name}"))] {
            td.pick { @if let Some(name) = name.filter(|_| page.may_operate) {
                input type="checkbox" name="id" value=(name) aria-label={ "Pick " (name) };
            } }
            td.c-state {
                (of_row(overview, row))
                // A box that cuts its text off would cut off the message of the badge, too.
                @match errors {
                    Some(errors) => span.l2.say { (badge(errors, place, opens_up)) @if let Some(reason) = &reason { " · " (reason) } },
                    None => span.l2.say.cut title=[reason.as_deref()] { @if let Some(reason) = &reason { (reason) } },
                }
            }
            td.c-name {
                @match name {
                    Some(name) => a.l1.name.cut href=(links::definition(name)) title=(name) { (name) },
                    None => a.l1.name.cut href="/errors" title=(source) { (id.unwrap_or(source)) },
                }
                @if name.is_some() { span.l2.cut title=(source) { (source) } }
            }
            td.c-lab { (labels_and_queue(overview, row)) }
            td.c-when { (when(overview, row, view)) }
            td.c-next { (next(view, times)) }
            td.c-last { (last_run(view, times)) }
            td.c-strip { @if let Some(runs) = view.and_then(|view| page.strips.get(&view.id)) { (strip(runs, times, page.ui)) } }
            td.c-act { @if let Some(name) = name { (actions(name, view.filter(|_| page.may_operate))) } }
        }
    }
}

fn labels_and_queue(overview: &Overview, row: &Row) -> Markup {
    let labels: Vec<_> = overview.labels(row).iter().take(3).collect();
    let title = labels.iter().map(|(name, value)| format!("{name} {value}"));
    let title = title.collect::<Vec<_>>().join(" · ");
    html! {
        span.l1.cut title=(title) {
            @for (name, value) in &labels { span.lab { i { (name) } " " (value) } " " }
        }
        @if let Some(queue) = overview.queue(row) {
            span.l2.cut title={ "task queue " (queue) } { "queue " (queue) }
        }
    }
}

/// The times in words, and the zone.
fn when(overview: &Overview, row: &Row, view: Option<&ScheduleView>) -> Markup {
    let events = overview.events(row);
    let Some(view) = view else {
        if row.conditions.contains(Condition::OnDemand) && !events.is_empty() {
            let events = events.join(", ");
            return html! {
                span.l1.cut title=(events) { (events) }
                span.l2 { "no times" }
            };
        }
        let words = match overview.served(row) {
            Some(loaded) if loaded.definition.schedule.is_none() => "no times",
            Some(_) => "not created yet",
            None => "cannot be read",
        };
        return html! { span.l1.faint { (words) } };
    };
    let words = view
        .summary
        .strip_suffix(&view.timezone)
        .unwrap_or(&view.summary)
        .trim_end();
    let is_overridden = row.conditions.contains(Condition::Overridden)
        && row.conditions.first() != Condition::Overridden;
    html! {
        span.l1.cut title=(view.summary) {
            (words)
            @if is_overridden { " " (state(Glyph::Overridden, super::condition::Tone::Violet, "overridden")) }
        }
        span.l2.cut { (view.timezone) @if !events.is_empty() { " · and on events" } }
    }
}

/// The next time, or the reason why there is none.
fn next(view: Option<&ScheduleView>, times: &Times) -> Markup {
    let Some(view) = view else {
        return html! { span.l1.faint { "–" } };
    };
    html! {
        @if let Some(next) = view.next_run {
            span.l1 { (times.relative(next, &view.timezone)) }
            span.l2 { (times.absolute(next, &view.timezone)) }
        } @else {
            span.l1.faint { (if view.paused { "paused" } else { "never" }) }
        }
    }
}

fn last_run(view: Option<&ScheduleView>, times: &Times) -> Markup {
    let Some(view) = view else {
        return html! { span.l1.faint { "–" } };
    };
    let Some(run) = view.last_run.as_ref() else {
        return html! { span.l1.faint { "no runs" } };
    };
    html! {
        span.l1 { (run_status(run.status.as_deref())) }
        span.l2 { (times.absolute(run.at, &view.timezone)) " · " (times.relative(run.at, &view.timezone)) }
    }
}

/// Links to the actions of a row.
fn actions(name: &str, view: Option<&ScheduleView>) -> Markup {
    let at = links::definition(name);
    let is_paused = view.is_some_and(|view| view.paused);
    html! {
        div.acts-row {
            @if view.is_some() {
                @if is_paused {
                    a.btn href={ (at) "/unpause" } title="Unpause…" { (glyph(Glyph::Running)) span.vh { "Unpause " (name) } }
                } @else {
                    a.btn href={ (at) "/pause" } title="Pause…" { (glyph(Glyph::Paused)) span.vh { "Pause " (name) } }
                }
                a.btn href={ (at) "/trigger" } title="Run now…" { (glyph(Glyph::Clock)) span.vh { "Run " (name) " now" } }
            }
            a.btn.more href=(at) title="More" { (glyph(Glyph::More)) span.vh { "More about " (name) } }
        }
    }
}

/// The bar for actions on the picked rows.
fn bulk_bar(table: &Table<'_>) -> Markup {
    html! {
        div.bulk role="group" aria-label="Actions on the picked schedules" {
            span.count { "picked" }
            @if table.selected.total > table.selected.rows.len() {
                label { input type="checkbox" name="all" value="true"; " all " (table.selected.total) " that match" }
            }
            @for (action, words) in [
                ("pause", "Pause…"), ("unpause", "Unpause…"), ("trigger", "Run now…"),
                ("backfill", "Backfill…"), ("clear", "Clear override…"),
            ] {
                button.btn name="action" value=(action) { (words) }
            }
        }
    }
}
