//! The specification's conformance features, on the interpreter alone. The services that they call
//! are simulated here.
//!
//! The features are not part of this repository: the environment variable `ALMANAC_OWS` names a
//! folder with them. Without it, the test is ignored.

use std::path::PathBuf;

use almanac_core::definition::yaml_value;
use serde_json::{Value, json};

use super::gherkin::{End, Scenario, scenarios};
use super::{Run, nobody};
use crate::language::CallOutput;
use crate::machine::{Effect, Fault, RequestCredentials, Standard, Status};

/// Number of scenarios: one that is not found must not go unseen.
const SCENARIOS: usize = 21;

/// Folder of the specification's data.
fn specification() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may be told where its data is"
    )]
    let folder = std::env::var_os("ALMANAC_OWS");
    PathBuf::from(folder.expect("ALMANAC_OWS names the folder of the specification's data"))
}

/// A text of the features as JSON.
fn to_json(text: &str) -> Value {
    yaml_value(text).unwrap()
}

#[test]
#[ignore = "needs the specification's data: set ALMANAC_OWS"]
fn every_scenario_of_the_specification_holds() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(specification().join("ctk/features"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut held, mut failed) = (0, Vec::new());
    for file in files {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test may read the files it tests"
        )]
        let text = std::fs::read_to_string(&file).unwrap();
        for scenario in scenarios(&text) {
            match check(&scenario) {
                Ok(()) => held += 1,
                Err(why) => failed.push(format!("{}: {}: {why}", file.display(), scenario.name)),
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(held, SCENARIOS);
}

fn check(scenario: &Scenario) -> Result<(), String> {
    let workflow = scenario.workflow();
    let (steps, input) = (to_json(workflow.definition), to_json(workflow.input));
    let mut run = Run::new(&steps, input, service);
    let end = match run.go() {
        Status::Completed(output) => End::Completed(output),
        Status::Faulted(fault) => End::Faulted(serde_json::to_value(fault).unwrap()),
        other => return Err(format!("ended with {other:?}")),
    };
    let ran: Vec<String> = run.began().into_iter().map(str::to_owned).collect();
    scenario.holds(&end, &ran, to_json)
}

/// The answers of the pet store and the HTTP echo that the features use.
fn service(effect: &Effect) -> Result<Value, Fault> {
    let (uri, output) = match effect {
        Effect::Http(http) => {
            assert_eq!(http.method, "get");
            if let Some(credentials) = http.uri.strip_prefix("https://httpbin.org/basic-auth/") {
                let authentication = http.authentication.as_ref().expect("credentials");
                let RequestCredentials::Inline(inline) = &authentication.credentials else {
                    panic!("{authentication:?}")
                };
                let (user, password) = credentials.split_once('/').unwrap();
                assert_eq!(*inline, json!({ "username": user, "password": password }));
                return Ok(json!({ "authenticated": true }));
            }
            (http.uri.clone(), http.output)
        }
        Effect::OpenApi(call) => {
            assert_eq!(call.document, "https://petstore.swagger.io/v2/swagger.json");
            let parameter = |name: &str| match &call.parameters.as_ref().unwrap()[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let path = match call.operation.as_str() {
                "findPetsByStatus" => format!("findByStatus?status={}", parameter("status")),
                "getPetById" => parameter("petId"),
                other => panic!("{other}"),
            };
            (
                format!("https://petstore.swagger.io/v2/pet/{path}"),
                call.output,
            )
        }
        other => return nobody(other),
    };
    let pet = |id: u64| json!({ "id": id, "name": "Milou", "status": "available" });
    let path = uri
        .strip_prefix("https://petstore.swagger.io/v2/pet/")
        .expect("the pet store");
    let content = match (path, path.parse()) {
        ("findByStatus?status=available", _) => json!([pet(1), pet(2)]),
        (_, Ok(id)) => pet(id),
        _ => {
            let status = 404;
            let fault = Standard::Communication.fault("the pet store answered 404 Not Found");
            return Err(Fault { status, ..fault });
        }
    };
    Ok(match output {
        CallOutput::Content => content,
        CallOutput::Raw => panic!("no feature asks for it"),
        CallOutput::Response => json!({
            "request": { "method": "GET", "uri": uri, "headers": {} },
            "headers": { "content-type": "application/json" },
            "statusCode": 200,
            "content": content,
        }),
    })
}
