//! The process as HTTP's backend: Temporal is asked anew for every request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::reconcile;
use almanac_activities::schedules::{
    ListEntry, Missed, Pace, RequestError, Runs, Schedules, overdue_since, wire,
};
use almanac_workflows::names::{DefinitionId, ScheduleId, WorkerId};
use almanac_workflows::plan;
use almanac_workflows::record::{
    DefinitionCounts, Orders, OverrideAnswer, OverrideRequest, PassInput, RunAnswer, RunKind,
    RunRequest, Status, SyncRequest, Trigger,
};
use almanac_workflows::schedule::Live;
use almanac_workflows::snapshot::Snapshot;
use jiff::Timestamp;
use temporalio_client::Client;
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleListEntry, ScheduleListInfo};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;
use tokio::time::{Instant, sleep};

use super::sight::{Known, Sight};
use super::{Backend, BackendError, Planned, ScheduleView};
use crate::process::Shared;
use crate::process::health::Readiness;
use crate::process::reconciler::{ANSWER_LIMIT, Reconciler, ReconcilerError};
use crate::registry::{Depth, Registry, Reload, ReloadError};

/// How many requests one HTTP request makes at a time.
const CONCURRENCY: usize = 10;
/// Time between two looks at the reconcile workflow's state. The server keeps
/// few questions waiting: asking faster is refused.
const LOOK: Duration = Duration::from_millis(200);

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
        Registry::reload(&self.registry, Depth::Contents).await
    }

    async fn status(&self) -> Result<Status, BackendError> {
        let reconciler = self.asked()?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            match reconciler.status().await {
                Err(ReconcilerError::Busy(_)) if Instant::now() < deadline => sleep(LOOK).await,
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
        // What the workflow knows is more, but not the schedules themselves.
        let (listed, status) = tokio::join!(requests.list(&self.project), self.status());
        let (listed, status) = (listed?, status.unwrap_or_default());
        let snapshot = self.snapshot();
        let desired = plan::desired(&self.project, &snapshot);
        let taken: BTreeMap<_, _> = desired
            .values()
            .map(|one| (&one.schedule, &one.definition))
            .collect();
        let all: BTreeMap<DefinitionId, ListEntry> = listed
            .into_iter()
            .filter_map(|entry| {
                let of = entry.owner.as_ref();
                let of = of.or_else(|| taken.get(&entry.schedule).copied())?;
                Some((of.clone(), entry))
            })
            .collect();
        let known = Known {
            snapshot: &snapshot,
            desired: &desired,
            status: &status,
            plan: None,
            now: Timestamp::now(),
        };
        let views = all.into_iter().map(|(definition, entry)| {
            known.view(Sight {
                definition,
                overdue: self.watch.overdue(&entry.schedule),
                drift: self.watch.drift(&entry.schedule),
                entry,
                live: None,
                missed: None,
            })
        });
        Ok(views.collect())
    }

    async fn schedule(&self, id: &str) -> Result<Option<ScheduleView>, BackendError> {
        let requests = self.requests()?;
        let stated = id.strip_prefix(&self.project.schedule_prefix());
        let named = |id: &str| id.parse::<DefinitionId>().ok();
        for definition in [named(id), stated.and_then(named)].into_iter().flatten() {
            let schedule = self.project.schedule_id(&definition);
            match requests.describe(&schedule).await {
                Ok(response) => return self.described(&requests, definition, response).await,
                Err(RequestError::NotFound) => {}
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
            BackendError::Away(why.unwrap_or_else(|| "it has not been reached yet".into()))
        })
    }

    fn asked(&self) -> Result<Reconciler, BackendError> {
        Ok(Reconciler::new(self.connected()?, self.project.clone()))
    }

    fn requests(&self) -> Result<Schedules, BackendError> {
        Ok(Schedules::new(self.connected()?, Arc::new(Pace::new(None))))
    }

    /// Plans as a pass would, and never passes.
    fn observer(&self) -> Result<reconcile::Reconciler, BackendError> {
        Ok(reconcile::Reconciler::new(
            self.requests()?,
            self.project.clone(),
            Arc::clone(&self.registry) as _,
            CONCURRENCY,
            |_| {},
        ))
    }

    /// The input of a pass, were there one now.
    fn input(&self, status: &Status) -> PassInput {
        let options = || status.workers.values().map(|worker| &worker.options);
        let revisions: BTreeSet<_> = status.workers.values().map(|one| &one.revision).collect();
        PassInput {
            pass: status.pass + 1,
            trigger: Trigger::Sync,
            heard: 0,
            revision: self.registry.snapshot().revision.clone(),
            now: Timestamp::UNIX_EPOCH,
            dry_run: true,
            confirm: None,
            only: None,
            describe_all: false,
            replicas_differ: revisions.len() > 1,
            drift: options().map(|one| one.drift).max().unwrap_or_default(),
            orphans: options().map(|one| one.orphans).max().unwrap_or_default(),
            resync_interval: Duration::MAX,
            recently_removed: status.recently_removed,
            overrides: status.overrides.clone(),
            orders: Orders::new(),
            adoptions: almanac_workflows::record::Adoptions::new(),
            corrections: status.corrections.clone(),
            definitions: DefinitionCounts::default(),
            event_types: DefinitionCounts::default(),
        }
    }

    /// The view of one schedule, described.
    async fn described(
        &self,
        requests: &Schedules,
        definition: DefinitionId,
        response: DescribeScheduleResponse,
    ) -> Result<Option<ScheduleView>, BackendError> {
        let schedule = self.project.schedule_id(&definition);
        let mut entry = ListEntry::of(&self.project, as_listed(&schedule, &response));
        let snapshot = self.snapshot();
        let desired = plan::desired(&self.project, &snapshot);
        if entry.owner.is_none() && !desired.contains_key(&definition) {
            // Somebody else's, and nobody here wants its name.
            return Ok(None);
        }
        let status = self.status().await.unwrap_or_default();
        let input = PassInput {
            only: Some(vec![definition.clone()]),
            ..self.input(&status)
        };
        let (plan, _) = self.observer()?.plan(&input).await?;
        if let Some(info) = &response.info {
            let runs = Runs::asked(requests.client(), info).await;
            entry.is_busy = runs.is_busy;
            entry.last = runs.recent.into_iter().next_back();
        }
        let now = Timestamp::now();
        let known = Known {
            snapshot: &snapshot,
            desired: &desired,
            status: &status,
            plan: Some(&plan),
            now,
        };
        let missed = response.info.as_ref().map(Missed::of);
        let live = live(self, &schedule, response);
        let overdue = match &live {
            Some(live) => {
                overdue_since(requests, live, entry.last.as_ref(), entry.is_busy, now).await
            }
            None => None,
        };
        Ok(Some(known.view(Sight {
            definition,
            overdue,
            drift: BTreeSet::new(),
            missed: missed.filter(|_| live.is_some()),
            entry,
            live,
        })))
    }
}

