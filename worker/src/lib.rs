//! Almanac as a library: its binary, with workflows and activities of your own.
//!
//! `almanac::builder().register_activities(Greetings).main()` is a whole program.
//! The page `docs/your-own-rust.md` is a tutorial, and `examples/custom-worker` a whole crate.
//! [`builder`] and [`Builder`] are the whole library. The hidden modules are the inside of the binary.

use std::ffi::OsString;
use std::process::ExitCode;

use almanac_base::text;
use anyhow::{Context as _, ensure};
use temporalio_common::WorkflowDefinition;
use temporalio_sdk::activities::ActivityImplementer;
use temporalio_sdk::workflows::WorkflowImplementation;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::{Cli, Cmd, CodecServerArgs, DevArgs, RunArgs};
use crate::connect::Connector;
use crate::http::Authority;
use crate::process::dev::{self, NatsServer, TemporalServer};
use crate::process::{Process, Signals};
use crate::registrations::Registrations;

#[doc(hidden)]
pub mod activity_log;
#[doc(hidden)]
pub mod args;
#[doc(hidden)]
pub mod backend;
#[doc(hidden)]
pub mod backoff;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod connect;
mod console;
#[doc(hidden)]
pub mod deployment;
mod event_words;
mod failure;
#[doc(hidden)]
pub mod fire_times;
mod hardening;
#[doc(hidden)]
pub mod health;
#[doc(hidden)]
pub mod http;
mod init;
#[doc(hidden)]
pub mod overview;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod reconcile_client;
mod registrations;
#[doc(hidden)]
pub mod registry;
mod reloading_file;
#[doc(hidden)]
pub mod server_features;
#[doc(hidden)]
pub mod telemetry;
mod time_text;
mod web_address;
mod wiring;
mod wording;

/// Returns a builder of the binary that has nothing but Almanac's own workflows and activities.
pub fn builder() -> Builder {
    Builder {
        registrations: Registrations::default(),
    }
}

/// The `almanac` binary, before it runs.
///
/// Registered workflows and activities run on the task queue `almanac-PROJECT`, beside those of Almanac.
#[derive(Debug)]
#[must_use = "`main` runs the binary"]
pub struct Builder {
    registrations: Registrations,
}

impl Builder {
    /// Adds a workflow, a type with the attribute `workflow` of the Temporal SDK.
    pub fn register_workflow<W>(mut self) -> Self
    where
        W: WorkflowImplementation,
        <W::Run as WorkflowDefinition>::Input: Send,
    {
        self.registrations.add_workflow::<W>();
        self
    }

    /// Adds the activities of a value, whose `impl` has the attribute `activities` of the Temporal
    /// SDK. The value is shared by all calls, and lives as long as the process.
    pub fn register_activities<A>(mut self, activities: A) -> Self
    where
        A: ActivityImplementer + Send + Sync + 'static,
    {
        self.registrations.add_activities(activities);
        self
    }

    /// Does what the `almanac` binary does: runs the command of the process's arguments, and
    /// returns its exit code.
    ///
    /// Every command fails if a workflow or an activity has a name that Almanac uses itself, or was
    /// added twice.
    pub fn main(self) -> ExitCode {
        main(&self.registrations)
    }
}

fn main(registrations: &Registrations) -> ExitCode {
    console::report_panics();
    if let Err(error) = hardening::forbid_memory_dumps() {
        console::eprint(&format!(
            "warning: other processes of this user may read this one: {error}"
        ));
    }
    if init::is_init() {
        return ended(init::run().unwrap_or_else(|error| failed(&error)));
    }
    if let Err(error) = registrations.check() {
        return ended(failed(&error));
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match args::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            usage(&error, &arguments);
            // Help and the version are no errors; clap's own exit code for the rest is 2.
            return ended(if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
    };
    ended(run(cli, registrations).unwrap_or_else(|error| failed(&error)))
}

/// Prints the error of a command that failed, and returns the exit code.
fn failed(error: &anyhow::Error) -> ExitCode {
    console::eprint_page(&failure::page("error: ", error));
    ExitCode::FAILURE
}

/// The exit code of a command that ended with `code`. If its output could not be printed, the
/// command has failed.
fn ended(code: ExitCode) -> ExitCode {
    let lost = console::lost_output();
    if lost {
        console::eprint("error: standard output cannot be written; what was printed is incomplete");
    }
    console::flush();
    if lost && code == ExitCode::SUCCESS {
        ExitCode::FAILURE
    } else {
        code
    }
}

/// Prints clap's text: help, the version, or an error in the arguments.
///
/// The text repeats arguments and variables between its own line breaks. If those hold
/// characters that have to be escaped, the whole text goes on one line.
fn usage(error: &clap::Error, arguments: &[OsString]) {
    let variables = std::env::vars_os().filter(|(name, _)| {
        let name = name.as_encoded_bytes();
        name.starts_with(b"ALMANAC_")
    });
    let variables: Vec<OsString> = variables.map(|(_, value)| value).collect();
    let is_hostile = |text: &OsString| text.to_string_lossy().contains(text::is_hidden);
    let styled = error.render();
    if !error.use_stderr() {
        console::print_styled(&styled);
    } else if arguments.iter().chain(&variables).any(is_hostile) {
        let text = styled.to_string();
        let parts: Vec<_> = text.split('\n').map(str::trim).collect();
        console::eprint(parts.join(" ").trim_end());
    } else {
        console::eprint_styled(&styled);
    }
}

fn run(cli: Cli, registrations: &Registrations) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("almanac")
        .build()
        .context("cannot create the runtime")?;
    let result = runtime.block_on(command(cli, registrations));
    // Blocking work that is left must not delay the end of the process.
    runtime.shutdown_background();
    result
}

