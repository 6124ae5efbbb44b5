//! Cron strings, in exactly the server's dialect.
//!
//! Five fields, six (the sixth is the year) or seven (seconds first, year
//! last), `@every`, `@daily` and the like, a `TZ=` or `CRON_TZ=` prefix, and
//! `#` before a comment.

use super::field::{self, FieldName, Parsed};
use super::interval::go_duration;
use super::{Calendar, Interval, TimesError, TimesWarning, Values, check_zone};

/// Maximum length of a comment in a cron string, in bytes.
const COMMENT_LIMIT: usize = 200;

/// Result of compiling a cron string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompiledCron {
    /// Calendar of the string; empty for `@every`.
    pub calendars: Vec<Calendar>,
    /// Interval of `@every`.
    pub intervals: Vec<Interval>,
    /// Time zone of the string's prefix. The server ignores a prefix before `@every`.
    pub timezone: Option<String>,
    /// Parts that the server accepts, but a person almost never means.
    pub warnings: Vec<TimesWarning>,
}

/// A piece of a text and its first position, in characters.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

impl Piece<'_> {
    fn trim(self) -> Self {
        let blanks = self.text.chars().take_while(|c| c.is_whitespace()).count();
        Self {
            text: self.text.trim(),
            at: self.at + blanks,
        }
    }

    /// Splits the piece into the parts before and after the first `separator`.
    fn cut(self, separator: char) -> (Self, Option<Self>) {
        match self.text.split_once(separator) {
            Some((before, after)) => {
                let at = self.at + before.chars().count() + 1;
                (
                    Self {
                        text: before,
                        at: self.at,
                    },
                    Some(Self { text: after, at }),
                )
            }
            None => (self, None),
        }
    }

    fn fields(self) -> Vec<Self> {
        let mut fields = Vec::new();
        let mut rest = self.trim();
        while !rest.text.is_empty() {
            let end = rest
                .text
                .find(char::is_whitespace)
                .unwrap_or(rest.text.len());
            let (field, tail) = rest.text.split_at(end);
            fields.push(Self {
                text: field,
                at: rest.at,
            });
            rest = Self {
                text: tail,
                at: rest.at + field.chars().count(),
            }
            .trim();
        }
        fields
    }
}

/// Compiles a cron string. The error says why the server would refuse the string.
pub fn compile_cron(text: &str) -> Result<CompiledCron, TimesError> {
    let (zone, rest) = split_zone(Piece { text, at: 0 }.trim())?;
    let (rest, comment) = rest.cut('#');
    let rest = rest.trim();
    let mut warnings = Vec::new();
    if let Some(comment) = comment {
        warnings.push(
            TimesWarning::new(
                format!(
                    "`#{}` is a comment for Temporal and has no effect",
                    comment.text
                ),
                "Temporal has no `#` for the n-th weekday of a month; put comments into the YAML",
            )
            .at(comment.at - 1),
        );
    }
    if rest.text.starts_with("@every") {
        let interval = every(rest)?;
        return Ok(CompiledCron {
            intervals: vec![interval],
            warnings,
            ..CompiledCron::default()
        });
    }
    let calendar = calendar(rest, &mut warnings)?;
    if let Some(comment) = comment
        .map(Piece::trim)
        .filter(|comment| comment.text.len() > COMMENT_LIMIT)
    {
        return Err(
            TimesError::new(format!("the comment is longer than {COMMENT_LIMIT} bytes"))
                .at(comment.at),
        );
    }
    let timezone = match zone {
        Some(zone) if !zone.text.is_empty() => {
            check_zone(zone.text).map_err(|error| error.at(zone.at))?;
            Some(zone.text.to_owned())
        }
        _ => None,
    };
    Ok(CompiledCron {
        calendars: vec![calendar],
        intervals: Vec::new(),
        timezone,
        warnings,
    })
}

