//! Finds parts of a JSON text that a value cannot hold exactly.
//!
//! Reading JSON rounds numbers to 64 bits and keeps the last of equal keys. The
//! value does not show either, so the text is searched for both.

use std::collections::BTreeSet;

use serde_json::Number;

/// Maximum length of a number that messages show whole, in bytes.
const SHOWN: usize = 60;

/// A part of a JSON text that changes when the text is read as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inexact {
    /// A number, and the number that it is rounded to.
    Number(String, String),
    /// A key that occurs twice in an object.
    Key(String),
}

/// Returns the first part of `json` that changes when it is read as a value. `json` must be valid.
pub fn inexact(json: &str) -> Option<Inexact> {
    search(json, |_| true)
}

/// Returns the first part of `json` that every reader of JSON would expect to keep: a key that
/// occurs twice in an object, or a whole number of more than 64 bits. `json` must be valid.
///
/// A number with a fraction or an exponent is a double by custom, so rounding it loses nothing
/// that its writer relies on.
pub fn lossy(json: &str) -> Option<Inexact> {
    search(json, |number| {
        let is_whole = !number.contains(['.', 'e', 'E']);
        is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
    })
}

/// Returns the first key that occurs twice in an object, or the first number that `counts` and is
/// rounded.
fn search(json: &str, counts: impl Fn(&str) -> bool) -> Option<Inexact> {
    let mut objects: Vec<BTreeSet<String>> = Vec::new();
    let mut rest = json;
    while let Some(first) = rest.bytes().next() {
        let taken = match first {
            b'{' => {
                objects.push(BTreeSet::new());
                1
            }
            b'}' => {
                objects.pop();
                1
            }
            b'"' => {
                let (text, after) = rest.split_at(end_of_text(rest));
                // Only a key stands before a colon.
                if after.trim_start().starts_with(':')
                    && let Some(keys) = objects.last_mut()
                {
                    let key: String = serde_json::from_str(text).unwrap_or_default();
                    if !keys.insert(key.clone()) {
                        return Some(Inexact::Key(key));
                    }
                }
                text.len()
            }
            b'-' | b'0'..=b'9' => {
                let number =
                    |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
                let end = rest.find(|c| !number(c)).unwrap_or(rest.len());
                let text = &rest[..end];
                if counts(text)
                    && let Some(rounded) = rounded(text)
                {
                    let shown = match text.get(..SHOWN) {
                        Some(begin) if text.len() > SHOWN => format!("{begin}…"),
                        _ => text.to_owned(),
                    };
                    return Some(Inexact::Number(shown, rounded));
                }
                end
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        rest = &rest[taken..];
    }
    None
}

/// The length of the quoted text that `rest` begins with.
fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The value of a number in `text`; `None` if the value is held exactly.
fn rounded(text: &str) -> Option<String> {
    let value = match serde_json::from_str::<Number>(text) {
        Ok(number) => number.to_string(),
        Err(_) => "none".to_owned(),
    };
    (decimal(text) != decimal(&value)).then_some(value)
}

/// A number as its sign, its significant digits and the power of ten of the
/// last one.
fn decimal(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let negative = whole.starts_with('-');
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return (false, String::new(), 0);
    }
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let exponent: i64 = exponent.parse().unwrap_or(i64::MAX);
    let exponent = exponent
        .saturating_sub(length(fraction))
        .saturating_add(length(digits) - length(significant));
    (negative, significant.to_owned(), exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_64_bits_hold_are_exact() {
        for json in [
            "0",
            "-0",
            "[1, 1.0, -1.50, 1e3, 1E+3, 2.5e-3]",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "1e300",
            "5e-324",
            r#"{"123456789012345678901234567890": "0.12345678901234567890123"}"#,
            r#"["\"1e999", "\\", 1]"#,
        ] {
            assert_eq!(inexact(json), None, "{json}");
        }
    }

    #[test]
    fn numbers_that_are_rounded_are_found() {
        for (json, text, value) in [
            (
                "18446744073709551616",
                "18446744073709551616",
                "1.8446744073709552e19",
            ),
            (
                r#"{"a": [-9223372036854775809]}"#,
                "-9223372036854775809",
                "-9.223372036854776e18",
            ),
            (
                "0.12345678901234567890123",
                "0.12345678901234567890123",
                "0.12345678901234568",
            ),
            ("[1e-400]", "1e-400", "0.0"),
            (
                "9007199254740993.0",
                "9007199254740993.0",
                "9007199254740992.0",
            ),
        ] {
            let Some(Inexact::Number(found, rounded)) = inexact(json) else {
                panic!("{json} is taken for exact");
            };
            assert_eq!(found, text);
            assert_eq!(decimal(&rounded), decimal(value), "{rounded}");
        }
    }

    #[test]
    fn only_whole_numbers_of_more_than_64_bits_are_lossy() {
        for json in [
            r#"[0, -0, 18446744073709551615, -9223372036854775808, {"a": 1}, {"a": 2}]"#,
            "[0.12345678901234567890123, 9007199254740993.0, 1e-400, 1e25]",
            r#""18446744073709551616""#,
        ] {
            assert_eq!(lossy(json), None, "{json}");
        }
        let rounded = lossy(r#"{"a": 0.12345678901234567890123, "id": 18446744073709551616}"#);
        let number = "18446744073709551616".to_owned();
        assert!(matches!(rounded, Some(Inexact::Number(found, _)) if found == number));
        let twice = lossy(r#"{"a": 1, "a": 1}"#);
        assert_eq!(twice, Some(Inexact::Key("a".to_owned())));
    }

    #[test]
    fn a_key_is_a_duplicate_only_within_one_object() {
        assert_eq!(inexact(r#"[{"a": 1}, {"a": {"a": 2}}]"#), None);
        let twice = inexact(r#"{"a": {"b": 1}, "\u0061": 2}"#);
        assert_eq!(twice, Some(Inexact::Key("a".to_owned())));
    }
}
