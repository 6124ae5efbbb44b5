//! Requests of updates: a request that is sent again gets the answer of the first.

use almanac_core::record::{NAME_LIMIT, RequestProblem, check_text};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Coordinator;
use crate::reconcile::state_limits;

impl Coordinator {
    /// Accepts a request that has been answered before, or that `admits` accepts.
    pub(super) fn admits_once<A: DeserializeOwned>(
        &self,
        request_id: &str,
        admits: impl FnOnce(&Self) -> Result<(), RequestProblem>,
    ) -> Result<(), RequestProblem> {
        if self.answered::<A>(request_id).is_some() {
            return Ok(());
        }
        check_text("request_id", request_id, NAME_LIMIT)?;
        admits(self)
    }

    /// Answers a request. A request that has been answered before gets the same answer.
    /// Otherwise `decide` answers, and the answer is remembered.
    pub(super) fn once<A: Serialize + DeserializeOwned>(
        &mut self,
        request_id: &str,
        decide: impl FnOnce(&mut Self) -> Result<A, RequestProblem>,
    ) -> Result<A, RequestProblem> {
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

    /// Returns the answer that a request with this id got.
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
