//! Replay of the inputs in `corpus/`, with the checks of their targets.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::panic;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use almanac_fuzz::{TARGETS, target};

/// Maximum size of an input, in bytes.
const INPUT_LIMIT: u64 = 8192;
/// Maximum number of inputs of a target.
const COUNT_LIMIT: usize = 120;
/// Maximum duration of the check of an input, also in a debug build on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(20);

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}: {}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let target = target(name).unwrap();
    let files = files(&corpus().join(name));
    assert!(!files.is_empty(), "corpus/{name} is empty");
    let mut failed = Vec::new();
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        let begin = Instant::now();
        let result = panic::catch_unwind(|| target(&bytes));
        if result.is_err() || begin.elapsed() > TIME_LIMIT {
            failed.push(format!("{} after {:?}", path.display(), begin.elapsed()));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn cron_strings_keep_their_promises() {
    replay("cron");
}

#[test]
fn files_of_definitions_keep_their_promises() {
    replay("definition_yaml");
}

#[test]
fn events_keep_their_promises() {
    replay("event");
}

#[test]
fn expressions_keep_their_promises() {
    replay("jq");
}

#[test]
fn memos_keep_their_promises() {
    replay("memo");
}

#[test]
fn each_target_has_a_small_corpus() {
    let folders: BTreeSet<_> = files(&corpus())
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, targets);
    for name in folders {
        let files = files(&corpus().join(&name));
        assert!(
            (10..=COUNT_LIMIT).contains(&files.len()),
            "{name}: {}",
            files.len()
        );
        for path in files {
            let size = path.metadata().unwrap().len();
            assert!(size <= INPUT_LIMIT, "{}: {size} bytes", path.display());
        }
    }
}
