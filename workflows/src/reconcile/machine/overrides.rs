//! Overrides: asked for, handed to a pass, and ended in time.

use jiff::Timestamp;
use serde_json::json;

use super::Machine;
use crate::names::DefinitionId;
use crate::reconcile::bounds::{NAME_LIMIT, ORDERS_KEPT};
use crate::reconcile::queue::Ask;
use crate::record::{
    Order, Orders, OverrideAnswer, OverrideRequest, PendingPass, Touch, TouchKind, Trigger,
};

impl Machine {
    /// Whether the update `override` can be taken.
    pub(in crate::reconcile) fn admits_override(
        &self,
        request: &OverrideRequest,
    ) -> Result<(), String> {
        if self
            .answered::<OverrideAnswer>(&request.request_id)
            .is_some()
        {
            return Ok(());
        }
        let id = request.check(self.now)?;
        if request.request_id.len() > NAME_LIMIT {
            return Err(format!("request_id is longer than {NAME_LIMIT} bytes"));
        }
        self.goes_on()?;
        let merged = request.over(self.present(id), self.now);
        let length = serde_json::to_string(&merged).map_or(0, |json| json.len());
        if length > crate::record::OVERRIDE_LIMIT {
            return Err(format!(
                "with what is overridden already the override takes {length} bytes, more than {}",
                crate::record::OVERRIDE_LIMIT
            ));
        }
        if !self.state.orders.contains_key(id) && self.state.orders.len() >= ORDERS_KEPT {
            return Err(format!(
                "too many overrides wait ({}); try again later",
                self.state.orders.len()
            ));
        }
        Ok(())
    }

    /// The update `override`: a pass over this definition does it.
    pub(in crate::reconcile) fn set_override(
        &mut self,
        request: &OverrideRequest,
    ) -> Result<OverrideAnswer, String> {
        if let Some(answer) = self.answered(&request.request_id) {
            return Ok(answer);
        }
        let id = request.check(self.now)?.clone();
        let mut overridden = request.over(self.present(&id), self.now);
        self.state.orders_given = self.state.orders_given.saturating_add(1);
        let number = self.state.orders_given;
        if let Some(one) = overridden.as_mut().filter(|_| request.sets()) {
            one.order = number;
        }
        let pass = self.ask(Ask::only(Trigger::Override, vec![id.clone()]));
        let op = match (request.sets(), request.unpause) {
            (true, _) => "override",
            (false, true) => "unpause",
            (false, false) => "clear_override",
        };
        let touch = Touch {
            at: self.now,
            id: id.to_string(),
            kind: TouchKind::Asked,
            op: op.to_owned(),
            pass,
            reason: request.reason.clone(),
            by: request.by.clone(),
            overridden: overridden.clone(),
            ..Touch::default()
        };
        self.touched(touch);
        self.state.orders.insert(
            id,
            Order {
                number,
                overridden: overridden.clone(),
                unpause: request.unpause,
                by: request.by.clone(),
                reason: request.reason.clone(),
                at: self.now,
            },
        );
        let answer = OverrideAnswer { pass, overridden };
        self.remember(&request.request_id, json!(answer));
        Ok(answer)
    }

    /// The override as the last word of an operator leaves it.
    fn present(&self, id: &DefinitionId) -> Option<&crate::record::Override> {
        match self.state.orders.get(id) {
            Some(order) => order.overridden.as_ref(),
            None => self.state.overrides.get(id),
        }
    }

    /// The orders that a pass is handed: a dry run does none.
    pub(super) fn orders_of(&self, pass: &PendingPass) -> Orders {
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

    /// Asks for the end of overrides whose time is over; when the next one is.
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
            self.ask(Ask::only(Trigger::Override, over));
            self.news = news;
        }
        next
    }
}
