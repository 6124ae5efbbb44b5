//! Contents that no file of the repository may have.

use std::path::{Path, PathBuf};

const NOT_SOURCE: [&str; 5] = [".git", ".tools", ".almanac", "target", "Cargo.lock"];

/// Every file of the working tree but what was built, with its text.
pub(crate) fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if NOT_SOURCE.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 30, "only {} files", files.len());
    files
}

/// The lines that hold one of `forbidden`; this file, which names them, is left out.
fn lines_with(forbidden: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files() {
        if path.ends_with(file!()) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    found
}

#[test]
fn no_file_names_a_place_of_somebodys_machine() {
    let found = lines_with(&["/work/", "/root/", "/home/", "/Users/", "/tmp/w/"]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_file_is_marked_unfinished() {
    let found = lines_with(&["TODO", "FIXME", "XXX", "todo!(", "<<<<<<<", ">>>>>>>"]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_page_writes_raw_html() {
    let mut found = lines_with(&["PreEscaped"]);
    found.retain(|line| !line.contains("clippy.toml"));
    assert!(found.is_empty(), "{found:#?}");
}
