//! The decisions of the reconcile workflow, without Temporal: events go in, and the next action
//! comes out.
//!
//! The time is the one that the caller last gave with [`Coordinator::tick`].

mod adoptions;
mod attempts;
mod history;
mod manual_run_queue;
mod overrides;
mod requests;
mod suspension;
mod worker_probes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use almanac_base::names::{DefinitionId, Revision, WorkerId};
use almanac_core::record::{
    Announcement, PassDone, PassInput, PendingPass, RequestProblem, State, Status, SyncAnswer,
    SyncRequest, Trigger, WorkerEvent,
};
use jiff::{SignedDuration, Timestamp};

use super::current_revision::{self, RevisionChange};
use super::pass_queue::{self, PassRequest};
use super::state_limits;

/// The next action of the workflow.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// Wait until this time, or until [`Coordinator::news`] grows.
    Wait(Option<Timestamp>),
    /// Ask these workers, with this input, for the revision that they hold.
    Probe(Vec<WorkerId>, Box<PassInput>),
    /// Let this worker do this pass.
    Run(WorkerId, Box<PassInput>),
}

/// Maximum number of full passes in a row that make way for operators.
const MADE_WAY_LIMIT: u32 = 3;

/// Result of an attempt at a pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attempt {
    /// The worker did the pass.
    Done(Box<PassDone>),
    /// The worker holds another revision.
    Refused(Revision, Option<Vec<Announcement>>),
    /// The worker did not start the pass in time.
    NotStarted,
    /// The attempt failed with this error.
    Failed(String),
}

/// The state of the reconcile workflow, with the rules that decide its next action.
#[derive(Debug, Clone)]
pub(super) struct Coordinator {
    state: State,
    now: Timestamp,
    /// The pass that is running, with its worker.
    running: Option<(WorkerId, PendingPass)>,
    /// Number of attempts in a row that did not end well.
    failed_attempts: u32,
    /// After a failure: the time of the next attempt, and the value of `news` at the failure.
    retry: Option<(Timestamp, u64)>,
    /// `true` if the workers that hold another revision have been asked for this pass.
    probed: bool,
    /// A counter that grows with everything that may change the next action.
    news: u64,
    /// Expired overrides whose end was asked for, with the time of that end. Each is asked for
    /// once per workflow run, since otherwise a schedule that cannot be written would be tried
    /// for ever.
    expired: BTreeMap<DefinitionId, Timestamp>,
    /// Definitions with a run, asked for by an operator, that has not ended.
    active: BTreeSet<DefinitionId>,
    /// `true` if workers are asked before their announcements count.
    asks: bool,
    /// A counter that grows with each worker that answered a question, or did not.
    answers: u64,
    /// Workers that are being asked, with the announcements that caused the questions.
    asking: BTreeMap<WorkerId, Option<Announcement>>,
    /// Workers that have been silent for too long and are to be asked.
    overdue: BTreeSet<WorkerId>,
    /// The announcement that the running pass proves.
    hint: Option<Announcement>,
    /// Number of the requests for overrides that had been made when the running pass began.
    began_after: u64,
    /// `true` if the running pass was asked to make way for an operator's request.
    makes_way: bool,
    /// Number of full passes in a row that made way.
    made_way: u32,
}

impl Coordinator {
    /// Continues with a state, which may come from any source.
    pub(super) fn new(mut state: State, now: Timestamp) -> Self {
        state_limits::state(&mut state, now);
        Self {
            state,
            now,
            running: None,
            failed_attempts: 0,
            retry: None,
            probed: false,
            news: 0,
            expired: BTreeMap::new(),
            active: BTreeSet::new(),
            asks: true,
            answers: 0,
            asking: BTreeMap::new(),
            overdue: BTreeSet::new(),
            hint: None,
            began_after: 0,
            makes_way: false,
            made_way: 0,
        }
    }

