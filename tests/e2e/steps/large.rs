//! Runs with large data: each payload is within the server's limit, but all of them
//! together exceed the limit of a message.

use almanac_tests::{Project, Scheduler, on_one_scheduler};
use serde_json::{Value, json};

use super::calls::python;
use super::{UNTIL_GO, at, failure, go, output, problem, start};
use crate::replay::replays;

on_one_scheduler!(results_that_are_too_large_together_do_not_block_a_run);

/// A result of nearly one and a half megabytes.
const RESULT: &str =
    "call: activity, with: { name: Large, task_queue: QUEUE, arguments: [1400000, ''] }";
/// A call that sends as much, out of the run's context.
const SENDS: &str =
    "call: activity, with: { name: Large, task_queue: QUEUE, arguments: [1, '${ $context }'] }";

fn branches(count: u32, task: &str) -> String {
    let branches: Vec<String> = (0..count)
        .map(|n| format!("{{ b{n}: {{ {task} }} }}"))
        .collect();
    format!("fork: {{ branches: [{}] }}", branches.join(", "))
}

/// Eight results at once, of which three stay in the run's data while it waits.
fn together() -> String {
    format!(
        "
do:
  - all: {{ {}, output: {{ as: '[.[0], .[1], .[2]]' }} }}
  - rest: {{ {UNTIL_GO} }}
  - each: {{ set: {{ bytes: '${{ map(length) | add }}' }} }}
",
        branches(8, RESULT)
    )
}

/// Twenty results, one after the other.
fn in_turn() -> String {
    format!(
        "
do:
  - each:
      for: {{ in: '${{ [range(20)] }}' }}
      do:
        - call: {{ {RESULT} }}
        - count: {{ set: {{ bytes: '${{ length }}', calls: '${{ $item + 1 }}' }} }}
"
    )
}

/// Two calls at once that a message takes, and three that it does not.
fn sends() -> String {
    format!(
        "
do:
  - get: {{ {RESULT}, export: {{ as: . }} }}
  - two: {{ {} }}
  - guarded:
      try: [{{ three: {{ {} }} }}]
      catch: {{ do: [{{ say: {{ set: {{ two: '${{ . }}', three: '${{ $error.detail }}' }} }} }}] }}
",
        branches(2, SENDS),
        branches(3, SENDS),
    )
}

async fn results_that_are_too_large_together_do_not_block_a_run(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let queue = format!("python-{}", project.name());
    let whole = format!("do:\n  - all: {{ {} }}\n", branches(2, RESULT));
    for (file, text) in [
        ("together.yaml", together()),
        ("in-turn.yaml", in_turn()),
        ("sends.yaml", sends()),
        ("whole.yaml", whole),
    ] {
        project.write(file, &text.replace("QUEUE", &queue))?;
    }
    let _python = python(&project, &queue)?;
    let mut worker = project.worker().start().await?;
    let together = start(&project, "together", Value::Null).await?;
    at(&project, &together, "do/1/rest").await?;
    // Eleven megabytes of results are replayed.
    worker.kill()?;
    worker.restart().await?;
    go(&project, &together).await?;
    assert_eq!(
        output(&project, &together).await?,
        json!({ "bytes": 4_200_000 })
    );

    let in_turn = start(&project, "in-turn", Value::Null).await?;
    assert_eq!(
        output(&project, &in_turn).await?,
        json!({ "bytes": 1_400_000, "calls": 20 })
    );
    let parts = replays(&project, &in_turn).await?;
    assert!(parts > 1, "28 megabytes are no history of one run");

    let sends = start(&project, "sends", Value::Null).await?;
    let result = output(&project, &sends).await?;
    assert_eq!(result["two"], json!(["x", "x"]));
    let refused = result["three"].to_string();
    assert!(
        refused.contains("the inputs of calls that begin at once have"),
        "{refused}"
    );

    // The run's own output is one payload.
    let whole = start(&project, "whole", Value::Null).await?;
    let (kind, error) = problem(failure(&project, &whole).await?)?;
    assert!(kind.ends_with("/errors/runtime"), "{error}");
    Ok(())
}
