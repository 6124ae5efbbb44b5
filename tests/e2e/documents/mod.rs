//! The commands that the documents show.
//!
//! The documents in [`EXECUTED`] are run from top to bottom, against a real server and with a
//! worker, and what they show is compared with what the commands print. The commands of all other
//! documents are tried without a server: each is one of `almanac` or of the Temporal CLI that takes
//! these arguments, or a program in [`checking::NOT_RUN`], with the reason.

mod blocks;
mod checking;
mod session;

use std::process::Command;

use almanac_tests::{OwnServer, Project, Scheduler, almanac_binary, on_one_scheduler, workspace};

use blocks::{Block, Language, blocks, documents};
use session::Session;

/// The documents whose commands are run.
const EXECUTED: [&str; 3] = [
    "docs/disaster-recovery.md",
    "docs/production.md",
    "docs/scaling.md",
];

on_one_scheduler!(
    the_executed_documents_do_what_they_show,
    the_readme_shows_what_the_commands_print,
);

#[test]
fn each_command_of_the_documents_is_one_that_the_programs_take() {
    let folder = tempfile::tempdir().unwrap();
    let checker = checking::Checker::new(folder.path()).unwrap();
    let documents = documents().unwrap();
    let mut seen = 0;
    let mut problems = Vec::new();
    let is_executed = |document: &String| EXECUTED.contains(&document.as_str());
    for document in documents.iter().filter(|it| !is_executed(it)) {
        for block in blocks(document).unwrap() {
            seen += 1;
            problems.extend(checker.problems(&block).unwrap());
        }
    }
    assert!(documents.len() > 15 && seen > 40, "{seen} blocks");
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Problems of a block are found, and name its file and line.
#[test]
fn a_command_that_no_program_takes_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let checker = checking::Checker::new(folder.path()).unwrap();
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
            language: Language::Shell,
            text: text.to_owned(),
        };
        let problems = checker.problems(&block).unwrap().join("\n");
        assert!(problems.contains(expected), "{text}: {problems}");
        assert!(problems.starts_with("docs/x.md:7: "), "{problems}");
    }
}

/// All documents share one server and one project. Each leaves the project as it found it.
async fn the_executed_documents_do_what_they_show(on: Scheduler) -> anyhow::Result<()> {
    let server = OwnServer::start(on)?;
    let mut session = Session::new(server).await?;
    for document in EXECUTED {
        for block in blocks(document)? {
            session.run(&block).await?;
        }
    }
    Ok(())
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
