//! The definitions that are kept when documents, files or folders fail or go away.

use std::fs;

use insta::assert_snapshot;

use super::*;

#[tokio::test]
async fn a_broken_document_keeps_its_last_good_version_until_it_heals() {
    let folder = Folder::with(&[
        ("a.yaml", &document("a", "1")),
        ("b.yaml", &document("b", "1")),
    ]);
    let registry = folder.registry();
    reloaded(&registry).await;

    folder.save("a.yaml", "id: a\n2\n");
    folder.save("b.yaml", &document("b", "2"));
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (a.yaml, stale)
    b: 2 (b.yaml)
    invalid a (a.yaml): a.yaml:1:1: document does not end
    ");

    folder.save("a.yaml", &document("a", "3"));
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 3 (a.yaml)
    b: 2 (b.yaml)
    ");
}

#[tokio::test]
async fn a_file_half_written_at_any_byte_loses_nothing() {
    let whole = format!(
        "{}---\n{}",
        document("nightly", "1"),
        document("weekly", "1")
    );
    let folder = Folder::with(&[("a.yaml", &whole)]);
    let registry = folder.registry();
    reloaded(&registry).await;
    for length in 0..whole.len() {
        folder.write("a.yaml", &whole[..length]);
        reloaded(&registry).await;
        let snapshot = registry.snapshot();
        let first = snapshot.definitions.keys().next().unwrap().as_str();
        assert_eq!(first, "nightly", "at byte {length}");
        // A file that ends where a document does is as good as a whole one.
        let written = whole[..length].trim_end_matches(['-', '\n']);
        let kept = snapshot
            .definitions
            .keys()
            .any(|id| id.as_str() == "weekly");
        assert!(kept || written.ends_with("end"), "at byte {length}");
        folder.write("a.yaml", &whole);
        reloaded(&registry).await;
    }
}

#[tokio::test]
async fn a_broken_file_after_a_restart_states_its_id() {
    let folder = Folder::with(&[("a.yaml", "id: a\n")]);
    assert_snapshot!(reloaded(&folder.registry()).await, @"invalid a (a.yaml): a.yaml:1:1: document does not end");
}

#[tokio::test]
async fn an_unreadable_file_keeps_all_its_definitions() {
    let text = format!("{}---\n{}", document("a", "1"), document("b", "1"));
    let folder = Folder::with(&[("x.yaml", &text)]);
    let registry = folder.registry();
    reloaded(&registry).await;
    folder.remove("x.yaml");
    folder.link("x.yaml", "nowhere");
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (x.yaml:1, stale)
    b: 1 (x.yaml:5, stale)
    invalid ? (x.yaml): x.yaml:1:1: the link is broken: no such file or directory
    ");
    folder.remove("x.yaml");
    assert_snapshot!(reloaded(&registry).await, @r"
    archived a (x.yaml:1)
    archived b (x.yaml:5)
    ");
}

#[tokio::test]
async fn a_document_with_an_unreadable_id_keeps_the_definitions_it_may_be() {
    let both = format!("{}---\n{}", document("a", "1"), document("b", "1"));
    let folder = Folder::with(&[("x.yaml", &both)]);
    let registry = folder.registry();
    reloaded(&registry).await;
    folder.save(
        "x.yaml",
        &format!("{}---\nid: \n1\nend\n", document("a", "2")),
    );
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 2 (x.yaml:1)
    b: 1 (x.yaml:5, stale)
    invalid ? (x.yaml:5): x.yaml:5:1: id: missing
    ");
}

#[tokio::test]
async fn a_document_removed_beside_a_known_broken_one_is_removed() {
    let parts = ["a", "b", "c"].map(|id| document(id, "1"));
    let folder = Folder::with(&[("x.yaml", &parts.join("---\n"))]);
    let registry = folder.registry();
    reloaded(&registry).await;
    folder.save("x.yaml", &format!("id: a\n---\n{}", document("c", "1")));
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (x.yaml:1, stale)
    c: 1 (x.yaml:3)
    invalid a (x.yaml:1): x.yaml:1:1: document does not end
    archived b (x.yaml:5)
    ");
}

#[tokio::test]
async fn documents_with_one_id_are_all_invalid_and_the_served_one_stays() {
    let (first, second) = (
        Folder::with(&[("a.yaml", &document("a", "1"))]),
        Folder::with(&[("c.yaml", &document("c", "1"))]),
    );
    let registry = registry(&[first.root(), second.root()]);
    reloaded(&registry).await;
    second.write("copy/a.yaml", &document("a", "2"));
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (a.yaml, stale)
    c: 1 (c.yaml)
    invalid a (a.yaml): a.yaml:1:1: id: `a` is also the id of another document: copy/a.yaml:1
    invalid a (copy/a.yaml): copy/a.yaml:1:1: id: `a` is also the id of another document: a.yaml:1
    ");
    first.remove("a.yaml");
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 2 (copy/a.yaml)
    c: 1 (c.yaml)
    ");
}

#[tokio::test]
async fn a_definition_that_moves_to_another_file_is_always_served() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    let registry = folder.registry();
    reloaded(&registry).await;
    registry.changed().await;
    fs::rename(folder.path("a.yaml"), folder.path("z.yaml")).unwrap();
    assert_snapshot!(reloaded(&registry).await, @"a: 1 (z.yaml)");
    assert_eq!(registry.changed().await.changed, Some(vec![]));
}

