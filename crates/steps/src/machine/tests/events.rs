//! Tests of `listen`.

use serde_json::{Value, json};

use super::{Run, nobody};
use crate::machine::{Delivery, Effect, Status, UNREAD_BYTES, UNREAD_LIMIT};

fn event(kind: &str, data: &Value) -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "test", "type": kind, "data": data, "room": data["room"] })
}

fn listening(listen: &Value) -> Run {
    let mut run = Run::new(&json!([{ "hear": listen }]), json!({ "in": 1 }), nobody);
    assert_eq!(run.go(), Status::Waiting);
    run
}

/// Delivers events of types, with their number as data, until the run is over.
fn heard(listen: &Value, types: &[&str]) -> (usize, Status) {
    let mut run = listening(listen);
    for (index, kind) in types.iter().enumerate() {
        run.machine.deliver(event(kind, &json!(index)));
        let status = run.go();
        if status != Status::Waiting {
            assert!(run.effects.is_empty(), "{:?}", run.effects);
            return (index + 1, status);
        }
    }
    (types.len(), Status::Waiting)
}

#[test]
fn each_strategy_selects_its_events() {
    let with = |kind: &str| json!({ "with": { "type": kind } });
    let to = |to: Value| json!({ "listen": { "to": to } });
    let done = |numbers: &[usize]| Status::Completed(json!(numbers));
    assert_eq!(
        heard(&to(json!({ "one": with("a") })), &["b", "a"]),
        (2, done(&[1]))
    );
    assert_eq!(
        heard(&to(json!({ "any": [with("a"), with("b")] })), &["c", "b"]),
        (2, done(&[1]))
    );
    assert_eq!(heard(&to(json!({ "any": [] })), &["c"]), (1, done(&[0])));
    assert_eq!(
        heard(
            &to(json!({ "all": [with("a"), with("b")] })),
            &["b", "b", "c", "a"]
        ),
        (4, done(&[0, 3]))
    );
    let until = json!({ "any": [with("a")], "until": "(. | length) > 1" });
    assert_eq!(heard(&to(until), &["a", "b", "a"]), (3, done(&[0, 2])));
    let until = json!({ "any": [with("a")], "until": { "one": with("stop") } });
    assert_eq!(
        heard(&to(until), &["a", "b", "a", "stop"]),
        (4, done(&[0, 2]))
    );
    let until = json!({ "any": [], "until": { "all": [with("x"), with("y")] } });
    assert_eq!(heard(&to(until), &["a", "y", "x"]), (3, done(&[0])));
    assert_eq!(
        heard(
            &to(json!({ "any": [], "until": "${ false }" })),
            &["a", "b"]
        ),
        (2, Status::Waiting)
    );
}

#[test]
fn filters_can_be_expressions_and_events_have_things_in_common() {
    let listen = json!({ "listen": { "to": { "one": { "with": { "type": "t", "data": "${ .n > 38 }" } } }, "read": "envelope" } });
    let mut run = listening(&listen);
    for n in [37, 39] {
        run.machine.deliver(event("t", &json!({ "n": n })));
    }
    let Status::Completed(output) = run.go() else {
        unreachable!()
    };
    assert_eq!(output, json!([event("t", &json!({ "n": 39 }))]));

    let sensor = |kind: &str| json!({ "with": { "type": kind }, "correlate": { "room": { "from": ".room" } } });
    let mut run =
        listening(&json!({ "listen": { "to": { "all": [sensor("warm"), sensor("wet")] } } }));
    for (kind, room) in [("warm", "a"), ("wet", "b"), ("wet", "a")] {
        run.machine.deliver(event(kind, &json!({ "room": room })));
    }
    assert_eq!(
        run.go(),
        Status::Completed(json!([{ "room": "a" }, { "room": "a" }]))
    );
    let expect = json!({ "listen": { "to": { "one": { "with": { "type": "t" }, "correlate": { "n": { "from": ".data", "expect": "${ .in }" } } } } } });
    assert_eq!(
        heard(&expect, &["t", "t"]),
        (2, Status::Completed(json!([1])))
    );
}

