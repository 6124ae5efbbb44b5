//! The arguments of `almanac exec`.

use std::path::PathBuf;

use almanac_base::names::DefinitionId;
use clap::Args;
use serde_json::Value;

use super::StepArgs;

/// The flags of `almanac exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// A file with a definition that has steps
    pub file: PathBuf,
    /// Run with this input, as JSON [default: the input of the schedule]
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub input: Option<Value>,
    /// Run the definition with this id, if the file has several
    #[arg(long, value_name = "ID")]
    pub id: Option<DefinitionId>,
    /// Read the events for steps that listen from this file, one as JSON on each line;
    /// `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// The flags for what the steps may reach.
    #[command(flatten)]
    pub steps: StepArgs,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}
