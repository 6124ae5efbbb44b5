//! The command line and HTTP, as a user and a program meet them.

use std::collections::BTreeSet;

use almanac_activities::metrics::{Kind, Metric};
use almanac_tests::{
    Project, SDK_METRICS, SOON, Scheduler, cron, eventually, on_both_schedulers, on_one_scheduler,
    paused_cron, series, wait_for,
};
use anyhow::Context as _;
use serde_json::Value;

use crate::ownership::Unmanaged;
use crate::workflow_client::start_workflow;

on_both_schedulers!(
    plan_writes_nothing,
    sync_prints_the_report,
    list_and_show_print_the_live_schedules,
    the_command_line_and_the_api_give_one_answer,
    next_agrees_with_the_server,
    the_api_shows_definitions_schedules_and_status,
    metrics_are_the_documented_ones,
    admin_sync_obeys_its_switches,
    the_activity_tells_who_did_what_and_why,
);

on_one_scheduler!(metrics_name_the_schedules_that_need_attention);

/// `plan` shows what a pass would do, says by its exit code whether there
/// is anything, and writes nothing.
async fn plan_writes_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("changes.yaml", &cron("0 1 * * *"))?;
    project.write("goes.yaml", &cron("0 1 * * *"))?;
    project.write("same.yaml", &cron("0 1 * * *"))?;
    let dir = project.definitions();
    let plan = |more: &[&str]| {
        let args = [
            "plan",
            "--dir",
            dir.to_str().unwrap(),
            "--detailed-exitcode",
        ];
        project.almanac(&[&args[..], more].concat())
    };
    let output = plan(&[])?;
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stdout.contains("3 to create"), "{output:?}");
    project.has_schedules(0).await?;

    let worker = project.worker().start().await?;
    let output = plan(&[])?;
    assert_eq!(output.code, 0, "{output:?}");
    drop(worker);

    project.write("changes.yaml", &cron("0 2 * * *"))?;
    project.remove("goes.yaml")?;
    project.write("comes.yaml", &cron("0 1 * * *"))?;
    let output = plan(&[])?;
    assert_eq!(output.code, 2, "{output:?}");
    for text in ["changes", "times", "goes", "comes", "02:00"] {
        assert!(output.stdout.contains(text), "{text}: {}", output.stdout);
    }
    let json: Value = serde_json::from_str(&plan(&["--format", "json"])?.stdout)?;
    assert!(json.to_string().contains("comes"), "{json}");
    project.has_just(&["changes", "goes", "same"]).await?;
    let live = project
        .temporal()
        .live(&project.schedule("changes"))
        .await?;
    assert_eq!(live.times(), "0 1 1-31 1-12 0-6");
    Ok(())
}

/// `sync` asks for a pass and prints its report; a dry run writes nothing.
async fn sync_prints_the_report(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    project.temporal().delete(&project.schedule("one")).await?;
    let dry = project
        .almanac(&["sync", "--dry-run", "--format", "json"])?
        .success()?;
    let dry: almanac_core::record::Report = serde_json::from_str(&dry)?;
    assert!(dry.dry_run);
    assert_eq!(dry.changes.len(), 1, "{dry:?}");
    assert!(
        project
            .temporal()
            .describe(&project.schedule("one"))
            .await?
            .is_none()
    );

    almanac_tests::eventually("the server to let go of the id", || async {
        project.almanac(&["sync"])?.success()?;
        Ok(project
            .temporal()
            .describe(&project.schedule("one"))
            .await?
            .is_some())
    })
    .await?;
    drop(worker);
    Ok(())
}

/// `list` and `show` print what is live; without a worker too.
async fn list_and_show_print_the_live_schedules(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("30 2 * * *"))?;
    project.write("two.yaml", &paused_cron("0 1 * * *"))?;
    drop(project.worker().start().await?);
    project.has_schedules(2).await?;
    let list = project.almanac(&["list"])?.success()?;
    for text in ["one", "two", "paused", "active"] {
        assert!(list.contains(text), "{text}: {list}");
    }
    let json: Value =
        serde_json::from_str(&project.almanac(&["list", "--format", "json"])?.success()?)?;
    assert!(json.to_string().contains("\"one\""), "{json}");
    let show = project.almanac(&["show", "one"])?.success()?;
    assert!(show.contains("one.yaml"), "{show}");
    let none = project.almanac(&["show", "no-such"])?;
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.stderr.contains("no-such"), "{none:?}");
    Ok(())
}

