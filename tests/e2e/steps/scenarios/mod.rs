//! The scenarios of the step language, on a real server.
//!
//! Stand-ins give the answers that the scenarios state: [`services`] is a web server on a loopback
//! address, [`commands`] are programs, and [`other_worker`] does the activities and workflows of
//! other task queues. A NATS server takes the events.

#[path = "../../../../crates/steps/src/machine/tests/scenario.rs"]
#[expect(dead_code, reason = "the interpreter's own test compares more")]
mod scenario;

mod commands;
mod other_worker;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use almanac_tests::{Nats, Project, Scheduler, eventually, json_payloads, on_one_scheduler};
use anyhow::{Context, ensure};
use futures::{StreamExt, stream};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use self::commands::Commands;
use self::scenario::{Call, End, Scenario};
use super::{result, start};

on_one_scheduler!(every_scenario_of_the_repository_holds);

/// Minimum number of scenarios that run on a server.
const SERVED: usize = 160;
/// Minimum number of calls of each kind that these scenarios make.
const CALLS: [(&str, usize); 5] = [
    ("activity", 5),
    ("http", 24),
    ("open_api", 3),
    ("shell", 8),
    ("workflow", 4),
];
/// Number of runs that are under way at the same time.
const AT_ONCE: usize = 16;
/// The host in the scenarios' addresses.
const HOST: &str = "http://service.example";

/// A scenario, with its names.
struct Case {
    /// The name of the scenario, and the first part of each path that its run calls.
    name: String,
    /// The id of the definition.
    id: String,
    scenario: Scenario,
}

/// The scenarios, and the calls that their runs have made.
struct Cases {
    all: Vec<Case>,
    /// The calls that were made, as the case's and the call's number.
    made: Mutex<BTreeSet<(usize, usize)>>,
    /// The calls that no scenario has.
    unexpected: Mutex<Vec<String>>,
}

