//! Time limits for many files, so wide that only a mistake exceeds them.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn ten_thousand_files_are_looked_at_in_a_moment() {
    let folder = Folder::new();
    let text = |cron: &str| {
        format!("schedule:\n  cron: \"{cron}\"\nworkflow:\n  type: Job\n  task_queue: jobs\n")
    };
    for n in 0..10_000 {
        let (hour, minute) = (n / 60 % 24, n % 60);
        let cron = format!("{minute} {hour} * * *");
        folder.write(&format!("{}/f{n}.yaml", n % 100), &text(&cron));
    }
    let registry = Registry::new(vec![folder.root()], Duration::ZERO);
    let started = Instant::now();
    registry.reload(ReadDepth::Changed).await.unwrap();
    let first = started.elapsed();
    assert_eq!(registry.snapshot().definitions.len(), 10_000);
    registry.changed().await;

    let started = Instant::now();
    registry.reload(ReadDepth::Contents).await.unwrap();
    let full = started.elapsed();

    folder.save("7/f7.yaml", &text("0 0 1 1 *"));
    let started = Instant::now();
    registry.reload(ReadDepth::Changed).await.unwrap();
    let edit = started.elapsed();
    let summary = registry.changed().await;
    assert_eq!(summary.changed, Some(vec!["f7".parse().unwrap()]));

    // Unoptimised, on a busy machine.
    tracing::info!("first {first:?}, contents {full:?}, one edit {edit:?}");
    assert!(first < Duration::from_mins(5), "{first:?}");
    assert!(full < Duration::from_mins(1), "{full:?}");
    assert!(edit < Duration::from_mins(1), "{edit:?}");
}

#[tokio::test]
async fn documents_beyond_the_limit_are_left_out_and_reported() {
    let folder = Folder::new();
    for file in 0..11 {
        let documents = (0..5_000).map(|n| document(&format!("d{file:02}-{n}"), "1"));
        let text = documents.collect::<Vec<_>>().join("---\n");
        folder.write(&format!("f{file:02}.yaml"), &text);
    }
    let registry = folder.registry();
    registry.reload(ReadDepth::Changed).await.unwrap();
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.definitions.len(), 50_000);
    assert_eq!(
        snapshot.incomplete,
        ["there are more than 50000 documents; `f10.yaml:1` and those after it are not loaded"]
    );
}
