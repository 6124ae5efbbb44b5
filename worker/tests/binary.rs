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
