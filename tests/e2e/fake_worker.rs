//! A process whose reconciler only writes down what it is asked.
//!
//! For the tests of the reconcile workflow alone: the server, the workflow and
//! the SDK are real, and Almanac's activities are replaced.

#![expect(dead_code, reason = "the macro makes constants that nobody needs")]
#![expect(clippy::unused_async, reason = "activities are asynchronous")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use almanac_base::names::{self, DefinitionId, Revision, WorkerId};
use almanac_core::record::{
    Announcement, ManualRunInput, Options, PassDone, PassInput, PassOutcome, PinnedDefinition,
    Report, RunAnswer, RunBaseline, RunState, RunStep, WorkerEvent,
};
use almanac_tests::Project;
use almanac_workflows::contracts;
use almanac_workflows::reconcile::ReconcileSchedules;
use almanac_workflows::run::RunDefinition;
use anyhow::Context;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};

/// A fake registry, with the requests that it received.
#[derive(Debug, Default)]
pub(crate) struct FakeWorker {
    holds: Mutex<Revision>,
    asked: Mutex<Vec<PassInput>>,
    done: Mutex<Vec<PassInput>>,
    script: Mutex<VecDeque<Fate>>,
    definitions: Mutex<BTreeMap<DefinitionId, PinnedDefinition>>,
    announcements: Mutex<Option<Vec<Announcement>>>,
    run_steps: Mutex<VecDeque<StepFate>>,
    runs: Mutex<Vec<ManualRunInput>>,
}

