//! The metrics page: one recorder, in the text format of Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

use almanac_activities::metrics::{self as names, Metric};
use almanac_activities::reconcile::NeedAttention;
use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use temporalio_common::telemetry::metrics::default_buckets_for;

use super::bridge;
use crate::console;

/// Upper bounds of the buckets, in seconds: from a pass over a few schedules to a pass
/// over 10,000.
const DURATIONS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Histograms of the SDK that need buckets of their own.
const SDK_HISTOGRAMS: [&str; 6] = [
    "workflow_endtoend_latency",
    "workflow_task_schedule_to_start_latency",
    "workflow_task_replay_latency",
    "workflow_task_execution_latency",
    "activity_schedule_to_start_latency",
    "activity_execution_latency",
];

/// The contents of the metrics page.
#[derive(Debug, Clone)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// Returns the page as text, with the current values.
    pub fn render(&self) -> String {
        metrics::counter!(Metric::LogLinesDropped.as_str()).absolute(console::dropped_lines());
        self.0.render()
    }

    /// Adds recorded samples to the page's histograms, for ever: otherwise the samples
    /// would accumulate between two reads.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// Returns the series of the schedules that need attention. If the recorder held them like the
/// others, each schedule that once needed attention would keep a series.
pub fn needing_attention(found: &NeedAttention) -> String {
    let head = |metric: Metric| {
        let (name, help) = (metric.as_str(), metric.description());
        format!("# HELP {name} {help}\n# TYPE {name} gauge\n")
    };
    let mut page = String::new();
    let (metric, omitted) = (
        Metric::ScheduleNeedsAttention,
        Metric::ScheduleNeedsAttentionOmitted,
    );
    if !found.named.is_empty() {
        page += &head(metric);
    }
    for (definition, reason) in &found.named {
        let (name, reason) = (metric.as_str(), reason.as_str());
        // Neither an id nor a reason can have a character that needs an escape. Writing to text
        // does not fail.
        _ = writeln!(
            page,
            "{name}{{definition=\"{definition}\",reason=\"{reason}\"}} 1"
        );
    }
    format!(
        "{page}{}{} {}\n\n",
        head(omitted),
        omitted.as_str(),
        found.omitted
    )
}

fn builder() -> anyhow::Result<PrometheusBuilder> {
    let mut builder = PrometheusBuilder::new().set_buckets(&DURATIONS)?;
    for name in SDK_HISTOGRAMS {
        builder = builder.set_buckets_for_metric(
            Matcher::Full(bridge::histogram_name(&format!("temporal_{name}"))),
            default_buckets_for(name, true),
        )?;
    }
    Ok(builder)
}

/// Installs the recorder of the process. A second call fails.
pub fn install_metrics() -> anyhow::Result<MetricsPage> {
    let handle = builder()?
        .install_recorder()
        .context("cannot install the metrics recorder")?;
    names::describe();
    metrics::gauge!(
        Metric::BuildInfo.as_str(),
        "version" => env!("CARGO_PKG_VERSION"),
    )
    .set(1.0);
    Ok(MetricsPage(handle))
}

#[cfg(test)]
mod tests {
    use almanac_activities::reconcile::AttentionReason;

    use super::*;

    #[test]
    fn schedules_that_need_attention_have_series_of_their_own() {
        let found = NeedAttention {
            named: vec![
                ("late".parse().unwrap(), AttentionReason::Overdue),
                ("edited".parse().unwrap(), AttentionReason::Drift),
            ],
            omitted: 7,
        };
        insta::assert_snapshot!(needing_attention(&found), @r#"
        # HELP almanac_schedule_needs_attention Schedules that needed attention in the last full pass, as labels.
        # TYPE almanac_schedule_needs_attention gauge
        almanac_schedule_needs_attention{definition="late",reason="overdue"} 1
        almanac_schedule_needs_attention{definition="edited",reason="drift"} 1
        # HELP almanac_schedule_needs_attention_omitted Number of schedules that needed attention and are not named in a label.
        # TYPE almanac_schedule_needs_attention_omitted gauge
        almanac_schedule_needs_attention_omitted 7
        "#);
        insta::assert_snapshot!(needing_attention(&NeedAttention::default()), @"
        # HELP almanac_schedule_needs_attention_omitted Number of schedules that needed attention and are not named in a label.
        # TYPE almanac_schedule_needs_attention_omitted gauge
        almanac_schedule_needs_attention_omitted 0
        ");
    }

    #[test]
    fn a_pass_and_an_sdk_latency_have_buckets() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!(Metric::ReconcileDuration.as_str()).record(0.2);
            metrics::histogram!("temporal_workflow_task_execution_latency_seconds").record(0.002);
        });
        let page = handle.render();
        assert!(
            page.contains("almanac_reconcile_duration_seconds_bucket{le=\"0.25\"} 1"),
            "{page}"
        );
        assert!(
            page.contains("temporal_workflow_task_execution_latency_seconds_bucket{le=\"0.01\"} 1"),
            "{page}"
        );
        assert!(!page.contains("quantile"), "{page}");
    }
}
