//! Random programs, also expensive ones, on random data. Each program compiles or is refused at
//! a place, ends within its limits, and gives the same result again.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::VARIABLES;
use crate::expression::{
    Expression, ExpressionError, MAX_ALLOCATED, MAX_DEPTH, MAX_SIZE, MAX_STEPS, Spent,
};

/// Filters without parts.
const LEAVES: &[&str] = &[
    ".",
    "..",
    ".a",
    ".b?",
    ".[0]",
    ".[-1]?",
    ".[]",
    ".[]?",
    ".[1:]?",
    ".[:-1]?",
    "null",
    "true",
    "0",
    "1",
    "-1",
    "3.7",
    "1e9",
    "1e300",
    "18446744073709551615",
    "\"\"",
    "\"a\"",
    "\"äb,c\"",
    "[]",
    "{}",
    "[1,2,3]",
    "{a:1,b:[2]}",
    "$context",
    "$input.a",
    "empty",
    "error",
    "length",
    "keys",
    "add",
    "any",
    "all",
    "not",
    "type",
    "tostring",
    "tonumber",
    "tojson",
    "fromjson",
    "sort",
    "unique",
    "reverse",
    "flatten",
    "transpose",
    "min",
    "max",
    "first",
    "last",
    "floor",
    "sqrt",
    "abs",
    "explode",
    "implode",
    "ascii_downcase",
    "trim",
    "to_entries",
    "from_entries",
    "paths",
    "values",
    "scalars",
    "todate",
    "fromdate",
    "recurse",
    "@base64",
    "@base64d",
    "@uri",
    "@html",
    "@sh",
    "@csv",
    "@tsv",
    "@json",
    "toarray",
    "break $l",
    // Bombs.
    "range(1e9)",
    "[range(1e9)]",
    "repeat(.)",
    "until(false; .)",
    "recurse([.])",
    "recurse(., .)",
    "(\"a\" * 1e6)",
    "reduce range(1e4) as $i (.; [., .])",
    "reduce range(1e4) as $i (\"ab\"; . + .)",
    "reduce range(1e5) as $i (0; [.])",
    "[limit(1e4; repeat(1))]",
    "[range(2000)]",
    "[range(300)] | map([range(30)])",
    "(\"[\" * 90 + \"]\" * 90 | fromjson)",
    "(\"ab\" * 2000)",
    "getpath([range(50)])",
    // Not there.
    "env",
    "$ENV",
    "input",
    "now",
    "$__loc__",
    "ascii",
    "combinations",
    "halt",
    "def f: f; f",
];

/// Filters with parts: `@1` and `@2` stand for them.
const SHAPES: &[&str] = &[
    "(@1) | (@2)",
    "(@1), (@2)",
    "(@1) + (@2)",
    "(@1) - (@2)",
    "(@1) * (@2)",
    "(@1) / (@2)",
    "(@1) % (@2)",
    "(@1) == (@2)",
    "(@1) < (@2)",
    "(@1) and (@2)",
    "(@1) or (@2)",
    "(@1) // (@2)",
    "[@1]",
    "{a: (@1), (\"k\"): (@2)}",
    "{(@1 | tostring): (@2)}",
    "\"x\\(@1)y\\(@2)\"",
    "@base64 \"\\(@1)\"",
    "-(@1)",
    "(@1)?",
    "try (@1) catch (@2)",
    "if @1 then @2 else . end",
    "(@1) as $x | $x, (@2)",
    "(@1) as [$x, {a: $y}] | [$x, $y] | (@2)",
    "label $l | (@1) | (@2)",
    "reduce (@1) as $x (0; @2)",
    "reduce (@1) as $x (.; [., $x] | (@2))",
    "foreach (@1) as $x (0; @2)",
    "[foreach (@1) as $x (.; @2; [$x, .])]",
    "(@1) = (@2)",
    "(@1) |= (@2)",
    "(@1) += (@2)",
    "(@1) //= (@2)",
    "del(@1)",
    "path(@1)",
    "[paths(@1)]",
    "pick(@1)",
    "getpath(@1)",
    "setpath(@1; @2)",
    "delpaths(@1)",
    "map(@1)",
    "map_values(@1)",
    "select(@1)",
    "first(@1)",
    "last(@1)",
    "limit(3; @1)",
    "skip(2; @1)",
    "nth(1; @1)",
    "until(@1; @2)",
    "[while(@1; @2)]",
    "repeat(@1)",
    "[recurse(@1)]",
    "recurse(@1; @2)",
    "range(@1; @2)",
    "any(@1; @2)",
    "all(@1; @2)",
    "isempty(@1)",
    "walk(@1)",
    "sort_by(@1)",
    "group_by(@1)",
    "unique_by(@1)",
    "min_by(@1)",
    "with_entries(@1)",
    "has(@1)",
    "contains(@1)",
    "inside(@1)",
    "index(@1)",
    "indices(@1)",
    "split(@1)",
    "join(@1)",
    "ltrimstr(@1)",
    "startswith(@1)",
    "test(@1)",
    "[match(@1; \"g\")]",
    "gsub(@1; @2)",
    "sub(\"(?<a>.)\"; @1)",
    "[splits(@1)]",
    "[scan(@1)]",
    "gsub(\"[a-c]*\"; @1)",
    "IN(@1)",
    "INDEX(@1)",
    "flatten(@1)",
    "strftime(@1)",
    "error(@1)",
    "(@1)[@2]",
    "(@1)[@2:]",
    "(@1)[]?",
    "add(@1)",
    "[range(200)] | map(@1)",
    "reduce range(100) as $i (.; @1)",
    "input(@1)",
];

