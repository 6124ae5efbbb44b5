//! Progress of long work, shown on a terminal.

use std::time::Duration;

use almanac_core::record::Report;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

use crate::reconcile_client::{ReconcileClient, ReconcileClientError};

/// Time after which progress is shown. Shorter work shows none.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// Interval between two queries of the progress.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Waits for the report of a pass, as [`ReconcileClient::report`] does. Meanwhile the progress
/// of the pass is printed on standard error if that is a terminal.
pub(super) async fn report(
    reconciler: &ReconcileClient,
    pass: u64,
    limit: Duration,
) -> Result<Option<Report>, ReconcileClientError> {
    let bar = ProgressBar::new_spinner();
    let display = Box::pin(async {
        if bar.is_hidden() {
            return std::future::pending().await;
        }
        sleep(SHOWN_AFTER).await;
        bar.set_message(format!("waiting for pass {pass}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        loop {
            // Progress is only for display, so an error of the query is ignored.
            if let Ok(Some(now)) = reconciler.progress().await
                && now.total > 0
            {
                bar.set_style(counting());
                bar.set_length(now.total);
                bar.set_position(now.done);
            }
            sleep(POLL_INTERVAL).await;
        }
    });
    let report = tokio::select! {
        report = Box::pin(reconciler.report(pass, limit)) => report,
        never = display => never,
    };
    bar.finish_and_clear();
    report
}

fn counting() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}: {pos} of {len} operations, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
