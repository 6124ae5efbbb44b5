//! Events that cannot be handled become dead letters, and block no other.

use almanac_tests::{Proxy, Scheduler, eventually, on_one_scheduler};
use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tonic::Code;

use super::{
    TAKES, all_ended, connected, consumer, dead_letters, delivered, deliveries, event, has_runs,
    header, impatient, prepared, readiness, started,
};

on_one_scheduler!(
    events_that_cannot_be_handled_are_set_aside_and_block_no_other,
    messages_that_the_client_cannot_read_become_dead_letters,
    an_event_is_a_dead_letter_before_it_ends,
    a_dead_letter_of_an_earlier_process_is_replayed,
    a_start_that_fails_is_tried_again_later_and_then_given_up,
);

async fn events_that_cannot_be_handled_are_set_aside_and_block_no_other(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    project.write(
        "types.yaml",
        "kind: event_type\nid: order.checked\nschema: { type: object, required: [amount] }\n",
    )?;
    project.write(
        "checked.yaml",
        &TAKES
            .replace("takes", "checked")
            .replace("order.paid", "order.checked"),
    )?;
    project.write(
        "picky.yaml",
        &TAKES.replace("takes", "picky").replace(
            "event: order.paid",
            "event: order.odd, when: '${ .data.n + 1 > 2 }'",
        ),
    )?;
    let worker = started(&project, &nats).await?;
    let of = |kind: &str| event("1").to_string().replace("order.paid", kind);
    let poison = [
        ("events.x", "{".to_owned(), "the body"),
        (
            "events.x",
            format!("\"{}\"", "x".repeat(1_000_000)),
            "over the limit of 1000000",
        ),
        (
            "events.order.checked",
            of("order.checked"),
            "schema of event type",
        ),
        ("events.order.odd", of("order.odd"), "`when`"),
    ];
    let mut sequences = Vec::new();
    for (subject, body, _) in &poison {
        sequences.push(nats.publish(subject, &[("X-Trace", "t")], body).await?);
    }
    let good = nats
        .publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    delivered(&worker, good, "started").await?;
    all_ended(&project, &nats).await?;
    let dead = dead_letters(&project, &nats).await?;
    assert_eq!(dead.len(), poison.len(), "{dead:?}");
    for ((subject, body, reason), sequence) in poison.iter().zip(sequences) {
        let delivery = delivered(&worker, sequence, "dead").await?;
        assert!(
            delivery["reason"]
                .as_str()
                .context("a reason")?
                .contains(reason),
            "{delivery}"
        );
        let letter = dead
            .iter()
            .find(|one| header(one, "Almanac-Dead-Sequence") == sequence.to_string())
            .context("a dead letter")?;
        assert_eq!(letter.subject, format!("almanac.{}.dead", project.name()));
        assert!(header(letter, "Almanac-Dead-Reason").contains(reason));
        assert_eq!(header(letter, "Almanac-Dead-Subject"), *subject);
        assert_eq!(header(letter, "Almanac-Dead-Stream"), "EVENTS");
        assert_eq!(header(letter, "Almanac-Dead-Deliveries"), "1");
        assert_eq!(header(letter, "X-Trace"), "t");
        assert!(letter.body == body.as_bytes());
    }
    has_runs(&project, "takes", 1).await
}

