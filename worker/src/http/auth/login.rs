//! `/login` and `/logout`: a person's token becomes a session, which a cookie carries.
//!
//! The session of a token of the file is described in `session`. The session of a signed
//! token is the token itself, so it ends as the token does. Logging out removes the
//! cookie; no worker remembers that a session has been left.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get, post};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Authority, Credential, Refusal, session_of};
use crate::http::connection_limiter::network;
use crate::http::cookies::SESSION;
use crate::http::cross_site::{is_from_elsewhere, is_to_loopback};
use crate::http::forms::{Form, FormToken};
use crate::http::pages::{Theme, local_path, login as pages};
use crate::http::server::Peer;

/// Address of the login form.
pub(super) const LOGIN: &str = "/login";
/// Maximum length of the address that a person gets to after the login, in bytes.
const NEXT_LIMIT: usize = 2000;
/// Number of logins that one address may fail at once.
const BURST: u32 = 10;
/// Interval after which an address may fail once more.
const INTERVAL: Duration = Duration::from_secs(6);
/// Maximum number of addresses that are kept apart. Beyond it, the others count as one.
const ADDRESSES: usize = 4096;

/// The state of the login.
#[derive(Debug, Clone)]
struct Login {
    authority: Authority,
    attempts: Arc<Attempts>,
}

/// Returns the routes of the login and the logout. They require no authority.
pub(in crate::http) fn routes<S: Clone + Send + Sync + 'static>(
    authority: &Authority,
) -> Router<S> {
    let login = Login {
        authority: authority.clone(),
        attempts: Arc::default(),
    };
    Router::new()
        .route(LOGIN, get(form).post(log_in))
        .route("/logout", post(log_out))
        .with_state(login)
}

/// Shows the form, unless the person has logged in already.
async fn form(State(login): State<Login>, token: FormToken, head: Parts) -> Response {
    let next = next_in(&head.uri);
    let shown = session_of(&head.uri, &head.headers);
    let message = match login.authority.identify(&head).await {
        Ok(caller) if caller.credential == Credential::Session && caller.scope.is_some() => {
            return to(&next, None);
        }
        Err(Refusal::NoKeys) => Some(Refusal::NoKeys.detail()),
        _ if shown.is_some() => Some("Your session has ended.".into()),
        _ => None,
    };
    // The browser keeps the session back, because another site caused this request.
    if shown.is_none() && is_from_elsewhere(&head.headers) && next != LOGIN {
        return pages::again(Theme::of(&head.uri, &head.headers), &next);
    }
    let theme = Theme::of(&head.uri, &head.headers);
    pages::form(StatusCode::OK, theme, &token, &next, message.as_deref())
}

/// The fields of the login form.
#[derive(Deserialize)]
struct Fields {
    token: String,
    #[serde(default)]
    next: String,
}

async fn log_in(
    State(login): State<Login>,
    peer: Option<Extension<Peer>>,
    token: FormToken,
    uri: Uri,
    headers: axum::http::HeaderMap,
    Form { values, .. }: Form<Fields>,
) -> Response {
    let next = local(&values.next);
    let theme = Theme::of(&uri, &headers);
    let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Extension(Peer(ip))| ip);
    if let Err(wait) = login.attempts.take(peer) {
        let message = "Too many logins have failed. Wait a little, and try again.";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut response = pages::form(status, theme, &token, &next, Some(message));
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, wait.as_secs().saturating_add(1).into());
        return response;
    }
    let cookie = match login.authority.begin(values.token.trim()).await {
        Ok((name, session)) => SESSION
            .set(is_to_loopback(&uri, &headers), &session)
            .map(|cookie| (name, cookie))
            .ok_or(Refusal::TooLong),
        Err(refusal) => Err(refusal),
    };
    match cookie {
        Ok((name, cookie)) => {
            login.attempts.give_back(peer);
            tracing::info!(caller = name, %peer, "logged in");
            to(&next, Some(cookie))
        }
        Err(refusal) => {
            tracing::warn!(%peer, reason = %refusal.detail(), "login failed");
            let message = refusal.detail();
            let page = pages::form(refusal.status(), theme, &token, &next, Some(&message));
            (refusal.challenge(), page).into_response()
        }
    }
}

async fn log_out(uri: Uri, headers: axum::http::HeaderMap, _form: Form<Nothing>) -> Response {
    to(LOGIN, SESSION.remove(is_to_loopback(&uri, &headers)))
}

/// A form without fields.
#[derive(Deserialize)]
struct Nothing {}

