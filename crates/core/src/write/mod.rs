//! Writer of definitions as text, the reverse of parsing. Keys that have their default are left
//! out, except in `retry`. Finding the parts of a live schedule that no document can express is
//! left to the caller, who parses the text and compares.

pub(crate) mod flow;

use std::fmt::Write as _;

use almanac_base::duration::show;
use almanac_base::json_text::JsonText;
use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_base::text::is_hidden;
use almanac_times::{Calendar, Role, Spec, UTC};
use serde_json::{Map, Value as Json, json};

use crate::definition::{OverlapPolicy, RetryPolicy, SearchAttribute};
use crate::schedule::{Action, DEFAULT_CATCHUP_WINDOW, ScheduleValues};

/// Content of a document that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    pub id: &'a DefinitionId,
    /// Unmanaged schedule that the document's schedule replaces.
    pub adopts: Option<&'a ScheduleId>,
    /// Values of the document's schedule.
    pub values: &'a ScheduleValues,
    /// Comments for people that stand before the document.
    pub comments: &'a [String],
}

/// Writes a document as text. Calendars that match no time are left out.
pub fn write_document(document: &Written<'_>) -> String {
    let mut out = String::new();
    for text in document.comments {
        for (number, line) in text.lines().enumerate() {
            // Further lines of a comment are indented, so that none looks like a comment of its
            // own.
            let indent = if number == 0 { "" } else { "    " };
            let line = escaped(line.trim_end(), &[]);
            writeln!(out, "# {indent}{line}").unwrap_or_default();
        }
    }
    let values = document.values;
    let mut top = Block::default();
    top.text("id", document.id.as_str());
    let schedule = schedule(values, document.adopts);
    if has_times(&values.spec) {
        top.block("schedule", schedule);
    }
    match &values.definition {
        Some(steps) => top.json("do", &steps.value()),
        None => top.block("workflow", workflow(&values.action, &values.input)),
    }
    for line in top.0 {
        out += &line;
        out.push('\n');
    }
    out
}

/// Returns `true` if the spec has a calendar that can match, or an interval. Otherwise the document
/// has no `schedule:`.
fn has_times(spec: &Spec) -> bool {
    let calendars = spec.calendars.iter().any(|calendar| !calendar.is_never());
    calendars || !spec.intervals.is_empty()
}

fn schedule(values: &ScheduleValues, adopts: Option<&ScheduleId>) -> Block {
    let mut block = Block::default();
    let spec = &values.spec;
    if let Some(adopts) = adopts {
        block.text("adopts", adopts.as_str());
    }
    if values.paused {
        block.raw("enabled", "false");
    }
    times(&mut block, spec);
    if spec.timezone != UTC {
        block.text("timezone", &spec.timezone);
    }
    for (key, at) in [("start_at", spec.start_at), ("end_at", spec.end_at)] {
        if let Some(at) = at {
            block.raw(key, &at.to_string());
        }
    }
    if !spec.jitter.is_zero() {
        block.raw("jitter", &show(spec.jitter));
    }
    if values.overlap_policy != OverlapPolicy::default() {
        block.json("overlap_policy", &json!(values.overlap_policy));
    }
    if values.catchup_window != DEFAULT_CATCHUP_WINDOW {
        block.raw("catchup_window", &show(values.catchup_window));
    }
    if values.pause_on_failure {
        block.raw("pause_on_failure", "true");
    }
    if let Some(limit) = values.max_actions {
        block.raw("max_actions", &limit.to_string());
    }
    if values.definition.is_some()
        && let Some(input) = values.input.first()
    {
        block.json("input", &input.value());
    }
    block
}

fn times(block: &mut Block, spec: &Spec) {
    let matching: Vec<&Calendar> = spec
        .calendars
        .iter()
        .filter(|one| !one.is_never())
        .collect();
    let crons: Vec<String> = matching.iter().filter_map(|one| one.cron()).collect();
    match crons.as_slice() {
        [] => {}
        [one] => block.raw("cron", &quoted(one)),
        more => block.list("cron", more.iter().map(|one| quoted(one))),
    }
    let every: Vec<String> = spec
        .intervals
        .iter()
        .map(|interval| {
            let every = show(interval.every);
            if interval.phase.is_zero() {
                every
            } else {
                format!("{{ interval: {every}, offset: {} }}", show(interval.phase))
            }
        })
        .collect();
    match every.as_slice() {
        [] => {}
        [one] => block.raw("every", one),
        more => block.list("every", more.iter().cloned()),
    }
    let rest = matching.iter().filter(|one| one.cron().is_none());
    let rest: Vec<String> = rest.filter_map(|one| fields(one, Role::Match)).collect();
    if !rest.is_empty() {
        block.list("calendars", rest.into_iter());
    }
    let exclude = spec.exclude.iter();
    let exclude: Vec<String> = exclude
        .filter_map(|one| fields(one, Role::Exclude))
        .collect();
    if !exclude.is_empty() {
        block.list("exclude", exclude.into_iter());
    }
}

