//! Parsing of a run's input.

use almanac_base::names::NameError;
use almanac_base::nearest;
use almanac_base::text::quoted;
use almanac_core::record::{DefinitionRef, EventOrigin, RunInput, RunInputError};
use almanac_steps::machine::Position;
use serde_json::Value;
use temporalio_common::data_converters::RawValue;

pub(super) fn read_input(raw: &RawValue) -> Result<RunInput, RunInputError> {
    const SHAPE: &str = r#"the input must be {"definition": "ID", "input": …}"#;
    let payload = raw.payloads.first().ok_or(SHAPE)?;
    let value: Value =
        serde_json::from_slice(&payload.data).map_err(|error| format!("{SHAPE}: {error}"))?;
    let definition = value.get("definition").ok_or(SHAPE)?;
    let definition = match definition {
        Value::String(id) => {
            // A person wrote this input, not a release of Almanac.
            known(&value)?;
            let id = id.parse();
            DefinitionRef::Current(id.map_err(|error: NameError| format!("definition: {error}"))?)
        }
        pinned => DefinitionRef::Pinned(
            serde_json::from_value(pinned.clone())
                .map_err(|error| format!("definition: {error}"))?,
        ),
    };
    Ok(RunInput {
        definition,
        input: value.get("input").cloned().unwrap_or_default(),
        event: event(&value),
        position: position(&value)?,
        dropped: value.get("dropped").and_then(Value::as_u64).unwrap_or(0),
    })
}

/// Reads the event that started the run. Anything else counts as none.
fn event(input: &Value) -> Option<EventOrigin> {
    serde_json::from_value(input.get("event")?.clone()).ok()
}

/// Refuses an unknown key, since another key was meant.
fn known(input: &Value) -> Result<(), RunInputError> {
    const KEYS: [&str; 2] = ["definition", "input"];
    let keys = input.as_object().into_iter().flat_map(|map| map.keys());
    for key in keys {
        if KEYS.contains(&key.as_str()) {
            continue;
        }
        let hint = nearest::hint(key, &KEYS)
            .unwrap_or_else(|| format!("the keys are {}", KEYS.join(", ")));
        return Err(format!("{} is not a key of the input ({hint})", quoted(key)).into());
    }
    Ok(())
}

/// Parses the position from which a run continues that continued as new.
fn position(input: &Value) -> Result<Option<Box<Position>>, RunInputError> {
    let Some(position) = input.get("position").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    serde_json::from_value(position.clone())
        .map(Some)
        .map_err(|error| format!("position: {error}").into())
}
