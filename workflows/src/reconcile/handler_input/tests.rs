use almanac_core::record::{Options, SyncRequest, WorkerEvent};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::*;

fn raw(inputs: &[&str]) -> RawValue {
    RawValue::new(
        inputs
            .iter()
            .map(|data| Payload {
                data: data.as_bytes().to_vec(),
                ..Payload::default()
            })
            .collect(),
    )
}

#[test]
fn an_error_shows_nothing_of_an_input_that_was_encrypted() {
    let mut input = raw(&[r#"{"dry_run":"canary"}"#]);
    let shown = request::<SyncRequest>("sync", &input, None).unwrap_err();
    assert!(shown.to_string().contains("canary"), "{shown}");
    let metadata = &mut input.payloads[0].metadata;
    metadata.insert(ENCRYPTION.to_owned(), b"key a".to_vec());
    let hidden = request::<SyncRequest>("sync", &input, None).unwrap_err();
    assert_eq!(hidden.to_string(), "sync: the input is not a request");
}

#[test]
fn an_announcement_needs_a_worker_and_a_revision_and_nothing_else() {
    let read = announcement(&raw(&[r#"{"worker":"w","revision":"r","more":1}"#])).unwrap();
    assert_eq!(read.event, WorkerEvent::Changed);
    assert_eq!(read.options, Options::default());
    assert!(announcement(&raw(&[r#"{"worker":"w","event":"stopping"}"#])).is_some());

    let deep = "[".repeat(100_000);
    let long = format!(r#"{{"worker":"w","revision":"{}"}}"#, "x".repeat(201));
    for nothing in [
        raw(&[]),
        raw(&[""]),
        raw(&["null"]),
        raw(&["\u{0}"]),
        raw(&["[1]"]),
        raw(&[&deep]),
        raw(&[&long]),
        raw(&[r#"{"worker":"w"}"#]),
        raw(&[r#"{"worker":"","revision":"r"}"#]),
        raw(&[r#"{"worker":"a b","revision":"r"}"#]),
        raw(&[r#"{"worker":"w","revision":7}"#]),
        raw(&["1", r#"{"worker":"w","revision":"r"}"#]),
    ] {
        assert_eq!(announcement(&nothing), None);
    }
}

#[test]
fn of_several_inputs_the_first_counts() {
    let read = announcement(&raw(&[r#"{"worker":"w","revision":"r"}"#, "junk"]));
    assert!(read.is_some());
}

#[test]
fn an_announcement_cannot_ask_for_the_impossible() {
    let read = announcement(&raw(&[&json!({
        "worker": "w",
        "revision": "r",
        "options": {
            "reconcile_interval": {"secs": u64::MAX, "nanos": 0},
            "resync_interval": {"secs": 0, "nanos": 0},
        },
        "changed": (0..200).map(|n| format!("d{n}")).collect::<Vec<_>>(),
    })
    .to_string()]))
    .unwrap();
    assert_eq!(read.options.reconcile_interval.as_secs(), 24 * 60 * 60);
    assert_eq!(read.options.resync_interval.as_secs(), 1);
    assert_eq!(read.changed, None);
}

#[test]
fn a_sync_without_input_is_a_plain_one() {
    for nothing in [raw(&[]), raw(&[""]), raw(&["null"]), raw(&["{}"])] {
        assert_eq!(request("sync", &nothing, None), Ok(SyncRequest::default()));
    }
    let read = request("sync", &raw(&[r#"{"dry_run":true,"other":0}"#]), None);
    let expected = SyncRequest {
        dry_run: true,
        ..SyncRequest::default()
    };
    assert_eq!(read, Ok(expected));
}

#[test]
fn a_sync_that_may_have_meant_a_dry_run_is_refused() {
    let refused = |input: &str| {
        let refused = request::<SyncRequest>("sync", &raw(&[input]), None);
        refused.unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        refused(r#"{"dry_run":"yes"}"#),
        @r#"sync: invalid type: string "yes", expected a boolean"#
    );
    insta::assert_snapshot!(refused("[]"), @"sync: the input must be a JSON object");
    insta::assert_snapshot!(refused("dry"), @"sync: the input must be a JSON object");
}

#[test]
fn the_readable_fields_of_a_state_are_kept() {
    let found = state(&raw(&[
        r#"{"pass":7,"reports":"none","last_error":"e","workers":{"w":{"revision":"r"}},"later":[]}"#,
    ]));
    assert_eq!(found.pass, 7);
    assert_eq!(found.last_error.as_deref(), Some("e"));
    assert_eq!(found.workers.len(), 1);
    for nothing in [raw(&[]), raw(&["junk"]), raw(&["[7]"]), raw(&["null"])] {
        assert_eq!(state(&nothing), State::default());
    }
}

#[test]
fn an_expired_request_is_refused() {
    let asked = raw(&[r#"{"dry_run":true,"not_after":"2026-01-01T00:00:30Z"}"#]);
    let at = |now: Option<&str>| {
        let now = now.map(|now| now.parse().unwrap());
        request::<SyncRequest>("sync", &asked, now).map(|request| request.dry_run)
    };
    assert_eq!(at(None), Ok(true));
    assert_eq!(at(Some("2026-01-01T00:00:30Z")), Ok(true));
    let late = at(Some("2026-01-01T00:00:31Z")).unwrap_err().to_string();
    assert!(
        late.starts_with("sync: it was to be done until 2026-01-01T00:00:30Z"),
        "{late}"
    );
    let wrong = raw(&[r#"{"not_after":"soon"}"#]);
    let wrong = request::<SyncRequest>("sync", &wrong, None);
    let wrong = wrong.unwrap_err().to_string();
    assert!(wrong.starts_with("sync: not_after: "), "{wrong}");
}

#[test]
fn a_history_is_asked_for_by_id_or_as_a_whole() {
    let of = |id: &str| Ok(HistoryRequest { id: id.to_owned() });
    for nothing in [raw(&[]), raw(&["null"]), raw(&["{}"])] {
        assert_eq!(history_request(&nothing), of(""));
    }
    for named in [r#""nightly""#, r#"{"id":"nightly","more":1}"#] {
        assert_eq!(history_request(&raw(&[named])), of("nightly"));
    }
    let refused = |input: &str| history_request(&raw(&[input])).unwrap_err().to_string();
    insta::assert_snapshot!(refused("7"), @"history: the input must be a JSON object");
    insta::assert_snapshot!(
        refused(r#"{"id":7}"#),
        @"history: invalid type: integer `7`, expected a string"
    );
}

#[test]
fn a_question_about_runs_that_cannot_be_read_names_none() {
    let asked = |inputs: &[&str]| runs_query(&raw(inputs)).unwrap().request_ids;
    assert_eq!(asked(&[r#"{"request_ids":["a","b"]}"#]), ["a", "b"]);
    for nothing in [&[][..], &["junk"], &["7"], &[r#"{"request_ids":7}"#]] {
        assert!(asked(nothing).is_empty(), "{nothing:?}");
    }
}
