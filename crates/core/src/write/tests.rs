use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::names::Project;
use almanac_times::{Interval, compile_cron};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::definition::{ParseContext, WorkflowOptions, parse_file};
use crate::field::Field;
use crate::schedule::Desired;

fn id() -> DefinitionId {
    "job".parse().unwrap()
}

fn plain() -> ScheduleValues {
    let project: Project = "p".parse().unwrap();
    ScheduleValues {
        spec: Spec {
            calendars: compile_cron("30 2 * * 1-5")
                .unwrap()
                .calendars
                .into_iter()
                .collect(),
            ..Spec::default()
        },
        overlap_policy: OverlapPolicy::Skip,
        catchup_window: DEFAULT_CATCHUP_WINDOW,
        pause_on_failure: false,
        max_actions: None,
        paused: false,
        input: Vec::new(),
        definition: None,
        action: Action {
            workflow_type: "Invoice".to_owned(),
            task_queue: "billing".to_owned(),
            workflow_id: project.run_workflow_id(&id()),
            ..Action::default()
        },
    }
}

fn written(values: &ScheduleValues) -> String {
    write_document(&Written {
        id: &id(),
        adopts: Some(&ScheduleId::from_server("Old one")),
        values,
        comments: &["Was `Old one`.".to_owned()],
    })
}

/// The schedule that a worker reads from the text.
fn read(text: &str) -> Desired {
    let now = Timestamp::UNIX_EPOCH;
    let documents = parse_file("job.yaml", text.as_bytes(), &ParseContext { now });
    let definition = match &documents[..] {
        [one] => one
            .definition()
            .unwrap_or_else(|| panic!("{one:?}\n{text}")),
        all => panic!("{} documents:\n{text}", all.len()),
    };
    Desired::of(&"p".parse().unwrap(), definition, "job.yaml").unwrap()
}

fn reads_back(values: &ScheduleValues) {
    let text = written(values);
    let read = read(&text);
    for field in Field::ALL {
        assert_eq!(
            read.values.value(field),
            values.value(field),
            "{field}\n{text}"
        );
    }
}

