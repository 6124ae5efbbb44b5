//! Documents that are whole workflows of the Open Workflow Specification DSL 1.0.x. Their
//! `document`, `schedule` and `do` have the meaning that the specification gives them.

use std::collections::BTreeSet;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Revision};
use almanac_base::shape::Shape;
use almanac_base::text::quoted;
use almanac_times::{Interval, Spec, common_zone};

use super::decode::{Decoder, Object, join};
use super::document::{finish, labels};
use super::other_formats;
use super::schedule::{CATCHUP_DEFAULT, cron, spec_findings};
use super::source::Finding;
use super::steps::{ows_duration, steps};
use super::triggers::ows_triggers;
use super::yaml::{Entry, Node};
use super::{Definition, OverlapPolicy, ParseContext, Program, ScheduleBlock, Triggers};

pub(super) const OWS: Shape = Shape {
    name: "the document",
    keys: &[
        "document", "schedule", "do", "use", "input", "output", "timeout", "evaluate",
    ],
    refused: &[],
};

pub(super) const HEADER: Shape = Shape {
    name: "`document`",
    keys: &[
        "dsl",
        "namespace",
        "name",
        "version",
        "title",
        "summary",
        "tags",
        "metadata",
    ],
    refused: &[],
};

pub(super) const SCHEDULE: Shape = Shape {
    name: "the specification's `schedule`",
    keys: &["cron", "every", "after", "on", "read"],
    refused: &[],
};

/// Reads a document. The decoder collects the errors; after an error the result is not complete.
pub(super) fn definition(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    context: &ParseContext,
) -> Option<Definition> {
    if other_formats::zigflow(decoder, node) {
        return None;
    }
    let object = decoder.object(node.at, node, "", &OWS)?;
    let header = object
        .get("document")
        .and_then(|entry| decoder.object(entry.at, &entry.value, "document", &HEADER));
    let id = header.and_then(|header| id(decoder, &header));
    let mut description = None;
    let mut tags = None;
    if let Some(header) = header {
        versions(decoder, &header);
        let mut text = |key: &str| {
            let entry = header.get(key)?;
            let text = decoder.text(&entry.value, &join("document", key))?;
            Some(text.to_owned())
        };
        let (title, summary) = (text("title"), text("summary"));
        description = summary.or(title);
        tags = header
            .get("tags")
            .map(|entry| labels(decoder, entry, "document.tags"));
        if let Some(entry) = header.get("metadata") {
            decoder.map(&entry.value, "document.metadata");
        }
    }
    let (schedule, triggers) = match object.get("schedule") {
        Some(entry) => schedule(decoder, node, entry, context)?,
        None => Default::default(),
    };
    if !object.has("do") {
        decoder.error(object.at, "`do` is missing");
    }
    let steps = steps(decoder, node, &object);
    Some(finish(Definition {
        id: id?,
        revision: Revision::default(),
        description,
        enabled: true,
        labels: tags.unwrap_or_default(),
        schedule,
        triggers,
        program: Program::Steps(steps?.into()),
    }))
}

fn id(decoder: &mut Decoder<'_>, header: &Object<'_>) -> Option<DefinitionId> {
    let text = required(decoder, header, "name")?;
    let entry = header.get("name")?;
    // The specification's names are host names; Almanac's ids are lower-case.
    if let Some(id) = host_name(text) {
        return Some(id);
    }
    let message = format!(
        "`document.name` must be 1 to 63 of a-z, 0-9 and `-` and begin and end with a letter or digit, not {}",
        quoted(text)
    );
    match like_host_name(text) {
        Some(id) => {
            decoder.error_with_hint(entry.value.at, message, format!("`{id}` would be valid"));
        }
        None => decoder.error(entry.value.at, message),
    }
    None
}

/// Valid host name that resembles a text: in lower case, with `-` in place of other characters.
/// `None` if the result is not a host name.
pub(super) fn like_host_name(text: &str) -> Option<DefinitionId> {
    let meant = text.to_ascii_lowercase();
    let meant = meant.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    host_name(meant.trim_matches('-'))
}

