//! What every other crate of Almanac is made of: names, sizes, durations, work
//! that is counted, the search for the nearest name, text made fit for people.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod budget;
pub mod duration;
pub mod names;
pub mod nearest;
pub mod size;
pub mod text;
