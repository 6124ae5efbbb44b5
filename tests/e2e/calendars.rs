//! Calendars: days by name, that schedules exclude.

use almanac_core::field::Field;
use almanac_tests::{Project, Scheduler, cron, eventually, on_both_schedulers};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

on_both_schedulers!(
    a_schedule_skips_the_days_of_a_calendar,
    a_changed_calendar_updates_only_the_definitions_that_name_it,
    a_calendar_that_goes_or_breaks_keeps_the_schedules,
    the_most_exclusions_are_taken,
    plan_and_next_find_calendars,
);

/// A definition that runs daily and excludes this.
fn daily(exclude: &str) -> String {
    format!(
        "schedule:\n  cron: '0 9 * * *'\n  timezone: Europe/Berlin\n  exclude: [{exclude}]\n\
         workflow: {{ type: Nobody, task_queue: nobody }}\n"
    )
}

fn calendar(dates: &[String]) -> String {
    format!("kind: calendar\ndates: [{}]\n", dates.join(", "))
}

fn today() -> Date {
    Zoned::new(Timestamp::now(), TimeZone::get("Europe/Berlin").unwrap()).date()
}

fn day(from_now: i64) -> Date {
    today().checked_add(from_now.days()).unwrap()
}

/// The days on which the server says that a schedule fires next.
async fn next_days(project: &Project, id: &str) -> anyhow::Result<Vec<Date>> {
    let live = project.temporal().live(&project.schedule(id)).await?;
    let info = live.0.info.as_ref().unwrap();
    let times = info.future_action_times.iter().map(|time| {
        let time = Timestamp::from_second(time.seconds).unwrap();
        time.to_zoned(TimeZone::get("Europe/Berlin").unwrap())
            .date()
    });
    Ok(times.collect())
}

/// The server's own next times leave out dates, ranges, yearly days and rules.
async fn a_schedule_skips_the_days_of_a_calendar(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let yearly = day(5).strftime("%m-%d").to_string();
    let dates = [
        day(2).to_string(),
        format!("{}/{}", day(3), day(4)),
        yearly,
        "{ day_of_week: SUN }".to_owned(),
    ];
    project.write("days-off.yaml", &calendar(&dates))?;
    project.write("job.yaml", &daily("{ calendar: days-off }"))?;
    project.write("plain.yaml", &daily(""))?;
    let worker = project.worker().start().await?;

    let meant = |off: bool| {
        let all = day(0).series(1.day());
        let listed = [day(2), day(3), day(4), day(5)];
        all.filter(move |day| !off || !(listed.contains(day) || day.weekday() == Weekday::Sunday))
    };
    for (id, off) in [("job", true), ("plain", false)] {
        let next = next_days(&project, id).await?;
        assert!(next.len() >= 5, "{next:?}");
        let meant: Vec<_> = meant(off)
            .skip_while(|day| *day < next[0])
            .take(next.len())
            .collect();
        assert_eq!(next, meant, "{id}");
    }
    let report = worker.sync().await?;
    assert_eq!(report.schedules.unchanged, 2, "{report:?}");
    assert_eq!(report.changes, []);

    let metric = worker
        .metric(
            "almanac_definitions",
            &["kind=\"calendar\"", "status=\"loaded\""],
        )
        .await?;
    assert!((metric - 1.0).abs() < f64::EPSILON, "{metric}");
    let shown = worker.json("/api/v1/definitions/days-off").await?;
    assert_eq!(shown["kind"], "calendar", "{shown}");
    assert_eq!(shown["status"], "loaded", "{shown}");
    Ok(())
}

/// An edit of the calendar's file alone reaches each schedule that names it.
async fn a_changed_calendar_updates_only_the_definitions_that_name_it(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("days-off.yaml", &calendar(&["12-25".to_owned()]))?;
    project.write("one.yaml", &daily("{ calendar: days-off }"))?;
    project.write("two.yaml", &daily("{ calendar: days-off }, { hour: 1 }"))?;
    project.write("other.yaml", &daily("{ month: 12, day_of_month: 25 }"))?;
    let worker = project.worker().start().await?;

    project.write("days-off.yaml", &calendar(&["12-24/12-26".to_owned()]))?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.updated, 2, "{report:?}");
    assert_eq!(report.definitions.updated, 2, "{report:?}");
    let mut changed: Vec<_> = report
        .changes
        .iter()
        .map(|change| (change.id.clone(), format!("{:?}", change.fields)))
        .collect();
    changed.sort();
    assert_eq!(report.changes[0].fields, [Field::Exclude]);
    let fields = changed[0].1.clone();
    assert_eq!(
        changed,
        [
            ("one".to_owned(), fields.clone()),
            ("two".to_owned(), fields)
        ]
    );
    let exclusions = |id: &'static str| {
        let project = &project;
        async move {
            let live = project.temporal().live(&project.schedule(id)).await?;
            anyhow::Ok(live.exclusions())
        }
    };
    assert_eq!(exclusions("one").await?, "0-59 0-23 24-26 12 0-6");
    assert_eq!(exclusions("other").await?, "0-59 0-23 25 12 0-6");

    // And by itself, without a sync.
    project.write("days-off.yaml", &calendar(&["12-31".to_owned()]))?;
    eventually("the schedules that name it", || async {
        Ok(exclusions("one").await? == "0-59 0-23 31 12 0-6"
            && exclusions("two").await?.contains("0-59 0-23 31 12 0-6"))
    })
    .await?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.unchanged, 3, "{report:?}");
    Ok(())
}

