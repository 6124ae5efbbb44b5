//! The first process of a container.
//!
//! A process that loses its parent becomes a child of process 1. Process 1 has to wait for it,
//! or the kernel keeps its entry in the process table. Commands of steps may leave such
//! processes behind. So a process 1 does nothing else: it runs the same command line once more
//! as its child, passes signals on, and ends with the child's status.

use std::io::{self, IsTerminal as _};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// Signals that are passed on to the child.
const PASSED_ON: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
];

/// Signals that a terminal sends to both processes itself.
const OF_TERMINALS: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::HUP];

/// Returns `true` if this is process 1.
pub(crate) fn is_init() -> bool {
    std::process::id() == 1
}

/// Runs the same command line as a child, and waits for every child that ends until that child
/// does.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot create the runtime of process 1")?;
    runtime.block_on(supervise())
}

async fn supervise() -> anyhow::Result<ExitCode> {
    // The handlers are installed before the child exists, so that no end and no signal is
    // missed.
    let mut ended = signal(SignalKind::child()).context("cannot listen for SIGCHLD")?;
    let mut signals = listen().context("cannot listen for signals")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let mut command = Command::new(&program);
    if let Some(name) = name {
        use std::os::unix::process::CommandExt as _;
        command.arg0(name);
    }
    let child = command
        .args(arguments)
        .spawn()
        .with_context(|| format!("cannot start {} again", program.display()))?;
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let child = child.context("the child has no process id")?;
    loop {
        tokio::select! {
            _ = ended.recv() => {
                if let Some(status) = reap(child).context("cannot wait for children")? {
                    return Ok(code(status));
                }
            }
            signal = next(&mut signals) => {
                // The child may have ended a moment ago.
                let _gone = rustix::process::kill_process(child, signal);
            }
        }
    }
}

/// Listens for the signals that are passed on. Process 1 ignores all others.
fn listen() -> io::Result<Vec<(Signal, Signals)>> {
    let terminal = io::stdin().is_terminal();
    PASSED_ON
        .into_iter()
        .filter(|number| !terminal || !OF_TERMINALS.contains(number))
        .map(|number| Ok((number, signal(SignalKind::from_raw(number.as_raw()))?)))
        .collect()
}

/// The next signal to pass on.
async fn next(signals: &mut [(Signal, Signals)]) -> Signal {
    std::future::poll_fn(|context| {
        for (number, signals) in &mut *signals {
            if signals.poll_recv(context).is_ready() {
                return std::task::Poll::Ready(*number);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Waits for all children that have ended; the status of `child` if it is among them.
fn reap(child: Pid) -> io::Result<Option<WaitStatus>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG)? {
            Some((pid, status)) if pid == child => return Ok(Some(status)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

/// The exit code that a shell would report for the status.
fn code(status: WaitStatus) -> ExitCode {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
