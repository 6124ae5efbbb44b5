//! Temporal dev servers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::cli::temporal_binary;
use crate::ports::free_port;
use crate::process::Supervised;
use crate::release::{CHASM_SINCE, release};
use crate::wait::SOON;

/// Scheduler of the server: the one with workflows, or the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduler {
    /// The workflow-backed scheduler, the default.
    V1,
    /// The new one.
    Chasm,
}

impl Scheduler {
    /// The newest scheduler that the server has.
    pub fn newest() -> Self {
        if release() >= CHASM_SINCE {
            Self::Chasm
        } else {
            Self::V1
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::Chasm => "chasm",
        })
    }
}

/// The server's limit of listings is per namespace, and the tests share one. Each project has task
/// queues of its own, and each partition of each of them costs the server some work.
const COMMON: [&str; 4] = [
    "frontend.namespaceRPS.visibility=500",
    "frontend.globalNamespaceRPS.visibility=500",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
];
/// The server asks workflows to continue as new early, so that they do so in tests.
const EARLY: &str = "limit.historyCount.suggestContinueAsNew=400";
const CHASM: [&str; 4] = [
    "history.enableChasm=true",
    "history.enableCHASMSchedulerCreation=true",
    "history.enableCHASMSchedulerRouting=true",
    "history.chasmSchedulerCreationRolloutPercent=100",
];

/// With it, the V1 scheduler reserves no id of a schedule in CHASM. The server moves no schedule
/// whose id is reserved.
const NO_SENTINELS: &str = "history.enableCHASMSchedulerSentinels=false";
/// The server moves a V1 schedule to CHASM on the signal `migrate-to-chasm`, and when its workflow
/// continues as new.
const MIGRATION: [&str; 3] = [
    "history.enableCHASMSchedulerMigration=true",
    "history.chasmSchedulerMigrationRolloutPercent=100",
    "history.enableCHASMSchedulerMigrationWithRunningWorkflows=true",
];

/// A running dev server.
#[derive(Debug)]
pub struct Server {
    /// Values of the server's dynamic configuration.
    config: Vec<&'static str>,
    port: u16,
    folder: TempDir,
    database: Option<PathBuf>,
    /// A folder with time zone data that come before the machine's.
    zones: Option<PathBuf>,
    process: Supervised,
}

impl Server {
    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(config: Vec<&'static str>, keep: bool) -> anyhow::Result<Self> {
        Self::start_with_zones(config, keep, &[])
    }

    fn start_with_zones(
        config: Vec<&'static str>,
        keep: bool,
        zones: &[(&str, i32)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let zones = match zones {
            [] => None,
            zones => Some(write_zones(folder.path(), zones)?),
        };
        let database = keep.then(|| folder.path().join("temporal.db"));
        let mut last = None;
        for _ in 0..3 {
            let port = free_port();
            let mut process = spawn(&config, port, database.as_ref(), zones.as_ref(), &folder)?;
            match ready(port, &mut process) {
                Ok(()) => {
                    return Ok(Self {
                        config,
                        port,
                        folder,
                        database,
                        zones,
                        process,
                    });
                }
                // Somebody else may have taken one of its ports.
                Err(error) => last = Some(error),
            }
        }
        let log = std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
        Err(last.context("no attempt")?).with_context(|| format!("the dev server's log: {log}"))
    }
}

static V1_SERVER: OnceLock<Server> = OnceLock::new();
static CHASM_SERVER: OnceLock<Server> = OnceLock::new();

/// Returns `true` if the address is that of a server that all tests share.
pub(crate) fn is_shared(address: &str) -> bool {
    let mut servers = [&V1_SERVER, &CHASM_SERVER]
        .into_iter()
        .filter_map(OnceLock::get);
    servers.any(|server| server.address() == address)
}

/// The dev server of that scheduler that all tests of the process share. It
/// keeps nothing on disk.
pub fn server(scheduler: Scheduler) -> &'static Server {
    let cell = match scheduler {
        Scheduler::V1 => &V1_SERVER,
        Scheduler::Chasm => &CHASM_SERVER,
    };
    cell.get_or_init(|| match Server::start(config(scheduler, true), false) {
        Ok(server) => server,
        Err(error) => panic!("no {scheduler} dev server: {error:#}"),
    })
}

/// A dev server of a test's own, with a database that outlives a restart.
#[derive(Debug)]
pub struct OwnServer(Server);

impl OwnServer {
    /// Starts one on a free port.
    pub fn start(scheduler: Scheduler) -> anyhow::Result<Self> {
        Server::start(config(scheduler, true), true).map(Self)
    }

    /// The same, with the server's own idea of when a history is long.
    pub fn as_it_comes(scheduler: Scheduler) -> anyhow::Result<Self> {
        Server::start(config(scheduler, false), true).map(Self)
    }

    /// Starts a server whose time zone data have these zones at a fixed offset, in seconds
    /// east of UTC, whatever the machine's say.
    pub fn with_zones(scheduler: Scheduler, zones: &[(&str, i32)]) -> anyhow::Result<Self> {
        Server::start_with_zones(config(scheduler, true), true, zones).map(Self)
    }