    /// Sets the time. Earlier times than the present one are ignored.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// A worker that holds the current revision.
    pub(super) fn worker_with_current(&self) -> Option<WorkerId> {
        current_revision::pick(&self.state)
    }

    /// Returns `true` if an operator asked for an override while a full pass that writes was
    /// running, and the pass must make way.
    ///
    /// A confirmation does not make way, because its digest names exactly the removals of one pass.
    /// After [`MADE_WAY_LIMIT`] passes in a row that made way, the next one does its work.
    pub(super) fn operator_waits(&self) -> bool {
        let is_bulk =
            |pass: &PendingPass| pass.only.is_none() && !pass.dry_run && pass.confirm.is_none();
        let mut orders = self.state.orders.values();
        self.running.as_ref().is_some_and(|(_, pass)| is_bulk(pass))
            && self.made_way < MADE_WAY_LIMIT
            && orders.any(|order| order.number > self.began_after)
    }

    /// Records that the running pass was asked to make way. The rest of it is done after what the
    /// operator asked for.
    pub(super) fn make_way(&mut self) {
        self.makes_way = true;
    }

    /// Returns `true` if a pass is running.
    pub(super) fn passes(&self) -> bool {
        self.running.is_some()
    }

    /// The time that was last set.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// A counter that grows with everything that may change the result of [`Self::next`].
    pub(super) fn news(&self) -> u64 {
        self.news.saturating_add(self.answers)
    }

    /// The state for continue-as-new.
    pub(super) fn carried(&self) -> State {
        let mut state = self.state.clone();
        if let Some((_, pass)) = &self.running {
            pass_queue::put_back(&mut state.pending, pass.clone());
        }
        let unproved = self.asking.values().flatten().chain(&self.hint);
        for claim in unproved {
            worker_probes::keep(&mut state.claims, claim.clone());
        }
        state_limits::state(&mut state, self.now);
        state
    }

    /// Handles an announcement of a worker.
    pub(super) fn announce(&mut self, announcement: &Announcement) {
        let differed = self.differ();
        let effect = self.take_in(announcement);
        match (effect, &announcement.changed) {
            (RevisionChange::Edited, Some(ids)) => {
                self.ask(PassRequest::only(Trigger::Change, ids.clone()));
            }
            (RevisionChange::Edited, None) => {
                self.ask(PassRequest::full(Trigger::Change));
            }
            (RevisionChange::Moved, _) => {
                let trigger = if announcement.event == WorkerEvent::Started {
                    Trigger::Start
                } else {
                    Trigger::Change
                };
                self.moved(trigger);
            }
            (RevisionChange::Stayed, _) if announcement.event == WorkerEvent::Started => {
                self.ask(PassRequest::full(Trigger::Start));
            }
            (RevisionChange::Stayed, _) if differed && !self.differ() => {
                // Removals waited until all workers hold the same revision.
                self.ask(PassRequest::full(Trigger::Change));
            }
            (RevisionChange::Stayed, _) => {}
        }
    }

    /// Records the facts of an announcement.
    fn take_in(&mut self, announcement: &Announcement) -> RevisionChange {
        let effect = current_revision::take_announcement(&mut self.state, announcement, self.now);
        self.news += 1;
        self.gather(announcement, effect);
        effect
    }

    /// Adds the changes of an announcement to the counts. Every worker announces the same edit,
    /// so it counts only where the revision became current.
    fn gather(&mut self, announcement: &Announcement, effect: RevisionChange) {
        let alone = self.state.workers.len() == 1;
        let current = self.state.revision.as_ref() == Some(&announcement.revision);
        if announcement.event != WorkerEvent::Stopping
            && current
            && (alone || effect != RevisionChange::Stayed)
        {
            self.state.definitions.add(announcement.definitions);
            self.state.event_types.add(announcement.event_types);
        }
    }

    /// Handles the signal `reconcile`.
    pub(super) fn reconcile(&mut self) {
        self.ask(PassRequest::full(Trigger::Signal));
    }

