//! A schedule that the server does not describe affects no other schedule, and a missing
//! answer is not taken for an empty one.

use almanac_core::record::Report;
use almanac_tests::{
    Answer, Output, Project, Proxy, Scheduler, almanac_in, cron, eventually, on_both_schedulers,
    on_one_scheduler, temporal_cli,
};
use prost::Message as _;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;
use tonic::Code;

on_both_schedulers!(a_strange_description_affects_only_its_schedule);
on_one_scheduler!(
    the_schedules_of_a_missing_namespace_are_not_known,
    a_missing_folder_is_not_an_empty_one,
);

mod a_schedule_whose_search_attribute_is_gone {
    /// The other scheduler goes on describing it.
    #[test]
    fn v1() {
        almanac_tests::run(super::a_search_attribute_is_removed());
    }
}

/// The definitions that a report's errors name.
fn named(report: &Report) -> Vec<&str> {
    let errors = report.errors.iter();
    let mut named: Vec<_> = errors.filter_map(|error| error.id.as_deref()).collect();
    named.dedup();
    named
}

async fn has_times(project: &Project, id: &str, times: &str) -> anyhow::Result<()> {
    let live = project.temporal().live(&project.schedule(id)).await?;
    assert_eq!(live.times(), format!("{times} 1-31 1-12 0-6"), "{id}");
    Ok(())
}

fn fails_with(output: &Output, code: i32, what: &str) {
    assert_eq!(output.code, code, "{output:?}");
    assert!(output.stderr.contains(what), "{what}: {output:?}");
}

/// The server answers Internal for a schedule whose search attribute was
/// removed from the namespace.
async fn a_search_attribute_is_removed() -> anyhow::Result<()> {
    let project = Project::new(Scheduler::V1).await?;
    let attribute = |verb: &str, more: &[&str]| {
        let args = ["operator", "search-attribute", verb, "--name", "Shelf"];
        temporal_cli(project.address(), args.iter().chain(more))
    };
    attribute("create", &["--type", "Keyword"])?;
    let tagged = |time: &str| cron(time) + "  search_attributes: { Shelf: upper }\n";
    project.write("tagged.yaml", &tagged("0 1 * * *"))?;
    project.write("plain.yaml", &cron("0 1 * * *"))?;
    project.write("gone.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;
    eventually("all to be created", || async {
        worker.sync().await?;
        Ok(project.temporal().list(&project.schedule("")).await?.len() == 3)
    })
    .await?;

    attribute("remove", &["--yes"])?;
    eventually("the server to fail on it", || async {
        let tagged = project.schedule("tagged");
        Ok(project.temporal().describe(&tagged).await.is_err())
    })
    .await?;
    project.write("tagged.yaml", &tagged("0 2 * * *"))?;
    project.write("plain.yaml", &cron("0 2 * * *"))?;
    project.write("new.yaml", &cron("0 2 * * *"))?;
    project.remove("gone.yaml")?;
    let report = worker.sync().await?;
    assert_eq!(named(&report), ["tagged"], "{report:?}");
    let counts = report.schedules;
    let done = (counts.created, counts.updated, counts.deleted);
    assert_eq!((done, counts.unreadable), ((1, 1, 1), 1), "{report:?}");
    project.has_just(&["new", "plain", "tagged"]).await?;
    has_times(&project, "plain", "0 2").await?;

    // A process that starts describes all there is, and gets ready.
    project
        .temporal()
        .terminate(&project.reconcile_workflow())
        .await?;
    worker.restart().await?;
    worker.forget_passes();
    let report = worker.sync().await?;
    assert_eq!(named(&report), ["tagged"], "{report:?}");
    assert!(worker.log()?.contains("tagged"));
    let unreadable = worker.metric("almanac_schedules", &["unreadable"]).await?;
    assert!((unreadable - 1.0).abs() < f64::EPSILON, "{unreadable}");

    let listed = project.almanac(&["list"])?.success()?;
    let line = listed.lines().find(|line| line.starts_with("tagged"));
    assert!(
        line.is_some_and(|line| line.contains("unreadable")),
        "{listed}"
    );
    let schedules = worker.json("/api/v1/schedules").await?;
    let shown = schedules["schedules"].as_array().unwrap().iter();
    let shown: Vec<_> = shown
        .map(|one| (one["definition"].clone(), one["state"].clone()))
        .collect();
    assert!(
        shown.contains(&("tagged".into(), "unreadable".into())),
        "{shown:?}"
    );

    // What is planned here must not be the worker's to do.
    let planned = project.folder().join("planned");
    std::fs::create_dir(&planned)?;
    for entry in std::fs::read_dir(project.definitions())? {
        let entry = entry?;
        std::fs::copy(entry.path(), planned.join(entry.file_name()))?;
    }
    std::fs::write(planned.join("later.yaml"), cron("0 3 * * *"))?;
    let dir = planned.to_str().unwrap();
    let plan = project.almanac(&["plan", "--dir", dir, "--detailed-exitcode"])?;
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.stdout.contains("+ later will be created"), "{plan:?}");
    assert!(
        plan.stdout.contains(&project.schedule("tagged")),
        "{plan:?}"
    );
    let query = format!("ScheduleId STARTS_WITH '{}'", project.schedule(""));
    let import = ["import", "--all", "--dry-run", "--query", &query];
    let import = project.almanac(&import)?;
    fails_with(&import, 2, &project.schedule("tagged"));
    assert!(import.stdout.contains("id: plain"), "{import:?}");
    for args in [
        &["show", "tagged"][..],
        &["pause", "tagged", "--reason", "a test"],
        &["trigger", "tagged"],
    ] {
        fails_with(&project.almanac(args)?, 1, "Internal");
    }
    let (status, body) = worker.get("/api/v1/schedules/tagged").await?;
    assert_eq!(status, 502, "{body}");

    project.remove("tagged.yaml")?;
    worker.sync().await?;
    project.has_just(&["new", "plain"]).await?;
    let report = worker.sync().await?;
    assert_eq!(
        (named(&report), report.changes.len()),
        (vec![], 0),
        "{report:?}"
    );
    Ok(())
}

