//! Schedules on the server: requests, what they mean, observing and applying.

mod actions;
mod apply;
mod client;
mod list;
mod observe;
mod pace;
mod settled;
mod view;
mod watch;
pub mod wire;

pub use actions::{Missed, Run, run_status};
pub use apply::{Applied, Applier};
pub use client::{RequestError, Schedules};
pub use list::ListEntry;
pub use observe::{Depth, Observation, Observer};
pub use pace::Pace;
pub use settled::SettledCache;
pub use view::{PausedBy, ScheduleDetail, ScheduleView, ViewContext, ViewState, list_views, show};
pub use watch::{Watch, overdue};
