//! Actions on many schedules: a list of the effects first, then one result for each.

use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::record::{OverrideRequest, RunRequest, RunState};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures::{StreamExt as _, stream};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::super::Service;
use super::super::super::forms::Form;
use super::super::super::limits::ConcurrencyPermit;
use super::super::super::manual_run_routes::start;
use super::super::super::overrides::{Applied, apply};
use super::super::super::problem::Problem;
use super::super::super::query::query_of;
use super::super::super::requests::bad_request;
use super::super::condition::{Tone, of_row, state};
use super::super::frame::{Frame, Tab};
use super::super::glyphs::Glyph;
use super::super::links;
use super::super::selection::Selection;
use super::{Action, Fields, forms, results};
use crate::backend::Backend;
use crate::overview::{Condition, Overview, Row};
use crate::wording::counted;

/// Maximum number of schedules that an action is done on.
const MOST: usize = 300;
/// Maximum number of overrides that wait for their pass at a time: one pass can apply them all.
/// The client of the reconcile workflow limits the updates that are in flight.
const OVERRIDES: usize = 20;
/// Maximum number of requests for runs that are done at a time. The reconcile workflow does as
/// many.
const RUNS: usize = 8;
/// Number of schedules whose times are counted at a time.
const COUNTS: usize = 2;

/// The form of the list: what was picked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Picked {
    action: String,
    /// The definitions that were picked.
    #[serde(default)]
    id: Vec<String>,
    /// `true` for all that match `selection`.
    #[serde(default)]
    all: Option<String>,
    /// The query of the list.
    #[serde(default)]
    selection: String,
}

/// `POST /bulk`: the effects of the action, without doing it.
pub(super) async fn preview<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    form: Form<Picked>,
) -> Result<Response, Problem> {
    let picked = form.values;
    let action = Action::of(&picked.action)?;
    let _turn = service.lists.take(&frame.caller)?;
    let seen = service.overviews.get(&service, frame.status()).await?;
    let render = move || {
        let rows = rows(&seen.overview, &picked)?;
        let main = page(action, &seen.overview, &rows, &frame);
        Ok(frame.page(Some(Tab::Schedules), action.words(), &main))
    };
    service.render_workers.work(render).await?
}

/// The rows that were picked, or that match.
fn rows<'a>(overview: &'a Overview, picked: &Picked) -> Result<Vec<&'a Row>, Problem> {
    let rows: Vec<_> = if picked.all.as_deref() == Some("true") {
        let address = Uri::try_from(format!("/?{}", picked.selection));
        let selection: Selection = query_of(&address.map_err(bad_request)?)?;
        let rows = selection.rows(overview).into_iter();
        rows.filter(|row| row.id.is_some()).collect()
    } else {
        let ids = picked.id.iter();
        ids.filter_map(|id| overview.row(id)).collect()
    };
    match rows.len() {
        0 => Err(bad_request("no schedule is picked")),
        count if count > MOST => Err(bad_request(format!(
            "{count} schedules are more than {MOST}: narrow the list with a filter"
        ))),
        _ => Ok(rows),
    }
}

/// The effect of an action on a row. `Err` is the reason why the action is not done.
fn effect(action: Action, overview: &Overview, row: &Row) -> Result<&'static str, &'static str> {
    let Some(view) = overview.schedule(row) else {
        return Err("has no schedule");
    };
    if row.conditions.contains(Condition::Conflict) {
        return Err("is unmanaged: Almanac does not write to it");
    }
    let is_served = overview.served(row).is_some();
    match action {
        Action::Pause if view.paused => Ok("is paused already; the reason is replaced"),
        Action::Unpause if !view.paused => Err("is not paused"),
        Action::Clear if view.overridden.is_none() => Err("has no override"),
        Action::Pause | Action::Unpause | Action::Override | Action::Clear if !is_served => {
            Err("has no definition")
        }
        Action::Pause => Ok("will be paused"),
        Action::Unpause => Ok("will fire again"),
        Action::Override => Ok("will be overridden"),
        Action::Clear => Ok("will have the file's values"),
        Action::Trigger => Ok("will run once, now"),
        Action::Backfill => Ok("can run for its times in a range; their numbers come next"),
    }
}