/// With any answer in the place of one schedule's description, the other schedules are
/// reconciled, and this one is neither created again nor written to.
async fn a_strange_description_affects_only_its_schedule(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("odd.yaml", &cron("0 1 * * *"))?;
    project.write("even.yaml", &cron("0 1 * * *"))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    let odd = project.schedule("odd");
    let garbage = vec![0x0a, 0xff, 0xff];
    let answers = [
        Answer::Code(Code::Internal),
        Answer::Code(Code::NotFound),
        Answer::Code(Code::Unavailable),
        Answer::Message(DescribeScheduleResponse::default().encode_to_vec()),
        Answer::Message(garbage),
        Answer::Silence,
    ];
    for (hour, answer) in (2..).zip(&answers) {
        // A silence takes its time, which is the same on both.
        if matches!((on, answer), (Scheduler::V1, Answer::Silence)) {
            continue;
        }
        proxy.answer("DescribeSchedule", &odd, answer.clone());
        let at = format!("0 {hour}");
        project.write("odd.yaml", &cron(&format!("{at} * * *")))?;
        project.write("even.yaml", &cron(&format!("{at} * * *")))?;
        let report = worker.sync().await?;
        assert_eq!(named(&report), ["odd"], "{answer:?} {report:?}");
        assert_eq!(report.schedules.unreadable, 1, "{answer:?} {report:?}");
        has_times(&project, "even", &at).await?;
        has_times(&project, "odd", "0 1").await?;
    }
    proxy.clear();
    proxy.answer("DescribeSchedule", &odd, Answer::Code(Code::DataLoss));
    project.remove("odd.yaml")?;
    eventually("the schedule to be deleted", || async {
        worker.sync().await?;
        Ok(project.temporal().describe(&odd).await?.is_none())
    })
    .await?;
    project.has_just(&["even"]).await?;

    // All of them away: the server is, and the pass says that alone.
    project.write("even.yaml", &almanac_tests::many("even", 25))?;
    worker.sync().await?;
    project.has_schedules(25).await?;
    project.write("even.yaml", &almanac_tests::many("odd", 25))?;
    let prefix = project.schedule("even");
    proxy.answer("DescribeSchedule", &prefix, Answer::Code(Code::Unavailable));
    proxy.reset();
    let _away = worker.post_sync_once("").await;
    eventually("a pass to give up", || async {
        let log = worker.log()?;
        Ok(log.contains("pass failed"))
    })
    .await?;
    assert_eq!(proxy.count("DeleteSchedule"), 0);
    Ok(())
}

/// No command takes a namespace that does not exist for one without schedules.
async fn the_schedules_of_a_missing_namespace_are_not_known(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("a.yaml", &cron("0 1 * * *"))?;
    let dir = project.definitions();
    let dir = dir.to_str().unwrap();
    let out = project.folder().join("imported");
    let commands = [
        "list",
        "show a",
        "history a",
        "next a",
        "sync",
        "sync --no-wait",
        "pause a --reason r",
        "unpause a --reason r",
        "override a --set enabled=true --reason r",
        "clear-override a",
        "trigger a",
        "trigger --selector team=b",
        "backfill a --from 2026-01-01 --to 2026-01-02",
        "suspend --reason r",
        "resume",
        "destroy",
        "destroy --confirm 0",
    ];
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut all: Vec<_> = commands.iter().map(|line| words(line)).collect();
    all.push(
        [
            words("plan --detailed-exitcode --dir"),
            vec![dir.to_owned()],
        ]
        .concat(),
    );
    all.push([words("adopt --dir"), vec![dir.to_owned()]].concat());
    all.push([words("import --out"), vec![out.display().to_string()]].concat());
    for mut args in all {
        args.extend(["--project".to_owned(), project.name().to_owned()]);
        let output = almanac_in(project.address(), "nowhere", &args)?;
        fails_with(&output, 1, "namespace `nowhere` does not exist");
        assert_eq!(output.stdout, "", "{args:?}");
    }
    assert!(!out.exists());
    Ok(())
}

/// A folder that is missing, or is none, is named; one that is there and empty
/// is said to be empty.
async fn a_missing_folder_is_not_an_empty_one(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let file = project.folder().join("file");
    std::fs::write(&file, "")?;
    let missing = project.folder().join("missing");
    for path in [&file, &missing] {
        let path = path.to_str().unwrap();
        for args in [
            &["plan", "--detailed-exitcode", "--dir", path][..],
            &["adopt", "--dir", path],
        ] {
            fails_with(&project.almanac(args)?, 1, path);
        }
    }
    let empty = project.definitions();
    let empty = empty.to_str().unwrap();
    let plan = project.almanac(&["plan", "--detailed-exitcode", "--dir", empty])?;
    fails_with(&plan, 0, empty);
    assert!(plan.stdout.contains("No changes."), "{plan:?}");

    // A worker waits for a folder that is missing, and each report says so.
    let worker = project.worker().dir(&missing).start().await?;
    let report = worker.sync().await?;
    let text = &report.errors.first().unwrap().message;
    assert!(text.contains(missing.to_str().unwrap()), "{text}");
    Ok(())
}
