//! The schedule that a definition asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Project, RUN_WORKFLOW, Revision, ScheduleId};
use serde_json::{Value, json};

use super::{Action, Encryption, Fingerprint, ScheduleValues, base_of};
use crate::definition::{Definition, Program};
use crate::field::{Base, HASH_VERSION};
use crate::record::PinnedDefinition;

/// A definition that has a schedule.
///
/// A pass remembers this for each definition, and computes the [`Desired`] schedule, which takes
/// several times the memory, only while it needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledDefinition {
    project: Arc<Project>,
    definition: Arc<Definition>,
    /// Source of the definition: `path` or `path:line` of its document.
    source: String,
    /// Id of the schedule.
    pub schedule: ScheduleId,
    /// Unmanaged schedules that the schedule replaces. While one of them exists, this schedule is
    /// created paused.
    pub adopts: Vec<ScheduleId>,
    encryption: Encryption,
}

impl ScheduledDefinition {
    /// The definition, with the encryption of the payloads of its schedule. `None` if `definition`
    /// has no `schedule:`.
    pub fn of(
        project: &Arc<Project>,
        definition: &Arc<Definition>,
        source: &str,
        encryption: &Encryption,
    ) -> Option<Self> {
        let schedule = definition.schedule.as_ref()?;
        Some(Self {
            project: Arc::clone(project),
            definition: Arc::clone(definition),
            source: source.to_owned(),
            schedule: project.schedule_id(&definition.id),
            adopts: schedule.adopts.iter().cloned().collect(),
            encryption: encryption.clone(),
        })
    }

    /// Id of the definition.
    pub fn definition(&self) -> &DefinitionId {
        &self.definition.id
    }

    /// Revision of the definition.
    pub fn revision(&self) -> &Revision {
        &self.definition.revision
    }

    /// Type of the workflow that the schedule starts.
    pub fn workflow_type(&self) -> &str {
        match &self.definition.program {
            Program::Workflow(block) => &block.workflow_type,
            Program::Steps(_) => RUN_WORKFLOW,
        }
    }

    /// The schedule that the definition asks for.
    pub fn desired(&self) -> Desired {
        let Some(desired) = Desired::of(&self.project, &self.definition, &self.source) else {
            unreachable!("a scheduled definition has a schedule");
        };
        Desired {
            adopts: self.adopts.clone(),
            ..desired.encrypted(&self.encryption)
        }
    }
}

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
    /// Unmanaged schedules that this schedule replaces. While one of them exists, this schedule is
    /// created paused.
    pub adopts: Vec<ScheduleId>,
}

impl Action {
    /// The workflow that a definition starts, without its arguments.
    pub fn of(project: &Project, definition: &Definition) -> Self {
        let workflow_id = project.run_workflow_id(&definition.id);
        match &definition.program {
            Program::Workflow(block) => Self {
                workflow_type: block.workflow_type.clone(),
                task_queue: block.task_queue.clone(),
                workflow_id,
                options: block.options.clone(),
                retry: block.retry.clone(),
                memo: block.memo.clone(),
                search_attributes: block.search_attributes.clone(),
                encryption: Encryption::None,
            },
            Program::Steps(_) => Self {
                workflow_type: RUN_WORKFLOW.to_owned(),
                task_queue: project.run_queue(),
                workflow_id,
                ..Self::default()
            },
        }
    }
}

impl Desired {
    /// Returns the schedule that `definition` asks for. `None` if the definition has no
    /// `schedule:`.
    pub fn of(project: &Project, definition: &Definition, source: &str) -> Option<Self> {
        let schedule = definition.schedule.as_ref()?;
        let default_input = || schedule.input.iter().cloned().collect::<Vec<_>>();
        let (input, steps) = match &definition.program {
            Program::Workflow(block) => (block.args.clone().unwrap_or_else(default_input), None),
            Program::Steps(steps) => (default_input(), Some(steps.clone())),
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
                action: Action::of(project, definition),
            }),
            adopts: schedule.adopts.iter().cloned().collect(),
        })
    }

    /// The schedule with payloads that are encrypted in this way, if it has any.
    #[must_use]
    pub fn encrypted(mut self, encryption: &Encryption) -> Self {
        if *encryption != self.values.action.encryption && self.values.has_payloads() {
            Arc::make_mut(&mut self.values).action.encryption = encryption.clone();
        }
        self
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
            steps: self.values.definition.as_ref()?.value(),
            signature: None,
        };
        Some(json!({ "definition": definition, "input": self.values.input.first() }))
    }
}
