//! Validation takes work in proportion to the size of a document, for any content: no list of
//! names, no expression and no calendar takes work in proportion to the square of its size.

#![expect(clippy::disallowed_methods, reason = "the work of a test is measured")]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::context;
use crate::definition::{Calendars, parse_file};

/// The size of each document, in bytes: large enough for quadratic work to show,
/// small enough for a debug build.
const SIZE: usize = 48 * 1024;
/// The most times that any document may take the time of the plainest of its size. In
/// an optimised build that one takes about 5 ms per 100 KB, so the largest
/// document of all stays below a second.
const SLOWER_AT_MOST: u32 = 40;

const PLAIN: &str = "workflow: { type: A, task_queue: q }\nschedule:\n";
const STEPS: &str = "document: { dsl: '1.0.0', namespace: x, name: y, version: '1.0.0' }\n\
                     schedule: { every: PT1H }\n";

/// The beginning of a document, and what is repeated to fill it: `#` stands for
/// a number that is another one each time, `@` for one of few.
const SHAPES: &[(&str, &str, &str)] = &[
    // Keys and values.
    (PLAIN, "  every: 1h\n", "k#: 1\n"),
    (PLAIN, "  every: 1h\n", "workflo#: 1\n"),
    (PLAIN, "  every: 1h\n", "  timezon#: 1\n"),
    (PLAIN, "  every: 1h\nlabels:\n", "  k#: v\n"),
    (PLAIN, "  every: 1h\nlabels:\n", "  k: v\n"),
    (PLAIN, "  every: 1h\n", "# a comment\n"),
    (PLAIN, "  every: 1h\n", "---\na: 1\n"),
    (
        "workflow:\n  type: A\n  task_queue: q\n  args:\n",
        "",
        "  - 1.00000000000000000001\n",
    ),
    (
        "workflow:\n  type: A\n  task_queue: q\n  args:\n",
        "",
        "  - {a: {b: [1, {c: d}]}}\n",
    ),
    (
        "workflow:\n  type: A\n  task_queue: q\n  args:\n",
        "  - &a [1, 2]\n",
        "  - *a\n",
    ),
    (
        "workflow:\n  type: A\n  task_queue: q\n  args:\n",
        "",
        "  - !foo 1\n",
    ),
    (
        "workflow:\n  type: A\n  task_queue: q\n  memo:\n",
        "",
        "    k#: v\n",
    ),
    (
        "workflow:\n  type: A\n  task_queue: q\n  memo:\n",
        "    ? ",
        "x",
    ),
    (
        "workflow:\n  type: A\n  task_queue: q\n  search_attributes:\n",
        "",
        "    k#: [1, a]\n",
    ),
    // Times.
    (PLAIN, "  cron:\n", "  - '* * * * *'\n"),
    (PLAIN, "  cron:\n", "  - 'x#'\n"),
    (PLAIN, "  calendars:\n", "  - {houx: 1}\n"),
    (PLAIN, "  calendars: [", "{hour: x}, "),
    (
        PLAIN,
        "  calendars:\n",
        "  - {second: '*/7', minute: '*/11', day_of_month: 3@, year: '197@-2300/7'}\n",
    ),
    (
        PLAIN,
        "  every: 1s\n  exclude:\n",
        "  - {second: '*', minute: '1@', hour: '*'}\n",
    ),
    (PLAIN, "  every:\n", "  - #s\n"),
    (PLAIN, "  every: 1h\n  timezone: ", "Europe/"),
    (PLAIN, "  every: ", "1h"),
    // Tasks, and the names by which they go on.
    (STEPS, "do:\n", "- t#: { set: { a: 1 } }\n"),
    (STEPS, "do:\n", "- t: { set: { a: 1 } }\n"),
    (STEPS, "do:\n", "- t#: { sett: 1 }\n"),
    (STEPS, "do:\n", "- task#: { set: { a: 1 }, then: tasc# }\n"),
    (STEPS, "do:\n", "- t#: { set: { a: 1 }, then: x# }\n"),
    (STEPS, "do:\n", "- t#: { call: fn# }\n"),
    (STEPS, "do:\n", "- t#: { set: { a: 1 }, timeout: nope# }\n"),
    (STEPS, "do:\n", "- t#: { raise: { error: erro# } }\n"),
    (STEPS, "do:\n", "- t#: { wait: 1x }\n"),
    (
        STEPS,
        "do:\n",
        "- t#: { run: { shell: { command: /bin/x } } }\n",
    ),
    (
        STEPS,
        "do:\n",
        "- t#: { call: http, with: { method: get, endpoint: 'http://a b/' } }\n",
    ),
    (
        STEPS,
        "do:\n- s:\n    switch:\n",
        "    - c#: { when: .a ==, then: nope# }\n",
    ),
    (
        STEPS,
        "do:\n- s:\n    listen:\n      to:\n        any:\n",
        "        - with: { type: a# }\n",
    ),
    (
        STEPS,
        "do:\n- s:\n    fork:\n      branches:\n",
        "      - b#: { set: { a: 1 } }\n",
    ),
    (
        STEPS,
        "use:\n  functions:\n",
        "    f#: { call: http, with: { method: get, endpoint: 'http://a/' } }\n",
    ),
    (
        STEPS,
        "use:\n  errors:\n",
        "    e#: { type: 'http://a/', status: 400 }\n",
    ),
    (STEPS, "use:\n  secrets:\n", "  - s#\n"),
    // Expressions.
    (STEPS, "do:\n", "- t#: { set: { a: '${ foo# }' } }\n"),
    (STEPS, "do:\n", "- t#: { set: { a: '${ $v# }' } }\n"),
    (STEPS, "do:\n", "- t#: { set: { a: '${ $secrets.s# }' } }\n"),
    (STEPS, "do:\n", "- t#: { if: '${ .a }', set: { a: .x } }\n"),
    (
        STEPS,
        "do:\n",
        "- t#: { set: { a: '${ test(\"(a{1,900}){1,100}\") }' } }\n",
    ),
    (STEPS, "do:\n- t:\n    set:\n", "      k#: ${ .a }\n"),
    (STEPS, "do:\n- t: { set: { a: '", "${ 1 } "),
    (STEPS, "do:\n- t: { set: { a: '", "${ "),
    (STEPS, "do:\n- t: { set: { a: '${ ", ". | "),
    (STEPS, "do:\n- t: { set: { a: '${ ", "foo# | "),
    (STEPS, "do:\n- t: { set: { a: '${ ", "("),
    (STEPS, "do:\n- t: { set: { a: '${ ", "if . then "),
    (STEPS, "do:\n- t: { set: { a: '${ ", "def f#: f@; "),
    (STEPS, "do:\n- t: { set: { a: '${ ", ". as $x# | "),
    (STEPS, "do:\n- t: { set: { a: '${ .", ".a"),
    (STEPS, "do:\n- t: { set: { a: '${ ", "9"),
    // Schemas.
    (
        STEPS,
        "input:\n  schema:\n    document:\n      properties:\n",
        "        k#: { type: strin }\n",
    ),
    (
        STEPS,
        "input:\n  schema:\n    document:\n      $defs:\n",
        "        k#: { $ref: '#/$defs/nope#' }\n",
    ),
    (
        STEPS,
        "input:\n  schema:\n    document:\n      allOf:\n",
        "      - { pattern: '(a{1,900}){1,100}' }\n",
    ),
    (
        STEPS,
        "input:\n  schema:\n    document:\n      allOf:\n",
        "      - { $ref: '#' }\n",
    ),
];