async fn messages_that_the_client_cannot_read_become_dead_letters(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    impatient(&project, &nats, 1000).await?;
    let mut worker = started(&project, &nats).await?;
    let publish = async |first: usize| {
        let mut sent = Vec::new();
        for (number, (subject, headers, reason)) in (first..).zip([
            (
                &b"events.order.paid"[..],
                &b"NATS/1.0\r\ntwo words: 1\r\n\r\n"[..],
                "`two words` is not a name of a header",
            ),
            (
                b"events.order.paid",
                b"NATS/1.0\r\nX-Trace: \xff\r\n\r\n",
                "the headers are not UTF-8",
            ),
            (
                b"events.order.paid",
                b"NATS/1.0\r\nno colon\r\n\r\n",
                "a line of the headers has no colon",
            ),
            (
                b"events.order.paid",
                b"NATS/1.0\r\nX-Trace: a\rb\r\n\r\n",
                "the value of the header `X-Trace` has a carriage return",
            ),
            (
                b"events.\xff",
                b"NATS/1.0\r\n\r\n",
                "the subject is not UTF-8",
            ),
            (
                "events.a\u{a0}b".as_bytes(),
                b"NATS/1.0\r\n\r\n",
                "the subject has white space",
            ),
        ]) {
            let body = event(&number.to_string()).to_string();
            let sequence = nats.publish_raw(subject, headers, &body).await?;
            sent.push((sequence, headers, body, reason));
            // The subject means nothing, and the last one looks like a bad one in answers.
            let good = event(&format!("good-{number}")).to_string();
            let subject = ["events.order.paid", "events.\u{fffd}"][number % 2];
            nats.publish(subject, &[], &good).await?;
        }
        anyhow::Ok(sent)
    };
    let mut sent = publish(0).await?;
    all_ended(&project, &nats).await?;
    // The same again while no worker runs, and for two at once.
    worker.kill()?;
    sent.extend(publish(6).await?);
    worker.restart().await?;
    let other = started(&project, &nats).await?;
    all_ended(&project, &nats).await?;
    for worker in [&worker, &other] {
        connected(worker).await?;
    }

    let dead = dead_letters(&project, &nats).await?;
    assert_eq!(dead.len(), sent.len(), "{dead:?}");
    for (sequence, headers, body, reason) in sent {
        let letter = dead
            .iter()
            .find(|one| header(one, "Almanac-Dead-Sequence") == sequence.to_string())
            .context("a dead letter")?;
        assert_eq!(header(letter, "Almanac-Dead-Reason"), reason);
        assert_eq!(
            header(letter, "Almanac-Dead-Headers"),
            STANDARD.encode(headers)
        );
        assert_eq!(letter.body, body.as_bytes());
        for worker in [&worker, &other] {
            let delivery = delivered(worker, sequence, "dead").await?;
            assert_eq!(delivery["reason"], reason);
        }
        // It has no event: nothing may start without the headers.
        let path = format!("/api/v1/events/nats-EVENTS-{sequence}/replay");
        let (status, body) = worker.post(&path, &[], "").await?;
        assert_eq!(status, 422, "{body}");
    }
    has_runs(&project, "takes", 12).await
}

async fn an_event_is_a_dead_letter_before_it_ends(on: Scheduler) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    // No dead letter fits into this stream.
    let subject = format!("almanac.{}.dead", project.name());
    nats.stream_up_to(&consumer(&project), &subject, 10).await?;
    let worker = started(&project, &nats).await?;
    let message = nats.publish("events.x", &[], "{").await?;
    delivered(&worker, message, "waiting").await?;
    let info = nats.consumer("EVENTS", &consumer(&project)).await?;
    assert_eq!(
        (info.num_ack_pending, info.ack_floor.stream_sequence),
        (1, 0),
        "{info:?}"
    );
    assert!(worker.log()?.contains("cannot write a dead letter"));
    let error = readiness(&worker).await?["events"]["dead_letter_error"].clone();
    assert!(error.is_string(), "{error}");
    let letters = "almanac_event_dead_letters_total";
    assert!(worker.metric(letters, &["result=\"error\""]).await? >= 1.0);
    nats.remove_stream(&consumer(&project)).await?;
    let dead = delivered(&worker, message, "dead").await?;
    assert!(dead["attempt"].as_u64() > Some(1), "{dead}");
    all_ended(&project, &nats).await?;
    assert_eq!(dead_letters(&project, &nats).await?.len(), 1);
    let error = readiness(&worker).await?["events"]["dead_letter_error"].clone();
    assert!(error.is_null(), "{error}");
    assert!(worker.metric(letters, &["result=\"ok\""]).await? >= 1.0);
    Ok(())
}

