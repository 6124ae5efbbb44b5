//! Values of a schedule's fields as text, as a definition writes them, and their differences.

use std::collections::BTreeSet;

use almanac_times::{Calendar, Role};
use serde_json::Value;

use super::display::Sign;
use crate::field::Field;
use crate::write::flow::{calendar, flow, list};

/// Text of a value that is not set.
const NONE: &str = "none";
/// Marks the place where a text was cut.
const CUT: char = '…';
/// Maximum number of characters that are shown of a text, and of the common beginning of two
/// long texts before they differ.
const LIMIT: usize = 160;
const SHOWN_BEFORE: usize = 20;
/// Number of characters of two values together from which on only the differing parts are
/// shown.
const LONG: usize = 100;
/// Maximum number of differing parts of a field that are shown.
const PARTS: usize = 10;

/// A part of a value that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The part is added, changed or removed.
    pub sign: Sign,
    /// The place of the part as a JSON pointer, if it has one, and the values.
    pub text: String,
}

/// The difference of two values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Both values.
    Values {
        /// Text of the value before.
        before: String,
        /// Text of the value after.
        after: String,
    },
    /// The parts that differ, of long values.
    Parts {
        /// The first of the parts.
        shown: Vec<Part>,
        /// Number of further parts.
        more: usize,
    },
}

/// Returns the value of a field on one line, as a definition writes it. A long text is cut.
pub fn value_text(field: Field, value: &Value) -> String {
    cut(&whole(field, value), 0)
}

/// Returns the difference of two values of a field.
pub(super) fn difference(field: Field, before: &Value, after: &Value) -> Difference {
    let (old, new) = (whole(field, before), whole(field, after));
    let is_long = old.chars().count() + new.chars().count() > LONG;
    let mut parts = Vec::new();
    match field {
        Field::Times | Field::Intervals | Field::Exclude if is_long => {
            members(field, before, after, &mut parts);
        }
        Field::Input | Field::Definition | Field::Action
            if is_long && (before.is_object() || before.is_array()) =>
        {
            compare(Some(before), Some(after), "", &mut parts);
        }
        _ => {}
    }
    if parts.is_empty() {
        let (before, after) = cut_both(&old, &new);
        return Difference::Values { before, after };
    }
    let more = parts.len().saturating_sub(PARTS);
    parts.truncate(PARTS);
    Difference::Parts { shown: parts, more }
}

fn whole(field: Field, value: &Value) -> String {
    match field {
        Field::Times | Field::Intervals | Field::Exclude => {
            let items = items(field, value);
            match &items[..] {
                [] => NONE.to_owned(),
                [one] => one.clone(),
                _ => list(items.into_iter()),
            }
        }
        Field::Input | Field::Definition | Field::Action if !value.is_null() => flow(value),
        _ => match value {
            Value::Null => NONE.to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
    }
}

/// The members of a field that is a list.
fn items(field: Field, value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| self::item(field, item)).collect()
}

fn item(field: Field, item: &Value) -> String {
    let role = match field {
        Field::Exclude => Role::Exclude,
        _ => Role::Match,
    };
    let spec = item.as_str().and_then(|text| text.parse::<Calendar>().ok());
    if let Some(spec) = spec {
        return calendar(&spec, role);
    }
    match item.as_array().map(Vec::as_slice) {
        Some([Value::String(every), Value::String(offset)]) if offset == "0s" => every.clone(),
        Some([Value::String(every), Value::String(offset)]) => {
            format!("{{ interval: {every}, offset: {offset} }}")
        }
        _ => flow(item),
    }
}

/// Collects the members that only one of two lists has.
fn members(field: Field, before: &Value, after: &Value, into: &mut Vec<Part>) {
    let (old, new) = (items(field, before), items(field, after));
    let (known, wanted): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
    let gone = old.iter().filter(|item| !wanted.contains(item));
    let come = new.iter().filter(|item| !known.contains(item));
    let part = |sign, text: &String| Part {
        sign,
        text: cut(text, 0),
    };
    into.extend(gone.map(|item| part(Sign::Removed, item)));
    into.extend(come.map(|item| part(Sign::Added, item)));
}

/// Collects the differences of two values, each with its place as a JSON pointer.
fn compare(before: Option<&Value>, after: Option<&Value>, at: &str, into: &mut Vec<Part>) {
    let all = |at: &str| if at.is_empty() { "all" } else { at }.to_owned();
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                let at = format!("{at}/{escaped}");
                compare(before.get(name), after.get(name), &at, into);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                let at = format!("{at}/{index}");
                compare(before.get(index), after.get(index), &at, into);
            }
        }
        (before, after) if before == after => {}
        (Some(before), Some(after)) => {
            let (before, after) = cut_both(&flow(before), &flow(after));
            into.push(Part {
                sign: Sign::Changed,
                text: format!("{}: {before} → {after}", all(at)),
            });
        }
        (Some(value), None) => into.push(Part {
            sign: Sign::Removed,
            text: format!("{}: {}", all(at), cut(&flow(value), 0)),
        }),
        (None, Some(value)) => into.push(Part {
            sign: Sign::Added,
            text: format!("{}: {}", all(at), cut(&flow(value), 0)),
        }),
        (None, None) => {}
    }
}

