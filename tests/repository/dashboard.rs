//! The dashboard for Grafana in `deploy/grafana`: each expression can be parsed and names metrics
//! and labels that exist, and Grafana can lay its panels out.

use std::collections::{BTreeMap, BTreeSet};

use almanac_tests::workspace;
use serde_json::Value;

use crate::promql::{Names, promtool};

const COLUMNS: u64 = 24;
/// Kinds of panels, all of them part of Grafana itself.
const KINDS: [&str; 4] = ["row", "stat", "table", "timeseries"];

fn dashboard() -> Value {
    let path = workspace().join("deploy/grafana/almanac.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 20, "{}", panels.len());
    panels
}

/// Every expression of the panels, with Grafana's variables replaced as Grafana does.
fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard)
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    targets
        .flatten()
        .map(|target| {
            let text = target["expr"].as_str().unwrap();
            text.replace("$__rate_interval", "5m")
                .replace("$project", ".*")
                .replace("$instance", ".*")
        })
        .collect()
}

#[test]
fn each_expression_can_be_parsed_and_names_metrics_that_exist() {
    let dashboard = dashboard();
    let expressions = expressions(&dashboard);
    let mut unknown = BTreeSet::new();
    for expression in &expressions {
        assert!(!expression.contains('$'), "{expression}");
        unknown.extend(Names::of(expression).unknown(&BTreeMap::new()));
    }
    assert!(unknown.is_empty(), "{unknown:?}");

    // promtool parses the expressions of rules only. JSON is YAML.
    let rules: Vec<_> = expressions
        .iter()
        .enumerate()
        .map(|(n, expr)| serde_json::json!({ "record": format!("panel:{n}"), "expr": expr }))
        .collect();
    let file = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), file.to_string()).unwrap();
    promtool(folder.path(), &["check", "rules", "rules.yaml"]);
}

#[test]
fn each_metric_is_on_the_dashboard() {
    let dashboard = dashboard();
    let expressions = expressions(&dashboard);
    let shown: BTreeSet<_> = expressions
        .iter()
        .flat_map(|expression| Names::of(expression).metrics)
        .map(|name| name.trim_end_matches("_bucket").trim_end_matches("_count"))
        .collect();
    for metric in almanac_activities::metrics::Metric::ALL {
        assert!(shown.contains(metric.as_str()), "{}", metric.as_str());
    }
}

#[test]
fn variables_choose_the_data_source_the_project_and_the_worker() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: BTreeSet<_> = variables
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["datasource", "instance", "project", "runbook"].into()
    );
    assert_eq!(variables[0]["type"], "datasource");
    assert_eq!(variables[0]["current"]["value"], "prometheus");
    for expression in panels(&dashboard)
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten()
        .map(|target| target["expr"].as_str().unwrap())
    {
        // Each selector of a metric is restricted to the chosen projects.
        let selectors = expression.matches('{').count();
        assert!(selectors > 0, "{expression}");
        assert_eq!(
            expression.matches("project=~\"$project\"").count(),
            selectors,
            "{expression}"
        );
    }
}

#[test]
fn panels_have_what_grafana_and_a_reader_need() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let kind = panel["type"].as_str().unwrap();
        assert!(KINDS.contains(&kind), "{title}: {kind}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, width, height) = (at("x"), at("y"), at("w"), at("h"));
        assert!(width > 0 && height > 0 && x + width <= COLUMNS, "{title}");
        for place in (y..y + height).flat_map(|y| (x..x + width).map(move |x| (x, y))) {
            let other = taken.insert(place, title);
            assert_eq!(other, None, "{title}: {place:?}");
        }
        if kind == "row" {
            continue;
        }
        assert!(
            panel["description"].as_str().unwrap().ends_with('.'),
            "{title}"
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}"
        );
        let targets = panel["targets"].as_array().unwrap();
        let letters: BTreeSet<_> = targets.iter().map(|one| one["refId"].as_str()).collect();
        assert!(!targets.is_empty() && letters.len() == targets.len());
    }
}

#[test]
fn panels_link_to_sections_of_the_runbook() {
    let dashboard = dashboard();
    let runbook = std::fs::read_to_string(workspace().join("docs/runbook.md")).unwrap();
    let sections: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_lowercase)
        .collect();
    let links = panels(&dashboard)
        .iter()
        .filter_map(|panel| panel["links"].as_array())
        .flatten()
        .filter_map(|link| link["url"].as_str().unwrap().split_once('#'));
    let linked: BTreeSet<_> = links.map(|(_, section)| section.to_owned()).collect();
    assert_eq!(linked, sections);
}
