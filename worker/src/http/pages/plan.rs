//! `GET /plan`: the operations of the next pass, field by field, and what waits for a person.

use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::Revision;
use almanac_core::plan::{Block, BlockKind, Difference, FieldText, FieldValue, PlanText};
use almanac_core::record::Held;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use tokio::time::Instant;

use super::super::cached_map::CachedMap;
use super::super::forms::FormToken;
use super::super::problem::Problem;
use super::super::{Caller, Service};
use super::condition::{Tone, state};
use super::frame::{Frame, Tab};
use super::glyphs::{Glyph, glyph};
use super::links;
use super::times::Times;
use crate::backend::{Backend, Planned};
use crate::fire_times::TimesChange;
use crate::wording::counted;

/// Maximum number of blocks of a kind that are shown.
const SHOWN: usize = 200;

/// The kinds of blocks, in the order of the page.
const SECTIONS: [(BlockKind, &str, &str); 7] = [
    (BlockKind::Update, "Update", ""),
    (BlockKind::Create, "Create", ""),
    (BlockKind::Delete, "Delete", ""),
    (
        BlockKind::Conflict,
        "Conflict",
        "not written: another schedule has the id",
    ),
    (
        BlockKind::Contested,
        "Contested",
        "left alone for now: someone keeps changing it back",
    ),
    (BlockKind::Drift, "Drift", "reported, and not corrected"),
    (
        BlockKind::Problem,
        "Problems",
        "a part of the plan could not be made",
    ),
];

/// Maximum age of a plan that a page shows. After that, the plan is forgotten.
const FRESH: Duration = Duration::from_secs(2);
/// Maximum number of plans that are kept: one, of the present files.
const PLANS_KEPT: usize = 1;

/// A plan, and the same in words. Nothing of it depends on who reads it.
#[derive(Debug)]
struct WordedPlan {
    planned: Planned,
    text: PlanText,
}

/// The last plan, with the revision of the files from which it was made. A plan is made once for
/// all viewers of the page.
#[derive(Debug)]
pub(in crate::http) struct Plans(CachedMap<Revision, WordedPlan, Problem>);

impl Default for Plans {
    fn default() -> Self {
        Self(CachedMap::new(PLANS_KEPT, FRESH))
    }
}

impl Plans {
    /// Returns the plan as it was a moment ago.
    async fn get<B: Backend>(
        &self,
        service: &Service<B>,
        caller: &Caller,
    ) -> Result<Arc<WordedPlan>, Problem> {
        let revision = service.backend.snapshot().revision.clone();
        let take_turn = || service.plans.take(caller);
        let make = async {
            let began = Instant::now();
            let planned = Box::pin(service.backend.plan()).await?;
            let words = move || WordedPlan {
                text: planned.plan.text(),
                planned,
            };
            Ok((began, service.render_workers.work(words).await?))
        };
        self.0.get(revision, FRESH, take_turn, make).await
    }

    /// Forgets the plan, so that the next page shows a change that was just made.
    pub(in crate::http) fn forget(&self) {
        self.0.forget();
    }
}

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
) -> Result<Response, Problem> {
    let worded = service.shared_plans.get(&service, &frame.caller).await?;
    let suspended = frame.status().and_then(|status| status.suspended.clone());
    let (times, token) = (frame.times, frame.token.clone());
    let may_operate = frame.caller.may_operate();
    let render = move || {
        let WordedPlan { planned, text } = &*worded;
        let count = planned.plan.len();
        let title = if count == 0 {
            "Nothing to do".to_owned()
        } else {
            counted(count as u64, "change", "changes")
        };
        let notice = suspended.map(|suspended| html! {
            div.notice role="status" {
                (state(Glyph::Paused, Tone::Violet, "Suspended"))
                span.say { (suspended.by) " suspended Almanac " (times.relative(suspended.at, "UTC")) ": " (suspended.reason)
                    ". No pass begins, so nothing of this is written." }
                a.btn href="/resume" { "Resume…" }
            }
        });
        let main = main(
            planned,
            &text.blocks,
            &text.summary,
            notice,
            may_operate.then_some(&token),
        );
        (title, main)
    };
    let (title, main) = service.render_workers.work(render).await?;
    Ok(frame.page(Some(Tab::Plan), &title, &main))
}

