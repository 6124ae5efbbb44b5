//! The scenarios of the step language, on the interpreter alone. The services that they call are
//! simulated here, with the answers that each scenario states.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use almanac_core::definition::{Diagnostic, Parsed, Program, yaml_value};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::scenario::{Call, End, Finding, Scenario, error_type, has, name, paths, same};
use super::{about, continued, read};
use crate::language::{CallOutput, Flow, SHAPES, Temporal};
use crate::machine::{Command, Effect, EffectId, Entry, Fault, Machine, Standard, Status, Turn};

/// Minimum number of scenarios: files that are not found must not go unseen.
const SCENARIOS: usize = 250;
/// Maximum number of turns of a scenario's run.
const TURNS: usize = 1000;

/// All scenarios, with the paths of their files. A file that cannot be read is a panic.
fn scenarios() -> Vec<(PathBuf, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let read = |path: PathBuf| {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test may read the files it tests"
        )]
        let text = std::fs::read_to_string(&path).unwrap();
        match Scenario::read(&text) {
            Ok(scenario) => (path, scenario),
            Err(why) => panic!("{}: {why}", path.display()),
        }
    };
    let all: Vec<_> = paths(&folder).into_iter().map(read).collect();
    assert!(all.len() >= SCENARIOS, "only {} scenarios", all.len());
    all
}

#[test]
fn every_scenario_holds() {
    let mut failed = Vec::new();
    for (path, scenario) in scenarios() {
        if let Err(why) = check(&name(&path), &scenario) {
            failed.push(format!("{}: {}: {why}", path.display(), scenario.title));
        }
    }
    assert!(failed.is_empty(), "{}\n", failed.join("\n"));
}

/// The scenarios use the language as a whole, what is refused included.
#[test]
fn every_key_of_the_language_is_in_a_scenario() {
    let mut used = BTreeSet::new();
    for (path, scenario) in scenarios() {
        let definition = yaml_value(&scenario.definition);
        keys(
            &definition.unwrap_or_else(|why| panic!("{}: {why}", path.display())),
            &mut used,
        );
    }
    // Keys that start runs are tested with definitions.
    let of_triggers = ["trigger", "start_events", "start_filter"];
    let shapes = SHAPES
        .iter()
        .filter(|(_, name)| !of_triggers.contains(name));
    let known = shapes.flat_map(|(shape, _)| {
        let refused = shape.refused.iter().map(|(key, _)| *key);
        shape.keys.iter().copied().chain(refused)
    });
    let missing: BTreeSet<&str> = known.filter(|key| !used.contains(*key)).collect();
    assert!(missing.is_empty(), "no scenario has {missing:?}");
}

fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
        Value::Object(map) => {
            into.extend(map.keys().cloned());
            map.values().for_each(|item| keys(item, into));
        }
        _ => {}
    }
}

/// Compares a scenario with what happens: once in one execution, and once in as many executions as
/// possible.
fn check(name: &str, scenario: &Scenario) -> Result<(), String> {
    let document = scenario.document(name);
    let found = |findings: &[Finding], found: &[Diagnostic]| {
        findings_are(findings, found, &scenario.definition)
    };
    found(&scenario.expect.warned, &document.warnings)?;
    let steps = match document.result {
        Err(errors) => return found(&scenario.expect.refused, &errors),
        Ok(Parsed::Definition(definition)) => match &definition.program {
            Program::Steps(steps) => steps.clone(),
            Program::Workflow(_) => return Err("the definition has no steps".to_owned()),
        },
        Ok(Parsed::Calendar(_) | Parsed::EventType(_)) => {
            return Err("the document is no definition".to_owned());
        }
    };
    if !scenario.expect.refused.is_empty() {
        return Err("the definition is accepted".to_owned());
    }
    let flow = read(&steps.value());
    Play::new(scenario, &flow).holds()?;
    let mut parts = Play::new(scenario, &flow);
    parts.is_left = true;
    parts
        .holds()
        .map_err(|why| format!("if the run continues as new: {why}"))
}

fn findings_are(
    expected: &[Finding],
    found: &[Diagnostic],
    definition: &str,
) -> Result<(), String> {
    let place = |found: &Diagnostic| {
        let line = definition.lines().nth(found.line - 1).unwrap_or_default();
        line.chars().skip(found.column - 1).collect::<String>()
    };
    let mut left: Vec<&Diagnostic> = found.iter().collect();
    let all_are_found = expected.iter().all(|Finding { at, says }| {
        let fits = |found: &&Diagnostic| {
            place(found).starts_with(at.as_str()) && found.message.contains(says.as_str())
        };
        let index = left.iter().position(fits);
        index.map(|index| left.remove(index)).is_some()
    });
    if all_are_found && left.is_empty() {
        return Ok(());
    }
    let found = found
        .iter()
        .map(|found| format!("at `{}`: {}", place(found), found.message));
    let found: Vec<String> = found.collect();
    Err(format!("expected {expected:?}, found {found:?}"))
}