/// A calendar that cannot be had changes no schedule and removes none, after a
/// restart too.
async fn a_calendar_that_goes_or_breaks_keeps_the_schedules(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("days-off.yaml", &calendar(&["12-25".to_owned()]))?;
    project.write("one.yaml", &daily("{ calendar: days-off }"))?;
    project.write("plain.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;
    let same = || async {
        let live = project.temporal().live(&project.schedule("one")).await?;
        assert_eq!(live.exclusions(), "0-59 0-23 25 12 0-6");
        project.has_just(&["one", "plain"]).await
    };

    project.write("days-off.yaml", &calendar(&["12-32".to_owned()]))?;
    let report = worker.sync().await?;
    assert_eq!(report.definitions.invalid, 1, "{report:?}");
    assert_eq!(report.changes, [], "{report:?}");
    same().await?;
    let shown = worker.json("/api/v1/definitions/days-off").await?;
    assert_eq!(shown["status"], "stale", "{shown}");
    assert_eq!(shown["load_error"]["line"], 2, "{shown}");

    project.remove("days-off.yaml")?;
    for restart in [false, true] {
        if restart {
            worker.restart().await?;
        }
        let report = worker.sync().await?;
        assert_eq!(report.definitions.invalid, 1, "{report:?}");
        assert_eq!(report.schedules.deleted, 0, "{report:?}");
        assert_eq!(report.changes, [], "{report:?}");
        let mut errors = report.errors.iter();
        assert!(
            errors.any(|error| error.message.contains("no calendar `days-off`")),
            "{report:?}"
        );
        same().await?;
    }

    project.write("days-off.yaml", &calendar(&["12-24".to_owned()]))?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.updated, 1, "{report:?}");
    assert_eq!(report.definitions.invalid, 0, "{report:?}");
    Ok(())
}

/// A spec at the limit of exclusions is one that the server takes, keeps and
/// computes times of.
async fn the_most_exclusions_are_taken(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    // Twelve rules a year, each with many ranges.
    let dates: Vec<String> = (0..1000)
        .map(|n| {
            format!(
                "{{ year: {}, day_of_month: '{},2-30/2' }}",
                2000 + n / 12,
                n % 12 * 2 + 3
            )
        })
        .collect();
    project.write("days-off.yaml", &calendar(&dates))?;
    project.write("job.yaml", &daily("{ calendar: days-off }"))?;
    let worker = project.worker().start().await?;
    let live = project.temporal().live(&project.schedule("job")).await?;
    assert_eq!(live.spec().exclude_structured_calendar.len(), 1000);
    let next = next_days(&project, "job").await?;
    assert!(next.len() >= 5, "{next:?}");
    assert!(next.iter().all(|day| day.day() % 2 == 1), "{next:?}");
    assert!(
        next.iter().all(|day| day.day() < 3 || day.day() > 25),
        "{next:?}"
    );
    let report = worker.sync().await?;
    assert_eq!(report.schedules.unchanged, 1, "{report:?}");
    Ok(())
}

/// The commands that read files find calendars in them.
async fn plan_and_next_find_calendars(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("days-off.yaml", &calendar(&["12-25".to_owned()]))?;
    project.write("one.yaml", &daily("{ calendar: days-off }"))?;
    let _worker = project.worker().start().await?;
    // A folder that no worker follows.
    let next = project.folder().join("next");
    std::fs::create_dir(&next)?;
    let copy = |file: &str| std::fs::copy(project.definitions().join(file), next.join(file));
    copy("one.yaml")?;
    std::fs::write(
        next.join("days-off.yaml"),
        calendar(&["12-25/12-26".to_owned()]),
    )?;
    let dir = next.display().to_string();
    let plan = project.almanac(&["plan", "--dir", &dir, "--detailed-exitcode"])?;
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.stdout.contains("exclude"), "{plan:?}");
    let file = next.join("one.yaml").display().to_string();
    let from = "2026-12-23T12:00:00Z";
    let fires = project.almanac(&["next", &file, "-n", "2", "--from", from])?;
    assert!(fires.stdout.contains("2026-12-24"), "{fires:?}");
    assert!(fires.stdout.contains("2026-12-27"), "{fires:?}");
    Ok(())
}
