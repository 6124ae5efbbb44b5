//! The commands that are no worker.
//!
//! Each talks to Temporal directly, or to nobody; what it prints goes to
//! standard output, as text or JSON, and what went wrong to standard error.

mod adopt;
mod destroy;
mod exec;
mod generated_docs;
mod history;
mod import;
mod manual_run_commands;
mod next;
mod overrides;
mod plan;
mod progress;
mod schedules;
mod selection;
mod suspension;
mod sync;
mod validate;

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::schedules::{RateLimiter, RequestError, Schedules, wire};
use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_base::text::is_hidden;
use almanac_core::definition::json_schema;
use almanac_core::record::{NAME_LIMIT, Status, cut_text};
use almanac_core::schedule::Live;
use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::args::{Cmd, Format, Target};
use crate::connect::Connector;
use crate::console::{self, Page};
use crate::failure::Failure;
use crate::reconcile_client::{ReconcileClient, ReconcileClientError, Silence};
use crate::registry::{Depth, Registry};

/// What Temporal shows of the command line.
const IDENTITY: &str = "almanac/cli";

/// Does a command to its end.
/// The ones that run a worker are left to the caller.
pub async fn run(command: Cmd) -> anyhow::Result<ExitCode> {
    match command {
        Cmd::Validate(args) => validate::run(&args).await,
        Cmd::Plan(args) => plan::run(args).await,
        Cmd::Sync(args) => sync::run(args).await,
        Cmd::List(args) => schedules::list(&args).await,
        Cmd::Show(args) => schedules::show(&args).await,
        Cmd::History(args) => history::run(&args).await,
        Cmd::Pause(args) => overrides::pause(args).await,
        Cmd::Unpause(args) => overrides::unpause(args).await,
        Cmd::Override(args) => overrides::set(args).await,
        Cmd::ClearOverride(args) => overrides::clear(args).await,
        Cmd::Trigger(args) => manual_run_commands::trigger(args).await,
        Cmd::Backfill(args) => manual_run_commands::backfill(args).await,
        Cmd::Suspend(args) => suspension::suspend(args).await,
        Cmd::Resume(args) => suspension::resume(args).await,
        Cmd::Next(args) => next::run(&args).await,
        Cmd::Exec(args) => exec::run(&args).await,
        Cmd::Import(args) => import::run(&args).await,
        Cmd::Adopt(args) => adopt::run(args).await,
        Cmd::Destroy(args) => destroy::run(&args).await,
        Cmd::Schema => print_json(&json_schema()),
        Cmd::Completion(args) => generated_docs::completion(&args),
        Cmd::Man(args) => generated_docs::man(&args),
        Cmd::Dev(_) | Cmd::Run(_) => anyhow::bail!("not a command of this module"),
    }
}

/// A project as it is in Temporal.
struct Remote {
    schedules: Schedules,
    reconciler: ReconcileClient,
    address: String,
    namespace: String,
}

impl Remote {
    async fn of(target: &Target) -> anyhow::Result<Self> {
        let connector = Connector::from_environment(IDENTITY)?;
        let client = connector
            .connect()
            .await
            .map_err(|error| -> anyhow::Error {
                Failure::new(error.to_string())
                    .hint("TEMPORAL_ADDRESS says where Temporal is")
                    .into()
            })?;
        let schedules = Schedules::new(client.clone(), Arc::new(RateLimiter::new(None)));
        // Once for every command: nothing that is missing in a namespace that
        // does not exist says anything.
        schedules
            .check_namespace()
            .await
            .map_err(|error| -> anyhow::Error {
                Failure::new(error.to_string())
                    .hint("TEMPORAL_NAMESPACE says which one to use")
                    .into()
            })?;
        Ok(Self {
            schedules,
            reconciler: ReconcileClient::new(client, target.project.clone()),
            address: connector.address(),
            namespace: connector.namespace().to_owned(),
        })
    }

    /// The reconcile workflow's state, where it runs and answers. A view tells
    /// what it could not know without it.
    async fn status_if_any(&self) -> Option<Status> {
        match self.reconciler.status().await {
            Ok(status) => Some(status),
            Err(ReconcileClientError::Absent(_)) => None,
            Err(error) => {
                console::eprint(&error.to_string());
                None
            }
        }
    }