/// An effect that is under way. A listener has no end.
struct Active {
    end: Option<Timestamp>,
    outcome: Result<Value, Fault>,
}

/// A run of a scenario, with a clock of its own.
struct Play<'s> {
    scenario: &'s Scenario,
    flow: Arc<Flow>,
    machine: Machine,
    /// `true` if the run is continued from its position after each turn, where possible.
    is_left: bool,
    now: Timestamp,
    active: BTreeMap<EffectId, Active>,
    events: VecDeque<Value>,
    /// The calls that the run has not made yet.
    calls: Vec<&'s Call>,
    began: Vec<String>,
    emitted: Vec<Value>,
    differences: Vec<String>,
}

impl<'s> Play<'s> {
    fn new(scenario: &'s Scenario, flow: &Arc<Flow>) -> Self {
        let now = Timestamp::UNIX_EPOCH;
        let input = scenario.input.clone();
        Self {
            scenario,
            flow: Arc::clone(flow),
            machine: Machine::start(Arc::clone(flow), about(), input, now).logged(),
            is_left: false,
            now,
            active: BTreeMap::new(),
            events: scenario.events().collect(),
            calls: scenario.calls.iter().collect(),
            began: Vec::new(),
            emitted: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// Runs the scenario, and compares everything that it expects.
    fn holds(mut self) -> Result<(), String> {
        let end = self.end()?;
        if let Some(difference) = self.differences.into_iter().next() {
            return Err(difference);
        }
        let expect = &self.scenario.expect;
        expect.holds(&end)?;
        if let Some(call) = self.calls.first() {
            return Err(format!(
                "the run did not make the call {:?}",
                call.request()
            ));
        }
        if let Some(began) = &expect.began {
            same("began", &json!(began), &json!(self.began))?;
        }
        if let Some(emitted) = &expect.emitted {
            let count = json!(emitted.len());
            same("the number of events", &count, &json!(self.emitted.len()))?;
            for (index, (wanted, event)) in emitted.iter().zip(&self.emitted).enumerate() {
                let nothing = Map::new();
                let event = event.as_object().unwrap_or(&nothing);
                has(&format!("emitted/{index}"), wanted, event)?;
            }
        }
        let elapsed = self.now.duration_since(Timestamp::UNIX_EPOCH);
        match expect.elapsed {
            Some(expected) if expected != elapsed => {
                Err(format!("the run took {elapsed}, expected {expected}"))
            }
            None if elapsed > SignedDuration::from_secs(2) => Err(format!(
                "the run took {elapsed}, and `elapsed` does not say so"
            )),
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Result<End, String> {
        for _ in 0..TURNS {
            let mut status = self.turn();
            if self.is_left && matches!(status, Status::Waiting | Status::Yielded) {
                self.machine.leave();
                status = self.turn();
                if status == Status::Held {
                    self.machine = continued(&self.machine, &self.flow);
                    self.active.clear();
                    status = self.turn();
                } else {
                    self.machine.stay();
                }
            }
            match status {
                Status::Completed(output) => return Ok(End::Completed(output)),
                Status::Faulted(fault) => {
                    return Ok(End::Faulted(serde_json::to_value(fault).unwrap()));
                }
                Status::Waiting if !self.go_on() => return Ok(End::Waiting),
                Status::Waiting | Status::Yielded => {}
                Status::Held => return Err("the run is held".to_owned()),
            }
        }
        Err("the run does not end".to_owned())
    }

    fn turn(&mut self) -> Status {
        let Turn {
            commands,
            log,
            status,
            ..
        } = self.machine.advance(self.now);
        for command in commands {
            match command {
                Command::Start {
                    id,
                    effect,
                    options,
                    ..
                } => {
                    let active = self.start(effect, &options);
                    self.active.insert(id, active);
                }
                Command::Cancel { id } => {
                    let was = self.active.remove(&id);
                    assert!(was.is_some(), "{id} is not under way");
                }
            }
        }
        for entry in log {
            match entry {
                Entry::Began { task } => {
                    let name = task.rsplit('/').next().unwrap();
                    self.began.push(name.replace("~1", "/").replace("~0", "~"));
                }
                // The log says so after it said that the step begins.
                Entry::Skipped { .. } => drop(self.began.pop()),
                _ => {}
            }
        }
        status
    }

    /// Ends what has ended, delivers an event, or lets time pass. `false` if the run waits for an
    /// event and there is none.
    fn go_on(&mut self) -> bool {
        let ends = self.active.iter();
        let next = ends
            .filter_map(|(id, active)| Some((active.end?, *id)))
            .min();
        match next {
            Some((end, id)) if end <= self.now || self.events.is_empty() => {
                self.now = self.now.max(end);
                let active = self.active.remove(&id).unwrap();
                self.machine.complete(id, active.outcome);
            }
            _ => match self.events.pop_front() {
                Some(event) => drop(self.machine.deliver(event)),
                None => return false,
            },
        }
        true
    }

    fn start(&mut self, effect: Effect, options: &Temporal) -> Active {
        let (duration, outcome) = match effect {
            Effect::Listen { .. } => {
                return Active {
                    end: None,
                    outcome: Ok(Value::Null),
                };
            }
            Effect::Timer { duration } => (duration.try_into().unwrap(), Ok(Value::Null)),
            Effect::Emit { event } => {
                self.emitted.push(event);
                (SignedDuration::ZERO, Ok(Value::Null))
            }
            call => match self.take(&call, options) {
                Some(taken) => (taken.takes.unwrap_or_default(), answer(taken, &call)),
                None => (
                    SignedDuration::ZERO,
                    Err(Standard::Communication.fault("the scenario has no such call")),
                ),
            },
        };
        Active {
            end: Some(self.now + duration),
            outcome,
        }
    }

    /// Takes the scenario's next call that fits an effect.
    fn take(&mut self, effect: &Effect, options: &Temporal) -> Option<&'s Call> {
        let effect = serde_json::to_value(effect).unwrap();
        let options = options_map(options);
        let mut why = "the scenario has no further call".to_owned();
        for (index, call) in self.calls.iter().enumerate() {
            let (kind, expected) = call.request().expect("a call has one request");
            let fits = match effect[kind].as_object() {
                Some(found) => has("call", expected, found)
                    .and_then(|()| has("options", &call.options, &options)),
                None => Err(format!("it is no {kind}")),
            };
            match fits {
                Ok(()) => return Some(self.calls.remove(index)),
                Err(difference) if index == 0 => why = difference,
                Err(_) => {}
            }
        }
        self.differences
            .push(format!("the run makes the call {effect}: {why}"));
        None
    }
}

/// Temporal's options of a call, as a scenario writes them.
fn options_map(options: &Temporal) -> Map<String, Value> {
    let duration = |duration: Option<std::time::Duration>| {
        let duration = SignedDuration::try_from(duration?).unwrap();
        Some(json!(duration.to_string()))
    };
    let entries = [
        ("start_to_close", duration(options.start_to_close)),
        ("schedule_to_close", duration(options.schedule_to_close)),
        ("schedule_to_start", duration(options.schedule_to_start)),
        ("heartbeat", duration(options.heartbeat)),
        ("task_queue", options.task_queue.clone().map(Value::from)),
        ("priority", options.priority.map(Value::from)),
        ("summary", options.summary.clone().map(Value::from)),
    ];
    let present = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    present.collect()
}

/// The result of a call.
fn answer(call: &Call, effect: &Effect) -> Result<Value, Fault> {
    if let Some(error) = &call.error {
        return Err(fault(error));
    }
    let (method, uri, output) = match effect {
        Effect::Http(request) => (request.method.as_str(), &request.uri, request.output),
        Effect::OpenApi(request) => ("get", &request.document, request.output),
        _ => return Ok(call.answer.clone()),
    };
    let status = call.status;
    if !(200..300).contains(&status) {
        let fault = Standard::Communication.fault(format!("the service answered {status}"));
        return Err(Fault { status, ..fault });
    }
    Ok(match output {
        CallOutput::Content => call.answer.clone(),
        CallOutput::Raw => json!(call.raw.as_ref().expect("`raw` is the answer in base64")),
        CallOutput::Response => json!({
            "request": { "method": method.to_uppercase(), "uri": uri, "headers": {} },
            "headers": { "content-type": "application/json" },
            "statusCode": status,
            "content": call.answer,
        }),
    })
}

/// The error of a call. The properties of a standard type need not be written.
fn fault(error: &Map<String, Value>) -> Fault {
    let text = |key: &str| Some(error.get(key)?.as_str()?.to_owned());
    let kind = error_type(&text("type").expect("an error has a type"));
    let standard = Standard::ALL.into_iter().find(|it| it.kind() == kind);
    let (status, title) = match standard.map(|standard| standard.fault("")) {
        Some(fault) => (Some(fault.status), fault.title),
        None => (None, None),
    };
    let written = error.get("status").and_then(Value::as_u64);
    Fault {
        kind,
        status: written
            .map_or(status, |written| written.try_into().ok())
            .expect("a status"),
        title: text("title").or(title),
        detail: text("detail"),
        instance: None,
    }
}
