//! The workflows of GitHub: each step calls targets that the Makefile has, and each action is
//! pinned to a commit.

use std::collections::BTreeSet;
use std::path::Path;

use crate::files::files;

fn workflows() -> Vec<(String, String)> {
    let folder = Path::new(".github").join("workflows");
    let all = files().into_iter();
    let all = all.filter(|(path, _)| path.parent().is_some_and(|it| it.ends_with(&folder)));
    let named: Vec<_> = all
        .map(|(path, text)| (path.display().to_string(), text))
        .collect();
    assert!(named.len() >= 2, "{} workflows", named.len());
    named
}

#[test]
fn workflows_call_targets_that_the_makefile_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.contains(": ") || line.ends_with(':'))
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .collect();
    let mut called = BTreeSet::new();
    for (path, text) in workflows() {
        for words in text.split("make ").skip(1) {
            let target = words.split_whitespace().next().unwrap_or_default();
            assert!(targets.contains(target), "{path}: make {target}");
            called.insert(target.to_owned());
        }
    }
    for target in [
        "check", "test", "msrv", "deny", "coverage", "fuzz", "release",
    ] {
        assert!(called.contains(target), "no workflow calls make {target}");
    }
}

#[test]
fn workflows_pin_each_action_to_a_commit() {
    let mut seen = 0;
    for (path, text) in workflows() {
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            seen += 1;
            let (_, pin) = action.split_once('@').unwrap_or_default();
            let (commit, comment) = pin.split_once(" # ").unwrap_or_default();
            let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_commit && comment.starts_with('v'), "{path}: {line}");
        }
    }
    assert!(seen > 5, "only {seen} actions");
}
