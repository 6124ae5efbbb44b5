//! The process as the HTTP API's backend. Every request asks Temporal again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::reconcile;
use almanac_activities::schedules::view::{
    self, ScheduleDetail, ScheduleView, ViewContext, ViewFiles,
};
use almanac_activities::schedules::{RateLimiter, RequestError, ScheduleMonitor, Schedules};
use almanac_base::names::{DefinitionId, Project, WorkerId};
use almanac_core::record::{
    OverrideAnswer, OverrideRequest, PassInput, RunAnswer, RunKind, RunRequest, Status, SyncRequest,
};
use almanac_core::snapshot::Snapshot;
use jiff::Timestamp;
use temporalio_client::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{Backend, BackendError, Planned};
use crate::health::{Health, Readiness};
use crate::reconcile_client::{ANSWER_LIMIT, ReconcileClient, ReconcileClientError};
use crate::registry::{ReadDepth, Registry, Reload, ReloadError};
use crate::telemetry::MetricsPage;

/// Number of requests to Temporal that an HTTP request makes at a time.
const CONCURRENCY: usize = 10;
/// Interval between two queries of the reconcile workflow's state. The server keeps few queries
/// waiting, and refuses more frequent ones.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// State that the parts of the process share.
#[derive(Debug)]
pub struct Shared {
    pub project: Project,
    /// Id of this worker process.
    pub worker: WorkerId,
    /// Registry of the served definitions.
    pub registry: Arc<Registry>,
    /// Condition of the process.
    pub health: Arc<Health>,
    pub metrics: MetricsPage,
    /// Observations from the passes of this process.
    pub monitor: Arc<ScheduleMonitor>,
    /// The connections to Temporal, updated whenever the process connects.
    pub(crate) clients: watch::Receiver<Option<Client>>,
}

impl Shared {
    /// The connection to Temporal; `None` before the first one.
    pub fn client(&self) -> Option<Client> {
        self.clients.borrow().clone()
    }
}

impl Backend for Shared {
    fn worker(&self) -> &WorkerId {
        &self.worker
    }

    fn readiness(&self) -> Readiness {
        self.health.readiness()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.snapshot()
    }

    async fn reload(&self) -> Result<Reload, ReloadError> {
        Registry::reload(&self.registry, ReadDepth::Contents).await
    }

    async fn status(&self) -> Result<Status, BackendError> {
        let reconciler = self.asked()?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            match reconciler.status().await {
                Err(ReconcileClientError::Busy(_)) if Instant::now() < deadline => {
                    sleep(POLL_INTERVAL).await;
                }
                answer => return Ok(answer?),
            }
        }
    }

    async fn sync(&self, request: SyncRequest) -> Result<u64, BackendError> {
        Ok(self.asked()?.sync(&request).await?.pass)
    }

    async fn set_override(&self, request: OverrideRequest) -> Result<OverrideAnswer, BackendError> {
        Ok(self.asked()?.set_override(&request).await?)
    }

    async fn run(
        &self,
        kind: RunKind,
        request: RunRequest,
        limit: Duration,
    ) -> Result<RunAnswer, BackendError> {
        Ok(self.asked()?.run(kind, &request, limit).await?)
    }

    async fn plan(&self) -> Result<Planned, BackendError> {
        let status = self.status().await?;
        let input = self.input(&status);
        let (plan, report) = self.observer()?.plan(&input).await?;
        Ok(Planned {
            plan,
            report,
            truncated: 0,
        })
    }

    async fn schedules(&self) -> Result<Vec<ScheduleView>, BackendError> {
        let requests = self.requests()?;
        let status = self.status_if_any().await;
        let snapshot = self.snapshot();
        let files = ViewFiles::of(&self.project, &snapshot);
        let context = self.view_context(status.as_ref(), &files);
        Ok(view::list(&requests, context, Some(&self.monitor)).await?)
    }

    async fn schedule(&self, id: &str) -> Result<Option<ScheduleDetail>, BackendError> {
        let requests = self.requests()?;
        let status = self.status_if_any().await;
        let snapshot = self.snapshot();
        let files = ViewFiles::of(&self.project, &snapshot);
        let context = self.view_context(status.as_ref(), &files);
        let stated = id.strip_prefix(&self.project.schedule_prefix());
        let named = |id: &str| id.parse::<DefinitionId>().ok();
        for definition in [named(id), stated.and_then(named)].into_iter().flatten() {
            match view::describe(&requests, &definition, context, Some(&self.monitor)).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) if error.is_about_one() => {
                    return Err(BackendError::Failed(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

impl Shared {
    fn connected(&self) -> Result<Client, BackendError> {
        self.client().ok_or_else(|| {
            let why = self.health.readiness().last_error;
            BackendError::Away(why.unwrap_or_else(|| "the worker has not connected yet".into()))
        })
    }

    fn asked(&self) -> Result<ReconcileClient, BackendError> {
        Ok(ReconcileClient::new(
            self.connected()?,
            self.project.clone(),
        ))
    }

    fn requests(&self) -> Result<Schedules, BackendError> {
        Ok(Schedules::new(
            self.connected()?,
            Arc::new(RateLimiter::new(None)),
        ))
    }

    /// A reconciler that plans as a pass would, and never does a pass.
    fn observer(&self) -> Result<reconcile::Reconciler, BackendError> {
        Ok(reconcile::Reconciler::new(
            self.requests()?,
            self.project.clone(),
            Arc::clone(&self.registry) as _,
            CONCURRENCY,
            |_| {},
        ))
    }

    /// The input that a pass would have now.
    fn input(&self, status: &Status) -> PassInput {
        let options = || status.workers.values().map(|worker| &worker.options);
        let revisions: BTreeSet<_> = status.workers.values().map(|one| &one.revision).collect();
        PassInput {
            replicas_differ: revisions.len() > 1,
            drift: options().map(|one| one.drift).max().unwrap_or_default(),
            orphans: options().map(|one| one.orphans).max().unwrap_or_default(),
            resync_interval: Duration::MAX,
            ..PassInput::dry_run(status, self.registry.snapshot().revision.clone())
        }
    }

    /// The reconcile workflow's state, if the workflow answers. Without the state, a view lists
    /// the facts that it does not know.
    async fn status_if_any(&self) -> Option<Status> {
        let status = self.status().await;
        status
            .inspect_err(
                |error| tracing::debug!(%error, "cannot get the status of the reconcile workflow; showing schedules without it"),
            )
            .ok()
    }

    fn view_context<'a>(
        &'a self,
        status: Option<&'a Status>,
        files: &'a ViewFiles<'a>,
    ) -> ViewContext<'a> {
        ViewContext {
            project: &self.project,
            status,
            files: Some(files),
            now: Timestamp::now(),
        }
    }
}

impl From<ReconcileClientError> for BackendError {
    fn from(error: ReconcileClientError) -> Self {
        let text = error.to_string();
        match error {
            ReconcileClientError::Busy(_) => Self::Busy(text),
            ReconcileClientError::Refused(_) => Self::Refused(text),
            ReconcileClientError::Absent(_) => Self::Absent(text),
            ReconcileClientError::NoAnswer(_)
            | ReconcileClientError::NoNamespace(_)
            | ReconcileClientError::Stuck(_)
            | ReconcileClientError::Temporal(_)
            | ReconcileClientError::Answer(_) => Self::Away(text),
        }
    }
}

impl From<RequestError> for BackendError {
    fn from(error: RequestError) -> Self {
        Self::Away(error.to_string())
    }
}
