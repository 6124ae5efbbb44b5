//! The files that are read, and the reports about files that are not.

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use super::*;

#[tokio::test]
async fn definitions_are_read_recursively_and_leftovers_passed_over() {
    let folder = Folder::with(&[
        ("a.yaml", &document("a", "1")),
        ("team/b.yml", &document("b", "1")),
        ("team/deep/c.yaml", &document("c", "1")),
        (".hidden.yaml", "x"),
        (".git/d.yaml", "x"),
        ("..2026/e.yaml", "x"),
        ("f.yaml~", "x"),
        (".g.yaml.swp", "x"),
        ("h.yaml.tmp", "x"),
        ("old~/i.yaml", "x"),
        ("README.md", "x"),
    ]);
    assert_snapshot!(reloaded(&folder.registry()).await, @r"
    a: 1 (a.yaml)
    b: 1 (team/b.yml)
    c: 1 (team/deep/c.yaml)
    ");
}

#[tokio::test]
async fn documents_of_one_file_stand_or_fall_alone() {
    let text = format!(
        "{}---\nid: b\n---\n{}",
        document("a", "1"),
        document("c", "1")
    );
    let folder = Folder::with(&[("all.yaml", &text)]);
    assert_snapshot!(reloaded(&folder.registry()).await, @r"
    a: 1 (all.yaml:1)
    c: 1 (all.yaml:7)
    invalid b (all.yaml:5): all.yaml:5:1: document does not end
    ");
}

#[tokio::test]
async fn an_empty_folder_is_a_complete_view_of_nothing() {
    let registry = Folder::new().registry();
    let folder = Folder::new();
    assert_eq!(reloaded(&folder.registry()).await, "");
    drop(registry);
}

#[tokio::test]
async fn links_may_lead_anywhere_inside_the_folder() {
    let folder = Folder::with(&[
        ("..2026_1/a.yaml", &document("a", "1")),
        ("..2026_1/sub/b.yaml", &document("b", "1")),
    ]);
    folder.link("..data", "..2026_1");
    folder.link("a.yaml", "..data/a.yaml");
    folder.link("sub", "..data/sub");
    folder.link("loop", ".");
    folder.link("sub/up", "../..");
    assert_snapshot!(reloaded(&folder.registry()).await, @r"
    a: 1 (a.yaml)
    b: 1 (sub/b.yaml)
    ");
}

#[tokio::test]
async fn a_link_out_of_the_folder_is_an_error_of_that_file() {
    let outside = Folder::with(&[("x.yaml", &document("x", "1"))]);
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    folder.link("x.yaml", outside.path("x.yaml"));
    folder.link("sub", outside.root());
    folder.link("README", "/etc/hostname");
    let registry = folder.registry();
    let shown = reloaded(&registry).await.replace(
        &fs::canonicalize(outside.root())
            .unwrap()
            .display()
            .to_string(),
        "OUTSIDE",
    );
    assert_snapshot!(shown, @r"
    a: 1 (a.yaml)
    invalid ? (sub): sub:1:1: the link points out of the folder, to `OUTSIDE`
    invalid ? (x.yaml): x.yaml:1:1: the link points out of the folder, to `OUTSIDE/x.yaml`
    ");
}

#[tokio::test]
async fn a_file_whose_ending_is_in_capitals_is_a_warning_once() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1")), ("team/B.YAML", "x")]);
    let registry = folder.registry();
    assert_snapshot!(reloaded(&registry).await, @"a: 1 (a.yaml)");
    let warnings = |registry: &Registry| -> Vec<String> {
        let snapshot = registry.snapshot();
        let warnings = snapshot.warnings.iter();
        warnings.map(|it| it.message.clone()).collect()
    };
    let of = |ending: &str| format!("the file is not read: its name ends in `.{ending}`");
    assert_eq!(warnings(&registry), [of("YAML")]);
    assert!(!changes(&registry, ReadDepth::Contents).await);

    fs::rename(folder.path("team/B.YAML"), folder.path("B.Yml")).unwrap();
    assert!(changes(&registry, ReadDepth::Changed).await);
    assert_eq!(warnings(&registry), [of("Yml")]);
    folder.remove("B.Yml");
    assert!(changes(&registry, ReadDepth::Changed).await);
    assert_eq!(warnings(&registry), [""; 0]);
}

#[tokio::test]
async fn special_files_are_named_and_never_opened() {
    let folder = Folder::with(&[("dir.yaml/inner.yaml", &document("x", "1"))]);
    let made = Command::new("mkfifo")
        .arg(folder.path("fifo.yaml"))
        .status();
    assert!(made.unwrap().success());
    let _socket = UnixListener::bind(folder.path("socket.yaml")).unwrap();
    folder.link("device.yaml", "/dev/zero");
    folder.link("dangling.yaml", "nowhere.yaml");
    assert_snapshot!(reloaded(&folder.registry()).await, @r"
    invalid ? (dangling.yaml): dangling.yaml:1:1: the link is broken: no such file or directory
    invalid ? (device.yaml): device.yaml:1:1: the link points out of the folder, to `/dev/zero`
    invalid ? (dir.yaml): dir.yaml:1:1: this is a folder, not a file
    invalid ? (fifo.yaml): fifo.yaml:1:1: this is a FIFO, not a file
    invalid ? (socket.yaml): socket.yaml:1:1: this is a socket, not a file
    ");
}

#[tokio::test]
async fn a_huge_file_and_an_empty_one_are_errors() {
    let folder = Folder::with(&[("empty.yaml", " \n"), ("comment.yaml", "# nothing yet\n")]);
    let huge = File::create(folder.path("huge.yaml")).unwrap();
    huge.set_len(1 << 30).unwrap();
    let registry = folder.registry();
    assert_snapshot!(reloaded(&registry).await, @r"
    invalid ? (empty.yaml): empty.yaml:1:1: the file is empty
    invalid ? (huge.yaml): huge.yaml:1:1: the file is larger than 1048576 bytes: 1073741824
    ");
}

#[tokio::test]
async fn a_folder_within_another_is_read_once() {
    let folder = Folder::with(&[
        ("a.yaml", &document("a", "1")),
        ("sub/b.yaml", &document("b", "1")),
    ]);
    let roots = [folder.root(), folder.path("sub"), folder.root()];
    let registry = registry(&roots);
    registry.reload(ReadDepth::Changed).await.unwrap();
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.definitions.len(), 2);
    assert_eq!(snapshot.failed, []);
    assert!(snapshot.is_complete());
}

#[tokio::test]
async fn a_parser_that_panics_harms_one_file() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1")), ("b.yaml", "panic\n")]);
    assert_snapshot!(reloaded(&folder.registry()).await, @r"
    a: 1 (a.yaml)
    invalid ? (b.yaml): b.yaml:1:1: the parser failed on this file
    ");
}

/// There are so many files that several threads read them.
#[tokio::test]
async fn a_parser_that_panics_harms_one_file_among_many() {
    let folder = Folder::new();
    for n in 0..1000 {
        folder.write(
            &format!("f{n:03}.yaml"),
            &document(&format!("d{n:03}"), "1"),
        );
    }
    folder.write("f700.yaml", "panic\n");
    let registry = folder.registry();
    registry.reload(ReadDepth::Changed).await.unwrap();
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.definitions.len(), 999);
    for (id, loaded) in &snapshot.definitions {
        assert_eq!(loaded.source, id.to_string().replace('d', "f") + ".yaml");
    }
    assert_eq!(snapshot.failed.len(), 1);
}

#[tokio::test]
async fn the_revision_is_of_contents_and_relative_paths() {
    let files: [(&str, &str); 2] = [("a.yaml", "id: a\n1\nend\n"), ("b/c.yaml", "broken")];
    let (one, other) = (Folder::with(&files), Folder::with(&files));
    let (first, second) = (one.registry(), other.registry());
    reloaded(&first).await;
    reloaded(&second).await;
    assert_eq!(first.snapshot().revision, second.snapshot().revision);

    fs::rename(other.path("b"), other.path("d")).unwrap();
    reloaded(&second).await;
    assert_ne!(first.snapshot().revision, second.snapshot().revision);
}

#[tokio::test]
async fn nothing_happens_when_nothing_changed() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    let registry = folder.registry();
    assert!(changes(&registry, ReadDepth::Changed).await);
    let before = registry.snapshot();
    // Another file with the same contents, and the same file touched.
    folder.save("a.yaml", &document("a", "1"));
    assert!(!changes(&registry, ReadDepth::Changed).await);
    folder.write("a.yaml", &document("a", "1"));
    assert!(!changes(&registry, ReadDepth::Contents).await);
    assert!(Arc::ptr_eq(&before, &registry.snapshot()));
}

#[tokio::test]
async fn a_change_within_one_tick_of_the_clock_is_seen() {
    let folder = Folder::with(&[("a.yaml", &document("a", "0"))]);
    let registry = folder.registry();
    for n in 1..100 {
        folder.write("a.yaml", &document("a", &format!("{n:02}")));
        assert_eq!(reloaded(&registry).await, format!("a: {n:02} (a.yaml)\n"));
    }
}

#[tokio::test]
async fn a_file_is_read_once_it_has_been_still() {
    let folder = Folder::with(&[("a.yaml", "id: a\nhalf\n")]);
    let registry = patient_registry(
        &[folder.root()],
        Duration::from_secs(3),
        Duration::from_mins(5),
    );
    let path = folder.path("a.yaml");
    let writer = std::thread::spawn(move || {
        // Within the time that the reader waits for, also on a busy machine.
        std::thread::sleep(Duration::from_millis(100));
        fs::write(path, document("a", "whole")).unwrap();
    });
    assert_eq!(reloaded(&registry).await, "a: whole (a.yaml)\n");
    writer.join().unwrap();
}

#[tokio::test]
async fn a_file_that_never_rests_keeps_its_last_good_version_and_holds_up_no_other() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    let roots = [folder.root()];
    let registry = patient_registry(
        &roots,
        Duration::from_millis(200),
        Duration::from_millis(300),
    );
    registry.reload(ReadDepth::Changed).await.unwrap();
    while shown(&registry) != "a: 1 (a.yaml)\n" {
        registry.reload(ReadDepth::Changed).await.unwrap();
    }

    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (stop, path) = (Arc::clone(&stop), folder.path("a.yaml"));
        std::thread::spawn(move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(&path, document("a", "2")).unwrap();
            }
        })
    };
    folder.write("b.yaml", &document("b", "1"));
    let outcome = loop {
        registry.reload(ReadDepth::Changed).await.unwrap();
        let shown = shown(&registry);
        if shown.contains("b: 1 (b.yaml)") {
            break shown;
        }
    };
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert!(outcome.contains("a: 1 (a.yaml, stale)"), "{outcome}");
    assert!(
        outcome.contains("the file kept changing while it was read"),
        "{outcome}"
    );
    assert!(Path::new(&folder.root()).exists());
}
