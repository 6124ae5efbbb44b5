//! Suspension of the reconcile workflow by operators, and its end.

use almanac_core::record::{
    RequestProblem, SuspendAnswer, SuspendRequest, Suspension, Trigger, WorkflowMemo,
};

use super::Coordinator;
use crate::reconcile::pass_queue::PassRequest;
use crate::reconcile::state_limits;

impl Coordinator {
    /// Returns the part of the state that outlives this workflow run, however the run ends.
    pub(in crate::reconcile) fn memo(&self) -> WorkflowMemo {
        WorkflowMemo {
            suspended: self.state.suspended.clone(),
        }
    }

    /// Refuses a request that waits for a pass while the workflow is suspended.
    pub(super) fn refuse_if_suspended(&self) -> Result<(), RequestProblem> {
        match &self.state.suspended {
            None => Ok(()),
            Some(suspension) => Err(format!(
                "the reconciler is {suspension}; hint: `almanac resume` resumes it"
            )
            .into()),
        }
    }

    /// Validates the update `suspend`.
    pub(in crate::reconcile) fn admits_suspension(
        &self,
        request: &SuspendRequest,
    ) -> Result<(), RequestProblem> {
        request.check()?;
        self.admits_once::<SuspendAnswer>(&request.request_id, |_| {
            if request.reason.trim().is_empty() {
                return Err("reason is missing".into());
            }
            Ok(())
        })
    }

    /// Validates the update `resume`.
    pub(in crate::reconcile) fn admits_resumption(
        &self,
        request: &SuspendRequest,
    ) -> Result<(), RequestProblem> {
        request.check()?;
        self.admits_once::<SuspendAnswer>(&request.request_id, |machine| {
            if machine.state.suspended.is_none() {
                return Err("the reconciler is not suspended".into());
            }
            Ok(())
        })
    }

    /// Handles the update `suspend`: no pass begins from here on. A workflow that is
    /// suspended already gets the new reason.
    pub(in crate::reconcile) fn suspend(
        &mut self,
        request: &SuspendRequest,
    ) -> Result<SuspendAnswer, RequestProblem> {
        self.once(&request.request_id, |machine| {
            machine.news += 1;
            let mut suspension = Suspension {
                reason: request.reason.clone(),
                by: request.by.clone(),
                at: machine.now,
            };
            state_limits::suspension(&mut suspension);
            machine.record_project_request("suspend", &request.by, &request.reason, 0);
            machine.state.suspended = Some(suspension);
            Ok(SuspendAnswer {
                suspended: machine.state.suspended.clone(),
                pass: None,
            })
        })
    }

    /// Handles the update `resume`: a full pass catches up with what was missed.
    pub(in crate::reconcile) fn resume(
        &mut self,
        request: &SuspendRequest,
    ) -> Result<SuspendAnswer, RequestProblem> {
        self.once(&request.request_id, |machine| {
            machine.state.suspended = None;
            let pass = machine.ask(PassRequest::full(Trigger::Resume));
            machine.record_project_request("resume", &request.by, &request.reason, pass);
            Ok(SuspendAnswer {
                suspended: None,
                pass: Some(pass),
            })
        })
    }
}
