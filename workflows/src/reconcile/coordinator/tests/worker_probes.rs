//! Announcements that anyone can send, and workers that died.

use almanac_core::record::{DriftPolicy, OrphanPolicy};

use super::*;

/// The announcement of a worker of this release, as its own queue answers it.
fn numbered(number: u64, announcement: Announcement) -> Announcement {
    Announcement {
        number,
        ..announcement
    }
}

fn answering(announcements: Vec<Announcement>) -> Attempt {
    Attempt::Done(Box::new(PassDone {
        announcements: Some(announcements),
        ..PassDone::default()
    }))
}

#[track_caller]
fn ask(machine: &mut Coordinator) -> (WorkerId, PassInput) {
    machine.next_probe(false).expect("a worker is to be asked")
}

/// A coordinator that asked worker `a` of this release, and did its first pass.
fn proved() -> Coordinator {
    let mut machine = fresh();
    let announcement = numbered(1, started("a", "1"));
    machine.receive_announcement(&announcement);
    assert_eq!(machine.next(), Next::Wait(None), "nothing is proved yet");
    let (worker, input) = ask(&mut machine);
    assert_eq!((input.pass, input.heard), (0, 0));
    machine.answer(&worker, &input, answering(vec![announcement]));
    let (_, input) = run(&mut machine);
    assert_eq!(input.heard, 1);
    machine.ended(&input, answering(Vec::new()));
    machine
}

fn workers(machine: &Coordinator) -> Vec<String> {
    let workers = machine.status().workers;
    workers.keys().map(ToString::to_string).collect()
}

fn with(options: Options, announcement: Announcement) -> Announcement {
    Announcement {
        options,
        ..announcement
    }
}

fn hostile() -> Options {
    Options {
        reconcile_interval: Duration::from_secs(1),
        resync_interval: Duration::from_secs(1),
        drift: DriftPolicy::Report,
        orphans: OrphanPolicy::Keep,
    }
}

#[test]
fn an_announcement_in_a_made_up_name_decides_nothing() {
    let mut machine = proved();
    let before = machine.carried();
    machine.receive_announcement(&with(hostile(), started("forged", "9")));
    assert_eq!(machine.next(), Next::Wait(Some(at(300))));
    let (worker, input) = ask(&mut machine);
    assert_eq!(worker, WorkerId::new("forged"));
    assert!(machine.status().announced.contains_key(&worker));
    machine.answer(&worker, &input, Attempt::NotStarted);
    assert_eq!(machine.carried(), before);
    assert_eq!(machine.next(), Next::Wait(Some(at(300))));
}

#[test]
fn a_forged_announcement_is_replaced_by_the_answer_of_its_worker() {
    let mut machine = proved();
    let before = machine.carried();
    for forged in [
        with(hostile(), started("a", "1")),
        with(
            hostile(),
            announcement_of("a", WorkerEvent::Changed, None, "7"),
        ),
        numbered(u64::MAX, stopping("a")),
        Announcement {
            version: "99".to_owned(),
            ..started("a", "0")
        },
    ] {
        machine.receive_announcement(&forged);
        assert_eq!(machine.next(), Next::Wait(Some(at(300))), "{forged:?}");
        let (worker, input) = ask(&mut machine);
        assert_eq!(input.heard, 1);
        let attempt = if input.revision == revision("1") {
            answering(Vec::new())
        } else {
            Attempt::Refused(revision("1"), Some(Vec::new()))
        };
        machine.answer(&worker, &input, attempt);
        assert_eq!(machine.carried(), before, "{forged:?}");
    }
}

