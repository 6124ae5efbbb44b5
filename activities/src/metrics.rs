//! The names of Almanac's own metrics, as `docs/contract.md#9-metrics` gives them.
//!
//! No label carries an id, a path or the text of an error, except where an
//! operator asks for the names of schedules. The functions here record through the `metrics`
//! crate with [`Metric::as_str`] as the key. The `worker` crate exposes the
//! values.

use almanac_core::field::Field;
use almanac_core::record::{DeliveryState, DeliveryVia, Op, Report, RunKind, RunState, Trigger};
use jiff::Timestamp;

/// A metric of Almanac's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Number of passes that have ended.
    ReconcileTotal,
    /// Duration of a pass, in seconds.
    ReconcileDuration,
    /// Time at which the last full pass ended well, in seconds since the epoch.
    ReconcileLastSuccess,
    /// Time at which the last pass started, in seconds since the epoch.
    ReconcileLastAttempt,
    /// Number of operations on schedules.
    ScheduleOperations,
    /// Number of schedules as of the last full pass.
    Schedules,
    /// Fields that differed from what Almanac last wrote.
    DriftDetected,
    /// Drifted fields that were written back.
    DriftCorrected,
    /// Number of definitions in the registry.
    Definitions,
    /// Number of reloads of the registry.
    ReloadTotal,
    /// Duration of a reload, in seconds.
    ReloadDuration,
    /// Always 1.
    RegistryInfo,
    /// Number of events received.
    EventsTotal,
    /// Number of messages in the stream of events that the project's consumer
    /// has not delivered yet.
    EventsPending,
    /// Number of messages that the consumer has delivered and that are not
    /// acknowledged.
    EventsAckPending,
    /// Number of messages that the consumer has delivered more than once and
    /// that are not acknowledged.
    EventsRedelivered,
    /// Number of attempts to write a dead letter.
    EventDeadLetters,
    /// Actions that were due and never started, as the server counts them in
    /// descriptions.
    ScheduleMissed,
    /// Number of schedules that should have fired and did not, as of the last
    /// full pass.
    ScheduleOverdue,
    /// Always 1: a schedule that needed attention in the last full pass. Only with
    /// `--metrics-schedules`, and bounded by it.
    ScheduleNeedsAttention,
    /// Number of such schedules that have no series of their own.
    ScheduleNeedsAttentionOmitted,
    /// Log lines that were not written, or not in time.
    LogLinesDropped,
    /// Spans of traces that were not exported.
    TraceSpansDropped,
    /// HTTP connections that were closed and requests that were refused, so
    /// that one client leaves room for the others.
    HttpShed,
    /// Reloads of the files and keys that say who may use HTTP.
    AuthorityReloadTotal,
    /// Number of readings of the credentials for Temporal that found others.
    CredentialsReloadTotal,
    /// Unix time at which a credential for Temporal expires, in seconds.
    CredentialExpiry,
    /// 1 while Temporal refuses the credentials of this process, or this process those of the
    /// server.
    CredentialsRefused,
    /// Records of the SDK's metrics that were dropped because their series
    /// would have exceeded the limit.
    SeriesDropped,
    /// Always 1.
    BuildInfo,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A counter: the value only grows.
    Counter,
    /// A gauge: the value is set.
    Gauge,
    /// A histogram of seconds.
    Seconds,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 30] = [
        Self::ReconcileTotal,
        Self::ReconcileDuration,
        Self::ReconcileLastSuccess,
        Self::ReconcileLastAttempt,
        Self::ScheduleOperations,
        Self::Schedules,
        Self::DriftDetected,
        Self::DriftCorrected,
        Self::Definitions,
        Self::ReloadTotal,
        Self::ReloadDuration,
        Self::RegistryInfo,
        Self::EventsTotal,
        Self::EventsPending,
        Self::EventsAckPending,
        Self::EventsRedelivered,
        Self::EventDeadLetters,
        Self::ScheduleMissed,
        Self::ScheduleOverdue,
        Self::ScheduleNeedsAttention,
        Self::ScheduleNeedsAttentionOmitted,
        Self::LogLinesDropped,
        Self::TraceSpansDropped,
        Self::HttpShed,
        Self::AuthorityReloadTotal,
        Self::CredentialsReloadTotal,
        Self::CredentialExpiry,
        Self::CredentialsRefused,
        Self::SeriesDropped,
        Self::BuildInfo,
    ];

    /// The metric's name, with its prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileTotal => "almanac_reconcile_total",
            Self::ReconcileDuration => "almanac_reconcile_duration_seconds",
            Self::ReconcileLastSuccess => "almanac_reconcile_last_success_timestamp_seconds",
            Self::ReconcileLastAttempt => "almanac_reconcile_last_attempt_timestamp_seconds",
            Self::ScheduleOperations => "almanac_schedule_operations_total",
            Self::Schedules => "almanac_schedules",
            Self::DriftDetected => "almanac_drift_detected_total",
            Self::DriftCorrected => "almanac_drift_corrected_total",
            Self::Definitions => "almanac_definitions",
            Self::ReloadTotal => "almanac_reload_total",
            Self::ReloadDuration => "almanac_reload_duration_seconds",
            Self::RegistryInfo => "almanac_registry_info",
            Self::EventsTotal => "almanac_events_total",
            Self::EventsPending => "almanac_events_pending",
            Self::EventsAckPending => "almanac_events_ack_pending",
            Self::EventsRedelivered => "almanac_events_redelivered",
            Self::EventDeadLetters => "almanac_event_dead_letters_total",
            Self::ScheduleMissed => "almanac_schedule_missed_total",
            Self::ScheduleOverdue => "almanac_schedule_overdue",
            Self::ScheduleNeedsAttention => "almanac_schedule_needs_attention",
            Self::ScheduleNeedsAttentionOmitted => "almanac_schedule_needs_attention_omitted",
            Self::LogLinesDropped => "almanac_log_lines_dropped_total",
            Self::TraceSpansDropped => "almanac_trace_spans_dropped_total",
            Self::HttpShed => "almanac_http_shed_total",
            Self::AuthorityReloadTotal => "almanac_authority_reload_total",
            Self::CredentialsReloadTotal => "almanac_credentials_reload_total",
            Self::CredentialExpiry => "almanac_credential_expiry_timestamp_seconds",
            Self::CredentialsRefused => "almanac_credentials_refused",
            Self::SeriesDropped => "almanac_metric_series_dropped_total",
            Self::BuildInfo => "almanac_build_info",
        }
    }

    /// The line of help on the metrics page.
    pub const fn description(self) -> &'static str {
        match self {
            Self::ReconcileTotal => "Number of passes that have ended.",
            Self::ReconcileDuration => "Duration of a pass, in seconds.",
            Self::ReconcileLastSuccess => {
                "Unix time at which the last successful full pass ended, in seconds."
            }
            Self::ReconcileLastAttempt => "Unix time at which the last pass started, in seconds.",
            Self::ScheduleOperations => "Number of operations on schedules.",
            Self::Schedules => "Number of schedules in the last full pass.",
            Self::DriftDetected => "Number of drifted fields that were detected.",
            Self::DriftCorrected => "Number of drifted fields that were corrected.",
            Self::Definitions => "Number of definitions in the registry.",
            Self::ReloadTotal => "Number of reloads of the registry.",
            Self::ReloadDuration => "Duration of a reload of the registry, in seconds.",
            Self::RegistryInfo => "Revision of the registry, as a label.",
            Self::EventsTotal => "Number of events received.",
            Self::EventsPending => {
                "Number of messages in the stream of events that were not delivered yet."
            }
            Self::EventsAckPending => {
                "Number of messages with events that were delivered and not acknowledged."
            }
            Self::EventsRedelivered => {
                "Number of messages with events that were delivered more than once and not \
                 acknowledged."
            }
            Self::EventDeadLetters => "Number of attempts to write a dead letter.",
            Self::ScheduleMissed => "Number of actions that were due and never started.",
            Self::ScheduleOverdue => "Number of schedules whose due run has not started.",
            Self::ScheduleNeedsAttention => {
                "Schedules that needed attention in the last full pass, as labels."
            }
            Self::ScheduleNeedsAttentionOmitted => {
                "Number of schedules that needed attention and are not named in a label."
            }
            Self::LogLinesDropped => "Number of log lines that could not be written.",
            Self::TraceSpansDropped => "Number of spans of traces that were not exported.",
            Self::HttpShed => {
                "Number of HTTP connections closed and requests refused to leave capacity for \
                 others."
            }
            Self::CredentialsReloadTotal => {
                "Number of times that other credentials for Temporal were found."
            }
            Self::CredentialsRefused => {
                "1 if Temporal refuses the credentials of this process, or the reverse; otherwise 0."
            }
            Self::CredentialExpiry => {
                "Unix time at which a credential for Temporal expires, in seconds."
            }
            Self::AuthorityReloadTotal => {
                "Number of reloads of the token file, of the issuer's keys and of webhooks' secrets."
            }
            Self::SeriesDropped => {
                "Number of records of the SDK's metrics that got no series of their own."
            }
            Self::BuildInfo => "Version of Almanac, as a label.",
        }
    }

    /// The names of the metric's labels.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::ReconcileTotal => &["result", "trigger"],
            Self::ScheduleOperations => &["op", "result"],
            Self::Schedules => &["state"],
            Self::DriftDetected | Self::DriftCorrected => &["field"],
            Self::Definitions => &["kind", "status"],
            Self::RegistryInfo => &["revision"],
            Self::EventsTotal => &["source", "result"],
            Self::ReloadTotal
            | Self::EventDeadLetters
            | Self::AuthorityReloadTotal
            | Self::CredentialsReloadTotal => &["result"],
            Self::ScheduleNeedsAttention => &["definition", "reason"],
            Self::HttpShed | Self::TraceSpansDropped => &["reason"],
            Self::CredentialExpiry => &["credential"],
            Self::BuildInfo => &["version"],
            Self::ReconcileDuration
            | Self::ReconcileLastSuccess
            | Self::ReconcileLastAttempt
            | Self::ReloadDuration
            | Self::EventsPending
            | Self::EventsAckPending
            | Self::EventsRedelivered
            | Self::ScheduleMissed
            | Self::ScheduleOverdue
            | Self::ScheduleNeedsAttentionOmitted
            | Self::CredentialsRefused
            | Self::LogLinesDropped
            | Self::SeriesDropped => &[],
        }
    }

    /// The type of the metric.
    pub const fn kind(self) -> Kind {
        match self {
            Self::ReconcileTotal
            | Self::ScheduleOperations
            | Self::DriftDetected
            | Self::DriftCorrected
            | Self::ReloadTotal
            | Self::EventsTotal
            | Self::EventDeadLetters
            | Self::ScheduleMissed
            | Self::LogLinesDropped
            | Self::TraceSpansDropped
            | Self::HttpShed
            | Self::AuthorityReloadTotal
            | Self::CredentialsReloadTotal
            | Self::SeriesDropped => Kind::Counter,
            Self::ReconcileLastSuccess
            | Self::ReconcileLastAttempt
            | Self::Schedules
            | Self::Definitions
            | Self::RegistryInfo
            | Self::ScheduleOverdue
            | Self::ScheduleNeedsAttention
            | Self::ScheduleNeedsAttentionOmitted
            | Self::EventsPending
            | Self::EventsAckPending
            | Self::EventsRedelivered
            | Self::CredentialExpiry
            | Self::CredentialsRefused
            | Self::BuildInfo => Kind::Gauge,
            Self::ReconcileDuration | Self::ReloadDuration => Kind::Seconds,
        }
    }
}

