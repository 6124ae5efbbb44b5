//! A pass: observe, plan, apply, report.

mod activity;
mod attention;
mod reload_trace;
mod report;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::plan::{self, Plan, Policy, ScheduledDefinitions};
use almanac_core::record::{
    Announcement, Op, PassDone, PassInput, PassOutcome, Progress, Report, SELECTION_LIMIT,
    Selection, Selector,
};
use almanac_core::schedule::ScheduledDefinition;
use almanac_core::snapshot::Snapshot;
use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};

pub use activity::{HEARTBEAT, ReconcileActivities};
pub use attention::{AttentionList, AttentionReason, NeedAttention};

use crate::blocking::compute;
use crate::definitions::DefinitionSource;
use crate::metrics::{self, Metric};
use crate::schedules::{
    Adopter, Applied, Applier, DescribeScope, Fingerprints, InSyncCache, Observation, Observer,
    RequestError, ScheduleMonitor, Schedules, ServerClock,
};
use crate::spans;
use attention::Findings;
use reload_trace::ReloadTrace;
use report::{conclude, report};

/// Interval at which a pass that lists and describes schedules checks whether it has to end.
const STOP_INTERVAL: Duration = Duration::from_millis(500);

/// Does passes for one project, over one registry.
pub struct Reconciler {
    schedules: Schedules,
    project: Project,
    source: Arc<dyn DefinitionSource>,
    concurrency: usize,
    cache: InSyncCache,
    fingerprints: Fingerprints,
    /// The project whose schedules are adopted, after those that definitions name.
    adopts_from: Option<Project>,
    monitor: Arc<ScheduleMonitor>,
    attention: Arc<AttentionList>,
    /// Returns the worker's announcements after the one with this number.
    announcements_after: Box<dyn Fn(u64) -> Option<Vec<Announcement>> + Send + Sync>,
    /// Called after each full pass that was no dry run and tried every
    /// operation.
    on_full_pass: Box<dyn Fn(&Report) + Send + Sync>,
    /// The reload whose trace passes belong to until one has applied it.
    reload_trace: Mutex<ReloadTrace>,
}

/// The reason for which a pass has no outcome. Such a pass wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The schedules could not be listed or planned.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The pass was stopped before it had planned anything.
    #[error("the pass was stopped before it wrote anything")]
    Stopped,
}

/// Records in the span of a pass that the pass ended early.
fn set_interrupted(span: &opentelemetry::Context) {
    span.span()
        .set_attribute(KeyValue::new("almanac.interrupted", true));
}

/// The basis of a pass: the desired schedules, the scope and the time.
struct PassBasis {
    scheduled: ScheduledDefinitions,
    only: Option<BTreeSet<DefinitionId>>,
    now: Timestamp,
}

impl Reconciler {
    /// Creates a reconciler with at most `concurrency` requests at a time.
    pub fn new(
        schedules: Schedules,
        project: Project,
        source: Arc<dyn DefinitionSource>,
        concurrency: usize,
        on_full_pass: impl Fn(&Report) + Send + Sync + 'static,
    ) -> Self {
        Self {
            schedules,
            project,
            source,
            concurrency: concurrency.max(1),
            cache: InSyncCache::default(),
            fingerprints: Fingerprints::default(),
            adopts_from: None,
            monitor: Arc::default(),
            attention: Arc::default(),
            announcements_after: Box::new(|_| None),
            on_full_pass: Box::new(on_full_pass),
            reload_trace: Mutex::default(),
        }
    }

    /// Makes each new schedule wait for the schedule of the same definition in
    /// `project`, as long as that one exists.
    #[must_use]
    pub fn adopting_from(mut self, project: Option<Project>) -> Self {
        self.adopts_from = project;
        self
    }

    /// Adds the worker's announcements after a given number to each outcome.
    #[must_use]
    pub fn answering(
        mut self,
        announcements_after: impl Fn(u64) -> Vec<Announcement> + Send + Sync + 'static,
    ) -> Self {
        self.announcements_after = Box::new(move |heard| Some(announcements_after(heard)));
        self
    }

    /// Continues with the findings of an earlier reconciler's monitor.
    #[must_use]
    pub fn monitoring_with(mut self, monitor: Arc<ScheduleMonitor>) -> Self {
        self.monitor = monitor;
        self
    }

