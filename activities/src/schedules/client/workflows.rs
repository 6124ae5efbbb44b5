//! Requests about workflows: their existence, their number, lists and
//! terminations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use almanac_core::record::RunMemo;
use prost_types::FieldMask;
use serde_json::Value;
use temporalio_client::NamespacedClient;
use temporalio_client::grpc::{OperatorService, WorkflowService};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::{
    HistoryEventFilterType, IndexedValueType,
};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest;
use temporalio_common::protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_common::protos::temporal::api::workflow::v1::{
    VersioningOverride, WorkflowExecutionInfo, WorkflowExecutionOptions,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse, GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse, QueryWorkflowRequest,
    StartWorkflowExecutionRequest, StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest, UpdateWorkflowExecutionOptionsRequest,
};

use super::{PAGE_SIZE, RequestError, Schedules};
use crate::payload::decode_json;
use crate::schedules::wire::decode_run_memo;

/// Query that every SDK answers with the metadata of a workflow, as JSON.
const METADATA_QUERY: &str = "__temporal_workflow_metadata";

/// Workflows as visibility lists them.
#[derive(Debug)]
pub struct WorkflowList {
    /// The workflows, newest first.
    pub entries: Vec<WorkflowExecutionInfo>,
    /// The list is incomplete: there are more workflows.
    pub truncated: bool,
}

impl Schedules {
    /// Starts a workflow. The request is repeated after a transient failure; its request id lets
    /// the server take the repetition for the same request.
    pub(crate) async fn start_workflow(
        &self,
        request: StartWorkflowExecutionRequest,
    ) -> Result<StartWorkflowExecutionResponse, RequestError> {
        let mut request = StartWorkflowExecutionRequest {
            namespace: self.client.namespace(),
            identity: self.client.identity(),
            ..request
        };
        self.encode(&mut request).await?;
        self.send(request, |mut client, request| async move {
            WorkflowService::start_workflow_execution(&mut client, request).await
        })
        .await
    }

    /// Gives the running execution of a workflow this override of its versioning behavior, unless it
    /// has the override.
    pub(crate) async fn set_versioning(
        &self,
        id: &str,
        wanted: VersioningOverride,
    ) -> Result<(), RequestError> {
        let answer = self.describe_workflow(id).await?;
        let info = answer.workflow_execution_info.unwrap_or_default();
        let live = info
            .versioning_info
            .and_then(|info| info.versioning_override);
        if live.is_some_and(|live| live.r#override == wanted.r#override) {
            return Ok(());
        }
        let request = UpdateWorkflowExecutionOptionsRequest {
            namespace: self.client.namespace(),
            workflow_execution: info.execution,
            workflow_execution_options: Some(WorkflowExecutionOptions {
                versioning_override: Some(wanted),
                ..WorkflowExecutionOptions::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["versioning_override".to_owned()],
            }),
            identity: self.client.identity(),
        };
        self.send(request, |mut client, request| async move {
            WorkflowService::update_workflow_execution_options(&mut client, request).await
        })
        .await
        .map(drop)
    }

