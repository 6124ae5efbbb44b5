//! Queries the reconcile workflow for all runs that a process waits for at the same time.
//!
//! The server keeps few queries of a workflow waiting, and a query can evict the workflow from
//! a worker's cache.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_core::record::RunAnswer;
use tokio::time::Instant;

use crate::reconcile_client::ReconcileClientError;

/// Minimum time for which an answer serves all waiters.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(100);

type Answers = Result<BTreeMap<String, RunAnswer>, ReconcileClientError>;

/// The requests whose runs have not ended, and the last answer about them.
#[derive(Debug)]
pub(super) struct RunPoller {
    /// Number of waiters for each request.
    ids: Mutex<BTreeMap<String, usize>>,
    last: tokio::sync::Mutex<Option<PollResult>>,
}

#[derive(Debug)]
struct PollResult {
    stale: Instant,
    answers: Answers,
}

impl RunPoller {
    pub(super) const fn none() -> Self {
        Self {
            ids: Mutex::new(BTreeMap::new()),
            last: tokio::sync::Mutex::const_new(None),
        }
    }

    /// Registers a waiter for a request. The waiter is removed when the result is dropped.
    pub(super) fn run(&self, request_id: &str) -> PolledRun<'_> {
        *self.ids().entry(request_id.to_owned()).or_default() += 1;
        PolledRun {
            runs: self,
            request_id: request_id.to_owned(),
        }
    }

    fn ids(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that the process waits for.
#[derive(Debug)]
pub(super) struct PolledRun<'a> {
    runs: &'a RunPoller,
    request_id: String,
}

impl PolledRun<'_> {
    /// The latest known answer of the run, which may be a moment old; `None` if none is known.
    ///
    /// Queries take at most a third of the time. The first waiter that needs a new answer sends
    /// the query.
    pub(super) async fn poll<F>(
        &self,
        query: impl FnOnce(Vec<String>) -> F,
    ) -> Result<Option<RunAnswer>, ReconcileClientError>
    where
        F: Future<Output = Answers>,
    {
        let mut last = self.runs.last.lock().await;
        let fresh = last.take().filter(|poll| Instant::now() < poll.stale);
        let poll = if let Some(poll) = fresh {
            poll
        } else {
            let begun = Instant::now();
            let ids = self.runs.ids().keys().cloned().collect();
            let answers = query(ids).await;
            let stale = Instant::now() + MIN_POLL_INTERVAL.max(2 * begun.elapsed());
            PollResult { stale, answers }
        };
        let answers = &last.insert(poll).answers;
        match answers {
            Ok(answers) => Ok(answers.get(&self.request_id).cloned()),
            Err(error) => Err(error.clone()),
        }
    }
}

impl Drop for PolledRun<'_> {
    fn drop(&mut self) {
        let mut ids = self.runs.ids();
        if let Some(waiting) = ids.get_mut(&self.request_id) {
            *waiting -= 1;
            if *waiting == 0 {
                ids.remove(&self.request_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile_client::Silence;

    async fn answers(ids: Vec<String>) -> Answers {
        let answer = |id| (id, RunAnswer::default());
        Ok(ids.into_iter().map(answer).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn one_query_serves_all_who_wait() {
        let runs = RunPoller::none();
        let (a, b) = (runs.run("a"), runs.run("b"));
        let first = a.poll(answers).await;
        assert!(first.unwrap().is_some());
        let second = b.poll(|_| async { panic!("the first query asked for it") });
        assert!(second.await.unwrap().is_some());
        tokio::time::advance(MIN_POLL_INTERVAL).await;
        drop((a, runs.run("b")));
        let third = b.poll(|ids| async move {
            assert_eq!(ids, ["b"]);
            answers(ids).await
        });
        assert!(third.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_query_is_asked_less_often() {
        let runs = RunPoller::none();
        let run = runs.run("a");
        let slow = run.poll(|ids| async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            answers(ids).await
        });
        slow.await.unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        let later = run.poll(|_| async { panic!("it is fresh for twice as long as it took") });
        later.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_reaches_all_callers_and_is_tried_again() {
        let runs = RunPoller::none();
        let (a, b) = (runs.run("a"), runs.run("b"));
        let limit = Duration::from_secs(1);
        let failed = || async move { Err(ReconcileClientError::NoAnswer(Silence::For(limit))) };
        assert!(a.poll(|_| failed()).await.is_err());
        assert!(b.poll(answers).await.is_err());
        tokio::time::advance(MIN_POLL_INTERVAL).await;
        assert!(b.poll(answers).await.is_ok());
    }
}