/// The common zone of several cron strings and of `timezone:`, which must agree. The server
/// refuses cron strings of which some have a prefix and some have none.
pub fn common_zone(crons: &[CompiledCron], timezone: Option<&str>) -> Result<String, TimesError> {
    let conflict = |one: &str, other: &str| {
        TimesError::new(format!("{one} conflicts with {other}"))
            .hint("a schedule has one time zone: write it once, as `timezone:`")
    };
    let zone_text = |zone: Option<&str>| {
        zone.map_or_else(
            || "no time zone".to_owned(),
            |zone| format!("time zone {zone}"),
        )
    };
    let zone = crons.first().and_then(|cron| cron.timezone.as_deref());
    if let Some(other) = crons.iter().find(|cron| cron.timezone.as_deref() != zone) {
        let (one, other) = (zone_text(zone), zone_text(other.timezone.as_deref()));
        return Err(conflict(
            &format!("a cron string with {one}"),
            &format!("one with {other}"),
        ));
    }
    match (zone, timezone.filter(|zone| !zone.is_empty())) {
        (Some(zone), Some(timezone)) if zone != timezone => Err(conflict(
            &format!("the cron string's time zone {zone}"),
            &format!("`timezone: {timezone}`"),
        )),
        (Some(zone), _) | (None, Some(zone)) => Ok(zone.to_owned()),
        (None, None) => Ok(super::UTC.to_owned()),
    }
}

fn split_zone(text: Piece<'_>) -> Result<(Option<Piece<'_>>, Piece<'_>), TimesError> {
    if !text.text.starts_with("TZ=") && !text.text.starts_with("CRON_TZ=") {
        return Ok((None, text));
    }
    let (prefix, rest) = text.cut(' ');
    let rest = rest.ok_or_else(|| {
        TimesError::new(format!(
            "cron `{}` has a time zone, but no fields",
            text.text
        ))
        .at(text.at)
    })?;
    Ok((prefix.cut('=').1, rest))
}

fn every(text: Piece<'_>) -> Result<Interval, TimesError> {
    let (_, Some(rest)) = text.cut(' ') else {
        return Err(TimesError::new("`@every` has no interval")
            .hint("write `@every 90m` or `@every 90m/10m`")
            .at(text.at));
    };
    let (every, phase) = rest.cut('/');
    let duration =
        |piece: Piece<'_>| go_duration(piece.text).map_err(|error| error.shifted(piece.at));
    let interval = duration(every)?;
    let phase = match phase {
        Some(phase) if !phase.text.is_empty() => duration(phase)?,
        _ => std::time::Duration::ZERO,
    };
    Interval::new(interval, phase).map_err(|error| error.at(rest.at))
}

