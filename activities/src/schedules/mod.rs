//! Schedules on the server: requests, what they mean, observing and applying.

mod actions;
mod adopt;
mod apply;
mod backfill;
mod client;
pub(crate) mod due;
mod fingerprints;
mod foreign;
mod list;
mod observe;
mod pace;
pub(crate) mod recovery;
mod served;
mod settled;
mod signed;
pub(crate) mod slot;
mod versions;
pub mod view;
mod watch;
pub mod wire;

pub use actions::{Missed, Run, Runs};
pub use adopt::{Adopter, QUIET, is_being_adopted, original_note};
pub use apply::{Applied, Applier};
pub(crate) use backfill::backfill_request;
pub use client::{
    Deletion, MATCHING_LIMIT, RequestError, Schedules, WorkflowList, missing_namespace,
};
pub use due::ServerClock;
pub use fingerprints::Fingerprints;
pub use foreign::Foreign;
pub use list::ListEntry;
pub use observe::{Depth, Observation, Observer};
pub use pace::Pace;
pub use served::next_times_of;
pub use settled::SettledCache;
pub use versions::{LiveVersion, LiveVersions, live_versions};
pub use watch::{Watch, overdue_since};
