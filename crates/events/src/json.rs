//! JSON from outside, read so that nothing in it changes.

use almanac_base::exact::{Inexact, lossy};
use almanac_base::text::quoted;
use serde_json::Value;

/// Reads a JSON text. The error is the end of a sentence that begins with the text's name.
///
/// A value keeps the last of equal keys, and rounds whole numbers of more than 64 bits. Both are
/// refused: another reader of the same text may have seen another value.
pub fn read(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "is not UTF-8".to_owned())?;
    let value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    match lossy(text) {
        None => Ok(value),
        Some(Inexact::Number(number, _)) => {
            Err(format!("has a whole number of more than 64 bits: {number}"))
        }
        Some(Inexact::Key(key)) => Err(format!("has the key {} twice in a map", quoted(&key))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_that_would_change_is_refused() {
        let good =
            br#"{"a": [18446744073709551615, -9223372036854775808, 0.1, 1e3], "b": {"a": 1}}"#;
        let value = json!({ "a": [u64::MAX, i64::MIN, 0.1, 1000.0], "b": { "a": 1 } });
        assert_eq!(read(good), Ok(value));
        for (bad, why) in [
            (&b"\xff"[..], "is not UTF-8"),
            (
                b"",
                "is not JSON: EOF while parsing a value at line 1 column 0",
            ),
            (
                b"{} {}",
                "is not JSON: trailing characters at line 1 column 4",
            ),
            (
                b"[1e999]",
                "is not JSON: number out of range at line 1 column 6",
            ),
            (
                b"[18446744073709551616]",
                "has a whole number of more than 64 bits: 18446744073709551616",
            ),
            (
                br#"{"a": {"b\n": 1, "b\u000a": 2}}"#,
                r"has the key `b\n` twice in a map",
            ),
        ] {
            assert_eq!(read(bad), Err(why.to_owned()));
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(
            read(deep.as_bytes())
                .unwrap_err()
                .contains("recursion limit")
        );
    }
}
