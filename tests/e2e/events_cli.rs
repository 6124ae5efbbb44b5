//! Events from the command line: sent to a worker, listed, shown and replayed.

use almanac_tests::{
    Output, Project, SOON, Scheduler, almanac, cron, eventually, free_port, on_both_schedulers,
    wait_for,
};
use anyhow::Context as _;
use serde_json::{Value, json};

use crate::web::Web;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const READER: &str = "fedcba9876543210fedcba9876543210";

const SHOP: &str = "
kind: event_type
id: com.shop.paid
schema: { type: object, required: [amount] }
---
id: capture
triggers:
  - event: com.shop.paid
    when: .data.amount > 9
do: [keep: { set: { kept: '${ .amount }' } }]
---
id: call
triggers: [{ event: com.shop.paid, input: { amount: '${ .data.amount }' } }]
workflow: { type: Call, task_queue: nobody }
";

on_both_schedulers!(
    an_event_is_sent_listed_shown_and_replayed,
    a_worker_that_does_not_serve_the_command_is_named_with_what_helps,
);

/// Runs `almanac events` against a worker.
fn events(address: &str, args: &[&str]) -> anyhow::Result<Output> {
    let url = format!("http://{address}");
    almanac(
        "127.0.0.1:1",
        ["events"].iter().chain(args).chain(&["--url", &url]),
    )
}

