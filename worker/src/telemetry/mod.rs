//! Logs on stderr, the metrics page and traces: the telemetry of the process.
//!
//! All are global to the process and are installed once, before anything is logged or
//! counted. The SDK's events and metrics take the same two ways as Almanac's own. Serving
//! the page is left to the `http` module.

mod bridge;
mod labels;
mod logs;
mod page;
mod span_queue;
mod traces;

pub use bridge::SdkMeter;
pub use logs::{LogFormat, install_logs};
pub use page::{MetricsPage, install_metrics, needing_attention};
pub use traces::{TracedProcess, Traces};

/// Makes `tracing` ask every subscriber, for tests that read the log lines of their
/// thread. While there is only one subscriber, `tracing` asks the subscriber of the
/// thread that reaches a log line first whether it wants the line, and another test's
/// thread has no subscriber. After this call there are two subscribers, and all are
/// asked.
#[cfg(test)]
pub(crate) fn ask_every_subscriber() {
    use std::sync::LazyLock;
    static ANOTHER: LazyLock<tracing::Dispatch> =
        LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&ANOTHER);
}
