//! Media types (RFC 9110, section 8.3.1).

/// The parts of a content type that decide how a body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// The type and subtype, in lower case.
    essence: String,
    /// `true` if the content type names no charset, or one that is read as UTF-8.
    utf8: bool,
}

impl MediaType {
    /// Reads a content type. Parameters other than `charset` are ignored.
    pub(crate) fn of(content_type: &str) -> Self {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let utf8 = parameters
            .split(';')
            .filter_map(|parameter| parameter.split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .all(|(_, value)| {
                let value = value.trim().trim_matches('"').to_ascii_lowercase();
                matches!(value.as_str(), "utf-8" | "utf8" | "us-ascii")
            });
        Self {
            essence: essence.trim().to_ascii_lowercase(),
            utf8,
        }
    }

    /// The type and subtype, in lower case.
    pub(crate) fn essence(&self) -> &str {
        &self.essence
    }

    /// Returns `true` if text of this type is UTF-8.
    pub(crate) fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Returns `true` for `*/json` and `*/*+json` (JSON format of `CloudEvents`, section 3.1.1).
    pub(crate) fn is_json(&self) -> bool {
        let (_, subtype) = self.essence.split_once('/').unwrap_or_default();
        subtype == "json" || subtype.ends_with("+json")
    }

    /// Returns `true` for `text/*`.
    pub(crate) fn is_text(&self) -> bool {
        self.essence.starts_with("text/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_says_how_a_body_is_read() {
        for json in [
            "application/json",
            " Application/JSON ; charset=\"UTF-8\"",
            "text/json",
            "application/vnd.x+json;a=b; Charset = us-ascii",
        ] {
            let media = MediaType::of(json);
            assert!(media.is_json() && media.is_utf8(), "{json}");
        }
        for other in [
            "",
            ";",
            "json",
            "application/jsonl",
            "application/json+xml",
            "/",
        ] {
            assert!(!MediaType::of(other).is_json(), "{other}");
        }
        assert!(MediaType::of("TEXT/plain").is_text());
        assert!(!MediaType::of("application/text/plain").is_text());
        for other in [
            "a/b;charset=utf-16",
            "a/b; charset=utf-8; charset=latin1",
            "a/b;charset=",
        ] {
            assert!(!MediaType::of(other).is_utf8(), "{other}");
        }
        assert_eq!(MediaType::of("A/b;c=d").essence(), "a/b");
    }
}