/// Outcome of the next step of a manual run.
#[derive(Debug, Clone)]
pub(crate) enum StepFate {
    /// The schedule was described.
    Seen,
    /// The activity fails with this message.
    Fails(&'static str),
    /// The run has ended so.
    Ends(RunState),
}

/// Outcome of the next pass.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// The pass fails with this message.
    Fails(&'static str),
    /// The pass ends because the registry moved to this revision.
    MovesTo(&'static str),
    /// The pass waits for this semaphore.
    WaitsFor(Arc<tokio::sync::Semaphore>),
}

pub(crate) fn revision(text: &str) -> Revision {
    serde_json::from_value(text.into()).unwrap()
}

#[activities]
impl FakeWorker {
    #[activity(definition = contracts::Reconcile)]
    async fn reconcile(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: PassInput,
    ) -> Result<PassOutcome, ActivityError> {
        self.asked.lock().unwrap().push(input.clone());
        let holds = self.holds.lock().unwrap().clone();
        if holds != input.revision {
            return Ok(PassOutcome::Refused {
                holds,
                announcements: self.announcements_after(input.heard),
            });
        }
        let fate = if input.pass == 0 {
            None
        } else {
            self.script.lock().unwrap().pop_front()
        };
        let mut done = PassDone {
            report: Report {
                pass: input.pass,
                revision: holds,
                trigger: input.trigger,
                dry_run: input.dry_run,
                ..Report::default()
            },
            corrections: input.corrections.clone(),
            announcements: self.announcements_after(input.heard),
            ..PassDone::default()
        };
        match fate {
            None => {}
            Some(Fate::Fails(message)) => {
                return Err(ApplicationFailure::new(message).into());
            }
            Some(Fate::MovesTo(moved)) => {
                *self.holds.lock().unwrap() = revision(moved);
                done.interrupted = true;
            }
            Some(Fate::WaitsFor(gate)) => {
                drop(gate.acquire().await);
            }
        }
        self.done.lock().unwrap().push(input);
        Ok(PassOutcome::Done(Box::new(done)))
    }

    #[activity(definition = contracts::CurrentDefinition)]
    async fn current_definition(
        self: Arc<Self>,
        _ctx: ActivityContext,
        id: DefinitionId,
    ) -> Result<PinnedDefinition, ActivityError> {
        let found = self.definitions.lock().unwrap().get(&id).cloned();
        found.ok_or_else(|| {
            ApplicationFailure::non_retryable(format!("no definition `{id}`")).into()
        })
    }

    #[activity(definition = contracts::ManualRun)]
    async fn manual_run(
        self: Arc<Self>,
        _ctx: ActivityContext,
        order: ManualRunInput,
    ) -> Result<RunStep, ActivityError> {
        self.runs.lock().unwrap().push(order);
        match self.run_steps.lock().unwrap().pop_front() {
            Some(StepFate::Seen) => Ok(RunStep::Seen(RunBaseline::default())),
            Some(StepFate::Ends(state)) => Ok(RunStep::Ended(Box::new(RunAnswer {
                state,
                ..RunAnswer::default()
            }))),
            Some(StepFate::Fails(message)) => {
                Err(ApplicationFailure::non_retryable(message.to_owned()).into())
            }
            None => Err(ApplicationFailure::non_retryable("no further step".to_owned()).into()),
        }
    }

    #[activity(definition = contracts::Pause)]
    async fn pause(self: Arc<Self>, _ctx: ActivityContext) -> Result<(), ActivityError> {
        Ok(())
    }
}

impl FakeWorker {
    /// Creates a worker that holds a revision.
    pub(crate) fn holding(text: &str) -> Arc<Self> {
        let fake = Self::default();
        *fake.holds.lock().unwrap() = revision(text);
        Arc::new(fake)
    }

    /// Adds an announcement to the worker's answers. From then on the worker answers its own
    /// announcements, as releases with announcements in answers do.
    pub(crate) fn add_announcement(&self, announcement: &Announcement) {
        let mut announcements = self.announcements.lock().unwrap();
        announcements
            .get_or_insert_default()
            .push(announcement.clone());
    }

    fn announcements_after(&self, heard: u64) -> Option<Vec<Announcement>> {
        let announcements = self.announcements.lock().unwrap();
        let newer = announcements.as_ref()?.iter();
        Some(newer.filter(|one| one.number > heard).cloned().collect())
    }

    /// Changes the files of the worker without an announcement.
    pub(crate) fn edit(&self, text: &str) {
        *self.holds.lock().unwrap() = revision(text);
    }

    /// Sets the outcomes of the next passes.
    pub(crate) fn then(&self, fates: impl IntoIterator<Item = Fate>) {
        self.script.lock().unwrap().extend(fates);
    }

    /// Sets the outcomes of the next steps of manual runs.
    pub(crate) fn run_steps(&self, fates: impl IntoIterator<Item = StepFate>) {
        self.run_steps.lock().unwrap().extend(fates);
    }

    /// The steps of manual runs that it was asked for.
    pub(crate) fn runs(&self) -> Vec<ManualRunInput> {
        self.runs.lock().unwrap().clone()
    }

    /// A definition that it answers.
    pub(crate) fn define(&self, definition: PinnedDefinition) {
        let id = definition.id.clone();
        self.definitions.lock().unwrap().insert(id, definition);
    }

    /// The passes that it did.
    pub(crate) fn done(&self) -> Vec<PassInput> {
        self.done.lock().unwrap().clone()
    }

    /// The passes it was asked for, probes left out.
    pub(crate) fn passes(&self) -> Vec<PassInput> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|input| input.pass > 0)
            .cloned()
            .collect()
    }
}

/// The threads of one process.
pub(crate) struct Process {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    /// Serves the project's reconcile queue and its run queue.
    pub(crate) fn workflows(project: &Project, fake: &Arc<FakeWorker>) -> anyhow::Result<Self> {
        let name: names::Project = project.name().parse()?;
        let runs = WorkerOptions::new(name.run_queue())
            .register_workflow::<RunDefinition>()?
            .register_activity::<fake_worker::CurrentDefinition>(Arc::clone(fake))
            .register_activity::<fake_worker::Pause>(Arc::clone(fake))
            .register_activity::<fake_worker::ManualRun>(Arc::clone(fake))
            .build();
        Self::start(project, vec![Self::reconciles(&name)?, runs])
    }

