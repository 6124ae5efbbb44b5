//! The end of the process: told by SIGTERM or SIGINT, over within
//! `--shutdown-timeout`, at once when told twice.

use std::process::exit;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is left of the time when the watchdog ends the process: it has to be
/// gone *within* the time.
const MARGIN: Duration = Duration::from_millis(250);
/// The exit code of a process that was ended before it was done.
const CUT_OFF: i32 = 1;
/// The shell's code for a process that ended on Ctrl-C.
const INTERRUPTED: i32 = 130;

/// The signals that end the process.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which is to end at once.
    pub(super) fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and names it.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// From the first signal on: ends the process at once on a second one, and
    /// in any case when `limit` is over. The limit is watched by a thread of
    /// its own, so that nothing that blocks can hold it up.
    pub(super) fn last_resort(mut self, limit: Duration) {
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(signal = name, "told twice; ending at once");
            exit(INTERRUPTED);
        });
        let watchdog = std::thread::Builder::new().name("almanac-watchdog".to_owned());
        let started = watchdog.spawn(move || {
            std::thread::sleep(limit.saturating_sub(MARGIN));
            tracing::error!(?limit, "shutting down takes too long; ending now");
            exit(CUT_OFF);
        });
        if let Err(error) = started {
            tracing::error!(%error, "no watchdog over the shutdown");
        }
    }
}

/// How long activities may go on: a little less than the process may.
pub(super) fn grace(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_secs(3)).max(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activities_end_before_the_process_does() {
        assert_eq!(grace(Duration::from_secs(30)), Duration::from_secs(27));
        assert_eq!(grace(Duration::from_secs(2)), Duration::from_secs(1));
    }
}
