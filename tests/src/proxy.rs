//! A gRPC proxy between a worker and the server. It counts requests by their
//! methods' names, and holds or fails those that a test names. It answers those that
//! a test names by their method and a text that they contain, and limits rates: of
//! requests by their methods, and of starts by their ids.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic::{Code, Status};

use crate::rate_limits::{Limit, StartLimit, is_start, started_id, too_often};
use crate::wait::SOON;

type Body = BoxBody<Bytes, hyper::Error>;

/// A running proxy; its connections end with the test's runtime.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<String, usize>,
    rules: Vec<Rule>,
    /// The API key that requests must have.
    key: Option<String>,
    limits: Vec<Limit>,
    /// The limit on the starts of one id.
    start_limit: Option<StartLimit>,
    /// Number of requests that one of `limits` refused.
    limited: usize,
}

/// Answer that a request gets in place of the server's.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This code, without details.
    Code(Code),
    /// This status, with its message and details.
    Status(Box<Status>),
    /// A success with this message, whatever it is.
    Message(Vec<u8>),
    /// None, ever.
    Silence,
}

#[derive(Debug)]
struct Rule {
    method: String,
    /// Text that the request must contain; each request contains the empty one.
    text: String,
    moment: Moment,
    /// Number of requests that the rule still lets pass.
    skip: usize,
    effect: Effect,
}

/// The moment at which a rule applies to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Arrived,
    Answered,
}

#[derive(Debug)]
enum Effect {
    Hold(Hold),
    Answer {
        answer: Answer,
        /// Number of requests that still get the answer; `None` if all get it.
        times: Option<usize>,
    },
}

/// The proxy's end of a [`Gate`].
#[derive(Debug)]
struct Hold {
    arrived: oneshot::Sender<()>,
    release: oneshot::Receiver<()>,
}

/// The effect of the rules on one request.
enum Verdict {
    Hold(Hold),
    Answer(Answer),
}

/// A request that is held until this is dropped.
#[derive(Debug)]
pub struct Gate {
    what: String,
    arrived: Option<oneshot::Receiver<()>>,
    _release: oneshot::Sender<()>,
}

impl Gate {
    /// Waits until the request is there.
    pub async fn reached(&mut self) -> anyhow::Result<()> {
        if let Some(arrived) = self.arrived.take() {
            tokio::time::timeout(SOON, arrived)
                .await
                .with_context(|| format!("no {}", self.what))?
                .with_context(|| format!("{}: the proxy ended", self.what))?;
        }
        Ok(())
    }

    /// Lets the request, or its answer, go on.
    pub fn release(self) {}
}

impl Proxy {
    /// Starts one before the server at an address.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            state: Mutex::default(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Refuses requests without this API key from now on, as Temporal Cloud does.
    pub fn require_key(&self, key: &str) {
        self.shared.with(|state| state.key = Some(key.to_owned()));
    }

