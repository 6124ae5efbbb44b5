//! Time zones by their IANA names, from the database that is built into the program.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use almanac_base::nearest;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::TimesError;

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

/// The known name nearest to `name`. The name of the city alone stands for its zone.
fn nearest(name: &str) -> Option<String> {
    let zones: Vec<String> = ZONES.available().map(|zone| zone.to_string()).collect();
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or_default().to_owned();
    let by_city: BTreeMap<String, &String> =
        zones.iter().rev().map(|zone| (city(zone), zone)).collect();
    let whole = nearest::among(name, zones.iter().map(String::as_str));
    let zone = whole.or_else(|| {
        let city = nearest::among(name, by_city.keys().map(String::as_str))?;
        by_city.get(city).map(|zone| zone.as_str())
    });
    zone.map(str::to_owned)
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
