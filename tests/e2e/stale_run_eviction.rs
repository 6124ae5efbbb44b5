//! Queries that come while the server does not know who has the workflow in
//! memory leave a history that replays.

use std::time::Duration;

use almanac_tests::{Project, Scheduler, json_payloads, on_both_schedulers, with_schedule};
use futures::StreamExt;
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::ResetStickyTaskQueueRequest;

on_both_schedulers!(queries_leave_a_history_that_replays,);

const DEFINITIONS: usize = 10;
const REQUESTS: usize = 150;

/// Overrides and manual runs, five at a time; how many were taken.
async fn requests(project: &Project) -> usize {
    let workflow = project.reconcile_workflow();
    let sent = futures::stream::iter(0..REQUESTS).map(|n| {
        let id = format!("job-{}", n % DEFINITIONS);
        let name = format!("request-{n}");
        let (update, request) = if n % 2 == 0 {
            (
                "trigger",
                json!({ "request_id": name, "id": id, "reason": "x" }),
            )
        } else {
            let cron = format!("{} 3 1 1 *", n % 60);
            (
                "override",
                json!({ "request_id": name, "id": id, "cron": [cron], "reason": "x" }),
            )
        };
        let workflow = &workflow;
        async move {
            let payloads = json_payloads(&[request]);
            let temporal = project.temporal();
            let asked = temporal.update_workflow(workflow, update, payloads);
            let taken = tokio::time::timeout(Duration::from_secs(20), asked).await;
            usize::from(matches!(taken, Ok(Ok(_))))
        }
    });
    sent.buffer_unordered(5)
        .fold(0, |sum, one| async move { sum + one })
        .await
}

/// Queries without end; most are refused, for the server keeps few of them waiting.
async fn queries(project: &Project) {
    let workflow = project.reconcile_workflow();
    loop {
        let _refused = project.temporal().query(&workflow, "status", None).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The server forgets again and again who has the workflow in memory, as it does
/// where a worker was too busy for a few seconds.
async fn forget(project: &Project) {
    let mut service = project.temporal().service();
    loop {
        let request = ResetStickyTaskQueueRequest {
            namespace: "default".to_owned(),
            execution: Some(WorkflowExecution {
                workflow_id: project.reconcile_workflow(),
                run_id: String::new(),
            }),
        };
        let request = tonic::Request::new(request);
        let _not_found = service.reset_sticky_task_queue(request).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn queries_leave_a_history_that_replays(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for number in 0..DEFINITIONS {
        let schedule = "  cron: '0 1 1 1 *'\n  overlap_policy: allow_all\n";
        project.write(&format!("job-{number}.yaml"), &with_schedule(schedule))?;
    }
    let worker = project.worker().start().await?;
    let asking = futures::future::join_all((0..8).map(|_| queries(&project)));
    let taken = tokio::select! {
        taken = requests(&project) => taken,
        _ = asking => unreachable!("it has no end"),
        () = forget(&project) => unreachable!("it has no end"),
    };
    anyhow::ensure!(taken > REQUESTS / 3, "{taken} requests were taken");
    worker.sync().await?;
    crate::replay::replays(&project, &project.reconcile_workflow()).await?;
    Ok(())
}
