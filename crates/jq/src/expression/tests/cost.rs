//! Measures the cost of expressions, for `docs/adr/0008-expressions.md`:
//! `cargo test -p almanac-jq cost_of -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::VARIABLES;
use crate::expression::Expression;

fn mean(times: u32, mut f: impl FnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..times {
        f();
    }
    begin.elapsed() / times
}

#[test]
#[ignore = "prints figures and checks nothing"]
fn cost_of_compiling_and_evaluating() {
    let orders: Vec<Value> = (0..100)
        .map(|n| json!({"id": n, "total": n % 50, "customer": {"name": format!("c{}", n % 20)}}))
        .collect();
    let small = json!({"a": {"b": 1}, "color": "red", "tags": ["x", "y"]});
    let large = json!({ "orders": orders });
    for (text, input) in [
        (".", &small),
        (".a.b", &small),
        (".color == \"red\"", &small),
        ("{ color, first: .tags[0], n: (.a.b + 1) }", &small),
        ("\"\\(.color)-\\(.a.b)\"", &small),
        (".orders | map(select(.total > 10) | .id)", &large),
        (
            ".orders | group_by(.customer.name) | map({name: .[0].customer.name, sum: (map(.total) | add)})",
            &large,
        ),
        (
            "reduce .orders[] as $o ({}; .[$o.customer.name] += $o.total)",
            &large,
        ),
    ] {
        let compiling = mean(200, || drop(Expression::compile(text, VARIABLES)));
        let expression = Expression::compile(text, VARIABLES).unwrap();
        let (_, spent) = expression.evaluate_counting(input, &[]);
        let evaluating = mean(200, || drop(expression.evaluate(input, &[])));
        println!("{text}: compile {compiling:?}, evaluate {evaluating:?}, {spent:?}");
    }
    let mut slowest = Vec::new();
    for text in super::bombs::BOMBS {
        let expression = Expression::compile(text, VARIABLES).unwrap();
        let begin = Instant::now();
        let (_, spent) = expression.evaluate_counting(&Value::Null, &[]);
        slowest.push((begin.elapsed(), spent, text));
    }
    slowest.sort_by_key(|(took, ..)| std::cmp::Reverse(*took));
    for (took, spent, text) in slowest.iter().take(8) {
        println!("{text}: {took:?}, {spent:?}");
    }
}
