//! Expressions that try to crash, to hang or to use up resources. Each ends at a limit or
//! with a result, within the stack that a thread has.

use std::time::Instant;

use serde_json::{Value, json};

use super::{VARIABLES, run};
use crate::expression::{Expression, ExpressionError, Limit, MAX_ALLOCATED, MAX_STEPS};

/// Less than the 2 MiB that a thread of Rust's or tokio's has; a release build needs a fraction of it.
const STACK: usize = 5 * 256 * 1024;

/// Must meet a limit.
pub(super) const BOMBS: &[&str] = &[
    "[range(1e9)]",
    "range(1e18) | empty",
    "last(range(1e15))",
    "range(0; 1; 1e-9) | empty",
    "until(false; .)",
    "last(repeat(.))",
    "[recurse([.])]",
    "[recurse(.)]",
    "last(recurse(., .))",
    "until(false; [.])",
    "reduce range(1000) as $i (\"a\"; . + .)",
    "reduce range(1000) as $i ([1]; . + .)",
    "reduce range(1000) as $i ([1]; [., .])",
    "reduce range(1000) as $i (1; {a: ., b: .})",
    "reduce range(1e6) as $i (null; [.])",
    "reduce range(1e6) as $i (null; {a: .})",
    "foreach range(1e9) as $i (0; . + $i; empty)",
    "\"a\" * 1e9",
    "\"a\" * 1e18",
    "\"abc\" * 5000000 | @base64 | @base64",
    "\"<\" * 5000000 | @html",
    "\"é\" * 5000000 | @uri",
    "\"'\" * 5000000 | @sh",
    "\"a\" * 15000000 | explode",
    "\"a\" * 10000000 | split(\"\")",
    "\"a\" * 1000000 | [match(\"\"; \"g\")]",
    "\"a\" * 100000 | gsub(\"a\"; \"bb\")",
    "\"a\" * 20000 | [match(\"(a.*b|a)\"; \"g\")] | length",
    "\"a\" * 1000000 | test(\"(a|aa|aaa)*b\")",
    "\"a\" * 100000 | test(\"(x+x+)+y\")",
    "\"a\" * 1000000 | indices(\"a\")",
    "\"a\" * 30000 | indices(\"a\" * 15000)",
    "[range(30000)] | indices([range(15000)])",
    "(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|empty",
    "[range(1000)] as $x | $x[] as $a | $x[] as $b | $x[] as $c | empty",
    "[range(1000)] | .[] |= (range(1000) | select(false))",
    "[range(1000)] | sort_by(range(1000))",
    "[range(20000)] | [.[] | tostring] | map(. * 1000) | sort | unique | group_by(.) | length",
    "reduce range(1e6) as $i ([]; .[$i] = [$i])",
    ".[1e9] = 1",
    ".[1e18] = 1",
    "[limit(1e9; repeat(1))]",
    "[skip(1e9; repeat(1))]",
    "first(repeat(1) | select(. == 2))",
    "any(repeat(1); . == 2)",
    "all(1 | repeat(1); . == 1)",
    "isempty(repeat(1) | select(false))",
    "path(last(repeat(.a)))",
    "[path(repeat(.a))]",
    "(last(repeat(.a))) |= 1",
    "(reduce range(1e5) as $i (.; .a)) |= 1",
    "label $f | repeat(1) | if . == 2 then break $f else empty end",
    "[range(500)] | map([range(500)]) | transpose | map(transpose?)",
    "[range(3000)] | contains([range(3000)])",
    "[range(1000)] | until(false; map([.]))",
    "[range(10000)] | until(length == 0; .[1:])",
    "[[range(1000)]] | until(false; [.[], .[]])",
    "try until(false; .) catch 1",
    "(until(false; .))? // 1",
    "[.[]?, until(false; .)?]",
    "reduce range(100000) as $i ({}; . * {(\"k\" + ($i | tostring)): {a: .}})",
    "[range(100000)] | map({(tostring): .}) | add | keys | join(\",\")",
    "\"[\" * 1000000 | fromjson",
    "\"[\" * 100 + \"1\" + \"]\" * 100 | until(false; fromjson | tojson)",
    "\"0,\" * 1000000 | \"[\" + . + \"0]\" | fromjson | map(tojson | fromjson)",
    "reduce range(100000) as $i (\"\"; . + \"0123456789\")",
    "(\"%Y\" * 1000000) as $f | 0 | strftime($f)",
    "(\"%c\" * 100000) as $f | until(false; 0 | strftime($f))",
    "(\"%Y\" * 1000000) as $f | \"2026\" | until(false; . as $t | $t | (try strptime($f) catch null) | $t)",
    "[range(30)] | [limit(1e9; combinations(30))]",
    "[0, 1] | last(combinations(20))",
    "[range(100000)] | until(false; bsearch(5) as $at | .)",
    "[range(1000)] | until(false; [tostream] | [[fromstream(.[])]])",
    "reduce range(90) as $i (1; [., .][:2]) | [tostream]",
    "(\"%41\" * 1000000) | until(false; @urid | @uri)",
    "(\"ab\" * 1000000) | until(false; @base32 | @base32d)",
    "\"aaaa\" * 10000 | gsub(\"a\"; range(100) | tostring)",
    "\"a\" * 100000 | gsub(\"\"; \"x\")",
    "\"a\" * 100000 | [match(\"(b|)\"; \"gn\")]",
    "[range(100000)] | until(false; join(\",\") | [splits(\",\")] | map(tonumber))",
    "[limit(-1; repeat(1))]",
    "last(repeat(error?))",
    "last(1 | repeat(empty))",
    "[1, 2] | until(false; mktime? // .)",
    "recurse(if . < 1e9 then . + 1, error else empty end)? | select(false)",
    "while((true, true); .)  | select(false)",
    "until((false, true); . + 1) | select(false)",
    "[range(50)] | until(false; . as [$a] ?// {a: $a} | .)",
    "(\"0\" * 100000) | until(false; tonumber as $n | .)",
    "[range(1e5)] | implode | explode | implode | explode",
    "[range(20000)] as $k | delpaths([range(2000) | [[$k, .]]])",
    "(\"a\" * 1000000) as $k | {($k + \"x\"): 1, ($k + \"y\"): 2} | . as $o | range(1e5) | $o[$k]? | empty",
    "(\"a\" * 1000000) as $k | range(1e5) | {($k): 1, ($k + \"\"): 2} | empty",
    "(\"a\" * 1000000) as $k | {} | until(false; .[$k] += 1)",
    "(\"a\" * 1000000) as $k | {($k): 1} | until(has($k + \"b\"); .)",
    "([range(20000)] | map([.])) as $x | until(false; if $x == $x then . else . end)",
    "([range(20000)] | map([.])) as $x | until(false; $x - $x | null)",
    "([range(20000)] | map([.])) as $x | until(false; $x | sort | null)",
    "([range(20000)] | map([.])) as $x | until(false; $x | index([5]) | null)",
    "([range(20000)] | map([.])) as $x | until(false; [$x, $x, $x] | unique | null)",
    "([range(20000)] | map([.])) as $x | until(false; [$x, $x, $x] | max | null)",
    "([range(20000)] | map([.])) as $x | until(false; [$x] | contains([$x]) | null)",
    "(\"ab\" * 100000) as $x | until(false; $x | .[1:5] | null)",
    "(\"ab\" * 100000) as $x | until(false; $x | length | null)",
    "(\"ab\" * 100000) as $x | until(false; $x | ascii_downcase | null)",
    "(\"ab\" * 100000) as $x | until(false; $x | startswith($x) | null)",
    "(\"ab\" * 100000) as $x | until(false; $x | contains(\"ac\") | null)",
    "(\"ab\" * 100000) as $x | until(false; $x | (tojson, @base64, @uri, split(\"b\")) | null)",
    "[range(200)] | [.[] as $a | .[] as $b | .[] as $c | [$a, $b, $c]]",
    "[walk(recurse([.]))]",
    "[range(2000)] | walk(if type == \"array\" then map([.]) | map([.]) | map([.]) else [.] end) | [..] | length | until(false; .)",
    "[\"\\(repeat(1))\"]",
    "{a: repeat(1)} | empty",
    "getpath([range(1e7)])",
    "[range(400) | tostring] | [., .] | until(false; map(. + .))",
    "delpaths([range(1e6) | [.]])",
    "[range(100000)] | del(.[])  | until(. == 1; .)",
    "@json \"\\([range(100000)] | until(false; [., 1]))\"",
];

