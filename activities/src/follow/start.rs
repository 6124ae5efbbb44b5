//! The start of the workflow that follows runs.

use almanac_base::names::{FOLLOW_WORKFLOW, Project};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};
use temporalio_common::protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::VersioningOverride;
use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::Override;
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use crate::payload::encode_json;
use crate::schedules::{RequestError, Schedules, request_id};

/// Starts the workflow that follows the runs of a project's definitions, if it is not running.
///
/// A worker that `is_versioned` is one that takes part in worker versioning. The workflow lives long,
/// and must not stay on the version that began it. The SDK states one behavior for all workflows of
/// a task queue, and runs of definitions are pinned, so that this one workflow has an override. It
/// loses the override when it continues as new.
pub async fn start_following(
    schedules: &Schedules,
    project: &Project,
    is_versioned: bool,
) -> Result<(), RequestError> {
    let summary = format!("Starts definitions after the runs of others in project {project}");
    let request = StartWorkflowExecutionRequest {
        workflow_id: project.follow_workflow_id(),
        workflow_type: Some(WorkflowType {
            name: FOLLOW_WORKFLOW.to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: project.run_queue(),
            ..TaskQueue::default()
        }),
        request_id: request_id(),
        workflow_id_reuse_policy: WorkflowIdReusePolicy::AllowDuplicate.into(),
        workflow_id_conflict_policy: WorkflowIdConflictPolicy::UseExisting.into(),
        user_metadata: Some(UserMetadata {
            summary: Some(encode_json(&json!(summary))),
            details: None,
        }),
        versioning_override: is_versioned.then(auto_upgrade),
        ..StartWorkflowExecutionRequest::default()
    };
    let has_run_before = !schedules.start_workflow(request).await?.started;
    if is_versioned && has_run_before {
        let id = project.follow_workflow_id();
        schedules.set_versioning(&id, auto_upgrade()).await?;
    }
    Ok(())
}

/// Lets a workflow move to each new version of the worker deployment.
fn auto_upgrade() -> VersioningOverride {
    VersioningOverride {
        r#override: Some(Override::AutoUpgrade(true)),
        ..VersioningOverride::default()
    }
}
