//! The reloads that a registry remembers.

use super::super::{RELOAD_NAMES, RELOADS_KEPT, RecentReload, ReloadNames};
use super::*;

fn names(named: &ReloadNames) -> String {
    format!("{} {}", named.count, named.names.join(","))
}

/// The cause and the changes of a reload.
fn words(reload: &RecentReload) -> String {
    let changes = &reload.changes;
    let lists = [
        ("added", &changes.added),
        ("changed", &changes.changed),
        ("removed", &changes.removed),
        ("newly invalid", &changes.newly_invalid),
        ("valid again", &changes.valid_again),
    ];
    let lists = lists.iter().filter(|(_, named)| named.count > 0);
    let lists: Vec<_> = lists
        .map(|(word, named)| format!("{word} {}", names(named)))
        .collect();
    let (total, invalid) = (changes.total, changes.invalid);
    format!(
        "{:?} {}: {total}, {invalid}: {}",
        reload.cause,
        reload.by,
        lists.join("; ")
    )
}

#[tokio::test]
async fn reloads_are_remembered_with_their_cause_and_changes() {
    let folder = Folder::with(&[
        ("a.yaml", &document("a", "1")),
        ("b.yaml", &document("b", "1")),
    ]);
    let registry = folder.registry();
    registry.reload(ReadDepth::Changed).await.unwrap();
    // Nothing changed: there is nothing to remember.
    registry.reload(ReadDepth::Contents).await.unwrap();
    folder.save("a.yaml", &document("a", "2"));
    folder.save("c.yaml", &document("c", "1"));
    registry.reload(ReadDepth::Changed).await.unwrap();
    folder.save("a.yaml", "id: a\n2\n");
    folder.save("nobody.yaml", "x\n");
    registry.reload(ReadDepth::Unconfirmed).await.unwrap();
    folder.save("a.yaml", &document("a", "2"));
    folder.remove("nobody.yaml");
    folder.remove("b.yaml");
    registry.reload_for("ann".to_owned()).await.unwrap();
    let all = registry.recent_reloads();
    let shown: Vec<_> = all.iter().rev().map(words).collect();
    assert_eq!(
        shown,
        [
            "Start : 2, 0: added 2 a,b",
            "Change : 3, 0: added 1 c; changed 1 a",
            "Timer : 3, 2: newly invalid 2 a,nobody.yaml",
            "Request ann: 2, 0: removed 1 b; valid again 2 a,nobody.yaml",
        ]
    );
    assert_eq!(all[0].revision, registry.snapshot().revision);
    assert!(
        all.iter()
            .all(|one| one.error.is_none() && !one.changes.incomplete)
    );
    fs::remove_dir_all(folder.root()).unwrap();
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert!(registry.recent_reloads()[0].changes.incomplete);
}

#[tokio::test]
async fn no_more_reloads_and_names_are_remembered_than_the_limits() {
    let folder = Folder::new();
    let many: Vec<_> = (0..3 * RELOAD_NAMES)
        .map(|n| document(&format!("d{n:02}"), "1"))
        .collect();
    folder.write("many.yaml", &many.join("---\n"));
    let registry = folder.registry();
    registry.reload(ReadDepth::Changed).await.unwrap();
    let first = &registry.recent_reloads()[0].changes.added;
    assert_eq!(first.count, 3 * RELOAD_NAMES as u64);
    assert_eq!(first.names.len(), RELOAD_NAMES);
    for n in 0..=RELOADS_KEPT {
        folder.save("a.yaml", &document("a", &format!("{n}")));
        registry.reload(ReadDepth::Changed).await.unwrap();
    }
    let all = registry.recent_reloads();
    assert_eq!(all.len(), RELOADS_KEPT);
    assert!(all.is_sorted_by(|one, next| one.at >= next.at));
    assert_eq!(words(&all[RELOADS_KEPT - 1]), "Change : 31, 0: changed 1 a");
}

/// The name of a file may be as long as the file system allows.
#[tokio::test]
async fn long_names_are_cut() {
    let folder = Folder::new();
    let long = format!("{}/{}.yaml", "x".repeat(200), "y".repeat(200));
    folder.write(&long, "x\n");
    let registry = folder.registry();
    registry.reload(ReadDepth::Changed).await.unwrap();
    let name = &registry.recent_reloads()[0].changes.newly_invalid.names[0];
    assert!((150..=200).contains(&name.len()), "{}", name.len());
}
