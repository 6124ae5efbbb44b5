//! The commands that run no worker.
//!
//! Each command talks to Temporal directly, or works offline. Its result goes to standard
//! output, as text or JSON, and its errors go to standard error.

mod adopt;
mod destroy;
mod events;
mod exec;
mod generated_docs;
mod history;
mod import;
mod list;
mod manual_run_commands;
mod next;
mod overrides;
mod plan;
mod progress;
mod selection;
mod show;
mod status;
mod suspension;
mod sync;
mod timeline;
mod validate;
mod watch;

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::codec::Codec;
use almanac_activities::schedules::view::ViewContext;
use almanac_activities::schedules::{RateLimiter, RequestError, Schedules, wire};
use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_base::nearest;
use almanac_core::definition::json_schema;
use almanac_core::record::{NAME_LIMIT, Status, cut_text};
use almanac_core::schedule::Live;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Cmd, Format, Target};
use crate::connect::Connector;
use crate::console::{self, Page};
use crate::failure::Failure;
use crate::reconcile_client::{ReconcileClient, ReconcileClientError, Silence};
use crate::registry::{ReadDepth, Registry};

/// The identity of the command line that Temporal shows.
const IDENTITY: &str = "almanac/cli";

/// Runs a command to its end.
///
/// The commands that run a worker are left to the caller.
pub async fn run(command: Cmd) -> anyhow::Result<ExitCode> {
    match command {
        Cmd::Validate(args) => validate::run(&args).await,
        Cmd::Plan(args) => plan::run(args).await,
        Cmd::Sync(args) => sync::run(args).await,
        Cmd::Status(args) => Box::pin(status::run(&args)).await,
        Cmd::List(args) => list::run(&args).await,
        Cmd::Show(args) => show::run(&args).await,
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
        Cmd::Timeline(args) => Box::pin(timeline::run(&args)).await,
        Cmd::Events(args) => events::run(args).await,
        Cmd::Exec(args) => exec::run(&args).await,
        Cmd::Import(args) => import::run(&args).await,
        Cmd::Adopt(args) => adopt::run(args).await,
        Cmd::Destroy(args) => destroy::run(&args).await,
        Cmd::Schema => print_json(&json_schema()),
        Cmd::Completion(args) => generated_docs::completion(&args),
        Cmd::Man(args) => generated_docs::man(&args),
        Cmd::CodecServer(_) | Cmd::Dev(_) | Cmd::Run(_) => {
            anyhow::bail!("not a command of this module")
        }
    }
}

/// A project in Temporal.
struct Remote {
    schedules: Schedules,
    reconciler: ReconcileClient,
    address: String,
    namespace: String,
    codec: Codec,
}

