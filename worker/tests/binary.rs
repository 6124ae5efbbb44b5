//! The binary itself: that it is built, and answers without a server.
//!
//! This file also makes `cargo test` build the binary with just the features
//! that the tests are built with, where the end-to-end tests find it.

use std::process::{Command, Output};

fn almanac(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_almanac"))
        .args(args)
        .output()
        .expect("the binary runs")
}

#[test]
fn it_says_its_version() {
    let output = almanac(&["--version"]);
    assert!(output.status.success(), "{output:?}");
    let expected = format!("almanac {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn it_prints_a_schema_that_is_json() {
    let output = almanac(&["schema"]);
    assert!(output.status.success(), "{output:?}");
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
}

#[test]
fn help_names_every_command() {
    let output = almanac(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    for command in [
        "dev", "run", "validate", "plan", "sync", "list", "show", "next", "schema",
    ] {
        assert!(help.contains(command), "{command}: {help}");
    }
}

#[test]
fn flags_of_authority_that_do_not_fit_end_it_at_the_start() {
    for (flags, expected) in [
        (
            &["--auth", "token"][..],
            "error: --auth-token-file is required with --auth token\n",
        ),
        (
            &["--auth-token-file", "tokens"],
            "error: --auth-token-file has no effect with --auth none; \
             hint: leave it out, or choose another --auth\n",
        ),
        (
            &["--auth", "token", "--auth-token-file", "/nowhere/tokens"],
            "error: --auth-token-file: /nowhere/tokens: No such file or directory (os error 2)\n",
        ),
    ] {
        let line = [&["run", "--project", "p", "--listen", "127.0.0.1:0"], flags].concat();
        let output = almanac(&line);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    }
}

#[test]
fn shells_accept_the_completions() {
    for (shell, checks) in [("bash", Some("bash")), ("zsh", None), ("fish", None)] {
        let output = almanac(&["completion", shell]);
        assert!(output.status.success(), "{output:?}");
        let script = String::from_utf8(output.stdout).expect("text");
        for command in ["clear-override", "suspend", "--project"] {
            let word = command.trim_start_matches("--");
            assert!(script.contains(word), "{shell}: {command}");
        }
        if let Some(checks) = checks {
            let checked = Command::new(checks).args(["-n", "-c", &script]).output();
            let checked = checked.expect("the shell runs");
            assert!(checked.status.success(), "{checked:?}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let output = almanac(&["man", "--out", path]);
    assert!(output.status.success(), "{output:?}");
    for page in ["almanac.1", "almanac-pause.1", "almanac-run.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
        assert!(text.contains(".SH NAME"), "{page}: {text}");
    }
    let alone = almanac(&["man"]);
    assert!(String::from_utf8_lossy(&alone.stdout).contains("ALMANAC_LOG"));
}

#[test]
fn colors_are_for_terminals_that_want_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("broken.yaml");
    std::fs::write(&file, "schedule: 5\n").expect("a file");
    let colored = |variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_almanac"))
            .arg("validate")
            .arg(&file)
            .env_remove("CLICOLOR_FORCE")
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        output.stdout.contains(&0x1b)
    };
    assert!(!colored(&[]), "a pipe is no terminal");
    assert!(colored(&[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&[("CLICOLOR_FORCE", "0"), ("NO_COLOR", "1")]));
}
