//! Manual runs: from the command line, over HTTP and by updates.

use std::convert::Infallible;

use almanac_tests::{
    Project, Proxy, SOON, Scheduler, Worker, cron, eventually, json_payloads, on_both_schedulers,
    on_one_scheduler, passed, paused_cron, temporal_cli, unmanaged_schedule, wait_for,
    with_schedule,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

on_both_schedulers!(
    a_trigger_starts_one_run_and_answers_it,
    a_trigger_beside_a_run_is_skipped_or_waits,
    runs_that_wait_beside_a_busy_schedule_are_reported,
    the_same_key_starts_one_run,
    ten_triggers_at_once_start_ten_runs,
    a_backfill_starts_the_runs_of_its_range,
    a_backfill_where_the_clock_changes_or_jitters_is_exact,
    a_request_that_cannot_be_run_is_refused_with_the_reason,
    a_worker_that_dies_starts_no_second_run,
    a_run_whose_request_was_never_seen_is_lost,
    labels_choose_schedules,
    overrides_and_triggers_at_once_are_all_done_once,
);
on_one_scheduler!(a_request_that_no_worker_took_in_time_is_not_done_later);

async fn runs(project: &Project, id: &str) -> anyhow::Result<i64> {
    Ok(project.temporal().live(&project.schedule(id)).await?.runs())
}

/// Waits until a schedule has started this many runs, and no more.
async fn has_runs(project: &Project, id: &str, count: i64) -> anyhow::Result<()> {
    eventually(&format!("{count} runs of {id}"), || async {
        let started = runs(project, id).await?;
        anyhow::ensure!(started <= count, "{started} runs");
        Ok(started == count)
    })
    .await
}

async fn trigger(worker: &Worker, id: &str, body: Value, key: &str) -> anyhow::Result<Value> {
    let path = format!("/api/v1/schedules/{id}/trigger");
    let (status, answer) = worker.send("POST", &path, Some(&body), Some(key)).await?;
    anyhow::ensure!(status == 200, "{status}: {answer}");
    Ok(answer)
}

/// Returns `true` if the run of an answer has started, or starts although nothing
/// holds it up: a slow server still shows it as buffered when the worker answers.
fn starts(answer: &Value) -> bool {
    ["started", "buffered"]
        .map(Value::from)
        .contains(&answer["state"])
}

/// Asks the workflow itself, and waits until the run is over.
async fn ask(project: &Project, update: &str, request: &Value) -> anyhow::Result<Value> {
    let workflow = project.reconcile_workflow();
    let temporal = project.temporal();
    temporal
        .update_until_taken(&workflow, update, request)
        .await?;
    let id = request["request_id"].as_str().unwrap();
    let ids = json!({ "request_ids": [id] });
    wait_for("the run to be over", 4 * SOON, || async {
        let payloads = json_payloads(std::slice::from_ref(&ids));
        let known = temporal.query(&workflow, "runs", payloads).await?;
        let is_over = known[id].is_object() && known[id]["state"] != "pending";
        Ok(is_over.then(|| known[id].clone()))
    })
    .await
}

/// By the command line and over HTTP; on a paused schedule and a suspended
/// reconciler too.
async fn a_trigger_starts_one_run_and_answers_it(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("off.yaml", &paused_cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let answer = project.almanac_json(&["trigger", "one", "--reason", "asked by ann"])?;
    assert!(starts(&answer), "{answer}");
    has_runs(&project, "one", 1).await?;
    let live = project.temporal().live(&project.schedule("one")).await?;
    let action = live.0.info.unwrap().recent_actions.remove(0);
    let run = action.start_workflow_result.unwrap();
    if answer["state"] == "started" {
        assert_eq!(answer["workflow_id"], run.workflow_id, "{answer}");
        assert_eq!(answer["run_id"], run.run_id, "{answer}");
    }
    assert!(
        run.workflow_id
            .starts_with(&format!("{}/one-", project.name()))
    );

    let answer = project.almanac_json(&["trigger", "off"])?;
    assert!(starts(&answer), "{answer}");
    has_runs(&project, "off", 1).await?;
    assert!(
        project
            .temporal()
            .live(&project.schedule("off"))
            .await?
            .paused()
    );

    project.almanac(&["suspend", "--reason", "x"])?.success()?;
    let answer = trigger(&worker, "off", json!({ "overlap": "allow_all" }), "k").await?;
    assert!(starts(&answer), "{answer}");
    has_runs(&project, "off", 2).await?;
    project.almanac(&["resume"])?.success()?;

    let log = worker.log()?;
    assert!(log.contains("manual run requested"), "{log}");
    assert!(log.contains("asked by ann"), "{log}");
    let labels = ["op=\"trigger\""];
    let count = worker
        .metric("almanac_schedule_operations_total", &labels)
        .await?;
    assert!((count - 3.0).abs() < 0.1, "{count}");
    worker.sync().await?;
    worker.writes_nothing_in(1).await
}

/// The overlap policy of the request decides, or else that of the schedule.
async fn a_trigger_beside_a_run_is_skipped_or_waits(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let first = trigger(&worker, "one", json!({}), "k1").await?;
    assert!(starts(&first), "{first}");
    has_runs(&project, "one", 1).await?;
    let live = project.temporal().live(&project.schedule("one")).await?;
    let running = live.0.info.unwrap().running_workflows.remove(0).workflow_id;
    let skipped = project.almanac(&["trigger", "one"])?;
    assert_eq!(skipped.code, 2, "{skipped:?}");
    assert!(skipped.stdout.contains("skipped"), "{skipped:?}");
    assert!(skipped.stdout.contains(&running), "{skipped:?}");
    assert_eq!(runs(&project, "one").await?, 1);
    let waits = project.almanac_json(&["trigger", "one", "--overlap", "buffer-one"])?;
    assert_eq!(waits["state"], "buffered", "{waits}");
    let beside = trigger(&worker, "one", json!({ "overlap": "allow_all" }), "k2").await?;
    assert!(starts(&beside), "{beside}");
    has_runs(&project, "one", 2).await
}

/// The schedule skips its own runs meanwhile: they are not those that were asked for.
async fn runs_that_wait_beside_a_busy_schedule_are_reported(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let busy = "schedule: { every: 1s, overlap_policy: skip }\ndo:\n  - rest: { wait: PT1H }\n";
    project.write("one.yaml", busy)?;
    project.write("two.yaml", busy)?;
    let _worker = project.worker().start().await?;
    for id in ["one", "two"] {
        wait_for(&format!("{id} to skip a run"), SOON, || async {
            let live = project.temporal().live(&project.schedule(id)).await?;
            Ok((live.0.info.unwrap_or_default().overlap_skipped > 0).then_some(()))
        })
        .await?;
    }
    let range = [
        "--from",
        "2026-01-01T01:00:00Z",
        "--to",
        "2026-01-01T01:00:05Z",
    ];
    let backfill = [&["backfill", "one", "--overlap", "buffer-all"], &range[..]].concat();
    let waits = project.almanac_json(&backfill)?;
    assert_eq!(
        (&waits["started"], &waits["buffered"]),
        (&json!(0), &json!(5)),
        "{waits}"
    );
    let waits = project.almanac_json(&["trigger", "two", "--overlap", "buffer-one"])?;
    assert_eq!(waits["state"], "buffered", "{waits}");
    let skipped = project.almanac(&["trigger", "two", "--overlap", "skip"])?;
    assert_eq!(skipped.code, 2, "{skipped:?}");
    Ok(())
}

/// The server keeps an update until a worker comes; who asked may have done it
/// by other means.
async fn a_request_that_no_worker_took_in_time_is_not_done_later(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;
    worker.kill()?;
    for command in ["trigger", "pause"] {
        let output = project.almanac_once(&[command, "one", "--reason", "now"])?;
        assert!(output.is_unanswered(), "{output:?}");
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(
            text.contains("a later one does not") && text.contains("without Almanac"),
            "{text}"
        );
    }
    // Requests are taken for half a minute after they were sent.
    passed(Timestamp::now() + jiff::SignedDuration::from_secs(31)).await;
    worker.restart().await?;
    worker.sync().await?;
    let live = project.temporal().live(&project.schedule("one")).await?;
    assert_eq!((live.runs(), live.paused()), (0, false), "{live}");
    // Asked anew it is done, also under the name that was too late.
    project.almanac(&["trigger", "one"])?.success()?;
    has_runs(&project, "one", 1).await?;
    let late = json!({ "id": "one", "request_id": "k", "not_after": "2026-01-01T00:00:00Z" });
    let workflow = project.reconcile_workflow();
    let input = late.to_string();
    let args = ["workflow", "update", "execute", "--workflow-id", &workflow];
    let named = ["--name", "trigger", "--update-id", "k", "--input", &input];
    let refused = temporal_cli(project.address(), [&args[..], &named].concat()).unwrap_err();
    assert!(
        refused.to_string().contains("nothing was done"),
        "{refused}"
    );
    let answer = trigger(&worker, "one", json!({ "overlap": "allow_all" }), "k").await?;
    assert!(starts(&answer), "{answer}");
    has_runs(&project, "one", 2).await
}

/// Over HTTP and after a restart of the worker; another schedule's is refused.
async fn the_same_key_starts_one_run(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("two.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;
    let body = json!({ "overlap": "allow_all" });
    let first = trigger(&worker, "one", body.clone(), "same").await?;
    assert!(starts(&first), "{first}");
    let again = (0..3).map(|_| trigger(&worker, "one", body.clone(), "same"));
    for answer in futures::future::try_join_all(again).await? {
        assert_eq!(answer, first);
    }
    worker.restart().await?;
    assert_eq!(trigger(&worker, "one", body.clone(), "same").await?, first);
    has_runs(&project, "one", 1).await?;
    let path = "/api/v1/schedules/two/trigger";
    let (status, problem) = worker.send("POST", path, Some(&body), Some("same")).await?;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(runs(&project, "two").await?, 0);
    Ok(())
}

/// On one schedule, with a policy that lets them.
async fn ten_triggers_at_once_start_ten_runs(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "one.yaml",
        &with_schedule("  cron: '0 1 * * *'\n  overlap_policy: allow_all\n"),
    )?;
    let worker = project.worker().start().await?;
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let asked = keys
        .iter()
        .map(|key| trigger(&worker, "one", json!({}), key));
    let answers = futures::future::try_join_all(asked).await?;
    are_different(&answers);
    has_runs(&project, "one", 10).await
}

/// All have started or are to start, and no two are the same run.
fn are_different(answers: &[Value]) {
    for answer in answers {
        assert!(starts(answer), "{answer}");
    }
    let ids = answers
        .iter()
        .filter_map(|answer| answer["run_id"].as_str());
    let mut ids: Vec<_> = ids.collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "{answers:?}");
}

/// A day of hours is 24 runs; the schedule's own policy lets one start.
async fn a_backfill_starts_the_runs_of_its_range(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "all.yaml",
        &with_schedule("  cron: '0 * * * *'\n  overlap_policy: allow_all\n"),
    )?;
    project.write(
        "skip.yaml",
        &with_schedule("  cron: '0 * * * *'\n  timezone: Europe/Berlin\n"),
    )?;
    let worker = project.worker().start().await?;
    let day = [
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-02T00:00:00Z",
    ];
    let all = [&["backfill", "all", "--format", "json"][..], &day].concat();
    let answer: Value = serde_json::from_str(&project.almanac(&all)?.success()?)?;
    assert_eq!(answer["asked"], 24, "{answer}");
    has_runs(&project, "all", 24).await?;

    // Local to the schedule's zone, in which a clock was changed that day.
    let local = json!({ "from": "2026-03-29", "to": "2026-03-30", "reason": "again" });
    let path = "/api/v1/schedules/skip/backfill";
    let (status, answer) = worker.send("POST", path, Some(&local), Some("k")).await?;
    assert_eq!((status, &answer["asked"]), (200, &json!(23)), "{answer}");
    assert_eq!(answer["started"], 1, "{answer}");
    let workflow = answer["workflow_id"].as_str().unwrap();
    assert!(workflow.ends_with("-2026-03-28T23:00:00Z"), "{workflow}");
    assert!(answer["skipped"].as_u64().unwrap() > 0, "{answer}");
    let (_, again) = worker.send("POST", path, Some(&local), Some("k")).await?;
    assert_eq!(again, answer);
    assert_eq!(runs(&project, "skip").await?, 1);
    Ok(())
}