/// For every schedule, `list` and `show` print the same as the API, except for what
/// only the worker's files and passes know. Without a worker they print what they
/// cannot know.
async fn the_command_line_and_the_api_give_one_answer(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let taken = project.schedule("taken");
    Unmanaged::create(project.temporal(), taken, &[]).await?;
    for id in ["active", "gone", "overridden", "paused", "taken"] {
        project.write(&format!("{id}.yaml"), &cron("30 2 * * *"))?;
    }
    let mut worker = project.worker().flag("--orphans", "keep").start().await?;
    project.remove("gone.yaml")?;
    worker.sync().await?;
    for args in [
        &["pause", "paused", "--reason", "disk full"][..],
        &[
            "override",
            "overridden",
            "--set",
            "timezone=Asia/Tokyo",
            "--reason",
            "moved",
        ],
    ] {
        project.almanac(args)?.success()?;
    }
    let json = |args: &[&str]| project.almanac_json(args);
    // Without the parts that need the files or a worker's passes, and those that only
    // `show` has.
    let shared = |view: &Value| {
        let mut view = view.clone();
        let fields = view.as_object_mut().unwrap();
        for field in [
            "source",
            "description",
            "labels",
            "cron",
            "overdue",
            "drift",
            "live",
            "fields",
            "triggers",
            "event_runs",
        ] {
            fields.remove(field);
        }
        view
    };
    let states = |list: &Value| -> Vec<Value> {
        let all = list.as_array().unwrap().iter();
        all.map(|one| one["state"].clone()).collect()
    };
    let wanted = ["active", "orphaned", "overridden", "overridden", "conflict"];
    // A list lags behind what was written.
    let listed = wait_for("the list to show all states", SOON, || async {
        let listed = json(&["list"])?;
        Ok((states(&listed) == wanted).then_some(listed))
    })
    .await?;
    let shared_list =
        |list: &Value| -> Vec<_> { list.as_array().unwrap().iter().map(shared).collect() };
    eventually("the API to show the same", || async {
        let served = worker.json("/api/v1/schedules").await?["schedules"].clone();
        Ok(shared_list(&listed) == shared_list(&served))
    })
    .await?;
    for one in listed.as_array().unwrap() {
        let id = one["definition"].as_str().unwrap();
        let served = worker.json(&format!("/api/v1/schedules/{id}")).await?;
        assert_eq!(shared(&json(&["show", id])?), shared(&served), "{id}");
        assert_eq!(served["state"], one["state"], "{id}");
    }
    let differing = async |id: &str| -> anyhow::Result<Vec<Value>> {
        let served = worker.json(&format!("/api/v1/schedules/{id}")).await?;
        let fields = served["fields"].as_array().unwrap().iter();
        Ok(fields
            .filter(|one| one["verdict"] != "agrees")
            .cloned()
            .collect())
    };
    assert_eq!(differing("active").await?, [Value::Null; 0]);
    assert_eq!(
        differing("overridden").await?,
        [serde_json::json!({
            "field": "timezone", "file": "UTC", "written": "UTC", "live": "Asia/Tokyo",
            "verdict": "overridden",
        })]
    );

    assert_eq!(worker.terminate(SOON)?, 0);
    let output = project.almanac(&["list", "--format", "json"])?;
    let listed: Value = serde_json::from_str(&output.stdout)?;
    let alone = ["active", "active", "overridden", "overridden"];
    assert_eq!(states(&listed), alone);
    let unknown = ["unreadable", "held", "orphaned", "contested", "overridden"];
    assert_eq!(listed[1]["unknown"], serde_json::json!(unknown));
    assert!(output.stderr.contains("held, orphaned"), "{output:?}");
    Ok(())
}

