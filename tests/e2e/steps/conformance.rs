//! The scenarios of the step language and the specification's conformance features, on a real
//! server.
//!
//! A stand-in on a loopback address takes the place of the services that they call, so the
//! addresses in them are rewritten. A NATS server takes the events that they emit.
//!
//! The features are not part of this repository: the environment variable `ALMANAC_OWS` names a
//! folder with them. Without it, their test is ignored.

#[path = "../../../crates/steps/src/machine/tests/gherkin.rs"]
mod gherkin;
#[path = "../../../crates/steps/src/machine/tests/scenario.rs"]
#[expect(dead_code, reason = "the interpreter's own test compares more")]
mod scenario;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use almanac_core::definition::yaml_value;
use almanac_tests::{Nats, Project, Scheduler, json_payloads, on_one_scheduler};
use anyhow::{Context, bail, ensure};
use futures::{StreamExt, stream};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use self::gherkin::{End, Scenario, scenarios};
use self::scenario::Call;
use super::{end, problem, start};
use crate::web::{Answer, Request, Web};

on_one_scheduler!(every_scenario_of_the_repository_holds);

/// Minimum number of the repository's scenarios that run on a server.
const SERVED: usize = 160;
/// Number of runs that are under way at the same time.
const AT_ONCE: usize = 16;
/// The host in the scenarios' addresses.
const HOST: &str = "http://service.example";

/// A scenario of the repository.
struct Case {
    /// The name of the scenario, and the first part of each path that its run calls.
    name: String,
    /// The id of the definition.
    id: String,
    scenario: scenario::Scenario,
}

/// The services of all scenarios.
struct Services {
    cases: Arc<Vec<Case>>,
    /// The calls that were made, as the case's and the call's number.
    made: Mutex<Vec<(usize, usize)>>,
    /// The requests that no scenario has.
    unexpected: Mutex<Vec<String>>,
}

