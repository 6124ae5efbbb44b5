//! The process groups of the running commands, so that all of them can be ended.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The process groups of one configuration's commands.
#[derive(Debug, Default)]
pub(super) struct ProcessGroups {
    state: Mutex<State>,
    /// `true` if the commands that no step waits for were asked to end.
    ending: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    leaders: Vec<Pid>,
    /// `true` if no command may begin any more.
    closed: bool,
}

impl ProcessGroups {
    /// Starts a command as the leader of a group. The lock is held, so that no command
    /// begins unnoticed while all are killed.
    pub(super) fn begin(&self, command: &mut Command) -> io::Result<(Child, Pid)> {
        let mut state = self.lock();
        if state.closed {
            return Err(io::Error::other("the worker is shutting down"));
        }
        let child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = id.and_then(Pid::from_raw);
        let leader = leader.ok_or_else(|| io::Error::other("the process has no id"))?;
        state.leaders.push(leader);
        Ok((child, leader))
    }

    /// Releases a group before its leader is reaped: after that, another process may get
    /// the id.
    pub(super) fn forget(&self, leader: Pid) {
        self.lock().leaders.retain(|one| *one != leader);
    }

    /// Kills all groups, and lets no command begin any more.
    pub(super) fn kill(&self) {
        let mut state = self.lock();
        state.closed = true;
        for leader in &state.leaders {
            // It is no error if no process is left.
            let _nobody = kill_process_group(*leader, Signal::KILL);
        }
    }

    /// Asks the commands to end that no step waits for.
    pub(super) fn end_unawaited(&self) {
        self.ending.send_replace(true);
    }

    /// Resolves when the commands that no step waits for are asked to end.
    pub(super) fn ending(&self) -> impl Future<Output = ()> + use<> {
        let mut ending = self.ending.subscribe();
        async move {
            // If the sender is gone, the commands count as asked.
            let _asked = ending.wait_for(|is| *is).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
