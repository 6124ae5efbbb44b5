//! Data that outlives a process or a release: memos, notes, announcements, the
//! reconcile workflow's state, and reports.
//!
//! Every type here can read data that older and newer releases wrote: a missing part has a
//! default, and an unknown part is ignored.

mod adoption;
mod announcement;
mod awaited_report;
mod delivery;
mod follow;
mod history_entry;
mod limits;
mod manual_run;
mod memo;
mod operator_request;
mod pass;
mod report;
mod run_input;
mod selector;
mod state;
mod suspension;

pub use adoption::*;
pub use announcement::*;
pub use awaited_report::*;
pub use delivery::*;
pub use follow::*;
pub use history_entry::*;
pub use limits::*;
pub use manual_run::*;
pub use memo::*;
pub use operator_request::*;
pub use pass::*;
pub use report::*;
pub use run_input::*;
pub use selector::*;
pub use state::*;
pub use suspension::*;
