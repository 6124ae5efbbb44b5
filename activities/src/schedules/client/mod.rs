//! Raw schedule requests.
//!
//! The SDK's schedule API drops the conflict token, memos and limits, and ends
//! a listing at the first entry that it cannot decode. The requests here do
//! none of that.

mod failure;
mod times;
mod version;
mod workflows;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use opentelemetry::trace::FutureExt as _;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::request_extensions::RetryConfigForCall;
use temporalio_client::{Client, NamespacedClient, RetryOptions};
use temporalio_common::payload_visitor::PayloadVisitable;
use temporalio_common::protos::temporal::api::common::v1::Memo;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, ScheduleListEntry, SchedulePatch,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DescribeNamespaceRequest,
    DescribeNamespaceResponse, DescribeScheduleRequest, DescribeScheduleResponse,
    ListSchedulesRequest, ListSchedulesResponse, PatchScheduleRequest, UpdateScheduleRequest,
};
use tokio::sync::OnceCell;
use tonic::{Code, Request, Status};

use failure::{Exhausted, RetryBudget, is_migrating};
pub use failure::{RequestError, missing_namespace};
pub use times::MATCHING_LIMIT;
pub use workflows::WorkflowList;

use super::{ListEntry, RateLimiter, wire};
use crate::blocking::compute;
use crate::codec::{decode_found, encode_fresh};
use crate::jitter::jittered;
use crate::spans;
use crate::steps::StepKeys;

/// Maximum number of entries that the server returns in a page of a list.
const PAGE_SIZE: i32 = 1000;
/// Maximum time for one try of a request.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Additional time for an answer that has begun to arrive.
const GRACE: Duration = Duration::from_secs(1);
/// Maximum time for all tries of a request, without the waits between them. A
/// request that runs into its timeout is tried twice.
const TRIES_TIMEOUT: Duration = Duration::from_secs(15);
/// Wait before the second try; the wait doubles with each further try.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Maximum wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Wait before a schedule that was not found is described again.
const NOT_FOUND_WAIT: Duration = Duration::from_millis(300);

/// Result of [`Schedules::delete_owned`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The schedule was deleted.
    Deleted,
    /// The schedule did not exist.
    Absent,
    /// The schedule belongs to another owner, and was not deleted.
    NotOwned,
}

/// The schedules of one namespace.
#[derive(Clone)]
pub struct Schedules {
    client: Client,
    rate_limiter: Arc<RateLimiter>,
    drops_due_runs: Arc<OnceCell<bool>>,
    keys: Option<StepKeys>,
}

impl std::fmt::Debug for Schedules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedules")
            .field("namespace", &self.client.namespace())
            .field("pace", &self.rate_limiter)
            .finish_non_exhaustive()
    }
}

impl Schedules {
    /// Creates access to the schedules that `client` reaches, at the pace of
    /// `rate_limiter`.
    pub fn new(client: Client, rate_limiter: Arc<RateLimiter>) -> Self {
        Self {
            client,
            rate_limiter,
            drops_due_runs: Arc::default(),
            keys: None,
        }
    }

    /// Adds the keys that sign the steps it writes. Steps without a valid
    /// signature then count as drift.
    #[must_use]
    pub fn signing(mut self, keys: Option<StepKeys>) -> Self {
        self.keys = keys;
        self
    }

    pub(super) fn keys(&self) -> Option<&StepKeys> {
        self.keys.as_ref()
    }

    /// The underlying client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The rate limiter of the requests.
    pub fn rate_limiter(&self) -> &RateLimiter {
        &self.rate_limiter
    }

    /// Lists every schedule whose id begins with the project's prefix, managed
    /// or not. If a page fails, the whole list fails: a partial list would be
    /// wrong.
    pub async fn list(&self, project: &Project) -> Result<Vec<ListEntry>, RequestError> {
        self.list_as(project, |entry| entry).await
    }