    /// One schedule as it is now; `None` when there is none of ours.
    async fn live(&self, project: &Project, schedule: &ScheduleId) -> anyhow::Result<Option<Live>> {
        match self.schedules.describe(schedule).await {
            Ok(response) => Ok(wire::live(project, schedule, response).map(|found| found.live)),
            Err(RequestError::NotFound) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("describe `{schedule}`")),
        }
    }

    /// Whether workers of the project are at work; who is suspended is not.
    async fn has_live_workers(&self, project: &Project) -> anyhow::Result<bool> {
        let client = self.schedules.client().clone();
        match ReconcileClient::new(client, project.clone()).status().await {
            Ok(status) => Ok(!status.workers.is_empty() && status.suspended.is_none()),
            // With nobody there to ask it, a workflow gives no answer.
            Err(ReconcileClientError::Absent(_) | ReconcileClientError::NoAnswer(_)) => Ok(false),
            Err(error) => {
                Err(error).with_context(|| format!("ask for the workers of project `{project}`"))
            }
        }
    }

    /// The schedule of a definition, or why there is none of ours; `hint` says what
    /// helps where there is none at all.
    async fn ours(
        &self,
        project: &Project,
        id: &DefinitionId,
        hint: Option<&str>,
    ) -> anyhow::Result<Live> {
        let schedule = project.schedule_id(id);
        match self.schedules.describe(&schedule).await {
            Ok(response) => wire::live(project, &schedule, response)
                .map(|found| found.live)
                .with_context(|| {
                    format!(
                        "schedule `{schedule}` is not Almanac's and is left alone: it stands where \
                         that of `{id}` would"
                    )
                }),
            Err(RequestError::NotFound) => {
                let failure = Failure::new(format!(
                    "project `{project}` has no schedule of `{id}` in namespace `{}`",
                    self.namespace
                ));
                Err(match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
                .into())
            }
            Err(error) => Err(error).with_context(|| format!("describe `{schedule}`")),
        }
    }
}

/// The definitions of folders, for a command that is of no use without all of
/// them: what is missing or cannot be read is no empty folder.
async fn load(folders: &[PathBuf]) -> anyhow::Result<Arc<Registry>> {
    let registry = Registry::new(folders.to_vec(), Duration::ZERO);
    registry.reload(Depth::Contents).await?;
    let snapshot = registry.snapshot();
    if !snapshot.is_complete() {
        let why = Failure::new(snapshot.incomplete.join("; "));
        return Err(why.hint("--dir says where the definitions are").into());
    }
    if snapshot.definitions.is_empty() && snapshot.failed.is_empty() {
        let names: Vec<_> = folders
            .iter()
            .map(|it| format!("`{}`", it.display()))
            .collect();
        console::eprint(&format!("no definitions in {}", names.join(", ")));
    }
    Ok(registry)
}

/// A time in a schedule's own zone, with its offset, and in UTC.
pub(super) fn local(time: Timestamp, timezone: &str) -> String {
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    let here = time.to_zoned(zone);
    if timezone == "UTC" {
        here.strftime("%a %Y-%m-%d %H:%M:%S UTC").to_string()
    } else {
        let utc = time.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("{}  ({utc})", here.strftime("%a %Y-%m-%d %H:%M:%S %:z"))
    }
}

fn print_json(value: &impl Serialize) -> anyhow::Result<ExitCode> {
    console::print_json(&serde_json::to_string_pretty(value)?);
    Ok(ExitCode::SUCCESS)
}

/// Prints a value as the format says.
fn show<T: Serialize>(
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> Page,
) -> anyhow::Result<()> {
    match format {
        Format::Json => print_json(value).map(drop),
        Format::Text => {
            console::print(&text(value));
            Ok(())
        }
    }
}

/// Who types: the user of this machine.
fn operator() -> String {
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|user| !user.is_empty());
    // Where a container names nobody, its number is still known.
    let number = || {
        let process = std::fs::metadata("/proc/self").ok()?;
        Some(format!("uid {}", process.uid()))
    };
    let mut operator = user.or_else(number).unwrap_or_else(|| "cli".to_owned());
    cut_text(&mut operator, NAME_LIMIT);
    operator
}

/// When it may be done by hand without being done twice.
fn when_by_hand(error: &ReconcileClientError) -> &'static str {
    match error {
        ReconcileClientError::NoAnswer(Silence::Until(_)) => "after that, by hand",
        _ => "by hand",
    }
}

/// A text as one word of a shell's line. What could not be copied off a terminal
/// is written as the escapes of `$'…'`, which bash, zsh and POSIX shells of 2024 read.
fn shell_quoted(text: &str) -> String {
    if !text.contains(is_hidden) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let mut word = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_hidden(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    write!(word, "\\{byte:03o}").unwrap_or_default();
                }
            }
            c => word.push(c),
        }
    }
    word + "'"
}
