//! Almanac's effects: everything that touches the world.

pub mod metrics;