fn live(shared: &Shared, id: &ScheduleId, response: DescribeScheduleResponse) -> Option<Live> {
    wire::live(&shared.project, id, response).map(|described| described.live)
}

/// A described schedule as a list would show it.
fn as_listed(id: &ScheduleId, response: &DescribeScheduleResponse) -> ScheduleListEntry {
    let body = response.schedule.clone().unwrap_or_default();
    let state = body.state.unwrap_or_default();
    let info = response.info.clone().unwrap_or_default();
    ScheduleListEntry {
        schedule_id: id.to_string(),
        memo: response.memo.clone(),
        info: Some(ScheduleListInfo {
            spec: body.spec,
            notes: state.notes,
            paused: state.paused,
            recent_actions: info.recent_actions,
            future_action_times: info.future_action_times,
            ..ScheduleListInfo::default()
        }),
        ..ScheduleListEntry::default()
    }
}

impl From<ReconcilerError> for BackendError {
    fn from(error: ReconcilerError) -> Self {
        let text = error.to_string();
        match error {
            ReconcilerError::Busy(_) => Self::Busy(text),
            ReconcilerError::Refused(_) => Self::Refused(text),
            ReconcilerError::Absent(_) => Self::Absent(text),
            ReconcilerError::NoAnswer(_)
            | ReconcilerError::NoNamespace(_)
            | ReconcilerError::Stuck(_)
            | ReconcilerError::Temporal(_)
            | ReconcilerError::Answer(_) => Self::Away(text),
        }
    }
}

impl From<RequestError> for BackendError {
    fn from(error: RequestError) -> Self {
        Self::Away(error.to_string())
    }
}
