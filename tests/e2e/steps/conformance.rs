//! The specification's conformance features, on a real server.
//!
//! A stand-in on a loopback address takes the place of the services that they call, so the
//! addresses in them are rewritten. A NATS server takes the events that they emit.
//!
//! The features are not part of this repository: the environment variable `ALMANAC_OWS` names a
//! folder with them. Without it, the test is ignored.

#[path = "../../../crates/steps/src/machine/tests/gherkin.rs"]
mod gherkin;

use std::path::PathBuf;

use almanac_core::definition::yaml_value;
use almanac_tests::{Nats, Project, Scheduler};
use anyhow::ensure;
use serde_json::{Value, json};

use self::gherkin::{End, Scenario, scenarios};
use super::{result, start};
use crate::web::{Request, Web};

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
    let text = scenario.workflow().definition;
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
        if !states_an_order(scenario) {
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
fn states_an_order(scenario: &Scenario) -> bool {
    let mut texts = scenario.steps.iter().map(|step| step.text.as_str());
    texts.any(|text| text.contains(" should run "))
}

async fn check(project: &Project, number: usize, scenario: &Scenario) -> anyhow::Result<()> {
    let input = to_json(scenario.workflow().input);
    let run = start(project, &id(number), input).await?;
    let end = match result(project, &run).await? {
        Ok(output) => End::Completed(output),
        Err(error) => End::Faulted(error),
    };
    let (end, ran) = match end {
        End::Completed(output) if states_an_order(scenario) => {
            let ran = serde_json::from_value(output["ran"].clone())?;
            (End::Completed(output["output"].clone()), ran)
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
        let authorization = request.headers.get("authorization");
        let status = if authorization.is_some_and(|sent| sent == known) {
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
