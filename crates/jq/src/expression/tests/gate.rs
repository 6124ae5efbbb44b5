//! Texts that must not compile, and the places of their mistakes.

use super::{VARIABLES, run};
use crate::expression::{Expression, ExpressionError, MAX_TEXT};

/// The column (from 1) and the message of a mistake.
fn mistake(text: &str) -> (usize, String) {
    match Expression::compile(text, VARIABLES) {
        Err(ExpressionError::Invalid { offset, message }) => {
            assert!(offset <= text.len(), "{text}: {offset}");
            (offset + 1, message)
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn check(text: &str, column: usize, message: &str) {
    assert_eq!(mistake(text), (column, message.to_owned()), "{text}");
}

#[test]
fn mistakes_are_reported_at_their_place() {
    check("", 1, "the expression is empty");
    check(".a |", 5, "expected term, found the end");
    check(".a ]", 4, "expected token, found `]`");
    check("{a: 1", 6, "expected closing brace at the end");
    check("if . then 1", 12, "expected else or end, found the end");
    check(
        ".a + $contxt",
        6,
        "unknown variable `$contxt`; did you mean `$context`?",
    );
    check(
        ".a | lenght",
        6,
        "unknown function `lenght`; did you mean `length`?",
    );
    check("map(.a; .b)", 1, "`map` takes 1 arguments, not 2");
    check("range", 1, "`range` takes 1 or 2 or 3 arguments, not 0");
    check("1 | break $out", 11, "`break $out` has no `label $out`");
    check("@base33 \"x\"", 1, "unknown format `@base33`");
    check(
        "reduce .[] as $x (0)",
        1,
        "`reduce` needs `(start; update)`",
    );
    check("1e1000", 1, "the number `1e1000` is out of range");
    check("_captures", 1, "unknown function `_captures`");
}

#[test]
fn expressions_can_read_only_the_input_and_the_variables() {
    check(
        "[now]",
        2,
        "`now` is not available: it is only available in the expressions of steps",
    );
    check(
        "$ENV.HOME",
        1,
        "`$ENV` is not available: expressions have no access to the environment",
    );
    check("def f: f; f", 5, "function definitions are not supported");
    for text in [
        "env",
        "input",
        "inputs",
        "debug",
        "debug(\"x\")",
        "stderr",
        "halt",
        "halt_error",
        "localtime",
        "strflocaltime(\"%Y\")",
        "input_filename",
        "input_line_number",
        "$__prog_args",
        "include \"a\"; 1",
        "import \"a\" as b; 1",
        "a::b",
        "getpath",
        "limit(1)",
        "get_search_list",
        "builtins",
        "modulemeta",
        "ltrimstr",
        "@nothing",
        "infinite",
        "nan",
        "pow(2; 3)",
        "sin",
        "splits",
        "$secrets.a",
        "tojson(1)",
    ] {
        mistake(text);
    }
}

#[test]
fn secrets_are_available_only_if_the_caller_has_them() {
    check(
        "$secrets.token",
        1,
        "`$secrets` is not available, because results of expressions are in the run's history; a call names a secret with `use`",
    );
    let with = Expression::compile("$secrets.token", &["secrets"]).unwrap();
    let secrets = serde_json::json!({"token": "t"});
    let result = with.evaluate(&serde_json::Value::Null, &[("secrets", &secrets)]);
    assert_eq!(result.unwrap(), "t");
}

#[test]
fn the_time_and_the_uuids_of_a_run_are_what_the_caller_gives() {
    use crate::expression::{NOW, UUID};
    let names = [NOW, UUID];
    let expression = Expression::compile("[now, uuid, uuid, (1, 2 | uuid)]", &names).unwrap();
    let (now, seed) = (serde_json::json!(1.5), serde_json::json!("run/0"));
    let variables = [(NOW, &now), (UUID, &seed)];
    let result = expression.evaluate(&serde_json::Value::Null, &variables);
    let result = result.unwrap();
    assert_eq!(
        expression
            .evaluate(&serde_json::Value::Null, &variables)
            .unwrap(),
        result
    );
    let items = result.as_array().unwrap();
    assert_eq!(items[0], 1.5);
    let uuids: std::collections::BTreeSet<&str> = items[1..]
        .iter()
        .map(|uuid| uuid.as_str().unwrap())
        .collect();
    assert_eq!(uuids.len(), 4, "{result}");
    let form =
        regex::Regex::new("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
            .unwrap();
    for uuid in &uuids {
        assert!(form.is_match(uuid), "{uuid}");
    }
    let other = serde_json::json!("run/1");
    let again = expression.evaluate(&serde_json::Value::Null, &[(NOW, &now), (UUID, &other)]);
    assert_ne!(again.unwrap()[1], result[1]);
    for text in ["$now", "$uuid", "now(1)", "uuid(1)", ".[\"now()\"] | $now"] {
        assert!(Expression::compile(text, &names).is_err(), "{text}");
    }
}

#[test]
fn a_function_sees_its_own_variables_alone() {
    // `nth($n; f)` and others are texts with variables; the caller's have the same names.
    assert_eq!(run("1 as $n | nth(2; 5, 6, 7 + $n)").unwrap(), 8);
    assert_eq!(run("[1, 2] as $x | add($x[] + 1)").unwrap(), 5);
    assert_eq!(
        run("7 as $p | {a: {b: $p}} | pick(.a.b) | .a.b").unwrap(),
        7
    );
}

#[test]
fn too_much_text_is_refused() {
    mistake(&"1+".repeat(MAX_TEXT));
    mistake(&format!("{}1", " ".repeat(MAX_TEXT)));
    for (open, close) in [
        ("[", "]"),
        ("(", ")"),
        ("{a:", "}"),
        ("\"\\(", ")\""),
        ("map(", ")"),
    ] {
        let deep = format!("{}1{}", open.repeat(400), close.repeat(400));
        mistake(&deep);
    }
    for chained in [
        "-",
        "1+",
        "1|",
        "1,",
        "1 as $x|",
        "try ",
        "if 1 then ",
        "reduce ",
        "label $x|",
        ".a|=",
        "1//",
        "[],",
        "foreach ",
        "not|",
        "[1]|map(",
        "{a:",
        "elif ",
        "1 and ",
        ". as [",
    ] {
        let text = format!("{}1", chained.repeat(MAX_TEXT / chained.len() - 1));
        assert!(Expression::compile(&text, VARIABLES).is_err(), "{chained}");
    }
    // Functions that stand for others multiply what they are given.
    mistake(&format!("{}1{}", "paths(".repeat(40), ")".repeat(40)));
}

#[test]
fn ordinary_lengths_are_not_refused() {
    let list = format!("[{}] | length", vec!["1"; 900].join(","));
    assert_eq!(run(&list).unwrap(), 900);
    let sum = vec!["1"; 80].join("+");
    assert_eq!(run(&sum).unwrap(), 80);
    let pipe = vec![".+1"; 60].join("|");
    assert_eq!(run(&format!("0|{pipe}")).unwrap(), 60);
    let nested = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert!(run(&nested).is_ok());
    let object: Vec<String> = (0..150).map(|n| format!("k{n}: (.a + {n})")).collect();
    assert!(run(&format!("{{{}}}", object.join(", "))).is_ok());
    let text: Vec<String> = (0..100).map(|n| format!("\\({n})")).collect();
    assert!(run(&format!("\"{}\"", text.join("-"))).is_ok());
    let choice: Vec<String> = (1..50).map(|n| format!("elif . == {n} then {n}")).collect();
    assert!(
        run(&format!(
            "if . == 0 then 0 {} else -1 end",
            choice.join(" ")
        ))
        .is_ok()
    );
}
