//! The choice of colors: light, dark, or those of the system. A cookie keeps it.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::cookies::THEME;
use super::super::cross_site::is_to_loopback;
use super::super::forms::{Form, FormToken};
use super::glyphs::{Glyph, glyph};
use super::links::local_path;

/// A choice of colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Theme {
    Light,
    #[default]
    System,
    Dark,
}

impl Theme {
    const ALL: [Self; 3] = [Self::Light, Self::System, Self::Dark];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::System => "system",
            Self::Dark => "dark",
        }
    }

    /// The choice in a request's cookies.
    pub(in crate::http) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let chosen = THEME.read(headers, is_to_loopback(uri, headers));
        let mut all = Self::ALL.into_iter();
        all.find(|theme| Some(theme.as_str()) == chosen)
            .unwrap_or_default()
    }

    /// The attribute that overrides the system's choice.
    pub(super) fn attribute(self) -> Option<&'static str> {
        (self != Self::System).then_some(self.as_str())
    }

    /// The three buttons that change the choice. `address` is the page to return to.
    pub(super) fn switch(self, address: &str, token: &FormToken) -> Markup {
        html! {
                   form.theme method="post" action="/theme" role="group" aria-label="Colors" {
        (token.fields())
                       input type="hidden" name="back" value=(address);
                       @for one in Self::ALL {
                           @let (mark, title) = match one {
                               Self::Light => (Glyph::Sun, "Light"),
                               Self::System => (Glyph::System, "As the system"),
                               Self::Dark => (Glyph::Moon, "Dark"),
                           };
                           button name="theme" value=(one.as_str()) title=(title)
                               aria-pressed=(if one == self { "true" } else { "false" }) {
                               (glyph(mark)) span.vh { (title) }
                           }
                       }
                   }
               }
    }
}

/// The form of the three buttons.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    theme: Theme,
    back: String,
}

/// `POST /theme`
pub(super) async fn choose(
    uri: Uri,
    headers: HeaderMap,
    Form { values: choice, .. }: Form<Choice>,
) -> Response {
    let cookie = THEME.set(is_to_loopback(&uri, &headers), choice.theme.as_str());
    let back = HeaderValue::try_from(local_path(&choice.back));
    let (Some(cookie), Ok(back)) = (cookie, back) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, back)];
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_in_a_cookie() {
        for (cookie, expected) in [
            ("", Theme::System),
            ("almanac-theme=dark", Theme::Dark),
            ("a=b; almanac-theme=light; c=d", Theme::Light),
            ("almanac-themes=dark", Theme::System),
            ("almanac-theme=<script>", Theme::System),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
            headers.insert(header::HOST, HeaderValue::from_static("localhost"));
            let uri = Uri::from_static("/");
            assert_eq!(Theme::of(&uri, &headers), expected, "{cookie}");
        }
    }
}