fn page(action: Action, overview: &Overview, rows: &[&Row], frame: &Frame) -> Markup {
    let effects: Vec<_> = rows
        .iter()
        .map(|row| (*row, effect(action, overview, row)))
        .collect();
    let able = effects.iter().filter(|(_, effect)| effect.is_ok()).count();
    html! {
        div.head { div {
            p.crumb { a.link href="/" { "Schedules" } }
            h1 { (action.words()) " " (counted(able as u64, "schedule", "schedules")) }
            p.lede { "Nothing has been done yet. This is what would happen." }
        } }
        form.form.wide-form method="post" action={ "/bulk/" (action.as_str()) } {
            (frame.token.fields())
            @for (row, effect) in &effects {
                @if let (Ok(_), Some(id)) = (effect, &row.id) { input type="hidden" name="id" value=(id); }
            }
            table.data.wide {
                thead { tr { th { "Schedule" } th { "State" } th { "Effect" } } }
                tbody { @for (row, effect) in &effects { (effect_row(overview, row, *effect)) } }
            }
            @if able > 0 {
                (forms::inputs(action, "the schedule's time zone", &Fields::default()))
                div.btns {
                    button.main { (action.words()) " " (counted(able as u64, "schedule", "schedules")) }
                    a.btn href="/" { "Cancel" }
                }
                @if !frame.caller.may_operate() {
                    p.red { "Your login may only read: the scope `almanac:operate` is missing." }
                }
            } @else { p { a.btn href="/" { "Back" } } }
        }
    }
}

fn effect_row(overview: &Overview, row: &Row, effect: Result<&str, &str>) -> Markup {
    let id = row.id.as_ref().map_or("", |id| id.as_str());
    html! {
        tr {
            td data-h="Schedule" { a.link href=(links::definition(id)) { (id) } }
            td data-h="State" { (of_row(overview, row)) }
            td data-h="Effect" {
                @match effect {
                    Ok(words) => (words),
                    Err(why) => span.faint { "left alone: " (why) },
                }
            }
        }
    }
}

/// `POST /bulk/{action}`: does the action, and shows one result for each schedule.
pub(super) async fn act<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Path(action): Path<String>,
    form: Form<Fields>,
) -> Result<Response, Problem> {
    let action = Action::of(&action)?;
    let mut fields = form.values;
    let id = std::mem::take(&mut fields.id);
    if id.is_empty() || id.len() > MOST {
        return Err(bad_request(format!("pick 1 to {MOST} schedules")));
    }
    // A mistake in a field is the same for all.
    fields.override_request(action)?;
    fields.run_request(action)?;
    if action == Action::Backfill && super::stated(&fields.confirmed).is_none() {
        let main = backfill_preview(&service, &frame, id, &fields).await?;
        return Ok(frame.page(Some(Tab::Schedules), action.words(), &main));
    }
    let Ok(turn) = service.bulks.take(&frame.caller) else {
        let detail = "an action on many schedules is in progress, and there is one at a time: \
                      send this one again when the other has ended";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
    };
    let (service, frame, fields, request_id) = (&service, &frame, &fields, &form.request_id);
    let turn = &turn;
    let concurrency = if action.starts_runs() {
        RUNS
    } else {
        OVERRIDES
    };
    let done = id.into_iter().map(async |id| {
        let done = one(
            service,
            frame,
            turn,
            action,
            &id,
            fields,
            request_id.part(&format!("{} {id}", action.as_str())),
        )
        .await;
        (id, done)
    });
    let done: Vec<_> = stream::iter(done).buffered(concurrency).collect().await;
    let failed = done.iter().filter(|(_, done)| done.is_err()).count();
    let main = html! {
        div.head { div {
            h1 { (action.words()) }
            p.lede { (done.len() - failed) " done" @if failed > 0 { ", " span.red { (failed) " failed" } } "." }
        } }
        table.data.wide {
            thead { tr { th { "Schedule" } th { "Result" } } }
            tbody { @for (id, done) in &done {
                tr.hot[done.is_err()] {
                    td data-h="Schedule" { a.link href=(links::definition(id)) { (id) } }
                    td data-h="Result" {
                        @match done {
                            Ok(result) => (result),
                            Err(problem) => { (state(Glyph::Cross, Tone::Red, "Failed")) " " (problem.detail()) },
                        }
                    }
                }
            } }
        }
        p { a.btn.main href="/" { "All schedules" } }
    };
    let status = if failed > 0 {
        StatusCode::MULTI_STATUS
    } else {
        StatusCode::OK
    };
    Ok(frame.with_status(status, Some(Tab::Schedules), action.words(), &main))
}

