//! Results of ordinary expressions. Each result of the first table was compared with the result
//! of libjq (in the package `jq` 1.13 of `PyPI`). Another table has the results that differ, with
//! the reason.

use serde_json::{Value, json};

use super::VARIABLES;
use super::table_texts::{DIFFERENT, TEXTS};
use crate::expression::Expression;

/// Expression, input, result; all as jq writes them.
pub(super) const TABLE: &[(&str, &str, &str)] = &[
    // What the specification's examples use.
    (".", r#"{"a":1}"#, r#"{"a":1}"#),
    (".color == \"red\"", r#"{"color":"red"}"#, "true"),
    (".temperature > 38", r#"{"temperature":39.5}"#, "true"),
    (".bpm < 60 or .bpm > 100", r#"{"bpm":101}"#, "true"),
    (".vet != null", r#"{"vet":null}"#, "false"),
    (".customer.age < 18", r#"{"customer":{"age":17}}"#, "true"),
    (
        ".patient.fullName",
        r#"{"patient":{"fullName":"A B"}}"#,
        r#""A B""#,
    ),
    (
        "( . | length ) > 3 #wait until 3 events have been consumed",
        "[1,2,3,4]",
        "true",
    ),
    (
        ".pets + [{ \"id\": 7 }]",
        r#"{"pets":[{"id":1}]}"#,
        r#"[{"id":1},{"id":7}]"#,
    ),
    (".[0]", "[5,6]", "5"),
    (". | length", "[5,6]", "2"),
    ("{ customer: . }", "1", r#"{"customer":1}"#),
    (
        "{ colors: (.processed.colors + [ \"red\" ]), indexes: (.processed.indexes + [ 0 ])}",
        r#"{"processed":{"colors":["blue"],"indexes":[1]}}"#,
        r#"{"colors":["blue","red"],"indexes":[1,0]}"#,
    ),
    (
        "(.e != null and (.e | startswith(\"https://m\"))) or (.f.uri != null and (.f.uri | startswith(\"https://m\")))",
        r#"{"e":"https://mocked"}"#,
        "true",
    ),
    // Paths.
    (".a.b[1].c", r#"{"a":{"b":[0,{"c":3}]}}"#, "3"),
    (".a[\"b c\"]", r#"{"a":{"b c":1}}"#, "1"),
    (".\"b c\"", r#"{"b c":1}"#, "1"),
    (".[-1]", "[1,2,3]", "3"),
    (".[1:3]", "[1,2,3,4]", "[2,3]"),
    (".[:-1]", "\"aäé\"", r#""aä""#),
    ("[.[]?]", "1", "[]"),
    ("[.a?, .b?]", "[1]", "[]"),
    ("[..]", "[[1]]", "[[[1]],[1],1]"),
    (".missing.deeper", "{}", "null"),
    (
        "[.[] | .a // \"none\"]",
        r#"[{"a":1},{"a":null},{}]"#,
        r#"[1,"none","none"]"#,
    ),
    ("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#),
    (
        "[paths(type == \"number\")]",
        r#"{"a":[1]}"#,
        r#"[["a",0]]"#,
    ),
    ("getpath([\"a\",0])", r#"{"a":[1]}"#, "1"),
    (
        "[path(.a[]?, .b)]",
        r#"{"a":[1,2]}"#,
        r#"[["a",0],["a",1],["b"]]"#,
    ),
    // Construction.
    (
        "{a, b: .c, \"d\": 1, (.e): 2}",
        r#"{"a":1,"c":2,"e":"x"}"#,
        r#"{"a":1,"b":2,"d":1,"x":2}"#,
    ),
    (
        "[{a: (1,2), b: (3,4)}]",
        "null",
        r#"[{"a":1,"b":3},{"a":1,"b":4},{"a":2,"b":3},{"a":2,"b":4}]"#,
    ),
    (
        "[{(\"a\",\"b\"): (1,2)}]",
        "null",
        r#"[{"a":1},{"a":2},{"b":1},{"b":2}]"#,
    ),
    ("1 as $x | {$x, y: $x}", "null", r#"{"x":1,"y":1}"#),
    ("\"a \\(.b) c\\n\"", r#"{"b":[1]}"#, r#""a [1] c\n""#),
    (
        "[\"\\(1,2)-\\(3,4)\"]",
        "null",
        r#"["1-3","2-3","1-4","2-4"]"#,
    ),
    // Operators.
    (
        "[1+2, 5-3, 2*3, 6/2, 7/2, 7%3, -1]",
        "null",
        "[3,2,6,3,3.5,1,-1]",
    ),
    ("[5 % -3, -5 % 3, 5.9 % 2.1]", "null", "[2,-2,1]"),
    ("[(1,2)+(10,20)]", "null", "[11,12,21,22]"),
    ("0.1 + 0.2", "null", "0.30000000000000004"),
    ("[1,2,1] - [1]", "null", "[2]"),
    ("{a:{b:1}} * {a:{c:2}}", "null", r#"{"a":{"b":1,"c":2}}"#),
    ("\"ab\" * 2", "null", r#""abab""#),
    ("\"a,b\" / \",\"", "null", r#"["a","b"]"#),
    (
        "[null,true,false,0,-1,\"a\",[],{}] | sort",
        "null",
        "[null,false,true,-1,0,\"a\",[],{}]",
    ),
    (
        "[true,false | (. and true, . or false, not)]",
        "null",
        "[true,true,false,false,false,true]",
    ),
    (
        "if . == 1 then \"one\" elif . == 2 then \"two\" else \"many\" end",
        "2",
        r#""two""#,
    ),
    ("if . then 1 end", "null", "null"),
    // Binding and folds.
    (". as [$a, {b: $c}] | $a + $c", r#"[1,{"b":2}]"#, "3"),
    (". as {a: $x, $b} | [$x, $b]", r#"{"a":1,"b":2}"#, "[1,2]"),
    ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
    (
        "reduce .[] as [$k, $v] ({}; .[$k] = $v)",
        r#"[["a",1],["b",2]]"#,
        r#"{"a":1,"b":2}"#,
    ),
    ("reduce range(3) as $x (0; empty)", "null", "null"),
    ("[foreach .[] as $x (0; . + $x)]", "[1,2,3]", "[1,3,6]"),
    (
        "[foreach .[] as $x (0; . + $x; [$x, .])]",
        "[1,2]",
        "[[1,1],[2,3]]",
    ),
    (
        "[foreach (1,2,3) as $x (0; if $x == 2 then empty else . + $x end)]",
        "null",
        "[1,3]",
    ),
    ("[.[] | select(. > 1)]", "[1,2,3]", "[2,3]"),
    ("[label $out | 1, break $out, 2]", "null", "[1]"),
    (
        "[range(0; 10; 3)], [range(2)], [range(1; 3)] | length",
        "null",
        "4",
    ),
    ("first(range(10; 20))", "null", "10"),
    ("[until(. > 100; . * 2)]", "3", "[192]"),
    ("[while(. < 20; . * 2)]", "3", "[3,6,12]"),
    (
        "[recurse(if . < 3 then . + 1 else empty end)]",
        "0",
        "[0,1,2,3]",
    ),
    (
        "[recurse(.a[]?; . != null)] | length",
        r#"{"a":[{"a":[]},null]}"#,
        "2",
    ),
    (
        "[skip(2; 1,2,3)], nth(1; 5,6,7), isempty(empty) | tojson",
        "null",
        r#""[3]""#,
    ),
    // Errors.
    ("try error(\"x\") catch .", "null", r#""x""#),
    (
        "[.[] | try tonumber catch \"bad\"]",
        r#"["1","x","2.5"]"#,
        r#"[1,"bad",2.5]"#,
    ),
    ("(1,error(\"x\"),3)? // 9", "null", "1"),
    ("error(\"x\")? // \"other\"", "null", r#""other""#),
    ("[.[] | (1 / .)?]", "[1,0,2]", "[1,0.5]"),
    (
        "try (.a.b // 1) catch \"an error\"",
        r#"{"a":1}"#,
        r#""an error""#,
    ),
    ("(.a.b)? // 1", r#"{"a":1}"#, "1"),
    // Assignment.
    (".a = 1 | .b.c = 2", "{}", r#"{"a":1,"b":{"c":2}}"#),
    (".[] += 1", "[1,2]", "[2,3]"),
    (".a |= (. + 1)", r#"{"a":1}"#, r#"{"a":2}"#),
    (".[] |= (select(. > 1))", "[1,2,1,3]", "[2,3]"),
    (".a //= 5 | .b //= 6", r#"{"a":1}"#, r#"{"a":1,"b":6}"#),
    ("[.a = (1,2)]", "{}", r#"[{"a":1},{"a":2}]"#),
    (".[2] = 1", "[]", "[null,null,1]"),
    (".[1:3] = [9]", "[1,2,3,4]", "[1,9,4]"),
    (
        "(.. | select(type == \"number\")) |= . * 2",
        "[1,[2]]",
        "[2,[4]]",
    ),
    (
        "(if .a then .b else .c end) = 1",
        r#"{"a":true}"#,
        r#"{"a":true,"b":1}"#,
    ),
    (
        "del(.a, .b[0])",
        r#"{"a":1,"b":[1,2],"c":3}"#,
        r#"{"b":[2],"c":3}"#,
    ),
    ("del(.[2], .[0:1])", "[1,2,3,4]", "[2,4]"),
    (
        "delpaths([[\"a\"],[\"x\",0]])",
        r#"{"a":1,"b":2}"#,
        r#"{"b":2}"#,
    ),
    (
        "pick(.a.b, .c)",
        r#"{"a":{"b":1,"x":2},"d":3}"#,
        r#"{"a":{"b":1},"c":null}"#,
    ),
    ("with_entries(.value += 1)", r#"{"a":1}"#, r#"{"a":2}"#),
    ("to_entries", r#"{"a":1}"#, r#"[{"key":"a","value":1}]"#),
    (
        "from_entries",
        r#"[{"name":"a","value":1},{"k":"b","v":2}]"#,
        r#"{"a":1,"b":2}"#,
    ),
    (
        "map_values(. + 1), map_values(empty)",
        r#"{"a":1}"#,
        r#"{"a":2}"#,
    ),
    (
        "walk(if type == \"number\" then . + 1 else . end)",
        r#"[1,{"a":2}]"#,
        r#"[2,{"a":3}]"#,
    ),
    ("[to_entries[].key], (1 | .a? = empty)", "[5,6]", "[0,1]"),
    (
        "[flatten, join(\"-\")]",
        r#"{"a":1,"b":2}"#,
        r#"[[1,2],"1-2"]"#,
    ),
    // Arrays and objects.
    (
        "[length, (.[2:] | length), add, any, all]",
        "[1,2,3]",
        "[3,1,6,true,true]",
    ),
    ("add", r#"["a","b"]"#, r#""ab""#),
    ("add(.[].a)", r#"[{"a":1},{"a":2}]"#, "3"),
    ("any(.[]; . > 2), all(.[]; . > 2)", "[1,3]", "true"),
    (
        "sort_by(.a, -.b)",
        r#"[{"a":2,"b":1},{"a":1,"b":1},{"a":1,"b":2}]"#,
        r#"[{"a":1,"b":2},{"a":1,"b":1},{"a":2,"b":1}]"#,
    ),
    (
        "group_by(.a) | map(length)",
        r#"[{"a":2},{"a":1},{"a":2}]"#,
        "[1,2]",
    ),
    (
        "[unique, min, max, reverse]",
        "[3,1,3]",
        "[[1,3],1,3,[3,1,3]]",
    ),
    (
        "[unique_by(length), max_by(length), min_by(length)]",
        r#"["aa","b","cc"]"#,
        r#"[["b","aa"],"cc","b"]"#,
    ),
    (
        "[flatten, flatten(1)]",
        "[1,[2,[3]]]",
        "[[1,2,3],[1,2,[3]]]",
    ),
    ("transpose", "[[1],[2,3]]", "[[1,2],[null,3]]"),
    (
        "[keys, has(\"a\"), has(\"z\")]",
        r#"{"b":1,"a":2}"#,
        r#"[["a","b"],true,false]"#,
    ),
    (
        "[contains({a:[\"x\"]}), inside({a:[\"xy\",\"z\"],b:1})]",
        r#"{"a":["xy"]}"#,
        "[true,true]",
    ),
    (
        "[index(\",\"), rindex(\",\"), indices(\", \")]",
        r#""a,b, cd, efg""#,
        "[1,7,[3,7]]",
    ),
    (
        "[indices(1), indices([1,2])]",
        "[0,1,2,1,2]",
        "[[1,3],[1,3]]",
    ),
    (
        "[.[] | IN(1,2)], INDEX(.[]; .)[\"1\"] | tojson",
        "[1,3]",
        r#""[true,false]""#,
    ),
    (
        "[.[] | type]",
        r#"[null,true,1,"a",[],{}]"#,
        r#"["null","boolean","number","string","array","object"]"#,
    ),
    (
        "[.[] | numbers, strings, values]",
        r#"[null,1,"a"]"#,
        r#"[1,1,"a","a"]"#,
    ),
];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn ordinary_expressions_give_the_results_of_jq() {
    let mut wrong = Vec::new();
    for (text, input, expected) in TABLE.iter().chain(TEXTS).chain(DIFFERENT) {
        let result = Expression::compile(text, VARIABLES)
            .and_then(|expression| expression.evaluate(&json(input), &[]));
        match result {
            Ok(result) if result == json(expected) => {}
            other => wrong.push(format!(
                "{text}\n  on {input}\n  gave {other:?}\n  not  {expected}"
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn variables_have_the_values_of_the_caller() {
    let expression = Expression::compile(
        "[$context.a, $workflow.input[0].data, $task, .x]",
        VARIABLES,
    )
    .unwrap();
    let (context, workflow) = (json!({"a": 1}), json!({"input": [{"data": 2}]}));
    let variables = [("workflow", &workflow), ("context", &context)];
    let result = expression.evaluate(&json!({"x": 3}), &variables).unwrap();
    assert_eq!(result, json!([1, 2, null, 3]));
}

#[test]
fn the_first_output_counts_and_none_is_null() {
    assert_eq!(super::run("1, 2").unwrap(), json!(1));
    assert_eq!(super::run("empty").unwrap(), json!(null));
    assert_eq!(
        super::run("1, error(\"never asked for\")").unwrap(),
        json!(1)
    );
}

#[test]
fn the_identity_filter_keeps_data_unchanged() {
    let data = json!({
        "big": u64::MAX, "small": i64::MIN, "float": 1.0, "tiny": 5e-324, "text": "\u{0}🦀",
        "list": [1, [2, {}], null], "${ 1 }": "${ 2 }",
    });
    assert_eq!(super::on(".", &data).unwrap(), data);
    assert_eq!(super::on(".", &data).unwrap().to_string(), data.to_string());
}
