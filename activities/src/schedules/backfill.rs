//! Backfills of exactly the given times.
//!
//! Every backfill of known times uses this module: manual runs, and runs that
//! replace those that a write or an adoption dropped. A request whose range is
//! the time itself starts nothing in an hour that the clock repeats, or if the
//! schedule has jitter ([`Spec::backfill_window`] explains why).

use almanac_base::names::ScheduleId;
use almanac_core::definition::OverlapPolicy;
use almanac_times::{BackfillWindow, Spec};
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::{BackfillRequest, SchedulePatch};

use super::wire::{encode_overlap, encode_time};
use super::{RequestError, Schedules};

impl Schedules {
    /// Starts the runs of a schedule that are due at exactly these times: one
    /// request for each time, all in one patch. `spec` is the spec of the
    /// schedule, and the times are its times without jitter. As with every
    /// patch, only one at a time may be sent for a schedule.
    pub async fn backfill_times(
        &self,
        id: &ScheduleId,
        spec: &Spec,
        times: impl IntoIterator<Item = Timestamp>,
        overlap: OverlapPolicy,
        request_id: String,
    ) -> Result<(), RequestError> {
        let backfill_request: Vec<_> = times
            .into_iter()
            .map(|time| backfill_request(spec.backfill_window(time, time), Some(overlap)))
            .collect();
        if backfill_request.is_empty() {
            return Ok(());
        }
        let patch = SchedulePatch {
            backfill_request,
            ..SchedulePatch::default()
        };
        self.patch(id, patch, request_id).await
    }
}

/// A backfill request for a range. Without `overlap` the policy of the schedule
/// applies.
pub(crate) fn backfill_request(
    window: BackfillWindow,
    overlap: Option<OverlapPolicy>,
) -> BackfillRequest {
    BackfillRequest {
        start_time: Some(encode_time(window.start)),
        end_time: Some(encode_time(window.end)),
        overlap_policy: overlap.map_or(0, |policy| encode_overlap(policy).into()),
    }
}
