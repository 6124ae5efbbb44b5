//! The flags of the commands for pauses, overrides and suspending.

use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_core::record::Selector;
use clap::Args;

use super::Target;
use super::values::at_least_a_second;

/// The flags of `almanac pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The schedules that the command pauses.
    #[command(flatten)]
    pub which: Which,
    /// Refuse a `--selector` that chooses more schedules than this
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Record this reason; `almanac status`, `show` and `history` print it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Pause for this long [default: until the override is cleared or the file changes
    /// `enabled`]
    #[arg(long = "for", value_name = "DURATION", value_parser = at_least_a_second)]
    pub duration: Option<Duration>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac unpause`.
#[derive(Debug, Args)]
pub struct UnpauseArgs {
    /// The schedules that the command unpauses.
    #[command(flatten)]
    pub which: Which,
    /// Refuse a `--selector` that chooses more schedules than this
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Record this reason; `almanac history` prints it
    #[arg(long, value_name = "TEXT", default_value = "unpaused")]
    pub reason: String,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The schedules that a command acts on.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The id of the definition
    #[arg(required_unless_present = "selector", conflicts_with = "selector")]
    pub id: Option<DefinitionId>,
    /// Act on the definitions that have all these labels, like `team=billing,env=prod`,
    /// instead of one id
    #[arg(long, value_name = "LABEL=VALUE,…")]
    pub selector: Option<Selector>,
    /// Print the schedules that the command would change, but change none
    #[arg(long)]
    pub dry_run: bool,
}

/// The flags of `almanac override`.
#[derive(Debug, Args)]
pub struct OverrideArgs {
    /// The id of the definition
    pub id: DefinitionId,
    /// Set this value: `cron=…`, `timezone=…` or `enabled=true|false`. Give the flag once
    /// for each value, and `cron` several times for several crons
    #[arg(long, value_name = "KEY=VALUE", required = true, value_parser = setting)]
    pub set: Vec<Setting>,
    /// Record this reason; `almanac status`, `show` and `history` print it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Override for this long [default: until the override is cleared or the file changes
    /// the value]
    #[arg(long = "for", value_name = "DURATION", value_parser = at_least_a_second)]
    pub duration: Option<Duration>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac clear-override`.
#[derive(Debug, Args)]
pub struct ClearOverrideArgs {
    /// The id of the definition
    pub id: DefinitionId,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac suspend`.
#[derive(Debug, Args)]
pub struct SuspendArgs {
    /// Record this reason; `almanac status` prints it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// A value of `almanac override --set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// A cron string, from `cron=…`.
    Cron(String),
    /// An IANA timezone, from `timezone=…`.
    Timezone(String),
    /// The enabled state, from `enabled=true|false`.
    Enabled(bool),
}

fn setting(text: &str) -> Result<Setting, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    match key {
        "cron" => Ok(Setting::Cron(value.to_owned())),
        "timezone" => Ok(Setting::Timezone(value.to_owned())),
        "enabled" => value
            .parse()
            .map(Setting::Enabled)
            .map_err(|_| format!("enabled must be true or false, not `{value}`")),
        _ => Err(format!(
            "`{key}` cannot be set: cron, timezone and enabled can"
        )),
    }
}
