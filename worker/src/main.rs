//! The almanac binary.
fn main() {}
