//! A schedule as comparison and planning see it: its fields, normalised, and
//! their hashes. Decoding a live one is left to the `activities` crate.

mod desired;
mod field;
mod values;

pub use desired::*;
pub use field::*;
pub use values::*;
