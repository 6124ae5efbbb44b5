//! A schedule as comparison and planning see it: its fields, normalised, and
//! their hashes. Decoding a live one is left to the `activities` crate.

mod desired;
mod field;
mod live;
mod note;
mod values;

pub use desired::*;
pub use field::*;
pub use live::*;
pub use note::*;
pub use values::*;
