//! The SDK's metrics, recorded by the same recorder as Almanac's own.
//!
//! The SDK has no public registry: it asks a [`CoreMeter`] for instruments. [`SdkMeter`]
//! makes them of the `metrics` crate's global recorder. Durations are in seconds, and the
//! names of their metrics say so. Label values pass through [`Labels`], since they come
//! from anyone who uses the namespace. The queue that only this process polls is named
//! after the process; its label is rewritten, so that no restart adds a series.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::metrics::Metric;
use metrics::{Key, Label, Level, Metadata, SharedString, Unit, with_recorder};
use temporalio_common::telemetry::metrics::{
    CoreMeter, Counter, CounterBase, Gauge, GaugeBase, GaugeF64, GaugeF64Base, Histogram,
    HistogramBase, HistogramDuration, HistogramDurationBase, HistogramF64, HistogramF64Base,
    MetricAttributable, MetricAttributes, MetricParameters, MetricValue, NewAttributes,
    OrderedPromLabelSet, UpDownCounter, UpDownCounterBase,
};

use super::labels::Labels;

const METADATA: Metadata<'static> = Metadata::new("temporal", Level::INFO, None);

/// A meter that gives the SDK instruments of the `metrics` crate.
#[derive(Debug)]
pub struct SdkMeter(Arc<Labels>);

impl SdkMeter {
    /// Creates a meter for a process that works in this namespace, on these queues. Each
    /// queue comes with the value that its label gets instead of its name.
    pub fn new(namespace: &str, queues: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Arc::new(Labels::new(namespace, queues)))
    }

    fn extended(&self, mut labels: OrderedPromLabelSet, new: NewAttributes) -> MetricAttributes {
        for mut label in new.attributes {
            let value = self.0.value(&label.key, &label.value.to_string());
            label.value = MetricValue::String(value);
            labels.add_kv(label);
        }
        MetricAttributes::Prometheus {
            labels: Arc::new(labels),
        }
    }

    fn named(&self, name: SharedString) -> Named {
        Named {
            name,
            labels: Arc::clone(&self.0),
        }
    }

    fn described_histogram(&self, params: MetricParameters, unit: Option<Unit>) -> Named {
        let name = SharedString::from(params.name.into_owned());
        with_recorder(|to| {
            to.describe_histogram(name.clone().into(), unit, help(params.description));
        });
        self.named(name)
    }

    fn described_gauge(&self, params: MetricParameters) -> Named {
        let name = SharedString::from(params.name.into_owned());
        with_recorder(|to| to.describe_gauge(name.clone().into(), None, help(params.description)));
        self.named(name)
    }
}

impl CoreMeter for SdkMeter {
    fn new_attributes(&self, attributes: NewAttributes) -> MetricAttributes {
        self.extended(OrderedPromLabelSet::new(), attributes)
    }

    fn extend_attributes(
        &self,
        existing: MetricAttributes,
        attributes: NewAttributes,
    ) -> MetricAttributes {
        let labels = match existing {
            MetricAttributes::Prometheus { labels } => (*labels).clone(),
            _ => OrderedPromLabelSet::new(),
        };
        self.extended(labels, attributes)
    }

    fn counter(&self, params: MetricParameters) -> Counter {
        let name = SharedString::from(params.name.into_owned());
        with_recorder(|to| {
            to.describe_counter(name.clone().into(), None, help(params.description));
        });
        Counter::new(Arc::new(self.named(name)))
    }

    fn histogram(&self, params: MetricParameters) -> Histogram {
        Histogram::new(Arc::new(self.described_histogram(params, None)))
    }

    fn histogram_f64(&self, params: MetricParameters) -> HistogramF64 {
        HistogramF64::new(Arc::new(self.described_histogram(params, None)))
    }

    fn histogram_duration(&self, mut params: MetricParameters) -> HistogramDuration {
        params.name = histogram_name(&params.name).into();
        HistogramDuration::new(Arc::new(
            self.described_histogram(params, Some(Unit::Seconds)),
        ))
    }

    fn gauge(&self, params: MetricParameters) -> Gauge {
        Gauge::new(Arc::new(self.described_gauge(params)))
    }

