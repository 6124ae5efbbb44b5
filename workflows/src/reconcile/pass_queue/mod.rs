//! The passes that were asked for and wait.
//!
//! Requests that one pass can serve together get one number: any number of changed files,
//! signals, starts and plain syncs make one pass. A dry run and a confirmation get a pass
//! of their own, since their callers wait for exactly that report. A request never joins a
//! pass that already runs: that pass may have observed the schedules before the request was
//! made. A full pass that makes way for an operator's request is asked for again behind the
//! pass of that request, and is not one with it.

use std::collections::VecDeque;

use almanac_base::names::DefinitionId;
use almanac_core::record::{LIST_LIMIT, PENDING_KEPT, PendingPass, RequestProblem, State, Trigger};

/// Maximum number of attempts at a dry run or a confirmation. After the last one a report
/// says that it failed. Plain passes are tried until they end well.
pub(super) const ATTEMPTS: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PassRequest {
    /// Event that led to the request.
    pub(super) trigger: Trigger,
    /// `true` if the pass writes nothing.
    pub(super) dry_run: bool,
    /// Digest of the held removals that the request confirms.
    pub(super) confirm: Option<String>,
    /// Definitions to reconcile. `None` means all.
    pub(super) only: Option<Vec<DefinitionId>>,
}

impl PassRequest {
    /// Asks for a full pass that writes.
    pub(super) fn full(trigger: Trigger) -> Self {
        Self {
            trigger,
            dry_run: false,
            confirm: None,
            only: None,
        }
    }

    /// Asks for a pass over these definitions, or for a full pass if there are too many.
    pub(super) fn only(trigger: Trigger, ids: Vec<DefinitionId>) -> Self {
        let only = (ids.len() <= LIST_LIMIT).then_some(ids);
        Self {
            only,
            ..Self::full(trigger)
        }
    }

    fn joins(&self, pending: &PendingPass) -> bool {
        self.dry_run == pending.dry_run && self.confirm == pending.confirm
    }
}

/// Returns `true` if the caller of the pass waits for its report.
fn own_kind(pass: &PendingPass) -> bool {
    pass.dry_run || pass.confirm.is_some()
}

/// Refuses a request for which there is no more room.
pub(super) fn admits(state: &State, ask: &PassRequest) -> Result<(), RequestProblem> {
    let joins = state.pending.iter().any(|pending| ask.joins(pending));
    // Room is left for the plain passes that signals and the interval ask for.
    if joins || state.pending.len() + 4 < PENDING_KEPT {
        Ok(())
    } else {
        Err(format!(
            "too many passes are pending ({}); try again later",
            state.pending.len()
        )
        .into())
    }
}

/// Asks for a pass and returns its number.
pub(super) fn ask(state: &mut State, ask: PassRequest) -> u64 {
    if let Some(pending) = state.pending.iter_mut().find(|p| ask.joins(p)) {
        pending.trigger = more_deliberate(pending.trigger, ask.trigger);
        pending.only = union(pending.only.take(), ask.only);
        return pending.pass;
    }
    ask_apart(state, ask)
}

/// Asks for a pass that is not one with any that waits, and returns its number.
pub(super) fn ask_apart(state: &mut State, ask: PassRequest) -> u64 {
    state.requested = state.requested.max(state.pass).saturating_add(1);
    state.pending.push_back(PendingPass {
        pass: state.requested,
        trigger: ask.trigger,
        dry_run: ask.dry_run,
        confirm: ask.confirm,
        only: ask.only,
        attempts: 0,
    });
    state.requested
}

/// Result of counting a failed attempt at a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FailedPass {
    /// The pass waits to be tried again.
    Kept,
    /// The pass was tried often enough. Its caller must get a report.
    GivenUp(PendingPass),
}

/// Puts a pass that failed back to its place, unless it is given up.
pub(super) fn failed(state: &mut State, mut pass: PendingPass) -> FailedPass {
    pass.attempts = pass.attempts.saturating_add(1);
    if own_kind(&pass) && pass.attempts >= ATTEMPTS {
        return FailedPass::GivenUp(pass);
    }
    put_back(&mut state.pending, pass);
    FailedPass::Kept
}

/// Puts a pass that could not be tried back to its place: numbers are served in order.
pub(super) fn put_back(pending: &mut VecDeque<PendingPass>, pass: PendingPass) {
    let place = pending.partition_point(|waiting| waiting.pass < pass.pass);
    if pending
        .get(place)
        .is_none_or(|waiting| waiting.pass != pass.pass)
    {
        pending.insert(place, pass);
    }
}

/// Makes full passes of all waiting passes: the definitions that they name may no longer
/// cover every change.
pub(super) fn widen(state: &mut State) {
    for pass in &mut state.pending {
        pass.only = None;
    }
}

/// Returns `true` if a full pass that writes is waiting.
pub(super) fn full_waits(state: &State) -> bool {
    state
        .pending
        .iter()
        .any(|pass| !pass.dry_run && pass.only.is_none())
}

fn union(a: Option<Vec<DefinitionId>>, b: Option<Vec<DefinitionId>>) -> Option<Vec<DefinitionId>> {
    let (mut ids, more) = (a?, b?);
    ids.extend(more);
    ids.sort();
    ids.dedup();
    (ids.len() <= LIST_LIMIT).then_some(ids)
}

fn more_deliberate(a: Trigger, b: Trigger) -> Trigger {
    let rank = |trigger| match trigger {
        Trigger::Interval => 0,
        Trigger::Start => 1,
        Trigger::Change => 2,
        Trigger::Signal => 3,
        Trigger::Override => 4,
        Trigger::Adopt => 5,
        Trigger::Sync => 6,
        Trigger::Resume => 7,
    };
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
mod tests;