/// The number of runs that a backfill would start of each schedule, without starting any.
async fn backfill_preview<B: Backend>(
    service: &Service<B>,
    frame: &Frame,
    ids: Vec<String>,
    fields: &Fields,
) -> Result<Markup, Problem> {
    let (from, to) = fields.range()?;
    let _turn = service.describes.take(&frame.caller)?;
    let counted_runs = ids.into_iter().map(async |id| {
        let times = service.backend.backfill_times(&id, from, to).await;
        (id, times.map(|times| times.map_or(0, |times| times.count)))
    });
    let counts = stream::iter(counted_runs).buffered(COUNTS);
    let counts: Vec<_> = counts.collect().await;
    let total = counts
        .iter()
        .filter_map(|(_, runs)| runs.as_ref().ok())
        .sum();
    super::check_limit(total, fields)?;
    let able = counts.iter().filter(|(_, runs)| matches!(runs, Ok(1..)));
    Ok(html! {
        div.head { div {
            p.crumb { a.link href="/" { "Schedules" } }
            h1 { "Backfill" }
            p.lede { "Nothing has been started yet. " (counted(total, "run", "runs")) " would start." }
        } }
        form.form.wide-form method="post" action="/bulk/backfill" {
            (frame.token.fields())
            (forms::hidden_backfill(fields))
            @for (id, _) in able { input type="hidden" name="id" value=(id); }
            table.data.wide {
                thead { tr { th { "Schedule" } th { "Runs" } } }
                tbody { @for (id, runs) in &counts {
                    tr {
                        td data-h="Schedule" { a.link href=(links::definition(id)) { (id) } }
                        td data-h="Runs" {
                            @match runs {
                                Ok(runs) => (runs),
                                Err(error) => span.red { (error.to_string()) },
                            }
                        }
                    }
                } }
            }
            div.btns {
                @if total > 0 { button.main { "Start " (counted(total, "run", "runs")) } }
                a.btn href="/" { "Cancel" }
            }
        }
    })
}

async fn one<B: Backend>(
    service: &Service<B>,
    frame: &Frame,
    turn: &ConcurrencyPermit,
    action: Action,
    id: &str,
    fields: &Fields,
    request_id: String,
) -> Result<Markup, Problem> {
    let definition: DefinitionId = super::definition(id)?;
    let by = frame.caller.name.clone();
    if let Some(request) = fields.override_request(action)? {
        let request = OverrideRequest {
            request_id,
            id: Some(definition),
            by,
            ..request
        };
        return Ok(match apply(service, turn, request).await? {
            Applied::Done => html! { (results::done(action)) },
            Applied::Pending(pass) => html! { "Accepted: pass " (pass) " applies it." },
        });
    }
    let Some((kind, request)) = fields.run_request(action)? else {
        return Err(bad_request("there is no such action"));
    };
    let request = RunRequest {
        request_id,
        id: Some(definition),
        by,
        ..request
    };
    let answer = start(service, kind, turn, request).await?;
    let (head, words) = results::run(&answer);
    if matches!(
        answer.state,
        RunState::Failed
            | RunState::NotFound
            | RunState::Foreign
            | RunState::BadRange
            | RunState::Lost
    ) {
        let detail = format!("{words} {}", answer.message);
        return Err(Problem::new(StatusCode::BAD_GATEWAY, detail));
    }
    Ok(html! { (head) " " (words) " " (answer.message) })
}
