//! Requests of updates: one that is sent again gets the first one's answer.

use almanac_core::record::{NAME_LIMIT, check_text};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Coordinator;
use crate::reconcile::state_limits;

impl Coordinator {
    /// Whether a request can be taken: it was before, or `admits` has nothing against it.
    pub(super) fn admits_once<A: DeserializeOwned>(
        &self,
        request_id: &str,
        admits: impl FnOnce(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.answered::<A>(request_id).is_some() {
            return Ok(());
        }
        check_text("request_id", request_id, NAME_LIMIT)?;
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
            state_limits::requests(requests);
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
