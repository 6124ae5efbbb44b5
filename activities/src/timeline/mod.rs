//! The timeline: all schedules of a project on one time axis, past and future.
//!
//! [`TimelineReader`] reads a [`Timeline`] for a [`Window`] and a list of
//! schedules from the read model: the past from visibility, and the future from
//! the times engine. The command line, the HTTP API and the web page only present it.
//!
//! Always holds:
//! - Only runs of the project's own schedules appear.
//! - A gap is never guessed. [`Lane::gaps_from`] says from when on the gaps of a
//!   schedule are known, and [`GapsUnknown`] says why they are not.
//! - Everything is bounded: the window, the runs that are read, the schedules
//!   that are described, the marks of a lane, and the steps of the search for
//!   times. An answer says what was left out.

mod assemble;
mod density;
mod expected;
mod gaps;
mod model;
mod read;
mod recent;
mod runs;
mod window;

pub use self::assemble::{LaneBuilder, Timeline, TimelineLane};
pub use self::model::{
    Band, BusyMinute, Density, FreeSpan, Gap, GapCause, GapsUnknown, Lane, RunCounts, RunStatus,
    TimelineOverview, TimelineRun, Typical,
};
pub use self::read::{TimelineLimits, TimelineReader};
pub use self::recent::{RECENT, recent_runs};
pub use self::window::{LONGEST_WINDOW, Window, WindowError};