/// The server finds these times only when it searches from the one before, or
/// to the end of the jitter. The dry run says the same number.
async fn a_backfill_where_the_clock_changes_or_jitters_is_exact(
    on: Scheduler,
) -> anyhow::Result<()> {
    /// A definition's id, its cron string, another line, a range, and its times.
    type Case = (
        &'static str,
        &'static str,
        &'static str,
        [&'static str; 2],
        &'static [&'static str],
    );
    let project = Project::new(on).await?;
    let cases: [Case; 8] = [
        (
            "berlin",
            "30 * 25 10 *",
            "timezone: Europe/Berlin",
            ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"],
            &["2026-10-25T00:30:00Z"],
        ),
        (
            "berlin-around",
            "30 * 25 10 *",
            "timezone: Europe/Berlin",
            ["2026-10-25T00:10:00Z", "2026-10-25T03:00:00Z"],
            &["2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"],
        ),
        (
            "berlin-daily",
            "30 1 25 10 *",
            "timezone: Europe/Berlin",
            ["2026-10-25T00:30:00Z", "2026-10-25T00:30:01Z"],
            &["2026-10-25T00:30:00Z"],
        ),
        (
            "london",
            "30 * 25 10 *",
            "timezone: Europe/London",
            ["2026-10-25T00:30:00Z", "2026-10-25T00:30:01Z"],
            &["2026-10-25T00:30:00Z"],
        ),
        (
            "new-york",
            "30 1 1 11 *",
            "timezone: America/New_York",
            ["2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"],
            &["2026-11-01T06:30:00Z"],
        ),
        (
            "new-york-first",
            "30 1 1 11 *",
            "timezone: America/New_York",
            ["2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z"],
            &["2026-11-01T05:30:00Z"],
        ),
        (
            "lord-howe",
            "*/15 * 4,5 4 *",
            "timezone: Australia/Lord_Howe",
            ["2026-04-04T14:50:00Z", "2026-04-04T16:20:00Z"],
            &["2026-04-04T15:00:00Z", "2026-04-04T16:15:00Z"],
        ),
        (
            "jitter",
            "30 * 1 1 *",
            "jitter: 20m",
            ["2026-01-01T00:30:00Z", "2026-01-01T00:31:00Z"],
            &["2026-01-01T00:30:00Z"],
        ),
    ];
    // None of them fires while the test runs.
    for (id, cron, more, ..) in &cases {
        let lines = format!("  cron: '{cron}'\n  {more}\n  overlap_policy: allow_all\n");
        project.write(&format!("{id}.yaml"), &with_schedule(&lines))?;
    }
    let _worker = project.worker().start().await?;
    for (id, _, _, [from, to], expected) in cases {
        let backfill = ["backfill", id, "--from", from, "--to", to];
        let dry = [&backfill[..], &["--dry-run", "--format", "json"]].concat();
        let dry: Value = serde_json::from_str(&project.almanac(&dry)?.success()?)?;
        assert_eq!(dry[0]["runs"], expected.len(), "{id}: {dry}");
        let command = [&backfill[..], &["--format", "json"]].concat();
        let output = project.almanac(&command)?;
        let answer: Value = serde_json::from_str(&output.stdout)?;
        assert_eq!(answer["state"], "started", "{id}: {output:?}");
        let started = answer["runs"].as_array().unwrap().iter();
        let started: Vec<_> = started
            .filter_map(|run| run["workflow_id"].as_str())
            .map(|run| run.rsplit_once(&format!("{id}-")).map_or(run, |(_, at)| at))
            .collect();
        assert_eq!(started, expected, "{id}: {answer}");
        let all = runs(&project, id).await?;
        assert_eq!(all, i64::try_from(expected.len())?, "{id}");
    }
    Ok(())
}

