//! Addresses of pages.

use almanac_base::percent::encode;

/// The page of a definition.
pub(super) fn definition(id: &str) -> String {
    format!("/definitions/{}", encode(id))
}

/// The page of a delivery of an event.
pub(super) fn delivery(id: &str) -> String {
    format!("/events/{}", encode(id))
}

/// The last days and the next ones of a definition on the timeline.
pub(super) fn timeline_of(id: &str) -> String {
    format!("/timeline?span=week&q={}", encode(id))
}

/// The page of a run in the Temporal UI. `namespace` is the address of the namespace's page there.
pub(super) fn temporal_run(namespace: &str, workflow_id: &str, run_id: &str) -> String {
    format!(
        "{namespace}/workflows/{}/{}",
        encode(workflow_id),
        encode(run_id)
    )
}

/// The page of a schedule in the Temporal UI.
pub(super) fn temporal_schedule(namespace: &str, id: &str) -> String {
    format!("{namespace}/schedules/{}", encode(id))
}

/// The address of a page with these names and values.
pub(super) fn with_query<'a>(
    path: &str,
    pairs: impl IntoIterator<Item = (&'a str, String)>,
) -> String {
    let query = query(pairs);
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// These names and values as the query of an address.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs = pairs.into_iter();
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name}={}", encode(&value)))
        .collect();
    pairs.join("&")
}

/// Returns the text if it is a path of this process, and `/` otherwise. A browser reads
/// `//host` and `/\host` as another host, and leaves out tabs and line breaks.
pub(in crate::http) fn local_path(text: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let is_local = text.starts_with('/') && !text.starts_with("//") && text.bytes().all(is_plain);
    if is_local { text } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_followed() {
        for good in ["/", "/?q=a%20b&state=held", "/definitions/a"] {
            assert_eq!(local_path(good), good);
        }
        for bad in [
            "",
            "a",
            "//evil.example/",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/ü",
        ] {
            assert_eq!(local_path(bad), "/", "{bad}");
        }
        assert_eq!(definition("a b/c"), "/definitions/a%20b%2Fc");
    }

    #[test]
    fn values_are_encoded() {
        let pairs = || [("q", "a&b".to_owned()), ("group", String::new())];
        assert_eq!(with_query("/", pairs()), "/?q=a%26b&group=");
        assert_eq!(with_query("/", []), "/");
    }
}
