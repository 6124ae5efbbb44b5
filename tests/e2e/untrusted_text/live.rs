//! Texts that others put into Temporal, through every command and the worker.

use almanac_tests::{
    Project, SOON, Scheduler, Temporal, eventually, json_payload, on_one_scheduler,
    unmanaged_schedule, wait_for,
};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;

use super::{HOSTILE, SHORT, check, documents, run};
use crate::web::Web;

on_one_scheduler!(no_text_of_others_reaches_a_terminal_a_log_or_markdown_as_it_is);

/// Notes, reasons, ids, types, memos, answers of services and errors of commands,
/// through every command that talks to Temporal, the worker's log, and Markdown.
async fn no_text_of_others_reaches_a_terminal_a_log_or_markdown_as_it_is(
    on: Scheduler,
) -> anyhow::Result<()> {
    let web = Web::start(|_| Some((500, json!({ "said": HOSTILE, HOSTILE: [HOSTILE] })))).await?;
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    for (name, document) in documents() {
        project.write(&format!("{name} {SHORT}.yaml"), &document)?;
    }
    let shell = format!("printf %s {} >&2; exit 3", shell_quoted(HOSTILE));
    for (id, task) in [
        (
            "asks",
            json!({ "call": "http", "with": { "method": "get", "endpoint": format!("http://{}/", web.address()) } }),
        ),
        (
            "tries",
            json!({ "run": { "shell": { "command": "sh", "arguments": ["-c", shell] } } }),
        ),
        (
            "raises",
            json!({ "raise": { "error": { "type": "https://x.example/e", "status": 400, "title": HOSTILE, "detail": HOSTILE } } }),
        ),
        (
            "emits",
            json!({ "emit": { "event": { "with": { "source": "urn:x", "type": SHORT } } } }),
        ),
    ] {
        let definition =
            json!({ "id": id, "schedule": { "every": "9h" }, "do": [{ SHORT: task }] });
        project.write(&format!("{id}.yaml"), &json_document(&definition))?;
    }
    let foreign = create_foreign(temporal, &project).await?;
    let mut worker = project
        .worker()
        .flag("--http-allow", web.address())
        .flag("--shell-allow", "sh=/bin/sh")
        .flag("--log", "info,almanac=debug,almanac_activities=debug")
        .start()
        .await?;
    temporal.pause(&project.schedule("good"), HOSTILE).await?;
    worker.sync().await?;

    let name = project.name();
    let dir = project.definitions().display().to_string();
    let out = project.folder().join("imported").display().to_string();
    let query = format!("ScheduleId STARTS_WITH 'foreign-{name}'");
    let mut all: Vec<Vec<&str>> = vec![
        vec!["list"],
        vec!["plan", "--dir", &dir],
        vec!["sync"],
        vec!["pause", "steps", "--reason", HOSTILE],
        vec!["list"],
        vec!["show", "steps"],
        vec!["history", "steps"],
        vec!["unpause", "steps", "--reason", HOSTILE],
        vec!["unpause", "good", "--reason", HOSTILE],
        vec!["override", "steps", "--set", HOSTILE_ZONE, "--reason", "r"],
        vec![
            "override",
            "steps",
            "--set",
            "cron=0 7 * * *",
            "--reason",
            HOSTILE,
        ],
        vec!["plan", "--dir", &dir],
        vec!["clear-override", "steps"],
        vec![
            "backfill",
            "good",
            "--from",
            "2026-01-01T00:00:00Z",
            "--to",
            "2026-01-02T00:00:00Z",
        ],
        vec!["import", "--query", &query, "--dry-run"],
        vec!["import", "--query", &query, "--out", &out],
        vec!["adopt", "good", "--dir", &dir, "--from", &foreign],
        vec!["suspend", "--reason", HOSTILE],
        vec!["list"],
        vec!["resume"],
        vec!["destroy"],
        vec!["destroy", "--confirm", HOSTILE],
        vec!["sync", "--confirm", HOSTILE],
    ];
    for id in ["good", "asks", "tries", "raises", "emits", "steps"] {
        all.extend([
            vec!["trigger", id, "--reason", HOSTILE],
            vec!["show", id],
            vec!["next", id],
            vec!["history", id],
        ]);
    }
    for args in &all {
        for format in ["text", "json"] {
            let args = [&args[..], &["--format", format, "--project", name]].concat();
            run(project.address(), &args);
        }
    }
    failed(&project, &["asks", "tries", "raises"]).await?;
    for id in ["asks", "tries", "raises", "emits", "steps"] {
        run(project.address(), &["show", id, "--project", name]);
    }
    let (_, listed) = run(project.address(), &["show", "good", "--project", name]);
    assert!(listed.contains("FORGED"), "{listed}");

    check_markdown(temporal, &project).await?;
    assert_eq!(worker.terminate(SOON)?, 0);
    let log = worker.log()?;
    check("the log", log.as_bytes());
    assert!(log.contains("FORGED"), "{log}");
    Ok(())
}