/// No run is started, and the answer has the reason.
async fn a_request_that_cannot_be_run_is_refused_with_the_reason(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    // Every hour of a month of 31 days that is not the present one, so that it does not fire now.
    let is_january = Timestamp::now().to_zoned(TimeZone::UTC).month() == 1;
    let month = if is_january { 7 } else { 1 };
    let (first, next) = (
        format!("2026-{month:02}-01"),
        format!("2026-{:02}-01", month + 1),
    );
    project.write("one.yaml", &cron(&format!("0 * * {month} *")))?;
    let foreign = project.schedule("taken");
    project
        .temporal()
        .create(&foreign, unmanaged_schedule("0 1 * * *"), &[])
        .await?;
    project.write("taken.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    for (id, kind, body, status, message) in [
        ("nobody", "trigger", json!({}), 404, "no schedule"),
        (
            "taken",
            "trigger",
            json!({}),
            409,
            "not managed by this project",
        ),
        (
            "one",
            "backfill",
            json!({ "from": first, "to": next }),
            400,
            "would start 744 runs",
        ),
        (
            "one",
            "backfill",
            json!({ "from": format!("{first}T00:10"), "to": format!("{first}T00:20") }),
            400,
            "no fire time",
        ),
        (
            "one",
            "backfill",
            json!({ "from": "2026-01-02", "to": "2026-01-01" }),
            400,
            "before",
        ),
        (
            "one",
            "backfill",
            json!({ "from": "soon", "to": "later" }),
            422,
            "soon",
        ),
    ] {
        let path = format!("/api/v1/schedules/{id}/{kind}");
        let answer = worker.send("POST", &path, Some(&body), None).await?;
        assert_eq!(answer.0, status, "{body}: {}", answer.1);
        assert!(
            answer.1["detail"].to_string().contains(message),
            "{}",
            answer.1
        );
    }
    let month = ["--from", &first, "--to", &next];
    for (command, message) in [
        (vec!["trigger", "nobody"], "no schedule"),
        (vec!["trigger", "taken"], "is unmanaged and was not changed"),
        ([&["backfill", "one"][..], &month].concat(), "744 runs"),
        (vec!["trigger"], "required"),
    ] {
        let output = project.almanac(&command)?;
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains(message), "{output:?}");
    }
    assert_eq!(runs(&project, "one").await?, 0);
    assert_eq!(project.temporal().live(&foreign).await?.runs(), 0);
    // No worker takes the request: the command without Almanac is shown.
    drop(worker);
    let output = project.almanac_once(&["trigger", "one"])?;
    assert!(output.is_unanswered(), "{output:?}");
    let line = format!(
        "temporal schedule trigger --address {} --namespace default --schedule-id {}",
        project.address(),
        project.schedule("one")
    );
    assert!(output.stderr.contains(&line), "{output:?}");
    assert_eq!(runs(&project, "one").await?, 0);
    Ok(())
}

