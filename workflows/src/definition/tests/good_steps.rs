//! What valid steps of documents become.

use serde_json::json;

use super::definition;
use super::good::OWS;
use super::schema::to_json;
use crate::definition::Program;

/// Every task, with most of its keys.
pub(crate) const EVERY_STEP: &str = r#"
id: every-step
use:
  secrets: [crm]
  authentications: { crm: { bearer: { use: crm } } }
  errors: { late: { type: https://x.org/late, status: 504, title: Late, detail: "${ .why }" } }
  retries: { gentle: { delay: PT1S, backoff: { linear: {} }, jitter: { from: PT0S, to: PT1S }, limit: { attempt: { count: 3, duration: PT1M }, duration: PT1H } } }
  timeouts: { short: { after: { minutes: 5 } } }
input: { schema: { format: json, document: { type: object } }, from: .a }
output: { as: { b: "${ . }" } }
timeout: { after: PT1H }
do:
  - fetch:
      if: .go
      call: http
      with:
        method: get
        endpoint: { uri: "https://x.org/{id}", authentication: { use: crm } }
        headers: { Accept: text/plain }
        query: "${ .query }"
        body: [1, null]
        output: response
        redirect: true
      input: { from: "{ id: .n }" }
      output: { as: .content }
      export: { as: "${ $context }" }
      timeout: short
      metadata: { temporal: { start_to_close: 15s, priority: 2 }, anything: 1 }
      then: archive
  - find: { call: openapi, with: { document: { endpoint: "${ .doc }" }, operationId: find, parameters: { n: 1 } } }
  - archive: { call: activity, with: { name: Archive, task_queue: crm, arguments: ["${ .id }"] } }
  - all: { for: { each: pet, in: .pets, at: i }, while: .more, do: [one: { set: "${ $pet }" }] }
  - both: { fork: { compete: true, branches: [a: { wait: "${ .pause }" }, b: { do: [c: { wait: { seconds: 1 } }] }] } }
  - guard:
      try: [fails: { raise: { error: late } }]
      catch: { errors: { with: { status: 504 } }, as: e, when: $e.status > 500, retry: gentle, do: [note: { set: { x: 1 } }], then: tell }
  - tell: { emit: { event: { with: { type: told, data: { n: 1 } } } } }
  - hear:
      listen: { to: { any: [{ with: { type: x }, correlate: { id: { from: .id, expect: "${ .id }" } } }], until: { one: { with: { type: y } } } }, read: envelope }
      foreach: { item: e, at: i, do: [note: { set: { x: "${ $e }" } }], output: { as: .x } }
  - choose: { switch: [{ more: { when: .more, then: fetch } }, { done: { then: end } }] }
  - child: { run: { workflow: { namespace: n, name: w, version: "1", input: { x: 1 } }, await: false } }
  - list: { run: { shell: { command: ls, arguments: [-l], stdin: "${ . }", environment: { A: b } }, return: all } }
"#;

#[test]
fn every_task_is_read() {
    let flow = crate::run::language::parse(&to_json(EVERY_STEP)).unwrap();
    assert_eq!(flow.list("/do").len(), 11);
    steps_of(EVERY_STEP);
}

fn steps_of(text: &str) -> serde_json::Value {
    match definition(text).program {
        Program::Steps(steps) => steps,
        Program::Workflow(_) => panic!("no steps"),
    }
}

#[test]
fn what_stands_around_steps_travels_with_them() {
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
