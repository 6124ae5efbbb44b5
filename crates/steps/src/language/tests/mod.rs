//! Steps as JSON in; typed steps or problems out.

mod bad;
mod calls;
mod good;

use serde_json::Value;

use super::{Flow, Problem, parse};

#[track_caller]
fn flow(steps: &Value) -> Flow {
    parse(steps).unwrap_or_else(|problems| panic!("{}", shown(problems)))
}

/// All problems, in the order of their places.
fn problems(steps: &Value) -> String {
    shown(parse(steps).expect_err("there must be a problem"))
}

fn shown(mut problems: Vec<Problem>) -> String {
    problems.sort_by(|a, b| (&a.path, &a.message).cmp(&(&b.path, &b.message)));
    let lines = problems.iter().map(|problem| match &problem.hint {
        Some(hint) => format!("{problem} ({hint})"),
        None => problem.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
