//! Connections: how many, and how long.
//!
//! `axum::serve` bounds neither, so that whoever sends a byte a minute could
//! keep all of a process's descriptors, and Temporal's connection with them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::limits::ANSWER_TIME;

/// The most bytes of a request's head.
const HEAD_LIMIT: usize = 64 * 1024;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many there are at a time; others wait to be accepted.
    pub(super) connections: u32,
    /// How long a request's head may take, the wait for it included.
    pub(super) head: Duration,
    /// How long one lives before it is told to end.
    pub(super) life: Duration,
    /// How long one may go on when the process ends.
    pub(super) end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head: Duration::from_secs(10),
            life: Duration::from_mins(5),
            end: Duration::from_secs(10),
        }
    }
}

/// Serves until `stop`; then until requests in progress are answered.
pub(super) async fn serve(
    mut listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let turns = Arc::new(Semaphore::new(limits.connections as usize));
    loop {
        let next = async {
            let turn = Arc::clone(&turns).acquire_owned().await;
            (Listener::accept(&mut listener).await.0, turn)
        };
        let (stream, turn) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        let served = connection(stream, app.clone(), limits, stop.clone());
        tokio::spawn(async move {
            served.await;
            drop(turn);
        });
    }
    drop(listener);
    let _all = turns.acquire_many(limits.connections).await;
}

async fn connection(stream: TcpStream, app: Router, limits: Limits, stop: CancellationToken) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(HEAD_LIMIT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
    );
    let rest = tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = stop.cancelled() => limits.end,
        () = sleep(limits.life) => ANSWER_TIME,
    };
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(rest, connection).await {
        log(ended);
    }
}

/// A client that goes away, or is too slow, is nothing to worry about.
fn log(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
