//! The forms of pages: their tokens, and what they send.
//!
//! A page that has a form takes [`FormToken`] and puts [`FormToken::fields`] into each
//! form. The handler of the form's `POST` takes [`Form<T>`]:
//!
//! ```text
//! async fn page(token: FormToken) -> Markup {
//!     html! {
//!         form method="post" action="/pause" {
//!             (token.fields())
//!             input name="reason";
//!             button { "Pause" }
//!         }
//!     }
//! }
//!
//! async fn pause(Form { values, request_id }: Form<Pause>) -> Redirect { … }
//! ```
//!
//! Always holds: behind [`protect`], no handler runs for a request that changes something
//! unless the request is a form of a page that this browser got from this process, or
//! from another worker, in the same session. This is checked in addition to the signs
//! that `cross_site` checks. No worker keeps anything for it: a cookie holds a random
//! secret, and a form's token is an HMAC with that secret over the session. Another site
//! can read neither, and cannot set the cookie.
//!
//! The field `request_id` names the request, so that a form that is sent twice acts once.
//! A script that sends the same form again for something else replaces its value with 32
//! random hexadecimal digits.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::auth::Authority;
use super::cookies::FORMS;
use super::cross_site;
use super::form_values::Fields;
use super::limits::BodyLimit;
use super::pages::refusal::Refusal;
use super::problem::Problem;
use crate::backoff::random;

/// The field with the token of a form.
const TOKEN: &str = "form_token";
/// The field with the name of a form's request.
const REQUEST_ID: &str = "request_id";
/// Number of bytes of the secret in a browser's cookie.
const SECRET: usize = 32;
/// Number of hexadecimal digits of a request's name, and of the random part of a token.
const RANDOM_DIGITS: usize = 32;
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The source of the tokens for forms of one browser in one session.
#[derive(Debug, Clone)]
pub(super) struct FormToken {
    key: hmac::Key,
    /// The session, or the user whom a proxy names.
    session: Arc<[u8]>,
}

impl FormToken {
    fn new(secret: &[u8; SECRET], session: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            session: session.into(),
        }
    }

    /// Returns the hidden fields of a form: a token, and a new name for the request. Each
    /// form needs its own.
    pub(super) fn fields(&self) -> Markup {
        html! {
            input type="hidden" name=(TOKEN) value=(self.token());
            input type="hidden" name=(REQUEST_ID) value=(random_digits());
        }
    }

    /// Returns a token. Its random part makes each token different, so that the length of
    /// a compressed page reveals nothing about the tokens.
    fn token(&self) -> String {
        let salt = random_digits();
        let tag = hmac::sign(&self.key, &self.message(&salt));
        format!("{salt}.{}", hex::encode(tag))
    }

    fn is_valid(&self, token: &str) -> bool {
        let Some((salt, tag)) = token.split_once('.') else {
            return false;
        };
        let Ok(tag) = hex::decode(tag) else {
            return false;
        };
        is_random_digits(salt) && hmac::verify(&self.key, &self.message(salt), &tag).is_ok()
    }

    fn message(&self, salt: &str) -> Vec<u8> {
        [b"almanac form v1 ", salt.as_bytes(), b" ", &self.session].concat()
    }
}

impl<S: Sync> FromRequestParts<S> for FormToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(unprotected)
    }
}

/// The name of a form's request towards the reconcile workflow, which does a request of
/// the same name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(String);

impl RequestId {
    /// Returns the name of a form's only request.
    pub(super) fn whole(&self) -> String {
        format!("page-{}", self.0)
    }

    /// Returns the name of one of a form's requests: that for `part`, for example a
    /// definition's id.
    pub(super) fn part(&self, part: &str) -> String {
        let digest = Sha256::digest([&self.0, " ", part].concat());
        format!("page-{}", &hex::encode(digest)[..RANDOM_DIGITS])
    }
}

/// A form that was sent from a page of this process. `T` has the form's fields, except
/// the hidden ones; a field that `T` does not have is an error. See [`Fields::read`].
#[derive(Debug)]
pub(super) struct Form<T> {
    /// The fields of the form.
    pub(super) values: T,
    /// The name of the request.
    pub(super) request_id: RequestId,
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Form<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let sent: Option<&Sent> = parts.extensions.get();
        let sent = sent.ok_or_else(|| unprotected().into_response())?;
        let values = sent.fields.clone().read().map_err(|error| {
            let refusal = Refusal {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                detail: format!("the form cannot be read: {error}"),
                hint: "Go back, correct the form, and send it again.",
                login: None,
            };
            refusal.into_response()
        })?;
        Ok(Self {
            values,
            request_id: sent.request_id.clone(),
        })
    }
}

/// A form whose token is valid.
#[derive(Debug, Clone)]
struct Sent {
    fields: Fields,
    request_id: RequestId,
}

