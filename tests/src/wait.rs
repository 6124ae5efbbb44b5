//! Waiting for conditions, with a bound.

use std::time::{Duration, Instant};

use anyhow::Context;

/// Long enough for anything that should happen soon, on a busy machine.
pub const SOON: Duration = Duration::from_secs(45);

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

/// Waits until `check` holds, [`SOON`].
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
