//! Tests of sizes. Whatever is sent, of whatever size: all that the workflow gives the
//! server fits, the workflow answers, and a suspension stays.

use almanac_base::size::{PAYLOAD_LIMIT, json_size};
use almanac_core::record::{
    AdoptRequest, ClearRequest, HistoryRequest, INPUT_LIMIT, OverrideRequest, ReportError,
    RunAnswer, RunBaseline, RunKind, RunRequest, RunState, SelectRequest, StartedRun,
};
use serde_json::{Value, json};
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::*;
use crate::reconcile::handler_input;

const UPDATES: [&str; 10] = [
    "sync",
    "override",
    "clear_override",
    "adopt",
    "suspend",
    "resume",
    "trigger",
    "backfill",
    "select",
    "unheard_of",
];

#[derive(Debug, Clone)]
enum Act {
    /// An update; `checked`: its validator was asked first. A history of an
    /// earlier release has some that were not.
    Update(&'static str, Value, bool),
    Announce(Value),
    Query(Value),
    Step(Size),
    Question(Size),
    Run(Size),
    Pass(i64),
    Carry,
}

/// A text of so many characters, which take one, two, three or six bytes of JSON.
#[derive(Debug, Clone, Copy)]
struct Size(char, usize);

impl Size {
    fn text(self) -> String {
        std::iter::repeat_n(self.0, self.1).collect()
    }
}

fn sizes() -> impl Strategy<Value = Size> {
    let kind = prop_oneof![Just('x'), Just('"'), Just('\u{1}'), Just('é')];
    let length = prop_oneof![
        8 => 0..12_usize,
        4 => 60..600_usize,
        1 => Just(INPUT_LIMIT),
        1 => Just(700_000),
        1 => Just(2_000_000),
    ];
    (kind, length).prop_map(|(kind, length)| Size(kind, length))
}

/// An input with every field that any update knows, each too long now and then.
fn requests() -> impl Strategy<Value = (&'static str, Value)> {
    let words = (sizes(), sizes(), sizes(), 0..40_u16);
    (proptest::sample::select(&UPDATES[..]), words).prop_map(|(name, (a, b, c, n))| {
        let id = format!("job-{n}");
        let mut input = match name {
            "sync" => json!({ "confirm": c.text() }),
            "override" => json!({ "id": id, "enabled": false, "reason": a.text(), "by": b.text() }),
            "clear_override" | "trigger" => {
                json!({ "id": id, "reason": a.text(), "by": b.text() })
            }
            "adopt" => json!({ "id": id, "from": a.text(), "by": b.text(), "revision": c.text() }),
            "suspend" | "resume" => json!({ "reason": a.text(), "by": b.text() }),
            "backfill" => json!({
                "id": id, "from": "2026-01-01", "to": "2026-01-02", "reason": a.text(),
                "by": b.text(),
            }),
            "select" => json!({ "selector": format!("a={}", a.text()) }),
            _ => json!({ a.text(): b.text() }),
        };
        if n % 3 == 0 {
            input["request_id"] = format!("{n}{}", c.text()).into();
        }
        (name, input)
    })
}

fn announcements() -> impl Strategy<Value = Value> {
    (0..9_u16, 0..4_u8, sizes(), sizes(), 0..150_usize).prop_map(|(n, kind, a, b, ids)| {
        let ids: Vec<String> = (0..ids)
            .map(|id| format!("{}{id}", "j".repeat(120)))
            .collect();
        match kind {
            0 => json!({ "worker": a.text(), "revision": b.text() }),
            1 => json!({ "worker": format!("w{n}"), "revision": "1", "version": a.text() }),
            2 => json!({
                "worker": format!("w{n}"), "event": "changed", "previous": a.text(),
                "revision": format!("{n}"), "changed": ids, "unknown": b.text(),
            }),
            _ => json!({
                "worker": format!("w{n}"), "event": "started", "revision": format!("{n}"),
            }),
        }
    })
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (requests(), proptest::bool::weighted(0.9))
            .prop_map(|((name, input), checked)| Act::Update(name, input, checked)),
        3 => announcements().prop_map(Act::Announce),
        1 => sizes().prop_map(|size| Act::Query(json!({ "id": size.text() }))),
        3 => sizes().prop_map(Act::Step),
        2 => sizes().prop_map(Act::Question),
        2 => sizes().prop_map(Act::Run),
        1 => (0..500_i64).prop_map(Act::Pass),
        1 => Just(Act::Carry),
    ]
}

fn raw(value: &Value) -> RawValue {
    RawValue::new(vec![Payload {
        data: serde_json::to_vec(value).unwrap(),
        ..Payload::default()
    }])
}

