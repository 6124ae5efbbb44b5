//! A project whose reconcile workflow a test talks to.

use std::time::Instant;

use almanac_core::record::{Announcement, Status, SyncAnswer, WorkerEvent};
use almanac_tests::{Project, SOON, Scheduler, json_payload, wait_for};
use anyhow::Context;
use serde::Serialize;
use temporalio_common::protos::temporal::api::common::v1::{Payloads, WorkflowType};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use crate::fake_worker::announcement_of;

/// A payload list with a single input.
pub(crate) fn one(value: &impl Serialize) -> Payloads {
    Payloads {
        payloads: vec![json_payload(value)],
    }
}

pub(crate) async fn start_workflow(
    project: &Project,
    kind: &str,
    id: &str,
    queue: &str,
    input: Option<Payloads>,
) -> anyhow::Result<()> {
    let request = StartWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_id: id.to_owned(),
        workflow_type: Some(WorkflowType {
            name: kind.to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: queue.to_owned(),
            ..Default::default()
        }),
        input,
        request_id: format!("{id}{:?}", Instant::now()),
        ..Default::default()
    };
    let mut service = project.temporal().service();
    service
        .start_workflow_execution(tonic::Request::new(request))
        .await?;
    Ok(())
}

/// A project with its reconcile workflow.
pub(crate) struct WorkflowClient {
    pub(crate) project: Project,
    pub(crate) id: String,
}

impl WorkflowClient {
    /// Starts the workflow by hand.
    pub(crate) async fn start(input: Option<Payloads>) -> anyhow::Result<Self> {
        let project = Project::new(Scheduler::V1).await?;
        let id = project.reconcile_workflow();
        let client = Self { project, id };
        client.start_again(input).await?;
        Ok(client)
    }

    pub(crate) async fn start_again(&self, input: Option<Payloads>) -> anyhow::Result<()> {
        let queue = format!("almanac-{}-reconcile", self.project.name());
        start_workflow(&self.project, "ReconcileSchedules", &self.id, &queue, input).await
    }

    /// Signals, as clients do: while a run is closing to continue as new the
    /// server turns signals away, and says so.
    pub(crate) async fn signal(&self, name: &str, input: Option<Payloads>) -> anyhow::Result<()> {
        wait_for(name, SOON, || async {
            let sent = self
                .project
                .temporal()
                .signal(&self.id, name, input.clone());
            match sent.await {
                Ok(()) => Ok(Some(())),
                Err(error) if error.to_string().contains("workflow is closing") => Ok(None),
                Err(error) => panic!("{name}: {error}"),
            }
        })
        .await
    }

    pub(crate) async fn announce(&self, announcement: &Announcement) -> anyhow::Result<()> {
        self.signal("definitions_changed", Some(one(announcement)))
            .await
    }

    pub(crate) async fn started(&self, worker: &str, holds: &str) -> anyhow::Result<()> {
        self.announce(&announcement_of(worker, WorkerEvent::Started, None, holds))
            .await
    }

    pub(crate) async fn changed(&self, worker: &str, from: &str, to: &str) -> anyhow::Result<()> {
        self.announce(&announcement_of(
            worker,
            WorkerEvent::Changed,
            Some(from),
            to,
        ))
        .await
    }

    pub(crate) async fn stopping(&self, worker: &str) -> anyhow::Result<()> {
        self.announce(&announcement_of(worker, WorkerEvent::Stopping, None, ""))
            .await
    }

    pub(crate) async fn sync(&self, request: &impl Serialize) -> anyhow::Result<u64> {
        let temporal = self.project.temporal();
        let request = serde_json::to_value(request)?;
        let answer = temporal
            .update_until_taken(&self.id, "sync", &request)
            .await?;
        let SyncAnswer { pass } = serde_json::from_value(answer)?;
        Ok(pass)
    }

    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        self.project.temporal().status(self.project.name()).await
    }

    /// Waits until a pass ended and nothing waits.
    pub(crate) async fn settled(&self, pass: u64) -> anyhow::Result<Status> {
        self.until(&format!("pass {pass} to end"), |status| {
            status.pass >= pass && status.pending == 0
        })
        .await
    }

    pub(crate) async fn until(
        &self,
        what: &str,
        holds: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        wait_for(what, SOON, || async {
            let status = self.status().await?;
            Ok(holds(&status).then_some(status))
        })
        .await
    }

    pub(crate) async fn details(&self) -> anyhow::Result<String> {
        let temporal = self.project.temporal();
        let metadata = temporal
            .query(&self.id, "__temporal_workflow_metadata", None)
            .await?;
        let details = metadata.get("currentDetails").context("details")?;
        Ok(details.as_str().context("a text")?.to_owned())
    }
}
