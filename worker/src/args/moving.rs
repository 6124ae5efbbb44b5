//! The flags of `import`, `adopt` and `destroy`.

use std::path::PathBuf;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use clap::Args;

use super::Target;
use super::values::duration;

/// `almanac import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Which schedules, as a visibility query, such as
    /// `ScheduleId STARTS_WITH 'billing-'` [default: all]
    #[arg(
        long,
        value_name = "QUERY",
        default_value = "",
        hide_default_value = true
    )]
    pub query: String,
    /// Those of Almanac projects too
    #[arg(long)]
    pub all: bool,
    /// Where the files go, one for each schedule
    #[arg(long, value_name = "FOLDER", default_value = "definitions")]
    pub out: PathBuf,
    /// Write over files that exist
    #[arg(long)]
    pub force: bool,
    /// Print the definitions, write no file
    #[arg(long)]
    pub dry_run: bool,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// The definitions' ids [default: all that name a schedule in
    /// `schedule.adopts`; with --from-project, all]
    #[arg(value_name = "ID")]
    pub ids: Vec<DefinitionId>,
    /// The schedule to take over from, for one ID [default: what
    /// `schedule.adopts` of the definition says]
    #[arg(long, value_name = "SCHEDULE", value_parser = schedule_id)]
    pub from: Option<ScheduleId>,
    /// The Almanac project that the schedules to take over from belong to; its
    /// workers must have ended, or be suspended
    #[arg(long, value_name = "PROJECT")]
    pub from_project: Option<Project>,
    /// A folder of definitions; may be given several times, or as a list with commas
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "definitions",
        value_delimiter = ','
    )]
    pub dir: Vec<PathBuf>,
    /// Do what was printed with this digest
    #[arg(long, value_name = "DIGEST")]
    pub confirm: Option<String>,
    /// How long a moment without a run is waited for, of a schedule with jitter
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub wait: Duration,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac destroy`.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// Do what was printed with this digest
    #[arg(long, value_name = "DIGEST")]
    pub confirm: Option<String>,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

fn schedule_id(text: &str) -> Result<ScheduleId, String> {
    if text.is_empty() {
        return Err("a schedule's id is not empty".to_owned());
    }
    Ok(ScheduleId::from_server(text))
}
