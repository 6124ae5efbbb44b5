//! Functions of values, written in Rust. Each function takes its steps and its memory from the
//! meter before it works.

pub(super) mod arrays;
pub(super) mod dates;
pub(super) mod floats;
pub(super) mod math;
pub(super) mod numbers;
pub(super) mod objects;
pub(super) mod patterns;
pub(super) mod sorting;
pub(super) mod strings;

use super::run::Run;
use super::stop::Stop;
use super::value::{FLAT, Val};

/// A value in a message, shortened to a limit.
pub(super) fn shown(value: &Val) -> String {
    const LONGEST: usize = 24;
    match value {
        Val::Null | Val::Bool(_) | Val::Num(_) => value.to_json().to_string(),
        Val::Str(text) => match text.char_indices().nth(LONGEST) {
            None => Val::Str(text.clone()).to_json().to_string(),
            Some((end, _)) => {
                let short = text.get(..end).unwrap_or_default();
                format!("{}…", serde_json::Value::from(short))
            }
        },
        Val::Arr(_) => "an array".to_owned(),
        Val::Obj(_) => "an object".to_owned(),
    }
}

/// Returns the text of a string.
fn text<'v>(value: &'v Val, what: &str) -> Result<&'v str, Stop> {
    match value {
        Val::Str(text) => Ok(text),
        other => Err(Stop::error(format!(
            "{what} needs a string, not {}",
            shown(other)
        ))),
    }
}

/// Returns the items of an array, or the values of an object.
pub(super) fn values(run: &Run<'_>, value: &Val) -> Result<Vec<Val>, Stop> {
    let values: Vec<Val> = match value {
        Val::Arr(list) => list.items().to_vec(),
        Val::Obj(map) => map.entries().values().cloned().collect(),
        other => return Err(Stop::error(format!("cannot iterate over {}", shown(other)))),
    };
    run.meter.allocate(FLAT * values.len())?;
    run.meter.steps(values.len())?;
    Ok(values)
}

/// Returns the items of an array.
fn items<'v>(value: &'v Val, what: &str) -> Result<&'v [Val], Stop> {
    match value {
        Val::Arr(list) => Ok(list.items()),
        other => Err(Stop::error(format!(
            "{what} needs an array, not {}",
            shown(other)
        ))),
    }
}
