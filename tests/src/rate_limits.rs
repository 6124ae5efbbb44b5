//! Limits on the rates of requests, as Temporal Cloud has them.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context;
use prost::Message as _;
use prost_types::Any;
use temporalio_common::protos::google::rpc::Status as RpcStatus;
use temporalio_common::protos::temporal::api::enums::v1::{
    ResourceExhaustedCause, ResourceExhaustedScope,
};
use temporalio_common::protos::temporal::api::errordetails::v1::ResourceExhaustedFailure;
use temporalio_common::protos::temporal::api::workflowservice::v1::execute_multi_operation_request::operation::Operation;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, ExecuteMultiOperationRequest, SignalWithStartWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
};
use tonic::{Code, Status};

/// Number of bytes before a message: a flag for its compression, and its length.
const HEAD_OF_MESSAGE: usize = 5;
/// Type of the error details that say which limit a request exceeds.
const EXHAUSTED: &str = "type.googleapis.com/temporal.api.errordetails.v1.ResourceExhaustedFailure";
/// Methods that start a workflow or create a schedule.
const STARTS: [&str; 4] = [
    "StartWorkflowExecution",
    "SignalWithStartWorkflowExecution",
    "ExecuteMultiOperation",
    "CreateSchedule",
];

/// A limit on the rate of requests, as Temporal Cloud has them.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Parts of methods' names.
    methods: &'static [&'static str],
    rate: Rate,
}

/// A limit on the rate of starts, for each id on its own, as Temporal Cloud has it.
#[derive(Debug)]
pub(crate) struct StartLimit {
    /// Starts in a second.
    per_second: u32,
    rates: BTreeMap<String, Rate>,
    /// Number of starts that the limit refused, by their ids.
    refused: BTreeMap<String, usize>,
}

/// A rate of requests. A burst may have as many requests as a second.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    left: f64,
    filled: Instant,
}

impl Limit {
    /// A limit on requests whose methods contain one of these names.
    pub(crate) fn new(methods: &'static [&'static str], per_second: u32) -> Self {
        let rate = Rate::new(per_second, Instant::now());
        Self { methods, rate }
    }

    /// Takes a request, or returns `false`.
    pub(crate) fn takes(&mut self, method: &str, now: Instant) -> bool {
        !self.methods.iter().any(|part| method.contains(part)) || self.rate.takes(now)
    }
}

impl StartLimit {
    /// A limit on the starts of each id.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            rates: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Number of starts that the limit refused, by their ids.
    pub(crate) fn refused(&self) -> &BTreeMap<String, usize> {
        &self.refused
    }

    /// Takes a start, or returns `false`.
    pub(crate) fn takes(&mut self, id: &str, now: Instant) -> bool {
        let new = || Rate::new(self.per_second, now);
        let rate = self.rates.entry(id.to_owned()).or_insert_with(new);
        let takes = rate.takes(now);
        if !takes {
            *self.refused.entry(id.to_owned()).or_default() += 1;
        }
        takes
    }
}

impl Rate {
    fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            left: per_second,
            filled: now,
        }
    }

    /// Takes a request, or returns `false`.
    fn takes(&mut self, now: Instant) -> bool {
        let more = (now - self.filled).as_secs_f64() * self.per_second;
        self.filled = now;
        self.left = (self.left + more).min(self.per_second);
        let takes = self.left >= 1.0;
        if takes {
            self.left -= 1.0;
        }
        takes
    }
}

/// Returns `true` if requests with this method start a workflow or create a schedule.
pub(crate) fn is_start(method: &str) -> bool {
    STARTS.contains(&method)
}

/// The id of the workflow or the schedule that a request starts or creates. `None` if it does
/// neither.
pub(crate) fn started_id(method: &str, request: &[u8]) -> anyhow::Result<Option<String>> {
    if !is_start(method) {
        return Ok(None);
    }
    let message = request.get(HEAD_OF_MESSAGE..).context("no message")?;
    let workflow = match method {
        "CreateSchedule" => {
            let id = CreateScheduleRequest::decode(message)?.schedule_id;
            return Ok(Some(format!("schedule {id}")));
        }
        "StartWorkflowExecution" => StartWorkflowExecutionRequest::decode(message)?.workflow_id,
        "SignalWithStartWorkflowExecution" => {
            SignalWithStartWorkflowExecutionRequest::decode(message)?.workflow_id
        }
        _ => {
            let all = ExecuteMultiOperationRequest::decode(message)?.operations;
            let mut operations = all.into_iter().filter_map(|one| one.operation);
            let start = operations.find_map(|one| match one {
                Operation::StartWorkflow(start) => Some(start.workflow_id),
                Operation::UpdateWorkflow(_) => None,
            });
            start.context("it starts no workflow")?
        }
    };
    Ok(Some(format!("workflow {workflow}")))
}

/// The server's answer to a start that comes too soon after another one with the same id.
pub(crate) fn too_often(id: &str) -> Status {
    let failure = ResourceExhaustedFailure {
        cause: ResourceExhaustedCause::BusyWorkflow.into(),
        scope: ResourceExhaustedScope::Namespace.into(),
    };
    let details = RpcStatus {
        code: Code::ResourceExhausted.into(),
        message: String::new(),
        details: vec![Any {
            type_url: EXHAUSTED.to_owned(),
            value: failure.encode_to_vec(),
        }],
    };
    let message = format!("{id} is started too often");
    let details = details.encode_to_vec().into();
    Status::with_details(Code::ResourceExhausted, message, details)
}
