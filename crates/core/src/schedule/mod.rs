//! A schedule as comparison and planning see it: its fields, normalised, and
//! their hashes. Decoding a live one is left to the `activities` crate.

mod base;
mod desired;
mod live;
mod note;
mod values;

pub use base::*;
pub use desired::*;
pub use live::*;
pub use note::*;
pub use values::*;
