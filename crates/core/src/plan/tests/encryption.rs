//! Changes of the encryption of payloads: planned like any other change.

use super::*;
use crate::schedule::Encryption;

const ECHO: &str =
    "schedule: { cron: '0 * * * *' }\nworkflow: { type: Run, task_queue: q, args: [{ a: 1 }] }\n";
const STEPS: &str = "schedule: { cron: '0 * * * *' }\ndo: [a: { set: { b: 1 } }]\n";
const BARE: &str = "schedule: { cron: '0 * * * *' }\nworkflow: { type: Run, task_queue: q }\n";

fn key(id: &str) -> Encryption {
    Encryption::Key(id.into())
}

/// The values of the field `action.encryption` that the text of a plan shows.
fn shown(plan: &Plan) -> FieldValue {
    let fields = plan.text().blocks.remove(0).fields;
    let of_action = |field: &FieldText| field.name == "action.encryption";
    fields.into_iter().find(of_action).unwrap().value
}

fn change(before: &str, after: &str) -> FieldValue {
    FieldValue::Changes(Difference::Values {
        before: before.to_owned(),
        after: after.to_owned(),
    })
}

#[test]
fn each_change_of_the_encryption_is_an_update_and_the_only_one() {
    let mut world = World::in_sync(ECHO);
    let (a, b) = ("\"aes-256-gcm, key a\"", "\"aes-256-gcm, key b\"");
    for (encryption, expected) in [
        (key("a"), change("none", a)),
        (key("b"), change(a, b)),
        (Encryption::Remote, change(b, "remote")),
        (Encryption::None, change("remote", "none")),
    ] {
        world.snapshot.encryption = encryption.clone();
        let plan = world.pass();
        assert_eq!(causes(&plan), [(Field::Action, Cause::Encryption)]);
        assert_eq!(shown(&plan), expected);
        let heading = &plan.text().blocks[0].heading;
        assert_eq!(heading, " will be updated: its encryption changes");
        assert_eq!(plan.updates[0].reason, "encryption changed");
        assert_eq!(world.job().values.action.encryption, encryption);
    }
}

#[test]
fn a_created_schedule_shows_its_encryption() {
    for yaml in [ECHO, STEPS] {
        let mut world = World::new();
        world.snapshot.encryption = key("a");
        world.write("job", yaml);
        let expected = FieldValue::Is("\"aes-256-gcm, key a\"".to_owned());
        assert_eq!(shown(&world.pass()), expected);
    }
}

#[test]
fn a_schedule_without_payloads_is_not_written_for_a_key() {
    let mut world = World::in_sync(BARE);
    world.snapshot.encryption = key("a");
    assert!(world.plan().is_empty(), "{}", world.plan());
}

#[test]
fn a_changed_definition_and_a_changed_key_are_both_named() {
    let mut world = World::in_sync(ECHO);
    world.snapshot.encryption = key("a");
    world.write("job", &ECHO.replace("a: 1", "a: 2"));
    let plan = world.pass();
    let expected = [
        (Field::Input, Cause::Definition),
        (Field::Action, Cause::Encryption),
    ];
    assert_eq!(causes(&plan), expected);
}

#[test]
fn an_input_that_someone_replaced_without_encryption_is_drift() {
    let mut world = World::new();
    world.snapshot.encryption = key("a");
    world.write("job", ECHO);
    world.pass();
    world.job().values.action.encryption = Encryption::None;
    let plan = world.pass();
    assert_eq!(causes(&plan), [(Field::Action, Cause::Drift)]);
    assert_eq!(world.job().values.action.encryption, key("a"));
}
