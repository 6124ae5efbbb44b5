//! Lenient parsing of the inputs that anyone may send to the handlers.
//!
//! A typed handler argument of another shape would fail the workflow task for ever. So the
//! handlers take raw payloads and parse them here. Of several inputs the first counts.

use almanac_base::names::ENCRYPTION;
use almanac_core::record::{
    Announcement, HistoryRequest, INPUT_LIMIT, NOT_AFTER, RequestProblem, RunsQuery, State,
    TOO_LATE,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::state_limits;
use crate::contracts::reconciler as contract;

/// Maximum size of the state that a workflow run begins with, in bytes: the limit of the
/// server.
const STATE_LIMIT: usize = 2 * 1024 * 1024;

/// Refuses an input that is too large, before any of it is parsed.
pub(super) fn check_size(what: &str, raw: &RawValue) -> Result<(), RequestProblem> {
    let size = size(raw);
    if size > INPUT_LIMIT {
        return Err(
            format!("{what}: the input has {size} bytes, over the limit of {INPUT_LIMIT}").into(),
        );
    }
    Ok(())
}

/// Size of all inputs with their metadata, in bytes.
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

/// Parses the first input as JSON. `None` if there is none, or if it is too large or not
/// JSON.
fn json(raw: &RawValue, limit: usize) -> Option<Value> {
    let payload = raw.payloads.first()?;
    if payload.data.len() > limit {
        return None;
    }
    serde_json::from_slice(&payload.data).ok()
}

/// Parses the input of the signal `definitions_changed`.
pub(super) fn announcement(raw: &RawValue) -> Option<Announcement> {
    let mut announcement: Announcement = serde_json::from_value(json(raw, INPUT_LIMIT)?).ok()?;
    let good = state_limits::good_name(announcement.worker.as_str())
        && (announcement.event == almanac_core::record::WorkerEvent::Stopping
            || state_limits::good_name(announcement.revision.as_str()));
    state_limits::announcement(&mut announcement);
    good.then_some(announcement)
}

/// Parses the request of an update.
///
/// An empty input is an empty request. An input that cannot be parsed is refused, since it
/// may have meant something else. If `now` is known, so is a request that has expired.
pub(super) fn request<T: DeserializeOwned>(
    update: &str,
    raw: &RawValue,
    now: Option<Timestamp>,
) -> Result<T, RequestProblem> {
    let empty = raw.payloads.iter().all(|payload| payload.data.is_empty());
    let mut object = match json(raw, STATE_LIMIT) {
        Some(Value::Object(object)) => object,
        Some(Value::Null) => Map::new(),
        None if empty => Map::new(),
        _ => return Err(format!("{update}: the input must be a JSON object").into()),
    };
    if let Some(until) = object.remove(NOT_AFTER) {
        in_time(update, until, now)?;
    }
    typed(update, raw, Value::Object(object))
}

/// Parses a value. If it was encrypted, the error shows nothing of it: anyone can send a copy of an
/// encrypted payload.
fn typed<T: DeserializeOwned>(
    what: &str,
    raw: &RawValue,
    value: Value,
) -> Result<T, RequestProblem> {
    serde_json::from_value(value).map_err(|error| {
        let mut payloads = raw.payloads.iter();
        if payloads.any(|payload| payload.metadata.contains_key(ENCRYPTION)) {
            format!("{what}: the input is not a request").into()
        } else {
            format!("{what}: {error}").into()
        }
    })
}

/// Refuses a request that has expired. The server keeps an update until a worker takes it,
/// and the sender may have given up meanwhile.
fn in_time(update: &str, until: Value, now: Option<Timestamp>) -> Result<(), RequestProblem> {
    let until: Timestamp =
        serde_json::from_value(until).map_err(|error| format!("{update}: {NOT_AFTER}: {error}"))?;
    match now {
        Some(now) if now > until => Err(format!(
            "{update}: {TOO_LATE} {until:.0}, and it is {now:.0}: nothing was done; \
             hint: if the request did not wait, check the clocks"
        )
        .into()),
        _ => Ok(()),
    }
}

/// Parses the input of the query `runs`.
pub(super) fn runs_query(raw: &RawValue) -> Result<RunsQuery, RequestProblem> {
    check_size(contract::Runs::NAME, raw)?;
    let read = json(raw, INPUT_LIMIT).and_then(|value| serde_json::from_value(value).ok());
    Ok(read.unwrap_or_default())
}

/// Parses the input of the query `history`. An empty input asks for all entries.
pub(super) fn history_request(raw: &RawValue) -> Result<HistoryRequest, RequestProblem> {
    check_size(contract::History::NAME, raw)?;
    match json(raw, INPUT_LIMIT) {
        None | Some(Value::Null) => Ok(HistoryRequest::default()),
        Some(Value::String(id)) => Ok(HistoryRequest { id }),
        Some(object @ Value::Object(_)) => typed(contract::History::NAME, raw, object),
        Some(_) => Err("history: the input must be a JSON object".into()),
    }
}

/// Parses the state that a workflow run begins with, part by part. A part that cannot be
/// parsed is left out.
pub(super) fn state(raw: &RawValue) -> State {
    json(raw, STATE_LIMIT).map_or_else(State::default, parts)
}

/// Parses an object of which every part has a default. A part that cannot be parsed is left
/// out.
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
