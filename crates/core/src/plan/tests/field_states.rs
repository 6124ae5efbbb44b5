//! The values of fields side by side, and the one that counts.

use serde_json::json;

use super::*;
use crate::plan::{FieldState, Verdict, field_states};

/// The fields of `job` whose values do not agree.
fn differing(world: &mut World) -> Vec<(Field, Verdict)> {
    let all = states(world).into_iter();
    all.filter(|one| one.verdict != Verdict::Agrees)
        .map(|one| (one.field, one.verdict))
        .collect()
}

fn states(world: &mut World) -> Vec<FieldState> {
    let live = world.job().clone();
    let scheduled = scheduled(&world.project, &world.snapshot);
    let desired = scheduled[&id("job")].desired();
    field_states(&desired, &live, &world.policy(None)).unwrap()
}

fn state(world: &mut World, field: Field) -> FieldState {
    let mut all = states(world).into_iter();
    all.find(|one| one.field == field).unwrap()
}

#[test]
fn a_schedule_in_sync_has_the_same_values_everywhere() {
    let mut world = World::in_sync(HOURLY);
    let all = states(&mut world);
    assert_eq!(all.len(), Field::ALL.len());
    for one in all {
        assert_eq!(one.verdict, Verdict::Agrees, "{one:?}");
        assert_eq!(one.written.as_ref(), Some(&one.file), "{one:?}");
        assert_eq!(one.live, one.file, "{one:?}");
    }
}

#[test]
fn a_limit_of_actions_agrees_whatever_is_left_of_it() {
    let mut world = World::in_sync(&HOURLY.replace("cron:", "max_actions: 5, cron:"));
    world.job().remaining_actions = Some(3);
    let state = state(&mut world, Field::MaxActions);
    assert_eq!(state.verdict, Verdict::Agrees);
    assert_eq!((state.file, state.live), (json!(5), json!("3 left")));
}

#[test]
fn each_difference_says_which_value_counts() {
    let mut world = World::in_sync(HOURLY);
    world.job().values.overlap_policy = crate::definition::OverlapPolicy::AllowAll;
    let drifted = state(&mut world, Field::OverlapPolicy);
    assert_eq!(drifted.verdict, Verdict::Corrected);
    assert_eq!(drifted.written, Some(json!("skip")));
    assert_eq!(drifted.live, json!("allow_all"));
    world.drift = DriftPolicy::Report;
    let expected = [(Field::OverlapPolicy, Verdict::Drift)];
    assert_eq!(differing(&mut world), expected);

    world.drift = DriftPolicy::Correct;
    world.pass();
    world.write("job", &HOURLY.replace("cron:", "jitter: 5s, cron:"));
    let changed = state(&mut world, Field::Jitter);
    assert_eq!(changed.verdict, Verdict::Changed);
    assert_eq!(
        (changed.file, changed.written),
        (json!("5s"), Some(json!("0s")))
    );
    world.pass();
    assert_eq!(differing(&mut world), []);

    // A person's pause stays.
    world.set_paused_manually(true);
    assert_eq!(differing(&mut world), [(Field::Paused, Verdict::Kept)]);
    world.set_override(Override {
        cron: Some(vec!["5 5 * * *".to_owned()]),
        ..enabling(true)
    });
    let expected = [Field::Times, Field::Paused].map(|field| (field, Verdict::Overridden));
    let found = differing(&mut world);
    assert!(found.contains(&expected[0]), "{found:?}");
    let times = state(&mut world, Field::Times);
    assert_eq!(times.written, Some(times.file));
}

#[test]
fn a_value_of_which_only_a_digest_is_kept_is_not_known() {
    let mut world = World::in_sync(&HOURLY.replace("cron:", "jitter: 5s, cron:"));
    world.job().values.spec.jitter = std::time::Duration::from_secs(7);
    world.write("job", &HOURLY.replace("cron:", "jitter: 9s, cron:"));
    let state = state(&mut world, Field::Jitter);
    assert_eq!((state.written, state.verdict), (None, Verdict::Changed));
}
