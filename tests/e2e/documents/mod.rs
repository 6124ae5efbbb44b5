//! The commands that the documents show.
//!
//! The documents in [`EXECUTED`] are run from top to bottom, each with a Temporal server of its own,
//! and what they show is compared with what the commands print. `scenes/` has, for each of them, the
//! commands that make what a section takes for granted, such as a schedule that somebody paused.
//!
//! Some blocks of these documents need a program that is not on every machine: [`NOT_EXECUTED`] counts
//! them. They, and the commands of all other documents, are tried without a server: each is one of
//! `almanac` or of the Temporal CLI that takes these arguments, or a program in
//! [`checking::NOT_RUN`], with the reason.

mod blocks;
mod checking;
mod output;
mod session;
mod started;

use std::collections::BTreeMap;
use std::process::Command;

use almanac_tests::{OwnServer, Project, Scheduler, almanac_binary, on_one_scheduler, workspace};

use blocks::{Block, Language, blocks, documents};
use checking::{Checker, not_run};
use session::Session;

/// Lists the documents whose commands are run, and makes a test of each.
macro_rules! executed {
    ($($name:ident: $document:literal),* $(,)?) => {
        /// The documents whose commands are run.
        const EXECUTED: &[&str] = &[$($document),*];

        $(
            async fn $name(on: Scheduler) -> anyhow::Result<()> {
                execute(on, $document).await
            }
        )*

        on_one_scheduler!($($name),*);
    };
}

executed! {
    disaster_recovery: "docs/disaster-recovery.md",
    encryption: "docs/encryption.md",
    environments: "docs/environments.md",
    http: "docs/http.md",
    moving: "docs/moving.md",
    operating: "docs/operating.md",
    production: "docs/production.md",
    scaling: "docs/scaling.md",
    upgrades: "docs/upgrades.md",
}

/// Number of blocks in executed documents that are not run, because they need this program.
const NOT_EXECUTED: [(&str, &str, usize); 4] = [
    ("docs/environments.md", "envsubst", 1),
    ("docs/operating.md", "jq", 1),
    ("docs/operating.md", "nats", 3),
    ("docs/operating.md", "oauth2-proxy", 1),
];

on_one_scheduler!(the_readme_shows_what_the_commands_print);

#[test]
fn each_command_of_the_documents_is_one_that_the_programs_take() {
    let folder = tempfile::tempdir().unwrap();
    let checker = Checker::new(folder.path()).unwrap();
    let documents = documents().unwrap();
    let mut seen = 0;
    let mut problems = Vec::new();
    for document in &documents {
        let is_executed = EXECUTED.contains(&document.as_str());
        for block in blocks(document).unwrap() {
            seen += 1;
            if !is_executed || not_run(&block).is_some() {
                problems.extend(checker.problems(&block).unwrap());
            }
        }
    }
    assert!(documents.len() > 15 && seen > 40, "{seen} blocks");
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn few_blocks_of_the_executed_documents_are_not_run() {
    let mut found = BTreeMap::new();
    for document in EXECUTED {
        for program in blocks(document).unwrap().iter().filter_map(not_run) {
            *found.entry((*document, program)).or_default() += 1;
        }
    }
    let expected = NOT_EXECUTED.map(|(document, program, count)| ((document, program), count));
    assert_eq!(found, BTreeMap::from(expected));
}

/// Problems of a block are found, and name its file and line.
#[test]
fn a_command_that_no_program_takes_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let checker = Checker::new(folder.path()).unwrap();
    let cases = [
        ("almanac pauze ID", "unrecognized subcommand"),
        ("almanac pause ID --reason x --fore 2h", "--fore"),
        ("almanac backfill ID --from 2026-01-01", "--to"),
        ("almanac run --project p --drift maybe", "maybe"),
        (
            "echo a |\n  while read -r it; do almanac show; done",
            "<ID>",
        ),
        ("temporal schedule pause", "no such command"),
        ("temporal schedule toggle --schedule s", "--schedule"),
        ("terraform apply", "`terraform` is not listed"),
    ];
    for (text, expected) in cases {
        let block = Block {
            document: "docs/x.md".to_owned(),
            line: 7,
            section: String::new(),
            language: Language::Shell,
            text: text.to_owned(),
        };
        let problems = checker.problems(&block).unwrap().join("\n");
        assert!(problems.contains(expected), "{text}: {problems}");
        assert!(problems.starts_with("docs/x.md:7: "), "{problems}");
    }
}