#[test]
fn each_event_is_handled_in_its_turn() {
    let listen = json!({
        "listen": { "to": { "any": [], "until": "(. | length) == 3" } },
        "foreach": {
            "item": "e", "at": "i",
            "do": [{ "pause": { "wait": "PT10S" } }, { "note": { "set": { "e": "${ $e }", "i": "${ $i }" } } }],
            "output": { "as": "[.e, .i, $i]" },
            "export": { "as": "{ last: $output }" },
        },
    });
    // What was not handled is left for others.
    let more = json!({ "listen": { "to": { "any": [], "until": "(. | length) == 2" } } });
    let steps = json!([
        { "hear": listen },
        { "keep": { "set": "${ . }", "export": { "as": "{ last: $context.last, all: . }" } } },
        { "more": more },
        { "last": { "set": { "more": "${ . }", "all": "${ $context.all }", "last": "${ $context.last }" } } },
    ]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.go(), Status::Waiting);
    for n in 0..5 {
        run.machine.deliver(event("t", &json!(n)));
    }
    assert_eq!(
        run.go(),
        Status::Completed(
            json!({ "all": [[0, 0, 0], [1, 1, 1], [2, 2, 2]], "last": [2, 2, 2], "more": [3, 4] })
        )
    );
    assert_eq!(run.elapsed().as_secs(), 30);
}

#[test]
fn events_wait_for_a_listener_and_are_heard_by_all() {
    let one = json!({ "listen": { "to": { "one": { "with": { "type": "a" } } } } });
    let steps = json!([
        { "wait": { "wait": "PT1S" } },
        { "both": { "fork": { "branches": [{ "x": one }, { "y": one }] } } },
        { "more": one },
    ]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.turn(), Status::Waiting);
    // The first listener takes what waited; those who listen later do not.
    run.machine.deliver(event("a", &json!("early")));
    assert_eq!(run.go(), Status::Waiting);
    run.machine.deliver(event("a", &json!("second")));
    assert_eq!(run.go(), Status::Waiting);
    run.machine.deliver(event("a", &json!("third")));
    assert_eq!(run.go(), Status::Completed(json!(["third"])));
}

/// The first events wait, up to a number and a size. An event that no step listens to
/// does not wait at all.
#[test]
fn the_number_of_waiting_events_is_limited() {
    let steps = |kind: &str| {
        let one = json!({ "listen": { "to": { "one": { "with": { "type": kind } } } } });
        json!([{ "rest": { "wait": "PT1S" } }, { "hear": one }])
    };
    let waiting = |kind: &str| {
        let mut run = Run::new(&steps(kind), json!({}), nobody);
        run.turn();
        run
    };
    let mut run = waiting("a");
    let deliver = |run: &mut Run, kind: &str, data: &Value| run.machine.deliver(event(kind, data));
    for n in 0..UNREAD_LIMIT {
        assert_eq!(deliver(&mut run, "a", &json!(n)), Delivery::Taken);
        assert_eq!(deliver(&mut run, "b", &json!(n)), Delivery::Unheard);
    }
    let late = Delivery::Full(event("a", &json!("late")));
    assert_eq!(deliver(&mut run, "a", &json!("late")), late);
    run.turn();
    assert_eq!(deliver(&mut run, "a", &json!("late")), late);
    assert_eq!(run.go(), Status::Completed(json!([0])));

    let mut run = waiting("${ startswith(\"a\") }");
    let large = json!("x".repeat(UNREAD_BYTES / 2));
    assert_eq!(deliver(&mut run, "a", &large), Delivery::Taken);
    assert!(matches!(deliver(&mut run, "b", &large), Delivery::Full(_)));
    assert_eq!(deliver(&mut run, "b", &json!(1)), Delivery::Taken);
    assert_eq!(run.go(), Status::Completed(json!([large])));
    assert_eq!(
        run.machine.deliver(event("a", &json!(1))),
        Delivery::Unheard
    );
}

/// Events wait while the task handles an earlier event.
#[test]
fn events_that_are_not_handled_yet_wait() {
    let listen = json!({
        "listen": { "to": { "any": [], "until": "(. | length) == 1001" } },
        "foreach": { "do": [{ "rest": { "wait": "PT1S" } }, { "keep": { "set": "${ { n: $item } }" } }], "output": { "as": ".n" } },
    });
    let mut run = listening(&listen);
    for n in 0..=UNREAD_LIMIT {
        // The first is being handled.
        assert_eq!(
            run.machine.deliver(event("a", &json!(n))),
            Delivery::Taken,
            "{n}"
        );
        run.turn();
    }
    let full = run.machine.deliver(event("a", &json!(0)));
    assert!(matches!(full, Delivery::Full(_)));
    let Status::Completed(numbers) = run.go() else {
        panic!()
    };
    assert_eq!(numbers, (0..=UNREAD_LIMIT).collect::<Value>());
}

