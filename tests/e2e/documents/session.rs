//! Commands of documents that are run, one after the other.
//!
//! The session has what the documents take for granted: a Temporal server, a project `billing` with
//! the definitions of the README in a git repository, and a worker that systemd would run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use almanac_tests::{
    Output, OwnServer, Project, SOON, Worker, almanac_binary, eventually, workspace,
};
use anyhow::{Context, bail, ensure};

use super::blocks::{Block, Language, Shown};
use super::checking::script;

/// Programs that the commands of executed documents may begin with.
const PROGRAMS: [&str; 5] = ["almanac", "cp", "git", "mkdir", "temporal"];
/// Commands that are not run again if their output is not as expected: the second time would do
/// more, or something else.
const ONCE: [&str; 7] = [
    "almanac adopt",
    "almanac backfill",
    "almanac import",
    "almanac trigger",
    "cp",
    "git",
    "mkdir",
];
/// Pause before a command is run again.
const PAUSE: Duration = Duration::from_millis(300);

const DEFINITIONS: [(&str, &str); 3] = [
    ("heartbeat", "{ every: 5m }"),
    (
        "invoices",
        "{ cron: \"30 2 * * MON-FRI\", timezone: Europe/Berlin }",
    ),
    (
        "payouts",
        "{ cron: \"0 6 * * MON-FRI\", timezone: Europe/Berlin }",
    ),
];

/// Writes the definitions of the README.
pub(crate) fn write_definitions(folder: &Path) -> anyhow::Result<()> {
    for (id, schedule) in DEFINITIONS {
        let text = format!(
            "labels: {{ team: billing }}\nschedule:\n  {}\nworkflow:\n  type: Nobody\n  \
             task_queue: nobody\n",
            schedule.trim_matches(['{', '}', ' ']).replace(", ", "\n  ")
        );
        std::fs::write(folder.join(format!("{id}.yaml")), text)?;
    }
    Ok(())
}

/// A server, a project, and the workers that run.
pub(crate) struct Session {
    server: OwnServer,
    project: Project,
    /// The workers, each with the name of its project.
    workers: BTreeMap<String, Worker>,
    /// The variables that commands have exported.
    variables: BTreeMap<String, String>,
    /// The digest that a command printed last.
    digest: Option<String>,
    programs: PathBuf,
    backup: PathBuf,
}

