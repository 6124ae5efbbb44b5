//! Times that are given: seconds since 1970 and RFC 3339, always in UTC.

use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};

use super::{shown, text};
use crate::expression::builtin::Function;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::Val;

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function {
        name: "fromdateiso8601",
        arity: 0,
        call: from_iso,
    },
    Function {
        name: "todateiso8601",
        arity: 0,
        call: to_iso,
    },
    Function {
        name: "strftime",
        arity: 1,
        call: strftime,
    },
];

/// The conversions of `strftime`; without widths, which could be huge.
const CONVERSIONS: &str = "YmdHMSjZzaAbBeyFTsIp%";

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

/// Whole seconds: fractions are left out, as jq does.
fn timestamp(value: &Val) -> Result<Timestamp, Stop> {
    let seconds = match value {
        Val::Num(number) => Timestamp::from_second(number.index()).ok(),
        _ => None,
    };
    let wrong = || Stop::error(format!("{} is no time in seconds since 1970", shown(value)));
    seconds.ok_or_else(wrong)
}

fn to_iso(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    run.meter.steps(4)?;
    Val::string(&run.meter, &timestamp(&value)?.to_string())
}

fn strftime(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let format = text(arguments.first().unwrap_or(&Val::Null), "strftime")?;
    run.meter.allocate(16 * format.len())?;
    run.meter.steps(format.len())?;
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character == '%' && !rest.next().is_some_and(|c| CONVERSIONS.contains(c)) {
            return Err(Stop::error(format!(
                "strftime knows %{} and no other conversions",
                CONVERSIONS
                    .chars()
                    .map(String::from)
                    .collect::<Vec<_>>()
                    .join(" %")
            )));
        }
    }
    let time = timestamp(&value)?.to_zoned(TimeZone::UTC);
    match strtime::format(format, &time) {
        Ok(text) => Val::string(&run.meter, &text),
        Err(error) => Err(Stop::error(format!("strftime: {error}"))),
    }
}