    /// Puts the schedules that need attention into this list after each full pass.
    #[must_use]
    pub fn naming_in(mut self, attention: Arc<AttentionList>) -> Self {
        self.attention = attention;
        self
    }

    /// Marks schedules that an earlier pass could not describe. The next pass
    /// describes each of them, even if the list proves it in sync.
    pub fn mark_unreadable(&self, schedules: impl IntoIterator<Item = ScheduleId>) {
        for schedule in schedules {
            self.cache.described(&schedule, false);
        }
    }

    /// The plan of a pass that would start now. Writes nothing.
    pub async fn plan(&self, input: &PassInput) -> Result<(Plan, Report), RequestError> {
        let snapshot = self.source.snapshot();
        let now = Timestamp::now();
        let basis = compute(|| self.basis(&snapshot, input, now.max(input.now)));
        let (plan, _) = self.observe_and_plan(&snapshot, input, &basis).await?;
        let report = report(input, &snapshot, &plan, None, now);
        Ok((plan, report))
    }

    /// Does one pass. Pass 0 is a probe: it only checks that the worker holds
    /// the revision. The pass begins no write after `goes_on` returns `false`, and ends if it has
    /// not planned anything by then.
    pub async fn pass(
        &self,
        input: &PassInput,
        goes_on: &(dyn Fn() -> bool + Sync),
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<PassOutcome, PassError> {
        let snapshot = self.source.snapshot();
        if snapshot.revision != input.revision {
            return Ok(PassOutcome::Refused {
                holds: snapshot.revision.clone(),
                announcements: (self.announcements_after)(input.heard),
            });
        }
        if input.pass == 0 {
            return Ok(PassOutcome::Done(Box::new(PassDone {
                announcements: (self.announcements_after)(input.heard),
                ..PassDone::default()
            })));
        }
        let span = self.span(input, &snapshot);
        let pass = self.pass_over(&snapshot, input, goes_on, progress);
        let outcome = pass.with_context(span.clone()).await;
        match &outcome {
            Ok(done) => self.ended(&span, input, done),
            Err(PassError::Request(error)) => spans::fail(&span, error.kind()),
            Err(PassError::Stopped) => set_interrupted(&span),
        }
        outcome.map(|done| PassOutcome::Done(Box::new(done)))
    }

    /// The span of a pass. The passes up to the one that applies a reload belong to its trace.
    fn span(&self, input: &PassInput, snapshot: &Snapshot) -> opentelemetry::Context {
        let attributes = vec![
            KeyValue::new(
                "almanac.pass",
                i64::try_from(input.pass).unwrap_or(i64::MAX),
            ),
            KeyValue::new("almanac.trigger", metrics::trigger_name(input.trigger)),
            KeyValue::new("almanac.revision", snapshot.revision.to_string()),
            KeyValue::new("almanac.dry_run", input.dry_run),
            KeyValue::new("almanac.full", input.only.is_none()),
        ];
        let reload = spans::remote(snapshot.traceparent.as_deref());
        let is_caused = self.reload_trace().causes(input);
        spans::pass(is_caused.then_some(&reload), &reload, attributes)
    }

    /// Records the end of a pass in its span, which ends when it is dropped.
    fn ended(&self, span: &opentelemetry::Context, input: &PassInput, done: &PassDone) {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let counts = &done.report.schedules;
        for (name, value) in [
            ("almanac.created", counts.created),
            ("almanac.updated", counts.updated),
            ("almanac.deleted", counts.deleted),
            ("almanac.held", counts.held),
            ("almanac.errors", done.report.errors.len() as u64),
        ] {
            span.span().set_attribute(KeyValue::new(name, count(value)));
        }
        if done.interrupted {
            set_interrupted(span);
        } else {
            self.reload_trace().passed(input);
        }
        if !done.report.errors.is_empty() {
            spans::fail(span, "errors");
        }
    }

    fn reload_trace(&self) -> MutexGuard<'_, ReloadTrace> {
        let trace = self.reload_trace.lock();
        trace.unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a pass over the definitions of `snapshot`.
    async fn pass_over(
        &self,
        snapshot: &Snapshot,
        input: &PassInput,
        goes_on: &(dyn Fn() -> bool + Sync),
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<PassDone, PassError> {
        let clock = ServerClock::from_reported(input.now);
        let now = Timestamp::now();
        metrics::at(Metric::ReconcileLastAttempt, now);
        let basis = compute(|| self.basis(snapshot, input, now.max(input.now)));
        let stopped = async {
            while goes_on() {
                tokio::time::sleep(STOP_INTERVAL).await;
            }
        };
        let (plan, observation) = tokio::select! {
            planned = self.observe_and_plan(snapshot, input, &basis) => planned?,
            () = stopped => return Err(PassError::Stopped),
        };
        let applied = if input.dry_run {
            None
        } else {
            let policy = self.policy(input, &basis);
            let is_current = || goes_on() && self.source.snapshot().revision == plan.revision;
            let applier = Applier {
                schedules: &self.schedules,
                project: &self.project,
                scheduled: &basis.scheduled,
                policy: &policy,
                concurrency: self.concurrency,
                clock,
                is_current: &is_current,
                progress,
            };
            let mut done = applier.apply(&plan, &observation.described).await;
            if !input.adoptions.is_empty() && !done.interrupted {
                let adopter = Adopter {
                    schedules: &self.schedules,
                    clock,
                    project: &self.project,
                    scheduled: &basis.scheduled,
                };
                adopter
                    .adopt_all(&input.adoptions, self.concurrency, &is_current, &mut done)
                    .await;
            }
            Some(done)
        };
        if let Some(applied) = &applied {
            self.watch_written(applied);
        }
        let report = report(input, snapshot, &plan, applied.as_ref(), now);
        let mut done = conclude(input, &plan, applied.as_ref(), report);
        done.announcements = (self.announcements_after)(input.heard);
        self.report_end(input, &done, &plan, applied.as_ref(), observation.describes);
        if input.only.is_none() && !input.dry_run && !done.interrupted {
            self.attention.passed(&Findings {
                project: &self.project,
                snapshot,
                plan: &plan,
                applied: applied.as_ref(),
                overdue: &self.monitor.overdue_schedules(),
            });
        }
        Ok(done)
    }

    /// The definitions of the registry that have a schedule and these labels.
    pub fn select(&self, selector: &Selector) -> Selection {
        let snapshot = self.source.snapshot();
        let all = snapshot.definitions.values();
        let mut ids: Vec<_> = all
            .map(|loaded| &loaded.definition)
            .filter(|one| one.schedule.is_some() && selector.matches(&one.labels))
            .map(|one| one.id.clone())
            .collect();
        let total = ids.len() as u64;
        ids.truncate(SELECTION_LIMIT);
        Selection {
            revision: snapshot.revision.clone(),
            ids,
            total,
        }
    }

    /// Observes the schedules and plans the operations of a pass.
    async fn observe_and_plan(
        &self,
        snapshot: &Snapshot,
        input: &PassInput,
        basis: &PassBasis,
    ) -> Result<(Plan, Observation), RequestError> {
        let policy = self.policy(input, basis);
        let observer = Observer {
            schedules: &self.schedules,
            project: &self.project,
            cache: &self.cache,
            fingerprints: &self.fingerprints,
            monitor: &self.monitor,
            concurrency: self.concurrency,
        };
        let scheduled = &basis.scheduled;
        let observation = if let Some(only) = &basis.only {
            observer.observe_only(only, scheduled, &policy).await?
        } else {
            let scope = if input.describe_all {
                DescribeScope::All
            } else {
                DescribeScope::ListFirst(input.resync_interval)
            };
            observer
                .observe(snapshot, scheduled, &policy, scope)
                .await?
        };
        let plan = compute(|| plan::plan(snapshot, scheduled, &observation.observed, &policy));
        Ok((plan, observation))
    }

    /// The schedules that the definitions ask for. A fast pass has only those
    /// of its own definitions, however many the registry holds.
    fn basis(&self, snapshot: &Snapshot, input: &PassInput, now: Timestamp) -> PassBasis {
        let only: Option<BTreeSet<DefinitionId>> = input
            .only
            .as_ref()
            .map(|only| only.iter().cloned().collect());
        let project = Arc::new(self.project.clone());
        let mut scheduled = match &only {
            None => plan::scheduled(&self.project, snapshot),
            Some(only) => only
                .iter()
                .filter_map(|id| {
                    let loaded = snapshot.definitions.get(id)?;
                    let (definition, source) = (&loaded.definition, &loaded.source);
                    let one = ScheduledDefinition::of(
                        &project,
                        definition,
                        source,
                        &snapshot.encryption,
                    )?;
                    Some((id.clone(), Arc::new(one)))
                })
                .collect(),
        };
        if let Some(project) = &self.adopts_from {
            for (id, one) in &mut scheduled {
                let adopts = &mut Arc::make_mut(one).adopts;
                adopts.push(project.schedule_id(id));
            }
        }
        for (id, adoption) in &input.adoptions {
            if let Some(one) = scheduled.get_mut(id) {
                Arc::make_mut(one).adopts = vec![adoption.from.clone()];
            }
        }
        PassBasis {
            scheduled,
            only,
            now,
        }
    }

    fn policy<'a>(&'a self, input: &'a PassInput, basis: &'a PassBasis) -> Policy<'a> {
        Policy {
            project: &self.project,
            now: basis.now,
            drift: input.drift,
            orphans: input.orphans,
            confirm: input.confirm.as_deref(),
            recently_removed: input.recently_removed,
            replicas_differ: input.replicas_differ,
            overrides: &input.overrides,
            requests: &input.orders,
            corrections: &input.corrections,
            only: basis.only.as_ref(),
        }
    }

