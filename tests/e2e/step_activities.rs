//! The activities that steps call, as any workflow can call them by name.

use std::path::Path;

use almanac_tests::{
    Feature, Project, Scheduler, Worker, eventually, on_one_scheduler, temporal_cli,
};
use anyhow::Context;
use serde_json::{Value, json};

use crate::web::Web;

on_one_scheduler!(
    a_call_is_an_activity_and_its_secret_stays_inside,
    a_canceled_command_goes_with_its_group,
    the_flags_about_steps_are_checked_before_the_worker_starts,
);

const CANARY: &str = "canary-5f2c81aa";

/// A server that records its requests: 200 for `/ok`, 503 for all else.
async fn server() -> anyhow::Result<Web> {
    Web::start(|request| {
        let status = if request.target == "/ok" { 200 } else { 503 };
        let shown = request.headers.get("authorization");
        Some((status, json!({ "shown": shown })))
    })
    .await
}

/// Calls Temporal's CLI about an activity that no workflow started.
fn activity(project: &Project, verb: &str, id: &str, more: &[&str]) -> anyhow::Result<String> {
    let mut args = vec!["activity", verb, "--activity-id", id];
    args.extend(more);
    temporal_cli(project.address(), args)
}

fn start(project: &Project, id: &str, kind: &str, input: &Value) -> anyhow::Result<()> {
    let queue = format!("almanac-{}", project.name());
    let input = input.to_string();
    let more = [
        "--type",
        kind,
        "--task-queue",
        &queue,
        "--input",
        &input,
        "--start-to-close-timeout",
        "120s",
        "--heartbeat-timeout",
        "10s",
        "--retry-maximum-attempts",
        "1",
    ];
    activity(project, "start", id, &more).map(drop)
}

/// The whole end of an activity, as the server keeps it.
async fn ended(project: &Project, id: &str, status: &str) -> anyhow::Result<String> {
    let describe = || activity(project, "describe", id, &["--output", "json"]);
    eventually("the activity ends", || async {
        let description = describe()?;
        anyhow::ensure!(description.contains(status), "{description}");
        Ok(true)
    })
    .await?;
    let description = describe()?;
    // The result, or the failure; the command fails when the activity did.
    let result = activity(project, "result", id, &["--output", "json"]);
    Ok(match result {
        Ok(text) => format!("{description}{text}"),
        Err(error) => format!("{description}{error}"),
    })
}

async fn worker(project: &Project, address: &str, secret: &Path) -> anyhow::Result<Worker> {
    project
        .worker()
        .flag("--http-allow", address)
        .flag("--secret", &format!("token=file:{}", secret.display()))
        .flag("--shell-allow", "sh=/bin/sh")
        .flag("--log", "trace")
        .start()
        .await
}

async fn a_call_is_an_activity_and_its_secret_stays_inside(on: Scheduler) -> anyhow::Result<()> {
    if !Feature::StandaloneActivities.is_there() {
        return Ok(());
    }
    let project = Project::new(on).await?;
    let web = server().await?;
    let address = web.address();
    let secret = project.folder().join("secret");
    std::fs::write(&secret, CANARY)?;
    let worker = worker(&project, address, &secret).await?;
    let call = |path: &str| {
        json!({
            "method": "get", "uri": format!("http://{address}{path}"),
            "authentication": {"scheme": "bearer", "credentials": {"secret": "token"}},
        })
    };
    let id = |name: &str| format!("{}-{name}", project.name());
    start(&project, &id("ok"), "almanac_http", &call("/ok"))?;
    start(&project, &id("busy"), "almanac_http", &call("/busy"))?;
    let inside = json!({"method": "get", "uri": "http://169.254.169.254/"});
    start(&project, &id("inside"), "almanac_http", &inside)?;
    let ok = ended(&project, &id("ok"), "COMPLETED").await?;
    assert!(ok.contains("Bearer ***"), "{ok}");
    let busy = ended(&project, &id("busy"), "FAILED").await?;
    assert!(busy.contains("answered 503"), "{busy}");
    let inside = ended(&project, &id("inside"), "FAILED").await?;
    assert!(inside.contains("cloud metadata"), "{inside}");
    let script = json!({
        "command": "sh", "arguments": ["-c", "env; echo out"], "wait": true, "output": "stdout",
        "stdin": null, "environment": null,
    });
    start(&project, &id("sh"), "almanac_shell", &script)?;
    let shell = ended(&project, &id("sh"), "COMPLETED").await?;
    assert!(shell.contains("out"), "{shell}");
    let metrics = worker.get("/metrics").await?.1;
    let log = worker.log()?;
    assert!(log.contains("starting almanac"), "{log}");
    for (what, text) in [
        ("a result", ok),
        ("an error", busy),
        ("a command", shell),
        ("metrics", metrics),
        ("the log", log),
    ] {
        assert!(!text.contains(CANARY), "{what}: {text}");
    }
    Ok(())
}

async fn a_canceled_command_goes_with_its_group(on: Scheduler) -> anyhow::Result<()> {
    if !Feature::StandaloneActivities.is_there() {
        return Ok(());
    }
    let project = Project::new(on).await?;
    let secret = project.folder().join("secret");
    std::fs::write(&secret, CANARY)?;
    let worker = worker(&project, "127.0.0.1:1", &secret).await?;
    let pids = project.folder().join("pids");
    let script = format!(
        "echo $$ > {p}; sleep 1000 & echo $! >> {p}; wait",
        p = pids.display()
    );
    let request = json!({
        "command": "sh", "arguments": ["-c", script], "wait": true, "output": "all",
        "stdin": null, "environment": null,
    });
    let id = format!("{}-cancel", project.name());
    start(&project, &id, "almanac_shell", &request)?;
    let written = || std::fs::read_to_string(&pids).context("not started");
    eventually("the command starts", || async {
        Ok(written()?.lines().count() == 2)
    })
    .await?;
    activity(&project, "cancel", &id, &["--reason", "test"])?;
    ended(&project, &id, "CANCELED").await?;
    let text = written()?;
    eventually("its processes are gone", || async {
        for pid in text.lines() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            anyhow::ensure!(stat.is_empty() || stat.contains(") Z "), "{pid}: {stat}");
        }
        Ok(true)
    })
    .await?;
    drop(worker);
    Ok(())
}

async fn the_flags_about_steps_are_checked_before_the_worker_starts(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for (flag, value, message) in [
        (
            "--secret",
            "token=env:ALMANAC_NO_SUCH_VARIABLE",
            "is not set",
        ),
        ("--secret", CANARY, "a secret must be NAME=env:VARIABLE"),
        ("--shell-allow", "/no/such/program", "No such file"),
        ("--http-allow", "http://billing", "has a scheme"),
        (
            "--nats-url",
            "http://almanac:canary-5f2c81aa@nats:4222",
            "--nats-url: the address of NATS must be nats://HOST:PORT",
        ),
    ] {
        let output = project.almanac(&["run", flag, value, "--listen", "127.0.0.1:0"])?;
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains(message), "{output:?}");
        assert!(!output.stderr.contains(CANARY), "{output:?}");
    }
    Ok(())
}
