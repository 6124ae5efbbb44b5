//! Refuses requests that a web page of another site sends through its visitor.
//!
//! Such requests come from the visitor's machine, and from behind its firewall. Two signs
//! show them:
//! - The page's own name may resolve to loopback (DNS rebinding). The name shows in
//!   `Host`. This matters only where a request needs nothing but to come from this
//!   machine: a page has no token to show.
//! - A request across sites shows in `Sec-Fetch-Site` or `Origin`.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::limits;
use super::problem::Problem;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers of every answer: no client may guess its type, and no other page may use it.
const HEADERS: [(HeaderName, &str); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
/// Headers of an answer that does not set them itself: no cache may keep it, no link in it
/// tells its address, and a page made of it loads nothing and is shown in no other page.
const DEFAULTS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];
/// The same for pages. They load files of this process only, and contain no script and no
/// style themselves. With `no-referrer`, browsers would send forms with `Origin: null`.
const PAGE_DEFAULTS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
];

/// The host names that a request may use for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AllowedHosts {
    /// Names of this machine.
    Loopback,
    /// Any name, because a token, a session or a proxy shows the caller, and a browser
    /// sends the cookies of one name to no other.
    Any,
}

/// Refuses requests that a page of another site could have sent.
pub(super) async fn same_site(
    State(names): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Response {
    match check(names, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => limits::refuse(request, problem),
    }
}

/// Adds the headers of every answer, as a layer.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    stamp(&mut response);
    response
}

/// Adds the headers of every answer to this answer.
pub(super) fn stamp(response: &mut Response) {
    let defaults = if is_html(response) {
        PAGE_DEFAULTS
    } else {
        DEFAULTS
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in defaults {
        let entry = headers.entry(name);
        entry.or_insert(HeaderValue::from_static(value));
    }
}

/// Returns `true` if the answer is a page.
pub(super) fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// Returns `true` if the request names this process by a loopback address or `localhost`,
/// so that there is no TLS between the client and this process.
pub(super) fn is_to_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let stated = uri.authority().map(Authority::as_str);
    let stated = stated.or_else(|| headers.get(header::HOST).map(text));
    stated.is_some_and(is_loopback)
}

/// Returns `true` if a browser says that a page of another site caused the request.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get(FETCH_SITE).map(text);
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

fn check(
    names: AllowedHosts,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    // An absolute target overrides `Host`, so both have to name this process.
    let stated = headers.get(header::HOST).map(text).or_else(|| {
        let authority = uri.authority()?;
        Some(authority.as_str())
    });
    let stated = stated.ok_or_else(|| refused("the request has no host"))?;
    let hosts = [Some(stated), uri.authority().map(Authority::as_str)];
    if names == AllowedHosts::Loopback
        && let Some(foreign) = hosts.into_iter().flatten().find(|host| !is_loopback(host))
    {
        let detail = format!("host `{foreign}` is not this machine: use localhost");
        return Err(refused(detail));
    }
    if method.is_safe() {
        return Ok(());
    }
    if is_from_elsewhere(headers) {
        let site = headers.get(FETCH_SITE).map(text).unwrap_or_default();
        let detail = format!("the request comes from another site: {site}");
        return Err(refused(detail));
    }
    match headers.get(header::ORIGIN).map(text) {
        Some(origin) if !is_of(names, origin, stated) => {
            let hint = match names {
                AllowedHosts::Any => "; hint: a proxy in front must pass `Host` on",
                AllowedHosts::Loopback => "",
            };
            Err(refused(format!(
                "origin `{origin}` is not that of host `{stated}`{hint}"
            )))
        }
        _ => Ok(()),
    }
}

/// Returns `true` if a page of this origin is a page of this process. With a token
/// required, a proxy in front of the process may have added TLS.
fn is_of(names: AllowedHosts, origin: &str, stated: &str) -> bool {
    let https = origin
        .strip_prefix("https://")
        .filter(|_| names == AllowedHosts::Any);
    origin.strip_prefix("http://").or(https) == Some(stated)
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, detail)
}

/// Returns a header's text; empty, which no check accepts, if the value is not text.
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
    use axum::body::Body;

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
        checked_as(AllowedHosts::Loopback, method, headers)
    }

    fn checked_as(names: AllowedHosts, method: &Method, headers: &[(&str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::try_from(*value).unwrap())
        });
        check(names, method, &Uri::from_static("/"), &headers.collect()).is_ok()
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

    #[test]
    fn an_answer_keeps_the_defaults_that_it_sets_itself() {
        let kept = |kind, cache: Option<&str>| {
            let mut response = Response::new(Body::empty());
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Some(cache) = cache {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_str(cache).unwrap());
            }
            stamp(&mut response);
            let text = |name| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(text(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            (text(header::CACHE_CONTROL), text(header::REFERRER_POLICY))
        };
        let (asset, year) = ("text/css", "public, max-age=31536000, immutable");
        assert_eq!(kept(asset, Some(year)), (year.into(), "no-referrer".into()));
        assert_eq!(kept(asset, None).0, "no-store");
        for page in ["text/html", "text/html; charset=utf-8"] {
            assert_eq!(kept(page, None), ("no-store".into(), "same-origin".into()));
        }
    }

    #[test]
    fn the_name_of_the_request_says_if_it_goes_to_loopback() {
        let is_to = |target: &str, host: Option<&str>| {
            let host = host.map(|host| (header::HOST, HeaderValue::try_from(host).unwrap()));
            is_to_loopback(&target.parse().unwrap(), &host.into_iter().collect())
        };
        assert!(is_to("/", Some("localhost:8080")));
        assert!(is_to("http://127.0.0.1/", Some("almanac.example")));
        assert!(!is_to("/", Some("almanac.example")));
        assert!(!is_to("http://almanac.example/", Some("localhost")));
        assert!(!is_to("/", Some("\u{e4}")));
        assert!(!is_to("/", None));
    }

    #[test]
    fn with_an_authority_any_host_name_is_accepted_and_other_sites_are_refused() {
        let post = |headers: &[(&str, &str)]| checked_as(AllowedHosts::Any, &Method::POST, headers);
        let host = ("host", "almanac.example");
        assert!(post(&[host]));
        assert!(post(&[host, ("origin", "https://almanac.example")]));
        assert!(post(&[host, ("origin", "http://almanac.example")]));
        assert!(!post(&[host, ("origin", "https://evil.example")]));
        assert!(!post(&[
            host,
            ("origin", "https://almanac.example.evil.example")
        ]));
        assert!(!post(&[host, ("origin", "null")]));
        assert!(!post(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!post(&[]));
    }
}
