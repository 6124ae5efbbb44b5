//! Releases: the versions agree wherever they stand, and `tools/release.sh` packs what it promises.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use almanac_tests::{almanac_binary, workspace};
use jiff::civil::Date;

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap()
}

/// The values of a key in the lines of a file: `key = "value"` or `key: value`.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(key));
    let values = lines.filter_map(|rest| rest.strip_prefix(" = ").or(rest.strip_prefix(": ")));
    values.map(|value| value.trim_matches('"')).collect()
}

/// The version of the workspace.
fn version() -> String {
    let manifest = read("Cargo.toml");
    let [version] = values(&manifest, "version")[..] else {
        panic!("not one version");
    };
    version.to_owned()
}

fn numbers(version: &str) -> [u64; 3] {
    let numbers: Vec<_> = version.split('.').map(|n| n.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// The releases in the changelog, the newest first.
fn releases(changelog: &str) -> Vec<(String, Date)> {
    let mut headings = changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## "));
    assert_eq!(headings.next(), Some("Unreleased"));
    headings
        .map(|heading| {
            let (version, date) = heading.split_once(" - ").unwrap();
            (version.to_owned(), date.parse().unwrap())
        })
        .collect()
}

/// Asserts that each release is newer than the one after it.
fn assert_descending(releases: &[(String, Date)]) {
    for pair in releases.windows(2) {
        let [(newer, later), (older, earlier)] = pair else {
            panic!("not two releases");
        };
        assert!(numbers(newer) > numbers(older), "{newer} before {older}");
        assert!(later >= earlier, "{newer}: {later} is before {earlier}");
    }
}

#[test]
fn the_versions_agree() {
    let version = version();
    let releases = releases(&read("CHANGELOG.md"));
    assert_descending(&releases);
    // The version is that of the newest release, or of the next one.
    if let Some((newest, _)) = releases.first() {
        assert!(numbers(&version) >= numbers(newest), "{version} < {newest}");
    }
    let chart = read("deploy/chart/Chart.yaml");
    for key in ["version", "appVersion"] {
        assert_eq!(values(&chart, key), [version.as_str()], "{key}");
    }
    let histories = workspace().join("tests/histories");
    let recorded: BTreeSet<_> = fs::read_dir(&histories)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let all = releases.into_iter().map(|(version, _)| version);
    assert_eq!(recorded, all.chain([version]).collect());
    for version in recorded {
        for name in ["reconcile.pb", "run.pb", "definitions.yaml", "schedules"] {
            let path = histories.join(&version).join(name);
            assert!(path.exists(), "{version} has no {name}");
        }
    }
}

#[test]
fn the_changelog_is_read_as_it_is_written() {
    let text = "# Changelog\n\n## Unreleased\n\n### Added\n\n## 0.10.0 - 2026-03-02\n\n## 0.9.1 - 2026-03-02\n";
    let releases = releases(text);
    let versions: Vec<_> = releases.iter().map(|(version, _)| version).collect();
    assert_eq!(versions, ["0.10.0", "0.9.1"]);
    assert_descending(&releases);
    let reversed: Vec<_> = releases.into_iter().rev().collect();
    assert!(std::panic::catch_unwind(|| assert_descending(&reversed)).is_err());
}

/// The texts in the list that follows `key = [`.
fn list<'t>(text: &'t str, key: &str) -> BTreeSet<&'t str> {
    let (_, list) = text.split_once(&format!("\n{key} = [\n")).unwrap();
    let (list, _) = list.split_once("\n]").unwrap();
    let lines = list.lines().map(str::trim);
    let texts = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix("\","));
    texts.collect()
}

#[test]
fn a_release_has_the_licenses_that_are_allowed() {
    let (deny, about) = (read("deny.toml"), read("about.toml"));
    let mut allowed = list(&deny, "allow");
    // The exceptions of deny.toml without the one of the fuzzer, and the license of C code.
    allowed.extend(["MPL-2.0", "BSD-2-Clause"]);
    assert_eq!(list(&about, "accepted"), allowed);
}

/// Writes an executable script.
fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/bash\nset -eu\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a command, which has to succeed, and returns its output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    text
}

/// The two tools that take minutes to build are replaced by scripts that write where these do. The
/// binary is a script too, which starts the real one: that is too large to pack in a test.
#[test]
fn the_release_has_what_it_promises_and_always_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    script(
        &at("almanac"),
        &format!("exec {:?} \"$@\"", almanac_binary()),
    );
    script(
        &at("about/bin/cargo-about"),
        "while [ \"$1\" != --output-file ]; do shift; done; echo licenses >\"$2\"",
    );
    script(
        &at("cyclonedx/bin/cargo-cyclonedx"),
        "echo \"{\\\"at\\\": \\\"file://$PWD/worker\\\"}\" >worker/almanac_bin.cdx.json",
    );
    let release = |out: &str| {
        run(Command::new("tools/release.sh")
            .current_dir(workspace())
            .env("CARGO_ABOUT", at("about"))
            .env("CARGO_CYCLONEDX", at("cyclonedx"))
            .arg("--binary")
            .arg(at("almanac"))
            .arg("--out")
            .arg(at(out)));
    };
    release("one");
    release("two");
    run(Command::new("diff")
        .args(["-r", "one", "two"])
        .current_dir(folder.path()));

    let sums = fs::read_to_string(at("one/SHA256SUMS")).unwrap();
    run(Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(at("one")));
    let archives: Vec<_> = sums
        .lines()
        .map(|line| line.split_whitespace().last().unwrap())
        .collect();
    let files = fs::read_dir(at("one")).unwrap().count();
    assert_eq!(archives.len() + 1, files, "{sums}");
    let archive = archives.iter().find(|name| name.ends_with(".tar.gz"));
    let archive = archive.unwrap();
    let name = archive.strip_suffix(".tar.gz").unwrap();
    assert!(
        name.starts_with(&format!("almanac-{}-", version())),
        "{name}"
    );

    let listed = run(Command::new("tar")
        .args(["--full-time", "-tvzf", archive])
        .current_dir(at("one")));
    let entries: BTreeSet<_> = listed
        .lines()
        .map(|line| line.split_whitespace().last().unwrap())
        .collect();
    for file in [
        "almanac",
        "almanac.cdx.json",
        "THIRD_PARTY_LICENSES.txt",
        "LICENSE",
        "CHANGELOG.md",
        "completions/almanac.bash",
        "completions/almanac.zsh",
        "man/almanac.1",
        "man/almanac-run.1",
        "docs/operating.md",
        "deploy/grafana/almanac.json",
        "deploy/prometheus/rules.yaml",
        "examples/definitions/check-service.yaml",
    ] {
        assert!(entries.contains(&*format!("{name}/{file}")), "{file}");
    }
    let times: BTreeSet<_> = listed
        .lines()
        .map(|line| line.split_whitespace().skip(3).take(2).collect::<Vec<_>>())
        .collect();
    assert_eq!(times.len(), 1, "{times:?}");
    assert!(
        listed.lines().all(|line| line.contains(" 0/0 ")),
        "{listed}"
    );

    // The SBOM does not name the folder in which it was made.
    let sbom = fs::read_to_string(at(&format!("one/{name}.cdx.json"))).unwrap();
    assert_eq!(sbom.trim(), "{\"at\": \"file:///almanac/worker\"}");
}