    fn gauge_f64(&self, params: MetricParameters) -> GaugeF64 {
        GaugeF64::new(Arc::new(self.described_gauge(params)))
    }

    fn up_down_counter(&self, params: MetricParameters) -> UpDownCounter {
        UpDownCounter::new(Arc::new(self.described_gauge(params)))
    }
}

/// Returns the name of a histogram of durations, with its unit: the SDK leaves the unit
/// to the meter.
pub(super) fn histogram_name(name: &str) -> String {
    format!("{name}_seconds")
}

fn help(description: Cow<'static, str>) -> SharedString {
    SharedString::from(description.into_owned())
}

/// An instrument without its labels.
struct Named {
    name: SharedString,
    labels: Arc<Labels>,
}

impl Named {
    fn key(&self, attributes: &MetricAttributes) -> Key {
        let labels = match attributes {
            MetricAttributes::Prometheus { labels } => {
                let mut values = labels.as_prom_labels();
                labels
                    .keys_ordered()
                    .filter_map(|key| Some(Label::new(key.to_owned(), values.remove(key)?)))
                    .collect()
            }
            _ => Vec::new(),
        };
        let (key, has_room) = self
            .labels
            .bounded(Key::from_parts(self.name.clone(), labels));
        if !has_room {
            metrics::counter!(Metric::SeriesDropped.as_str()).increment(1);
        }
        key
    }

    fn bound_gauge(&self, attributes: &MetricAttributes) -> BoundGauge {
        let key = self.key(attributes);
        BoundGauge(with_recorder(|to| to.register_gauge(&key, &METADATA)))
    }

    fn bound_histogram(&self, attributes: &MetricAttributes) -> BoundHistogram {
        let key = self.key(attributes);
        BoundHistogram(with_recorder(|to| to.register_histogram(&key, &METADATA)))
    }
}

struct BoundCounter(metrics::Counter);
struct BoundGauge(metrics::Gauge);
struct BoundHistogram(metrics::Histogram);

type Bound<T> = Result<Box<T>, Box<dyn std::error::Error>>;

impl MetricAttributable<Box<dyn CounterBase>> for Named {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Bound<dyn CounterBase> {
        let key = self.key(attributes);
        let counter = with_recorder(|to| to.register_counter(&key, &METADATA));
        Ok(Box::new(BoundCounter(counter)))
    }
}

impl MetricAttributable<Box<dyn HistogramBase>> for Named {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Bound<dyn HistogramBase> {
        Ok(Box::new(self.bound_histogram(attributes)))
    }
}

impl MetricAttributable<Box<dyn HistogramF64Base>> for Named {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Bound<dyn HistogramF64Base> {
        Ok(Box::new(self.bound_histogram(attributes)))
    }
}

impl MetricAttributable<Box<dyn HistogramDurationBase>> for Named {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Bound<dyn HistogramDurationBase> {
        Ok(Box::new(self.bound_histogram(attributes)))
    }
}

impl MetricAttributable<Box<dyn GaugeBase>> for Named {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Bound<dyn GaugeBase> {
        Ok(Box::new(self.bound_gauge(attributes)))
    }
}

impl MetricAttributable<Box<dyn GaugeF64Base>> for Named {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Bound<dyn GaugeF64Base> {
        Ok(Box::new(self.bound_gauge(attributes)))
    }
}

impl MetricAttributable<Box<dyn UpDownCounterBase>> for Named {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Bound<dyn UpDownCounterBase> {
        Ok(Box::new(self.bound_gauge(attributes)))
    }
}

impl CounterBase for BoundCounter {
    fn adds(&self, value: u64) {
        self.0.increment(value);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the page's numbers are floating point"
)]
impl HistogramBase for BoundHistogram {
    fn records(&self, value: u64) {
        self.0.record(value as f64);
    }
}

impl HistogramF64Base for BoundHistogram {
    fn records(&self, value: f64) {
        self.0.record(value);
    }
}

impl HistogramDurationBase for BoundHistogram {
    fn records(&self, value: Duration) {
        self.0.record(value.as_secs_f64());
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the page's numbers are floating point"
)]
impl GaugeBase for BoundGauge {
    fn records(&self, value: u64) {
        self.0.set(value as f64);
    }
}

