//! `RunDefinition`: the workflow that runs a definition's steps.
//!
//! A run is pinned: it interprets the steps that its input carries, or, started
//! by hand with an id, those that an activity answered once, which history
//! keeps. What happens to the file afterwards does not matter. The interpreter
//! reads nothing but its input and the results of activities.

mod workflow;

pub use workflow::RunDefinition;
