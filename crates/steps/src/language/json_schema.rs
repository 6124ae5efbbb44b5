//! The part of JSON Schema that checks inputs and outputs.
//!
//! Keywords that constrain a value and are not implemented here are refused, because a schema
//! that is only half checked misleads its author. There is no `$ref` and there are no patterns,
//! so a check takes time in proportion to the schema and the value. The work of a check is
//! counted and limited.

use almanac_base::size::weight;
use serde_json::{Map, Value};

use super::reader::{At, Reader, Target};
use super::value::describe;

/// Keywords that do not affect validity.
const ANNOTATIONS: [&str; 12] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "format",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentMediaType",
];
const TYPES: [&str; 7] = [
    "object", "array", "string", "boolean", "integer", "number", "null",
];

/// Maximum work of one check, in steps.
pub(crate) const MAX_CHECK: u64 = 2_000_000;
/// Number of bytes that count as one step.
const BYTES_PER_STEP: u64 = 64;

/// The state of a check.
#[derive(Default)]
struct Checked {
    /// The path of the value that is checked now.
    at: String,
    steps: u64,
}

impl Checked {
    /// Counts steps. Beyond the limit, the check refuses everything until it ends.
    fn take(&mut self, steps: u64) -> Result<(), String> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_CHECK {
            return Err(String::new());
        }
        Ok(())
    }
}

almanac_base::message_error! {
    /// The first violation of a schema by a value, with the path of the violation.
    pub SchemaViolation
}

/// A schema whose keywords are all supported.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSchema(Value);

impl JsonSchema {
    /// The schema as JSON.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// Checks a value against the schema.
    ///
    /// Returns the first violation as a sentence with its path, and the work of the check in
    /// steps of expressions.
    pub fn check(&self, value: &Value) -> (Result<(), SchemaViolation>, u64) {
        let mut checked = Checked::default();
        let result = check(&self.0, value, &mut checked);
        let result = if checked.steps > MAX_CHECK {
            Err(format!("the check takes more than {MAX_CHECK} steps"))
        } else {
            result
        };
        (result.map_err(SchemaViolation::from), checked.steps)
    }
}

impl Reader {
    pub(super) fn json_schema(&mut self, at: &At<'_>) -> Option<JsonSchema> {
        let before = self.problems.len();
        self.keywords(at);
        (self.problems.len() == before).then(|| JsonSchema(at.value.clone()))
    }

    fn keywords(&mut self, at: &At<'_>) {
        let map = match at.value {
            Value::Bool(_) => return,
            Value::Object(map) => map,
            _ => return self.mismatch(at, "a JSON Schema"),
        };
        for (keyword, value) in map {
            let at = at.key(keyword, value);
            match keyword.as_str() {
                "type" => self.types(&at),
                "enum" | "required" => {
                    let items = self.list(&at, "a list").unwrap_or_default();
                    if keyword == "required" {
                        for (index, item) in items.iter().enumerate() {
                            self.text(&at.item(index, item));
                        }
                    }
                }
                "const" => {}
                "properties" => {
                    let Value::Object(properties) = value else {
                        self.mismatch(&at, "a map");
                        continue;
                    };
                    for (name, schema) in properties {
                        self.keywords(&at.key(name, schema));
                    }
                }
                "items" | "additionalProperties" | "not" => self.keywords(&at),
                "allOf" | "anyOf" | "oneOf" => {
                    let items = self.list(&at, "a list of schemas").unwrap_or_default();
                    for (index, item) in items.iter().enumerate() {
                        self.keywords(&at.item(index, item));
                    }
                }
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
                | "maxProperties" => {
                    self.integer(&at, 0..=u32::MAX);
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    if !value.is_number() {
                        self.mismatch(&at, "a number");
                    }
                }
                annotation if ANNOTATIONS.contains(&annotation) => {}
                _ => self.unsupported(&at, Target::Key, None),
            }
        }
    }

    fn types(&mut self, at: &At<'_>) {
        let one = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
        let good = match at.value {
            Value::Array(names) => !names.is_empty() && names.iter().all(one),
            name => one(name),
        };
        if !good {
            let expected = format!("one of {}, or a list of these", TYPES.join(", "));
            self.mismatch(at, &expected);
        }
    }
}