fn predefined(name: &str) -> Option<&'static str> {
    Some(match name {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

fn calendar(text: Piece<'_>, warnings: &mut Vec<TimesWarning>) -> Result<Calendar, TimesError> {
    let text = predefined(text.text).map_or(text, |fields| Piece {
        text: fields,
        at: text.at,
    });
    let fields = text.fields();
    let (second, [minute, hour, day_of_month, month, day_of_week], year) = match *fields {
        [minute, hour, day, month, weekday] => (None, [minute, hour, day, month, weekday], None),
        [minute, hour, day, month, weekday, year] => {
            (None, [minute, hour, day, month, weekday], Some(year))
        }
        [second, minute, hour, day, month, weekday, year] => (
            Some(second),
            [minute, hour, day, month, weekday],
            Some(year),
        ),
        _ => return Err(wrong_count(text, fields.len())),
    };
    let days = read::<0, 6>(FieldName::DayOfWeek, day_of_week)?;
    let calendar = Calendar {
        second: second.map_or(Ok(Values::only(0)), |second| {
            Ok(read(FieldName::Second, second)?.values)
        })?,
        minute: read(FieldName::Minute, minute)?.values,
        hour: read(FieldName::Hour, hour)?.values,
        day_of_month: read(FieldName::DayOfMonth, day_of_month)?.values,
        month: read(FieldName::Month, month)?.values,
        year: year.map_or(Ok(Values::ALL), |year| {
            Ok(read(FieldName::Year, year)?.values)
        })?,
        day_of_week: days.values,
    };
    if let (None, Some(year)) = (second, year) {
        warnings.push(
            TimesWarning::new(
                format!("Temporal reads the sixth field `{}` as the year", year.text),
                "a cron string with seconds has seven fields: seconds first, the year last",
            )
            .at(year.at),
        );
    }
    if let Some(offset) = days.lost_sunday {
        warnings.push(
            TimesWarning::new(
                format!(
                    "day_of_week `{}` does not fire on Sundays: the server drops the 7",
                    day_of_week.text
                ),
                "write `*` for every day, or `1-6` for Monday to Saturday",
            )
            .at(day_of_week.at + offset),
        );
    }
    if !calendar.day_of_month.is_all() && !days.values.is_all() {
        warnings.push(
            TimesWarning::new(
                format!(
                    "fires only on days that match both day_of_month `{}` and day_of_week `{}`",
                    day_of_month.text, day_of_week.text
                ),
                "other cron implementations fire if either matches; for that, write two cron \
                 strings",
            )
            .at(day_of_month.at),
        );
    }
    Ok(calendar)
}

fn read<const MIN: u16, const MAX: u16>(
    field: FieldName,
    piece: Piece<'_>,
) -> Result<Parsed<MIN, MAX>, TimesError> {
    field::parse(field, piece.text).map_err(|error| error.shifted(piece.at))
}

fn wrong_count(text: Piece<'_>, count: usize) -> TimesError {
    if text.text.starts_with('@') {
        return TimesError::new(format!("Temporal does not support `{}`", text.text))
            .hint("supported are @yearly, @monthly, @weekly, @daily, @hourly and `@every 90m`")
            .at(text.at);
    }
    TimesError::new(format!("cron `{}` has {count} fields, not 5, 6 or 7", text.text))
        .hint("minute hour day_of_month month day_of_week, then optionally the year; with seven fields, seconds come first")
        .at(text.at)
}

impl Calendar {
    /// Returns the cron string for exactly this calendar that causes no warning. `None` if there
    /// is none: use [`Calendar::fields`] then.
    pub fn cron(&self) -> Option<String> {
        let text = self.to_string();
        let compiled = compile_cron(&text).ok()?;
        let exact = compiled.calendars == [*self] && compiled.warnings.is_empty();
        exact.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> String {
        match compile_cron(text) {
            Ok(cron) => {
                let mut lines: Vec<String> =
                    cron.calendars.iter().map(ToString::to_string).collect();
                lines.extend(
                    cron.intervals
                        .iter()
                        .map(|interval| format!("every {interval}")),
                );
                lines.extend(cron.timezone.map(|zone| format!("in {zone}")));
                lines.extend(
                    cron.warnings
                        .into_iter()
                        .map(|it| format!("warning at {:?}: {}", it.offset, it.message)),
                );
                lines.join("\n")
            }
            Err(error) => format!("error at {:?}: {error}; {:?}", error.offset, error.hint),
        }
    }

    #[test]
    fn a_cron_string_has_five_to_seven_fields() {
        assert_eq!(show("30 2 * * MON-FRI"), "30 2 * * 1-5");
        assert_eq!(show("5 30 2 * * * 2030"), "5 30 2 * * * 2030");
        insta::assert_snapshot!(show("0 12 1 1 * 2030"), @r#"
        0 12 1 1 * 2030
        warning at Some(11): Temporal reads the sixth field `2030` as the year
        "#);
        insta::assert_snapshot!(show("* * * *"), @r#"error at Some(0): cron `* * * *` has 4 fields, not 5, 6 or 7; Some("minute hour day_of_month month day_of_week, then optionally the year; with seven fields, seconds come first")"#);
    }

    #[test]
    fn errors_and_warnings_have_their_place() {
        insta::assert_snapshot!(show("  TZ=UTC  0 0 * * 1,1-7"), @r#"
        0 0 * * 1-6
        in UTC
        warning at Some(20): day_of_week `1,1-7` does not fire on Sundays: the server drops the 7
        "#);
        insta::assert_snapshot!(show("0 0 13 * fri"), @r#"
        0 0 13 * 5
        warning at Some(4): fires only on days that match both day_of_month `13` and day_of_week `fri`
        "#);
        insta::assert_snapshot!(show("0 0 * * 5#3"), @r#"
        0 0 * * 5
        warning at Some(9): `#3` is a comment for Temporal and has no effect
        "#);
        insta::assert_snapshot!(show("0 0 L * *"), @r#"error at Some(4): day_of_month `L` is not a value from 1 to 31; Some("Temporal has no `L`; write the last day of each month, as a list of cron strings")"#);
        insta::assert_snapshot!(show("0 0 * * fri-mon"), @r#"error at Some(8): day_of_week `fri-mon` ends before it starts; Some("ranges do not wrap around; write `fri-6,0-mon`")"#);
        insta::assert_snapshot!(show("0 0 * * sat-sun"), @r#"error at Some(8): day_of_week `sat-sun` ends before it starts; Some("Sunday is 0 at the start of a range and 7 at its end: `sat-7`")"#);
        insta::assert_snapshot!(show("TZ=Europe/Berln 0 0 * * *"), @r#"error at Some(3): unknown time zone `Europe/Berln`; Some("did you mean Europe/Berlin?")"#);
        insta::assert_snapshot!(show("@every 5m/1x"), @r#"error at Some(10): `1x` is not a duration; Some("write a duration such as 90s, 10m or 1h30m")"#);
        insta::assert_snapshot!(show("@every 5m/5m"), @r#"error at Some(7): offset 5m is not within its interval 5m; Some("an offset must be shorter than its interval")"#);
        insta::assert_snapshot!(show("@reboot"), @r#"error at Some(0): Temporal does not support `@reboot`; Some("supported are @yearly, @monthly, @weekly, @daily, @hourly and `@every 90m`")"#);
    }

    #[test]
    fn a_zone_before_every_is_ignored_as_on_the_server() {
        assert_eq!(show("TZ=Nowhere @every 90m/10m"), "every 1h30m/10m");
    }

    #[test]
    fn zones_must_agree() {
        let zone = |texts: &[&str], timezone| {
            let crons: Vec<CompiledCron> = texts
                .iter()
                .map(|text| compile_cron(text).unwrap())
                .collect();
            common_zone(&crons, timezone).map_err(|error| error.message)
        };
        let berlin = "TZ=Europe/Berlin 0 0 * * *";
        assert_eq!(zone(&["0 0 * * *"], None), Ok("UTC".to_owned()));
        assert_eq!(zone(&[], Some("Asia/Tokyo")), Ok("Asia/Tokyo".to_owned()));
        assert_eq!(
            zone(&[berlin, "CRON_TZ=Europe/Berlin @daily"], None),
            Ok("Europe/Berlin".to_owned())
        );
        assert_eq!(
            zone(&[berlin], Some("Europe/Berlin")),
            Ok("Europe/Berlin".to_owned())
        );
        insta::assert_snapshot!(zone(&[berlin], Some("UTC")).unwrap_err(), @"the cron string's time zone Europe/Berlin conflicts with `timezone: UTC`");
        insta::assert_snapshot!(zone(&[berlin, "@every 5m"], None).unwrap_err(), @"a cron string with time zone Europe/Berlin conflicts with one with no time zone");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_errors_point_into_it(text in "(TZ=UTC )?[-0-9*/, a-z#@ΩL\t]{0,40}") {
            if let Err(error) = compile_cron(&text) {
                prop_assert!(error.offset.is_some_and(|offset| offset <= text.chars().count()), "{error:?}");
            }
        }

        #[test]
        fn accepted_cron_strings_have_a_canonical_text(text in "[0-5]?[0-9](/[1-9])? [*0-9] (\\*|1-7|[1-9]/3) (jan|\\*|1-12/5) (sun|[0-7]|\\*|2-7)") {
            let cron = compile_cron(&text).unwrap();
            let again = compile_cron(&cron.calendars[0].to_string()).unwrap();
            prop_assert_eq!(again.calendars, cron.calendars);
        }
    }

    fn values<const MIN: u16, const MAX: u16>() -> impl Strategy<Value = Values<MIN, MAX>> {
        let some = proptest::collection::vec(MIN..=MAX, 1..20).prop_map(Values::from_iter);
        prop_oneof![Just(Values::ALL), some]
    }

    prop_compose! {
        fn calendars()(
            second in values(), minute in values(), hour in values(), day_of_month in values(),
            month in values(), year in values(), day_of_week in values(),
        ) -> Calendar {
            Calendar { second, minute, hour, day_of_month, month, year, day_of_week }
        }
    }

    proptest! {
        /// A calendar's canonical text is also a cron string of the server's.
        #[test]
        fn a_calendars_text_is_a_cron_string(calendar in calendars()) {
            let compiled = compile_cron(&calendar.to_string()).unwrap();
            prop_assert_eq!(compiled.calendars, vec![calendar]);
        }
    }
}
