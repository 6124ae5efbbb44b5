//! The place of a run in its steps, as text for the Temporal UI (`current details` of the
//! workflow) and back.

use std::collections::BTreeMap;
use std::fmt::Display;

use almanac_base::text;

/// Maximum number of shown places of tasks.
const SHOWN_LIMIT: usize = 5;
/// Maximum length of a shown place, in characters.
const PLACE_CHARS: usize = 400;

/// Describes the tasks at which a run is, by their paths.
pub(super) fn at(tasks: &[&str]) -> String {
    let more = tasks.len().saturating_sub(SHOWN_LIMIT);
    let first = tasks.iter().take(SHOWN_LIMIT);
    let first: Vec<String> = first.map(|path| shown(path)).collect();
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!("at {}{more}", first.join(", "))
}

/// Describes the version of the steps and a place in them, before other notes.
pub(super) fn details(definition: impl Display, revision: impl Display, place: &str) -> String {
    let code = |text: String| text::code(&text, PLACE_CHARS);
    format!(
        "{} revision {}: {place}",
        code(definition.to_string()),
        code(revision.to_string())
    )
}

fn shown(path: &str) -> String {
    text::code(path.trim_start_matches('/'), PLACE_CHARS)
}

/// Reads the paths of tasks from the details of a run. `known` are the paths of all tasks.
///
/// Empty if the run has other steps than those of `revision`, or if the details are not those
/// of a run that is in its steps. Anyone may write details, so only known paths are returned.
pub fn read<'p>(
    details: &str,
    definition: impl Display,
    revision: impl Display,
    known: impl IntoIterator<Item = &'p str>,
) -> Vec<&'p str> {
    let begin = self::details(definition, revision, "at ");
    let Some(mut rest) = details.strip_prefix(&begin) else {
        return Vec::new();
    };
    let known: BTreeMap<String, &str> = known.into_iter().map(|path| (shown(path), path)).collect();
    let mut places = Vec::new();
    // Text in backquotes contains none itself.
    while let Some(end) = rest.strip_prefix('`').and_then(|text| text.find('`')) {
        let (place, after) = rest.split_at(end + 2);
        places.extend(known.get(place).copied());
        rest = after.strip_prefix(", ").unwrap_or_default();
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_written_place_is_read_again() {
        let long = format!("/do/5/{}", "x".repeat(500));
        let known = [
            "/do/0/a",
            "/do/1/b`, `do/0/a",
            "/do/2/c, d and 3 more",
            "/do/3/e|\u{1b}\u{202e}",
            "/do/4/ ",
            long.as_str(),
            "/do/6/f: at `do/0/a`",
        ];
        for at_once in 1..=SHOWN_LIMIT {
            for tasks in known.windows(at_once) {
                let notes = "; ignored signals: 1, the last because `x`";
                let text = format!("{}{notes}", details("id", "r", &at(tasks)));
                assert_eq!(read(&text, "id", "r", known), tasks, "{text}");
            }
        }
        let text = details("id", "r", &at(&known));
        assert!(text.ends_with(" and 2 more"), "{text}");
        assert_eq!(read(&text, "id", "r", known), known[..SHOWN_LIMIT]);
    }

    #[test]
    fn other_details_have_no_place() {
        let known = ["/do/0/a"];
        for text in [
            "",
            "`id` revision `r`: completed",
            "`id` revision `r`: canceled at `do/0/a`",
            "`id` revision `other`: at `do/0/a`",
            "`id` revision `r`: at `do/0/other`",
            "`id` revision `r`: at `",
            "`id` revision `r`: at do/0/a",
        ] {
            assert_eq!(read(text, "id", "r", known), [""; 0], "{text}");
        }
    }
}
