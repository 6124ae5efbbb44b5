//! The ends of tasks, lists and the run, and the steps that follow.

use almanac_base::size::{PAYLOAD_LIMIT, json_size};
use serde_json::Value;

use super::evaluate::View;
use super::frames::Place;
use super::state::{Doing, Frame};
use super::tasks::Interpreter;
use super::{Entry, Fault, Standard};
use crate::language::{Output, Stage, Then};

impl Interpreter<'_> {
    /// Ends the task at a place, the innermost of its thread, with its raw output.
    pub(super) fn finish(
        &mut self,
        place: Place,
        raw: Value,
        then: Option<&Then>,
    ) -> Result<(), Fault> {
        let task = self.task(place);
        let view = View {
            raw: Some(&raw),
            ..View::of(place, Stage::TaskOutput)
        };
        let made = self.transform(view, &task.output, &raw)?;
        let output = made.as_ref().unwrap_or(&raw);
        self.take(output)?;
        let view = View {
            raw: Some(&raw),
            output: Some(output),
            ..View::of(place, Stage::Export)
        };
        self.export(view, &task.export, output)?;
        let output = made.unwrap_or(raw);
        self.log(|| Entry::Completed {
            task: task.path.clone(),
            output: output.clone(),
        });
        self.abandon(place);
        if let Some(frame) = self.frame_mut(place) {
            frame.data = output;
        }
        self.go_on(place, then.unwrap_or(&task.then));
        Ok(())
    }

    /// Sets the context to the result of `export`. Without `as`, the context stays the same, and
    /// `schema` checks it.
    pub(super) fn export(
        &mut self,
        view: View<'_>,
        export: &Output,
        output: &Value,
    ) -> Result<(), Fault> {
        if export.transform.is_none() {
            return match &export.schema {
                Some(schema) => self.satisfies(schema, self.position.context()),
                None => Ok(()),
            };
        }
        if let Some(context) = self.transform(view, export, output)? {
            self.take(&context)?;
            self.position.set_context(context);
        }
        Ok(())
    }

    /// Follows a flow directive from the task at a place.
    pub(super) fn go_on(&mut self, place: Place, then: &Then) {
        let Some(frame) = self.frame_mut(place) else {
            return;
        };
        match then {
            Then::Continue => frame.index += 1,
            Then::Exit => frame.index = frame.end,
            Then::Task(index) => frame.index = *index,
            Then::End => {
                let output = std::mem::take(&mut frame.data);
                return self.run_done(&output);
            }
        }
        self.position.ready.push_back(place.thread);
    }

    /// Ends the innermost list of a thread.
    pub(super) fn list_done(&mut self, thread: u64) {
        let Some(frames) = self.position.threads.get_mut(&thread) else {
            return;
        };
        let Some(frame) = frames.frames.pop() else {
            return;
        };
        let Frame {
            data: output,
            variables,
            ..
        } = frame;
        let parent = frames.parent;
        let Some(place) = self.top(thread) else {
            return match parent {
                None => self.run_done(&output),
                Some(parent) => {
                    self.position.threads.remove(&thread);
                    let fork = Place {
                        thread: parent.thread,
                        depth: parent.depth,
                    };
                    let result = self.branch_done(fork, parent.branch, output);
                    self.or_fault(fork, result);
                }
            };
        };
        let result = match self.doing(place) {
            Some(Doing::For { .. }) => self.iterate(place, output),
            Some(Doing::Catch) => self.handled(place, output),
            Some(Doing::Listen(_)) => self.event_handled(place, output, &variables),
            _ => self.finish(place, output, None),
        };
        self.or_fault(place, result);
    }

    pub(super) fn or_fault(&mut self, place: Place, result: Result<(), Fault>) {
        if let Err(fault) = result {
            self.fault(place, fault);
        }
    }

    /// Ends the task at a place with an error. The run continues at the `try` that catches the
    /// error, or ends.
    pub(super) fn fault(&mut self, place: Place, fault: Fault) {
        let mut fault = fault.shortened();
        let path = &self.task(place).path;
        fault.instance.get_or_insert_with(|| path.clone());
        self.log(|| Entry::Faulted {
            task: path.clone(),
            fault: fault.clone(),
        });
        self.unwind(place, fault);
    }

    /// Leaves lists, from the list of a place outwards, until a `try` catches the error.
    pub(super) fn unwind(&mut self, mut place: Place, mut fault: Fault) {
        loop {
            self.abandon(place);
            let Some(thread) = self.position.threads.get_mut(&place.thread) else {
                return;
            };
            thread.frames.pop();
            if place.depth > 0 {
                place.depth -= 1;
                match self.caught(place, &fault) {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(other) => {
                        fault = other;
                        let path = &self.task(place).path;
                        fault.instance.get_or_insert_with(|| path.clone());
                    }
                }
                continue;
            }
            let Some(parent) = thread.parent else {
                return self.end(Err(fault));
            };
            self.position.threads.remove(&place.thread);
            place = Place {
                thread: parent.thread,
                depth: parent.depth,
            };
        }
    }

    /// Completes the run, after the transformation of its output.
    fn run_done(&mut self, output: &Value) {
        let view = View {
            place: None,
            stage: Stage::RunOutput,
            extra: &[],
            raw: None,
            output: None,
        };
        let made = self.transform(view, &self.flow.output, output);
        self.end(made.map(|made| made.unwrap_or_else(|| output.clone())));
    }

    /// Ends the run, and gives up everything that is active.
    pub(super) fn end(&mut self, outcome: Result<Value, Fault>) {
        self.cancel(|_| true);
        self.position.threads.clear();
        self.position.ready.clear();
        self.position.unread.clear();
        self.position.outcome = Some(outcome.and_then(fitting).map_err(|fault| {
            let mut fault = fault.shortened();
            fault.instance.get_or_insert_with(|| "/".to_owned());
            fault
        }));
    }

    /// Returns the error for a limit that has passed.
    pub(super) fn timed_out(what: &str) -> Fault {
        Standard::Timeout.fault(format!("{what} took longer than its limit"))
    }
}

/// Returns the output if it is small enough for Temporal. Otherwise the result is an error.
fn fitting(output: Value) -> Result<Value, Fault> {
    let bytes = json_size(&output);
    if bytes > PAYLOAD_LIMIT {
        let limit = PAYLOAD_LIMIT;
        let detail =
            format!("the run's output has {bytes} bytes as JSON, over the limit of {limit}");
        return Err(Standard::Runtime.fault(detail));
    }
    Ok(output)
}