impl GaugeF64Base for BoundGauge {
    fn records(&self, value: f64) {
        self.0.set(value);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the page's numbers are floating point"
)]
impl UpDownCounterBase for BoundGauge {
    fn adds(&self, value: i64) {
        self.0.increment(value as f64);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use temporalio_common::telemetry::metrics::{HistogramDuration, MetricKeyValue};

    use super::*;

    fn page(record: impl FnOnce(&SdkMeter)) -> String {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&[0.1, 1.0])
            .unwrap()
            .build_recorder();
        let handle = recorder.handle();
        let queues = [
            ("almanac-p", "almanac-p"),
            ("almanac-p-w1", "almanac-p-worker"),
        ];
        let queues = queues.map(|(queue, shown)| (queue.to_owned(), shown.to_owned()));
        let meter = SdkMeter::new("default", queues);
        metrics::with_local_recorder(&recorder, || record(&meter));
        handle.render()
    }

    fn labels(pairs: &[(&'static str, &'static str)]) -> NewAttributes {
        NewAttributes::new(
            pairs
                .iter()
                .map(|(key, value)| MetricKeyValue::new(*key, *value))
                .collect(),
        )
    }

    #[test]
    fn counters_durations_and_gauges_reach_the_page_with_their_labels() {
        let page = page(|meter| {
            let base = meter.new_attributes(labels(&[("namespace", "default")]));
            let extended = meter.extend_attributes(base, labels(&[("operation", "Poll")]));
            meter.counter("temporal_request".into()).add(2, &extended);
            let latency: HistogramDuration = meter.histogram_duration("temporal_latency".into());
            latency.record(Duration::from_millis(500), &extended);
            meter.gauge("temporal_slots".into()).record(7, &extended);
            let pollers = meter.up_down_counter("temporal_pollers".into());
            pollers.add(3, &extended);
            pollers.add(-1, &extended);
        });
        for line in [
            "temporal_request{namespace=\"default\",operation=\"Poll\"} 2",
            "temporal_latency_seconds_bucket{namespace=\"default\",operation=\"Poll\",le=\"1\"} 1",
            "temporal_latency_seconds_sum{namespace=\"default\",operation=\"Poll\"} 0.5",
            "temporal_slots{namespace=\"default\",operation=\"Poll\"} 7",
            "temporal_pollers{namespace=\"default\",operation=\"Poll\"} 2",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is missing from\n{page}"
            );
        }
    }

    #[test]
    fn the_queue_of_the_process_is_not_named_in_a_label() {
        let page = page(|meter| {
            for queue in ["almanac-p-w1", "almanac-p"] {
                let attributes = meter.new_attributes(labels(&[("task_queue", queue)]));
                meter.counter("temporal_polls".into()).add(1, &attributes);
            }
        });
        assert!(
            page.contains("temporal_polls{task_queue=\"almanac-p-worker\"} 1"),
            "{page}"
        );
        assert!(
            page.contains("temporal_polls{task_queue=\"almanac-p\"} 1"),
            "{page}"
        );
        assert!(!page.contains("w1"), "{page}");
    }

    #[test]
    fn types_that_strangers_choose_add_one_series() {
        let page = page(|meter| {
            let base = meter.new_attributes(labels(&[("namespace", "default")]));
            for n in 0..300 {
                let workflow = MetricKeyValue::new("workflow_type", format!("Evil{n}\"\n{{}}"));
                let activity = MetricKeyValue::new("activity_type", format!("{n}"));
                let new = NewAttributes::new(vec![workflow, activity]);
                let attributes = meter.extend_attributes(base.clone(), new);
                let tasks = meter.counter("temporal_tasks".into());
                tasks.add(1, &attributes);
                let latency = meter.histogram_duration("temporal_latency".into());
                latency.record(Duration::from_millis(500), &attributes);
            }
        });
        let counted: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("temporal_tasks{"))
            .collect();
        let other = "activity_type=\"other\"";
        assert_eq!(counted.len(), 1, "{page}");
        assert!(
            counted[0].contains(other) && counted[0].ends_with("} 300"),
            "{page}"
        );
        assert!(!page.contains("Evil"), "{page}");
        let buckets = page.lines().filter(|line| line.contains("_bucket{"));
        assert_eq!(buckets.count(), 3, "{page}");
    }
}
