//! The label values that the SDK's metrics may carry.
//!
//! A recorder keeps a series for ever, and several labels repeat values that others
//! chose: anyone who may start a workflow chooses its type. Always holds:
//! - A label that names something of the namespace only has values known at the start,
//!   and `other`.
//! - Any other label has a bounded number of values.
//! - The number of series is bounded, whatever the SDK sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use almanac_base::names::{FOLLOW_WORKFLOW, RECONCILE_WORKFLOW, RUN_WORKFLOW};
use almanac_workflows::contracts;
use metrics::{Key, Label};

/// The value that replaces every unknown value.
pub(super) const OTHER: &str = "other";
/// Maximum number of values of a label whose values the SDK chooses.
const VALUES: usize = 128;
/// Maximum length of such a value, in bytes.
const VALUE_LENGTH: usize = 100;
/// Maximum number of series. Each histogram counts as one series.
const SERIES: usize = 2000;

const NAMESPACE: &str = "namespace";
const TASK_QUEUE: &str = "task_queue";
const WORKFLOW_TYPE: &str = "workflow_type";
const ACTIVITY_TYPE: &str = "activity_type";

/// Labels whose values the SDK chooses. A label that is neither listed here nor has known
/// values always has the value [`OTHER`].
const OF_THE_SDK: [&str; 6] = [
    "operation",
    "status_code",
    "poller_type",
    "worker_type",
    "eager",
    "failure_reason",
];

/// The limits on label values and series, and the values seen so far.
#[derive(Debug)]
pub(super) struct Labels {
    /// For each label, its known values and the values that are shown instead of them.
    known: BTreeMap<&'static str, BTreeMap<String, String>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    values: BTreeMap<&'static str, BTreeSet<String>>,
    series: BTreeSet<Key>,
}

impl Labels {
    /// Creates the labels of a process that works in this namespace, on these queues.
    /// Each queue comes with the value that is shown instead of its name.
    pub(super) fn new(namespace: &str, queues: impl IntoIterator<Item = (String, String)>) -> Self {
        let same = |names: &[&str]| {
            let pairs = names
                .iter()
                .map(|name| ((*name).to_owned(), (*name).to_owned()));
            pairs.collect::<BTreeMap<_, _>>()
        };
        Self {
            known: BTreeMap::from([
                (NAMESPACE, same(&[namespace])),
                (TASK_QUEUE, queues.into_iter().collect()),
                (
                    WORKFLOW_TYPE,
                    same(&[RECONCILE_WORKFLOW, RUN_WORKFLOW, FOLLOW_WORKFLOW]),
                ),
                (ACTIVITY_TYPE, same(&contracts::ACTIVITIES)),
            ]),
            seen: Mutex::default(),
        }
    }

    /// Returns the value to show for `value` of the label `name`.
    pub(super) fn value(&self, name: &str, value: &str) -> String {
        if let Some(known) = self.known.get(name) {
            return known.get(value).map_or(OTHER, String::as_str).to_owned();
        }
        let Some(name) = OF_THE_SDK.into_iter().find(|one| *one == name) else {
            return OTHER.to_owned();
        };
        if value.len() > VALUE_LENGTH {
            return OTHER.to_owned();
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let values = seen.values.entry(name).or_default();
        if values.contains(value) {
            return value.to_owned();
        }
        if values.len() >= VALUES {
            return OTHER.to_owned();
        }
        values.insert(value.to_owned());
        value.to_owned()
    }

    /// Returns the key to record under. The key is `key` while there is room for its
    /// series; otherwise all its label values are [`OTHER`]. The flag is `true` if there
    /// was room.
    pub(super) fn bounded(&self, key: Key) -> (Key, bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.series.contains(&key) {
            return (key, true);
        }
        if seen.series.len() < SERIES {
            seen.series.insert(key.clone());
            return (key, true);
        }
        let labels = key
            .labels()
            .map(|label| Label::new(label.key().to_owned(), OTHER));
        let labels: Vec<_> = labels.collect();
        (Key::from_parts(key.name_shared(), labels), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        let queues = [("almanac-p".to_owned(), "almanac-p".to_owned())];
        Labels::new("default", queues)
    }

    #[test]
    fn a_name_of_the_namespace_is_known_or_other() {
        let labels = labels();
        for (name, known) in [
            ("namespace", "default"),
            ("task_queue", "almanac-p"),
            ("workflow_type", "RunDefinition"),
            ("workflow_type", "ReconcileSchedules"),
            ("activity_type", "almanac_http"),
        ] {
            assert_eq!(labels.value(name, known), known);
            let upper = known.to_uppercase();
            for unknown in ["", "Evil\"\n{}", "other ", "\u{202e}x", &upper] {
                assert_eq!(labels.value(name, unknown), OTHER, "{name} {unknown}");
            }
        }
        assert_eq!(labels.value("nexus_service", "x"), OTHER);
        assert_eq!(labels.value("", "x"), OTHER);
    }

    #[test]
    fn the_number_of_values_of_an_sdk_label_is_limited() {
        let labels = labels();
        let shown: BTreeSet<_> = (0..1000)
            .map(|n| labels.value("operation", &format!("Op{n}")))
            .collect();
        assert_eq!(shown.len(), VALUES + 1);
        assert_eq!(labels.value("operation", "Op3"), "Op3");
        assert_eq!(labels.value("operation", "New"), OTHER);
        assert_eq!(labels.value("status_code", &"x".repeat(101)), OTHER);
    }

    #[test]
    fn the_number_of_series_is_limited() {
        let labels = labels();
        let key = |n: usize| Key::from_parts("m", vec![Label::new("operation", n.to_string())]);
        for n in 0..SERIES {
            assert_eq!(labels.bounded(key(n)), (key(n), true));
        }
        let rest = Key::from_parts("m", vec![Label::new("operation", OTHER)]);
        assert_eq!(labels.bounded(key(SERIES)), (rest.clone(), false));
        assert_eq!(labels.bounded(key(SERIES + 1)), (rest, false));
        assert_eq!(labels.bounded(key(0)), (key(0), true));
    }
}
