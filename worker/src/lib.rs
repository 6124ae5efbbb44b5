//! The process and the binary: configuration, registry, watcher, HTTP, CLI, wiring.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;

use crate::args::{Cli, Cmd};
use crate::connect::Connector;

pub mod args;
pub mod connect;
pub mod http;
pub mod process;
pub mod registry;
pub mod telemetry;
mod wiring;

/// Runs a command line to its end.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match args::parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done where even this cannot be printed.
            let _unprinted = error.print();
            return if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("almanac")
        .build()
        .context("make the runtime")?;
    let result = runtime.block_on(command(cli));
    // Blocking work that is left must not hold the end up.
    runtime.shutdown_background();
    result
}

async fn command(cli: Cli) -> anyhow::Result<ExitCode> {
    let filter = cli.log.or_else(|| {
        std::env::var("RUST_LOG")
            .ok()
            .filter(|filter| !filter.is_empty())
    });
    match cli.command {
        Cmd::Run(args) => {
            let filter = filter.as_deref().unwrap_or("info");
            telemetry::install_logs(args.worker.log_format, filter).context("--log")?;
            let metrics = telemetry::install_metrics()?;
            let process = process::Process::new(args.project, args.worker, metrics).await?;
            let connector = Connector::from_environment(process.identity())?;
            process.run(connector, std::future::pending()).await?;
            Ok(ExitCode::SUCCESS)
        }
        _ => anyhow::bail!("not yet"),
    }
}
