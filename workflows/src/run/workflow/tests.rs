use almanac_core::record::pinned_steps;
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::*;

fn read(inputs: &[&Value]) -> Result<RunInput, RunInputError> {
    read_input(&RawValue::new(
        inputs
            .iter()
            .map(|value| Payload {
                data: value.to_string().into_bytes(),
                ..Payload::default()
            })
            .collect(),
    ))
}

#[test]
fn a_definition_is_named_or_pinned() {
    let named = read(&[&json!({ "definition": "nightly" })]).unwrap();
    assert_eq!(
        named.definition,
        DefinitionRef::Current("nightly".parse().unwrap())
    );
    assert_eq!(named.input, Value::Null);

    let steps = json!([{ "a": { "set": {} } }]);
    let pinned = read(&[&json!({
        "definition": { "id": "nightly", "revision": "r", "do": steps },
        "input": [1],
        "of a later release": 1,
    })])
    .unwrap();
    let DefinitionRef::Pinned(definition) = pinned.definition else {
        panic!("it is pinned");
    };
    assert_eq!((definition.steps, pinned.input), (steps, json!([1])));
}

#[test]
fn the_keys_beside_do_are_beside_it_in_the_input_of_a_run() {
    let wire = json!({
        "definition": { "id": "nightly", "revision": "r", "do": [], "timeout": { "after": "PT1H" } },
        "input": null,
    });
    let read = read(&[&wire]).unwrap();
    let DefinitionRef::Pinned(definition) = &read.definition else {
        panic!("it is pinned");
    };
    let steps = json!({ "do": [], "timeout": { "after": "PT1H" } });
    assert_eq!(definition.steps, steps);
    assert_eq!(serde_json::to_value(&read).unwrap(), wire);
    assert_eq!(pinned_steps(&wire), Some(steps));
    let plain = json!({ "definition": { "id": "x", "revision": "r", "do": [1] } });
    assert_eq!(pinned_steps(&plain), Some(json!([1])));
    for other in [
        json!({ "definition": "x" }),
        json!({ "definition": { "id": "x" } }),
        json!(1),
    ] {
        assert_eq!(pinned_steps(&other), None);
    }
}

#[test]
fn the_error_of_a_bad_input_names_the_mistake() {
    let wrong = |inputs: &[&Value]| read(inputs).unwrap_err();
    insta::assert_snapshot!(wrong(&[]), @r#"the input must be {"definition": "ID", "input": …}"#);
    insta::assert_snapshot!(wrong(&[&json!("nightly")]), @r#"the input must be {"definition": "ID", "input": …}"#);
    insta::assert_snapshot!(wrong(&[&json!({ "definition": "No" })]), @"definition: id `No` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit");
    insta::assert_snapshot!(wrong(&[&json!({ "definition": { "id": "x" } })]), @"definition: missing field `revision`");
    insta::assert_snapshot!(wrong(&[&json!({ "definition": "x", "inputs": {} })]), @"`inputs` is not a key of the input (did you mean `input`?)");
    insta::assert_snapshot!(wrong(&[&json!({ "definition": "x", "position": null })]), @"`position` is not a key of the input (the keys are definition, input)");
    insta::assert_snapshot!(wrong(&[&json!({ "definition": 7 })]), @"definition: invalid type: integer `7`, expected an id, or a definition with `id`, `revision` and `do`");
}
