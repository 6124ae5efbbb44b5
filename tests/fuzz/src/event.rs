//! Target `event`: the input of a signal `event`, as JSON.

use std::sync::{Arc, LazyLock};

use almanac_base::size::{depth, json_size};
use almanac_events::{MAX_BYTES, cloud_event};
use almanac_jq::MAX_DEPTH;
use almanac_steps::language::{self, Flow};
use almanac_steps::machine::{About, Delivery, Machine, Position, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Steps that hear every event, filter events with expressions, and correlate them.
static STEPS: LazyLock<Value> = LazyLock::new(|| {
    json!([
        { "first": { "listen": { "to": { "any": [] }, "read": "envelope" } } },
        { "second": { "listen": { "to": { "any": [
            { "with": { "type": "order", "data": "${ .total > 10 }" } },
            { "with": { "source": "${ startswith(\"/s\") }" },
              "correlate": { "room": { "from": ".data.room", "expect": "${ .[0].data | .room? }" } } },
        ] } } } },
        { "third": { "set": { "heard": "${ . }", "text": "${ tojson }" } } },
    ])
});

static FLOW: LazyLock<Arc<Flow>> = LazyLock::new(|| {
    let flow = language::parse(&STEPS).expect("steps that can be read");
    Arc::new(flow)
});

/// Maximum number of turns until the steps wait again.
const TURNS: usize = 50;

/// Checks that a value is refused with a reason, or is an event that a run takes, and that the
/// run resumes from its position as the same.
pub fn event(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let event = match cloud_event(value.clone()) {
        Ok(event) => event,
        Err(why) => {
            let why = why.to_string();
            assert!(!why.is_empty() && why.len() < 200, "{why}");
            return;
        }
    };
    assert_eq!(event, value, "an event is passed on unchanged");
    assert!(depth(&event) <= MAX_DEPTH);
    assert!(json_size(&event) <= MAX_BYTES);
    for name in ["specversion", "id", "source", "type"] {
        assert!(event[name].as_str().is_some_and(|text| !text.is_empty()));
    }
    // The first delivery ends `first`, which hears every event. The others may end `second`.
    let mut machine = started();
    let mut status = waiting(&mut machine);
    for delivery in 0..3 {
        if status != Status::Waiting {
            break;
        }
        let taken = machine.deliver(event.clone());
        assert!(
            delivery > 0 || matches!(taken, Delivery::Taken),
            "{taken:?}"
        );
        status = waiting(&mut machine);
        machine = resumed(machine);
    }
    let failed = matches!(status, Status::Faulted(_));
    // Only the last step can fail: `tojson` meets the limits of an expression.
    assert!(!failed || json_size(&event) > 10_000, "{status:?}");
}

fn about() -> About {
    About {
        id: "fuzz/run".to_owned(),
        source: "almanac/fuzz".to_owned(),
        runtime: json!({}),
        chain: None,
    }
}

fn started() -> Machine {
    Machine::start(
        Arc::clone(&FLOW),
        about(),
        Value::Null,
        Timestamp::UNIX_EPOCH,
    )
}

/// Advances the run until it waits or ends.
fn waiting(machine: &mut Machine) -> Status {
    for _ in 0..TURNS {
        let turn = machine.advance(Timestamp::UNIX_EPOCH);
        if turn.status != Status::Yielded {
            return turn.status;
        }
    }
    panic!("the run does not wait after {TURNS} turns");
}

/// Leaves the run and resumes it from its position, through JSON.
fn resumed(machine: Machine) -> Machine {
    let Some(position) = machine.position() else {
        return machine;
    };
    let json = serde_json::to_string(position).expect("JSON");
    let read: Position = serde_json::from_str(&json).expect("a position that was written");
    assert_eq!(read, *position, "{json}");
    let mut resumed = Machine::resume(Arc::clone(&FLOW), about(), read).expect("its own position");
    waiting(&mut resumed);
    resumed
}
