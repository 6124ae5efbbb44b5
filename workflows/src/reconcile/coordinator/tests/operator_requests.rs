//! Tests of operator requests for single schedules.

use almanac_core::field::Field;
use almanac_core::record::{
    AdoptRequest, ClearRequest, HistoryEntry, HistoryEntryKind, HistoryRequest, OverrideRequest,
};

use super::*;

fn told(machine: &Coordinator) -> Vec<HistoryEntry> {
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
    let entries = told(&machine);
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
    let ops: Vec<_> = told(&machine).into_iter().map(|one| one.op).collect();
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

#[test]
fn an_empty_digest_confirms_nothing() {
    let mut machine = settled();
    machine.sync(&confirm("r", "")).unwrap();
    let (_, input) = run(&mut machine);
    assert_eq!(input.confirm, None);
}