    /// Refuses requests whose methods contain one of these names, beyond this number in a second.
    pub fn limit(&self, methods: &'static [&'static str], rate: u32) {
        let limit = Limit::new(methods, rate);
        self.shared.with(|state| state.limits.push(limit));
    }

    /// Refuses starts of a workflow, and creations of a schedule, with the same id beyond this
    /// number in a second.
    pub fn limit_starts(&self, per_second: u32) {
        let limit = StartLimit::new(per_second);
        self.shared.with(|state| state.start_limit = Some(limit));
    }

    /// Number of requests that a limit of [`Proxy::limit`] refused.
    pub fn limited(&self) -> usize {
        self.shared.with(|state| state.limited)
    }

    /// Number of requests that the limit of [`Proxy::limit_starts`] refused, by the ids:
    /// `workflow ID` or `schedule ID`.
    pub fn limited_starts(&self) -> BTreeMap<String, usize> {
        self.shared.with(|state| {
            let limit = state.start_limit.as_ref();
            limit.map_or_else(BTreeMap::new, |limit| limit.refused().clone())
        })
    }

    /// Number of requests with this method since the last [`Proxy::reset`].
    pub fn count(&self, method: &str) -> usize {
        self.counts().get(method).copied().unwrap_or_default()
    }

    /// The counts of all methods.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.shared.with(|state| state.counts.clone())
    }

    /// Number of requests that write schedules.
    pub fn schedule_writes(&self) -> usize {
        [
            "CreateSchedule",
            "UpdateSchedule",
            "PatchSchedule",
            "DeleteSchedule",
        ]
        .iter()
        .map(|method| self.count(method))
        .sum()
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        self.shared.with(|state| state.counts.clear());
    }

    /// Holds the request with this method that comes after `skip` more, before
    /// the server sees it.
    pub fn hold(&self, method: &str, skip: usize) -> Gate {
        self.gate(method, skip, Moment::Arrived)
    }

    /// Holds the answer of the request with this method that comes after
    /// `skip` more: the server has done it, the worker does not know.
    pub fn hold_answer(&self, method: &str, skip: usize) -> Gate {
        self.gate(method, skip, Moment::Answered)
    }

    /// Fails requests with this method: `times`, after `skip` more.
    pub fn fail(&self, method: &str, skip: usize, times: usize, code: Code) {
        let answer = Answer::Code(code);
        let times = Some(times);
        let effect = Effect::Answer { answer, times };
        self.rule(method, "", skip, Moment::Arrived, effect);
    }

    /// Answers every request with this method that contains `text`, until
    /// [`Proxy::clear`]. Replaces an earlier answer to the same requests.
    pub fn answer(&self, method: &str, text: &str, answer: Answer) {
        self.shared.with(|state| {
            state.rules.retain(|rule| {
                let is_same = rule.method == method && rule.text == text;
                !(is_same && matches!(rule.effect, Effect::Answer { times: None, .. }))
            });
        });
        let effect = Effect::Answer {
            answer,
            times: None,
        };
        self.rule(method, text, 0, Moment::Arrived, effect);
    }

    /// Answers the next request with this method that contains `text`.
    pub fn answer_once(&self, method: &str, text: &str, answer: Answer) {
        let times = Some(1);
        let effect = Effect::Answer { answer, times };
        self.rule(method, text, 0, Moment::Arrived, effect);
    }

    /// Forgets all that was to be held, failed or answered.
    pub fn clear(&self) {
        self.shared.with(|state| state.rules.clear());
    }

    fn gate(&self, method: &str, skip: usize, moment: Moment) -> Gate {
        let (arrived, has_arrived) = oneshot::channel();
        let (let_go, release) = oneshot::channel();
        let hold = Hold { arrived, release };
        self.rule(method, "", skip, moment, Effect::Hold(hold));
        Gate {
            what: format!("{method} number {skip}"),
            arrived: Some(has_arrived),
            _release: let_go,
        }
    }

    fn rule(&self, method: &str, text: &str, skip: usize, moment: Moment, effect: Effect) {
        let (method, text) = (method.to_owned(), text.to_owned());
        self.shared.with(|state| {
            state.rules.push(Rule {
                method,
                text,
                moment,
                skip,
                effect,
            });
        });
    }
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rule {
    fn applies(&self, method: &str, request: &[u8]) -> bool {
        let text = self.text.as_bytes();
        self.method == method
            && (text.is_empty() || request.windows(text.len()).any(|place| place == text))
    }
}

impl State {
    fn accepts(&self, headers: &HeaderMap) -> bool {
        self.key.as_ref().is_none_or(|key| {
            let sent = headers.get("authorization");
            sent.is_some_and(|sent| sent.as_bytes() == format!("Bearer {key}").as_bytes())
        })
    }

    /// Takes a request within the limits, or returns `false`.
    fn is_within_limits(&mut self, method: &str) -> bool {
        let now = Instant::now();
        let is_within = self.limits.iter_mut().all(|limit| limit.takes(method, now));
        self.limited += usize::from(!is_within);
        is_within
    }

    /// Returns `true` if a rule or the limit on starts needs the contents of requests with this
    /// method.
    fn reads(&self, method: &str) -> bool {
        let mut rules = self.rules.iter();
        (self.start_limit.is_some() && is_start(method))
            || rules.any(|rule| rule.method == method && !rule.text.is_empty())
    }

    /// Takes a request that starts something within the limit, or gives its id.
    fn started_too_often(
        &mut self,
        method: &str,
        request: &[u8],
    ) -> anyhow::Result<Option<String>> {
        let Some(limit) = &mut self.start_limit else {
            return Ok(None);
        };
        let id = started_id(method, request)?;
        Ok(id.filter(|id| !limit.takes(id, Instant::now())))
    }

