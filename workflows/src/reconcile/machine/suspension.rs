//! The reconciler stopped and let go on by operators.

use serde_json::json;

use super::Machine;
use crate::reconcile::bounds::NAME_LIMIT;
use crate::reconcile::queue::Ask;
use crate::record::{SuspendAnswer, SuspendRequest, Suspension, Trigger};

impl Machine {
    /// What waits for a pass is refused while none can begin.
    pub(super) fn goes_on(&self) -> Result<(), String> {
        match &self.state.suspended {
            None => Ok(()),
            Some(suspension) => Err(format!(
                "the reconciler is {suspension}; `almanac resume` lets it go on"
            )),
        }
    }

    /// Whether the update `suspend` can be taken.
    pub(in crate::reconcile) fn admits_suspension(request: &SuspendRequest) -> Result<(), String> {
        if request.reason.trim().is_empty() {
            return Err("reason is missing".to_owned());
        }
        good_name(request)
    }

    /// Whether the update `resume` can be taken.
    pub(in crate::reconcile) fn admits_resumption(
        &self,
        request: &SuspendRequest,
    ) -> Result<(), String> {
        let again = self.answered::<SuspendAnswer>(&request.request_id);
        if self.state.suspended.is_none() && again.is_none() {
            return Err("the reconciler is not suspended".to_owned());
        }
        good_name(request)
    }

    /// The update `suspend`: no pass begins from here on. One that was
    /// suspended before gets the new reason.
    pub(in crate::reconcile) fn suspend(&mut self, request: &SuspendRequest) -> SuspendAnswer {
        if let Some(answer) = self.answered(&request.request_id) {
            return answer;
        }
        self.news += 1;
        self.state.suspended = Some(Suspension {
            reason: request.reason.clone(),
            by: request.by.clone(),
            at: self.now,
        });
        self.answer(request, None)
    }

    /// The update `resume`: a full pass catches up with what was missed.
    pub(in crate::reconcile) fn resume(&mut self, request: &SuspendRequest) -> SuspendAnswer {
        if let Some(answer) = self.answered(&request.request_id) {
            return answer;
        }
        self.state.suspended = None;
        let pass = self.ask(Ask::full(Trigger::Resume));
        self.answer(request, Some(pass))
    }

    fn answer(&mut self, request: &SuspendRequest, pass: Option<u64>) -> SuspendAnswer {
        let answer = SuspendAnswer {
            suspended: self.state.suspended.clone(),
            pass,
        };
        self.remember(&request.request_id, json!(answer));
        answer
    }
}

fn good_name(request: &SuspendRequest) -> Result<(), String> {
    if request.request_id.len() > NAME_LIMIT {
        return Err(format!("request_id is longer than {NAME_LIMIT} bytes"));
    }
    Ok(())
}
