//! A turn: the run and its tasks begin here. The module `completion` ends them.

use std::cell::Cell;
use std::collections::BTreeMap;

use almanac_base::size::{PAYLOAD_LIMIT, json_size, weight};
use jiff::Timestamp;
use serde_json::Value;

use super::evaluate::View;
use super::frames::Place;
use super::state::{Doing, NO_THREAD, Position, Purpose, Thread};
use super::{
    About, Command, Effect, Entry, Fault, SENT_LIMIT, Standard, WORK_OF_TASK, WORK_PER_TURN,
};
use crate::language::{Flow, Kind, Stage, Task, Then};
use crate::limits::around;

/// The id of the run's own thread.
const OWN: u64 = 0;
/// The place of the run's own effects. It is in no thread, so that no task gives these effects
/// up.
const RUN: Place = Place {
    thread: NO_THREAD,
    depth: 0,
};

/// The machine during a turn.
pub(super) struct Interpreter<'t> {
    pub(super) flow: &'t Flow,
    pub(super) about: &'t About,
    pub(super) position: &'t mut Position,
    /// Work of expressions in this turn (`turn_work`), and since the current task or result began
    /// (`task_work`).
    pub(super) turn_work: Cell<u64>,
    pub(super) task_work: Cell<u64>,
    /// Number of tasks and lists that this turn began or ended.
    stepped: u64,
    /// Estimated size of the data in the position, in bytes. The estimate only goes down when all
    /// data is counted again.
    pub(super) held: Cell<u64>,
    /// Size of the calls that began since the last result arrived, in bytes of JSON.
    pub(super) sent: Cell<usize>,
    /// Number of expressions of the run that got a seed for UUIDs.
    pub(super) uuids: Cell<u64>,
    pub(super) now: Timestamp,
    pub(super) commands: Vec<Command>,
    /// Events that waited and are offered again in the next turn.
    pub(super) again: Vec<Value>,
    /// The log of the turn. `None` if no log is kept.
    log: Option<Vec<Entry>>,
}

impl<'t> Interpreter<'t> {
    pub(super) fn new(
        flow: &'t Flow,
        about: &'t About,
        position: &'t mut Position,
        now: Timestamp,
    ) -> Self {
        Self {
            uuids: Cell::new(position.uuids),
            flow,
            about,
            position,
            turn_work: Cell::default(),
            task_work: Cell::default(),
            stepped: 0,
            held: Cell::default(),
            sent: Cell::default(),
            now,
            commands: Vec::new(),
            again: Vec::new(),
            log: None,
        }
    }

    /// Work of the turn so far, in steps of expressions.
    pub(super) fn taken(&self) -> u64 {
        self.turn_work
            .get()
            .saturating_add(self.stepped * WORK_OF_TASK)
    }

    pub(super) fn answers(self) -> (Vec<Command>, Vec<Entry>) {
        (self.commands, self.log.unwrap_or_default())
    }

    /// Keeps a log from now on.
    pub(super) fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    pub(super) fn log(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(log) = &mut self.log {
            log.push(entry());
        }
    }

    /// Processes the run's input, once, and enters the run's list.
    pub(super) fn begin_run(&mut self) {
        if std::mem::replace(&mut self.position.begun, true) {
            return;
        }
        let view = View {
            place: None,
            stage: Stage::RunInput,
            extra: &[],
            raw: None,
            output: None,
        };
        let raw = self.position.input.clone();
        let input = (|| {
            self.take(&raw)?;
            if let Some(schema) = &self.flow.input.schema {
                self.satisfies(schema, &raw)?;
            }
            let Some(template) = &self.flow.input.from else {
                return Ok(None);
            };
            let made = self.fill(view, template, &raw)?;
            // The context holds the transformed input, too.
            self.keep(weight(&made))?;
            Ok(Some(made))
        })();
        let input = match input {
            Ok(input) => input,
            Err(fault) => return self.end(Err(fault)),
        };
        match &input {
            Some(made) => self.position.set_context(made.clone()),
            None => self.position.context_is_input = true,
        }
        let body = View {
            stage: Stage::Body,
            ..view
        };
        let limit = self.flow.timeout.as_ref();
        let limit = limit.map(|length| self.length(body, length, &raw));
        let limit = match limit.transpose() {
            Ok(limit) => limit,
            Err(fault) => return self.end(Err(fault)),
        };
        let input = input.unwrap_or(raw);
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

    /// Begins tasks, at most `most`, until all threads wait or the turn has used up its limit of
    /// work.
    ///
    /// Returns the number of tasks that the turn may still begin.
    pub(super) fn run_ready(&mut self, most: usize) -> usize {
        for left in (1..=most).rev() {
            if self.is_tired() {
                return left;
            }
            self.task_work.set(0);
            let Some(thread) = self.position.ready.pop_front() else {
                return left;
            };
            self.stepped += 1;
            let Some(place) = self.top(thread) else {
                continue;
            };
            if self.frame(place).index >= self.frame(place).end {
                self.list_done(thread);
                continue;
            }
            self.begin(place);
        }
        0
    }

    /// Returns `true` if the turn has used up its limit of work.
    pub(super) fn is_tired(&self) -> bool {
        self.turn_work.get() > WORK_PER_TURN
    }

    fn begin(&mut self, place: Place) {
        let task = self.task(place);
        self.log(|| Entry::Began {
            task: task.path.clone(),
        });
        match self.admit(place, task) {
            Ok(true) => {
                if let Err(fault) = self.work(place, task) {
                    self.fault(place, fault);
                }
            }
            Ok(false) => {
                self.log(|| Entry::Skipped {
                    task: task.path.clone(),
                });
                self.go_on(place, &Then::Continue);
            }
            Err(fault) => self.fault(place, fault),
        }
    }

    /// Returns `true` if the task's `if` allows the task to run. The task then has begun, with
    /// its transformed input.
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

    /// Does the work of a task, up to its first effect or list.
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
                self.send(task, &effect)?;
                self.start(place, Purpose::Task, effect);
                Ok(())
            }
            Kind::Listen(listen) => self.begin_listen(place, listen),
            Kind::Call(call) => {
                let effect = self.call_request(place, call)?;
                self.send(task, &effect)?;
                self.start(place, Purpose::Task, effect);
                Ok(())
            }
            Kind::Run(run) => {
                let effect = self.run_request(place, run)?;
                self.send(task, &effect)?;
                self.start(place, Purpose::Task, effect);
                Ok(())
            }
        }
    }

    /// Checks that Temporal accepts the data that a call sends, alone and together with the calls
    /// before it.
    fn send(&self, task: &Task, effect: &Effect) -> Result<(), Fault> {
        let arguments = match effect {
            Effect::Activity(request) => request.arguments.len(),
            _ => 1,
        };
        let options = &task.temporal;
        let beside = [&options.task_queue, &options.summary];
        let beside: usize = beside.into_iter().flatten().map(String::len).sum();
        let bytes = json_size(effect)
            .saturating_add(around(arguments))
            .saturating_add(beside);
        self.keep(bytes as u64)?;
        if bytes > PAYLOAD_LIMIT {
            return Err(Standard::Runtime.fault(format!(
                "the input of the call has {bytes} bytes, over the limit of {PAYLOAD_LIMIT}"
            )));
        }
        let sent = self.sent.get().saturating_add(bytes);
        if sent > SENT_LIMIT {
            return Err(Standard::Runtime.fault(format!(
                "the inputs of calls that begin at once have {sent} bytes, over the limit of \
                 {SENT_LIMIT}"
            )));
        }
        self.sent.set(sent);
        Ok(())
    }
}
