//! A document that fails affects nothing but itself.

use almanac_core::record::Report;
use almanac_tests::{Project, Scheduler, Worker, almanac, cron, on_both_schedulers};

fn error_of(report: &Report, source: &str) -> String {
    let errors = report
        .errors
        .iter()
        .filter(|error| error.source.contains(source));
    errors
        .map(|error| format!("{}: {}", error.source, error.message))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn times(project: &Project, id: &str) -> anyhow::Result<String> {
    Ok(project
        .temporal()
        .live(&project.schedule(id))
        .await?
        .times())
}

async fn synced_without_deletes(worker: &Worker) -> anyhow::Result<Report> {
    let report = worker.sync().await?;
    assert_eq!(report.schedules.deleted, 0, "{report:?}");
    Ok(report)
}

on_both_schedulers!(
    a_broken_file_before_and_after_a_restart,
    an_unreadable_id_protects_its_files_schedules,
    an_unreadable_id_of_a_new_file_stops_removals,
    two_documents_with_one_id_are_both_invalid,
    bad_input_affects_no_other_file,
);

/// A file that breaks keeps its last good version; the error has its
/// place; everything else goes on. After a restart, with no last good
/// version in memory, the schedule still stays.
async fn a_broken_file_before_and_after_a_restart(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("good.yaml", &cron("0 1 * * *"))?;
    project.write(
        "breaks.yaml",
        "schedule:\n  every: 1s\nworkflow: { type: Nobody, task_queue: nobody }\n",
    )?;
    project.write("goes.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;

    project.write(
        "breaks.yaml",
        "schedule:\n  cron: '0 25 * * *'\nworkflow: { type: Nobody, task_queue: nobody }\n",
    )?;
    project.write("good.yaml", &cron("0 2 * * *"))?;
    project.remove("goes.yaml")?;
    let report = worker.sync().await?;
    assert!(
        error_of(&report, "breaks.yaml:2:").contains("25"),
        "{report:?}"
    );
    assert_eq!(
        (report.schedules.updated, report.schedules.deleted),
        (1, 1),
        "{report:?}"
    );
    assert_eq!(report.definitions.invalid, 1);
    assert_eq!(times(&project, "good").await?, "0 2 1-31 1-12 0-6");
    let shown = worker.json("/api/v1/definitions/breaks").await?;
    assert_eq!(shown["status"], "stale", "{shown}");
    assert_eq!(shown["load_error"]["line"], 2, "{shown}");
    assert!(shown["load_error"]["column"].as_u64().is_some(), "{shown}");

    worker.restart().await?;
    let report = synced_without_deletes(&worker).await?;
    assert!(
        error_of(&report, "breaks.yaml:2:").contains("25"),
        "{report:?}"
    );
    // It still has what it had, and keeps firing.
    let before = project.temporal().live(&project.schedule("breaks")).await?;
    assert_eq!(before.spec().interval[0].interval.unwrap().seconds, 1);
    assert!(!before.paused());
    let shown = worker.json("/api/v1/definitions/breaks").await?;
    assert_eq!(shown["status"], "invalid", "{shown}");

    project.write("breaks.yaml", &cron("0 3 * * *"))?;
    let report = worker.sync().await?;
    assert_eq!(
        (
            error_of(&report, "breaks.yaml").as_str(),
            report.definitions.invalid
        ),
        ("", 0)
    );
    assert_eq!(times(&project, "breaks").await?, "0 3 1-31 1-12 0-6");
    Ok(())
}

/// A document whose id cannot be read protects the schedules that came
/// from its file; other removals go on.
async fn an_unreadable_id_protects_its_files_schedules(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let two = format!(
        "id: one\n{}---\nid: two\n{}",
        cron("0 1 * * *"),
        cron("0 1 * * *")
    );
    project.write("both.yaml", &two)?;
    project.write("goes.yaml", &cron("0 1 * * *"))?;
    project.write("stays.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;

    project.write("both.yaml", "id: [one\n  two: {{{\n---\n\t- x")?;
    project.remove("goes.yaml")?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.deleted, 1, "{report:?}");
    worker.restart().await?;
    synced_without_deletes(&worker).await?;
    project.has_just(&["one", "stays", "two"]).await
}

/// If no schedule came from the file either, all removals wait.
async fn an_unreadable_id_of_a_new_file_stops_removals(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("goes.yaml", &cron("0 1 * * *"))?;
    project.write("stays.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    // `goes` may have moved into the file that cannot be read.
    project.write("unreadable.yaml", "id: goes\nid: [\n---\n{")?;
    project.remove("goes.yaml")?;
    synced_without_deletes(&worker).await?;
    project.remove("unreadable.yaml")?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.deleted, 1, "{report:?}");
    Ok(())
}

/// Two documents with one id: both are named, neither is applied, and the
/// live schedule stays.
async fn two_documents_with_one_id_are_both_invalid(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("first.yaml", &format!("id: same\n{}", cron("0 1 * * *")))?;
    let mut worker = project.worker().start().await?;
    project.write("second.yaml", &format!("id: same\n{}", cron("0 2 * * *")))?;
    for _ in 0..2 {
        let report = worker.sync().await?;
        assert_eq!(report.changes, [], "{report:?}");
        for file in ["first.yaml", "second.yaml"] {
            assert!(
                error_of(&report, file).contains("same"),
                "{file}: {report:?}"
            );
        }
        assert_eq!(times(&project, "same").await?, "0 1 1-31 1-12 0-6");
        worker.restart().await?;
    }
    project.remove("first.yaml")?;
    worker.sync().await?;
    assert_eq!(times(&project, "same").await?, "0 2 1-31 1-12 0-6");
    Ok(())
}

/// A good file is served beside files with any content.
async fn bad_input_affects_no_other_file(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("zz-good.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;
    for case in CASES {
        project.write(&format!("bad-{}.yaml", case.name), case.text)?;
    }
    put_odd_files(&project)?;
    project.write("zz-good.yaml", &cron("0 2 * * *"))?;
    let report = synced_without_deletes(&worker).await?;
    assert_eq!(times(&project, "zz-good").await?, "0 2 1-31 1-12 0-6");
    assert!(
        report.definitions.invalid >= CASES.len() as u64,
        "{report:?}"
    );
    worker.restart().await?;
    project.write("zz-good.yaml", &cron("0 3 * * *"))?;
    synced_without_deletes(&worker).await?;
    assert_eq!(times(&project, "zz-good").await?, "0 3 1-31 1-12 0-6");
    project.has_schedules(1).await
}

struct Case {
    name: &'static str,
    text: &'static str,
    /// `line:column`, and a part of the message.
    place: &'static str,
    message: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "unknown-key",
        text: "schedule: { cron: '@daily' }\nworkflow: { type: A, task_queue: q }\nshedule: 1\n",
        place: "3:1",
        message: "shedule",
    },
    Case {
        name: "wrong-type",
        text: "schedule:\n  cron: '@daily'\n  jitter: [1]\nworkflow: { type: A, task_queue: q }\n",
        place: "3:11",
        message: "jitter",
    },
    Case {
        name: "duplicate-key",
        text: "enabled: true\nenabled: false\nschedule: { cron: '@daily' }\nworkflow: { type: A, task_queue: q }\n",
        place: "2:1",
        message: "enabled",
    },
    Case {
        name: "bad-cron",
        text: "schedule:\n  cron: '61 * * * *'\nworkflow: { type: A, task_queue: q }\n",
        place: "2:10",
        message: "61",
    },
    Case {
        name: "unknown-zone",
        text: "schedule:\n  cron: '@daily'\n  timezone: Mars/Olympus\nworkflow: { type: A, task_queue: q }\n",
        place: "3:13",
        message: "Mars/Olympus",
    },
    Case {
        name: "end-before-start",
        text: "schedule:\n  cron: '@daily'\n  start_at: 2027-01-01T00:00:00Z\n  end_at: 2026-01-01T00:00:00Z\nworkflow: { type: A, task_queue: q }\n",
        place: "4:11",
        message: "end_at",
    },
    Case {
        name: "both",
        text: "schedule: { cron: '@daily' }\nworkflow: { type: A, task_queue: q }\ndo: []\n",
        place: "3:1",
        message: "workflow",
    },
    Case {
        name: "aliases",
        text: "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
        place: "2:",
        message: "alias",
    },
    Case {
        name: "not-supported",
        text: "do:\n  - ask:\n      call: grpc\n      with: {}\n",
        place: "3:13",
        message: "not supported",
    },
];

/// Writes files that are not text, and entries that are not readable files.
fn put_odd_files(project: &Project) -> anyhow::Result<()> {
    let folder = project.definitions();
    std::fs::write(folder.join("odd-latin1.yaml"), b"description: caf\xe9\n")?;
    std::fs::write(folder.join("odd-deep.yaml"), "[".repeat(100_000))?;
    std::fs::write(folder.join("odd-deep-map.yaml"), "{a: ".repeat(50_000))?;
    // A sparse file: 1 GiB to read, nothing on disk.
    std::fs::File::create(folder.join("odd-huge.yaml"))?.set_len(1 << 30)?;
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("odd-fifo.yaml"))
        .status()?;
    anyhow::ensure!(made.success(), "mkfifo: {made}");
    let outside = project.folder().join("outside.yaml");
    std::fs::write(&outside, cron("0 1 * * *"))?;
    std::os::unix::fs::symlink(&outside, folder.join("odd-link.yaml"))?;
    std::os::unix::fs::symlink("odd-nowhere", folder.join("odd-dangling.yaml"))?;
    std::os::unix::fs::symlink("odd-loop.yaml", folder.join("odd-loop.yaml"))?;
    std::os::unix::fs::symlink("/dev/zero", folder.join("odd-zero.yaml"))?;
    Ok(())
}

/// `almanac validate` needs no server.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn validate_names_the_place_of_each_error() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.yaml");
        std::fs::write(&path, case.text).unwrap();
        let output = almanac(NOWHERE, ["validate".as_ref(), folder.path().as_os_str()]).unwrap();
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, 1, "{}: {text}", case.name);
        assert!(
            text.contains(&format!("it.yaml:{}", case.place)),
            "{}: {text}",
            case.name
        );
        assert!(text.contains(case.message), "{}: {text}", case.name);
    }
}

