//! Adoptions: asked for by an operator, and given to a pass.

use almanac_base::size::json_size;
use almanac_core::record::{
    AdoptAnswer, AdoptRequest, Adoption, Adoptions, HistoryEntry, HistoryEntryKind, PendingPass,
    RequestProblem, Trigger,
};

use super::Coordinator;
use crate::reconcile::pass_queue::PassRequest;
use crate::reconcile::state_limits::{self, ORDERS_KEPT};

/// Size of an adoption in the state beside its request, in bytes of JSON.
const ENTRY_OVERHEAD: usize = 300;

impl Coordinator {
    /// Validates the update `adopt`.
    pub(in crate::reconcile) fn admits_adoption(
        &self,
        request: &AdoptRequest,
    ) -> Result<(), RequestProblem> {
        self.admits_once::<AdoptAnswer>(&request.request_id, |machine| {
            let id = request.check()?;
            machine.refuse_if_suspended()?;
            let adoptions = &machine.state.adoptions;
            if !adoptions.contains_key(id) && adoptions.len() >= ORDERS_KEPT {
                return Err(format!(
                    "too many adoptions are pending ({}); try again later",
                    adoptions.len()
                )
                .into());
            }
            let more = ENTRY_OVERHEAD + json_size(request);
            state_limits::admits("adoptions", adoptions, more, state_limits::ADOPTIONS_LIMIT)
        })
    }

    /// Handles the update `adopt`: a pass over this definition does it.
    pub(in crate::reconcile) fn adopt(
        &mut self,
        request: &AdoptRequest,
    ) -> Result<AdoptAnswer, RequestProblem> {
        self.once(&request.request_id, |machine| {
            let id = request.check()?.clone();
            machine.state.requests_made = machine.state.requests_made.saturating_add(1);
            let adoption = Adoption {
                number: machine.state.requests_made,
                from: request.from.clone(),
                from_project: request.from_project.clone(),
                revision: request.revision.clone(),
                by: request.by.clone(),
                at: machine.now,
            };
            let pass = machine.ask(PassRequest::only(Trigger::Adopt, vec![id.clone()]));
            machine.record_history(HistoryEntry {
                at: machine.now,
                id: id.to_string(),
                kind: HistoryEntryKind::Asked,
                op: "adopt".to_owned(),
                pass,
                reason: format!("to take over from `{}`", request.from),
                by: request.by.clone(),
                ..HistoryEntry::default()
            });
            machine.state.adoptions.insert(id, adoption);
            Ok(AdoptAnswer { pass })
        })
    }

    /// Returns the adoptions that a pass is given. A dry run gets none.
    pub(super) fn adoptions_of(&self, pass: &PendingPass) -> Adoptions {
        let covered = |id| pass.only.as_ref().is_none_or(|only| only.contains(id));
        let adoptions = self.state.adoptions.iter();
        adoptions
            .filter(|(id, _)| !pass.dry_run && covered(id))
            .map(|(id, one)| (id.clone(), one.clone()))
            .collect()
    }
}