fn main(
    planned: &Planned,
    blocks: &[Block],
    summary: &str,
    notice: Option<Markup>,
    token: Option<&FormToken>,
) -> Markup {
    let of = |kind: BlockKind| blocks.iter().filter(move |block| block.kind == kind);
    html! {
        div.head {
            h1 { "Plan" }
            p.dim { "The operations of the next pass, if nothing changes until then." }
            div.acts {
                a.btn href="/plan" { "Refresh" }
                @if let Some(token) = token {
                    form method="post" action="/sync" { (token.fields()) button.main { "Sync now" } }
                }
            }
        }
        @if let Some(notice) = notice { (notice) }
        p.sum { b { (summary) } }
        @if let Some(held) = &planned.plan.held { (removals(held)) }
        @for (kind, title, explanation) in SECTIONS {
            @let count = of(kind).count();
            @if count > 0 {
                section.sec {
                    header { h2 { (title) } span.dim { (count) @if !explanation.is_empty() { ", " (explanation) } } }
                    @for block in of(kind).take(SHOWN) { (self::block(block, planned)) }
                    @if count > SHOWN { p.dim { "and " (count - SHOWN) " more" } }
                }
            }
        }
        @if blocks.is_empty() {
            p.empty { "Every schedule is as its definition says. A change of a file, a pause or a drift appears here before it is written." }
        }
    }
}

/// The removals that wait, with the form that confirms exactly these.
fn removals(held: &Held) -> Markup {
    let count = held.count.max(held.ids.len() as u64);
    let more = count.saturating_sub(held.ids.len() as u64);
    html! {
        section.sec id="held" {
            header {
                h2 { "Delete, held" }
                (state(Glyph::Held, Tone::Violet, &counted(count, "removal", "removals")))
            }
            div.hold {
                div {
                    p { (held.reason) ". If this was meant, confirm it. If not, bring the files back. Until then the schedules keep firing." }
                    ul.ids.mono { @for id in &held.ids { li { (id) } } @if more > 0 { li { "and " (more) " more" } } }
                }
                @if !held.digest.is_empty() {
                    div.confirm {
                        span.small.dim { "Digest of exactly these" }
                        p.mono.digest { (held.digest) }
                        a.btn.danger href="/confirm" { (glyph(Glyph::Cross)) "Delete " (counted(count, "schedule", "schedules")) "…" }
                        p.small.dim { "Or run " code { "almanac sync --confirm " (held.digest.get(..12).unwrap_or(&held.digest)) "…" } }
                    }
                }
            }
        }
    }
}

fn block(block: &Block, planned: &Planned) -> Markup {
    let sign = block.kind.sign().as_char();
    let tone = match block.kind {
        BlockKind::Create => "green",
        BlockKind::Delete => "red",
        _ => "amber",
    };
    html! {
        article.chg {
            span.sign.(tone) { (sign) }
            div {
                header {
                    @match &block.definition {
                        Some(id) => a.name href=(links::definition(id.as_str())) { (block.subject) },
                        None => span.name { (block.subject) },
                    }
                    span.why { (block.heading.trim_start_matches([':', ' '])) }
                }
                @if !block.fields.is_empty() {
                    table.diff { tbody { @for one in &block.fields { (field(one)) } } }
                }
                @for line in &block.lines { p.mono.dim { (line) } }
                @if let Some(times) = block.definition.as_ref().and_then(|id| planned.times.get(id)) {
                    (fire_times(times))
                }
            }
        }
    }
}

/// The next fire times before and after the change.
fn fire_times(times: &TimesChange) -> Markup {
    let zone = &times.timezone;
    let merged = times.merged();
    html! {
        table.diff.times { tbody {
            @if merged.is_empty() { tr { td { "fires" } td { "never" } } }
            @for (place, time) in merged.iter().enumerate() {
                tr {
                    td { @if place == 0 { "fires" } }
                    td {
                        @match time {
                            Some((at, '-')) => del.a { (Times::full(*at, zone)) },
                            Some((at, '+')) => ins.b { (Times::full(*at, zone)) },
                            Some((at, _)) => span.faint { (Times::full(*at, zone)) },
                            None => "…",
                        }
                    }
                }
            }
        } }
    }
}

fn field(field: &FieldText) -> Markup {
    html! {
        tr {
            td { (field.name) @if let Some(cause) = field.cause { " " span.faint { (cause) } } }
            td {
                @match &field.value {
                    FieldValue::Is(value) => span.b { (value) },
                    FieldValue::Changes(Difference::Values { before, after }) => {
                        del.a { (before) } span.to aria-label="becomes" { "→" } ins.b { (after) }
                    },
                    FieldValue::Changes(Difference::Parts { shown, more }) => {
                        @for part in shown { div { (part.sign.as_char()) " " (part.text) } }
                        @if *more > 0 { div.faint { "and " (more) " more" } }
                    },
                }
            }
        }
    }
}
