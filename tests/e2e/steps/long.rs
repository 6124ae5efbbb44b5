//! Runs that are long: they continue as new, and go on there.

use almanac_tests::{
    OwnServer, Project, SOON, Scheduler, on_one_scheduler, temporal_cli, wait_for,
};
use serde_json::{Value, json};

use super::{failure, output, problem, start};
use crate::replay::{history, replays};

on_one_scheduler!(
    a_long_loop_continues_as_new,
    a_worker_killed_late_in_a_long_history_loses_nothing,
    a_run_that_computes_without_an_end_delays_no_other,
    heavy_expressions_keep_to_limits_too,
);

/// A loop of many timers, each of `rounds` with 90 of them.
fn waits(rounds: u32) -> String {
    let branches: Vec<String> = (0..90)
        .map(|n| format!("              - b{n}: {{ wait: {{ milliseconds: 1 }} }}\n"))
        .collect();
    let branches = branches.concat();
    format!(
        "
timeout: {{ after: {{ hours: 1 }} }}
do:
  - each:
      for: {{ in: '${{ [range({rounds})] }}' }}
      do:
        - rest:
            fork:
              branches:
{branches}
            output: {{ as: '.[0]' }}
        - add: {{ set: {{ n: '${{ .n + $item }}', id: '${{ $workflow.id }}', same: '${{ .id == null or .id == $workflow.id }}' }} }}
      output: {{ as: '{{ n, same }}' }}
"
    )
}

/// The test servers suggest it after 400 events, not 4096.
async fn a_long_loop_continues_as_new(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("waits.yaml", &waits(5))?;
    project.write(
        "counts.yaml",
        "
do:
  - add: { set: { n: '${ .n + 1 }' } }
  - enough: { switch: [{ no: { when: .n < 15000, then: add } }] }
",
    )?;
    let _worker = project.worker().start().await?;
    let waits = start(&project, "waits", json!({ "n": 0 })).await?;
    let counts = start(&project, "counts", json!({ "n": 0 })).await?;
    assert_eq!(output(&project, &counts).await?, json!({ "n": 15000 }));
    // After fifty turns, of much fewer events than the server suggests it after.
    let parts = replays(&project, &counts).await?;
    anyhow::ensure!(parts > 1, "a computation has continued as new");
    let wanted = json!({ "n": 10, "same": true });
    assert_eq!(output(&project, &waits).await?, wanted);
    let parts = replays(&project, &waits).await?;
    anyhow::ensure!(parts > 1, "it has continued as new");
    // And is still known as a run of this definition.
    let args = [
        "workflow",
        "describe",
        "--output",
        "json",
        "--workflow-id",
        &waits,
    ];
    let described: Value = serde_json::from_str(&temporal_cli(project.address(), args)?)?;
    let memo = &described["workflowExecutionInfo"]["memo"];
    anyhow::ensure!(memo.to_string().contains("almanac"), "{described}");
    Ok(())
}

/// With the server's own suggestion, after 4096 events.
async fn a_worker_killed_late_in_a_long_history_loses_nothing(on: Scheduler) -> anyhow::Result<()> {
    const LATE: i64 = 3000;
    const SUGGESTED: usize = 4096;
    let server = OwnServer::as_it_comes(on)?;
    let project = Project::at(&server.address()).await?;
    // Each of these rounds has more than 180 events.
    project.write("waits.yaml", &waits(30))?;
    let mut worker = project.worker().start().await?;
    let id = start(&project, "waits", json!({ "n": 0 })).await?;
    let (first, _) = project.temporal().run_of(&id).await?;
    wait_for("a long history", 3 * SOON, || async {
        let (_, events) = project.temporal().run_of(&id).await?;
        Ok((events > LATE).then_some(()))
    })
    .await?;
    worker.kill()?;
    let (run, _) = project.temporal().run_of(&id).await?;
    anyhow::ensure!(run == first, "it was killed before it continued as new");
    worker.restart().await?;
    let wanted = json!({ "n": 435, "same": true });
    assert_eq!(output(&project, &id).await?, wanted);
    assert_eq!(replays(&project, &id).await?, 2);
    let events = history(&project, &id, &first).await?.events.len();
    assert!(events > SUGGESTED, "{events}");
    Ok(())
}

/// Limits pass, and other branches end, beside a loop that never waits.
async fn a_run_that_computes_without_an_end_delays_no_other(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let again = "do: [{ again: { set: { x: 1 }, then: again } }]";
    project.write(
        "limited.yaml",
        &format!("do:\n  - spin: {{ timeout: {{ after: PT2S }}, {again} }}\n"),
    )?;
    project.write(
        "whole.yaml",
        &format!("timeout: {{ after: PT2S }}\ndo:\n  - spin: {{ {again} }}\n"),
    )?;
    project.write(
        "race.yaml",
        &format!(
            "do:\n  - race:\n      fork:\n        compete: true\n        branches:\n          - spin: {{ {again} }}\n          - rest: {{ wait: PT2S }}\n"
        ),
    )?;
    let _worker = project.worker().start().await?;
    let limited = start(&project, "limited", json!({ "n": 1 })).await?;
    let whole = start(&project, "whole", json!({ "n": 1 })).await?;
    let race = start(&project, "race", json!({ "n": 1 })).await?;
    let (kind, error) = problem(failure(&project, &limited).await?)?;
    assert!(kind.ends_with("/errors/timeout"), "{error}");
    assert_eq!(error["instance"], "/do/0/spin");
    let (kind, error) = problem(failure(&project, &whole).await?)?;
    assert!(kind.ends_with("/errors/timeout"), "{error}");
    assert_eq!(output(&project, &race).await?, json!({ "n": 1 }));
    Ok(())
}

/// Each turn of these runs takes long, and so does each replay.
async fn heavy_expressions_keep_to_limits_too(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let heavy = "[range(9000)] | map(. * 2) | map(tostring) | map(length) | add";
    let write = |seconds: u32| {
        project.write(
            "heavy.yaml",
            &format!(
                "do:\n  - spin: {{ timeout: {{ after: PT{seconds}S }}, do: [{{ again: {{ set: {{ x: '${{ {heavy} }}' }}, then: again }} }}] }}\n"
            ),
        )
    };
    let mut seconds = 2;
    write(seconds)?;
    let mut worker = project.worker().start().await?;
    let id = loop {
        let id = start(&project, "heavy", json!({})).await?;
        let (first, _) = project.temporal().run_of(&id).await?;
        let has_ended = format!("WorkflowId = '{id}' AND ExecutionStatus = 'Failed'");
        let goes_on = wait_for("a part of it", SOON, || async {
            let (run, _) = project.temporal().run_of(&id).await?;
            let ended = project.temporal().count_workflows(&has_ended).await?;
            Ok((run != first || ended > 0).then_some(run != first))
        })
        .await?;
        if goes_on {
            break id;
        }
        // On a slow machine the limit is over before the first part is.
        anyhow::ensure!(seconds < 60, "the machine is too slow");
        seconds *= 4;
        write(seconds)?;
        worker.sync().await?;
    };
    worker.kill()?;
    worker.restart().await?;
    let (kind, error) = problem(failure(&project, &id).await?)?;
    assert!(kind.ends_with("/errors/timeout"), "{error}");
    Ok(())
}
