//! Calendars of a schedule: entries that match times, and entries that exclude times.

use almanac_base::shape::Shape;
use almanac_times::{Calendar, CalendarInput, Role, Spec, compile_calendar};

use super::decode::{Decoder, Object, join};
use super::document::bad_id;
use super::schedule::{LIST_LIMIT, TEXT_LIMIT, list_size, times_error};
use super::yaml::{Entry, Node, Value};

pub(super) const CALENDAR: Shape = Shape {
    name: "a calendar",
    keys: &[
        "second",
        "minute",
        "hour",
        "day_of_month",
        "month",
        "year",
        "day_of_week",
    ],
    refused: &[],
};

/// An entry of `exclude`: a calendar, or the id of a calendar's document.
pub(super) const EXCLUSION: Shape = Shape {
    name: "an exclusion",
    keys: &[
        "second",
        "minute",
        "hour",
        "day_of_month",
        "month",
        "year",
        "day_of_week",
        "calendar",
    ],
    refused: &[],
};

/// Reads `calendars` or `exclude` into the spec.
pub(super) fn calendars(decoder: &mut Decoder<'_>, entry: &Entry<'_>, role: Role, spec: &mut Spec) {
    let (key, shape) = match role {
        Role::Match => ("schedule.calendars", &CALENDAR),
        Role::Exclude => ("schedule.exclude", &EXCLUSION),
    };
    let Some(items) = decoder.list(&entry.value, key, "a list of calendars") else {
        return;
    };
    if role == Role::Match || !items.is_empty() {
        list_size(decoder, &entry.value, items, key);
    }
    let mut all = Vec::new();
    for item in items.iter().take(LIST_LIMIT) {
        let Some(object) = decoder.object(item.at, item, key, shape) else {
            continue;
        };
        if role == Role::Exclude && item.entry("calendar").is_some() {
            named(decoder, item, &object);
            continue;
        }
        all.extend(calendar(decoder, item, &object, key, role));
    }
    match role {
        Role::Match => spec.calendars.extend(all),
        Role::Exclude => spec.exclude.extend(all),
    }
}

/// Reads an exclusion that names a calendar's document.
fn named(decoder: &mut Decoder<'_>, item: &Node<'_>, object: &Object<'_>) {
    const PATH: &str = "schedule.exclude.calendar";
    let Some(entry) = object.get("calendar") else {
        return;
    };
    let known =
        |other: &&Entry<'_>| other.key != entry.key && EXCLUSION.keys.contains(&other.key.as_ref());
    if let Value::Map(entries) = &item.value
        && let Some(other) = entries.iter().find(known)
    {
        decoder.error_with_hint(
            other.at,
            format!("`{}` cannot be combined with `calendar`", other.key),
            "write two entries: a time that matches either is excluded",
        );
    }
    let Some(text) = decoder.name(&entry.value, PATH, TEXT_LIMIT) else {
        return;
    };
    match text.parse() {
        Ok(id) => decoder.calendars.push((id, entry.value.at)),
        Err(_) => bad_id(decoder, entry, text, PATH),
    }
}

/// Reads a calendar by its fields.
pub(super) fn calendar(
    decoder: &mut Decoder<'_>,
    item: &Node<'_>,
    object: &Object<'_>,
    path: &str,
    role: Role,
) -> Option<Calendar> {
    let mut present = 0;
    let mut complete = true;
    let mut field = |key: &str| {
        let entry = object.get(key)?;
        present += 1;
        let text = field_text(decoder, &entry.value, &join(path, key));
        complete &= text.is_some();
        text
    };
    let input = CalendarInput {
        second: field("second"),
        minute: field("minute"),
        hour: field("hour"),
        day_of_month: field("day_of_month"),
        month: field("month"),
        year: field("year"),
        day_of_week: field("day_of_week"),
    };
    if present == 0 {
        // The map has keys. Each of them is unknown or has no value, and that was reported.
        if matches!(&item.value, Value::Map(entries) if !entries.is_empty()) {
            return None;
        }
        decoder.error_with_hint(
            item.at,
            format!("an entry of `{path}` has no field"),
            match role {
                Role::Match => "for each day at midnight, write `hour: 0`",
                Role::Exclude => "an empty entry would exclude every time",
            },
        );
        return None;
    }
    match compile_calendar(&input, role) {
        Ok(calendar) => complete.then_some(calendar),
        Err(errors) => {
            for (name, error) in errors {
                if let Some(entry) = object.get(name.as_str()) {
                    times_error(decoder, &entry.value, &join(path, name.as_str()), error);
                }
            }
            None
        }
    }
}

/// Text of a calendar's field. A whole number needs no quotes.
fn field_text(decoder: &mut Decoder<'_>, node: &Node<'_>, path: &str) -> Option<String> {
    match &node.value {
        Value::Int(value) => Some(value.to_string()),
        Value::List(_) => {
            decoder.error_with_hint(
                node.at,
                format!("`{path}` must be text or a number, not a list"),
                "write several values as text: \"9,17\"",
            );
            None
        }
        Value::Text => decoder.name(node, path, TEXT_LIMIT).map(str::to_owned),
        _ => {
            decoder.mismatch(node, path, "text or a number");
            None
        }
    }
}
