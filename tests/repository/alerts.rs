//! The rules for Prometheus in `deploy/prometheus`: they do what their unit tests say, name metrics
//! that exist, and each alert has a section of the runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use almanac_activities::metrics::{Kind, Metric};
use almanac_tests::workspace;

use crate::promql::{Names, labels_of, promtool};

const RUNBOOK: &str = "docs/runbook.md";

fn folder() -> PathBuf {
    workspace().join("deploy/prometheus")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// The values of a key, one on each line of a YAML file.
fn values<'t>(text: &'t str, key: &str) -> BTreeSet<&'t str> {
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(key)).collect()
}

#[test]
fn the_rules_do_what_their_tests_say() {
    promtool(&folder(), &["check", "rules", "rules.yaml"]);
    promtool(&folder(), &["test", "rules", "rules_test.yaml"]);
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_a_section_of_the_runbook() {
    let rules = read("rules.yaml");
    let alerts = values(&rules, "alert: ");
    assert!(alerts.len() > 10, "{alerts:?}");
    let tests = read("rules_test.yaml");
    let fires: BTreeSet<_> = alerts
        .iter()
        .copied()
        .filter(|alert| tests.contains(&format!("{RUNBOOK}#{}\n", alert.to_lowercase())))
        .collect();
    assert_eq!(fires, alerts);
    let runbook = std::fs::read_to_string(workspace().join(RUNBOOK)).unwrap();
    assert_eq!(values(&runbook, "## "), alerts);
    let named: BTreeSet<_> = values(&rules, &format!("runbook: {RUNBOOK}#"));
    let expected: BTreeSet<_> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    assert!(
        named
            .iter()
            .copied()
            .eq(expected.iter().map(String::as_str))
    );
}

/// The expressions of the rules: each after `expr:`, or in the block that follows it.
fn expressions(rules: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut block = None;
    for line in rules.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(text) = line.trim_start().strip_prefix("expr: ") {
            block = (text == "|-").then_some(indent);
            found.push(block.map_or(text, |_| "").to_owned());
        } else if block.is_some_and(|start| indent > start) {
            let last = found.last_mut().unwrap();
            last.push_str(line.trim_start());
            last.push('\n');
        } else {
            block = None;
        }
    }
    found
}

#[test]
fn the_rules_name_metrics_and_labels_that_exist() {
    let rules = read("rules.yaml");
    let expressions = expressions(&rules);
    let rule_count = values(&rules, "alert: ").len() + values(&rules, "record: ").len();
    assert_eq!(expressions.len(), rule_count);
    // The records come first. Each has the labels of the metrics in its expression.
    let records = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "));
    let recorded: BTreeMap<_, _> = records
        .zip(&expressions)
        .map(|(name, expression)| {
            let metrics = Names::of(expression).metrics.into_iter();
            (name, metrics.filter_map(labels_of).flatten().collect())
        })
        .collect();
    let mut used = BTreeSet::new();
    for expression in &expressions {
        let names = Names::of(expression);
        let unknown = names.unknown(&recorded);
        assert!(unknown.is_empty(), "{unknown:?} in {expression}");
        used.extend(names.metrics);
    }
    let unused: Vec<_> = recorded
        .keys()
        .filter(|name| !used.contains(**name))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");

    // Each failure that Almanac counts has an alert.
    for metric in Metric::ALL
        .into_iter()
        .filter(|one| one.kind() == Kind::Counter)
    {
        // A pass that fails has no success, which has an alert.
        let is_no_failure = matches!(metric, Metric::ReconcileTotal | Metric::DriftCorrected);
        let name = metric.as_str();
        assert!(is_no_failure || used.contains(name), "{name}");
    }
}

#[test]
fn the_contract_lists_each_metric_with_its_labels() {
    let contract = std::fs::read_to_string(workspace().join("docs/contract.md")).unwrap();
    let (_, section) = contract.split_once("## 9. Metrics").unwrap();
    for metric in Metric::ALL {
        let name = format!("`{}`", metric.as_str().strip_prefix("almanac_").unwrap());
        let row = section.lines().find(|line| line.contains(&name));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        for label in metric.labels() {
            assert!(row.contains(&format!("`{label}`")), "{label}: {row}");
        }
    }
}
