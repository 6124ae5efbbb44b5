//! Functions of given times: seconds since 1970, RFC 3339, and the arrays of jq's
//! "broken down" times. All times are in UTC.

use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::{items, shown, text};
use crate::expression::builtin::Function;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::Val;

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function::new("fromdateiso8601", 0, from_iso),
    Function::new("todateiso8601", 0, to_iso),
    Function::new("strftime", 1, strftime),
    Function::new("strptime", 1, strptime),
    Function::new("gmtime", 0, gmtime),
    Function::new("mktime", 0, mktime),
];

/// Conversions of `strftime`. Widths are not supported, because a width could be huge.
const CONVERSIONS: &str = "YmdHMSjZzaAbBeyFTsIpCDgGhklnPRtuUVwWcrxX%";
/// Conversions that stand for others, as in the C locale.
const LOCAL: [(char, &str); 4] = [
    ('c', "%a %b %e %H:%M:%S %Y"),
    ('r', "%I:%M:%S %p"),
    ('x', "%m/%d/%y"),
    ('X', "%H:%M:%S"),
];
/// Conversions of `strptime`.
const READ: &str = "YmdHMSjzaAbBeyFTsIpDhnRt%";

fn from_iso(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let text = text(&value, "fromdateiso8601")?;
    run.meter.steps(4)?;
    let time: Timestamp = match text.len() {
        0..=40 => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| Stop::error(format!("{} is not a time in RFC 3339", shown(&value))))?;
    let fraction = f64::from(time.subsec_nanosecond()) / 1e9;
    let seconds = Num::Int(i128::from(time.as_second()));
    Ok(Val::Num(if fraction == 0.0 {
        seconds
    } else {
        Num::of(seconds.float() + fraction)?
    }))
}

/// Returns whole seconds: fractions are left out, as in jq.
fn timestamp(run: &Run<'_>, value: &Val) -> Result<Timestamp, Stop> {
    let seconds = match value {
        Val::Num(number) => Timestamp::from_second(number.index()).ok(),
        Val::Arr(_) => match mktime(run, value.clone(), &[])? {
            Val::Num(number) => Timestamp::from_second(number.index()).ok(),
            _ => None,
        },
        _ => None,
    };
    let wrong = || {
        Stop::error(format!(
            "{} is not a time in seconds since 1970",
            shown(value)
        ))
    };
    seconds.ok_or_else(wrong)
}

fn to_iso(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    run.meter.steps(4)?;
    Val::string(&run.meter, &timestamp(run, &value)?.to_string())
}

/// Checks that a format has only known conversions, and replaces those of the locale.
fn known(format: &str, function: &str, conversions: &str) -> Result<String, Stop> {
    let mut made = String::with_capacity(format.len());
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            made.push(character);
            continue;
        }
        let conversion = rest.next().filter(|c| conversions.contains(*c));
        let Some(conversion) = conversion else {
            let all: Vec<String> = conversions.chars().map(String::from).collect();
            return Err(Stop::error(format!(
                "{function} supports only the conversions %{}",
                all.join(" %")
            )));
        };
        match LOCAL.iter().find(|(local, _)| *local == conversion) {
            Some((_, meaning)) => made.push_str(meaning),
            None => made.extend(['%', conversion]),
        }
    }
    Ok(made)
}

fn strftime(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let format = text(arguments.first().unwrap_or(&Val::Null), "strftime")?;
    run.meter.allocate(64 * format.len())?;
    run.meter.steps(4 + format.len())?;
    let format = known(format, "strftime", CONVERSIONS)?;
    let time = timestamp(run, &value)?.to_zoned(TimeZone::UTC);
    match strtime::format(format, &time) {
        Ok(text) => Val::string(&run.meter, &text),
        Err(error) => Err(Stop::error(format!("strftime: {error}"))),
    }
}

/// Returns the array of the time in a text. An offset in the text is read and ignored, as in jq.
fn strptime(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let format = text(arguments.first().unwrap_or(&Val::Null), "strptime")?;
    let input = text(&value, "strptime")?;
    run.meter.scan(16 * (format.len() + input.len()))?;
    run.meter.steps(4 + format.len())?;
    let format = known(format, "strptime", READ)?;
    let wrong = |why: &dyn std::fmt::Display| {
        let (input, format) = (shown(&value), shown(&Val::text(&format)));
        Stop::error(format!("{input} does not match {format}: {why}"))
    };
    let read = BrokenDownTime::parse(&format, input).map_err(|error| wrong(&error))?;
    if let (Some(time), None) = (read.timestamp(), read.year()) {
        return broken_down(run, Num::Int(i128::from(time.as_second())));
    }
    let date = read.to_date().map_err(|error| wrong(&error))?;
    let time = read.to_time().unwrap_or(civil::Time::midnight());
    let seconds = date
        .to_datetime(time)
        .to_zoned(TimeZone::UTC)
        .map_err(|error| wrong(&error))?;
    broken_down(run, Num::Int(i128::from(seconds.timestamp().as_second())))
}

fn gmtime(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    match &value {
        Val::Num(number) => broken_down(run, *number),
        other => Err(Stop::error(format!(
            "gmtime needs a number, not {}",
            shown(other)
        ))),
    }
}

/// Returns `[year, month from 0, day, hours, minutes, seconds, day of week, day of year]`.
fn broken_down(run: &Run<'_>, seconds: Num) -> Result<Val, Stop> {
    run.meter.steps(4)?;
    let time = timestamp(run, &Val::Num(seconds))?.to_zoned(TimeZone::UTC);
    let fraction = match seconds {
        Num::Int(_) => 0.0,
        Num::Float(value) => value - value.floor(),
    };
    let whole = |number: i64| Val::Num(Num::Int(i128::from(number)));
    let parts = vec![
        whole(i64::from(time.year())),
        whole(i64::from(time.month()) - 1),
        whole(i64::from(time.day())),
        whole(i64::from(time.hour())),
        whole(i64::from(time.minute())),
        Val::Num(Num::of(f64::from(time.second()) + fraction)?),
        whole(i64::from(time.weekday().to_sunday_zero_offset())),
        whole(i64::from(time.day_of_year()) - 1),
    ];
    Val::list(&run.meter, parts)
}

/// Returns the seconds of such an array. Months, days and the other parts may overflow.
fn mktime(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    run.meter.steps(4)?;
    let parts = items(&value, "mktime")?;
    let part = |at: usize| match parts.get(at) {
        Some(Val::Num(number)) if number.place().unsigned_abs() < 1 << 40 => {
            Ok(i128::from(number.place()))
        }
        _ => Err(Stop::error(
            "mktime needs an array of six numbers: year, month, day, hours, minutes, seconds",
        )),
    };
    let (year, month, day) = (part(0)?, part(1)?, part(2)?);
    let (hours, minutes, seconds) = (part(3)?, part(4)?, part(5)?);
    let (year, month) = (year + month.div_euclid(12), month.rem_euclid(12) + 1);
    let days = days_before(year, month) + day - 1;
    let seconds = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    Ok(Val::Num(Num::whole(seconds)?))
}

/// Number of days from 1970 to the first of a month, in the Gregorian calendar.
fn days_before(year: i128, month: i128) -> i128 {
    // Counting years from March puts the leap day at the end of the year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
