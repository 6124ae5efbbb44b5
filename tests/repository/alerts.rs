//! The rules for Prometheus in `deploy/prometheus`: they do what their unit tests say, name metrics
//! that exist, and each alert has a section of the runbook.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use almanac_activities::metrics::{Kind, Metric};
use almanac_tests::workspace;

const RUNBOOK: &str = "docs/runbook.md";

/// Runs promtool, which has to succeed.
fn promtool(args: &[&str]) {
    let program = workspace().join(".tools/bin/promtool");
    assert!(
        program.exists(),
        "no promtool at {}: run `make tools`",
        program.display()
    );
    let output = Command::new(program)
        .args(args)
        .current_dir(folder())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

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
    promtool(&["check", "rules", "rules.yaml"]);
    promtool(&["test", "rules", "rules_test.yaml"]);
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

#[test]
fn the_rules_name_metrics_that_exist() {
    let rules = read("rules.yaml");
    let is_part = |c: char| !(c.is_ascii_lowercase() || c == '_' || c == ':');
    let named: BTreeSet<_> = rules
        .split(is_part)
        .filter(|word| word.starts_with("almanac_"))
        .collect();
    let known: BTreeSet<_> = Metric::ALL.into_iter().map(Metric::as_str).collect();
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(named.len() > 10 && unknown.is_empty(), "{unknown:?}");

    let recorded = values(&rules, "record: ");
    let used: BTreeSet<_> = rules
        .split(is_part)
        .filter(|word| word.starts_with("almanac:"))
        .collect();
    assert_eq!(used, recorded);

    // Each failure that Almanac counts has an alert.
    for metric in Metric::ALL
        .into_iter()
        .filter(|one| one.kind() == Kind::Counter)
    {
        // A pass that fails has no success, which has an alert.
        let is_no_failure = matches!(metric, Metric::ReconcileTotal | Metric::DriftCorrected);
        let name = metric.as_str();
        assert!(is_no_failure || named.contains(name), "{name}");
    }
}
