//! `RunDefinition`: the workflow that runs a definition's steps.
//!
//! A run is pinned: it interprets the steps that its input carries. A run that was started
//! manually with the id of a definition interprets the steps that an activity returned once
//! and that the history keeps. Later changes of the file have no effect on the run. The
//! interpreter reads only its input and the results of activities.

pub mod place;
mod workflow;

pub use workflow::RunDefinition;
