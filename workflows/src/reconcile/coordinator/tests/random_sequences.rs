//! Tests with random sequences of events.

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Announce(Announcement),
    Reconcile,
    Sync(SyncRequest),
    Step(u8),
    Pass(i64),
    Carry,
}

fn acts() -> impl Strategy<Value = Act> {
    let word = |n: u8| n.to_string();
    prop_oneof![
        (0..3u8, 0..3u8, 0..3u8, 0..3u8, any::<bool>()).prop_map(
            move |(worker, event, previous, holds, fast)| {
                let event = match event {
                    0 => WorkerEvent::Started,
                    1 => WorkerEvent::Changed,
                    _ => WorkerEvent::Stopping,
                };
                let mut announcement =
                    announcement_of(&word(worker), event, Some(&word(previous)), &word(holds));
                announcement.changed = fast.then(|| vec![id("x")]);
                Act::Announce(announcement)
            }
        ),
        Just(Act::Reconcile),
        (0..10u8, any::<bool>(), proptest::option::of(0..3u8)).prop_map(
            move |(request, dry_run, digest)| Act::Sync(SyncRequest {
                request_id: word(request),
                dry_run,
                confirm: digest.map(word),
                by: String::new(),
            })
        ),
        (0..6u8).prop_map(Act::Step),
        (0..400i64).prop_map(Act::Pass),
        Just(Act::Carry),
    ]
}

/// Does a step of the loop, with an outcome chosen by `fate`, and returns the pass that
/// ran.
fn step(machine: &mut Coordinator, fate: u8) -> Option<PassInput> {
    let attempt = match fate {
        0 => Attempt::NotStarted,
        1 => Attempt::Refused(revision("0"), None),
        2 => Attempt::Refused(revision("1"), None),
        3 => failed(),
        4 => Attempt::Done(Box::new(PassDone {
            interrupted: true,
            ..PassDone::default()
        })),
        _ => good(),
    };
    match machine.next() {
        Next::Wait(_) => None,
        Next::Probe(workers, input) => {
            for worker in &workers {
                machine.probed(worker, &input, attempt.clone());
            }
            None
        }
        Next::Run(_, input) => {
            machine.ended(&input, attempt);
            Some(*input)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In any sequence, numbers grow, passes end in their order, a request is
    /// served by a pass of its kind, and the state stays bounded.
    #[test]
    fn no_request_is_lost_and_numbers_only_grow(
        story in proptest::collection::vec(acts(), 0..120)
    ) {
        let mut machine = fresh();
        let mut answered: BTreeMap<u64, (bool, Option<String>)> = BTreeMap::new();
        let mut ran: BTreeSet<(u64, bool, Option<String>)> = BTreeSet::new();
        let mut ended = 0;
        for act in story {
            match act {
                Act::Announce(announcement) => machine.announce(&announcement),
                Act::Reconcile => machine.reconcile(),
                Act::Sync(request) => {
                    let before = machine.answered::<SyncAnswer>(&request.request_id);
                    if machine.admits(&request).is_ok() {
                        let SyncAnswer { pass } = machine.sync(&request).unwrap();
                        if let Some(answer) = before {
                            prop_assert_eq!(answer.pass, pass);
                        } else {
                            prop_assert!(pass > ended);
                            answered.insert(pass, (request.dry_run, request.confirm));
                        }
                    }
                }
                Act::Step(fate) => {
                    if let Some(input) = step(&mut machine, fate) {
                        prop_assert!(input.pass > ended, "{} after {}", input.pass, ended);
                        ran.insert((input.pass, input.dry_run, input.confirm));
                    }
                }
                Act::Pass(seconds) => machine.tick(machine.now() + SignedDuration::from_secs(seconds)),
                Act::Carry => machine = Coordinator::new(machine.carried(), machine.now()),
            }
            let status = machine.status();
            prop_assert!(status.pass >= ended);
            prop_assert!(status.requested >= status.pass);
            ended = status.pass;
            prop_assert!(machine.state.pending.len() <= PENDING_KEPT);
            prop_assert!(machine.state.reports.len() <= REPORTS_KEPT);
            prop_assert!(machine.state.workers.len() <= WORKERS_KEPT);
        }
        // A worker comes and everything goes well.
        machine.announce(&started("z", "z"));
        for _ in 0..2 * PENDING_KEPT {
            machine.tick(machine.now() + SignedDuration::from_secs(31));
            if let Some(input) = step(&mut machine, 9) {
                ran.insert((input.pass, input.dry_run, input.confirm));
            }
        }
        let status = machine.status();
        prop_assert_eq!(status.pending, 0);
        for (pass, (dry_run, confirm)) in answered {
            prop_assert!(pass <= status.pass);
            prop_assert!(ran.contains(&(pass, dry_run, confirm)));
        }
    }
}
