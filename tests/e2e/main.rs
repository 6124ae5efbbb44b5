//! End-to-end tests: real servers of both schedulers, the real binary. See
//! [`almanac_tests`] for what they stand on.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod adopting;
mod broken;
mod calendars;
mod commands;
mod contract;
mod crash;
mod destroying;
mod dev;
mod drift;
mod due_runs;
mod fake;
mod harness;
mod hostile;
mod importing;
mod information;
mod isolation;
mod lifecycle;
mod moving;
mod overrides;
mod ownership;
mod paused;
mod queried;
mod reconcile;
mod reconcile_workflow;
mod removal;
mod replay;
mod replicas;
mod run_definition;
mod runs;
mod shutdown;
mod step_activities;
mod steps;
mod suspension;
mod times;
mod told;
mod untrusted_clients;
mod unwritable;
mod watching;
mod web;
mod zones;
