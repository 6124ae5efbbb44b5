//! `emit`: events in a stream of a real NATS server.

use almanac_tests::{
    Feature, Nats, Project, SOON, Scheduler, Stored, Worker, almanac, eventually, on_one_scheduler,
    temporal_cli, wait_for,
};
use anyhow::Context;
use prost::Message;
use serde_json::{Value, json};

use super::{at, failure, output, problem, start};
use crate::replay::{history, record};

on_one_scheduler!(
    an_event_arrives_whole_once_nats_is_there,
    a_worker_killed_while_it_publishes_loses_and_doubles_no_event,
    a_step_that_cannot_publish_fails_with_a_hint,
    an_event_that_nats_never_takes_fails_at_once,
    no_password_of_nats_leaves_the_worker,
    an_event_starts_runs_without_nats,
    a_chain_of_events_ends,
    an_emitted_event_comes_back_from_nats_and_starts_runs,
);

const EMITS_ALL: &str = r#"
do:
  - told:
      emit:
        event:
          with:
            type: com.example.paid
            source: '${ "https://shop.example/\(.shop)" }'
            id: '${ .id }'
            time: '${ .at }'
            subject: '${ .customer }'
            datacontenttype: application/json
            dataschema: https://shop.example/schema
            data: { amount: '${ .amount }', fixed: [1, 2] }
            tenant: '${ .tenant }'
            count: 3
            left: '${ .nothing }'
      export: { as: . }
  - plain: { emit: { event: { with: { type: com.example.noted } } } }
  - both: { set: { told: '${ $context }', plain: '${ . }' } }
"#;

const EMITS_ONE: &str =
    "do:\n  - tell: { emit: { event: { with: { type: com.example.paid, data: '${ . }' } } } }\n";

fn event(message: &Stored) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&message.body)?)
}

/// A run as the CLI shows it.
fn described(project: &Project, id: &str) -> anyhow::Result<String> {
    let args = [
        "workflow",
        "describe",
        "--workflow-id",
        id,
        "--output",
        "json",
    ];
    temporal_cli(project.address(), args)
}

/// All attributes, or their defaults; NATS comes a while after the run began.
async fn an_event_arrives_whole_once_nats_is_there(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let mut nats = Nats::away(None)?;
    project.write("tells.yaml", EMITS_ALL)?;
    let _worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .flag("--nats-subject", "shop.events")
        .start()
        .await?;
    let input = json!({
        "shop": 7, "id": "e-1", "at": "2026-01-31T08:00:00+01:00", "customer": "c 9",
        "amount": 12.5, "tenant": "blue",
    });
    let id = start(&project, "tells", input).await?;
    eventually("an attempt to fail", || async {
        Ok(described(&project, &id)?.contains("cannot be reached"))
    })
    .await?;
    nats.begin().await?;
    nats.stream("EVENTS", "shop.events.>").await?;
    let done = output(&project, &id).await?;
    let wanted = json!({
        "specversion": "1.0", "type": "com.example.paid", "source": "https://shop.example/7",
        "id": "e-1", "time": "2026-01-31T08:00:00+01:00", "subject": "c 9",
        "datacontenttype": "application/json", "dataschema": "https://shop.example/schema",
        "data": { "amount": 12.5, "fixed": [1, 2] }, "tenant": "blue", "count": 3,
    });
    assert_eq!(done["told"], wanted);
    let stored = nats.stored("EVENTS").await?;
    let [paid, plain] = stored.as_slice() else {
        anyhow::bail!("{stored:?}")
    };
    assert_eq!(paid.subject, "shop.events.com.example.paid");
    assert_eq!(event(paid)?, wanted);
    let header = |name: &str| paid.headers.get(name).map(ToString::to_string);
    assert_eq!(
        header("Nats-Msg-Id").as_deref(),
        Some("https://shop.example/7 e-1")
    );
    let content = header("Content-Type").context("a content type")?;
    assert!(
        content.starts_with("application/cloudevents+json"),
        "{content}"
    );

    // The defaults: of the definition and of the run, the same in each replay.
    let plain = event(plain)?;
    assert_eq!(plain, done["plain"]);
    assert_eq!(plain["source"], format!("almanac/{}/tells", project.name()));
    let named = plain["id"].as_str().context("an id")?;
    assert!(named.starts_with(&format!("{id}/")), "{named}");
    let time: jiff::Timestamp = plain["time"].as_str().context("a time")?.parse()?;
    assert!(time.duration_until(jiff::Timestamp::now()).as_hours() == 0);

    let (run, _) = project.temporal().run_of(&id).await?;
    let events = history(&project, &id, &run).await?.encode_to_vec();
    let summary = b"emit com.example.paid";
    assert!(events.windows(summary.len()).any(|part| part == summary));
    if matches!(on, Scheduler::V1) {
        record(&project, &id, "emit.pb").await?;
    }
    Ok(())
}