/// Two forged announcements would make a stale replica's files current, were
/// they believed.
#[test]
fn a_stale_replica_is_not_made_current_in_its_name() {
    let mut machine = proved();
    let stale = numbered(1, started("b", "0"));
    machine.receive_announcement(&stale);
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, answering(vec![stale]));
    // Its files are new to everybody: the start of a worker with them counts.
    assert_eq!(machine.status().revision, Some(revision("0")));
    let edit = numbered(2, edited("a", "1", "2", &["x"]));
    machine.receive_announcement(&edit);
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, answering(vec![edit.clone()]));
    assert_eq!(machine.status().revision, Some(revision("0")));
    machine.announce(&numbered(2, stopping("b")));
    assert_eq!(machine.status().revision, Some(revision("2")));
    let stale = numbered(1, started("c", "1"));
    machine.receive_announcement(&stale);
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, answering(vec![stale]));
    assert_eq!(machine.status().revision, Some(revision("2")));
    for forged in [
        announcement_of("c", WorkerEvent::Changed, Some("1"), "5"),
        announcement_of("c", WorkerEvent::Changed, Some("2"), "1"),
    ] {
        machine.receive_announcement(&forged);
        let (worker, input) = ask(&mut machine);
        let holds = Attempt::Refused(revision("1"), Some(Vec::new()));
        machine.answer(&worker, &input, holds);
        assert_eq!(machine.status().revision, Some(revision("2")));
    }
}

#[test]
fn an_edit_is_proved_by_the_pass_that_it_leads_to() {
    let mut machine = proved();
    let mut edit = numbered(2, edited("a", "1", "2", &["x"]));
    edit.definitions.updated = 1;
    machine.receive_announcement(&edit);
    assert!(!machine.probe_waits(false), "the pass asks");
    let (worker, input) = run(&mut machine);
    assert_eq!(
        (worker, input.revision.clone(), input.only.clone()),
        (WorkerId::new("a"), revision("2"), Some(vec![id("x")]))
    );
    assert_eq!((input.heard, input.definitions.updated), (1, 1));
    assert_eq!(machine.status().revision, Some(revision("1")));
    machine.ended(&input, answering(vec![edit]));
    assert_eq!(machine.status().revision, Some(revision("2")));
    assert!(matches!(machine.next(), Next::Wait(_)), "it is done");
    assert_eq!(machine.carried().definitions.updated, 0);
}

#[test]
fn a_forged_edit_costs_a_pass_and_changes_nothing() {
    let mut machine = proved();
    machine.receive_announcement(&with(hostile(), edited("a", "1", "9", &["x"])));
    let (_, input) = run(&mut machine);
    assert_eq!(input.revision, revision("9"));
    assert_eq!(
        (input.drift, input.orphans),
        (DriftPolicy::Correct, OrphanPolicy::Delete)
    );
    machine.ended(&input, Attempt::Refused(revision("1"), Some(Vec::new())));
    let (_, input) = run(&mut machine);
    assert_eq!(input.revision, revision("1"));
    machine.ended(&input, answering(Vec::new()));
    assert_eq!(machine.status().revision, Some(revision("1")));
    assert!(matches!(machine.next(), Next::Wait(_)));
}

#[test]
fn a_list_of_changes_that_was_forged_is_followed_by_the_true_one() {
    let mut machine = proved();
    machine.receive_announcement(&numbered(2, edited("a", "1", "2", &[])));
    let (_, input) = run(&mut machine);
    let announcement = numbered(2, edited("a", "1", "2", &["x"]));
    machine.ended(&input, answering(vec![announcement]));
    let (_, input) = run(&mut machine);
    assert_eq!(input.only, Some(vec![id("x")]));
}