    /// The memo of the last run with a workflow id, if no schedule started it. `None` if there is
    /// no such run or memo.
    pub(crate) async fn run_memo(&self, id: &str) -> Result<Option<RunMemo>, RequestError> {
        let answer = match self.describe_workflow(id).await {
            Ok(answer) => answer,
            Err(RequestError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let info = answer.workflow_execution_info.as_ref();
        Ok(decode_run_memo(info.and_then(|info| info.memo.as_ref())))
    }

    async fn describe_workflow(
        &self,
        id: &str,
    ) -> Result<DescribeWorkflowExecutionResponse, RequestError> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.client.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: id.to_owned(),
                run_id: String::new(),
            }),
        };
        self.send(request, |mut client, request| async move {
            WorkflowService::describe_workflow_execution(&mut client, request).await
        })
        .await
    }

    /// Returns `true` if a run that has ended has a next execution: the server retries it.
    pub(crate) async fn has_next_execution(
        &self,
        workflow_id: &str,
        run_id: &str,
    ) -> Result<bool, RequestError> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: self.client.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow_id.to_owned(),
                run_id: run_id.to_owned(),
            }),
            history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
            ..Default::default()
        };
        let answer = self
            .send(request, |mut client, request| async move {
                WorkflowService::get_workflow_execution_history(&mut client, request).await
            })
            .await;
        let history = match answer {
            Ok(answer) => answer.history.unwrap_or_default(),
            Err(RequestError::NotFound) => return Ok(false),
            Err(error) => return Err(error),
        };
        let last = history.events.into_iter().next_back();
        Ok(match last.and_then(|event| event.attributes) {
            // The server shows the end of a retried run so to clients that do not say that they
            // follow retries (`FollowsNextRunID` in its `common/headers`).
            Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(_)) => true,
            Some(Attributes::WorkflowExecutionFailedEventAttributes(failed)) => {
                !failed.new_execution_run_id.is_empty()
            }
            Some(Attributes::WorkflowExecutionTimedOutEventAttributes(timed_out)) => {
                !timed_out.new_execution_run_id.is_empty()
            }
            _ => false,
        })
    }

    /// The names of the namespace's own search attributes that have the type keyword. One try: an
    /// event that starts a run does not wait for more.
    pub(crate) async fn keyword_attributes(&self) -> Result<BTreeSet<String>, RequestError> {
        let request = ListSearchAttributesRequest {
            namespace: self.client.namespace(),
        };
        let answer = self
            .send_tries(
                |_| 1,
                request,
                |mut client, request| async move {
                    OperatorService::list_search_attributes(&mut client, request).await
                },
            )
            .await?;
        let keyword = i32::from(IndexedValueType::Keyword);
        let all = answer.custom_attributes.into_iter();
        Ok(all
            .filter(|(_, of_type)| *of_type == keyword)
            .map(|(name, _)| name)
            .collect())
    }

    /// Returns `true` if a workflow with this id exists, running or not.
    pub async fn has_workflow(&self, id: &str) -> Result<bool, RequestError> {
        match self.describe_workflow(id).await {
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

    /// Number of workflows that match a visibility query, by the name of their
    /// status, such as `TimedOut`.
    pub(crate) async fn count_by_status(
        &self,
        query: &str,
    ) -> Result<BTreeMap<String, u64>, RequestError> {
        let request = CountWorkflowExecutionsRequest {
            namespace: self.client.namespace(),
            query: format!("{query} GROUP BY ExecutionStatus"),
        };
        let answer = self
            .send(request, |mut client, request| async move {
                WorkflowService::count_workflow_executions(&mut client, request).await
            })
            .await?;
        let groups = answer.groups.into_iter().filter_map(|group| {
            let status = decode_json(group.group_values.first()?);
            let count = u64::try_from(group.count).unwrap_or_default();
            Some((status.as_str()?.to_owned(), count))
        });
        Ok(groups.collect())
    }

    /// The workflows that match a visibility query, from at most the given
    /// number of pages.
    pub async fn list_workflows(
        &self,
        query: &str,
        pages: usize,
    ) -> Result<WorkflowList, RequestError> {
        let mut entries = Vec::new();
        let add = |info| entries.push(info);
        let truncated = self.each_workflow(query, pages, add).await?;
        Ok(WorkflowList { entries, truncated })
    }

    /// Gives each workflow that matches a visibility query to `take`, from at
    /// most the given number of pages. Returns `true` if there are more.
    pub(crate) async fn each_workflow(
        &self,
        query: &str,
        pages: usize,
        mut take: impl FnMut(WorkflowExecutionInfo),
    ) -> Result<bool, RequestError> {
        let mut next_page_token = Vec::new();
        for _ in 0..pages {
            let page = self
                .page_of_workflows(query, PAGE_SIZE, next_page_token)
                .await?;
            page.executions.into_iter().for_each(&mut take);
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The newest workflows that match a visibility query, up to `limit`, and `true` if there are
    /// more.
    pub(crate) async fn newest_workflows(
        &self,
        query: &str,
        limit: i32,
    ) -> Result<(Vec<WorkflowExecutionInfo>, bool), RequestError> {
        let page = self.page_of_workflows(query, limit, Vec::new()).await?;
        Ok((page.executions, !page.next_page_token.is_empty()))
    }

    async fn page_of_workflows(
        &self,
        query: &str,
        page_size: i32,
        next_page_token: Vec<u8>,
    ) -> Result<ListWorkflowExecutionsResponse, RequestError> {
        let request = ListWorkflowExecutionsRequest {
            namespace: self.client.namespace(),
            page_size,
            next_page_token,
            query: query.to_owned(),
        };
        self.send(request, |mut client, request| async move {
            WorkflowService::list_workflow_executions(&mut client, request).await
        })
        .await
    }

    /// The time for which the server keeps a workflow after its end. `None` if
    /// the server does not say.
    pub(crate) async fn retention(&self) -> Option<Duration> {
        let described = self.describe_namespace().await;
        let config = described.ok()?.config?;
        let retention = config.workflow_execution_retention_ttl?;
        Duration::try_from(retention).ok()
    }

    /// Asks a run for the details that it shows in the Temporal UI. `None` if the run has none
    /// or does not answer.
    pub(crate) async fn details_of_run(&self, workflow_id: &str, run_id: &str) -> Option<String> {
        let request = QueryWorkflowRequest {
            namespace: self.client.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow_id.to_owned(),
                run_id: run_id.to_owned(),
            }),
            query: Some(WorkflowQuery {
                query_type: METADATA_QUERY.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let answer = self
            .send_tries(
                |_| 1,
                request,
                |mut client, request| async move {
                    WorkflowService::query_workflow(&mut client, request).await
                },
            )
            .await;
        let mut result = answer.ok()?.query_result?;
        self.decode(&mut result).await.ok()?;
        let payloads = result.payloads;
        let metadata: Value = serde_json::from_slice(&payloads.first()?.data).ok()?;
        Some(metadata.get("currentDetails")?.as_str()?.to_owned())
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
