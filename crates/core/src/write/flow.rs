//! Values on one line, as a definition may write them: YAML's flow style.

use almanac_base::duration;
use almanac_times::{Calendar, Role};
use serde_json::Value as Json;

use super::{fields, is_word, quoted};

/// Writes a value on one line.
pub(crate) fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => scalar(text),
        Json::Array(items) if !items.is_empty() => list(items.iter().map(flow)),
        Json::Object(map) if !map.is_empty() => {
            let members = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Writes items as a list.
pub(crate) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// Writes a calendar as its cron string. Where no cron string is exact, and for an exclusion, as
/// its fields.
pub(crate) fn calendar(calendar: &Calendar, role: Role) -> String {
    let cron = calendar.cron().filter(|_| role == Role::Match);
    cron.map(|cron| quoted(&cron))
        .or_else(|| fields(calendar, role))
        .unwrap_or_else(|| "never".to_owned())
}

/// Writes text without quotes if no YAML parser could read it as something else. Unlike in a
/// document, words with single spaces between them and durations have no quotes.
fn scalar(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_./()-".contains(c);
    let mut words = text.split(' ');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_plain =
        begins && words.all(|word| !word.is_empty() && word.chars().all(is_part)) && !is_word(text);
    if is_plain || duration::parse(text).is_ok() {
        text.to_owned()
    } else {
        quoted(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_quotes_only_where_yaml_needs_them() {
        let value = json!({
            "mode": "nightly",
            "note": "the bank is down",
            "timeout": "6h",
            "zone": "Europe/Berlin",
            "pairs": [["a, b", "x: y"], [], {}],
            "unsure": ["yes", "5", "1e3", "", " a", "a  b", "- a", "- ", "2026-03-02"],
            "none": null,
        });
        insta::assert_snapshot!(flow(&value), @r#"{ mode: nightly, none: null, note: the bank is down, pairs: [["a, b", "x: y"], [], {}], timeout: 6h, unsure: ["yes", "5", "1e3", "", " a", "a  b", "- a", "- ", "2026-03-02"], zone: Europe/Berlin }"#);
        let read: Json = crate::definition::yaml_value(&flow(&value)).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn calendars_are_written_as_in_a_definition() {
        let weekdays: Calendar = "30 2 * * 1-5".parse().unwrap();
        assert_eq!(calendar(&weekdays, Role::Match), "\"30 2 * * 1-5\"");
        let christmas: Calendar = "* * * 25 12 * *".parse().unwrap();
        assert_eq!(
            calendar(&christmas, Role::Exclude),
            "{ day_of_month: 25, month: 12 }"
        );
        assert_eq!(calendar(&Calendar::NEVER, Role::Match), "never");
    }
}
