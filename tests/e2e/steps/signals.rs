//! Commands of steps when the process that began them gets a signal to end.

use almanac_tests::{
    SOON, Scheduler, Supervised, almanac_binary, eventually, on_both_schedulers, python_program,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use super::{Project, start};

on_both_schedulers!(a_worker_that_gets_two_signals_leaves_no_command,);

/// A command that ignores being asked to end, as does its child; both write
/// their ids.
fn stubborn(folder: &Path, wait: bool) -> String {
    let text = format!(
        r#"trap "" TERM; echo $$ >> {p}; sh -c 'trap "" TERM; echo $$ >> {p}; while :; do sleep 1; done' & while :; do sleep 1; done"#,
        p = pids(folder).display()
    );
    let arguments = json!(["-c", text]);
    format!(
        "id: stubborn\ndo:\n  - hold: {{ run: {{ shell: {{ command: sh, arguments: {arguments} }}, await: {wait} }} }}\n"
    )
}

fn pids(folder: &Path) -> PathBuf {
    folder.join("pids")
}

/// Waits until both processes of a stubborn command are there.
async fn both_run(folder: &Path) -> anyhow::Result<Vec<String>> {
    eventually("the command to run", || async {
        let ids = std::fs::read_to_string(pids(folder)).unwrap_or_default();
        Ok(ids.lines().count() == 2)
    })
    .await?;
    let ids = std::fs::read_to_string(pids(folder))?;
    Ok(ids.lines().map(str::to_owned).collect())
}

async fn none_runs(ids: &[String]) -> anyhow::Result<()> {
    eventually("the command to be gone", || async {
        let runs = |id: &String| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        Ok(!ids.iter().any(runs))
    })
    .await
}

/// Once or twice, by whatever signal: no command is left.
#[test]
fn exec_that_gets_signals_to_end_leaves_no_command() {
    almanac_tests::run(async {
        for (signals, wait) in [
            (&["HUP"][..], true),
            (&["TERM"], true),
            (&["INT"], true),
            (&["INT", "INT"], true),
            (&["TERM", "TERM"], true),
            (&["TERM"], false),
            (&["HUP", "HUP"], false),
        ] {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("steps.yaml");
            std::fs::write(&file, stubborn(folder.path(), wait))?;
            let file = file.display().to_string();
            let log = folder.path().join("log");
            let mut exec = exec(&file, "SIG_DFL", &log)?;
            let ids = both_run(folder.path()).await?;
            for signal in signals {
                exec.signal(signal)?;
            }
            assert_eq!(exec.wait(SOON)?, 1, "{signals:?}");
            none_runs(&ids).await?;
            let output = std::fs::read_to_string(&log)?;
            assert!(
                output.contains(&format!("ended by SIG{}", signals[0])),
                "{output}"
            );
        }
        Ok(())
    });
}

/// `nohup` starts programs with SIGHUP ignored.
#[test]
fn exec_started_with_sighup_ignored_survives_sighup() {
    almanac_tests::run(async {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("steps.yaml");
        std::fs::write(&file, stubborn(folder.path(), true))?;
        let log = folder.path().join("log");
        let mut exec = exec(&file.display().to_string(), "SIG_IGN", &log)?;
        let ids = both_run(folder.path()).await?;
        exec.signal("HUP")?;
        exec.signal("TERM")?;
        assert_eq!(exec.wait(SOON)?, 1);
        none_runs(&ids).await?;
        let output = std::fs::read_to_string(&log)?;
        assert!(output.contains("ended by SIGTERM"), "{output}");
        Ok(())
    });
}

/// Begins with hangups heard or ignored, however this process began.
fn exec(file: &str, hangups: &str, log: &Path) -> anyhow::Result<Supervised> {
    let begin = format!(
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.{hangups}); os.execv(sys.argv[1], sys.argv[1:])"
    );
    let binary = almanac_binary().display().to_string();
    let args = [
        "-c",
        &begin,
        &binary,
        "exec",
        file,
        "--shell-allow",
        "sh=/bin/sh",
    ];
    Supervised::spawn(Path::new(&python_program()?), args, &[], log)
}

/// As on a worker, a command that no step waits for goes on.
#[test]
fn exec_waits_for_the_commands_that_no_step_waits_for() {
    almanac_tests::run(async {
        let folder = tempfile::tempdir()?;
        let (may_end, done) = (folder.path().join("may-end"), folder.path().join("done"));
        let script = format!(
            "until [ -e {} ]; do sleep 0.1; done; echo done > {}",
            may_end.display(),
            done.display()
        );
        let arguments = json!(["-c", script]);
        let file = folder.path().join("steps.yaml");
        std::fs::write(
            &file,
            format!(
                "do:\n  - begin: {{ run: {{ shell: {{ command: sh, arguments: {arguments} }}, await: false }} }}\n"
            ),
        )?;
        let log = folder.path().join("log");
        let mut exec = exec(&file.display().to_string(), "SIG_DFL", &log)?;
        eventually("it to wait for the command", || async {
            let output = std::fs::read_to_string(&log)?;
            Ok(output.contains("awaits     1 command"))
        })
        .await?;
        assert!(exec.is_running()? && !done.exists());
        std::fs::write(&may_end, "")?;
        assert_eq!(exec.wait(SOON)?, 0);
        assert_eq!(std::fs::read_to_string(&done)?, "done\n");
        let output = std::fs::read_to_string(&log)?;
        assert!(output.lines().any(|line| line == "null"), "{output}");
        Ok(())
    });
}

/// systemd and people may send two signals.
async fn a_worker_that_gets_two_signals_leaves_no_command(on: Scheduler) -> anyhow::Result<()> {
    for wait in [true, false] {
        let project = Project::new(on).await?;
        project.write("stubborn.yaml", &stubborn(project.folder(), wait))?;
        let mut worker = project
            .worker()
            .flag("--shell-allow", "sh=/bin/sh")
            .start()
            .await?;
        start(&project, "stubborn", Value::Null).await?;
        let ids = both_run(project.folder()).await?;
        worker.process().signal("TERM")?;
        worker.process().signal("TERM")?;
        worker.process().wait(SOON)?;
        none_runs(&ids).await?;
    }
    Ok(())
}
