//! The frame around every page: head, navigation, the state of Temporal, and the footer.

use std::sync::Arc;
use std::time::Duration;

use almanac_base::percent::encode;
use almanac_base::text::escaped;
use almanac_core::record::Status;
use axum::Extension;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use tokio::time::timeout;

use super::super::auth::Credential;
use super::super::forms::FormToken;
use super::super::problem::Problem;
use super::super::{Caller, Service};
use super::assets;
use super::glyphs::{Glyph, glyph, sprite};
use super::theme::Theme;
use super::times::Times;
use crate::backend::{Backend, BackendError};
use crate::health::{Readiness, TemporalState};

/// Time for which a page waits for the reconcile workflow's state.
const STATUS_WAIT: Duration = Duration::from_secs(1);

/// A page of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Schedules,
    Timeline,
    Errors,
    Plan,
    Activity,
    Events,
}

impl Tab {
    const ALL: [Self; 6] = [
        Self::Schedules,
        Self::Timeline,
        Self::Errors,
        Self::Plan,
        Self::Activity,
        Self::Events,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Schedules => "/",
            Self::Timeline => "/timeline",
            Self::Errors => "/errors",
            Self::Plan => "/plan",
            Self::Activity => "/activity",
            Self::Events => "/events",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Schedules => "Schedules",
            Self::Timeline => "Timeline",
            Self::Errors => "Errors",
            Self::Plan => "Plan",
            Self::Activity => "Activity",
            Self::Events => "Events",
        }
    }
}

/// The parts of a request and of the process that every page shows.
pub(super) struct Frame {
    project: String,
    namespace: Option<String>,
    /// Address of Temporal's own UI.
    temporal_ui: Option<String>,
    readiness: Readiness,
    status: Option<Arc<Status>>,
    /// Temporal did not answer the question for the status in time.
    is_silent: bool,
    failing: usize,
    theme: Theme,
    /// Path and query of the request.
    address: String,
    /// The page shows what is, so that it can be read again. The answer to a form cannot.
    follows: bool,
    /// The query of the list of schedules, if the request is for that list.
    search: Vec<(String, String)>,
    pub(super) caller: Caller,
    pub(super) token: FormToken,
    pub(super) times: Times,
}

impl<B: Backend> FromRequestParts<Arc<Service<B>>> for Frame {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service<B>>,
    ) -> Result<Self, Problem> {
        let caller = Extension::<Caller>::from_request_parts(parts, service).await;
        let Ok(Extension(caller)) = caller else {
            let detail = "the caller is not known";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        };
        let token = FormToken::from_request_parts(parts, service).await?;
        let backend = &service.backend;
        let asked = service.status_cache.status(&**backend);
        let (status, is_silent) = match timeout(STATUS_WAIT, asked).await {
            Ok(Ok(status)) => (Some(status), false),
            Ok(Err(BackendError::Absent(_))) => (None, false),
            Ok(Err(_)) | Err(_) => (None, true),
        };
        let address = parts.uri.path_and_query();
        Ok(Self {
            project: backend.project().to_string(),
            namespace: backend.namespace(),
            temporal_ui: backend.temporal_ui().map(str::to_owned),
            readiness: backend.readiness(),
            failing: backend.snapshot().failed.len(),
            theme: Theme::of(&parts.uri, &parts.headers),
            address: address.map_or("/", |address| address.as_str()).to_owned(),
            follows: parts.method.is_safe(),
            search: search(&parts.uri),
            status,
            is_silent,
            caller,
            token,
            times: Times::now(),
        })
    }
}

fn search(uri: &Uri) -> Vec<(String, String)> {
    if uri.path() != "/" {
        return Vec::new();
    }
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    pairs.map(|Query(pairs)| pairs).unwrap_or_default()
}

impl Frame {
    /// The reconcile workflow's state, if it answers.
    pub(super) fn status(&self) -> Option<&Status> {
        self.status.as_deref()
    }

    /// The page of the namespace in Temporal's own UI.
    pub(super) fn temporal_ui(&self) -> Option<String> {
        let namespace = encode(self.namespace.as_ref()?);
        Some(format!(
            "{}/namespaces/{namespace}",
            self.temporal_ui.as_ref()?
        ))
    }

    /// The address to return to. The answer to a form has none.
    fn here(&self) -> &str {
        if self.follows { &self.address } else { "/" }
    }

    /// The text that the list of schedules is searched for.
    fn searched(&self) -> Option<&str> {
        let text = self.search.iter().find(|(name, _)| name == "q");
        text.map(|(_, text)| text.as_str())
    }

    /// A page. `title` is what the window shows before the project's name.
    pub(super) fn page(&self, tab: Option<Tab>, title: &str, main: &Markup) -> Response {
        self.with_status(StatusCode::OK, tab, title, main)
    }

