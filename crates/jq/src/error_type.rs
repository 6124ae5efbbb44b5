//! The specification's own error types, in each form that its texts have used.
//!
//! Releases of the specification write one type as
//! `https://serverlessworkflow.io/spec/1.0.0/errors/timeout`, as
//! `https://open-workflow-specification.org/spec/1.0.0/errors/timeout` and as
//! `…/dsl/errors/types/timeout`. They are one type wherever types are compared.

/// What the types that Almanac gives begin with.
pub const TYPES: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";
/// The same under the specification's newer name.
const NEW_TYPES: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";
const HOSTS: [&str; 2] = ["serverlessworkflow.io", "open-workflow-specification.org"];
/// The last segments of the types.
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

/// The last segment of a type that is the specification's own.
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

/// Whether two texts are forms of one type of the specification.
pub fn same(a: &str, b: &str) -> bool {
    // What most texts fail first.
    let scheme = |text: &str| {
        text.get(..8)
            .is_some_and(|s| s.eq_ignore_ascii_case("https://"))
    };
    scheme(a) && scheme(b) && name(a).is_some_and(|a| name(b) == Some(a))
}

/// A type in the form that an expression's text mentions, where it mentions only
/// the specification's newer name: so that `startswith` and its like match, too.
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
