//! The form that handles the event of a delivery again.

use std::sync::Arc;

use almanac_core::record::DeliveryState;
use almanac_core::routing::{Maker, Route};
use almanac_steps::language::OnConflict;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::super::Service;
use super::super::super::events::{kept_event, replay};
use super::super::super::forms::Form;
use super::super::super::problem::Problem;
use super::super::super::query::Id;
use super::super::frame::{Frame, Tab};
use super::super::links;
use super::list::cut;
use crate::backend::Backend;
use crate::event_words;
use crate::wording::counted;

/// Maximum number of triggers that are shown.
const SHOWN: usize = 50;
/// Maximum number of characters of a text that are shown.
const WIDTH: usize = 400;

/// The form. It has no fields of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// `GET /events/{id}/replay`
pub(super) async fn form<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Id(id): Id,
) -> Result<Response, Problem> {
    let _turn = service.page_loads.take(&frame.caller)?;
    let (delivery, event) = kept_event(&*service.backend, &id)?;
    let backend = Arc::clone(&service.backend);
    let made_by = Maker::of_arrival(delivery.via);
    let find = move || backend.routes(&event, made_by);
    let routes = service.render_workers.work(find).await?;
    let at = links::delivery(&id);
    let kind = cut(&delivery.event.kind, WIDTH);
    let main = html! {
        div.head { div {
            p.crumb { a.link href="/events" { "Events" } " / " a.link href=(at) { (delivery.id) } }
            h1 { "Replay " (kind) }
            p.lede {
                "Handles this event again, with the definitions as they are now. It is the same event, so a run that it "
                "has started already is not started again. "
                @if delivery.state == DeliveryState::Dead {
                    "If it starts its runs, the delivery " (delivery.id) " and its dead letter are removed."
                } @else {
                    "The delivery " (delivery.id) " stays as it is."
                }
            }
        } }
        (routes_section(&routes))
        form.form method="post" action={ (at) "/replay" } {
            (frame.token.fields())
            div.btns {
                button.main { "Replay" }
                a.btn href=(at) { "Cancel" }
            }
            @if !frame.caller.may_operate() {
                p.red { "Your login may only read: the scope `almanac:operate` is missing." }
            }
        }
    };
    Ok(frame.page(Some(Tab::Events), &format!("Replay {kind}"), &main))
}

/// The triggers that take the event now, and what each would do.
fn routes_section(routes: &[Route]) -> Markup {
    let more = routes.len().saturating_sub(SHOWN);
    html! {
        @if routes.is_empty() {
            p { "No trigger takes this event now, so nothing will start." }
        } @else {
            p { (counted(routes.len() as u64, "trigger takes", "triggers take")) " this event now:" }
            ul.log.result {
                @for route in routes.iter().take(SHOWN) {
                    li {
                        span.sign {}
                        div {
                            a.link href=(links::definition(route.definition.id.as_str())) { (route.definition.id) }
                            span.faint { " · trigger " (u64::from(route.origin.trigger) + 1) }
                            @match &route.run {
                                Ok(run) => {
                                    div { "starts " span.mono { (cut(&run.workflow_id, WIDTH)) } }
                                    div.why { (effect(run.is_derived, run.on_conflict)) }
                                },
                                Err(reason) => div.why.red { "refuses the event: " (cut(reason, WIDTH)) },
                            }
                        }
                    }
                }
            }
            @if more > 0 { p.dim { "and " (more) " more" } }
        }
    }
}

/// What happens if a run has the workflow id already.
fn effect(is_derived: bool, on_conflict: OnConflict) -> String {
    if is_derived && on_conflict != OnConflict::RetryFailed {
        "unless this event has started it already".to_owned()
    } else {
        let effect = event_words::on_conflict(on_conflict);
        format!("if a run has this id: {effect}")
    }
}

/// `POST /events/{id}/replay`
pub(super) async fn act<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Id(id): Id,
    form: Form<Nothing>,
) -> Result<Response, Problem> {
    let Nothing {} = form.values;
    // A form that is sent twice has one delivery.
    let delivery = form.request_id.part(&id);
    if service.backend.delivery(&delivery).is_none() {
        let _turn = service.events.take(&frame.caller)?;
        replay(&service, &id, &frame.caller, Some(delivery.clone())).await?;
    }
    Ok(Redirect::to(&links::delivery(&delivery)).into_response())
}