fn programs() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(LEAVES).prop_map(str::to_owned);
    leaf.prop_recursive(5, 24, 2, |part| {
        let shape = proptest::sample::select(SHAPES);
        (shape, part.clone(), part)
            .prop_map(|(shape, one, two)| shape.replace("@1", &one).replace("@2", &two))
    })
}

/// Text made of the pieces that expressions are made of, well formed or not.
fn soup() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(
        &[
            ".", "..", "a", "$x", "(", ")", "[", "]", "{", "}", "\"", "\\(", "\\u00", "|", ",",
            ";", ":", "?", "//", "|=", "-", "1", "1e5", "as", "if", "then", "end", "elif", "try",
            "catch", "def", "reduce", "foreach", "label", "break", "import", "@base64", "é", " ",
            "\n", "#", "\\", "::", "and", "not", "map(", "$__loc__", "..[", "%", "=", "!=",
            "\u{0}", "🦀",
        ][..],
    );
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-5i64..10).prop_map(Value::from),
        (-1e6..1e6f64).prop_map(Value::from),
        "[a-cäß, 0-9]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |item| {
        prop_oneof![
            proptest::collection::vec(item.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-d]", item, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn check_spent(result: &Result<Value, ExpressionError>, spent: Spent) {
    match result {
        Err(ExpressionError::Exceeded(_)) => {}
        _ => assert!(
            spent.steps <= MAX_STEPS && spent.allocated <= MAX_ALLOCATED,
            "{spent:?}"
        ),
    }
    if let Ok(value) = result {
        assert!(depth(value) <= MAX_DEPTH);
        assert!(value.to_string().len() as u64 <= 7 * MAX_SIZE);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program_ends_within_its_limits_and_gives_the_same_again(
        text in programs(), input in data(),
    ) {
        match Expression::compile(&text, VARIABLES) {
            Err(ExpressionError::Invalid { offset, message }) => {
                prop_assert!(text.is_char_boundary(offset) && !message.is_empty());
            }
            Err(other) => prop_assert!(false, "{other}"),
            Ok(expression) => {
                let context = json!({"a": [1, {"b": "x"}]});
                let variables = [("context", &context), ("input", &input)];
                let begin = Instant::now();
                let (first, spent) = expression.evaluate_counting(&input, &variables);
                prop_assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
                check_spent(&first, spent);
                let (second, again) = expression.clone().evaluate_counting(&input, &variables);
                prop_assert_eq!((first, spent), (second, again));
            }
        }
    }

    #[test]
    fn any_text_is_compiled_or_refused_at_a_place(text in soup()) {
        if let Err(ExpressionError::Invalid { offset, message }) = Expression::compile(&text, VARIABLES) {
            prop_assert!(text.is_char_boundary(offset) && message.len() < 300, "{}", message);
        }
    }

    #[test]
    fn data_passes_unchanged(input in data()) {
        for text in [".", ". as $x | $x", "[.] | .[0]", "{a: .} | .a", "tojson | fromjson", "[.] | map(.) | first"] {
            let expression = Expression::compile(text, VARIABLES).unwrap();
            prop_assert_eq!(&expression.evaluate(&input, &[]).unwrap(), &input, "{}", text);
        }
    }

    /// Setting what is read changes nothing, and what is set is read.
    #[test]
    fn updates_and_paths_agree(input in data()) {
        for text in [
            ". == ((.. | scalars) |= .)",
            ". == (. as $x | reduce paths as $p ($x; setpath($p; $x | getpath($p))))",
            ". as $x | [paths] | all(. as $p | $x | setpath($p; 7) | getpath($p) == 7)",
            "if type == \"array\" or type == \"object\" then (del(.[]) | length) == 0 else true end",
            ". == walk(.)",
            "(try (sort == (sort | sort)) catch true)",
            "if type == \"object\" then (to_entries | from_entries) == . else true end",
        ] {
            let expression = Expression::compile(text, VARIABLES).unwrap();
            prop_assert_eq!(expression.evaluate(&input, &[]).unwrap(), json!(true), "{}", text);
        }
    }
}

#[test]
fn most_programs_of_the_generator_compile_and_many_meet_limits() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut compiled, mut limited, mut succeeded) = (0, 0, 0);
    for _ in 0..300 {
        use proptest::strategy::ValueTree;
        let text = programs().new_tree(&mut runner).unwrap().current();
        if let Ok(expression) = Expression::compile(&text, VARIABLES) {
            compiled += 1;
            match expression.evaluate(&json!({"a": [1, "x"]}), &[]) {
                Ok(_) => succeeded += 1,
                Err(ExpressionError::Exceeded(_)) => limited += 1,
                Err(_) => {}
            }
        }
    }
    assert!(
        compiled > 150 && limited > 10 && succeeded > 25,
        "{compiled} {limited} {succeeded}"
    );
}
