//! The worker's process.
//!
//! HTTP starts first. Then the registry is loaded and watched. Then, supervised and for
//! ever, the process connects to Temporal and runs the workers. Only bad usage and a bind
//! failure end the process by themselves.
//!
//! At the end, in this order: readiness ends, the watcher, HTTP, the events of NATS and the start of
//! the workflow that follows runs stop,
//! the stop is announced to the reconcile workflow, and the workers drain. Activities are canceled a
//! little before `--shutdown-timeout`, and a watchdog ends the process at the timeout.

mod announcements;
mod announcer;
pub mod dev;
mod event_intake;
mod follow_starter;
mod shutdown;
mod stale_run_eviction;
mod supervise;
mod trace_header;
mod version_watcher;
mod workers;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::event_stream::{EventStream, StreamSettings};
use almanac_activities::reconcile::AttentionList;
use almanac_activities::router::EventRouter;
use almanac_activities::steps::{StepKeys, Steps};
use almanac_activities::timeline::{TimelineLimits, TimelineReader};
use almanac_base::names::{Project, WorkerId};
use anyhow::Context as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use temporalio_common::telemetry::{TelemetryInstance, TelemetryOptions, telemetry_init};
use temporalio_sdk_core::{CoreRuntime, RuntimeOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::announcements::AnnouncementLog;
pub use self::workers::{Register, WorkerSpec};

use self::announcements::AnnouncementState;
use self::announcer::Announcer;
use self::event_intake::EventIntake;
use self::follow_starter::FollowStarter;
pub(crate) use self::shutdown::Signals;
use self::shutdown::grace;
use self::supervise::Supervisor;
use self::version_watcher::VersionWatcher;
use crate::args::WorkerArgs;
use crate::backend::Shared;
use crate::backoff::random;
use crate::connect::{self, ChosenCodec, Connector};
use crate::deployment::DeploymentVersion;
use crate::health::Health;
use crate::registry::{ReadDepth, Registry, WatchOptions, spawn_watcher};
use crate::telemetry::{MetricsPage, SdkMeter, TracedProcess, Traces};

/// Interval at which the process compares the keys in force with those of the snapshot.
const ENCRYPTION_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time for which the timeline of a page or of the API waits for descriptions.
const DESCRIBED_WITHIN: Duration = Duration::from_millis(300);

/// A function that serves HTTP on a listener until the token is canceled.
pub type Serve =
    Box<dyn FnOnce(TcpListener, Arc<Shared>, CancellationToken) -> BoxFuture<'static, ()> + Send>;
/// A function that returns the workers to run, with the workflows and activities of each.
pub type Specs = Box<dyn FnOnce(&Arc<Shared>, &Arc<AnnouncementLog>) -> Vec<WorkerSpec> + Send>;

/// The parts that the process is given: it knows neither HTTP nor the workflows and
/// activities.
pub struct Parts {
    /// The limits on what steps may do.
    pub steps: Arc<Steps>,
    /// The keys that sign the steps of runs.
    pub keys: Option<StepKeys>,
    /// The version of a worker deployment that this process is, with worker versioning.
    pub version: Option<DeploymentVersion>,
    /// The stream from which events are taken, if there is one.
    pub events: Option<StreamSettings>,
    /// The function that serves HTTP.
    pub serve: Serve,
    /// The function that describes the workers, which are made anew on each connection.
    pub specs: Specs,
}

/// A worker process, before it starts.
pub struct Process {
    project: Project,
    worker: WorkerId,
    args: WorkerArgs,
    metrics: MetricsPage,
    parts: Parts,
    listener: TcpListener,
    signals: Signals,
}

impl Process {
    /// Takes what the system can refuse: the address to listen on, and the signals.
    pub async fn new(
        project: Project,
        args: WorkerArgs,
        metrics: MetricsPage,
        parts: Parts,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {} (--listen)", args.listen))?;
        Ok(Self {
            worker: new_worker_id(),
            signals: Signals::take().context("cannot handle signals")?,
            project,
            args,
            metrics,
            parts,
            listener,
        })
    }

    /// Returns the address of HTTP.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Returns the identity that Temporal shows of this process.
    pub fn identity(&self) -> String {
        connect::identity(&self.project, &self.worker)
    }

    /// Links web pages to Temporal's UI at this address, unless a flag names another.
    pub fn link_temporal_ui(&mut self, address: String) {
        self.args.temporal_ui_url.get_or_insert(address);
    }

    /// Waits for a signal, before the process runs.
    pub async fn stop_signal(&mut self) {
        let signal = self.signals.next().await;
        tracing::info!(signal, "stopped by a signal during the start");
    }

    /// Runs until a signal, or until `ended` resolves; then shuts down.
    pub async fn run(
        self,
        connector: Connector,
        ended: impl Future<Output = String>,
    ) -> anyhow::Result<()> {
        let Self {
            project,
            worker,
            args,
            metrics,
            parts,
            listener,
            mut signals,
        } = self;
        let Parts {
            steps,
            keys,
            version,
            events,
            serve,
            specs,
        } = parts;
        let namespace = connector.namespace();
        let telemetry = sdk_telemetry(&project, &worker, namespace)?;
        let runtime = Arc::new(sdk_runtime(&project, &worker, namespace)?);
        let connector = connector.with_meter(telemetry.get_temporal_metric_meter());
        let process = TracedProcess {
            project: &project,
            worker: &worker,
            namespace: connector.namespace(),
        };
        let traces = args.otlp_endpoint.as_deref();
        let traces = traces.map(|endpoint| Traces::export(endpoint, process));
        let traces = traces.transpose()?.unwrap_or_default();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            %project, %worker, address = connector.target(), listen = %listener.local_addr()?,
            "starting almanac"
        );

        let codec = connector.codec().clone();
        let registry = Registry::encrypting(args.dir.clone(), args.debounce, codec.codec().clone());
        let (clients, connected) = watch::channel(None);
        let announcement_log: Arc<AnnouncementLog> = Arc::default();
        // In the order in which they end: the parts that take work in, the announcer, the
        // workers.
        let (intake, talk, work) = (
            CancellationToken::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let router = Arc::new(EventRouter::new(
            project.clone(),
            Arc::clone(&registry) as _,
            keys,
        ));
        let stream = events.map(|settings| {
            let (router, clients) = (Arc::clone(&router), connected.clone());
            let stream =
                EventStream::new(project.clone(), settings, router, clients, intake.clone());
            Arc::new(stream)
        });
        let shared = Arc::new(Shared {
            project: project.clone(),
            worker: worker.clone(),
            registry: Arc::clone(&registry),
            health: Arc::new(Health::new(Timestamp::now())),
            metrics: metrics.clone(),
            monitor: Arc::default(),
            attention: Arc::new(AttentionList::new(args.metrics_schedules.into())),
            temporal_ui: args.temporal_ui_url.clone(),
            timelines: TimelineReader::new(TimelineLimits {
                described_within: DESCRIBED_WITHIN,
                ..TimelineLimits::default()
            }),
            events: router,
            stream: stream.clone(),
            publisher: steps.publisher(),
            credentials: Arc::clone(connector.credentials()),
            clients: connected.clone(),
        });
        let upkeep = tokio::spawn(metrics.upkeep());
        let credentials = tokio::spawn({
            let credentials = Arc::clone(connector.credentials());
            let (clients, stop) = (connected.clone(), work.clone());
            async move { credentials.follow(clients, stop).await }
        });
        let keys = tokio::spawn(follow_keys(codec, Arc::clone(&registry), work.clone()));
        let http = tokio::spawn(serve(listener, Arc::clone(&shared), intake.clone()));
        let supervisor = Supervisor {
            connector,
            specs: specs(&shared, &announcement_log),
            health: Arc::clone(&shared.health),
            clients,
            startup_retry: args.startup_retry,
            grace: grace(args.shutdown_timeout),
        };
        let version_watcher = version.clone().map(|version| {
            let watcher = VersionWatcher {
                version,
                health: Arc::clone(&shared.health),
                clients: connected.clone(),
            };
            tokio::spawn(watcher.run(intake.clone()))
        });
        let follow_starter = FollowStarter {
            is_versioned: version.is_some(),
            registry: Arc::clone(&registry),
            project: project.clone(),
            clients: connected.clone(),
        };
        let announcer = Announcer {
            announcement_state: AnnouncementState::new(worker, args.options()),
            announcement_log,
            registry: Arc::clone(&registry),
            health: Arc::clone(&shared.health),
            credentials: Arc::clone(&shared.credentials),
            project,
            clients: connected,
        };
        let event_intake = stream.map(|stream| {
            let intake_of_events = EventIntake {
                stream,
                registry: Arc::clone(&registry),
                grace: grace(args.shutdown_timeout),
            };
            tokio::spawn(intake_of_events.run(intake.clone()))
        });
        let watcher = tokio::spawn(watch_files(registry, args.clone(), intake.clone()));
        let follow_starter = tokio::spawn(follow_starter.run(intake.clone()));
        let announcer = tokio::spawn(announcer.run(talk.clone()));
        let supervisor = tokio::spawn(supervisor.run(runtime, work.clone()));

        let why = tokio::select! {
            signal = signals.next() => signal.to_owned(),
            why = ended => why,
        };
        tracing::info!(why, limit = ?args.shutdown_timeout, "shutting down; a second signal exits immediately");
        signals.last_resort(args.shutdown_timeout, Arc::clone(&steps));
        steps.leave();
        shared.health.stopping();
        intake.cancel();
        talk.cancel();
        finished("announcer", announcer).await;
        work.cancel();
        if let Some(event_intake) = event_intake {
            finished("events", event_intake).await;
        }
        finished("follow starter", follow_starter).await;
        if let Some(version_watcher) = version_watcher {
            finished("version watcher", version_watcher).await;
        }
        finished("supervisor", supervisor).await;
        finished("credentials", credentials).await;
        finished("keys", keys).await;
        steps.end_unawaited().await;
        // No command is left, except those of workers that did not end in time.
        steps.kill_commands();
        finished("watcher", watcher).await;
        finished("http", http).await;
        upkeep.abort();
        traces.end(args.shutdown_timeout).await;
        tracing::info!("shut down");
        Ok(())
    }
}

/// Loads the definitions, then follows the files until `stop`.
async fn watch_files(registry: Arc<Registry>, args: WorkerArgs, stop: CancellationToken) {
    if let Err(error) = registry.reload(ReadDepth::Changed).await {
        tracing::error!(%error, "cannot load the definitions");
    }
    let watcher = spawn_watcher(
        registry,
        WatchOptions::new(args.debounce, args.rescan_interval),
        stop,
    );
    finished("watcher", watcher).await;
}

/// Follows the key file until `stop`. When another key encrypts, the registry gets another revision,
/// and a pass encrypts the schedules again.
async fn follow_keys(codec: ChosenCodec, registry: Arc<Registry>, stop: CancellationToken) {
    let follow_encryption = async {
        loop {
            tokio::time::sleep(ENCRYPTION_INTERVAL).await;
            // Before the first load, there is nothing to load again.
            if registry.reloads() > 0
                && registry.has_stale_encryption()
                && let Err(error) = registry.reload(ReadDepth::Changed).await
            {
                tracing::error!(%error, "cannot load the definitions");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        ((), ()) = async { tokio::join!(codec.follow(), follow_encryption) } => {}
    }
}

/// Waits for a part of the process, and logs its panic.
async fn finished(part: &'static str, task: tokio::task::JoinHandle<()>) {
    if let Err(error) = task.await
        && error.is_panic()
    {
        tracing::error!(part, %error, "a task of the worker panicked");
    }
}

/// Returns an id that is different at every start and contains the host's name.
fn new_worker_id() -> WorkerId {
    let host: String = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(63)
        .collect();
    let host = if host.is_empty() { "worker" } else { &host };
    WorkerId::new(format!("{host}-{:08x}", random() >> 32))
}

fn telemetry_options(project: &Project, worker: &WorkerId, namespace: &str) -> TelemetryOptions {
    let queues =
        [project.run_queue(), project.reconcile_queue()].map(|queue| (queue.clone(), queue));
    let own = (
        project.worker_queue(worker),
        format!("almanac-{project}-worker"),
    );
    let meter = SdkMeter::new(namespace, queues.into_iter().chain([own]));
    TelemetryOptions::builder()
        .metrics(Arc::new(meter) as Arc<dyn temporalio_common::telemetry::metrics::CoreMeter>)
        .attach_service_name(false)
        .build()
}

fn sdk_telemetry(
    project: &Project,
    worker: &WorkerId,
    namespace: &str,
) -> anyhow::Result<TelemetryInstance> {
    telemetry_init(telemetry_options(project, worker, namespace))
}

fn sdk_runtime(
    project: &Project,
    worker: &WorkerId,
    namespace: &str,
) -> anyhow::Result<CoreRuntime> {
    let options = RuntimeOptions::builder()
        .telemetry_options(telemetry_options(project, worker, namespace))
        .heartbeat_interval(Some(Duration::from_mins(1)))
        .build()
        .map_err(anyhow::Error::msg)?;
    CoreRuntime::new_assume_tokio(options)
}
