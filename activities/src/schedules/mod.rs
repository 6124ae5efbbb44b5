//! Schedules on the server: the requests, the messages, observing and applying.

mod actions;
mod adopt;
mod apply;
mod backfill;
mod client;
pub(crate) mod due_runs;
mod event_runs;
mod fingerprints;
mod importable;
mod in_sync_cache;
mod list;
mod monitor;
mod observe;
pub(crate) mod operation_permit;
mod rate_limiter;
pub(crate) mod recovery;
mod running_versions;
mod server_times;
mod step_signing;
pub mod view;
pub mod wire;

pub use actions::{Missed, Run, Runs};
pub use adopt::{Adopter, QUIET, is_being_adopted, original_note};
pub(crate) use apply::request_id;
pub use apply::{Applied, Applier};
pub(crate) use backfill::backfill_request;
pub use client::{
    Deletion, MATCHING_LIMIT, RequestError, Schedules, WorkflowList, missing_namespace,
};
pub use due_runs::ServerClock;
pub use event_runs::{EVENT_RUNS, EventRun, event_runs};
pub use fingerprints::Fingerprints;
pub use importable::ImportableSchedule;
pub use in_sync_cache::InSyncCache;
pub use list::ListEntry;
pub use monitor::{Overdue, ScheduleMonitor, check_overdue};
pub(crate) use monitor::{agrees, last_change};
pub use observe::{DescribeScope, Observation, Observer};
pub use rate_limiter::RateLimiter;
pub use running_versions::{
    LiveRun, LiveRuns, LiveVersion, LiveVersions, live_runs, live_versions,
};
pub use server_times::next_times_of;
