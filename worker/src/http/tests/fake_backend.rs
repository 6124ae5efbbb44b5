//! A backend whose answers are set by the test, and the values of its answers.

use super::*;
use crate::connect::CredentialStatus;

/// A process whose answers are set by the test.
pub(super) struct Fake {
    pub(super) me: WorkerId,
    pub(super) ready: bool,
    pub(super) snapshot: Snapshot,
    pub(super) status: Mutex<Result<Status, BackendError>>,
    /// Answer to a request for a pass. Its report may be missing in `status`.
    pub(super) synced: Result<u64, BackendError>,
    pub(super) requests: Mutex<Vec<SyncRequest>>,
    pub(super) overrides: Mutex<Vec<OverrideRequest>>,
    pub(super) runs: Mutex<Vec<(RunKind, RunRequest)>>,
    pub(super) suspensions: Mutex<Vec<SuspendRequest>>,
    /// Number of runs that a backfill of any schedule would start.
    pub(super) backfill: u64,
    /// Answer to a request for a run.
    pub(super) ran: Result<RunAnswer, BackendError>,
    pub(super) reloads: AtomicU64,
    pub(super) recent_reloads: Vec<RecentReload>,
    /// The history entries of the project, newest first.
    pub(super) history: Result<Vec<HistoryEntry>, BackendError>,
    pub(super) queries: AtomicU64,
    pub(super) schedules: Mutex<Vec<ScheduleView>>,
    pub(super) lists: AtomicU64,
    /// Deliveries of events, newest first.
    pub(super) deliveries: Mutex<Vec<(Delivery, Arc<Value>)>>,
    pub(super) asked_runs: AtomicU64,
    /// `true` if schedules cannot be listed.
    pub(super) away: bool,
    pub(super) timelines: AtomicU64,
    pub(super) strips: AtomicU64,
    /// The runs that have not ended, of each definition.
    pub(super) live: Result<LiveRuns, BackendError>,
    /// The runs that events started, of each definition.
    pub(super) event_runs: Result<Vec<EventRun>, BackendError>,
    /// The metrics page, and how often it was made.
    pub(super) page: String,
    pub(super) pages: AtomicU64,
    /// Numbers of readings.
    pub(super) described: AtomicU64,
    pub(super) histories: AtomicU64,
    pub(super) live_reads: AtomicU64,
    pub(super) plans: AtomicU64,
    /// Time that a request for a pass or for an override takes.
    pub(super) slow_sync: Duration,
    /// Time that a list, a plan and the reading of a schedule take.
    pub(super) slow_reads: Duration,
}

/// A state of the workflow that knows the fake process.
pub(super) fn status(pass: u64, reports: Vec<Report>) -> Status {
    Status {
        pass,
        reports,
        workers: [(WorkerId::new("me"), WorkerState::default())].into(),
        ..Status::default()
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            me: WorkerId::new("me"),
            ready: true,
            snapshot: Snapshot::default(),
            status: Mutex::new(Ok(status(0, Vec::new()))),
            synced: Ok(7),
            requests: Mutex::default(),
            overrides: Mutex::default(),
            runs: Mutex::default(),
            suspensions: Mutex::default(),
            backfill: 0,
            ran: Ok(RunAnswer::default()),
            reloads: AtomicU64::new(0),
            recent_reloads: Vec::new(),
            history: Ok(Vec::new()),
            queries: AtomicU64::new(0),
            schedules: Mutex::new((0..150).map(schedule).collect()),
            lists: AtomicU64::new(0),
            deliveries: Mutex::default(),
            asked_runs: AtomicU64::new(0),
            away: false,
            timelines: AtomicU64::new(0),
            strips: AtomicU64::new(0),
            live: Ok(LiveRuns::default()),
            event_runs: Ok(Vec::new()),
            page: "almanac_schedules{state=\"held\"} 0\n".into(),
            pages: AtomicU64::new(0),
            described: AtomicU64::new(0),
            histories: AtomicU64::new(0),
            live_reads: AtomicU64::new(0),
            plans: AtomicU64::new(0),
            slow_sync: Duration::ZERO,
            slow_reads: Duration::ZERO,
        }
    }
}

