//! A prefix proves nothing: whose a schedule is, its own memo says.

use almanac_tests::{
    Project, Scheduler, Temporal, cron, json_payload, on_both_schedulers, unmanaged_schedule,
};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::Payload;

/// A schedule that somebody else made.
pub(crate) struct Unmanaged {
    id: String,
    conflict_token: Vec<u8>,
}

impl Unmanaged {
    pub(crate) async fn create(
        temporal: &Temporal,
        id: String,
        memo: &[(&str, Payload)],
    ) -> anyhow::Result<Self> {
        temporal
            .create(&id, unmanaged_schedule("@daily"), memo)
            .await?;
        let conflict_token = temporal.live(&id).await?.0.conflict_token;
        Ok(Self { id, conflict_token })
    }

    /// Asserts that it is as it was made.
    async fn is_untouched(&self, temporal: &Temporal) -> anyhow::Result<()> {
        let live = temporal.live(&self.id).await?;
        assert_eq!(
            live.starts().workflow_type.as_ref().unwrap().name,
            "Foreign",
            "{live}"
        );
        assert_eq!(live.times(), "0 0 1-31 1-12 0-6");
        assert_eq!(live.0.conflict_token, self.conflict_token, "{live}");
        Ok(())
    }
}

on_both_schedulers!(
    projects_whose_names_begin_alike_keep_their_schedules,
    an_unmanaged_schedule_with_a_wanted_id_is_a_conflict,
    unmanaged_schedules_with_the_prefix_of_the_project_are_left_alone,
    a_schedule_replaced_by_an_unmanaged_one_is_unmanaged,
);

/// Project `x` with id `b-y`, and project `x-b` with id `y`, meet in one
/// schedule id. It stays the first one's.
async fn projects_whose_names_begin_alike_keep_their_schedules(
    on: Scheduler,
) -> anyhow::Result<()> {
    let short = Project::new(on).await?;
    let long = Project::named(short.address(), &format!("{}-b", short.name())).await?;
    short.write("b-y.yaml", &cron("0 1 * * *"))?;
    short.write("own.yaml", &cron("0 2 * * *"))?;
    let short_worker = short.worker().start().await?;

    long.write("y.yaml", &cron("0 3 * * *"))?;
    long.write("z.yaml", &cron("0 4 * * *"))?;
    let long_worker = long.worker().start().await?;

    assert_eq!(short.schedule("b-y"), long.schedule("y"));
    let report = long_worker.sync().await?;
    assert_eq!(report.schedules.conflicts, 1, "{report:?}");
    let report = short_worker.sync().await?;
    assert_eq!(report.schedules.conflicts, 0, "{report:?}");
    assert_eq!(report.changes, []);

    let shared = short.temporal().live(&short.schedule("b-y")).await?;
    assert_eq!(shared.times(), "0 1 1-31 1-12 0-6");
    assert!(
        short
            .temporal()
            .describe(&long.schedule("z"))
            .await?
            .is_some()
    );

    // Gone from the one that has it, it is the other's to make.
    short.remove("b-y.yaml")?;
    short_worker.sync().await?;
    let report = long_worker.sync().await?;
    assert_eq!(
        (report.schedules.conflicts, report.schedules.created),
        (0, 1),
        "{report:?}"
    );
    let shared = short.temporal().live(&long.schedule("y")).await?;
    assert_eq!(shared.times(), "0 3 1-31 1-12 0-6");
    Ok(())
}

