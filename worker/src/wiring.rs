//! Checks the configuration, and builds the process's workers and the parts that they share.

use std::sync::Arc;

use almanac_activities::definitions::{DefinitionActivities, DefinitionSource};
use almanac_activities::follow::{FollowActivities, Follower};
use almanac_activities::manual_runs::{ManualRunActivities, ManualRunner};
use almanac_activities::reconcile::{HEARTBEAT, ReconcileActivities, Reconciler};
use almanac_activities::router::EmittedEvents;
use almanac_activities::schedules::{RateLimiter, Schedules};
use almanac_activities::steps::{CallerCheck, StepActivities, StepKeys, Steps};
use almanac_base::names::Project;
use almanac_core::snapshot::Snapshot;
use almanac_workflows::follow::FollowRuns;
use almanac_workflows::reconcile::ReconcileSchedules;
use almanac_workflows::run::RunDefinition;
use anyhow::Context as _;
use temporalio_common::worker::VersioningBehavior;
use temporalio_sdk::WorkerOptions;

use crate::args::WorkerArgs;
use crate::backend::Shared;
use crate::deployment::{self, DeploymentVersion};
use crate::http::{self, Authority};
use crate::process::{AnnouncementLog, Parts, WorkerSpec};
use crate::registrations::Registrations;
use crate::registry::Registry;

impl DefinitionSource for Registry {
    fn has_been_complete(&self) -> bool {
        Self::has_been_complete(self)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Self::snapshot(self)
    }
}

/// Lets a workflow refuse updates that are almost as large as the server takes.
///
/// The SDK repeats a refused update in its answer. The answer would be over the SDK's own
/// limit, and the workflow task would fail again and again. The workflows bound the size of
/// what they send themselves.
fn take_large_updates(options: &mut WorkerOptions) {
    options.disable_payload_error_limit = true;
}

/// Checks the configuration and builds the parts of the process: the permissions of the HTTP
/// API, the permissions of steps, and the workers. Returns an error if the configuration is
/// wrong.
pub(crate) fn parts(
    project: &Project,
    args: &WorkerArgs,
    registrations: Registrations,
) -> anyhow::Result<Parts> {
    let authority = Authority::open(&args.auth)?;
    let steps = Arc::new(args.steps.open()?);
    for secret in steps.unbound_secrets() {
        tracing::warn!(
            secret,
            "the secret may be sent to any host; hint: --secret NAME=SOURCE@HOST binds it to a host"
        );
    }
    let events = args.nats_stream.settings(&args.steps.nats)?;
    if let Some(events) = &events {
        events.check(project).context("--nats-subject")?;
    }
    let keys: Result<Vec<_>, _> = args.steps_key.iter().cloned().collect();
    let keys = keys.and_then(|keys| StepKeys::open(project, &keys));
    let keys = keys.context("--steps-key")?;
    let version = args.deployment_version(!registrations.is_empty())?;
    let webhook_secrets = args.webhooks.open().context("--webhook-secret")?;
    let (args, to_call) = (args.clone(), Arc::clone(&steps));
    let of_workers = version.clone();
    Ok(Parts {
        steps,
        keys: keys.clone(),
        version,
        events,
        serve: Box::new(move |listener, shared, stop| {
            Box::pin(http::serve(
                listener,
                shared,
                authority,
                webhook_secrets,
                stop,
            ))
        }),
        specs: Box::new(move |shared, announcement_log| {
            specs(
                shared,
                announcement_log,
                &args,
                &to_call,
                keys.as_ref(),
                of_workers.as_ref(),
                registrations,
            )
        }),
    })
}

