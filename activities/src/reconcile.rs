//! The activity that does a pass: observe, plan, apply, report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use almanac_workflows::contracts;
use almanac_workflows::names::Project;
use almanac_workflows::plan::{self, Plan, Policy, record_corrections};
use almanac_workflows::record::{
    Change, LIST_LIMIT, Op, PassDone, PassInput, PassOutcome, Progress, Report, ReportError,
    bound_corrections,
};
use almanac_workflows::schedule::Field;
use almanac_workflows::snapshot::Snapshot;
use jiff::Timestamp;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use crate::definitions::DefinitionSource;
use crate::metrics::{self, Metric};
use crate::schedules::{
    Applied, Applier, Depth, Observation, Observer, RequestError, Schedules, SettledCache,
};

/// How often a pass tells the server that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Does passes for one project, over one registry.
pub struct Reconciler {
    schedules: Schedules,
    project: Project,
    source: Arc<dyn DefinitionSource>,
    concurrency: usize,
    cache: SettledCache,
    /// Told of each full pass that was no dry run and tried every operation.
    on_full_pass: Box<dyn Fn(&Report) + Send + Sync>,
}

impl Reconciler {
    /// A reconciler with `concurrency` requests at a time.
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
            cache: SettledCache::default(),
            on_full_pass: Box::new(on_full_pass),
        }
    }

    /// What a pass would do now, and what it saw. Writes nothing.
    pub async fn plan(&self, input: &PassInput) -> Result<(Plan, Report), RequestError> {
        let snapshot = self.source.snapshot();
        let started_at = Timestamp::now();
        let (plan, _) = self.look(&snapshot, input, started_at).await?;
        let report = report(input, &snapshot, &plan, None, started_at);
        Ok((plan, report))
    }

    /// One pass.
    pub async fn pass(
        &self,
        input: &PassInput,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<PassOutcome, RequestError> {
        let snapshot = self.source.snapshot();
        if snapshot.revision != input.revision {
            return Ok(PassOutcome::Refused {
                holds: snapshot.revision.clone(),
            });
        }
        let started_at = Timestamp::now();
        metrics::at(Metric::ReconcileLastAttempt, started_at);
        let (plan, observation) = self.look(&snapshot, input, started_at).await?;
        let applied = if input.dry_run {
            None
        } else {
            Some(
                self.apply(&snapshot, input, &plan, &observation, started_at, progress)
                    .await,
            )
        };
        let report = report(input, &snapshot, &plan, applied.as_ref(), started_at);
        let done = conclude(input, &plan, applied.as_ref(), report);
        self.tell(input, &done, observation.describes);
        Ok(PassOutcome::Done(Box::new(done)))
    }

    async fn look(
        &self,
        snapshot: &Snapshot,
        input: &PassInput,
        now: Timestamp,
    ) -> Result<(Plan, Observation), RequestError> {
        let desired = plan::desired(&self.project, snapshot);
        let only = only(input);
        let policy = self.policy(input, only.as_ref(), now);
        let observer = Observer {
            schedules: &self.schedules,
            project: &self.project,
            cache: &self.cache,
            concurrency: self.concurrency,
        };
        let observation = if let Some(only) = &only {
            observer.observe_only(only, &desired, &policy).await?
        } else {
            let depth = if input.describe_all {
                Depth::DescribeAll
            } else {
                Depth::ListFirst(input.resync_interval)
            };
            observer.observe(snapshot, &desired, &policy, depth).await?
        };
        let plan = plan::plan(snapshot, &desired, &observation.observed, &policy);
        Ok((plan, observation))
    }

    async fn apply(
        &self,
        snapshot: &Snapshot,
        input: &PassInput,
        plan: &Plan,
        observation: &Observation,
        now: Timestamp,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Applied {
        let desired = plan::desired(&self.project, snapshot);
        let only = only(input);
        let policy = self.policy(input, only.as_ref(), now);
        Applier {
            schedules: &self.schedules,
            project: &self.project,
            desired: &desired,
            policy: &policy,
            concurrency: self.concurrency,
            is_current: &|| self.source.snapshot().revision == plan.revision,
            progress,
        }
        .apply(plan, &observation.described)
        .await
    }

    fn policy<'a>(
        &'a self,
        input: &'a PassInput,
        only: Option<&'a BTreeSet<almanac_workflows::names::DefinitionId>>,
        now: Timestamp,
    ) -> Policy<'a> {
        Policy {
            project: &self.project,
            now,
            drift: input.drift,
            orphans: input.orphans,
            confirm: input.confirm.as_deref(),
            recently_removed: input.recently_removed,
            replicas_differ: input.replicas_differ,
            overrides: &input.overrides,
            corrections: &input.corrections,
            only,
        }
    }

    /// Logs, counts and hands on what a pass came to.
    fn tell(&self, input: &PassInput, done: &PassDone, describes: u64) {
        let report = &done.report;
        let failed = !report.errors.is_empty();
        let result = match (done.interrupted, failed) {
            (true, _) => "interrupted",
            (false, true) => "errors",
            (false, false) => "ok",
        };
        metrics::pass(report, result);
        let counts = &report.schedules;
        let quiet = report.changes.is_empty() && report.errors.is_empty() && report.held.is_none();
        macro_rules! say {
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
            say!(debug);
        } else {
            say!(info);
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
        if input.only.is_none() && !done.interrupted {
            metrics::schedules("desired", counts.desired);
            metrics::schedules("overridden", counts.overridden);
            metrics::schedules("conflict", counts.conflicts);
            metrics::schedules("held", counts.held);
            metrics::schedules("orphaned", counts.orphaned);
            metrics::schedules("contested", counts.contested);
            if !failed {
                metrics::at(Metric::ReconcileLastSuccess, Timestamp::now());
            }
            (self.on_full_pass)(report);
        }
    }
}

