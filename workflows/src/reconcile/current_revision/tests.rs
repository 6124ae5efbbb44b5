use std::time::Duration;

use almanac_core::record::{DefinitionCounts, DriftPolicy, OrphanPolicy};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn revision(text: &str) -> Revision {
    serde_json::from_value(text.into()).unwrap()
}

fn announcement_of(
    worker: &str,
    event: WorkerEvent,
    previous: Option<&str>,
    holds: &str,
) -> Announcement {
    Announcement {
        worker: WorkerId::new(worker),
        number: 0,
        event,
        previous: previous.map(revision),
        revision: revision(holds),
        options: Options::default(),
        version: "0.1.0".to_owned(),
        changed: None,
        definitions: DefinitionCounts::default(),
        event_types: DefinitionCounts::default(),
    }
}

fn started(worker: &str, holds: &str) -> Announcement {
    announcement_of(worker, WorkerEvent::Started, None, holds)
}

fn changed(worker: &str, previous: &str, holds: &str) -> Announcement {
    announcement_of(worker, WorkerEvent::Changed, Some(previous), holds)
}

fn stopping(worker: &str) -> Announcement {
    announcement_of(worker, WorkerEvent::Stopping, None, "")
}

/// Announcements a second apart, each with the effect and the current revision that must follow.
#[track_caller]
fn check(story: &[(Announcement, RevisionChange, &str)]) -> State {
    let mut state = State::default();
    for (second, (announcement, effect, current)) in story.iter().enumerate() {
        let got = take_announcement(&mut state, announcement, at(i64::try_from(second).unwrap()));
        let now = state
            .revision
            .as_ref()
            .map_or("", |revision| revision.as_str());
        assert_eq!((got, now), (*effect, *current), "after {announcement:?}");
    }
    state
}

use RevisionChange::{Edited, Moved, Stayed};

#[test]
fn an_edit_of_the_current_revision_wins_at_once() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (changed("a", "1", "2"), Edited, "2"),
    ]);
}

#[test]
fn an_edit_back_to_an_earlier_revision_wins_too() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (changed("a", "2", "1"), Edited, "1"),
    ]);
}

#[test]
fn a_replica_that_reloads_later_changes_nothing() {
    let state = check(&[
        (started("a", "1"), Moved, "1"),
        (started("b", "1"), Stayed, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (changed("b", "1", "2"), Stayed, "2"),
    ]);
    assert!(!differ(&state));
}

#[test]
fn a_replica_that_goes_through_a_half_copied_folder_changes_nothing() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (started("b", "1"), Stayed, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (changed("b", "1", "half"), Stayed, "2"),
        (changed("b", "half", "2"), Stayed, "2"),
    ]);
}

#[test]
fn an_unseen_revision_wins_at_a_start() {
    check(&[
        (started("old", "1"), Moved, "1"),
        (started("new", "2"), Moved, "2"),
        (stopping("old"), Stayed, "2"),
    ]);
}

#[test]
fn a_replica_restarted_with_stale_files_does_not_win() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (started("b", "1"), Stayed, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (stopping("b"), Stayed, "2"),
        (started("b2", "1"), Stayed, "2"),
    ]);
}

#[test]
fn a_rollback_wins_when_the_last_holder_stops() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (started("b", "1"), Stayed, "2"),
        (stopping("a"), Moved, "1"),
    ]);
}

#[test]
fn a_rollback_wins_when_the_last_holder_is_dropped() {
    let mut state = check(&[
        (started("a", "1"), Moved, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (started("b", "1"), Stayed, "2"),
    ]);
    assert_eq!(remove(&mut state, &WorkerId::new("a")), Moved);
    assert_eq!(pick(&state), Some(WorkerId::new("b")));
}

#[test]
fn a_rollback_of_the_only_worker_wins() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (stopping("a"), Stayed, "2"),
        (started("b", "1"), Moved, "1"),
    ]);
}

#[test]
fn the_revision_of_the_worker_that_answered_last_wins() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (started("b", "1"), Stayed, "2"),
        (changed("b", "1", "3"), Stayed, "2"),
        (started("c", "1"), Stayed, "2"),
        (stopping("a"), Moved, "1"),
    ]);
}

#[test]
fn an_announcement_that_comes_twice_changes_nothing() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (started("b", "1"), Stayed, "1"),
        (changed("a", "1", "2"), Edited, "2"),
        (changed("b", "1", "2"), Stayed, "2"),
        (changed("b", "2", "1"), Edited, "1"),
        (changed("a", "1", "2"), Stayed, "1"),
    ]);
}

#[test]
fn an_edit_wins_when_an_announcement_in_between_was_lost() {
    check(&[
        (started("a", "1"), Moved, "1"),
        (started("b", "1"), Stayed, "1"),
        (changed("a", "2", "3"), Moved, "3"),
    ]);
}

#[test]
fn a_refusal_makes_the_revision_that_it_names_current() {
    let mut state = check(&[
        (started("a", "1"), Moved, "1"),
        (started("b", "1"), Stayed, "1"),
    ]);
    let effect = refused(&mut state, &WorkerId::new("a"), &revision("2"), at(9));
    assert_eq!(effect, Moved);
    assert_eq!(state.revision, Some(revision("2")));
    // The announcement itself comes afterwards.
    assert_eq!(
        take_announcement(&mut state, &changed("a", "1", "2"), at(10)),
        Stayed
    );
    // One that stopped meanwhile does not come back by its refusal.
    let effect = refused(&mut state, &WorkerId::new("gone"), &revision("1"), at(11));
    assert_eq!(
        (effect, state.workers.contains_key(&WorkerId::new("gone"))),
        (Stayed, false)
    );
}

