use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn tasks(list: &Value) -> Vec<Task> {
    let steps = parse_steps(list).unwrap();
    steps.into_iter().map(|step| step.task).collect()
}

fn errors(list: &Value) -> String {
    let errors = parse_steps(list).unwrap_err();
    let lines: Vec<String> = errors.iter().map(StepError::to_string).collect();
    lines.join("\n")
}

fn waits(value: &Value) -> Duration {
    match tasks(&json!([{ "w": { "wait": value } }])).as_slice() {
        [Task::Wait(duration)] => *duration,
        other => panic!("{other:?}"),
    }
}

#[test]
fn set_and_wait_are_read_in_their_order() {
    let list = json!([
        { "pause": { "wait": { "seconds": 5 } } },
        { "answer": { "set": { "a": [1, { "b": null }] }, "metadata": { "x": 1 } } },
    ]);
    let steps = parse_steps(&list).unwrap();
    assert_eq!(steps[0].task, Task::Wait(Duration::from_secs(5)));
    assert_eq!(
        steps[1],
        Step {
            name: "answer".to_owned(),
            path: "/do/1/answer".to_owned(),
            task: Task::Set(json!({ "a": [1, { "b": null }] })),
        }
    );
    assert_eq!(parse_steps(&json!([])), Ok(Vec::new()));
}

#[test]
fn a_wait_is_a_map_of_units_or_an_iso_8601_text() {
    let parts = json!({ "days": 1, "hours": 2, "minutes": 3, "seconds": 4, "milliseconds": 5 });
    assert_eq!(waits(&parts), Duration::from_millis(93_784_005));
    assert_eq!(
        waits(&json!("P1DT2H3M4.005S")),
        Duration::from_millis(93_784_005)
    );
    assert_eq!(waits(&json!("P1W")), Duration::from_hours(168));
    assert_eq!(waits(&json!("PT0S")), Duration::ZERO);
    assert_eq!(waits(&json!("PT90M")), Duration::from_mins(90));
}

#[test]
fn all_errors_are_told_at_their_place() {
    insta::assert_snapshot!(errors(&json!([
        { "a": { "call": "http", "with": {} } },
        { "b": { "wait": { "second": 5 } } },
        { "c": { "wait": { "seconds": -1 } } },
        { "d": { "wait": { "seconds": 1.5 } } },
        { "e": { "wait": { "days": u64::MAX } } },
        { "f": { "wait": {} } },
        { "g": { "wait": "5s" } },
        { "h": { "wait": "P1M" } },
        { "i": { "wait": "-PT1S" } },
        { "j": { "wait": "Ptomorrow" } },
        { "k": { "wait": 5 } },
        { "l": { "wait": { "days": 400_000 } } },
        { "m/n": { "set": { "x": ["${ .y }"] } } },
        { "o": { "set": "text" } },
        { "p": { "set": {}, "wait": {} } },
        { "q": {} },
        { "r": null },
        { "s": { "set": {}, "if": "true" } },
        { "t": {}, "u": {} },
        7,
    ])), @r"
    /do/0/a/call: `call` is not supported yet; only `set` and `wait` are
    /do/1/b/wait/second: unknown unit `second`; units are days, hours, minutes, seconds and milliseconds
    /do/2/c/wait/seconds: must be a whole number, not negative: `-1`
    /do/3/d/wait/seconds: must be a whole number, not negative: `1.5`
    /do/4/e/wait/days: is too long: `18446744073709551615`
    /do/5/f/wait: must name at least one unit
    /do/6/g/wait: must be a duration in ISO 8601, such as `PT5S`; expressions are not supported yet: `5s`
    /do/7/h/wait: must not have years or months: `P1M`
    /do/8/i/wait: must be a duration in ISO 8601, such as `PT5S`; expressions are not supported yet: `-PT1S`
    /do/9/j/wait: is not a duration in ISO 8601: `Ptomorrow`
    /do/10/k/wait: must be a duration: `{seconds: 5}` or an ISO 8601 text such as `PT5S`
    /do/11/l/wait: must not be longer than 100 years
    /do/12/m~1n/set/x/0: expressions are not supported yet: `${ .y }`
    /do/13/o/set: must be a map
    /do/14/p: `set` and `wait` exclude each other
    /do/15/q: must have `set` or `wait`
    /do/16/r: must be a map
    /do/17/s/if: `if` is not supported yet; only `set` and `wait` are
    /do/18: must be one task: `name: {…}`
    /do/19: must be one task: `name: {…}`
    ");
    insta::assert_snapshot!(errors(&json!({ "a": {} })), @"/do: must be a list of tasks");
}

proptest! {
    #[test]
    fn both_forms_of_a_wait_mean_the_same(
        hours in 0..1000u64, minutes in 0..10_000u64, seconds in 0..100_000u64, milliseconds in 0..1000u64
    ) {
        let parts = json!({
            "hours": hours, "minutes": minutes, "seconds": seconds, "milliseconds": milliseconds
        });
        let text = format!("PT{hours}H{minutes}M{seconds}.{milliseconds:03}S");
        prop_assert_eq!(waits(&parts), waits(&json!(text)));
    }

    #[test]
    fn whatever_the_list_holds_is_an_answer(text in "[\\[\\]{}:,\"a-z0-9 ]{0,60}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            drop(parse_steps(&value));
        }
    }
}

/// What the parser of definitions lets through, a run can do.
#[test]
fn every_task_that_a_definition_may_hold_is_read() {
    use crate::definition::{ParseContext, Program, parse_file};

    let yaml = "
schedule: { cron: '@daily' }
do:
  - one: { wait: { days: 1, hours: 2, minutes: 3, seconds: 4, milliseconds: 5 } }
  - two: { wait: PT1H30M }
  - three: { wait: PT0S }
  - four/five~: { set: { a: [1, null, { b: 1.5 }], text: 'a ${ .b }' } }
  - six: { wait: { days: 36500 } }
";
    let context = ParseContext {
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let documents = parse_file("x.yaml", yaml.as_bytes(), &context);
    let definition = documents[0].definition().unwrap();
    let Program::Steps(steps) = &definition.program else {
        panic!("it has steps");
    };
    let read = tasks(steps);
    assert_eq!(read.len(), 5);
    assert_eq!(read[1], Task::Wait(Duration::from_mins(90)));
    assert_eq!(read[2], Task::Wait(Duration::ZERO));
}
