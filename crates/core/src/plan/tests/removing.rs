//! Removals: done, protected, held, confirmed.

use super::*;

fn many(count: usize) -> World {
    let mut world = World::new();
    for index in 0..count {
        world.write(&format!("job-{index:03}"), HOURLY);
    }
    world.pass();
    world
}

fn remove(world: &mut World, range: std::ops::Range<usize>) {
    for index in range {
        world.remove(&format!("job-{index:03}"));
    }
}

#[test]
fn a_schedule_without_its_definition_is_deleted() {
    let mut world = many(3);
    remove(&mut world, 0..1);
    assert_eq!(world.pass().deletes.len(), 1);
    assert_eq!(world.server.len(), 2);
}

#[test]
fn a_schedule_whose_definition_lost_its_schedule_block_is_deleted() {
    let mut world = many(3);
    world.write("job-000", "workflow: { type: Run, task_queue: q }\n");
    assert_eq!(world.pass().deletes.len(), 1);
}

#[test]
fn forty_of_a_hundred_are_held_until_their_digest_is_named() {
    let mut world = many(100);
    remove(&mut world, 0..40);
    let plan = world.plan();
    assert!(plan.deletes.is_empty());
    let held = plan.held.unwrap();
    assert_eq!(held.count, 40);
    let wrong = world.plan_confirming(Some("abc"));
    assert!(wrong.deletes.is_empty());
    assert_eq!(wrong.problems.len(), 1);
    assert_eq!(world.plan_confirming(Some(&held.digest)).deletes.len(), 40);
    // Another set has another digest.
    remove(&mut world, 40..41);
    assert!(world.plan_confirming(Some(&held.digest)).deletes.is_empty());
}

#[test]
fn nine_a_pass_are_held_once_ten_minutes_see_too_many() {
    let mut world = many(100);
    let mut removed = 0;
    for round in 0..3 {
        remove(&mut world, round * 9..(round + 1) * 9);
        world.recently_removed = removed;
        removed += world.pass().deletes.len() as u64;
    }
    assert_eq!(removed, 27);
    remove(&mut world, 27..36);
    world.recently_removed = removed;
    assert!(world.plan().held.is_some());
}

#[test]
fn nine_of_twenty_are_too_few_to_hold() {
    let mut world = many(20);
    remove(&mut world, 0..9);
    assert_eq!(world.pass().deletes.len(), 9);
}

#[test]
fn the_last_schedule_is_never_removed_unasked() {
    let mut world = many(1);
    remove(&mut world, 0..1);
    let held = world.plan().held.unwrap();
    assert_eq!(held.reason, "no schedule would be left");
    assert_eq!(world.plan_confirming(Some(&held.digest)).deletes.len(), 1);
}

#[test]
fn an_incomplete_view_removes_nothing_even_if_confirmed() {
    let mut world = many(3);
    remove(&mut world, 0..1);
    let digest = held_digest(&BTreeSet::from([&ScheduleId::from_server(
        "schedule-p-job-000",
    )]));
    world.snapshot.incomplete.push("root is missing".to_owned());
    assert!(world.plan_confirming(Some(&digest)).deletes.is_empty());
    world.snapshot.incomplete.clear();
    world.replicas_differ = true;
    assert!(world.plan_confirming(Some(&digest)).deletes.is_empty());
    world.replicas_differ = false;
    assert_eq!(world.plan().deletes.len(), 1);
}

#[test]
fn a_failing_document_protects_the_id_it_states() {
    let mut world = many(3);
    remove(&mut world, 0..2);
    world.fail("job-000.yaml", Some("job-000"));
    let plan = world.plan();
    assert_eq!(plan.deletes.len(), 1, "{plan}");
    assert_eq!(plan.deletes[0].definition, id("job-001"));
}

#[test]
fn a_failing_document_without_an_id_protects_the_definition_of_its_place() {
    let mut world = many(3);
    remove(&mut world, 0..2);
    world.fail("job-000.yaml:1", None);
    let plan = world.plan();
    assert_eq!(plan.deletes.len(), 1, "{plan}");
    assert_eq!(plan.deletes[0].definition, id("job-001"));
}

#[test]
fn a_failing_document_with_half_an_id_protects_the_definition_of_its_file() {
    let mut world = many(3);
    remove(&mut world, 0..2);
    world.fail("job-000.yaml", Some("job-0"));
    let plan = world.plan();
    assert_eq!(plan.deletes.len(), 1, "{plan}");
    assert_eq!(plan.deletes[0].definition, id("job-001"));
}

#[test]
fn several_failing_documents_of_a_file_protect_one_definition() {
    let mut world = many(3);
    remove(&mut world, 0..2);
    world.fail("job-000.yaml:1", None);
    world.fail("job-000.yaml:9", None);
    let plan = world.plan();
    assert_eq!(plan.deletes.len(), 1, "{plan}");
}

#[test]
fn a_failing_document_of_a_served_file_holds_no_other_removal() {
    let mut world = many(3);
    remove(&mut world, 0..1);
    world.fail("job-001.yaml", None);
    let plan = world.plan();
    assert_eq!(plan.deletes.len(), 1, "{plan}");
    assert_eq!(plan.deletes[0].definition, id("job-000"));
}

#[test]
fn a_failing_document_of_a_new_file_holds_all_removals() {
    let mut world = many(3);
    remove(&mut world, 0..2);
    world.fail("new.yaml", None);
    let plan = world.plan();
    assert!(plan.deletes.is_empty(), "{plan}");
    assert_eq!(plan.held.unwrap().digest, "", "no digest could confirm it");
}

#[test]
fn orphans_are_paused_where_that_is_the_policy_and_unpaused_on_return() {
    let mut world = many(2);
    world.orphans = OrphanPolicy::Pause;
    remove(&mut world, 0..1);
    let plan = world.pass();
    assert_eq!(plan.updates[0].op, Op::Pause);
    let orphan = ScheduleId::from_server("schedule-p-job-000");
    assert!(world.live(&orphan).values.paused);
    assert_eq!(world.plan().orphaned, vec![orphan.clone()]);
    world.write("job-000", HOURLY);
    world.pass();
    assert!(!world.live(&orphan).values.paused);
    assert!(world.live(&orphan).flags().is_empty());
}

#[test]
fn an_orphan_with_a_manual_pause_stays_paused_on_return() {
    let mut world = many(2);
    world.orphans = OrphanPolicy::Pause;
    let orphan = ScheduleId::from_server("schedule-p-job-000");
    world.live(&orphan).values.paused = true;
    remove(&mut world, 0..1);
    assert!(world.plan().is_empty());
    world.write("job-000", HOURLY);
    assert!(world.plan().is_empty());
}

#[test]
fn orphans_are_left_alone_where_that_is_the_policy() {
    let mut world = many(2);
    world.orphans = OrphanPolicy::Keep;
    remove(&mut world, 0..1);
    let plan = world.pass();
    assert_eq!(plan.orphaned.len(), 1);
    assert_eq!(world.server.len(), 2);
}