/// `next` prints just the times that the server is going to fire at.
async fn next_agrees_with_the_server(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", "
schedule: { cron: '30 2 * * *', every: 7h, timezone: Europe/Berlin, exclude: [{ day_of_week: SUN }] }
workflow: { type: Nobody, task_queue: nobody }
")?;
    let _worker = project.worker().start().await?;
    let file = project.definitions().join("one.yaml");
    let printed = project
        .almanac(&["next", file.to_str().unwrap(), "-n", "10"])?
        .success()?;
    let live = project.temporal().live(&project.schedule("one")).await?;
    let printed_live = project.almanac(&["next", "one", "-n", "10"])?.success()?;
    let times = &live.0.info.as_ref().unwrap().future_action_times;
    assert_eq!(times.len(), 10);
    for time in times {
        let utc = jiff::Timestamp::from_second(time.seconds)?;
        let local = utc.to_zoned(jiff::tz::TimeZone::get("Europe/Berlin")?);
        let text = local.strftime("%Y-%m-%d").to_string();
        let clock = local.strftime("%H:%M").to_string();
        for printed in [&printed, &printed_live] {
            let there = printed
                .lines()
                .any(|line| line.contains(&text) && line.contains(&clock));
            assert!(there, "{text} {clock}: {printed}");
        }
    }
    Ok(())
}

/// The read-only pages of the API.
async fn the_api_shows_definitions_schedules_and_status(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("30 2 * * *"))?;
    project.write("bad.yaml", "nonsense: 1\n")?;
    let worker = project.worker().start().await?;
    project.has_schedules(1).await?;

    let one = worker.json("/api/v1/definitions/one").await?;
    assert_eq!(
        (&one["status"], &one["source"]),
        (&"loaded".into(), &"one.yaml".into())
    );
    assert!(
        one["revision"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{one}"
    );
    let all = worker.json("/api/v1/definitions").await?.to_string();
    assert!(all.contains("\"bad\"") && all.contains("invalid"), "{all}");

    let schedules = worker.json("/api/v1/schedules").await?;
    assert_eq!(schedules["total"], 1, "{schedules}");
    let one = worker.json("/api/v1/schedules/one").await?;
    assert_eq!(one["state"], "active", "{one}");
    assert!(one["cron"].to_string().contains("30 2 * * *"), "{one}");
    let (status, problem) = worker.get("/api/v1/schedules/none").await?;
    assert_eq!(status, 404);
    let problem: Value = serde_json::from_str(&problem)?;
    assert!(
        problem["title"].is_string() && problem["status"] == 404,
        "{problem}"
    );

    let plan = worker.json("/api/v1/plan").await?;
    assert_eq!(plan["times"], serde_json::json!({}), "{plan}");
    project.temporal().delete(&project.schedule("one")).await?;
    // A list lags behind the deletion.
    let plan = wait_for("the plan to create the schedule", SOON, || async {
        let plan = worker.json("/api/v1/plan").await?;
        Ok((plan["times"] != serde_json::json!({})).then_some(plan))
    })
    .await?;
    let times = &plan["times"]["one"];
    assert_eq!(times["timezone"], "UTC", "{plan}");
    assert_eq!(times["before"], serde_json::json!([]), "{plan}");
    let after = times["after"].as_array().unwrap();
    let is_due = |time: &Value| time.as_str().is_some_and(|at| at.ends_with("T02:30:00Z"));
    assert!(!after.is_empty() && after.iter().all(is_due), "{plan}");
    let status = worker.json("/api/v1/reconcile").await?;
    assert_eq!(
        status["reports"].as_array().map(Vec::is_empty),
        Some(false),
        "{status}"
    );
    assert_eq!(worker.get("/healthz").await?.0, 200);
    Ok(())
}

