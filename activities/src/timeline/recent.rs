//! The last runs of some schedules, for a strip of marks beside each.

use almanac_base::names::ScheduleId;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::model::TimelineRun;
use super::runs::{LaneReader, joined, named};
use crate::schedules::{RequestError, Schedules};

/// Maximum number of runs of a schedule that are returned.
pub const RECENT: usize = 20;
/// Number of schedules whose runs are read with one request.
const BATCH: usize = 25;
/// Maximum number of runs that such a request returns.
const BATCH_RUNS: i32 = 1000;
/// Number of requests at a time.
const CONCURRENCY: usize = 4;

/// The last runs of each schedule, oldest first, in the order of `ids`.
///
/// # Errors
/// The runs could not be listed.
pub async fn recent_runs(
    schedules: &Schedules,
    ids: &[ScheduleId],
) -> Result<Vec<Vec<TimelineRun>>, RequestError> {
    let batches = ids.chunks(BATCH).map(<[ScheduleId]>::to_vec);
    let batches = batches.map(|batch| read(schedules.clone(), batch, BATCH_RUNS));
    let batches = stream::iter(batches).buffered(CONCURRENCY);
    let batches: Vec<_> = batches.try_collect().await?;
    let mut all: Vec<Vec<TimelineRun>> = Vec::with_capacity(ids.len());
    // A schedule that runs often may have left no room for the others of its batch.
    let mut crowded = Vec::new();
    for (runs, truncated) in batches {
        for runs in runs {
            if truncated && runs.len() < RECENT {
                crowded.push(all.len());
            }
            all.push(runs);
        }
    }
    let one = i32::try_from(RECENT).unwrap_or(BATCH_RUNS);
    let again = crowded.into_iter().map(|place| {
        let read = read(schedules.clone(), vec![ids[place].clone()], one);
        async move { Ok::<_, RequestError>((place, read.await?.0)) }
    });
    let again = stream::iter(again).buffered(CONCURRENCY);
    let again: Vec<_> = again.try_collect().await?;
    for (place, runs) in again {
        all[place] = runs.into_iter().next().unwrap_or_default();
    }
    Ok(all)
}

/// The last runs of some schedules, and `true` if there are more than `limit`.
async fn read(
    schedules: Schedules,
    ids: Vec<ScheduleId>,
    limit: i32,
) -> Result<(Vec<Vec<TimelineRun>>, bool), RequestError> {
    let names: Vec<_> = ids.iter().map(ScheduleId::as_str).collect();
    let (infos, truncated) = schedules.newest_workflows(&named(&names), limit).await?;
    let mut by_lane = vec![Vec::new(); ids.len()];
    let mut reader = LaneReader::new(&names, &mut by_lane);
    for info in &infos {
        reader.take(info);
    }
    for runs in &mut by_lane {
        joined(runs);
        runs.drain(..runs.len().saturating_sub(RECENT));
    }
    Ok((by_lane, truncated))
}
