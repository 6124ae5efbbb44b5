//! Manual runs whose steps end badly, with fake workers: nothing is sent twice, and the answer says
//! what is known.

use almanac_core::record::{RunAnswer, RunState};
use almanac_tests::{SOON, json_payloads, wait_for};
use serde_json::json;

use crate::fake_worker::{FakeWorker, Process, StepFate};
use crate::workflow_client::WorkflowClient;

/// Triggers a schedule, and waits for the end of the request.
async fn answer(client: &WorkflowClient) -> anyhow::Result<RunAnswer> {
    let temporal = client.project.temporal();
    let request = json!({ "request_id": "r", "id": "nightly" });
    temporal
        .update_until_taken(&client.id, "trigger", &request)
        .await?;
    wait_for("the manual run to end", SOON, || async {
        let asked = json_payloads(&[json!({ "request_ids": ["r"] })]);
        let runs = temporal.query(&client.id, "runs", asked).await?;
        let answer: RunAnswer = serde_json::from_value(runs["r"].clone())?;
        Ok((answer.state != RunState::Pending).then_some(answer))
    })
    .await
}

/// Runs a trigger whose steps end as `fates` says. Returns the answer, and for each step:
/// whether it had a baseline, and whether the patch was already sent.
async fn after(fates: &[StepFate]) -> anyhow::Result<(RunAnswer, Vec<(bool, bool)>)> {
    let client = WorkflowClient::start(None).await?;
    let fake = FakeWorker::holding("1");
    fake.run_steps(fates.iter().cloned());
    let _workflows = Process::workflows(&client.project, &fake)?;
    let answer = answer(&client).await?;
    let steps = fake.runs();
    let steps = steps.iter().map(|one| (one.before.is_some(), one.sent));
    let steps = steps.collect();
    crate::replay::replays(&client.project, &client.id).await?;
    Ok((answer, steps))
}

const DESCRIBES: (bool, bool) = (false, false);
const SENDS: (bool, bool) = (true, false);
const POLLS: (bool, bool) = (true, true);

#[test]
fn a_request_that_no_worker_takes_sends_nothing() {
    almanac_tests::run(async {
        let client = WorkflowClient::start(None).await?;
        let _workflows = Process::reconcile_workflow(&client.project)?;
        let answer = answer(&client).await?;
        assert_eq!(answer.state, RunState::Failed);
        assert_eq!(
            answer.message,
            "no worker took the request; nothing was sent"
        );
        Ok(())
    });
}

#[test]
fn a_schedule_that_cannot_be_described_gets_no_run() {
    almanac_tests::run(async {
        let (answer, steps) = after(&[StepFate::Fails("no connection")]).await?;
        assert_eq!(answer.state, RunState::Failed);
        assert_eq!(answer.message, "no connection; nothing was sent");
        assert_eq!(steps, [DESCRIBES]);
        Ok(())
    });
}

#[test]
fn a_request_that_may_have_been_sent_is_polled_for_and_not_sent_again() {
    almanac_tests::run(async {
        let found = [
            StepFate::Seen,
            StepFate::Fails("the connection broke"),
            StepFate::Ends(RunState::Started),
        ];
        let (answer, steps) = after(&found).await?;
        assert_eq!(answer.state, RunState::Started);
        assert_eq!(steps, [DESCRIBES, SENDS, POLLS]);
        Ok(())
    });
}

#[test]
fn a_request_that_may_have_been_sent_and_cannot_be_found_is_lost() {
    almanac_tests::run(async {
        let lost = [
            StepFate::Seen,
            StepFate::Fails("the connection broke"),
            StepFate::Fails("no connection"),
        ];
        let (answer, steps) = after(&lost).await?;
        assert_eq!(answer.state, RunState::Lost);
        assert_eq!(
            answer.message,
            "the request may have been sent: no connection"
        );
        assert_eq!(steps, [DESCRIBES, SENDS, POLLS]);
        Ok(())
    });
}
