//! Connections: their number, their time and their cost.
//!
//! `axum::serve` has no limits: a client that sends a byte a minute could hold all of a
//! process's descriptors, including those that Temporal's connection needs.
//! `connection_limiter` decides which connections get a slot; here each connection is
//! served until it ends, and each answer is counted until its client has taken it.
//!
//! Assumes that answers are made whole, as all of Almanac's are, except the events for open
//! pages.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection_limiter::{
    Asking, ConnectionLimiter, ConnectionLimits, ConnectionSlot, ShedReason, SlotKind,
};
use super::head::HEAD_LIMIT;
use super::limits::ANSWER_TIME;
use super::min_throughput::{MinThroughput, MinThroughputStream};
use super::problem::Problem;
use super::{cross_site, probes};

/// Maximum number of bytes that hyper reads of a head before it gives up. This is more
/// than `head` accepts, so that `head` can answer a problem that reaches a client which
/// has sent its whole head.
const HEAD_BUFFER: usize = 2 * HEAD_LIMIT;
/// Maximum number of connections that are about to end, beside those that have a slot. At
/// this limit, the next connection is accepted once one of them has closed its socket.
const ENDING: usize = 8;
/// Pause after an `accept` that failed for lack of a resource.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Interval between two log lines about such failures.
const ACCEPT_LOG: Duration = Duration::from_secs(30);

/// The other end of a request's connection: a client, or a proxy in front. It is among the
/// request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer(pub(super) IpAddr);

/// The limits on connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Maximum numbers of connections and bytes.
    pub(super) room: ConnectionLimits,
    /// Minimum speed at which clients have to take answers.
    pub(super) min_throughput: MinThroughput,
    /// Maximum time until a request's head has arrived, including the wait for the
    /// request.
    pub(super) head: Duration,
    /// The same maximum on a slot of the reserve.
    pub(super) reserved_head: Duration,
    /// Age at which a connection begins its graceful shutdown.
    pub(super) life: Duration,
    /// Maximum time that a connection may continue when the process ends.
    pub(super) end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room: ConnectionLimits {
                open: 512,
                share: 384,
                reserve: 32,
                bytes: 64 * 1024 * 1024,
            },
            min_throughput: MinThroughput {
                grace: Duration::from_secs(20),
                least: 4 * 1024,
            },
            head: Duration::from_secs(10),
            reserved_head: Duration::from_secs(3),
            life: Duration::from_mins(5),
            end: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Returns the defaults, or less if the process may open few descriptors: half of
    /// them are left for everything else.
    pub(super) fn of_this_process() -> Self {
        let descriptors = getrlimit(Resource::Nofile).current;
        Self::within(descriptors.and_then(|most| usize::try_from(most).ok()))
    }

    fn within(descriptors: Option<usize>) -> Self {
        let mut limits = Self::default();
        if let Some(descriptors) = descriptors {
            let room = &mut limits.room;
            room.reserve = room.reserve.min(descriptors / 16).max(2);
            let open = (descriptors / 2).saturating_sub(room.reserve);
            room.open = room.open.min(open).max(4);
            room.share = room.open - room.open / 4;
        }
        limits
    }
}

/// Serves until `stop`; then until requests in progress are answered.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    serve_in(
        &ConnectionLimiter::new(limits.room),
        listener,
        app,
        limits,
        stop,
    )
    .await;
}

/// Serves like [`serve`], with a limiter that the caller can observe.
pub(super) async fn serve_in(
    limiter: &Arc<ConnectionLimiter>,
    listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let room = limits.room;
    let sockets = Arc::new(Semaphore::new(room.open + room.reserve + ENDING));
    // Each connection holds a sender: the channel closes when the last connection ends.
    let (running, mut ended) = mpsc::channel::<Infallible>(1);
    let mut logged = None;
    loop {
        let next = async {
            let socket = Arc::clone(&sockets).acquire_owned().await;
            (socket, accept(&listener, limiter, &mut logged).await)
        };
        let (socket, (stream, peer)) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        let Some(place) = limiter.take(peer.ip()) else {
            continue;
        };
        let peer = Peer(peer.ip().to_canonical());
        let served = connection(stream, peer, place, app.clone(), limits, stop.clone());
        let running = running.clone();
        tokio::spawn(async move {
            served.await;
            drop((socket, running));
        });
    }
    drop((listener, running));
    let _none = ended.recv().await;
}

