//! Authority: decides which requests may do what, unless only programs of this machine
//! may ask.
//!
//! A program shows a token in `Authorization: Bearer` (RFC 6750). A browser shows the
//! session that a person began with a token (see `login`), or comes through a proxy that
//! names the person (see `proxy`). Reading needs the scope `almanac:read`. Changing
//! something needs `almanac:operate`, which implies `almanac:read`. Always holds:
//! - A handler behind [`authorize`] finds a [`Caller`] among the request's extensions.
//! - A session changes something only through the forms of pages: see `forms`.
//! - No token and no session is ever logged.

mod jwks;
mod jwt;
mod keys;
pub(super) mod login;
mod proxy;
mod session;
mod signature_verifier;
mod tokens;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::jwt::Jwt;
use self::tokens::Tokens;
use super::cookies::{SESSION, VALUE_LIMIT};
use super::problem::Problem;
use super::server::{self, Peer};
use super::{cross_site, limits, pages};
use crate::args::{AuthArgs, AuthUsage, ChosenAuth, ProxyRules};
use crate::reloading_file::{ReloadingFile, Unusable as UnusableAuthority, UnusableFile};

/// Minimum time between two fetches of keys that tokens cause.
const REFETCH: Duration = Duration::from_secs(30);
/// Interval at which the authority of an open stream is checked again.
const RECHECK: Duration = Duration::from_secs(2);

/// The sender of a request, for logs, for the record of an operation, and for pages, which
/// offer only what the caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `sub` of a signed token, the name beside a token in its file, or the user that a
    /// proxy names.
    pub name: String,
    /// The permission of the caller: at least that to read.
    pub scope: Scope,
    /// The proof of the caller's name.
    pub credential: Credential,
}

impl Caller {
    /// Returns `true` if the caller may change something.
    pub fn may_operate(&self) -> bool {
        self.scope >= Scope::Operate
    }
}

/// The permission of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Permission to read: `almanac:read`.
    Read,
    /// Permission to read and to change something: `almanac:operate`.
    Operate,
}

/// The proof of a caller's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: the process serves only this machine, and requires no proof.
    None,
    /// A token in the header `Authorization`.
    Bearer,
    /// The cookie of a person who has logged in.
    Session,
    /// The headers of a proxy, which has identified the user.
    Proxy,
}

impl Scope {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "almanac:read",
            Self::Operate => "almanac:operate",
        }
    }

    /// Returns the greatest of the scopes that these words name.
    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        words
            .filter_map(|word| {
                [Self::Read, Self::Operate]
                    .into_iter()
                    .find(|scope| scope.name() == word)
            })
            .max()
    }
}

/// The sender of a request before the scope has been checked.
struct Identified {
    name: String,
    scope: Option<Scope>,
    credential: Credential,
}

/// The way in which callers are identified. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Authority {
    /// Callers are not identified.
    None,
    /// Callers show a token of a file.
    Token(Arc<ReloadingFile<Tokens>>),
    /// Callers show a token that an issuer signed.
    Jwt(Arc<Jwt>),
    /// A proxy names callers.
    Proxy(Arc<ProxyRules>),
}

