//! Many files: bounds that only a mistake exceeds.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn ten_thousand_files_are_looked_at_in_a_moment() {
    let folder = Folder::new();
    for n in 0..10_000 {
        folder.write(
            &format!("{}/f{n}.yaml", n % 100),
            &document(&format!("f{n}"), "1"),
        );
    }
    let registry = folder.registry();
    reloaded(&registry).await;
    assert_eq!(registry.snapshot().definitions.len(), 10_000);

    folder.save("7/f7.yaml", &document("f7", "2"));
    let started = Instant::now();
    registry.changed().await;
    reloaded(&registry).await;
    assert_eq!(
        registry.changed().await.changed,
        Some(vec!["f7".parse().unwrap()])
    );
    let took = started.elapsed();
    println!("{took:?}");
    // Unoptimised, on a busy machine.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
