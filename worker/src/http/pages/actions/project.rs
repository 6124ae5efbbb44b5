//! The actions on the whole project: sync, confirm held removals, suspend and resume.

use std::sync::Arc;

use almanac_core::record::SuspendRequest;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::super::Service;
use super::super::super::forms::Form;
use super::super::super::problem::Problem;
use super::super::super::requests::bad_request;
use super::super::super::sync::{SyncParameters, Synced, run};
use super::super::frame::{Frame, Tab};
use super::results;
use crate::backend::Backend;
use crate::wording::counted;

/// The form of a pass. It has no fields of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// `GET /sync`
pub(super) async fn sync_form(frame: Frame) -> Response {
    let main = html! {
        div.head { div {
            h1 { "Sync now" }
            p.lede { "Reads the files again, and does a full pass: the schedules are made as the definitions say." }
        } }
        form.form method="post" action="/sync" {
            (frame.token.fields())
            div.btns { button.main { "Sync now" } a.btn href="/plan" { "See the plan first" } a.btn href="/" { "Cancel" } }
        }
    };
    frame.page(None, "Sync", &main)
}

/// `POST /sync`
pub(super) async fn sync<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    form: Form<Nothing>,
) -> Result<Response, Problem> {
    let synced = run(
        &service,
        &frame.caller,
        SyncParameters::default(),
        form.request_id.whole(),
    );
    let main = shown("Sync", synced.await?);
    Ok(frame.page(None, "Sync", &main))
}

fn shown(title: &str, synced: Synced) -> Markup {
    match synced {
        Synced::Report(report) => results::pass(title, &report),
        Synced::Pending(pass) => results::pending(title, pass),
    }
}

/// The form that confirms held removals.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    digest: String,
    /// The number of removals, typed by the person.
    count: String,
    /// The number of removals that the page showed.
    expected: u64,
}

/// `GET /confirm`
pub(super) async fn confirm_form(frame: Frame) -> Result<Response, Problem> {
    let held = frame.status().and_then(|status| status.held.clone());
    let Some(held) = held.filter(|held| !held.digest.is_empty()) else {
        let detail = "no removal waits for confirmation";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let count = held.count.max(held.ids.len() as u64);
    let more = count.saturating_sub(held.ids.len() as u64);
    let main = html! {
        div.head { div {
            p.crumb { a.link href="/plan" { "Plan" } " / confirm" }
            h1 { "Delete " (counted(count, "schedule", "schedules")) }
            p.lede { (held.reason) ". Deleted schedules fire no more. Runs that have begun go on. This cannot be undone." }
        } }
        ul.ids.mono { @for id in &held.ids { li { (id) } } @if more > 0 { li { "and " (more) " more" } } }
        form.form method="post" action="/confirm" {
            (frame.token.fields())
            input type="hidden" name="digest" value=(held.digest);
            input type="hidden" name="expected" value=(count);
            p.help { "Digest of exactly these: " span.mono { (held.digest) } ". Another set has another digest, and is refused." }
            div.field {
                label for="count" { "Type " (count) " to confirm" }
                input id="count" name="count" type="text" inputmode="numeric" required autocomplete="off" maxlength="12";
            }
            div.btns { button.danger { "Delete " (counted(count, "schedule", "schedules")) } a.btn href="/plan" { "Cancel" } }
        }
    };
    Ok(frame.page(Some(Tab::Plan), "Confirm removals", &main))
}

/// `POST /confirm`
pub(super) async fn confirm<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    form: Form<Confirmation>,
) -> Result<Response, Problem> {
    let values = &form.values;
    if values.count.trim() != values.expected.to_string() {
        let detail = format!(
            "`{}` is not the number of schedules: nothing was deleted",
            values.count
        );
        return Err(bad_request(detail));
    }
    let switches = SyncParameters {
        confirm: Some(values.digest.clone()),
        ..SyncParameters::default()
    };
    let synced = run(&service, &frame.caller, switches, form.request_id.whole()).await?;
    let main = shown("Removals", synced);
    Ok(frame.page(Some(Tab::Plan), "Removals", &main))
}

/// The form that suspends Almanac.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: String,
}

/// `GET /suspend`
pub(super) async fn suspend_form(frame: Frame) -> Response {
    let main = html! {
        div.head { div {
            h1 { "Suspend Almanac" }
            p.lede { "No pass begins until someone resumes: Almanac writes nothing. Schedules keep firing, and steps keep running." }
        } }
        form.form method="post" action="/suspend" {
            (frame.token.fields())
            div.field {
                label for="reason" { "Reason" }
                input id="reason" name="reason" type="text" required maxlength="480" autocomplete="off";
            }
            div.btns { button.main { "Suspend" } a.btn href="/" { "Cancel" } }
        }
    };
    frame.page(None, "Suspend", &main)
}

/// `POST /suspend`
pub(super) async fn suspend<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    form: Form<Reason>,
) -> Result<Response, Problem> {
    let request = SuspendRequest {
        request_id: form.request_id.whole(),
        reason: form.values.reason.trim().to_owned(),
        by: frame.caller.name.clone(),
    };
    request.check().map_err(bad_request)?;
    if request.reason.is_empty() {
        return Err(bad_request("reason is missing"));
    }
    service.backend.suspend(request).await?;
    service.status_cache.forget();
    service.forget_schedules();
    let main = html! {
        div.head { h1 { "Almanac is suspended" } }
        p.lede { "No pass begins. A pass that was running ends first." }
        p { a.btn.main href="/" { "All schedules" } " " a.btn href="/resume" { "Resume…" } }
    };
    Ok(frame.page(None, "Suspended", &main))
}

/// `GET /resume`
pub(super) async fn resume_form(frame: Frame) -> Response {
    let suspended = frame.status().and_then(|status| status.suspended.as_ref());
    let main = html! {
        div.head { div {
            h1 { "Resume Almanac" }
            p.lede {
                @match suspended {
                    Some(one) => { (one.by) " suspended it " (frame.times.relative(one.at, "UTC")) ": " q { (one.reason) } ". A full pass follows." },
                    None => "It is not suspended.",
                }
            }
        } }
        form.form method="post" action="/resume" {
            (frame.token.fields())
            div.btns { button.main { "Resume" } a.btn href="/plan" { "See the plan first" } a.btn href="/" { "Cancel" } }
        }
    };
    frame.page(None, "Resume", &main)
}

/// `POST /resume`
pub(super) async fn resume<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    form: Form<Nothing>,
) -> Result<Response, Problem> {
    let request = SuspendRequest {
        request_id: form.request_id.whole(),
        reason: String::new(),
        by: frame.caller.name.clone(),
    };
    service.backend.resume(request).await?;
    service.status_cache.forget();
    service.forget_schedules();
    let main = html! {
        div.head { h1 { "Almanac works again" } }
        p.lede { "A full pass has been requested." }
        p { a.btn.main href="/" { "All schedules" } " " a.btn href="/activity" { "Activity" } }
    };
    Ok(frame.page(None, "Resumed", &main))
}