impl Fake {
    /// Creates a backend whose pass 7 ends with this report.
    pub(super) fn reporting(report: Report) -> Self {
        let report = Report { pass: 7, ..report };
        Self {
            status: Mutex::new(Ok(status(7, vec![report]))),
            ..Self::default()
        }
    }
}

impl Backend for Fake {
    fn worker(&self) -> &WorkerId {
        &self.me
    }

    fn project(&self) -> &Project {
        static PROJECT: LazyLock<Project> = LazyLock::new(|| "test".parse().unwrap());
        &PROJECT
    }

    fn namespace(&self) -> Option<String> {
        Some("default".to_owned())
    }

    fn temporal_ui(&self) -> Option<&str> {
        Some("https://temporal.example")
    }

    fn roots(&self) -> Vec<String> {
        vec!["definitions".to_owned()]
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            ready: self.ready,
            reason: (!self.ready).then(|| "no full pass yet".to_owned()),
            temporal: TemporalState::Away,
            started_at: Timestamp::UNIX_EPOCH,
            last_success: None,
            last_error: Some("refused".into()),
            warnings: Vec::new(),
            credentials: CredentialStatus::default(),
            events: None,
        }
    }

    fn metrics(&self) -> String {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.page.clone()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.snapshot.clone())
    }

    fn recent_reloads(&self) -> Vec<RecentReload> {
        self.recent_reloads.clone()
    }

    async fn reload(&self, _by: &str) -> Result<Reload, ReloadError> {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(Reload::Changed(ReloadSummary {
            previous: None,
            revision: self.snapshot.revision.clone(),
            counts: DefinitionCounts {
                new: 3,
                ..DefinitionCounts::default()
            },
            event_types: DefinitionCounts::default(),
            changed: None,
        }))
    }

    async fn status(&self) -> Result<Status, BackendError> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.status.lock().unwrap().clone()
    }

    async fn sync(&self, request: SyncRequest) -> Result<u64, BackendError> {
        self.requests.lock().unwrap().push(request);
        tokio::time::sleep(self.slow_sync).await;
        self.synced.clone()
    }

    async fn set_override(&self, request: OverrideRequest) -> Result<OverrideAnswer, BackendError> {
        let overridden = request.over(None, Timestamp::UNIX_EPOCH);
        self.overrides.lock().unwrap().push(request);
        tokio::time::sleep(self.slow_sync).await;
        let pass = self.synced.clone()?;
        Ok(OverrideAnswer { pass, overridden })
    }

    async fn run(
        &self,
        kind: RunKind,
        request: RunRequest,
        _limit: Duration,
    ) -> Result<RunAnswer, BackendError> {
        self.runs.lock().unwrap().push((kind, request));
        self.ran.clone()
    }

    async fn suspend(&self, request: SuspendRequest) -> Result<(), BackendError> {
        self.suspensions.lock().unwrap().push(request);
        Ok(())
    }

    async fn resume(&self, request: SuspendRequest) -> Result<(), BackendError> {
        self.suspensions.lock().unwrap().push(request);
        Ok(())
    }

    async fn backfill_times(
        &self,
        _id: &str,
        _from: When,
        _to: When,
    ) -> Result<Option<BackfillTimes>, BackendError> {
        Ok((self.backfill > 0).then(|| BackfillTimes {
            count: self.backfill,
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            listed: Vec::new(),
            timezone: "UTC".to_owned(),
        }))
    }

    async fn plan(&self) -> Result<Planned, BackendError> {
        self.plans.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.slow_reads).await;
        Ok(Planned {
            plan: Plan::default(),
            report: Report::default(),
            times: BTreeMap::new(),
            truncated: 0,
        })
    }

    async fn deliver(&self, event: CloudEvent, arrival: Arrival) -> Result<Delivery, BackendError> {
        let reason = |text: &str| text.to_owned();
        let run = |result| TriggeredRun {
            definition: "capture".parse().unwrap(),
            trigger: 0,
            result,
        };
        let workflow_id = "test/capture/1".to_owned();
        let runs = match event.kind() {
            "started" => vec![run(TriggerResult::Started {
                workflow_id,
                run_id: "r".to_owned(),
            })],
            "refused" => vec![run(TriggerResult::Refused {
                reason: reason("no amount"),
            })],
            "conflict" => vec![run(TriggerResult::Conflict {
                workflow_id,
                reason: reason("other data"),
            })],
            "failed" => vec![run(TriggerResult::Failed {
                reason: reason("deadline exceeded"),
                away: true,
            })],
            "away" => return Err(BackendError::Away("refused".to_owned())),
            _ => Vec::new(),
        };
        let delivery = Delivery {
            id: arrival.delivery,
            at: arrival.at,
            via: arrival.via,
            by: arrival.by,
            event: EventKey::of(event.as_json()),
            state: Delivery::state_of(&runs),
            reason: runs.iter().find_map(|run| run.result.reason().map(reason)),
            runs,
            ..Delivery::default()
        };
        let mut deliveries = self.deliveries.lock().unwrap();
        deliveries.insert(0, (delivery.clone(), Arc::new(event.into_json())));
        Ok(delivery)
    }

    fn deliveries(&self) -> Vec<Delivery> {
        let deliveries = self.deliveries.lock().unwrap();
        deliveries.iter().map(|(one, _)| one.clone()).collect()
    }

    fn delivery(&self, id: &str) -> Option<(Delivery, Option<Arc<Value>>)> {
        let deliveries = self.deliveries.lock().unwrap();
        let (delivery, event) = deliveries.iter().find(|(one, _)| one.id == id)?;
        Some((delivery.clone(), Some(Arc::clone(event))))
    }

    async fn forget_dead(&self, id: &str) {
        let mut deliveries = self.deliveries.lock().unwrap();
        deliveries.retain(|(one, _)| one.id != id);
    }

    fn deliveries_recorded(&self) -> u64 {
        self.deliveries.lock().unwrap().len() as u64
    }

    fn routes(&self, event: &Value, made_by: Maker) -> Vec<Route> {
        let index = TriggerIndex::of(&self.snapshot);
        index.routes(self.project(), event, made_by, Timestamp::UNIX_EPOCH)
    }

    async fn event_runs(&self, _id: &str) -> Result<Vec<EventRun>, BackendError> {
        self.event_runs.clone()
    }

    async fn schedules(
        &self,
        _previous: &[Arc<ListedSchedule>],
    ) -> Result<Vec<Arc<ListedSchedule>>, BackendError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.slow_reads).await;
        if self.away {
            return Err(BackendError::Away("refused <b>".to_owned()));
        }
        let views = self.schedules.lock().unwrap().clone();
        Ok(views
            .into_iter()
            .map(|view| Arc::new(listed(view)))
            .collect())
    }

    async fn ask_running(&self, listed: &mut [Arc<ListedSchedule>]) {
        let asked = listed
            .iter_mut()
            .filter_map(|one| Arc::make_mut(one).view.last_run.as_mut());
        for run in asked.filter(|run| run.status.as_deref() == Some("running")) {
            self.asked_runs.fetch_add(1, Ordering::Relaxed);
            run.status = Some("completed".to_owned());
        }
    }

    async fn history(&self, id: Option<&str>) -> Result<Vec<HistoryEntry>, BackendError> {
        self.histories.fetch_add(1, Ordering::Relaxed);
        let all = self.history.clone()?.into_iter();
        Ok(all
            .filter(|entry| id.is_none_or(|id| entry.id == id))
            .collect())
    }

    async fn live_runs(&self, _id: &str) -> Result<LiveRuns, BackendError> {
        self.live_reads.fetch_add(1, Ordering::Relaxed);
        self.live.clone()
    }

    async fn source_text(&self, _source: &str) -> Option<String> {
        None
    }

    async fn recent_runs(
        &self,
        ids: Vec<ScheduleId>,
    ) -> Result<Vec<Vec<TimelineRun>>, BackendError> {
        self.strips.fetch_add(1, Ordering::Relaxed);
        let run = TimelineRun {
            due: None,
            started: Timestamp::UNIX_EPOCH,
            ended: None,
            status: RunStatus::Failed,
            workflow_id: "test/<b>".into(),
            run_id: "run".into(),
        };
        Ok(vec![vec![run]; ids.len()])
    }

    async fn timeline(
        &self,
        window: Window,
        listed: Vec<Arc<ListedSchedule>>,
    ) -> Result<Timeline, BackendError> {
        self.timelines.fetch_add(1, Ordering::Relaxed);
        Ok(Timeline::of_future(window, window.from(), listed))
    }

    async fn timeline_lane(&self, id: &str, _window: Window) -> Result<Option<Lane>, BackendError> {
        match id {
            "job-1" => Ok(Some(lane(1))),
            "away" => Err(BackendError::Away("refused <b>".into())),
            _ => Ok(None),
        }
    }

    async fn schedule(&self, id: &str) -> Result<Option<ScheduleDetail>, BackendError> {
        self.described.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.slow_reads).await;
        match id {
            "job-1" => {
                let schedules = self.schedules.lock().unwrap();
                let listed = schedules.iter().find(|one| one.definition.as_str() == id);
                let view = listed.cloned().unwrap_or_else(|| schedule(1));
                Ok(Some(detail(view)))
            }
            "away" => Err(BackendError::Away("refused".into())),
            _ => Ok(None),
        }
    }
}