/// Describes every metric to the recorder that is installed.
pub fn describe() {
    for metric in Metric::ALL {
        let (name, help) = (metric.as_str(), metric.description());
        match metric.kind() {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Seconds => metrics::describe_histogram!(name, metrics::Unit::Seconds, help),
        }
    }
}

/// Counts one write to a schedule.
pub(crate) fn operation(op: Op, succeeded: bool) {
    let result = if succeeded { "ok" } else { "error" };
    metrics::counter!(
        Metric::ScheduleOperations.as_str(), "op" => op_name(op), "result" => result
    )
    .increment(1);
}

/// Counts one delivery of an event.
pub(crate) fn event(via: DeliveryVia, state: DeliveryState) {
    metrics::counter!(
        Metric::EventsTotal.as_str(), "source" => via.as_str(), "result" => state.as_str()
    )
    .increment(1);
}

/// Counts one request to a webhook without a good signature.
pub fn unauthorized_webhook() {
    let source = DeliveryVia::Webhook.as_str();
    metrics::counter!(
        Metric::EventsTotal.as_str(), "source" => source, "result" => "unauthorized"
    )
    .increment(1);
}

/// The cause for which spans of traces are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanLoss {
    /// Too many spans waited for the collector.
    Queue,
    /// The collector did not take the spans, or did not say so in time.
    Export,
}

