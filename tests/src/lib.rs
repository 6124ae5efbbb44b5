//! The harness of the end-to-end tests: real Temporal servers, the real
//! binary, and nothing in between that a test did not put there.
//!
//! - [`server`] gives a shared dev server of each [`Scheduler`], started once
//!   for the test process; [`OwnServer`] one that a test may stop and restart.
//! - [`Project`] is a test's own: a unique name and a folder of definitions.
//! - [`Worker`] is `almanac run` for a project, [`almanac`] any other command.
//! - [`Nats`] is a NATS server of a test's own, which it may stop and start again.
//! - [`Temporal`] sends raw requests, as any client or an operator would.
//! - [`Proxy`] stands between a worker and the server: it counts requests, and
//!   holds or fails those a test names.
//!
//! Every process dies with the test process, however that ends. Whatever is
//! waited for is waited for with a bound. When a test fails, its project
//! prints the workers' logs and what Temporal held.
//!
//! A machine that does other work is slow. The helpers here do what any client
//! does then: [`Worker`], [`Project::almanac`] and [`Temporal`] send a request
//! again if the answer says that nothing was done. Tests wait for what they can
//! observe, and never for a fixed time.
//!
//! The servers are shared within one process, so the end-to-end tests run
//! under plain `cargo test`: a runner that gives each test a process of its
//! own would start the servers again for each.

#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how a harness fails its test"
)]

use std::panic::AssertUnwindSafe;

mod certificates;
mod cli;
mod collector;
mod definitions;
mod metrics;
mod nats;
mod nats_secured;
mod ports;
mod process;
mod project;
mod proxy;
mod rate_limits;
mod release;
mod server;
mod temporal;
mod tls_proxy;
mod wait;
mod worker;

pub use cli::{
    Output, almanac, almanac_binary, almanac_in, cargo, python, python_program, temporal_cli,
    workspace,
};
pub use collector::{Collector, attribute};
pub use definitions::{cron, many, paused_cron, with_schedule};
pub use metrics::{SDK_METRICS, series};
pub use nats::{Nats, NatsClient, Stored};
pub use nats_secured::SecuredNats;
pub use ports::free_port;
pub use process::Supervised;
pub use project::Project;
pub use proxy::{Answer, Gate, Proxy};
pub use release::Feature;
pub use server::{OwnServer, Scheduler, Server, server};
pub use temporal::{Live, Temporal, json_payload, json_payloads, unmanaged_schedule};
pub use tls_proxy::TlsProxy;
pub use wait::{SOON, eventually, idle, passed, wait_for};
pub use worker::{Worker, WorkerCommand};

/// Runs a test's future on a runtime of its own, so that blocking in a test
/// does not stop a [`Proxy`].
pub fn run<F>(test: F)
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    project::forget();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(test)));
    let failure = match &outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(chain_of(error)),
        Err(_) => Some("see the panic above".to_owned()),
    };
    let failure = failure.map(|failure| format!("{failure}\n{}", project::diagnostics()));
    runtime.block_on(project::clean_up());
    if let Some(failure) = failure {
        panic!("{failure}");
    }
}

/// An error's chain, and where in the tests it came from, when `RUST_BACKTRACE` is set.
fn chain_of(error: &anyhow::Error) -> String {
    let backtrace = error.backtrace().to_string();
    let places: Vec<&str> = backtrace
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("/e2e/"))
        .collect();
    format!("{error:#}\n{}", places.join("\n"))
}

/// Makes two tests of each function, one for each scheduler: `name::v1` and
/// `name::chasm`. The function is `async fn(Scheduler) -> anyhow::Result<()>`.
#[macro_export]
macro_rules! on_both_schedulers {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn v1() {
                $crate::run(super::$name($crate::Scheduler::V1));
            }

            #[test]
            fn chasm() {
                if $crate::Feature::Chasm.is_there() {
                    $crate::run(super::$name($crate::Scheduler::Chasm));
                }
            }
        }
    )*};
}

/// Makes a test of each function, on one server, with the newest scheduler that the server has:
/// what they are about is not the scheduler's.
#[macro_export]
macro_rules! on_one_scheduler {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn runs() {
                $crate::run(super::$name($crate::Scheduler::newest()));
            }
        }
    )*};
}