    fn watch_written(&self, applied: &Applied) {
        let now = Timestamp::now();
        let written = applied.changes.iter();
        for change in written.filter(|change| change.op != Op::Delete) {
            if let Ok(definition) = change.id.parse() {
                self.monitor
                    .written(&self.project.schedule_id(&definition), now);
            }
        }
    }

    /// Logs the end of a pass, counts it and calls `on_full_pass`.
    fn report_end(
        &self,
        input: &PassInput,
        done: &PassDone,
        plan: &Plan,
        applied: Option<&Applied>,
        describes: u64,
    ) {
        let report = &done.report;
        // The reload counts invalid documents. The pass itself did all it
        // could.
        let failed =
            !plan.problems.is_empty() || applied.is_some_and(|applied| !applied.errors.is_empty());
        let created_paused = plan
            .creates
            .iter()
            .filter(|create| create.values().paused)
            .count();
        let paused = plan.paused + created_paused as u64;
        let result = match (done.interrupted, failed) {
            (true, _) => "interrupted",
            (false, true) => "errors",
            (false, false) => "ok",
        };
        metrics::pass(report, result);
        let counts = &report.schedules;
        let quiet = report.changes.is_empty() && !failed && report.held.is_none();
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    pass = report.pass, revision = %report.revision, result,
                    dry_run = report.dry_run, full = input.only.is_none(),
                    created = counts.created, updated = counts.updated,
                    deleted = counts.deleted, unchanged = counts.unchanged,
                    held = counts.held, errors = report.errors.len(), describes,
                    duration_ms = report.duration_ms, "pass ended"
                )
            };
        }
        if quiet {
            log!(debug);
        } else {
            log!(info);
        }
        if let Some(held) = &report.held {
            tracing::error!(
                count = held.count,
                reason = held.reason,
                digest = held.digest,
                "removals held"
            );
        }
        if report.dry_run {
            return;
        }
        for schedule in &plan.conflicts {
            tracing::error!(
                %schedule,
                "an unmanaged schedule has this id; not changed"
            );
        }
        for problem in &plan.problems {
            tracing::warn!(
                definition = problem.id.as_deref().unwrap_or_default(),
                problem = problem.message,
                "part of the plan cannot be applied; the rest continues"
            );
        }
        for (definition, reason) in &plan.ended_overrides {
            let failed = applied.is_some_and(|applied| applied.failed(definition));
            metrics::operation(Op::ClearOverride, !failed);
            if !failed {
                tracing::info!(%definition, reason, "override ended");
            }
        }
        if input.only.is_none() && !done.interrupted {
            metrics::schedules(
                "active",
                counts
                    .desired
                    .saturating_sub(paused + counts.conflicts + counts.unreadable),
            );
            metrics::schedules("paused", paused);
            metrics::schedules("overridden", counts.overridden);
            metrics::schedules("conflict", counts.conflicts);
            metrics::schedules("held", counts.held);
            metrics::schedules("orphaned", counts.orphaned);
            metrics::schedules("contested", counts.contested);
            metrics::schedules("unreadable", counts.unreadable);
            metrics::overdue(self.monitor.overdue_schedules().len() as u64);
            self.monitor.log_zone_differences();
            metrics::missed(0);
            if !failed {
                metrics::last_success(Timestamp::now());
            }
            self.monitor.passed(report.pass);
            (self.on_full_pass)(report);
        }
    }
}
