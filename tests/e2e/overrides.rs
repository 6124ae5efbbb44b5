//! Overrides: set from the command line and over HTTP, kept through whatever
//! happens, and ended by what ends them.

use almanac_tests::{
    Project, Proxy, Scheduler, Worker, cron, eventually, json_payload, json_payloads,
    on_both_schedulers, passed, paused_cron, temporal_cli, with_schedule,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;

on_both_schedulers!(
    an_override_outlives_passes_restarts_and_other_edits,
    an_override_outlives_a_release_that_hashes_otherwise,
    an_override_ends_with_its_field_in_the_yaml,
    an_override_ends_in_time,
    a_new_limit_does_not_end_a_pause_by_an_override,
    unpause_ends_any_pause,
    the_api_overrides_and_clears,
    the_workflow_clears_by_an_update_of_its_own,
    an_override_that_is_not_valid_is_refused_with_the_reason,
    a_hundred_overrides_at_once_are_all_kept,
    an_override_does_not_wait_for_a_pass_that_describes_schedules,
);

const FIVE_MINUTES: &str = "0-55/5 ";

async fn has(project: &Project, id: &str, times: &str, paused: bool) -> anyhow::Result<()> {
    let live = project.temporal().live(&project.schedule(id)).await?;
    anyhow::ensure!(live.times().contains(times), "not `{times}`: {live}");
    anyhow::ensure!(live.paused() == paused, "{live}");
    Ok(())
}

/// The override of a definition, as the API shows it.
async fn override_of(worker: &Worker, id: &str) -> anyhow::Result<Value> {
    let shown = worker.json(&format!("/api/v1/schedules/{id}")).await?;
    Ok(shown["override"].clone())
}

/// Passes, a restart, another edit, a broken file, a replaced body and a
/// terminated workflow all leave it.
async fn an_override_outlives_passes_restarts_and_other_edits(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let file = |jitter: &str, comment: &str| {
        with_schedule(&format!(
            "  cron: '0 1 * * *'\n  jitter: {jitter}\n  # {comment}\n"
        ))
    };
    project.write("cron.yaml", &file("1s", "one"))?;
    project.write("off.yaml", &file("1s", "one"))?;
    let mut worker = project.worker().start().await?;
    let set = [
        "override",
        "cron",
        "--set",
        "cron=*/5 * * * *",
        "--reason",
        "slow disk",
    ];
    project.almanac(&set)?.success()?;
    let paused = ["pause", "off", "--reason", "incident 7", "--for", "3h"];
    let paused = project.almanac_json(&paused)?;
    assert_eq!(paused["override"]["reason"], "incident 7", "{paused}");
    let holds = async |worker: &Worker, after: &str| -> anyhow::Result<()> {
        worker.sync().await?;
        let held = async {
            has(&project, "cron", FIVE_MINUTES, false).await?;
            has(&project, "off", "0 1 ", true).await?;
            anyhow::ensure!(override_of(worker, "cron").await?["reason"] == "slow disk");
            anyhow::ensure!(override_of(worker, "off").await?["enabled"] == json!(false));
            anyhow::Ok(())
        };
        held.await
            .map_err(|error| error.context(format!("after {after}")))
    };
    let live = project.temporal().live(&project.schedule("off")).await?;
    assert!(live.note().contains("incident 7"), "{live}");
    worker.sync().await?;
    worker.writes_nothing_in(10).await?;
    holds(&worker, "ten passes").await?;
    worker.restart().await?;
    holds(&worker, "a restart").await?;
    for id in ["cron", "off"] {
        project.write(&format!("{id}.yaml"), &file("2s", "one"))?;
    }
    holds(&worker, "another edit").await?;
    for id in ["cron", "off"] {
        project.write(&format!("{id}.yaml"), &file("2s", "two"))?;
    }
    holds(&worker, "a comment").await?;
    for id in ["cron", "off"] {
        project.write(&format!("{id}.yaml"), "schedule: {")?;
    }
    holds(&worker, "a broken file").await?;
    for id in ["cron", "off"] {
        project.write(&format!("{id}.yaml"), &file("2s", "two"))?;
    }
    for id in ["cron", "off"] {
        let schedule = project.schedule(id);
        temporal_cli(
            project.address(),
            [
                "schedule",
                "update",
                "--schedule-id",
                &schedule,
                "--cron",
                "0 5 * * *",
                "--type",
                "Nobody",
                "--task-queue",
                "nobody",
                "--workflow-id",
                "x",
            ],
        )?;
    }
    holds(&worker, "a replaced body").await?;
    let workflow = project.reconcile_workflow();
    project.temporal().terminate(&workflow).await?;
    eventually("the workflow to come back", || async {
        Ok(worker.post_sync("").await?.0 == 200)
    })
    .await?;
    worker.forget_passes();
    holds(&worker, "a terminated workflow").await?;
    project.almanac(&["clear-override", "cron"])?.success()?;
    has(&project, "cron", "0 1 ", false).await?;
    assert_eq!(override_of(&worker, "cron").await?, Value::Null);
    Ok(())
}

/// A memo whose base this release cannot read, as the release before may have
/// left it; with the workflow's copy of the override, and without.
async fn an_override_outlives_a_release_that_hashes_otherwise(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let file = |jitter: &str| with_schedule(&format!("  cron: '0 1 * * *'\n  jitter: {jitter}\n"));
    project.write("cron.yaml", &file("1s"))?;
    project.write("off.yaml", &file("1s"))?;
    let mut worker = project.worker().start().await?;
    let set = "cron=*/5 * * * *";
    project
        .almanac(&["override", "cron", "--set", set, "--reason", "slow disk"])?
        .success()?;
    project
        .almanac(&["pause", "off", "--reason", "incident 7"])?
        .success()?;
    let holds = async |worker: &Worker| -> anyhow::Result<()> {
        has(&project, "cron", FIVE_MINUTES, false).await?;
        has(&project, "off", "0 1 ", true).await?;
        anyhow::ensure!(override_of(worker, "cron").await?["reason"] == "slow disk");
        anyhow::ensure!(override_of(worker, "off").await?["enabled"] == json!(false));
        Ok(())
    };
    worker.sync().await?;
    for with_workflow in [true, false] {
        worker.kill()?;
        for id in ["cron", "off"] {
            let schedule = project.schedule(id);
            project.temporal().edit(&schedule, hashed_otherwise).await?;
        }
        if !with_workflow {
            let workflow = project.reconcile_workflow();
            project.temporal().terminate(&workflow).await?;
            worker.forget_passes();
        }
        worker.respawn()?;
        worker.ready().await?;
        let report = worker.sync().await?;
        assert_eq!(report.changes, [], "{report:?}");
        holds(&worker).await?;
        for id in ["cron", "off"] {
            let live = project.temporal().live(&project.schedule(id)).await?;
            assert_eq!(live.action_memo().unwrap()["v"], 0, "{live}");
        }
    }
    // A change that is needed anyway rewrites the memo.
    for id in ["cron", "off"] {
        project.write(&format!("{id}.yaml"), &file("2s"))?;
    }
    worker.sync().await?;
    holds(&worker).await?;
    for id in ["cron", "off"] {
        let live = project.temporal().live(&project.schedule(id)).await?;
        assert_eq!(live.action_memo().unwrap()["v"], 1, "{live}");
    }
    // From then on the field's change in the YAML ends it again.
    project.write("cron.yaml", &cron("0 2 * * *"))?;
    worker.sync().await?;
    has(&project, "cron", "0 2 ", false).await?;
    assert_eq!(override_of(&worker, "cron").await?, Value::Null);
    Ok(())
}

/// Makes a memo and a note those of a release whose hashes are not known.
fn hashed_otherwise(schedule: &mut Schedule) {
    let state = schedule.state.as_mut().unwrap();
    state.notes = state.notes.replace("[almanac v1:", "[almanac v0:");
    let Some(Action::StartWorkflow(start)) = schedule.action.as_mut().unwrap().action.as_mut()
    else {
        panic!("it starts a workflow");
    };
    let fields = &mut start.memo.as_mut().unwrap().fields;
    let mut memo: Value = serde_json::from_slice(&fields["almanac"].data).unwrap();
    memo["v"] = json!(0);
    for hash in memo["base"].as_object_mut().unwrap().values_mut() {
        *hash = json!("00000000");
    }
    fields.insert("almanac".to_owned(), json_payload(&memo));
}

/// Only a change of that field ends the override, and the pass reports it.
async fn an_override_ends_with_its_field_in_the_yaml(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let set = [
        "override",
        "one",
        "--set",
        "cron=*/5 * * * *",
        "--set",
        "enabled=false",
        "--reason",
        "both",
    ];
    project.almanac(&set)?.success()?;
    has(&project, "one", FIVE_MINUTES, true).await?;
    project.write("one.yaml", &cron("0 2 * * *"))?;
    worker.sync().await?;
    has(&project, "one", "0 2 ", true).await?;
    project.write("one.yaml", &paused_cron("0 2 * * *"))?;
    worker.sync().await?;
    project.write("one.yaml", &cron("0 2 * * *"))?;
    worker.sync().await?;
    has(&project, "one", "0 2 ", false).await?;
    assert_eq!(override_of(&worker, "one").await?, Value::Null);
    let log = worker.log()?;
    assert!(
        log.contains("the definition changed an overridden field"),
        "{log}"
    );
    Ok(())
}

/// Almanac pauses a schedule whose actions are used up. That is neither the operator's pause,
/// nor what an operator's pause gives way to.
async fn a_new_limit_does_not_end_a_pause_by_an_override(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let limited = |limit: u32| {
        with_schedule(&format!(
            "  every: 1s\n  overlap_policy: allow_all\n  max_actions: {limit}\n"
        ))
    };
    project.write("job.yaml", &limited(1))?;
    let worker = project.worker().start().await?;
    let schedule = project.schedule("job");
    let live = || project.temporal().live(&schedule);
    eventually("its actions to be used up", || async {
        worker.sync().await?;
        Ok(live().await?.note().starts_with("Finished"))
    })
    .await?;
    project
        .almanac(&["pause", "job", "--reason", "incident"])?
        .success()?;
    project.write("job.yaml", &limited(2))?;
    worker.sync().await?;
    let paused = live().await?;
    assert!(paused.paused(), "{paused}");
    assert_eq!(paused.remaining_actions(), Some(2), "{paused}");
    assert!(override_of(&worker, "job").await?.is_object(), "{paused}");
    worker.sync().await?;
    worker.writes_nothing_in(1).await?;
    // Only the override pauses it.
    project.almanac(&["clear-override", "job"])?.success()?;
    eventually("the runs of the new limit", || async {
        Ok(live().await?.runs() >= 3)
    })
    .await
}

/// After the end of an override, the earlier state returns without a pass of the interval.
async fn an_override_ends_in_time(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("down.yaml", &cron("0 1 * * *"))?;
    let mut worker = project
        .worker()
        .flag("--reconcile-interval", "1h")
        .start()
        .await?;
    let pause = |id: &str, time: &str| {
        project
            .almanac(&["pause", id, "--reason", "short", "--for", time])?
            .success()
    };
    pause("one", "3s")?;
    eventually("its end", || async {
        Ok(has(&project, "one", "0 1 ", false).await.is_ok())
    })
    .await?;
    eventually("the override to be gone", || async {
        Ok(override_of(&worker, "one").await? == Value::Null)
    })
    .await?;
    // Its time is over while nobody is there. On a slow machine a short override
    // ends before the worker is killed.
    for seconds in [3, 10, 30, 90] {
        pause("down", &format!("{seconds}s"))?;
        let end = Timestamp::now() + SignedDuration::from_secs(seconds);
        worker.kill()?;
        passed(end).await;
        if has(&project, "down", "0 1 ", true).await.is_ok() {
            break;
        }
        worker.restart().await?;
    }
    has(&project, "down", "0 1 ", true).await?;
    worker.respawn()?;
    worker.ready().await?;
    worker.sync().await?;
    has(&project, "down", "0 1 ", false).await
}

/// A manual pause, a pause by an override, and a pause by the YAML.
async fn unpause_ends_any_pause(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("hand.yaml", &cron("0 1 * * *"))?;
    project.write("override.yaml", &cron("0 1 * * *"))?;
    project.write("yaml.yaml", &paused_cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    project
        .temporal()
        .pause(&project.schedule("hand"), "stop")
        .await?;
    project
        .almanac(&["pause", "override", "--reason", "stop"])?
        .success()?;
    for id in ["hand", "override", "yaml"] {
        has(&project, id, "0 1 ", true).await?;
        project.almanac(&["unpause", id])?.success()?;
        has(&project, id, "0 1 ", false).await?;
    }
    worker.sync().await?;
    worker.writes_nothing_in(1).await?;
    assert_eq!(override_of(&worker, "hand").await?, Value::Null);
    assert_eq!(override_of(&worker, "override").await?, Value::Null);
    assert_eq!(override_of(&worker, "yaml").await?["enabled"], json!(true));
    Ok(())
}

/// `PATCH` and `DELETE …/override` answer the schedule as it is then; the same
/// key again changes nothing.
async fn the_api_overrides_and_clears(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let patch =
        json!({ "timezone": "Asia/Tokyo", "enabled": false, "reason": "move", "for": "2h" });
    let (status, view) = worker
        .send("PATCH", "/api/v1/schedules/one", Some(&patch), Some("k1"))
        .await?;
    assert_eq!(
        (status, &view["state"]),
        (200, &json!("overridden")),
        "{view}"
    );
    assert_eq!(view["timezone"], "Asia/Tokyo");
    assert_eq!(view["paused_by"], "override");
    has(&project, "one", "0 1 ", true).await?;

    let (status, view) = worker
        .send("DELETE", "/api/v1/schedules/one/override", None, None)
        .await?;
    assert_eq!((status, &view["override"]), (200, &Value::Null), "{view}");
    has(&project, "one", "0 1 ", false).await?;
    worker
        .send("PATCH", "/api/v1/schedules/one", Some(&patch), Some("k1"))
        .await?;
    has(&project, "one", "0 1 ", false).await
}

/// `clear_override` does what `override` with `clear` does; sent again it is
/// answered again, and what makes no sense is refused.
async fn the_workflow_clears_by_an_update_of_its_own(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let workflow = project.reconcile_workflow();
    let clear = async |request: Value| {
        let payloads = json_payloads(&[request]);
        let temporal = project.temporal();
        temporal
            .update_workflow(&workflow, "clear_override", payloads)
            .await
    };
    let pause = || {
        project
            .almanac(&["pause", "one", "--reason", "stop"])?
            .success()
    };
    pause()?;
    has(&project, "one", "0 1 ", true).await?;
    let request = json!({ "request_id": "clear-1", "id": "one", "by": "eve", "reason": "over" });
    let first = clear(request.clone()).await?;
    assert_eq!(first["overridden"], Value::Null, "{first}");
    worker.sync().await?;
    has(&project, "one", "0 1 ", false).await?;
    assert_eq!(override_of(&worker, "one").await?, Value::Null);
    let history = project.almanac_json(&["history", "one"])?;
    let asked = history
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["kind"] == "asked" && entry["op"] == "clear_override");
    let asked = asked.unwrap_or_else(|| panic!("{history}"));
    assert_eq!(
        (&asked["reason"], &asked["by"]),
        (&json!("over"), &json!("eve"))
    );

    pause()?;
    assert_eq!(clear(request).await?, first);
    for (request, message) in [
        (Value::Null, "id is missing"),
        (json!({ "id": "one", "cron": ["0 1 * * *"] }), "cron"),
        (json!("one"), "must be a JSON object"),
    ] {
        let error = clear(request).await.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    worker.sync().await?;
    has(&project, "one", "0 1 ", true).await
}

/// Bad requests change nothing.
async fn an_override_that_is_not_valid_is_refused_with_the_reason(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    for (body, status, message) in [
        (json!({ "reason": "x" }), 400, "nothing to change"),
        (json!({ "cron": "61 * * * *", "reason": "x" }), 400, "61"),
        (
            json!({ "timezone": "Mars/Base", "reason": "x" }),
            400,
            "Mars/Base",
        ),
        (json!({ "enabled": false, "reason": "" }), 400, "reason"),
        (
            json!({ "enabled": false, "reason": "x", "for": "-1h" }),
            400,
            "for",
        ),
        (json!({ "enabeld": false, "reason": "x" }), 422, "enabeld"),
        (
            json!({ "enabled": false, "reason": "x".repeat(500) }),
            400,
            "bytes",
        ),
    ] {
        let answer = worker
            .send("PATCH", "/api/v1/schedules/one", Some(&body), None)
            .await?;
        assert_eq!(answer.0, status, "{body}: {}", answer.1);
        assert!(
            answer.1["detail"].to_string().contains(message),
            "{}",
            answer.1
        );
    }
    let body = json!({ "enabled": false, "reason": "x" });
    let (status, _) = worker
        .send("PATCH", "/api/v1/schedules/nobody", Some(&body), None)
        .await?;
    assert_eq!(status, 404);
    for wrong in [
        &["pause", "nobody", "--reason", "x"][..],
        &["override", "one", "--set", "colour=red", "--reason", "x"],
        &["override", "one", "--set", "cron=nonsense", "--reason", "x"],
    ] {
        let output = project.almanac(wrong)?;
        assert_eq!(output.code, 1, "{output:?}");
    }
    assert_eq!(worker.sync().await?.changes, []);
    has(&project, "one", "0 1 ", false).await?;
    // No worker takes the request: nothing is changed, and the command without Almanac is shown.
    drop(worker);
    let output = project.almanac_once(&["pause", "one", "--reason", "it's late"])?;
    assert!(output.is_unanswered(), "{output:?}");
    assert!(
        output.stderr.contains("temporal schedule toggle"),
        "{output:?}"
    );
    has(&project, "one", "0 1 ", false).await
}

/// Many at once while passes run: none lost.
async fn a_hundred_overrides_at_once_are_all_kept(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for number in 0..20 {
        project.write(&format!("job-{number}.yaml"), &cron("0 1 * * *"))?;
    }
    let worker = project.worker().start().await?;
    let workflow = project.reconcile_workflow();
    for round in 0..5_u32 {
        let asked = (0..20).map(|number| {
            let request = json!({
                "id": format!("job-{number}"), "reason": format!("round {round}"), "by": "test",
                "cron": [format!("{round} 4 * * *")],
            });
            let (temporal, workflow) = (project.temporal(), &workflow);
            async move {
                temporal
                    .update_until_taken(workflow, "override", &request)
                    .await
            }
        });
        // A run that continues as new takes no signal.
        let signal = project.temporal().signal(&workflow, "reconcile", None);
        let _closing = signal.await;
        for one in futures::future::join_all(asked).await {
            one?;
        }
    }
    // A request that a busy server does not answer in time is sent again by the next pass.
    eventually("all overrides to be applied", || async {
        worker.sync().await?;
        let status = worker.json("/api/v1/reconcile").await?;
        anyhow::ensure!(status["orders"] == json!({}), "{status:#}");
        Ok(true)
    })
    .await?;
    for number in 0..20 {
        has(&project, &format!("job-{number}"), "4 4 ", false).await?;
    }
    Ok(())
}

/// The first pass of a reconcile workflow describes every schedule before it writes anything.
async fn an_override_does_not_wait_for_a_pass_that_describes_schedules(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let proxy = Proxy::start(project.address()).await?;
    for id in ["a", "b"] {
        project.write(
            &format!("{id}.yaml"),
            &with_schedule("  cron: '0 1 * * *'\n"),
        )?;
    }
    let worker = project.worker().through(&proxy).start().await?;
    let mut gate = proxy.hold("DescribeSchedule", 0);
    let workflow = project.reconcile_workflow();
    project.temporal().terminate(&workflow).await?;
    gate.reached().await?;

    let pause = ["pause", "a", "--reason", "incident 7"];
    project.almanac(&pause)?.success()?;
    has(&project, "a", "0 1 ", true).await?;
    let log = worker.log()?;
    assert!(
        log.contains("pass makes way before it wrote anything"),
        "{log}"
    );

    gate.release();
    let report = worker.sync().await?;
    assert_eq!(report.errors, []);
    has(&project, "a", "0 1 ", true).await
}