/// Counts spans of traces that were lost.
pub fn lost_spans(cause: SpanLoss, spans: u64) {
    let reason = match cause {
        SpanLoss::Queue => "queue",
        SpanLoss::Export => "export",
    };
    metrics::counter!(Metric::TraceSpansDropped.as_str(), "reason" => reason).increment(spans);
}

/// Counts a reading of a file or of keys that found new contents, and each reading that failed.
pub fn authority_reload(succeeded: bool) {
    let result = if succeeded { "ok" } else { "error" };
    metrics::counter!(Metric::AuthorityReloadTotal.as_str(), "result" => result).increment(1);
}

/// Counts a reading of the credentials for Temporal that found others.
pub fn credentials_reload(succeeded: bool) {
    let result = if succeeded { "ok" } else { "error" };
    metrics::counter!(Metric::CredentialsReloadTotal.as_str(), "result" => result).increment(1);
}

/// Sets the time at which a credential for Temporal expires; `None` if it does not, or does not say.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub fn credential_expiry(credential: &'static str, at: Option<jiff::Timestamp>) {
    metrics::gauge!(Metric::CredentialExpiry.as_str(), "credential" => credential)
        .set(at.map_or(f64::INFINITY, |at| at.as_second() as f64));
}

/// Sets if the credentials of this process or of the server are refused.
pub fn credentials_refused(refused: bool) {
    metrics::gauge!(Metric::CredentialsRefused.as_str()).set(f64::from(u8::from(refused)));
}