/// A document of `SIZE` bytes.
fn filled(head: &str, lines: &[&str]) -> String {
    let mut text = head.to_owned();
    for number in 0_usize.. {
        let line = lines[number % lines.len()];
        let line = line
            .replace("'#'", "'\u{1}'")
            .replace("'#/", "'\u{1}/")
            .replace("# a comment", "\u{1} a comment")
            .replace('#', &number.to_string())
            .replace('@', &(number % 10).to_string())
            .replace('\u{1}', "#");
        if text.len() + line.len() > SIZE {
            break;
        }
        text.push_str(&line);
    }
    text
}

/// The time that this thread was on a core, if the system shows it: other
/// programs do not count.
fn busy() -> Duration {
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = nanoseconds.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(
        || {
            static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
            START.elapsed()
        },
        Duration::from_nanos,
    )
}

/// The time that the validation of a document takes.
fn time_of(text: &str) -> Duration {
    let began = busy();
    let calendars = Calendars::default();
    for document in parse_file("jobs/nightly.yaml", text.as_bytes(), &context()) {
        if let Some(definition) = document.definition() {
            let _resolved = calendars.resolve(definition, &document.calendars);
        }
    }
    busy().saturating_sub(began)
}

#[track_caller]
fn is_in_proportion(text: &str) {
    let plainest = filled(
        "workflow:\n  type: A\n  task_queue: q\n  args:\n",
        &["  - abcdefg\n"],
    );
    // One that was interrupted at a bad moment is measured again.
    let measure = || (time_of(text), time_of(&plainest));
    let is_slow = |(time, plain): (Duration, Duration)| time > plain * SLOWER_AT_MOST;
    let mut measured = measure();
    for _ in 0..2 {
        if is_slow(measured) {
            measured = measure();
        }
    }
    assert!(
        !is_slow(measured),
        "{:?} beside {:?}: {}…",
        measured.0,
        measured.1,
        &text[..text.floor_char_boundary(300)]
    );
}

#[test]
fn no_kind_of_text_takes_forty_times_as_long_as_plain_text() {
    for (head, list, line) in SHAPES {
        is_in_proportion(&filled(&format!("{head}{list}"), &[line]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Lines of one kind stand within the lists of another.
    #[test]
    fn no_mixture_of_texts_takes_forty_times_as_long_as_plain_text(
        parts in proptest::collection::vec(proptest::sample::select(SHAPES), 1..4)
    ) {
        let (head, list, _) = parts[0];
        let lines: Vec<&str> = parts.iter().map(|(.., line)| *line).collect();
        is_in_proportion(&filled(&format!("{head}{list}"), &lines));
    }
}
