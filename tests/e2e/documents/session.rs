//! Commands of documents that are run, one after the other.
//!
//! The session has what the documents take for granted: a Temporal server, a project `billing` with
//! the definitions of the README in a git repository, and workers that systemd would run. The
//! places in documents, such as `localhost:8080` or `/run/secrets`, stand for those of the session.
//!
//! Besides the programs in `PROGRAMS`, the session understands:
//! - `export`, `unset`, and `systemctl start` or `stop` of `almanac@PROJECT`;
//! - `almanac run` and `almanac codec-server`, which end with their block unless `&` follows;
//! - the comments ``# stop the workers of `PROJECT` ``, `# publish SUBJECT BODY`, `# back up
//!   Temporal's database` and `# restore Temporal's database`;
//! - `DIGEST`, the digest that a command printed last, and `exit code N` in a comment;
//! - in outputs, `…` for any text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use almanac_tests::{Nats, Output, OwnServer, Project, SOON, Worker, almanac_binary, workspace};
use anyhow::{Context, bail, ensure};

use super::blocks::{Block, Language, Shown};
use super::checking::{program, script};
use super::output::{digest_in, expected_code, first_missing};
use super::started::{DEFAULT_PORT, Started};

/// Programs that the commands of executed documents, and of their scenes, may begin with.
const PROGRAMS: [&str; 12] = [
    "almanac", "cp", "curl", "echo", "for", "git", "mkdir", "openssl", "printf", "rm", "sed",
    "temporal",
];
/// Commands that are not run again if their output is not as expected: the second time would do
/// more, or something else.
const ONCE: [&str; 9] = [
    "almanac adopt",
    "almanac backfill",
    "almanac events replay",
    "almanac events send",
    "almanac import",
    "almanac trigger",
    "cp",
    "git",
    "mkdir",
];
/// Pause before a command is run again.
const PAUSE: Duration = Duration::from_millis(300);

/// Addresses of Temporal and of NATS in documents.
const TEMPORAL_ADDRESS: &str = "temporal:7233";
const NATS_ADDRESS: &str = "nats.internal:4222";
/// Folder of the definitions of `billing` in documents, as systemd runs its worker.
const DEFINITIONS_FOLDER: &str = "/etc/almanac/billing";
/// Folder of secrets in documents.
const SECRETS: &str = "/run/secrets";
/// Hosts at which documents ask a worker on this machine or on another one.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "almanac"];

/// `openssl rand`, for machines without it.
const OPENSSL: &str = r#"#!/bin/sh
case "$1 $2" in
  'rand -hex') head -c "$3" /dev/urandom | od -A n -v -t x1 | tr -d ' \n' ;;
  'rand -base64') head -c "$3" /dev/urandom | base64 ;;
  *) exit 2 ;;
esac
"#;

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

/// A server, a project, and the processes that run.
pub(crate) struct Session {
    server: OwnServer,
    project: Project,
    /// The workers of systemd, each with the name of its project.
    workers: BTreeMap<String, Worker>,
    /// The processes that the document's own commands have started, in this order.
    started: Vec<Started>,
    nats: Option<Nats>,
    /// The variables that commands have exported.
    variables: BTreeMap<String, String>,
    /// Lines of the block that later commands of the block need: `umask` and variables.
    prelude: Vec<String>,
    /// Output of the last command.
    printed: String,
    programs: PathBuf,
    backup: PathBuf,
    secrets: PathBuf,
}