    fn verdict(&mut self, method: &str, request: &[u8], moment: Moment) -> Option<Verdict> {
        let mut found = None;
        for (index, rule) in self.rules.iter_mut().enumerate() {
            if rule.moment != moment || !rule.applies(method, request) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else {
                found.get_or_insert(index);
            }
        }
        let index = found?;
        if let Effect::Answer { answer, times } = &mut self.rules[index].effect {
            let answer = answer.clone();
            if let Some(times) = times {
                *times -= 1;
                if *times == 0 {
                    self.rules.remove(index);
                }
            }
            return Some(Verdict::Answer(answer));
        }
        match self.rules.remove(index).effect {
            Effect::Hold(hold) => Some(Verdict::Hold(hold)),
            Effect::Answer { .. } => None,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = connection(stream, shared).await {
                // What the worker sees is a connection that ends, which is the point.
                eprintln!("a connection through the proxy ended: {error:#}");
            }
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) -> anyhow::Result<()> {
    let upstream = TcpStream::connect(&shared.upstream).await?;
    let (sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(upstream)).await?;
    let service = service_fn(move |request| {
        let (sender, shared) = (sender.clone(), Arc::clone(&shared));
        async move { forward(request, sender, &shared).await }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    // When either side ends, so does the other.
    tokio::select! {
        ended = server => ended?,
        ended = driver => ended?,
    }
    Ok(())
}

async fn forward(
    request: Request<Incoming>,
    mut sender: SendRequest<Body>,
    shared: &Shared,
) -> anyhow::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let method = path.rsplit('/').next().unwrap_or_default().to_owned();
    if !shared.with(|state| state.accepts(request.headers())) {
        return refused(&Status::unauthenticated("Request unauthorized."));
    }
    if !shared.with(|state| state.is_within_limits(&method)) {
        return refused(&Status::resource_exhausted("namespace rate limit exceeded"));
    }
    // As a server without compression: texts in requests can be looked for then.
    if method == "GetSystemInfo" && request.headers().contains_key("grpc-encoding") {
        let why = "grpc: Decompressor is not installed for grpc-encoding \"gzip\"";
        return refused(&Status::unimplemented(why));
    }
    let reads = shared.with(|state| {
        *state.counts.entry(method.clone()).or_default() += 1;
        state.reads(&method)
    });
    let (mut request, contents) = if reads {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        (Request::from_parts(head, whole(body.clone())), body)
    } else {
        (request.map(BodyExt::boxed), Bytes::new())
    };
    let too_often_started = shared.with(|state| state.started_too_often(&method, &contents));
    if let Some(id) = too_often_started? {
        return refused(&too_often(&id));
    }
    match shared.with(|state| state.verdict(&method, &contents, Moment::Arrived)) {
        Some(Verdict::Hold(hold)) => hold.wait().await,
        Some(Verdict::Answer(answer)) => return answered(answer).await,
        None => {}
    }
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(shared.upstream.as_str())
        .path_and_query(path)
        .build()?;
    let answer = sender.send_request(request).await?;
    let verdict = shared.with(|state| state.verdict(&method, &contents, Moment::Answered));
    if let Some(Verdict::Hold(hold)) = verdict {
        hold.wait().await;
    }
    Ok(answer.map(BodyExt::boxed))
}

impl Hold {
    async fn wait(self) {
        // The test may have given up; then nothing is held.
        if self.arrived.send(()).is_ok() {
            self.release.await.ok();
        }
    }
}

async fn answered(answer: Answer) -> anyhow::Result<Response<Body>> {
    match answer {
        Answer::Code(code) => refused(&Status::new(code, "refused by the test")),
        Answer::Status(status) => refused(&status),
        Answer::Message(message) => success(&message),
        Answer::Silence => std::future::pending().await,
    }
}

/// A body that has arrived.
fn whole(bytes: impl Into<Bytes>) -> Body {
    let body = Full::new(bytes.into());
    body.map_err(|never: Infallible| match never {}).boxed()
}

fn success(message: &[u8]) -> anyhow::Result<Response<Body>> {
    let length = u32::try_from(message.len())?;
    let framed = [&[0], &length.to_be_bytes()[..], message].concat();
    let trailers = HeaderMap::from_iter([("grpc-status".parse()?, "0".parse()?)]);
    let body = whole(framed).with_trailers(async move { Some(Ok(trailers)) });
    Ok(Response::builder()
        .header("content-type", "application/grpc")
        .body(body.boxed())?)
}

fn refused(status: &Status) -> anyhow::Result<Response<Body>> {
    let (mut head, ()) = Response::new(()).into_parts();
    status.add_header(&mut head.headers)?;
    head.headers
        .insert("content-type", "application/grpc".parse()?);
    let body = Empty::new().map_err(|never: Infallible| match never {});
    Ok(Response::from_parts(head, body.boxed()))
}
