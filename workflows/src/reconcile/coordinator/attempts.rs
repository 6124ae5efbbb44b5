//! What follows from how an attempt at a pass, or a probe, ended.

use std::time::Duration;

use almanac_base::names::WorkerId;
use almanac_core::record::{PassInput, PendingPass, Trigger};
use jiff::{SignedDuration, Timestamp};

use super::{Attempt, Coordinator};
use crate::reconcile::current_revision::{self, RevisionChange};
use crate::reconcile::pass_queue::{self, FailedPass, PassRequest};
use crate::reconcile::{pass_outcome, state_limits};

/// Wait after the first failure; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const LAST_BACKOFF: Duration = Duration::from_secs(30);

impl Coordinator {
    /// A worker answered a probe, or did not.
    pub(in crate::reconcile) fn probed(
        &mut self,
        worker: &WorkerId,
        input: &PassInput,
        attempt: Attempt,
    ) {
        let effect = match attempt {
            // It holds the revision it was asked about: its announcement was lost.
            Attempt::Done(_) => {
                current_revision::refused(&mut self.state, worker, &input.revision, self.now)
            }
            Attempt::Refused(holds, _) if state_limits::good_name(holds.as_str()) => {
                current_revision::refused(&mut self.state, worker, &holds, self.now)
            }
            Attempt::NotStarted if self.asks => {
                self.remove_dead_worker(worker);
                RevisionChange::Stayed
            }
            Attempt::NotStarted => current_revision::remove(&mut self.state, worker),
            Attempt::Refused(..) | Attempt::Failed(_) => RevisionChange::Stayed,
        };
        if effect != RevisionChange::Stayed {
            self.moved(Trigger::Change);
        }
    }

    /// The pass that was handed out ended so.
    pub(in crate::reconcile) fn ended(&mut self, input: &PassInput, attempt: Attempt) {
        // It counts as running until the end of this, so that a panic does not lose it.
        let Some((worker, pass)) = self.running.clone() else {
            return;
        };
        self.probed = false;
        let hint = self.hint.take();
        match attempt {
            Attempt::Done(mut done) => {
                let interrupted = done.interrupted && !pass.dry_run;
                // A run of an earlier release goes on without statements.
                let said = done.said.take().filter(|_| self.asks);
                // A dry run wrote nothing of it.
                let covered = hint.clone().filter(|_| !interrupted && !pass.dry_run);
                self.proved(&worker, &input.revision, said, hint, covered.as_ref());
                pass_outcome::done(&mut self.state, input, *done, self.now);
                if interrupted {
                    self.count_failed_attempt();
                    self.ask_again(pass);
                } else {
                    self.failed_attempts = 0;
                }
            }
            Attempt::Refused(holds, said) => {
                self.count_failed_attempt();
                if state_limits::good_name(holds.as_str()) {
                    let said = said.filter(|_| self.asks);
                    self.proved(&worker, &holds, said, hint, None);
                }
                let effect = if state_limits::good_name(holds.as_str()) {
                    current_revision::refused(&mut self.state, &worker, &holds, self.now)
                } else {
                    current_revision::remove(&mut self.state, &worker)
                };
                self.retry_elsewhere(pass, effect);
            }
            Attempt::NotStarted => {
                let options = current_revision::options(&self.state);
                let effect = current_revision::remove(&mut self.state, &worker);
                if self.asks
                    && !self.state.workers.is_empty()
                    && options != current_revision::options(&self.state)
                {
                    self.ask(PassRequest::full(Trigger::Change));
                }
                self.state.last_error = Some(format!(
                    "worker {worker} did not start pass {} in time and was dropped",
                    pass.pass
                ));
                self.retry_elsewhere(pass, effect);
            }
            Attempt::Failed(mut error) => {
                if let Some(hint) = hint {
                    self.keep_claim(hint);
                }
                state_limits::text(&mut error);
                self.state.last_error = Some(error.clone());
                // Two steps: unlike a refusal, a failure always waits.
                self.failed_attempts = self.failed_attempts.max(1);
                self.count_failed_attempt();
                if let FailedPass::GivenUp(pass) = pass_queue::failed(&mut self.state, pass) {
                    pass_outcome::given_up(&mut self.state, &pass, error, self.now);
                }
            }
        }
        self.running = None;
    }

    /// The same again, as a new pass: this one's report is written.
    fn ask_again(&mut self, pass: PendingPass) {
        let news = self.news;
        self.ask(PassRequest {
            trigger: pass.trigger,
            dry_run: pass.dry_run,
            confirm: pass.confirm,
            only: pass.only,
        });
        self.news = news;
    }

    /// The pass is to be tried elsewhere, or with another revision.
    fn retry_elsewhere(&mut self, pass: PendingPass, effect: RevisionChange) {
        let news = self.news;
        pass_queue::put_back(&mut self.state.pending, pass);
        if effect != RevisionChange::Stayed {
            pass_queue::widen(&mut self.state);
            if !pass_queue::full_waits(&self.state) {
                self.ask(PassRequest::full(Trigger::Change));
            }
        }
        self.news = news;
    }

    /// Counts an attempt that did not end well. The first refusal or
    /// interruption is tried again at once, more of them in a row with backoff.
    fn count_failed_attempt(&mut self) {
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        if self.failed_attempts > 1 {
            let doublings = (self.failed_attempts - 2).min(10);
            let wait = FIRST_BACKOFF
                .saturating_mul(1 << doublings)
                .min(LAST_BACKOFF);
            let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_secs(1));
            let at = self.now.saturating_add(wait).unwrap_or(Timestamp::MAX);
            self.retry = Some((at, self.news));
        }
    }

    /// A decision panicked: whatever it was, the workflow goes on.
    pub(in crate::reconcile) fn decision_panicked(&mut self, mut error: String) {
        if let Some((_, pass)) = self.running.take() {
            pass_queue::put_back(&mut self.state.pending, pass);
        }
        if let Some(hint) = self.hint.take() {
            self.keep_claim(hint);
        }
        state_limits::text(&mut error);
        self.state.last_error = Some(error);
        self.failed_attempts = self.failed_attempts.max(1);
        self.count_failed_attempt();
    }
}