/// May give a result or an ordinary error, but must give one.
pub(super) const HARMLESS: &[&str] = &[
    "\"a\" * 10000 | test(\"(a{1,100}){1,100}\")",
    "walk(recurse([.]))",
    "\"\\(repeat(1))\"",
    "[limit(3; repeat(1))]",
    "first(range(1e18))",
    "first(recurse(., .))",
    "reduce range(99) as $i (null; [.])",
    "[.[]?] | .[0] | getpath([\"a\"])",
    "-9223372036854775808 | -. | . * . * . * .",
    "18446744073709551615 + 18446744073709551615",
    "1e308 * 10",
    "5 % 0",
    "-1e300 % -1e300",
    "9e307 % 1e-9",
    "[-1e300, 1e300] | .[0] as $i | [1][$i]",
    "[1,2,3] | .[-1e300:1e300]",
    "[1][1e300]",
    "[1] | .[-5] = 1",
    "-1e18 | todate",
    "1e18 | todate",
    "0 | strftime(\"%\")",
    "0 | strftime(\"%999999999d\")",
    "\"\\u0000\" | fromjson",
    "[55296] | implode",
    "[-1] | implode",
    "\"(\" | test(.)",
    "\"a\" | test(\"a{1000000}\")",
    "\"a\" | test(\"((a{100}){100}){100}\")",
    "\"a\" | test(\"[[[[[\" * 100)",
    "\"a\" | test(\"(\" * 200 + \")\" * 200)",
    "\"\" | test(\"(?:){1000000000}\")",
    "\"é\" | [match(\"\"; \"g\").offset]",
    "\"@@@\" | @base64d",
    "try error catch .",
    "error(error(error(1)))",
    "{} | .a.b.c |= empty",
    "[1,[2]] | (.. | numbers) |= empty",
    "[[1,2],[3]] | del(..)",
    ". as [[[$a]]] | $a",
    "label $a | label $a | break $a",
    "[1,2] | (first, last) |= 5",
    "ltrimstr(1) | rtrimstr([])",
    "[nth(-1; 1, 2)]",
    "{(1): 2}",
    "input?",
];

