//! `listen`: events that reach runs as signals.

use almanac_tests::{Project, Scheduler, almanac, json_payloads, on_one_scheduler, temporal_cli};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use super::{at, end, event, failure, output, problem, send_event, start};
use crate::replay::{record, replays};

on_one_scheduler!(
    each_strategy_consumes_its_events,
    a_signal_that_is_no_event_is_ignored_and_counted,
    a_run_refuses_updates_of_any_size,
    events_wait_through_kills_and_new_executions,
    listening_ends_by_limits_races_and_cancellation,
);

const HEARS: &str = r"
do:
  - rest: { listen: { to: { one: { with: { type: start } } } }, output: { as: '${ null }' } }
  - first: { listen: { to: { one: { with: { type: begun } } } }, export: { as: '{ first: . }' } }
  - hot:
      listen:
        to: { any: [{ with: { type: warm, data: '${ .degrees > 38 }' } }, { with: { type: smoke } }] }
        read: envelope
      output: { as: '[.[].id]' }
      export: { as: '$context + { hot: . }' }
  - both:
      listen:
        to:
          all:
            - { with: { type: warm }, correlate: { room: { from: .room } } }
            - { with: { type: wet }, correlate: { room: { from: .data.room } } }
      export: { as: '$context + { both: [.[].room] }' }
  - each:
      listen: { to: { any: [{ with: { type: paid } }], until: { one: { with: { type: closed } } } } }
      foreach:
        item: payment
        at: n
        do:
          - add: { set: { sum: '${ ($context.sum // 0) + $payment.amount }' } }
          - rest: { wait: { milliseconds: 1 } }
        output: { as: '{ n: $n, sum }' }
        export: { as: '$context + { sum }' }
      export: { as: '$context + { each: . }' }
  - done: { set: '${ $context }' }
";

/// Also those that came before anyone listened, in the order they came.
async fn each_strategy_consumes_its_events(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("hears.yaml", HEARS)?;
    let _worker = project.worker().start().await?;
    let id = start(&project, "hears", Value::Null).await?;
    at(&project, &id, "do/0/rest").await?;
    for (kind, name, data) in [
        ("begun", "1", json!({ "n": 1 })),
        ("begun", "2", json!({ "n": 2 })),
        ("warm", "3", json!({ "degrees": 30, "room": "a" })),
        ("warm", "4", json!("hot")),
        ("warm", "5", json!({ "degrees": 40, "room": "a" })),
        ("wet", "6", json!({ "room": "b" })),
        ("wet", "7", json!({ "room": "a" })),
        ("paid", "8", json!({ "amount": 5 })),
    ] {
        send_event(&project, &id, &event(kind, name, &data)).await?;
    }
    send_event(&project, &id, &event("start", "0", &Value::Null)).await?;
    at(&project, &id, "do/4/each").await?;
    // As a person does it.
    let paid = event("paid", "9", &json!({ "amount": 7 })).to_string();
    let args = [
        "workflow",
        "signal",
        "--workflow-id",
        &id,
        "--name",
        "event",
        "--input",
        &paid,
    ];
    temporal_cli(project.address(), args)?;
    send_event(&project, &id, &event("closed", "10", &Value::Null)).await?;
    let done = output(&project, &id).await?;
    let wanted = json!({
        "first": [{ "n": 1 }], "hot": ["5"], "both": ["a", "a"],
        "each": [{ "n": 0, "sum": 5 }, { "n": 1, "sum": 12 }], "sum": 12,
    });
    assert_eq!(done, wanted);
    if matches!(on, Scheduler::V1) {
        record(&project, &id, "listen.pb").await?;
    }
    Ok(())
}

const ONE: &str = "do:\n  - hear: { listen: { to: { one: { with: { type: go } } } } }\n";

/// A run knows no update, and goes on after each that it is sent.
async fn a_run_refuses_updates_of_any_size(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", ONE)?;
    let _worker = project.worker().start().await?;
    let id = start(&project, "one", Value::Null).await?;
    at(&project, &id, "do/0/hear").await?;
    // The last one is almost as large as the server takes: an answer that repeats
    // it is larger.
    for size in [10, 1_900_000, 2_096_900] {
        let input = json_payloads(&[json!({ "text": "r".repeat(size) })]);
        let sent = project
            .temporal()
            .update_workflow(&id, "no_such_update", input);
        assert!(sent.await.is_err(), "{size}");
    }
    send_event(&project, &id, &event("go", "1", &Value::Null)).await?;
    output(&project, &id).await?;
    Ok(())
}

/// The run goes on after any signal, and its details show the lost events.
async fn a_signal_that_is_no_event_is_ignored_and_counted(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", ONE)?;
    let _worker = project.worker().start().await?;
    let id = start(&project, "one", Value::Null).await?;
    at(&project, &id, "do/0/hear").await?;
    project.temporal().signal(&id, "event", None).await?;
    let mut nested = json!(1);
    for _ in 0..110 {
        nested = json!([nested]);
    }
    for junk in [
        json!("go"),
        json!({ "type": "go" }),
        json!([event("go", "1", &Value::Null)]),
        event("go", "1", &nested),
        event("go", "1", &json!("x".repeat(1_000_000))),
    ] {
        send_event(&project, &id, &junk).await?;
    }
    at(&project, &id, "ignored signals: 6").await?;
    // Of another name, and of a type that no step listens to.
    project.temporal().signal(&id, "events", None).await?;
    for number in 0..3 {
        send_event(
            &project,
            &id,
            &event("noise", &number.to_string(), &Value::Null),
        )
        .await?;
    }
    send_event(&project, &id, &event("go", "2", &json!("good"))).await?;
    assert_eq!(output(&project, &id).await?, json!(["good"]));
    Ok(())
}