fn only(input: &PassInput) -> Option<BTreeSet<almanac_workflows::names::DefinitionId>> {
    input
        .only
        .as_ref()
        .map(|only| only.iter().cloned().collect())
}

/// What the workflow learns of a pass.
fn conclude(input: &PassInput, plan: &Plan, applied: Option<&Applied>, report: Report) -> PassDone {
    let mut corrections = input.corrections.clone();
    let mut overrides = plan.overrides.clone();
    if let Some(applied) = applied {
        let now = Timestamp::now();
        for (id, fields) in &applied.corrected {
            record_corrections(&mut corrections, id, fields, now);
            for field in fields {
                metrics::corrected(*field);
            }
        }
        overrides.extend(applied.overrides.clone());
        bound_corrections(&mut corrections);
    }
    // An override that nobody has, and nobody had, is no news.
    overrides.retain(|id, one| one.is_some() || input.overrides.contains_key(id));
    PassDone {
        interrupted: applied.is_some_and(|applied| applied.interrupted),
        removed: applied.map_or(0, |applied| applied.removed),
        overrides: if report.dry_run {
            BTreeMap::new()
        } else {
            overrides
        },
        corrections,
        report,
    }
}

/// The report of a pass; without `applied`, of what it would have done.
fn report(
    input: &PassInput,
    snapshot: &Snapshot,
    plan: &Plan,
    applied: Option<&Applied>,
    started_at: Timestamp,
) -> Report {
    let mut report = Report {
        pass: input.pass,
        revision: plan.revision.clone(),
        trigger: input.trigger,
        dry_run: applied.is_none(),
        started_at,
        definitions: input.definitions,
        event_types: input.event_types,
        held: plan.held.clone(),
        changes: applied.map_or_else(|| planned_changes(plan), |applied| applied.changes.clone()),
        errors: plan.problems.clone(),
        ..Report::default()
    };
    report.definitions.total = snapshot.definitions.len() as u64;
    report.definitions.invalid = snapshot.failed.len() as u64;
    report
        .errors
        .extend(applied.iter().flat_map(|applied| applied.errors.clone()));
    report.errors.extend(snapshot.failed.iter().map(|document| {
        ReportError {
            source: document.errors.first().map_or_else(
                || document.source.clone(),
                |first| format!("{}:{}:{}", first.path, first.line, first.column),
            ),
            id: document.id.as_ref().map(ToString::to_string),
            message: document
                .errors
                .first()
                .map(|first| first.message.clone())
                .unwrap_or_default(),
        }
    }));
    count(&mut report, plan, applied);
    let cut = report.changes.len().saturating_sub(LIST_LIMIT)
        + report.errors.len().saturating_sub(LIST_LIMIT);
    report.changes.truncate(LIST_LIMIT);
    report.errors.truncate(LIST_LIMIT);
    report.truncated = cut as u64
        + plan
            .held
            .as_ref()
            .map_or(0, |held| held.count.saturating_sub(held.ids.len() as u64));
    report.duration_ms = Timestamp::now()
        .duration_since(started_at)
        .as_millis()
        .try_into()
        .unwrap_or_default();
    report
}

