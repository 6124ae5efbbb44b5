//! Tests of operator requests for single schedules.

use almanac_core::field::Field;
use almanac_core::record::{
    AdoptRequest, ClearRequest, HistoryEntry, HistoryEntryKind, HistoryRequest, OverrideRequest,
    PassReport, RequestProblem,
};

use super::*;
use crate::reconcile::state_limits::ORDERS_KEPT;

fn history_of(machine: &Coordinator) -> Vec<HistoryEntry> {
    machine.history(None, &HistoryRequest::default())
}

fn pause(definition: &str) -> OverrideRequest {
    OverrideRequest {
        request_id: "pause".to_owned(),
        id: Some(id(definition)),
        enabled: Some(false),
        reason: "stop".to_owned(),
        by: "ann".to_owned(),
        ..OverrideRequest::default()
    }
}

#[test]
fn an_adoption_is_recorded_once_with_its_operator() {
    let mut machine = settled();
    let request = AdoptRequest {
        request_id: "1".to_owned(),
        id: Some(id("a")),
        from: almanac_base::names::ScheduleId::from_server("nightly"),
        by: "ann".to_owned(),
        ..AdoptRequest::default()
    };
    machine.admits_adoption(&request).unwrap();
    let answer = machine.adopt(&request).unwrap();
    assert_eq!(machine.adopt(&request).unwrap(), answer);
    let entries = history_of(&machine);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    assert_eq!(
        (entry.kind, entry.op.as_str(), entry.by.as_str()),
        (HistoryEntryKind::Asked, "adopt", "ann")
    );
    assert_eq!((entry.id.as_str(), entry.pass), ("a", answer.pass));
    assert!(entry.reason.contains("`nightly`"), "{entry:?}");
    assert_eq!(entry.fields, [] as [Field; 0]);
}

/// Does a pass that holds removals with this digest.
fn holds(machine: &mut Coordinator, digest: &str) {
    machine.reconcile();
    let (_, input) = run(machine);
    let held = Held {
        digest: digest.to_owned(),
        reason: "too many".to_owned(),
        ids: vec!["schedule-p-x".to_owned()],
        count: 1,
    };
    machine.ended(
        &input,
        reporting(Report {
            held: Some(held),
            ..Report::default()
        }),
    );
}

#[test]
fn a_digest_of_nothing_that_is_held_confirms_nothing() {
    let mut machine = settled();
    machine.sync(&confirm("1", "ab12")).unwrap();
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    // Removals that may not be confirmed have no digest.
    holds(&mut machine, "");
    for (request, digest) in [("2", "ab12"), ("3", "")] {
        machine.sync(&confirm(request, digest)).unwrap();
    }
    assert_eq!(history_of(&machine), []);
}

#[test]
fn requests_about_the_project_are_recorded_once_with_who_and_why() {
    let mut machine = settled();
    let request = |id: &str, by: &str, reason: &str| SuspendRequest {
        request_id: id.to_owned(),
        reason: reason.to_owned(),
        by: by.to_owned(),
    };
    let mut resumed = None;
    for _ in 0..2 {
        machine.suspend(&request("1", "ann", "moving")).unwrap();
        resumed = machine.resume(&request("2", "eve", "")).unwrap().pass;
    }
    holds(&mut machine, "ab12");
    let confirmed = SyncRequest {
        by: "ann".to_owned(),
        ..confirm("3", "ab12")
    };
    let confirmed_by = machine.sync(&confirmed).unwrap().pass;
    machine.sync(&confirmed).unwrap();
    // A pass that only plans confirms nothing, and neither does one without the digest of what is
    // held.
    for request in [
        plain("4"),
        confirm("5", ""),
        confirm("7", "ab13"),
        SyncRequest {
            dry_run: true,
            ..confirm("6", "ab12")
        },
    ] {
        machine.sync(&request).unwrap();
    }
    let entries = history_of(&machine);
    let shown: Vec<_> = entries
        .iter()
        .map(|one| (one.op.as_str(), one.by.as_str(), one.pass, one.id.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("confirm", "ann", confirmed_by, ""),
            ("resume", "eve", resumed.unwrap(), ""),
            ("suspend", "ann", 0, ""),
        ]
    );
    assert_eq!(entries[2].reason, "moving");
    assert!(entries[0].reason.contains("ab12"), "{entries:?}");
    // They belong to no schedule.
    let of = |id: &str| HistoryRequest { id: id.to_owned() };
    assert_eq!(machine.history(None, &of("a")), []);
}

#[test]
fn an_adoption_of_no_possible_revision_is_refused() {
    let machine = settled();
    for revision in ["", "a b"] {
        let request = AdoptRequest {
            id: Some(id("a")),
            from: almanac_base::names::ScheduleId::from_server("nightly"),
            revision: Some(self::revision(revision)),
            ..AdoptRequest::default()
        };
        let refused = machine.admits_adoption(&request);
        assert_eq!(refused, Err("revision is not a valid revision".into()));
    }
}