async fn a_dead_letter_of_an_earlier_process_is_replayed(on: Scheduler) -> anyhow::Result<()> {
    const SCHEMA: &str =
        "kind: event_type\nid: order.paid\nschema: { type: object, required: [amount] }\n";
    let (project, nats) = prepared(on).await?;
    project.write("types.yaml", SCHEMA)?;
    let mut worker = started(&project, &nats).await?;
    let subject = "events.order.paid";
    let sent = event("1").to_string();
    let first = nats.publish(subject, &[], &sent).await?;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/shop"),
        ("ce-type", "order.paid"),
        ("Content-Type", "application/json"),
        ("Nats-Msg-Id", "binary"),
    ];
    let second = nats.publish(subject, &headers, "{}").await?;
    let third = nats.publish("events.x", &[], "{").await?;
    let mut before = Vec::new();
    for sequence in [first, second, third] {
        before.push(delivered(&worker, sequence, "dead").await?);
    }
    worker.kill()?;
    worker.restart().await?;
    connected(&worker).await?;
    let other = started(&project, &nats).await?;
    for (sequence, before) in [first, second, third].into_iter().zip(&before) {
        for worker in [&worker, &other] {
            let known = delivered(worker, sequence, "dead").await?;
            for same in ["event", "reason", "attempt", "by"] {
                assert_eq!(known[same], before[same], "{known}");
            }
        }
    }

    // As long as nothing has changed, the event is refused again and stays dead.
    let path = |sequence: u64| format!("/api/v1/events/nats-EVENTS-{sequence}/replay");
    let (status, body) = worker.post(&path(first), &[], "").await?;
    assert_eq!(status, 422, "{body}");
    assert_eq!(dead_letters(&project, &nats).await?.len(), 3);
    project.write("types.yaml", "kind: event_type\nid: order.paid\n")?;
    worker.sync().await?;
    for sequence in [first, second] {
        let (status, body) = worker.post(&path(sequence), &[], "").await?;
        assert_eq!(status, 202, "{body}");
    }
    let (status, body) = worker.post(&path(third), &[], "").await?;
    assert_eq!(status, 422, "{body}");
    has_runs(&project, "takes", 2).await?;
    let letters = dead_letters(&project, &nats).await?;
    let left: Vec<_> = letters
        .iter()
        .map(|letter| header(letter, "Almanac-Dead-Sequence"))
        .collect();
    assert_eq!(left, [third.to_string()]);
    for worker in [&worker, &other] {
        eventually("the dead letters that are left", || async {
            let all = deliveries(worker).await?;
            let dead = all.iter().filter(|one| one["state"] == "dead");
            let dead: Vec<_> = dead.map(|one| one["id"].clone()).collect();
            ensure!(dead == [json!(format!("nats-EVENTS-{third}"))], "{dead:?}");
            Ok(true)
        })
        .await?;
    }
    Ok(())
}

async fn a_start_that_fails_is_tried_again_later_and_then_given_up(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    impatient(&project, &nats, 2).await?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project
        .worker()
        .through(&proxy)
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    connected(&worker).await?;
    // All tries of one attempt.
    proxy.fail("StartWorkflowExecution", 0, 4, Code::Internal);
    let first = nats
        .publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    let waiting = delivered(&worker, first, "waiting").await?;
    assert_eq!(waiting["runs"][0]["result"], "failed", "{waiting}");
    assert!(waiting["runs"][0].get("away").is_none(), "{waiting}");
    let second = nats
        .publish("events.order.paid", &[], &event("2").to_string())
        .await?;
    delivered(&worker, second, "started").await?;
    let again = delivered(&worker, first, "started").await?;
    assert_eq!(again["attempt"], 2);

    proxy.fail("StartWorkflowExecution", 0, 8, Code::Internal);
    let third = nats
        .publish("events.order.paid", &[], &event("3").to_string())
        .await?;
    let dead = delivered(&worker, third, "dead").await?;
    assert_eq!(dead["attempt"], 2, "{dead}");
    all_ended(&project, &nats).await?;
    let letters = dead_letters(&project, &nats).await?;
    assert_eq!(header(&letters[0], "Almanac-Dead-Deliveries"), "2");
    has_runs(&project, "takes", 2).await
}
