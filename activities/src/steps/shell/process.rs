//! A process group: started, given its input, read, and ended as a whole.
//!
//! The end of the leader is noticed without reaping the leader. So its id, which is the
//! group's id, cannot belong to another process while the group is killed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::process_groups::ProcessGroups;

/// Time that a group has to end by itself after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// A command to run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// The complete environment of the command.
    pub(super) environment: BTreeMap<OsString, OsString>,
    pub(super) stdin: Vec<u8>,
    pub(super) within: Duration,
    /// Maximum size of stdout, and of stderr, in bytes.
    pub(super) output_limit: usize,
}

/// End of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Signalled(i32),
    /// The job was asked to stop.
    Stopped,
    /// The job reached its time limit.
    Late,
    /// The job wrote too much.
    TooMuch,
}

/// Result of a job that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) end: End,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// A job that is running. If it is dropped, its group is killed.
#[derive(Debug)]
pub(super) struct Running {
    job: Job,
    // The group stands before the child: the child's id is the group's until the child is
    // reaped.
    group: Group,
    child: Child,
    deadline: Instant,
}

impl Job {
    /// Starts the job as one of `groups`.
    pub(super) fn start(self, groups: &Arc<ProcessGroups>) -> io::Result<Running> {
        let deadline = Instant::now() + self.within;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let (child, leader) = groups.begin(&mut command)?;
        Ok(Running {
            job: self,
            group: Group {
                leader,
                gone: false,
                groups: Arc::clone(groups),
            },
            child,
            deadline,
        })
    }
}

impl Running {
    /// Waits for the end of the job, or ends it at a limit or when `stop` resolves.
    pub(super) async fn finish(self, stop: impl Future<Output = ()>) -> io::Result<Finished> {
        let Self {
            job,
            mut child,
            // The group is dropped before the child.
            mut group,
            deadline,
        } = self;
        let limit = job.output_limit;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let end = {
            let feed = async {
                if let Some(mut pipe) = pipes.0 {
                    // The program need not read its input.
                    let _unread = pipe.write_all(&job.stdin).await;
                }
            };
            let out = collect(pipes.1, &mut stdout, limit);
            let err = collect(pipes.2, &mut stderr, limit);
            let mut flow = pin!(async {
                let read = futures::future::try_join(out, err);
                let ((), read) = futures::join!(feed, read);
                read.map(drop)
            });
            let mut stop = pin!(stop);
            let mut leader = pin!(group.leader_ended());
            let mut flowing = true;
            let cause = loop {
                tokio::select! {
                    ended = &mut leader => {
                        ended?;
                        break None;
                    }
                    read = &mut flow, if flowing => {
                        flowing = false;
                        if let Err(error) = read {
                            break Some(if error.kind() == io::ErrorKind::FileTooLarge {
                                End::TooMuch
                            } else {
                                return Err(error);
                            });
                        }
                    }
                    () = tokio::time::sleep_until(deadline) => break Some(End::Late),
                    () = &mut stop => break Some(End::Stopped),
                }
            };
            if cause.is_some() {
                // The program may have something to clean up.
                group.signal(Signal::TERM);
                let gone = async {
                    if flowing {
                        let (_gone, _read) = futures::join!(&mut leader, &mut flow);
                    } else {
                        let _gone = (&mut leader).await;
                    }
                };
                let _in_time = tokio::time::timeout(GRACE, gone).await;
            }
            // All that is left of the group is killed, also after a leader that ended well.
            group.signal(Signal::KILL);
            if cause.is_none() && flowing {
                // With the group gone, the pipes end. A process that left the group may
                // still hold them.
                let read = tokio::time::timeout(GRACE, &mut flow).await;
                match read {
                    Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                        Some(End::TooMuch)
                    }
                    Ok(Err(error)) => return Err(error),
                    Ok(Ok(())) | Err(_) => None,
                }
            } else {
                cause
            }
        };
        group.let_go();
        let status = child.wait().await?;
        let end = end.unwrap_or_else(|| {
            use std::os::unix::process::ExitStatusExt as _;
            match (status.code(), status.signal()) {
                (Some(code), _) => End::Exited(code),
                (None, signal) => End::Signalled(signal.unwrap_or_default()),
            }
        });
        Ok(Finished {
            end,
            stdout,
            stderr,
        })
    }
}

/// Reads a pipe to its end. More than `limit` bytes are an error.
async fn collect(
    pipe: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    limit: usize,
) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let most = limit as u64 + 1;
    pipe.take(most).read_to_end(into).await?;
    if into.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(())
}

/// The processes of a job. If dropped before the leader was reaped, they are killed.
#[derive(Debug)]
struct Group {
    leader: Pid,
    gone: bool,
    groups: Arc<ProcessGroups>,
}

impl Group {
    /// Resolves when the leader has ended. The leader stays a zombie, which keeps the id.
    fn leader_ended(&self) -> impl Future<Output = io::Result<()>> + use<> {
        let leader = self.leader;
        let waiting = tokio::task::spawn_blocking(move || {
            loop {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                match waitid(WaitId::Pid(leader), options) {
                    Err(rustix::io::Errno::INTR) => {}
                    Ok(_) => return Ok(()),
                    Err(error) => return Err(io::Error::from(error)),
                }
            }
        });
        async { waiting.await.map_err(io::Error::other)? }
    }

    /// Releases the group: only its leader is left, which has ended.
    fn let_go(&mut self) {
        self.gone = true;
        self.groups.forget(self.leader);
    }

    fn signal(&self, signal: Signal) {
        if !self.gone {
            // It is no error if no process is left.
            let _nobody = kill_process_group(self.leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.let_go();
    }
}
