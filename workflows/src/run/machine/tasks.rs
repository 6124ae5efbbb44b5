//! A turn: tasks begin and end.

use std::cell::Cell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::evaluate::View;
use super::frames::Place;
use super::state::{Doing, Frame, NO_THREAD, Position, Purpose, Thread};
use super::{
    About, Command, Effect, Entry, Fault, SENT_LIMIT, Standard, TASKS_PER_TURN, WORK_PER_TURN,
};
use crate::run::language::{Flow, Kind, Stage, Task, Then};
use crate::size::{PAYLOAD_LIMIT, json_size, weight};

/// The run's own thread.
const OWN: u64 = 0;
/// Where the run's own effects are: in no thread, so that no task gives them up.
const RUN: Place = Place {
    thread: NO_THREAD,
    depth: 0,
};

/// The machine during a turn.
pub(super) struct Interpreter<'t> {
    pub(super) flow: &'t Flow,
    pub(super) about: &'t About,
    pub(super) position: &'t mut Position,
    /// What expressions took in this turn, and since the present task or result.
    pub(super) turn_work: Cell<u64>,
    pub(super) task_work: Cell<u64>,
    /// What the position holds, in bytes, or more.
    pub(super) held: Cell<u64>,
    /// What calls took that began since a result came, in bytes of JSON.
    pub(super) sent: Cell<usize>,
    pub(super) now: Timestamp,
    pub(super) commands: Vec<Command>,
    /// Events that waited, to be offered in the next turn.
    pub(super) again: Vec<Value>,
    log: Vec<Entry>,
}

impl<'t> Interpreter<'t> {
    pub(super) fn new(
        flow: &'t Flow,
        about: &'t About,
        position: &'t mut Position,
        now: Timestamp,
    ) -> Self {
        Self {
            flow,
            about,
            position,
            turn_work: Cell::default(),
            task_work: Cell::default(),
            held: Cell::default(),
            sent: Cell::default(),
            now,
            commands: Vec::new(),
            again: Vec::new(),
            log: Vec::new(),
        }
    }

    pub(super) fn answers(self) -> (Vec<Command>, Vec<Entry>) {
        (self.commands, self.log)
    }

    pub(super) fn log(&mut self, entry: Entry) {
        self.log.push(entry);
    }

    /// Looks at the run's input, once, and enters its list.
    pub(super) fn begin_run(&mut self) {
        if std::mem::replace(&mut self.position.begun, true) {
            return;
        }
        let view = View {
            place: None,
            stage: Stage::RunInput,
            extra: &[],
            output: None,
        };
        let raw = self.position.input.clone();
        let input = (|| {
            self.take(&raw)?;
            if let Some(schema) = &self.flow.input.schema {
                self.satisfies(schema, &raw)?;
            }
            match &self.flow.input.from {
                Some(template) => self.fill(view, template, &raw),
                None => Ok(raw.clone()),
            }
        })();
        let body = View {
            stage: Stage::Body,
            ..view
        };
        let limit = match &self.flow.timeout {
            Some(length) => self.length(body, length, &raw).map(Some),
            None => Ok(None),
        };
        let (input, limit) = match input.and_then(|input| Ok((input, limit?))) {
            Ok(both) => both,
            Err(fault) => return self.end(Err(fault)),
        };
        let own = Place {
            thread: OWN,
            depth: 0,
        };
        if let Some(duration) = limit {
            self.start(RUN, Purpose::RunTimeout, Effect::Timer { duration });
        }
        let frames = Vec::new();
        let parent = None;
        self.position.threads.insert(OWN, Thread { parent, frames });
        self.enter(own, Flow::ROOT.to_owned(), input, BTreeMap::new());
    }

    /// Begins tasks until all threads wait, or the turn has done its share.
    pub(super) fn run_ready(&mut self) {
        for _ in 0..TASKS_PER_TURN {
            if self.is_tired() {
                return;
            }
            self.task_work.set(0);
            let Some(thread) = self.position.ready.pop_front() else {
                return;
            };
            let Some(place) = self.top(thread) else {
                continue;
            };
            if self.frame(place).index >= self.frame(place).end {
                self.list_done(thread);
                continue;
            }
            self.begin(place);
        }
    }

    /// Whether the turn has done its share.
    pub(super) fn is_tired(&self) -> bool {
        self.turn_work.get() > WORK_PER_TURN
    }

    fn begin(&mut self, place: Place) {
        let task = self.task(place);
        self.log(Entry::Began {
            task: task.path.clone(),
        });
        match self.admit(place, task) {
            Ok(true) => {
                if let Err(fault) = self.work(place, task) {
                    self.fault(place, fault);
                }
            }
            Ok(false) => {
                self.log(Entry::Skipped {
                    task: task.path.clone(),
                });
                self.go_on(place, &Then::Continue);
            }
            Err(fault) => self.fault(place, fault),
        }
    }

    /// Whether the task is done at all; if so, it has its input from then on.
    fn admit(&mut self, place: Place, task: &Task) -> Result<bool, Fault> {
        let raw = &self.frame(place).data;
        if let Some(condition) = &task.condition
            && !self.condition(View::of(place, Stage::Condition), condition, raw)?
        {
            return Ok(false);
        }
        if let Some(schema) = &task.input.schema {
            self.satisfies(schema, raw)?;
        }
        let input = match &task.input.from {
            Some(from) => Some(self.fill(View::of(place, Stage::TaskInput), from, raw)?),
            None => None,
        };
        if let Some(input) = &input {
            self.take(input)?;
        }
        let running = self.running(input);
        if let Some(frame) = self.frame_mut(place) {
            frame.running = Some(running);
        }
        if let Some(timeout) = &task.timeout {
            let input = self.frame(place).input();
            let duration = self.length(View::body(place), timeout, input)?;
            self.start(place, Purpose::TaskTimeout, Effect::Timer { duration });
        }
        Ok(true)
    }