#[test]
fn a_worker_that_is_silent_is_asked_and_dropped_with_its_options() {
    let mut machine = proved();
    let ghost = numbered(1, with(hostile(), started("ghost", "1")));
    machine.receive_announcement(&ghost);
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, answering(vec![ghost]));
    let (worker, input) = run(&mut machine);
    assert_eq!(worker, WorkerId::new("ghost"));
    assert_eq!(input.drift, DriftPolicy::Report);
    machine.ended(&input, answering(Vec::new()));

    // It was killed; another takes its place, and leads to a question at once.
    machine.tick(at(3));
    let next = numbered(1, started("next", "1"));
    machine.receive_announcement(&next);
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, answering(vec![next]));
    let (worker, input) = ask(&mut machine);
    assert_eq!(worker, WorkerId::new("a"));
    machine.answer(&worker, &input, answering(Vec::new()));
    let (worker, input) = ask(&mut machine);
    assert_eq!(worker, WorkerId::new("ghost"));
    assert_eq!(machine.start_within(&worker), Duration::from_secs(4));
    machine.tick(at(7));
    machine.answer(&worker, &input, Attempt::NotStarted);
    assert_eq!(workers(&machine), ["a", "next"]);
    let (_, input) = run(&mut machine);
    assert_eq!(
        (input.drift, input.orphans, input.only),
        (DriftPolicy::Correct, OrphanPolicy::Delete, None)
    );
}

#[test]
fn workers_that_are_not_heard_of_for_an_interval_are_asked_while_suspended_too() {
    let mut machine = proved();
    let request = SuspendRequest {
        reason: "x".to_owned(),
        ..SuspendRequest::default()
    };
    machine.suspend(&request).unwrap();
    assert_eq!(machine.next(), Next::Wait(Some(at(301))));
    machine.tick(at(301));
    assert_eq!(machine.next(), Next::Wait(None));
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, answering(Vec::new()));
    assert_eq!(machine.next(), Next::Wait(Some(at(602))));
    machine.tick(at(602));
    machine.next();
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, Attempt::NotStarted);
    // With no worker left, what is known stays.
    assert_eq!(workers(&machine), [""; 0]);
    let status = machine.status();
    assert_eq!(status.revision, Some(revision("1")));
    assert!(status.suspended.is_some());
}

#[test]
fn made_up_names_do_not_keep_known_workers_from_being_asked() {
    let mut machine = proved();
    for n in 0..500 {
        machine.receive_announcement(&started(&format!("z{n}"), "1"));
    }
    assert_eq!(
        machine.carried().claims.len(),
        almanac_core::record::CLAIMS_KEPT
    );
    machine.receive_announcement(&announcement_of("a", WorkerEvent::Changed, None, "2"));
    let asked = machine.next_probe(true).map(|(worker, _)| worker);
    assert_eq!(asked, Some(WorkerId::new("a")));
    assert_eq!(machine.next_probe(true), None);
    assert_eq!(
        machine.carried().claims.len(),
        almanac_core::record::CLAIMS_KEPT
    );
}

#[test]
fn a_worker_of_an_earlier_release_is_taken_at_its_word_once_it_answers() {
    let mut machine = fresh();
    machine.receive_announcement(&started("old", "1"));
    let (worker, input) = ask(&mut machine);
    machine.answer(&worker, &input, good());
    run(&mut machine);
    assert_eq!(workers(&machine), ["old"]);
}

#[test]
fn a_run_that_an_earlier_release_began_goes_on_as_it_began() {
    let mut machine = fresh();
    machine.require_probes(false);
    machine.receive_announcement(&started("a", "1"));
    assert!(!machine.probe_waits(false));
    let (_, input) = run(&mut machine);
    machine.ended(&input, answering(vec![numbered(9, stopping("a"))]));
    assert_eq!(workers(&machine), ["a"]);
}

#[test]
fn an_announcement_without_an_answer_is_probed_in_the_next_run() {
    let mut machine = proved();
    let announcement = numbered(1, started("b", "1"));
    machine.receive_announcement(&announcement);
    let asked = ask(&mut machine);
    let mut machine = Coordinator::new(machine.carried(), at(1));
    let (worker, input) = ask(&mut machine);
    assert_eq!(worker, asked.0);
    machine.answer(&worker, &input, answering(vec![announcement]));
    assert_eq!(workers(&machine), ["a", "b"]);
}