fn fields(calendar: &Calendar, role: Role) -> Option<String> {
    let input = calendar.fields(role)?;
    let parts = input.present_fields().map(|(name, text)| {
        let number = text.bytes().all(|b| b.is_ascii_digit());
        let value = if number {
            text.to_owned()
        } else {
            quoted(text)
        };
        format!("{name}: {value}")
    });
    Some(format!("{{ {} }}", parts.collect::<Vec<_>>().join(", ")))
}

fn workflow(action: &Action, input: &[JsonText]) -> Block {
    let mut block = Block::default();
    block.text("type", &action.workflow_type);
    block.text("task_queue", &action.task_queue);
    if !input.is_empty() {
        block.json("args", &json!(input));
    }
    let options = &action.options;
    for (key, timeout) in [
        ("execution_timeout", options.execution_timeout),
        ("run_timeout", options.run_timeout),
        ("task_timeout", options.task_timeout),
    ] {
        if let Some(timeout) = timeout {
            block.raw(key, &show(timeout));
        }
    }
    if let Some(priority) = options.priority {
        block.raw("priority", &priority.to_string());
    }
    if let Some(summary) = &options.summary {
        block.text("summary", summary);
    }
    if let Some(retry) = &action.retry {
        block.block("retry", self::retry(retry));
    }
    if !action.memo.is_empty() {
        let memo: Map<String, Json> = action.memo.clone().into_iter().collect();
        block.json("memo", &Json::Object(memo));
    }
    if !action.search_attributes.is_empty() {
        let mut attributes = Block::default();
        for (name, value) in &action.search_attributes {
            match value {
                SearchAttribute::Keyword(value) => attributes.text(name, value),
                SearchAttribute::Int(value) => attributes.raw(name, &value.to_string()),
                SearchAttribute::Double(value) => attributes.raw(name, &format!("{value:?}")),
                SearchAttribute::Bool(value) => attributes.raw(name, &value.to_string()),
                SearchAttribute::Datetime(value) => attributes.raw(name, &value.to_string()),
                SearchAttribute::KeywordList(value) => attributes.json(name, &json!(value)),
            }
        }
        block.block("search_attributes", attributes);
    }
    block
}

fn retry(retry: &RetryPolicy) -> Block {
    let mut block = Block::default();
    block.raw("initial_interval", &show(retry.initial_interval));
    block.raw(
        "backoff_coefficient",
        &format!("{:?}", retry.backoff_coefficient),
    );
    block.raw("maximum_interval", &show(retry.maximum_interval));
    if retry.maximum_attempts > 0 {
        block.raw("maximum_attempts", &retry.maximum_attempts.to_string());
    }
    if !retry.non_retryable_error_types.is_empty() {
        let types = json!(retry.non_retryable_error_types);
        block.json("non_retryable_error_types", &types);
    }
    block
}

/// Lines of a map, without their common indentation.
#[derive(Default)]
struct Block(Vec<String>);

impl Block {
    fn raw(&mut self, key: &str, value: &str) {
        self.0.push(format!("{}: {value}", scalar(key)));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &scalar(value));
    }

    fn block(&mut self, key: &str, block: Self) {
        if block.0.is_empty() {
            return self.raw(key, "{}");
        }
        self.0.push(format!("{}:", scalar(key)));
        self.0
            .extend(block.0.into_iter().map(|line| format!("  {line}")));
    }

    fn list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        self.0.push(format!("{key}:"));
        self.0.extend(items.map(|item| format!("  - {item}")));
    }

    fn json(&mut self, key: &str, value: &Json) {
        if let Some(inline) = inline(value) {
            return self.raw(key, &inline);
        }
        self.0.push(format!("{}:", scalar(key)));
        self.0
            .extend(lines(value).into_iter().map(|line| format!("  {line}")));
    }
}

/// Text of a value that fits on one line. `None` for a list or a map that is not empty.
fn inline(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(scalar(text)),
        Json::Array(items) if !items.is_empty() => None,
        Json::Object(map) if !map.is_empty() => None,
        other => Some(other.to_string()),
    }
}

fn lines(value: &Json) -> Vec<String> {
    match value {
        Json::Array(items) if !items.is_empty() => items
            .iter()
            .flat_map(|item| {
                let lines = lines(item).into_iter().enumerate();
                lines.map(|(index, line)| match index {
                    0 => format!("- {line}"),
                    _ => format!("  {line}"),
                })
            })
            .collect(),
        Json::Object(map) if !map.is_empty() => {
            let mut block = Block::default();
            for (key, value) in map {
                block.json(key, value);
            }
            block.0
        }
        other => vec![inline(other).unwrap_or_default()],
    }
}

/// Writes text as a YAML scalar: plain if no YAML parser could read it as another type, and quoted
/// otherwise.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-'))
        && !is_word(text);
    if plain { text.to_owned() } else { quoted(text) }
}

/// Returns `true` if a YAML parser may read the text as a value of another type.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 11] = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ];
    WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text, &['"', '\\']))
}

/// Writes escapes in place of the `special` characters, and in place of those that YAML does not
/// accept as they are, that break a line, or that are invisible.
fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if special.contains(&c) => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            c if is_hidden(c) => {
                let code = u32::from(c);
                if code > 0xffff {
                    write!(out, "\\U{code:08x}").unwrap_or_default();
                } else {
                    write!(out, "\\u{code:04x}").unwrap_or_default();
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
