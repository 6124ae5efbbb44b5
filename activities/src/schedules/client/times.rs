//! Requests for the times of a schedule, as the server computes them.

use std::time::Duration;

use almanac_base::names::ScheduleId;
use jiff::Timestamp;
use temporalio_client::NamespacedClient;
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::workflowservice::v1::ListScheduleMatchingTimesRequest;
use tonic::{Code, Status};

use super::failure::RetryBudget;
use super::{RequestError, Schedules};
use crate::schedules::wire::{decode_time, encode_time};

/// Maximum number of times in one answer of the server.
pub const MATCHING_LIMIT: usize = 1000;
/// Maximum time for all tries together, since the server may search for long.
const LIMIT: Duration = Duration::from_secs(20);

impl Schedules {
    /// The times of a schedule after `after` and up to `until`, in order,
    /// jitter included: the first [`MATCHING_LIMIT`]. A paused schedule has
    /// times too. The server's search starts at `after`, which matters around a
    /// change of the clock ([`Spec::search_start`]).
    ///
    /// [`Spec::search_start`]: almanac_times::Spec::search_start
    pub async fn matching_times(
        &self,
        id: &ScheduleId,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Timestamp>, RequestError> {
        let request = ListScheduleMatchingTimesRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
            start_time: Some(encode_time(after)),
            end_time: Some(encode_time(until)),
        };
        // A search that the server gives up fails every time.
        let tries = |status: &Status| match status.code() {
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted => {
                RetryBudget::of(status).tries()
            }
            _ => 1,
        };
        let answer = self.send_tries(tries, request, |mut client, request| async move {
            WorkflowService::list_schedule_matching_times(&mut client, request).await
        });
        let answer = tokio::time::timeout(LIMIT, answer).await.map_err(|_| {
            RequestError::Unavailable(
                "the times of the schedule were not answered in time".to_owned(),
            )
        })??;
        Ok(answer.start_time.iter().filter_map(decode_time).collect())
    }
}