    /// Lists the same schedules, each as what `of` makes of it. Page by page: the entries need not
    /// be in memory together.
    pub(super) async fn list_as<T>(
        &self,
        project: &Project,
        mut of: impl FnMut(ListEntry) -> T,
    ) -> Result<Vec<T>, RequestError> {
        let query = format!("ScheduleId STARTS_WITH '{}'", project.schedule_prefix());
        let read = |entry| of(ListEntry::of(project, entry));
        self.list_by(&query, read).await
    }

    /// Lists the schedules of the namespace that match a visibility query. An
    /// empty query matches all.
    pub async fn list_matching(&self, query: &str) -> Result<Vec<ScheduleListEntry>, RequestError> {
        self.list_by(query, |entry| entry).await
    }

    async fn list_by<T>(
        &self,
        query: &str,
        mut of: impl FnMut(ScheduleListEntry) -> T,
    ) -> Result<Vec<T>, RequestError> {
        let mut entries = Vec::new();
        let mut page = self.page(query, Vec::new()).await?;
        loop {
            let read = async {
                let listed = std::mem::take(&mut page.schedules);
                // Room for just these: twice as much would stay reserved for the whole pass.
                entries.reserve_exact(listed.len());
                compute(|| entries.extend(listed.into_iter().map(&mut of)));
            };
            // An empty page with a token is not the last page.
            if page.next_page_token.is_empty() {
                read.await;
                return Ok(entries);
            }
            // The next page is requested while this page is read.
            let next = self.page(query, page.next_page_token.clone());
            let (next, ()) = futures::join!(next, read);
            page = next?;
        }
    }

    async fn page(
        &self,
        query: &str,
        next_page_token: Vec<u8>,
    ) -> Result<ListSchedulesResponse, RequestError> {
        self.page_of(PAGE_SIZE, query, next_page_token).await
    }

    async fn page_of(
        &self,
        size: i32,
        query: &str,
        next_page_token: Vec<u8>,
    ) -> Result<ListSchedulesResponse, RequestError> {
        let request = ListSchedulesRequest {
            namespace: self.client.namespace(),
            maximum_page_size: size,
            next_page_token,
            query: query.to_owned(),
        };
        self.send(request, |mut client, request| async move {
            WorkflowService::list_schedules(&mut client, request).await
        })
        .await
    }

    /// Describes a schedule. While the server moves it to its other scheduler, neither of the two
    /// may have it for a moment. So the server has to say twice that it does not exist.
    pub async fn describe(
        &self,
        id: &ScheduleId,
    ) -> Result<DescribeScheduleResponse, RequestError> {
        let mut is_first = true;
        loop {
            match Box::pin(self.describe_once(id)).await {
                Err(RequestError::NotFound) if is_first => {
                    is_first = false;
                    tokio::time::sleep(NOT_FOUND_WAIT).await;
                }
                answer => return answer,
            }
        }
    }

