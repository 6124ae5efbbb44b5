//! Requests of updates: one that is sent again gets the first one's answer.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Machine;
use crate::reconcile::bounds::NAME_LIMIT;
use crate::record::REQUESTS_KEPT;

impl Machine {
    /// Whether a request can be taken: it was before, or `admits` has nothing against it.
    pub(super) fn admits_once<A: DeserializeOwned>(
        &self,
        request_id: &str,
        admits: impl FnOnce(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.answered::<A>(request_id).is_some() {
            return Ok(());
        }
        good_name(request_id)?;
        admits(self)
    }

    /// The answer to a request: what was answered before, or what `decide`
    /// says, which is remembered.
    pub(super) fn once<A: Serialize + DeserializeOwned>(
        &mut self,
        request_id: &str,
        decide: impl FnOnce(&mut Self) -> Result<A, String>,
    ) -> Result<A, String> {
        if let Some(answer) = self.answered(request_id) {
            return Ok(answer);
        }
        let answer = decide(self)?;
        if !request_id.is_empty() {
            let requests = &mut self.state.requests;
            requests.push_back((request_id.to_owned(), json!(answer)));
            while requests.len() > REQUESTS_KEPT {
                requests.pop_front();
            }
        }
        Ok(answer)
    }

    /// The answer that a request with this id got.
    pub(super) fn answered<A: DeserializeOwned>(&self, request_id: &str) -> Option<A> {
        if request_id.is_empty() {
            return None;
        }
        let mut requests = self.state.requests.iter();
        requests
            .find(|(id, _)| id == request_id)
            .and_then(|(_, answer)| serde_json::from_value(answer.clone()).ok())
    }
}

/// Names are kept: they have a bound.
pub(super) fn good_name(request_id: &str) -> Result<(), String> {
    if request_id.len() > NAME_LIMIT {
        return Err(format!("request_id is longer than {NAME_LIMIT} bytes"));
    }
    Ok(())
}
