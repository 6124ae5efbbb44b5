//! Schedules as the comparison and the planner use them: normalised fields and their hashes.
//! Decoding a live schedule is left to the `activities` crate.

mod base;
mod desired;
mod encryption;
mod live;
mod note;
mod values;

pub use base::*;
pub use desired::*;
pub use encryption::*;
pub use live::*;
pub use note::*;
pub use values::*;
