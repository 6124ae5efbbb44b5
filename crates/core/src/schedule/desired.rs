//! The schedule that a definition asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Project, RUN_WORKFLOW, Revision, ScheduleId};
use serde_json::{Value, json};

use super::{Action, Fingerprint, ScheduleValues, base_of};
use crate::definition::{Definition, Program};
use crate::field::{Base, HASH_VERSION};
use crate::record::PinnedDefinition;

/// The schedule that a definition asks for, without any override.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub definition: DefinitionId,
    pub schedule: ScheduleId,
    /// Source of the definition: `path` or `path:line` of its document.
    pub source: String,
    pub revision: Revision,
    /// The `cron` strings as written, for display.
    pub cron: Vec<String>,
    /// Values that the definition states, including `paused`. A plan shares them.
    pub values: Arc<ScheduleValues>,
    /// Unmanaged schedule that this schedule replaces. While the unmanaged schedule exists, this
    /// schedule is created paused.
    pub adopts: Option<ScheduleId>,
}

impl Desired {
    /// Returns the schedule that `definition` asks for. `None` if the definition has no
    /// `schedule:`.
    pub fn of(project: &Project, definition: &Definition, source: &str) -> Option<Self> {
        let schedule = definition.schedule.as_ref()?;
        let default_input = || schedule.input.iter().cloned().collect::<Vec<_>>();
        let workflow_id = project.run_workflow_id(&definition.id);
        let (input, steps, action) = match &definition.program {
            Program::Workflow(block) => (
                block.args.clone().unwrap_or_else(default_input),
                None,
                Action {
                    workflow_type: block.workflow_type.clone(),
                    task_queue: block.task_queue.clone(),
                    workflow_id,
                    options: block.options.clone(),
                    retry: block.retry.clone(),
                    memo: block.memo.clone(),
                    search_attributes: block.search_attributes.clone(),
                },
            ),
            Program::Steps(steps) => (
                default_input(),
                Some(steps.clone()),
                Action {
                    workflow_type: RUN_WORKFLOW.to_owned(),
                    task_queue: project.run_queue(),
                    workflow_id,
                    ..Action::default()
                },
            ),
        };
        Some(Self {
            definition: definition.id.clone(),
            schedule: project.schedule_id(&definition.id),
            source: source.to_owned(),
            revision: definition.revision.clone(),
            cron: schedule.cron.clone(),
            values: Arc::new(ScheduleValues {
                spec: schedule.spec.clone(),
                overlap_policy: schedule.overlap_policy,
                catchup_window: schedule.catchup_window,
                pause_on_failure: schedule.pause_on_failure,
                max_actions: schedule.max_actions,
                paused: !(definition.enabled && schedule.enabled),
                input,
                definition: steps,
                action,
            }),
            adopts: schedule.adopts.clone(),
        })
    }

    /// Hashes of the definition's values, as this release writes them.
    pub fn base(&self) -> Base {
        base_of(HASH_VERSION, &self.values).unwrap_or_default()
    }

    /// Fingerprint of a schedule that is exactly as the definition states, without any override.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.base(), None, &BTreeSet::new(), &BTreeSet::new())
    }

    /// The only argument of the started `RunDefinition`, as JSON: the steps with their input,
    /// pinned. `None` for a definition without steps.
    pub fn run_input(&self) -> Option<Value> {
        let definition = PinnedDefinition {
            id: self.definition.clone(),
            revision: self.revision.clone(),
            steps: Value::clone(self.values.definition.as_ref()?),
            signature: None,
        };
        Some(json!({ "definition": definition, "input": self.values.input.first() }))
    }
}