/// `/metrics` has the metrics of `docs/contract.md#9-metrics`, and no label with an id or a path.
async fn metrics_are_the_documented_ones(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("some-definition.yaml", &cron("30 2 * * *"))?;
    project.write("bad.yaml", "nonsense: 1\n")?;
    let never = "schedule: { cron: '0 0 1 1 *' }\n";
    let steps = "do: [{ say: { set: { said: 1 } } }]\n";
    project.write("good-steps.yaml", &format!("{never}{steps}"))?;
    let steps =
        "do: [{ get: { call: http, with: { method: get, endpoint: 'http://127.0.0.1/' } } }]\n";
    project.write("bad-steps.yaml", &format!("{never}{steps}"))?;
    let worker = project.worker().start().await?;
    worker.sync().await?;
    let (_, page) = worker.get("/metrics").await?;
    for name in [
        "reconcile_total{",
        "reconcile_duration_seconds",
        "reconcile_last_success_timestamp_seconds",
        "reconcile_last_attempt_timestamp_seconds",
        "schedule_operations_total{",
        "schedules{",
        "definitions{",
        "reload_total{",
        "reload_duration_seconds",
        "registry_info{",
        "build_info",
    ] {
        assert!(
            page.contains(&format!("\nalmanac_{name}")),
            "{name}: {page}"
        );
    }
    assert!(
        page.lines().any(|line| line.starts_with("temporal_")),
        "no metric of the SDK"
    );
    assert!(!page.contains("some-definition"), "an id is in a label");
    assert!(!page.contains(".yaml"), "a path is in a label");
    assert!(
        worker
            .metric("almanac_definitions", &["status=\"invalid\""])
            .await?
            >= 1.0
    );
    assert!(
        worker
            .metric("almanac_schedules", &["state=\"active\""])
            .await?
            >= 1.0
    );
    // Whoever may start a workflow chooses its type, and makes no label of it.
    let queue = format!("almanac-{}", project.name());
    for n in 0..3 {
        let (kind, id) = (
            format!("Evil{n}\"\n{{}}"),
            format!("evil-{n}-{}", project.name()),
        );
        start_workflow(&project, &kind, &id, &queue, None).await?;
    }
    eventually("the unknown types to be counted", || async {
        let labels = ["workflow_type=\"other\""];
        let failed = "temporal_workflow_task_execution_failed";
        Ok(worker.metric(failed, &labels).await? >= 3.0)
    })
    .await?;
    let (_, page) = worker.get("/metrics").await?;
    assert!(!page.contains("Evil"), "a stranger's type is in a label");

    // The labels of Almanac's metrics are the documented ones.
    for (name, labels) in series(&page).filter(|(name, _)| name.starts_with("almanac_")) {
        let is_of = |metric: &Metric| match metric.kind() {
            Kind::Seconds => name.starts_with(metric.as_str()),
            Kind::Counter | Kind::Gauge => name == metric.as_str(),
        };
        let metric = Metric::ALL.into_iter().find(is_of);
        let metric = metric.with_context(|| name.to_owned())?;
        let mut documented: BTreeSet<_> = metric.labels().iter().copied().collect();
        documented.extend(name.ends_with("_bucket").then_some("le"));
        assert_eq!(labels, documented, "{name}");
    }
    // Those of the SDK are the ones that the dashboard uses.
    for id in ["good-steps", "bad-steps"] {
        project.almanac(&["trigger", id])?.success()?;
    }
    eventually("the metrics of the SDK", || async {
        let (_, page) = worker.get("/metrics").await?;
        let shown: Vec<_> = series(&page).collect();
        Ok(SDK_METRICS.iter().all(|(name, labels)| {
            let has_all = |of: &BTreeSet<&str>| labels.iter().all(|label| of.contains(label));
            shown.iter().any(|(one, of)| one == name && has_all(of))
        }))
    })
    .await?;
    Ok(())
}

/// With `--metrics-schedules`, `/metrics` names the schedule that needs attention, until it is in
/// order. A second one is only counted.
async fn metrics_name_the_schedules_that_need_attention(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("good.yaml", &cron("30 2 * * *"))?;
    project.write("a-bad.yaml", "nonsense: 1\n")?;
    project.write("b-bad.yaml", "nonsense: 1\n")?;
    let worker = project
        .worker()
        .flag("--metrics-schedules", "1")
        .start()
        .await?;
    worker.sync().await?;
    let (name, omitted) = (
        "almanac_schedule_needs_attention",
        "almanac_schedule_needs_attention_omitted",
    );
    let (_, page) = worker.get("/metrics").await?;
    let first = format!("\n{name}{{definition=\"a-bad\",reason=\"invalid\"}} 1\n");
    assert!(page.contains(&first), "{page}");
    assert!(!page.contains("b-bad") && !page.contains("good"), "{page}");
    assert!(page.contains(&format!("\n{omitted} 1\n")), "{page}");

    project.remove("a-bad.yaml")?;
    project.write("b-bad.yaml", &cron("30 3 * * *"))?;
    worker.sync().await?;
    let (_, page) = worker.get("/metrics").await?;
    assert!(!page.contains(&format!("\n{name}{{")), "{page}");
    assert!(page.contains(&format!("\n{omitted} 0\n")), "{page}");
    Ok(())
}

