//! Calendars, and the definitions that name them.

use std::fs;

use almanac_core::snapshot::Snapshot;
use insta::assert_snapshot;

use super::*;

fn real_registry(folder: &Folder) -> Arc<Registry> {
    Registry::new(vec![folder.root()], Duration::ZERO)
}

fn calendar(dates: &str) -> String {
    format!("kind: calendar\ndates: [{dates}]\n")
}

/// A definition, described by its file's stem, that excludes this.
fn job(stem: &str, exclude: &str) -> String {
    format!(
        "description: {stem}\nschedule: {{ cron: 0 9 * * *, exclude: [{exclude}] }}\n\
         workflow: {{ type: T, task_queue: q }}\n"
    )
}

/// Two definitions that name the calendar `days`, and one that does not.
fn folder() -> Folder {
    Folder::with(&[
        ("days.yaml", &calendar("12-25")),
        ("one.yaml", &job("one", "{ calendar: days }")),
        ("two.yaml", &job("two", "{ calendar: days }, { hour: 1 }")),
        ("other.yaml", &job("other", "{ month: 12 }")),
    ])
}

/// The exclusions of each definition.
fn exclusions(registry: &Registry) -> String {
    let snapshot = registry.snapshot();
    let lines = snapshot.definitions.iter().map(|(id, loaded)| {
        let spec = &loaded.definition.schedule.as_ref().unwrap().spec;
        let all: Vec<_> = spec.exclude.iter().map(ToString::to_string).collect();
        format!("{id}: {}", all.join("; "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Reloads, and names the definitions that this changed.
async fn changed(registry: &Arc<Registry>) -> String {
    registry.reload(ReadDepth::Changed).await.unwrap();
    let changed = registry.changed().await.changed;
    changed.map_or("all".to_owned(), |ids| {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        ids.join(" ")
    })
}

#[tokio::test]
async fn a_changed_calendar_changes_the_definitions_that_name_it_and_no_other() {
    let folder = folder();
    let registry = real_registry(&folder);
    assert_eq!(changed(&registry).await, "all");
    assert_snapshot!(exclusions(&registry), @r"
    one: * * * 25 12 * *
    other: * * * * 12 * *
    two: * * 1 * * * *; * * * 25 12 * *
    ");
    let before = registry.snapshot();

    folder.save("days.yaml", &calendar("12-25, 2026-04-03"));
    assert_eq!(changed(&registry).await, "one two");
    assert_snapshot!(exclusions(&registry), @r"
    one: * * * 3 4 * 2026; * * * 25 12 * *
    other: * * * * 12 * *
    two: * * 1 * * * *; * * * 3 4 * 2026; * * * 25 12 * *
    ");
    let now = registry.snapshot();
    let other = "other".parse().unwrap();
    assert!(Arc::ptr_eq(
        &before.definitions[&other].definition,
        &now.definitions[&other].definition
    ));
    for id in ["one", "two"] {
        let revision = |snapshot: &Snapshot| {
            snapshot.definitions[&id.parse().unwrap()]
                .definition
                .revision
                .clone()
        };
        assert_ne!(revision(&before), revision(&now));
    }

    // Another text, the same days: nothing that a schedule could show.
    let same = calendar("2026-04-03, { month: 12, day_of_month: 25 }");
    folder.save("days.yaml", &format!("# Easter\n{same}"));
    assert_eq!(changed(&registry).await, "");
    let later = registry.snapshot();
    let one = "one".parse().unwrap();
    assert!(Arc::ptr_eq(
        &now.definitions[&one].definition,
        &later.definitions[&one].definition
    ));
}

#[tokio::test]
async fn a_calendar_that_leaves_no_time_warns_while_it_does() {
    let folder = folder();
    let registry = real_registry(&folder);
    changed(&registry).await;
    assert_eq!(registry.snapshot().warnings, []);
    folder.save("days.yaml", &calendar("{ day_of_week: 0-6 }"));
    for _ in 0..2 {
        changed(&registry).await;
        let snapshot = registry.snapshot();
        let files: Vec<_> = snapshot.warnings.iter().map(|it| &*it.path).collect();
        assert!(files[0].ends_with("one.yaml"), "{files:?}");
        assert_eq!(files.len(), 2, "{files:?}");
        folder.save("other.yaml", &job("other", ""));
    }
}

#[tokio::test]
async fn a_broken_calendar_keeps_its_last_good_version() {
    let folder = folder();
    let registry = real_registry(&folder);
    changed(&registry).await;
    let whole = exclusions(&registry);
    for broken in [
        calendar("12-32"),
        calendar("12-25").replace(']', ""),
        "kind: calendar\n".to_owned(),
        "kind: calender\ndates: [12-25]\n".to_owned(),
        "kin".to_owned(),
        String::new(),
    ] {
        folder.save("days.yaml", &broken);
        registry.reload(ReadDepth::Changed).await.unwrap();
        assert_eq!(exclusions(&registry), whole, "{broken}");
        let snapshot = registry.snapshot();
        let days = &snapshot.calendars[&"days".parse().unwrap()];
        assert_eq!(days.status, LoadStatus::Stale, "{broken}");
        let loaded = |loaded: &almanac_core::snapshot::Loaded| loaded.status;
        assert!(
            snapshot
                .definitions
                .values()
                .all(|it| loaded(it) == LoadStatus::Loaded),
            "{broken}"
        );
        assert_eq!(snapshot.failed.len(), 1, "{broken}");
    }
    // It can be named anew meanwhile.
    folder.save("days.yaml", &calendar("12-32"));
    folder.save("three.yaml", &job("three", "{ calendar: days }"));
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    one: one (one.yaml)
    other: other (other.yaml)
    three: three (three.yaml)
    two: two (two.yaml)
    calendar days: * * * 25 12 * * (days.yaml, stale)
    invalid days (days.yaml): days.yaml:2:9: `dates`: the day `12-32` does not exist
    ");
    folder.save("days.yaml", &calendar("12-26"));
    changed(&registry).await;
    assert_snapshot!(exclusions(&registry), @r"
    one: * * * 26 12 * *
    other: * * * * 12 * *
    three: * * * 26 12 * *
    two: * * 1 * * * *; * * * 26 12 * *
    ");
}

#[tokio::test]
async fn removing_a_calendar_does_not_change_definitions_that_name_it() {
    let folder = folder();
    let registry = real_registry(&folder);
    changed(&registry).await;
    let whole = exclusions(&registry);
    folder.remove("days.yaml");
    // No revision moves; but what fails now may protect a schedule.
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_eq!(exclusions(&registry), whole);
    assert_snapshot!(shown(&registry), @r"
    one: one (one.yaml, stale)
    other: other (other.yaml)
    two: two (two.yaml, stale)
    invalid one (one.yaml): one.yaml:2:52: `schedule.exclude`: there is no calendar `days`
    invalid two (two.yaml): two.yaml:2:52: `schedule.exclude`: there is no calendar `days`
    archived calendar days (days.yaml)
    ");

    folder.save(
        "holidays.yaml",
        &calendar("12-25").replace("kind", "id: days\nkind"),
    );
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_eq!(exclusions(&registry), whole);
    assert_snapshot!(shown(&registry), @r"
    one: one (one.yaml)
    other: other (other.yaml)
    two: two (two.yaml)
    calendar days: * * * 25 12 * * (holidays.yaml)
    ");
}

#[tokio::test]
async fn after_a_restart_definitions_that_name_a_broken_calendar_are_invalid() {
    let folder = folder();
    folder.save("days.yaml", &calendar("12-32"));
    let registry = real_registry(&folder);
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    other: other (other.yaml)
    invalid days (days.yaml): days.yaml:2:9: `dates`: the day `12-32` does not exist
    invalid one (one.yaml): one.yaml:2:52: `schedule.exclude`: calendar `days` is invalid
    invalid two (two.yaml): two.yaml:2:52: `schedule.exclude`: calendar `days` is invalid
    ");
}

#[tokio::test]
async fn an_unknown_calendar_keeps_the_last_good_definition() {
    let folder = folder();
    let registry = real_registry(&folder);
    changed(&registry).await;
    folder.save("one.yaml", &job("changed", "{ calendar: day }"));
    // Another id as well: the file may stand for the definition it held.
    folder.save(
        "two.yaml",
        &format!("id: zwei\n{}", job("changed", "{ calendar: day }")),
    );
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    one: one (one.yaml, stale)
    other: other (other.yaml)
    two: two (two.yaml, stale)
    calendar days: * * * 25 12 * * (days.yaml)
    invalid one (one.yaml): one.yaml:2:52: `schedule.exclude`: there is no calendar `day`
    invalid zwei (two.yaml): two.yaml:3:52: `schedule.exclude`: there is no calendar `day`
    ");
}

#[tokio::test]
async fn calendars_with_one_id_are_all_invalid_and_a_definition_may_share_it() {
    let folder = folder();
    let registry = real_registry(&folder);
    changed(&registry).await;
    folder.write("copy/days.yaml", &calendar("01-01"));
    folder.save("other.yaml", &format!("id: days\n{}", job("other", "")));
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    days: other (other.yaml)
    one: one (one.yaml)
    two: two (two.yaml)
    calendar days: * * * 25 12 * * (days.yaml, stale)
    invalid days (copy/days.yaml): copy/days.yaml:1:1: id: `days` is also the id of another document: days.yaml:1
    invalid days (days.yaml): days.yaml:1:1: id: `days` is also the id of another document: copy/days.yaml:1
    archived other (other.yaml)
    ");
    assert!(
        registry
            .snapshot()
            .failed
            .iter()
            .all(|failed| failed.kind == Kind::Calendar)
    );
}

#[tokio::test]
async fn a_folder_that_vanishes_keeps_its_calendars() {
    let (jobs, days) = (folder(), Folder::new());
    jobs.remove("days.yaml");
    days.write("defs/days.yaml", &calendar("12-25"));
    let registry = Registry::new(vec![jobs.root(), days.path("defs")], Duration::ZERO);
    changed(&registry).await;
    fs::rename(days.path("defs"), days.path("away")).unwrap();
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    one: one (one.yaml)
    other: other (other.yaml)
    two: two (two.yaml)
    calendar days: * * * 25 12 * * (days.yaml, stale)
    incomplete: folder `FOLDER` is missing
    ");
}

#[tokio::test]
async fn a_calendar_that_becomes_a_definition_is_no_calendar_any_more() {
    let folder = Folder::with(&[("days.yaml", &calendar("12-25"))]);
    let registry = real_registry(&folder);
    changed(&registry).await;
    folder.save("days.yaml", &job("job", ""));
    registry.reload(ReadDepth::Changed).await.unwrap();
    assert_snapshot!(shown(&registry), @r"
    days: job (days.yaml)
    archived calendar days (days.yaml)
    ");
    assert_eq!(changed_counts(&registry).await, (1, 1, 0));
}

/// The definitions, those that are new, and those that went.
async fn changed_counts(registry: &Registry) -> (u64, u64, u64) {
    let counts = registry.changed().await.counts;
    (counts.total, counts.new, counts.archived)
}