/// Runs on a thread with a small stack.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().stack_size(STACK);
    builder.spawn(test).unwrap().join().unwrap();
}

#[test]
fn bombs_meet_a_limit() {
    on_a_small_stack(|| {
        let mut wrong = Vec::new();
        for text in BOMBS {
            let expression = Expression::compile(text, VARIABLES).unwrap();
            let begin = Instant::now();
            let (result, spent) = expression.evaluate_counting(&Value::Null, &[]);
            let took = begin.elapsed();
            if !matches!(result, Err(ExpressionError::Exceeded(_))) {
                wrong.push(format!("{text}: {result:?}"));
            }
            // A debug build on a busy machine is some fifty times slower than a release's.
            if took.as_secs() >= 5 {
                wrong.push(format!("{text}: took {took:?}, {spent:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn harmless_expressions_end() {
    on_a_small_stack(|| {
        for text in HARMLESS {
            if let Ok(expression) = Expression::compile(text, VARIABLES) {
                let (result, _) = expression.evaluate_counting(&Value::Null, &[]);
                assert!(
                    !matches!(result, Err(ExpressionError::Exceeded(_))),
                    "{text}: {result:?}"
                );
            }
        }
    });
}

#[test]
fn the_deepest_text_fits_the_stack() {
    on_a_small_stack(|| {
        let mut compiled = 0;
        for (open, close) in [
            ("[", "]"),
            ("(", ")"),
            ("{a:", "}"),
            ("\"\\(", ")\""),
            ("map(", ")"),
            ("-", ""),
            ("1|", ""),
            ("1+", ""),
            ("try ", ""),
            ("1 as $x|", ""),
            ("if 1 then ", " end"),
            ("label $x|", ""),
            (".a|=", ""),
            ("1//", ""),
            ("first(", ")"),
            ("walk(", ")"),
            ("limit(1;", ")"),
            ("reduce 1 as $x (0;", ")"),
            ("del(.a[", "])"),
            ("1,", ""),
            (". as [$x]|[", "]"),
            ("path(.a|.b|", ")"),
            ("1|-(", ")"),
            ("[1|2|", "]"),
            ("if [1|1|1|1|1] then ", " end"),
            ("try (1|", ")"),
            ("(.a,.b)|=(", ")"),
            ("sub(\"a\";", ")"),
            ("with_entries(", ")"),
            ("foreach 1 as [$x,$y] (0;", ")"),
        ] {
            for times in [1, 5, 10, 20, 30, 40, 48, 60, 80, 100, 119, 400, 1000] {
                let text = format!("{}.{}", open.repeat(times), close.repeat(times));
                if let Ok(expression) = Expression::compile(&text, VARIABLES) {
                    compiled += 1;
                    let deep: Value = (0..90).fold(json!(1), |inner, _| json!({"a": [inner]}));
                    for input in [&Value::Null, &json!([1]), deep.pointer("/a/0").unwrap()] {
                        drop(expression.evaluate(input, &[]));
                    }
                }
            }
        }
        assert!(compiled > 100, "{compiled}");
    });
}

#[test]
fn deep_data_is_refused_or_handled() {
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    on_a_small_stack(move || {
        for text in [
            ".",
            "[.]",
            "..",
            "[..] | length",
            "tojson",
            "sort",
            ". == .",
            "walk(.)",
            "flatten",
            "[paths] | length",
            "del(.. | numbers)",
            "(.. | numbers) += 1",
            "contains(.)",
            ". * {}",
            "[., .] | unique",
            "getpath([0, 0, 0])",
            "tojson | fromjson",
            "recurse(.[]?)",
        ] {
            let expression = Expression::compile(text, VARIABLES).unwrap();
            drop(expression.evaluate(&deep(100), &[]));
            let result = expression.evaluate(&deep(101), &[]);
            assert_eq!(
                result,
                Err(ExpressionError::Exceeded(Limit::Depth)),
                "{text}"
            );
        }
        let wrapped = Expression::compile("[.]", VARIABLES).unwrap();
        assert!(wrapped.evaluate(&deep(99), &[]).is_ok());
        let result = wrapped.evaluate(&deep(100), &[]);
        assert_eq!(result, Err(ExpressionError::Exceeded(Limit::Depth)));
    });
}

#[test]
fn a_limit_cannot_be_caught() {
    for text in [
        "try until(false; .) catch 1",
        "until(false; .)?",
        "until(false; .) // 1",
    ] {
        let limit = Err(ExpressionError::Exceeded(Limit::Steps));
        assert_eq!(run(text), limit, "{text}");
    }
}

#[test]
fn the_work_of_an_evaluation_is_counted_and_bounded() {
    let text = Expression::compile("[range(100)] | add", VARIABLES).unwrap();
    let (first, spent) = text.evaluate_counting(&Value::Null, &[]);
    let (second, again) = text.evaluate_counting(&Value::Null, &[]);
    assert_eq!((first.unwrap(), spent), (second.unwrap(), again));
    assert!(spent.steps > 100 && spent.steps < 2000, "{spent:?}");
    assert!(MAX_STEPS > 1000 * spent.steps / 10 && spent.allocated < MAX_ALLOCATED);
}

#[test]
fn ordinary_work_stays_far_from_the_limits() {
    let orders: Vec<Value> = (0..1000)
        .map(|n| json!({"id": n, "total": n % 50, "tags": ["a", "b"], "customer": {"name": format!("c{}", n % 20)}}))
        .collect();
    let orders = json!({ "orders": orders });
    for text in [
        ".orders | map(select(.total > 10)) | group_by(.customer.name) | map({name: .[0].customer.name, sum: (map(.total) | add)}) | sort_by(-.sum) | .[:5]",
        "reduce .orders[] as $o ({}; .[$o.customer.name] += $o.total)",
        "[.orders[] | .id] | unique | length",
        ".orders |= map(del(.tags))",
        ".orders | map(.customer.name | ascii_upcase | gsub(\"C\"; \"\") | tonumber) | add",
        "[.orders[] | select(.customer.name | test(\"^c1[0-9]$\"))] | length",
        ".orders | map(\"\\(.id): \\(.customer.name)\") | join(\", \")",
        "reduce range(5000) as $i ([]; . + [$i]) | length",
        "INDEX(.orders[]; .id) | length",
        "tojson | fromjson | .orders | length",
    ] {
        let expression = Expression::compile(text, VARIABLES).unwrap();
        let (result, spent) = expression.evaluate_counting(&orders, &[]);
        assert!(result.is_ok(), "{text}: {result:?}");
        assert!(spent.steps < MAX_STEPS / 2, "{text}: {spent:?}");
    }
}
