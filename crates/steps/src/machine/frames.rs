//! Threads and frames: the places of tasks, and giving up what is active.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::state::{Doing, Frame, Parent, Pending, Purpose, Running, Thread};
use super::tasks::Interpreter;
use super::{Command, Effect, EffectId};
use crate::language::{Kind, Task};

/// A place: a frame of a thread, and so the frame's current task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) thread: u64,
    pub(super) depth: usize,
}

impl<'t> Interpreter<'t> {
    /// Returns the frames of a thread up to a place.
    pub(super) fn frames(&self, place: Place) -> &[Frame] {
        let thread = self.position.threads.get(&place.thread);
        let frames = thread.map_or(&[][..], |thread| &thread.frames);
        frames.get(..=place.depth).unwrap_or(frames)
    }

    /// Returns `true` if the place exists.
    pub(super) fn exists(&self, place: Place) -> bool {
        self.frames(place).len() > place.depth
    }

    /// Returns the frame at a place, which must exist.
    pub(super) fn frame(&self, place: Place) -> &Frame {
        &self.position.threads[&place.thread].frames[place.depth]
    }

    pub(super) fn frame_mut(&mut self, place: Place) -> Option<&mut Frame> {
        let thread = self.position.threads.get_mut(&place.thread)?;
        thread.frames.get_mut(place.depth)
    }

    /// Returns the innermost place of a thread.
    pub(super) fn top(&self, thread: u64) -> Option<Place> {
        let frames = &self.position.threads.get(&thread)?.frames;
        let depth = frames.len().checked_sub(1)?;
        Some(Place { thread, depth })
    }

