//! Time zones by their IANA names, from the database that is built into the program.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::TimesError;

/// Maximum length of a name for which the nearest known name is searched, in bytes.
const LONGEST: usize = 60;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Checks that `name` is a time zone. If not, the error hints at the nearest name.
///
/// Names are case-sensitive, as on the server, which reads them as file names. `Local` is
/// refused although the server accepts it: it is the zone of the machine on which the server
/// runs.
pub fn check_zone(name: &str) -> Result<(), TimesError> {
    find(name).map(|_| ()).ok_or_else(|| {
        let error = TimesError::new(format!("unknown time zone `{name}`"));
        match nearest(name) {
            Some(known) => error.hint(format!("did you mean {known}?")),
            None => error.hint("write an IANA name such as Europe/Berlin"),
        }
    })
}

/// The zone of a name. The empty name means UTC, as on the server.
pub(super) fn find(name: &str) -> Option<TimeZone> {
    if name.is_empty() || name == super::UTC {
        return Some(TimeZone::UTC);
    }
    // The database ignores case, and the server does not.
    ZONES
        .get(name)
        .ok()
        .filter(|zone| zone.iana_name() == Some(name))
}

/// The known name with the smallest difference; `None` if the difference is not small.
fn nearest(name: &str) -> Option<String> {
    // A name this long is no typing mistake, and the search compares every zone.
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.to_lowercase();
    let limit = 1 + wanted.chars().count() / 4;
    ZONES
        .available()
        .map(|known| {
            let known = known.to_string();
            let lower = known.to_lowercase();
            let city = lower
                .rsplit('/')
                .next()
                .map_or(usize::MAX, |city| distance(&wanted, city) + 1);
            (distance(&wanted, &lower).min(city), known)
        })
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, known)| known)
}

/// Number of characters to insert, delete or change.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "US/Eastern",
            "Etc/GMT-14",
            "EST5EDT",
            "GMT+0",
            "Europe/Kyiv",
        ] {
            assert_eq!(check_zone(name), Ok(()), "{name}");
        }
        for name in [
            "europe/berlin",
            "Local",
            "UTC+1",
            "Europe",
            "../UTC",
            "/etc/localtime",
            "Mars/Olympus",
        ] {
            assert!(check_zone(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_hints_at_the_nearest() {
        let hint = |name| check_zone(name).unwrap_err().hint.unwrap();
        assert_eq!(hint("europe/berlin"), "did you mean Europe/Berlin?");
        assert_eq!(hint("Europe/Berln"), "did you mean Europe/Berlin?");
        assert_eq!(hint("Berlin"), "did you mean Europe/Berlin?");
        assert_eq!(hint("New_York"), "did you mean America/New_York?");
        assert_eq!(
            hint("Nowhere/At/All"),
            "write an IANA name such as Europe/Berlin"
        );
    }
}