/// The worker is killed before the server gets the request, and before the
/// worker gets the answer.
async fn a_worker_that_dies_starts_no_second_run(on: Scheduler) -> anyhow::Result<()> {
    let (before, after) = futures::join!(dies(on, false), dies(on, true));
    assert_eq!((before?, after?), (("lost", 0), ("starts", 1)));
    Ok(())
}

async fn dies(on: Scheduler, answered: bool) -> anyhow::Result<(&'static str, i64)> {
    let project = Project::new(on).await?;
    project.write(
        "one.yaml",
        &with_schedule("  cron: '0 1 * * *'\n  overlap_policy: allow_all\n"),
    )?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    let mut gate = if answered {
        proxy.hold_answer("PatchSchedule", 0)
    } else {
        proxy.hold("PatchSchedule", 0)
    };
    let request = json!({ "request_id": "dies", "id": "one", "by": "test" });
    let asked = ask(&project, "trigger", &request);
    let killed = async {
        gate.reached().await?;
        worker.kill()?;
        drop(gate);
        proxy.clear();
        worker.restart().await
    };
    let (answer, killed) = futures::join!(asked, killed);
    killed?;
    let answer = answer?;
    assert_eq!(ask(&project, "trigger", &request).await?, answer);
    let (state, started) = if starts(&answer) {
        ("starts", 1)
    } else {
        assert_eq!(answer["state"], "lost", "{answer}");
        ("lost", 0)
    };
    has_runs(&project, "one", started).await?;
    // The request does not block the next one.
    let next = json!({ "request_id": "next", "id": "one" });
    let next = ask(&project, "trigger", &next).await?;
    assert!(starts(&next), "{next}");
    has_runs(&project, "one", started + 1).await?;
    Ok((state, started))
}

