//! `almanac dev`: what a new user meets first.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use almanac_tests::{SOON, Supervised, Temporal, almanac_binary, eventually, free_port, wait_for};
use anyhow::Context;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `almanac dev` with a store and a port of its own; the dev server's ports
/// are whatever is free.
fn dev(folder: &Path, port: u16) -> anyhow::Result<Supervised> {
    dev_with(folder, port, &[])
}

/// The same, with more flags.
fn dev_with(folder: &Path, port: u16, flags: &[String]) -> anyhow::Result<Supervised> {
    let cli = repository().join(".tools/bin/temporal");
    let text = |path: PathBuf| path.display().to_string();
    let args = [
        "dev".to_owned(),
        "--dir".to_owned(),
        text(repository().join("examples/definitions")),
        "--db".to_owned(),
        text(folder.join("state/temporal.db")),
        "--temporal-cli".to_owned(),
        text(cli),
        "--listen".to_owned(),
        format!("127.0.0.1:{port}"),
    ];
    Supervised::spawn(
        almanac_binary(),
        args.iter().chain(flags),
        &[],
        &folder.join("dev.log"),
    )
}

/// Waits until it is ready; the address of its Temporal.
async fn ready(process: &mut Supervised, folder: &Path, port: u16) -> anyhow::Result<String> {
    // The client speaks no TLS, but wants the cryptography chosen.
    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
    let log = || std::fs::read_to_string(folder.join("dev.log"));
    let process = std::cell::RefCell::new(process);
    eventually("the dev worker to be ready", || async {
        anyhow::ensure!(process.borrow_mut().is_running()?, "it ended: {}", log()?);
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await?;
        Ok(answer.status() == 200)
    })
    .await?;
    let log = log()?;
    // The last: the log may hold earlier runs.
    let address = log.rsplit("address=\"http://").next();
    let address = address.and_then(|rest| rest.split('/').next());
    Ok(address.with_context(|| log.clone())?.to_owned())
}

/// The examples become live schedules, some of which fire and complete within
/// the minute; both pages are printed; Ctrl-C ends both processes; and what
/// was there is there again.
#[test]
fn the_examples_live_and_ctrl_c_ends_it() {
    almanac_tests::run(async {
        let folder = tempfile::tempdir()?;
        let port = free_port();
        let mut process = dev(folder.path(), port)?;
        let address = ready(&mut process, folder.path(), port).await?;
        let printed = std::fs::read_to_string(folder.path().join("dev.log"))?;
        assert!(
            printed.contains(&format!("export ALMANAC_URL=http://127.0.0.1:{port}\n")),
            "{printed}"
        );
        let ui = printed.lines().find(|line| line.contains("Temporal UI"));
        let ui = ui.and_then(|line| line.split_whitespace().last());
        let ui = reqwest::get(ui.context("the UI's address")?).await?;
        assert_eq!(ui.status(), 200);

        let temporal = Temporal::connect(&address).await?;
        // A list lags behind, so the log says how many there are.
        let ids = wait_for("the schedules to be listed", SOON, || async {
            let log = std::fs::read_to_string(folder.path().join("dev.log"))?;
            let created = log.matches("op=\"create\"").count();
            let ids = temporal.list("schedule-dev-").await?;
            Ok((created > 0 && ids.len() == created).then_some(ids))
        })
        .await?;
        wait_for("a run to complete", 2 * SOON, || async {
            let query = "WorkflowType = 'RunDefinition' AND ExecutionStatus = 'Completed'";
            Ok((temporal.count_workflows(query).await? > 0).then_some(()))
        })
        .await?;

        process.signal("INT")?;
        assert_eq!(process.wait(SOON)?, 0);
        assert!(TcpStream::connect(&address).is_err(), "Temporal still runs");

        let mut again = dev(folder.path(), port)?;
        let address = ready(&mut again, folder.path(), port).await?;
        let temporal = Temporal::connect(&address).await?;
        eventually("the same schedules to be listed", || async {
            Ok(temporal.list("schedule-dev-").await? == ids)
        })
        .await?;
        // Killed outright, it takes its server along too.
        again.kill()?;
        eventually("Temporal to end", || async {
            Ok(TcpStream::connect(&address).is_err())
        })
        .await
    });
}

/// Events go through a NATS server, which keeps its data beside Temporal's and ends with the rest.
#[test]
fn a_nats_server_can_be_started_too() {
    almanac_tests::run(async {
        let folder = tempfile::tempdir()?;
        let definitions = folder.path().join("definitions");
        std::fs::create_dir(&definitions)?;
        std::fs::write(
            definitions.join("takes.yaml"),
            "triggers: [{ event: paid }]\ndo:\n  - a: { set: { got: 1 } }\n",
        )?;
        let port = free_port();
        let server = repository().join(".tools/bin/nats-server");
        let flags = |server: PathBuf| {
            let text = |path: &Path| path.display().to_string();
            let flags = [
                "--nats".to_owned(),
                "--nats-server".to_owned(),
                text(&server),
            ];
            [&flags[..], &["--dir".to_owned(), text(&definitions)]].concat()
        };
        let mut process = dev_with(folder.path(), port, &flags(server))?;
        ready(&mut process, folder.path(), port).await?;
        let http = format!("http://127.0.0.1:{port}");
        eventually("events to arrive", || async {
            let text = reqwest::get(format!("{http}/readyz")).await?.text().await?;
            let readiness: serde_json::Value = serde_json::from_str(&text)?;
            Ok(readiness["events"]["connected"] == true)
        })
        .await?;
        let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"paid"}"#;
        let request = reqwest::Client::new()
            .post(format!("{http}/events"))
            .body(event);
        let request = request.header("content-type", "application/cloudevents+json");
        let answer = request.send().await?.text().await?;
        assert!(answer.contains("nats-EVENTS-1"), "{answer}");
        eventually("the run to start", || async {
            let text = reqwest::get(format!("{http}/api/v1/events"))
                .await?
                .text()
                .await?;
            Ok(text.contains(r#""state":"started""#))
        })
        .await?;
        let log = std::fs::read_to_string(folder.path().join("dev.log"))?;
        let nats = log
            .lines()
            .find_map(|line| line.trim().strip_prefix("NATS "));
        let nats = nats.and_then(|line| line.trim().strip_prefix("nats://"));
        let nats = nats.context("the address of NATS")?.to_owned();
        assert!(TcpStream::connect(&nats).is_ok());
        process.signal("INT")?;
        assert_eq!(process.wait(SOON)?, 0);
        assert!(TcpStream::connect(&nats).is_err(), "NATS still runs");
        assert!(folder.path().join("state/nats").is_dir());

        let mut none = dev_with(folder.path(), port, &flags("/nowhere/nats-server".into()))?;
        assert_eq!(none.wait(SOON)?, 1);
        let log = std::fs::read_to_string(folder.path().join("dev.log"))?;
        assert!(
            log.contains("no NATS server at /nowhere/nats-server"),
            "{log}"
        );
        Ok(())
    });
}

/// The examples are free of mistakes and of warnings.
#[test]
fn the_examples_are_valid() {
    let folder = repository().join("examples/definitions");
    let output =
        almanac_tests::almanac("127.0.0.1:1", ["validate".as_ref(), folder.as_os_str()]).unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!output.stdout.contains("warning"), "{output:?}");
}
