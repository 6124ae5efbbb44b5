//! Steps that no registry of the project wrote, and commands bound to definitions.

use almanac_tests::{Project, SOON, Scheduler, almanac, eventually, on_both_schedulers};
use serde_json::{Value, json};

use super::{failure, output, problem, run, start};

on_both_schedulers!(with_a_key_only_steps_of_a_registry_call_anything);

const STEPS: &str = "
schedule: { every: 1h, enabled: false }
do:
  - say: { run: { shell: { command: echo, arguments: [hello] } } }
";

/// A run by the schedule has the signed steps, one by name is pinned and signed
/// by a worker; steps that somebody else pins call nothing. A schedule that was
/// written before there was a key is signed by itself.
async fn with_a_key_only_steps_of_a_registry_call_anything(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("bound.yaml", STEPS)?;
    project.write("other.yaml", STEPS)?;
    let key = project.folder().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef")?;
    let command = || {
        project
            .worker()
            .flag("--shell-allow", "echo=/bin/echo@bound")
            .flag("--resync-interval", "1s")
            .flag("--reconcile-interval", "1s")
    };
    let mut worker = command().start().await?;
    project.has_just(&["bound", "other"]).await?;
    let id = start(&project, "bound", Value::Null).await?;
    assert_eq!(output(&project, &id).await?, "hello\n");
    // Bound to another definition, also where the run names the right one only
    // in what it carries.
    let id = start(&project, "other", Value::Null).await?;
    let (kind, error) = problem(failure(&project, &id).await?)?;
    assert!(kind.ends_with("/errors/authorization"), "{error}");
    let unsigned = project.temporal().live(&project.schedule("bound")).await?;
    let pinned = unsigned.args()[0]["definition"].clone();
    assert_eq!(pinned["signature"], Value::Null);
    worker.terminate(SOON)?;

    let key = format!("file:{}", key.display());
    let _worker = command().flag("--steps-key", &key).start().await?;
    let signed = || async {
        let live = project.temporal().live(&project.schedule("bound")).await?;
        Ok(live.args()[0]["definition"].clone())
    };
    eventually("the schedule's steps to be signed", || async {
        let definition: anyhow::Result<Value> = signed().await;
        Ok(definition?["signature"].is_string())
    })
    .await?;
    let good = signed().await?;
    let forged = json!({
        "id": "bound", "revision": good["revision"], "signature": good["signature"],
        "do": [{ "say": { "run": { "shell": { "command": "echo", "arguments": ["forged"] } } } }],
    });
    for (number, definition) in [pinned, forged].into_iter().enumerate() {
        let id = format!("{}/forged/{number}", project.name());
        run(&project, &id, &json!({ "definition": definition })).await?;
        let (kind, error) = problem(failure(&project, &id).await?)?;
        assert!(kind.ends_with("/errors/authorization"), "{error}");
        assert!(error["detail"].to_string().contains("signature"), "{error}");
    }
    let id = format!("{}/signed", project.name());
    run(&project, &id, &json!({ "definition": good })).await?;
    assert_eq!(output(&project, &id).await?, "hello\n");
    let id = start(&project, "bound", Value::Null).await?;
    assert_eq!(output(&project, &id).await?, "hello\n");
    // A slow server may not show the run in time.
    let output = project.almanac(&["trigger", "bound", "--reason", "test"])?;
    assert!(
        output.code == 0 || output.stdout.contains("lost"),
        "{output:?}"
    );
    eventually("the run to start", || async {
        let live = project.temporal().live(&project.schedule("bound")).await?;
        Ok(live.runs() == 1)
    })
    .await?;
    almanac(
        project.address(),
        ["validate", project.definitions().to_str().unwrap()],
    )?
    .success()?;
    Ok(())
}
