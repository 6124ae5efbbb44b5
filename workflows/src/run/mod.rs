//! `RunDefinition`: the workflow that runs a definition's steps.

mod input;

pub use input::*;
