//! The web pages: what runs, what is broken and why.
//!
//! Always holds:
//! - Pages show the same read model as the API and the command line, and send the same
//!   requests; they have no path of their own to Temporal.
//! - Each page works without JavaScript. The script makes it quicker to use.
//! - Text is escaped where it is written (`maud`), and the browser loads nothing but the
//!   files of this process.
//!
//! `docs/design.md` has the design: the question that each page answers first, states,
//! colors and sizes.

mod actions;
mod activity;
mod assets;
mod compression;
mod condition;
mod definition;
mod error_badge;
mod errors;
mod events;
mod frame;
mod glyphs;
mod links;
mod live;
pub(super) mod login;
mod overviews;
mod pager;
mod plan;
pub(super) mod refusal;
mod schedules;
mod selection;
mod strips;
mod theme;
mod timeline;
mod times;
mod welcome;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use maud::html;

use super::Service;
use super::problem::PlainProblem;
use crate::backend::Backend;

pub(super) use self::definition::Readings;
pub(super) use self::links::local_path;
pub(super) use self::live::Live;
pub(super) use self::live::STREAMS;
#[cfg(test)]
pub(super) use self::live::STREAMS_EACH;
pub(super) use self::overviews::Overviews;
pub(super) use self::plan::Plans;
pub(super) use self::strips::Strips;
pub(super) use self::theme::Theme;

/// The routes of the pages.
pub(super) fn routes<B: Backend>() -> Router<Arc<Service<B>>> {
    Router::new()
        .route("/", get(schedules::page))
        .route("/definitions/{id}", get(definition::page))
        .route("/errors", get(errors::page))
        .route("/timeline", get(timeline::page))
        .route("/plan", get(plan::page))
        .route("/activity", get(activity::page))
        .route("/live", get(live::events))
        .merge(events::routes())
        .merge(actions::routes())
        .layer(middleware::from_fn(compression::compress))
}

/// The routes of forms that concern the browser alone, so that they require no authority.
pub(super) fn personal_routes<B: Backend>() -> Router<Arc<Service<B>>> {
    Router::new().route("/theme", post(theme::choose))
}

/// The route of the style sheet and the scripts, which the login form needs too.
pub(super) fn open_routes<B: Backend>() -> Router<Arc<Service<B>>> {
    Router::new()
        .route("/assets/{name}", get(assets::asset))
        .layer(middleware::from_fn(compression::compress))
}

/// Answers a problem as a page if a browser asked for one, as a layer.
pub(super) async fn problems(request: Request, next: Next) -> Response {
    let theme = Theme::of(request.uri(), request.headers());
    let wants_page = wants_page(request.headers()) && !is_of_programs(request.uri().path());
    let response = next.run(request).await;
    let problem = response.extensions().get::<PlainProblem>().cloned();
    match problem {
        Some(problem) if wants_page => problem_page(theme, &problem, &response),
        _ => response,
    }
}

/// Returns `true` if the client shows pages, as browsers do.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|one| one.to_str().ok());
    accepted.any(|one| one.contains("text/html"))
}

/// Returns `true` if the path belongs to the API, the probes or the metrics.
fn is_of_programs(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    matches!(first, "api" | "admin" | "healthz" | "readyz" | "metrics")
}

fn problem_page(theme: Theme, problem: &PlainProblem, answer: &Response) -> Response {
    let title = problem.status.canonical_reason().unwrap_or("Error");
    let advice = problem.hint.unwrap_or(match problem.status {
        StatusCode::NOT_FOUND => "The definition may have been renamed or removed.",
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            "Load the page again in a few seconds. Schedules keep firing meanwhile."
        }
        StatusCode::BAD_REQUEST => "Go back and correct the entry, or begin at the list.",
        _ => "",
    });
    let main = html! {
        div.begin {
            h1 { (title) }
            p.lede role="alert" { (problem.detail) }
            @if !advice.is_empty() { p.dim { (advice) } }
            p {
                @if let Some(login) = &problem.login { a.btn.main href=(login) { "Log in" } " " }
                a.btn href="/" { "All schedules" }
            }
        }
    };
    let mut page = frame::bare(problem.status, theme, title, &main);
    for (name, value) in answer.headers() {
        if matches!(
            *name,
            header::RETRY_AFTER | header::WWW_AUTHENTICATE | header::ALLOW
        ) {
            page.headers_mut().insert(name.clone(), value.clone());
        }
    }
    page
}
