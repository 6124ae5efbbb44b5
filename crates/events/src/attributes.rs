//! Attributes of `CloudEvents` 1.0: their names, and the forms of their values.

use jiff::Timestamp;
use serde_json::Value;

/// Attributes that every event must have as non-empty text.
pub const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Attributes that must be text, beside `specversion`.
pub const TEXTS: [&str; 7] = [
    "id",
    "source",
    "type",
    "time",
    "subject",
    "datacontenttype",
    "dataschema",
];

/// Extension attribute of an event that a run in a chain of events emitted: the number of runs
/// before the event in the chain.
pub const DEPTH_ATTRIBUTE: &str = "almanacdepth";

/// Returns `true` if a text can be the name of an attribute: one or more of a-z and 0-9.
pub fn is_attribute_name(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !name.is_empty() && name.bytes().all(known)
}

/// Returns `true` if a name belongs to an attribute that `CloudEvents` defines, or to the event's
/// data, and not to an extension.
pub(crate) fn is_core(name: &str) -> bool {
    REQUIRED.contains(&name) || TEXTS.contains(&name) || matches!(name, "data" | "data_base64")
}

/// Returns the expected form of an attribute if the value does not have that form.
///
/// `None` if the value is valid, as an attribute of an event that a run sends or of an event from
/// outside.
pub fn refused_attribute(name: &str, value: &Value) -> Option<&'static str> {
    let text = value.as_str().filter(|text| !text.is_empty());
    let (good, expected) = match name {
        "data" => (true, "anything"),
        "specversion" => (value == "1.0", "\"1.0\""),
        "source" | "dataschema" => (text.is_some_and(is_reference), "a URI"),
        "time" => {
            let good = text.is_some_and(|text| text.parse::<Timestamp>().is_ok());
            (good, "a time like 2026-01-31T08:00:00Z")
        }
        "id" | "type" | "subject" | "datacontenttype" => (text.is_some(), "text"),
        // Any other attribute is an extension. An extension has no numbers but integers of 32
        // bits.
        _ => {
            let number = value.as_i64().map(i32::try_from);
            let good = value.is_string() || value.is_boolean() || matches!(number, Some(Ok(_)));
            (good, "text, true, false or a whole number of 32 bits")
        }
    };
    (!good).then_some(expected)
}

/// Returns `true` if a text can be a URI reference (RFC 3986): the text has no character that a
/// reference cannot have.
fn is_reference(text: &str) -> bool {
    let never = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`')
    };
    !text.contains(never)
}

/// Returns `true` if a text has the form of a date and time by RFC 3339, section 5.6. The caller
/// checks the ranges of its numbers.
pub(crate) fn is_date_time(text: &str) -> bool {
    let Some((moment, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let Some((fraction, offset)) = rest
        .find(['Z', 'z', '+', '-'])
        .map(|index| rest.split_at(index))
    else {
        return false;
    };
    let is_fraction = fraction.strip_prefix('.').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    });
    has_form(moment, "0000-00-00T00:00:00")
        && (fraction.is_empty() || is_fraction)
        && (has_form(offset, "Z") || has_form(&offset[1..], "00:00"))
}

/// Returns `true` if a text has digits where `form` has zeros, letters of either case where `form`
/// has letters, and is the same elsewhere.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte.eq_ignore_ascii_case(&form),
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}
