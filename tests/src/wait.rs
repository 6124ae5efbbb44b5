//! Waiting for conditions, with a bound.

use std::time::{Duration, Instant};

use almanac_core::record::Status;
use anyhow::Context;
use jiff::Timestamp;

/// Maximum time for anything that should happen soon. A machine that builds other
/// things beside the tests may take this long for what else takes a second.
pub const SOON: Duration = Duration::from_mins(2);

/// Interval after which a busy process is asked again.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// Waits until `check` gives a value. A check that fails is tried again; the
/// last failure is part of the error.
pub async fn wait_for<T, F>(
    what: &str,
    timeout: Duration,
    mut check: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(10);
    loop {
        let failure = match check().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => anyhow::anyhow!("not so at the last look"),
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(failure).with_context(|| format!("waiting {timeout:?} for: {what}"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

/// Waits until `check` holds, for [`SOON`] at most.
pub async fn eventually<F>(what: &str, mut check: impl FnMut() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    wait_for(what, SOON, || {
        let check = check();
        async move { Ok(check.await?.then_some(())) }
    })
    .await
}

/// Waits until a time has passed, such as the end of an override or a fire time.
pub async fn passed(time: Timestamp) {
    while let Ok(left) = Duration::try_from(time.duration_since(Timestamp::now())) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// Waits until the reconcile workflow has done the passes that it was asked for.
/// Gives its state as it is then.
pub async fn idle<F>(mut status: impl FnMut() -> F) -> anyhow::Result<Status>
where
    F: Future<Output = anyhow::Result<Status>>,
{
    wait_for("the reconcile workflow to be idle", SOON, || {
        let status = status();
        async move {
            let status = status.await?;
            let is_idle = status.state == "idle" && status.pass >= status.requested;
            Ok(is_idle.then_some(status))
        }
    })
    .await
}
