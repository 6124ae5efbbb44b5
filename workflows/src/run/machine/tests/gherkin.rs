//! The part of Gherkin that the conformance features use.

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