/// An error in the flags of authority, or in the files that they name.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The flags do not fit together.
    #[error(transparent)]
    Usage(#[from] AuthUsage),
    /// A file is missing or bad.
    #[error(transparent)]
    File(#[from] UnusableFile),
    /// None of the keys can be used with the accepted algorithms.
    #[error("--auth-jwt-algorithms: no key of {0} can be used with these")]
    Algorithms(String),
    /// Keys cannot be fetched from this address.
    #[error("--auth-jwks: {0}")]
    Address(String),
}

impl Authority {
    /// Reads the files that the flags name. Fetches no keys yet.
    pub fn open(args: &AuthArgs) -> Result<Self, AuthError> {
        Self::with_refetch(args.chosen()?, REFETCH)
    }

    /// Does the same as [`Self::open`], with this minimum time between two fetches that
    /// tokens cause.
    pub(super) fn with_refetch(chosen: ChosenAuth, refetch: Duration) -> Result<Self, AuthError> {
        Ok(match chosen {
            ChosenAuth::None => Self::None,
            ChosenAuth::Token(file) => {
                let tokens = ReloadingFile::open("--auth-token-file", file, Tokens::parse)?;
                Self::Token(Arc::new(tokens.secret()))
            }
            ChosenAuth::Jwt(rules) => Self::Jwt(Arc::new(Jwt::open(rules, refetch)?)),
            ChosenAuth::Proxy(rules) => Self::Proxy(Arc::new(rules)),
        })
    }

    /// Returns `true` if callers are identified.
    pub(crate) const fn is_asked_for(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Follows changes of the files and keys until `stop`.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let keep = async {
            match &self {
                Self::None | Self::Proxy(_) => {}
                Self::Token(tokens) => tokens.follow().await,
                Self::Jwt(jwt) => jwt.keep().await,
            }
        };
        tokio::select! {
            () = keep => {}
            () = stop.cancelled() => {}
        }
    }

    /// Returns `true` if a person can log in with a token.
    pub(super) const fn has_login(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Jwt(_))
    }

    /// Returns the session that a request shows, or the user that a proxy names, whether
    /// they are valid or not: the forms of a page belong to them.
    pub(super) fn session<'a>(&self, uri: &Uri, headers: &'a HeaderMap) -> &'a [u8] {
        match self {
            Self::None => b"",
            Self::Token(_) | Self::Jwt(_) => {
                session_of(uri, headers).unwrap_or_default().as_bytes()
            }
            Self::Proxy(rules) => proxy::session(rules, headers),
        }
    }

    /// Returns the caller that sent this head. A token in `Authorization: Bearer` decides
    /// alone; without one, a session does.
    async fn identify(&self, head: &Parts) -> Result<Identified, Refusal> {
        match self {
            Self::None => Ok(Identified {
                name: "http".to_owned(),
                scope: Some(Scope::Operate),
                credential: Credential::None,
            }),
            Self::Token(tokens) => {
                let known = tokens.now();
                let (text, credential) = shown(head)?;
                let token = if credential == Credential::Session {
                    known
                        .of_session(text, Timestamp::now())
                        .ok_or(Refusal::Bad("the session has ended"))
                } else {
                    known.find(text).ok_or(Refusal::Bad("the token is unknown"))
                }?;
                Ok(Identified {
                    name: token.name.clone(),
                    scope: Some(token.scope),
                    credential,
                })
            }
            Self::Jwt(jwt) => {
                let (text, credential) = shown(head)?;
                let (name, scope) = jwt.caller(text).await?;
                Ok(Identified {
                    name,
                    scope,
                    credential,
                })
            }
            Self::Proxy(rules) => {
                let peer: Option<&Peer> = head.extensions.get();
                proxy::identify(rules, peer.map(|Peer(ip)| *ip), &head.headers)
            }
        }
    }

    /// Begins a session with a token. Returns the name of the token's owner, and the
    /// session.
    async fn begin(&self, token: &str) -> Result<(String, String), Refusal> {
        match self {
            Self::None | Self::Proxy(_) => Err(Refusal::Missing),
            Self::Token(tokens) => {
                let known = tokens.now();
                let found = known
                    .find(token)
                    .ok_or(Refusal::Bad("the token is unknown"))?;
                Ok((found.name.clone(), found.session.begin(Timestamp::now())))
            }
            Self::Jwt(jwt) => {
                let (name, scope) = jwt.caller(token).await?;
                scope.ok_or(Refusal::Scope(Scope::Read))?;
                Ok((name, token.to_owned()))
            }
        }
    }
}