#[test]
fn clearing_replaces_an_earlier_request() {
    let mut machine = settled();
    machine.set_override(&pause("a")).unwrap();
    let clear = ClearRequest {
        request_id: "clear".to_owned(),
        id: Some(id("a")),
        by: "eve".to_owned(),
        ..ClearRequest::default()
    };
    machine.admits_clearing(&clear).unwrap();
    let answer = machine.clear_override(&clear).unwrap();
    assert_eq!(answer.overridden, None);
    assert_eq!(machine.clear_override(&clear).unwrap(), answer);
    assert_eq!(machine.status().orders[&id("a")].overridden, None);
    let ops: Vec<_> = history_of(&machine).into_iter().map(|one| one.op).collect();
    assert_eq!(ops, ["clear_override", "override"]);
    let nameless = machine.admits_clearing(&ClearRequest::default());
    assert_eq!(nameless, Err("id is missing".into()));
}

#[test]
fn a_request_with_an_endless_name_is_refused() {
    let machine = settled();
    let long = "x".repeat(201);
    let refused = [
        machine.admits(&plain(&long)),
        machine.admits_override(&OverrideRequest {
            request_id: long.clone(),
            ..pause("a")
        }),
        machine.admits_suspension(&SuspendRequest {
            request_id: long,
            reason: "x".to_owned(),
            ..SuspendRequest::default()
        }),
    ];
    for one in refused {
        assert_eq!(
            one,
            Err("request_id has 201 bytes, over the limit of 200".into())
        );
    }
}

/// While no worker is there, requests would otherwise fill the state.
#[test]
fn requests_for_ever_more_definitions_are_refused_and_those_for_known_ones_are_not() {
    let mut machine = fresh();
    let adopt = |definition: &str| AdoptRequest {
        id: Some(id(definition)),
        from: almanac_base::names::ScheduleId::from_server("nightly"),
        ..AdoptRequest::default()
    };
    let pause = |definition: &str| OverrideRequest {
        request_id: String::new(),
        ..pause(definition)
    };
    for number in 0..ORDERS_KEPT {
        let name = format!("d{number}");
        machine.admits_override(&pause(&name)).unwrap();
        machine.set_override(&pause(&name)).unwrap();
        machine.admits_adoption(&adopt(&name)).unwrap();
        machine.adopt(&adopt(&name)).unwrap();
    }
    let refused = |result: Result<(), RequestProblem>| result.unwrap_err().to_string();
    insta::assert_snapshot!(
        refused(machine.admits_override(&pause("more"))),
        @"too many overrides are pending (500); try again later"
    );
    insta::assert_snapshot!(
        refused(machine.admits_adoption(&adopt("more"))),
        @"too many adoptions are pending (500); try again later"
    );
    machine.admits_override(&pause("d0")).unwrap();
    machine.admits_adoption(&adopt("d0")).unwrap();
}

/// Each request is within the limit, but not the override that they make together.
#[test]
fn an_override_that_grows_beyond_its_limit_is_refused() {
    let mut machine = settled();
    let times = OverrideRequest {
        request_id: "times".to_owned(),
        id: Some(id("a")),
        cron: Some(vec!["0 0 1 1 *".to_owned(); 20]),
        reason: "moved".to_owned(),
        ..OverrideRequest::default()
    };
    let zone = OverrideRequest {
        request_id: "zone".to_owned(),
        id: Some(id("a")),
        timezone: Some("Europe/Berlin".to_owned()),
        reason: "x".repeat(250),
        ..OverrideRequest::default()
    };
    machine.admits_override(&zone).unwrap();
    machine.admits_override(&times).unwrap();
    machine.set_override(&times).unwrap();
    let refused = machine.admits_override(&zone).unwrap_err().to_string();
    assert!(
        refused.starts_with("together with the present override, "),
        "{refused}"
    );
    let shorter = OverrideRequest {
        reason: "moved".to_owned(),
        ..zone
    };
    machine.admits_override(&shorter).unwrap();
}

#[test]
fn an_empty_digest_confirms_nothing() {
    let mut machine = settled();
    machine.sync(&confirm("r", "")).unwrap();
    let (_, input) = run(&mut machine);
    assert_eq!(input.confirm, None);
}

fn interrupted() -> Attempt {
    Attempt::Done(Box::new(PassDone {
        interrupted: true,
        ..PassDone::default()
    }))
}

/// Asks for an override of this definition, and returns the number of its pass.
fn override_of(machine: &mut Coordinator, definition: &str) -> u64 {
    let mut request = pause(definition);
    request.request_id = definition.to_owned();
    machine.set_override(&request).unwrap().pass
}