/// Sets the numbers of messages of the consumer of events.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn event_consumer(pending: u64, ack_pending: u64, redelivered: u64) {
    for (metric, value) in [
        (Metric::EventsPending, pending),
        (Metric::EventsAckPending, ack_pending),
        (Metric::EventsRedelivered, redelivered),
    ] {
        metrics::gauge!(metric.as_str()).set(value as f64);
    }
}

/// Counts an attempt to write a dead letter.
pub(crate) fn dead_letter(succeeded: bool) {
    let result = if succeeded { "ok" } else { "error" };
    metrics::counter!(Metric::EventDeadLetters.as_str(), "result" => result).increment(1);
}

/// Counts the end of one manual run.
pub(crate) fn manual_run(kind: RunKind, state: RunState) {
    metrics::counter!(
        Metric::ScheduleOperations.as_str(), "op" => kind.name(), "result" => state.name()
    )
    .increment(1);
}

/// The name of an operation in labels and logs.
pub fn op_name(op: Op) -> &'static str {
    op.as_str()
}

/// The name of a pass's cause in labels and traces.
pub(crate) fn trigger_name(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Interval => "interval",
        Trigger::Start => "start",
        Trigger::Change => "change",
        Trigger::Signal => "signal",
        Trigger::Sync => "sync",
        Trigger::Override => "override",
        Trigger::Resume => "resume",
        Trigger::Adopt => "adopt",
    }
}

/// Records a pass that has ended.
pub(crate) fn pass(report: &Report, result: &'static str) {
    metrics::counter!(
        Metric::ReconcileTotal.as_str(),
        "result" => result, "trigger" => trigger_name(report.trigger)
    )
    .increment(1);
    #[expect(clippy::cast_precision_loss, reason = "a pass takes less than 2^52 ms")]
    metrics::histogram!(Metric::ReconcileDuration.as_str())
        .record(report.duration_ms as f64 / 1000.0);
    for (field, count) in &report.drift.by_field {
        metrics::counter!(Metric::DriftDetected.as_str(), "field" => field.as_str())
            .increment(*count);
    }
}

/// Records one field that was written back.
pub(crate) fn corrected(field: Field) {
    metrics::counter!(Metric::DriftCorrected.as_str(), "field" => field.as_str()).increment(1);
}

/// Records the time at which a full pass of any worker of the project ended
/// well.
pub fn last_success(at: Timestamp) {
    self::at(Metric::ReconcileLastSuccess, at);
}

/// Sets a metric to a time, in seconds since the epoch.
pub(crate) fn at(metric: Metric, time: Timestamp) {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit well")]
    metrics::gauge!(metric.as_str()).set(time.as_second() as f64);
}

/// Counts actions that were due and never started. A count of 0 makes the
/// series appear.
pub(crate) fn missed(count: u64) {
    metrics::counter!(Metric::ScheduleMissed.as_str()).increment(count);
}

/// Records the number of schedules that should have fired and did not.
pub(crate) fn overdue(count: u64) {
    #[expect(clippy::cast_precision_loss, reason = "at most 50,000 schedules")]
    metrics::gauge!(Metric::ScheduleOverdue.as_str()).set(count as f64);
}

/// Records the number of schedules in a state.
pub(crate) fn schedules(state: &'static str, count: u64) {
    #[expect(clippy::cast_precision_loss, reason = "at most 50,000 schedules")]
    metrics::gauge!(Metric::Schedules.as_str(), "state" => state).set(count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_have_the_prefix_and_the_unit() {
        for metric in Metric::ALL {
            let name = metric.as_str();
            assert!(name.starts_with("almanac_"), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind() == Kind::Counter,
                "{name}"
            );
            if metric.kind() == Kind::Seconds {
                assert!(name.ends_with("_seconds"), "{name}");
            }
        }
    }
}
