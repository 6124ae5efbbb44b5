//! `almanac status`: prints on one screen what is wrong, for a person in an incident.
//!
//! Every finding names the command that helps. The command reads only.

mod findings;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use almanac_activities::schedules::view::{self, ScheduleState, ScheduleView};
use almanac_base::names::{Project, WorkerId};
use almanac_core::record::{Report, Status, WorkerState};
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use self::findings::{Finding, Overdue, of_reconciler, of_schedules, unanswered};
use self::text::text;
use super::Remote;
use super::list::unknown_states;
use super::watch::watch;
use crate::args::StatusArgs;
use crate::reconcile_client::ReconcileClientError;

/// The exit code if a finding is a problem.
const PROBLEM: u8 = 2;

/// The state of a project.
#[derive(Debug, Serialize)]
struct ProjectStatus {
    project: Project,
    namespace: String,
    /// Address of the Temporal server.
    address: String,
    /// `true` if no finding is a problem.
    healthy: bool,
    /// State of the reconcile workflow: `idle`, `running`, `waiting_for_worker`, `suspended`,
    /// `absent` (it does not run), or `unknown` (it does not answer).
    reconciler: String,
    workers: BTreeMap<WorkerId, WorkerState>,
    /// The last report of a full pass.
    last_pass: Option<Report>,
    /// Time at which a full pass last ended well.
    last_success: Option<Timestamp>,
    /// Number of schedules by their state.
    schedules: BTreeMap<ScheduleState, usize>,
    /// States that could not be checked for all schedules.
    unknown: BTreeSet<ScheduleState>,
    /// Findings for the operator, the most urgent first.
    findings: Vec<Finding>,
}

pub(super) async fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let project = &args.target.project;
    if let Some(interval) = args.watch {
        return Box::pin(watch(interval, || async {
            let status = ProjectStatus::of(&remote, project).await?;
            Ok(text(&status, Timestamp::now()))
        }))
        .await;
    }
    let status = ProjectStatus::of(&remote, project).await?;
    super::print(args.target.format, &status, |status| {
        text(status, Timestamp::now())
    })?;
    Ok(if status.healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(PROBLEM)
    })
}

impl ProjectStatus {
    async fn of(remote: &Remote, project: &Project) -> anyhow::Result<Self> {
        let asked = remote.reconciler.status().await;
        let context = super::view_context(project, asked.as_ref().ok());
        let views = view::list(&remote.schedules, context, None)
            .await
            .context("list the schedules")?;
        let overdue = Overdue::find(remote, &views, context).await;
        let mut findings = Vec::new();
        match &asked {
            Ok(status) => findings.extend(of_reconciler(project, status, context.now)),
            Err(error) => findings.push(unanswered(remote, project, error)),
        }
        findings.extend(overdue.finding(project, context.now));
        findings.extend(of_schedules(project, &views));
        let status = asked.unwrap_or_else(|error| Status {
            state: match error {
                ReconcileClientError::Absent(_) => "absent".to_owned(),
                _ => "unknown".to_owned(),
            },
            ..Status::default()
        });
        let place = (remote.address.clone(), remote.namespace.clone());
        Ok(Self::new(project.clone(), place, status, &views, findings))
    }

    fn new(
        project: Project,
        (address, namespace): (String, String),
        status: Status,
        views: &[ScheduleView],
        mut findings: Vec<Finding>,
    ) -> Self {
        let mut schedules = BTreeMap::new();
        for view in views {
            *schedules.entry(view.state).or_default() += 1;
        }
        let unknown = unknown_states(views, Some(&status));
        findings.sort_by_key(|finding| finding.kind);
        Self {
            project,
            namespace,
            address,
            healthy: !findings.iter().any(|finding| finding.problem),
            last_pass: status.last_applied_report().cloned(),
            last_success: status.last_success,
            reconciler: status.state,
            workers: status.workers,
            schedules,
            unknown,
            findings,
        }
    }
}

#[cfg(test)]
mod tests;
