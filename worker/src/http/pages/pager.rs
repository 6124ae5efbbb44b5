//! Links to the other pages of a list.

use maud::{Markup, html};

/// The links, or nothing if everything is on one page.
pub(super) fn pager(
    page: usize,
    total: usize,
    size: usize,
    address: impl Fn(usize) -> String,
) -> Markup {
    let pages = total.div_ceil(size);
    if pages <= 1 {
        return Markup::default();
    }
    let first = page.saturating_sub(1).saturating_mul(size);
    let (from, to) = (
        first.saturating_add(1).min(total),
        first.saturating_add(size).min(total),
    );
    html! {
        nav.pager aria-label="Pages of the list" {
            @if page > 1 { a.btn rel="prev" href=(address(page.min(pages + 1) - 1)) { "‹ Previous" } }
            span.dim { (from) "–" (to) " of " (total) }
            @if page < pages { a.btn rel="next" href=(address(page.saturating_add(1))) { "Next ›" } }
        }
    }
}