    /// Counts a signal whose input could not be read.
    pub(super) fn ignore(&mut self) {
        self.state.ignored_signals = self.state.ignored_signals.saturating_add(1);
    }

    /// Validates the update `sync`.
    pub(super) fn admits(&self, request: &SyncRequest) -> Result<(), RequestProblem> {
        request.check()?;
        self.admits_once::<SyncAnswer>(&request.request_id, |machine| {
            machine.refuse_if_suspended()?;
            pass_queue::admits(&machine.state, &sync_ask(request))
        })
    }

    /// Handles the update `sync`.
    pub(super) fn sync(&mut self, request: &SyncRequest) -> Result<SyncAnswer, RequestProblem> {
        self.once(&request.request_id, |machine| {
            let pass = machine.ask(sync_ask(request));
            // The pass refuses any other digest: removals are planned by full passes alone, and
            // these record what they hold.
            let held = machine.state.held.as_ref().map(|held| held.digest.as_str());
            let confirmed = request
                .confirm
                .as_deref()
                .filter(|digest| !request.dry_run && !digest.is_empty() && Some(*digest) == held);
            if let Some(digest) = confirmed {
                let which = format!("the removals with the digest {digest}");
                machine.record_project_request("confirm", &request.by, &which, pass);
            }
            Ok(SyncAnswer { pass })
        })
    }

    fn ask(&mut self, ask: PassRequest) -> u64 {
        self.news += 1;
        pass_queue::ask(&mut self.state, ask)
    }

    /// Asks for a full pass after another revision became current, since the differences are
    /// not known.
    fn moved(&mut self, trigger: Trigger) {
        pass_queue::widen(&mut self.state);
        self.ask(PassRequest::full(trigger));
    }

    fn differ(&self) -> bool {
        current_revision::differ(&self.state)
    }

    /// The next action. The result of a pass that is started here is passed to [`Self::ended`].
    pub(super) fn next(&mut self) -> Next {
        if self.state.suspended.is_some() || self.state.workers.is_empty() {
            let interval = current_revision::options(&self.state).reconcile_interval;
            return Next::Wait(self.listen(interval));
        }
        let expiry = self.expire();
        let options = current_revision::options(&self.state);
        let silent = self.listen(options.reconcile_interval);
        let due = self.due(options.reconcile_interval);
        if due.is_none_or(|due| due <= self.now) && !pass_queue::full_waits(&self.state) {
            pass_queue::ask(&mut self.state, PassRequest::full(Trigger::Interval));
        }
        let edit_announced_by = self.edit_announced_by();
        if edit_announced_by.is_none() && self.state.pending.is_empty() {
            return Next::Wait(due.into_iter().chain(expiry).chain(silent).min());
        }
        if let Some((at, news)) = self.retry
            && self.now < at
            && self.news == news
        {
            return Next::Wait(Some(at));
        }
        self.hint = edit_announced_by.and_then(|worker| self.take_up_edit(&worker));
        let Some(pass) = self.state.pending.front().cloned() else {
            return Next::Wait(silent);
        };
        let place = match &self.hint {
            Some(hint) => Some((hint.worker.clone(), hint.revision.clone())),
            None => current_revision::pick(&self.state).zip(self.state.revision.clone()),
        };
        let Some((worker, revision)) = place else {
            return Next::Wait(silent);
        };
        let dissenters = current_revision::dissenters(&self.state, &revision, &worker);
        if !dissenters.is_empty()
            && !self.probed
            && self.hint.is_none()
            && !pass.dry_run
            && pass.only.is_none()
        {
            self.probed = true;
            return Next::Probe(dissenters, Box::new(probe(revision)));
        }
        self.state.pending.pop_front();
        self.retry = None;
        let input = self.input(&pass, &worker, revision, !dissenters.is_empty());
        self.running = Some((worker.clone(), pass));
        self.began_after = self.state.requests_made;
        Next::Run(worker, Box::new(input))
    }