/// Handles an update as the workflow's handlers do.
fn update(
    machine: &mut Coordinator,
    name: &str,
    input: &RawValue,
    checked: bool,
) -> Result<Value, RequestProblem> {
    macro_rules! decided {
        ($request:ty, $admits:expr, $decide:expr) => {{
            if checked {
                handler_input::check_size(name, input)?;
            }
            let request: $request = handler_input::request(name, input, None)?;
            if checked {
                $admits(machine, &request)?;
            }
            $decide(machine, &request).map(|answer| json!(answer))
        }};
    }
    match name {
        "sync" => decided!(SyncRequest, Coordinator::admits, Coordinator::sync),
        "override" => {
            decided!(
                OverrideRequest,
                Coordinator::admits_override,
                Coordinator::set_override
            )
        }
        "clear_override" => {
            decided!(
                ClearRequest,
                Coordinator::admits_clearing,
                Coordinator::clear_override
            )
        }
        "adopt" => decided!(
            AdoptRequest,
            Coordinator::admits_adoption,
            Coordinator::adopt
        ),
        "suspend" => decided!(
            SuspendRequest,
            Coordinator::admits_suspension,
            Coordinator::suspend
        ),
        "resume" => decided!(
            SuspendRequest,
            Coordinator::admits_resumption,
            Coordinator::resume
        ),
        "trigger" => decided!(
            RunRequest,
            |m: &Coordinator, r: &RunRequest| m.admits_run(RunKind::Trigger, r),
            |m: &mut Coordinator, r: &RunRequest| m.ask_run(RunKind::Trigger, r)
        ),
        "backfill" => decided!(
            RunRequest,
            |m: &Coordinator, r: &RunRequest| m.admits_run(RunKind::Backfill, r),
            |m: &mut Coordinator, r: &RunRequest| m.ask_run(RunKind::Backfill, r)
        ),
        "select" => {
            handler_input::check_size(name, input)?;
            let request: SelectRequest = handler_input::request(name, input, None)?;
            Ok(request.selector.to_string().into())
        }
        _ => Err("unknown".into()),
    }
}

/// The answer of a worker that says as much as it can.
fn large(size: Size, input: &PassInput) -> Attempt {
    let text = size.text();
    let overrides = (0..30).map(|n| {
        let one = Override {
            enabled: Some(false),
            reason: text.clone(),
            ..Override::default()
        };
        (id(&format!("job-{n}")), Some(one))
    });
    let mut corrections = input.corrections.clone();
    let times = BTreeMap::from([(Field::Times, vec![at(0); 1 + size.1.min(2000)])]);
    corrections.insert(id("job-1"), times);
    Attempt::Done(Box::new(PassDone {
        report: Report {
            errors: vec![
                ReportError {
                    message: text.clone(),
                    ..ReportError::default()
                };
                3
            ],
            held: Some(Held {
                digest: text.clone(),
                reason: text.clone(),
                ids: vec![text.clone()],
                count: 1,
            }),
            ..Report::default()
        },
        removed: 1,
        overrides: overrides.collect(),
        corrections,
        ..PassDone::default()
    }))
}