impl Session {
    pub(crate) async fn new(server: OwnServer) -> anyhow::Result<Self> {
        let project = Project::named(&server.address(), "billing").await?;
        write_definitions(&project.definitions())?;
        let [programs, backup] = ["bin", "backup"].map(|name| project.folder().join(name));
        for folder in [&programs, &backup] {
            std::fs::create_dir(folder)?;
        }
        let real = [
            ("almanac", almanac_binary().to_owned()),
            ("temporal", workspace().join(".tools/bin/temporal")),
        ];
        for (name, program) in real {
            let text = format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display());
            script(&programs.join(name), &text)?;
        }
        let mut session = Self {
            server,
            project,
            workers: BTreeMap::new(),
            variables: BTreeMap::new(),
            digest: None,
            programs,
            backup,
        };
        for command in [
            "git init -q",
            "git add definitions",
            "git commit -qm definitions",
        ] {
            session.execute(command)?.success()?;
        }
        session.start("billing").await?;
        Ok(session)
    }

    /// Runs the commands of a block, and compares what they print with what the block shows.
    pub(crate) async fn run(&mut self, block: &Block) -> anyhow::Result<()> {
        for shown in block.shown() {
            let place = || format!("{}:{}: {}", block.document, block.line, shown.command);
            self.command(&shown, block.language)
                .await
                .with_context(place)?;
        }
        Ok(())
    }

    async fn command(&mut self, shown: &Shown, language: Language) -> anyhow::Result<()> {
        let text = shown.command.trim();
        let command = text.split("  #").next().unwrap_or_default().trim();
        match command.split_once(' ').unwrap_or((command, "")) {
            ("export", assignment) => {
                let (name, value) = assignment.split_once('=').context("an assignment")?;
                self.variables.insert(name.to_owned(), value.to_owned());
            }
            ("unset", name) => {
                self.variables.remove(name).context("no such variable")?;
            }
            ("systemctl", rest) => match rest.split_once(" almanac@").context("a unit")? {
                ("start", project) => self.start(project).await?,
                ("stop", project) => {
                    let worker = self.workers.remove(project);
                    worker.context("no such worker")?.terminate(SOON)?;
                }
                (verb, _) => bail!("systemctl {verb}"),
            },
            ("curl", rest) => {
                let url = rest.rsplit(' ').next().unwrap_or_default();
                let path = url
                    .strip_prefix("localhost:8080")
                    .context("another server")?;
                self.fetched(path, &shown.output).await?;
            }
            ("#", "back up Temporal's database") => self.server.back_up(&self.backup)?,
            ("#", "restore Temporal's database") => self.server.restore(&self.backup)?,
            ("#", _) => {}
            (program, _) if PROGRAMS.contains(&program) => {
                let code = expected_code(text)?;
                let output = match language {
                    Language::Shell => "",
                    Language::Console => &shown.output,
                };
                self.observe(command, code, output).await?;
            }
            (program, _) => bail!("{program} is not in the list of programs"),
        }
        Ok(())
    }

    /// Starts a worker of a project, whose definitions are in a folder with the project's name.
    /// Those of `billing` are in `definitions`.
    async fn start(&mut self, project: &str) -> anyhow::Result<()> {
        let folder = match project {
            "billing" => self.project.definitions(),
            _ => self.project.folder().join(project),
        };
        let worker = self.project.worker().dir(folder);
        let worker = worker.instead("--project", project);
        let mut worker = worker.flag("--rescan-interval", "1s");
        for (name, value) in &self.variables {
            worker = worker.variable(name, value);
        }
        let earlier = self
            .workers
            .insert(project.to_owned(), worker.start().await?);
        ensure!(earlier.is_none(), "the worker runs");
        Ok(())
    }

    /// Asks the worker's HTTP for a path, until it answers with these lines.
    async fn fetched(&self, path: &str, output: &str) -> anyhow::Result<()> {
        let worker = self.workers.get("billing");
        let worker = worker.context("the worker does not run")?;
        eventually(path, || async {
            let (status, body) = worker.get(path).await?;
            let missing = first_missing(output, &body);
            ensure!(
                status == 200 && missing.is_none(),
                "{status}, not printed: {missing:?}\n{body}"
            );
            Ok(true)
        })
        .await
    }

    /// Runs a command until it ends with this exit code and prints these lines, because a worker
    /// and a list may be a moment behind.
    async fn observe(&mut self, command: &str, code: i32, shown: &str) -> anyhow::Result<()> {
        let has_digest = command.contains("DIGEST");
        let is_once = has_digest || ONCE.iter().any(|start| command.starts_with(start));
        let mut command = command.to_owned();
        if has_digest {
            let digest = self.digest.take().context("no digest was printed")?;
            command = command.replace("DIGEST", &digest);
        }
        let deadline = Instant::now() + SOON;
        loop {
            let output = self.execute(&command)?;
            let missing = first_missing(shown, &output.stdout);
            if output.code == code && missing.is_none() {
                return Ok(());
            }
            let is_final = is_once && !output.is_unanswered();
            if is_final || Instant::now() > deadline {
                let Output { code, stdout, .. } = output;
                bail!("exit code {code}; not printed: {missing:?}; printed:\n{stdout}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Runs a command. Both outputs have all that it prints, in order.
    fn execute(&mut self, command: &str) -> anyhow::Result<Output> {
        let path = std::env::var("PATH")?;
        let output = Command::new("bash")
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .current_dir(self.project.folder())
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("TEMPORAL_ADDRESS", self.project.address())
            .envs(git_identity())
            .envs(&self.variables)
            .stdin(Stdio::null())
            .output()?;
        let printed = String::from_utf8(output.stdout)?;
        if let Some(digest) = digest_in(&printed) {
            self.digest = Some(digest);
        }
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stderr: printed.clone(),
            stdout: printed,
        })
    }
}

/// Git reads no settings of the machine, and needs a name for commits.
fn git_identity() -> [(&'static str, &'static str); 6] {
    [
        ("GIT_AUTHOR_NAME", "ann"),
        ("GIT_AUTHOR_EMAIL", "ann@example"),
        ("GIT_COMMITTER_NAME", "ann"),
        ("GIT_COMMITTER_EMAIL", "ann@example"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ]
}

/// The exit code that a comment after the command states; 0 without one.
fn expected_code(command: &str) -> anyhow::Result<i32> {
    let Some((_, rest)) = command.split_once("exit code ") else {
        return Ok(0);
    };
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    Ok(digits.unwrap_or_default().parse()?)
}

/// The last digest that a command line in the output has.
fn digest_in(printed: &str) -> Option<String> {
    let (_, rest) = printed.rsplit_once("--confirm ")?;
    let digest = rest.split_whitespace().next()?;
    let is_digest = digest.len() > 15 && digest.chars().all(|c| c.is_ascii_hexdigit());
    is_digest.then(|| digest.to_owned())
}

/// The first line of `shown` that `printed` does not have, in this order. `…` stands for any text,
/// and any white space for one space.
fn first_missing(shown: &str, printed: &str) -> Option<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut printed = printed.lines().map(words);
    let mut shown = shown.lines().map(words).filter(|line| !line.is_empty());
    shown.find(|line| !printed.any(|printed| is_like(&printed, line)))
}

/// Returns `true` if the line is the pattern, in which `…` stands for any text.
fn is_like(line: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else {
        return line == pattern;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    let ends = line.char_indices().map(|(at, _)| at);
    ends.chain([line.len()])
        .any(|at| is_like(&line[at..], rest))
}

#[test]
fn shown_lines_are_found_in_order() {
    let printed = "Pass 4, revision 93a5, 28 ms\n  ~ a:   updated\n! 3 removals wait\nDone.\n";
    for shown in [
        "",
        "Pass …\n~ a: updated\nDone.",
        "…revision …, … ms\n\n! 3 removals wait",
        "Done.",
    ] {
        assert_eq!(first_missing(shown, printed), None, "{shown}");
    }
    for (shown, missing) in [
        ("Done.\nPass …", "Pass …"),
        ("Pass 5…", "Pass 5…"),
        ("Pass …\n~ b: updated", "~ b: updated"),
        ("3 removals wait", "3 removals wait"),
    ] {
        let found = first_missing(shown, printed);
        assert_eq!(found.as_deref(), Some(missing));
    }
}

#[test]
fn exit_codes_and_digests_are_read() {
    assert_eq!(expected_code("almanac status").unwrap(), 0);
    assert_eq!(
        expected_code("almanac status  # exit code 2: …").unwrap(),
        2
    );
    let digest = "5f2a93a57e19a86e";
    let printed = format!("  → almanac sync --project p --confirm {digest}\nDone.");
    assert_eq!(digest_in(&printed).as_deref(), Some(digest));
    assert_eq!(digest_in("--confirm DIGEST"), None);
}