/// The worker is killed while NATS is away; an event that is sent twice counts once.
async fn a_worker_killed_while_it_publishes_loses_and_doubles_no_event(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let mut nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    nats.kill()?;
    project.write("tell.yaml", EMITS_ONE)?;
    let mut worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    let id = start(&project, "tell", json!({ "n": 1 })).await?;
    at(&project, &id, "do/0/tell").await?;
    worker.kill()?;
    nats.begin().await?;
    worker.restart().await?;
    let emitted = output(&project, &id).await?;
    assert_eq!(emitted["data"], json!({ "n": 1 }));

    if !Feature::StandaloneActivities.is_there() {
        return Ok(());
    }
    // As when the acknowledgement was lost.
    let queue = format!("almanac-{}", project.name());
    let activity = format!("{}-again", project.name());
    let event_text = emitted.to_string();
    let mut args = vec!["activity", "execute", "--activity-id", &activity];
    args.extend(["--type", "almanac_emit", "--task-queue", &queue]);
    args.extend(["--input", &event_text, "--start-to-close-timeout", "60s"]);
    temporal_cli(project.address(), args)?;
    let stored = nats.stored("EVENTS").await?;
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(event(&stored[0])?, emitted);
    Ok(())
}

/// No stream, no subject: errors of the configuration, at once.
async fn a_step_that_cannot_publish_fails_with_a_hint(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let nats = Nats::start().await?;
    nats.stream("OTHERS", "others.>").await?;
    project.write("tell.yaml", EMITS_ONE)?;
    project.write(
        "odd.yaml",
        "do:\n  - tell: { emit: { event: { with: { type: 'paid in full' } } } }\n",
    )?;
    let fails = async |definition: &str, message: &str| {
        let id = start(&project, definition, Value::Null).await?;
        let (kind, error) = problem(failure(&project, &id).await?)?;
        assert!(kind.ends_with("/errors/configuration"), "{error}");
        let detail = error["detail"].as_str().context("a detail")?;
        assert!(detail.contains(message), "{detail}");
        assert_eq!(error["instance"], "/do/0/tell");
        anyhow::Ok(())
    };
    let _worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    fails("tell", "nats stream add EVENTS --subjects 'events.>'").await?;
    fails("odd", "`paid in full` is not a NATS subject").await?;
    assert!(nats.stored("OTHERS").await?.is_empty());
    Ok(())
}

