//! Text of others on the way to people: every byte that a command or the worker
//! prints is looked at.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

mod live;

use almanac_base::text::is_hidden;
use almanac_tests::almanac_binary;
use serde_json::Value;

/// A mark that would stand at the beginning of a line if a line break got through,
/// among one of each class of what must not.
const HOSTILE: &str = "x\nFORGED\rFORGED\u{85}FORGED\u{2028}FORGED\u{2029}FORGED\u{b}FORGED\
    \u{1b}[2J\u{1b}]0;title\u{7}\u{1b}]52;c;cHduZWQ=\u{7}\u{9b}31m\u{9d}0;t\u{9c}\u{7f}\
    \u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}\u{fe0f}\u{e0041}\
    ::error::FORGED ##[error]FORGED ##vso[task.setvariable]FORGED # h [l](http://evil) <img src=x>";
/// The same as an id of Temporal's and as a name of a file.
const SHORT: &str = "x\nFORGED\u{1b}[2J\u{9b}1m\u{202e}##[error]";

fn json(text: &str) -> String {
    // YAML's double quotes take JSON's escapes.
    let text = Value::from(text).to_string();
    let hidden = |c: char| c >= '\u{7f}' && is_hidden(c);
    let mut quoted = String::new();
    for c in text.chars() {
        if hidden(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(quoted, "\\u{unit:04x}").unwrap();
            }
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// Checks printed bytes for sequences that a terminal must not get.
fn check(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{what}: no UTF-8"));
    let odd = text.chars().find(|c| *c != '\n' && is_hidden(*c));
    assert_eq!(odd, None, "{what}: {text:?}");
    for line in text.lines() {
        let begins = line.trim_start();
        let forged = begins.starts_with("FORGED") || begins.starts_with("::");
        let command = line.contains("##[") || line.contains("##vso[");
        assert!(!forged && !command, "{what}: {line:?} in\n{text}");
    }
}

/// Runs a command, and looks at all that it prints.
fn run(address: &str, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(almanac_binary());
    command.args(args).env("TEMPORAL_ADDRESS", address);
    let output = command.output().expect("the binary runs");
    let what = format!("{args:?}");
    check(&what, &output.stdout);
    check(&what, &output.stderr);
    assert!(
        !(output.stdout.is_empty() && output.stderr.is_empty()),
        "{what} is silent"
    );
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text.into_owned())
}

/// Documents with hostile texts wherever one may stand, and how many are valid.
fn documents() -> BTreeMap<&'static str, String> {
    let (h, s) = (json(HOSTILE), json(SHORT));
    let again = json(&format!("{SHORT} again"));
    let job = "workflow: { type: Job, task_queue: q }";
    let hourly = "schedule: { cron: '0 * * * *' }";
    BTreeMap::from([
        (
            "good",
            format!(
                "id: good\ndescription: {h}\nlabels: {{ team: a }}\nschedule: {{ cron: '0 5 * * *', input: {{ {h}: {h} }} }}\n\
             workflow: {{ type: {h}, task_queue: {h}, memo: {{ {h}: {h} }}, summary: {h} }}\n"
            ),
        ),
        (
            "steps",
            format!(
                "id: steps\nschedule: {{ every: 10h }}\ndo:\n  - {s}: {{ set: {{ {h}: {h} }} }}\n  - {again}: {{ wait: {{ minutes: 9 }} }}\n"
            ),
        ),
        (
            "timezone",
            format!("id: timezone\nschedule: {{ cron: '0 5 * * *', timezone: {h} }}\n{job}\n"),
        ),
        (
            "cron",
            format!("id: cron\nschedule: {{ cron: {h} }}\n{job}\n"),
        ),
        ("id", format!("id: {h}\n{hourly}\n{job}\n")),
        ("key", format!("id: key\n{h}: 1\n{hourly}\n{job}\n")),
        (
            "label",
            format!("id: label\nlabels: {{ {h}: {h} }}\n{hourly}\n{job}\n"),
        ),
        ("kind", format!("kind: {h}\nid: kind\n")),
        ("days", format!("kind: calendar\nid: days\ndates: [{h}]\n")),
        (
            "named",
            format!(
                "id: named\nschedule: {{ cron: '0 * * * *', exclude: [{{ calendar: {h} }}] }}\n{job}\n"
            ),
        ),
        (
            "task",
            format!("id: task\n{hourly}\ndo:\n  - {h}: {{ call: {h}, with: {{ {h}: {h} }} }}\n"),
        ),
        (
            "jq",
            format!(
                "id: jq\n{hourly}\ndo:\n  - {h}: {{ set: {{ a: '${{ .a + }}' }}, then: {h} }}\n"
            ),
        ),
        ("syntax", format!("id: syntax\n{hourly}\ndo: [{h}: {{\n")),
        (
            "raw",
            "id: raw # \u{202e}\u{200b}\u{2028}FORGED ##[error]FORGED\nschedule: 5 # \u{2066}\n"
                .to_owned(),
        ),
    ])
}

