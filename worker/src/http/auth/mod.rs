//! Authority: decides which requests may do what, unless only programs of this machine
//! may ask.
//!
//! A request shows a token in `Authorization: Bearer` (RFC 6750). Reading needs the scope
//! `almanac:read`. Changing something needs `almanac:operate`, which implies
//! `almanac:read`. Always holds: a handler behind [`authorise`] finds a [`Caller`] among
//! the request's extensions; no token is ever logged.

mod jwks;
mod jwt;
mod keys;
mod reloading_file;
mod signature_verifier;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use self::jwt::Jwt;
use self::reloading_file::ReloadingFile;
use self::tokens::Tokens;
use super::limits;
use super::problem::Problem;
use crate::args::{AuthArgs, AuthUsage, ChosenAuth};

/// Minimum time between two fetches of keys that tokens cause.
const REFETCH: Duration = Duration::from_secs(30);

/// The sender of a request, for logs and for the record of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `sub` of a signed token, or the name beside a token in its file.
    pub name: String,
}

impl Caller {
    /// Returns the caller of a process that requires no token.
    fn of_this_machine() -> Self {
        Self {
            name: "http".to_owned(),
        }
    }
}

/// The permission of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Read,
    Operate,
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

/// The way in which callers are identified. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Authority {
    /// Callers are not identified.
    None,
    /// Callers show a token of a file.
    Token(Arc<ReloadingFile<Tokens>>),
    /// Callers show a token that an issuer signed.
    Jwt(Arc<Jwt>),
}

almanac_base::message_error! {
    /// The reason for which a file or an address does not give tokens or keys.
    pub UnusableAuthority
}

/// An error in the flags of authority, or in the files that they name.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The flags do not fit together.
    #[error(transparent)]
    Usage(#[from] AuthUsage),
    /// A file is missing or bad.
    #[error("{flag}: {path}: {why}")]
    File {
        /// The flag that names the file.
        flag: &'static str,
        path: String,
        /// Description of the error.
        why: UnusableAuthority,
    },
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
        })
    }

    /// Returns `true` if requests have to show a token.
    pub(super) const fn is_asked_for(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Follows changes of the files and keys until `stop`.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let keep = async {
            match &self {
                Self::None => {}
                Self::Token(tokens) => tokens.follow().await,
                Self::Jwt(jwt) => jwt.keep().await,
            }
        };
        tokio::select! {
            () = keep => {}
            () = stop.cancelled() => {}
        }
    }

    /// Returns the caller that sent these headers, and the scope of the caller.
    async fn caller(&self, headers: &HeaderMap) -> Result<(Caller, Option<Scope>), Refusal> {
        match self {
            Self::None => Ok((Caller::of_this_machine(), Some(Scope::Operate))),
            Self::Token(tokens) => {
                let known = tokens.now();
                let token = known
                    .find(bearer(headers)?)
                    .ok_or(Refusal::Bad("the token is unknown"))?;
                Ok((token.caller.clone(), Some(token.scope)))
            }
            Self::Jwt(jwt) => jwt.caller(bearer(headers)?).await,
        }
    }
}

/// Passes a request on if its caller may use the request's method.
pub(super) async fn authorise(
    State(authority): State<Authority>,
    mut request: Request,
    next: Next,
) -> Response {
    let needed = if request.method().is_safe() {
        Scope::Read
    } else {
        Scope::Operate
    };
    let refusal = match authority.caller(request.headers()).await {
        Ok((caller, scope)) if scope >= Some(needed) => {
            request.extensions_mut().insert(caller);
            return next.run(request).await;
        }
        Ok(_) => Refusal::Scope(needed),
        Err(refusal) => refusal,
    };
    tracing::debug!(method = %request.method(), ?refusal, "refused a request");
    limits::refuse(request, refusal)
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
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail, challenge) = match self {
            Self::Missing => (
                StatusCode::UNAUTHORIZED,
                "this request needs `Authorization: Bearer TOKEN`".to_owned(),
                r#"Bearer realm="almanac""#.to_owned(),
            ),
            Self::Bad(why) => (
                StatusCode::UNAUTHORIZED,
                why.to_owned(),
                format!(
                    r#"Bearer realm="almanac", error="invalid_token", error_description="{why}""#
                ),
            ),
            Self::Scope(needed) => (
                StatusCode::FORBIDDEN,
                format!("this request needs the scope `{}`", needed.name()),
                format!(
                    r#"Bearer realm="almanac", error="insufficient_scope", scope="{}""#,
                    needed.name()
                ),
            ),
            Self::NoKeys => {
                let detail = "the issuer's keys could not be fetched yet";
                return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
            }
        };
        let mut response = Problem::new(status, detail).into_response();
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
