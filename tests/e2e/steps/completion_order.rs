//! A call that was done in time counts, also if the run learns of it late.

use almanac_tests::{Project, Scheduler, eventually, on_one_scheduler};
use serde_json::{Value, json};

use super::{output, start, timers};

on_one_scheduler!(the_effect_that_ended_first_counts_also_after_an_absence_of_the_worker);

const RACE: &str = "
do:
  - race:
      fork:
        compete: true
        branches:
          - slow: { wait: { seconds: SLOW }, output: { as: '{ first: \"slow\" }' } }
          - fast: { wait: { seconds: FAST }, output: { as: '{ first: \"fast\" }' } }
";

const LIMIT: &str = "
do:
  - kept: { timeout: { after: { seconds: SLOW } }, wait: { seconds: FAST } }
";

/// The worker is away while both timers end: the history says which was first.
async fn the_effect_that_ended_first_counts_also_after_an_absence_of_the_worker(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let write = |file: &str, text: &str, fast: u32| {
        let text = text.replace("FAST", &fast.to_string());
        project.write(file, &text.replace("SLOW", &(fast + 1).to_string()))
    };
    write("race.yaml", RACE, 3)?;
    write("limit.yaml", LIMIT, 3)?;
    let mut worker = project.worker().start().await?;
    let mut fast = 3;
    let (race, limit) = loop {
        let race = start(&project, "race", Value::Null).await?;
        let limit = start(&project, "limit", json!({ "n": 1 })).await?;
        timers(&project, &race, 2).await?;
        timers(&project, &limit, 2).await?;
        worker.kill()?;
        if timers(&project, &race, 2).await? + timers(&project, &limit, 2).await? == 0 {
            break (race, limit);
        }
        // On a slow machine timers end before the worker is killed.
        anyhow::ensure!(fast < 60, "the machine is too slow");
        fast *= 4;
        write("race.yaml", RACE, fast)?;
        write("limit.yaml", LIMIT, fast)?;
        worker.restart().await?;
    };
    for id in [&race, &limit] {
        eventually("both timers to end", || async {
            Ok(timers(&project, id, 2).await? == 2)
        })
        .await?;
    }
    worker.restart().await?;
    assert_eq!(output(&project, &race).await?, json!({ "first": "fast" }));
    assert_eq!(output(&project, &limit).await?, json!({ "n": 1 }));
    Ok(())
}
