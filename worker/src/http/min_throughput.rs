//! A socket that fails if its client takes too slowly what is sent to it.
//!
//! Neither hyper nor the kernel gives up on a client that reads a byte a minute; its
//! answer would stay in memory all the while.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::connection_limiter::{ConnectionSlot, ShedReason};

/// Size that the kernel's send buffer is asked to have, in bytes. The kernel doubles it.
/// Without a limit the buffer grows to megabytes for each connection.
const SEND_BUFFER: usize = 64 * 1024;
/// Interval between two checks of a slow client's speed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Minimum speed of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct MinThroughput {
    /// Maximum time for which the client may take little or nothing.
    pub(super) grace: Duration,
    /// Minimum average speed after that time, in bytes per second.
    pub(super) least: u64,
}

/// A stream that fails when its client is too slow.
#[derive(Debug)]
pub(super) struct MinThroughputStream {
    stream: TcpStream,
    place: Arc<ConnectionSlot>,
    speed: MinThroughput,
    stall: Option<Stall>,
}

/// A time in which the client has not taken all that was written.
#[derive(Debug)]
struct Stall {
    since: Instant,
    /// Number of bytes that the client has taken since then.
    bytes: u64,
    next_check: Pin<Box<Sleep>>,
}

impl MinThroughputStream {
    /// Wraps a connection's stream.
    pub(super) fn new(stream: TcpStream, place: Arc<ConnectionSlot>, speed: MinThroughput) -> Self {
        if let Err(error) = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER)
        {
            tracing::debug!(%error, "cannot set the size of the send buffer");
        }
        Self {
            stream,
            place,
            speed,
            stall: None,
        }
    }

    /// Watches a write, and fails it if the client is too slow.
    fn check_speed(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some(stall) = &mut self.stall {
                    stall.bytes += bytes as u64;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.poll_too_slow(cx));
                ShedReason::Slow.count();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.place.sending(true);
        let speed = self.speed;
        let stall = self.stall.get_or_insert_with(|| Stall {
            since: Instant::now(),
            bytes: 0,
            next_check: Box::pin(sleep(speed.grace)),
        });
        loop {
            ready!(stall.next_check.as_mut().poll(cx));
            if stall.bytes
                < speed
                    .least
                    .saturating_mul(stall.since.elapsed().as_secs())
                    .max(1)
            {
                return Poll::Ready(());
            }
            stall
                .next_check
                .as_mut()
                .reset(Instant::now() + CHECK_INTERVAL);
        }
    }
}

impl AsyncRead for MinThroughputStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for MinThroughputStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_speed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.check_speed(cx, written)
    }

    // So that hyper sends an answer's own memory, and no copy of it.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // Called once all has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stall.take().is_some() {
            self.place.sending(false);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
