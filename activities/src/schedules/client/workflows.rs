//! Requests about workflows: their existence, their number, lists and
//! terminations.

use temporalio_client::NamespacedClient;
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, DescribeWorkflowExecutionRequest,
    ListWorkflowExecutionsRequest, TerminateWorkflowExecutionRequest,
};

use super::{PAGE_SIZE, RequestError, Schedules};

/// Workflows as visibility lists them.
#[derive(Debug)]
pub struct WorkflowList {
    /// The workflows, newest first.
    pub entries: Vec<WorkflowExecutionInfo>,
    /// The list is incomplete: there are more workflows.
    pub truncated: bool,
}

impl Schedules {
    /// Returns `true` if a workflow with this id exists, running or not.
    pub async fn has_workflow(&self, id: &str) -> Result<bool, RequestError> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.client.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: id.to_owned(),
                run_id: String::new(),
            }),
        };
        let answer = self
            .send(request, |mut client, request| async move {
                WorkflowService::describe_workflow_execution(&mut client, request).await
            })
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(RequestError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Number of workflows that match a visibility query.
    pub async fn count_workflows(&self, query: String) -> Result<u64, RequestError> {
        let request = CountWorkflowExecutionsRequest {
            namespace: self.client.namespace(),
            query,
        };
        self.send(request, |mut client, request| async move {
            WorkflowService::count_workflow_executions(&mut client, request).await
        })
        .await
        .map(|answer| u64::try_from(answer.count).unwrap_or_default())
    }

    /// The workflows that match a visibility query, from at most the given
    /// number of pages.
    pub async fn list_workflows(
        &self,
        query: &str,
        pages: usize,
    ) -> Result<WorkflowList, RequestError> {
        let mut entries = Vec::new();
        let mut next_page_token = Vec::new();
        for _ in 0..pages {
            let request = ListWorkflowExecutionsRequest {
                namespace: self.client.namespace(),
                page_size: PAGE_SIZE,
                next_page_token,
                query: query.to_owned(),
            };
            let page = self
                .send(request, |mut client, request| async move {
                    WorkflowService::list_workflow_executions(&mut client, request).await
                })
                .await?;
            entries.extend(page.executions);
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                break;
            }
        }
        Ok(WorkflowList {
            entries,
            truncated: !next_page_token.is_empty(),
        })
    }

    /// Terminates the running run of a workflow. Returns `true` if there was
    /// one.
    pub async fn terminate(&self, id: String, reason: &str) -> Result<bool, RequestError> {
        let request = TerminateWorkflowExecutionRequest {
            namespace: self.client.namespace(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: id,
                run_id: String::new(),
            }),
            reason: reason.to_owned(),
            identity: self.client.identity(),
            ..Default::default()
        };
        let answer = self
            .send(request, |mut client, request| async move {
                WorkflowService::terminate_workflow_execution(&mut client, request).await
            })
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(RequestError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
