//! The process's three Temporal workers, each on a thread of its own.
//!
//! - `reconcile`: the workflow `ReconcileSchedules` and nothing else, so that no value of
//!   a definition is ever computed on its thread;
//! - `run`: `RunDefinition` and the activities that any worker can do;
//! - `own`: the activities that need this process's files, on the queue that only this
//!   process polls.
//!
//! A worker's future is not `Send`: the thread builds it, runs it on a runtime of its
//! own, and reports its end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::worker::WorkerDeploymentOptions;
use temporalio_sdk::opentelemetry::OpenTelemetryPlugin;
use temporalio_sdk::runtime::PollerBehavior;
use temporalio_sdk::{Worker, WorkerOptions};
use temporalio_sdk_core::{CoreRuntime, init_worker};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::stale_run_eviction::StaleRunEviction;
use super::trace_header::readable_trace_header;

/// Maximum time that a workflow task waits for the process that has the workflow in
/// memory, before another process may take the task. After a process is killed, the next
/// process waits this long.
const STICKY_LIMIT: Duration = Duration::from_secs(3);

/// A function that adds workflows and activities to a worker's options.
pub type Register =
    Arc<dyn Fn(&Client, &mut WorkerOptions) -> anyhow::Result<()> + Send + Sync + 'static>;

/// A description of one worker, which is made anew on every connection.
#[derive(Clone)]
pub struct WorkerSpec {
    /// Name for logs and errors.
    pub name: &'static str,
    /// The task queue that the worker polls.
    pub queue: String,
    /// The version of the worker, and the behavior of its workflows when workers are upgraded.
    pub deployment: WorkerDeploymentOptions,
    /// `true` if the worker's workflows and activities are in traces.
    pub traced: bool,
    /// Number of polls of each kind that wait at the server.
    pub pollers: usize,
    /// The function that adds the worker's workflows and activities.
    pub register: Register,
}

impl fmt::Debug for WorkerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSpec")
            .field("name", &self.name)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl WorkerSpec {
    /// Starts the worker. The worker ends when `stop` is canceled and its work is done:
    /// activities get the time `grace`, then they are canceled. The worker also ends by
    /// itself when the SDK gives up. The receiver gets the result.
    pub(super) fn start(
        self,
        runtime: Arc<CoreRuntime>,
        client: Client,
        grace: Duration,
        stop: CancellationToken,
    ) -> oneshot::Receiver<anyhow::Result<()>> {
        let (ended, end) = oneshot::channel();
        let work = move || -> anyhow::Result<()> {
            // Activities run on a thread beside this one: if one of them computes for
            // long, the runtime moves the others to another thread.
            let tokio = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .context("cannot create a runtime")?;
            let result = tokio.block_on(self.run(&runtime, client, grace, stop));
            // Blocking work of a canceled activity must not hold the thread.
            tokio.shutdown_background();
            result
        };
        // A thread that panics, or is not started, drops the sender, which the receiver
        // sees too.
        let _detached = std::thread::Builder::new()
            .name("almanac-worker".to_owned())
            .spawn(move || {
                let _nobody_waits = ended.send(work());
            });
        end
    }

    async fn run(
        self,
        runtime: &CoreRuntime,
        client: Client,
        grace: Duration,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut builder = WorkerOptions::new(self.queue)
            .deployment_options(self.deployment)
            .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(self.pollers.max(2)))
            .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(self.pollers))
            .sticky_queue_schedule_to_start_timeout(STICKY_LIMIT)
            .graceful_shutdown_period(grace);
        if self.traced {
            builder = builder
                .worker_plugin(readable_trace_header())
                .worker_plugin(OpenTelemetryPlugin::builder().build());
        }
        let mut options = builder.build();
        (self.register)(&client, &mut options)?;
        let core = options
            .to_core_options(client.namespace(), client.identity())
            .map_err(anyhow::Error::msg)
            .and_then(|config| init_worker(runtime, config, client.connection().clone()))
            .context("cannot create the worker")?;
        let core = Arc::new(core);
        options.worker_interceptor(StaleRunEviction::new(client.clone(), &core));
        let mut worker = Worker::new_from_core_options(core, client.options().clone(), options)
            .context("cannot create the worker")?;
        let shutdown = worker.shutdown_handle();
        let stopper = tokio::spawn(async move {
            stop.cancelled().await;
            shutdown();
        });
        let result = worker.run().await;
        stopper.abort();
        Ok(result?)
    }
}
