//! Effects of a run without a server: each is a task of this process, by the
//! code that the worker's activities have.

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

use crate::console;

/// The limit of a call for which the task states none, as on a worker.
const CALL_WITHIN: Duration = Duration::from_mins(5);

/// What an effect came to.
pub(super) type Done = (EffectId, Result<Value, Fault>);

/// The effects of a run that are under way.
pub(super) struct LocalEffects {
    steps: Arc<Steps>,
    /// The definition whose steps these are.
    definition: DefinitionId,
    under_way: BTreeMap<EffectId, CancellationToken>,
    tasks: JoinSet<Done>,
}

impl LocalEffects {
    pub(super) fn new(steps: Arc<Steps>, definition: DefinitionId) -> Self {
        Self {
            steps,
            definition,
            under_way: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Starts an effect, with the limits of its task. Events reach the machine
    /// without one.
    pub(super) fn start(&mut self, id: EffectId, effect: Effect, options: &Temporal) {
        if matches!(effect, Effect::Listen { .. }) {
            return;
        }
        let (steps, stop) = (Arc::clone(&self.steps), CancellationToken::new());
        self.under_way.insert(id, stop.clone());
        let definition = self.definition.clone();
        let one = options.start_to_close.unwrap_or(CALL_WITHIN);
        let within = options.schedule_to_close.map_or(one, |all| all.min(one));
        self.tasks.spawn(async move {
            let is_command = matches!(effect, Effect::Shell(_));
            let work = perform(&steps, &definition, effect, within, &stop);
            let given_up = async {
                stop.cancelled().await;
                if is_command {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                result = work => (id, result),
                () = given_up => (id, Err(Standard::Runtime.fault("was given up"))),
            }
        });
    }

    /// Gives up an effect; its result no longer counts.
    pub(super) fn cancel(&mut self, id: EffectId) {
        if let Some(stop) = self.under_way.remove(&id) {
            stop.cancel();
        }
    }

    /// The result that comes next; none when nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Done> {
        while let Some(ended) = self.tasks.join_next().await {
            if let Some(done) = self.wanted(ended) {
                return Some(done);
            }
        }
        None
    }

    /// A result that is there already.
    pub(super) fn ready(&mut self) -> Option<Done> {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Some(done) = self.wanted(ended) {
                return Some(done);
            }
        }
        None
    }

    /// A result, unless it was given up.
    fn wanted(&mut self, ended: Result<Done, JoinError>) -> Option<Done> {
        // One that panicked has no result: its run would wait for ever.
        let (id, result) = match ended {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.under_way.remove(&id).is_some().then_some((id, result))
    }

    /// Gives up all of them, and waits until what they began is gone.
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
) -> Result<Value, Fault> {
    let call = async {
        match effect {
            Effect::Timer { duration } => {
                tokio::time::sleep(duration).await;
                return Ok(Value::Null);
            }
            Effect::Http(request) => steps.http(&request, within).await,
            Effect::OpenApi(request) => steps.openapi(&request, within, 1).await,
            // It ends what it began before it ends itself.
            Effect::Shell(request) => {
                let run = steps.shell(request, Some(definition), within, stop.cancelled());
                return run.await.map_err(|error| *error.fault);
            }
            Effect::Emit { event } => {
                console::eprint(&format!("           emits      {event}"));
                if !steps.publishes() {
                    return Ok(Value::Null);
                }
                steps.emit(&event, within).await
            }
            // Refused before the run begins.
            Effect::Activity(_) | Effect::Workflow(_) | Effect::Listen { .. } => {
                let fault = Standard::Configuration.fault("cannot be run without a server");
                return Err(fault);
            }
        }
        .map_err(|error| *error.fault)
    };
    call.await
}
