use almanac_core::record::{DeliveryVia, TriggerResult, TriggeredRun};

use super::*;
use crate::console::Medium;

fn now() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn delivery(id: &str, state: DeliveryState, runs: Vec<TriggeredRun>) -> Delivery {
    Delivery {
        id: id.to_owned(),
        at: "2026-03-02T11:57:00Z".parse().unwrap(),
        via: DeliveryVia::Webhook,
        by: "stripe".to_owned(),
        event: EventKey {
            kind: "com.shop.paid".to_owned(),
            source: "/shop\u{202e}\n".to_owned(),
            id: "a\u{1b}[31m".to_owned(),
        },
        bytes: 120,
        attempt: 2,
        state,
        reason: runs
            .iter()
            .find_map(|run| run.result.reason().map(str::to_owned)),
        runs,
        truncated: 0,
    }
}

fn run(definition: &str, result: TriggerResult) -> TriggeredRun {
    TriggeredRun {
        definition: definition.parse().unwrap(),
        trigger: 0,
        result,
    }
}

fn started() -> TriggeredRun {
    run(
        "capture",
        TriggerResult::Started {
            workflow_id: "shop/capture/1".to_owned(),
            run_id: "r".to_owned(),
        },
    )
}

fn refused() -> TriggeredRun {
    let reason = "no amount\nforged: line".to_owned();
    run("ship", TriggerResult::Refused { reason })
}

fn shown(page: &crate::console::Page) -> String {
    let (colors, width) = (false, Some(100));
    page.rendered(Medium { colors, width })
}

#[test]
fn deliveries_are_listed_with_their_results() {
    let all = [
        delivery("3", DeliveryState::Refused, vec![refused(), started()]),
        delivery("2", DeliveryState::Started, vec![started()]),
        delivery("1", DeliveryState::NoMatch, Vec::new()),
    ];
    insta::assert_snapshot!(shown(&text::list(&all, 7, None, now())), @r#"
    DELIVERY  TIME    STATE     TYPE           CAME BY         RESULT
    3         3m ago  refused   com.shop.paid  Webhook stripe  no amount\nforged: line
    2         3m ago  started   com.shop.paid  Webhook stripe  capture
    1         3m ago  no_match  com.shop.paid  Webhook stripe
    3 of 7 deliveries; --limit lists more
    "#);
    let none = |state| shown(&text::list(&[], 0, state, now()));
    assert_eq!(
        none(None),
        "no event has come to this worker since it started\n"
    );
    assert_eq!(none(Some(DeliveryState::Dead)), "no delivery is `dead`\n");
}

#[test]
fn a_delivery_is_shown_with_its_event_and_no_text_of_others_is_interpreted() {
    let one = delivery("3", DeliveryState::Refused, vec![refused(), started()]);
    let event = json!({ "id": "a\u{1b}[31m", "data": { "text": "\u{202e}x" } });
    insta::assert_snapshot!(shown(&text::show(&one, Some(&event), now())), @r#"
    ● com.shop.paid  Refused
      A trigger or the schema of the event's type refuses the event. The same event would be refused again.
      Delivery  3
      Arrived   2026-03-02 11:57:00Z (3m ago)
      Came by   Webhook stripe
      Source    /shop\u{202e}\n
      Id        a\u{1b}[31m
      Size      120 bytes
      Attempt   2
      Reason    no amount\nforged: line

    Triggers that took it
      ship refused the event: no amount\nforged: line
      capture started a run: shop/capture/1

    Event
      {
        "data": {
          "text": "\u202ex"
        },
        "id": "a\u001b[31m"
      }
    "#);
    let kept = shown(&text::show(&one, None, now()));
    assert!(kept.contains("the worker no longer keeps it"), "{kept}");

    let unread = Delivery {
        event: EventKey {
            kind: "com.shop.paid".to_owned(),
            ..EventKey::default()
        },
        ..delivery("4", DeliveryState::Dead, Vec::new())
    };
    let unread = shown(&text::show(&unread, None, now()));
    for expected in ["nothing to replay", "none: what arrived is no event"] {
        assert!(unread.contains(expected), "{unread}");
    }
}

#[test]
fn what_followed_from_an_event_is_printed() {
    let sent = EventKey {
        kind: "com.shop.paid".to_owned(),
        source: "/shop".to_owned(),
        id: "7".to_owned(),
    };
    let one = delivery("3", DeliveryState::Started, vec![started()]);
    insta::assert_snapshot!(shown(&text::outcome(Some(&sent), &[one], true)), @r#"
    com.shop.paid  id 7 of /shop
      started  delivery 3
      capture started a run: shop/capture/1
    "#);
    insta::assert_snapshot!(shown(&text::outcome(Some(&sent), &[], true)), @r#"
    com.shop.paid  id 7 of /shop
      no trigger takes the event: nothing was started
    "#);
}

#[test]
fn data_is_json_from_the_command_line_or_a_file() {
    assert_eq!(data("{\"a\": [1]}").unwrap(), json!({ "a": [1] }));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.json");
    std::fs::write(&file, "5\n").unwrap();
    assert_eq!(data(&format!("@{}", file.display())).unwrap(), json!(5));
    for (bad, why) in [
        ("hello", "is not JSON"),
        ("", "is not JSON"),
        ("{\"a\": 1, \"a\": 2}", "twice"),
        ("[18446744073709551616]", "more than 64 bits"),
        ("@/no/such/file", "/no/such/file"),
    ] {
        let error = format!("{:#}", data(bad).unwrap_err());
        assert!(
            error.contains("--data") && error.contains(why),
            "{bad}: {error}"
        );
    }
    std::fs::write(&file, format!("\"{}\"", "x".repeat(DATA_LIMIT))).unwrap();
    let error = format!("{:#}", data(&format!("@{}", file.display())).unwrap_err());
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
}