/// All scenarios that need no other service than HTTP, and no long time.
async fn every_scenario_of_the_repository_holds(on: Scheduler) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/steps/scenarios");
    let mut cases = Vec::new();
    for path in scenario::paths(&folder) {
        let text = std::fs::read_to_string(&path)?;
        let scenario = scenario::Scenario::read(&text);
        let scenario = scenario.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
        if is_served(&scenario) {
            let name = scenario::name(&path);
            let document = scenario.document(&name);
            let id = document.id.context("an id")?.to_string();
            cases.push(Case { name, id, scenario });
        }
    }
    ensure!(cases.len() >= SERVED, "only {} scenarios", cases.len());
    let cases = Arc::new(cases);
    let services = Arc::new(Services {
        cases: Arc::clone(&cases),
        made: Mutex::default(),
        unexpected: Mutex::default(),
    });
    let answers = Arc::clone(&services);
    let web = Web::start(move |request| answers.answer(request)).await?;
    let project = Project::new(on).await?;
    for case in cases.iter() {
        let text = case.served(&case.scenario.definition, web.address());
        project.write(&format!("{}.yaml", case.name), &text)?;
    }
    let nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    let _worker = project
        .worker()
        .flag("--http-allow", web.address())
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    let results = stream::iter(cases.iter()).map(|case| case.check(&project, web.address()));
    let results: Vec<_> = results.buffered(AT_ONCE).collect().await;
    let stored = nats.stored("EVENTS").await?;
    let stored: Vec<Map<String, Value>> = stored
        .iter()
        .map(|stored| Ok(serde_json::from_slice(&stored.body)?))
        .collect::<anyhow::Result<_>>()?;
    let mut failed = services.unexpected.lock().unwrap().clone();
    let made = services.made.lock().unwrap();
    for (number, (case, result)) in cases.iter().zip(results).enumerate() {
        let mut differs = |why: String| failed.push(format!("{}: {why}", case.name));
        if let Err(error) = result {
            differs(format!("{error:#}"));
        }
        for (index, call) in case.scenario.calls.iter().enumerate() {
            if !made.contains(&(number, index)) {
                differs(format!(
                    "the run did not make the call {:?}",
                    call.request()
                ));
            }
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

/// Returns `true` if a scenario can run here: it calls nothing but HTTP without secrets, and ends
/// soon.
fn is_served(scenario: &scenario::Scenario) -> bool {
    let is_http = |call: &Call| {
        let secret = |http: &Map<String, Value>| {
            let authentication = http.get("authentication");
            authentication.is_some_and(|it| it["credentials"].get("secret").is_some())
        };
        call.error.is_none() && call.http.as_ref().is_some_and(|http| !secret(http))
    };
    let expect = &scenario.expect;
    let is_soon = |elapsed: SignedDuration| elapsed <= SignedDuration::from_secs(2);
    scenario.server.is_none()
        && scenario.calls.iter().all(is_http)
        && expect.refused.is_empty()
        && !expect.waits
        && expect.elapsed.is_none_or(is_soon)
}

impl Case {
    /// A text of the scenario, with the addresses of the stand-in.
    fn served(&self, text: &str, web: &str) -> String {
        text.replace(HOST, &format!("http://{web}/{}", self.name))
    }

    async fn check(&self, project: &Project, web: &str) -> anyhow::Result<()> {
        let input = self.served(&self.scenario.input.to_string(), web);
        let run = start(project, &self.id, serde_json::from_str(&input)?).await?;
        for event in self.scenario.events() {
            let payloads = json_payloads(&[event]);
            project.temporal().signal(&run, "event", payloads).await?;
        }
        let told = |value: Value| {
            let address = format!("http://{web}/{}", self.name);
            serde_json::from_str(&value.to_string().replace(&address, HOST))
        };
        let end = match end(project, &run).await? {
            Attributes::WorkflowExecutionCompletedEventAttributes(completed) => {
                let payloads = completed.result.context("a result")?.payloads;
                scenario::End::Completed(told(serde_json::from_slice(&payloads[0].data)?)?)
            }
            Attributes::WorkflowExecutionFailedEventAttributes(failed) => {
                let error = problem(failed.failure.context("a failure")?)?.1;
                scenario::End::Faulted(told(error)?)
            }
            other => bail!("the run ended with {other:?}"),
        };
        let held = self.scenario.expect.holds(&end);
        held.map_err(anyhow::Error::msg)
    }
}

impl Services {
    fn answer(&self, request: &Request) -> Answer {
        let mut made = self.made.lock().unwrap();
        let (target, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let (name, path) = target[1..].split_once('/').unwrap_or((&target[1..], ""));
        let number = self.cases.iter().position(|case| case.name == name);
        let calls = number.map(|number| (number, &self.cases[number].scenario.calls));
        if let Some((number, calls)) = calls {
            for (index, call) in calls.iter().enumerate() {
                if !made.contains(&(number, index)) && is_asked(call, request, path, query) {
                    made.push((number, index));
                    let answer = (call.status, call.answer.clone());
                    return call.takes.is_none().then_some(answer);
                }
            }
        }
        let mut unexpected = self.unexpected.lock().unwrap();
        unexpected.push(format!("no scenario has the request {request:?}"));
        Some((400, Value::Null))
    }
}

/// Returns `true` if a request is the one that a call describes.
fn is_asked(call: &Call, request: &Request, path: &str, query: &str) -> bool {
    let Some(http) = &call.http else {
        return false;
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let entries = |key: &str| {
        http.get(key)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let has_headers = entries("headers")
        .all(|(name, value)| request.headers.get(&name.to_ascii_lowercase()) == Some(&text(value)));
    let has_query = entries("query").all(|(name, value)| {
        let wanted = format!("{name}={}", text(value));
        query.split('&').any(|found| found == wanted)
    });
    let method = http.get("method").map(text);
    let body = http.get("body").filter(|body| !body.is_null()).map(|body| {
        serde_json::from_str(&request.body).is_ok_and(|found: Value| found == *body)
            || request.body == text(body)
    });
    http["uri"] == json!(format!("{HOST}/{path}"))
        && method.is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
        && body.unwrap_or(true)
        && has_headers
        && has_query
}

/// Number of the features' scenarios: one that is not found must not go unseen.
const SCENARIOS: usize = 21;

/// Folder of the features.
fn features() -> PathBuf {
    let folder = std::env::var_os("ALMANAC_OWS");
    let folder = folder.expect("ALMANAC_OWS names the folder of the specification's data");
    PathBuf::from(folder).join("ctk/features")
}

#[test]
#[ignore = "needs the specification's data: set ALMANAC_OWS"]
fn every_scenario_of_the_specification_holds() {
    almanac_tests::run(features_hold(Scheduler::Chasm));
}

async fn features_hold(on: Scheduler) -> anyhow::Result<()> {
    let files = std::fs::read_dir(features())?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = files.collect::<anyhow::Result<_>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(scenarios(&std::fs::read_to_string(file)?));
    }
    assert_eq!(all.len(), SCENARIOS);

    let project = Project::new(on).await?;
    let web = Web::start(|request| Some(services(request))).await?;
    for (number, scenario) in all.iter().enumerate() {
        let text = rewritten(scenario, number, web.address())?;
        project.write(&format!("{number:02}.yaml"), &text)?;
    }
    let nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    let _worker = project
        .worker()
        .flag("--http-allow", web.address())
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    let mut failed = Vec::new();
    for (number, scenario) in all.iter().enumerate() {
        if let Err(error) = check(&project, number, scenario).await {
            failed.push(format!("{}: {error:#}", scenario.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn id(number: usize) -> String {
    format!("scenario-{number:02}")
}

/// The scenario's workflow under a name of its own, with the addresses of the stand-in. If the
/// scenario states an order of tasks, each task records in the context that it ran.
fn rewritten(scenario: &Scenario, number: usize, web: &str) -> anyhow::Result<String> {
    let text = scenario.given().definition;
    let text = text
        .replace("https://petstore.swagger.io", &format!("http://{web}"))
        .replace("https://httpbin.org", &format!("http://{web}"));
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("  name: ") {
            lines.push(format!("  name: {}", id(number)));
            continue;
        }
        lines.push(line.to_owned());
        if !tells_an_order(scenario) {
            continue;
        }
        if line == "do:" {
            let at = lines.len() - 1;
            lines.insert(
                at,
                "output: { as: '{ output: ., ran: $context }' }".to_owned(),
            );
        }
        let task = line
            .strip_prefix("  - ")
            .and_then(|task| task.strip_suffix(':'));
        if let Some(task) = task {
            lines.push(format!(
                "      export: {{ as: '[$context | arrays[]] + [\"{task}\"]' }}"
            ));
        }
    }
    let text = lines.join("\n") + "\n";
    ensure!(text.contains(&id(number)), "it has no name: {text}");
    Ok(text)
}

/// Returns `true` if a scenario states in which order tasks run.
fn tells_an_order(scenario: &Scenario) -> bool {
    let mut texts = scenario.steps.iter().map(|step| step.text.as_str());
    texts.any(|text| text.contains(" should run "))
}

async fn check(project: &Project, number: usize, scenario: &Scenario) -> anyhow::Result<()> {
    let input = to_json(scenario.given().input);
    let run = start(project, &id(number), input).await?;
    let end = match end(project, &run).await? {
        Attributes::WorkflowExecutionCompletedEventAttributes(completed) => {
            let payloads = completed.result.context("a result")?.payloads;
            End::Completed(serde_json::from_slice(&payloads[0].data)?)
        }
        Attributes::WorkflowExecutionFailedEventAttributes(failed) => {
            End::Faulted(problem(failed.failure.context("a failure")?)?.1)
        }
        other => bail!("it ended with {other:?}"),
    };
    let (end, ran) = match end {
        End::Completed(told) if tells_an_order(scenario) => {
            let ran = serde_json::from_value(told["ran"].clone())?;
            (End::Completed(told["output"].clone()), ran)
        }
        end => (end, Vec::new()),
    };
    scenario
        .holds(&end, &ran, to_json)
        .map_err(anyhow::Error::msg)
}

fn to_json(yaml: &str) -> Value {
    yaml_value(yaml).expect("good YAML")
}

/// The answers of the pet store and the HTTP echo that the features use.
fn services(request: &Request) -> (u16, Value) {
    let pet = |id: u64| json!({ "id": id, "name": "Milou", "status": "available" });
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    if let Some(credentials) = path.strip_prefix("/basic-auth/") {
        // The two of the feature, as `username:password` in base64.
        assert_eq!(credentials, "serverless-workflow/conformance-test");
        let known = "Basic c2VydmVybGVzcy13b3JrZmxvdzpjb25mb3JtYW5jZS10ZXN0";
        let given = request.headers.get("authorization");
        let status = if given.is_some_and(|given| given == known) {
            200
        } else {
            401
        };
        return (status, json!({ "authenticated": status == 200 }));
    }
    match (path, query) {
        ("/v2/swagger.json", _) => (200, pet_store(&request.headers["host"])),
        ("/v2/pet/findByStatus", "status=available") => (200, json!([pet(1), pet(2)])),
        _ => match path.strip_prefix("/v2/pet/").map(str::parse) {
            Some(Ok(id)) => (200, pet(id)),
            _ => (404, json!({ "message": "no such pet" })),
        },
    }
}

/// The `OpenAPI` document of the pet store, with the host of the stand-in.
fn pet_store(host: &str) -> Value {
    let parameter = |name: &str, place: &str, more: Value| {
        let mut parameter = json!({ "name": name, "in": place, "required": true });
        parameter
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        parameter
    };
    let status =
        json!({ "type": "array", "items": { "type": "string" }, "collectionFormat": "multi" });
    let number = json!({ "type": "integer", "format": "int64" });
    json!({
        "swagger": "2.0",
        "host": host,
        "basePath": "/v2",
        "schemes": ["http"],
        "paths": {
            "/pet/findByStatus": { "get": {
                "operationId": "findPetsByStatus",
                "parameters": [parameter("status", "query", status)],
            } },
            "/pet/{petId}": { "get": {
                "operationId": "getPetById",
                "parameters": [parameter("petId", "path", number)],
            } },
        },
    })
}
