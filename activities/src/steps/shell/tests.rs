//! Commands, on this machine's own programs.

#![expect(
    clippy::needless_pass_by_value,
    reason = "values are written where they are given"
)]

use std::path::Path;

use super::*;

/// Long enough for a slow machine; nothing waits for it.
const LONG: Duration = Duration::from_mins(1);

fn commands(entries: &[&str]) -> Commands {
    let variables = ["A", "N", "SKIPPED"].map(|name| name.parse::<ShellVariable>().unwrap());
    let entries = entries.iter().map(|entry| entry.parse().unwrap());
    Commands::open(entries.collect(), variables.to_vec()).unwrap()
}

fn request(fields: Value) -> ShellRequest {
    let mut whole = json!({
        "command": "sh", "arguments": [], "stdin": null, "environment": null,
        "wait": true, "output": "all",
    });
    for (key, value) in fields.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

async fn ran(fields: Value) -> Result<Value, StepError> {
    let commands = commands(&["sh=/bin/sh", "/bin/cat", "env=/usr/bin/env"]);
    run(
        &commands,
        request(fields),
        None,
        LONG,
        std::future::pending(),
    )
    .await
}

/// A script for `sh -c`, as a definition would have to name it.
async fn script(text: &str, output: &str) -> Result<Value, StepError> {
    ran(json!({"arguments": ["-c", text], "output": output})).await
}

/// Waits until no process of a file's ids lives.
async fn all_gone(pids: &Path) {
    let alive = || {
        let text = std::fs::read_to_string(pids).unwrap_or_default();
        let ids: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(!ids.is_empty());
        ids.into_iter().any(|id| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
            // A zombie that nobody has reaped yet is gone.
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        })
    };
    for _ in 0..600 {
        if !alive() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("processes of the group live on");
}

async fn written(path: &Path, lines: usize) {
    for _ in 0..600 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= lines {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} was not written", path.display());
}

fn kind(error: &StepError) -> &str {
    error.fault.kind.rsplit('/').next().unwrap()
}

fn detail(error: &StepError) -> &str {
    error.fault.detail.as_deref().unwrap()
}

#[tokio::test]
async fn the_output_has_the_form_that_the_task_asks_for() {
    let text = "echo out; echo err >&2; exit 3";
    assert_eq!(
        script(text, "all").await.unwrap(),
        json!({"code": 3, "stdout": "out\n", "stderr": "err\n"})
    );
    assert_eq!(script(text, "code").await.unwrap(), json!(3));
    let error = script(text, "stdout").await.unwrap_err();
    assert_eq!(kind(&error), "runtime");
    assert!(detail(&error).contains("code 3: err"), "{error:?}");
    let text = "echo out; echo err >&2";
    assert_eq!(script(text, "stdout").await.unwrap(), "out\n");
    assert_eq!(script(text, "stderr").await.unwrap(), "err\n");
    assert_eq!(script(text, "none").await.unwrap(), Value::Null);
    let error = script("kill -9 $$", "all").await.unwrap_err();
    assert!(detail(&error).contains("signal 9"), "{error:?}");
}

#[tokio::test]
async fn only_commands_that_are_named_run() {
    let none = Commands::default();
    for command in ["sh", "/bin/sh", "ls", "sh; ls", "/bin/cat", "../bin/sh", ""] {
        let one = request(json!({"command": command}));
        let error = run(&none, one, None, LONG, std::future::pending())
            .await
            .unwrap_err();
        assert_eq!(kind(&error), "configuration", "{command}");
        assert!(detail(&error).contains("--shell-allow"), "{error:?}");
    }
    for command in ["/bin/sh", "cat", "sh -c true", "ls"] {
        let error = ran(json!({"command": command})).await.unwrap_err();
        assert_eq!(kind(&error), "configuration", "{command}");
    }
    // A block of YAML ends its text with a line.
    let output = ran(json!({"command": "/bin/cat\n", "stdin": "x", "output": "stdout"})).await;
    assert_eq!(output.unwrap(), "x");
}

#[tokio::test]
async fn arguments_pass_through_no_shell() {
    let odd = ["$(id)", "; ls", "`id`", "a b", "*", "", "--"];
    let mut arguments = vec!["-c", "for a; do printf '<%s>' \"$a\"; done", "sh"];
    arguments.extend(odd);
    let output = ran(json!({"arguments": arguments, "output": "stdout"}))
        .await
        .unwrap();
    assert_eq!(output, "<$(id)><; ls><`id`><a b><*><><-->");
    let error = ran(json!({"arguments": ["a\u{0}b"]})).await.unwrap_err();
    assert_eq!(kind(&error), "configuration");
}

#[tokio::test]
async fn a_command_gets_only_its_environment_and_path() {
    assert!(
        std::env::var("CARGO").is_ok(),
        "the test needs something to hide"
    );
    let output = ran(json!({
        "command": "env", "output": "stdout", "environment": {"A": "1", "N": 2, "SKIPPED": null},
    }));
    let output = output.await.unwrap();
    let mut lines: Vec<&str> = output.as_str().unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[..2], ["A=1", "N=2"]);
    assert!(lines[2].starts_with("PATH="), "{lines:?}");
    assert_eq!(lines.len(), 3);
    for environment in [
        json!({"LD_PRELOAD": "/x.so"}),
        json!({"DYLD_INSERT_LIBRARIES": "x"}),
        json!({"A=B": "x"}),
        json!({"": "x"}),
        // Many would run other code than the program's.
        json!({"BASH_ENV": "/x"}),
        json!({"PERL5OPT": "-Mx"}),
        json!({"NODE_OPTIONS": "--require x"}),
        json!({"PYTHONPATH": "/x"}),
        json!({"PATH": "/x"}),
        json!({"A": "1", "a": "2"}),
        json!({"A": ["x", "y"]}),
        json!({"A": {}}),
        json!({"A": "a\u{0}b"}),
        json!([]),
    ] {
        let error = ran(json!({"command": "env", "environment": environment}))
            .await
            .unwrap_err();
        assert_eq!(kind(&error), "configuration", "{environment}");
    }
}

