//! What the process tells about itself: logs on stderr, and metrics on one page.
//!
//! Both are global to the process and are installed once, before anything is
//! logged or counted. The SDK's events and metrics go the same two ways as
//! Almanac's own. Serving the page is left to the `http` module.

mod bridge;
mod labels;
mod logs;
mod page;

pub use bridge::SdkMeter;
pub use logs::{LogFormat, install_logs};
pub use page::{MetricsPage, install_metrics};

/// For tests that read what is logged on their thread. While there is but one
/// subscriber, `tracing` asks that of the thread which comes to a line first
/// whether anybody wants it, and another test's thread has none. There are two
/// from here on, and all are asked.
#[cfg(test)]
pub(crate) fn ask_every_subscriber() {
    use std::sync::LazyLock;
    static ANOTHER: LazyLock<tracing::Dispatch> =
        LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&ANOTHER);
}
