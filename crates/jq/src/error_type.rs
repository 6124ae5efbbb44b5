//! The specification's own error types, in each form that its texts have used.
//!
//! Releases of the specification write the same type as
//! `https://serverlessworkflow.io/spec/1.0.0/errors/timeout`, as
//! `https://open-workflow-specification.org/spec/1.0.0/errors/timeout` and as
//! `…/dsl/errors/types/timeout`. All comparisons of types treat these as the same type.

/// Prefix of the types that Almanac gives.
pub const TYPES: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";
/// The same prefix under the specification's newer name.
const NEW_TYPES: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";
const HOSTS: [&str; 2] = ["serverlessworkflow.io", "open-workflow-specification.org"];
/// Last segments of the types.
const NAMES: [&str; 8] = [
    "configuration",
    "validation",
    "expression",
    "authentication",
    "authorization",
    "timeout",
    "communication",
    "runtime",
];

/// Returns the last segment of a type that is the specification's own; `None` for other types.
pub fn name(kind: &str) -> Option<&'static str> {
    let (scheme, rest) = kind.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (host, path) = rest.split_once('/')?;
    if !HOSTS.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return None;
    }
    let (folders, name) = path.rsplit_once('/')?;
    if !folders.split('/').any(|folder| folder == "errors") {
        return None;
    }
    NAMES.into_iter().find(|known| *known == name)
}

/// Returns `true` if two texts are forms of the same type of the specification.
pub fn same(a: &str, b: &str) -> bool {
    // The cheap check comes first. Most texts fail it.
    let scheme = |text: &str| {
        text.get(..8)
            .is_some_and(|s| s.eq_ignore_ascii_case("https://"))
    };
    scheme(a) && scheme(b) && name(a).is_some_and(|a| name(b) == Some(a))
}

/// Rewrites a type to the specification's newer name if an expression's text mentions only the
/// newer name. Then `startswith` and similar functions match, too.
pub fn as_mentioned(text: &str, kind: &str) -> Option<String> {
    let mentions = |host: &str| text.to_ascii_lowercase().contains(host);
    let name = name(kind)?;
    (mentions(HOSTS[1]) && !mentions(HOSTS[0])).then(|| format!("{NEW_TYPES}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_type_are_one_type() {
        let forms = [
            "https://serverlessworkflow.io/spec/1.0.0/errors/timeout",
            "https://open-workflow-specification.org/spec/1.0.0/errors/timeout",
            "HTTPS://Open-Workflow-Specification.ORG/spec/1.0.0/errors/timeout",
            "https://serverlessworkflow.io/dsl/errors/types/timeout",
        ];
        for a in forms {
            assert_eq!(name(a), Some("timeout"), "{a}");
            assert!(forms.iter().all(|b| same(a, b)), "{a}");
        }
        for other in [
            "https://serverlessworkflow.io/spec/1.0.0/errors/Timeout",
            "https://serverlessworkflow.io/spec/1.0.0/errors/timeout/",
            "https://serverlessworkflow.io/timeout",
            "https://evil.example/spec/1.0.0/errors/timeout",
            "https://serverlessworkflow.io.evil.example/spec/1.0.0/errors/timeout",
            "http://serverlessworkflow.io/spec/1.0.0/errors/timeout",
            "timeout",
            "",
        ] {
            assert_eq!(name(other), None, "{other}");
            assert!(!same(other, forms[0]), "{other}");
        }
        assert!(!same(
            forms[0],
            "https://serverlessworkflow.io/spec/1.0.0/errors/runtime"
        ));
    }
}