const HOSTILE_ZONE: &str = "timezone=Euro\u{1b}[31mpe\nFORGED";

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A document as JSON, which is YAML once nothing in it is hidden.
fn json_document(document: &Value) -> String {
    almanac_base::text::json(&document.to_string()).replace('\u{7f}', "\\u007f")
}

/// Schedules of others: one by a hostile id, one in the way of a definition.
async fn create_foreign(temporal: &Temporal, project: &Project) -> anyhow::Result<String> {
    let id = format!("foreign-{} {SHORT}", project.name());
    let mut schedule = unmanaged_schedule("0 3 * * *");
    let action = schedule
        .action
        .as_mut()
        .and_then(|action| action.action.as_mut());
    if let Some(Action::StartWorkflow(starts)) = action {
        starts.workflow_id = format!("w{SHORT}");
        starts.workflow_type = Some(WorkflowType {
            name: SHORT.to_owned(),
        });
    }
    if let Some(state) = &mut schedule.state {
        HOSTILE.clone_into(&mut state.notes);
    }
    let memo = [(HOSTILE, json_payload(&HOSTILE))];
    temporal.create(&id, schedule.clone(), &memo).await?;
    temporal
        .create(&project.schedule("emits"), schedule.clone(), &memo)
        .await?;
    let under_our_prefix = format!("{}{SHORT}", project.schedule(""));
    temporal.create(&under_our_prefix, schedule, &memo).await?;
    Ok(id)
}

/// Waits until a run of each definition has failed.
async fn failed(project: &Project, ids: &[&str]) -> anyhow::Result<()> {
    for id in ids {
        let query = format!(
            "WorkflowId STARTS_WITH '{}/{id}' AND ExecutionStatus = 'Failed'",
            project.name()
        );
        wait_for(&format!("a run of {id} to fail"), 2 * SOON, || async {
            Ok((project.temporal().count_workflows(&query).await? > 0).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// The details of both workflows are Markdown in which nothing of others is markup.
async fn check_markdown(temporal: &Temporal, project: &Project) -> anyhow::Result<()> {
    let query = format!(
        "WorkflowId STARTS_WITH '{}/steps' AND ExecutionStatus = 'Running'",
        project.name()
    );
    let run = wait_for("a run of steps", SOON, || async {
        Ok(temporal.workflow_ids(&query).await?.into_iter().next())
    })
    .await?;
    for workflow in [run, project.reconcile_workflow()] {
        eventually(&format!("details of {workflow}"), || async {
            let metadata = temporal
                .query(&workflow, "__temporal_workflow_metadata", None)
                .await?;
            let details = metadata["currentDetails"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            check(&workflow, details.as_bytes());
            // What is left without the code spans is Almanac's own.
            let own: String = details.split('`').step_by(2).collect();
            for markup in ["FORGED", "http", "<", "[l]"] {
                assert!(!own.contains(markup), "{workflow}: {own}");
            }
            Ok(details.contains("FORGED"))
        })
        .await?;
    }
    Ok(())
}
