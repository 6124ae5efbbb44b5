//! The flags of `almanac trigger` and `almanac backfill`.

use almanac_core::definition::OverlapPolicy;
use almanac_times::When;
use clap::{Args, ValueEnum};

use super::{Target, Which};

/// The flags of `almanac trigger`.
///
/// Exits with 0 if a run was started or waits for another to end, with 2 if the overlap
/// policy skipped the run, with 1 if the run failed or was lost.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 when a run was started or waits for another to end, 2 when the overlap \
                  policy skipped it, 1 when it failed or was lost."
)]
pub struct TriggerArgs {
    /// The schedules that the command starts runs of.
    #[command(flatten)]
    pub which: Which,
    /// Refuse a `--selector` that chooses more schedules than this
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Use this overlap policy if another run is running [default: the schedule's own
    /// policy]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub overlap: Option<Overlap>,
    /// Record this reason in the log
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac backfill`.
#[derive(Debug, Args)]
#[command(
    after_help = "Times are RFC 3339 (2026-01-31T06:00:00Z), or local to the schedule's zone \
                  (2026-01-31, 2026-01-31T06:00).\n\nExit code: 0 when a run was started or waits \
                  for another to end, 2 when the overlap policy skipped every one, 1 when it \
                  failed or was lost."
)]
pub struct BackfillArgs {
    /// The schedules that the command starts runs of.
    #[command(flatten)]
    pub which: Which,
    /// Start of the time range: fire times at or after it are run
    #[arg(long, value_name = "TIME")]
    pub from: When,
    /// End of the time range: fire times before it are run
    #[arg(long, value_name = "TIME")]
    pub to: When,
    /// Maximum number of runs, of all schedules together
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Refuse a `--selector` that chooses more schedules than this
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_schedules: u16,
    /// Use this overlap policy if another run is running [default: the schedule's own
    /// policy]
    ///
    /// The schedule's own policy is mostly `skip`, which starts one run of many.
    /// `buffer-all` starts one after the other, `allow-all` all at once.
    #[arg(long, value_enum, value_name = "POLICY")]
    pub overlap: Option<Overlap>,
    /// Record this reason in the log
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The values of `--overlap`. The spelling of definitions (with `_`) is accepted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Overlap {
    /// Start nothing while a run is running.
    #[value(name = "skip")]
    Skip,
    /// Start one more run when the current run ends.
    #[value(name = "buffer-one", alias = "buffer_one")]
    BufferOne,
    /// Start all runs, one after the other.
    #[value(name = "buffer-all", alias = "buffer_all")]
    BufferAll,
    /// Cancel the current run, then start.
    #[value(name = "cancel-other", alias = "cancel_other")]
    CancelOther,
    /// Terminate the current run, then start.
    #[value(name = "terminate-other", alias = "terminate_other")]
    TerminateOther,
    /// Start beside the current run.
    #[value(name = "allow-all", aliases = ["allow_all", "allow"])]
    AllowAll,
}

impl From<Overlap> for OverlapPolicy {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Skip => Self::Skip,
            Overlap::BufferOne => Self::BufferOne,
            Overlap::BufferAll => Self::BufferAll,
            Overlap::CancelOther => Self::CancelOther,
            Overlap::TerminateOther => Self::TerminateOther,
            Overlap::AllowAll => Self::AllowAll,
        }
    }
}
