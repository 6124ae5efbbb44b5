//! The process's condition: the source of the answers of `/healthz` and `/readyz`.
//!
//! A process is ready once a full pass that began after its start has listed, planned and tried
//! every operation, on any worker. The process knows its own passes. It reads those of other
//! workers from the reconcile workflow's state, without comparing clocks: passes are numbered,
//! and a pass that was asked for after the first query counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use almanac_activities::event_stream::StreamStatus;
use almanac_activities::metrics;
use almanac_core::record::{Status, Suspension};
use jiff::Timestamp;
use serde::Serialize;

use crate::connect::CredentialStatus;

/// State of the connection to Temporal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TemporalState {
    /// Temporal has not answered since the process started.
    Connecting,
    /// Temporal answers.
    Connected,
    /// Temporal answered before and does not answer now.
    Away,
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// `true` if the process is ready.
    pub ready: bool,
    /// Reason why the process is not ready; `None` if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// State of the connection to Temporal.
    pub temporal: TemporalState,
    /// Time at which this process started.
    pub started_at: Timestamp,
    /// Time at which the last full pass ended well.
    pub last_success: Option<Timestamp>,
    /// The last error that no later success has cleared.
    pub last_error: Option<String>,
    /// Messages about features that this version of the Temporal server lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// State of the credentials for Temporal.
    #[serde(skip_serializing_if = "CredentialStatus::is_empty")]
    pub credentials: CredentialStatus,
    /// State of the connection to the stream of events; `None` without `--nats-url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<StreamStatus>,
}

/// The process's condition, shared by its parts.
#[derive(Debug)]
pub struct Health(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    started_at: Timestamp,
    temporal: TemporalState,
    stopping: bool,
    progress: Progress,
    last_success: Option<Timestamp>,
    /// The suspension of the reconciler at the last query.
    suspended: Option<Suspension>,
    /// The error that the reconcile workflow reports.
    pass_error: Option<String>,
    /// An error that this process found with Temporal or with its workers.
    own_error: Option<String>,
    /// Messages about features that the server lacks, as of the last connection.
    server_warnings: Vec<String>,
    /// Reason why Temporal sends no tasks of new runs to this version of the worker deployment.
    without_tasks: Option<String>,
}

impl Health {
    /// The condition at the process's start.
    pub fn new(started_at: Timestamp) -> Self {
        Self(Mutex::new(Inner {
            started_at,
            temporal: TemporalState::Connecting,
            stopping: false,
            progress: Progress::Unknown,
            last_success: None,
            suspended: None,
            pass_error: None,
            own_error: None,
            server_warnings: Vec::new(),
            without_tasks: None,
        }))
    }

    /// The answer of `/readyz`.
    pub fn readiness(&self) -> Readiness {
        let inner = self.lock();
        let reason = if inner.stopping {
            Some("the worker is shutting down")
        } else if inner.progress == Progress::Ready {
            None
        } else if inner.without_tasks.is_some() {
            inner.without_tasks.as_deref()
        } else if inner.temporal == TemporalState::Connected {
            Some("no full pass has ended since the worker started")
        } else {
            Some("temporal has not answered since the worker started")
        };
        Readiness {
            ready: reason.is_none(),
            reason: reason.map(str::to_owned),
            temporal: inner.temporal,
            started_at: inner.started_at,
            last_success: inner.last_success,
            last_error: inner.own_error.clone().or_else(|| inner.pass_error.clone()),
            warnings: inner.server_warnings.clone(),
            credentials: CredentialStatus::default(),
            events: None,
        }
    }

    /// Records that Temporal answered.
    pub fn connected(&self) {
        let mut inner = self.lock();
        inner.temporal = TemporalState::Connected;
        inner.own_error = None;
    }

    /// Records that Temporal did not answer.
    pub fn away(&self, error: impl Into<String>) {
        let mut inner = self.lock();
        if inner.temporal == TemporalState::Connected {
            inner.temporal = TemporalState::Away;
        }
        inner.own_error = Some(error.into());
    }

    /// Records another error than Temporal's absence that keeps this process from working.
    pub fn trouble(&self, error: impl Into<String>) {
        self.lock().own_error = Some(error.into());
    }