/// Every command that reads files, over files whose names and contents are hostile.
#[test]
fn the_text_of_files_is_escaped_by_every_command_that_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = folder.path().join(SHORT);
    std::fs::create_dir(&hostile).unwrap();
    for (name, document) in documents() {
        for name in [format!("{name}.yaml"), format!("{name} {SHORT}.yaml")] {
            std::fs::write(hostile.join(&name), &document).unwrap();
        }
    }
    std::fs::write(hostile.join("bytes.yaml"), b"id: \xff\x1b[2J\n").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let nowhere = "127.0.0.1:1";
    for format in ["text", "json"] {
        let (code, text) = run(nowhere, &["validate", &text(&hostile), "--format", format]);
        assert_eq!(code, 1);
        assert!(text.contains("FORGED"), "{text}");
    }
    let mut files: Vec<_> = std::fs::read_dir(&hostile).unwrap().flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    for file in files {
        let file = text(&file.path());
        run(nowhere, &["validate", &file]);
        run(nowhere, &["next", &file]);
        if !file.contains("steps") {
            run(nowhere, &["exec", &file]);
        }
    }
}

/// The case of a message that quotes a text: one line, with a caret under its place.
#[test]
fn a_diagnostic_stays_one_line_and_its_caret_points_at_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let text = "id: a\nschedule: { cron: \"0 5 * * *\", \"\u{202e}日e\": \"\u{200b}\", timezone: \"Nowhere/\\nX\" }\n\
                workflow: { type: Job, task_queue: q }\n";
    std::fs::write(&file, text).unwrap();
    let (_, text) = run("127.0.0.1:1", &["validate", file.to_str().unwrap()]);
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains("time zone"));
    let (source, caret) = (lines[at.unwrap() + 1], lines[at.unwrap() + 2]);
    assert!(source.contains("\\u{202e}日e"), "{text}");
    let before = source.find("\"Nowhere").unwrap();
    // The one wide character takes three bytes and two columns.
    assert_eq!(caret.find('^'), Some(before - 1), "{text}");
}

/// Arguments and variables, wherever they are repeated.
#[test]
fn the_text_of_arguments_is_escaped_too() {
    let nowhere = "127.0.0.1:1";
    for args in [
        &[HOSTILE][..],
        &["show", HOSTILE],
        &["show", "a", HOSTILE],
        &["list", "--project", HOSTILE],
        &["list", "--format", HOSTILE],
        &["list", "--no\nFORGED\u{1b}[2J"],
        &["history", HOSTILE],
        &["next", HOSTILE],
        &["exec", HOSTILE],
        &["validate", HOSTILE],
        &["pause", "a", "--reason", "r", "--for", HOSTILE],
        &["override", "a", "--set", HOSTILE, "--reason", "r"],
        &["trigger", "--selector", HOSTILE],
        &["backfill", "a", "--from", HOSTILE, "--to", HOSTILE],
        &["run", "--project", "p", "--listen", HOSTILE],
        &[
            "run",
            "--project",
            "p",
            "--listen",
            "127.0.0.1:0",
            "--secret",
            HOSTILE,
        ],
        &[
            "run",
            "--project",
            "p",
            "--listen",
            "127.0.0.1:0",
            "--log",
            HOSTILE,
        ],
        &["dev", "--temporal-cli", HOSTILE],
        &["man", "--out", "/dev/null/\u{1b}[2J\nFORGED"],
    ] {
        let (code, _) = run(nowhere, args);
        assert_eq!(code, 1, "{args:?}");
    }
    for variable in [
        "ALMANAC_PROJECT",
        "ALMANAC_FORMAT",
        "TEMPORAL_ADDRESS",
        "TEMPORAL_NAMESPACE",
        "TEMPORAL_TLS",
        "TEMPORAL_PROFILE",
    ] {
        let args: &[&str] = &["list"];
        let mut command = Command::new(almanac_binary());
        command
            .args(args)
            .env("TEMPORAL_ADDRESS", nowhere)
            .env(variable, HOSTILE);
        let output = command.output().unwrap();
        check(variable, &output.stdout);
        check(variable, &output.stderr);
        assert_eq!(output.status.code(), Some(1), "{variable}: {output:?}");
    }
}
