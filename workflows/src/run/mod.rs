//! `RunDefinition`: the workflow that runs a definition's steps.
//!
//! A run is pinned: it interprets the steps that its input carries, or, started
//! by hand with an id, those that an activity answered once, which history
//! keeps. What happens to the file afterwards does not matter. The interpreter
//! reads nothing but its input and the results of activities.

mod event;
mod input;
pub mod language;
mod limits;
pub mod machine;
mod workflow;

pub use crate::size::{PAYLOAD_LIMIT, json_size};
pub use event::cloud_event;
pub use input::*;
pub use workflow::RunDefinition;