async fn every_scenario_of_the_repository_holds(on: Scheduler) -> anyhow::Result<()> {
    let cases = Arc::new(Cases::read()?);
    let project = Project::new(on).await?;
    let web = services::start(&cases).await?;
    let commands = Commands::write(&cases, &project.folder().join("commands"))?;
    for case in &cases.all {
        let text = case.served(&case.scenario.definition, web.address());
        project.write(&format!("{}.yaml", case.name), &text)?;
    }
    let nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    other_worker::start(&project, &cases);
    let mut worker = project
        .worker()
        .flag("--http-allow", web.address())
        .flag("--nats-url", &nats.url());
    for (flag, value) in commands.flags(&cases) {
        worker = worker.flag(flag, &value);
    }
    let _worker = worker.start().await?;

    let ends = cases.all.iter();
    let ends = ends.map(|case| case.check(&project, web.address()));
    let ends: Vec<_> = stream::iter(ends).buffered(AT_ONCE).collect().await;
    // A run does not wait for each call that it makes.
    let all_made = eventually("each call to be made", || async {
        commands.take_in(&cases)?;
        Ok(cases.left().is_empty())
    });
    let all_made = all_made.await;

    let mut failed = cases.unexpected.lock().unwrap().clone();
    if all_made.is_err() {
        failed.extend(cases.left());
    }
    let stored = nats.stored("EVENTS").await?;
    let stored: Vec<Map<String, Value>> = stored
        .iter()
        .map(|stored| Ok(serde_json::from_slice(&stored.body)?))
        .collect::<anyhow::Result<_>>()?;
    for (case, end) in cases.all.iter().zip(ends) {
        let mut differs = |why: String| failed.push(format!("{}: {why}", case.name));
        if let Err(error) = end {
            differs(format!("{error:#}"));
        }
        for wanted in case.scenario.expect.emitted.iter().flatten() {
            let is_stored =
                |event: &Map<String, Value>| scenario::has("event", wanted, event).is_ok();
            if !stored.iter().any(is_stored) {
                differs(format!("the stream has no event with {wanted:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Returns `true` if a scenario can run here: it uses no secrets, and ends soon.
fn is_served(scenario: &Scenario) -> bool {
    let expect = &scenario.expect;
    let is_soon = |elapsed: SignedDuration| elapsed <= SignedDuration::from_secs(2);
    scenario.server.is_none()
        && scenario.calls.iter().all(has_stand_in)
        && expect.refused.is_empty()
        && !expect.waits
        && expect.elapsed.is_none_or(is_soon)
}

/// Returns `true` if a stand-in can answer a call.
fn has_stand_in(call: &Call) -> bool {
    let Some((kind, request)) = call.request() else {
        return false;
    };
    let uses_secret = request.iter().any(|(key, value)| {
        key.ends_with("authentication") && value["credentials"].get("secret").is_some()
    });
    let is_answered = call.error.is_none() && !uses_secret;
    match kind {
        "http" => is_answered,
        // The others answer at once.
        _ if call.takes.is_some() => false,
        "open_api" => is_answered && request.contains_key("document"),
        "shell" => is_answered,
        _ => call.queue().is_some(),
    }
}

impl Call {
    /// The task queue of an activity or of a child workflow.
    fn queue(&self) -> Option<&str> {
        let (kind, request) = self.request()?;
        let place = match kind {
            "activity" => request,
            "workflow" => &self.options,
            _ => return None,
        };
        place.get("task_queue")?.as_str()
    }
}

impl Case {
    /// A text of the scenario, with the addresses and commands of the stand-ins.
    fn served(&self, text: &str, web: &str) -> String {
        let mut text = text.replace(HOST, &format!("http://{web}/{}", self.name));
        for (kind, request) in self.scenario.calls.iter().filter_map(Call::request) {
            if let ("shell", Some(Value::String(command))) = (kind, request.get("command")) {
                let here = commands::name(self, command);
                text = text.replace(&format!("command: {command}"), &format!("command: {here}"));
            }
        }
        text
    }

    async fn check(&self, project: &Project, web: &str) -> anyhow::Result<()> {
        let input = self.served(&self.scenario.input.to_string(), web);
        let run = start(project, &self.id, serde_json::from_str(&input)?).await?;
        for event in self.scenario.events() {
            let payloads = json_payloads(&[event]);
            project.temporal().signal(&run, "event", payloads).await?;
        }
        let restored = |value: Value| {
            let address = format!("http://{web}/{}", self.name);
            serde_json::from_str(&value.to_string().replace(&address, HOST))
        };
        let end = match result(project, &run).await? {
            Ok(output) => End::Completed(restored(output)?),
            Err(error) => End::Faulted(restored(error)?),
        };
        let held = self.scenario.expect.holds(&end);
        held.map_err(anyhow::Error::msg)
    }
}

impl Cases {
    fn read() -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/steps/scenarios");
        let mut all = Vec::new();
        let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
        for path in scenario::paths(&folder) {
            let text = std::fs::read_to_string(&path)?;
            let scenario = Scenario::read(&text);
            let scenario = scenario.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
            if is_served(&scenario) {
                for (kind, _) in scenario.calls.iter().filter_map(Call::request) {
                    *calls.entry(kind).or_default() += 1;
                }
                let name = scenario::name(&path);
                let document = scenario.document(&name);
                let id = document.id.context("an id")?.to_string();
                all.push(Case { name, id, scenario });
            }
        }
        ensure!(all.len() >= SERVED, "only {} scenarios", all.len());
        for (kind, minimum) in CALLS {
            let count = calls.get(kind).copied().unwrap_or_default();
            ensure!(count >= minimum, "only {count} calls of the kind {kind}");
        }
        Ok(Self {
            all,
            made: Mutex::default(),
            unexpected: Mutex::default(),
        })
    }

    /// All calls, with the numbers of the case and of the call.
    fn calls(&self) -> impl Iterator<Item = ((usize, usize), &Case, &Call)> {
        self.all.iter().enumerate().flat_map(|(number, case)| {
            let calls = case.scenario.calls.iter().enumerate();
            calls.map(move |(index, call)| ((number, index), case, call))
        })
    }

    /// Takes the next call that fits, of a case that fits. The other calls with the same request
    /// come later.
    fn take(
        &self,
        of: impl Fn(&Case) -> bool,
        fits: impl Fn(&Case, &Call) -> Result<(), String>,
    ) -> Result<(&Case, &Call), String> {
        let mut made = self.made.lock().unwrap();
        let mut why = "no scenario has such a call".to_owned();
        for (key, case, call) in self.calls() {
            if of(case) && !made.contains(&key) {
                match fits(case, call) {
                    Ok(()) => {
                        made.insert(key);
                        return Ok((case, call));
                    }
                    Err(difference) => why = difference,
                }
            }
        }
        Err(why)
    }

    /// Records that a run did what no scenario has.
    fn differs(&self, why: String) {
        self.unexpected.lock().unwrap().push(why);
    }

    /// The calls that were not made, in words.
    fn left(&self) -> Vec<String> {
        let made = self.made.lock().unwrap();
        let left = self.calls().filter(|(key, ..)| !made.contains(key));
        let left = left.map(|(_, case, call)| {
            format!(
                "{}: the run did not make the call {:?}",
                case.name,
                call.request()
            )
        });
        left.collect()
    }
}
