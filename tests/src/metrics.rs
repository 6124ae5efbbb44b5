//! The metrics page of a worker, as Prometheus reads it.

use std::collections::BTreeSet;

/// The metrics of Temporal's SDK that dashboards use, with the labels that they use. An end-to-end
/// test finds each of them on a worker's page.
pub const SDK_METRICS: [(&str, &[&str]); 10] = [
    ("temporal_activity_execution_failed", &["activity_type"]),
    (
        "temporal_activity_execution_latency_seconds_bucket",
        &["activity_type", "le"],
    ),
    ("temporal_request", &["operation"]),
    ("temporal_request_failure", &["operation", "status_code"]),
    (
        "temporal_request_latency_seconds_bucket",
        &["operation", "le"],
    ),
    ("temporal_worker_task_slots_available", &["worker_type"]),
    ("temporal_worker_task_slots_used", &["worker_type"]),
    ("temporal_workflow_completed", &["workflow_type"]),
    ("temporal_workflow_failed", &["workflow_type"]),
    (
        "temporal_workflow_task_execution_failed",
        &["workflow_type"],
    ),
];

/// The series of a page: each with its name and the names of its labels.
pub fn series(page: &str) -> impl Iterator<Item = (&str, BTreeSet<&str>)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (series, _) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        // A value ends with a quotation mark, and the next name follows a comma.
        let names = labels.split("\",").filter_map(|one| one.split_once('='));
        Some((name, names.map(|(label, _)| label).collect()))
    })
}
