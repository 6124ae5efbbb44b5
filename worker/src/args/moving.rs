//! The flags of `import`, `adopt` and `destroy`.

use std::path::PathBuf;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use clap::Args;

use super::values::duration;
use super::{DEFINITIONS, Target};

/// The flags of `almanac import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Import the schedules that match this visibility query, such as
    /// `ScheduleId STARTS_WITH 'billing-'` [default: all]
    #[arg(
        long,
        value_name = "QUERY",
        default_value = "",
        hide_default_value = true
    )]
    pub query: String,
    /// Import also the schedules of Almanac projects
    #[arg(long)]
    pub all: bool,
    /// Write the files into this folder, one file for each schedule
    #[arg(long, value_name = "FOLDER", default_value = DEFINITIONS)]
    pub out: PathBuf,
    /// Overwrite files that exist
    #[arg(long)]
    pub force: bool,
    /// Print the definitions, but write no file
    #[arg(long)]
    pub dry_run: bool,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// Default of `almanac adopt --wait`.
pub const ADOPT_WAIT: &str = "10m";

/// The flags of `almanac adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// The ids of the definitions [default: all that name a schedule in
    /// `schedule.adopts`; with --from-project, all]
    #[arg(value_name = "ID")]
    pub ids: Vec<DefinitionId>,
    /// Take over from this schedule, for one ID [default: the schedule that the
    /// definition names in `schedule.adopts`]
    #[arg(long, value_name = "SCHEDULE", value_parser = schedule_id)]
    pub from: Option<ScheduleId>,
    /// Take over from the schedules of this Almanac project; its workers must have ended,
    /// or the project must be suspended
    #[arg(long, value_name = "PROJECT")]
    pub from_project: Option<Project>,
    /// Read definitions from this folder. Give it several times, or as a list with commas
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = DEFINITIONS,
        value_delimiter = ','
    )]
    pub dir: Vec<PathBuf>,
    /// Apply the plan that was printed with this digest
    #[arg(long, value_name = "DIGEST")]
    pub confirm: Option<String>,
    /// Wait up to this long for a moment at which no run of the schedule can be due,
    /// jitter included
    #[arg(long, value_name = "DURATION", default_value = ADOPT_WAIT, value_parser = duration)]
    pub wait: Duration,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac destroy`.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// Apply the plan that was printed with this digest
    #[arg(long, value_name = "DIGEST")]
    pub confirm: Option<String>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

fn schedule_id(text: &str) -> Result<ScheduleId, String> {
    if text.is_empty() {
        return Err("a schedule's id is not empty".to_owned());
    }
    Ok(ScheduleId::from_server(text))
}
