//! The activities that read the registry, and the registry as they see it.

#![expect(
    missing_docs,
    reason = "the macro makes items that cannot be documented"
)]
#![expect(
    clippy::unused_async,
    reason = "an activity is asynchronous by contract"
)]

use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::definition::Program;
use almanac_core::record::PinnedDefinition;
use almanac_core::snapshot::Snapshot;
use almanac_workflows::contracts;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use crate::steps::{StepError, StepKeys};

/// Where the definitions come from: this process's registry.
pub trait DefinitionSource: Send + Sync + 'static {
    /// The definitions now. Taken once for each operation.
    fn snapshot(&self) -> Arc<Snapshot>;
}

/// Reads of the registry.
pub struct DefinitionActivities {
    source: Arc<dyn DefinitionSource>,
    keys: Option<StepKeys>,
}

impl DefinitionActivities {
    /// The activities over `source`, which sign what they pin with `keys`.
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
            return Err(refusal(format!("no definition `{id}`")));
        };
        match &loaded.definition.program {
            Program::Steps(steps) => {
                let mut pinned = PinnedDefinition {
                    id,
                    revision: loaded.definition.revision.clone(),
                    steps: steps.clone(),
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

    /// Nothing, for runs that let others have their turn.
    #[activity(definition = contracts::Pause)]
    pub async fn pause(self: Arc<Self>, _ctx: ActivityContext) -> Result<(), ActivityError> {
        Ok(())
    }
}

/// A failure that trying again would not mend.
fn refusal(message: String) -> ActivityError {
    StepError::configuration(message).into()
}
