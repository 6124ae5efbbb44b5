//! Search for the known name that a mistyped name most likely stands for.

/// Maximum number of names of a document for which the nearest known name is searched.
/// Nobody reads more hints than that.
pub const MOST: usize = 500;

/// Maximum number of names in which a name is searched. Each of a document's many names may
/// be mistyped, and the cost of the searches is the product of both numbers.
const NAMES: usize = 300;

/// Returns `true` if one of the unknown names most likely stands for the known one.
pub fn is_meant<'a>(known: &str, unknown: impl Iterator<Item = &'a str>, names: &[&str]) -> bool {
    unknown
        .take(MOST)
        .any(|typed| nearest(typed, names) == Some(known))
}

/// The hint at the name nearest to `typed`; `None` if no name is near enough.
pub fn hint(typed: &str, names: &[&str]) -> Option<String> {
    nearest(typed, names).map(|meant| format!("did you mean `{meant}`?"))
}

/// The name nearest to `typed`; `None` if no name is near enough.
pub fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    if names.len() > NAMES {
        return None;
    }
    among(typed, names.iter().copied())
}

/// The name nearest to `typed` among any number of names, for a caller that searches rarely.
/// `None` if no name is near enough.
pub fn among<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A text this long is no typing mistake, and the cost of the distance is its square.
    if typed.len() > 40 {
        return None;
    }
    let squash = |text: &str| -> Vec<char> {
        text.chars()
            .filter(|c| !matches!(c, '_' | '-' | ' '))
            .flat_map(char::to_lowercase)
            .collect()
    };
    let wanted = squash(typed);
    let most = |name: &str| name.len().max(3) / 3;
    names
        .filter_map(|name| {
            let squashed = squash(name);
            // Each character more or less takes at least one insertion.
            let is_near = squashed.len().abs_diff(wanted.len()) <= most(name);
            is_near.then(|| (distance(&wanted, &squashed), name))
        })
        .min()
        .filter(|(distance, name)| *distance <= most(name))
        .map(|(_, name)| name)
}

/// Number of insertions, deletions, replacements and swaps of neighbours from `a` to `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typing_mistake_finds_its_name_and_another_word_finds_none() {
        let keys = [
            "cron",
            "every",
            "calendars",
            "timezone",
            "overlap_policy",
            "id",
        ];
        for (typed, meant) in [
            ("corn", Some("cron")),
            ("crons", Some("cron")),
            ("evry", Some("every")),
            ("timeZone", Some("timezone")),
            ("time_zone", Some("timezone")),
            ("overlapPolicy", Some("overlap_policy")),
            ("overlap-policy", Some("overlap_policy")),
            ("calendar", Some("calendars")),
            ("ID", Some("id")),
            ("x", None),
            ("webhook", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &keys), meant, "{typed}");
        }
    }
}
