//! The login form, and the page that opens a link from another site.

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::frame::{bare, redirecting};
use super::theme::Theme;
use crate::http::forms::FormToken;

/// Returns the page with the login form. After the login, the person gets to `next`.
pub(in crate::http) fn form(
    status: StatusCode,
    theme: Theme,
    token: &FormToken,
    next: &str,
    message: Option<&str>,
) -> Response {
    let main = html! {
        div.begin {
            h1 { "Log in" }
            p.lede { "Almanac keeps the schedules of a project in Temporal. Log in with the token that its operator gave you." }
            @if let Some(message) = message {
                div.notice.red role="alert" { span.say { (message) } }
            }
            form.form method="post" action="/login" {
                (token.fields())
                input type="hidden" name="next" value=(next);
                div.field {
                    label for="token" { "Token" }
                    input id="token" name="token" type="password" required autofocus
                        autocomplete="current-password" spellcheck="false";
                }
                div.btns { button.main { "Log in" } }
            }
        }
    };
    bare(status, theme, "Log in", &main)
}

/// Returns a page that opens `next` again, as a page of this process: a browser sends the
/// session only then.
pub(in crate::http) fn again(theme: Theme, next: &str) -> Response {
    redirecting(theme, next)
}
