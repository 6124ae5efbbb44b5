//! Output that cannot be written: it is lost and counted, and nothing else.

use std::path::Path;
use std::process::Command;

use almanac_tests::{
    Project, SOON, Scheduler, Supervised, almanac_binary, cron, eventually, free_port,
    on_one_scheduler,
};
use anyhow::Context;

on_one_scheduler!(workers_whose_output_is_lost_go_on_and_drain);

/// Each runs the command with both standard streams led to nowhere.
const NOWHERE: [(&str, &str); 4] = [
    ("a full disk", r#"exec "$0" "$@" >/dev/full 2>&1"#),
    ("closed streams", r#"exec "$0" "$@" >&- 2>&-"#),
    (
        "a reader that has gone",
        r#"exec 3<>"$PIPE" 4>"$PIPE" 3<&-; exec "$0" "$@" >&4 2>&1 4>&-"#,
    ),
    (
        "a reader that never reads",
        r#"exec 3<>"$PIPE"; exec "$0" "$@" >&3 2>&1"#,
    ),
];

/// From the first line on, whatever it logs: a worker gets ready, makes what its
/// files say, counts what is lost, and ends after a signal.
async fn workers_whose_output_is_lost_go_on_and_drain(on: Scheduler) -> anyhow::Result<()> {
    let mut workers = Vec::new();
    for (what, script) in NOWHERE {
        let project = Project::new(on).await?;
        project.write("one.yaml", &cron("0 1 * * *"))?;
        let port = free_port();
        let process = spawn(&project, script, port)?;
        workers.push((what, project, port, process));
    }
    for (what, project, port, process) in &mut workers {
        let (what, port) = (*what, *port);
        let page = |path: &'static str| get(port, path);
        eventually(&format!("the worker with {what} to be ready"), || async {
            Ok(page("/readyz").await.is_ok_and(|(status, _)| status == 200))
        })
        .await?;
        project.write("two.yaml", &cron("0 2 * * *"))?;
        project.has_just(&["one", "two"]).await?;
        // Closed streams are those of /dev/null to a process: nothing is lost there.
        if what != "closed streams" {
            eventually(&format!("lost lines with {what}"), || async {
                Ok(dropped(&page("/metrics").await?.1)? > 0.0)
            })
            .await?;
        }
        process.signal("TERM")?;
        let code = process.wait(SOON).with_context(|| what.to_owned())?;
        assert_eq!(code, 0, "{what}");
    }
    Ok(())
}

fn spawn(project: &Project, script: &str, port: u16) -> anyhow::Result<Supervised> {
    let pipe = project.folder().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status()?;
    anyhow::ensure!(made.success(), "mkfifo: {made}");
    let listen = format!("127.0.0.1:{port}");
    let (binary, dir) = (
        almanac_binary().display().to_string(),
        project.definitions(),
    );
    let dir = dir.display().to_string();
    let args = [
        "-c",
        script,
        &binary,
        "run",
        "--project",
        project.name(),
        "--listen",
        &listen,
        "--dir",
        &dir,
        "--debounce",
        "50ms",
        "--shutdown-timeout",
        "10s",
        // More than a pipe holds.
        "--log",
        "trace,h2=trace,hyper=trace,temporalio_client=trace",
    ];
    let pipe = pipe.display().to_string();
    let env = [("TEMPORAL_ADDRESS", project.address()), ("PIPE", &pipe)];
    let log = project.folder().join("worker.log");
    Supervised::spawn(Path::new("/bin/sh"), args, &env, &log)
}

async fn get(port: u16, path: &str) -> anyhow::Result<(u16, String)> {
    // The client speaks no TLS, but wants the cryptography chosen.
    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn dropped(page: &str) -> anyhow::Result<f64> {
    let name = "almanac_log_lines_dropped_total ";
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.context("no such metric")?.parse()?)
}

/// Runs a command line of the shell in which `$0` is the binary.
fn shell(script: &str) -> anyhow::Result<std::process::Output> {
    let mut command = Command::new("timeout");
    command
        .args(["60", "bash", "-c", script])
        .arg(almanac_binary());
    Ok(command.output()?)
}

/// A full disk fails a command; a reader that has gone does not.
#[test]
fn commands_whose_output_is_lost_exit_with_an_error() -> anyhow::Result<()> {
    let full = shell(r#""$0" schema >/dev/full"#)?;
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    let stderr = String::from_utf8_lossy(&full.stderr);
    assert!(
        stderr.contains("standard output cannot be written"),
        "{stderr}"
    );
    let both = shell(r#""$0" schema >/dev/full 2>&1"#)?;
    assert_eq!(both.status.code(), Some(1), "{both:?}");
    let closed = shell(r#""$0" man | head -c 1 >/dev/null; echo "${PIPESTATUS[0]}""#)?;
    assert_eq!(String::from_utf8_lossy(&closed.stdout), "0\n", "{closed:?}");
    assert!(closed.stderr.is_empty(), "{closed:?}");
    // Bad usage and failures end as ever, with nothing to say it on.
    for line in [
        "no-such-command",
        "validate /no/such/folder",
        "run --project p --listen x",
    ] {
        for nowhere in ["2>/dev/full", "2>&-", "2> >(:)"] {
            let failed = shell(&format!(r#""$0" {line} {nowhere}"#))?;
            assert_eq!(
                failed.status.code(),
                Some(1),
                "{line} {nowhere}: {failed:?}"
            );
        }
    }
    Ok(())
}
