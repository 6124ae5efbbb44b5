//! The `schedule:` block of a document.

use std::time::Duration;

use almanac_base::duration::{LONGEST, show};
use almanac_base::json_text::JsonText;
use almanac_base::names::ScheduleId;
use almanac_base::nearest;
use almanac_base::shape::Shape;
use almanac_base::text::quoted;
use almanac_times::{
    CompiledCron, Interval, Role, Spec, TimesError, TimesWarning, UTC, check_zone, common_zone,
    compile_cron,
};

use super::calendar::calendars;
use super::decode::{Decoder, Object, describe, join};
use super::source::{Finding, Place};
use super::triggers::check_delay;
use super::yaml::{Entry, Node, Value};
use super::{Again, OverlapPolicy, ParseContext, ScheduleBlock};

pub(super) const SCHEDULE: Shape = Shape {
    name: "`schedule`",
    keys: &[
        "enabled",
        "cron",
        "every",
        "after",
        "calendars",
        "exclude",
        "timezone",
        "start_at",
        "end_at",
        "jitter",
        "overlap_policy",
        "catchup_window",
        "pause_on_failure",
        "max_actions",
        "input",
        "adopts",
    ],
    refused: &[],
};

/// Keys that state times.
const TIMES: [&str; 3] = ["cron", "every", "calendars"];
/// Keys that have an effect if there are no times.
const BESIDE_AFTER: [&str; 3] = ["enabled", "after", "input"];

pub(super) const EVERY: Shape = Shape {
    name: "`every`",
    keys: &["interval", "offset"],
    refused: &[],
};

/// Catch-up window of a schedule that states none.
pub(super) const CATCHUP_DEFAULT: Duration = Duration::from_hours(1);
/// Minimum catch-up window. The server raises a shorter one to this.
const CATCHUP_LEAST: Duration = Duration::from_secs(10);
/// Accepted values of `overlap_policy`, by name.
pub(super) const OVERLAP_POLICIES: &[(&str, OverlapPolicy)] = &[
    ("skip", OverlapPolicy::Skip),
    ("buffer_one", OverlapPolicy::BufferOne),
    ("buffer_all", OverlapPolicy::BufferAll),
    ("cancel_other", OverlapPolicy::CancelOther),
    ("terminate_other", OverlapPolicy::TerminateOther),
    ("allow_all", OverlapPolicy::AllowAll),
    ("allow", OverlapPolicy::AllowAll),
];
/// Maximum number of entries in a list of times.
pub(super) const LIST_LIMIT: usize = 1000;
/// Maximum number of mistakes in a list of crons. After more mistakes, the rest is not read.
const MISTAKES_LIMIT: usize = 50;
/// Maximum length of an id on the server, in bytes.
const ID_LIMIT: usize = 1000;
/// Maximum length of the text of a cron or of a calendar's field, in bytes.
pub(super) const TEXT_LIMIT: usize = 1000;

/// Reads the block: the times, and `after`. There is no schedule block without times. The decoder
/// collects the errors; after an error the result is not complete.
pub(super) fn schedule(
    decoder: &mut Decoder<'_>,
    entry: &Entry<'_>,
    context: &ParseContext,
) -> Option<(Option<ScheduleBlock>, Option<Again>)> {
    let object = decoder.object(entry.at, &entry.value, "schedule", &SCHEDULE)?;
    let again = again(decoder, &object);
    if !object.has("after") || TIMES.iter().any(|key| object.has(key)) {
        return Some((Some(times(decoder, &object, context)), again));
    }
    let others = SCHEDULE.keys.iter();
    for key in others.filter(|key| !BESIDE_AFTER.contains(key)) {
        if let Some(entry) = object.get(key) {
            decoder.error_with_hint(
                entry.at,
                format!("`schedule.{key}` needs times"),
                "beside `after` alone, only `enabled` and `input` have an effect",
            );
        }
    }
    Some((None, again))
}