    /// Time at which the next full pass is due by the interval; `None` if there was no full
    /// pass yet.
    fn due(&self, interval: Duration) -> Option<Timestamp> {
        let interval = SignedDuration::try_from(interval).unwrap_or(SignedDuration::from_hours(1));
        self.state
            .last_full
            .map(|at| at.saturating_add(interval).unwrap_or(Timestamp::MAX))
    }

    fn input(
        &mut self,
        pass: &PendingPass,
        worker: &WorkerId,
        revision: Revision,
        differ: bool,
    ) -> PassInput {
        state_limits::forget_old(&mut self.state, self.now);
        let options = current_revision::options(&self.state);
        let (mut definitions, mut event_types) = (self.state.definitions, self.state.event_types);
        if let Some(hint) = &self.hint {
            definitions.add(hint.definitions);
            event_types.add(hint.event_types);
        }
        PassInput {
            heard: self
                .state
                .workers
                .get(worker)
                .map_or(0, |known| known.last_announcement),
            now: self.now,
            dry_run: pass.dry_run,
            confirm: pass.confirm.clone(),
            only: pass.only.clone(),
            describe_all: pass.only.is_none() && self.state.last_success.is_none(),
            replicas_differ: differ,
            drift: options.drift,
            orphans: options.orphans,
            resync_interval: options.resync_interval,
            recently_removed: recently_removed(&self.state),
            overrides: self.state.overrides.clone(),
            orders: self.orders_of(pass),
            adoptions: self.adoptions_of(pass),
            corrections: self.state.corrections.clone(),
            definitions,
            event_types,
            ..PassInput::new(pass.pass, pass.trigger, revision)
        }
    }

    /// The answer of the query `status`.
    pub(super) fn status(&self) -> Status {
        let state = &self.state;
        let phase = if self.running.is_some() {
            "running"
        } else if state.suspended.is_some() {
            "suspended"
        } else if state.workers.is_empty() {
            "waiting_for_worker"
        } else {
            "idle"
        };
        Status {
            state: phase.to_owned(),
            pass: state.pass,
            requested: state.requested.max(state.pass),
            pending: state.pending.len() as u64 + u64::from(self.running.is_some()),
            revision: state.revision.clone(),
            workers: state.workers.clone(),
            announced: self.announced(),
            held: state.held.clone(),
            overrides: state.overrides.clone(),
            overrides_left: state.overrides_left,
            orders: state.orders.clone(),
            adoptions: state.adoptions.clone(),
            runs_pending: self.runs_pending() as u64,
            corrections: state.corrections.clone(),
            recently_removed: recently_removed(state),
            last_success: state.last_success,
            last_error: state.last_error.clone(),
            reports: state.reports.iter().cloned().collect(),
            ignored_signals: state.ignored_signals,
            suspended: state.suspended.clone(),
        }
    }
}

fn sync_ask(request: &SyncRequest) -> PassRequest {
    // A request from the history of an earlier release may not have been checked.
    let mut confirm = request.confirm.clone().filter(|digest| !digest.is_empty());
    confirm.iter_mut().for_each(state_limits::name);
    PassRequest {
        dry_run: request.dry_run,
        confirm,
        ..PassRequest::full(Trigger::Sync)
    }
}

/// The input by which a worker is asked for the revision that it holds.
fn probe(revision: Revision) -> PassInput {
    PassInput {
        dry_run: true,
        only: Some(Vec::new()),
        replicas_differ: true,
        drift: almanac_core::record::DriftPolicy::Report,
        orphans: almanac_core::record::OrphanPolicy::Keep,
        ..PassInput::new(0, Trigger::Interval, revision)
    }
}

fn recently_removed(state: &State) -> u64 {
    state
        .removals
        .iter()
        .fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests;
