//! Adoptions: asked for, and handed to a pass.

use serde_json::json;

use super::Machine;
use crate::reconcile::bounds::{NAME_LIMIT, ORDERS_KEPT};
use crate::reconcile::queue::Ask;
use crate::record::{AdoptAnswer, AdoptRequest, Adoption, Adoptions, PendingPass, Trigger};

impl Machine {
    /// Whether the update `adopt` can be taken.
    pub(in crate::reconcile) fn admits_adoption(
        &self,
        request: &AdoptRequest,
    ) -> Result<(), String> {
        if self.answered::<AdoptAnswer>(&request.request_id).is_some() {
            return Ok(());
        }
        let id = request.check()?;
        if request.request_id.len() > NAME_LIMIT || request.by.len() > NAME_LIMIT {
            return Err(format!(
                "request_id or by is longer than {NAME_LIMIT} bytes"
            ));
        }
        self.goes_on()?;
        let adoptions = &self.state.adoptions;
        if !adoptions.contains_key(id) && adoptions.len() >= ORDERS_KEPT {
            return Err(format!(
                "too many adoptions wait ({}); try again later",
                adoptions.len()
            ));
        }
        Ok(())
    }

    /// The update `adopt`: a pass over this definition does it.
    pub(in crate::reconcile) fn adopt(
        &mut self,
        request: &AdoptRequest,
    ) -> Result<AdoptAnswer, String> {
        if let Some(answer) = self.answered(&request.request_id) {
            return Ok(answer);
        }
        let id = request.check()?.clone();
        self.state.orders_given = self.state.orders_given.saturating_add(1);
        let adoption = Adoption {
            number: self.state.orders_given,
            from: request.from.clone(),
            from_project: request.from_project.clone(),
            revision: request.revision.clone(),
            by: request.by.clone(),
            at: self.now,
        };
        let pass = self.ask(Ask::only(Trigger::Adopt, vec![id.clone()]));
        self.state.adoptions.insert(id, adoption);
        let answer = AdoptAnswer { pass };
        self.remember(&request.request_id, json!(answer));
        Ok(answer)
    }

    /// The adoptions that a pass is handed: a dry run does none.
    pub(super) fn adoptions_of(&self, pass: &PendingPass) -> Adoptions {
        let covered = |id| pass.only.as_ref().is_none_or(|only| only.contains(id));
        let adoptions = self.state.adoptions.iter();
        adoptions
            .filter(|(id, _)| !pass.dry_run && covered(id))
            .map(|(id, one)| (id.clone(), one.clone()))
            .collect()
    }
}
