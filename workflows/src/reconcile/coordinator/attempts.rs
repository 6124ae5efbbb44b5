//! The consequences of the end of an attempt at a pass, or of a probe.

use std::time::Duration;

use almanac_base::names::WorkerId;
use almanac_core::record::{PassInput, PendingPass, Trigger};
use jiff::{SignedDuration, Timestamp};

use super::{Attempt, Coordinator};
use crate::reconcile::current_revision::{self, RevisionChange};
use crate::reconcile::pass_queue::{self, FailedPass, PassRequest};
use crate::reconcile::{pass_outcome, state_limits};

/// Wait after the first failure. It doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Maximum wait after a failure.
const LAST_BACKOFF: Duration = Duration::from_secs(30);

impl Coordinator {
    /// Takes in the end of a probe, with or without the worker's answer.
    pub(in crate::reconcile) fn probed(
        &mut self,
        worker: &WorkerId,
        input: &PassInput,
        attempt: Attempt,
    ) {
        let effect = match attempt {
            // The worker holds the revision that it was asked about: its announcement was
            // lost.
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

    /// Takes in the end of an attempt at the running pass.
    pub(in crate::reconcile) fn ended(&mut self, input: &PassInput, attempt: Attempt) {
        // The pass counts as running until this function ends, so that a panic does not
        // lose it.
        let Some((worker, pass)) = self.running.clone() else {
            return;
        };
        self.probed = false;
        let hint = self.hint.take();
        let makes_way = std::mem::take(&mut self.makes_way);
        match attempt {
            Attempt::Done(mut done) => {
                let interrupted = done.interrupted && !pass.dry_run;
                // A workflow run that began under an earlier release ignores the announcements
                // in answers.
                let announcements = done.announcements.take().filter(|_| self.asks);
                // An interrupted pass and a dry run have not written the announced changes.
                let covered = hint.clone().filter(|_| !interrupted && !pass.dry_run);
                self.proved(
                    &worker,
                    &input.revision,
                    announcements,
                    hint,
                    covered.as_ref(),
                );
                pass_outcome::done(&mut self.state, input, *done, self.now);
                if !interrupted && pass.only.is_none() && !pass.dry_run {
                    self.made_way = 0;
                }
                if interrupted && makes_way {
                    self.ask_for_the_rest(pass);
                } else if interrupted {
                    self.count_failed_attempt();
                    self.ask_again(pass);
                } else {
                    self.failed_attempts = 0;
                }
            }
            Attempt::Refused(holds, announcements) => {
                self.count_failed_attempt();
                if state_limits::good_name(holds.as_str()) {
                    let announcements = announcements.filter(|_| self.asks);
                    self.proved(&worker, &holds, announcements, hint, None);
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
            // Canceled before it began, or by a worker of an earlier release, which reports nothing.
            Attempt::Failed(_) if makes_way => {
                if let Some(hint) = hint {
                    self.keep_claim(hint);
                }
                pass_outcome::report_interruption(&mut self.state, &pass, self.now);
                self.ask_for_the_rest(pass);
            }
            Attempt::Failed(mut error) => {
                if let Some(hint) = hint {
                    self.keep_claim(hint);
                }
                state_limits::text(&mut error);
                self.state.last_error = Some(error.clone());
                // The count is at least two then: unlike a refusal, a failure always waits.
                self.failed_attempts = self.failed_attempts.max(1);
                self.count_failed_attempt();
                if let FailedPass::GivenUp(pass) = pass_queue::failed(&mut self.state, pass) {
                    pass_outcome::report_failure(&mut self.state, &pass, error, self.now);
                }
            }
        }
        self.running = None;
    }

    /// Asks for the same pass again, with a new number: the report of this pass is written.
    fn ask_again(&mut self, pass: PendingPass) {
        let (news, interrupted) = (self.news, pass.pass);
        let rest = self.ask(same_again(pass));
        self.news = news;
        pass_outcome::continued_by(&mut self.state, interrupted, rest);
    }

    /// Asks for the rest of a pass that made way, behind the pass of the operator's request.
    fn ask_for_the_rest(&mut self, pass: PendingPass) {
        self.made_way = self.made_way.saturating_add(1);
        let interrupted = pass.pass;
        let rest = pass_queue::ask_apart(&mut self.state, same_again(pass));
        pass_outcome::continued_by(&mut self.state, interrupted, rest);
    }

    /// Puts the pass back, to be tried by another worker or with another revision.
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

    /// Counts an attempt that did not end well. The first refusal or interruption is tried
    /// again immediately, further ones in a row with backoff.
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

    /// Takes in a panic of a decision: the workflow continues, whatever the decision was.
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

/// The request for the same pass.
fn same_again(pass: PendingPass) -> PassRequest {
    PassRequest {
        trigger: pass.trigger,
        dry_run: pass.dry_run,
        confirm: pass.confirm,
        only: pass.only,
    }
}
