//! End-to-end tests: real servers of both schedulers, the real binary. See
//! [`almanac_tests`] for the test harness.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod adopting;
mod after;
mod broken;
mod calendars;
mod cli_output;
mod commands;
mod container;
mod crash;
mod credentials;
mod custom_worker;
mod destroying;
mod dev;
mod drift;
mod due_runs;
mod events;
mod events_cli;
mod events_nats;
mod fake_worker;
mod harness;
mod importing;
mod lifecycle;
mod manual_run_steps;
mod manual_runs;
mod moving;
mod openapi;
mod overrides;
mod ownership;
mod paused;
mod reconcile;
mod reconcile_with_fake_workers;
mod removal;
mod replay;
mod replicas;
mod run_definition;
mod schedule_views;
mod shutdown;
mod smoke;
mod stale_run_eviction;
mod step_activities;
mod steps;
mod suspension;
mod timeline;
mod times;
mod unreadable_schedules;
mod untrusted_clients;
mod untrusted_text;
mod unwritable;
mod watching;
mod web;
mod webhooks;
mod workflow_client;
mod zones;
