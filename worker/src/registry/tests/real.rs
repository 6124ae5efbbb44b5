//! The registry with the documents that people write.

use std::fs;

use insta::assert_snapshot;

use super::*;

const NIGHTLY: &str = "\
id: nightly-invoices
description: Weekday invoice run
schedule:
  cron: \"30 2 * * MON-FRI\"
  timezone: Europe/Berlin
workflow:
  type: InvoiceRun
  task_queue: billing-go
";

fn real_registry(folder: &Folder) -> Arc<Registry> {
    Registry::new(vec![folder.root()], Duration::ZERO)
}

#[tokio::test]
async fn a_real_file_half_written_at_any_byte_keeps_its_definition() {
    let folder = Folder::with(&[("a.yaml", NIGHTLY)]);
    let registry = real_registry(&folder);
    registry.reload(ReadDepth::Changed).await.unwrap();
    let whole = registry.snapshot();
    let id = "nightly-invoices".parse().unwrap();
    for length in 0..NIGHTLY.len() {
        fs::write(folder.path("a.yaml"), &NIGHTLY[..length]).unwrap();
        registry.reload(ReadDepth::Changed).await.unwrap();
        let snapshot = registry.snapshot();
        let served = &snapshot.definitions[&id];
        match served.status {
            LoadStatus::Stale => {
                assert_eq!(served.definition, whole.definitions[&id].definition);
                assert_eq!(snapshot.failed.len(), 1);
            }
            // A queue's name, cut, is a name.
            LoadStatus::Loaded => assert!(NIGHTLY[..length].contains("task_queue: b"), "{length}"),
        }
    }
}

#[tokio::test]
async fn bad_bytes_have_a_place() {
    let folder = Folder::with(&[("good.yaml", &NIGHTLY.replace("nightly", "good"))]);
    fs::write(folder.path("latin.yaml"), b"id: caf\xe9\n").unwrap();
    fs::write(folder.path("binary.yaml"), b"\x00\x01\x02").unwrap();
    let registry = real_registry(&folder);
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    good-invoices: Weekday invoice run (good.yaml)
    invalid ? (binary.yaml): binary.yaml:1:1: the control character U+0000 is not allowed in YAML
    invalid ? (latin.yaml): latin.yaml:1:8: byte 0xe9 is not valid UTF-8
    ");
}

#[tokio::test]
async fn the_default_id_is_the_stem_and_counts_as_stated() {
    let text = NIGHTLY.replace("id: nightly-invoices\n", "");
    let folder = Folder::with(&[("nightly.yaml", &text), ("copy/nightly.yaml", &text)]);
    let registry = real_registry(&folder);
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    invalid nightly (copy/nightly.yaml): copy/nightly.yaml:1:1: id: `nightly` is also the id of another document: nightly.yaml:1
    invalid nightly (nightly.yaml): nightly.yaml:1:1: id: `nightly` is also the id of another document: copy/nightly.yaml:1
    ");
}
