//! The part of `ReconcileSchedules` that probes workers, beside the passes: those that an
//! announcement names, and those that were silent.

use almanac_base::names::Project;
use temporalio_workflow::WorkflowContext;
use temporalio_workflow::workflows::join_all;

use super::pass_loop::{attempt, is_over};
use super::workflow::{ReconcileSchedules, tick};

/// Maximum number of workers that are probed at a time. Half of these places are kept for
/// workers that have answered before, so that announcements in made-up names cannot keep
/// those from being probed.
const LANES: usize = 8;

type Context = WorkflowContext<ReconcileSchedules>;

/// Probes workers for as long as the workflow runs.
pub(super) async fn lanes(ctx: &Context, project: &Project) {
    join_all((0..LANES).map(|place| lane(ctx, project, place < LANES / 2))).await;
}

async fn lane(ctx: &Context, project: &Project, known: bool) {
    let is_due = |s: &ReconcileSchedules| s.coordinator.probe_waits(known) && !is_over(ctx, s);
    while ctx.wait_condition(is_due).await.is_ok() {
        tick(ctx);
        let taken = ctx.state_mut(|s| s.guarded(|m| m.next_probe(known)));
        let Some((worker, input)) = taken.flatten() else {
            // A decision panicked, and would panic again without a change of the state.
            let news = ctx.state(|s| s.coordinator.news());
            if ctx
                .wait_condition(|s| s.coordinator.news() != news)
                .await
                .is_err()
            {
                return;
            }
            continue;
        };
        let answer = attempt(ctx, project, &worker, &input).await;
        tick(ctx);
        ctx.state_mut(|s| s.guarded(|m| m.answer(&worker, &input, answer)));
    }
}
