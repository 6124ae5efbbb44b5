//! Reader of the keys that every task may have: its data, its limit and its metadata.

use std::time::Duration;

use almanac_base::shape::Shape;
use almanac_base::text::quoted;
use almanac_base::{duration, nearest};
use serde_json::{Map, Value};

use super::reader::{At, Reader};
use super::shapes::{INPUT, OUTPUT, SCHEMA, TEMPORAL, TIMEOUT};
use super::value::duration_of;
use super::{Input, JsonSchema, Length, Output, Stage, Temporal};

/// Shortest limit for a heartbeat or an attempt: a worker needs this time to report that it is
/// alive or that a call has ended.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// Keys of `metadata.temporal` that are unlikely to have another meaning elsewhere in `metadata`.
const OPTIONS: [&str; 3] = ["start_to_close", "schedule_to_close", "schedule_to_start"];
/// The key of `metadata` that holds Temporal's options of a task in Zigflow.
const ZIGFLOW: &str = "activityOptions";

/// Returns `true` if a key of `metadata` is `temporal` or probably meant for Temporal's options.
pub fn is_option(key: &str) -> bool {
    OPTIONS.contains(&key) || key == ZIGFLOW || nearest::nearest(key, &["temporal"]).is_some()
}

impl Reader {
    pub(super) fn input(&mut self, at: &At<'_>, stage: Stage) -> Option<Input> {
        let object = self.object(at, &INPUT)?;
        let schema = self.optional(&object, "schema", Self::schema);
        let from = self.optional(&object, "from", |reader, at| reader.transform(at, stage));
        Some(Input {
            schema: schema?,
            from: from?,
        })
    }

    pub(super) fn output(&mut self, at: &At<'_>, stage: Stage) -> Option<Output> {
        let object = self.object(at, &OUTPUT)?;
        let schema = self.optional(&object, "schema", Self::schema);
        let transform = self.optional(&object, "as", |reader, at| reader.transform(at, stage));
        Some(Output {
            transform: transform?,
            schema: schema?,
        })
    }

    fn schema(&mut self, at: &At<'_>) -> Option<JsonSchema> {
        let object = self.object(at, &SCHEMA)?;
        if let Some(format) = object.get("format") {
            let text = self.text(&format)?;
            if text != "json" && !text.starts_with("json:") {
                let what = format!("must be `json`, not {}", quoted(text));
                self.wrong(&format, &what);
            }
        }
        if !object.has("resource") {
            self.missing(&object, "document");
        }
        let document = object.get("document")?;
        self.json_schema(&document)
    }

    /// Reads a limit, or the name of a limit of `use.timeouts`.
    pub(super) fn timeout(&mut self, at: &At<'_>) -> Option<Length> {
        let Value::String(name) = at.value else {
            let object = self.object(at, &TIMEOUT)?;
            return self
                .required(&object, "after")
                .and_then(|at| self.length(&at));
        };
        let known = self.uses.timeouts.get(name).cloned();
        self.used.insert(("timeouts", name.clone()));
        if known.is_none() && duration_of(at.value).is_some() {
            let hint =
                format!("write `{{ after: {name} }}`; text is the name of one of `use/timeouts`");
            self.wrong_with_hint(at, "must be a map, or a name", hint);
        } else if known.is_none() && name.starts_with(|c: char| c.is_ascii_digit()) {
            let hint = "write a limit itself as `{ after: PT5S }`; text is the name of one of \
                 `use/timeouts`";
            self.wrong_with_hint(at, "must be a map, or a name", hint);
        } else if known.is_none() {
            let names: Vec<String> = self.uses.timeouts.keys().cloned().collect();
            self.unknown_name(at, name, "use/timeouts", &names);
        }
        known.flatten()
    }

    /// Reports a name that `use` does not define.
    pub(super) fn unknown_name(&mut self, at: &At<'_>, name: &str, part: &str, names: &[String]) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let what = format!("refers to {}, which `{part}` does not define", quoted(name));
        match nearest::hint(name, &names) {
            Some(hint) => self.wrong_with_hint(at, &what, hint),
            None => self.wrong(at, &what),
        }
    }