    /// Records messages about features that the server lacks.
    pub fn server_warnings(&self, warnings: Vec<String>) {
        self.lock().server_warnings = warnings;
    }

    /// Records the reason why Temporal sends no tasks of new runs to this version of the worker
    /// deployment; `None` if it sends them.
    pub fn without_tasks(&self, reason: Option<String>) {
        self.lock().without_tasks = reason;
    }

    /// Takes the first status of the reconcile workflow, before this process announced itself.
    /// `None` if there is no such workflow.
    pub fn begin(&self, status: Option<&Status>) {
        let mut inner = self.lock();
        if inner.progress == Progress::Unknown {
            inner.progress = Progress::from_first_status(status);
        }
    }

    /// Records that this process did a full pass itself and tried every operation.
    pub fn full_pass(&self) {
        let mut inner = self.lock();
        inner.last_success = Some(Timestamp::now());
        inner.step(Progress::Ready);
    }

    /// Takes a status of the reconcile workflow.
    pub fn observe(&self, status: &Status) {
        let mut inner = self.lock();
        inner.last_success = status.last_success;
        if let Some(at) = status.last_success {
            // Another worker may have done the pass.
            metrics::last_success(at);
        }
        inner.note_suspension(status.suspended.as_ref());
        let suspended = status.suspended.as_ref();
        inner.pass_error = suspended
            .map(|suspension| format!("the reconciler is {suspension}"))
            .or_else(|| status.last_error.clone());
        let next = inner.progress.after(status);
        inner.step(next);
    }

    /// Returns `true` if a full pass has ended since the start and the process is not stopping.
    pub fn is_ready(&self) -> bool {
        let inner = self.lock();
        !inner.stopping && inner.progress == Progress::Ready
    }

    /// Returns `true` if the worker is shutting down.
    pub fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Records that the worker is shutting down. It is not ready from now on.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note_suspension(&mut self, now: Option<&Suspension>) {
        match (&self.suspended, now) {
            (before, Some(now)) if before.as_ref() != Some(now) => {
                tracing::warn!(
                    by = now.by, at = %now.at, reason = now.reason, "the reconciler is suspended"
                );
            }
            (Some(_), None) => tracing::info!("the reconciler has resumed"),
            _ => {}
        }
        self.suspended = now.cloned();
    }

    fn step(&mut self, next: Progress) {
        if next == Progress::Ready && self.progress != Progress::Ready {
            tracing::info!("ready: a full pass has ended");
        }
        self.progress = next;
    }
}

/// Progress of the reconcile workflow towards a full pass that began after this process's
/// start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The workflow's state has not been queried yet.
    Unknown,
    /// No pass that counts has ended well yet.
    Waiting {
        /// Number of the first pass that counts: it began after this process's start.
        eligible: u64,
        /// Number of the last pass that had ended at the last query.
        ended: u64,
        /// Time of the last success before a pass that counts ended.
        before: Option<Timestamp>,
    },
    /// A pass that counts ended well.
    Ready,
}

impl Progress {
    fn from_first_status(status: Option<&Status>) -> Self {
        match status {
            None => Self::Waiting {
                eligible: 1,
                ended: 0,
                before: None,
            },
            Some(status) => Self::Waiting {
                // The pass that is running now began before this process's start. Passes end in
                // the order of their numbers, so it is the one after the last.
                eligible: status.pass + 1 + u64::from(status.state == "running"),
                ended: status.pass,
                before: status.last_success,
            },
        }
    }