fn count(report: &mut Report, plan: &Plan, applied: Option<&Applied>) {
    let of = |op: Op| {
        report
            .changes
            .iter()
            .filter(|change| change.op == op)
            .count() as u64
    };
    let counts = &mut report.schedules;
    counts.desired = plan.desired;
    counts.created = of(Op::Create);
    counts.updated = of(Op::Update);
    counts.deleted = of(Op::Delete);
    (counts.paused, counts.unpaused) = match applied {
        Some(applied) => (applied.paused, applied.unpaused),
        None => (planned_pauses(plan, true), planned_pauses(plan, false)),
    };
    counts.unchanged = plan.unchanged;
    counts.overridden = plan.overrides.values().flatten().count() as u64;
    counts.conflicts = plan.conflicts.len() as u64 + applied.map_or(0, |applied| applied.conflicts);
    counts.held = plan.held.as_ref().map_or(0, |held| held.count);
    counts.orphaned = plan.orphaned.len() as u64;
    counts.contested = plan.contested.len() as u64;
    let by_field = &mut report.drift.by_field;
    for field in plan.drift.values().flatten() {
        *by_field.entry(*field).or_default() += 1;
    }
    report.drift.detected = by_field.values().sum();
    report.drift.corrected = match applied {
        Some(applied) => applied
            .corrected
            .values()
            .map(|fields| fields.len() as u64)
            .sum(),
        None => 0,
    };
}

fn planned_pauses(plan: &Plan, paused: bool) -> u64 {
    plan.updates
        .iter()
        .filter(|update| {
            update.changes.iter().any(|change| {
                change.field == Field::Paused && change.after == serde_json::Value::Bool(paused)
            })
        })
        .count() as u64
}

fn planned_changes(plan: &Plan) -> Vec<Change> {
    let creates = plan.creates.iter().map(|create| Change {
        id: create.definition.to_string(),
        op: Op::Create,
        fields: Vec::new(),
        reason: "no such schedule".to_owned(),
    });
    let updates = plan.updates.iter().map(|update| Change {
        id: update.definition.to_string(),
        op: update.op,
        fields: update.fields.keys().copied().collect(),
        reason: update.reason.clone(),
    });
    let deletes = plan.deletes.iter().map(|delete| Change {
        id: delete.definition.to_string(),
        op: Op::Delete,
        fields: Vec::new(),
        reason: "its definition is gone".to_owned(),
    });
    creates.chain(updates).chain(deletes).collect()
}

/// The activities of one worker process's own queue.
pub struct ReconcileActivities {
    reconciler: Arc<Reconciler>,
}

impl ReconcileActivities {
    /// The activities over `reconciler`.
    pub fn new(reconciler: Arc<Reconciler>) -> Self {
        Self { reconciler }
    }
}

#[activities]
impl ReconcileActivities {
    /// One pass: observe, plan, apply, report.
    #[activity(definition = contracts::Reconcile)]
    pub async fn reconcile(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: PassInput,
    ) -> Result<PassOutcome, ActivityError> {
        let latest = Mutex::new(Progress::default());
        let progress = |now: Progress| {
            *latest
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = now;
        };
        let heartbeats = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let now = *latest
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Err(error) = ctx.record_heartbeat(now).await {
                    break error;
                }
            }
        };
        tokio::select! {
            outcome = self.reconciler.pass(&input, &progress) => {
                outcome.map_err(|error| {
                    tracing::warn!(pass = input.pass, %error, "pass failed");
                    ApplicationFailure::new(error.to_string()).into()
                })
            }
            () = ctx.cancelled() => Err(ApplicationFailure::new("the worker shuts down").into()),
            error = heartbeats => Err(ApplicationFailure::new(error).into()),
        }
    }
}
