//! Checks a request's head: its size, and headers that may occur only once.
//!
//! If a header that has one value occurs twice, a proxy may check the first and the
//! process believe the last. Such a request is refused, whatever it asks for.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::Response;

use super::limits;
use super::problem::Problem;

/// Maximum size of a head, in bytes: its target, and its headers as they are sent.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;
/// Maximum size of a target, in bytes.
const TARGET_LIMIT: usize = 16 * 1024;
/// Number of bytes that a header has beside its name and value.
const SEPARATORS: usize = ": \r\n".len();

/// Headers that may occur only once.
const SINGLE: [HeaderName; 7] = [
    header::HOST,
    header::ORIGIN,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("sec-fetch-site"),
];

/// Refuses a head that is too large or contradicts itself.
pub(super) async fn check(request: Request, next: Next) -> Response {
    match problem(request.version(), request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(problem) => limits::refuse(request, problem),
    }
}

fn problem(version: Version, uri: &Uri, headers: &HeaderMap) -> Option<Problem> {
    let bad = |detail: String| Some(Problem::new(StatusCode::BAD_REQUEST, detail));
    let target = target_length(uri);
    if target > TARGET_LIMIT {
        let detail = format!("the target is larger than {TARGET_LIMIT} bytes");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, detail));
    }
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS);
    if target + sizes.sum::<usize>() > HEAD_LIMIT {
        let detail = format!("the head is larger than {HEAD_LIMIT} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Some(Problem::new(status, detail));
    }
    for name in &SINGLE {
        if headers.get_all(name).iter().nth(1).is_some() {
            return bad(format!("there is more than one `{name}` header"));
        }
    }
    match headers.get(header::HOST) {
        None if version == Version::HTTP_11 && uri.authority().is_none() => {
            bad("there is no `host` header".to_owned())
        }
        Some(host) if !is_host(host.as_bytes()) => bad("`host` is not a valid host".to_owned()),
        _ => None,
    }
}

fn target_length(uri: &Uri) -> usize {
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    authority
        + uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len())
}

/// Returns `true` if this is a name or an address, with or without a port.
fn is_host(text: &[u8]) -> bool {
    !text.contains(&b'@') && Authority::try_from(text).is_ok_and(|host| !host.host().is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn status(target: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        let problem = problem(Version::HTTP_11, &target.parse().unwrap(), &map);
        problem.map(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_header_with_one_value_may_occur_only_once() {
        let host = ("host", "localhost");
        assert_eq!(status("/", &[host]), None);
        assert_eq!(status("/", &[host, ("accept", "a"), ("accept", "b")]), None);
        assert_eq!(status("/", &[host, host]), Some(400));
        for name in [
            "origin",
            "authorization",
            "content-type",
            "idempotency-key",
            "sec-fetch-site",
        ] {
            assert_eq!(status("/", &[host, (name, "a")]), None, "{name}");
            assert_eq!(status("/", &[host, (name, "a"), (name, "a")]), Some(400));
            assert_eq!(status("/", &[host, (name, ""), (name, "a")]), Some(400));
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for good in [
            "localhost:8080",
            "127.0.0.1",
            "[::1]:80",
            "a.example",
            "A_b",
        ] {
            assert_eq!(status("/", &[("host", good)]), None, "{good}");
        }
        for bad in [
            "",
            "a@localhost",
            "a b",
            "a/b",
            "\u{e4}",
            "http://a",
            ":80",
            "a,b c",
        ] {
            assert_eq!(status("/", &[("host", bad)]), Some(400), "{bad}");
        }
        assert_eq!(status("/", &[]), Some(400));
        assert_eq!(status("http://localhost/", &[]), None);
    }

    #[test]
    fn the_size_of_a_head_is_limited() {
        let host = ("host", "localhost");
        let long = "x".repeat(HEAD_LIMIT);
        assert_eq!(status("/", &[host, ("x", &long[..60_000])]), None);
        assert_eq!(status("/", &[host, ("x", &long)]), Some(431));
        let halves = [host, ("x", &long[..40_000]), ("y", &long[..40_000])];
        assert_eq!(status("/", &halves), Some(431));
        assert_eq!(status(&format!("/{}", &long[..16_000]), &[host]), None);
        let target = format!("/?{}", &long[..TARGET_LIMIT]);
        assert_eq!(status(&target, &[host]), Some(414));
    }
}
