//! Manual runs, in a queue of their own, beside the passes.
//!
//! Each schedule has one manual run at a time: on one of the servers two patches of a
//! schedule overwrite one another. The record of a run is kept before anything is sent, so
//! that a run is sent once at most, even if a worker dies.

use std::collections::BTreeMap;

use almanac_base::size::json_size;
use almanac_core::record::{
    ManualRunInput, RUNS_WAITING, RequestProblem, RunAnswer, RunBaseline, RunKind, RunRecord,
    RunRequest, RunState,
};

use super::Coordinator;
use crate::reconcile::state_limits;

/// Size of a run in the state beside its request, in bytes of JSON.
const RUN_OVERHEAD: usize = 500;

impl Coordinator {
    /// Validates the update `trigger` or `backfill`.
    pub(in crate::reconcile) fn admits_run(
        &self,
        kind: RunKind,
        request: &RunRequest,
    ) -> Result<(), RequestProblem> {
        let id = request.check(kind)?;
        if let Some(known) = self.run_of(&request.request_id) {
            if known.order.kind == kind && known.order.id == *id {
                return Ok(());
            }
            return Err(format!(
                "request_id `{}` was already used for a {} of `{}`",
                request.request_id,
                known.order.kind.name(),
                known.order.id
            )
            .into());
        }
        let waiting = self.runs_pending();
        if waiting >= RUNS_WAITING {
            return Err(
                format!("too many manual runs are pending ({waiting}); try again later").into(),
            );
        }
        let waiting: Vec<_> = self
            .state
            .runs
            .iter()
            .filter(|run| run.answer.is_none())
            .collect();
        let more = RUN_OVERHEAD + json_size(request) + request.request_id.len();
        state_limits::admits("runs", &waiting, more, state_limits::RUNS_LIMIT)
    }

    /// Handles the update `trigger` or `backfill`: returns the run as far as it is known. A
    /// repeated request gets the state at that time, because the record of the run
    /// remembers the request.
    pub(in crate::reconcile) fn ask_run(
        &mut self,
        kind: RunKind,
        request: &RunRequest,
    ) -> Result<RunAnswer, RequestProblem> {
        let number = self.run_asked(kind, request)?;
        let answer = self.run_answer(number);
        answer.ok_or_else(|| "the request has been forgotten".into())
    }

    /// Returns the number of the run that is asked for. A new request is recorded.
    fn run_asked(&mut self, kind: RunKind, request: &RunRequest) -> Result<u64, RequestProblem> {
        self.admits_run(kind, request)?;
        if let Some(known) = self.run_of(&request.request_id) {
            return Ok(known.order.number);
        }
        let id = request.check(kind)?.clone();
        self.record_run_request(kind, &id, request);
        self.state.runs_asked = self.state.runs_asked.saturating_add(1);
        let number = self.state.runs_asked;
        let mut order = ManualRunInput {
            number,
            kind,
            id,
            // The server ignores a patch whose request id it knows.
            request_id: if request.request_id.is_empty() {
                format!("almanac-run-{number}-{}", self.now.as_nanosecond())
            } else {
                format!("almanac-run-{}", request.request_id)
            },
            overlap: request.overlap,
            from: request.from,
            to: request.to,
            limit: request.limit,
            reason: request.reason.clone(),
            by: request.by.clone(),
            before: None,
            sent: false,
        };
        state_limits::manual_run_input(&mut order);
        self.state.runs.push_back(RunRecord {
            request_id: request.request_id.clone(),
            order,
            answer: None,
        });
        Ok(number)
    }

    /// Number of manual runs that were ever asked for.
    pub(in crate::reconcile) fn runs_asked(&self) -> u64 {
        self.state.runs_asked
    }

    /// Number of manual runs that wait or are running.
    pub(in crate::reconcile) fn runs_pending(&self) -> usize {
        let runs = self.state.runs.iter();
        runs.filter(|run| run.answer.is_none()).count()
    }

    /// Returns `true` if a manual run is running.
    pub(in crate::reconcile) fn runs_go_on(&self) -> bool {
        !self.active.is_empty()
    }

    /// Returns `true` if a manual run can begin.
    pub(in crate::reconcile) fn run_waits(&self) -> bool {
        self.next_waiting().is_some()
    }

    /// Takes the next run from the queue. The caller gives it to [`Self::run_ended`] at its
    /// end.
    pub(in crate::reconcile) fn next_run(&mut self) -> Option<ManualRunInput> {
        let mut order = self.next_waiting()?.clone();
        // An earlier run of this workflow observed the schedule and did not see the end.
        order.sent = order.before.is_some();
        self.active.insert(order.id.clone());
        Some(order)
    }

    fn next_waiting(&self) -> Option<&ManualRunInput> {
        let mut runs = self.state.runs.iter();
        runs.find(|run| run.answer.is_none() && !self.active.contains(&run.order.id))
            .map(|run| &run.order)
    }

    /// Records what the schedule showed before the run. From now on the run may be sent.
    pub(in crate::reconcile) fn run_seen(&mut self, number: u64, mut before: RunBaseline) {
        state_limits::run_baseline(&mut before);
        if let Some(run) = self.run_mut(number) {
            run.order.before = Some(before);
        }
    }

    /// Takes in the end of a manual run.
    pub(in crate::reconcile) fn run_ended(&mut self, order: &ManualRunInput, answer: RunAnswer) {
        self.active.remove(&order.id);
        let mut answer = RunAnswer {
            number: order.number,
            kind: order.kind,
            id: Some(order.id.clone()),
            ..answer
        };
        state_limits::answer(&mut answer);
        self.record_run_end(order, &answer);
        if let Some(run) = self.run_mut(order.number) {
            // The observation before the run is of no more use.
            run.order.before = None;
            run.answer = Some(answer);
        }
        state_limits::runs(&mut self.state.runs);
    }

    /// Returns the answer to a request as far as it is known.
    pub(in crate::reconcile) fn run_answer(&self, number: u64) -> Option<RunAnswer> {
        let mut runs = self.state.runs.iter();
        runs.find(|run| run.order.number == number).map(answer_of)
    }

    /// Returns the answers to the requests with these ids, as far as they are known. A
    /// request that is not known has no answer.
    pub(in crate::reconcile) fn run_answers_of(
        &self,
        request_ids: Vec<String>,
    ) -> BTreeMap<String, RunAnswer> {
        let known = |id: String| self.run_of(&id).map(|run| (id, answer_of(run)));
        request_ids.into_iter().filter_map(known).collect()
    }

    fn run_of(&self, request_id: &str) -> Option<&RunRecord> {
        if request_id.is_empty() {
            return None;
        }
        let mut runs = self.state.runs.iter();
        runs.find(|run| run.request_id == request_id)
    }

    fn run_mut(&mut self, number: u64) -> Option<&mut RunRecord> {
        let mut runs = self.state.runs.iter_mut();
        runs.find(|run| run.order.number == number)
    }
}

fn answer_of(run: &RunRecord) -> RunAnswer {
    run.answer.clone().unwrap_or_else(|| RunAnswer {
        number: run.order.number,
        kind: run.order.kind,
        id: Some(run.order.id.clone()),
        state: RunState::Pending,
        message: "the request is waiting or in progress".to_owned(),
        ..RunAnswer::default()
    })
}
