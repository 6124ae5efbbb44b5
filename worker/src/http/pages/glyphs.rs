//! The small drawings that stand before words: no state is shown by color alone.
//!
//! Each is a symbol of a sprite, which every page contains once.

use maud::{Markup, html};

/// A drawing of 14 by 14 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glyph {
    Check,
    Broken,
    Stale,
    Conflict,
    Overdue,
    Paused,
    PausedByFailure,
    Held,
    Overridden,
    Running,
    Finished,
    Waiting,
    Cross,
    Skipped,
    Drift,
    Sun,
    Moon,
    System,
    More,
    Clock,
    Out,
    Hand,
    File,
    Event,
}

impl Glyph {
    const fn id(self) -> &'static str {
        match self {
            Self::Check => "g-ok",
            Self::Broken => "g-broken",
            Self::Stale => "g-stale",
            Self::Conflict => "g-conflict",
            Self::Overdue => "g-overdue",
            Self::Paused => "g-paused",
            Self::PausedByFailure => "g-pfail",
            Self::Held => "g-held",
            Self::Overridden => "g-over",
            Self::Running => "g-run",
            Self::Finished => "g-fin",
            Self::Waiting => "g-wait",
            Self::Cross => "g-fail",
            Self::Skipped => "g-skip",
            Self::Drift => "g-drift",
            Self::Sun => "g-sun",
            Self::Moon => "g-moon",
            Self::System => "g-auto",
            Self::More => "g-more",
            Self::Clock => "g-clock",
            Self::Out => "g-out",
            Self::Hand => "g-hand",
            Self::File => "g-file",
            Self::Event => "g-event",
        }
    }
}

/// The drawing, in the color of the text around it.
pub(super) fn glyph(glyph: Glyph) -> Markup {
    html! {
        svg.g viewBox="0 0 14 14" aria-hidden="true" { use href={ "#" (glyph.id()) } {} }
    }
}

/// The symbols of all drawings, and the hatching of the timeline.
pub(super) fn sprite() -> Markup {
    let symbol = |id: Glyph, drawing: Markup| {
        html! { symbol id=(id.id()) viewBox="0 0 14 14" { (drawing) } }
    };
    let path = |d: &str| html! { path d=(d) {} };
    let filled = |d: &str| html! { path.f d=(d) {} };
    let circle = |cx: &str, cy: &str, r: &str| html! { circle cx=(cx) cy=(cy) r=(r) {} };
    let dot = |cx: &str, cy: &str, r: &str| html! { circle.f cx=(cx) cy=(cy) r=(r) {} };
    html! {
        svg.sprite aria-hidden="true" {
            defs {
                (symbol(Glyph::Check, path("M3 7.4l2.6 2.6L11 4.4")))
                (symbol(Glyph::Broken, html! {
                    (filled("M4.3.6h5.4l3.7 3.7v5.4l-3.7 3.7H4.3L.6 9.7V4.3z"))
                    path.n d="M4.8 4.8l4.4 4.4M9.2 4.8L4.8 9.2" {}
                }))
                (symbol(Glyph::Stale, html! {
                    (path("M4.3.9h5.4l3.4 3.4v5.4l-3.4 3.4H4.3L.9 9.7V4.3z")) (path("M7 3.8v3.6"))
                    (dot("7", "10", "1"))
                }))
                (symbol(Glyph::Conflict, html! {
                    (circle("5", "7", "3.8")) (circle("9", "7", "3.8"))
                }))
                (symbol(Glyph::Overdue, html! {
                    (circle("7", "7", "5.8")) (path("M7 3.6V7l2.4 1.6")) (dot("12.2", "1.9", "1.9"))
                }))
                (symbol(Glyph::Paused, html! {
                    path d="M4.6 2.6v8.8M9.4 2.6v8.8" stroke-width="2.4" {}
                }))
                (symbol(Glyph::PausedByFailure, html! {
                    (circle("7", "7", "6")) (path("M5.3 4.8v4.4M8.7 4.8v4.4"))
                }))
                (symbol(Glyph::Held, html! {
                    rect x="2.2" y="6.2" width="9.6" height="6.6" rx="1" {}
                    (path("M4.3 6V4.2a2.7 2.7 0 0 1 5.4 0V6"))
                }))
                (symbol(Glyph::Overridden, html! {
                    (path("M7 1l6 6-6 6-6-6z")) (dot("7", "7", "1.6"))
                }))
                (symbol(Glyph::Running, filled("M3.6 2.2v9.6L12 7z")))
                (symbol(Glyph::Finished, path("M3 13V1.6M3 2h8l-2 2.8L11 7.6H3")))
                (symbol(Glyph::Waiting, html! {
                    circle cx="7" cy="7" r="5.8" stroke-dasharray="2.2 2.4" {}
                    (dot("7", "7", "1.5"))
                }))
                (symbol(Glyph::Cross, html! { path d="M3 3l8 8M11 3l-8 8" stroke-width="2" {} }))
                (symbol(Glyph::Skipped, path("M2 7h7M6.5 4L9.5 7l-3 3M12 3.6v6.8")))
                (symbol(Glyph::Drift, path(
                    "M1.5 5h9M8 2.5L10.5 5 8 7.5M12.5 9.6h-9M6 7.1L3.5 9.6 6 12.1"
                )))
                (symbol(Glyph::Sun, html! {
                    (circle("7", "7", "2.6"))
                    (path("M7 1v1.6M7 11.4V13M1 7h1.6M11.4 7H13M2.8 2.8l1 1M10.2 10.2l1 1M11.2 2.8l-1 1M3.8 10.2l-1 1"))
                }))
                (symbol(Glyph::Moon, path("M11.8 8.6A5.3 5.3 0 0 1 5.4 2.2a5.3 5.3 0 1 0 6.4 6.4z")))
                (symbol(Glyph::System, html! {
                    (circle("7", "7", "5.4")) (filled("M7 1.6a5.4 5.4 0 0 1 0 10.8z"))
                }))
                (symbol(Glyph::More, html! {
                    (dot("2.6", "7", "1.3")) (dot("7", "7", "1.3")) (dot("11.4", "7", "1.3"))
                }))
                (symbol(Glyph::Clock, html! {
                    (circle("7", "7", "5.6")) (path("M7 3.8V7l2.2 1.4"))
                }))
                (symbol(Glyph::Out, path("M5.5 2.5h-3v9h9v-3M8 2h4v4M12 2L6.6 7.4")))
                (symbol(Glyph::Hand, html! {
                    (circle("7", "4.2", "2.4")) (path("M2.6 12.4a4.4 4.4 0 0 1 8.8 0"))
                }))
                (symbol(Glyph::File, path("M3 1.2h5l3 3v8.6H3zM8 1.2v3h3M5.2 7.4h3.6M5.2 9.8h3.6")))
                (symbol(Glyph::Event, filled("M8.4.8L2.6 8h3.6l-.8 5.2L11.4 6H7.6z")))
                pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)" { path.hatch d="M0 0v5" {} }
            }
        }
    }
}
