//! `POST /webhooks/{slug}`: signed requests of other services start runs.

use std::fmt::Write as _;

use almanac_tests::{Project, Scheduler, Worker, eventually, on_one_scheduler};
use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};

on_one_scheduler!(signed_deliveries_start_runs_once);

const HUB: &str = "a secret of GitHub";
const SHOP: &str = "whsec_C2FVsBQIhrscChlQIMVib5sSYspob7oDC2FVsBQIhr8=";

const DEFINITIONS: &str = "
kind: event_type
id: push
schema: { type: object, required: [ref] }
webhook: { slug: hub, layout: github, secrets: [hub] }
---
kind: event_type
id: order.paid
webhook: { layout: standard, secrets: [shop, other] }
---
id: on-push
triggers: [{ event: push, input: '${ .data.ref }' }]
do: [built: { set: { ref: '${ . }' } }]
---
id: on-paid
triggers: [{ event: order.paid }]
do: [shipped: { set: { done: true } }]
---
id: latest
triggers: [{ event: push, when: '${ .data.ref == \"main\" }', workflow_id: '${ .data.ref }' }]
do: [waits: { wait: PT1H }]
";

fn tag(secret: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// The signature of a body, as GitHub writes it.
pub(crate) fn github_signature(secret: &str, body: &str) -> String {
    let mut signature = "sha256=".to_owned();
    for byte in tag(secret.as_bytes(), body) {
        // Writing to text does not fail.
        _ = write!(signature, "{byte:02x}");
    }
    signature
}

/// Sends a body as GitHub does.
async fn push(worker: &Worker, secret: &str, body: &Value) -> anyhow::Result<(u16, String)> {
    let body = body.to_string();
    let signature = github_signature(secret, &body);
    let headers = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-event", "push"),
    ];
    worker.post("/webhooks/hub", &headers, &body).await
}

/// Sends a body as Standard Webhooks does.
async fn paid(worker: &Worker, id: &str, body: &Value) -> anyhow::Result<(u16, String)> {
    let body = body.to_string();
    let time = Timestamp::now().as_second().to_string();
    let secret = SHOP.strip_prefix("whsec_").context("a prefix")?;
    let secret = BASE64_STANDARD.decode(secret)?;
    let signature = BASE64_STANDARD.encode(tag(&secret, &format!("{id}.{time}.{body}")));
    let signature = format!("v1,{signature}");
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    worker.post("/webhooks/order.paid", &headers, &body).await
}

/// Waits until a definition has this number of runs.
async fn has_runs(project: &Project, id: &str, count: usize) -> anyhow::Result<()> {
    let query = format!("WorkflowId STARTS_WITH '{}/{id}/'", project.name());
    eventually(&format!("{count} runs of {id}"), || async {
        Ok(project.temporal().workflow_ids(&query).await?.len() == count)
    })
    .await
}

/// Deliveries of GitHub and of Standard Webhooks start runs once, also after a secret was replaced;
/// what is forged or wrong starts nothing.
async fn signed_deliveries_start_runs_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("hooks.yaml", DEFINITIONS)?;
    let hub = project.folder().join("hub");
    let shop = project.folder().join("shop");
    std::fs::write(&hub, format!("{HUB}\n"))?;
    std::fs::write(&shop, SHOP)?;
    let mut worker = project
        .worker()
        .flag("--webhook-secret", &format!("hub=file:{}", hub.display()))
        .flag("--webhook-secret", &format!("shop=file:{}", shop.display()))
        .spawn()?;
    worker.ready().await?;

    let main = json!({ "ref": "main", "commits": 1 });
    let (status, answer) = push(&worker, HUB, &main).await?;
    assert_eq!(status, 202, "{answer}");
    has_runs(&project, "on-push", 1).await?;
    has_runs(&project, "latest", 1).await?;
    // The same bytes again, as a retry or a replay.
    let (status, answer) = push(&worker, HUB, &main).await?;
    assert_eq!(status, 202, "{answer}");
    let (status, answer) = push(&worker, "a forged secret", &main).await?;
    assert_eq!(status, 401, "{answer}");
    let (status, answer) = push(&worker, HUB, &json!({ "branch": "main" })).await?;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.contains("the delivery was refused"), "{answer}");

    let order = json!({ "order": 1 });
    let (status, answer) = paid(&worker, "msg_1", &order).await?;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(paid(&worker, "msg_1", &order).await?.0, 202);
    let (status, answer) = paid(&worker, "msg_1", &json!({ "order": 2 })).await?;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(paid(&worker, "msg_2", &order).await?.0, 202);
    has_runs(&project, "on-paid", 2).await?;

    // The secret is replaced while the worker runs.
    let new = "another secret of GitHub";
    std::fs::write(&hub, new)?;
    let feature = json!({ "ref": "feature" });
    eventually("the new secret", || async {
        Ok(push(&worker, new, &feature).await?.0 == 202)
    })
    .await?;
    let (status, answer) = push(&worker, HUB, &main).await?;
    assert_eq!(status, 401, "{answer}");
    has_runs(&project, "on-push", 2).await?;
    has_runs(&project, "latest", 1).await?;

    let refused = worker
        .metric(
            "almanac_events_total",
            &["source=\"webhook\"", "result=\"refused\""],
        )
        .await?;
    assert!(refused > 0.0, "{refused}");
    let list = worker.json("/api/v1/events").await?;
    let deliveries = list["deliveries"].as_array().context("deliveries")?;
    assert!(deliveries.iter().all(|one| one["via"] == "webhook"));
    let log = worker.log()?;
    for line in [
        "a webhook lacks a secret",
        "the secret of a webhook was replaced",
        "requests to webhooks had no good signature",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    for secret in [HUB, SHOP, new, "a forged secret"] {
        assert!(!log.contains(secret), "{log}");
    }

    // Another process remembers no ids, and the run's memo shows the conflict.
    worker.restart().await?;
    worker.ready().await?;
    let (status, answer) = paid(&worker, "msg_1", &json!({ "order": 2 })).await?;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(paid(&worker, "msg_1", &order).await?.0, 202);
    has_runs(&project, "on-paid", 2).await?;
    Ok(())
}
