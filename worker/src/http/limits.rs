//! Limits on requests: their size, their number and their time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::Caller;
use super::auth::Credential;
use super::connection_limiter::network;
use super::problem::Problem;
use super::server::Peer;

/// Maximum size of a request body, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimit(usize);

impl BodyLimit {
    /// Limit of most requests.
    pub(super) const USUAL: Self = Self(64 * 1024);
    /// Limit of requests with events: more than the largest event, so that such a request gets
    /// the answer that names the limit of events.
    pub(super) const EVENTS: Self = Self(1024 * 1024);

    /// Limit of requests with payloads: several of the largest that Temporal takes, in Base64.
    pub(super) const PAYLOADS: Self = Self(8 * 1024 * 1024);

    /// The limit in bytes.
    pub(super) const fn bytes(self) -> usize {
        self.0
    }
}

/// Maximum time until a body has arrived.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Maximum time until an answer, longer than any handler should need.
pub(super) const ANSWER_TIME: Duration = Duration::from_mins(2);
/// Maximum time for which an unwanted body is read. A client that is still sending then
/// gets its answer: closing earlier would reset the connection.
const LINGER: Duration = Duration::from_secs(10);
/// Maximum time for which a request waits for a permit, and interval at which it asks for one.
const PERMIT_WAIT: Duration = Duration::from_secs(3);
const PERMIT_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum number of answers that are built at a time, each on a thread of its own.
const RENDER_THREADS: usize = 2;
/// Maximum time that a request waits until its answer is built.
const RENDER_WAIT: Duration = Duration::from_secs(10);

/// Maximum number of requests of a kind that are served at a time, in total and of one
/// caller: the last ones are reserved for other callers.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    what: &'static str,
    all: usize,
    each: usize,
    taken: Arc<Mutex<Taken>>,
}

/// Numbers of permits, by client.
type Taken = BTreeMap<String, usize>;

/// Permission to serve a request, until it is dropped.
#[derive(Debug)]
pub(super) struct ConcurrencyPermit {
    taken: Arc<Mutex<Taken>>,
    client: String,
}

impl ConcurrencyLimit {
    /// Creates a limit of `all` requests at a time, `each` of one caller; in errors,
    /// `what` names what the requests wait for.
    pub(super) fn new(what: &'static str, all: usize, each: usize) -> Self {
        Self {
            what,
            all,
            each: each.min(all),
            taken: Arc::default(),
        }
    }

    /// Takes a permit for the caller.
    ///
    /// # Errors
    /// A 429, if too many requests are being served.
    pub(super) fn take(&self, caller: &Caller) -> Result<ConcurrencyPermit, Problem> {
        self.take_for(caller.name.clone())
    }

    /// Takes a permit for a person or program that is known by name, or for an address.
    ///
    /// # Errors
    /// A 429, if too many requests are being served.
    pub(super) fn take_at(
        &self,
        caller: &Caller,
        Peer(peer): Peer,
    ) -> Result<ConcurrencyPermit, Problem> {
        self.take_for(match caller.credential {
            Credential::None => network(peer).to_string(),
            Credential::Bearer | Credential::Session | Credential::Proxy => caller.name.clone(),
        })
    }

    /// Takes a permit for a client with this name.
    ///
    /// # Errors
    /// A 429, if too many requests are being served.
    pub(super) fn take_for(&self, client: String) -> Result<ConcurrencyPermit, Problem> {
        let mut taken = lock(&self.taken);
        let own = taken.get(&client).copied().unwrap_or_default();
        let others = taken.values().sum::<usize>() - own;
        let detail = if own + others >= self.all {
            format!("too many requests are waiting for {}", self.what)
        } else if own >= self.each {
            format!(
                "too many requests of this caller are waiting for {}",
                self.what
            )
        } else {
            taken.insert(client.clone(), own + 1);
            let taken = Arc::clone(&self.taken);
            return Ok(ConcurrencyPermit { taken, client });
        };
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail))
    }

    /// Returns `true` if no request is being served.
    pub(super) fn is_unused(&self) -> bool {
        lock(&self.taken).is_empty()
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

/// Threads that build large answers, away from those that serve all requests.
#[derive(Debug)]
pub(super) struct RenderWorkers(Arc<Semaphore>);

impl Default for RenderWorkers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RENDER_THREADS)))
    }
}

impl RenderWorkers {
    /// Does `work` when its turn comes. Work that has begun continues, and keeps its
    /// turn, even if the client has gone.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let unavailable = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        let turn = timeout(RENDER_WAIT, Arc::clone(&self.0).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            return Err(unavailable("too many answers are being built"));
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "building an answer panicked");
            unavailable("the answer could not be built")
        })
    }
}

