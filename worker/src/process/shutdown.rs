//! The end of the process: told by SIGTERM, SIGINT or SIGHUP, over within
//! `--shutdown-timeout`, at once when told twice. However it is told, no command
//! of a step outlives it.

use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::steps::Steps;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console;

/// What is left of the time when the watchdog ends the process: it has to be
/// gone *within* the time.
const MARGIN: Duration = Duration::from_millis(250);
/// The exit code of a process that was ended before it was done.
const CUT_OFF: i32 = 1;
/// The shell's code for a process that ended on Ctrl-C.
const INTERRUPTED: i32 = 130;

/// The signals that end the process.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal is gone; none for who was started so that it does not matter.
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes the signals over from their default, which is to end at once.
    pub(crate) fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if hangup_is_ignored() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// Waits for the next one and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hangup => "SIGHUP",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// From the first signal on: ends the process at once on a second one, and
    /// in any case when `limit` is over. The limit is watched by a thread of
    /// its own, so that nothing that blocks can hold it up. The commands of steps
    /// are killed before.
    pub(super) fn last_resort(mut self, limit: Duration, steps: Arc<Steps>) {
        let to_kill = Arc::clone(&steps);
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(signal = name, "told twice; ending at once");
            to_kill.kill_commands();
            console::flush();
            exit(INTERRUPTED);
        });
        let watchdog = std::thread::Builder::new().name("almanac-watchdog".to_owned());
        let started = watchdog.spawn(move || {
            std::thread::sleep(limit.saturating_sub(MARGIN));
            tracing::error!(?limit, "shutting down takes too long; ending now");
            steps.kill_commands();
            console::flush();
            exit(CUT_OFF);
        });
        if let Err(error) = started {
            tracing::error!(%error, "no watchdog over the shutdown");
        }
    }
}

/// Whether who started this process had it ignore SIGHUP, as `nohup` does. Where
/// the system does not tell, it does not.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Its number is 1, which is the first bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// How long activities may go on: a little less than the process may.
pub(super) fn grace(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_secs(3)).max(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_without_a_terminal_is_known() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }

    #[test]
    fn activities_end_before_the_process_does() {
        assert_eq!(grace(Duration::from_secs(30)), Duration::from_secs(27));
        assert_eq!(grace(Duration::from_secs(2)), Duration::from_secs(1));
    }
}