/// Accepts the next connection. If there are no descriptors left, a connection that waits
/// for a request ends and frees its own.
async fn accept(
    listener: &TcpListener,
    limiter: &ConnectionLimiter,
    logged: &mut Option<Instant>,
) -> (TcpStream, SocketAddr) {
    loop {
        let error = match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
        ) {
            continue;
        }
        if logged.is_none_or(|at| at.elapsed() > ACCEPT_LOG) {
            *logged = Some(Instant::now());
            tracing::warn!(
                %error,
                "cannot accept HTTP connections; hint: raise the limit of open files (ulimit -n)"
            );
        }
        limiter.give_up_one();
        sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    place: ConnectionSlot,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let place = Arc::new(place);
    let is_open = place.kind() == SlotKind::Open;
    let io = MinThroughputStream::new(stream, Arc::clone(&place), limits.min_throughput);
    let app = TowerToHyperService::new(app);
    let served = {
        let place = Arc::clone(&place);
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            answer(app.clone(), Arc::clone(&place), request)
        })
    };
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(if is_open {
                limits.head
            } else {
                limits.reserved_head
            })
            .keep_alive(is_open)
            .max_buf_size(HEAD_BUFFER)
            .serve_connection(TokioIo::new(io), served)
    );
    let rest = tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = place.ended() => return,
        () = stop.cancelled() => limits.end,
        () = sleep(limits.life) => ANSWER_TIME,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = timeout(rest, connection) => {
            if let Ok(ended) = ended {
                log(ended);
            }
        }
        () = place.ended() => {}
    }
}

/// Logs the end of a connection, at DEBUG only: a client that goes away or is too slow is
/// no problem.
fn log(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers a request, and counts the answer's bytes until they are sent.
async fn answer(
    app: TowerToHyperService<Router>,
    place: Arc<ConnectionSlot>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut asking = place.request();
    let response = if place.kind() == SlotKind::Reserved && !probes::is_probe(request.uri().path())
    {
        ShedReason::Full.count();
        busy("too many connections; only the probes and the metrics are served")
    } else {
        let body = |incoming| {
            Body::new(Watched {
                incoming,
                place: Arc::clone(&place),
            })
        };
        match app.call(request.map(body)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    };
    let (head, body) = response.into_parts();
    if is_stream(&head.headers) {
        // An open page: its connection counts as busy, and its events are small.
        let body = Streamed {
            body,
            _asking: asking,
        };
        return Ok(Response::from_parts(head, Body::new(body)));
    }
    let whole = axum::body::to_bytes(body, usize::MAX).await;
    let (mut head, mut bytes) = (head, whole.unwrap_or_default());
    if !asking.answer(bytes.len()) {
        let busy = busy("too many answers are being sent to slow clients");
        let (problem, body) = busy.into_parts();
        head = problem;
        bytes = axum::body::to_bytes(body, usize::MAX)
            .await
            .unwrap_or_default();
        let _fits = asking.answer(bytes.len());
    }
    let body = if bytes.is_empty() {
        // hyper would not hold an empty answer's bytes until it is sent.
        drop(asking);
        Body::empty()
    } else {
        Body::from(Bytes::from_owner(Counted {
            bytes,
            _asking: asking,
        }))
    };
    Ok(Response::from_parts(head, body))
}

/// Returns `true` if the answer goes on as long as its connection.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

fn busy(detail: &str) -> Response {
    let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    cross_site::stamp(&mut response);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The bytes of an answer, which count until the last of them has been sent.
struct Counted {
    bytes: Bytes,
    _asking: Asking,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of an answer that is sent as it is made.
struct Streamed {
    body: Body,
    _asking: Asking,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// The body of a request, which reports whether its client keeps it waiting.
struct Watched {
    incoming: Incoming,
    place: Arc<ConnectionSlot>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        self.place.receiving(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_of_the_descriptors() {
        for (descriptors, open, share, reserve) in [
            (None, 512, 384, 32),
            (Some(1_000_000), 512, 384, 32),
            (Some(1024), 480, 360, 32),
            (Some(256), 112, 84, 16),
            (Some(20), 8, 6, 2),
            (Some(0), 4, 3, 2),
        ] {
            let room = Limits::within(descriptors).room;
            let found = (room.open, room.share, room.reserve);
            assert_eq!(found, (open, share, reserve), "{descriptors:?}");
        }
    }
}