#[tokio::test]
async fn a_folder_that_vanishes_keeps_its_definitions_until_it_was_seen_twice() {
    let folder = Folder::with(&[
        ("defs/a.yaml", &document("a", "1")),
        ("defs/b.yaml", &document("b", "1")),
    ]);
    let registry = registry(&[folder.path("defs")]);
    reloaded(&registry).await;

    fs::rename(folder.path("defs"), folder.path("away")).unwrap();
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (a.yaml, stale)
    b: 1 (b.yaml, stale)
    incomplete: folder `FOLDER` is missing
    ");

    // The folder returns file by file: files that are back are read, and the definitions
    // of missing files are kept.
    folder.write("defs/b.yaml", &document("b", "2"));
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (a.yaml, stale)
    b: 2 (b.yaml)
    incomplete: folder `FOLDER` was replaced, and has not been seen twice with the same contents
    ");
    folder.write("defs/a.yaml", &document("a", "2"));
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 2 (a.yaml)
    b: 2 (b.yaml)
    incomplete: folder `FOLDER` was replaced, and has not been seen twice with the same contents
    ");
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 2 (a.yaml)
    b: 2 (b.yaml)
    ");
}

#[tokio::test]
async fn a_replaced_folder_is_trusted_when_it_is_read_twice() {
    let folder = Folder::with(&[
        ("defs/a.yaml", &document("a", "1")),
        ("next/b.yaml", &document("b", "1")),
    ]);
    let registry = registry(&[folder.path("defs")]);
    reloaded(&registry).await;
    fs::rename(folder.path("defs"), folder.path("away")).unwrap();
    fs::rename(folder.path("next"), folder.path("defs")).unwrap();
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (a.yaml, stale)
    b: 1 (b.yaml)
    incomplete: folder `FOLDER` was replaced, and has not been seen twice with the same contents
    ");
    assert_snapshot!(reloaded(&registry).await, @r"
    b: 1 (b.yaml)
    archived a (a.yaml)
    ");
}

#[tokio::test]
async fn a_folder_that_is_missing_at_the_start_is_no_empty_one() {
    let folder = Folder::with(&[("file", "x")]);
    let registry = registry(&[folder.path("missing"), folder.path("file")]);
    assert_snapshot!(reloaded(&registry).await, @r"
    incomplete: folder `FOLDER` is missing
    incomplete: folder `FOLDER` is not a folder
    ");
}

#[tokio::test]
async fn one_folder_missing_harms_no_other() {
    let (first, second) = (
        Folder::with(&[("a.yaml", &document("a", "1"))]),
        Folder::with(&[("b.yaml", &document("b", "1"))]),
    );
    let registry = registry(&[first.root(), second.root()]);
    reloaded(&registry).await;
    fs::remove_dir_all(first.root()).unwrap();
    second.save("b.yaml", &document("b", "2"));
    assert_snapshot!(reloaded(&registry).await, @r"
    a: 1 (a.yaml, stale)
    b: 2 (b.yaml)
    incomplete: folder `FOLDER` is missing
    ");
}

#[tokio::test]
async fn a_volume_that_is_swapped_is_seen_before_or_after_and_never_between() {
    let folder = Folder::new();
    let make = |n: usize| {
        for id in ["a", "b", "c"] {
            folder.write(&format!("..v{n}/{id}.yaml"), &document(id, &n.to_string()));
        }
        folder.link("..data_tmp", format!("..v{n}"));
        fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        if n > 0 {
            fs::remove_dir_all(folder.path(&format!("..v{}", n - 1))).unwrap();
        }
    };
    make(0);
    for id in ["a", "b", "c"] {
        folder.link(&format!("{id}.yaml"), format!("..data/{id}.yaml"));
    }
    let registry = folder.registry();
    reloaded(&registry).await;
    for n in 1..50 {
        let reading = tokio::spawn({
            let registry = Arc::clone(&registry);
            async move { registry.reload(ReadDepth::Changed).await.unwrap() }
        });
        make(n);
        reading.await.unwrap();
        let all = shown(&registry);
        let version = |n: usize| format!("a: {n} (a.yaml)\nb: {n} (b.yaml)\nc: {n} (c.yaml)\n");
        assert!(all == version(n) || all == version(n - 1), "{n}: {all}");
        let now = reloaded(&registry).await;
        assert_eq!(now, version(n));
    }
}

#[tokio::test]
async fn summaries_name_the_changes_unless_something_may_be_removed() {
    let folder = Folder::with(&[
        ("a.yaml", &document("a", "1")),
        ("b.yaml", &document("b", "1")),
    ]);
    let registry = folder.registry();
    reloaded(&registry).await;
    let first = registry.changed().await;
    assert_eq!(
        (first.previous.as_ref(), first.changed.as_ref()),
        (None, None)
    );
    assert_eq!((first.counts.total, first.counts.new), (2, 2));

    folder.save("b.yaml", &document("b", "2"));
    folder.save("c.yaml", &document("c", "1"));
    reloaded(&registry).await;
    let second = registry.changed().await;
    assert_eq!(second.previous, Some(first.revision));
    assert_eq!(
        second.changed,
        Some(vec!["b".parse().unwrap(), "c".parse().unwrap()])
    );
    assert_eq!((second.counts.new, second.counts.updated), (1, 1));

    // A schedule block that goes is a removal.
    folder.save("c.yaml", &document("c", "no schedule"));
    reloaded(&registry).await;
    assert_eq!(registry.changed().await.changed, None);

    // The removal of the last document with a protected id also counts as a removal.
    folder.save("d.yaml", "id: d\n");
    reloaded(&registry).await;
    assert_eq!(registry.changed().await.changed, Some(vec![]));
    folder.remove("d.yaml");
    reloaded(&registry).await;
    assert_eq!(registry.changed().await.changed, None);
}

#[tokio::test]
async fn pending_summaries_are_merged() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    let registry = folder.registry();
    reloaded(&registry).await;
    let start = registry.changed().await.revision;
    for text in ["2", "3"] {
        folder.save("a.yaml", &document("a", text));
        reloaded(&registry).await;
    }
    let summary = registry.changed().await;
    assert_eq!(summary.counts.updated, 2);
    folder.save("b.yaml", &document("b", "1"));
    reloaded(&registry).await;
    let all = summary.then(registry.changed().await);
    assert_eq!(all.previous, Some(start));
    assert_eq!(all.revision, registry.snapshot().revision);
    assert_eq!(
        all.changed,
        Some(vec!["a".parse().unwrap(), "b".parse().unwrap()])
    );
    assert_eq!(
        (all.counts.total, all.counts.new, all.counts.updated),
        (2, 1, 2)
    );
}

#[tokio::test]
async fn folders_are_listed_however_long_their_path_is() {
    let folder = Folder::with(&[
        ("a.yaml", &document("a", "1")),
        ("sub/b.yaml", &document("b", "1")),
    ]);
    let registry = folder.registry();
    reloaded(&registry).await;

    // Longer than the system takes at once. It is built from its end, since it
    // could not be built from its beginning.
    let name = "x".repeat(250);
    fs::remove_file(folder.path("sub/b.yaml")).unwrap();
    for _ in 0..20 {
        fs::create_dir(folder.path("wrap")).unwrap();
        fs::rename(folder.path("sub"), folder.path(&format!("wrap/{name}"))).unwrap();
        fs::rename(folder.path("wrap"), folder.path("sub")).unwrap();
    }
    folder.write("c.yaml", &document("c", "1"));
    let shown = reloaded(&registry)
        .await
        .replace(&name, "X")
        .replace("X/", "");
    assert_snapshot!(shown, @r"
    a: 1 (a.yaml)
    c: 1 (c.yaml)
    archived b (sub/b.yaml)
    ");
}

#[tokio::test]
async fn a_folder_with_a_broken_link_keeps_its_definitions() {
    let folder = Folder::with(&[("..data/sub/b.yaml", &document("b", "1"))]);
    folder.link("sub", "..data/sub");
    let registry = folder.registry();
    assert_snapshot!(reloaded(&registry).await, @"b: 1 (sub/b.yaml)");
    fs::remove_dir_all(folder.path("..data")).unwrap();
    assert_snapshot!(reloaded(&registry).await, @r"
    b: 1 (sub/b.yaml, stale)
    invalid ? (sub): sub:1:1: the link is broken: no such file or directory
    ");
}

/// A look from before is trusted as far as folders and files bear it out.
#[tokio::test]
async fn changes_during_a_scan_are_not_lost() {
    let folder = Folder::with(&[
        ("a.yaml", &document("a", "1")),
        ("b.yaml", &document("b", "1")),
    ]);
    let registry = folder.registry();
    registry.reload(ReadDepth::Changed).await.unwrap();
    let ids = || {
        registry
            .snapshot()
            .definitions
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let revision = |id: &str| {
        registry.snapshot().definitions[&id.parse().unwrap()]
            .definition
            .revision
            .clone()
    };

    // A file that comes after, and one that goes: their folder tells.
    let prepared = registry.prepare().await;
    folder.write("c.yaml", &document("c", "1"));
    registry
        .reload_from(prepared, ReadDepth::Changed)
        .await
        .unwrap();
    assert_eq!(ids(), ["a", "b", "c"]);
    let prepared = registry.prepare().await;
    folder.remove("c.yaml");
    registry
        .reload_from(prepared, ReadDepth::Changed)
        .await
        .unwrap();
    assert_eq!(ids(), ["a", "b"]);

    // A file that changes again after the preparation is not taken from the preparation.
    folder.save("a.yaml", &document("a", "2"));
    let prepared = registry.prepare().await;
    folder.write("a.yaml", &document("a", "3"));
    let before = revision("a");
    registry
        .reload_from(prepared, ReadDepth::Changed)
        .await
        .unwrap();
    let after = revision("a");
    assert_ne!(before, after);
    registry.reload(ReadDepth::Contents).await.unwrap();
    assert_eq!(revision("a"), after);
}

#[tokio::test]
async fn a_prepared_reload_reads_no_file_before_it_is_still() {
    // Longer than the first part takes on a busy machine.
    const STILL: Duration = Duration::from_secs(2);
    let folder = Folder::new();
    folder.write("a.yaml", &document("a", "1"));
    let loader = Loader::new(vec![folder.root()], STILL).with(parse, Duration::from_mins(1));
    let registry = Registry::with_loader(vec![folder.root()], loader, Codec::default());
    registry.reload(ReadDepth::Changed).await.unwrap();
    registry.changed().await;
    for is_late in [false, true] {
        folder.write("a.yaml", &document("a", if is_late { "2" } else { "3" }));
        let file = fs::metadata(folder.root().join("a.yaml")).unwrap();
        let written = file.modified().unwrap();
        let prepared = registry.prepare().await;
        assert!(prepared.is_some());
        if is_late {
            tokio::time::sleep(STILL).await;
            // What was prepared is what is served, and is not looked at again.
            assert!(prepared.as_ref().is_some_and(|it| it.speculative.holds()));
        } else {
            assert!(!prepared.as_ref().is_some_and(|it| it.speculative.holds()));
        }
        registry
            .reload_from(prepared, ReadDepth::Changed)
            .await
            .unwrap();
        assert!(written.elapsed().unwrap() >= STILL);
        let changed = registry.changed().await.changed;
        assert_eq!(changed, Some(vec!["a".parse().unwrap()]));
    }
}

#[tokio::test]
async fn a_reload_prepared_before_another_one_is_discarded() {
    let folder = Folder::new();
    folder.write("a.yaml", &document("a", "1"));
    let registry = folder.registry();
    registry.reload(ReadDepth::Changed).await.unwrap();
    folder.write("b.yaml", &document("b", "1"));
    let prepared = registry.prepare().await;
    registry.reload(ReadDepth::Changed).await.unwrap();
    let revision = registry.snapshot().revision.clone();
    assert_eq!(
        registry
            .reload_from(prepared, ReadDepth::Changed)
            .await
            .unwrap(),
        Reload::Unchanged
    );
    assert_eq!(registry.snapshot().revision, revision);
}
