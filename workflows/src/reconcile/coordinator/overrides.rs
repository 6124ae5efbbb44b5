//! Overrides: asked for by an operator, given to a pass, and ended when they expire.

use almanac_base::names::DefinitionId;
use almanac_base::size::json_size;
use almanac_core::record::{
    ClearRequest, HistoryEntry, HistoryEntryKind, OVERRIDE_LIMIT, OperatorRequest,
    OperatorRequests, OverrideAnswer, OverrideRequest, PendingPass, RequestProblem, Trigger,
};
use jiff::Timestamp;

use super::Coordinator;
use crate::reconcile::pass_queue::PassRequest;
use crate::reconcile::state_limits::{self, ORDERS_KEPT};

/// Size of an operator request in the state beside the request itself, in bytes of JSON.
const ENTRY_OVERHEAD: usize = 300;

impl Coordinator {
    /// Validates the update `override`.
    pub(in crate::reconcile) fn admits_override(
        &self,
        request: &OverrideRequest,
    ) -> Result<(), RequestProblem> {
        self.admits_once::<OverrideAnswer>(&request.request_id, |machine| {
            let id = request.check(machine.now)?;
            machine.refuse_if_suspended()?;
            let merged = request.over(machine.present(id), machine.now);
            let length = json_size(&merged);
            if length > OVERRIDE_LIMIT {
                return Err(format!(
                    "together with the present override, the override takes {length} bytes, over \
                     the limit of {OVERRIDE_LIMIT}"
                )
                .into());
            }
            let orders = &machine.state.orders;
            if !orders.contains_key(id) && orders.len() >= ORDERS_KEPT {
                return Err(format!(
                    "too many overrides are pending ({}); try again later",
                    orders.len()
                )
                .into());
            }
            // The override may stand both in the operator request and beside it.
            let more = ENTRY_OVERHEAD + json_size(&merged) + json_size(request);
            state_limits::admits("overrides", orders, more, state_limits::ORDERS_LIMIT)
        })
    }

    /// Handles the update `override`: a pass over this definition does it.
    pub(in crate::reconcile) fn set_override(
        &mut self,
        request: &OverrideRequest,
    ) -> Result<OverrideAnswer, RequestProblem> {
        self.once(&request.request_id, |machine| machine.order(request))
    }

    /// Validates the update `clear_override`.
    pub(in crate::reconcile) fn admits_clearing(
        &self,
        request: &ClearRequest,
    ) -> Result<(), RequestProblem> {
        self.admits_override(&request.as_override())
    }

    /// Handles the update `clear_override`, which is `override` with `clear` alone.
    pub(in crate::reconcile) fn clear_override(
        &mut self,
        request: &ClearRequest,
    ) -> Result<OverrideAnswer, RequestProblem> {
        self.set_override(&request.as_override())
    }

    fn order(&mut self, request: &OverrideRequest) -> Result<OverrideAnswer, RequestProblem> {
        let id = request.check(self.now)?.clone();
        let mut overridden = request.over(self.present(&id), self.now);
        self.state.requests_made = self.state.requests_made.saturating_add(1);
        let number = self.state.requests_made;
        if let Some(one) = overridden.as_mut().filter(|_| request.sets()) {
            one.order = number;
        }
        let pass = self.ask(PassRequest::only(Trigger::Override, vec![id.clone()]));
        let op = match (request.sets(), request.unpause) {
            (true, _) => "override",
            (false, true) => "unpause",
            (false, false) => "clear_override",
        };
        self.record_history(HistoryEntry {
            at: self.now,
            id: id.to_string(),
            kind: HistoryEntryKind::Asked,
            op: op.to_owned(),
            pass,
            reason: request.reason.clone(),
            by: request.by.clone(),
            overridden: overridden.clone(),
            ..HistoryEntry::default()
        });
        let mut order = OperatorRequest {
            number,
            overridden: overridden.clone(),
            unpause: request.unpause,
            by: request.by.clone(),
            reason: request.reason.clone(),
            at: self.now,
        };
        state_limits::operator_request(&mut order);
        self.state.orders.insert(id, order);
        Ok(OverrideAnswer { pass, overridden })
    }

    /// Returns the override as the last operator request leaves it.
    fn present(&self, id: &DefinitionId) -> Option<&almanac_core::record::Override> {
        match self.state.orders.get(id) {
            Some(order) => order.overridden.as_ref(),
            None => self.state.overrides.get(id),
        }
    }

    /// Returns the operator requests that a pass is given. A dry run gets none.
    pub(super) fn orders_of(&self, pass: &PendingPass) -> OperatorRequests {
        let covered = |id: &DefinitionId| {
            pass.only
                .as_ref()
                .is_none_or(|only| only.binary_search(id).is_ok() || only.contains(id))
        };
        let orders = self.state.orders.iter();
        orders
            .filter(|(id, _)| !pass.dry_run && covered(id))
            .map(|(id, order)| (id.clone(), order.clone()))
            .collect()
    }

    /// Asks for a pass that ends the expired overrides. Returns the time at which the next
    /// override expires.
    pub(super) fn expire(&mut self) -> Option<Timestamp> {
        let mut over = Vec::new();
        let mut next: Option<Timestamp> = None;
        for (id, one) in &self.state.overrides {
            let Some(until) = one.until else { continue };
            if until > self.now {
                next = Some(next.map_or(until, |next| next.min(until)));
            } else if self.expired.insert(id.clone(), until) != Some(until) {
                over.push(id.clone());
            }
        }
        if !over.is_empty() {
            let news = self.news;
            self.ask(PassRequest::only(Trigger::Override, over));
            self.news = news;
        }
        next
    }
}