impl Session {
    pub(crate) async fn new(server: OwnServer) -> anyhow::Result<Self> {
        let project = Project::named(&server.address(), "billing").await?;
        write_definitions(&project.definitions())?;
        let [programs, backup, secrets] =
            ["bin", "backup", "secrets"].map(|name| project.folder().join(name));
        for folder in [&programs, &backup, &secrets] {
            std::fs::create_dir(folder)?;
        }
        let examples = project.folder().join("examples");
        std::os::unix::fs::symlink(workspace().join("examples"), examples)?;
        let real = [
            ("almanac", almanac_binary().to_owned()),
            ("temporal", workspace().join(".tools/bin/temporal")),
        ];
        for (name, program) in real {
            let text = format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display());
            script(&programs.join(name), &text)?;
        }
        if program("openssl").is_err() {
            script(&programs.join("openssl"), OPENSSL)?;
        }
        let session = Self {
            server,
            project,
            workers: BTreeMap::new(),
            started: Vec::new(),
            nats: None,
            variables: BTreeMap::new(),
            prelude: Vec::new(),
            printed: String::new(),
            programs,
            backup,
            secrets,
        };
        for command in [
            "git init -q",
            "git add definitions",
            "git commit -qm definitions",
        ] {
            session.execute(command)?.success()?;
        }
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
        self.prelude.clear();
        self.end(Started::is_in_foreground)
    }

    /// Ends what still runs.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.end(|_| true)
    }

    async fn command(&mut self, shown: &Shown, language: Language) -> anyhow::Result<()> {
        let text = shown.command.trim();
        let command = text.split("  #").next().unwrap_or_default().trim();
        if command.contains(NATS_ADDRESS) && self.nats.is_none() {
            let nats = Nats::start().await?;
            nats.stream("EVENTS", "events.>").await?;
            self.nats = Some(nats);
        }
        if let Some(comment) = command.strip_prefix("# ") {
            return self.comment(comment).await;
        }
        ensure!(!command.contains('…'), "`…` is not a part of a command");
        if Started::is_by(command) {
            return self.begin(command).await;
        }
        let command = self.actual(command);
        match command.split_once(' ').unwrap_or((&command, "")) {
            ("export", assignment) => {
                let (name, value) = assignment.split_once('=').context("an assignment")?;
                self.variables.insert(name.to_owned(), value.to_owned());
            }
            ("unset", name) => {
                self.variables.remove(name).context("no such variable")?;
            }
            ("systemctl", rest) => match rest.split_once(" almanac@").context("a unit")? {
                ("start", project) => self.start(project).await?,
                ("stop", project) => self.stop(project)?,
                (verb, _) => bail!("systemctl {verb}"),
            },
            (start, _) if start == "umask" || start.contains("=$(") => self.prelude.push(command),
            _ => {
                let name = program_of(&command);
                ensure!(PROGRAMS.contains(&name), "{name} is not in the list");
                let command = match name {
                    "curl" => with_curl(&command)?,
                    _ => command.clone(),
                };
                let output = match language {
                    Language::Shell => String::new(),
                    Language::Console => self.actual(&shown.output),
                };
                self.observe(&command, expected_code(text)?, &output)
                    .await?;
            }
        }
        Ok(())
    }

    /// Does what a comment says, if it is something that no command of the reader's machine does.
    async fn comment(&mut self, text: &str) -> anyhow::Result<()> {
        if let Some((_, project)) = text.split_once("stop the workers of `") {
            let project = project.split('`').next().unwrap_or_default();
            return self.stop(project);
        }
        if let Some(message) = text.strip_prefix("publish ") {
            let (subject, body) = message.split_once(' ').context("a subject and a body")?;
            let nats = self.nats.as_ref().context("NATS does not run")?;
            nats.publish(subject, &[], body).await?;
        }
        match text {
            "back up Temporal's database" => self.server.back_up(&self.backup),
            "restore Temporal's database" => self.server.restore(&self.backup),
            _ => Ok(()),
        }
    }

    /// A text with the places of this session in the place of those in documents.
    fn actual(&self, text: &str) -> String {
        let mut text = text
            .replace(TEMPORAL_ADDRESS, &self.server.address())
            .replace(SECRETS, &self.secrets.display().to_string())
            .replace(
                DEFINITIONS_FOLDER,
                &self.project.definitions().display().to_string(),
            );
        if let Some(nats) = &self.nats {
            text = text.replace(NATS_ADDRESS, nats.url().trim_start_matches("nats://"));
        }
        for (shown, address) in self.addresses() {
            for host in HOSTS {
                text = text.replace(&format!("{host}:{shown}"), &address);
            }
        }
        text
    }

    /// Addresses that serve HTTP, each with its port in documents. The process that was started
    /// last counts.
    fn addresses(&self) -> BTreeMap<u16, String> {
        let worker = self.workers.get("billing");
        let worker = worker.map(|worker| (DEFAULT_PORT, worker.address()));
        let started = self.started.iter().map(Started::ports);
        let started = started.map(|(shown, port)| (shown, format!("127.0.0.1:{port}")));
        worker.into_iter().chain(started).collect()
    }

    /// Starts a process that a document starts, and waits until it serves.
    async fn begin(&mut self, command: &str) -> anyhow::Result<()> {
        let path = self.path()?;
        let address = self.server.address();
        let mut environment = vec![("PATH", &*path), ("TEMPORAL_ADDRESS", &*address)];
        let variables = self.variables.iter();
        environment.extend(variables.map(|(name, value)| (&**name, &**value)));
        let folder = self.project.folder();
        let started = Started::start(command, folder, &environment, |text| self.actual(text))?;
        self.started.push(started);
        let started = self.started.last_mut().context("it was started")?;
        started.ready().await
    }

    /// Ends the processes that a document has started, if they are such ones.
    fn end(&mut self, is_such: impl Fn(&Started) -> bool) -> anyhow::Result<()> {
        let started = std::mem::take(&mut self.started).into_iter();
        let (ended, left): (Vec<_>, Vec<_>) = started.partition(|it| is_such(it));
        self.started = left;
        ended.into_iter().try_for_each(Started::end)
    }

    /// Stops the workers of a project.
    fn stop(&mut self, project: &str) -> anyhow::Result<()> {
        let worker = self.workers.remove(project);
        let is_there = worker.is_some() || self.started.iter().any(|it| it.is_of(project));
        ensure!(is_there, "the project has no worker");
        if let Some(mut worker) = worker {
            worker.terminate(SOON)?;
        }
        self.end(|it| it.is_of(project))
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

    /// Runs a command until it ends with this exit code and prints these lines, because a worker
    /// and a list may be a moment behind.
    async fn observe(&mut self, command: &str, code: i32, shown: &str) -> anyhow::Result<()> {
        let has_digest = command.contains("DIGEST");
        let is_once = has_digest || ONCE.iter().any(|start| command.starts_with(start));
        let mut command = command.to_owned();
        if has_digest {
            let digest = digest_in(&self.printed).with_context(|| self.printed.clone())?;
            command = command.replace("DIGEST", &digest);
        }
        let deadline = Instant::now() + SOON;
        loop {
            let output = self.execute(&command)?;
            self.printed.clone_from(&output.stdout);
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

    /// The folders of programs: those of the session first.
    fn path(&self) -> anyhow::Result<String> {
        let path = std::env::var("PATH")?;
        Ok(format!("{}:{path}", self.programs.display()))
    }

    /// Runs a command. Both outputs have all that it prints, in order.
    fn execute(&self, command: &str) -> anyhow::Result<Output> {
        let url = self.addresses().remove(&DEFAULT_PORT);
        let url = url.map(|address| ("ALMANAC_URL", format!("http://{address}")));
        let prelude = self.prelude.join("\n");
        let output = Command::new("bash")
            .args(["-c", &format!("{prelude}\n{{ {command}\n}} 2>&1")])
            .current_dir(self.project.folder())
            .env("PATH", self.path()?)
            .env("TEMPORAL_ADDRESS", self.project.address())
            .envs(git_identity())
            .envs(url)
            .envs(&self.variables)
            .stdin(Stdio::null())
            .output()?;
        let printed = String::from_utf8(output.stdout)?;
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

/// The program of a command, after the variables that are set for this command.
fn program_of(command: &str) -> &str {
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let is_variable = |word: &&str| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    let words = command.split_whitespace();
    let mut words = words.skip_while(|word| is_variable(word) || *word == "\\");
    words.next().unwrap_or_default()
}

/// A command of `curl` that fails if the answer is an error.
fn with_curl(command: &str) -> anyhow::Result<String> {
    program("curl").context("the documents have commands of curl; install it")?;
    let flags = if command.contains(" --fail ") {
        "-sS"
    } else {
        "-sS --fail-with-body"
    };
    Ok(command.replacen("curl ", &format!("curl {flags} "), 1))
}

#[test]
fn the_program_of_a_command_is_found() {
    assert_eq!(program_of("almanac list"), "almanac");
    assert_eq!(program_of("export A_B=c"), "export");
    let with_variables = "TEMPORAL_NAMESPACE=new A=b \\\n  almanac plan";
    assert_eq!(program_of(with_variables), "almanac");
}

/// Both kinds have the form that `openssl` prints.
#[test]
fn random_texts_are_made_without_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("openssl");
    script(&program, OPENSSL).unwrap();
    for (kind, length) in [("-hex", 64), ("-base64", 44)] {
        let output = Command::new(&program).args(["rand", kind, "32"]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(text.trim().len(), length, "{text}");
    }
}
