//! Who may ask, while there is no authority yet: programs of this machine.
//!
//! A web page that somebody visits is no such program, though its requests
//! come from this machine. It is told apart in two ways. A name of its own
//! that resolves to loopback (DNS rebinding) shows in `Host`; a request across
//! sites shows in `Origin` or `Sec-Fetch-Site`.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a page of another site could have sent.
pub(super) async fn same_site(request: Request, next: Next) -> Response {
    match check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Headers of every answer: it is of this moment, and what it says it is.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail: String| Problem::new(StatusCode::FORBIDDEN, detail);
    // An absolute target overrides `Host`, so both have to be ours.
    let stated = headers.get(header::HOST).map(text).or_else(|| {
        let authority = uri.authority()?;
        Some(authority.as_str())
    });
    let stated = stated.ok_or_else(|| refused("the request names no host".into()))?;
    let named = [Some(stated), uri.authority().map(Authority::as_str)];
    if let Some(foreign) = named.into_iter().flatten().find(|host| !is_loopback(host)) {
        let detail = format!("host `{foreign}` is not this machine: use localhost");
        return Err(refused(detail));
    }
    if method.is_safe() {
        return Ok(());
    }
    if let Some(site) = headers.get(FETCH_SITE).map(text)
        && !matches!(site, "same-origin" | "none")
    {
        return Err(refused(format!(
            "the request comes from another site: {site}"
        )));
    }
    match headers.get(header::ORIGIN).map(text) {
        Some(origin) if origin.strip_prefix("http://") != Some(stated) => {
            Err(refused(format!("origin `{origin}` is another site")))
        }
        _ => Ok(()),
    }
}

/// A header's text; nothing, which no check accepts, where it is not text.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass() {
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:80",
            "127.1.2.3",
            "[::1]:8080",
        ] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "a@localhost",
            "localhost:80@evil.example",
            "localhost ",
        ] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    fn checked(method: &Method, headers: &[(&str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::try_from(*value).unwrap())
        });
        check(method, &Uri::from_static("/"), &headers.collect()).is_ok()
    }

    #[test]
    fn a_page_of_another_site_can_trigger_nothing() {
        let host = ("host", "localhost:8080");
        assert!(checked(&Method::POST, &[host]));
        assert!(checked(
            &Method::POST,
            &[host, ("origin", "http://localhost:8080")]
        ));
        assert!(checked(
            &Method::POST,
            &[host, ("sec-fetch-site", "same-origin")]
        ));
        assert!(!checked(
            &Method::POST,
            &[host, ("origin", "http://evil.example")]
        ));
        assert!(!checked(
            &Method::POST,
            &[host, ("origin", "http://localhost:3000")]
        ));
        assert!(!checked(&Method::POST, &[host, ("origin", "null")]));
        assert!(!checked(
            &Method::POST,
            &[host, ("sec-fetch-site", "cross-site")]
        ));
        assert!(!checked(
            &Method::POST,
            &[host, ("sec-fetch-site", "same-site")]
        ));
        assert!(!checked(&Method::POST, &[("host", "evil.example")]));
        assert!(!checked(&Method::GET, &[("host", "evil.example")]));
        assert!(!checked(&Method::GET, &[]));
        assert!(checked(
            &Method::GET,
            &[host, ("origin", "http://evil.example")]
        ));
    }
}