const COUNTS: &str = "
do:
  - calm: { listen: { to: { one: { with: { type: start } } } } }
  - hear:
      listen: { to: { any: [{ with: { type: tick } }], until: '(. | length) == 1700' } }
      foreach: { output: { as: . } }
  - more: { listen: { to: { one: { with: { type: tick } } } }, output: { as: '{ first: $context[0], last: $context[-1], count: ($context | length), more: .[0] }' } }
";

/// The test servers suggest a new execution after 400 events.
async fn events_wait_through_kills_and_new_executions(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let steps = COUNTS.replace(
        "      foreach: { output: { as: . } }\n",
        "      foreach: { output: { as: . } }\n      export: { as: . }\n",
    );
    project.write("counts.yaml", &steps)?;
    let mut worker = project.worker().start().await?;
    let id = start(&project, "counts", Value::Null).await?;
    at(&project, &id, "do/0/calm").await?;
    for number in 0..300 {
        send_event(&project, &id, &event("tick", "t", &json!(number))).await?;
    }
    send_event(&project, &id, &event("start", "s", &Value::Null)).await?;
    // Signals reach a run without a worker, too, and more than it can take along.
    worker.kill()?;
    for number in 300..1600 {
        send_event(&project, &id, &event("tick", "t", &json!(number))).await?;
    }
    worker.restart().await?;
    for number in 1600..1701 {
        send_event(&project, &id, &event("tick", "t", &json!(number))).await?;
    }
    let wanted = json!({ "first": 0, "last": 1699, "count": 1700, "more": 1700 });
    assert_eq!(output(&project, &id).await?, wanted);
    let parts = replays(&project, &id).await?;
    anyhow::ensure!(parts > 1, "it has continued as new");
    Ok(())
}

async fn listening_ends_by_limits_races_and_cancellation(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let hear = "listen: { to: { one: { with: { type: never } } } }";
    project.write(
        "limited.yaml",
        &format!("do:\n  - hear: {{ {hear}, timeout: {{ after: PT1S }} }}\n"),
    )?;
    project.write(
        "race.yaml",
        &format!(
            "do:\n  - race:\n      fork:\n        compete: true\n        branches:\n          - hear: {{ {hear} }}\n          - rest: {{ wait: PT1S }}\n"
        ),
    )?;
    project.write("one.yaml", ONE)?;
    let _worker = project.worker().start().await?;
    let limited = start(&project, "limited", Value::Null).await?;
    let race = start(&project, "race", json!({ "n": 1 })).await?;
    let one = start(&project, "one", Value::Null).await?;
    let (kind, error) = problem(failure(&project, &limited).await?)?;
    assert!(kind.ends_with("/errors/timeout"), "{error}");
    assert_eq!(output(&project, &race).await?, json!({ "n": 1 }));
    at(&project, &one, "do/0/hear").await?;
    temporal_cli(
        project.address(),
        ["workflow", "cancel", "--workflow-id", &one],
    )?;
    let end = end(&project, &one).await?;
    assert!(
        matches!(end, Attributes::WorkflowExecutionCanceledEventAttributes(_)),
        "{end:?}"
    );
    Ok(())
}

/// Events come from a file there, one a line.
#[test]
fn listening_can_be_tried_without_a_server() {
    almanac_tests::run(async {
        let folder = tempfile::tempdir()?;
        let file = |name: &str, text: &str| -> anyhow::Result<String> {
            let file = folder.path().join(name);
            std::fs::write(&file, text)?;
            Ok(file.display().to_string())
        };
        let steps = file("one.yaml", ONE)?;
        let lines = [
            event("noise", "1", &Value::Null),
            event("go", "2", &json!(5)),
        ];
        let lines = lines.map(|event| event.to_string() + "\n").concat();
        let events = file("events.jsonl", &lines)?;
        let tried = almanac("127.0.0.1:1", ["exec", &steps, "--events", &events])?;
        let output: Value = serde_json::from_str(&tried.success()?)?;
        assert_eq!(output, json!([5]));

        let alone = almanac("127.0.0.1:1", ["exec", &steps])?;
        assert_eq!(alone.code, 1);
        assert!(alone.stderr.contains("--events"), "{alone:?}");
        let bad = file("bad.jsonl", "{\"type\":\"go\"}\n")?;
        let bad = almanac("127.0.0.1:1", ["exec", &steps, "--events", &bad])?;
        assert_eq!(bad.code, 1);
        assert!(bad.stderr.contains("bad.jsonl:1: "), "{bad:?}");
        Ok(())
    });
}
