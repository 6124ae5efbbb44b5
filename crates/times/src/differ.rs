//! Time zones for which the server uses other rules than this program.
//!
//! The server reads the time zone data of its machine, and this program uses the data that it
//! was built with. If a country changed its rules recently, the two may differ because one is
//! older. The server decides when a live schedule fires.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Spec, UTC};

/// The first time of a schedule that the server and this program compute differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ZoneDifference {
    /// The schedule's time zone.
    pub timezone: String,
    /// The first time that only one of the two has.
    pub at: Timestamp,
    /// The server's time.
    pub server: Timestamp,
    /// The time by the data in this program.
    pub computed: Timestamp,
}

impl fmt::Display for ZoneDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            timezone,
            at,
            server,
            computed,
        } = self;
        write!(
            f,
            "time zone data of {timezone} differ from {at} on: the server fires at {server}, and \
             Almanac's data give {computed}; live schedules follow the server's data"
        )
    }
}

impl Spec {
    /// Returns `true` if the fire times depend on time zone data.
    pub fn depends_on_zone(&self) -> bool {
        !self.calendars.is_empty() && self.timezone != UTC && !self.timezone.is_empty()
    }

    /// Returns the first of `server_times` after `after` that differs from the computed times.
    /// `server_times` are in the server's order and without a gap. Times around a change of the
    /// clock are left out: there the server's times depend on where its search began.
    pub fn zone_difference(
        &self,
        after: Timestamp,
        server_times: &[Timestamp],
    ) -> Option<ZoneDifference> {
        if !self.depends_on_zone() {
            return None;
        }
        let jitter = SignedDuration::try_from(self.jitter).unwrap_or(SignedDuration::MAX);
        let steady = |time: &Timestamp| self.undisturbed(*time) == *time;
        let server_times: Vec<_> = server_times
            .iter()
            .copied()
            .filter(|time| *time > after)
            .collect();
        let most = server_times.len().saturating_add(MORE);
        let pairs: Vec<_> = if jitter.is_zero() {
            let computed = self.times_after(after, most).times;
            let server_times = server_times.into_iter().filter(steady);
            server_times
                .zip(computed.into_iter().filter(steady))
                .collect()
        } else {
            // The server shows a time with its jitter, which ends before the next time. So the
            // shown time belongs to the last time up to it. A time and its jittered moment may be
            // on two sides of a time that is left out; the times after that are not compared.
            let server_times = server_times.into_iter().skip_while(|time| !steady(time));
            let server_times: Vec<_> = server_times.take_while(steady).collect();
            let first = *server_times.first()?;
            let from = first.saturating_sub(jitter).unwrap_or(after);
            let computed = self
                .times_after(from.saturating_sub(JUST).unwrap_or(from), most)
                .times;
            let before = computed.iter().filter(|time| **time <= first).count();
            let computed = computed.into_iter().skip(before.saturating_sub(1));
            server_times.into_iter().zip(computed).collect()
        };
        pairs.into_iter().find_map(|(server, computed)| {
            let late = server.duration_since(computed);
            let agree = !late.is_negative() && late <= jitter;
            (!agree).then(|| ZoneDifference {
                timezone: self.timezone.clone(),
                at: server.min(computed),
                server,
                computed,
            })
        })
    }
}

