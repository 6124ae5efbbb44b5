//! JSON values that are kept as text.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A JSON value, kept as compact text with sorted keys. The tree of a small map takes some 600
/// bytes, and ten thousand definitions are stored several times.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// The value as a tree.
    pub fn value(&self) -> Value {
        // This does not fail: the text was written from a value, and all values come from YAML or
        // JSON that is less deep than the limit of the parser.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_the_same_after_it_was_kept_as_text() {
        let deepest = (0..120).fold(json!(1), |inner, _| json!([inner]));
        for value in [
            json!(null),
            json!("\u{2028}\u{0}\"ä"),
            json!({ "b": [1, -2, u64::MAX, i64::MIN], "a": {} }),
            json!([0.1, 1.0, 1e300, 5e-324, 0.300_000_000_000_000_04]),
            deepest,
        ] {
            let text = JsonText::from(&value);
            assert_eq!(text.value(), value);
            assert_eq!(text, JsonText::from(text.value()));
            assert_eq!(json!(text), value);
        }
        // An integer is not the same as the number with a fraction.
        assert_ne!(JsonText::from(json!(1)), JsonText::from(json!(1.0)));
        assert_eq!(format!("{:?}", JsonText::from(json!([1, 2]))), "[1,2]");
    }
}
