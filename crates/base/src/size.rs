//! Sizes of data in JSON and in memory.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

/// Maximum length of the JSON that Almanac gives Temporal in one payload, in bytes. Temporal
/// accepts 2 MiB for a payload.
pub const PAYLOAD_LIMIT: usize = 2_000_000;

/// Length of a value as JSON, in bytes.
pub fn json_size<T: Serialize>(value: &T) -> usize {
    let mut count = Count(0);
    // Writing JSON values and counting do not fail. If they did, the value counts as too large.
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

/// Minimum memory that a value or the name of a value takes, in bytes.
const NODE: u64 = 32;

/// Approximate memory that a value takes, in bytes. The result is the same on each machine.
pub fn weight(value: &Value) -> u64 {
    NODE + match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| NODE + key.len() as u64 + weight(value))
            .sum(),
        _ => 0,
    }
}

/// Nesting depth of a value; 0 for texts and numbers.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_size_is_that_of_the_text() {
        for value in [json!(null), json!({ "a": [1, "\u{1}é\""] }), json!("x")] {
            assert_eq!(json_size(&value), value.to_string().len());
        }
    }
}
