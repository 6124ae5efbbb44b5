//! The process groups of the commands that run, so that all of them can be ended.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The groups that one configuration's commands lead.
#[derive(Debug, Default)]
pub(super) struct ProcessGroups {
    state: Mutex<State>,
    /// Whether those that no step waits for were asked to end.
    ending: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    leaders: Vec<Pid>,
    /// No command begins any more.
    closed: bool,
}

impl ProcessGroups {
    /// Starts a command as the leader of a group. Under the lock, so that none
    /// begins unseen while all are killed.
    pub(super) fn begin(&self, command: &mut Command) -> io::Result<(Child, Pid)> {
        let mut state = self.lock();
        if state.closed {
            return Err(io::Error::other("the process ends"));
        }
        let child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = id.and_then(Pid::from_raw);
        let leader = leader.ok_or_else(|| io::Error::other("it has no process id"))?;
        state.leaders.push(leader);
        Ok((child, leader))
    }

    /// Lets go of a group, before its leader is reaped: its id may be somebody
    /// else's then.
    pub(super) fn forget(&self, leader: Pid) {
        self.lock().leaders.retain(|one| *one != leader);
    }

    /// Kills all of them, and lets none begin any more.
    pub(super) fn kill(&self) {
        let mut state = self.lock();
        state.closed = true;
        for leader in &state.leaders {
            // Nobody left to tell is fine.
            let _nobody = kill_process_group(*leader, Signal::KILL);
        }
    }

    /// Asks those to end that no step waits for.
    pub(super) fn end_unawaited(&self) {
        self.ending.send_replace(true);
    }

    /// Resolves when they were asked to.
    pub(super) fn ending(&self) -> impl Future<Output = ()> + use<> {
        let mut ending = self.ending.subscribe();
        async move {
            // Without anybody who could ask, it was.
            let _asked = ending.wait_for(|is| *is).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
