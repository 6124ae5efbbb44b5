//! Basic parts that every other crate of Almanac uses: names, sizes, durations, budgets of
//! counted work, the search for the nearest name, the shapes of maps, percent-encoding, JSON that is
//! kept as text, parts of JSON that a value cannot hold, and untrusted text made fit to show.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod budget;
pub mod duration;
pub mod exact;
pub mod json_text;
mod message_error;
pub mod names;
pub mod nearest;
pub mod percent;
pub mod shape;
pub mod size;
pub mod text;