/// Two texts, both without a part of their common beginning if it is long: otherwise both would
/// be shown alike.
fn cut_both(before: &str, after: &str) -> (String, String) {
    let common = before.chars().zip(after.chars());
    let same = common.take_while(|(one, other)| one == other).count();
    let skipped = if same < LIMIT { 0 } else { same - SHOWN_BEFORE };
    (cut(before, skipped), cut(after, skipped))
}

/// A text without its first `skipped` characters, and without its end if it is long.
fn cut(text: &str, skipped: usize) -> String {
    let mut rest = text.chars().skip(skipped);
    let shown: String = rest.by_ref().take(LIMIT).collect();
    let mark = |is_cut: bool| {
        if is_cut {
            CUT.to_string()
        } else {
            String::new()
        }
    };
    let (before, after) = (mark(skipped > 0), mark(rest.next().is_some()));
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differences(before: &Value, after: &Value) -> Vec<String> {
        let mut into = Vec::new();
        compare(Some(before), Some(after), "", &mut into);
        let parts = into.iter();
        parts
            .map(|part| format!("{} {}", part.sign.as_char(), part.text))
            .collect()
    }

    #[test]
    fn a_change_of_a_long_value_shows_the_parts_that_differ() {
        let steps = |wait: &str, more: bool| {
            let rest = json!({ "say": { "set": { "text": "x".repeat(200) } } });
            let mut list = vec![rest, json!({ "a/b": { "wait": wait } })];
            if more {
                list.push(json!({ "last": { "set": "y".repeat(200) } }));
            }
            json!({ "do": list })
        };
        assert_eq!(
            differences(&steps("PT15S", false), &steps("PT16S", false)),
            ["~ /do/1/a~1b/wait: PT15S → PT16S"]
        );
        let added = differences(&steps("PT15S", false), &steps("PT15S", true));
        assert_eq!(added.len(), 1);
        assert!(
            added[0].starts_with("+ /do/2: { last: ") && added[0].ends_with(CUT),
            "{added:?}"
        );
        let removed = differences(&steps("PT15S", true), &steps("PT15S", false));
        assert!(removed[0].starts_with("- /do/2: "), "{removed:?}");
        assert_eq!(differences(&json!("x"), &json!({})), ["~ all: x → {}"]);
        let late = |end: &str| json!(format!("{}{end}", "x".repeat(1000)));
        let common = "x".repeat(SHOWN_BEFORE);
        assert_eq!(
            differences(&late("one"), &late("")),
            [format!("~ all: {CUT}{common}one → {CUT}{common}")]
        );
        assert!(differences(&steps("PT1S", true), &steps("PT1S", true)).is_empty());
    }

    #[test]
    fn values_are_written_as_in_a_definition() {
        for (field, value, text) in [
            (Field::Times, json!([]), "none"),
            (Field::Times, json!(["30 2 * * 1-5"]), "\"30 2 * * 1-5\""),
            (
                Field::Times,
                json!(["30 2 * * 1-5", "0 12 1,15 * *"]),
                "[\"30 2 * * 1-5\", \"0 12 1,15 * *\"]",
            ),
            (Field::Intervals, json!([["1h30m", "0s"]]), "1h30m"),
            (
                Field::Intervals,
                json!([["1h", "15m"]]),
                "{ interval: 1h, offset: 15m }",
            ),
            (
                Field::Exclude,
                json!(["* * * 25 12 * *"]),
                "{ day_of_month: 25, month: 12 }",
            ),
            (Field::Timezone, json!("Europe/Berlin"), "Europe/Berlin"),
            (Field::StartAt, Value::Null, "none"),
            (Field::CatchupWindow, json!("6h"), "6h"),
            (Field::Paused, json!(true), "true"),
            (Field::MaxActions, json!("2 left"), "2 left"),
            (
                Field::Input,
                json!([{ "mode": "nightly" }]),
                "[{ mode: nightly }]",
            ),
        ] {
            assert_eq!(value_text(field, &value), text);
        }
    }

    #[test]
    fn of_a_long_list_only_the_members_that_differ_are_shown() {
        let days = |days: std::ops::Range<u32>| {
            let all = days.map(|day| format!("* * * {day} 12 * *"));
            json!(all.collect::<Vec<_>>())
        };
        let Difference::Parts { shown, more } =
            difference(Field::Exclude, &days(2..12), &days(1..11))
        else {
            panic!("two long lists are compared by their members");
        };
        let shown: Vec<_> = shown.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(
            shown,
            [
                "{ day_of_month: 11, month: 12 }",
                "{ day_of_month: 1, month: 12 }"
            ]
        );
        assert_eq!(more, 0);
    }
}
