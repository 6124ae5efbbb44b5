//! The processing of results of effects and of other arrivals.

use serde_json::Value;

use super::frames::Place;
use super::state::{Doing, Pending, Purpose};
use super::tasks::Interpreter;
use super::{Answer, Arrival, Effect, EffectId, Entry, Fault, Standard};
use crate::language::{Kind, RunOutput};

/// Number of bytes of JSON whose parsing counts as one step.
const BYTES_READ_PER_STEP: u64 = 8;

impl Interpreter<'_> {
    /// Processes an arrival. If the turn uses up its limit of work, the rest of an event's offer
    /// comes first in the next turn.
    pub(super) fn process(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Done(id, outcome) => self.arrive(id, outcome),
            Arrival::Event(offer) => {
                if let Some(rest) = self.hear(offer) {
                    self.position.arrived.push_front(Arrival::Event(rest));
                }
            }
        }
    }

    /// Processes the result of an effect. A result that no task waits for has no consequence.
    fn arrive(&mut self, id: EffectId, outcome: Result<Answer, Fault>) {
        let Some(pending) = self.position.pending.remove(&id) else {
            return;
        };
        let place = Place {
            thread: pending.thread,
            depth: pending.depth,
        };
        self.task_work.set(0);
        match pending.purpose {
            Purpose::RunTimeout => self.end(Err(Self::timed_out("the run"))),
            Purpose::TaskTimeout => self.fault(place, Self::timed_out("the task")),
            Purpose::AttemptTimeout => self.stop_attempt(place, Self::timed_out("the attempt")),
            Purpose::AttemptsTimeout => {
                let detail = "the attempts together took longer than their limit";
                self.stop_attempt(place, Standard::Timeout.fault(detail));
            }
            Purpose::Backoff => {
                if let Some(Doing::Backoff { began, retries }) = self.doing(place) {
                    let (began, retries) = (*began, *retries);
                    let result = self.attempt(place, began, retries);
                    self.or_fault(place, result);
                }
            }
            Purpose::Task => {
                let result = outcome.and_then(|answer| {
                    let value = self.read(answer)?;
                    let output = self.output_of(place, &pending, value);
                    self.finish(place, output, None)
                });
                self.or_fault(place, result);
            }
            // Listening has no result, but a host may report that it cannot deliver events.
            Purpose::Listening => match outcome {
                Ok(_) => {}
                Err(fault) => self.fault(place, fault),
            },
        }
    }

    /// Ends the attempt of the `try` at a place, as if a task of its list had failed.
    fn stop_attempt(&mut self, place: Place, mut fault: Fault) {
        let inner = Place {
            depth: place.depth + 1,
            ..place
        };
        if !self.exists(inner) {
            return;
        }
        let path = self.task(place).path.clone();
        fault.instance = Some(path.clone());
        self.log(|| Entry::Faulted {
            task: path,
            fault: fault.clone(),
        });
        self.unwind(inner, fault);
    }

    /// Returns the data of an answer. Parsing JSON counts as work of the turn.
    fn read(&self, answer: Answer) -> Result<Value, Fault> {
        let text = match answer {
            Answer::Value(value) => return Ok(value),
            Answer::Json(text) => text,
        };
        self.worked(text.len() as u64 / BYTES_READ_PER_STEP)?;
        serde_json::from_str(&text).map_err(|error| {
            let detail = format!("the answer is not JSON: {error}");
            Standard::Runtime.fault(detail).shortened()
        })
    }

    /// Returns the raw output of a task whose effect gave `value`.
    fn output_of(&self, place: Place, pending: &Pending, value: Value) -> Value {
        let input = || self.frame(place).input().clone();
        match (&pending.effect, &self.task(place).kind) {
            (Effect::Timer { .. }, _) => input(),
            (Effect::Emit { event }, _) => event.clone(),
            (_, Kind::Run(run)) if !run.wait => input(),
            (_, Kind::Run(run)) if run.output == RunOutput::None => Value::Null,
            _ => value,
        }
    }
}
