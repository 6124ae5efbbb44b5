//! `almanac import` reports the parts that no definition can express, and overwrites no file.

use almanac_tests::{
    Project, Scheduler, almanac, cron, eventually, json_payload, on_both_schedulers,
    unmanaged_schedule,
};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::{Header, Memo, Payload, Payloads};
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_common::protos::temporal::api::sdk::v1::UserMetadata;

on_both_schedulers!(
    a_part_that_no_definition_can_express_is_reported,
    files_that_exist_and_schedules_of_projects_are_left,
);

async fn a_part_that_no_definition_can_express_is_reported(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let id = format!("Odd/{}", project.name());
    let mut schedule = unmanaged_schedule("0 1 * * *");
    let action = schedule.action.get_or_insert_default();
    if let Some(Action::StartWorkflow(start)) = &mut action.action {
        let bytes = Payload {
            metadata: [("encoding".to_owned(), b"binary/plain".to_vec())].into(),
            data: vec![0, 1, 2],
            ..Default::default()
        };
        let big = Payload {
            data: b"{\"wei\":340282366920938463463374607431768211457}".to_vec(),
            ..json_payload(&0)
        };
        start.input = Some(Payloads {
            payloads: vec![json_payload(&"good"), bytes, big],
        });
        start.memo = Some(Memo {
            fields: [("almanac".to_owned(), json_payload(&json!({"x": 1})))].into(),
        });
        start.user_metadata = Some(UserMetadata {
            summary: Some(json_payload(&"two\nlines\u{fffe}")),
            details: None,
        });
        start.header = Some(Header {
            fields: [("trace".to_owned(), json_payload(&1))].into(),
        });
    }
    let state = schedule.state.get_or_insert_default();
    "pasted \u{feff}from chat\nid: other".clone_into(&mut state.notes);
    let memo = [("who", json_payload(&json!("ann")))];
    temporal.create(&id, schedule, &memo).await?;
    eventually("it to be listed", || async {
        Ok(temporal.list(&id).await?.len() == 1)
    })
    .await?;

    let out = project.folder().join("imported");
    let out = out.to_str().unwrap();
    let query = format!("ScheduleId = '{id}'");
    let dry = project.almanac(&["import", "--query", &query, "--out", out, "--dry-run"])?;
    assert!(!std::path::Path::new(out).exists());
    let output = project.almanac(&["import", "--query", &query, "--out", out])?;
    assert_eq!((dry.code, output.code), (2, 2), "{output:?}");
    let file = format!("{out}/odd-{}.yaml", project.name());
    let text = std::fs::read_to_string(&file)?;
    assert_eq!(dry.stdout, text);
    for what in [
        "headers: trace",
        "argument 2, which is encoded as binary/plain",
        "the number 340282366920938463463374607431768211457 in argument 3",
        "`almanac` of the memo of its runs",
        "memo of the schedule itself: who",
    ] {
        assert!(output.stderr.contains(what), "{what}: {output:?}");
        assert!(text.contains(what), "{what}: {text}");
    }
    assert!(text.contains("enabled: false"), "{text}");
    almanac(project.address(), ["validate", out])?.success()?;
    let bad = project.almanac(&["import", "--query", "Nonsense = 1", "--out", out])?;
    assert_eq!(bad.code, 1);
    assert!(bad.stderr.contains("Nonsense"), "{bad:?}");
    Ok(())
}

async fn files_that_exist_and_schedules_of_projects_are_left(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let other = format!("plain-{}", project.name());
    temporal
        .create(&other, unmanaged_schedule("0 1 * * *"), &[])
        .await?;
    project.write("own.yaml", &cron("0 1 * * *"))?;
    let _worker = project.worker().start().await?;
    let query = format!("ScheduleId IN ('{other}', '{}')", project.schedule("own"));
    let out = project.folder().join("imported");
    std::fs::create_dir(&out)?;
    let file = out.join(format!("{other}.yaml"));
    std::fs::write(&file, "# mine\n")?;
    let out = out.to_str().unwrap();
    let import = ["import", "--query", &query, "--out", out];
    eventually("both to be listed", || async {
        let all = project.almanac(&[&import[..], &["--all", "--dry-run"]].concat())?;
        Ok(all.stdout.contains(&other) && all.stdout.contains("id: own"))
    })
    .await?;

    let output = project.almanac(&import)?;
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("exists"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&file)?, "# mine\n");
    assert_eq!(std::fs::read_dir(out)?.count(), 1);
    project
        .almanac(&[&import[..], &["--force"]].concat())?
        .success()?;
    let text = std::fs::read_to_string(&file)?;
    assert!(text.contains(&format!("adopts: {other}")), "{text}");
    Ok(())
}
