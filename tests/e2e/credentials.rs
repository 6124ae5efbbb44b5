//! Credentials for Temporal that change while a worker runs: a real server behind TLS with a private
//! authority and certificates of clients.

use almanac_tests::{
    Project, Proxy, Scheduler, TlsProxy, Worker, eventually, on_one_scheduler, server,
};
use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

on_one_scheduler!(
    certificates_are_replaced_while_a_run_is_in_progress,
    an_expired_certificate_is_reported_and_replaced_without_a_restart,
    an_api_key_is_replaced_and_a_refused_one_reported,
    credentials_that_cannot_be_used_are_reported_and_the_previous_ones_stay,
);

const WAITS: &str = "id: waits\nschedule: { every: 1h }\ndo:\n  - a: { wait: { seconds: 45 } }\n  - b: { set: { done: true } }\n";

async fn readiness(worker: &Worker) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&worker.get("/readyz").await?.1)?)
}

async fn prepared(on: Scheduler) -> anyhow::Result<(Project, TlsProxy, Worker)> {
    let project = Project::new(on).await?;
    project.write("waits.yaml", WAITS)?;
    let proxy = TlsProxy::start(&server(on).address(), project.folder()).await?;
    let worker = project.worker().behind(&proxy).start().await?;
    Ok((project, proxy, worker))
}

async fn reloads(worker: &Worker, result: &str) -> anyhow::Result<f64> {
    let label = format!("result=\"{result}\"");
    worker
        .metric("almanac_credentials_reload_total", &[&label])
        .await
}

async fn certificates_are_replaced_while_a_run_is_in_progress(on: Scheduler) -> anyhow::Result<()> {
    let (project, proxy, mut worker) = prepared(on).await?;
    let pid = worker.process().pid().to_owned();
    let run = project.almanac_json(&["trigger", "waits"])?;
    proxy.replace_clients()?;
    eventually("the new certificate", || async {
        Ok(reloads(&worker, "ok").await? >= 1.0)
    })
    .await?;
    worker.sync().await?;
    proxy.replace_server()?;
    eventually("the new authority", || async {
        Ok(reloads(&worker, "ok").await? >= 2.0)
    })
    .await?;
    worker.sync().await?;
    assert_eq!(worker.process().pid(), pid);
    assert!(!worker.log()?.contains("a worker ended"), "{run}");
    eventually("the run to end well", || async {
        let shown = worker.json("/api/v1/schedules/waits").await?;
        ensure!(shown["last_run"]["status"] == "completed", "{shown:#}");
        Ok(true)
    })
    .await
}

async fn credentials_that_cannot_be_used_are_reported_and_the_previous_ones_stay(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (_project, proxy, worker) = prepared(on).await?;
    let key = proxy.file("client.key.pem");
    let good = std::fs::read(&key)?;
    let other = Project::new(on).await?;
    let others = TlsProxy::start("127.0.0.1:1", other.folder()).await?;
    for (text, reason) in [
        (
            std::fs::read(others.file("client.key.pem"))?,
            "does not belong to the client's certificate",
        ),
        (b"no key".to_vec(), "no private key in PEM"),
    ] {
        std::fs::write(&key, text)?;
        eventually("the error", || async {
            let error = readiness(&worker).await?["credentials"]["error"].clone();
            ensure!(
                error.as_str().unwrap_or_default().contains(reason),
                "{error}"
            );
            Ok(true)
        })
        .await?;
        assert!(worker.log()?.contains(reason));
        assert!(reloads(&worker, "error").await? >= 1.0);
        // New connections have the previous certificate.
        proxy.replace()?;
        worker.sync().await?;
    }
    std::fs::remove_file(&key)?;
    std::fs::write(&key, good)?;
    eventually("no error", || async {
        Ok(readiness(&worker).await?["credentials"]["error"].is_null())
    })
    .await
}

async fn an_expired_certificate_is_reported_and_replaced_without_a_restart(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("waits.yaml", WAITS)?;
    let proxy = TlsProxy::start(&server(on).address(), project.folder()).await?;
    proxy.write_client(true)?;
    let mut worker = project.worker().behind(&proxy).spawn()?;
    eventually("the refusal", || async {
        let credentials = readiness(&worker).await?["credentials"].clone();
        let refused = credentials["refused"].as_str().unwrap_or_default();
        ensure!(refused.contains("; the client's certificate expired at 2026-01-01T00:00:00Z"), "{credentials}");
        let expiries = &credentials["expiries"];
        ensure!(
            expiries[0] == json!({ "credential": "client_certificate", "expires_at": "2026-01-01T00:00:00Z" }),
            "{expiries}"
        );
        Ok(true)
    })
    .await?;
    assert!(refused(&worker).await?);
    for message in [
        "the credentials for temporal are refused",
        "a credential for temporal has expired",
    ] {
        assert!(worker.log()?.contains(message), "{message}");
    }
    proxy.write_client(false)?;
    worker.ready().await?;
    assert!(!refused(&worker).await?);
    assert!(readiness(&worker).await?["credentials"]["refused"].is_null());
    Ok(())
}

async fn an_api_key_is_replaced_and_a_refused_one_reported(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("waits.yaml", WAITS)?;
    let [first, second, third] = ["canary-1", "canary-2", "canary-3"].map(expiring);
    let cloud = Proxy::start(&server(on).address()).await?;
    cloud.require_key(&first);
    let proxy = TlsProxy::start(cloud.address(), project.folder()).await?;
    let file = project.folder().join("api-key");
    std::fs::write(&file, format!("{first}\n"))?;
    let worker = project
        .worker()
        .behind(&proxy)
        .variable("TEMPORAL_API_KEY_FILE", &file.display().to_string())
        .start()
        .await?;
    let credentials = readiness(&worker).await?["credentials"].clone();
    assert_eq!(credentials["expiries"][0]["credential"], "api_key");
    let warned = "a credential for temporal expires soon";
    assert!(worker.log()?.contains(warned), "{credentials}");

    std::fs::write(&file, &second)?;
    eventually("the second key", || async {
        Ok(reloads(&worker, "ok").await? >= 1.0)
    })
    .await?;
    cloud.require_key(&second);
    worker.sync().await?;
    assert!(!refused(&worker).await?);

    cloud.require_key(&third);
    eventually("the refusal", || async {
        let credentials = readiness(&worker).await?["credentials"].clone();
        ensure!(
            credentials["refused"] == "Request unauthorized.",
            "{credentials}"
        );
        refused(&worker).await
    })
    .await?;
    std::fs::write(&file, &third)?;
    eventually("the third key", || async { Ok(!refused(&worker).await?) }).await?;
    worker.sync().await?;
    for text in [
        worker.log()?,
        worker.get("/readyz").await?.1,
        worker.get("/metrics").await?.1,
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
    Ok(())
}

async fn refused(worker: &Worker) -> anyhow::Result<bool> {
    Ok(worker.metric("almanac_credentials_refused", &[]).await? > 0.0)
}

/// An API key that expires in three days. `signature` is not checked.
fn expiring(signature: &str) -> String {
    let at = Timestamp::now() + SignedDuration::from_hours(72);
    let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": at.as_second() }).to_string());
    format!("e30.{claims}.{signature}")
}