/// An event of another form than an expression wants is another event.
#[test]
fn a_filter_that_fails_on_an_event_does_not_match() {
    let one = |with: Value| json!({ "listen": { "to": { "one": { "with": with } }, "read": "envelope" } });
    let heard = |listen: &Value, events: &[Value]| {
        let mut run = listening(listen);
        for event in events {
            run.machine.deliver(event.clone());
        }
        match run.go() {
            Status::Completed(output) => output[0]["id"].clone(),
            other => panic!("{other:?}"),
        }
    };
    let event_with = |id: &str, attributes: Value| {
        let mut whole = json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t" });
        for (name, value) in attributes.as_object().unwrap() {
            whole[name] = value.clone();
        }
        whole
    };
    let data = |id: &str, data: Value| event_with(id, json!({ "data": data }));
    let listen = one(json!({ "data": "${ .n > 38 }" }));
    let odd = [
        data("1", json!("x")),
        data("2", json!([])),
        event_with("3", json!({})),
        data("4", json!({ "n": 39 })),
    ];
    assert_eq!(heard(&listen, &odd), "4");
    // Nothing is not what an attribute must be, and false is not either.
    let listen = one(json!({ "data": "${ .good }" }));
    let odd = [
        event_with("1", json!({})),
        data("2", json!(false)),
        data("3", json!({ "good": false })),
        data("4", json!({ "good": true })),
    ];
    assert_eq!(heard(&listen, &odd), "4");
    let listen =
        one(json!({ "subject": "${ $workflow.input.in | tostring }", "data": { "n": 1 } }));
    let odd = [
        data("1", json!({ "n": 1 })),
        event_with("2", json!({ "subject": "1", "data": { "n": 2 } })),
        event_with("3", json!({ "subject": "1", "data": { "n": 1.0 } })),
    ];
    assert_eq!(heard(&listen, &odd), "3");
    let listen = json!({ "listen": { "to": { "one": { "with": { "type": "t" }, "correlate": { "n": { "from": ".data.n + 1", "expect": "${ 3 }" } } } }, "read": "envelope" } });
    let odd = [
        data("1", json!({ "n": "x" })),
        data("2", json!("x")),
        data("3", json!({ "n": 2 })),
    ];
    assert_eq!(heard(&listen, &odd), "3");
}

/// Binary data is text, in base64.
#[test]
fn an_event_is_read_as_its_data() {
    let mut run = listening(
        &json!({ "listen": { "to": { "any": [], "until": "(. | length) == 3" }, "read": "raw" } }),
    );
    for attributes in [
        json!({ "data": [1] }),
        json!({ "data_base64": "eA==" }),
        json!({}),
    ] {
        run.machine.deliver(attributes);
    }
    assert_eq!(run.go(), Status::Completed(json!([[1], "eA==", null])));
}

/// Filters that take long have their turns, before anybody listens and while.
#[test]
fn slow_filters_take_several_turns() {
    let slow = "${ [range(9000)] | length == 9000 and false }";
    let hear = json!({ "listen": { "to": { "any": [{ "with": { "data": slow } }, { "with": { "data": "${ . == 299 }" } }] } } });
    let steps = json!([{ "rest": { "wait": "PT1S" } }, { "hear": hear }]);
    for early in [300, 0] {
        let mut run = Run::new(&steps, json!({}), nobody);
        run.turn();
        let deliver = |run: &mut Run, from: usize, to: usize| {
            for n in from..to {
                assert_eq!(run.machine.deliver(event("a", &json!(n))), Delivery::Taken);
            }
        };
        deliver(&mut run, 0, early);
        run.turn();
        assert!(run.answer());
        let mut status = run.turn();
        deliver(&mut run, early, 300);
        let mut turns = 0;
        while matches!(status, Status::Yielded | Status::Waiting) {
            status = run.turn();
            turns += 1;
            assert!(turns < 300, "{status:?}");
        }
        assert_eq!(status, Status::Completed(json!([299])));
        assert!(turns > 3, "{turns}");
    }
}

#[test]
fn the_command_to_listen_names_the_types_of_the_events() {
    let types = |to: Value| {
        let run = listening(&json!({ "listen": { "to": to } }));
        match run.effects.values().next() {
            Some((Effect::Listen { types }, _)) => types.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        types(json!({ "all": [{ "with": { "type": "b" } }, { "with": { "type": "a" } }] })),
        ["a", "b"]
    );
    assert_eq!(
        types(
            json!({ "any": [{ "with": { "type": "b" } }], "until": { "one": { "with": { "type": "x" } } } })
        ),
        ["b", "x"]
    );
    assert_eq!(
        types(json!({ "any": [{ "with": { "type": "b" } }, { "with": { "source": "s" } }] })),
        [] as [&str; 0]
    );
}
