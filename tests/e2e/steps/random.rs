//! Steps at random, on a real server, by a worker that keeps no run in memory:
//! each task of the workflow replays all that was before, and a run that
//! diverges never ends.

#![expect(dead_code, reason = "the macro makes constants that nobody needs")]
#![expect(clippy::unused_async, reason = "the macro wants async functions")]

#[path = "../../../crates/steps/src/machine/tests/programs.rs"]
mod programs;

use almanac_tests::{Project, Scheduler, json_payloads};
use anyhow::Context;
use futures::future::try_join_all;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use temporalio_common::error::ApplicationFailure;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use self::programs::{list, task};
use super::end;
use crate::fake_worker::{FakeWorker, Process};
use crate::run_definition::run;

/// Number of runs.
const RUNS: usize = 60;

/// Fails now and then, by its argument.
struct Flaky;

#[activities]
impl Flaky {
    #[activity(name = "A")]
    async fn a(_ctx: ActivityContext, n: u64) -> Result<Value, ActivityError> {
        if n.is_multiple_of(3) {
            return Err(ApplicationFailure::new("refused").into());
        }
        Ok(json!({ "n": n + 1, "called": true }))
    }

    #[activity(name = "almanac_emit")]
    async fn emit(_ctx: ActivityContext, _event: Value) -> Result<Value, ActivityError> {
        Ok(Value::Null)
    }
}

/// The steps for a server of real time: a second is some milliseconds, and the
/// activity is on the run's own queue.
fn hurried(mut steps: Value, queue: &str) -> Value {
    fn walk(value: &mut Value, queue: &str) {
        match value {
            Value::Object(map) => {
                if let Some(seconds) = map.remove("seconds").and_then(|n| n.as_u64()) {
                    map.insert("milliseconds".to_owned(), json!(1 + seconds * 30));
                }
                if let Some(named) = map.get_mut("task_queue") {
                    *named = json!(queue);
                }
                map.values_mut().for_each(|value| walk(value, queue));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| walk(value, queue)),
            Value::String(text) => {
                let seconds = text
                    .strip_prefix("PT")
                    .and_then(|text| text.strip_suffix('S'));
                if let Some(seconds) = seconds.and_then(|n| n.parse::<u64>().ok()) {
                    *text = format!("PT0.{:03}S", 1 + seconds * 30);
                }
            }
            _ => {}
        }
    }
    walk(&mut steps, queue);
    steps
}

#[test]
fn no_replay_of_random_steps_diverges() {
    almanac_tests::run(async {
        let project = Project::new(Scheduler::V1).await?;
        let fake = FakeWorker::holding("1");
        let _process = Process::forgetful(&project, &fake, |options| {
            options.register_activities(Flaky);
        })?;
        let queue = format!("almanac-{}", project.name());
        // The same ones in each test, racy ones among them.
        let mut runner = TestRunner::deterministic();
        let programs = list(task(true));
        let mut runs = Vec::new();
        for number in 0..RUNS {
            let tree = programs.new_tree(&mut runner).map_err(anyhow::Error::msg)?;
            let steps = hurried(tree.current(), &queue);
            let definition = json!({ "id": "random", "revision": "r", "do": steps });
            let id = format!("{}/random/{number}", project.name());
            let input = json!({ "definition": definition, "input": { "n": 1 } });
            run(&project, &id, &input).await?;
            // At any time: some listen by then, some later, and some never.
            for number in 0..3 {
                let event = json!({ "specversion": "1.0", "id": "e", "source": "/tests", "type": "t", "data": number });
                let signal = project
                    .temporal()
                    .signal(&id, "event", json_payloads(&[event]));
                // It may have ended.
                let _sent = signal.await;
            }
            runs.push((id, steps));
        }
        let ends = runs.iter().map(async |(id, steps)| {
            let end = end(&project, id).await.with_context(|| steps.to_string())?;
            let completed = match end {
                Attributes::WorkflowExecutionCompletedEventAttributes(_) => true,
                Attributes::WorkflowExecutionFailedEventAttributes(_) => false,
                other => anyhow::bail!("{id} ended with {other:?}: {steps}"),
            };
            Ok(completed)
        });
        let completed: Vec<bool> = try_join_all(ends).await?;
        let count = completed.iter().filter(|completed| **completed).count();
        anyhow::ensure!(count > 5 && count < RUNS, "{count} of {RUNS} completed");
        Ok(())
    });
}
