//! Output of the command line that people read: lists, the status of a project, one schedule.

use almanac_tests::{
    Project, SOON, Scheduler, cron, on_both_schedulers, paused_cron, with_schedule,
};
use serde_json::{Value, json};

use crate::ownership::Unmanaged;

on_both_schedulers!(
    a_list_is_selected_sorted_and_shown_in_words,
    the_status_names_every_problem_and_the_command_that_helps,
    a_schedule_is_shown_with_its_override_and_its_history,
);

async fn a_list_is_selected_sorted_and_shown_in_words(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("late.yaml", &cron("30 2 * * MON-FRI"))?;
    project.write("paused.yaml", &paused_cron("0 1 1 * *"))?;
    let soon = format!(
        "labels: {{ team: ops }}\n{}",
        with_schedule("  every: 1h\n")
    );
    project.write("soon.yaml", &soon)?;
    let worker = project.worker().start().await?;
    let list = |args: &[&str]| -> anyhow::Result<String> {
        project.almanac(&[&["list"], args].concat())?.success()
    };
    let ids = |text: &str| -> Vec<String> {
        let rows = text.lines().skip(1);
        rows.map(|row| row.split(' ').next().unwrap().to_owned())
            .collect()
    };

    let all = list(&[])?;
    assert_eq!(ids(&all), ["late", "paused", "soon"], "{all}");
    for words in ["ID", "02:30 Mon–Fri", "01:00 on the 1st", "every 1h", "in "] {
        assert!(all.contains(words), "{words}: {all}");
    }
    // Almanac's own notes are not shown, so there is nothing to note.
    assert!(!all.contains("NOTE") && !all.contains("Managed"), "{all}");
    let by_next: Value = serde_json::from_str(&list(&["--sort", "next", "--format", "json"])?)?;
    let next: Vec<_> = by_next.as_array().unwrap().iter().collect();
    let next: Vec<_> = next.iter().map(|one| one["next_run"].as_str()).collect();
    assert!(next[0] < next[1] && next[2].is_none(), "{by_next}");
    assert_eq!(
        ids(&list(&["--sort", "state"])?),
        ["paused", "late", "soon"]
    );
    assert_eq!(ids(&list(&["--state", "paused"])?), ["paused"]);
    assert_eq!(ids(&list(&["--state", "active,held"])?), ["late", "soon"]);
    assert_eq!(ids(&list(&["--selector", "team=ops"])?), ["soon"]);
    let none = list(&["--selector", "team=none"])?;
    assert_eq!(none, "none of the 3 schedules matches\n");
    let wide = list(&["--wide"])?;
    for words in ["WORKFLOW", "paused by its definition"] {
        assert!(wide.contains(words), "{words}: {wide}");
    }
    let yaml = list(&["--state", "paused", "--format", "yaml"])?;
    let listed: Value = serde_json::from_str(&list(&["--state", "paused", "--format", "json"])?)?;
    let read = almanac_core::definition::yaml_value(&yaml).map_err(anyhow::Error::msg)?;
    assert_eq!(read, listed);
    let bad = project.almanac(&["list", "--state", "pause"])?;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.stderr.contains("'paused'"), "{bad:?}");
    let unknown = project.almanac(&["show", "son"])?;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(
        unknown.stderr.contains("did you mean `soon`?"),
        "{unknown:?}"
    );
    drop(worker);
    Ok(())
}

async fn the_status_names_every_problem_and_the_command_that_helps(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let status = || project.almanac(&["status"]);
    let absent = status()?;
    assert_eq!(absent.code, 2, "{absent:?}");
    assert!(absent.stdout.contains("→ almanac run"), "{absent:?}");

    for id in ["changed", "halted"] {
        project.write(&format!("{id}.yaml"), &cron("30 2 * * *"))?;
    }
    let mut worker = project.worker().start().await?;
    let healthy = status()?;
    assert_eq!(healthy.code, 0, "{healthy:?}");
    assert!(healthy.stdout.contains("nothing is wrong"), "{healthy:?}");

    let taken = project.schedule("taken");
    Unmanaged::create(project.temporal(), taken, &[]).await?;
    project.write("taken.yaml", &cron("30 2 * * *"))?;
    project.write("broken.yaml", "schedule: { corn: x }\n")?;
    worker.sync().await?;
    project
        .almanac(&["pause", "halted", "--reason", "disk full", "--for", "2h"])?
        .success()?;
    project
        .temporal()
        .pause(&project.schedule("changed"), "lunch")
        .await?;
    project
        .almanac(&["suspend", "--reason", "migration"])?
        .success()?;
    let broken = status()?;
    assert_eq!(broken.code, 2, "{broken:?}");
    for words in [
        "was suspended",
        "migration",
        "→ almanac resume",
        "1 document is invalid",
        "broken.yaml:1",
        "→ almanac validate",
        "→ almanac show taken",
        "halted: disk full",
        "changed: lunch",
    ] {
        assert!(broken.stdout.contains(words), "{words}: {}", broken.stdout);
    }
    let report: Value =
        serde_json::from_str(&project.almanac(&["status", "--format", "json"])?.stdout)?;
    assert_eq!(report["healthy"], json!(false));
    assert_eq!(report["reconciler"], json!("suspended"));
    let kinds = report["findings"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|finding| &finding["kind"]).collect();
    assert_eq!(
        kinds,
        [
            "suspended",
            "invalid",
            "conflict",
            "overridden",
            "paused_manually"
        ]
    );

    assert_eq!(worker.terminate(SOON)?, 0);
    let alone = status()?;
    assert_eq!(alone.code, 2, "{alone:?}");
    assert!(alone.stdout.contains("nothing corrects them"), "{alone:?}");
    Ok(())
}

async fn a_schedule_is_shown_with_its_override_and_its_history(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("30 2 * * MON-FRI"))?;
    let worker = project.worker().start().await?;
    let args = ["override", "one", "--set", "cron=0 5 * * *", "--for", "2h"];
    project
        .almanac(&[&args[..], &["--reason", "the bank is late"]].concat())?
        .success()?;
    let shown = project.almanac(&["show", "one"])?.success()?;
    for words in [
        "● one  overridden",
        "Times     05:00 daily",
        "Override  cron \"0 5 * * *\" until ",
        "), by ",
        ": the bank is late",
        "Source    one.yaml, revision ",
        "  cron: \"0 5 * * *\"",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let history = project.almanac(&["history", "one"])?.success()?;
    for words in [
        "asked for an override: cron \"0 5 * * *\" until 20",
        "the bank is late",
        "Almanac created the schedule",
    ] {
        assert!(history.contains(words), "{words}: {history}");
    }
    // Whole seconds everywhere, and the operator with the host.
    for text in [&shown, &history] {
        let times = text.split('Z').filter_map(|part| part.rsplit(' ').next());
        let precise: Vec<_> = times
            .filter(|time| time.contains(':') && time.contains('.'))
            .collect();
        assert!(precise.is_empty(), "{precise:?}: {text}");
    }
    let history = project.almanac(&["history", "one", "--format", "json"])?;
    let history: Value = serde_json::from_str(&history.success()?)?;
    let asked = history.as_array().unwrap().iter();
    let by: Vec<_> = asked
        .filter_map(|entry| entry["by"].as_str())
        .filter(|by| !by.is_empty())
        .collect();
    assert!(by.iter().all(|by| by.contains('@')), "{history}");
    let next = project.almanac(&["next", "one", "-n", "2"])?.success()?;
    assert!(next.starts_with("one  05:00 daily\n"), "{next}");
    assert_eq!(next.lines().count(), 3, "{next}");
    drop(worker);
    Ok(())
}
