//! What strangers send, read leniently.
//!
//! A typed handler argument of another shape fails the workflow task for ever,
//! so handlers take raw payloads and come here. Of several inputs the first counts.

use almanac_core::record::{
    Announcement, HistoryRequest, INPUT_LIMIT, NOT_AFTER, RunsQuery, State, TOO_LATE,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::state_limits;
use crate::contracts::reconciler as contract;

/// The most bytes of a state that a run begins with: what the server takes.
const STATE_LIMIT: usize = 2 * 1024 * 1024;

/// Refuses an input by its size, before anything of it is read.
pub(super) fn check_size(what: &str, raw: &RawValue) -> Result<(), String> {
    let size = size(raw);
    if size > INPUT_LIMIT {
        return Err(format!(
            "{what}: the input has {size} bytes, more than {INPUT_LIMIT}"
        ));
    }
    Ok(())
}

/// The bytes of all inputs, their metadata among them.
pub(super) fn size(raw: &RawValue) -> usize {
    let of = |payload: &Payload| {
        let metadata = payload.metadata.iter();
        payload.data.len()
            + metadata
                .map(|(key, value)| key.len() + value.len())
                .sum::<usize>()
    };
    raw.payloads.iter().map(of).sum()
}

/// The first input as JSON: `None` when there is none, or it is too large or not JSON.
fn json(raw: &RawValue, limit: usize) -> Option<Value> {
    let payload = raw.payloads.first()?;
    if payload.data.len() > limit {
        return None;
    }
    serde_json::from_slice(&payload.data).ok()
}

/// The input of the signal `definitions_changed`.
pub(super) fn announcement(raw: &RawValue) -> Option<Announcement> {
    let mut said: Announcement = serde_json::from_value(json(raw, INPUT_LIMIT)?).ok()?;
    let good = state_limits::good_name(said.worker.as_str())
        && (said.event == almanac_core::record::WorkerEvent::Stopping
            || state_limits::good_name(said.revision.as_str()));
    state_limits::announcement(&mut said);
    good.then_some(said)
}

/// The request that an update brings, at a time where that is known: nothing at
/// all is an empty one; what cannot be read is refused, since it may have meant
/// something else, and so is what comes after its time.
pub(super) fn request<T: DeserializeOwned>(
    update: &str,
    raw: &RawValue,
    now: Option<Timestamp>,
) -> Result<T, String> {
    let empty = raw.payloads.iter().all(|payload| payload.data.is_empty());
    let mut object = match json(raw, STATE_LIMIT) {
        Some(Value::Object(object)) => object,
        Some(Value::Null) => Map::new(),
        None if empty => Map::new(),
        _ => return Err(format!("{update}: the input must be a JSON object")),
    };
    if let Some(until) = object.remove(NOT_AFTER) {
        in_time(update, until, now)?;
    }
    serde_json::from_value(Value::Object(object)).map_err(|error| format!("{update}: {error}"))
}

/// Refuses what nobody waits for any more: the server keeps an update until a
/// worker comes, and who sent it may have done otherwise meanwhile.
fn in_time(update: &str, until: Value, now: Option<Timestamp>) -> Result<(), String> {
    let until: Timestamp =
        serde_json::from_value(until).map_err(|error| format!("{update}: {NOT_AFTER}: {error}"))?;
    match now {
        Some(now) if now > until => Err(format!(
            "{update}: {TOO_LATE} {until:.0}, and it is {now:.0}: nothing was done; \
             hint: where nobody waited, a clock is wrong"
        )),
        _ => Ok(()),
    }
}

/// The input of the query `runs`.
pub(super) fn runs_query(raw: &RawValue) -> Result<RunsQuery, String> {
    check_size(contract::Runs::NAME, raw)?;
    let read = json(raw, INPUT_LIMIT).and_then(|value| serde_json::from_value(value).ok());
    Ok(read.unwrap_or_default())
}

/// The input of the query `history`: nothing asks for all there is.
pub(super) fn history_request(raw: &RawValue) -> Result<HistoryRequest, String> {
    check_size(contract::History::NAME, raw)?;
    match json(raw, INPUT_LIMIT) {
        None | Some(Value::Null) => Ok(HistoryRequest::default()),
        Some(Value::String(id)) => Ok(HistoryRequest { id }),
        Some(object @ Value::Object(_)) => {
            serde_json::from_value(object).map_err(|error| format!("history: {error}"))
        }
        Some(_) => Err("history: the input must be a JSON object".to_owned()),
    }
}

/// The state that a run begins with: what can be read of it, part by part.
pub(super) fn state(raw: &RawValue) -> State {
    json(raw, STATE_LIMIT).map_or_else(State::default, parts)
}

/// Reads an object of which every part has a default, leaving out the parts
/// that cannot be read.
fn parts<T: DeserializeOwned + Default>(value: Value) -> T {
    let Value::Object(object) = value else {
        return T::default();
    };
    let good: Map<String, Value> = object
        .into_iter()
        .filter(|(key, value)| {
            let one = Map::from_iter([(key.clone(), value.clone())]);
            serde_json::from_value::<T>(Value::Object(one)).is_ok()
        })
        .collect();
    serde_json::from_value(Value::Object(good)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
