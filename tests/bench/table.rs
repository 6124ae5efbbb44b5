//! The table that `make bench` prints.

use std::fmt;
use std::time::Duration;

use almanac_tests::Scheduler;

/// Limit of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// Maximum ratio.
    AtMost(f64),
    /// Almanac is faster by this factor at least.
    FasterBy(f64),
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 6]>,
    broken: bool,
}

impl Table {
    /// Almanac beside raw requests.
    pub(crate) fn ratio(
        &mut self,
        scheduler: Scheduler,
        what: &str,
        against: &str,
        raw: Duration,
        almanac: Duration,
        limit: Limit,
    ) {
        let (ratio, limit, good) = match limit {
            Limit::AtMost(most) => {
                let ratio = almanac.as_secs_f64() / raw.as_secs_f64();
                (
                    format!("{ratio:.2}"),
                    format!("at most {most}"),
                    ratio <= most,
                )
            }
            Limit::FasterBy(least) => {
                let factor = raw.as_secs_f64() / almanac.as_secs_f64();
                (
                    format!("1/{factor:.0}"),
                    format!("at most 1/{least}"),
                    factor >= least,
                )
            }
        };
        self.row(
            &format!("{what} ({scheduler})"),
            &format!("{against}: {}", seconds(raw)),
            &seconds(almanac),
            &ratio,
            &limit,
            good,
        );
    }

    /// A count that must be this at most.
    pub(crate) fn count(&mut self, scheduler: Scheduler, what: &str, count: f64, most: f64) {
        self.row(
            &format!("{what} ({scheduler})"),
            "",
            &format!("{count}"),
            "",
            &format!("at most {most}"),
            count <= most,
        );
    }

    /// A share in percent, which must be this at most.
    pub(crate) fn share(&mut self, scheduler: Scheduler, what: &str, percent: f64, most: f64) {
        self.row(
            &format!("{what} ({scheduler})"),
            "",
            &format!("{percent:.2} %"),
            "",
            &format!("at most {most} %"),
            percent <= most,
        );
    }

    /// A measurement that must be this at most.
    pub(crate) fn bound(&mut self, what: &str, value: f64, most: f64, unit: &str) {
        let limit = format!("at most {most} {unit}");
        self.row(
            what,
            "",
            &format!("{value:.0} {unit}"),
            "",
            &limit,
            value <= most,
        );
    }

    /// A measurement without a bound.
    pub(crate) fn note(&mut self, what: &str, value: &str) {
        self.row(what, "", value, "", "", true);
    }

    /// Returns `true` if every limit held.
    pub(crate) fn holds(&self) -> bool {
        !self.broken
    }

    fn row(&mut self, what: &str, raw: &str, almanac: &str, ratio: &str, limit: &str, good: bool) {
        let verdict = match (limit.is_empty(), good) {
            (true, _) => "",
            (false, true) => "ok",
            (false, false) => "OVER",
        };
        self.broken |= !good;
        let row = [what, raw, almanac, ratio, limit, verdict].map(str::to_owned);
        // Shown at once too: a run takes minutes.
        eprintln!("{}", row.join(" | "));
        self.rows.push(row);
    }
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["scenario", "raw requests", "almanac", "ratio", "limit", ""];
        let head = head.map(str::to_owned);
        let rows = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| rows().map(|row| row[column].chars().count()).max();
        writeln!(f)?;
        for row in rows() {
            for (column, cell) in row.iter().enumerate() {
                write!(
                    f,
                    "{cell:<width$}  ",
                    width = width(column).unwrap_or_default()
                )?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
