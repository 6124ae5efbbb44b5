//! The first process of a container: what it waits for, and what it passes on.
//!
//! Needs Linux and `unshare` of util-linux, and the right to make a process
//! namespace: as root, or in a user namespace of one's own.
#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};

/// A command line whose program is process 1 of a namespace of its own.
fn as_first_process() -> Command {
    let ways = [
        &["--pid", "--fork", "--mount-proc"][..],
        &[
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
        ],
    ];
    let possible = |way: &&&[&str]| {
        let status = Command::new("unshare").args(**way).arg("true").status();
        status.is_ok_and(|status| status.success())
    };
    let way = ways.iter().find(possible).expect(
        "a process namespace can be made: this test needs `unshare` of util-linux, \
         and root or user namespaces",
    );
    let mut command = Command::new("unshare");
    command
        .args(*way)
        .args(["--kill-child", env!("CARGO_BIN_EXE_almanac")])
        .stdin(Stdio::null());
    command
}

#[test]
fn processes_that_lose_their_parent_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orphans.yaml");
    let leave = r#"["-c", "(sleep 0.1 &); (sleep 0.1 &); true"]"#;
    let count = r#"["-c", "for i in 1 2 3 4 5 6 7 8 9 10; do n=$(cat /proc/[0-9]*/stat | grep -c ') Z '); test $n = 0 && break; sleep 1; done; echo $n"]"#;
    let steps = format!(
        "do:\n- loop:\n    for: {{ each: i, in: \"${{ [range(10)] }}\" }}\n    do:\n    \
         - leave: {{ run: {{ shell: {{ command: /bin/sh, arguments: {leave} }} }} }}\n\
         - count: {{ run: {{ shell: {{ command: /bin/sh, arguments: {count} }} }} }}\n"
    );
    std::fs::write(&file, steps).unwrap();
    let output = as_first_process()
        .args(["exec", "--shell-allow", "/bin/sh"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let zombies: String = stdout.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(zombies, "0", "{output:?}");
}

#[test]
fn the_exit_code_of_the_command_is_returned() {
    let output = as_first_process().arg("no-such-command").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = as_first_process().arg("--version").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