/// The longest that is sent is taken; what is longer is not sent, or not tried again.
async fn an_event_that_nats_never_takes_fails_at_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let nats = Nats::start().await?;
    nats.stream("EVENTS", "events.any.>").await?;
    nats.stream_up_to("SMALL", "events.small.>", 1000).await?;
    project.write(
        "sized.yaml",
        "do:\n  - tell: { emit: { event: { with: { type: '${ .type }', source: '${ .source }', id: '1', data: '${ .data }' } } } }\n",
    )?;
    let _worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    let a = |count: usize| "a".repeat(count);
    let long = |bytes: usize| format!("any.{}", a(bytes - "events.any.".len()));
    let event = |kind: &str, source: &str, data: &str| json!({ "type": kind, "source": source, "data": data });
    for good in [
        event(&long(3840), "/s", ""),
        event("any.a", &a(64_998), ""),
        event("small.a", "/s", ""),
    ] {
        let id = start(&project, "sized", good).await?;
        output(&project, &id).await?;
    }
    for (bad, message) in [
        (event(&long(3841), "/s", ""), "3841 bytes"),
        (event("any.a", &a(64_999), ""), "65001 bytes"),
        (event("any.a", "/s", &a(1_048_576)), "max_payload"),
        (event("small.a", "/s", &a(1000)), "exceeds maximum allowed"),
    ] {
        let id = start(&project, "sized", bad).await?;
        let (kind, error) = problem(failure(&project, &id).await?)?;
        assert!(kind.ends_with("/errors/configuration"), "{error}");
        let detail = error["detail"].as_str().context("a detail")?;
        assert!(detail.contains(message), "{detail}");
    }
    assert_eq!(nats.stored("EVENTS").await?.len(), 2);
    assert_eq!(nats.stored("SMALL").await?.len(), 1);
    Ok(())
}

/// The password is in no log and no history, whether NATS accepts it or refuses it.
async fn no_password_of_nats_leaves_the_worker(on: Scheduler) -> anyhow::Result<()> {
    const GOOD: &str = "canary-3f7e60b1";
    const BAD: &str = "canary-91ad22c8";
    let project = Project::new(on).await?;
    let nats = Nats::with_password(GOOD).await?;
    nats.stream("EVENTS", "events.>").await?;
    project.write("tell.yaml", EMITS_ONE)?;
    let mut left = Vec::new();
    for (password, arrives) in [(BAD, false), (GOOD, true)] {
        let url = nats.url().replace(GOOD, password);
        let worker = project
            .worker()
            .flag("--nats-url", &url)
            .flag("--log", "trace")
            .start()
            .await?;
        let id = start(&project, "tell", Value::Null).await?;
        if arrives {
            output(&project, &id).await?;
        } else {
            eventually("an attempt to fail", || async {
                Ok(described(&project, &id)?.contains("refused the credentials"))
            })
            .await?;
        }
        left.push(described(&project, &id)?);
        let (run, _) = project.temporal().run_of(&id).await?;
        let events = history(&project, &id, &run).await?.encode_to_vec();
        left.push(String::from_utf8_lossy(&events).into_owned());
        for path in ["/metrics", "/readyz", "/api/v1/definitions/tell"] {
            left.push(worker.get(path).await?.1);
        }
        let log = worker.log()?;
        assert!(log.contains(" TRACE "), "the log is complete");
        left.push(log);
    }
    let file = project
        .definitions()
        .join("tell.yaml")
        .display()
        .to_string();
    let url = nats.url();
    let tried = almanac("127.0.0.1:1", ["exec", &file, "--nats-url", &url])?;
    left.push(tried.stdout + &tried.stderr);
    let wrong = format!("http://user:{GOOD}@127.0.0.1:1");
    let wrong = almanac("127.0.0.1:1", ["exec", &file, "--nats-url", &wrong])?;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("--nats-url: "), "{wrong:?}");
    left.push(wrong.stdout + &wrong.stderr);
    for text in left {
        for secret in [GOOD, BAD] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    // The runs' two, and that of the command.
    eventually("all events", || async {
        let stored = Box::pin(nats.stored("EVENTS"));
        Ok(stored.await?.len() == 3)
    })
    .await
}

const TAKES: &str =
    "id: takes\ntriggers: [{ event: com.example.paid }]\ndo:\n  - a: { set: '${ . }' }\n";

/// The last deliveries of events to a worker, newest first.
async fn deliveries(worker: &Worker) -> anyhow::Result<Vec<Value>> {
    let page = worker.json("/api/v1/events?limit=500").await?;
    Ok(page["deliveries"].as_array().context("deliveries")?.clone())
}