    /// Returns the current task of a place, which must exist.
    pub(super) fn task(&self, place: Place) -> &'t Task {
        let frame = self.frame(place);
        &self.flow.list(&frame.list)[frame.index]
    }

    pub(super) fn doing(&self, place: Place) -> Option<&Doing> {
        let frame = self.frames(place).get(place.depth)?;
        frame.running.as_ref().map(|running| &running.doing)
    }

    pub(super) fn doing_mut(&mut self, place: Place) -> Option<&mut Doing> {
        let running = self.frame_mut(place)?.running.as_mut()?;
        Some(&mut running.doing)
    }

    pub(super) fn set_doing(&mut self, place: Place, doing: Doing) {
        if let Some(present) = self.doing_mut(place) {
            *present = doing;
        }
    }

    pub(super) fn running(&self, input: Option<Value>) -> Running {
        Running {
            input,
            started_at: self.now,
            doing: Doing::Itself,
        }
    }

    /// Enters a list of the task at a place. The first task of the list becomes ready.
    pub(super) fn enter(
        &mut self,
        place: Place,
        list: String,
        data: Value,
        variables: BTreeMap<String, Value>,
    ) {
        let end = self.flow.list(&list).len();
        let frame = Frame {
            list,
            index: 0,
            end,
            data,
            variables,
            running: None,
        };
        if let Some(thread) = self.position.threads.get_mut(&place.thread) {
            thread.frames.push(frame);
            self.position.ready.push_back(place.thread);
        }
    }

    /// Begins a branch of the `fork` at a place. The branch gets a copy of the variables around
    /// it.
    pub(super) fn branch(&mut self, place: Place, branch: usize, list: &str, data: Value) {
        let mut variables = BTreeMap::new();
        for frame in self.frames(place) {
            variables.extend(frame.variables.clone());
        }
        let id = self.next_id();
        let frame = Frame {
            list: list.to_owned(),
            index: branch,
            end: branch + 1,
            data,
            variables,
            running: None,
        };
        let parent = Some(Parent {
            thread: place.thread,
            depth: place.depth,
            branch,
        });
        let frames = vec![frame];
        self.position.threads.insert(id, Thread { parent, frames });
        self.position.ready.push_back(id);
    }

    pub(super) fn next_id(&mut self) -> u64 {
        let id = self.position.next;
        self.position.next += 1;
        id
    }

    /// Starts an effect for the task at a place.
    pub(super) fn start(&mut self, place: Place, purpose: Purpose, effect: Effect) {
        let id = self.next_id();
        let deadline = match &effect {
            Effect::Timer { duration } => {
                Some(self.now.saturating_add(*duration).unwrap_or(Timestamp::MAX))
            }
            _ => None,
        };
        let pending = Pending {
            thread: place.thread,
            depth: place.depth,
            purpose,
            effect,
            deadline,
        };
        self.command(id, &pending);
        self.position.pending.insert(id, pending);
    }

    /// Adds the command that asks the host to start an effect.
    pub(super) fn command(&mut self, id: EffectId, pending: &Pending) {
        let place = Place {
            thread: pending.thread,
            depth: pending.depth,
        };
        let task = self.exists(place).then(|| self.task(place));
        let retried = self.retried(place);
        self.commands.push(Command::Start {
            id,
            task: task.map(|task| task.path.clone()).unwrap_or_default(),
            effect: pending.effect.clone(),
            options: Box::new(task.map(|task| task.temporal.clone()).unwrap_or_default()),
            retried,
        });
    }

    /// Returns `true` if a place is inside a `try` with `retry`, in its own thread or in a thread
    /// around it.
    fn retried(&self, mut place: Place) -> bool {
        loop {
            let thread = place.thread;
            let retries = |depth| {
                let place = Place { thread, depth };
                let attempt = matches!(self.doing(place), Some(Doing::Try { .. }));
                attempt
                    && matches!(&self.task(place).kind, Kind::Try(catch) if catch.retry.is_some())
            };
            // A damaged position may contain a huge depth, so the number of frames limits the
            // loop.
            if (0..place.depth.min(self.frames(place).len())).any(retries) {
                return true;
            }
            let thread = self.position.threads.get(&place.thread);
            let Some(parent) = thread.and_then(|thread| thread.parent) else {
                return false;
            };
            place = Place {
                thread: parent.thread,
                depth: parent.depth,
            };
        }
    }

    /// Starts the effects of a position again, and timers with the time that is left.
    ///
    /// Returns the timers that have ended, in the order of their ends, and does not start them.
    /// Otherwise a run that often continues in another execution would start them anew each time.
    pub(super) fn restart(&mut self) -> Vec<EffectId> {
        let mut ended = Vec::new();
        let answered: BTreeSet<EffectId> = self.position.answered().collect();
        for (id, mut pending) in self.position.pending.clone() {
            if answered.contains(&id) {
                continue;
            }
            if let (Effect::Timer { duration }, Some(deadline)) =
                (&mut pending.effect, pending.deadline)
            {
                if deadline <= self.now {
                    ended.push((deadline, id));
                    continue;
                }
                *duration = deadline
                    .duration_since(self.now)
                    .try_into()
                    .unwrap_or_default();
            }
            self.command(id, &pending);
        }
        ended.sort_unstable();
        ended.into_iter().map(|(_, id)| id).collect()
    }

    /// Gives up the effects that `which` selects.
    pub(super) fn cancel(&mut self, which: impl Fn(&Pending) -> bool) {
        let ids: Vec<EffectId> = self
            .position
            .pending
            .iter()
            .filter(|(_, pending)| which(pending))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.position.pending.remove(&id);
            self.commands.push(Command::Cancel { id });
        }
    }

    /// Gives up the effects with one purpose of the task at a place.
    pub(super) fn cancel_purpose(&mut self, place: Place, purpose: Purpose) {
        self.cancel(|pending| {
            (pending.thread, pending.depth) == (place.thread, place.depth)
                && pending.purpose == purpose
        });
    }

    /// Gives up the current task of a place with everything in it. The frame stays, and its task
    /// has not begun.
    pub(super) fn abandon(&mut self, place: Place) {
        self.abandon_branches(place);
        self.cancel(|pending| pending.thread == place.thread && pending.depth >= place.depth);
        self.position.ready.retain(|thread| *thread != place.thread);
        let Some(thread) = self.position.threads.get_mut(&place.thread) else {
            return;
        };
        let abandoned = thread.frames.iter_mut().skip(place.depth);
        let abandoned = abandoned.filter_map(|frame| frame.running.take());
        // Events that were taken and not handled are left for other tasks.
        let events = abandoned.filter_map(|running| match running.doing {
            Doing::Listen(listening) => Some(listening.waiting),
            _ => None,
        });
        let events: Vec<Value> = events.flatten().collect();
        thread.frames.truncate(place.depth + 1);
        for event in events.into_iter().rev() {
            self.position.unread.push_front(event);
        }
    }

    /// Gives up the branches of the forks at a place and at deeper places of its thread.
    pub(super) fn abandon_branches(&mut self, place: Place) {
        let branches: Vec<u64> = self
            .position
            .threads
            .iter()
            .filter(|(_, thread)| {
                thread.parent.is_some_and(|parent| {
                    parent.thread == place.thread && parent.depth >= place.depth
                })
            })
            .map(|(id, _)| *id)
            .collect();
        for thread in branches {
            self.abandon(Place { thread, depth: 0 });
            self.position.threads.remove(&thread);
        }
    }

    /// Returns the `for` at a place.
    pub(super) fn for_of(&self, place: Place) -> Option<&'t crate::language::For> {
        match &self.task(place).kind {
            Kind::For(each) => Some(each),
            _ => None,
        }
    }
}
