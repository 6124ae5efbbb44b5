//! Documents of `kind: calendar`: named sets of whole days.

use std::ops::RangeInclusive;

use almanac_base::names::Revision;
use almanac_base::shape::Shape;
use almanac_base::text::quoted;
use almanac_times::{Role, WholeDays};
use jiff::civil::Date;

use super::calendar::calendar;
use super::decode::{Decoder, describe};
use super::document::{StatedId, about, check_id};
use super::schedule::{LIST_LIMIT, TEXT_LIMIT, list_size};
use super::yaml::{Node, Value};
use super::{DayCalendar, revision};

pub(super) const DAY_CALENDAR: Shape = Shape {
    name: "a calendar's document",
    keys: &["kind", "id", "description", "labels", "dates"],
    refused: &[],
};

/// A rule of `dates`: all days whose fields match.
pub(super) const RULE: Shape = Shape {
    name: "a rule of `dates`",
    keys: &["day_of_month", "month", "year", "day_of_week"],
    refused: &[],
};

/// Years that the server supports.
const YEARS: RangeInclusive<i16> = 2000..=2100;
/// Year of the dates that stand for every year. 2000 has a 29 February.
const ANY_YEAR: i16 = 2000;
/// Maximum length of a range, in days.
const RANGE_LIMIT: i32 = 366;

const HINT: &str =
    "write 2026-12-24, 12-25 for a day of every year, or a range of either: 2026-12-24/2026-12-26";

/// Reads a document. The decoder collects the errors; after an error the result is not complete.
pub(super) fn day_calendar(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    id: &StatedId,
) -> Option<DayCalendar> {
    let object = decoder.object(node.at, node, "", &DAY_CALENDAR)?;
    let id = check_id(decoder, &object, id);
    let (description, labels) = about(decoder, &object);
    if !object.has("dates") {
        decoder.error_with_hint(object.at, "`dates` is missing", HINT);
    }
    let mut days = WholeDays::default();
    if let Some(entry) = object.get("dates")
        && let Some(items) = decoder.list(&entry.value, "dates", "a list of dates")
    {
        list_size(decoder, &entry.value, items, "dates");
        for item in items.iter().take(LIST_LIMIT) {
            read(decoder, item, &mut days);
        }
    }
    let mut calendar = DayCalendar {
        id: id?,
        revision: Revision::default(),
        description,
        labels,
        exclusions: days.compile(),
    };
    calendar.revision = revision::of_calendar(&calendar);
    Some(calendar)
}

/// Reads an entry of `dates`: text, or a rule.
fn read(decoder: &mut Decoder<'_>, item: &Node<'_>, days: &mut WholeDays) {
    match &item.value {
        Value::Map(_) => {
            if let Some(object) = decoder.object(item.at, item, "dates", &RULE)
                && let Some(rule) = calendar(decoder, item, &object, "dates", Role::Exclude)
                && !days.insert_rule(&rule)
            {
                repeated(decoder, item, "this rule");
            }
        }
        Value::Text => {
            if let Some(text) = decoder.name(item, "dates", TEXT_LIMIT) {
                dates(decoder, item, text, days);
            }
        }
        Value::Refused => {}
        _ => decoder.error_with_hint(
            item.at,
            format!("an entry of `dates` must be a date, not {}", describe(item)),
            HINT,
        ),
    }
}

/// Adds a date or a range of dates to `days`.
fn dates(decoder: &mut Decoder<'_>, item: &Node<'_>, text: &str, days: &mut WholeDays) {
    let range = match parse(text) {
        Ok(range) => range,
        Err(error) => {
            let at = decoder.place_in(item, Some(error.offset));
            decoder.error_with_hint(at, format!("`dates`: {}", error.message), error.hint);
            return;
        }
    };
    let mut first_repeated = None;
    let mut day = range.first;
    // The loop ends, because `parse` refuses ranges longer than `RANGE_LIMIT`.
    loop {
        let is_new = if range.yearly {
            days.insert_yearly(day)
        } else {
            days.insert_date(day)
        };
        if !is_new {
            first_repeated = first_repeated.or(Some(day));
        }
        match day.tomorrow() {
            Ok(next) if next <= range.last => day = next,
            _ => break,
        }
    }
    if let Some(day) = first_repeated {
        let day = if range.yearly {
            day.strftime("%m-%d").to_string()
        } else {
            day.to_string()
        };
        repeated(decoder, item, &day);
    }
}

fn repeated(decoder: &mut Decoder<'_>, item: &Node<'_>, what: &str) {
    decoder.warn(
        item.at,
        format!("`dates`: {what} is already listed"),
        "remove one of the two",
    );
}

/// Days from `first` to `last`, both included.
struct Days {
    first: Date,
    last: Date,
    /// `true` if the days are those of every year. The year of the dates is then [`ANY_YEAR`].
    yearly: bool,
}

/// An error in a text, with the offset of the wrong character.
struct Mistake {
    offset: usize,
    message: String,
    hint: String,
}

fn parse(text: &str) -> Result<Days, Mistake> {
    let (from, to) = text.split_once('/').unwrap_or((text, text));
    let second = text.chars().count() - to.chars().count();
    let (first, yearly) = day(from, 0)?;
    let (last, last_yearly) = day(to, second)?;
    let mistake = |message: String, hint: &str| Mistake {
        offset: second,
        message,
        hint: hint.to_owned(),
    };
    if yearly != last_yearly {
        return Err(mistake(
            format!("{} has a year at one end only", quoted(text)),
            "give both ends a year, or neither",
        ));
    }
    if last < first {
        return Err(mistake(
            format!("the range {} ends before it begins", quoted(text)),
            if yearly {
                "for a range past the end of the year, write two: 12-24/12-31 and 01-01/01-02"
            } else {
                "write the earlier date first"
            },
        ));
    }
    let length = first.until(last).map_or(i32::MAX, |span| span.get_days()) + 1;
    if length > RANGE_LIMIT {
        return Err(mistake(
            format!(
                "the range {} has {length} days, over the limit of {RANGE_LIMIT}",
                quoted(text)
            ),
            "end the schedule with `end_at`, or write a rule such as { year: 2027 }",
        ));
    }
    Ok(Days {
        first,
        last,
        yearly,
    })
}

/// Reads `2026-12-24`, or `12-24` of every year (`true`). `offset` is the position of the text in
/// the entry, in characters.
fn day(text: &str, offset: usize) -> Result<(Date, bool), Mistake> {
    let mistake = |message: String, hint: &str| Mistake {
        offset,
        message,
        hint: hint.to_owned(),
    };
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let number = |part: &str| part.parse::<i16>().unwrap_or_default();
    let (year, month, date, yearly) = match (digits, &parts[..], &lengths[..]) {
        (true, [year, month, day], [4, 2, 2]) => (number(year), number(month), number(day), false),
        (true, [month, day], [2, 2]) => (ANY_YEAR, number(month), number(day), true),
        _ => return Err(mistake(format!("{} is not a date", quoted(text)), HINT)),
    };
    if !YEARS.contains(&year) {
        return Err(mistake(
            format!("the year of {} is not from 2000 to 2100", quoted(text)),
            "Temporal supports only these years",
        ));
    }
    let small = |value: i16| i8::try_from(value).unwrap_or(i8::MAX);
    match Date::new(year, small(month), small(date)) {
        Ok(date) => Ok((date, yearly)),
        Err(_) => Err(mistake(
            format!("the day {} does not exist", quoted(text)),
            "the month comes before the day",
        )),
    }
}