async fn an_event_starts_runs_without_nats(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("tell.yaml", EMITS_ONE)?;
    project.write("takes.yaml", TAKES)?;
    project.write(
        "odd.yaml",
        "do:\n  - tell: { emit: { event: { with: { type: nobody.takes.this } } } }\n",
    )?;
    let worker = project.worker().start().await?;
    let id = start(&project, "tell", json!({ "n": 1 })).await?;
    output(&project, &id).await?;
    let all = deliveries(&worker).await?;
    let [delivery] = all.as_slice() else {
        anyhow::bail!("{all:?}")
    };
    assert_eq!(
        (&delivery["via"], &delivery["by"]),
        (&json!("emit"), &json!(id)),
        "{delivery}"
    );
    assert_eq!(delivery["runs"][0]["result"], "started", "{delivery}");
    let taken = delivery["runs"][0]["workflow_id"]
        .as_str()
        .context("a run")?;
    assert_eq!(output(&project, taken).await?, json!({ "n": 1 }));
    let id = start(&project, "odd", Value::Null).await?;
    output(&project, &id).await?;
    assert_eq!(deliveries(&worker).await?[0]["state"], "no_match");
    Ok(())
}

/// A definition that takes the event that it emits.
async fn a_chain_of_events_ends(on: Scheduler) -> anyhow::Result<()> {
    const LIMIT: usize = 16;
    let project = Project::new(on).await?;
    // Without a condition, the circle would be an error of the definition.
    project.write(
        "chain.yaml",
        "triggers: [{ event: again, when: .id != null }]\ndo:\n  - tell: { emit: { event: { with: { type: again } } } }\n",
    )?;
    let worker = project.worker().start().await?;
    let event = json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "again" });
    assert_eq!(worker.send_event(&event).await?.0, 202);
    eventually("the chain to end", || async {
        let all = deliveries(&worker).await?;
        Ok(all.iter().any(|one| one["state"] == "refused"))
    })
    .await?;
    let all = deliveries(&worker).await?;
    let started = all.iter().filter(|one| one["state"] == "started").count();
    assert_eq!((all.len(), started), (LIMIT + 1, LIMIT));
    let reason = all[0]["reason"].as_str().context("a reason")?;
    assert!(
        reason.contains("the last of a chain of 16 runs"),
        "{reason}"
    );
    // The last run is not failed by what follows from its event.
    let query = format!(
        "WorkflowId STARTS_WITH '{}/chain/' AND ExecutionStatus = 'Completed'",
        project.name()
    );
    eventually("all runs to complete", || async {
        Ok(project.temporal().workflow_ids(&query).await?.len() == LIMIT)
    })
    .await
}

async fn an_emitted_event_comes_back_from_nats_and_starts_runs(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    project.write("tell.yaml", EMITS_ONE)?;
    project.write("takes.yaml", TAKES)?;
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    eventually("events to arrive", || async {
        let readiness: Value = serde_json::from_str(&worker.get("/readyz").await?.1)?;
        Ok(readiness["events"]["connected"] == true)
    })
    .await?;
    let id = start(&project, "tell", json!({ "n": 1 })).await?;
    output(&project, &id).await?;
    let taken = wait_for("the run that takes the event", SOON, || async {
        let all = deliveries(&worker).await?;
        let run = all.first().context("no delivery")?["runs"][0].clone();
        Ok(run["workflow_id"].as_str().map(str::to_owned))
    })
    .await?;
    assert_eq!(output(&project, &taken).await?, json!({ "n": 1 }));
    assert_eq!(deliveries(&worker).await?[0]["via"], "nats");
    Ok(())
}

/// Without NATS, an event is only shown.
#[test]
fn events_can_be_tried_without_a_server() {
    almanac_tests::run(async {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("tell.yaml");
        std::fs::write(&file, EMITS_ONE)?;
        let file = file.display().to_string();
        let tried = almanac("127.0.0.1:1", ["exec", &file, "--input", "5"])?;
        assert!(tried.stderr.contains("emits      {"), "{tried:?}");
        let output: Value = serde_json::from_str(&tried.success()?)?;
        assert_eq!(
            (&output["data"], &output["source"]),
            (&json!(5), &json!("almanac/exec/tell"))
        );
        Ok(())
    });
}
