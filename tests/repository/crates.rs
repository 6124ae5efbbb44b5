//! The crates' boundaries, as `docs/architecture.md` draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The crates of the workspace that each crate may import, from the bottom up: a crate
/// imports only those above it in this list.
const LAYERS: [(&str, &[&str]); 9] = [
    ("almanac-base", &[]),
    ("almanac-times", &["almanac-base"]),
    ("almanac-jq", &["almanac-base"]),
    ("almanac-events", &["almanac-base", "almanac-jq"]),
    (
        "almanac-steps",
        &["almanac-base", "almanac-events", "almanac-jq"],
    ),
    (
        "almanac-core",
        &[
            "almanac-base",
            "almanac-events",
            "almanac-steps",
            "almanac-times",
        ],
    ),
    (
        "almanac-workflows",
        &[
            "almanac-base",
            "almanac-core",
            "almanac-events",
            "almanac-steps",
        ],
    ),
    (
        "almanac-activities",
        &[
            "almanac-base",
            "almanac-core",
            "almanac-events",
            "almanac-steps",
            "almanac-times",
            "almanac-workflows",
        ],
    ),
    (
        "almanac",
        &[
            "almanac-activities",
            "almanac-base",
            "almanac-core",
            "almanac-events",
            "almanac-steps",
            "almanac-times",
            "almanac-workflows",
        ],
    ),
];
/// Number of layers without I/O: the engines, the model, the workflows.
const PURE: usize = 7;

/// Crates that touch the world. No pure layer may be able to name one.
const IO: [&str; 15] = [
    "arc-swap",
    "async-nats",
    "axum",
    "hyper",
    "metrics",
    "notify",
    "notify-debouncer-full",
    "rand",
    "reqwest",
    "temporalio-client",
    "temporalio-sdk",
    "temporalio-sdk-core",
    "tokio",
    "tonic",
    "tracing-subscriber",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The dependencies, but for those of tests, of each crate of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut crates = BTreeMap::new();
    for package in packages() {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies.filter(|dependency| dependency["kind"] != "dev");
        let names = dependencies.map(|dependency| text(&dependency["name"]));
        crates.insert(text(&package["name"]), names.collect());
    }
    crates
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The crates of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    metadata(&["--no-deps"])
}

/// Crates, as cargo describes them.
fn metadata(flags: &[&str]) -> Vec<Value> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root())
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(flags)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Cargo checks this only when it chooses versions, and an edited lock file may hold others.
#[test]
fn no_dependency_needs_a_newer_compiler_than_the_workspace() {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    let all = metadata(&["--locked", "--filter-platform", host.unwrap()]);
    let version = |package: &Value| -> Option<Vec<u64>> {
        let mut numbers: Vec<u64> = package["rust_version"]
            .as_str()?
            .split('.')
            .map(|number| number.parse().unwrap())
            .collect();
        numbers.resize(3, 0);
        Some(numbers)
    };
    let package = all.iter().find(|package| package["name"] == "almanac");
    let oldest = version(package.unwrap()).expect("Cargo.toml names the oldest compiler");
    let stated: Vec<&Value> = all.iter().filter(|one| version(one).is_some()).collect();
    assert!(stated.len() > 100, "only {} crates state one", stated.len());
    let newer: Vec<String> = stated
        .into_iter()
        .filter(|one| version(one).as_ref() > Some(&oldest))
        .map(|one| format!("{} {}", text(&one["name"]), text(&one["rust_version"])))
        .collect();
    assert!(newer.is_empty(), "newer than {oldest:?}: {newer:?}");
}

#[test]
fn each_crate_imports_those_below_it_that_it_may() {
    let all = dependencies();
    for (index, (name, may)) in LAYERS.iter().enumerate() {
        let imported: Vec<&str> = all[*name]
            .iter()
            .map(String::as_str)
            .filter(|one| all.contains_key(*one))
            .collect();
        assert_eq!(imported, *may, "{name}");
        let below: BTreeSet<&str> = LAYERS[..index].iter().map(|(name, _)| *name).collect();
        assert!(may.iter().all(|one| below.contains(one)), "{name}");
    }
    let known: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let others: Vec<&String> = all
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert_eq!(
        others,
        ["almanac-fuzz", "almanac-tests", "custom-worker"],
        "crates without a layer"
    );
}

#[test]
fn no_pure_crate_can_name_functions_with_side_effects() {
    let all = dependencies();
    for (name, _) in &LAYERS[..PURE] {
        let dependencies = &all[*name];
        let forbidden: Vec<_> = IO
            .iter()
            .filter(|name| dependencies.contains(**name))
            .collect();
        assert!(forbidden.is_empty(), "{name}: {forbidden:?}");
        let temporal = dependencies
            .iter()
            .any(|name| name.starts_with("temporalio"));
        assert_eq!(temporal, *name == "almanac-workflows", "{name}");
        assert!(
            !dependencies.contains("temporalio-common"),
            "the part with I/O"
        );
    }
    assert!(
        all["almanac-workflows"].contains("temporalio-common-wasm"),
        "the part without"
    );
}

/// Clippy takes the nearest file above a manifest: one for the engines and the
/// model, one for the workflows.
#[test]
fn the_bans_of_the_engines_are_those_of_the_workflows() {
    let read = |path| std::fs::read_to_string(root().join(path)).unwrap();
    assert_eq!(read("crates/clippy.toml"), read("workflows/clippy.toml"));
}

#[test]
fn only_the_tests_and_the_example_import_the_worker() {
    let importers: Vec<String> = dependencies()
        .into_iter()
        .filter(|(_, dependencies)| dependencies.contains("almanac"))
        .map(|(name, _)| name)
        .collect();
    assert!(
        importers
            .iter()
            .all(|name| ["almanac-tests", "custom-worker"].contains(&name.as_str())),
        "{importers:?}"
    );
}

#[test]
fn each_dependency_is_argued_for() {
    let page = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let all = dependencies();
    let direct = all
        .values()
        .flatten()
        .filter(|name| !all.contains_key(*name));
    let missing: BTreeSet<_> = direct
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/dependencies.md: {missing:?}"
    );
}

#[test]
fn each_crate_that_is_argued_for_is_a_dependency() {
    let page = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let mut used = BTreeSet::new();
    for package in packages() {
        for dependency in package["dependencies"].as_array().unwrap() {
            used.insert(text(&dependency["name"]));
            used.extend(dependency["rename"].as_str().map(str::to_owned));
        }
    }
    let mut argued = BTreeSet::new();
    for table in page.split("| crate |").skip(1) {
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        for row in rows {
            let first = row.split('|').nth(1).unwrap();
            argued.extend(first.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    assert!(argued.len() > 40, "{argued:?}");
    let unused: Vec<_> = argued.difference(&used).collect();
    assert!(unused.is_empty(), "docs/dependencies.md: {unused:?}");
}