    /// Does what the task says, as far as that goes at once.
    fn work(&mut self, place: Place, task: &'t Task) -> Result<(), Fault> {
        let view = View::body(place);
        let input = self.frame(place).input();
        match &task.kind {
            Kind::Set(template) => {
                let output = self.fill(view, template, input)?;
                self.finish(place, output, None)
            }
            Kind::Wait(length) => {
                let duration = self.length(view, length, input)?;
                if duration.is_zero() {
                    let output = input.clone();
                    return self.finish(place, output, None);
                }
                self.start(place, Purpose::Task, Effect::Timer { duration });
                Ok(())
            }
            Kind::Do => {
                self.keep(weight(input))?;
                let input = input.clone();
                self.set_doing(place, Doing::List);
                self.enter(place, format!("{}/do", task.path), input, BTreeMap::new());
                Ok(())
            }
            Kind::Switch(cases) => self.switch(place, cases),
            Kind::For(each) => self.begin_for(place, each),
            Kind::Fork { .. } => self.begin_fork(place, task),
            Kind::Try(_) => {
                let (began, retries) = (self.now, 0);
                self.attempt(place, began, retries)
            }
            Kind::Raise(error) => Err(self.raised(place, error)?),
            Kind::Emit(attributes) => {
                let event = self.event(place, attributes)?;
                let effect = Effect::Emit { event };
                self.send(&effect)?;
                self.start(place, Purpose::Task, effect);
                Ok(())
            }
            Kind::Listen(listen) => self.begin_listen(place, listen),
            Kind::Call(call) => {
                let effect = self.call_request(place, call)?;
                self.send(&effect)?;
                self.start(place, Purpose::Task, effect);
                Ok(())
            }
            Kind::Run(run) => {
                let effect = self.run_request(place, run)?;
                self.send(&effect)?;
                self.start(place, Purpose::Task, effect);
                Ok(())
            }
        }
    }

    /// Whether Temporal takes what a call sends, alone and with those before it.
    fn send(&self, effect: &Effect) -> Result<(), Fault> {
        let bytes = json_size(effect);
        self.keep(bytes as u64)?;
        if bytes > PAYLOAD_LIMIT {
            return Err(Standard::Runtime.fault(format!(
                "what the call sends takes {bytes} bytes as JSON, more than the {PAYLOAD_LIMIT} that it may"
            )));
        }
        let sent = self.sent.get().saturating_add(bytes);
        if sent > SENT_LIMIT {
            return Err(Standard::Runtime.fault(format!(
                "what calls send that begin at once takes {sent} bytes as JSON, more than the {SENT_LIMIT} that it may"
            )));
        }
        self.sent.set(sent);
        Ok(())
    }

    /// Ends the task at a place, the innermost of its thread, with its raw output.
    pub(super) fn finish(
        &mut self,
        place: Place,
        raw: Value,
        then: Option<&Then>,
    ) -> Result<(), Fault> {
        let task = self.task(place);
        let view = View {
            output: Some(&raw),
            ..View::of(place, Stage::TaskOutput)
        };
        let made = self.transform(view, &task.output, &raw)?;
        let output = made.unwrap_or(raw);
        self.take(&output)?;
        let view = View {
            output: Some(&output),
            ..View::of(place, Stage::Export)
        };
        if task.export.transform.is_some()
            && let Some(context) = self.transform(view, &task.export, &output)?
        {
            self.take(&context)?;
            self.position.context = context;
        }
        self.abandon(place);
        if let Some(frame) = self.frame_mut(place) {
            frame.data = output;
        }
        self.log(Entry::Completed {
            task: task.path.clone(),
        });
        self.go_on(place, then.unwrap_or(&task.then));
        Ok(())
    }

    /// Follows a flow directive from the task at a place.
    fn go_on(&mut self, place: Place, then: &Then) {
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
    fn list_done(&mut self, thread: u64) {
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

    /// Ends the task at a place with an error: the `try` that catches it goes
    /// on, or the run ends.
    pub(super) fn fault(&mut self, place: Place, fault: Fault) {
        let mut fault = fault.shortened();
        let path = &self.task(place).path;
        fault.instance.get_or_insert_with(|| path.clone());
        self.log(Entry::Faulted {
            task: path.clone(),
            fault: fault.clone(),
        });
        self.unwind(place, fault);
    }

    /// Leaves lists from the one at a place on, until a `try` catches the error.
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

    /// Ends the run well: its output is transformed once more.
    fn run_done(&mut self, output: &Value) {
        let view = View {
            place: None,
            stage: Stage::RunOutput,
            extra: &[],
            output: None,
        };
        let made = self.transform(view, &self.flow.output, output);
        self.end(made.map(|made| made.unwrap_or_else(|| output.clone())));
    }

    /// Ends the run, and gives up all that is under way.
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

    /// The fault of a limit that has passed.
    pub(super) fn timed_out(what: &str) -> Fault {
        Standard::Timeout.fault(format!("{what} took longer than its limit"))
    }
}

/// An output that Temporal takes.
fn fitting(output: Value) -> Result<Value, Fault> {
    let bytes = json_size(&output);
    if bytes > PAYLOAD_LIMIT {
        let limit = PAYLOAD_LIMIT;
        let detail = format!(
            "the run's output takes {bytes} bytes as JSON, more than the {limit} that it may"
        );
        return Err(Standard::Runtime.fault(detail));
    }
    Ok(output)
}