fn fits(machine: &Coordinator) -> Result<(), TestCaseError> {
    let all = machine.history(None, &HistoryRequest::default());
    for (what, size) in [
        ("status", json_size(&machine.status())),
        ("history", json_size(&all)),
        ("the state", json_size(&machine.carried())),
        ("the memo", json_size(&machine.memo())),
    ] {
        prop_assert!(size <= PAYLOAD_LIMIT, "{what} has {size} bytes");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_requests_leave_a_state_that_fits_and_goes_on(
        story in proptest::collection::vec(acts(), 1..60)
    ) {
        let mut machine = fresh();
        machine.announce(&started("w0", "0"));
        let mut suspended = None;
        for act in story {
            match act {
                Act::Update(name, input, checked) => {
                    let input = raw(&input);
                    let answer = update(&mut machine, name, &input, checked);
                    let is_large = handler_input::size(&input) > INPUT_LIMIT;
                    prop_assert!(!(checked && is_large && answer.is_ok()));
                    if let Ok(answer) = &answer {
                        prop_assert!(json_size(answer) <= INPUT_LIMIT);
                    }
                    if matches!(name, "suspend" | "resume") && answer.is_ok() {
                        suspended = machine.status().suspended;
                        prop_assert_eq!(suspended.is_some(), name == "suspend");
                    }
                }
                Act::Announce(input) => match handler_input::announcement(&raw(&input)) {
                    Some(announcement) => machine.receive_announcement(&announcement),
                    None => machine.ignore(),
                },
                Act::Query(input) => {
                    let asked = handler_input::history_request(&raw(&input));
                    prop_assert_eq!(asked.is_err(), handler_input::size(&raw(&input)) > INPUT_LIMIT);
                }
                Act::Step(size) => match machine.next() {
                    Next::Wait(_) => {}
                    Next::Probe(workers, input) => {
                        for worker in &workers {
                            machine.probed(worker, &input, Attempt::Refused(revision(&size.text()), None));
                        }
                    }
                    Next::Run(_, input) => {
                        prop_assert!(json_size(&*input) <= PAYLOAD_LIMIT);
                        let attempt = if size.1 % 5 == 0 {
                            Attempt::Failed(size.text())
                        } else {
                            large(size, &input)
                        };
                        machine.ended(&input, attempt);
                    }
                },
                Act::Question(size) => if let Some((worker, input)) = machine.next_probe(false) {
                    prop_assert!(json_size(&input) <= PAYLOAD_LIMIT);
                    let announcement = Announcement {
                        number: 1 + size.1 as u64,
                        version: size.text(),
                        ..announcement_of(worker.as_str(), WorkerEvent::Changed, Some(&size.text()), "5")
                    };
                    machine.answer(&worker, &input, Attempt::Done(Box::new(PassDone {
                        announcements: Some(vec![announcement; 40]),
                        ..PassDone::default()
                    })));
                },
                Act::Run(size) => if let Some(order) = machine.next_run() {
                    prop_assert!(json_size(&order) <= INPUT_LIMIT);
                    let text = size.text();
                    machine.run_seen(order.number, RunBaseline {
                        recent: vec![text.clone(); 3],
                        ..RunBaseline::default()
                    });
                    machine.run_ended(&order, RunAnswer {
                        state: RunState::Started,
                        workflow_id: Some(text.clone()),
                        runs: vec![StartedRun { workflow_id: text.clone(), run_id: text.clone() }; 3],
                        running: vec![text.clone()],
                        message: text,
                        ..RunAnswer::default()
                    });
                },
                Act::Pass(seconds) => machine.tick(machine.now() + SignedDuration::from_secs(seconds)),
                Act::Carry => {
                    let carried = serde_json::to_value(machine.carried()).unwrap();
                    machine = Coordinator::new(handler_input::state(&raw(&carried)), machine.now());
                }
            }
            fits(&machine)?;
            prop_assert_eq!(&machine.status().suspended, &suspended);
        }
    }
}

/// Every part of a state as full as requests can make it.
#[test]
fn a_state_whose_parts_are_all_full_fits_and_keeps_the_requests() {
    let mut machine = settled();
    let reason = "\"".repeat(200);
    let by = "é".repeat(80);
    let mut refused = 0;
    for n in 0..600 {
        let name = |kind: &str| format!("{kind}-{n}-{}", "x".repeat(100));
        let definition = Some(id(&name("d")));
        let over = OverrideRequest {
            request_id: name("o"),
            id: definition.clone(),
            enabled: Some(false),
            reason: reason[..100].to_owned(),
            by: by.clone(),
            ..OverrideRequest::default()
        };
        let adopt = AdoptRequest {
            request_id: name("a"),
            id: definition.clone(),
            from: almanac_base::names::ScheduleId::from_server("\"".repeat(450)),
            by: by.clone(),
            ..AdoptRequest::default()
        };
        let trigger = RunRequest {
            request_id: name("t"),
            id: definition,
            reason: reason.clone(),
            by: by.clone(),
            ..RunRequest::default()
        };
        for (name, request) in [
            ("override", json!(over)),
            ("adopt", json!(adopt)),
            ("trigger", json!(trigger)),
        ] {
            refused += usize::from(update(&mut machine, name, &raw(&request), true).is_err());
        }
    }
    assert!(refused > 100, "there is a limit: {refused}");
    let before = machine.status();
    assert!(before.orders.len() > 100 && before.adoptions.len() > 50);
    let pending = machine.runs_pending();
    fits(&machine).unwrap();
    let (_, input) = run(&mut machine);
    assert!(json_size(&input) <= PAYLOAD_LIMIT);
    let machine = Coordinator::new(machine.carried(), machine.now());
    let after = machine.status();
    assert_eq!(
        (before.orders, before.adoptions),
        (after.orders, after.adoptions)
    );
    assert_eq!(machine.runs_pending(), pending);
}

/// The history of an earlier release may have one.
#[test]
fn a_confirmation_that_no_validator_checked_fits_in_the_input_of_its_pass() {
    let mut machine = settled();
    let input = raw(&json!({ "confirm": "x".repeat(PAYLOAD_LIMIT) }));
    update(&mut machine, "sync", &input, false).unwrap();
    let (_, input) = run(&mut machine);
    assert!(json_size(&input) <= PAYLOAD_LIMIT);
    assert!(input.confirm.is_some(), "it does not become a plain pass");
}

#[test]
fn overrides_that_the_workflow_cannot_remember_are_counted() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    let overrides = (0..3000).map(|n| {
        let one = Override {
            enabled: Some(false),
            reason: "x".repeat(200),
            ..Override::default()
        };
        (id(&format!("job-{n:04}")), Some(one))
    });
    machine.ended(
        &input,
        Attempt::Done(Box::new(PassDone {
            overrides: overrides.collect(),
            ..PassDone::default()
        })),
    );
    let status = machine.status();
    let kept = status.overrides.len() as u64;
    assert!(kept > 500, "{kept}");
    assert_eq!(kept + status.overrides_left, 3000);
}
