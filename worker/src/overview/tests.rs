use std::collections::BTreeSet;

use almanac_activities::schedules::view::ListedTimes;
use almanac_core::definition::{Diagnostic, ParseContext, parse_file};
use almanac_core::field::Field;
use almanac_core::record::ReportError;
use almanac_core::snapshot::FailedDocument;

use super::*;

const TIMES: &str = "schedule: { cron: '0 3 * * *' }\nworkflow: { type: T, task_queue: q }\n";
const NO_TIMES: &str = "workflow: { type: T, task_queue: q }\n";

fn project() -> Project {
    "p".parse().unwrap()
}

fn loaded(id: &str, yaml: &str, status: LoadStatus) -> (DefinitionId, Loaded) {
    let source = format!("{id}.yaml");
    let now = Timestamp::UNIX_EPOCH;
    let documents = parse_file(&source, yaml.as_bytes(), &ParseContext { now });
    let definition = Arc::clone(documents[0].definition().unwrap());
    let loaded = Loaded {
        definition,
        source,
        status,
    };
    (id.parse().unwrap(), loaded)
}

fn failed(source: &str, id: Option<&str>) -> FailedDocument {
    FailedDocument {
        source: source.to_owned(),
        id: id.map(|id| id.parse().unwrap()),
        kind: Kind::Workflow,
        errors: vec![Diagnostic::error(source, 1, 1, "bad")],
    }
}

fn view(id: &str, conditions: &[ScheduleState]) -> ScheduleView {
    let definition: DefinitionId = id.parse().unwrap();
    let conditions: BTreeSet<_> = conditions.iter().copied().collect();
    ScheduleView {
        id: project().schedule_id(&definition),
        definition,
        source: None,
        description: None,
        labels: Labels::default(),
        state: conditions.first().copied().unwrap_or(ScheduleState::Active),
        paused: conditions.contains(&ScheduleState::Paused),
        paused_by: None,
        conditions,
        unknown: BTreeSet::new(),
        note: String::new(),
        reason: None,
        by: None,
        overridden: None,
        summary: "03:00 daily".to_owned(),
        cron: Vec::new(),
        every: Vec::new(),
        timezone: "UTC".to_owned(),
        workflow_type: "T".to_owned(),
        next_run: None,
        next_runs: Vec::new(),
        last_run: None,
        missed: None,
        overdue: None,
        overdue_since: None,
        remaining_actions: None,
        drift: None,
    }
}

fn listed(view: ScheduleView) -> Arc<ListedSchedule> {
    let times = ListedTimes {
        spec: Arc::default(),
        is_whole: true,
        after: None,
        server_times: 0,
        is_managed: true,
        is_marked: true,
        digest: 0,
    };
    Arc::new(ListedSchedule { view, times })
}

/// The ids of the rows in their order, each with its conditions.
fn rows(overview: &Overview) -> Vec<(String, Vec<Condition>)> {
    let rows = overview.rows.iter();
    rows.map(|row| {
        let id = row.id.as_ref().map(ToString::to_string);
        (id.unwrap_or_default(), row.conditions.iter().collect())
    })
    .collect()
}

fn row(id: &str, conditions: &[Condition]) -> (String, Vec<Condition>) {
    (id.to_owned(), conditions.to_vec())
}

