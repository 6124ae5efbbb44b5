//! Data with expressions in it.

use serde_json::{Value, json};

use crate::expression::{ExpressionError, Template, expression_in};

fn fill(template: &Value, input: &Value) -> Value {
    Template::compile(template, &["context"])
        .unwrap()
        .evaluate(input, &[("context", &json!({"user": "u"}))])
        .unwrap()
}

#[test]
fn a_string_that_is_an_expression_as_a_whole_becomes_its_value() {
    let template = json!({
        "id": "${ .id }", "list": ["${.id + 1}", 5, null], "user": "  ${ $context.user }\n",
        "object": "${ {a: .id} }", "${ .key }": true,
    });
    let filled = json!({
        "id": 7, "list": [8, 5, null], "user": "u", "object": {"a": 7}, "${ .key }": true,
    });
    assert_eq!(fill(&template, &json!({"id": 7})), filled);
}

#[test]
fn other_strings_are_themselves() {
    for text in [
        "",
        "$",
        "${",
        "}",
        "a ${ .id }",
        "${ .id } b",
        "{ .id }",
        "$ { .id }",
        ".id",
        "${} x",
    ] {
        assert_eq!(fill(&json!(text), &json!({"id": 7})), json!(text));
    }
}

#[test]
fn an_escaped_expression_is_text() {
    assert_eq!(fill(&json!("$${ .id }"), &Value::Null), json!("${ .id }"));
    assert_eq!(fill(&json!("$$${ .id }"), &Value::Null), json!("$${ .id }"));
    assert_eq!(
        fill(&json!("a $${ .id }"), &Value::Null),
        json!("a $${ .id }")
    );
}

#[test]
fn expressions_in_data_are_data() {
    let hostile = json!({"a": "${ 1 + 1 }", "${ 2 }": ["${ .a }"]});
    assert_eq!(fill(&json!("${ . }"), &hostile), hostile);
    assert_eq!(
        fill(&json!({"x": "${ .a }"}), &hostile),
        json!({"x": "${ 1 + 1 }"})
    );
    assert_eq!(
        fill(&json!("${ .a | tostring }"), &hostile),
        json!("${ 1 + 1 }")
    );
}

#[test]
fn every_mistake_in_a_template_is_reported_with_its_place() {
    let template = json!({"a": "${ .b + }", "c/d": [1, " ${ $secrets }"], "e": "${ }"});
    let errors = Template::compile(&template, &["context"]).unwrap_err();
    let places: Vec<(&str, usize, usize)> = errors
        .iter()
        .map(|error| match &error.error {
            ExpressionError::Invalid { offset, .. } => {
                (error.pointer.as_str(), error.before, *offset)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(places, [("/a", 2, 6), ("/c~1d/1", 3, 1), ("/e", 2, 0)]);
}

#[test]
fn a_failure_names_the_place_of_its_expression() {
    let template = Template::compile(&json!({"a": [1, "${ error(\"no\") }"]}), &[]).unwrap();
    let error = template.evaluate(&Value::Null, &[]).unwrap_err();
    assert_eq!(error.pointer, "/a/1");
    assert_eq!(error.to_string(), "the expression failed: no");
}

#[test]
fn a_template_without_expressions_is_a_constant() {
    let constant = json!({"a": [1, "x", "$${y}"]});
    let template = Template::compile(&constant, &[]).unwrap();
    assert_eq!(
        template.as_constant(),
        Some(&json!({"a": [1, "x", "${y}"]}))
    );
    let template = Template::compile(&json!(["${ 1 }"]), &[]).unwrap();
    assert_eq!(template.as_constant(), None);
}

#[test]
fn the_expression_in_a_string_is_found_with_its_place() {
    assert_eq!(expression_in("${.a}"), Some((2, ".a")));
    assert_eq!(expression_in("  ${ .a } "), Some((4, " .a ")));
    assert_eq!(expression_in("${ \"}\" }"), Some((2, " \"}\" ")));
    assert_eq!(expression_in(".a"), None);
    assert_eq!(expression_in("$${ .a }"), None);
}
