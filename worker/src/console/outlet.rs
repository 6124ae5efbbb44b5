//! A standard stream: written to directly, or by a thread from a bounded queue.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of bytes that wait to be written.
const QUEUE_LIMIT: usize = 1024 * 1024;
/// Maximum length of a piece, in bytes; a longer piece loses its end.
const PIECE_LIMIT: usize = 256 * 1024;
/// Time between two attempts to write to a stream that currently takes nothing, because
/// another process made it non-blocking.
const BUSY: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    /// Writes without a buffer of its own: a buffer could be written again later.
    fn write(self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Out => rustix::io::write(io::stdout(), bytes),
            Self::Err => rustix::io::write(io::stderr(), bytes),
        };
        Ok(written?)
    }
}

#[derive(Debug)]
pub(super) struct Outlet {
    stream: Stream,
    queue: Mutex<Queue>,
    changed: Condvar,
    dropped: AtomicU64,
    failed: AtomicBool,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Queue {
    /// `true` if a thread does the writing.
    detached: bool,
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    /// `true` while the thread is in the middle of a write.
    writing: bool,
    /// `true` if the last piece was written only in part: the next piece then begins a
    /// new line.
    torn: bool,
}

impl Outlet {
    pub(super) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            queue: Mutex::new(Queue {
                detached: false,
                pieces: VecDeque::new(),
                bytes: 0,
                writing: false,
                torn: false,
            }),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Leaves writing to a thread from now on. If the system refuses the thread because
    /// it has none to spare, callers continue to write themselves.
    pub(super) fn detach(&'static self) {
        let writer = std::thread::Builder::new().name("almanac-console".to_owned());
        let mut queue = self.lock();
        if !queue.detached {
            queue.detached = writer.spawn(move || self.write_queue()).is_ok();
        }
    }

    /// Writes a piece, or queues it for the thread. A piece that cannot be written is
    /// dropped and counted.
    pub(super) fn write(&self, mut piece: Vec<u8>) {
        let mut queue = self.lock();
        if !queue.detached {
            let torn = &mut queue.torn;
            let written = self.write_whole(&piece, torn);
            self.judge(written);
            return;
        }
        if piece.len() > PIECE_LIMIT {
            shorten(&mut piece);
        }
        if queue.bytes + piece.len() > QUEUE_LIMIT {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += piece.len();
        queue.pieces.push_back(piece);
        self.changed.notify_all();
    }

    /// Waits until all is written, or until `limit` is over.
    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut queue = self.lock();
        while queue.writing || !queue.pieces.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns the number of pieces that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns `true` if a write failed for another reason than a closed reader.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Returns `true` if the reader has closed the stream.
    pub(super) fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Writes the queued pieces, for ever.
    fn write_queue(&self) {
        let mut reported = 0;
        loop {
            let (piece, mut torn) = self.next();
            let written = self.write_whole(&piece, &mut torn);
            let is_written = written.is_ok();
            self.judge(written);
            let mut queue = self.lock();
            queue.writing = false;
            queue.torn = torn;
            let has_caught_up = is_written && queue.pieces.is_empty();
            self.changed.notify_all();
            drop(queue);
            let dropped = self.dropped();
            if has_caught_up && dropped > reported {
                tracing::warn!(dropped = dropped - reported, "log lines were dropped");
                reported = dropped;
            }
        }
    }

    /// Waits for the next piece.
    fn next(&self) -> (Vec<u8>, bool) {
        let mut queue = self.lock();
        loop {
            if let Some(piece) = queue.pieces.pop_front() {
                queue.bytes -= piece.len();
                queue.writing = true;
                return (piece, queue.torn);
            }
            let waited = self.changed.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn judge(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            let ended = match error.kind() {
                io::ErrorKind::BrokenPipe => &self.closed,
                _ => &self.failed,
            };
            ended.store(true, Ordering::Relaxed);
        }
    }

    fn write_whole(&self, piece: &[u8], torn: &mut bool) -> io::Result<()> {
        if *torn {
            self.write_all(b"\n", &mut false)?;
            *torn = false;
        }
        self.write_all(piece, torn)
    }

    fn write_all(&self, mut bytes: &[u8], torn: &mut bool) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    *torn = !bytes.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(BUSY);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a piece at the limit, between two characters.
fn shorten(piece: &mut Vec<u8>) {
    let mut end = PIECE_LIMIT;
    while end > 0 && piece[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    piece.truncate(end);
    piece.extend_from_slice("…\n".as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_piece_is_cut_between_two_characters() {
        let mut piece = "ä".repeat(PIECE_LIMIT).into_bytes();
        piece.insert(0, b'x');
        shorten(&mut piece);
        let text = String::from_utf8(piece).unwrap();
        assert!(text.len() <= PIECE_LIMIT + 4 && text.ends_with("ä…\n"));
    }
}