#[test]
fn a_plain_schedule_is_a_short_document() {
    insta::assert_snapshot!(written(&plain()), @r#"
    # Was `Old one`.
    id: job
    schedule:
      adopts: "Old one"
      cron: "30 2 * * 1-5"
    workflow:
      type: Invoice
      task_queue: billing
    "#);
    assert_eq!(
        read(&written(&plain())).adopts,
        [ScheduleId::from_server("Old one")]
    );
}

#[test]
fn every_key_of_a_document_is_written() {
    let mut values = plain();
    let spec = &mut values.spec;
    for cron in ["0 0 13 * 5", "15 30 4 * * * 2027"] {
        spec.calendars.extend(compile_cron(cron).unwrap().calendars);
    }
    spec.intervals
        .insert(Interval::new(Duration::from_hours(1), Duration::ZERO).unwrap());
    spec.intervals
        .insert(Interval::new(Duration::from_hours(6), Duration::from_mins(15)).unwrap());
    spec.exclude
        .extend(compile_cron("* * * 24-26 12 * *").unwrap().calendars);
    spec.timezone = "Europe/Berlin".to_owned();
    spec.start_at = Some("2026-01-01T00:00:00Z".parse().unwrap());
    spec.end_at = Some("2027-01-01T00:00:00.5Z".parse().unwrap());
    spec.jitter = Duration::from_millis(90_500);
    values.overlap_policy = OverlapPolicy::BufferAll;
    values.catchup_window = Duration::from_hours(365 * 24);
    values.pause_on_failure = true;
    values.max_actions = Some(7);
    values.paused = true;
    values.input = vec![
        json!({"mode": "nightly", "on": [1, {"a": null}]}).into(),
        json!("01").into(),
    ];
    values.action.options = WorkflowOptions {
        execution_timeout: Some(Duration::from_hours(3)),
        run_timeout: None,
        task_timeout: Some(Duration::from_secs(20)),
        priority: Some(2),
        summary: Some("It's: #1".to_owned()),
    };
    values.action.retry = Some(RetryPolicy {
        initial_interval: Duration::from_secs(2),
        backoff_coefficient: 1.0,
        maximum_interval: Duration::from_mins(1),
        maximum_attempts: 5,
        non_retryable_error_types: vec!["Bad".to_owned()],
    });
    values.action.memo = BTreeMap::from([("cost center".to_owned(), json!(42))]);
    values.action.search_attributes = BTreeMap::from([
        (
            "Team".to_owned(),
            SearchAttribute::Keyword("2026-01-01T00:00:00Z".to_owned()),
        ),
        (
            "Since".to_owned(),
            SearchAttribute::Datetime("2026-01-01T00:00:00Z".parse().unwrap()),
        ),
        ("Share".to_owned(), SearchAttribute::Double(2.0)),
        ("Count".to_owned(), SearchAttribute::Int(2)),
        ("Sure".to_owned(), SearchAttribute::Bool(true)),
        (
            "Tags".to_owned(),
            SearchAttribute::KeywordList(vec!["a".to_owned(), "1".to_owned()]),
        ),
    ]);
    insta::assert_snapshot!(written(&values), @r#"
    # Was `Old one`.
    id: job
    schedule:
      adopts: "Old one"
      enabled: false
      cron:
        - "30 2 * * 1-5"
        - "15 30 4 * * * 2027"
      every:
        - 1h
        - { interval: 6h, offset: 15m }
      calendars:
        - { hour: 0, day_of_month: 13, day_of_week: 5 }
      exclude:
        - { day_of_month: "24-26", month: 12 }
      timezone: Europe/Berlin
      start_at: 2026-01-01T00:00:00Z
      end_at: 2027-01-01T00:00:00.5Z
      jitter: 1m30s500ms
      overlap_policy: buffer_all
      catchup_window: 365d
      pause_on_failure: true
      max_actions: 7
    workflow:
      type: Invoice
      task_queue: billing
      args:
        - mode: nightly
          "on":
            - 1
            - a: null
        - "01"
      execution_timeout: 3h
      task_timeout: 20s
      priority: 2
      summary: "It's: #1"
      retry:
        initial_interval: 2s
        backoff_coefficient: 1.0
        maximum_interval: 1m
        maximum_attempts: 5
        non_retryable_error_types:
          - Bad
      memo:
        "cost center": 42
      search_attributes:
        Count: 2
        Share: 2.0
        Since: 2026-01-01T00:00:00Z
        Sure: true
        Tags:
          - a
          - "1"
        Team: "2026-01-01T00:00:00Z"
    "#);
    reads_back(&values);
}

#[test]
fn steps_are_written_with_their_input() {
    let mut values = plain();
    values.definition = Some(json!([{"hold": {"wait": {"seconds": 5}}}]).into());
    values.input = vec![json!({"a": 1}).into()];
    insta::assert_snapshot!(written(&values), @r#"
    # Was `Old one`.
    id: job
    schedule:
      adopts: "Old one"
      cron: "30 2 * * 1-5"
      input:
        a: 1
    do:
      - hold:
          wait:
            seconds: 5
    "#);
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let set = |min: u16, max: u16| {
        prop_oneof![
            2 => Just((min..=max).collect::<Vec<_>>()),
            2 => (min..=max).prop_map(|one| vec![one]),
            1 => Just(vec![min]),
            2 => proptest::collection::vec(min..=max, 1..8),
        ]
    };
    let parts = (
        set(0, 59),
        set(0, 59),
        set(0, 23),
        set(1, 31),
        set(1, 12),
        set(2000, 2100),
        set(0, 6),
    );
    parts.prop_map(
        |(second, minute, hour, day, month, year, weekday)| Calendar {
            second: second.into_iter().collect(),
            minute: minute.into_iter().collect(),
            hour: hour.into_iter().collect(),
            day_of_month: day.into_iter().collect(),
            month: month.into_iter().collect(),
            year: year.into_iter().collect(),
            day_of_week: weekday.into_iter().collect(),
        },
    )
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e15..1e15_f64).prop_map(Value::from),
        "[ -~äß\n\t:#]{0,12}".prop_map(Value::from),
        proptest::collection::vec(any::<char>(), 0..6)
            .prop_map(|text| Value::from(String::from_iter(text))),
        any::<f64>()
            .prop_filter("a number of JSON", |it| it.is_finite())
            .prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop_oneof![
            Just("true"),
            Just("~"),
            Just("1e3"),
            Just("0x1f"),
            Just("- a"),
            Just("<<")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z0-9 :#äß-]{1,6}", inner, 0..4)
                .prop_map(|map| json!(map)),
        ]
    })
}