#[test]
fn passes_go_to_the_holder_that_answered_last() {
    let state = check(&[
        (started("b", "1"), Moved, "1"),
        (started("a", "1"), Stayed, "1"),
    ]);
    assert_eq!(pick(&state), Some(WorkerId::new("a")));
    let mut heard = state;
    answered(&mut heard, &WorkerId::new("b"), at(100));
    assert_eq!(pick(&heard), Some(WorkerId::new("b")));
    assert_eq!(pick(&State::default()), None);
}

#[test]
fn the_safest_of_differing_options_wins() {
    let mut state = State::default();
    let with = |worker: &str, reconcile, resync, drift, orphans| Announcement {
        options: Options {
            reconcile_interval: Duration::from_mins(reconcile),
            resync_interval: Duration::from_mins(resync),
            drift,
            orphans,
        },
        ..started(worker, "1")
    };
    take_announcement(
        &mut state,
        &with("a", 1, 15, DriftPolicy::Report, OrphanPolicy::Delete),
        at(0),
    );
    take_announcement(
        &mut state,
        &with("b", 5, 10, DriftPolicy::Correct, OrphanPolicy::Pause),
        at(1),
    );
    let expected = Options {
        reconcile_interval: Duration::from_mins(1),
        resync_interval: Duration::from_mins(10),
        drift: DriftPolicy::Report,
        orphans: OrphanPolicy::Pause,
    };
    assert_eq!(options(&state), expected);
    take_announcement(
        &mut state,
        &with("c", 5, 15, DriftPolicy::Correct, OrphanPolicy::Keep),
        at(2),
    );
    assert_eq!(options(&state).orphans, OrphanPolicy::Keep);
    assert_eq!(options(&State::default()), Options::default());
}

#[test]
fn the_workers_and_the_seen_revisions_are_bounded() {
    let mut state = State::default();
    for n in 0..500 {
        take_announcement(
            &mut state,
            &started(&format!("w{n}"), &format!("r{n}")),
            at(n),
        );
    }
    assert_eq!(state.workers.len(), WORKERS_KEPT);
    assert_eq!(state.seen.len(), almanac_core::record::REVISIONS_KEPT);
    assert!(state.workers.contains_key(&WorkerId::new("w499")));
    assert_eq!(state.revision, Some(revision("r499")));
}

fn any_announcement() -> impl Strategy<Value = Announcement> {
    (0..4u8, 0..3u8, proptest::option::of(0..4u8), 0..4u8).prop_map(
        |(worker, event, previous, holds)| {
            let event = match event {
                0 => WorkerEvent::Started,
                1 => WorkerEvent::Changed,
                _ => WorkerEvent::Stopping,
            };
            let previous = previous.map(|p| p.to_string());
            announcement_of(
                &worker.to_string(),
                event,
                previous.as_deref(),
                &holds.to_string(),
            )
        },
    )
}

proptest! {
    /// While anyone lives, somebody can do a pass.
    #[test]
    fn the_current_revision_is_held_by_a_live_worker(
        story in proptest::collection::vec(any_announcement(), 0..60)
    ) {
        let mut state = State::default();
        for (second, announcement) in story.iter().enumerate() {
            take_announcement(&mut state, announcement, at(i64::try_from(second).unwrap()));
            prop_assert_eq!(pick(&state).is_some(), !state.workers.is_empty());
        }
    }

    /// Replicas that hold different revisions, and say so again and again in
    /// whatever way and order, do not take turns.
    #[test]
    fn replicas_that_repeat_themselves_do_not_flip_flop(
        story in proptest::collection::vec(any_announcement(), 1..40),
        repeats in proptest::collection::vec((0..4u8, any::<bool>(), proptest::option::of(0..4u8)), 0..40),
    ) {
        let mut state = State::default();
        for announcement in &story {
            take_announcement(&mut state, announcement, at(0));
        }
        let settled = state.revision.clone();
        for (second, (worker, start, previous)) in repeats.iter().enumerate() {
            let id = worker.to_string();
            let Some(known) = state.workers.get(&WorkerId::new(id.as_str())) else { continue };
            let holds = known.revision.to_string();
            let event = if *start { WorkerEvent::Started } else { WorkerEvent::Changed };
            let previous = previous.map(|p| p.to_string());
            let announcement = announcement_of(&id, event, previous.as_deref(), &holds);
            let effect = take_announcement(&mut state, &announcement, at(i64::try_from(second).unwrap()));
            prop_assert_eq!(effect, Stayed);
            prop_assert_eq!(&state.revision, &settled);
        }
    }

    /// Two replicas see the same edits at different moments: the current
    /// revision goes the way of the edits and never back.
    #[test]
    fn replicas_that_follow_the_same_edits_never_go_back(
        order in proptest::collection::vec(any::<bool>(), 0..40)
    ) {
        let mut state = State::default();
        take_announcement(&mut state, &started("a", "0"), at(0));
        take_announcement(&mut state, &started("b", "0"), at(0));
        let (mut a, mut b, mut highest) = (0, 0, 0);
        for first in order {
            let (worker, holds) = if first { ("a", &mut a) } else { ("b", &mut b) };
            *holds += 1;
            let announcement = changed(worker, &(*holds - 1).to_string(), &holds.to_string());
            take_announcement(&mut state, &announcement, at(i64::from(*holds)));
            highest = highest.max(*holds);
            prop_assert_eq!(state.revision.as_ref().unwrap().as_str(), highest.to_string());
        }
    }
}