/// Number of times that are computed in addition to those of the server: times around a
/// change of the clock are left out on each side.
const MORE: usize = 50;
/// Times are searched for after a moment. To include the moment itself, the search starts
/// this much earlier.
const JUST: SignedDuration = SignedDuration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compile_cron;

    fn spec(cron: &str, timezone: &str) -> Spec {
        Spec {
            calendars: compile_cron(cron).unwrap().calendars.into_iter().collect(),
            timezone: timezone.to_owned(),
            ..Spec::default()
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The times of `server`, which are not in the zone of `almanac`.
    fn difference(almanac: &Spec, server: &Spec, n: usize) -> String {
        let after = at("2026-06-01T00:00:00Z");
        let server_times = server.times_after(after, n).times;
        let difference = almanac.zone_difference(after, &server_times);
        difference.map_or_else(String::new, |one| one.to_string())
    }

    #[test]
    fn the_first_time_that_differs_is_named() {
        let almanac = spec("30 12 * * *", "Asia/Tokyo");
        // An hour west of Tokyo all the time.
        let server = spec("30 12 * * *", "Asia/Shanghai");
        insta::assert_snapshot!(difference(&almanac, &server, 10), @"time zone data of Asia/Tokyo differ from 2026-06-01T03:30:00Z on: the server fires at 2026-06-01T04:30:00Z, and Almanac's data give 2026-06-01T03:30:00Z; live schedules follow the server's data");
        // Equal in summer, until the clock changes in one of the two.
        let (almanac, server) = (
            spec("30 12 * * *", "Europe/London"),
            spec("30 12 * * *", "Africa/Algiers"),
        );
        assert_eq!(difference(&almanac, &server, 100), "");
        insta::assert_snapshot!(difference(&almanac, &server, 200), @"time zone data of Europe/London differ from 2026-10-26T11:30:00Z on: the server fires at 2026-10-26T11:30:00Z, and Almanac's data give 2026-10-26T12:30:00Z; live schedules follow the server's data");
    }

    #[test]
    fn equal_data_do_not_differ_wherever_the_clock_changes() {
        for cron in [
            "30 * * * *",
            "30 1,2 * * *",
            "*/10 0-3 * * *",
            "0 12 * * SUN",
            "0 5 1 * *",
        ] {
            for zone in [
                "Europe/Berlin",
                "America/New_York",
                "Australia/Lord_Howe",
                "America/Santiago",
            ] {
                let almanac = spec(cron, zone);
                assert_eq!(difference(&almanac, &almanac, 1000), "", "{cron} {zone}");
                // The server's search began within a repeated hour.
                for begin in [
                    "2026-10-25T00:10:00Z",
                    "2026-11-01T05:40:00Z",
                    "2026-09-06T15:00:00Z",
                ] {
                    let server_times = almanac.fire_times(at(begin), 500).times;
                    assert_eq!(
                        almanac.zone_difference(at(begin), &server_times),
                        None,
                        "{cron} {zone} {begin}"
                    );
                }
            }
        }
    }

    #[test]
    fn jitter_does_not_count_as_a_difference() {
        for (jitter, delay) in [(60, 59), (600, 599), (7200, 3599)] {
            let almanac = Spec {
                jitter: Duration::from_secs(jitter),
                ..spec("0 * * * *", "Europe/Berlin")
            };
            let after = at("2026-06-01T00:20:00Z");
            let delayed = |n: i64| SignedDuration::from_secs(if n % 2 == 0 { delay } else { 0 });
            let nominal = almanac.fire_times(at("2026-05-31T23:59:00Z"), 30).times;
            let server_times: Vec<_> = (0..)
                .zip(nominal)
                .map(|(n, time)| time + delayed(n))
                .collect();
            assert_eq!(
                almanac.zone_difference(after, &server_times),
                None,
                "{jitter}"
            );
        }
        let almanac = Spec {
            jitter: Duration::from_mins(1),
            ..spec("0 12 * * *", "Europe/Berlin")
        };
        let server = spec("0 12 * * *", "Europe/London");
        assert_ne!(difference(&almanac, &server, 10), "");
    }

    #[test]
    fn specs_without_local_times_are_not_compared() {
        let server_times = [at("2026-06-01T00:00:07Z")];
        let after = at("2026-06-01T00:00:00Z");
        assert_eq!(
            spec("0 0 * * *", "UTC").zone_difference(after, &server_times),
            None
        );
        let interval = Spec {
            intervals: compile_cron("@every 6h")
                .unwrap()
                .intervals
                .into_iter()
                .collect(),
            timezone: "Europe/Berlin".to_owned(),
            ..Spec::default()
        };
        assert_eq!(interval.zone_difference(after, &server_times), None);
        assert_eq!(
            spec("0 0 * * *", "Europe/Berlin").zone_difference(after, &[]),
            None
        );
    }
}