#[test]
fn validate_survives_files_that_are_no_text() {
    almanac_tests::run(async {
        // No server is asked; the project is a folder like any other here.
        let project = Project::new(almanac_tests::Scheduler::V1).await?;
        project.write("good.yaml", &cron("0 1 * * *"))?;
        put_odd_files(&project)?;
        // It would not end if it read one of them whole.
        let output = almanac(
            NOWHERE,
            ["validate".as_ref(), project.definitions().as_os_str()],
        )?;
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, 1, "{text}");
        for odd in [
            "latin1", "deep", "deep-map", "huge", "fifo", "link", "loop", "zero",
        ] {
            assert!(text.contains(&format!("odd-{odd}.yaml")), "{odd}: {text}");
        }
        assert!(!text.contains("good.yaml:"), "{text}");
        Ok(())
    });
}

#[test]
fn validate_collects_all_errors_of_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.yaml");
    let text = "schedule:\n  cron: '61 * * * *'\n  jitter: never\n  timezone: Nowhere\nworkflow: { type: A }\n";
    std::fs::write(&path, text).unwrap();
    let output = almanac(NOWHERE, ["validate".as_ref(), path.as_os_str()]).unwrap();
    let text = format!("{}{}", output.stdout, output.stderr);
    for place in ["it.yaml:2:10", "it.yaml:3:11", "it.yaml:4:13", "it.yaml:5:"] {
        assert!(text.contains(place), "{place}: {text}");
    }
    let output = almanac(
        NOWHERE,
        [
            "validate".as_ref(),
            "--format".as_ref(),
            "json".as_ref(),
            path.as_os_str(),
        ],
    )
    .unwrap();
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(json.to_string().contains("\"line\":2"), "{json}");
    assert_eq!(output.code, 1);
}

#[test]
fn validate_warns_without_failing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.yaml");
    std::fs::write(&path, cron("0 4 1 * MON")).unwrap();
    let output = almanac(NOWHERE, ["validate".as_ref(), path.as_os_str()]).unwrap();
    let text = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 0, "{text}");
    assert!(text.contains("warning"), "{text}");
}
