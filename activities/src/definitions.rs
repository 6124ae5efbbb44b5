//! The activities that read the registry, and the source of the definitions.

#![expect(clippy::unused_async, reason = "activities are asynchronous")]

use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::definition::Program;
use almanac_core::record::PinnedDefinition;
use almanac_core::snapshot::Snapshot;
use almanac_workflows::contracts;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use crate::steps::{StepError, StepKeys};

/// A source of definitions: the registry of this worker.
pub trait DefinitionSource: Send + Sync + 'static {
    /// The current definitions. An operation takes one snapshot and uses it to
    /// its end.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Returns `true` if all definitions have been read once. Before that, an event may seem to
    /// start nothing.
    fn has_been_complete(&self) -> bool;
}

/// Activities that read the registry.
pub struct DefinitionActivities {
    source: Arc<dyn DefinitionSource>,
    keys: Option<StepKeys>,
}

impl DefinitionActivities {
    /// Creates the activities over `source`. They sign the definitions that
    /// they pin with `keys`.
    pub fn new(source: Arc<dyn DefinitionSource>, keys: Option<StepKeys>) -> Self {
        Self { source, keys }
    }
}

#[activities]
impl DefinitionActivities {
    /// The registry's current version of a definition that has steps.
    #[activity(definition = contracts::CurrentDefinition)]
    pub async fn current_definition(
        self: Arc<Self>,
        _ctx: ActivityContext,
        id: DefinitionId,
    ) -> Result<PinnedDefinition, ActivityError> {
        let snapshot = self.source.snapshot();
        let Some(loaded) = snapshot.definitions.get(&id) else {
            return Err(refusal(format!("there is no definition `{id}`")));
        };
        match &loaded.definition.program {
            Program::Steps(steps) => {
                let mut pinned = PinnedDefinition {
                    id,
                    revision: loaded.definition.revision.clone(),
                    steps: steps.value(),
                    signature: None,
                };
                if let Some(keys) = &self.keys {
                    keys.sign(&mut pinned);
                }
                Ok(pinned)
            }
            Program::Workflow(_) => Err(refusal(format!(
                "definition `{id}` has no steps: it starts a workflow"
            ))),
        }
    }

    /// Does nothing. Callers use it to let other runs take their turn.
    #[activity(definition = contracts::Pause)]
    pub async fn pause(self: Arc<Self>, _ctx: ActivityContext) -> Result<(), ActivityError> {
        Ok(())
    }
}

/// Builds a failure that is not retried, since a retry cannot succeed.
fn refusal(message: String) -> ActivityError {
    StepError::configuration(message).into()
}