    /// Serves the project's reconcile queue alone.
    pub(crate) fn reconcile_workflow(project: &Project) -> anyhow::Result<Self> {
        let name: names::Project = project.name().parse()?;
        Self::start(project, vec![Self::reconciles(&name)?])
    }

    fn reconciles(project: &names::Project) -> anyhow::Result<WorkerOptions> {
        Ok(WorkerOptions::new(project.reconcile_queue())
            .register_workflow::<ReconcileSchedules>()?
            .build())
    }

    /// The same, but it remembers no workflow: each task of one begins with a
    /// replay of all that was before.
    pub(crate) fn forgetful(
        project: &Project,
        fake: &Arc<FakeWorker>,
        activities: impl FnOnce(&mut WorkerOptions),
    ) -> anyhow::Result<Self> {
        let name: names::Project = project.name().parse()?;
        let mut runs = WorkerOptions::new(name.run_queue())
            .register_workflow::<RunDefinition>()?
            .register_activity::<fake_worker::CurrentDefinition>(Arc::clone(fake))
            .register_activity::<fake_worker::Pause>(Arc::clone(fake))
            .max_cached_workflows(0_usize)
            .build();
        activities(&mut runs);
        Self::start(project, vec![runs])
    }

    /// Serves the queue of one worker.
    pub(crate) fn worker(
        project: &Project,
        id: &str,
        fake: &Arc<FakeWorker>,
    ) -> anyhow::Result<Self> {
        let name: names::Project = project.name().parse()?;
        let queue = name.worker_queue(&WorkerId::new(id));
        let options = WorkerOptions::new(queue)
            .register_activity::<fake_worker::Reconcile>(Arc::clone(fake))
            .graceful_shutdown_period(Duration::from_millis(100))
            .build();
        Self::start(project, vec![options])
    }

    fn start(project: &Project, workers: Vec<WorkerOptions>) -> anyhow::Result<Self> {
        let address = project.address().to_owned();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime
                .block_on(serve(&address, workers, stopped, &ready))
                .unwrap();
        });
        is_ready.recv().context("the process did not start")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(
    address: &str,
    workers: Vec<WorkerOptions>,
    stopped: tokio::sync::oneshot::Receiver<()>,
    ready: &mpsc::Sender<()>,
) -> anyhow::Result<()> {
    let runtime = Runtime::from_current_tokio(temporalio_sdk::runtime::RuntimeOptions::default())?;
    let target = Url::parse(&format!("http://{address}"))?;
    let connection = Connection::connect(ConnectionOptions::new(target).build()).await?;
    let client = Client::new(connection, ClientOptions::new("default").build())?;
    let mut workers: Vec<Worker> = workers
        .into_iter()
        .map(|options| Worker::new(&runtime, client.clone(), options))
        .collect::<Result<_, _>>()?;
    let shutdowns: Vec<_> = workers.iter().map(Worker::shutdown_handle).collect();
    ready.send(())?;
    let stopping = async {
        drop(stopped.await);
        for shutdown in &shutdowns {
            shutdown();
        }
    };
    let running = futures::future::join_all(workers.iter_mut().map(Worker::run));
    let (results, ()) = tokio::join!(running, stopping);
    for result in results {
        result?;
    }
    Ok(())
}

/// The announcement of a worker.
pub(crate) fn announcement_of(
    worker: &str,
    event: WorkerEvent,
    previous: Option<&str>,
    holds: &str,
) -> Announcement {
    Announcement {
        worker: WorkerId::new(worker),
        number: 0,
        event,
        previous: previous.map(revision),
        revision: revision(holds),
        options: Options::default(),
        version: "test".to_owned(),
        changed: None,
        definitions: almanac_core::record::DefinitionCounts::default(),
        event_types: almanac_core::record::DefinitionCounts::default(),
    }
}