impl Remote {
    async fn of(target: &Target) -> anyhow::Result<Self> {
        let connector = Connector::from_environment(IDENTITY, &target.codec)?;
        let client = connector
            .connect()
            .await
            .map_err(|error| -> anyhow::Error {
                Failure::new(error.to_string())
                    .hint("TEMPORAL_ADDRESS says where Temporal is")
                    .into()
            })?;
        let schedules = Schedules::new(client.clone(), Arc::new(RateLimiter::new(None)));
        // Every command checks this first: in a namespace that does not exist, a missing
        // schedule means nothing.
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
            codec: connector.codec().codec().clone(),
        })
    }

    /// The reconcile workflow's state, if the workflow runs and answers. Without the state, a
    /// view lists the facts that it does not know.
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

    /// A schedule as it is now; `None` if the project has no schedule of that id.
    async fn live(&self, project: &Project, schedule: &ScheduleId) -> anyhow::Result<Option<Live>> {
        match self.schedules.describe(schedule).await {
            Ok(response) => Ok(wire::live(project, schedule, response).map(|found| found.live)),
            Err(RequestError::NotFound) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("describe `{schedule}`")),
        }
    }

    /// Returns `true` if live workers of the project exist and the reconciler is not suspended.
    async fn has_live_workers(&self, project: &Project) -> anyhow::Result<bool> {
        let client = self.schedules.client().clone();
        match ReconcileClient::new(client, project.clone()).status().await {
            Ok(status) => Ok(!status.workers.is_empty() && status.suspended.is_none()),
            // A workflow cannot answer a query while no worker runs.
            Err(ReconcileClientError::Absent(_) | ReconcileClientError::NoAnswer(_)) => Ok(false),
            Err(error) => {
                Err(error).with_context(|| format!("ask for the workers of project `{project}`"))
            }
        }
    }

    /// The definition with a schedule whose id is most like a mistyped one.
    async fn nearest_id(&self, project: &Project, id: &DefinitionId) -> Option<DefinitionId> {
        let listed = self.schedules.list(project).await.ok()?;
        let ids: Vec<_> = listed.into_iter().filter_map(|entry| entry.owner).collect();
        let found = nearest::among(id.as_str(), ids.iter().map(DefinitionId::as_str))?;
        ids.iter().find(|id| id.as_str() == found).cloned()
    }

    /// The schedule of a definition. The error says why the project has none; `hint` is added
    /// if no schedule of that id exists.
    async fn managed_schedule(
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
                        "schedule `{schedule}` is unmanaged and was not changed; it has the id that the \
                         schedule of `{id}` would have"
                    )
                }),
            Err(RequestError::NotFound) => {
                let failure = Failure::new(format!(
                    "project `{project}` has no schedule of `{id}` in namespace `{}`",
                    self.namespace
                ));
                let meant = self.nearest_id(project, id).await;
                let meant = meant.map(|meant| format!("did you mean `{meant}`?"));
                let hints = meant.iter().map(String::as_str).chain(hint);
                Err(hints.fold(failure, Failure::hint).into())
            }
            Err(error) => Err(error).with_context(|| format!("describe `{schedule}`")),
        }
    }
}

/// The facts from which views are derived. The files are not among them, since the worker has
/// them.
fn view_context<'a>(project: &'a Project, status: Option<&'a Status>) -> ViewContext<'a> {
    ViewContext {
        project,
        status,
        files: None,
        now: Timestamp::now(),
    }
}

/// The definitions of folders, for a command that needs all of them. A folder that is missing
/// or cannot be read is an error. `codec` encrypts the payloads of their schedules.
async fn load(folders: &[PathBuf], codec: &Codec) -> anyhow::Result<Arc<Registry>> {
    let registry = Registry::encrypting(folders.to_vec(), Duration::ZERO, codec.clone());
    registry.reload(ReadDepth::Contents).await?;
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

fn print_json(value: &impl Serialize) -> anyhow::Result<ExitCode> {
    console::print_json(&serde_json::to_string_pretty(value)?);
    Ok(ExitCode::SUCCESS)
}

/// Prints a value in the given format.
fn print<T: Serialize>(
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> Page,
) -> anyhow::Result<()> {
    match format {
        Format::Text => console::print(&text(value)),
        Format::Json | Format::Yaml => print_data(format, value)?,
    }
    Ok(())
}

/// Prints a value for programs. Prints nothing if the format is text.
fn print_data(format: Format, value: &impl Serialize) -> anyhow::Result<()> {
    match format {
        Format::Text => {}
        Format::Json => console::print_json(&serde_json::to_string_pretty(value)?),
        Format::Yaml => console::print_yaml(&serde_json::to_value(value)?),
    }
    Ok(())
}

/// The operator's name: the user and the name of this machine, as `user@host`.
fn operator() -> String {
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|user| !user.is_empty());
    // In a container the user may have no name, but the number of the user is known.
    let number = || {
        let process = std::fs::metadata("/proc/self").ok()?;
        Some(format!("uid {}", process.uid()))
    };
    let user = user.or_else(number).unwrap_or_else(|| "cli".to_owned());
    let host = rustix::system::uname();
    let mut operator = match host.nodename().to_str() {
        Ok(host) if !host.is_empty() => format!("{user}@{host}"),
        _ => user,
    };
    cut_text(&mut operator, NAME_LIMIT);
    operator
}

/// The words that say when the operator may run the printed command without doing the work
/// twice.
fn when_by_hand(error: &ReconcileClientError) -> &'static str {
    match error {
        ReconcileClientError::NoAnswer(Silence::Until(_)) => "after that, do it without Almanac",
        _ => "do it without Almanac",
    }
}
