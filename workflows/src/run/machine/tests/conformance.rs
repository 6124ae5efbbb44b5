//! The specification's conformance features, on the interpreter alone. The
//! services that they call are answered here, as the real ones do.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::gherkin::{Scenario, Step, scenarios};
use super::{Run, nobody};
use crate::definition::tests::ows_examples::{ABSENT, specification};
use crate::definition::tests::schema::to_json;
use crate::run::language::CallOutput;
use crate::run::machine::{Effect, Fault, RequestCredentials, Standard, Status};

/// How many scenarios there are: one that is not found must not go unseen.
const SCENARIOS: usize = 21;

#[test]
#[expect(clippy::print_stderr, reason = "what was not run must be seen")]
fn every_scenario_of_the_specification_holds() {
    let Some(folder) = specification() else {
        eprintln!("conformance was not run: {ABSENT}");
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("ctk/features"))
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

/// A scenario on its way.
struct World {
    steps: Value,
    input: Value,
    ran: Option<(Run, Status)>,
}

fn check(scenario: &Scenario) -> Result<(), String> {
    let mut world = World {
        steps: Value::Null,
        input: json!({}),
        ran: None,
    };
    for step in &scenario.steps {
        world
            .step(step)
            .map_err(|why| format!("`{}`: {why}", step.text))?;
    }
    Ok(())
}

impl World {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let words: Vec<&str> = step.text.split(' ').collect();
        match (step.text.as_str(), words.as_slice()) {
            ("a workflow with definition:", _) => self.steps = to_json(&step.block),
            ("given the workflow input is:", _) => self.input = to_json(&step.block),
            ("the workflow is executed", _) => {
                let mut run = Run::new(&self.steps, self.input.clone(), service);
                let status = run.go();
                self.ran = Some((run, status));
            }
            ("the workflow should complete", _) => {
                self.output()?;
            }
            ("the workflow should complete with output:", _) => {
                same(self.output()?, &to_json(&step.block))?;
            }
            ("the workflow should fault", _) => {
                self.fault()?;
            }
            ("the workflow should fault with error:", _) => {
                let fault = serde_json::to_value(self.fault()?).unwrap();
                same(&fault, &to_json(&step.block))?;
            }
            (
                _,
                [
                    "the",
                    "workflow",
                    "output",
                    "should",
                    "have",
                    "properties",
                    ..,
                ],
            ) => {
                for path in step.text.split('\'').skip(1).step_by(2) {
                    property(self.output()?, path)?;
                }
            }
            (
                _,
                [
                    "the",
                    "workflow",
                    "output",
                    "should",
                    "have",
                    "a",
                    path,
                    "property",
                    "with",
                    "value:",
                ],
            ) => {
                let found = property(self.output()?, path.trim_matches('\''))?;
                same(found, &to_json(&step.block))?;
            }
            (
                _,
                [
                    "the",
                    "workflow",
                    "output",
                    "should",
                    "have",
                    "a",
                    path,
                    "property",
                    "containing",
                    count,
                    "items",
                ],
            ) => {
                let found = property(self.output()?, path.trim_matches('\''))?;
                let length = found.as_array().map(Vec::len);
                if length != count.parse().ok() {
                    return Err(format!("{found} has {length:?} items"));
                }
            }
            (_, [name, "should", "run", "first"]) => expect(self.began()?.first() == Some(name))?,
            (_, [name, "should", "run", "last"]) => expect(self.began()?.last() == Some(name))?,
            (_, [name, "should", "run", "after", other]) => {
                let began = self.began()?;
                let at = |name: &str| began.iter().position(|began| *began == name);
                expect(at(other).is_some() && at(other) < at(name))?;
            }
            _ => return Err("is not understood".to_owned()),
        }
        Ok(())
    }

    fn output(&self) -> Result<&Value, String> {
        match &self.ran {
            Some((_, Status::Completed(output))) => Ok(output),
            other => Err(format!(
                "ended with {:?}",
                other.as_ref().map(|(_, status)| status)
            )),
        }
    }

    fn fault(&self) -> Result<&Fault, String> {
        match &self.ran {
            Some((_, Status::Faulted(fault))) => Ok(fault),
            other => Err(format!(
                "ended with {:?}",
                other.as_ref().map(|(_, status)| status)
            )),
        }
    }

    fn began(&self) -> Result<Vec<&str>, String> {
        let (run, _) = self.ran.as_ref().ok_or("was not run")?;
        Ok(run.began())
    }
}

fn expect(holds: bool) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err("does not hold".to_owned())
    }
}

fn same(found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("is {found}, not {expected}"))
    }
}

fn property<'v>(value: &'v Value, path: &str) -> Result<&'v Value, String> {
    let pointer = format!("/{}", path.replace('.', "/"));
    value
        .pointer(&pointer)
        .ok_or_else(|| format!("{value} has no `{path}`"))
}

/// The pet store and the echo of HTTP, as far as the features use them.
fn service(effect: &Effect) -> Result<Value, Fault> {
    let (uri, output) = match effect {
        Effect::Http(http) => {
            assert_eq!(http.method, "get");
            if let Some(credentials) = http.uri.strip_prefix("https://httpbin.org/basic-auth/") {
                let authentication = http.authentication.as_ref().expect("credentials");
                let RequestCredentials::Inline(given) = &authentication.credentials else {
                    panic!("{authentication:?}")
                };
                let (user, password) = credentials.split_once('/').unwrap();
                assert_eq!(*given, json!({ "username": user, "password": password }));
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
