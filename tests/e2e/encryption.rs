//! Encryption of payloads: no secret reaches the server's database, and each change of the keys is
//! planned, written once, and then in sync.

use std::path::{Path, PathBuf};

use almanac_core::record::Op;
use almanac_tests::{
    OwnServer, Project, Proxy, SOON, Scheduler, Supervised, Temporal, almanac_binary, free_port,
    on_both_schedulers, on_one_scheduler, temporal_cli, wait_for,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

on_both_schedulers!(
    encrypted_payloads_stay_secret_and_a_new_key_is_planned,
    a_schedule_without_its_key_is_reported_and_stays,
    a_codec_server_encodes_for_a_worker_and_may_be_away,
);
on_one_scheduler!(a_signal_without_its_key_is_ignored_and_stays_ignored);

const KEY_A: &str = "a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
const KEY_B: &str = "b AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
/// A text in payloads that are encrypted, and one in payloads that are not.
const SECRET: &str = "canary-of-the-encrypted-project";
const PLAIN: &str = "canary-of-the-other-project";

/// Steps with the text in them, in their result, in an event and in the failure.
fn steps(text: &str) -> String {
    format!(
        "schedule: {{ every: 24h, input: {{ a: {text} }} }}\n\
         triggers: [{{ event: go }}]\n\
         do:\n\
         \x20 - say: {{ set: {{ said: {text} }} }}\n\
         \x20 - hear: {{ listen: {{ to: {{ one: {{ with: {{ type: more }} }} }} }} }}\n\
         \x20 - stop: {{ raise: {{ error: {{ type: 'https://x.example/stop', status: 418, title: {text} }} }} }}\n"
    )
}

fn started(text: &str) -> String {
    format!(
        "schedule: {{ every: 24h }}\n\
         workflow:\n\
         \x20 type: Nobody\n\
         \x20 task_queue: nobody\n\
         \x20 args: [{{ a: {text} }}]\n\
         \x20 memo: {{ b: {text} }}\n\
         \x20 summary: {text}\n"
    )
}

fn event(kind: &str, text: &str) -> Value {
    json!({ "specversion": "1.0", "id": kind, "source": "/test", "type": kind, "data": { "c": text } })
}

/// Id of the key with which each payload of a schedule's input is encrypted.
async fn key_of(temporal: &Temporal, schedule: &str) -> anyhow::Result<String> {
    let live = temporal.live(schedule).await?;
    let mut payloads = live.starts().input.iter().flat_map(|input| &input.payloads);
    let id = payloads
        .next()
        .and_then(|payload| payload.metadata.get("encryption-key-id"));
    Ok(String::from_utf8_lossy(id.map_or(b"none", Vec::as_slice)).into_owned())
}

/// Returns `true` if a file of the database has the text.
fn has_text(folder: &Path, text: &str) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("temporal.db") {
            let bytes = std::fs::read(&path)?;
            let mut windows = bytes.windows(text.len());
            if windows.any(|window| window == text.as_bytes()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Starts a codec server, and returns it with its address.
async fn codec_server(keys: &Path, log: &Path) -> anyhow::Result<(Supervised, String)> {
    let listen = format!("127.0.0.1:{}", free_port());
    let server = codec_server_at(&listen, keys, log).await?;
    Ok((server, format!("http://{listen}")))
}

/// Starts a codec server that listens on an address.
async fn codec_server_at(listen: &str, keys: &Path, log: &Path) -> anyhow::Result<Supervised> {
    let keys = keys.display().to_string();
    let args = [
        "codec-server",
        "--codec-key-file",
        &keys,
        "--listen",
        listen,
    ];
    let server = Supervised::spawn(almanac_binary(), args, &[], log)?;
    wait_for("the codec server", SOON, || async {
        Ok(std::net::TcpStream::connect(listen).ok())
    })
    .await?;
    Ok(server)
}

/// Sends a signal as people do, encrypted by a codec server.
fn signal(
    project: &Project,
    workflow: &str,
    name: &str,
    input: &Value,
    codec: &str,
) -> anyhow::Result<String> {
    let input = input.to_string();
    let signal = [
        "workflow",
        "signal",
        "--workflow-id",
        workflow,
        "--name",
        name,
    ];
    let input = ["--input", &input, "--codec-endpoint", codec];
    temporal_cli(project.address(), signal.iter().chain(&input))
}

/// History of a workflow as JSON.
fn history(project: &Project, workflow: &str, codec: &[&str]) -> anyhow::Result<String> {
    let show = [
        "workflow",
        "show",
        "--workflow-id",
        workflow,
        "--output",
        "json",
    ];
    temporal_cli(project.address(), show.iter().chain(codec))
}

async fn encrypted_payloads_stay_secret_and_a_new_key_is_planned(
    on: Scheduler,
) -> anyhow::Result<()> {
    let mut server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    let other = Project::at(&server.address()).await?;
    project.write("steps.yaml", &steps(SECRET))?;
    project.write("started.yaml", &started(SECRET))?;
    other.write("steps.yaml", &steps(PLAIN))?;
    let keys: PathBuf = project.folder().join("keys");
    let file = keys.display().to_string();
    std::fs::write(&keys, KEY_A)?;
    let encrypted = || {
        let worker = project.worker().flag("--codec-key-file", &file);
        worker.switch("--codec-failures")
    };
    let almanac = |args: &[&str]| project.almanac(&[args, &["--codec-key-file", &file]].concat());
    let definitions = project.definitions().display().to_string();
    let mut worker = encrypted().start().await?;
    let other_worker = other.worker().start().await?;
    let (_codec, codec) = codec_server(&keys, &project.folder().join("codec.log")).await?;

    // Runs of a schedule, of an event and of a schedule of another worker; a signal and a failure.
    almanac(&["trigger", "started"])?.success()?;
    let (status, answer) = worker.send_event(&event("go", SECRET)).await?;
    assert_eq!(status, 202, "{answer}");
    let run = &answer["deliveries"][0]["runs"][0]["workflow_id"];
    let run = run.as_str().unwrap_or_default().to_owned();
    signal(&project, &run, "event", &event("more", SECRET), &codec)?;
    wait_for("the run to fail", SOON, || async {
        let history = history(&project, &run, &[])?;
        let is_over = history.contains("EVENT_TYPE_WORKFLOW_EXECUTION_FAILED");
        Ok(is_over.then_some(()))
    })
    .await?;
    let decoded = history(&project, &run, &["--codec-endpoint", &codec])?;
    let decoded: Value = serde_json::from_str(&decoded)?;
    let input = &decoded["events"][0]["workflowExecutionStartedEventAttributes"]["input"];
    let input = input["payloads"][0]["data"].as_str().unwrap_or_default();
    let input = String::from_utf8(BASE64_STANDARD.decode(input)?)?;
    assert!(input.contains(SECRET), "{decoded:#}");

    // What people and programs see is decrypted, and the memo is readable without a key.
    let shown = worker.json("/api/v1/schedules/started").await?;
    assert_eq!(
        shown["values"]["input"],
        json!([{ "a": SECRET }]),
        "{shown:#}"
    );
    let shown = almanac(&["show", "steps", "--format", "json"])?.json()?;
    assert_eq!(
        shown["values"]["input"],
        json!([{ "a": SECRET }]),
        "{shown:#}"
    );
    let live = project.temporal().live(&project.schedule("steps")).await?;
    assert!(live.action_memo().is_some_and(|memo| memo["v"] == 1));
    assert!(live.owner_memo().is_some());

    // Another worker process finds everything in sync.
    worker.restart().await?;
    worker.writes_nothing_in(2).await?;
    almanac(&["plan", "--dir", &definitions, "--detailed-exitcode"])?.success()?;

    // A new key is planned, is used without a restart, and changes nothing afterwards.
    std::fs::write(&keys, format!("{KEY_B}{KEY_A}"))?;
    let written = wait_for("the new key", SOON, || async {
        let steps = key_of(project.temporal(), &project.schedule("steps")).await?;
        let started = key_of(project.temporal(), &project.schedule("started")).await?;
        Ok((steps == "b" && started == "b").then_some(()))
    });
    written.await?;
    let report = worker.sync().await?;
    let reasons: Vec<_> = report
        .changes
        .iter()
        .map(|change| &*change.reason)
        .collect();
    assert_eq!(reasons, ["encryption changed"; 2], "{report:?}");
    worker.writes_nothing_in(2).await?;
    let plan_without = other.folder().join("off");
    std::fs::write(&plan_without, format!("none\n{KEY_B}"))?;
    let plan_without = plan_without.display().to_string();
    let plan = project.almanac(&[
        "plan",
        "--dir",
        &definitions,
        "--codec-key-file",
        &plan_without,
    ])?;
    let plan = plan.success()?;
    assert!(plan.contains("its encryption changes"), "{plan}");
    assert!(
        plan.contains("action.encryption: \"aes-256-gcm, key b\" → none"),
        "{plan}"
    );

    // The search finds what is not encrypted.
    let (status, answer) = other_worker.send_event(&event("go", PLAIN)).await?;
    assert_eq!(status, 202, "{answer}");
    drop((worker, other_worker));
    server.kill()?;
    assert!(has_text(server.folder(), PLAIN)?);
    assert!(!has_text(server.folder(), SECRET)?);
    Ok(())
}

async fn a_schedule_without_its_key_is_reported_and_stays(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("started.yaml", &started(SECRET))?;
    project.write("lost.yaml", &started(SECRET))?;
    let keys = project.folder().join("keys");
    let file = keys.display().to_string();
    std::fs::write(&keys, KEY_A)?;
    let worker = project
        .worker()
        .flag("--codec-key-file", &file)
        .start()
        .await?;
    drop(worker);
    // Its history needs the key as well.
    project
        .temporal()
        .terminate(&project.reconcile_workflow())
        .await?;
    let schedule = project.schedule("started");
    let before = project.temporal().live(&schedule).await?;

    std::fs::write(&keys, KEY_B)?;
    let worker = project
        .worker()
        .flag("--codec-key-file", &file)
        .start()
        .await?;
    project.write("started.yaml", &started("other"))?;
    let report = worker.sync().await?;
    let messages: Vec<_> = report.errors.iter().map(|error| &error.message).collect();
    assert!(
        messages
            .iter()
            .any(|message| message.contains("encrypted with key `a`, which is not among")),
        "{messages:?}"
    );
    assert!(report.changes.is_empty(), "{report:?}");
    let after = project.temporal().live(&schedule).await?;
    assert_eq!(after.schedule(), before.schedule());

    // A schedule whose key is lost for good is made again once it has been deleted.
    let lost = project.schedule("lost");
    project.temporal().delete(&lost).await?;
    wait_for("the schedule to be made again", SOON, || async {
        worker.sync().await?;
        let key = key_of(project.temporal(), &lost).await.ok();
        Ok(key.filter(|key| key == "b"))
    })
    .await?;

    // With both keys, a pass writes the change.
    std::fs::write(&keys, format!("{KEY_B}{KEY_A}"))?;
    wait_for("the other key", SOON, || async {
        worker.sync().await?;
        let key = key_of(project.temporal(), &schedule).await?;
        Ok((key == "b").then_some(()))
    })
    .await?;
    worker.writes_nothing_in(1).await
}

/// Returns `true` if a history has the marker of a signal that could not be decrypted.
fn has_marker(history: &str) -> anyhow::Result<bool> {
    let history: Value = serde_json::from_str(history)?;
    for event in history["events"].as_array().into_iter().flatten() {
        let details = &event["markerRecordedEventAttributes"]["details"];
        for detail in details.as_object().into_iter().flat_map(|all| all.values()) {
            let data = detail["payloads"][0]["data"].as_str().unwrap_or_default();
            let data = BASE64_STANDARD.decode(data)?;
            if String::from_utf8_lossy(&data).contains("undecoded-signal-") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Replays must decide as the worker without the key did.
async fn a_signal_without_its_key_is_ignored_and_stays_ignored(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let hears = "do:\n\
                 \x20 - hear: { listen: { to: { one: { with: { type: more } } } } }\n";
    project.write(
        "hears.yaml",
        &format!("triggers: [{{ event: go }}]\n{hears}"),
    )?;
    let (keys, others) = (
        project.folder().join("keys"),
        project.folder().join("others"),
    );
    std::fs::write(&keys, KEY_A)?;
    std::fs::write(&others, KEY_B)?;
    let mut worker = project
        .worker()
        .flag("--codec-key-file", &keys.display().to_string())
        .start()
        .await?;
    let (_codec, codec) = codec_server(&keys, &project.folder().join("codec.log")).await?;
    let (_other, other) = codec_server(&others, &project.folder().join("other.log")).await?;
    let (status, answer) = worker.send_event(&event("go", "x")).await?;
    assert_eq!(status, 202, "{answer}");
    let run = &answer["deliveries"][0]["runs"][0]["workflow_id"];
    let run = run.as_str().unwrap_or_default().to_owned();
    let reconcile = project.reconcile_workflow();
    let codec_of = ["--codec-endpoint", &codec];

    let unread = event("more", "not read");
    signal(&project, &run, "event", &unread, &other)?;
    signal(&project, &reconcile, "definitions_changed", &unread, &other)?;
    let ignored = wait_for("the signals to be ignored", SOON, || async {
        let of_run = has_marker(&history(&project, &run, &codec_of)?)?;
        let of_reconcile = has_marker(&history(&project, &reconcile, &codec_of)?)?;
        Ok((of_run && of_reconcile).then_some(()))
    });
    ignored.await?;

    std::fs::write(&keys, format!("{KEY_A}{KEY_B}"))?;
    worker.restart().await?;
    signal(&project, &run, "event", &event("more", "read"), &codec)?;
    let ended = wait_for("the run to end", SOON, || async {
        let history = history(&project, &run, &codec_of)?;
        let is_over = history.contains("EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED");
        Ok(is_over.then_some(history))
    })
    .await?;
    worker.writes_nothing_in(1).await?;
    for history in [&ended, &history(&project, &reconcile, &codec_of)?] {
        assert!(
            !history.contains("EVENT_TYPE_WORKFLOW_TASK_FAILED"),
            "{history}"
        );
    }
    let result = result(&ended)?;
    assert!(result.contains("\"read\""), "{result}");
    Ok(())
}

/// The result of a run that has completed, from its history as JSON.
fn result(history: &str) -> anyhow::Result<String> {
    let history: Value = serde_json::from_str(history)?;
    let last = history["events"].as_array().and_then(|all| all.last());
    let last = &last.unwrap_or(&Value::Null)["workflowExecutionCompletedEventAttributes"];
    let data = last["result"]["payloads"][0]["data"].as_str();
    let data = BASE64_STANDARD.decode(data.unwrap_or_default())?;
    Ok(String::from_utf8_lossy(&data).into_owned())
}

/// Beginning of the error about a codec server that does not answer.
const AWAY: &str = "the codec at --codec-endpoint: ";

/// While the codec server is away, the worker cannot continue its workflows, and writes nothing.
async fn a_codec_server_encodes_for_a_worker_and_may_be_away(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let steps = format!(
        "schedule: {{ every: 24h, input: {{ a: {SECRET} }} }}\n\
         do: [say: {{ set: {{ said: {SECRET} }} }}]\n"
    );
    project.write("steps.yaml", &steps)?;
    project.write("started.yaml", &started(SECRET))?;
    let (keys, log) = (
        project.folder().join("keys"),
        project.folder().join("codec.log"),
    );
    std::fs::write(&keys, KEY_A)?;
    let listen = format!("127.0.0.1:{}", free_port());
    let mut server = codec_server_at(&listen, &keys, &log).await?;
    let codec = format!("http://{listen}");
    let remote = ["--codec-endpoint", &codec];
    let almanac = |args: &[&str]| project.almanac(&[args, &remote].concat());
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy);
    let mut worker = worker.flag("--codec-endpoint", &codec).start().await?;

    let (temporal, schedules) = (
        project.temporal(),
        ["steps", "started"].map(|id| project.schedule(id)),
    );
    for schedule in &schedules {
        assert_eq!(key_of(temporal, schedule).await?, "a", "{schedule}");
    }
    let run = almanac(&["trigger", "steps", "--format", "json"])?.json()?;
    let run = run["workflow_id"].as_str().unwrap_or_default().to_owned();
    let encrypted = wait_for("the run to end", SOON, || async {
        let history = history(&project, &run, &[])?;
        let is_over = history.contains("EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED");
        Ok(is_over.then_some(history))
    })
    .await?;
    assert!(!result(&encrypted)?.contains(SECRET), "{encrypted}");
    let decoded = history(&project, &run, &remote)?;
    assert!(result(&decoded)?.contains(SECRET), "{decoded}");

    let show = ["show", "steps", "--format", "json"];
    let shown = almanac(&show)?.json()?;
    assert_eq!(shown["values"]["input"], json!([{ "a": SECRET }]));
    let undecoded = project.almanac(&show)?;
    assert_eq!(undecoded.code, 1, "{undecoded:?}");
    assert!(
        undecoded.stderr.contains("encrypted with key `a`"),
        "{undecoded:?}"
    );
    worker.restart().await?;
    worker.writes_nothing_in(2).await?;

    let mut before = Vec::new();
    for schedule in &schedules {
        before.push(temporal.live(schedule).await?);
    }
    server.kill()?;
    proxy.reset();
    project.write("started.yaml", &started("other"))?;
    wait_for("tries without the codec server", SOON, || async {
        let log = worker.log()?;
        let errors = log.lines().filter(|line| line.contains(" ERROR "));
        let count = errors.filter(|line| line.contains(AWAY)).count();
        Ok((count >= 3).then_some(()))
    })
    .await?;
    let unread = project.almanac_once(&[&show[..], &remote].concat())?;
    assert_eq!(unread.code, 1, "{unread:?}");
    assert!(unread.stderr.contains(AWAY), "{unread:?}");
    for (schedule, before) in schedules.iter().zip(&before) {
        let now = temporal.live(schedule).await?;
        assert_eq!(now.schedule(), before.schedule(), "{schedule}");
    }
    assert_eq!(proxy.schedule_writes(), 0);

    let _server = codec_server_at(&listen, &keys, &log).await?;
    wait_for("the edit", SOON, || async {
        let shown = worker.json("/api/v1/schedules/started").await?;
        let is_edited = shown["values"]["input"] == json!([{ "a": "other" }]);
        Ok(is_edited.then_some(()))
    })
    .await?;
    assert_eq!(key_of(temporal, &schedules[1]).await?, "a");
    let report = worker.sync().await?;
    let changes = report.changes.iter().map(|change| (&*change.id, change.op));
    assert!(changes.eq([("started", Op::Update)]), "{report:?}");
    worker.writes_nothing_in(1).await
}
