//! A schedule that cannot be described is neither absent nor in sync, and
//! changes nothing about the others.

use super::*;

impl World {
    /// The server does not describe a definition's schedule any more.
    fn breaks(&mut self, name: &str) {
        self.observe_broken(name, Some("Run"));
    }

    fn observe_broken(&mut self, name: &str, listed_type: Option<&str>) {
        let unreadable = Unreadable {
            definition: id(name),
            reason: "the server failed: Internal: broken".to_owned(),
            listed_type: listed_type.map(str::to_owned),
        };
        let schedule = self.project.schedule_id(&id(name));
        self.server
            .insert(schedule, KnownSchedule::Unreadable(unreadable));
    }
}

/// The definitions that a plan's problems name.
fn named(plan: &Plan) -> Vec<&str> {
    let problems = plan.problems.iter();
    problems
        .filter(|one| one.source == "temporal")
        .filter_map(|one| one.id.as_deref())
        .collect()
}

fn deleted(plan: &Plan) -> Vec<&str> {
    let deletes = plan.deletes.iter();
    deletes.map(|one| one.definition.as_str()).collect()
}

/// `count` definitions `d00`, `d01`, … and their schedules as created.
fn many(count: usize) -> World {
    let mut world = World::new();
    for number in 0..count {
        world.write(&format!("d{number:02}"), HOURLY);
    }
    world.pass();
    world
}

const EDITED: &str = "schedule: { cron: '5 * * * *' }\nworkflow: { type: Run, task_queue: q }\n";
const OTHER: &str = "schedule: { cron: '0 * * * *' }\nworkflow: { type: Other, task_queue: q }\n";

#[test]
fn an_unreadable_schedule_is_reported_and_the_others_are_created_changed_and_deleted() {
    let mut world = many(4);
    world.breaks("d00");
    world.write("d00", EDITED);
    world.write("d01", EDITED);
    world.write("new", HOURLY);
    world.remove("d02");
    let plan = world.pass();
    assert_eq!(named(&plan), ["d00"]);
    assert_eq!(plan.unreadable, [ScheduleId::from_server("schedule-p-d00")]);
    assert!(plan.problems[0].message.contains("Internal: broken"));
    let created: Vec<_> = plan
        .creates
        .iter()
        .map(|one| one.definition().as_str())
        .collect();
    assert_eq!(created, ["new"]);
    assert_eq!(plan.updates.len(), 1);
    assert_eq!(plan.updates[0].definition, id("d01"));
    assert_eq!(deleted(&plan), ["d02"]);
    assert_eq!((plan.desired, plan.unchanged), (4, 1));
}

#[test]
fn an_unreadable_schedule_that_is_not_listed_is_not_created() {
    let mut world = World::in_sync(HOURLY);
    world.observe_broken("job", None);
    let plan = world.plan();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(named(&plan), ["job"]);
}

#[test]
fn an_orphaned_unreadable_schedule_is_deleted_if_the_list_shows_its_owner() {
    let mut world = many(3);
    world.breaks("d00");
    world.remove("d00");
    let plan = world.plan();
    assert_eq!(deleted(&plan), ["d00"]);
    assert_eq!(named(&plan), [""; 0]);

    world.observe_broken("d00", None);
    let plan = world.plan();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(named(&plan), ["d00"]);
    assert_eq!(plan.orphaned.len(), 1);
}

#[test]
fn an_unreadable_schedule_that_may_have_been_renamed_is_deleted_after_the_new_one_exists() {
    let mut world = many(3);
    world.breaks("d00");
    world.remove("d00");
    world.write("renamed", HOURLY);
    let plan = world.plan();
    assert_eq!((plan.creates.len(), deleted(&plan).len()), (1, 0), "{plan}");
    assert!(plan.problems[0].message.contains("`renamed`"), "{plan}");
    world.apply(&plan);
    assert_eq!(deleted(&world.plan()), ["d00"]);

    // A schedule of another workflow is no new name of it.
    world.write("other", OTHER);
    let plan = world.plan();
    assert_eq!((plan.creates.len(), deleted(&plan)), (1, vec!["d00"]));
}

#[test]
fn an_unreadable_schedule_is_kept_for_the_same_reasons_as_a_described_one() {
    let mut world = many(3);
    world.breaks("d00");
    world.remove("d00");
    // Its memo might name the failing document's file.
    world.fail("any.yaml", Some("another"));
    assert!(world.plan().is_empty());
    world.snapshot.failed.clear();

    world.snapshot.incomplete.push("root is missing".to_owned());
    let plan = world.plan();
    assert_eq!(deleted(&plan), [""; 0]);
    let held = plan.held.unwrap();
    assert_eq!((held.count, held.digest.as_str()), (1, ""));
    world.snapshot.incomplete.clear();

    for orphans in [OrphanPolicy::Pause, OrphanPolicy::Keep] {
        world.orphans = orphans;
        let plan = world.plan();
        assert!(plan.is_empty(), "{plan}");
        assert_eq!((named(&plan), plan.orphaned.len()), (vec!["d00"], 1));
    }
}

#[test]
fn an_unreadable_schedule_counts_for_the_limit_of_removals() {
    // Ten of forty: not too many, whether the others can be described or not.
    let mut world = many(40);
    for number in 0..10 {
        world.remove(&format!("d{number:02}"));
    }
    for number in 10..40 {
        world.breaks(&format!("d{number:02}"));
    }
    let plan = world.plan();
    assert_eq!((plan.deletes.len(), plan.held), (10, None));

    // All of them: held, by the same digest as if each could be described.
    let mut readable = many(12);
    let mut broken = many(12);
    for number in 0..12 {
        readable.remove(&format!("d{number:02}"));
        broken.remove(&format!("d{number:02}"));
        broken.breaks(&format!("d{number:02}"));
    }
    let held = readable.plan().held.unwrap();
    assert_eq!(broken.plan().held, Some(held.clone()));
    let plan = broken.plan_confirming(Some(&held.digest));
    assert_eq!(plan.deletes.len(), 12, "{plan}");
}

#[test]
fn an_override_that_is_asked_for_is_answered_with_its_problem() {
    let mut world = World::in_sync(HOURLY);
    world.breaks("job");
    world.requests.insert(id("job"), request());
    let plan = world.plan();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(named(&plan), ["job"]);
}