/// Serves a request once one of the limit's permits is left for its caller, and refuses it after
/// [`PERMIT_WAIT`]. Nothing of its body is read before.
pub(super) async fn concurrency(
    State(limit): State<Arc<ConcurrencyLimit>>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let deadline = Instant::now() + PERMIT_WAIT;
    loop {
        match limit.take_at(&caller, peer) {
            Ok(_permit) => return next.run(request).await,
            Err(problem) if Instant::now() > deadline => return refuse(request, problem),
            Err(_) => tokio::time::sleep(PERMIT_INTERVAL).await,
        }
    }
}

/// Reads the body before the handler runs, if the body is not too large.
pub(super) async fn body(State(limit): State<BodyLimit>, request: Request, next: Next) -> Response {
    match whole(request, limit).await {
        Ok(request) => next.run(request).await,
        Err(answer) => answer,
    }
}

/// Returns the request with its body in memory, or the answer to a request whose body is too large
/// or too slow.
pub(super) async fn whole(request: Request, limit: BodyLimit) -> Result<Request, Response> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let stated = request.headers().get(header::CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > limit.0) {
        return Err(refuse(request, too_large(limit)));
    }
    let (head, body) = request.into_parts();
    let mut stream = body.into_data_stream();
    let problem = match timeout(BODY_TIME, read(&mut stream, limit)).await {
        Ok(Ok(body)) => return Ok(Request::from_parts(head, body.into())),
        Ok(Err(problem)) => problem,
        Err(_) => {
            let detail = format!("the body takes longer than {BODY_TIME:?}");
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response());
        }
    };
    linger(stream);
    Err(problem.into_response())
}

/// Leaves the body unread: no endpoint that is served to everyone takes a body.
pub(super) async fn no_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let answer = next.run(Request::from_parts(head.clone(), Body::empty()));
    let answer = answer.await;
    refuse(Request::from_parts(head, body), answer)
}

/// Ends a request that gets no answer in time.
pub(super) async fn time(request: Request, next: Next) -> Response {
    timeout(ANSWER_TIME, next.run(request))
        .await
        .unwrap_or_else(|_| {
            let detail = format!("there was no answer within {ANSWER_TIME:?}");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        })
}

/// Answers without reading the body first, in a way that reaches the client.
pub(super) fn refuse(request: Request, answer: impl IntoResponse) -> Response {
    // A client that waits for `100 Continue` does not send now.
    let is_waiting = request.headers().contains_key(header::EXPECT);
    let body: Body = request.into_body();
    if !is_waiting && !body.is_end_stream() {
        linger(body.into_data_stream());
    }
    answer.into_response()
}

async fn read(stream: &mut BodyDataStream, limit: BodyLimit) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            let detail = format!("the body cannot be read: {error}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?;
        if body.len() + chunk.len() > limit.0 {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large(BodyLimit(limit): BodyLimit) -> Problem {
    let detail = format!("the body is larger than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn linger(mut stream: BodyDataStream) {
    tokio::spawn(timeout(LINGER, async move {
        while let Some(Ok(_)) = stream.next().await {}
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::Scope;

    fn caller(name: &str) -> Caller {
        Caller {
            name: name.to_owned(),
            scope: Scope::Read,
            credential: Credential::Bearer,
        }
    }

    #[test]
    fn one_caller_leaves_turns_for_others() {
        let turns = ConcurrencyLimit::new("a pass", 4, 3);
        let (ann, ben) = (caller("ann"), caller("ben"));
        let mut held: Vec<_> = (0..3).map(|_| turns.take(&ann).unwrap()).collect();
        let refused = turns.take(&ann).unwrap_err();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let of_ben = turns.take(&ben).unwrap();
        assert!(turns.take(&ben).is_err(), "all are taken");
        held.pop();
        drop(of_ben);
        let again = turns.take(&ann);
        assert!(again.is_ok());
        drop((held, again));
        assert!(turns.is_unused());
    }

    #[tokio::test]
    async fn work_keeps_its_turn_when_its_client_disconnects() {
        let render_workers = RenderWorkers(Arc::new(Semaphore::new(1)));
        let (go_on, waiting) = std::sync::mpsc::channel::<()>();
        let (sender, started) = tokio::sync::oneshot::channel();
        let first = render_workers.work(move || {
            sender.send(()).unwrap();
            waiting.recv().unwrap();
        });
        tokio::select! {
            biased;
            _ = first => unreachable!("it waits"),
            result = started => result.unwrap(),
        }
        assert_eq!(render_workers.0.available_permits(), 0);
        go_on.send(()).unwrap();
        assert_eq!(render_workers.work(|| 7).await.unwrap(), 7);
    }
}
