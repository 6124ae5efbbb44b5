//! What was done in time counts, though it is learned late.

use almanac_tests::{Project, Scheduler, eventually, on_one_scheduler};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use super::{at, output, start};
use crate::replay::history;

on_one_scheduler!(what_ended_first_counts_though_all_is_learned_at_once);

const RACE: &str = "
do:
  - race:
      fork:
        compete: true
        branches:
          - slow: { wait: { seconds: 9 }, output: { as: '{ first: \"slow\" }' } }
          - fast: { wait: { seconds: 6 }, output: { as: '{ first: \"fast\" }' } }
";

const LIMIT: &str = "
do:
  - kept: { timeout: { after: { seconds: 9 } }, wait: { seconds: 6 } }
";

/// The worker is away while both timers end: the history says which was first.
async fn what_ended_first_counts_though_all_is_learned_at_once(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("race.yaml", RACE)?;
    project.write("limit.yaml", LIMIT)?;
    let mut worker = project.worker().start().await?;
    let race = start(&project, "race", Value::Null).await?;
    let limit = start(&project, "limit", json!({ "n": 1 })).await?;
    at(&project, &race, "do/0/race").await?;
    at(&project, &limit, "do/0/kept").await?;
    worker.kill()?;
    for id in [&race, &limit] {
        let (run, _) = project.temporal().run_of(id).await?;
        eventually("both timers to end", || async {
            let told = history(&project, id, &run).await?;
            let ended = told.events.iter().filter(|event| {
                matches!(
                    event.attributes,
                    Some(Attributes::TimerFiredEventAttributes(_))
                )
            });
            Ok(ended.count() == 2)
        })
        .await?;
    }
    worker.restart().await?;
    assert_eq!(output(&project, &race).await?, json!({ "first": "fast" }));
    assert_eq!(output(&project, &limit).await?, json!({ "n": 1 }));
    Ok(())
}
