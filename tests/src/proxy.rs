//! A gRPC proxy between a worker and the server. It counts requests by their
//! methods' names, and holds or fails those a test names; of a method that a
//! test has an answer for, it also looks for a text in the request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

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
use tonic::Code;

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
    answers: Vec<Answered>,
}

/// Requests that the server never sees.
#[derive(Debug)]
struct Answered {
    method: String,
    text: String,
    answer: Answer,
}

/// What a request gets in place of the server's answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This code, without details.
    Code(Code),
    /// A success with this message, whatever it is.
    Message(Vec<u8>),
    /// None, ever.
    Silence,
}

#[derive(Debug)]
struct Rule {
    method: String,
    moment: Moment,
    /// How many requests it still lets pass.
    skip: usize,
    effect: Effect,
}

/// When a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Arrived,
    Answered,
}

#[derive(Debug)]
enum Effect {
    Hold {
        arrived: oneshot::Sender<()>,
        release: oneshot::Receiver<()>,
    },
    Fail {
        code: Code,
        times: usize,
    },
}

/// What happens to one request.
enum Verdict {
    Hold {
        arrived: oneshot::Sender<()>,
        release: oneshot::Receiver<()>,
    },
    Fail(Code),
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

    /// How many requests with this method came since the last [`Proxy::reset`].
    pub fn count(&self, method: &str) -> usize {
        self.counts().get(method).copied().unwrap_or_default()
    }

    /// The counts of all methods.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.shared.with(|state| state.counts.clone())
    }

    /// How many requests came that write schedules.
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
        self.rule(method, skip, Moment::Arrived, Effect::Fail { code, times });
    }

    /// Answers every request with this method that holds `text`, until
    /// [`Proxy::clear`].
    pub fn answer(&self, method: &str, text: &str, answer: Answer) {
        let (method, text) = (method.to_owned(), text.to_owned());
        self.shared.with(|state| {
            state.answers.push(Answered {
                method,
                text,
                answer,
            });
        });
    }

    /// Forgets all that was to be held, failed or answered.
    pub fn clear(&self) {
        self.shared.with(|state| {
            state.rules.clear();
            state.answers.clear();
        });
    }

    fn gate(&self, method: &str, skip: usize, moment: Moment) -> Gate {
        let (arrived, has_arrived) = oneshot::channel();
        let (let_go, release) = oneshot::channel();
        self.rule(method, skip, moment, Effect::Hold { arrived, release });
        Gate {
            what: format!("{method} number {skip}"),
            arrived: Some(has_arrived),
            _release: let_go,
        }
    }

    fn rule(&self, method: &str, skip: usize, moment: Moment, effect: Effect) {
        let method = method.to_owned();
        self.shared.with(|state| {
            state.rules.push(Rule {
                method,
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

impl State {
    fn has_answers(&self, method: &str) -> bool {
        self.answers.iter().any(|one| one.method == method)
    }

    fn answer(&self, method: &str, request: &[u8]) -> Option<Answer> {
        let holds = |text: &str| {
            let mut places = request.windows(text.len());
            places.any(|place| place == text.as_bytes())
        };
        let mut all = self.answers.iter();
        let found = all.find(|one| one.method == method && holds(&one.text));
        found.map(|one| one.answer.clone())
    }

    fn verdict(&mut self, method: &str, moment: Moment) -> Option<Verdict> {
        let mut found = None;
        for (index, rule) in self.rules.iter_mut().enumerate() {
            if rule.method != method || rule.moment != moment {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else {
                found.get_or_insert(index);
            }
        }
        let index = found?;
        if let Effect::Fail { code, times } = &mut self.rules[index].effect {
            let code = *code;
            *times -= 1;
            if *times == 0 {
                self.rules.remove(index);
            }
            return Some(Verdict::Fail(code));
        }
        match self.rules.remove(index).effect {
            Effect::Hold { arrived, release } => Some(Verdict::Hold { arrived, release }),
            Effect::Fail { .. } => None,
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
    // As a server without compression: texts in requests can be looked for then.
    if method == "GetSystemInfo" && request.headers().contains_key("grpc-encoding") {
        let why = "grpc: Decompressor is not installed for grpc-encoding \"gzip\"";
        return refused(Code::Unimplemented, why);
    }
    let verdict = shared.with(|state| {
        *state.counts.entry(method.clone()).or_default() += 1;
        state.verdict(&method, Moment::Arrived)
    });
    match verdict {
        Some(Verdict::Fail(code)) => return refusal(code),
        Some(verdict) => hold(verdict).await,
        None => {}
    }
    let mut request = request.map(BodyExt::boxed);
    if shared.with(|state| state.has_answers(&method)) {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        match shared.with(|state| state.answer(&method, &body)) {
            Some(Answer::Code(code)) => return refusal(code),
            Some(Answer::Message(message)) => return success(&message),
            Some(Answer::Silence) => return std::future::pending().await,
            None => {}
        }
        request = Request::from_parts(head, whole(body));
    }
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(shared.upstream.as_str())
        .path_and_query(path)
        .build()?;
    let answer = sender.send_request(request).await?;
    if let Some(verdict) = shared.with(|state| state.verdict(&method, Moment::Answered)) {
        hold(verdict).await;
    }
    Ok(answer.map(BodyExt::boxed))
}

async fn hold(verdict: Verdict) {
    if let Verdict::Hold { arrived, release } = verdict {
        // The test may have given up; then nothing is held.
        if arrived.send(()).is_ok() {
            release.await.ok();
        }
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

fn refusal(code: Code) -> anyhow::Result<Response<Body>> {
    refused(code, "refused by the test")
}

fn refused(code: Code, why: &str) -> anyhow::Result<Response<Body>> {
    let body = Empty::new().map_err(|never: Infallible| match never {});
    Ok(Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", i32::from(code))
        .header("grpc-message", why)
        .body(body.boxed())?)
}