    /// Starts one with the V1 scheduler, whose schedules can be moved to CHASM after
    /// [`OwnServer::restart_with_chasm`].
    pub fn before_chasm() -> anyhow::Result<Self> {
        let mut config = config(Scheduler::V1, true);
        config.push(NO_SENTINELS);
        Server::start(config, true).map(Self)
    }

    /// Starts it again with the CHASM scheduler and the migration to it.
    pub fn restart_with_chasm(&mut self) -> anyhow::Result<()> {
        self.0.config.extend(CHASM.into_iter().chain(MIGRATION));
        self.restart()
    }

    /// `host:port`, the same through restarts.
    pub fn address(&self) -> String {
        self.0.address()
    }

    /// Folder with the database's files.
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// Process id of the server.
    pub fn pid(&self) -> &str {
        self.0.process.pid()
    }

    /// Kills it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.0.process.kill()
    }

    /// Copies the database into a folder. The server is down meanwhile.
    pub fn back_up(&mut self, folder: &Path) -> anyhow::Result<()> {
        self.kill()?;
        for file in self.database_files()? {
            std::fs::copy(&file, folder.join(file.file_name().context("a file")?))?;
        }
        self.restart()
    }

    /// Puts the database in a folder in the place of the server's.
    pub fn restore(&mut self, folder: &Path) -> anyhow::Result<()> {
        self.kill()?;
        for file in self.database_files()? {
            std::fs::remove_file(file)?;
        }
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            std::fs::copy(entry.path(), self.0.folder.path().join(entry.file_name()))?;
        }
        self.restart()
    }

    /// The files of the database: the one that was named, and those that `SQLite` keeps beside it.
    fn database_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let database = self.0.database.as_ref().context("a database")?;
        let name = database.file_name().context("a file")?.to_string_lossy();
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.0.folder.path())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&*name) {
                files.push(entry.path());
            }
        }
        Ok(files)
    }

    /// Starts it again on the same port with the same database.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let server = &mut self.0;
        let mut answer = Ok(());
        for _ in 0..3 {
            server.process = spawn(
                &server.config,
                server.port,
                server.database.as_ref(),
                server.zones.as_ref(),
                &server.folder,
            )?;
            answer = ready(server.port, &mut server.process);
            if answer.is_ok() {
                break;
            }
        }
        answer
    }
}

/// The dynamic configuration of a server; `early`: with [`EARLY`].
fn config(scheduler: Scheduler, early: bool) -> Vec<&'static str> {
    let mut config = COMMON.to_vec();
    config.extend(early.then_some(EARLY));
    if scheduler == Scheduler::Chasm {
        config.extend(CHASM);
    }
    config
}

fn spawn(
    config: &[&str],
    port: u16,
    database: Option<&PathBuf>,
    zones: Option<&PathBuf>,
    folder: &TempDir,
) -> anyhow::Result<Supervised> {
    let mut args: Vec<String> = ["server", "start-dev", "--headless", "--log-level", "error"]
        .map(String::from)
        .to_vec();
    args.extend(["--port".to_owned(), port.to_string()]);
    for name in [
        "Team",
        "AlmanacEventType",
        "AlmanacEventSource",
        "AlmanacEventId",
    ] {
        args.extend(["--search-attribute".to_owned(), format!("{name}=Keyword")]);
    }
    if let Some(database) = database {
        args.extend(["--db-filename".to_owned(), database.display().to_string()]);
    }
    for value in config {
        args.extend(["--dynamic-config-value".to_owned(), (*value).to_owned()]);
    }
    let zones = zones.map(|zones| zones.display().to_string());
    let zones = zones.as_deref().map(|zones| ("ZONEINFO", zones));
    // Memory is cheaper than processor time in tests: garbage is collected less often.
    let env: Vec<_> = zones.into_iter().chain([("GOGC", "400")]).collect();
    Supervised::spawn(
        &temporal_binary()?,
        args,
        &env,
        &folder.path().join("server.log"),
    )
}

/// Writes zones as compiled files (RFC 9636, version 1), and returns their folder.
fn write_zones(folder: &Path, zones: &[(&str, i32)]) -> anyhow::Result<PathBuf> {
    const NAME: &[u8; 4] = b"TST\0";
    let root = folder.join("zoneinfo");
    for (zone, offset) in zones {
        let mut file = b"TZif".to_vec();
        // Version 1 and the reserved bytes.
        file.extend([0; 16]);
        // No indicators, leap seconds or changes; one offset, and its name.
        for count in [0_u32, 0, 0, 0, 1, 4] {
            file.extend(count.to_be_bytes());
        }
        file.extend(offset.to_be_bytes());
        file.extend([0, 0]);
        file.extend(NAME);
        let path = root.join(zone);
        let parent = path.parent().context("a zone has a folder")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(path, file)?;
    }
    Ok(root)
}

fn ready(port: u16, process: &mut Supervised) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        if !process.is_running()? {
            bail!("the dev server ended at once");
        }
        let answer = Command::new(temporal_binary()?)
            .args(["operator", "namespace", "describe", "default"])
            .args(["--address", &format!("127.0.0.1:{port}")])
            .output()?;
        if answer.status.success() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the dev server on port {port} is not ready after {SOON:?}");
}
