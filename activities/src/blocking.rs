//! Long computations within asynchronous code.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs a computation without blocking the runtime's other tasks: the runtime
/// moves them to another thread. Other futures of the same task wait. On a
/// single-threaded runtime, everything waits.
pub fn compute<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_computation_delays_no_other_task() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let computing = tokio::spawn(async move {
            // On this thread alone the other task would never send.
            compute(|| receiver.recv_timeout(Duration::from_mins(1)))
        });
        tokio::spawn(async move { sender.send(()) });
        assert!(computing.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_computes_in_place() {
        assert_eq!(compute(|| 7), 7);
    }
}