#[tokio::test]
async fn stdin_is_fed_and_ends() {
    let large = "x".repeat(300_000);
    let output = ran(json!({"command": "/bin/cat", "stdin": large, "output": "stdout"})).await;
    assert_eq!(output.unwrap(), large.as_str());
    // Nobody reads it, or there is none.
    let output = ran(json!({"arguments": ["-c", "echo ok"], "stdin": large, "output": "stdout"}));
    assert_eq!(output.await.unwrap(), "ok\n");
    let output = ran(json!({"command": "/bin/cat", "output": "stdout"})).await;
    assert_eq!(output.unwrap(), "");
}

#[tokio::test]
async fn output_is_limited() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().display();
    for text in [
        format!("echo $$ > {path}; yes"),
        format!("echo $$ > {path}; yes >&2"),
        format!("echo $$ > {path}; head -c 600000 /dev/zero"),
    ] {
        let error = script(&text, "code").await.unwrap_err();
        assert!(detail(&error).contains("wrote more than"), "{error:?}");
        assert!(!error.retryable);
        all_gone(pids.path()).await;
    }
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_its_group() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().display();
    let commands = commands(&["sh=/bin/sh"]);
    // Each ignores being asked to end, as does its child.
    let text = format!(
        "trap '' TERM; echo $$ >> {path}; sh -c 'trap \"\" TERM; echo $$ >> {path}; while :; do sleep 1; done' & while :; do sleep 1; done"
    );
    let one = request(json!({"arguments": ["-c", text]}));
    let error = run(
        &commands,
        one,
        None,
        Duration::from_secs(2),
        std::future::pending(),
    )
    .await
    .unwrap_err();
    assert_eq!((kind(&error), error.fault.status), ("timeout", 408));
    all_gone(pids.path()).await;
}

#[tokio::test]
async fn a_canceled_command_can_clean_up_before_it_is_killed() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().to_owned();
    let commands = commands(&["sh=/bin/sh"]);
    let cleaned = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "trap 'echo cleaned > {}; exit 0' TERM; echo $$ >> {path}; sleep 1000 & echo $! >> {path}; wait",
        cleaned.path().display(),
        path = path.display()
    );
    let one = request(json!({"arguments": ["-c", text]}));
    let error = run(&commands, one, None, LONG, written(&path, 2))
        .await
        .unwrap_err();
    assert!(detail(&error).contains("canceled"), "{error:?}");
    all_gone(&path).await;
    assert_eq!(
        std::fs::read_to_string(cleaned.path()).unwrap(),
        "cleaned\n"
    );
}

#[tokio::test]
async fn a_command_whose_step_is_dropped_is_killed() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().to_owned();
    let commands = commands(&["sh=/bin/sh"]);
    let text = format!(
        "echo $$ >> {p}; sleep 1000 & echo $! >> {p}; wait",
        p = path.display()
    );
    let one = request(json!({"arguments": ["-c", text]}));
    tokio::select! {
        done = run(&commands, one, None, LONG, std::future::pending()) => panic!("{done:?}"),
        () = written(&path, 2) => {}
    }
    all_gone(&path).await;
}

#[tokio::test]
async fn processes_left_by_a_command_are_killed_and_its_output_is_kept() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "sleep 1000 & echo $! > {}; echo done",
        pids.path().display()
    );
    assert_eq!(script(&text, "stdout").await.unwrap(), "done\n");
    all_gone(pids.path()).await;
}

#[tokio::test]
async fn a_step_does_not_wait_if_await_is_false() {
    let done = tempfile::NamedTempFile::new().unwrap();
    let text = format!("sleep 1; echo done > {}", done.path().display());
    let output = ran(json!({"arguments": ["-c", text], "wait": false}))
        .await
        .unwrap();
    assert_eq!(output, Value::Null);
    written(done.path(), 1).await;
}