fn host_name(text: &str) -> Option<DefinitionId> {
    let good = text.len() <= 63 && !text.contains(['.', '_']) && !text.ends_with('-');
    text.parse().ok().filter(|_| good)
}

fn versions(decoder: &mut Decoder<'_>, header: &Object<'_>) {
    if let (Some(dsl), Some(entry)) = (required(decoder, header, "dsl"), header.get("dsl"))
        && (!dsl.starts_with("1.0.") || !is_version(dsl))
    {
        decoder.error_with_hint(
            entry.value.at,
            format!("`document.dsl` {} is not supported", quoted(dsl)),
            "Almanac reads DSL 1.0.x; write '1.0.3'",
        );
    }
    required(decoder, header, "namespace");
    if let (Some(version), Some(entry)) =
        (required(decoder, header, "version"), header.get("version"))
        && !is_version(version)
    {
        decoder.error(
            entry.value.at,
            format!(
                "`document.version` must be a semantic version like `1.0.0`, not {}",
                quoted(version)
            ),
        );
    }
}

fn required<'n>(decoder: &mut Decoder<'_>, header: &Object<'n>, key: &str) -> Option<&'n str> {
    let path = join("document", key);
    if !header.has(key) {
        decoder.error(header.at, format!("`{path}` is missing"));
    }
    decoder.name(&header.get(key)?.value, &path, 1000)
}

/// Returns `true` for `major.minor.patch`, with or without a pre-release or a build after it.
fn is_version(text: &str) -> bool {
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, suffix) = text.split_at(end);
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|number| {
            !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
                && (*number == "0" || !number.starts_with('0'))
        })
        && suffix.len() != 1
        && suffix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
}

/// Reads the times and the triggers of a `schedule`. There is no schedule block without times.
fn schedule(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    entry: &Entry<'_>,
    context: &ParseContext,
) -> Option<(Option<ScheduleBlock>, Triggers)> {
    let before = decoder.errors.len();
    let object = decoder.object(entry.at, &entry.value, "schedule", &SCHEDULE)?;
    let triggers = ows_triggers(decoder, root, &object).unwrap_or_default();
    let has_times = object.has("cron") || object.has("every");
    if !has_times && ["on", "read", "after"].iter().any(|key| object.has(key)) {
        return Some((None, triggers));
    }
    if !has_times {
        decoder.error_with_hint(
            object.at,
            "`schedule` has no times and no events",
            "give it `cron`, `every`, `after` or `on`",
        );
    }
    let mut block = ScheduleBlock {
        enabled: true,
        cron: Vec::new(),
        spec: Spec::default(),
        overlap_policy: OverlapPolicy::default(),
        catchup_window: CATCHUP_DEFAULT,
        pause_on_failure: false,
        max_actions: None,
        input: None,
        adopts: None,
    };
    if let Some(entry) = object.get("cron") {
        // The specification allows one cron string here, not a list.
        decoder.text(&entry.value, "schedule.cron")?;
        let crons = cron(decoder, entry, &mut block);
        // This does not fail: one cron string cannot name two time zones.
        block.spec.timezone = common_zone(&crons, None).ok()?;
    }
    if let Some(entry) = object.get("every")
        && let Some(every) = ows_duration(decoder, root, "schedule", "every")
    {
        match Interval::new(every, Duration::ZERO) {
            Ok(interval) if every.subsec_nanos() == 0 => {
                block.spec.intervals.extend(BTreeSet::from([interval]));
                // The specification: "Regardless of whether the previous run is still in progress."
                block.overlap_policy = OverlapPolicy::AllowAll;
            }
            Ok(_) => decoder.error(entry.value.at, "`schedule.every` must be whole seconds"),
            Err(error) => decoder.errors.push(Finding {
                at: entry.value.at,
                message: format!("`schedule.every`: {}", error.message),
                hint: error.hint,
            }),
        }
    }
    if decoder.errors.len() == before {
        spec_findings(decoder, entry.at, &block.spec, context);
    }
    Some((Some(block), triggers))
}
