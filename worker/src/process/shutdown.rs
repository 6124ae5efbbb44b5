//! The end of the process, after SIGTERM, SIGINT or SIGHUP.
//!
//! The process ends within `--shutdown-timeout`, or immediately after a second signal. In
//! either case no command of a step outlives it.

use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::steps::Steps;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console;

/// Time before the limit at which the watchdog ends the process, so that the process ends
/// *within* the limit.
const MARGIN: Duration = Duration::from_millis(250);
/// The exit code of a process that the watchdog ended before it was done.
const CUT_OFF: i32 = 1;
/// The exit code that a shell uses for a process that ended on Ctrl-C.
const INTERRUPTED: i32 = 130;

/// The signals that end the process.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal was closed; `None` if the process was started to ignore that.
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes over the signals from their default, which ends the process immediately.
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

    /// Waits for the next signal and returns its name.
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

    /// Guards the shutdown: ends the process immediately on a second signal, and in any
    /// case when `limit` is over. A thread of its own watches the limit, so that no
    /// blocking work can delay it. The commands of steps are killed first.
    pub(super) fn last_resort(mut self, limit: Duration, steps: Arc<Steps>) {
        let to_kill = Arc::clone(&steps);
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(signal = name, "second signal; exiting immediately");
            to_kill.kill_commands();
            console::flush();
            exit(INTERRUPTED);
        });
        let watchdog = std::thread::Builder::new().name("almanac-watchdog".to_owned());
        let started = watchdog.spawn(move || {
            std::thread::sleep(limit.saturating_sub(MARGIN));
            tracing::error!(?limit, "the shutdown takes too long; exiting now");
            steps.kill_commands();
            console::flush();
            exit(CUT_OFF);
        });
        if let Err(error) = started {
            tracing::error!(%error, "cannot start the watchdog of the shutdown");
        }
    }
}

/// Returns `true` if the program that started this process made it ignore SIGHUP, as
/// `nohup` does; `false` if the system does not say.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The number of SIGHUP is 1, which is the first bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// Returns the time that activities have to end: a little less than the process has.
pub(super) fn grace(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_secs(3)).max(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_sighup_is_read_from_the_process_status() {
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
