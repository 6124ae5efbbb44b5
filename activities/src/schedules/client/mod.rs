//! Raw schedule requests. The SDK's schedule API drops the conflict token,
//! memos and limits, and ends a listing at the first entry it cannot decode;
//! the requests below it have none of these faults.

mod failure;
mod times;
mod version;
mod workflows;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use temporalio_client::grpc::WorkflowService;
use temporalio_client::request_extensions::RetryConfigForCall;
use temporalio_client::{Client, NamespacedClient, RetryOptions};
use temporalio_common::protos::temporal::api::common::v1::Memo;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, ScheduleListEntry, SchedulePatch,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DescribeNamespaceRequest,
    DescribeScheduleRequest, DescribeScheduleResponse, ListSchedulesRequest, ListSchedulesResponse,
    PatchScheduleRequest, UpdateScheduleRequest,
};
use tokio::sync::OnceCell;
use tonic::{Code, Request, Status};

use failure::Patience;
pub use failure::{RequestError, missing_namespace};
pub use times::MATCHING_LIMIT;
pub use workflows::WorkflowList;

use super::{ListEntry, RateLimiter, wire};
use crate::steps::StepKeys;

/// The server's largest page of a list.
const PAGE_SIZE: i32 = 1000;
/// How long one try of a request may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer the client waits for an answer that has begun to arrive.
const GRACE: Duration = Duration::from_secs(1);
/// How long all tries of a request may take, the waits between them left out:
/// a request that runs into its timeout is tried twice.
const TRIES_TIMEOUT: Duration = Duration::from_secs(15);
/// The wait before the second try; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait between tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Outcome of [`Schedules::delete_owned`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It was deleted.
    Deleted,
    /// There was no such schedule.
    Absent,
    /// It is another owner's, and was left alone.
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
    /// The schedules that `client` reaches, at `rate_limiter`.
    pub fn new(client: Client, rate_limiter: Arc<RateLimiter>) -> Self {
        Self {
            client,
            rate_limiter,
            drops_due_runs: Arc::default(),
            keys: None,
        }
    }

    /// The same, with steps that it writes signed, and others taken for drift.
    #[must_use]
    pub fn signing(mut self, keys: Option<StepKeys>) -> Self {
        self.keys = keys;
        self
    }

    pub(super) fn keys(&self) -> Option<&StepKeys> {
        self.keys.as_ref()
    }

    /// The client beneath.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The pace of the requests.
    pub fn rate_limiter(&self) -> &RateLimiter {
        &self.rate_limiter
    }

    /// Every schedule whose id begins with the project's prefix, ours or not.
    /// A page that fails makes the whole list fail: half a list would lie.
    pub async fn list(&self, project: &Project) -> Result<Vec<ListEntry>, RequestError> {
        let query = format!("ScheduleId STARTS_WITH '{}'", project.schedule_prefix());
        let read = |entry| ListEntry::of(project, entry);
        self.list_by(&query, read).await
    }

    /// Every schedule of the namespace that a visibility query finds; all
    /// where it is empty.
    pub async fn list_matching(&self, query: &str) -> Result<Vec<ScheduleListEntry>, RequestError> {
        self.list_by(query, |entry| entry).await
    }

    async fn list_by<T>(
        &self,
        query: &str,
        of: impl Fn(ScheduleListEntry) -> T,
    ) -> Result<Vec<T>, RequestError> {
        let mut entries = Vec::new();
        let mut page = self.page(query, Vec::new()).await?;
        loop {
            let read = async {
                let listed = std::mem::take(&mut page.schedules).into_iter();
                entries.extend(listed.map(&of));
            };
            // An empty page with a token is not the end.
            if page.next_page_token.is_empty() {
                read.await;
                return Ok(entries);
            }
            // A page is read while the server looks for the next one.
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

    /// One schedule as it is now. An answer without a schedule is an error:
    /// it is no empty schedule, which a pass would write over.
    pub async fn describe(
        &self,
        id: &ScheduleId,
    ) -> Result<DescribeScheduleResponse, RequestError> {
        let request = DescribeScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
        };
        let response = self
            .send(request, |mut client, request| async move {
                WorkflowService::describe_schedule(&mut client, request).await
            })
            .await?;
        if response.schedule.is_none() {
            return Err(RequestError::Undecodable("it has no schedule"));
        }
        Ok(response)
    }

    /// The definition of the project that the list says a schedule belongs to.
    /// A list may name an id twice; both entries must then say the same.
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

    /// Fails where the namespace does not exist. Where the server does not say,
    /// as to a caller without the permission to ask, there is no error.
    pub async fn check_namespace(&self) -> Result<(), RequestError> {
        let request = DescribeNamespaceRequest {
            namespace: self.client.namespace(),
            ..Default::default()
        };
        let described = self
            .send_tries(
                |_| 1,
                request,
                |mut client, request| async move {
                    WorkflowService::describe_namespace(&mut client, request).await
                },
            )
            .await;
        match described {
            Err(error @ RequestError::NoNamespace(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the server serves requests now: asks for the shortest list there is.
    pub async fn check_service(&self) -> Result<(), RequestError> {
        self.page_of(1, "", Vec::new()).await.map(drop)
    }

    /// Deletes a schedule if it is the project's own, by its description. One
    /// that cannot be described is the project's own where the list says so
    /// now, right before the deletion; callers have seen it listed before.
    pub async fn delete_owned(
        &self,
        project: &Project,
        id: &ScheduleId,
    ) -> Result<Deletion, RequestError> {
        let is_owned = match self.describe(id).await {
            Ok(response) => wire::owner_of(project, id, response.memo.as_ref()).is_some(),
            Err(RequestError::NotFound) => return Ok(Deletion::Absent),
            Err(error @ RequestError::NoNamespace(_)) => return Err(error),
            // A server that is away does not answer the list either.
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

    /// Creates a schedule with its own memo.
    pub async fn create(
        &self,
        id: &ScheduleId,
        schedule: Schedule,
        memo: Memo,
        request_id: String,
    ) -> Result<(), RequestError> {
        let request = CreateScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
            schedule: Some(schedule),
            memo: Some(memo),
            identity: self.client.identity(),
            request_id,
            ..Default::default()
        };
        self.send(request, |mut client, request| async move {
            WorkflowService::create_schedule(&mut client, request).await
        })
        .await
        .map(drop)
    }

    /// Replaces a schedule's body, if it has not changed since `conflict_token`
    /// was read. One server answers a stale token with an error, the other
    /// with silence: read back.
    pub async fn update(
        &self,
        id: &ScheduleId,
        schedule: Schedule,
        conflict_token: Vec<u8>,
        request_id: String,
    ) -> Result<(), RequestError> {
        let request = UpdateScheduleRequest {
            namespace: self.client.namespace(),
            schedule_id: id.to_string(),
            schedule: Some(schedule),
            conflict_token,
            identity: self.client.identity(),
            request_id,
            ..Default::default()
        };
        self.send(request, |mut client, request| async move {
            WorkflowService::update_schedule(&mut client, request).await
        })
        .await
        .map(drop)
    }

    /// Triggers or backfills. Patches overwrite one another on one of the
    /// servers: at most one at a time for a schedule. Sent again only when the
    /// server says that it did not take it: a repeated one starts another run.
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
        let tries = |status: &Status| match status.code() {
            Code::ResourceExhausted => Patience::Long.tries(),
            _ => 1,
        };
        self.send_tries(tries, request, |mut client, request| async move {
            WorkflowService::patch_schedule(&mut client, request).await
        })
        .await
        .map(drop)
    }

    /// Deletes a schedule; one that is gone is success.
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

    /// Sends a request at its turn, and again on transient failures. Writes
    /// are safe to repeat: each carries a request id, a conflict token, or
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
        let tries = |status: &Status| Patience::of(status).tries();
        self.send_tries(tries, request, send).await
    }

    /// Sends a request at its turn, and again after a failure until it was
    /// tried as often as `tries` says for that failure.
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
        let mut wait = FIRST_WAIT;
        let mut count = 1;
        let mut spent = Duration::ZERO;
        loop {
            self.rate_limiter.turn().await;
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(TRY_TIMEOUT);
            // The client's own retries hide that limits are reached.
            attempt
                .extensions_mut()
                .insert(RetryConfigForCall(RetryOptions::no_retries()));
            let began = tokio::time::Instant::now();
            let answer = send(self.client.clone(), attempt);
            // The request's own timeout ends where the answer's head arrives.
            let status = match tokio::time::timeout(TRY_TIMEOUT + GRACE, answer).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no whole answer in time"),
            };
            spent += began.elapsed();
            if status.code() == Code::ResourceExhausted {
                self.rate_limiter.refused();
            }
            if count >= tries(&status) || spent >= TRIES_TIMEOUT {
                return Err(RequestError::of(&status, &self.client.namespace()));
            }
            tracing::debug!(error = %status.message(), code = ?status.code(), "request failed; trying again");
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            count += 1;
        }
    }
}

/// Between half of `wait` and all of it, so that many do not try at once.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};

    let random = u32::try_from(RandomState::new().hash_one(0_u8) % 1000).unwrap_or(0);
    wait / 2 + wait / 2 * random / 1000
}
