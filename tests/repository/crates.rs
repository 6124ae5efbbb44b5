//! The crates' boundaries, as `docs/architecture.md` draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates that touch the world. `workflows` must not be able to name one.
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

/// The dependencies, but for those of tests, of each crate of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let crates = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let dependencies = dependencies.filter(|dependency| dependency["kind"] != "dev");
            (
                text(&package["name"]),
                dependencies
                    .map(|dependency| text(&dependency["name"]))
                    .collect(),
            )
        });
    crates.collect()
}

/// Which of the workspace's crates a crate imports.
fn imports(of: &str) -> Vec<String> {
    let all = dependencies();
    let imported = all[of].iter().filter(|name| all.contains_key(*name));
    imported.cloned().collect()
}

#[test]
fn workflows_imports_neither_of_the_others() {
    assert!(imports("almanac-workflows").is_empty());
}

#[test]
fn workflows_can_name_no_crate_that_touches_the_world() {
    let dependencies = &dependencies()["almanac-workflows"];
    let forbidden: Vec<_> = IO
        .iter()
        .filter(|name| dependencies.contains(**name))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    assert!(
        !dependencies.contains("temporalio-common"),
        "the part with I/O"
    );
    assert!(
        dependencies.contains("temporalio-common-wasm"),
        "the part without"
    );
}

#[test]
fn activities_imports_workflows_alone() {
    assert_eq!(imports("almanac-activities"), ["almanac-workflows"]);
}

#[test]
fn the_worker_imports_both() {
    assert_eq!(
        imports("almanac"),
        ["almanac-activities", "almanac-workflows"]
    );
}

#[test]
fn nothing_but_the_tests_imports_the_worker() {
    let importers: Vec<String> = dependencies()
        .into_iter()
        .filter(|(_, dependencies)| dependencies.contains("almanac"))
        .map(|(name, _)| name)
        .collect();
    assert!(
        importers.iter().all(|name| name == "almanac-tests"),
        "{importers:?}"
    );
}

#[test]
fn each_dependency_is_argued_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/dependencies.md")).unwrap();
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