/// Passes a request on if its caller may use the request's method.
pub(super) async fn authorize(
    State(authority): State<Authority>,
    request: Request,
    next: Next,
) -> Response {
    let needed = if request.method().is_safe() {
        Scope::Read
    } else {
        Scope::Operate
    };
    authorize_for(needed, authority, request, next).await
}

/// Passes a request on if its caller may read, whatever the request's method is.
pub(super) async fn authorize_reading(
    State(authority): State<Authority>,
    request: Request,
    next: Next,
) -> Response {
    authorize_for(Scope::Read, authority, request, next).await
}

async fn authorize_for(
    needed: Scope,
    authority: Authority,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let refusal = match permitted(needed, &authority, &head).await {
        Ok(caller) => {
            let shown = matches!(caller.credential, Credential::Bearer | Credential::Session);
            head.extensions.insert(caller);
            let asked = head.clone();
            let response = next.run(Request::from_parts(head, body)).await;
            return if shown && server::is_stream(response.headers()) {
                response.map(|body| while_permitted(needed, body, authority, asked))
            } else {
                response
            };
        }
        Err(refusal) => refusal,
    };
    let peer: Option<&Peer> = head.extensions.get();
    tracing::debug!(method = %head.method, ?refusal, ?peer, "refused a request");
    let answer = if is_for_page(&head) {
        page(&authority, &head, refusal)
    } else {
        refusal.into_response()
    };
    limits::refuse(Request::from_parts(head, body), answer)
}

/// Ends a stream when its caller's token or session ends.
fn while_permitted(needed: Scope, body: Body, authority: Authority, head: Parts) -> Body {
    let ended = async move {
        loop {
            sleep(RECHECK).await;
            if permitted(needed, &authority, &head).await.is_err() {
                return;
            }
        }
    };
    Body::from_stream(body.into_data_stream().take_until(ended))
}

async fn permitted(needed: Scope, authority: &Authority, head: &Parts) -> Result<Caller, Refusal> {
    let Identified {
        name,
        scope,
        credential,
    } = authority.identify(head).await?;
    let scope = scope
        .filter(|scope| *scope >= needed)
        .ok_or(Refusal::Scope(needed))?;
    if credential == Credential::Session
        && is_api(head.uri.path())
        && (!head.method.is_safe() || cross_site::is_from_elsewhere(&head.headers))
    {
        return Err(Refusal::Session);
    }
    Ok(Caller {
        name,
        scope,
        credential,
    })
}

/// Returns `true` if a path is one for programs.
fn is_api(path: &str) -> bool {
    ["/api", "/admin"].iter().any(|api| {
        path.strip_prefix(api)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Returns `true` if a person's browser asks for a page, or sends a form of one.
fn is_for_page(head: &Parts) -> bool {
    let mut accepted = head.headers.get_all(header::ACCEPT).iter();
    !is_api(head.uri.path())
        && accepted.any(|kinds| {
            kinds
                .to_str()
                .is_ok_and(|kinds| kinds.contains("text/html"))
        })
}

/// Returns the answer to a browser whose request is refused.
fn page(authority: &Authority, head: &Parts, refusal: Refusal) -> Response {
    let can_log_in = authority.has_login();
    let login = match refusal {
        Refusal::Missing | Refusal::Bad(_) if can_log_in => {
            let place = head.uri.path_and_query().filter(|_| head.method.is_safe());
            Some(login::address(place.map_or("/", PathAndQuery::as_str)))
        }
        _ => None,
    };
    if let Some(login) = &login
        && head.method.is_safe()
        && let Ok(place) = HeaderValue::try_from(login)
    {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    }
    let hint = match refusal {
        Refusal::Missing | Refusal::Bad(_) if can_log_in => {
            "Log in. Then send the form again, from a page that you have reloaded."
        }
        Refusal::Elsewhere => "Open the page at the address of the proxy.",
        Refusal::Scope(_) => "Ask the person who runs this worker for the permission.",
        Refusal::NoKeys => "Reload the page in a little while.",
        _ => "Ask the person who runs this worker.",
    };
    let answer = pages::refusal::Refusal {
        status: refusal.status(),
        detail: match refusal {
            Refusal::Missing => "you have not logged in".to_owned(),
            _ => refusal.detail().into_owned(),
        },
        hint,
        login,
    };
    (refusal.challenge(), answer).into_response()
}

/// Returns what a request shows: a token, or a session if it shows no token.
fn shown(head: &Parts) -> Result<(&str, Credential), Refusal> {
    match bearer(&head.headers) {
        Err(Refusal::Missing) => session_of(&head.uri, &head.headers)
            .map(|session| (session, Credential::Session))
            .ok_or(Refusal::Missing),
        shown => shown.map(|token| (token, Credential::Bearer)),
    }
}

/// Returns the session that a request shows.
fn session_of<'a>(uri: &Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    SESSION.read(headers, cross_site::is_to_loopback(uri, headers))
}

/// Returns the one token that a request shows.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(shown), rest) = (all.next(), all.next()) else {
        return Err(Refusal::Missing);
    };
    if rest.is_some() {
        return Err(Refusal::Bad("there is more than one Authorization header"));
    }
    let shown = shown.to_str().unwrap_or_default();
    match shown.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Refusal::Missing),
    }
}