/// The process's three workers; see [`WorkerSpec`].
fn specs(
    shared: &Arc<Shared>,
    announcement_log: &Arc<AnnouncementLog>,
    args: &WorkerArgs,
    steps: &Arc<Steps>,
    keys: Option<&StepKeys>,
    version: Option<&DeploymentVersion>,
    registrations: Registrations,
) -> Vec<WorkerSpec> {
    let project = &shared.project;
    let source: Arc<dyn DefinitionSource> = Arc::clone(&shared.registry) as _;
    // The whole process shares one rate limit, even across connections.
    let rate_limiter = Arc::new(RateLimiter::new(args.rps));
    let concurrency = usize::from(args.reconcile_concurrency);
    let adopts_from = args.adopts_from.clone();
    vec![
        WorkerSpec {
            name: "reconcile",
            queue: project.reconcile_queue(),
            deployment: deployment::options(version, VersioningBehavior::AutoUpgrade),
            traced: false,
            pollers: 2,
            register: Arc::new(|_, options| {
                options.register_workflow::<ReconcileSchedules>()?;
                take_large_updates(options);
                Ok(())
            }),
        },
        WorkerSpec {
            name: "run",
            queue: project.run_queue(),
            deployment: deployment::options(version, VersioningBehavior::Pinned),
            traced: args.otlp_endpoint.is_some(),
            pollers: 5,
            register: {
                let (source, rate_limiter) = (Arc::clone(&source), Arc::clone(&rate_limiter));
                let steps = Arc::clone(steps);
                let keys = keys.cloned();
                let project = project.clone();
                let router = Arc::clone(&shared.events);
                let health = Arc::clone(&shared.health);
                Arc::new(move |client, options| {
                    let schedules = Schedules::new(client.clone(), Arc::clone(&rate_limiter));
                    let emitted = EmittedEvents::new(
                        Arc::clone(&router),
                        Schedules::new(client.clone(), Arc::new(RateLimiter::new(None))),
                    );
                    let runner = ManualRunner::new(schedules, project.clone());
                    let follower = Follower::new(
                        project.clone(),
                        Arc::clone(&source),
                        Arc::clone(&router),
                        Schedules::new(client.clone(), Arc::new(RateLimiter::new(None))),
                    );
                    options.register_workflow::<RunDefinition>()?;
                    options.register_workflow::<FollowRuns>()?;
                    let health = Arc::clone(&health);
                    options.register_activities(FollowActivities::new(
                        Arc::new(follower),
                        move || health.is_stopping(),
                    ));
                    take_large_updates(options);
                    options.register_activities(ManualRunActivities::new(Arc::new(runner)));
                    options.register_activities(DefinitionActivities::new(
                        Arc::clone(&source),
                        keys.clone(),
                    ));
                    let caller_check =
                        CallerCheck::new(client.clone(), project.clone(), keys.clone());
                    let caller_check = Arc::new(caller_check);
                    options.register_activities(StepActivities::new(
                        Arc::clone(&steps),
                        caller_check,
                        Arc::new(emitted),
                    ));
                    registrations.register(options)
                })
            },
        },
        WorkerSpec {
            name: "own",
            queue: project.worker_queue(&shared.worker),
            // The queue of one process is no part of a worker deployment, where it would stay known
            // after the process. Temporal sends its tasks to this process in any case.
            deployment: deployment::options(None, VersioningBehavior::Unspecified),
            traced: false,
            pollers: 2,
            register: {
                let shared = Arc::clone(shared);
                let announcement_log = Arc::clone(announcement_log);
                let adopts_from = adopts_from.clone();
                let keys = keys.cloned();
                Arc::new(move |client, options| {
                    let health = Arc::clone(&shared.health);
                    let reconciler = Reconciler::new(
                        Schedules::new(client.clone(), Arc::clone(&rate_limiter))
                            .signing(keys.clone()),
                        shared.project.clone(),
                        Arc::clone(&source),
                        concurrency,
                        move |_| health.full_pass(),
                    )
                    .adopting_from(adopts_from.clone())
                    .answering({
                        let announcement_log = Arc::clone(&announcement_log);
                        move |heard| announcement_log.after(heard)
                    })
                    .monitoring_with(Arc::clone(&shared.monitor))
                    .naming_in(Arc::clone(&shared.attention));
                    let health = Arc::clone(&shared.health);
                    options.register_activities(ReconcileActivities::new(
                        Arc::new(reconciler),
                        move || health.is_stopping(),
                    ));
                    // The SDK sends fewer heartbeats by itself.
                    options.max_heartbeat_throttle_interval = HEARTBEAT;
                    Ok(())
                })
            },
        },
    ]
}
