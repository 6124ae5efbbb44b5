//! Watches which version of the worker deployment Temporal sends tasks to, and reports to
//! [`crate::health`] and to the log if it is not this one. Almanac never changes that: an operator
//! or a controller does.

use std::sync::Arc;
use std::time::Duration;

use temporalio_client::tonic::{Code, Request};
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeWorkerDeploymentRequest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::deployment::{DeploymentVersion, Routing};
use crate::health::Health;

/// Interval between two requests while no version of the deployment gets tasks, or without an
/// answer: the project may be waiting for this one.
const INTERVAL_WAITING: Duration = Duration::from_secs(2);
/// Interval between two requests otherwise.
const INTERVAL: Duration = Duration::from_secs(30);

/// The part of the process that watches the worker deployment.
#[derive(Debug)]
pub(super) struct VersionWatcher {
    /// The version that this process is.
    pub(super) version: DeploymentVersion,
    /// The health of the process.
    pub(super) health: Arc<Health>,
    /// The connection; `None` until the process is connected.
    pub(super) clients: watch::Receiver<Option<Client>>,
}

impl VersionWatcher {
    /// Watches until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.watch() => {}
        }
    }

    /// Watches for ever; returns only when no connection can come any more.
    async fn watch(&mut self) {
        let mut last = None;
        let mut is_failing = false;
        loop {
            let client = match self.clients.wait_for(Option::is_some).await {
                Ok(client) => client.clone(),
                Err(_) => return,
            };
            let Some(client) = client else { continue };
            let routing = match self.routing(&client).await {
                Ok(routing) => {
                    is_failing = false;
                    routing
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "cannot read the worker deployment; trying again");
                    }
                    tokio::time::sleep(INTERVAL_WAITING).await;
                    continue;
                }
            };
            let wait = if routing == Routing::ToNone {
                INTERVAL_WAITING
            } else {
                INTERVAL
            };
            if last.as_ref() != Some(&routing) {
                self.note(&routing, &client.namespace());
                last = Some(routing);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks Temporal. A deployment does not exist before the first worker of it polls.
    async fn routing(&self, client: &Client) -> Result<Routing, temporalio_client::tonic::Status> {
        let request = DescribeWorkerDeploymentRequest {
            namespace: client.namespace(),
            deployment_name: self.version.deployment.clone(),
        };
        let mut service = client.connection().workflow_service();
        let answer = service.describe_worker_deployment(Request::new(request));
        let info = match answer.await {
            Ok(answer) => answer.into_inner().worker_deployment_info,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => return Err(status),
        };
        let config = info.and_then(|info| info.routing_config);
        Ok(Routing::of(&self.version, config.as_ref()))
    }

    fn note(&self, routing: &Routing, namespace: &str) {
        let problem = routing.problem(&self.version, namespace);
        let DeploymentVersion {
            deployment,
            build_id,
        } = &self.version;
        match &problem {
            None => tracing::info!(
                deployment,
                build_id,
                "temporal sends tasks to this version of the worker deployment"
            ),
            Some(reason) => tracing::warn!(
                deployment,
                build_id,
                reason,
                "temporal sends no tasks of new runs to this version of the worker deployment"
            ),
        }
        self.health.without_tasks(problem);
    }
}
