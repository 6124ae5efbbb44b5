//! The names in expressions of Prometheus: they have to exist.
//!
//! promtool checks the syntax. Prometheus itself accepts any name, and a misspelt one finds nothing
//! for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use almanac_activities::metrics::{Kind, Metric};
use almanac_tests::{SDK_METRICS, workspace};

/// Labels that Prometheus or an operator gives to a target, and so to each of its series.
const OF_TARGETS: [&str; 4] = ["instance", "job", "pod", "project"];
/// Series of Prometheus itself, with their labels.
const OF_PROMETHEUS: [(&str, &[&str]); 1] = [("ALERTS", &["alertname", "alertstate", "severity"])];
/// Words of an expression that name neither a metric nor a function, and the clauses that list
/// labels.
const OPERATORS: [&str; 5] = ["and", "bool", "offset", "or", "unless"];
const CLAUSES: [&str; 6] = [
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "on",
    "without",
];

/// Runs promtool in a folder, which has to succeed.
pub(crate) fn promtool(folder: &Path, args: &[&str]) {
    let program = workspace().join(".tools/bin/promtool");
    assert!(
        program.exists(),
        "no promtool at {}: run `make tools`",
        program.display()
    );
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

/// The names in an expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names<'e> {
    pub(crate) metrics: BTreeSet<&'e str>,
    pub(crate) labels: BTreeSet<&'e str>,
}

impl<'e> Names<'e> {
    /// Reads the names of an expression whose syntax is correct.
    pub(crate) fn of(expression: &'e str) -> Self {
        let mut names = Self::default();
        let words = words(expression);
        let mut in_clause = false;
        let mut in_braces = false;
        for (at, word) in words.iter().copied().enumerate() {
            let next = words.get(at + 1).copied().unwrap_or_default();
            let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            match word {
                "{" => in_braces = true,
                "}" => in_braces = false,
                ")" => in_clause = false,
                _ if !is_name => {}
                _ if in_braces || in_clause => _ = names.labels.insert(word),
                _ if CLAUSES.contains(&word) => in_clause = next == "(",
                _ if OPERATORS.contains(&word) => {}
                // A function or an aggregation.
                _ if next == "(" || CLAUSES.contains(&next) => {}
                _ => _ = names.metrics.insert(word),
            }
        }
        names
    }

    /// The names that do not exist, or are labels that none of the metrics has. `recorded` has the
    /// labels of the series that rules record.
    pub(crate) fn unknown(
        &self,
        recorded: &BTreeMap<&str, BTreeSet<&'static str>>,
    ) -> BTreeSet<&'e str> {
        let mut unknown = BTreeSet::new();
        let mut labels = BTreeSet::from(OF_TARGETS);
        for metric in &self.metrics {
            let known = labels_of(metric).or_else(|| recorded.get(metric).cloned());
            match known {
                Some(known) => labels.extend(known),
                None => _ = unknown.insert(*metric),
            }
        }
        unknown.extend(self.labels.difference(&labels));
        unknown
    }
}

/// The labels of a metric of Almanac, of the SDK or of Prometheus; `None` if there is no such
/// metric.
pub(crate) fn labels_of(name: &str) -> Option<BTreeSet<&'static str>> {
    let others = SDK_METRICS.iter().chain(&OF_PROMETHEUS);
    if let Some((_, labels)) = others.into_iter().find(|(known, _)| *known == name) {
        return Some(labels.iter().copied().collect());
    }
    let mut parts = ["_bucket", "_count", "_sum"].into_iter();
    let (histogram, part) = parts
        .find_map(|part| Some((name.strip_suffix(part)?, part)))
        .unwrap_or((name, ""));
    let metric = Metric::ALL.into_iter().find(|metric| {
        metric.as_str() == histogram && (metric.kind() == Kind::Seconds) != part.is_empty()
    })?;
    let le = (part == "_bucket").then_some("le");
    Some(metric.labels().iter().copied().chain(le).collect())
}

/// The words and signs of an expression, without texts, numbers, durations and ranges.
fn words(expression: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        let length = match first {
            '"' => 2 + rest[1..].find('"').unwrap(),
            '[' => 1 + rest.find(']').unwrap(),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        if is_word(first) || matches!(first, '(' | ')' | '{' | '}') {
            words.push(word);
        }
        rest = after;
    }
    words
}

#[test]
fn names_of_metrics_and_labels_are_found_in_expressions() {
    let names = Names::of(
        "histogram_quantile(0.9, sum by (project, le) (rate(a_bucket{state=~\"by (x)\"}[5m])))\n\
         / on (pod) group_left () (b:c unless b:c offset 15m) > 1e3",
    );
    let expected = Names {
        metrics: ["a_bucket", "b:c"].into(),
        labels: ["le", "pod", "project", "state"].into(),
    };
    assert_eq!(names, expected);
    let none = BTreeMap::new();
    let unknown = |expression| Names::of(expression).unknown(&none);
    assert_eq!(
        unknown("almanac_schedules{state=\"held\",job=\"x\"}"),
        [].into()
    );
    assert_eq!(
        unknown("almanac_schedules{status=\"held\"}"),
        ["status"].into()
    );
    assert_eq!(
        unknown("sum by (le) (almanac_reload_duration_seconds_bucket)"),
        [].into()
    );
    assert_eq!(
        unknown("almanac_schedule + almanac_reload_duration_seconds + almanac_schedules_count"),
        [
            "almanac_reload_duration_seconds",
            "almanac_schedule",
            "almanac_schedules_count"
        ]
        .into()
    );
}
