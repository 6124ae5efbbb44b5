//! The arguments of `almanac exec`.

use std::path::PathBuf;

use almanac_base::names::DefinitionId;
use clap::Args;
use serde_json::Value;

use super::StepArgs;

/// `almanac exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// A file with a definition that has steps
    pub file: PathBuf,
    /// The input of the run, as JSON; without it, that of the schedule
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub input: Option<Value>,
    /// Which definition of the file to run, where it has several
    #[arg(long, value_name = "ID")]
    pub id: Option<DefinitionId>,
    /// Events for its steps that listen: a file with one as JSON on each line, or -
    /// for standard input
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// What its steps may reach.
    #[command(flatten)]
    pub steps: StepArgs,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}