/// Sends the browser to an address of this process.
fn to(next: &str, cookie: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(next) = HeaderValue::try_from(next) {
        headers.insert(header::LOCATION, next);
    }
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Returns the address of the login form that leads to this address afterwards.
pub(super) fn address(next: &str) -> String {
    format!(
        "{LOGIN}?next={}",
        almanac_base::percent::encode(&local(next))
    )
}

fn next_in(uri: &Uri) -> String {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let pairs = pairs.map(|Query(pairs)| pairs).unwrap_or_default();
    let next = pairs.iter().find(|(name, _)| name == "next");
    local(next.map_or("", |(_, next)| next))
}

/// Returns the address if it is a path of this process to which a login can lead, and `/`
/// otherwise.
fn local(next: &str) -> String {
    let leads_on = next.len() <= NEXT_LIMIT
        && !matches!(next.split(['?', '#']).next(), Some(LOGIN | "/logout"));
    if leads_on { local_path(next) } else { "/" }.to_owned()
}

/// The logins that failed, by address. Uses little memory, whoever asks.
#[derive(Debug, Default)]
struct Attempts(Mutex<BTreeMap<IpAddr, Instant>>);

impl Attempts {
    /// Counts a login as failed before it is checked, so that many at the same time do not
    /// all pass.
    ///
    /// # Errors
    /// The time to wait, if too many have failed.
    fn take(&self, peer: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = network(peer);
        if !ends.contains_key(&key) && ends.len() >= ADDRESSES {
            ends.retain(|_, end| *end > now);
            if ends.len() >= ADDRESSES {
                key = SHARED;
            }
        }
        // Each failure moves the time at which all are forgiven.
        let end = ends.get(&key).copied().unwrap_or(now).max(now) + INTERVAL;
        let over = (end - now).saturating_sub(INTERVAL * BURST);
        if !over.is_zero() {
            return Err(over);
        }
        ends.insert(key, end);
        Ok(())
    }

    /// Takes back what [`Self::take`] counted.
    fn give_back(&self, peer: IpAddr) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = network(peer);
        let key = if ends.contains_key(&key) { key } else { SHARED };
        if let Some(end) = ends.get_mut(&key) {
            *end = end.checked_sub(INTERVAL).unwrap_or(*end);
        }
    }
}

/// The entry for all addresses that have none of their own.
const SHARED: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn only_a_path_of_this_process_is_followed() {
        for good in [
            "/",
            "/plan",
            "/?q=a%20b&state=paused",
            "/definitions/a?x=//evil.example",
            "/loginx",
            "/a#b",
        ] {
            assert_eq!(local(good), good);
        }
        let long = format!("/{}", "x".repeat(NEXT_LIMIT));
        for bad in [
            "",
            "plan",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/a\\b",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a b",
            "/\u{e4}",
            "/\u{0}",
            "https://evil.example",
            "javascript:alert(1)",
            " /plan",
            "/login",
            "/login?next=/login",
            "/logout",
            &long,
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
        assert_eq!(address("/?q=a&x"), "/login?next=%2F%3Fq%3Da%26x");
        assert_eq!(address("//evil.example"), "/login?next=%2F");
        let uri: Uri = address("/?q=a&next=//evil.example").parse().unwrap();
        assert_eq!(next_in(&uri), "/?q=a&next=//evil.example");
    }

    #[test]
    fn no_browser_reads_another_host_in_an_address_that_is_followed() {
        const ALPHABET: [char; 10] = ['/', '\\', '.', ':', '@', '?', '#', '\t', 'a', '%'];
        let base = reqwest::Url::parse("https://almanac.example/login").unwrap();
        for number in 0..100_000_usize {
            let text: String = (0..5)
                .map(|place| ALPHABET[number / 10_usize.pow(place) % 10])
                .collect();
            for next in [format!("/{text}evil.example"), text] {
                let read = base.join(&local(&next)).unwrap();
                assert_eq!(read.host_str(), Some("almanac.example"), "{next:?}");
                assert_eq!(read.scheme(), "https", "{next:?}");
            }
        }
    }

    fn address_of(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    #[tokio::test(start_paused = true)]
    async fn logins_that_fail_are_limited_for_each_address() {
        let attempts = Attempts::default();
        for _ in 0..BURST {
            attempts.take(address_of(1)).unwrap();
        }
        let wait = attempts.take(address_of(1)).unwrap_err();
        assert!(wait <= INTERVAL, "{wait:?}");
        assert!(attempts.take(address_of(2)).is_ok());
        tokio::time::advance(INTERVAL).await;
        assert!(attempts.take(address_of(1)).is_ok());
        assert!(attempts.take(address_of(1)).is_err());
        // A login that succeeds costs nothing.
        for _ in 0..100 {
            attempts.take(address_of(3)).unwrap();
            attempts.give_back(address_of(3));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_take_little_memory_and_then_count_as_one() {
        let attempts = Attempts::default();
        let most = u32::try_from(ADDRESSES).unwrap();
        for n in 0..most {
            attempts.take(address_of(n)).unwrap();
        }
        for n in 0..BURST {
            attempts.take(address_of(most + n)).unwrap();
        }
        assert!(attempts.take(address_of(most + BURST)).is_err());
        attempts.give_back(address_of(most));
        assert!(attempts.take(address_of(most + BURST)).is_ok());
        assert!(attempts.take(address_of(0)).is_ok());
        assert!(attempts.0.lock().unwrap().len() <= ADDRESSES + 1);
        tokio::time::advance(INTERVAL * (BURST + 1)).await;
        attempts.take(address_of(most)).unwrap();
        assert_eq!(attempts.0.lock().unwrap().len(), 1);
    }
}