    /// Describes a schedule that need not exist: the server's first answer counts.
    ///
    /// An answer without a schedule is an error: a pass would take it for an empty schedule and
    /// write over it. So is an answer with a payload that cannot be decrypted.
    pub(crate) async fn describe_once(
        &self,
        id: &ScheduleId,
    ) -> Result<DescribeScheduleResponse, RequestError> {
        let request = DescribeScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
        };
        let mut response = self
            .send(request, |mut client, request| async move {
                WorkflowService::describe_schedule(&mut client, request).await
            })
            .await?;
        if response.schedule.is_none() {
            return Err(RequestError::Undecodable("it has no schedule"));
        }
        self.decode(&mut response).await?;
        match wire::undecoded(&response) {
            Some(reason) => Err(RequestError::Encrypted(reason)),
            None => Ok(response),
        }
    }

    /// Decodes the payloads of an answer. Those that cannot be decrypted stay as they are.
    pub(crate) async fn decode<M: PayloadVisitable>(
        &self,
        message: &mut M,
    ) -> Result<(), RequestError> {
        let codec = self.client.options().data_converter.codec();
        let decoded = decode_found(message, codec).await;
        decoded.map_err(|error| RequestError::Unavailable(error.to_string()))
    }

    /// Encodes the payloads of a request.
    async fn encode<M: PayloadVisitable>(&self, message: &mut M) -> Result<(), RequestError> {
        let codec = self.client.options().data_converter.codec();
        let encoded = encode_fresh(message, codec).await;
        encoded.map_err(|error| RequestError::Unavailable(error.to_string()))
    }

    /// The definition of the project that a schedule belongs to, as the list
    /// says. A list may name an id twice; both entries must then name the same
    /// definition.
    async fn owner_by_list(
        &self,
        project: &Project,
        id: &ScheduleId,
    ) -> Result<Option<DefinitionId>, RequestError> {
        let listed = self.list_matching(&format!("ScheduleId = '{id}'")).await?;
        let owners = listed
            .iter()
            .filter(|entry| entry.schedule_id == id.as_str())
            .map(|entry| wire::owner_of(project, id, entry.memo.as_ref()));
        Ok(owners
            .reduce(|a, b| if a == b { a } else { None })
            .flatten())
    }

    /// Describes the namespace. A failed request is not repeated.
    pub(super) async fn describe_namespace(
        &self,
    ) -> Result<DescribeNamespaceResponse, RequestError> {
        let request = DescribeNamespaceRequest {
            namespace: self.client.namespace(),
            ..Default::default()
        };
        self.send_tries(
            |_| 1,
            request,
            |mut client, request| async move {
                WorkflowService::describe_namespace(&mut client, request).await
            },
        )
        .await
    }

    /// Fails if the namespace does not exist. If the server does not say, for
    /// example to a caller without the permission to ask, the result is no
    /// error.
    pub async fn check_namespace(&self) -> Result<(), RequestError> {
        let described = self.describe_namespace().await;
        match described {
            Err(error @ RequestError::NoNamespace(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Fails if the server does not serve requests now. Asks for the shortest
    /// possible list.
    pub async fn check_service(&self) -> Result<(), RequestError> {
        self.page_of(1, "", Vec::new()).await.map(drop)
    }

    /// Deletes a schedule if its description says that the project owns it. If
    /// the schedule cannot be described, the list decides, read right before
    /// the deletion. Callers have seen the schedule in a list before.
    pub async fn delete_owned(
        &self,
        project: &Project,
        id: &ScheduleId,
    ) -> Result<Deletion, RequestError> {
        let is_owned = match self.describe(id).await {
            Ok(response) => wire::owner_of(project, id, response.memo.as_ref()).is_some(),
            Err(RequestError::NotFound) => return Ok(Deletion::Absent),
            Err(error @ RequestError::NoNamespace(_)) => return Err(error),
            // A server that is away does not answer the list request either.
            Err(error) => match self.owner_by_list(project, id).await? {
                Some(_) => true,
                None => return Err(error),
            },
        };
        if !is_owned {
            return Ok(Deletion::NotOwned);
        }
        self.delete(id).await?;
        Ok(Deletion::Deleted)
    }

    /// Creates a schedule with a memo of its own.
    pub async fn create(
        &self,
        id: &ScheduleId,
        schedule: Schedule,
        memo: Memo,
        request_id: String,
    ) -> Result<(), RequestError> {
        let mut request = CreateScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
            schedule: Some(schedule),
            memo: Some(memo),
            identity: self.client.identity(),
            request_id,
            ..Default::default()
        };
        self.encode(&mut request).await?;
        self.send(request, |mut client, request| async move {
            WorkflowService::create_schedule(&mut client, request).await
        })
        .await
        .map(drop)
    }

    /// Replaces the body of a schedule if it has not changed since
    /// `conflict_token` was read. One server answers a stale token with an
    /// error. The other reports success and writes nothing, so read the
    /// schedule back.
    pub async fn update(
        &self,
        id: &ScheduleId,
        schedule: Schedule,
        conflict_token: Vec<u8>,
        request_id: String,
    ) -> Result<(), RequestError> {
        let mut request = UpdateScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
            schedule: Some(schedule),
            conflict_token,
            identity: self.client.identity(),
            request_id,
            ..Default::default()
        };
        self.encode(&mut request).await?;
        self.send(request, |mut client, request| async move {
            WorkflowService::update_schedule(&mut client, request).await
        })
        .await
        .map(drop)
    }

    /// Triggers or backfills. On one of the servers, patches overwrite one
    /// another: send only one at a time for a schedule. The request is repeated
    /// only if the server says that it did not take it, since a second patch
    /// starts another run.
    pub async fn patch(
        &self,
        id: &ScheduleId,
        patch: SchedulePatch,
        request_id: String,
    ) -> Result<(), RequestError> {
        let request = PatchScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
            patch: Some(patch),
            identity: self.client.identity(),
            request_id,
        };
        let tries = |status: &Status| {
            if status.code() == Code::ResourceExhausted || is_migrating(status) {
                RetryBudget::Many.tries()
            } else {
                1
            }
        };
        self.send_tries(tries, request, |mut client, request| async move {
            WorkflowService::patch_schedule(&mut client, request).await
        })
        .await
        .map(drop)
    }

    /// Deletes a schedule. A schedule that does not exist counts as success.
    pub async fn delete(&self, id: &ScheduleId) -> Result<(), RequestError> {
        let request = DeleteScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
            identity: self.client.identity(),
        };
        let result = self
            .send(request, |mut client, request| async move {
                WorkflowService::delete_schedule(&mut client, request).await
            })
            .await;
        match result {
            Ok(_) | Err(RequestError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a request at its turn, and again after transient failures. Writes
    /// are safe to repeat: each carries a request id or a conflict token, or
    /// ends in a state that is read back.
    async fn send<Req, Res, Sent>(
        &self,
        request: Req,
        send: impl Fn(Client, Request<Req>) -> Sent,
    ) -> Result<Res, RequestError>
    where
        Req: Clone,
        Sent: Future<Output = Result<tonic::Response<Res>, Status>>,
    {
        let tries = |status: &Status| RetryBudget::of(status).tries();
        self.send_tries(tries, request, send).await
    }

    /// Sends a request at its turn, and again after a failure, up to the number
    /// of tries that `tries` gives for this failure. All of it is one span.
    async fn send_tries<Req, Res, Sent>(
        &self,
        tries: impl Fn(&Status) -> u32,
        request: Req,
        send: impl Fn(Client, Request<Req>) -> Sent,
    ) -> Result<Res, RequestError>
    where
        Req: Clone,
        Sent: Future<Output = Result<tonic::Response<Res>, Status>>,
    {
        let span = spans::request::<Req>();
        let answer = self
            .try_to_send(tries, request, send)
            .with_context(span.clone())
            .await;
        if let Err(error) = &answer {
            spans::fail(&span, error.kind());
        }
        answer
    }

    async fn try_to_send<Req, Res, Sent>(
        &self,
        tries: impl Fn(&Status) -> u32,
        request: Req,
        send: impl Fn(Client, Request<Req>) -> Sent,
    ) -> Result<Res, RequestError>
    where
        Req: Clone,
        Sent: Future<Output = Result<tonic::Response<Res>, Status>>,
    {
        let mut wait = FIRST_WAIT;
        let mut count = 1;
        let mut spent = Duration::ZERO;
        loop {
            self.rate_limiter.turn().await;
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(TRY_TIMEOUT);
            // The client's own retries would hide that limits are reached.
            attempt
                .extensions_mut()
                .insert(RetryConfigForCall(RetryOptions::no_retries()));
            let began = tokio::time::Instant::now();
            let answer = send(self.client.clone(), attempt);
            // The request's own timeout ends when the head of the answer
            // arrives.
            let status = match tokio::time::timeout(TRY_TIMEOUT + GRACE, answer).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no complete answer in time"),
            };
            spent += began.elapsed();
            if status.code() == Code::ResourceExhausted
                && Exhausted::of(&status) == Exhausted::Server
            {
                self.rate_limiter.refused();
            }
            if count >= tries(&status) || spent >= TRIES_TIMEOUT {
                return Err(RequestError::of(&status, &self.client.namespace()));
            }
            tracing::debug!(error = %status.message(), code = ?status.code(), "request failed; retrying");
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            count += 1;
        }
    }
}
