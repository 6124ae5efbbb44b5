//! A command that the server would refuse is a step's error, and never a workflow
//! task that fails again and again.

use almanac_tests::{Project, Scheduler, on_both_schedulers};
use serde_json::{Value, json};

use super::{failure, output, problem, start};
use crate::run_definition::run;

on_both_schedulers!(
    a_command_that_the_server_refuses_blocks_no_run,
    a_manual_run_that_cannot_begin_fails_with_the_reason,
);

const CALL: &str = "
do:
  - guarded:
      try:
        - call:
            call: activity
            with: { name: '${ .name }', task_queue: '${ .queue }', arguments: '${ [range(.count)] }' }
      catch: { do: [{ say: { set: { said: '${ $error.detail }' } } }] }
";

/// A run of itself, whose id is its parent's and more.
const NEST: &str = "
do:
  - enough: { if: .n == 0, set: { n: 0 }, then: end }
  - inner:
      run: { workflow: { namespace: default, name: RunDefinition, version: '1', input: { definition: nest, input: { n: '${ .n - 1 }' } } } }
";

async fn a_command_that_the_server_refuses_blocks_no_run(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("call.yaml", CALL)?;
    project.write("nest.yaml", NEST)?;
    let _worker = project.worker().start().await?;
    let long = "q".repeat(1001);
    for (name, queue, count, message) in [
        (long.as_str(), "q", 0, "`name` must have at most 1000 bytes"),
        ("A", long.as_str(), 0, "`task_queue` must have at most 1000"),
        ("A", "/_sys/q", 0, "`task_queue` is reserved by the server"),
        ("A", "q", 80_000, "the input of the call has"),
    ] {
        let input = json!({ "name": name, "queue": queue, "count": count });
        let id = start(&project, "call", input).await?;
        let result = output(&project, &id).await?;
        assert!(result["said"].to_string().contains(message), "{result}");
    }
    // Steps that are wrong in very many places.
    let key = "k".repeat(50_000);
    let steps: Vec<Value> = (0..20)
        .map(|n| json!({ format!("t{n}"): { &key: 1 } }))
        .collect();
    let id = format!("{}/wrong", project.name());
    let input = json!({ "definition": { "id": "wrong", "revision": "r", "do": steps } });
    run(&project, &id, &input).await?;
    let message = failure(&project, &id).await?.message;
    assert!(message.len() < 10_000, "{}", message.len());
    // Ids that would grow beyond what the server takes.
    let id = format!("{}/{}", project.name(), "n".repeat(900));
    let input = json!({ "definition": "nest", "input": { "n": 3 } });
    run(&project, &id, &input).await?;
    assert_eq!(output(&project, &id).await?, json!({ "n": 0 }));
    Ok(())
}

/// The failure has a type and the error, as that of any run.
async fn a_manual_run_that_cannot_begin_fails_with_the_reason(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("call.yaml", CALL)?;
    project.write(
        "other.yaml",
        "workflow: { type: Invoices, task_queue: billing }\n",
    )?;
    let _worker = project.worker().start().await?;
    for (name, input, kind, detail) in [
        (
            "none",
            json!({ "definition": "none" }),
            "configuration",
            "there is no definition `none`",
        ),
        (
            "other",
            json!({ "definition": "other" }),
            "configuration",
            "definition `other` has no steps: it starts a workflow",
        ),
        (
            "key",
            json!({ "definition": "call", "inputs": {} }),
            "validation",
            "`inputs` is not a key of the input (did you mean `input`?)",
        ),
    ] {
        let id = format!("{}/{name}", project.name());
        run(&project, &id, &input).await?;
        let ended = failure(&project, &id).await?;
        assert!(ended.message.contains(detail), "{ended:?}");
        let (type_name, error) = problem(ended)?;
        assert_eq!(error["type"], type_name);
        assert!(type_name.ends_with(&format!("/errors/{kind}")), "{error}");
        assert_eq!(error["detail"], detail);
    }
    // What cannot be triggered says how it is run.
    let triggered = project.almanac(&["trigger", "call"])?;
    let command = format!(
        "--type RunDefinition --task-queue almanac-{} --input '{{\"definition\":\"call\"}}'",
        project.name()
    );
    assert!(triggered.stderr.contains(&command), "{triggered:?}");
    Ok(())
}
