//! The commands that scenarios run: a program for each, which writes down what it was given.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::{Value, json};

use super::scenario::{Call, same};
use super::{Case, Cases};

/// The folder of the program has the answer, and gets what the program was given. `began` is last,
/// so that the rest is complete.
const PROGRAM: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 99
for argument; do printf '%s\n' "$argument"; done >arguments
cat >stdin
env >environment
touch began
cat stdout
cat stderr >&2
exit "$(cat code)"
"#;

/// Folder of the programs.
pub(super) struct Commands(PathBuf);

/// The name of a scenario's command: each scenario has commands of its own.
pub(super) fn name(case: &Case, command: &str) -> String {
    format!("{}-{command}", case.name)
}

impl Commands {
    /// Writes a program for each command of the scenarios.
    pub(super) fn write(cases: &Cases, folder: &Path) -> anyhow::Result<Self> {
        let commands = Self(folder.to_owned());
        for (_, case, call) in cases.calls() {
            let Some((folder, _)) = commands.folder(case, call) else {
                continue;
            };
            ensure!(!folder.exists(), "{}: a command runs twice", case.name);
            fs::create_dir_all(&folder)?;
            for (file, text) in answer(call) {
                fs::write(folder.join(file), text)?;
            }
            let program = folder.join("program");
            fs::write(&program, PROGRAM)?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        }
        Ok(commands)
    }

    /// The flags with which a worker may run the programs.
    pub(super) fn flags(&self, cases: &Cases) -> Vec<(&'static str, String)> {
        let mut flags = Vec::new();
        let mut variables = BTreeSet::new();
        for (_, case, call) in cases.calls() {
            if let Some((folder, name)) = self.folder(case, call) {
                let program = folder.join("program");
                flags.push(("--shell-allow", format!("{name}={}", program.display())));
                let environment = call
                    .request()
                    .and_then(|(_, shell)| shell.get("environment"));
                let environment = environment.and_then(Value::as_object);
                variables.extend(
                    environment
                        .into_iter()
                        .flatten()
                        .map(|(name, _)| name.clone()),
                );
            }
        }
        flags.extend(variables.into_iter().map(|name| ("--shell-env", name)));
        flags
    }

    /// Takes the calls whose programs have run.
    pub(super) fn take_in(&self, cases: &Cases) -> anyhow::Result<()> {
        for (key, case, call) in cases.calls() {
            let Some((folder, name)) = self.folder(case, call) else {
                continue;
            };
            if !folder.join("began").exists() || !cases.made.lock().unwrap().insert(key) {
                continue;
            }
            let read = |file: &str| fs::read_to_string(folder.join(file));
            let (arguments, stdin, environment) =
                (read("arguments")?, read("stdin")?, read("environment")?);
            let arguments: Vec<&str> = arguments.lines().collect();
            let shell = call.request().map(|(_, shell)| shell);
            for (key, wanted) in shell.into_iter().flatten() {
                let held = match (key.as_str(), wanted) {
                    ("arguments", wanted) => same(key, wanted, &json!(arguments)),
                    ("stdin", wanted) => same(key, wanted, &json!(stdin)),
                    ("environment", Value::Object(wanted)) => {
                        wanted.iter().try_for_each(|(variable, wanted)| {
                            let value = environment
                                .lines()
                                .find_map(|line| line.strip_prefix(&format!("{variable}=")));
                            same(variable, wanted, &json!(value))
                        })
                    }
                    // The rest shows in the output of the run.
                    _ => Ok(()),
                };
                if let Err(why) = held {
                    cases.differs(format!("{name}: {why}"));
                }
            }
        }
        Ok(())
    }

    /// The folder of a command, and the command's name.
    fn folder(&self, case: &Case, call: &Call) -> Option<(PathBuf, String)> {
        let ("shell", shell) = call.request()? else {
            return None;
        };
        let name = name(case, shell["command"].as_str()?);
        Some((self.0.join(&name), name))
    }
}

/// The answer of a command: what it writes, and its exit code.
fn answer(call: &Call) -> [(&'static str, String); 3] {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let output = call.request().and_then(|(_, shell)| shell.get("output"));
    let (mut stdout, mut stderr, mut code) = (String::new(), String::new(), "0".to_owned());
    match output.and_then(Value::as_str) {
        Some("code") => code = text(&call.answer),
        Some("stderr") => stderr = text(&call.answer),
        Some("all") => {
            stdout = text(&call.answer["stdout"]);
            stderr = text(&call.answer["stderr"]);
            code = text(&call.answer["code"]);
        }
        _ => stdout = text(&call.answer),
    }
    [("stdout", stdout), ("stderr", stderr), ("code", code)]
}
