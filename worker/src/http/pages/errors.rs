//! `GET /errors`: all documents that fail, with their complete messages.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Service;
use super::super::definitions::{DefinitionStatus, DefinitionView, failing_where};
use super::super::problem::Problem;
use super::super::query::{StrictQuery, parsed};
use super::condition;
use super::error_badge::{consequence, message};
use super::frame::{Frame, Tab};
use super::links;
use super::pager::pager;
use crate::backend::Backend;
use crate::overview::Condition;

/// Number of documents on a page.
const PAGE: usize = 50;

/// The query of the page.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Query {
    /// Number of the page, from 1.
    #[serde(deserialize_with = "parsed")]
    page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self { page: 1 }
    }
}

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Response, Problem> {
    let _turn = service.page_loads.take(&frame.caller)?;
    let snapshot = service.backend.snapshot();
    let first = query.page.saturating_sub(1).saturating_mul(PAGE);
    let find = move || {
        let mut place = 0;
        let shown = failing_where(&snapshot, |_, _| {
            place += 1;
            (first..first.saturating_add(PAGE)).contains(&(place - 1))
        });
        (
            shown,
            place,
            snapshot.incomplete.clone(),
            snapshot.warnings.clone(),
        )
    };
    let (views, total, incomplete, warnings) = service.render_workers.work(find).await?;
    let main = html! {
        div.head {
            h1 { "Errors" }
            p.dim { (sentence(total)) }
        }
        @for reason in &incomplete {
            div.notice.amber role="status" {
                span.say { "The files are not read completely, so nothing is removed: " (reason) }
            }
        }
        @for view in &views { (document(view)) }
        @if total == 0 {
            p.lede { "Every document is valid. A document with an error is shown here with its line, "
                "and its last good version keeps running meanwhile." }
        }
        (pager(query.page, total, PAGE, |page| format!("/errors?page={page}")))
        @if !warnings.is_empty() {
            section.sec {
                header { h2 { "Warnings" } span.dim { "The documents are loaded." } }
                @for warning in warnings.iter().take(PAGE) { (message(warning)) }
                @if warnings.len() > PAGE {
                    p.dim { "and " (warnings.len() - PAGE) " more: `almanac validate` prints them all" }
                }
            }
        }
    };
    let title = if total == 0 {
        "No errors".to_owned()
    } else {
        condition::errors(total)
    };
    Ok(frame.page(Some(Tab::Errors), &title, &main))
}

fn sentence(total: usize) -> String {
    match total {
        0 => "No document fails.".to_owned(),
        1 => "One document fails.".to_owned(),
        _ => format!("{total} documents fail."),
    }
}

fn document(view: &DefinitionView) -> Markup {
    let state = match view.status {
        DefinitionStatus::Stale => Condition::Stale,
        _ => Condition::Broken,
    };
    html! {
        section.sec id={ "e-" (view.source) } {
            header {
                (condition::condition(state))
                h2 {
                    @match &view.id {
                        Some(id) => a href=(links::definition(id.as_str())) { (id) },
                        None => (view.source),
                    }
                }
                span.mono.faint { (view.source) }
            }
            @for error in &view.load_errors { (message(error)) }
            @if view.load_errors_truncated > 0 {
                p.dim { "and " (view.load_errors_truncated) " more" }
            }
            p.dim { (consequence(view.status)) }
        }
    }
}