/// `POST /admin/sync` with its switches.
async fn admin_sync_obeys_its_switches(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("30 2 * * *"))?;
    let worker = project.worker().start().await?;
    let passes = || async { anyhow::Ok(project.temporal().status(project.name()).await?.pass) };
    let before = passes().await?;
    let (status, body) = worker.post_sync("schedules=false").await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(passes().await?, before);
    let (status, body) = worker.post_sync("dry_run=true").await?;
    assert_eq!((status, &body["dry_run"]), (200, &true.into()), "{body}");
    project.write("bad.yaml", "nonsense: 1\n")?;
    let (status, body) = worker.post_sync("").await?;
    assert_eq!(status, 207, "{body}");
    Ok(())
}

/// Overrides, manual runs, suspensions and reloads are told by `history`, the API and the page.
async fn the_activity_tells_who_did_what_and_why(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("prices.yaml", &cron("30 2 * * *"))?;
    let mut worker = project.worker().start().await?;
    for args in [
        &["pause", "prices", "--reason", "disk full", "--for", "2h"][..],
        &["trigger", "prices", "--reason", "late data"],
        &["suspend", "--reason", "moving house"],
        &["resume"],
    ] {
        project.almanac(args)?.success()?;
    }
    project.write("invoices.yaml", &cron("30 3 * * *"))?;
    worker.sync().await?;

    let all = project.almanac_json(&["history"])?;
    let all = all.as_array().unwrap();
    let asked = |entries: &[Value]| -> Vec<_> {
        let asked = entries.iter().filter(|entry| !entry["by"].is_null());
        asked
            .map(|entry| ["op", "id", "reason"].map(|name| &entry[name]))
            .map(|words| {
                words
                    .map(|one| one.as_str().unwrap_or_default().to_owned())
                    .join("/")
            })
            .collect()
    };
    let expected = [
        "resume//",
        "suspend//moving house",
        "trigger/prices/late data",
        "override/prices/disk full",
    ];
    assert_eq!(asked(all), expected, "{all:#?}");
    let by = all.iter().find_map(|entry| entry["by"].as_str()).unwrap();
    let text = project.almanac(&["history"])?.success()?;
    for line in [
        format!("{by} suspended Almanac"),
        format!("{by} asked for a run of prices"),
        "Almanac created the schedule of invoices".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    let one = project.almanac(&["history", "prices"])?.success()?;
    assert!(one.contains(&format!("{by} asked for a run\n")), "{one}");
    assert!(!one.contains("suspended"), "{one}");

    // The state of the workflow does not depend on the worker; its reloads do.
    let served = worker.json("/api/v1/activity?kind=requests").await?;
    let served = served["entries"].as_array().unwrap();
    assert_eq!(asked(served), expected, "{served:#?}");
    let reloads = worker
        .json("/api/v1/activity?kind=reloads&definition=invoices")
        .await?;
    assert_eq!(reloads["total"], 1, "{reloads:#}");
    assert_eq!(
        reloads["entries"][0]["changes"]["added"]["names"][0],
        "invoices"
    );
    let (status, page) = worker.get("/activity?kind=runs&definition=price").await?;
    assert_eq!(status, 200, "{page}");
    for (text, is_there) in [(by, true), ("late data", true), ("disk full", false)] {
        assert_eq!(page.contains(text), is_there, "{text}: {page}");
    }
    worker.kill()?;
    worker.respawn()?;
    worker.ready().await?;
    let served = worker.json("/api/v1/activity?kind=requests").await?;
    assert_eq!(asked(served["entries"].as_array().unwrap()), expected);
    Ok(())
}
