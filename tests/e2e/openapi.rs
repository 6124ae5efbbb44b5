//! The API's answers match its `OpenAPI` description, by schemathesis: the API
//! accepts the requests that the description allows and refuses the others, and
//! every answer has the described shape.

use std::path::Path;
use std::process::Command;

use almanac_tests::{Project, Scheduler, cron, on_both_schedulers, paused_cron};
use anyhow::{Context, ensure};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

on_both_schedulers!(the_answers_are_as_described);

/// With authority asked for, so that it is checked too.
async fn the_answers_are_as_described(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "job-1.yaml",
        &format!("labels: {{ team: a }}\n{}", cron("0 1 * * *")),
    )?;
    project.write("off.yaml", &paused_cron("0 1 * * *"))?;
    project.write("bad.yaml", "nonsense: 1\n")?;
    let tokens = project.folder().join("tokens");
    std::fs::write(&tokens, format!("{TOKEN} tester\n"))?;
    let mut worker = project
        .worker()
        .flag("--auth", "token")
        .flag("--auth-token-file", tokens.to_str().context("a path")?)
        .spawn()?;
    worker.ready().await?;
    let output = schemathesis(&worker.address(), project.folder())?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

fn schemathesis(address: &str, folder: &Path) -> anyhow::Result<std::process::Output> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = root.join(".tools/bin/schemathesis");
    ensure!(
        program.exists(),
        "no {}: run `make tools`",
        program.display()
    );
    Command::new(&program)
        .arg("--config-file")
        .arg(root.join("tests/schemathesis.toml"))
        .args(["run", &format!("http://{address}/api/v1/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", "all", "--seed", "1", "--no-color"])
        // GET of `/events` is a page for people, and pages are not described. A test of the router
        // asks for each method of each path.
        .args([
            "--exclude-checks",
            "allow_header_conformance,unsupported_method",
        ])
        .current_dir(folder)
        .output()
        .with_context(|| program.display().to_string())
}
