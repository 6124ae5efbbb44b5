//! What outlives a process or a release: memos, notes, announcements, the
//! reconcile workflow's state, and reports.
//!
//! Every type here reads what older and newer releases wrote: a missing part
//! has a default, an unknown part is ignored.

mod adoption;
mod announcement;
mod input;
mod limits;
mod memo;
mod order;
mod pass;
mod report;
mod run;
mod selector;
mod state;
mod suspension;
mod touch;

pub use adoption::*;
pub use announcement::*;
pub use input::*;
pub use limits::*;
pub use memo::*;
pub use order::*;
pub use pass::*;
pub use report::*;
pub use run::*;
pub use selector::*;
pub use state::*;
pub use suspension::*;
pub use touch::*;
