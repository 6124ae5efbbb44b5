//! Valid steps of documents, and the JSON that they become.

use serde_json::json;

use super::definition;
use super::good::OWS;
use super::schema::to_json;
use crate::definition::Program;

/// Every task, with most of its keys.
pub(super) const EVERY_STEP: &str =
    include_str!("../../../../steps/src/language/tests/every_step.yaml");

#[test]
fn every_task_is_read() {
    let flow = almanac_steps::language::parse(&to_json(EVERY_STEP)).unwrap();
    assert_eq!(flow.list("/do").len(), 11);
    steps_of(EVERY_STEP);
}

fn steps_of(text: &str) -> serde_json::Value {
    match definition(text).program {
        Program::Steps(steps) => steps.value(),
        Program::Workflow(_) => panic!("no steps"),
    }
}

#[test]
fn the_keys_beside_do_are_passed_on_with_the_steps() {
    let text = "
use: { timeouts: { short: { after: PT5M } } }
input: { from: .a }
output: { as: { b: \"${ . }\" } }
timeout: short
do: [a: { do: [b: { wait: PT90M }] }]
";
    assert_eq!(
        steps_of(text),
        json!({
            "use": { "timeouts": { "short": { "after": "PT5M" } } },
            "input": { "from": ".a" },
            "output": { "as": { "b": "${ . }" } },
            "timeout": "short",
            "do": [{ "a": { "do": [{ "b": { "wait": { "hours": 1, "minutes": 30 } } }] } }],
        })
    );
}

#[test]
fn a_header_travels_only_where_an_expression_may_read_it() {
    // Else a new title would be a change of what runs.
    let unread = steps_of(OWS);
    assert!(unread.is_array());
    let evaluated = OWS.replace("do:\n", "evaluate: { language: jq, mode: strict }\ndo:\n");
    assert_eq!(steps_of(&evaluated), unread, "the default changes nothing");
    let read = steps_of(&OWS.replace(
        "{ wait: { seconds: 5 } }",
        "{ if: $workflow.definition.document.version == \"1\", wait: PT5S }",
    ));
    assert_eq!(read["document"]["name"], json!("invoices"));
}
