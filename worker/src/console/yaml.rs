//! Writer of JSON data as YAML, in the block style that people write.

use std::fmt::Write as _;

use almanac_base::text::is_hidden;
use serde_json::Value;

/// Words that a YAML parser may read as something else than a text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// Writes a value as a YAML document.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => list(items, 0, &mut out),
        Value::Object(map) if !map.is_empty() => object(map, 0, &mut out),
        scalar => {
            out += &inline(scalar);
            out.push('\n');
        }
    }
    out
}

/// Writes the members of a list, each with its own line break. The first begins where `out`
/// ends.
fn list(items: &[Value], indent: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            spaces(indent, out);
        }
        *out += "- ";
        match item {
            Value::Array(items) if !items.is_empty() => list(items, indent + 2, out),
            Value::Object(map) if !map.is_empty() => object(map, indent + 2, out),
            scalar => writeln!(out, "{}", inline(scalar)).unwrap_or_default(),
        }
    }
}

/// Writes the members of an object, as [`list`] does.
fn object(map: &serde_json::Map<String, Value>, indent: usize, out: &mut String) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            spaces(indent, out);
        }
        *out += &string(key);
        match value {
            Value::Array(items) if !items.is_empty() => {
                *out += ":\n";
                spaces(indent, out);
                list(items, indent, out);
            }
            Value::Object(map) if !map.is_empty() => {
                *out += ":\n";
                spaces(indent + 2, out);
                object(map, indent + 2, out);
            }
            scalar => writeln!(out, ": {}", inline(scalar)).unwrap_or_default(),
        }
    }
}

fn spaces(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// A scalar, or an empty collection.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// A text: as it is where nothing could read it otherwise, and in quotes elsewhere.
fn string(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    let mut before = ' ';
    for c in text.chars() {
        match c {
            // Build servers read `##[…]` anywhere in a line as a command.
            '#' if before == '#' => out += "\\x23",
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            c if is_hidden(c) => {
                write!(out, "\\U{:08x}", u32::from(c)).unwrap_or_default();
            }
            c => out.push(c),
        }
        before = c;
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || " _-./()".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(is_inner)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_are_written_as_people_write_yaml() {
        let value = json!([
            {
                "id": "nightly",
                "labels": {"team": "billing", "on": "yes"},
                "cron": ["30 2 * * 1-5", "@daily"],
                "next_run": "2026-03-02T01:30:00Z",
                "paused": false,
                "note": "line\nforged: row \u{1b}[2J \u{e0001} \"x\" \\",
                "empty": {"list": [], "map": {}, "text": "", "none": null},
                "nested": [[1, 2.5], [{"a": -1}]],
            },
            {"id": "b"},
        ]);
        insta::assert_snapshot!(document(&value), @r#"
        - cron:
          - "30 2 * * 1-5"
          - "@daily"
          empty:
            list: []
            map: {}
            none: null
            text: ""
          id: nightly
          labels:
            "on": "yes"
            team: billing
          nested:
          - - 1
            - 2.5
          - - a: -1
          next_run: "2026-03-02T01:30:00Z"
          note: "line\nforged: row \U0000001b[2J \U000e0001 \"x\" \\"
          paused: false
        - id: b
        "#);
        assert_eq!(document(&json!([])), "[]\n");
        assert_eq!(document(&json!("no")), "\"no\"\n");
        assert_eq!(document(&json!("##[x]")), "\"#\\x23[x]\"\n");
    }

    /// Every text survives a round trip through a YAML parser.
    #[test]
    fn a_parser_reads_the_same_data() {
        let texts = [
            "",
            " ",
            "a",
            "a ",
            "a: b",
            "a #b",
            "- a",
            "~",
            "null",
            "NO",
            "1",
            "1e3",
            ".5",
            "0x1f",
            "2026-03-02",
            "é",
            "日本",
            "'",
            "\"",
            "\\n",
            "\n\n",
            "\t",
            "\u{7f}",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "{a}",
            "[a]",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "?",
            "a,b",
            "---",
            "...",
            "<<",
            "=",
            "##[x]",
            "##",
            "::error::x",
        ];
        for text in texts {
            let value = json!({ text: [text], "x": { "y": text } });
            let written = document(&value);
            let read = almanac_core::definition::yaml_value(&written).unwrap();
            assert_eq!(read, value, "{written}");
        }
    }
}
