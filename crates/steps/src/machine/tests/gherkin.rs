//! Parser of the part of Gherkin that the specification's conformance features use, and the
//! comparison of a run with a scenario. The end-to-end tests use this module too.

use serde_json::Value;

/// A scenario: its name and its steps.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// A step without its keyword, and its text in `"""`.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) text: String,
    pub(super) block: String,
}

const KEYWORDS: [&str; 5] = ["Given ", "When ", "Then ", "And ", "But "];

/// The scenarios of a feature. A line that is not understood is a panic.
pub(super) fn scenarios(feature: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut lines = feature.lines();
    // Free text describes the feature until its first scenario.
    while let Some(line) = lines.next() {
        let text = line.trim();
        if let Some(name) = text.strip_prefix("Scenario: ") {
            scenarios.push(Scenario {
                name: name.to_owned(),
                steps: Vec::new(),
            });
            continue;
        }
        let Some(scenario) = scenarios.last_mut() else {
            continue;
        };
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if text.starts_with("\"\"\"") {
            let indent = line.len() - line.trim_start().len();
            let block: Vec<&str> = lines
                .by_ref()
                .take_while(|line| line.trim() != "\"\"\"")
                .map(|line| line.get(indent..).unwrap_or_default())
                .collect();
            scenario.steps.last_mut().unwrap().block = block.join("\n") + "\n";
            continue;
        }
        let step = KEYWORDS
            .iter()
            .find_map(|keyword| text.strip_prefix(keyword));
        scenario.steps.push(Step {
            text: step
                .unwrap_or_else(|| panic!("not understood: {line}"))
                .to_owned(),
            block: String::new(),
        });
    }
    scenarios
}

/// The workflow of a scenario and its input.
#[derive(Debug)]
pub(super) struct ScenarioWorkflow<'s> {
    /// The workflow, as YAML.
    pub(super) definition: &'s str,
    /// Input of the run, as YAML.
    pub(super) input: &'s str,
}

/// The end of a run.
#[derive(Debug)]
pub(super) enum End {
    /// With an output.
    Completed(Value),
    /// With an error object.
    Faulted(Value),
}

impl Scenario {
    /// The workflow and the input of the scenario.
    pub(super) fn workflow(&self) -> ScenarioWorkflow<'_> {
        let block = |text: &str| {
            let step = self.steps.iter().find(|step| step.text == text);
            step.map(|step| step.block.as_str())
        };
        ScenarioWorkflow {
            definition: block("a workflow with definition:").expect("a definition"),
            input: block("given the workflow input is:").unwrap_or("{}"),
        }
    }

    /// Compares a run with everything that the scenario expects. `ran` has the names of the tasks
    /// that ran, in order. A step that is not understood is an error.
    pub(super) fn holds(
        &self,
        end: &End,
        ran: &[String],
        to_json: impl Fn(&str) -> Value,
    ) -> Result<(), String> {
        for step in &self.steps {
            expectation(step, end, ran, &to_json)
                .map_err(|why| format!("`{}`: {why}", step.text))?;
        }
        Ok(())
    }
}

fn expectation(
    step: &Step,
    end: &End,
    ran: &[String],
    to_json: &impl Fn(&str) -> Value,
) -> Result<(), String> {
    const SETUP_STEPS: [&str; 3] = [
        "a workflow with definition:",
        "given the workflow input is:",
        "the workflow is executed",
    ];
    let output = || match end {
        End::Completed(output) => Ok(output),
        End::Faulted(_) => Err(format!("ended with {end:?}")),
    };
    let fault = || match end {
        End::Faulted(fault) => Ok(fault),
        End::Completed(_) => Err(format!("ended with {end:?}")),
    };
    let text = step.text.as_str();
    if SETUP_STEPS.contains(&text) {
        return Ok(());
    }
    if let Some(which) = text.strip_prefix("the workflow output should have ") {
        let quoted: Vec<&str> = which.split('\'').skip(1).step_by(2).collect();
        let found: Result<Vec<&Value>, String> = quoted
            .iter()
            .map(|path| property(output()?, path))
            .collect();
        let found = found?;
        let rest = which.rsplit('\'').next().unwrap_or_default();
        let words: Vec<&str> = rest.split_whitespace().collect();
        return match (which.starts_with("properties "), words.as_slice()) {
            (true, []) => Ok(()),
            (false, ["property", "with", "value:"]) => same(found[0], &to_json(&step.block)),
            (false, ["property", "containing", count, "items"]) => {
                let length = found[0].as_array().map(Vec::len);
                holds(length.is_some() && length == count.parse().ok())
            }
            _ => Err("is not understood".to_owned()),
        };
    }
    let at = |name: &str| ran.iter().position(|ran| ran == name);
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["the", "workflow", "should", "complete"] => output().map(drop),
        ["the", "workflow", "should", "complete", "with", "output:"] => {
            same(output()?, &to_json(&step.block))
        }
        ["the", "workflow", "should", "fault"] => fault().map(drop),
        ["the", "workflow", "should", "fault", "with", "error:"] => {
            same(fault()?, &to_json(&step.block))
        }
        [name, "should", "run", "first"] => holds(at(name) == Some(0)),
        [name, "should", "run", "last"] => holds(ran.last().is_some_and(|last| last == name)),
        [name, "should", "run", "after", other] => {
            holds(at(other).is_some() && at(other) < at(name))
        }
        _ => Err("is not understood".to_owned()),
    }
}

fn holds(holds: bool) -> Result<(), String> {
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