#[test]
fn definitions_and_schedules_are_joined_and_the_worst_are_first() {
    let snapshot = Snapshot {
        definitions: [
            loaded("good", TIMES, LoadStatus::Loaded),
            loaded("sooner", TIMES, LoadStatus::Loaded),
            loaded("stale", TIMES, LoadStatus::Stale),
            loaded("new", TIMES, LoadStatus::Loaded),
            loaded("refused", TIMES, LoadStatus::Loaded),
            loaded("by-hand", NO_TIMES, LoadStatus::Loaded),
        ]
        .into(),
        failed: vec![
            failed("stale.yaml", Some("stale")),
            failed("broken.yaml", Some("broken")),
            failed("nameless.yaml", None),
            failed("earlier.yaml", Some("earlier")),
        ],
        ..Snapshot::default()
    };
    let at = |second| Timestamp::from_second(second).ok();
    let schedules = vec![
        ScheduleView {
            next_run: at(100),
            ..view("good", &[])
        },
        ScheduleView {
            next_run: at(50),
            ..view("sooner", &[])
        },
        view("stale", &[ScheduleState::Overridden]),
        view("earlier", &[]),
        view("gone", &[ScheduleState::Held]),
    ];
    let report = Report {
        unreadable: Some(Vec::new()),
        errors: vec![
            ReportError {
                source: "temporal".to_owned(),
                id: Some("refused".to_owned()),
                message: "too many".to_owned(),
            },
            ReportError {
                source: "override".to_owned(),
                id: Some("good".to_owned()),
                message: "bad cron".to_owned(),
            },
        ],
        ..Report::default()
    };
    let status = Status {
        reports: vec![report],
        ..Status::default()
    };
    let snapshot = Arc::new(snapshot);
    let schedules: Arc<Vec<_>> = Arc::new(schedules.into_iter().map(listed).collect());
    let overview = Overview::new(
        &project(),
        Arc::clone(&snapshot),
        Some(Arc::clone(&schedules)),
        Some(&status),
    );
    assert_eq!(
        rows(&overview),
        [
            row("broken", &[Condition::Broken]),
            row("", &[Condition::Broken]),
            row("earlier", &[Condition::Stale]),
            row("stale", &[Condition::Stale, Condition::Overridden]),
            row("refused", &[Condition::Failed]),
            row("gone", &[Condition::Held]),
            row("new", &[Condition::Waiting]),
            row("by-hand", &[Condition::OnDemand]),
            row("sooner", &[Condition::InSync]),
            row("good", &[Condition::InSync]),
        ]
    );
    assert_eq!(
        overview.failure(overview.row("refused").unwrap()),
        Some("too many")
    );
    assert_eq!(overview.queue(overview.row("good").unwrap()), Some("q"));
    assert_eq!(overview.queue(overview.row("gone").unwrap()), None);
    assert!(overview.is_of(&snapshot, Some(&schedules)));
    assert!(!overview.is_of(&snapshot, None));
    assert!(!overview.is_of(&Arc::default(), Some(&schedules)));
}

#[test]
fn the_conditions_of_a_schedule_say_who_paused_it() {
    let of = |view: ScheduleView| {
        let mut found = Conditions::default();
        add_conditions(&view, &mut found);
        found.iter().collect::<Vec<_>>()
    };
    let paused = |by| ScheduleView {
        paused_by: by,
        ..view("a", &[ScheduleState::Paused])
    };
    for (by, expected) in [
        (Some(PausedBy::Failure), Condition::PausedByFailure),
        (Some(PausedBy::Yaml), Condition::Disabled),
        (Some(PausedBy::Hand), Condition::Paused),
        (Some(PausedBy::Override), Condition::Paused),
        (None, Condition::Paused),
    ] {
        assert_eq!(of(paused(by)), [expected]);
    }
    let finished = view("a", &[ScheduleState::Finished, ScheduleState::Paused]);
    assert_eq!(of(finished), [Condition::Finished]);
    let held = view("a", &[ScheduleState::Held, ScheduleState::Orphaned]);
    assert_eq!(of(held), [Condition::Held]);
    let late = ScheduleView {
        overdue: Some(true),
        drift: Some([Field::Jitter].into()),
        ..view("a", &[])
    };
    assert_eq!(of(late), [Condition::Overdue, Condition::Drift]);
    let unknown = ScheduleView {
        overdue: Some(false),
        drift: Some(BTreeSet::new()),
        ..view("a", &[ScheduleState::Active])
    };
    assert_eq!(of(unknown), []);
}

#[test]
fn without_temporal_only_documents_have_conditions() {
    let snapshot = Snapshot {
        definitions: [
            loaded("good", TIMES, LoadStatus::Loaded),
            loaded("stale", TIMES, LoadStatus::Stale),
        ]
        .into(),
        ..Snapshot::default()
    };
    let overview = Overview::new(&project(), Arc::new(snapshot), None, None);
    assert!(!overview.has_schedules());
    let expected = [
        row("stale", &[Condition::Stale]),
        row("good", &[Condition::Unknown]),
    ];
    assert_eq!(rows(&overview), expected);
}
