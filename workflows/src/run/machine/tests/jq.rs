//! A little jq, enough for the tests of the interpreter: the real engine has
//! tests of its own.

use serde_json::{Map, Value, json};

use crate::run::machine::{Evaluate, ExpressionError};

pub(super) struct Jq;

impl Evaluate for Jq {
    fn evaluate(
        &self,
        expression: &str,
        input: &Value,
        variables: &[(&str, &Value)],
    ) -> Result<Value, ExpressionError> {
        let mut parser = Parser {
            rest: expression,
            variables,
        };
        let result = parser.pipe(input).and_then(|value| {
            parser.blank();
            if parser.rest.is_empty() {
                Ok(value)
            } else {
                Err(format!("unexpected `{}`", parser.rest))
            }
        });
        result.map_err(|message| ExpressionError { message })
    }
}

struct Parser<'e> {
    rest: &'e str,
    variables: &'e [(&'e str, &'e Value)],
}

type Result_ = Result<Value, String>;

/// Reads and evaluates in one go: there is nothing that loops.
impl<'e> Parser<'e> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.blank();
        let word = token.ends_with(|c: char| c.is_ascii_alphabetic());
        match self.rest.strip_prefix(token) {
            Some(rest) if !word || !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            Err(format!("expected `{token}` before `{}`", self.rest))
        }
    }

    fn word(&mut self) -> &'e str {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn pipe(&mut self, input: &Value) -> Result_ {
        let mut value = self.or(input)?;
        while self.take("|") {
            value = self.or(&value)?;
        }
        Ok(value)
    }

    fn or(&mut self, input: &Value) -> Result_ {
        let mut value = self.and(input)?;
        while self.take("or") {
            let right = self.and(input)?;
            value = json!(truth(&value) || truth(&right));
        }
        Ok(value)
    }

    fn and(&mut self, input: &Value) -> Result_ {
        let mut value = self.compare(input)?;
        while self.take("and") {
            let right = self.compare(input)?;
            value = json!(truth(&value) && truth(&right));
        }
        Ok(value)
    }

    fn compare(&mut self, input: &Value) -> Result_ {
        let left = self.sum(input)?;
        for operator in ["==", "!=", "<=", ">=", "<", ">"] {
            if self.take(operator) {
                let right = self.sum(input)?;
                let (a, b) = (left.as_f64(), right.as_f64());
                return Ok(json!(match operator {
                    "==" => left == right,
                    "!=" => left != right,
                    "<=" => a <= b,
                    ">=" => a >= b,
                    "<" => a < b,
                    _ => a > b,
                }));
            }
        }
        Ok(left)
    }

    fn sum(&mut self, input: &Value) -> Result_ {
        let mut left = self.postfix(input)?;
        loop {
            if self.take("+") {
                left = add(left, self.postfix(input)?)?;
            } else if self.take("%") {
                let right = self.postfix(input)?;
                let parts = left.as_i64().zip(right.as_i64().filter(|n| *n != 0));
                left = json!(parts.ok_or("no numbers")?.0 % parts.ok_or("no numbers")?.1);
            } else {
                return Ok(left);
            }
        }
    }

    fn postfix(&mut self, input: &Value) -> Result_ {
        let mut value = self.term(input)?;
        loop {
            if self.rest.starts_with('.') && !self.rest.starts_with("..") {
                self.rest = &self.rest[1..];
                let key = self.word();
                value = field(&value, key)?;
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                let index = self.pipe(input)?;
                self.expect("]")?;
                value = match (&value, &index) {
                    (Value::Null, _) => Value::Null,
                    (Value::Array(items), index) => {
                        let index = index.as_u64().and_then(|n| usize::try_from(n).ok());
                        items
                            .get(index.ok_or("no index")?)
                            .cloned()
                            .unwrap_or_default()
                    }
                    (value, Value::String(key)) => field(value, key)?,
                    (value, index) => return Err(format!("cannot index {value} with {index}")),
                };
            } else {
                return Ok(value);
            }
        }
    }

    fn term(&mut self, input: &Value) -> Result_ {
        self.blank();
        let first = self.rest.chars().next().ok_or("nothing to evaluate")?;
        match first {
            '(' => {
                self.expect("(")?;
                let value = self.pipe(input)?;
                self.expect(")")?;
                Ok(value)
            }
            '.' => {
                self.expect(".")?;
                let key = self.word();
                if key.is_empty() {
                    Ok(input.clone())
                } else {
                    field(input, key)
                }
            }
            '$' => {
                self.expect("$")?;
                let name = self.word();
                let found = self.variables.iter().find(|(known, _)| *known == name);
                found
                    .map(|(_, value)| (*value).clone())
                    .ok_or_else(|| format!("undefined variable `${name}`"))
            }
            '[' => {
                self.expect("[")?;
                let mut items = Vec::new();
                while !self.take("]") {
                    items.push(self.or(input)?);
                    self.take(",");
                }
                Ok(Value::Array(items))
            }
            '{' => self.object(input),
            '"' => self.string(input),
            '0'..='9' => self
                .word()
                .parse::<u64>()
                .map(Value::from)
                .map_err(|e| e.to_string()),
            _ => match self.word() {
                "true" => Ok(json!(true)),
                "false" => Ok(json!(false)),
                "null" => Ok(Value::Null),
                "not" => Ok(json!(!truth(input))),
                "length" => Ok(json!(match input {
                    Value::Array(items) => items.len(),
                    Value::Object(map) => map.len(),
                    Value::String(text) => text.chars().count(),
                    _ => 0,
                })),
                "error" => Err("error was called".to_owned()),
                other => Err(format!("unknown `{other}{}`", self.rest)),
            },
        }
    }

    fn object(&mut self, input: &Value) -> Result_ {
        self.expect("{")?;
        let mut map = Map::new();
        while !self.take("}") {
            self.blank();
            let key = if self.rest.starts_with('"') {
                self.string(input)?.as_str().unwrap_or_default().to_owned()
            } else {
                self.word().to_owned()
            };
            let value = if self.take(":") {
                self.or(input)?
            } else {
                field(input, &key)?
            };
            map.insert(key, value);
            self.take(",");
        }
        Ok(Value::Object(map))
    }

    fn string(&mut self, input: &Value) -> Result_ {
        self.expect("\"")?;
        let mut out = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix("\\(") {
                self.rest = rest;
                match self.pipe(input)? {
                    Value::String(text) => out.push_str(&text),
                    other => out.push_str(&other.to_string()),
                }
                self.expect(")")?;
                continue;
            }
            let c = self.rest.chars().next().ok_or("a text is not closed")?;
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '"' => return Ok(Value::String(out)),
                c => out.push(c),
            }
        }
    }
}

fn truth(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn field(value: &Value, key: &str) -> Result_ {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Object(map) => Ok(map.get(key).cloned().unwrap_or_default()),
        other => Err(format!("cannot index {other} with `{key}`")),
    }
}

fn add(left: Value, right: Value) -> Result_ {
    match (left, right) {
        (Value::Null, other) | (other, Value::Null) => Ok(other),
        (Value::Array(mut a), Value::Array(b)) => {
            a.extend(b);
            Ok(Value::Array(a))
        }
        (Value::String(a), Value::String(b)) => Ok(Value::String(a + &b)),
        (Value::Object(mut a), Value::Object(b)) => {
            a.extend(b);
            Ok(Value::Object(a))
        }
        (a, b) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(json!(a + b)),
            _ => Err(format!("cannot add {a} and {b}")),
        },
    }
}
