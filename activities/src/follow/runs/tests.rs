use std::collections::HashMap;

use almanac_base::names::Revision;
use almanac_core::record::{EventKey, EventOrigin, RunMemo};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::{
    Memo, SearchAttributes, WorkflowExecution,
};

use WorkflowExecutionStatus as Status;

use super::*;
use crate::payload::encode_json;

fn project() -> Project {
    "shop".parse().unwrap()
}

fn ids(ids: &[&str]) -> BTreeSet<DefinitionId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

fn info(workflow_id: &str, schedule: Option<&str>, memo: Option<Value>) -> WorkflowExecutionInfo {
    let attributes =
        schedule.map(|id| ("TemporalScheduledById".to_owned(), encode_json(&json!(id))));
    let memo = memo.map(|memo| (MEMO_KEY.to_owned(), encode_json(&memo)));
    let time = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
    WorkflowExecutionInfo {
        execution: Some(WorkflowExecution {
            workflow_id: workflow_id.to_owned(),
            run_id: "run".to_owned(),
        }),
        start_time: Some(time(10)),
        close_time: Some(time(20)),
        status: WorkflowExecutionStatus::Completed.into(),
        memo: Some(Memo {
            fields: memo.into_iter().collect(),
        }),
        search_attributes: Some(SearchAttributes {
            indexed_fields: attributes.into_iter().collect::<HashMap<_, _>>(),
        }),
        ..WorkflowExecutionInfo::default()
    }
}

fn memo(definition: &str, kind: &str, depth: u32) -> Value {
    json!(RunMemo {
        definition: definition.parse().unwrap(),
        revision: Revision::default(),
        event: Some(EventOrigin {
            event: EventKey {
                kind: kind.to_owned(),
                ..EventKey::default()
            },
            depth,
            ..EventOrigin::default()
        }),
    })
}

#[test]
fn a_run_belongs_to_a_definition_by_its_ids_and_its_memo() {
    let of = |info: &WorkflowExecutionInfo| {
        let run = followed_run(&project(), info)?;
        Some((run.definition.to_string(), run.depth))
    };
    let found = |definition: &str, depth| Some((definition.to_owned(), depth));
    let action = Some(json!({ "v": 1, "revision": "x", "source": "a.yaml" }));
    let scheduled = info(
        "shop/a-2026-01-01T00:00:00Z",
        Some("schedule-shop-a"),
        action.clone(),
    );
    assert_eq!(of(&scheduled), found("a", 0));
    let started = info("shop/a/1", None, Some(memo("a", "order.paid", 0)));
    assert_eq!(of(&started), found("a", 1));
    let later = info("shop/a/1", None, Some(memo("a", "order.paid", 4)));
    assert_eq!(of(&later), found("a", 5));
    let again = info("shop/a/1", None, Some(memo("a", "almanac.run.again", 0)));
    assert_eq!(of(&again), found("a", 0));
    for other in [
        // No memo of Almanac, and an unmanaged schedule.
        info("shop/a-2026-01-01T00:00:00Z", Some("schedule-shop-a"), None),
        info("shop/a/1", None, None),
        // Another project whose schedules have the same prefix.
        info(
            "shop-a/b-2026-01-01T00:00:00Z",
            Some("schedule-shop-a-b"),
            action,
        ),
        // A memo that names another definition.
        info("shop/a/1", None, Some(memo("b", "order.paid", 0))),
        info("shop/a", None, Some(memo("a", "order.paid", 0))),
    ] {
        assert_eq!(of(&other), None, "{other:?}");
    }
}

#[test]
fn the_status_of_an_end_is_known() {
    let end = |status: WorkflowExecutionStatus| {
        let mut info = info("shop/a/1", None, Some(memo("a", "x", 0)));
        info.status = status.into();
        ended_run(&project(), &info).map(|end| end.status.as_str())
    };
    assert_eq!(end(Status::Completed), Some("completed"));
    assert_eq!(end(Status::TimedOut), Some("timed_out"));
    assert_eq!(end(Status::ContinuedAsNew), None);
    assert_eq!(end(Status::Running), None);
}

#[test]
fn few_definitions_are_named_and_many_are_found_by_the_project() {
    let project = project();
    let query = |all, ids| Scope::of(&project, all, ids).query();
    assert_eq!(query(false, ids(&[])), None);
    assert_eq!(
        query(false, ids(&["a", "b"])).unwrap(),
        "(TemporalScheduledById IN ('schedule-shop-a', 'schedule-shop-b') OR WorkflowId \
         STARTS_WITH 'shop/a/' OR WorkflowId STARTS_WITH 'shop/b/')"
    );
    let prefix = "WorkflowId STARTS_WITH 'shop/'";
    assert_eq!(query(true, ids(&[])).as_deref(), Some(prefix));
    let many: Vec<_> = (0..=NAMED).map(|n| format!("d{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(query(false, ids(&many)).as_deref(), Some(prefix));
}
