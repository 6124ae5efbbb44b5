//! The flags of `almanac events`.

use std::path::PathBuf;

use almanac_core::record::DeliveryState;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::Format;
use super::values::web_address;

/// Name of the flag that says where the worker is.
pub const URL: &str = "--url";

/// The commands about events. They ask a worker over HTTP.
#[derive(Debug, Args)]
#[command(
    after_help = "These commands ask a worker over HTTP. A worker keeps its last deliveries in memory, and each \
                  worker has its own.\n\nExit code: 0 when the worker did what was asked, also if no trigger takes \
                  the event that was sent; 1 otherwise."
)]
pub struct EventsArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: EventsCmd,
}

/// The commands of `almanac events`.
#[derive(Debug, Subcommand)]
pub enum EventsCmd {
    /// List the last deliveries of events to a worker, newest first
    List(ListEventsArgs),
    /// Show a delivery: the event, and what each trigger did with it
    Show(EventArgs),
    /// Handle the event of a delivery again; a run that it has started is not started twice
    Replay(EventArgs),
    /// List the deliveries that are not tried again; the same as `list --state dead`
    Dead(DeadEventsArgs),
    /// Send an event to a worker, and print the runs that it starts
    Send(SendEventArgs),
}

/// The worker that answers, and the output format.
#[derive(Debug, Args)]
pub struct WorkerTarget {
    /// Ask the worker at this address: https, or http on this machine
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = web_address)]
    pub url: String,
    /// Read the token for the worker from this file
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print in this format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The flags of `almanac events list`.
#[derive(Debug, Args)]
pub struct ListEventsArgs {
    /// List only the deliveries in this state
    #[arg(long, value_name = "STATE", value_parser = state())]
    pub state: Option<DeliveryState>,
    /// Maximum number of deliveries
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// The worker that answers, and the output format.
    #[command(flatten)]
    pub target: WorkerTarget,
}

/// The flags of `almanac events dead`.
#[derive(Debug, Args)]
pub struct DeadEventsArgs {
    /// Maximum number of deliveries
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// The worker that answers, and the output format.
    #[command(flatten)]
    pub target: WorkerTarget,
}

/// The flags of `almanac events show` and `almanac events replay`.
#[derive(Debug, Args)]
pub struct EventArgs {
    /// The id of the delivery, as `almanac events list` prints it
    pub delivery: String,
    /// The worker that answers, and the output format.
    #[command(flatten)]
    pub target: WorkerTarget,
}

/// The flags of `almanac events send`.
#[derive(Debug, Args)]
#[command(
    after_help = "An event that is sent again with the same source and id starts nothing twice.\n\nExit code: 0 \
                  when the worker took the event, also if no trigger takes it; 1 when a trigger or a schema refuses \
                  the event, a run could not be started, or no worker answers."
)]
pub struct SendEventArgs {
    /// The type of the event
    #[arg(value_name = "TYPE")]
    pub kind: String,
    /// Data of the event: JSON, `@FILE` for a file with JSON, or `-` for standard input [default:
    /// no data]
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub data: Option<String>,
    /// Source of the event, a URI reference
    #[arg(long, value_name = "URI", default_value = "/almanac/cli")]
    pub source: String,
    /// Id of the event, unique within its source [default: a random id]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Subject of the event
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Time of the event, like `2026-03-01T00:00:00Z` [default: now]
    #[arg(long, value_name = "TIME")]
    pub time: Option<Timestamp>,
    /// The worker that answers, and the output format.
    #[command(flatten)]
    pub target: WorkerTarget,
}

/// The states of deliveries, by name.
const STATES: [DeliveryState; 6] = [
    DeliveryState::Accepted,
    DeliveryState::NoMatch,
    DeliveryState::Started,
    DeliveryState::Refused,
    DeliveryState::Waiting,
    DeliveryState::Dead,
];

fn state() -> impl TypedValueParser<Value = DeliveryState> {
    PossibleValuesParser::new(STATES.map(DeliveryState::as_str)).map(|name| {
        let mut all = STATES.into_iter();
        all.find(|state| state.as_str() == name).unwrap_or_default()
    })
}