async fn an_event_is_sent_listed_shown_and_replayed(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("shop.yaml", SHOP)?;
    project.write("quiet.yaml", &cron("0 3 * * *"))?;
    let worker = project.worker().start().await?;
    let address = worker.address();
    let events = |args: &[&str]| events(&address, args);
    let empty = events(&["list"])?.success()?;
    assert_eq!(empty, "no event has come to this worker since it started\n");

    let data = project.folder().join("data.json");
    std::fs::write(&data, r#"{"amount": 12, "note": "\u001b[31m\u202e"}"#)?;
    let data = format!("@{}", data.display());
    let arguments = ["send", "com.shop.paid", "--source", "/shop", "--id", "7"];
    let sent = events(&[&arguments[..], &["--data", &data]].concat())?.success()?;
    for text in [
        "com.shop.paid  id 7 of /shop",
        "started  delivery",
        "capture started a run",
        "call started a run",
    ] {
        assert!(sent.contains(text), "{text}: {sent}");
    }
    // The run is in Temporal, and Temporal knows its event.
    let begin = format!("{}/capture/", project.name());
    let query = format!("WorkflowId STARTS_WITH '{begin}' AND ExecutionStatus = 'Completed'");
    eventually("the run to end", || async {
        Ok(project.temporal().count_workflows(&query).await? == 1)
    })
    .await?;
    let workflow = project.temporal().workflow_ids(&query).await?.remove(0);
    assert!(sent.contains(&workflow), "{workflow}: {sent}");

    let listed = events(&["list", "--format", "json"])?.json()?;
    let id = listed[0]["id"].as_str().context("an id")?;
    assert_eq!(listed[0]["state"], "started");
    let listed = events(&["list", "--state", "started"])?.success()?;
    assert!(listed.contains(id) && listed.contains("HTTP"), "{listed}");
    assert_eq!(events(&["dead"])?.success()?, "no delivery is `dead`\n");
    let shown = events(&["show", id])?.success()?;
    for text in ["com.shop.paid", &workflow, "\\u001b[31m\\u202e"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
    let json = events(&["show", id, "--format", "json"])?.json()?;
    assert_eq!(json["event_json"]["data"]["amount"], 12);

    // Neither a replay nor the same event starts anything twice.
    let replayed = events(&["replay", id])?.success()?;
    assert!(replayed.contains("capture has a run already"), "{replayed}");
    let again = events(&[&arguments[..], &["--data", &data]].concat())?.success()?;
    assert!(again.contains("capture has a run already"), "{again}");
    assert_eq!(project.temporal().count_workflows(&query).await?, 1);
    let two = events(&["list", "--limit", "2"])?.success()?;
    assert!(two.contains("2 of 3 deliveries"), "{two}");

    // An event that nobody takes is no error; one that its schema refuses is.
    let nobody = events(&["send", "com.shop.nobody", "--format", "json"])?.json()?;
    assert_eq!(nobody["deliveries"], json!([]));
    assert_eq!(nobody["event"]["source"], "/almanac/cli");
    let random = nobody["event"]["id"].as_str().context("an id")?;
    assert_eq!(random.len(), 32);
    let refused = events(&["send", "com.shop.paid", "--data", r#"{"sum": 1}"#])?;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stdout.contains("call refused the event"),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("does not match the schema"),
        "{refused:?}"
    );
    for (args, why) in [
        (
            &["send", "com.shop.paid", "--data", "hello"][..],
            "not JSON",
        ),
        (
            &["send", "a", "--source", "/s <b>"],
            "`source` must be a URI",
        ),
        (&["show", "gone"], "there is no delivery `gone`"),
        (&["replay", "\u{1b}[31m"], "there is no delivery"),
        (&["list", "--state", "lost"], "waiting, dead"),
        (&["list", "--limit", "0"], "1..=1000"),
    ] {
        let output = events(args)?;
        assert_eq!(output.code, 1, "{args:?}: {output:?}");
        assert!(output.stderr.contains(why), "{args:?}: {output:?}");
        assert!(!output.stderr.contains('\u{1b}'), "{args:?}: {output:?}");
    }

    // `show` of the definition knows the run and its event.
    let dir = project.definitions().display().to_string();
    let shown = wait_for("the run to be listed", SOON, || async {
        let shown = project
            .almanac(&["show", "capture", "--dir", &dir])?
            .success()?;
        Ok(shown.contains(&workflow).then_some(shown))
    })
    .await?;
    for text in [
        "The definition has no schedule: events start it.",
        "Triggers, as in shop.yaml",
        ".data.amount > 9",
        "/shop 7",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json = project.almanac_json(&["show", "call", "--dir", &dir])?;
    assert_eq!(json["triggers"][0]["event"], "com.shop.paid", "{json}");
    let runs = json["event_runs"].as_array().context("runs")?;
    assert!(runs.iter().any(|run| run["event"]["id"] == "7"), "{json}");
    let quiet = project
        .almanac(&["show", "quiet", "--dir", &dir])?
        .success()?;
    assert!(!quiet.contains("Triggers"), "{quiet}");
    Ok(())
}

async fn a_worker_that_does_not_serve_the_command_is_named_with_what_helps(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let tokens = project.folder().join("tokens");
    std::fs::write(&tokens, format!("{TOKEN} ann\n{READER} ben read\n"))?;
    let tokens = tokens.to_str().context("a path")?;
    let mut worker = project
        .worker()
        .flag("--auth", "token")
        .flag("--auth-token-file", tokens)
        .spawn()?;
    worker.ready().await?;
    let token = |name: &str, token: &str| -> anyhow::Result<String> {
        let file = project.folder().join(name);
        std::fs::write(&file, format!("{token}\n"))?;
        Ok(file.display().to_string())
    };
    let (ann, ben) = (token("ann", TOKEN)?, token("ben", READER)?);
    let (other, empty) = (token("other", "0000")?, token("empty", " ")?);
    let bad = token("bad", "two\nlines")?;
    let with = |file: &str, args: &[&str]| {
        events(&worker.address(), &[args, &["--token-file", file]].concat())
    };
    assert!(
        with(&ann, &["send", "nothing"])?
            .success()?
            .contains("no trigger takes")
    );
    assert!(with(&ben, &["list"])?.success()?.contains("nothing"));
    let failed = |output: anyhow::Result<Output>, words: &[&str]| -> anyhow::Result<()> {
        let output = output?;
        assert_eq!(output.code, 1, "{output:?}");
        for word in words {
            assert!(output.stderr.contains(word), "{word}: {output:?}");
        }
        assert!(!output.stderr.contains(TOKEN), "{output:?}");
        Ok(())
    };
    failed(
        events(&worker.address(), &["list"]),
        &["401", "hint: --token-file (ALMANAC_TOKEN_FILE)"],
    )?;
    failed(
        with(&other, &["list"]),
        &["401", "does not know this token"],
    )?;
    failed(
        with(&ben, &["send", "nothing"]),
        &["403", "almanac:operate"],
    )?;
    failed(with(&empty, &["list"]), &["the file is empty"])?;
    failed(with(&bad, &["list"]), &["this is not a token"])?;
    failed(
        with("/no/such/file", &["list"]),
        &["--token-file /no/such/file"],
    )?;

    let nowhere = format!("127.0.0.1:{}", free_port());
    failed(
        events(&nowhere, &["list"]),
        &["no worker answers at", "almanac run", "--url (ALMANAC_URL)"],
    )?;
    let plain = almanac(
        "127.0.0.1:1",
        ["events", "list", "--url", "http://10.0.0.1:8080"],
    );
    failed(
        plain,
        &["http is only for a worker on this machine", "https"],
    )?;

    // A token is not sent on to where an answer points.
    let second = Web::start(|_| Some((200, json!({ "deliveries": [], "total": 0 })))).await?;
    let target = format!("http://{}/", second.address());
    let first = Web::start(move |_| Some((302, Value::String(target.clone())))).await?;
    failed(
        events(first.address(), &["list", "--token-file", &ann]),
        &["is not a worker of Almanac"],
    )?;
    let asked = first.asked();
    assert_eq!(asked[0].target, "/api/v1/events?limit=20");
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(second.asked().is_empty());
    let large = Web::start(|_| Some((200, Value::String("x".repeat(9_000_000))))).await?;
    failed(
        events(large.address(), &["list"]),
        &["larger than 8388608 bytes"],
    )?;
    Ok(())
}
