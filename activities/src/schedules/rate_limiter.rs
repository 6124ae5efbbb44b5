//! The rate of requests to one server.
//!
//! The rate is unlimited, or capped, until the server says that its limits are
//! reached. Each such refusal halves the rate, which then recovers slowly.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Minimum rate, in requests per second.
const SLOWEST: f64 = 0.5;
/// Rate that the first refusal halves if there was no limit, in requests per
/// second.
const ASSUMED: f64 = 100.0;
/// Share by which the rate grows in each second without a refusal.
const RECOVERY: f64 = 0.1;
/// Time within which refusals count as one, since they answer requests that
/// were sent together.
const SAME_REFUSAL: Duration = Duration::from_millis(500);
/// Rate above which there is no limit, in requests per second.
const UNLIMITED: f64 = 10_000.0;

/// Spreads requests over time. All clients of one server share one limiter.
#[derive(Debug)]
pub struct RateLimiter {
    cap: Option<f64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests per second; `None` for no limit.
    rate: Option<f64>,
    next: Instant,
    recovered: Instant,
    refused: Option<Instant>,
}

impl RateLimiter {
    /// Creates a limiter of at most `cap` requests per second. Without `cap`
    /// there is no limit until the server refuses a request.
    pub fn new(cap: Option<f64>) -> Self {
        let now = Instant::now();
        Self {
            cap,
            state: Mutex::new(State {
                rate: cap,
                next: now,
                recovered: now,
                refused: None,
            }),
        }
    }

    /// Waits for this request's turn.
    pub async fn turn(&self) {
        let wait = self.reserve(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Records that the server refused a request because its limits are
    /// reached.
    pub fn refused(&self) {
        self.slow_down(Instant::now());
    }

    /// The present limit in requests per second; `None` for no limit.
    pub fn rate(&self) -> Option<f64> {
        self.lock().rate
    }

    fn reserve(&self, now: Instant) -> Duration {
        let mut state = self.lock();
        state.recover(self.cap, now);
        let Some(rate) = state.rate else {
            return Duration::ZERO;
        };
        let at = state.next.max(now);
        state.next = at + Duration::from_secs_f64(1.0 / rate);
        at - now
    }

    fn slow_down(&self, now: Instant) {
        let mut state = self.lock();
        let repeated = state
            .refused
            .is_some_and(|at| now.duration_since(at) < SAME_REFUSAL);
        if repeated {
            return;
        }
        let rate = state.rate.unwrap_or(ASSUMED);
        state.rate = Some((rate / 2.0).max(SLOWEST));
        state.refused = Some(now);
        state.recovered = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn recover(&mut self, cap: Option<f64>, now: Instant) {
        let Some(rate) = self.rate else {
            return;
        };
        let elapsed = now.saturating_duration_since(self.recovered).as_secs_f64();
        if elapsed < 1.0 {
            return;
        }
        self.recovered = now;
        let faster = rate * (1.0 + RECOVERY).powf(elapsed.min(1000.0));
        self.rate = match cap {
            Some(cap) => Some(faster.min(cap)),
            None => (faster < UNLIMITED).then_some(faster),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_no_request_waits() {
        let limiter = RateLimiter::new(None);
        let now = Instant::now();
        assert!((0..1000).all(|_| limiter.reserve(now).is_zero()));
    }

    #[test]
    fn a_cap_spreads_requests() {
        let limiter = RateLimiter::new(Some(10.0));
        let now = Instant::now();
        let waits: Vec<_> = (0..3).map(|_| limiter.reserve(now).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200]);
    }

    #[test]
    fn a_refusal_halves_the_pace_once_and_time_brings_it_back() {
        let limiter = RateLimiter::new(Some(10.0));
        let now = Instant::now();
        limiter.slow_down(now);
        limiter.slow_down(now + Duration::from_millis(10));
        assert_eq!(limiter.rate(), Some(5.0));
        limiter.reserve(now + Duration::from_secs(3));
        assert!(limiter.rate().unwrap() > 5.0 && limiter.rate().unwrap() < 10.0);
        limiter.reserve(now + Duration::from_hours(1));
        assert_eq!(limiter.rate(), Some(10.0));
    }

    #[test]
    fn a_pace_that_recovered_fully_is_no_limit() {
        let limiter = RateLimiter::new(None);
        let now = Instant::now();
        limiter.slow_down(now);
        assert!(limiter.rate().is_some());
        limiter.reserve(now + Duration::from_hours(1));
        assert_eq!(limiter.rate(), None);
    }
}