#[test]
fn texts_that_yaml_does_not_take_as_they_are_read_back() {
    for text in [
        "\u{fffe}",
        "\u{ffff}",
        "a\nb\u{1fffe}",
        "\u{feff}",
        "\u{85}\u{2028}\u{2029}",
        "\u{0}\u{1b}[2J\u{7f}\u{9b}",
        "\u{202e}\u{2066}",
        "\r\n\t ",
        "\\\"\u{e0041}",
        "---",
        "...",
    ] {
        let mut values = plain();
        values.input = vec![json!(text).into(), json!({ text: text }).into()];
        values.action.options.summary = Some(text.to_owned());
        values.action.memo = BTreeMap::from([(text.to_owned(), json!([text]))]);
        let attribute = SearchAttribute::Keyword(text.to_owned());
        values.action.search_attributes = BTreeMap::from([("Text".to_owned(), attribute)]);
        reads_back(&values);
    }
}

#[test]
fn a_comment_stays_a_comment_whatever_its_text() {
    let comment =
        "pasted \u{feff}\u{ffff}\rid: evil\nid: evil\u{85}id: evil\u{2028}id: evil\u{202e}";
    let text = write_document(&Written {
        id: &id(),
        adopts: None,
        values: &plain(),
        comments: &[comment.to_owned()],
    });
    insta::assert_snapshot!(text.lines().take(3).collect::<Vec<_>>().join("\n"), @r"
    # pasted \ufeff\uffff\u000did: evil
    #     id: evil\u0085id: evil\u2028id: evil\u202e
    id: job
    ");
    assert_eq!(*read(&text).values, plain());
}

proptest! {
    #[test]
    fn a_calendar_is_compiled_from_its_cron_and_from_its_fields(calendar in any_calendar()) {
        if let Some(cron) = calendar.cron() {
            prop_assert_eq!(compile_cron(&cron).unwrap().calendars, vec![calendar]);
        }
        for role in [Role::Match, Role::Exclude] {
            let fields = calendar.fields(role).unwrap();
            prop_assert_eq!(almanac_times::compile_calendar(&fields, role).unwrap(), calendar);
        }
    }

    #[test]
    fn a_written_document_reads_back(
        calendars in proptest::collection::vec(any_calendar(), 0..3),
        exclude in proptest::collection::vec(any_calendar(), 0..3),
        every in 1_u64..100_000,
        input in proptest::collection::vec(any_json(), 0..3),
        millis in 0_u64..100_000_000,
        paused in any::<bool>(),
    ) {
        let mut values = plain();
        values.spec.calendars = calendars.into_iter().collect();
        values.spec.exclude = exclude.into_iter().collect();
        let phase = Duration::from_secs(millis % every);
        values.spec.intervals.insert(Interval::new(Duration::from_secs(every), phase).unwrap());
        values.spec.jitter = Duration::from_millis(millis);
        values.catchup_window = Duration::from_millis(millis + 10_000);
        values.input = input.into_iter().map(Into::into).collect();
        values.paused = paused;
        // Exclusions that leave nothing may take too long to check, and are refused then.
        let text = written(&values);
        let now = Timestamp::UNIX_EPOCH;
        let documents = parse_file("job.yaml", text.as_bytes(), &ParseContext { now });
        if let Err(errors) = &documents[0].result {
            prop_assert!(errors.iter().all(|error| error.message.contains("too long to check")), "{errors:?}");
        } else {
            reads_back(&values);
        }
    }
}