    /// A page with a status other than 200.
    pub(super) fn with_status(
        &self,
        status: StatusCode,
        tab: Option<Tab>,
        title: &str,
        main: &Markup,
    ) -> Response {
        let title = format!("{title} · {} · Almanac", self.project);
        let body = html! {
                header.top {
                    (brand())
                    div.where {
                        span.strong { (self.project) }
                        @if let Some(namespace) = &self.namespace {
                            span.sl { "/" } span.dim title="Temporal namespace" { (namespace) }
                        }
                    }
                    nav.nav id="nav" data-live aria-label="Pages" {
                        @for one in Tab::ALL { (self.tab(one, tab == Some(one))) }
                    }
                    form.find role="search" action="/" method="get" {
                        label.vh for="q" { "Search schedules" }
                        // A new search keeps the filters and the order, and begins at the first page.
                        @for (name, value) in &self.search {
                            @if name != "q" && name != "page" { input type="hidden" name=(name) value=(value); }
                        }
                        input id="q" name="q" type="search" placeholder="Search schedules" maxlength="200"
                            value=[self.searched()] autocomplete="off" spellcheck="false";
                        kbd aria-hidden="true" { "/" }
                    }
                    (self.pulse())
                    (self.login())
                (self.theme.switch(self.here(), &self.token))
                }
                main id="main" tabindex="-1" data-follow[self.follows] { (main) }
                footer.foot {
                    span { "Almanac " (env!("CARGO_PKG_VERSION")) }
                    @if let Some(pass) = self.status().map(|status| status.pass) {
                        span { "pass " (pass) }
                    }
                    span.end { "press " kbd { "?" } " for the keys" }
                }
        };
        let body = document(self.theme, &title, &Markup::default(), &body);
        (status, body).into_response()
    }

    /// The name of a person who has logged in, and the button that logs out.
    fn login(&self) -> Markup {
        let caller = &self.caller;
        html! {
            @if caller.credential == Credential::Session {
                form.login method="post" action="/logout" {
                    (self.token.fields())
                    span.dim title=(if caller.may_operate() { "may operate" } else { "may only read" }) { (caller.name) }
                    button.bare { "Log out" }
                }
            }
        }
    }

    fn tab(&self, tab: Tab, is_current: bool) -> Markup {
        let number = match tab {
            Tab::Errors => self.failing,
            Tab::Plan => self
                .status()
                .and_then(|status| Some(status.held.as_ref()?.ids.len()))
                .unwrap_or(0),
            Tab::Schedules | Tab::Timeline | Tab::Activity | Tab::Events => 0,
        };
        html! {
            a href=(tab.path()) aria-current=[is_current.then_some("page")] {
                (tab.title())
                @if number > 0 { " " span.n { (number) } }
            }
        }
    }

    /// The state of Temporal, and the time of the last pass.
    fn pulse(&self) -> Markup {
        let readiness = &self.readiness;
        let (mark, words, tone) = match readiness.temporal {
            TemporalState::Connected if self.is_silent => (Glyph::Waiting, "no answer", "amber"),
            TemporalState::Connected => (Glyph::Check, "Temporal", ""),
            TemporalState::Connecting => (Glyph::Waiting, "connecting", "amber"),
            TemporalState::Away => (Glyph::Cross, "Temporal away", "red"),
        };
        let suspended = self.status().and_then(|status| status.suspended.as_ref());
        html! {
            div.pulse id="pulse" data-live {
                span.(tone) title=[readiness.last_error.as_deref()] { (glyph(mark)) (words) }
                @if let Some(suspended) = suspended {
                    span.violet title={ (suspended.by) ": " (suspended.reason) } {
                        (glyph(Glyph::Paused)) "suspended"
                    }
                } @else if let Some(last) = readiness.last_success {
                    span { span { "last pass " (self.times.relative(last, "UTC")) } }
                } @else {
                    span.dim { "no full pass yet" }
                }
            }
        }
    }
}

/// A page without the parts that need a caller.
pub(super) fn bare(status: StatusCode, theme: Theme, title: &str, main: &Markup) -> Response {
    let title = format!("{title} · Almanac");
    let body = html! {
        header.top { (brand()) }
        main id="main" tabindex="-1" { (main) }
    };
    (status, document(theme, &title, &Markup::default(), &body)).into_response()
}

/// A page that opens another page of this process at once.
pub(super) fn redirecting(theme: Theme, next: &str) -> Response {
    let refresh = html! { meta http-equiv="refresh" content={ "0;url=" (next) }; };
    let body = html! { main id="main" { p { a.link href=(next) { "Continue" } } } };
    document(theme, "Almanac", &refresh, &body)
}

fn brand() -> Markup {
    html! {
        a.brand href="/" {
            svg viewBox="0 0 18 18" aria-hidden="true" {
                circle.disc cx="9" cy="9" r="7.6" {}
                path.lit d="M9 1.4a7.6 7.6 0 0 1 0 15.2 11 11 0 0 0 0-15.2z" {}
            }
            "Almanac"
        }
    }
}

/// The answer that holds a page.
fn document(theme: Theme, title: &str, head: &Markup, body: &Markup) -> Response {
    let page = whole(theme, title, head, body).into_string();
    // Nothing that a person wrote may hide or reverse the text around it.
    let parts = page.split_inclusive(['\n', '\r', '\t']);
    let parts = parts.map(|part| match part.strip_suffix(['\n', '\r', '\t']) {
        Some(text) => escaped(text).into_owned() + &part[text.len()..],
        None => escaped(part).into_owned(),
    });
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], parts.collect::<String>()).into_response()
}

fn whole(theme: Theme, title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme.attribute()] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                (head)
                link rel="stylesheet" href=(assets::path("almanac.css"));
                link rel="icon" href=(assets::path("icon.svg"));
                script type="module" src=(assets::path("almanac.js")) {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (sprite())
                (body)
            }
        }
    }
}
