//! Definitions that start after others: unknown ids, and cycles.

use std::time::Duration;

use almanac_core::snapshot::Snapshot;

use super::*;

fn after(other: &str, more: &str) -> String {
    format!("triggers: [{{ after: {other}{more} }}]\ndo: [a: {{ wait: PT1S }}]\n")
}

async fn loaded(registry: &Arc<Registry>) -> Arc<Snapshot> {
    registry.reload(ReadDepth::Changed).await.unwrap();
    registry.snapshot()
}

#[tokio::test]
async fn a_cycle_keeps_the_last_good_versions() {
    let plain = "do: [a: { wait: PT1S }]\n";
    let folder = Folder::with(&[("a.yaml", &after("b", "")), ("b.yaml", plain)]);
    let registry = Registry::new(vec![folder.root()], Duration::ZERO);
    assert_eq!(loaded(&registry).await.failed, []);
    folder.save("b.yaml", &after("a", ""));
    folder.save("c.yaml", &after("a", ""));
    let snapshot = loaded(&registry).await;
    let errors: Vec<_> = snapshot
        .failed
        .iter()
        .map(|one| (one.source.as_str(), one.errors[0].message.as_str()))
        .collect();
    assert_eq!(
        errors,
        [
            ("a.yaml", "`after` closes a cycle: a -> b -> a"),
            ("b.yaml", "`after` closes a cycle: b -> a -> b"),
        ]
    );
    let status = |id: &str| snapshot.definitions[&id.parse().unwrap()].status;
    assert_eq!(
        (status("a"), status("b")),
        (LoadStatus::Stale, LoadStatus::Stale)
    );
    assert_eq!(status("c"), LoadStatus::Loaded);
    let b = &snapshot.definitions[&"b".parse().unwrap()].definition;
    assert!(b.triggers.is_empty());
    assert_eq!(snapshot.warnings, []);
    folder.save("b.yaml", &after("a", ", when: .data.x"));
    assert_eq!(loaded(&registry).await.failed, []);
}

#[tokio::test]
async fn a_cycle_is_never_served_by_a_worker_that_starts() {
    let folder = Folder::with(&[("a.yaml", &after("b", "")), ("b.yaml", &after("a", ""))]);
    let registry = Registry::new(vec![folder.root()], Duration::ZERO);
    let snapshot = loaded(&registry).await;
    assert_eq!((snapshot.failed.len(), snapshot.definitions.len()), (2, 0));
}

#[tokio::test]
async fn an_unknown_definition_is_a_warning_until_it_is_there() {
    let folder = Folder::with(&[("a.yaml", &after("b", ""))]);
    let registry = Registry::new(vec![folder.root()], Duration::ZERO);
    let snapshot = loaded(&registry).await;
    assert_eq!(snapshot.failed, []);
    assert_eq!(
        snapshot.warnings[0].message,
        "there is no definition `b`: nothing starts after it"
    );
    // One that fails is known.
    folder.save("b.yaml", "do: 5\n");
    assert_eq!(loaded(&registry).await.warnings, []);
}