pub(super) fn schedule(n: usize) -> ScheduleView {
    let definition = format!("job-{n}").parse().unwrap();
    let project: Project = "test".parse().unwrap();
    ScheduleView {
        id: project.schedule_id(&definition),
        definition,
        source: Some("jobs.yaml".into()),
        description: None,
        labels: Labels::default(),
        state: ScheduleState::Paused,
        conditions: [ScheduleState::Paused].into(),
        unknown: BTreeSet::new(),
        paused: true,
        paused_by: Some(PausedBy::Hand),
        reason: Some("stop".into()),
        by: None,
        summary: "03:00 daily".into(),
        cron: vec!["0 3 * * *".into()],
        every: Vec::new(),
        timezone: "UTC".into(),
        workflow_type: "Job".into(),
        note: "stop".into(),
        overridden: None,
        next_run: None,
        next_runs: Vec::new(),
        last_run: None,
        missed: None,
        overdue: Some(false),
        overdue_since: None,
        remaining_actions: None,
        drift: Some(BTreeSet::new()),
    }
}

fn listed(view: ScheduleView) -> ListedSchedule {
    let times = ListedTimes {
        spec: Arc::default(),
        is_whole: true,
        after: None,
        server_times: 0,
        is_managed: true,
        is_marked: true,
        digest: 0,
    };
    ListedSchedule { view, times }
}

fn detail(view: ScheduleView) -> ScheduleDetail {
    ScheduleDetail {
        view,
        revision: None,
        flags: BTreeSet::new(),
        action_count: 0,
        recent_runs: Vec::new(),
        zone_difference: None,
        document: None,
        values: BTreeMap::new(),
        fields: Vec::new(),
    }
}

/// A lane with more gaps than a page lists.
fn lane(n: usize) -> Lane {
    let gap = |minute: i64| Gap {
        due: Timestamp::from_second(minute * 60).unwrap(),
        cause: (minute > 0).then_some(GapCause::Overlap),
    };
    Lane {
        schedule: schedule(n),
        runs: Vec::new(),
        typical: None,
        gaps: (0..25).map(gap).collect(),
        gaps_from: Some(Timestamp::UNIX_EPOCH),
        gaps_unknown: None,
        expected: Vec::new(),
        expected_until: None,
        band: None,
    }
}
