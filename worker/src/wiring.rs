//! Which of the process's workers can do what.

use std::sync::Arc;

use almanac_activities::definitions::{DefinitionActivities, DefinitionSource};
use almanac_activities::reconcile::{ReconcileActivities, Reconciler};
use almanac_activities::runs::{RunActivities, Runner};
use almanac_activities::schedules::{Pace, Schedules};
use almanac_activities::steps::{Callers, StepActivities, StepKeys, Steps};
use almanac_core::snapshot::Snapshot;
use almanac_workflows::reconcile::ReconcileSchedules;
use almanac_workflows::run::RunDefinition;
use temporalio_sdk::WorkerOptions;

use crate::args::WorkerArgs;
use crate::process::{Shared, WorkerSpec};
use crate::registry::Registry;

impl DefinitionSource for Registry {
    fn snapshot(&self) -> Arc<Snapshot> {
        Self::snapshot(self)
    }
}

/// Lets a workflow refuse updates that are almost as large as the server takes.
///
/// The SDK repeats a refused update in its answer, which is over its own limit
/// then, and would fail that task again and again. What the workflows send
/// themselves fits: they bound it.
fn take_large_updates(options: &mut WorkerOptions) {
    options.disable_payload_error_limit = true;
}

/// The process's three workers; see [`WorkerSpec`].
pub(crate) fn specs(
    shared: &Arc<Shared>,
    args: &WorkerArgs,
    steps: &Arc<Steps>,
    keys: Option<&StepKeys>,
) -> Vec<WorkerSpec> {
    let project = &shared.project;
    let source: Arc<dyn DefinitionSource> = Arc::clone(&shared.registry) as _;
    // One pace for the whole process, whatever becomes of connections.
    let pace = Arc::new(Pace::new(args.rps));
    let concurrency = usize::from(args.reconcile_concurrency);
    let adopts_from = args.adopts_from.clone();
    vec![
        WorkerSpec {
            name: "reconcile",
            queue: project.reconcile_queue(),
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
            pollers: 5,
            register: {
                let (source, pace) = (Arc::clone(&source), Arc::clone(&pace));
                let steps = Arc::clone(steps);
                let keys = keys.cloned();
                let project = project.clone();
                Arc::new(move |client, options| {
                    let schedules = Schedules::new(client.clone(), Arc::clone(&pace));
                    let runner = Runner::new(schedules, project.clone());
                    options.register_workflow::<RunDefinition>()?;
                    take_large_updates(options);
                    options.register_activities(RunActivities::new(Arc::new(runner)));
                    options.register_activities(DefinitionActivities::new(
                        Arc::clone(&source),
                        keys.clone(),
                    ));
                    let callers = Callers::new(client.clone(), project.clone(), keys.clone());
                    let callers = Arc::new(callers);
                    options.register_activities(StepActivities::new(Arc::clone(&steps), callers));
                    Ok(())
                })
            },
        },
        WorkerSpec {
            name: "own",
            queue: project.worker_queue(&shared.worker),
            pollers: 2,
            register: {
                let shared = Arc::clone(shared);
                let adopts_from = adopts_from.clone();
                let keys = keys.cloned();
                Arc::new(move |client, options| {
                    let health = Arc::clone(&shared.health);
                    let reconciler = Reconciler::new(
                        Schedules::new(client.clone(), Arc::clone(&pace)).signing(keys.clone()),
                        shared.project.clone(),
                        Arc::clone(&source),
                        concurrency,
                        move |_| health.full_pass(),
                    )
                    .adopting_from(adopts_from.clone())
                    .answering({
                        let statements = Arc::clone(&shared.statements);
                        move |heard| statements.after(heard)
                    })
                    .watching(Arc::clone(&shared.watch));
                    options.register_activities(ReconcileActivities::new(Arc::new(reconciler)));
                    Ok(())
                })
            },
        },
    ]
}