#[test]
fn the_error_of_a_bad_entry_gives_the_reason() {
    for entry in [
        "",
        "sh",
        "sh=",
        "=/bin/sh",
        "bin/sh",
        "sh=bin/sh",
        "a b=/bin/sh",
    ] {
        let error = entry.parse::<ShellEntry>().unwrap_err();
        assert!(error.to_string().contains("NAME=/path"), "{entry}");
    }
    let open = |entries: &[&str]| {
        let entries = entries.iter().map(|entry| entry.parse().unwrap());
        Commands::open(entries.collect(), Vec::new())
            .unwrap_err()
            .to_string()
    };
    assert!(open(&["/bin/no-such-program"]).contains("No such file"));
    assert!(open(&["etc=/etc"]).contains("is not a file"));
    assert!(open(&["p=/etc/passwd"]).contains("is not executable"));
    assert!(open(&["sh=/bin/sh", "sh=/bin/cat"]).contains("allowed twice"));
}

/// Control characters take six times their size as JSON.
#[tokio::test]
async fn an_output_that_temporal_refuses_is_a_lasting_error() {
    let steps = super::super::Steps::new(
        super::super::EgressGuard::new(Vec::new()),
        super::super::Secrets::default(),
        commands(&["sh=/bin/sh"]),
    );
    let text = "head -c 500000 /dev/zero | tr '\\0' '\\1'";
    let one = request(json!({"arguments": ["-c", text], "output": "stdout"}));
    let error = steps
        .shell(one, None, LONG, std::future::pending())
        .await
        .unwrap_err();
    assert_eq!((kind(&error), error.retryable), ("runtime", false));
    assert!(detail(&error).contains("3000002 bytes"), "{error:?}");
}

/// A step may set only the variables that the configuration names; some can never be
/// named.
#[tokio::test]
async fn only_variables_that_are_named_are_set() {
    let none = Commands::open(vec!["env=/usr/bin/env".parse().unwrap()], Vec::new()).unwrap();
    let one = request(json!({"command": "env", "environment": {"A": "1"}}));
    let error = run(&none, one, None, LONG, std::future::pending())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), "configuration");
    assert!(
        detail(&error).contains("\"A\"") && detail(&error).contains("--shell-env"),
        "{error:?}"
    );
    for name in [
        "PATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "GCONV_PATH",
    ] {
        let error = name.parse::<ShellVariable>().unwrap_err().to_string();
        assert!(error.contains("steps can never set it"), "{error}");
    }
    for name in ["", "A=B", "1A", "A B"] {
        let error = name.parse::<ShellVariable>().unwrap_err().to_string();
        assert!(error.contains("not a valid name"), "{error}");
    }
}

#[tokio::test]
async fn the_number_of_commands_without_await_is_limited() {
    let gate = tempfile::tempdir().unwrap();
    let open = gate.path().join("open");
    let commands = commands(&["sh=/bin/sh"]);
    let text = format!("until [ -e {} ]; do sleep 0.1; done", open.display());
    let start = async || {
        let one = request(json!({"arguments": ["-c", text], "wait": false}));
        run(&commands, one, None, LONG, std::future::pending()).await
    };
    for _ in 0..UNAWAITED {
        assert_eq!(start().await.unwrap(), Value::Null);
    }
    let error = start().await.unwrap_err();
    assert!(
        error.retryable && detail(&error).contains("32 commands"),
        "{error:?}"
    );
    std::fs::write(&open, "").unwrap();
    for _ in 0..600 {
        if start().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no place became free");
}

#[tokio::test]
async fn a_command_is_for_the_definitions_that_it_is_bound_to() {
    let commands = commands(&["sh=/bin/sh@nightly@weekly", "/bin/sh"]);
    let ask = async |command: &str, caller: Option<&str>| {
        let caller = caller.map(|caller| caller.parse().unwrap());
        let one = request(json!({"command": command, "arguments": ["-c", "true"]}));
        run(
            &commands,
            one,
            caller.as_ref(),
            LONG,
            std::future::pending(),
        )
        .await
    };
    for (command, caller) in [
        ("sh", Some("nightly")),
        ("sh", Some("weekly")),
        ("/bin/sh", Some("other")),
        ("/bin/sh", None),
    ] {
        assert!(ask(command, caller).await.is_ok(), "{command} {caller:?}");
    }
    for caller in [Some("other"), None] {
        let error = ask("sh", caller).await.unwrap_err();
        assert_eq!(kind(&error), "authorization", "{caller:?}");
    }
    assert!(commands.is_bound("sh") && !commands.is_bound("/bin/sh"));
    assert!("sh=/bin/sh@".parse::<ShellEntry>().is_err());
    assert!("sh=/bin/sh@No Id".parse::<ShellEntry>().is_err());
}
