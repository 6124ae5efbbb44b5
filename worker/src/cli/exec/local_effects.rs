//! Effects of a run without a server. Each is a task of this process, with the code of the
//! worker's activities.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::steps::Steps;
use almanac_base::names::DefinitionId;
use almanac_steps::language::Temporal;
use almanac_steps::machine::{Effect, EffectId, Fault, Standard};
use serde_json::Value;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::run_log::{Message, RunLog};

/// Maximum time of a call for which the task states no limit, as on a worker.
const CALL_WITHIN: Duration = Duration::from_mins(5);

/// Result of an effect.
pub(super) type Done = (EffectId, Result<Value, Fault>);

/// The effects of a run that have not ended.
pub(super) struct LocalEffects {
    steps: Arc<Steps>,
    /// The definition that has these steps.
    definition: DefinitionId,
    log: RunLog,
    under_way: BTreeMap<EffectId, CancellationToken>,
    tasks: JoinSet<Done>,
}

impl LocalEffects {
    pub(super) fn new(steps: Arc<Steps>, definition: DefinitionId, log: RunLog) -> Self {
        Self {
            steps,
            definition,
            log,
            under_way: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Starts an effect, with the limits of its task. The machine gets events without an
    /// effect.
    pub(super) fn start(&mut self, id: EffectId, effect: Effect, options: &Temporal) {
        if matches!(effect, Effect::Listen { .. }) {
            return;
        }
        let (steps, stop) = (Arc::clone(&self.steps), CancellationToken::new());
        self.under_way.insert(id, stop.clone());
        let (definition, log) = (self.definition.clone(), self.log);
        let one = options.start_to_close.unwrap_or(CALL_WITHIN);
        let within = options.schedule_to_close.map_or(one, |all| all.min(one));
        self.tasks.spawn(async move {
            let is_command = matches!(effect, Effect::Shell(_));
            let work = perform(&steps, &definition, effect, within, &stop, log);
            let abandoned = async {
                stop.cancelled().await;
                if is_command {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                result = work => (id, result),
                () = abandoned => (id, Err(Standard::Runtime.fault("was given up"))),
            }
        });
    }

    /// Cancels an effect. Its result is ignored.
    pub(super) fn cancel(&mut self, id: EffectId) {
        if let Some(stop) = self.under_way.remove(&id) {
            stop.cancel();
        }
    }

    /// Waits for the next result; `None` if no effect is running.
    pub(super) async fn next(&mut self) -> Option<Done> {
        while let Some(ended) = self.tasks.join_next().await {
            if let Some(done) = self.wanted(ended) {
                return Some(done);
            }
        }
        None
    }

    /// A result that has arrived already.
    pub(super) fn ready(&mut self) -> Option<Done> {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Some(done) = self.wanted(ended) {
                return Some(done);
            }
        }
        None
    }

    /// The result of an effect, unless the effect was canceled.
    fn wanted(&mut self, ended: Result<Done, JoinError>) -> Option<Done> {
        // An effect that panicked has no result: its run would wait for ever.
        let (id, result) = match ended {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.under_way.remove(&id).is_some().then_some((id, result))
    }

    /// Cancels all effects, and waits until the processes that they started have ended.
    pub(super) async fn stop(&mut self) {
        for stop in self.under_way.values() {
            stop.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn perform(
    steps: &Steps,
    definition: &DefinitionId,
    effect: Effect,
    within: Duration,
    stop: &CancellationToken,
    log: RunLog,
) -> Result<Value, Fault> {
    let call = async {
        match effect {
            Effect::Timer { duration } => {
                tokio::time::sleep(duration).await;
                return Ok(Value::Null);
            }
            Effect::Http(request) => steps.http(&request, within).await,
            Effect::OpenApi(request) => steps.openapi(&request, within, 1).await,
            // A command ends its processes before the effect ends.
            Effect::Shell(request) => {
                let run = steps.shell(request, Some(definition), within, stop.cancelled());
                return run.await.map_err(|error| *error.fault);
            }
            Effect::Emit { event } => {
                log.print(&Message::Emits(&event));
                steps
                    .emit(&event, within)
                    .await
                    .map(|_is_published| Value::Null)
            }
            // A run with such an effect is refused before it begins.
            Effect::Activity(_) | Effect::Workflow(_) | Effect::Listen { .. } => {
                let fault = Standard::Configuration.fault("cannot be run without a server");
                return Err(fault);
            }
        }
        .map_err(|error| *error.fault)
    };
    call.await
}
