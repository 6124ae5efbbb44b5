//! Times of live schedules, as the server computes them.
//!
//! The server decides when a schedule fires, by the time zone data of its
//! machine. This program's own computation is right only if both have the same
//! data. It is used if the server cannot answer, and offline.

use almanac_base::names::ScheduleId;
use almanac_times::{FireTimes, LATENESS, Rest, Spec, ZoneDifference};
use jiff::{SignedDuration, Timestamp};

use temporalio_common::protos::temporal::api::schedule::v1::ScheduleInfo;

use super::client::MATCHING_LIMIT;
use super::wire::decode_time;
use super::{RequestError, Schedules};

/// The last time that the server searches: it knows no time after the year
/// 2100.
const LAST_SERVER_TIME: Timestamp = Timestamp::constant(4_133_980_799, 0);
/// Time ahead for which time zone data are compared: all clock changes of a
/// year.
const ZONE_COMPARISON_SPAN: SignedDuration = SignedDuration::from_hours(24 * 400);
/// Time ahead that is not compared, since its runs may already be starting.
const SOON: SignedDuration = SignedDuration::from_mins(1);

/// The next times at which a described schedule fires, jitter included.
pub fn next_times_of(info: &ScheduleInfo) -> Vec<Timestamp> {
    let times = info.future_action_times.iter().filter_map(decode_time);
    times.collect()
}

impl Schedules {
    /// The next `n` times of a schedule after `after`, jitter included. `spec`
    /// is the spec of the schedule.
    pub async fn next_times(
        &self,
        id: &ScheduleId,
        spec: &Spec,
        after: Timestamp,
        n: usize,
    ) -> Result<FireTimes, RequestError> {
        let mut times = Vec::new();
        let mut from = spec.search_start(after);
        let mut rest = Rest::More;
        while times.len() < n && rest == Rest::More {
            let page = self.matching_times(id, from, LAST_SERVER_TIME).await?;
            match page.last() {
                Some(last) if page.len() >= MATCHING_LIMIT => from = *last,
                _ => rest = Rest::Nothing,
            }
            times.extend(page.into_iter().filter(|time| *time > after));
        }
        if times.len() >= n {
            rest = Rest::More;
            times.truncate(n);
        }
        Ok(FireTimes { times, rest })
    }

    /// The first time after `since` that is overdue at `now`.
    pub(crate) async fn first_overdue(
        &self,
        id: &ScheduleId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, RequestError> {
        let until = now.saturating_sub(LATENESS).unwrap_or(since);
        if until <= since {
            return Ok(None);
        }
        let due = self.matching_times(id, since, until).await?;
        Ok(due.first().copied())
    }

    /// The first time of a schedule within the next year that the server and
    /// this program compute differently.
    pub async fn zone_difference(
        &self,
        id: &ScheduleId,
        spec: &Spec,
        now: Timestamp,
    ) -> Result<Option<ZoneDifference>, RequestError> {
        if !spec.depends_on_zone() {
            return Ok(None);
        }
        let after = now.saturating_add(SOON).unwrap_or(now);
        let until = now
            .saturating_add(ZONE_COMPARISON_SPAN)
            .unwrap_or(LAST_SERVER_TIME);
        let server_times = self
            .matching_times(id, spec.search_start(after), until)
            .await?;
        Ok(spec.zone_difference(after, &server_times))
    }
}