/// A server that does not answer is not asked again.
async fn a_run_whose_request_was_never_seen_is_lost(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    proxy.reset();
    proxy.fail("PatchSchedule", 0, 1, tonic::Code::Unavailable);
    let lost = project.almanac_once(&["trigger", "one"])?;
    assert_eq!(lost.code, 1, "{lost:?}");
    assert!(lost.stdout.contains("lost"), "{lost:?}");
    assert_eq!(proxy.count("PatchSchedule"), 1);
    // A server that says that it did not accept the request is asked again.
    proxy.fail("PatchSchedule", 0, 1, tonic::Code::ResourceExhausted);
    let answer = trigger(&worker, "one", json!({}), "k").await?;
    assert!(starts(&answer), "{answer}");
    has_runs(&project, "one", 1).await
}

/// A dry run says which; more than the limit are refused.
async fn labels_choose_schedules(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for (id, team) in [("a", "billing"), ("b", "billing"), ("c", "search")] {
        let text = format!(
            "labels: {{ team: {team}, env: prod }}\n{}",
            cron("0 * * * *")
        );
        project.write(&format!("{id}.yaml"), &text)?;
    }
    let _worker = project.worker().start().await?;
    let counts = async || -> anyhow::Result<[i64; 3]> {
        Ok([
            runs(&project, "a").await?,
            runs(&project, "b").await?,
            runs(&project, "c").await?,
        ])
    };
    let has_counts = async |wanted: [i64; 3]| {
        let what = format!("{wanted:?} runs");
        eventually(&what, || async { Ok(counts().await? == wanted) }).await
    };
    let billing = ["--selector", "team=billing,env=prod"];
    let with = |command: &[&'static str], more: &[&'static str]| {
        project.almanac(&[command, &billing, more].concat())
    };
    let dry = with(&["trigger"], &["--dry-run"])?.success()?;
    assert_eq!(dry, "a: would be triggered\nb: would be triggered\n");
    for (command, more, message) in [
        (&["trigger"][..], &["--limit", "1"][..], "2 schedules"),
        (&["trigger", "a"], &[], "cannot be used with"),
        (
            &["backfill", "--from", "2026-01-01", "--to", "2026-01-02"],
            &["--limit", "47"],
            "48 runs",
        ),
    ] {
        let output = with(command, more)?;
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains(message), "{output:?}");
    }
    let none = project.almanac(&["pause", "--selector", "team=x", "--reason", "x"])?;
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.stderr.contains("team=x"), "{none:?}");
    assert_eq!(counts().await?, [0, 0, 0]);

    let text = with(&["trigger"], &[])?.success()?;
    assert_eq!(text.lines().count(), 2, "{text}");
    has_counts([1, 1, 0]).await?;
    let hour = [
        "backfill",
        "--from",
        "2026-01-01T00:00",
        "--to",
        "2026-01-01T01:00",
    ];
    let text = with(&hour, &["--dry-run"])?.success()?;
    assert!(text.contains("b: would start 1 run, of"), "{text}");
    let output = with(&hour, &["--overlap", "allow-all", "--format", "json"])?;
    let answers: Value = output.json()?;
    assert_eq!(
        (&answers[1]["id"], &answers[1]["asked"]),
        (&json!("b"), &json!(1))
    );
    has_counts([2, 2, 0]).await?;

    let paused = with(&["pause"], &["--reason", "incident", "--for", "2h"])?.success()?;
    assert_eq!(paused.lines().count(), 2, "{paused}");
    let is_paused = async |id: &str| -> anyhow::Result<bool> {
        Ok(project
            .temporal()
            .live(&project.schedule(id))
            .await?
            .paused())
    };
    assert!(is_paused("a").await? && is_paused("b").await? && !is_paused("c").await?);
    let json = with(&["unpause"], &["--format", "json"])?.json()?;
    assert_eq!(json[1]["id"], "b", "{json}");
    assert!(!is_paused("a").await? && !is_paused("b").await?);
    Ok(())
}

