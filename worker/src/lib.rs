//! The process and the binary: configuration, registry, watcher, HTTP, CLI, wiring.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{Cli, Cmd, DevArgs, RunArgs};
use crate::connect::Connector;
use crate::process::Process;
use crate::process::dev::{self, DevServer};

pub mod args;
pub mod cli;
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
            // Help and the version are asked for; clap's own code for the rest is 2.
            return if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    run(cli).unwrap_or_else(|error| {
        eprintln!("error: {}", causes(&error));
        ExitCode::FAILURE
    })
}

/// An error with its causes, on one line. Many of the SDK's errors say their
/// cause themselves; it is not said again.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if said.is_empty() {
            said = text;
        } else if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
    }
    said
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
    let given = |name| std::env::var(name).ok().filter(|filter| !filter.is_empty());
    let filter = cli.log.or_else(|| given("RUST_LOG"));
    let worker_filter = filter.as_deref().unwrap_or("info");
    match cli.command {
        Cmd::Run(args) => {
            telemetry::install_logs(args.worker.log_format, worker_filter).context("--log")?;
            work(args).await
        }
        Cmd::Dev(args) => {
            telemetry::install_logs(args.worker.log_format, worker_filter).context("--log")?;
            develop(args).await
        }
        command => {
            // What is wrong with files is what `validate` prints.
            let filter = filter.as_deref().unwrap_or("warn,almanac::registry=off");
            telemetry::install_logs(telemetry::LogFormat::Text, filter).context("--log")?;
            cli::run(command).await
        }
    }
}

/// `almanac run`.
async fn work(args: RunArgs) -> anyhow::Result<ExitCode> {
    let metrics = telemetry::install_metrics()?;
    let process = Process::new(args.project, args.worker, metrics).await?;
    let connector = Connector::from_environment(process.identity())?;
    process.run(connector, std::future::pending()).await?;
    Ok(ExitCode::SUCCESS)
}

/// `almanac dev`.
async fn develop(mut args: DevArgs) -> anyhow::Result<ExitCode> {
    let cli = dev::find_cli(args.temporal_cli.as_deref())?;
    let metrics = telemetry::install_metrics()?;
    args.worker.listen = dev::listen_address(args.worker.listen).await?;
    let mut process = Process::new(args.project.clone(), args.worker, metrics).await?;
    eprintln!(
        "starting a temporal dev server, kept in {}",
        args.db.display()
    );
    let mut server = tokio::select! {
        server = DevServer::start(&cli, &args.db) => server?,
        // Letting go of the start ends the server.
        () = process.told_to_stop() => return Ok(ExitCode::SUCCESS),
    };
    print!(
        "{}",
        dev::welcome(&server, process.address()?, &args.project)
    );
    let connector = Connector::to_dev_server(&server.address.to_string(), process.identity())?;
    let mut lost = None;
    let result = process
        .run(connector, async {
            let why = server.ended().await;
            lost = Some(why.clone());
            why
        })
        .await;
    server.stop().await;
    result?;
    lost.map_or(Ok(ExitCode::SUCCESS), |why| Err(anyhow::anyhow!(why)))
}

#[cfg(test)]
mod tests {
    use super::causes;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("not found")
            .context("describe x: not found")
            .context("worker `run`");
        assert_eq!(causes(&error), "worker `run`: describe x: not found");
    }
}