async fn command(cli: Cli, registrations: &Registrations) -> anyhow::Result<ExitCode> {
    let variable = |name| std::env::var(name).ok().filter(|filter| !filter.is_empty());
    let filter = cli.log.or_else(|| variable("RUST_LOG"));
    let worker_filter = filter.as_deref().unwrap_or("info");
    match cli.command {
        Cmd::Run(args) => {
            console::detach();
            telemetry::install_logs(args.worker.log_format, worker_filter).context("--log")?;
            work(args, registrations).await
        }
        Cmd::Dev(args) => {
            console::detach();
            telemetry::install_logs(args.worker.log_format, worker_filter).context("--log")?;
            develop(args, registrations).await
        }
        Cmd::CodecServer(args) => {
            console::detach();
            telemetry::install_logs(args.log_format, worker_filter).context("--log")?;
            serve_codec(args).await
        }
        command => {
            // `validate` prints the errors of the files itself.
            let filter = filter.as_deref().unwrap_or("warn,almanac::registry=off");
            telemetry::install_logs(telemetry::LogFormat::Text, filter).context("--log")?;
            cli::run(command).await
        }
    }
}

/// Runs the command `almanac run`.
async fn work(args: RunArgs, registrations: &Registrations) -> anyhow::Result<ExitCode> {
    let metrics = telemetry::install_metrics()?;
    let parts = wiring::parts(&args.project, &args.worker, registrations.clone())?;
    let codec = args.worker.codec.clone();
    let process = Process::new(args.project, args.worker, metrics, parts).await?;
    let connector = Connector::from_environment(process.identity(), &codec)?;
    process.run(connector, std::future::pending()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the command `almanac dev`.
async fn develop(mut args: DevArgs, registrations: &Registrations) -> anyhow::Result<ExitCode> {
    let cli = dev::find_temporal_cli(args.temporal_cli.as_deref())?;
    let metrics = telemetry::install_metrics()?;
    args.worker.listen = dev::listen_address(args.worker.listen).await?;
    let mut nats = if args.nats {
        let program = dev::find_nats_server(args.nats_server.as_deref())?;
        let nats = NatsServer::start(&program, &args.db.with_file_name("nats")).await?;
        args.worker.steps.nats.nats_url = Some(nats.url().parse());
        args.worker.nats_stream.nats_create_stream = true;
        Some(nats)
    } else {
        None
    };
    let parts = wiring::parts(&args.project, &args.worker, registrations.clone())?;
    let codec = args.worker.codec.clone();
    let mut process = Process::new(args.project.clone(), args.worker, metrics, parts).await?;
    console::eprint(&format!(
        "starting a temporal dev server, kept in {}",
        args.db.display()
    ));
    let mut server = tokio::select! {
        server = TemporalServer::start(&cli, &args.db) => server?,
        // Dropping the future of the start ends the server.
        () = process.stop_signal() => return Ok(ExitCode::SUCCESS),
    };
    let page = dev::welcome(&server, nats.as_ref(), process.address()?, &args.project);
    console::print(&page);
    process.link_temporal_ui(format!("http://{}", server.ui()));
    let connector =
        Connector::to_dev_server(&server.address().to_string(), process.identity(), &codec)?;
    let mut lost = None;
    let result = process
        .run(connector, async {
            let why = tokio::select! {
                why = server.ended() => why,
                why = nats_ended(nats.as_mut()) => why,
            };
            lost = Some(why.clone());
            why
        })
        .await;
    server.stop().await;
    if let Some(nats) = nats {
        nats.stop().await;
    }
    result?;
    lost.map_or(Ok(ExitCode::SUCCESS), |why| Err(anyhow::anyhow!(why)))
}

/// Runs the command `almanac codec-server`.
async fn serve_codec(args: CodecServerArgs) -> anyhow::Result<ExitCode> {
    let file = connect::open_key_file(args.codec_key_file)?;
    let authority = Authority::open(&args.auth)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {} (--listen)", args.listen))?;
    let address = listener.local_addr()?;
    ensure!(
        address.ip().is_loopback() || authority.is_asked_for(),
        "anyone could decrypt payloads at {address}; hint: --auth token, or --listen on a loopback \
         address"
    );
    let mut signals = Signals::take().context("cannot handle signals")?;
    let stop = CancellationToken::new();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %address, "starting the codec server");
    let codec = connect::of_file(&file);
    let serving = http::serve_codec(listener, codec, args.allow_origin, authority, stop.clone());
    let stopping = async {
        let signal = signals.next().await;
        tracing::info!(signal, "shutting down");
        stop.cancel();
    };
    let following = stop.run_until_cancelled(file.follow());
    tokio::join!(serving, stopping, following);
    Ok(ExitCode::SUCCESS)
}

/// Waits for a NATS server to end by itself. Without one, waits for ever.
async fn nats_ended(nats: Option<&mut NatsServer>) -> String {
    match nats {
        Some(nats) => nats.ended().await,
        None => std::future::pending().await,
    }
}