    /// Reads `metadata`. Only `temporal` has a meaning; other keys can hold anything.
    pub(super) fn metadata(&mut self, at: &At<'_>) -> Option<Temporal> {
        self.options(at, &TEMPORAL)
    }

    /// Warns of Temporal's options at places where they have no effect.
    fn misplaced(&mut self, at: &At<'_>, metadata: &Map<String, Value>) {
        const PLACE: &str = "Temporal's options of a task are keys of `metadata.temporal`";
        for (key, value) in metadata {
            if key == "temporal" || !is_option(key) {
                continue;
            }
            let has_options = || {
                let mut keys = value.as_object().into_iter().flat_map(Map::keys);
                keys.any(|key| TEMPORAL.keys.contains(&key.as_str()))
            };
            let at = at.key(key, value);
            if OPTIONS.contains(&key.as_str()) {
                self.warn_of_key(&at, "has no effect beside `temporal`", PLACE);
            } else if key == ZIGFLOW {
                let hint = "the options of Zigflow are keys of `metadata.temporal` here: `temporal: { start_to_close: 1m }`";
                self.warn_of_key(&at, "has no effect here", hint);
            } else if has_options() {
                self.warn_of_key(&at, "has no effect", "did you mean `temporal`?");
            }
        }
    }

    /// Reads Temporal's options in `metadata`. `shape` lists the options that are allowed.
    pub(super) fn options(&mut self, at: &At<'_>, shape: &'static Shape) -> Option<Temporal> {
        let Value::Object(map) = at.value else {
            self.mismatch(at, "a map");
            return None;
        };
        self.misplaced(at, map);
        let Some(value) = map.get("temporal") else {
            return Some(Temporal::default());
        };
        let at = at.key("temporal", value);
        let object = self.object(&at, shape)?;
        let mut limit = |key| self.optional(&object, key, Self::temporal_duration);
        let schedule_to_close = limit("schedule_to_close");
        let schedule_to_start = limit("schedule_to_start");
        let start_to_close = self.optional(&object, "start_to_close", Self::second_or_more);
        let heartbeat = self.optional(&object, "heartbeat", Self::second_or_more);
        let task_queue = self.optional(&object, "task_queue", |reader, at| {
            reader.queue(at).map(str::to_owned)
        });
        let summary = self.optional(&object, "summary", |reader, at| {
            reader.name(at).map(str::to_owned)
        });
        let priority = self.optional(&object, "priority", |reader, at| {
            let number = reader.integer(at, 1..=5)?;
            u8::try_from(number).ok()
        });
        Some(Temporal {
            start_to_close: start_to_close?,
            schedule_to_close: schedule_to_close?,
            schedule_to_start: schedule_to_start?,
            heartbeat: heartbeat?,
            task_queue: task_queue?,
            priority: priority?,
            summary: summary?,
        })
    }

    /// Reads a duration of at least a second, in the form of Almanac's own keys.
    pub(super) fn second_or_more(&mut self, at: &At<'_>) -> Option<Duration> {
        let length = self.temporal_duration(at)?;
        if length < SHORTEST_LIMIT {
            self.wrong(at, "must be at least `1s`");
            return None;
        }
        Some(length)
    }

    /// Reads a duration in the form of Almanac's own keys, such as `15s`.
    fn temporal_duration(&mut self, at: &At<'_>) -> Option<Duration> {
        let text = self.text(at)?;
        match duration::parse(text) {
            Ok(length) if !length.is_zero() => Some(length),
            Ok(_) => {
                self.wrong(at, "must be longer than 0");
                None
            }
            Err(hint) => {
                let what = format!("must be a duration, not {}", quoted(text));
                self.wrong_with_hint(at, &what, hint.to_string());
                None
            }
        }
    }
}