/// Reads `after`, with the keys that it shares with times.
fn again(decoder: &mut Decoder<'_>, object: &Object<'_>) -> Option<Again> {
    let entry = object.get("after")?;
    if !matches!(entry.value.value, Value::Map(_) | Value::List(_)) {
        let delay = decoder.duration(&entry.value, "schedule.after", Duration::ZERO..=LONGEST)?;
        check_delay(decoder, entry, delay)?;
        return Some(Again {
            delay,
            input: input(decoder, object),
            enabled: flag(decoder, object, "enabled", true),
        });
    }
    decoder.error_with_hint(
        entry.value.at,
        "`schedule.after` must be a duration",
        "to start the definition after the run of another one, write \
         `triggers: [{ after: other-definition }]`",
    );
    None
}

fn times(decoder: &mut Decoder<'_>, object: &Object<'_>, context: &ParseContext) -> ScheduleBlock {
    let before = decoder.errors.len();
    let mut block = ScheduleBlock {
        enabled: flag(decoder, object, "enabled", true),
        cron: Vec::new(),
        spec: Spec::default(),
        overlap_policy: OverlapPolicy::default(),
        catchup_window: CATCHUP_DEFAULT,
        pause_on_failure: flag(decoder, object, "pause_on_failure", false),
        max_actions: None,
        input: input(decoder, object),
        adopts: None,
    };
    let crons = object
        .get("cron")
        .map(|entry| cron(decoder, entry, &mut block));
    if let Some(entry) = object.get("every") {
        every(decoder, entry, &mut block.spec);
    }
    for (key, role) in [("calendars", Role::Match), ("exclude", Role::Exclude)] {
        if let Some(entry) = object.get(key) {
            calendars(decoder, entry, role, &mut block.spec);
        }
    }
    block.spec.timezone = timezone(decoder, object, crons.as_deref().unwrap_or_default());
    bounds(decoder, object, &mut block.spec, context);
    if let Some(entry) = object.get("jitter") {
        let jitter = decoder.duration(&entry.value, "schedule.jitter", Duration::ZERO..=LONGEST);
        block.spec.jitter = jitter.unwrap_or_default();
    }
    if let Some(entry) = object.get("overlap_policy") {
        block.overlap_policy = overlap_policy(decoder, &entry.value).unwrap_or_default();
    }
    if let Some(entry) = object.get("catchup_window") {
        block.catchup_window = catchup_window(decoder, &entry.value).unwrap_or(CATCHUP_DEFAULT);
    }
    if let Some(entry) = object.get("max_actions") {
        block.max_actions = decoder.integer(
            &entry.value,
            "schedule.max_actions",
            1..=i32::MAX.unsigned_abs(),
        );
    }
    if let Some(entry) = object.get("adopts") {
        let id = decoder.name(&entry.value, "schedule.adopts", ID_LIMIT);
        block.adopts = id.map(ScheduleId::from_server);
    }
    if !TIMES.iter().any(|key| object.has(key)) {
        decoder.error_with_hint(
            object.at,
            "`schedule` has no times",
            "give it `cron`, `every` or `calendars`; leave `schedule` out for manual runs only",
        );
    }
    // A spec that lacks a part that could not be read would give wrong warnings.
    if decoder.errors.len() == before {
        spec_warnings(decoder, object, &block.spec, context);
    }
    block
}

fn flag(decoder: &mut Decoder<'_>, object: &Object<'_>, key: &str, default: bool) -> bool {
    object
        .get(key)
        .and_then(|entry| decoder.boolean(&entry.value, &join("schedule", key)))
        .unwrap_or(default)
}

/// Reads `input`. `None` if the key is left out or has no value.
fn input(decoder: &mut Decoder<'_>, object: &Object<'_>) -> Option<JsonText> {
    let entry = object.get("input")?;
    decoder.json(&entry.value).map(JsonText::from)
}

/// Reads `cron`, a text or a list of texts, into `block`.
pub(super) fn cron(
    decoder: &mut Decoder<'_>,
    entry: &Entry<'_>,
    block: &mut ScheduleBlock,
) -> Vec<CompiledCron> {
    let nodes = one_or_more(decoder, &entry.value, "schedule.cron");
    let mut compiled = Vec::new();
    let before = decoder.errors.len();
    for node in nodes {
        // Each bad zone costs a search through all zones for the zone that was meant.
        if decoder.errors.len() > before + MISTAKES_LIMIT {
            decoder.error(node.at, "the cron strings from here on were not read");
            break;
        }
        let Some(text) = decoder.name(node, "schedule.cron", TEXT_LIMIT) else {
            continue;
        };
        match compile_cron(text) {
            Ok(cron) => {
                for warning in &cron.warnings {
                    times_warning(decoder, node, "schedule.cron", warning);
                }
                block.cron.push(text.to_owned());
                compiled.push(cron);
            }
            Err(error) => times_error(decoder, node, "schedule.cron", error),
        }
    }
    let all = compiled.iter();
    let calendars = all.clone().flat_map(|cron| cron.calendars.iter().copied());
    block.spec.calendars.extend(calendars);
    let intervals = all.flat_map(|cron| cron.intervals.iter().copied());
    block.spec.intervals.extend(intervals);
    compiled
}