    fn after(self, status: &Status) -> Self {
        match self {
            Self::Ready => Self::Ready,
            Self::Unknown => Self::from_first_status(Some(status)),
            // The workflow lost its state: every pass from now on counts.
            Self::Waiting { ended, .. } if status.pass < ended => {
                Self::from_first_status(None).after(status)
            }
            Self::Waiting {
                eligible, before, ..
            } if status.pass >= eligible => {
                if status.last_success.is_some() && status.last_success != before {
                    Self::Ready
                } else {
                    Self::Waiting {
                        eligible,
                        ended: status.pass,
                        before,
                    }
                }
            }
            Self::Waiting { eligible, .. } => Self::Waiting {
                eligible,
                ended: status.pass,
                before: status.last_success,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, pass: u64, success: Option<i64>) -> Status {
        Status {
            state: state.to_owned(),
            pass,
            last_success: success.map(|at| Timestamp::from_second(at).unwrap()),
            ..Status::default()
        }
    }

    fn health() -> Health {
        Health::new(Timestamp::UNIX_EPOCH)
    }

    /// Returns `true` if the process is ready after this status.
    fn seen(health: &Health, status: &Status) -> bool {
        health.observe(status);
        health.is_ready()
    }

    #[test]
    fn the_first_pass_of_a_new_workflow_makes_it_ready() {
        let health = health();
        health.connected();
        health.begin(None);
        assert!(!seen(&health, &status("running", 0, None)));
        assert!(!health.readiness().ready);
        assert!(seen(&health, &status("idle", 1, Some(10))));
        assert!(health.readiness().ready);
    }

    #[test]
    fn successes_before_the_start_do_not_count() {
        let health = health();
        health.begin(Some(&status("idle", 7, Some(10))));
        assert!(!seen(&health, &status("idle", 7, Some(10))));
        assert!(seen(&health, &status("idle", 8, Some(20))));
    }

    #[test]
    fn a_pass_that_ran_at_the_start_does_not_count() {
        let health = health();
        health.begin(Some(&status("running", 7, Some(10))));
        assert!(!seen(&health, &status("running", 8, Some(20))));
        assert!(seen(&health, &status("idle", 9, Some(30))));
    }

    #[test]
    fn only_a_successful_full_pass_counts() {
        let health = health();
        health.begin(Some(&status("idle", 7, Some(10))));
        assert!(
            !seen(&health, &status("idle", 8, Some(10))),
            "a dry run, or a failed one"
        );
        assert!(seen(&health, &status("idle", 9, Some(30))));
    }

    #[test]
    fn a_workflow_that_lost_its_state_counts_from_one() {
        let health = health();
        health.begin(Some(&status("idle", 700, Some(10))));
        assert!(!seen(&health, &status("running", 0, None)));
        assert!(seen(&health, &status("idle", 1, Some(20))));
    }

    #[test]
    fn an_outage_of_temporal_is_reported_and_does_not_end_readiness() {
        let health = health();
        assert_eq!(health.readiness().temporal, TemporalState::Connecting);
        health.away("refused");
        assert_eq!(health.readiness().temporal, TemporalState::Connecting);
        health.connected();
        health.begin(None);
        health.observe(&status("idle", 1, Some(10)));
        health.away("gone");
        let readiness = health.readiness();
        assert_eq!(readiness.temporal, TemporalState::Away);
        assert_eq!(readiness.last_error.as_deref(), Some("gone"));
        assert!(readiness.ready);
        health.connected();
        assert_eq!(health.readiness().last_error, None);
    }

    #[test]
    fn warnings_about_the_server_are_those_of_the_last_connection() {
        let health = health();
        health.server_warnings(vec!["old".to_owned()]);
        assert_eq!(health.readiness().warnings, ["old"]);
        health.server_warnings(Vec::new());
        assert_eq!(health.readiness().warnings, [""; 0]);
    }

    #[test]
    fn a_stopping_process_is_not_ready() {
        let health = health();
        health.begin(None);
        health.observe(&status("idle", 1, Some(10)));
        health.stopping();
        assert!(!health.is_ready());
        assert_eq!(
            health.readiness().reason.as_deref(),
            Some("the worker is shutting down")
        );
    }

    #[test]
    fn a_version_without_tasks_says_so_until_another_version_has_done_the_pass() {
        let health = health();
        health.away("no answer");
        health.begin(None);
        health.without_tasks(Some("no current version".to_owned()));
        let readiness = health.readiness();
        assert!(!readiness.ready);
        assert_eq!(readiness.reason.as_deref(), Some("no current version"));
        health.observe(&status("idle", 1, Some(10)));
        assert_eq!(health.readiness().reason, None);
        health.without_tasks(None);
        assert!(health.readiness().ready);
    }
}