/// Reason why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The request shows no token.
    Missing,
    /// The token is not accepted. The reason contains no quotes.
    Bad(&'static str),
    /// The token lacks this scope.
    Scope(Scope),
    /// There are no keys to check the token with.
    NoKeys,
    /// A session does not permit this request of the API.
    Session,
    /// The token does not fit into a cookie.
    TooLong,
    /// The request does not come from the proxy.
    Elsewhere,
    /// The headers of the proxy are not accepted.
    Proxy(&'static str),
    /// There are two headers with this.
    Twice(&'static str),
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Bad(_) => StatusCode::UNAUTHORIZED,
            Self::Scope(_) | Self::Session | Self::Elsewhere | Self::Proxy(_) => {
                StatusCode::FORBIDDEN
            }
            Self::Twice(_) => StatusCode::BAD_REQUEST,
            Self::NoKeys => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLong => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn detail(self) -> Cow<'static, str> {
        match self {
            Self::Missing => "this request needs `Authorization: Bearer TOKEN`".into(),
            Self::Bad(why) | Self::Proxy(why) => why.into(),
            Self::Twice(what) => format!("there is more than one header with {what}").into(),
            Self::Elsewhere => "only requests of the proxy are served here".into(),
            Self::Scope(needed) => {
                format!("this request needs the scope `{}`", needed.name()).into()
            }
            Self::NoKeys => "the issuer's keys could not be fetched yet".into(),
            Self::Session => "a session only permits pages of this process to read the API; send \
                              `Authorization: Bearer TOKEN`"
                .into(),
            Self::TooLong => format!(
                "the token is longer than {VALUE_LIMIT} bytes, and does not fit into a cookie; \
                 log in with a token that has fewer claims"
            )
            .into(),
        }
    }

    /// Returns the header that says which token is needed (RFC 6750, section 3).
    fn challenge(self) -> Option<[(HeaderName, HeaderValue); 1]> {
        let challenge = match self {
            Self::Missing => r#"Bearer realm="almanac""#.to_owned(),
            Self::Bad(why) => format!(
                r#"Bearer realm="almanac", error="invalid_token", error_description="{why}""#
            ),
            Self::Scope(needed) => format!(
                r#"Bearer realm="almanac", error="insufficient_scope", scope="{}""#,
                needed.name()
            ),
            Self::NoKeys
            | Self::Session
            | Self::TooLong
            | Self::Elsewhere
            | Self::Proxy(_)
            | Self::Twice(_) => return None,
        };
        let challenge = HeaderValue::try_from(challenge).ok()?;
        Some([(header::WWW_AUTHENTICATE, challenge)])
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem::new(self.status(), self.detail());
        (self.challenge(), problem).into_response()
    }
}