/// Runs a document, and before each section the scene of the section. The first scene is that of
/// the whole page.
async fn execute(on: Scheduler, document: &str) -> anyhow::Result<()> {
    let mut session = Session::new(OwnServer::start(on)?).await?;
    let mut scenes = scenes(document)?;
    for block in blocks(document)? {
        for section in ["", &block.section] {
            for scene in scenes.remove(section).unwrap_or_default() {
                session.run(&scene).await?;
            }
        }
        if not_run(&block).is_none() {
            session.run(&block).await?;
        }
    }
    let unknown: Vec<_> = scenes.keys().collect();
    anyhow::ensure!(unknown.is_empty(), "{document} has no sections {unknown:?}");
    session.finish()
}

/// The scenes of a document, each with the heading of its section.
fn scenes(document: &str) -> anyhow::Result<BTreeMap<String, Vec<Block>>> {
    let name = document.trim_start_matches("docs/");
    let mut scenes = BTreeMap::<String, Vec<Block>>::new();
    for block in blocks(&format!("tests/e2e/documents/scenes/{name}"))? {
        scenes.entry(block.section.clone()).or_default().push(block);
    }
    Ok(scenes)
}

/// The README's list, event and plan. Their times depend on the day, so key lines are compared.
async fn the_readme_shows_what_the_commands_print(on: Scheduler) -> anyhow::Result<()> {
    let server = OwnServer::start(on)?;
    let project = Project::named(&server.address(), "billing").await?;
    session::write_definitions(&project.definitions())?;
    let worker = project.worker().start().await?;
    let blocks = blocks("README.md")?;
    let shown = blocks.iter().find(|it| it.language == Language::Console);
    let shown = shown.map(Block::shown).unwrap_or_default();
    let [list, plan] = &shown[..] else {
        anyhow::bail!("{} commands", shown.len());
    };

    let pause = ["pause", "payouts", "--reason"];
    project
        .almanac(&[&pause[..], &["the bank is down until Tuesday"]].concat())?
        .success()?;
    anyhow::ensure!(list.command == "almanac list --project billing");
    let printed = project.almanac(&["list"])?.success()?;
    let shown_columns = columns(&list.output);
    assert_eq!(columns(&printed)[0], shown_columns[0], "{printed}");
    for id in ["heartbeat", "invoices", "payouts"] {
        let is_of_it = |line: &&Vec<String>| line.first().is_some_and(|it| it == id);
        let [shown, printed] = [&shown_columns, &columns(&printed)]
            .map(|lines| lines.iter().find(is_of_it).cloned().unwrap_or_default());
        assert!(shown.len() > 4, "{id}: {shown:?}");
        assert_eq!(shown[2], printed[2], "{id}");
    }
    let dir = project.definitions();
    let example = "examples/definitions/orders.yaml";
    std::fs::copy(workspace().join(example), dir.join("orders.yaml"))?;
    worker.sync().await?;
    let event = blocks.iter().find(|it| it.text.contains("events send"));
    let event = event.map(|it| it.text.clone()).unwrap_or_default();
    let binary = almanac_binary().display().to_string();
    let sent = Command::new("bash")
        .args(["-c", &event.replace("target/local/almanac", &binary)])
        .env("ALMANAC_URL", format!("http://{}", worker.address()))
        .output()?;
    let printed = String::from_utf8_lossy(&sent.stdout);
    assert!(
        sent.status.success() && printed.contains("started"),
        "{sent:?}"
    );
    drop(worker);

    let file = dir.join("invoices.yaml");
    let edited = std::fs::read_to_string(&file)?.replace("30 2 *", "0 3 *");
    std::fs::write(&file, edited)?;
    anyhow::ensure!(
        plan.command
            .starts_with("almanac plan --project billing --dir definitions")
    );
    let printed = project
        .almanac(&["plan", "--dir", dir.to_str().unwrap()])?
        .success()?;
    let mut compared = 0;
    for line in plan.output.lines().filter(|line| is_key_line(line)) {
        compared += 1;
        assert!(printed.contains(line), "not printed: {line}\n{printed}");
    }
    assert_eq!(compared, 3);
    Ok(())
}

/// The columns of a table that two spaces or more separate.
fn columns(table: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|it| !it.is_empty());
        cells.map(str::to_owned).collect()
    };
    table.lines().map(cells).collect()
}

/// Returns `true` if a line of a plan does not depend on the day.
fn is_key_line(line: &str) -> bool {
    ["~ ", "    times:", "Plan:"]
        .iter()
        .any(|start| line.starts_with(start))
}
