//! `try`: its attempts, the errors that it catches, and its retries.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::duration::LONGEST;
use almanac_base::size::weight;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::evaluate::View;
use super::frames::Place;
use super::state::{Doing, Purpose};
use super::tasks::Interpreter;
use super::{Effect, Entry, Fault};
use crate::language::{Backoff, Catch, Kind, Length, Retry};

impl<'t> Interpreter<'t> {
    fn catch_of(&self, place: Place) -> Option<&'t Catch> {
        match &self.task(place).kind {
            Kind::Try(catch) => Some(catch),
            _ => None,
        }
    }

    /// Runs the list of a `try` from its beginning.
    pub(super) fn attempt(
        &mut self,
        place: Place,
        began: Timestamp,
        retries: u32,
    ) -> Result<(), Fault> {
        let task = self.task(place);
        let policy = self.catch_of(place).and_then(|catch| catch.retry.as_ref());
        self.keep(weight(self.frame(place).input()))?;
        let input = self.frame(place).input().clone();
        let view = View::body(place);
        let length = |length: Option<&Length>| {
            let length = length.map(|length| self.length(view, length, &input));
            length.transpose()
        };
        let own = length(policy.and_then(|policy| policy.attempt_duration.as_ref()))?;
        // A duration that needs the error is evaluated later, when there is an error.
        let whole = policy.and_then(|policy| policy.duration.as_ref());
        let whole = length(whole).unwrap_or_default();
        let spent = self.now.duration_since(began);
        let spent = Duration::try_from(spent).unwrap_or_default();
        let left = whole.map(|whole| whole.saturating_sub(spent));
        let own = own.map(|duration| (duration, Purpose::AttemptTimeout));
        let left = left.map(|duration| (duration, Purpose::AttemptsTimeout));
        let first = own.into_iter().chain(left).min_by_key(|(after, _)| *after);
        if let Some((duration, purpose)) = first {
            self.start(place, purpose, Effect::Timer { duration });
        }
        self.set_doing(place, Doing::Try { began, retries });
        self.enter(place, format!("{}/try", task.path), input, BTreeMap::new());
        Ok(())
    }

    /// Returns `true` if the task at a place catches the error of a task inside. The `try` then
    /// waits, runs its list again, runs its handler, or ends.
    pub(super) fn caught(&mut self, place: Place, fault: &Fault) -> Result<bool, Fault> {
        let Some(Doing::Try { began, retries }) = self.doing(place) else {
            return Ok(false);
        };
        let (began, retries) = (*began, *retries);
        let Some(catch) = self.catch_of(place) else {
            return Ok(false);
        };
        if !fault.matches(&catch.with) {
            return Ok(false);
        }
        let value = fault.value();
        let error = [(catch.variable.as_str(), value.clone())];
        let input = self.frame(place).input();
        let view = View::body(place).with(&error);
        let holds = |condition: &Option<_>, default| match condition {
            Some(condition) => self.condition(view, condition, input),
            None => Ok(default),
        };
        if !holds(&catch.when, true)? || holds(&catch.except_when, false)? {
            return Ok(false);
        }
        let delay = match &catch.retry {
            Some(policy) => self.delay(place, policy, &error, began, retries)?,
            None => None,
        };
        self.cancel_purpose(place, Purpose::AttemptTimeout);
        self.cancel_purpose(place, Purpose::AttemptsTimeout);
        let task = self.task(place).path.clone();
        if let Some(delay) = delay {
            let attempt = retries.saturating_add(1);
            self.log(|| Entry::Retrying {
                task: task.clone(),
                attempt,
                delay,
            });
            if delay.is_zero() {
                self.attempt(place, began, attempt)?;
            } else {
                let retries = attempt;
                self.set_doing(place, Doing::Backoff { began, retries });
                self.start(place, Purpose::Backoff, Effect::Timer { duration: delay });
            }
            return Ok(true);
        }
        if !catch.handles && catch.retry.is_some() && catch.then.is_none() {
            // The `catch` only asked for retries, and they did not help.
            return Ok(false);
        }
        self.log(|| Entry::Caught { task: task.clone() });
        self.keep(weight(self.frame(place).input()))?;
        let input = self.frame(place).input().clone();
        self.set_doing(place, Doing::Catch);
        if catch.handles {
            let variables = BTreeMap::from([(catch.variable.clone(), value)]);
            self.enter(place, format!("{task}/catch/do"), input, variables);
        } else {
            self.handled(place, input)?;
        }
        Ok(true)
    }

    /// Ends a `try` whose error was caught.
    pub(super) fn handled(&mut self, place: Place, output: Value) -> Result<(), Fault> {
        let then = self.catch_of(place).and_then(|catch| catch.then.as_ref());
        self.finish(place, output, then)
    }

    /// Returns the wait before the next attempt. `None` if there is no further attempt.
    fn delay(
        &self,
        place: Place,
        policy: &Retry,
        error: &[(&str, Value)],
        began: Timestamp,
        retries: u32,
    ) -> Result<Option<Duration>, Fault> {
        let mut error = error.to_vec();
        if policy.shared
            && let Some((_, value)) = error.first().filter(|(name, _)| *name != "error").cloned()
        {
            error.push(("error", value));
        }
        let input = self.frame(place).input();
        let view = View::body(place).with(&error);
        if let Some(when) = &policy.when
            && !self.condition(view, when, input)?
        {
            return Ok(None);
        }
        if let Some(except) = &policy.except_when
            && self.condition(view, except, input)?
        {
            return Ok(None);
        }
        if policy.attempts.is_some_and(|attempts| retries >= attempts) {
            return Ok(None);
        }
        let base = self.length(view, &policy.delay, input)?;
        let mut delay = match policy.backoff {
            Backoff::Constant => base,
            Backoff::Linear => base.saturating_mul(retries.saturating_add(1)),
            Backoff::Exponential => {
                base.saturating_mul(2_u32.checked_pow(retries).unwrap_or(u32::MAX))
            }
        };
        if let Some((from, to)) = &policy.jitter {
            let from = self.length(view, from, input)?;
            let to = self.length(view, to, input)?.max(from);
            delay = delay.saturating_add(self.between(place, retries, from, to));
        }
        let delay = delay.min(LONGEST);
        if let Some(limit) = &policy.duration {
            let limit = self.length(view, limit, input)?;
            let spent = self.now.duration_since(began);
            let spent = Duration::try_from(spent).unwrap_or_default();
            if spent.saturating_add(delay) > limit {
                return Ok(None);
            }
        }
        Ok(Some(delay))
    }

    /// Returns a duration between two, in whole milliseconds.
    ///
    /// The duration differs between runs and attempts and is the same in each replay.
    fn between(&self, place: Place, retries: u32, from: Duration, to: Duration) -> Duration {
        let mut digest = Sha256::new();
        digest.update(self.about.id.as_bytes());
        digest.update([0]);
        digest.update(self.task(place).path.as_bytes());
        digest.update(retries.to_le_bytes());
        digest.update(self.now.as_millisecond().to_le_bytes());
        let hash = digest.finalize();
        let random = hash
            .iter()
            .take(8)
            .fold(0_u64, |random, byte| (random << 8) | u64::from(*byte));
        let span = u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
        let part = (u128::from(random) * (u128::from(span) + 1)) >> 64;
        from + Duration::from_millis(u64::try_from(part).unwrap_or(span))
    }
}