fn check(schema: &Value, value: &Value, on: &mut Checked) -> Result<(), String> {
    on.take(1)?;
    let rules = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(rules) => rules,
        _ => return Err(refusal(&on.at, "may not be there")),
    };
    for (keyword, rule) in rules {
        on.take(1)?;
        match keyword.as_str() {
            "properties" | "additionalProperties" | "items" => {}
            "allOf" => {
                for schema in rule.as_array().into_iter().flatten() {
                    check(schema, value, on)?;
                }
            }
            _ => {
                on.take(cost(keyword, rule, value))?;
                if let Some(reason) = broken(keyword, rule, value, on) {
                    // The message repeats the rule.
                    on.take(weight(rule) / BYTES_PER_STEP)?;
                    return Err(refusal(&on.at, &reason));
                }
            }
        }
    }
    match value {
        Value::Object(map) => properties(rules, map, on),
        Value::Array(items) => {
            let Some(schema) = rules.get("items") else {
                return Ok(());
            };
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| inner(schema, item, &index.to_string(), on))
        }
        _ => Ok(()),
    }
}

fn properties(
    rules: &Map<String, Value>,
    map: &Map<String, Value>,
    on: &mut Checked,
) -> Result<(), String> {
    let known = rules.get("properties").and_then(Value::as_object);
    let others = rules.get("additionalProperties");
    for (name, value) in map {
        let schema = known.and_then(|known| known.get(name)).or(others);
        if let Some(schema) = schema {
            inner(schema, value, name, on)?;
        }
    }
    Ok(())
}

fn inner(schema: &Value, value: &Value, name: &str, on: &mut Checked) -> Result<(), String> {
    let length = on.at.len();
    on.take(name.len() as u64 / BYTES_PER_STEP)?;
    on.at.push('/');
    on.at.push_str(&name.replace('~', "~0").replace('/', "~1"));
    let result = check(schema, value, on);
    on.at.truncate(length);
    result
}

fn refusal(at: &str, reason: &str) -> String {
    if at.is_empty() {
        format!("the value {reason}")
    } else {
        format!("`{at}` {reason}")
    }
}

/// Work of a keyword in steps, without the schemas inside the keyword.
fn cost(keyword: &str, rule: &Value, value: &Value) -> u64 {
    match keyword {
        // The check may compare the value with the whole rule.
        "enum" | "const" => weight(rule) / 16,
        "required" => rule.as_array().map_or(0, |names| names.len() as u64),
        "minLength" | "maxLength" => {
            value.as_str().map_or(0, |text| text.len() as u64) / BYTES_PER_STEP
        }
        _ => 0,
    }
}

/// Returns the reason if a keyword refuses the value. `None` if the value is valid.
fn broken(keyword: &str, rule: &Value, value: &Value, on: &mut Checked) -> Option<String> {
    let matches = |schema: &&Value, on: &mut Checked| check(schema, value, on).is_ok();
    let schemas = || rule.as_array().into_iter().flatten();
    let size = |length: Option<usize>| Some((length? as u64).cmp(&rule.as_u64()?));
    let items = || size(value.as_array().map(Vec::len));
    let keys = || size(value.as_object().map(Map::len));
    let length = || size(value.as_str().map(|text| text.chars().count()));
    let number = || value.as_f64()?.partial_cmp(&rule.as_f64()?);
    let broken = match keyword {
        "type" => {
            let mut names = match rule {
                Value::Array(names) => names.iter(),
                name => std::slice::from_ref(name).iter(),
            };
            if !names.any(|name| has_type(value, name)) {
                return Some(format!(
                    "must have the type {rule}, not {}",
                    describe(value)
                ));
            }
            false
        }
        "enum" => !schemas().any(|item| same(item, value)),
        "const" => !same(rule, value),
        "required" => {
            let map = value.as_object()?;
            let missing = schemas()
                .filter_map(Value::as_str)
                .find(|name| !map.contains_key(*name))?;
            return Some(format!("lacks `{missing}`"));
        }
        "not" => matches(&rule, on),
        "anyOf" => !schemas().any(|schema| matches(&schema, on)),
        "oneOf" => schemas().filter(|schema| matches(schema, on)).count() != 1,
        "minItems" => items()?.is_lt(),
        "maxItems" => items()?.is_gt(),
        "minProperties" => keys()?.is_lt(),
        "maxProperties" => keys()?.is_gt(),
        "minLength" => length()?.is_lt(),
        "maxLength" => length()?.is_gt(),
        "minimum" => number()?.is_lt(),
        "maximum" => number()?.is_gt(),
        "exclusiveMinimum" => number()?.is_le(),
        "exclusiveMaximum" => number()?.is_ge(),
        _ => false,
    };
    broken.then(|| {
        format!(
            "breaks the rule {keyword} {rule}: it is {}",
            describe(value)
        )
    })
}

/// Returns `true` if two values are equal in JSON Schema, which compares numbers by value.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            // Integers are compared exactly. If one number is a double, both are compared as
            // doubles.
            one == other || ((one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        (one, other) => one == other,
    }
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("integer") => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    }
}
