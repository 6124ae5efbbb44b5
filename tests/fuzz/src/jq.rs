//! Target `jq`: an expression, and after a NUL its input as JSON.

use almanac_base::size::depth;
use almanac_jq::{
    Expression, ExpressionError, MAX_ALLOCATED, MAX_DEPTH, MAX_SIZE, MAX_STEPS, NOW, Template,
    UUID, expression_in,
};
use serde_json::{Value, json};

use crate::two_texts;

/// Variables that every expression may use.
const VARIABLES: [&str; 4] = ["context", "input", NOW, UUID];

/// Checks that an expression is compiled or refused at a place in the text, that its evaluation
/// stays within the limits, and that a second evaluation gives the same result at the same cost.
pub fn jq(bytes: &[u8]) {
    let Some((text, input)) = two_texts(bytes) else {
        return;
    };
    let input = match input.map(serde_json::from_str::<Value>) {
        Some(Ok(value)) => value,
        _ => json!({ "a": [1, "x", null], "b": { "c": 2.5 } }),
    };
    check_template(text);
    let expression = match Expression::compile(text, &VARIABLES) {
        Ok(expression) => expression,
        Err(ExpressionError::Invalid { offset, message }) => {
            assert!(text.is_char_boundary(offset), "{offset}: {message}");
            assert!(!message.is_empty());
            assert!(message.len() < 400, "{message}");
            return;
        }
        Err(other) => panic!("compiling never ends so: {other}"),
    };
    assert_eq!(expression.text(), text);
    let (context, now, seed) = (
        json!({ "k": [true] }),
        json!(1_700_000_000.5),
        json!("run/1"),
    );
    let variables = [
        ("context", &context),
        ("input", &input),
        (NOW, &now),
        (UUID, &seed),
    ];
    let (first, spent) = expression.evaluate_counting(&input, &variables);
    match &first {
        Err(ExpressionError::Exceeded(_)) => {}
        Err(ExpressionError::Invalid { .. }) => panic!("only compiling finds mistakes"),
        Err(ExpressionError::Failed(message)) => {
            assert!(message.chars().count() <= 1001, "{message}");
        }
        Ok(value) => {
            assert!(depth(value) <= MAX_DEPTH);
            assert!(value.to_string().len() as u64 <= 7 * MAX_SIZE);
        }
    }
    if !matches!(first, Err(ExpressionError::Exceeded(_))) {
        assert!(spent.steps <= MAX_STEPS, "{spent:?}");
        assert!(spent.allocated <= MAX_ALLOCATED, "{spent:?}");
    }
    // Whatever depends on the clock or on chance would differ here.
    let again = Expression::compile(text, &VARIABLES).expect("compiled before");
    let second = again.evaluate_counting(&input, &variables);
    assert_eq!((first, spent), second, "another result: {text}");
}

/// Checks that the text as a template is a constant, or holds an expression at the place that the
/// error names.
fn check_template(text: &str) {
    let whole = Value::String(text.to_owned());
    match Template::compile(&whole, &VARIABLES) {
        Ok(template) => {
            let is_expression = expression_in(text).is_some();
            assert_eq!(template.as_constant().is_none(), is_expression);
        }
        Err(errors) => {
            let (_, inner) = expression_in(text).expect("only expressions have mistakes");
            for error in errors {
                assert_eq!(error.pointer, "");
                assert!(text[error.before..].starts_with(inner));
            }
        }
    }
}