/// Gives pages the tokens for their forms, and refuses requests that change something
/// without one. The body must have been read.
pub(super) async fn protect(
    State(authority): State<Authority>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let is_loopback = cross_site::is_to_loopback(&head.uri, &head.headers);
    let shown = FORMS.read(&head.headers, is_loopback).and_then(secret_of);
    let session = authority.session(&head.uri, &head.headers);
    if !head.method.is_safe() {
        let sent = match shown {
            Some(secret) => {
                let token = FormToken::new(&secret, session);
                let body = axum::body::to_bytes(body, BodyLimit::USUAL.bytes()).await;
                check(&token, &head.headers, &body.unwrap_or_default())
            }
            None => Err(no_cookie(&head.headers)),
        };
        match sent {
            Ok(sent) => head.extensions.insert(sent),
            Err(refusal) => return refusal.into_response(),
        };
        if let Some(secret) = shown {
            head.extensions.insert(FormToken::new(&secret, session));
        }
        return next
            .run(Request::from_parts(head, axum::body::Body::empty()))
            .await;
    }
    let Some(secret) = shown.or_else(new_secret) else {
        let detail = "the system gives no random numbers";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    };
    head.extensions.insert(FormToken::new(&secret, session));
    let mut response = next.run(Request::from_parts(head, body)).await;
    if shown.is_none()
        && cross_site::is_html(&response)
        && let Some(cookie) = FORMS.set(is_loopback, &hex::encode(secret))
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn check(token: &FormToken, headers: &HeaderMap, body: &[u8]) -> Result<Sent, Refusal> {
    let refused = |status, detail: &str, hint| Refusal {
        status,
        detail: detail.to_owned(),
        hint,
        login: None,
    };
    if !is_form(headers) {
        let detail = format!("the body must have the content type {CONTENT_TYPE}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(refused(status, &detail, "Programs use the API instead."));
    }
    let mut fields = Fields::parse(body).ok_or_else(|| {
        let detail = "the form is not encoded well, or has too many fields";
        refused(StatusCode::BAD_REQUEST, detail, RELOAD)
    })?;
    if !fields
        .take(TOKEN)
        .is_some_and(|shown| token.is_valid(&shown))
    {
        let detail = "the form does not belong to this browser's session";
        return Err(refused(StatusCode::FORBIDDEN, detail, RELOAD));
    }
    let id = fields.take(REQUEST_ID).filter(|id| is_random_digits(id));
    let id = id.ok_or_else(|| {
        let detail = format!("{REQUEST_ID} must be {RANDOM_DIGITS} hexadecimal digits");
        refused(StatusCode::BAD_REQUEST, &detail, RELOAD)
    })?;
    Ok(Sent {
        fields,
        request_id: RequestId(id),
    })
}

const RELOAD: &str = "Go back, reload the page, and send the form again.";

/// The refusal of a form from a browser that shows no cookie.
fn no_cookie(headers: &HeaderMap) -> Refusal {
    let origin = headers.get(header::ORIGIN);
    let is_plain = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"http://"));
    Refusal {
        status: StatusCode::FORBIDDEN,
        detail: "the browser sent no cookie with the form".to_owned(),
        hint: if is_plain {
            "Over plain HTTP, browsers keep the cookies of this page only at localhost. Open the \
             page with https, through a proxy that speaks TLS."
        } else {
            "Allow cookies for this page. Then go back, reload the page, and send the form again."
        },
        login: None,
    }
}

/// The error of a handler that is not behind [`protect`].
fn unprotected() -> Problem {
    let detail = "this page is not protected against forms of other sites";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(CONTENT_TYPE))
}

fn secret_of(text: &str) -> Option<[u8; SECRET]> {
    hex::decode(text).ok()?.try_into().ok()
}

fn new_secret() -> Option<[u8; SECRET]> {
    let mut secret = [0; SECRET];
    SystemRandom::new().fill(&mut secret).ok()?;
    Some(secret)
}

fn random_digits() -> String {
    format!("{:016x}{:016x}", random(), random())
}

fn is_random_digits(text: &str) -> bool {
    text.len() == RANDOM_DIGITS
        && text
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_secret_and_one_session() {
        let token = |secret: u8, session: &[u8]| FormToken::new(&[secret; SECRET], session);
        let (own, shown) = (token(1, b"ann"), token(1, b"ann").token());
        assert!(own.is_valid(&shown));
        assert!(!token(2, b"ann").is_valid(&shown));
        assert!(!token(1, b"ben").is_valid(&shown));
        assert!(!token(1, b"").is_valid(&shown));
        let other = own.token();
        assert_ne!(shown, other);
        let (salt, _) = shown.split_once('.').unwrap();
        let (_, tag) = other.split_once('.').unwrap();
        for bad in [
            String::new(),
            ".".to_owned(),
            salt.to_owned(),
            format!("{salt}."),
            format!("{salt}.{tag}"),
            format!(" {shown}"),
            format!("{shown}0"),
            format!("{shown}00"),
        ] {
            assert!(!own.is_valid(&bad), "{bad}");
        }
    }

    #[test]
    fn each_part_of_a_request_has_its_own_name() {
        let id = RequestId("0".repeat(RANDOM_DIGITS));
        assert_eq!(id.whole(), format!("page-{}", "0".repeat(32)));
        assert_eq!(id.part("a"), id.part("a"));
        assert_ne!(id.part("a"), id.part("b"));
        assert_ne!(id.part("a"), RequestId("1".repeat(32)).part("a"));
        assert_eq!(id.part(&"a".repeat(1000)).len(), id.whole().len());
    }

    #[test]
    fn each_form_has_a_new_request_id() {
        let token = FormToken::new(&[1; SECRET], b"");
        let (first, second) = (token.fields().into_string(), token.fields().into_string());
        let id = |html: &str| html.rsplit_once("value=\"").unwrap().1.to_owned();
        assert_ne!(id(&first), id(&second));
        assert!(
            is_random_digits(id(&first).strip_suffix("\">").unwrap()),
            "{first}"
        );
    }
}
