//! The flags of what operators set over the files, and of suspending.

use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_core::record::Selector;
use clap::Args;

use super::Target;
use super::values::at_least_a_second;

/// `almanac pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Which schedules.
    #[command(flatten)]
    pub which: Which,
    /// The most schedules that `--selector` may choose
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Why, for whoever looks at three in the morning
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How long [default: until it is cleared or the file changes it]
    #[arg(long = "for", value_name = "DURATION", value_parser = at_least_a_second)]
    pub duration: Option<Duration>,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac unpause`.
#[derive(Debug, Args)]
pub struct UnpauseArgs {
    /// Which schedules.
    #[command(flatten)]
    pub which: Which,
    /// The most schedules that `--selector` may choose
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "unpaused")]
    pub reason: String,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// Which schedules a command is about.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The definition's id
    #[arg(required_unless_present = "selector", conflicts_with = "selector")]
    pub id: Option<DefinitionId>,
    /// Instead of an id: the definitions that have all these labels, like
    /// `team=billing,env=prod`
    #[arg(long, value_name = "LABEL=VALUE,…")]
    pub selector: Option<Selector>,
    /// Print what would be touched, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `almanac override`.
#[derive(Debug, Args)]
pub struct OverrideArgs {
    /// The definition's id
    pub id: DefinitionId,
    /// What to set: `cron=…`, `timezone=…` or `enabled=true|false`; several
    /// times for several, `cron` for several crons
    #[arg(long, value_name = "KEY=VALUE", required = true, value_parser = setting)]
    pub set: Vec<Setting>,
    /// Why, for whoever looks at three in the morning
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How long [default: until it is cleared or the file changes it]
    #[arg(long = "for", value_name = "DURATION", value_parser = at_least_a_second)]
    pub duration: Option<Duration>,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac clear-override`.
#[derive(Debug, Args)]
pub struct ClearOverrideArgs {
    /// The definition's id
    pub id: DefinitionId,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac suspend`.
#[derive(Debug, Args)]
pub struct SuspendArgs {
    /// Why, for whoever looks at three in the morning
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// One value of `almanac override --set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `cron=…`
    Cron(String),
    /// `timezone=…`
    Timezone(String),
    /// `enabled=true|false`
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