/// Asks for five passes, one after the other, and then waits without end.
async fn passes(project: &Project) -> anyhow::Result<Infallible> {
    let (temporal, workflow) = (project.temporal(), project.reconcile_workflow());
    let mut pass = 0;
    for _ in 0..5 {
        // A run that continues as new takes no signal.
        let _closing = temporal.signal(&workflow, "reconcile", None).await;
        pass = wait_for("another pass", SOON, || async {
            let last = temporal.status(project.name()).await?.pass;
            Ok((last > pass).then_some(last))
        })
        .await?;
    }
    std::future::pending().await
}

/// 100 overrides and 100 triggers on 20 schedules while passes run: none is
/// lost, none is done twice.
async fn overrides_and_triggers_at_once_are_all_done_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for number in 0..20 {
        project.write(
            &format!("job-{number}.yaml"),
            &with_schedule("  cron: '0 1 1 1 *'\n  overlap_policy: allow_all\n"),
        )?;
    }
    let worker = project.worker().start().await?;
    let workflow = project.reconcile_workflow();
    let asked = (0..200_u32).map(|n| {
        let (path, round) = (format!("/api/v1/schedules/job-{}", n % 20), n / 20);
        let (worker, key) = (&worker, format!("request-{n}"));
        async move {
            let (method, path, body) = if round % 2 == 0 {
                let body = json!({ "reason": format!("round {round}") });
                ("POST", format!("{path}/trigger"), body)
            } else {
                let cron = format!("{round} 4 * * *");
                let body = json!({ "reason": format!("round {round}"), "cron": cron });
                ("PATCH", path, body)
            };
            let sent = worker.send(method, &path, Some(&body), Some(&key));
            let (status, answer) = sent.await?;
            anyhow::ensure!(status == 200, "{status}: {answer}");
            anyhow::Ok((round % 2 == 0).then_some(answer))
        }
    });
    let mut done = std::pin::pin!(futures::future::try_join_all(asked));
    let done = tokio::select! {
        done = &mut done => done?,
        never = passes(&project) => match never? {},
    };
    let triggered: Vec<_> = done.into_iter().flatten().collect();
    assert_eq!(triggered.len(), 100);
    // A server that is too slow does not show a run in time.
    let (lost, seen): (Vec<_>, Vec<_>) = triggered
        .into_iter()
        .partition(|one| one["state"] == "lost");
    are_different(&seen);
    worker.sync().await?;
    for number in 0..20 {
        let id = format!("job-{number}");
        let lost = i64::try_from(lost.iter().filter(|one| one["id"] == id.as_str()).count())?;
        eventually(&format!("the runs of {id}"), || async {
            let started = runs(&project, &id).await?;
            anyhow::ensure!(started <= 5, "{started} runs");
            Ok(started >= 5 - lost)
        })
        .await?;
        let live = project.temporal().live(&project.schedule(&id)).await?;
        assert!(live.times().contains(" 4 "), "{id}: {live}");
    }
    let status = worker.json("/api/v1/reconcile").await?;
    assert_eq!(status["orders"], json!({}), "{status:#}");
    assert_eq!(status["runs_pending"], 0, "{status:#}");
    crate::replay::replays(&project, &workflow).await?;
    Ok(())
}
