//! The queue of spans that wait for the collector, and the spans that are lost.
//!
//! The SDK's queue drops a span that does not fit, and logs only the first one and, at the end, the
//! sum. So spans are counted before it: those that wait never exceed its size, and it drops none.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use almanac_activities::metrics::{self, SpanLoss};
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

/// Variable with the maximum number of spans that wait.
const SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
/// Maximum number of spans that wait, without the variable.
const DEFAULT_SIZE: usize = 2048;
/// Minimum time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Maximum number of spans that wait, as OpenTelemetry's variable has it.
pub(super) fn size() -> usize {
    let stated = std::env::var(SIZE).ok();
    stated
        .and_then(|size| size.parse().ok())
        .unwrap_or(DEFAULT_SIZE)
}

/// A processor that hands spans to an exporter in batches, and counts those that are lost.
pub(super) struct SpanQueue<W> {
    batches: BatchSpanProcessor,
    waiting: Arc<Waiting>,
    lost: Lost,
    /// Returns `true` for the spans that are exported.
    is_wanted: W,
}

impl<W> fmt::Debug for SpanQueue<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanQueue({:?})", self.waiting)
    }
}

/// The number of spans that wait.
#[derive(Debug)]
struct Waiting {
    spans: AtomicUsize,
    size: usize,
}

/// The spans that were lost and not logged yet.
#[derive(Debug, Default)]
struct Lost(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    spans: u64,
    /// Time of the last log line.
    last_line: Option<Instant>,
}

/// An exporter that subtracts each batch from the number of waiting spans, and passes it on.
#[derive(Debug)]
struct CountedExporter<E> {
    exporter: E,
    waiting: Arc<Waiting>,
}

impl<W> SpanQueue<W> {
    /// Hands the spans for which `is_wanted` returns `true` to `exporter`. At most `size` spans wait.
    pub(super) fn new(exporter: impl SpanExporter + 'static, size: usize, is_wanted: W) -> Self {
        let waiting = Arc::new(Waiting {
            spans: AtomicUsize::new(0),
            size,
        });
        let exporter = CountedExporter {
            exporter,
            waiting: Arc::clone(&waiting),
        };
        let config = BatchConfigBuilder::default().with_max_queue_size(size);
        let batches = BatchSpanProcessor::new(exporter, config.build());
        Self {
            batches,
            waiting,
            lost: Lost::default(),
            is_wanted,
        }
    }
}

impl<W: Fn(&SpanData) -> bool + Send + Sync> SpanProcessor for SpanQueue<W> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !(self.is_wanted)(&span) {
            return;
        }
        if self.waiting.add() {
            self.batches.on_end(span);
        } else {
            metrics::lost_spans(SpanLoss::Queue, 1);
            self.lost.add(Instant::now());
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.lost.log_rest();
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

impl Waiting {
    /// Returns `false` if there is no room for another span.
    fn add(&self) -> bool {
        let more = |spans| (spans < self.size).then_some(spans + 1);
        let added = self
            .spans
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        added.is_ok()
    }

    fn remove(&self, spans: usize) {
        self.spans.fetch_sub(spans, Ordering::AcqRel);
    }
}

impl Lost {
    /// Counts a lost span. Logs all that were not logged yet, at most once in [`LOG_INTERVAL`].
    fn add(&self, now: Instant) {
        let mut unlogged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unlogged.spans += 1;
        let is_due = |logged: Instant| now.saturating_duration_since(logged) >= LOG_INTERVAL;
        if unlogged.last_line.is_none_or(is_due) {
            unlogged.last_line = Some(now);
            let spans = std::mem::take(&mut unlogged.spans);
            drop(unlogged);
            log(spans);
        }
    }

    fn log_rest(&self) {
        let mut unlogged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = std::mem::take(&mut unlogged.spans);
        drop(unlogged);
        if spans > 0 {
            log(spans);
        }
    }
}

fn log(spans: u64) {
    tracing::warn!(
        spans,
        "too many spans wait for the collector; these spans are lost"
    );
}

impl<E: SpanExporter> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.waiting.remove(batch.len());
        self.exporter.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// An exporter that says which spans it got, and then waits until the test lets it go on.
    #[derive(Debug)]
    struct Slow {
        got: mpsc::Sender<Vec<String>>,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl SpanExporter for Slow {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let names = batch.iter().map(|span| span.name.to_string());
            self.got.send(names.collect()).ok();
            self.go_on.lock().unwrap().recv().ok();
            Ok(())
        }
    }

    #[test]
    fn spans_beyond_the_size_are_lost_and_counted_and_unwanted_ones_take_no_room() {
        let (got, batches) = mpsc::channel();
        let (go_on, waits) = mpsc::channel();
        let slow = Slow {
            got,
            go_on: Mutex::new(waits),
        };
        let queue = SpanQueue::new(slow, 2, |span: &SpanData| span.name != "unwanted");
        let waiting = Arc::clone(&queue.waiting);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .build();
        let tracer = provider.tracer("test");
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            drop(tracer.start("1"));
            drop(tracer.start("2"));
            // The exporter has both, and keeps the SDK from taking more.
            assert_eq!(batches.recv().unwrap(), ["1", "2"]);
            for name in ["3", "unwanted", "4", "5", "unwanted", "6"] {
                drop(tracer.start(name));
            }
        });
        assert_eq!(waiting.spans.load(Ordering::Acquire), 2);
        let page = page.render();
        let lost = "almanac_trace_spans_dropped_total{reason=\"queue\"} 2\n";
        assert!(page.contains(lost), "{page}");
        for _ in 0..2 {
            go_on.send(()).unwrap();
        }
        provider.shutdown().unwrap();
        assert_eq!(batches.recv().unwrap(), ["3", "4"]);
        assert_eq!(batches.try_recv().ok(), None);
    }

    #[test]
    fn lost_spans_are_logged_once_a_minute() {
        let lost = Lost::default();
        let begin = Instant::now();
        let unlogged = || lost.0.lock().unwrap().spans;
        for (seconds, expected) in [(0, 0), (1, 1), (59, 2), (60, 0), (61, 1)] {
            lost.add(begin + Duration::from_secs(seconds));
            assert_eq!(unlogged(), expected, "{seconds}");
        }
        lost.log_rest();
        assert_eq!(unlogged(), 0);
    }
}