/// Items of a list, or the node itself. A list that is empty or too long is reported.
fn one_or_more<'n>(decoder: &mut Decoder<'_>, node: &'n Node<'n>, path: &str) -> &'n [Node<'n>] {
    match &node.value {
        Value::List(items) => {
            list_size(decoder, node, items, path);
            &items[..items.len().min(LIST_LIMIT)]
        }
        _ => std::slice::from_ref(node),
    }
}

/// Reports a list that is empty or too long.
pub(super) fn list_size(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    items: &[Node<'_>],
    path: &str,
) {
    if items.is_empty() {
        decoder.error(node.at, format!("`{path}` is an empty list"));
    } else if items.len() > LIST_LIMIT {
        decoder.error(
            node.at,
            format!(
                "`{path}` has {} entries, over the limit of {LIST_LIMIT}",
                items.len()
            ),
        );
    }
}

/// Reads `every`: `6h`, `{interval: 6h, offset: 15m}`, or a list of these.
fn every(decoder: &mut Decoder<'_>, entry: &Entry<'_>, spec: &mut Spec) {
    let mut intervals = Vec::new();
    for node in one_or_more(decoder, &entry.value, "schedule.every") {
        let (interval, offset, offset_at) = if let Value::Map(_) = node.value {
            let Some(object) = decoder.object(node.at, node, "schedule.every", &EVERY) else {
                continue;
            };
            if !object.has("interval") {
                decoder.error(node.at, "`schedule.every` has no `interval`");
            }
            let interval = object
                .get("interval")
                .and_then(|entry| whole_seconds(decoder, &entry.value, "schedule.every.interval"));
            let offset = object.get("offset");
            let offset_at = offset.map_or(node.at, |entry| entry.value.at);
            let offset = match offset {
                Some(entry) => whole_seconds(decoder, &entry.value, "schedule.every.offset"),
                None => Some(Duration::ZERO),
            };
            (interval, offset, offset_at)
        } else {
            let interval = whole_seconds(decoder, node, "schedule.every");
            (interval, Some(Duration::ZERO), node.at)
        };
        let (Some(every), Some(phase)) = (interval, offset) else {
            continue;
        };
        match Interval::new(every, phase) {
            Ok(interval) => intervals.push(interval),
            Err(error) => decoder
                .errors
                .push(finding(offset_at, "schedule.every", error)),
        }
    }
    spec.intervals.extend(intervals);
}

fn whole_seconds(decoder: &mut Decoder<'_>, node: &Node<'_>, path: &str) -> Option<Duration> {
    let value = decoder.duration(node, path, Duration::ZERO..=LONGEST)?;
    if value.subsec_nanos() == 0 {
        return Some(value);
    }
    decoder.error(
        node.at,
        format!("`{path}` must be whole seconds, not {}", quoted(&node.text)),
    );
    None
}

fn timezone(decoder: &mut Decoder<'_>, object: &Object<'_>, crons: &[CompiledCron]) -> String {
    let entry = object.get("timezone");
    let mut named = None;
    if let Some(entry) = entry
        && let Some(name) = decoder.name(&entry.value, "schedule.timezone", 255)
    {
        match check_zone(name) {
            Ok(()) => named = Some(name),
            Err(error) => times_error(decoder, &entry.value, "schedule.timezone", error),
        }
    }
    match common_zone(crons, named) {
        Ok(zone) => zone,
        Err(error) => {
            let (path, entry) = match entry.filter(|_| named.is_some()) {
                Some(entry) => ("schedule.timezone", Some(entry)),
                None => ("schedule.cron", object.get("cron")),
            };
            let at = entry.map_or(object.at, |entry| entry.value.at);
            decoder.errors.push(finding(at, path, error));
            UTC.to_owned()
        }
    }
}

fn bounds(decoder: &mut Decoder<'_>, object: &Object<'_>, spec: &mut Spec, context: &ParseContext) {
    let mut bound = |key: &str| {
        let entry = object.get(key)?;
        let timestamp = decoder.timestamp(&entry.value, &join("schedule", key))?;
        Some((timestamp, entry.value.at))
    };
    let (start, end) = (bound("start_at"), bound("end_at"));
    spec.start_at = start.map(|(start, _)| start);
    spec.end_at = end.map(|(end, _)| end);
    let Some((end, at)) = end else { return };
    if let Some((start, _)) = start
        && end < start
    {
        decoder.error(
            at,
            format!("`schedule.end_at` {end} is before `schedule.start_at` {start}"),
        );
    } else if end < context.now {
        decoder.warn(
            at,
            format!("`schedule.end_at` {end} has passed: the definition has no schedule"),
            "remove the definition, or give it a later end",
        );
    }
}

pub(super) fn overlap_policy(decoder: &mut Decoder<'_>, node: &Node<'_>) -> Option<OverlapPolicy> {
    let names: Vec<&str> = OVERLAP_POLICIES.iter().map(|(name, _)| *name).collect();
    if matches!(node.value, Value::Refused) {
        return None;
    }
    let known = OVERLAP_POLICIES
        .iter()
        .find(|(name, _)| *name == node.text)
        .map(|(_, policy)| *policy);
    if known.is_none() {
        decoder.error_with_hint(
            node.at,
            format!(
                "`schedule.overlap_policy` must be a known policy, not {}",
                describe(node)
            ),
            nearest::hint(&node.text, &names).unwrap_or_else(|| {
                format!("the policies are {}", names[..names.len() - 1].join(", "))
            }),
        );
    }
    known
}

fn catchup_window(decoder: &mut Decoder<'_>, node: &Node<'_>) -> Option<Duration> {
    let window = decoder.duration(node, "schedule.catchup_window", Duration::ZERO..=LONGEST)?;
    if window < CATCHUP_LEAST {
        decoder.warn(
            node.at,
            format!(
                "`schedule.catchup_window` {} is raised to {}, the server's minimum",
                quoted(&node.text),
                show(CATCHUP_LEAST)
            ),
            "write `10s`",
        );
    }
    Some(window.max(CATCHUP_LEAST))
}

/// Adds findings about the whole spec, at the first of `timezone`, `cron`, `calendars` and `every`
/// that is given.
fn spec_warnings(
    decoder: &mut Decoder<'_>,
    object: &Object<'_>,
    spec: &Spec,
    context: &ParseContext,
) {
    let at = ["timezone", "cron", "calendars", "every"]
        .iter()
        .find_map(|key| object.get(key))
        .map_or(object.at, |entry| entry.value.at);
    spec_findings(decoder, at, spec, context);
}

/// Adds warnings about a whole spec, or an error if the spec takes too long to check.
pub(super) fn spec_findings(
    decoder: &mut Decoder<'_>,
    at: Place,
    spec: &Spec,
    context: &ParseContext,
) {
    if let Err(error) = spec.check_work(&mut decoder.budget) {
        decoder.errors.push(finding(at, "schedule", error));
        return;
    }
    for warning in spec.warnings(context.now, &mut decoder.budget) {
        let mut finding = Finding::new(at, warning.message);
        finding.hint = warning.hint;
        decoder.warnings.push(finding);
    }
}

/// Reports an error in a text, at the character that is wrong.
pub(super) fn times_error(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    path: &str,
    error: TimesError,
) {
    let at = decoder.place_in(node, error.offset);
    decoder.errors.push(finding(at, path, error));
}

fn times_warning(decoder: &mut Decoder<'_>, node: &Node<'_>, path: &str, warning: &TimesWarning) {
    let mut finding = Finding::new(
        decoder.place_in(node, warning.offset),
        format!("`{path}`: {}", warning.message),
    );
    finding.hint.clone_from(&warning.hint);
    decoder.warnings.push(finding);
}

fn finding(at: Place, path: &str, error: TimesError) -> Finding {
    Finding {
        at,
        message: format!("`{path}`: {}", error.message),
        hint: error.hint,
    }
}
