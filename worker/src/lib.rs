//! The process and the binary: configuration, registry, watcher, HTTP, CLI, wiring.

pub mod args;
pub mod registry;
pub mod telemetry;
