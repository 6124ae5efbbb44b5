//! Evaluates the tables of `docs/expressions.md`, and the table of the results of jq 1.7.

use serde_json::Value;

use super::on;
use crate::expression::ExpressionError;

const DOCS: &str = include_str!("../../../../../docs/expressions.md");
/// Expressions with their inputs and results, one array a line, recorded from jq 1.7.1.
const RECORDED: &str = include_str!("jq17.jsonl");

/// The cells of a row; a `|` in one has a backslash before it.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{0}");
    let inner = row.trim().trim_matches('|');
    let cells = inner
        .split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"));
    cells.collect()
}

fn code(cell: &str) -> &str {
    cell.strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'))
        .unwrap_or(cell)
}

/// The result of an expression here, as the table writes it.
fn result_here(text: &str, input: &str) -> String {
    let input: Value = serde_json::from_str(input).unwrap();
    match on(text, &input) {
        Ok(value) => value.to_string(),
        Err(ExpressionError::Invalid { .. }) => "refused".to_owned(),
        Err(_) => "error".to_owned(),
    }
}

fn same(a: &str, b: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) => a == b || (a.is_number() && a.as_f64() == b.as_f64()),
        _ => a == b,
    }
}

#[test]
fn the_differences_from_jq_are_those_that_the_docs_list() {
    let (_, table) = DOCS.split_once("## What differs from jq 1.7").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in rows {
        count += 1;
        let cells = cells(row);
        let [text, input, here, jq, why] = cells.as_slice() else {
            panic!("{row}: {} cells", cells.len());
        };
        assert!(!why.is_empty(), "{row}");
        assert_ne!(code(here), code(jq), "{row} is no difference");
        let found = result_here(code(text), code(input));
        if !same(&found, code(here)) {
            wrong.push(format!("{row}\n  gave {found}"));
        }
    }
    assert!(count > 80, "{count} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recorded_expression_gives_the_result_of_jq() {
    let mut wrong = Vec::new();
    for line in RECORDED.lines() {
        let (text, input, result): (String, String, String) = serde_json::from_str(line).unwrap();
        let found = result_here(&text, &input);
        if !same_values(&found, &result) {
            wrong.push(format!(
                "{text}\n  on {input}\n  gave {found}\n  not  {result}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As values: `1E+3` is 1000.
fn same_values(a: &str, b: &str) -> bool {
    fn alike(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(key, value)| b.get(key).is_some_and(|other| alike(value, other)))
            }
            (a, b) => a == b,
        }
    }
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) => alike(&a, &b),
        _ => a == b,
    }
}