/// A schedule that somebody else made under our name is a conflict,
/// reported until it is solved.
async fn an_unmanaged_schedule_with_a_wanted_id_is_a_conflict(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let id = project.schedule("taken");
    let taken = Unmanaged::create(temporal, id.clone(), &[]).await?;
    project.write("taken.yaml", &cron("0 1 * * *"))?;
    project.write("free.yaml", &cron("0 2 * * *"))?;

    let worker = project.worker().start().await?;
    for _ in 0..3 {
        let report = worker.sync().await?;
        assert_eq!(report.schedules.conflicts, 1, "{report:?}");
        assert_eq!(report.changes, []);
    }
    taken.is_untouched(temporal).await?;
    assert!(
        temporal
            .describe(&project.schedule("free"))
            .await?
            .is_some()
    );
    let shown = worker.json("/api/v1/schedules/taken").await?;
    assert_eq!(shown["state"], "conflict", "{shown}");
    let log = worker.log()?;
    assert!(log.contains("an unmanaged schedule has this id"), "{log}");
    let shown = project.almanac(&["show", "taken"])?.success()?;
    assert!(shown.contains("conflict"), "{shown}");
    assert!(
        shown.contains("Almanac does not manage the schedule"),
        "{shown}"
    );
    for command in ["next", "trigger"] {
        let output = project.almanac(&[command, "taken"])?;
        assert_eq!(output.code, 1, "{output:?}");
        assert!(
            output.stderr.contains("is unmanaged and was not changed"),
            "{output:?}"
        );
    }

    // A definition that goes takes nothing of it along.
    project.remove("taken.yaml")?;
    worker.sync().await?;
    taken.is_untouched(temporal).await?;

    project.write("taken.yaml", &cron("0 1 * * *"))?;
    temporal.delete(&id).await?;
    let report = worker.sync().await?;
    assert_eq!(
        (report.schedules.conflicts, report.schedules.created),
        (0, 1),
        "{report:?}"
    );
    Ok(())
}

/// Unmanaged schedules with the project's prefix, whatever their memos hold, are left
/// alone and do not end the listing.
async fn unmanaged_schedules_with_the_prefix_of_the_project_are_left_alone(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let undecodable = Payload {
        metadata: [("encoding".to_owned(), b"binary/encrypted".to_vec())].into(),
        data: vec![0xff, 0xfe, 0x00],
        ..Default::default()
    };
    let broken_json = Payload {
        data: b"{\"project\": ".to_vec(),
        ..json_payload(&json!(1))
    };
    let empty = Payload::default();
    let memo = |definition: &str| {
        json_payload(&json!({"project": project.name(), "definition": definition}))
    };
    let cases: [(&str, Vec<(&str, Payload)>); 7] = [
        ("aa-undecodable", vec![("almanac", undecodable.clone())]),
        ("ab-broken", vec![("almanac", broken_json)]),
        ("ac-empty", vec![("almanac", empty)]),
        ("ad-another-key", vec![("secret", undecodable)]),
        ("ae-no-memo", vec![]),
        // A memo copied from a managed schedule proves nothing either.
        ("af-copied", vec![("almanac", memo("mine"))]),
        (
            "Ag-no-id-of-ours",
            vec![("almanac", memo("Ag-no-id-of-ours"))],
        ),
    ];
    let mut unmanaged = Vec::new();
    for (name, memo) in &cases {
        unmanaged.push(Unmanaged::create(temporal, project.schedule(name), memo).await?);
    }
    project.write("mine.yaml", &cron("0 1 * * *"))?;
    project.write("zz.yaml", &cron("0 1 * * *"))?;

    let worker = project.worker().start().await?;
    let report = worker.sync().await?;
    assert_eq!(report.errors, []);
    assert_eq!(
        (report.schedules.desired, report.schedules.unchanged),
        (2, 2),
        "{report:?}"
    );
    project.remove("zz.yaml")?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.deleted, 1, "{report:?}");
    for one in &unmanaged {
        one.is_untouched(temporal).await?;
    }
    Ok(())
}

/// Somebody deletes a managed schedule and creates an unmanaged one in its place
/// between two passes.
async fn a_schedule_replaced_by_an_unmanaged_one_is_unmanaged(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    project.write("mine.yaml", &cron("0 1 * * *"))?;
    project.write("other.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("mine");
    temporal.delete(&id).await?;
    let unmanaged = create_when_free(temporal, &id).await?;

    let report = worker.sync().await?;
    assert_eq!(report.schedules.conflicts, 1, "{report:?}");
    project.remove("mine.yaml")?;
    worker.sync().await?;
    unmanaged.is_untouched(temporal).await?;
    Ok(())
}

/// Creates an unmanaged schedule as soon as the server lets go of a deleted one.
async fn create_when_free(temporal: &Temporal, id: &str) -> anyhow::Result<Unmanaged> {
    almanac_tests::wait_for("the id to be free", almanac_tests::SOON, || async {
        Unmanaged::create(temporal, id.to_owned(), &[])
            .await
            .map(Some)
    })
    .await
}