#[test]
fn a_full_pass_makes_way_for_an_override_and_is_done_again_after_it() {
    let mut machine = settled();
    machine.reconcile();
    let (_, mut bulk) = run(&mut machine);
    assert!(!machine.operator_waits());
    for definition in ["a", "b", "c"] {
        let pass = override_of(&mut machine, definition);
        assert!(machine.operator_waits());
        machine.make_way();
        machine.ended(&bulk, interrupted());
        assert!(!machine.operator_waits());

        let (_, of_operator) = run(&mut machine);
        assert_eq!(of_operator.pass, pass);
        assert_eq!(of_operator.only, Some(vec![id(definition)]));
        override_of(&mut machine, "meanwhile");
        assert!(
            !machine.operator_waits(),
            "the pass of an operator is short"
        );
        machine.ended(&of_operator, good());

        let (_, rest) = run(&mut machine);
        assert_eq!(rest.only, None);
        bulk = rest;
    }
    // The work is done in the end, whatever operators ask for.
    override_of(&mut machine, "d");
    assert!(!machine.operator_waits());
    machine.ended(&bulk, good());
    let (_, of_operator) = run(&mut machine);
    assert_eq!(of_operator.only, Some(vec![id("d")]));
    machine.ended(&of_operator, good());
    machine.reconcile();
    run(&mut machine);
    override_of(&mut machine, "e");
    assert!(machine.operator_waits());
}

/// The worker is dead, or of an earlier release.
#[test]
fn a_pass_that_fails_when_it_makes_way_comes_after_the_operator_too() {
    let mut machine = settled();
    let asked = machine.sync(&plain("r")).unwrap().pass;
    let (_, bulk) = run(&mut machine);
    let pass = override_of(&mut machine, "a");
    machine.make_way();
    machine.ended(&bulk, failed());
    assert_eq!(machine.status().last_error, None);
    assert_eq!(machine.status().report_of(asked), PassReport::Pending);
    let (_, of_operator) = run(&mut machine);
    assert_eq!(of_operator.pass, pass);
    machine.ended(&of_operator, good());
    let (_, rest) = run(&mut machine);
    assert_eq!((rest.only, rest.trigger), (None, bulk.trigger));
}

/// The definitions changed while the pass of an operator's request was running.
#[test]
fn who_waits_for_an_interrupted_pass_gets_the_report_of_the_pass_that_does_the_rest() {
    let mut machine = settled();
    let asked = override_of(&mut machine, "a");
    let (_, input) = run(&mut machine);
    machine.ended(&input, interrupted());
    assert_eq!(machine.status().report_of(asked), PassReport::Pending);
    let (_, rest) = run(&mut machine);
    assert_eq!(
        (rest.pass, rest.only.clone()),
        (asked + 1, Some(vec![id("a")]))
    );
    machine.ended(&rest, good());
    let PassReport::Ended(report) = machine.status().report_of(asked) else {
        panic!("the rest has ended");
    };
    assert_eq!(report.pass, asked + 1);
}

#[test]
fn a_state_with_a_request_from_the_future_does_not_stop_passes() {
    let mut machine = settled();
    machine.set_override(&pause("a")).unwrap();
    let mut state = machine.carried();
    state
        .orders
        .values_mut()
        .for_each(|order| order.number = u64::MAX);
    let mut machine = Coordinator::new(state, machine.now());
    machine.reconcile();
    run(&mut machine);
    assert!(!machine.operator_waits());
}

#[test]
fn passes_make_way_for_nothing_that_they_do_themselves() {
    let mut machine = settled();
    machine.set_override(&pause("a")).unwrap();
    machine.reconcile();
    // One pass that is full and does the override.
    let (_, input) = run(&mut machine);
    assert!(input.only.is_none() && input.orders.len() == 1);
    assert!(!machine.operator_waits());
    machine.ended(&input, good());

    // Passes over some definitions are short. Dry runs and confirmations have a caller that waits
    // for exactly that report.
    machine.announce(&edited("a", "1", "2", &["x"]));
    let (_, input) = run(&mut machine);
    assert!(input.only.is_some());
    override_of(&mut machine, "b");
    assert!(!machine.operator_waits());
    machine.ended(&input, good());
    for request in [dry("d"), confirm("c", "digest")] {
        let (_, of_operator) = run(&mut machine);
        machine.ended(&of_operator, good());
        machine.sync(&request).unwrap();
        let (_, input) = run(&mut machine);
        assert_eq!(
            (input.dry_run, &input.confirm),
            (request.dry_run, &request.confirm)
        );
        override_of(&mut machine, &format!("during-{}", request.request_id));
        assert!(!machine.operator_waits());
        machine.ended(&input, good());
    }
}
