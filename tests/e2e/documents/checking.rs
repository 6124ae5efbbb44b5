//! Commands that are tried without a server.
//!
//! Bash runs each block in an empty folder, in which it finds only the programs that stand for the
//! real ones: `almanac` and `temporal` check their arguments with the real programs, and the
//! others do nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use almanac_tests::{almanac_binary, workspace};
use anyhow::Context;

use super::blocks::Block;

/// Programs in documents that no test runs from there, with the reason.
pub(crate) const NOT_RUN: [(&str, &str); 9] = [
    ("docker", "needs Docker"),
    (
        "envsubst",
        "renders templates of the reader's, and is not on every machine",
    ),
    ("helm", "needs Kubernetes; tests/deploy runs the chart"),
    (
        "jq",
        "is not on every machine; reads what a command with a server prints",
    ),
    ("kubectl", "needs Kubernetes"),
    (
        "make",
        "builds everything; tests/e2e/dev.rs runs the command of `make run`",
    ),
    ("nats", "is not on every machine: NATS's own command line"),
    ("oauth2-proxy", "needs an issuer"),
    ("ssh-keyscan", "needs a git server"),
];

/// Programs that are run in the executed documents, and do nothing in the others.
const STAND_INS: [&str; 4] = ["basename", "curl", "mkdir", "openssl"];

/// The program in [`NOT_RUN`] that a block names first, if it names one.
pub(crate) fn not_run(block: &Block) -> Option<&'static str> {
    let script = block.script();
    let lines = script.lines().filter(|line| !line.starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    words.find_map(|word| {
        let word = word.trim_start_matches(['$', '(']);
        let mut names = NOT_RUN.iter().map(|(name, _)| *name);
        names.find(|name| *name == word)
    })
}

/// `run` and `dev` would not end, so they print their help after they have read their arguments.
/// Every other command ends as soon as nobody listens at Temporal's address, or a file is missing.
const ALMANAC: &str = r#"#!/bin/sh
case "$1" in
  run | dev) set -- "$@" --help ;;
esac
output="$OUTPUT.$$"
"$REAL_ALMANAC" "$@" </dev/null >"$output" 2>&1
if grep -q "^For more information, try '--help'" "$output"; then
  echo "almanac $*: $(tr '\n' ' ' <"$output")" >>"$PROBLEMS"
fi
"#;

/// The command is the one that its own help names.
const TEMPORAL: &str = r#"#!/bin/sh
command=temporal
for word in "$@"; do
  case "$word" in
    -*) break ;;
  esac
  command="$command $word"
done
output="$OUTPUT.$$"
if ! "$REAL_TEMPORAL" "$@" --help </dev/null >"$output" 2>&1; then
  echo "temporal $*: $(head -1 "$output")" >>"$PROBLEMS"
elif ! grep -q "^  $command \[flags\]" "$output"; then
  echo "$command: no such command" >>"$PROBLEMS"
fi
"#;

/// A program that only has a line for whoever reads it.
const NOTHING: &str = "#!/bin/sh\necho 1\n";

/// A command that is not found is a problem, too.
const PRELUDE: &str = r#"
command_not_found_handle() { echo "\`$1\` is not listed" >>"$PROBLEMS"; }
"#;

/// Checks blocks in a folder of its own.
pub(crate) struct Checker {
    bash: PathBuf,
    programs: PathBuf,
    empty: PathBuf,
    problems: PathBuf,
    output: PathBuf,
}

impl Checker {
    /// Puts the programs into the folder.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let checker = Self {
            bash: program("bash")?,
            programs: folder.join("bin"),
            empty: folder.join("empty"),
            problems: folder.join("problems"),
            output: folder.join("output"),
        };
        let built = checker.empty.join("target/local");
        for folder in [&checker.programs, &built] {
            std::fs::create_dir_all(folder)?;
        }
        for name in NOT_RUN.iter().map(|(name, _)| name).chain(&STAND_INS) {
            script(&checker.programs.join(name), NOTHING)?;
        }
        for almanac in [checker.programs.join("almanac"), built.join("almanac")] {
            script(&almanac, ALMANAC)?;
        }
        script(&checker.programs.join("temporal"), TEMPORAL)?;
        // What the programs are made of.
        for name in ["grep", "head", "sh", "tr"] {
            std::os::unix::fs::symlink(program(name)?, checker.programs.join(name))?;
        }
        Ok(checker)
    }

    /// The problems of a block, each with the block's place.
    pub(crate) fn problems(&self, block: &Block) -> anyhow::Result<Vec<String>> {
        std::fs::write(&self.problems, "")?;
        let status = Command::new(&self.bash)
            .args([
                "-c",
                &format!("{PRELUDE}{}\nwait", with_id(&block.script())),
            ])
            .current_dir(&self.empty)
            .env("PATH", &self.programs)
            .env("REAL_ALMANAC", almanac_binary())
            .env("REAL_TEMPORAL", workspace().join(".tools/bin/temporal"))
            .env("PROBLEMS", &self.problems)
            .env("OUTPUT", &self.output)
            .env("TEMPORAL_ADDRESS", "127.0.0.1:1")
            .env("ALMANAC_URL", "http://127.0.0.1:1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        let mut problems = std::fs::read_to_string(&self.problems)?;
        if status.code() == Some(2) && problems.is_empty() {
            problems.push_str("bash cannot read the block");
        }
        let place = format!("{}:{}", block.document, block.line);
        let problems = problems
            .lines()
            .map(|problem| format!("{place}: {problem}"));
        Ok(problems.collect())
    }
}

/// The script with an id in the place of the word `ID`.
fn with_id(script: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut result = String::new();
    let mut rest = script;
    while let Some((before, after)) = rest.split_once("ID") {
        result.push_str(before);
        let is_part = result.ends_with(is_word) || after.starts_with(is_word);
        result.push_str(if is_part { "ID" } else { "invoices" });
        rest = after;
    }
    result + rest
}

/// A program of this machine.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    candidates
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("no {name} in the PATH"))
}

/// Writes a program.
pub(crate) fn script(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
