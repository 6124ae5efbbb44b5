//! Schedule bodies with signed steps, for projects that have a key.

use almanac_base::names::{Project, ScheduleId};
use almanac_core::plan::{Create, Update};
use serde_json::json;
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::Schedules;
use super::wire::{self, Described};

impl Schedules {
    /// The body of a schedule to create.
    pub(super) fn encode_create(&self, create: &Create) -> Schedule {
        let mut run_input = create.run_input();
        if let (Some(keys), Some(input)) = (self.keys(), &mut run_input) {
            keys.sign_input(input);
        }
        wire::encode_create(create, run_input.as_ref())
    }

    /// The body of a changed schedule. Only the steps that the update writes
    /// are signed, never steps that the schedule already has.
    pub(super) fn encode_update(&self, update: &Update, body: &Schedule) -> Schedule {
        let Some(keys) = self.keys() else {
            return wire::encode_update(update, body);
        };
        let mut update = update.clone();
        if let Some(input) = &mut update.run_input {
            keys.sign_input(input);
        }
        wire::encode_update(&update, body)
    }

    /// Reads a described schedule; `None` if it is unmanaged. Steps without a
    /// signature of the project differ from those of any definition, so they
    /// count as drift.
    pub(super) fn live(
        &self,
        project: &Project,
        id: &ScheduleId,
        response: DescribeScheduleResponse,
    ) -> Option<Described> {
        let mut described = wire::live(project, id, response)?;
        if let (Some(keys), Some(steps)) = (self.keys(), &described.live.values.definition) {
            let input = wire::run_input(&described.body);
            if !input.is_some_and(|input| keys.verify_input(&input)) {
                described.live.values.definition = Some(json!({ "unsigned": steps }).into());
            }
        }
        Some(described)
    }
}
