//! Parser of a file: from the bytes of the file to its documents.

use std::collections::BTreeSet;
use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_base::nearest;
use jiff::Timestamp;
use serde::Serialize;

use super::day_calendar::day_calendar;
use super::decode::Decoder;
use super::document::{self, StatedId};
use super::event_type::event_type;
use super::source::{self, Document, Finding, Lines, Place};
use super::yaml::{self, Node};
use super::{
    AfterUse, CalendarUse, DayCalendar, Definition, Diagnostic, EventType, EventUse, Severity,
    other_formats, ows,
};

/// Maximum size of a file, in bytes.
const FILE_LIMIT: usize = 1024 * 1024;
/// Maximum number of documents in a file. The registry has the same limit for all files together.
const DOCUMENTS_LIMIT: usize = 50_000;

/// Context of a parse, given by the caller because the parser reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseContext {
    /// Present time, for warnings (an end that has passed, a change of the clocks that is near). It
    /// never decides whether a document is valid.
    pub now: Timestamp,
}

/// A document of a file, as it was parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedDocument {
    /// Line at which the document begins, from 1.
    pub line: usize,
    /// Id that the document states, or the file's stem if that is the default. The id can be known
    /// even if the document fails. `None` only if the id is not certain.
    pub id: Option<DefinitionId>,
    /// Kind of the document; `Workflow` if the kind cannot be read.
    pub kind: Kind,
    /// Content of the document, or all its errors in the order of the text.
    pub result: Result<Parsed, Vec<Diagnostic>>,
    /// Calendars that the definition names. The definition's `exclude` lacks their days until
    /// [`Calendars::resolve`](super::Calendars::resolve).
    pub calendars: Box<[CalendarUse]>,
    /// Types of events that the definition's triggers name.
    pub events: Box<[EventUse]>,
    /// Definitions that the definition's triggers name in `after`.
    pub after: Box<[AfterUse]>,
    /// Warnings about values that a person almost never means. Documents that fail can have
    /// warnings too.
    pub warnings: Vec<Diagnostic>,
}

/// Content of a valid document.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// A document of `kind: workflow`.
    Definition(Arc<Definition>),
    /// A document of `kind: calendar`.
    Calendar(Arc<DayCalendar>),
    /// A document of `kind: event_type`.
    EventType(Arc<EventType>),
}

impl Parsed {
    fn of(definition: Definition) -> Self {
        Self::Definition(Arc::new(definition))
    }
}

/// Kind of a document.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Definition of something that runs.
    #[default]
    Workflow,
    /// A type of events.
    EventType,
    /// A named set of whole days.
    Calendar,
}

impl Kind {
    /// All kinds of documents.
    pub const ALL: [Self; 3] = [Self::Workflow, Self::EventType, Self::Calendar];

    /// Name of the kind, as documents state it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::EventType => "event_type",
            Self::Calendar => "calendar",
        }
    }
}

impl ParsedDocument {
    /// Returns the definition if the document is a valid definition.
    pub fn definition(&self) -> Option<&Arc<Definition>> {
        match &self.result {
            Ok(Parsed::Definition(definition)) => Some(definition),
            _ => None,
        }
    }

    /// Returns the calendar if the document is a valid calendar.
    pub fn calendar(&self) -> Option<&Arc<DayCalendar>> {
        match &self.result {
            Ok(Parsed::Calendar(calendar)) => Some(calendar),
            _ => None,
        }
    }
}

/// Parses and validates every document of a file. `path` is the name of the file in diagnostics.
/// The stem of `path` is the id of a document that states no id and is alone in its file.
///
/// A file of only comments has no documents. A file without any document or comment is an error,
/// because a write that was interrupted leaves such a file behind.
pub fn parse_file(path: &str, bytes: &[u8], context: &ParseContext) -> Vec<ParsedDocument> {
    if bytes.len() > FILE_LIMIT {
        let message = format!(
            "the file has {} bytes, over the limit of {FILE_LIMIT}",
            bytes.len()
        );
        return vec![ParsedDocument::of_file(path, message)];
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let documents = source::documents(bytes);
    if documents.is_empty() && !bytes.contains(&b'#') {
        return vec![ParsedDocument::of_file(
            path,
            "the file is empty".to_owned(),
        )];
    }
    if documents.len() > DOCUMENTS_LIMIT {
        let message = format!(
            "the file has {} documents, over the limit of {DOCUMENTS_LIMIT}",
            documents.len()
        );
        return vec![ParsedDocument::of_file(path, message)];
    }
    let stem = match documents.len() {
        1 => Some(stem(path)),
        _ => None,
    };
    documents
        .iter()
        .map(|document| parse_document(path, stem, document, context))
        .collect()
}

/// Name of the file without its folders and its extension.
fn stem(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

impl ParsedDocument {
    fn of_file(path: &str, message: String) -> Self {
        Self {
            line: 1,
            id: None,
            kind: Kind::default(),
            result: Err(vec![Diagnostic::error(path, 1, 1, message)]),
            calendars: Box::default(),
            events: Box::default(),
            after: Box::default(),
            warnings: Vec::new(),
        }
    }
}

fn parse_document(
    path: &str,
    stem: Option<&str>,
    document: &Document<'_>,
    context: &ParseContext,
) -> ParsedDocument {
    let lines = Lines::new(document);
    let mut decoder = Decoder::new(&lines);
    let root = match source::text(document) {
        Ok(text) => yaml::parse(text, document.first_line, &mut decoder.errors),
        Err(finding) => {
            decoder.errors.push(finding);
            None
        }
    };
    let mut parsed = Read::default();
    if let Some(root) = &root {
        parsed = read(&mut decoder, root, stem, document, context);
    } else {
        // The stem is not the default here, because the broken part may be the `id:`.
        parsed.id = scan_ids(&lines).pop_first().flatten();
        parsed.kind = scan_kind(&lines);
    }
    if !decoder.errors.is_empty() && scan_ids(&lines).len() > 1 {
        // The document states several ids, and it is not known which of them is meant.
        parsed.id = None;
    }
    let Decoder {
        mut errors,
        warnings,
        calendars,
        events,
        after,
        hidden,
        ..
    } = decoder;
    let diagnostics = |severity, findings| {
        let mut all = lines.diagnostics(path, severity, findings);
        for one in all.iter_mut().filter(|one| hidden.contains(&one.line)) {
            one.snippet = None;
        }
        all
    };
    let start = Place {
        line: document.line,
        column: 1,
    };
    let result = match parsed.whole {
        Some(whole) if errors.is_empty() => Ok(whole),
        _ => {
            if errors.is_empty() {
                // No input is known that leads here. A document that fails must have an error.
                errors.push(Finding::new(start, "the document cannot be read"));
            }
            Err(diagnostics(Severity::Error, errors))
        }
    };
    let place = |at| lines.diagnostic(path, Severity::Error, Finding::new(at, ""));
    ParsedDocument {
        line: document.line,
        id: parsed.id,
        kind: parsed.kind,
        result,
        calendars: calendars
            .into_iter()
            .map(|(calendar, at)| CalendarUse {
                calendar,
                at: place(at),
            })
            .collect(),
        events: events
            .into_iter()
            .map(|(event, at)| EventUse {
                event,
                at: place(at),
            })
            .collect(),
        after: after
            .into_iter()
            .map(|(definition, at)| AfterUse {
                definition,
                at: place(at),
            })
            .collect(),
        warnings: diagnostics(Severity::Warning, warnings),
    }
}

/// Parts of a document that could be read.
#[derive(Default)]
struct Read {
    id: Option<DefinitionId>,
    kind: Kind,
    whole: Option<Parsed>,
}

fn read(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    stem: Option<&str>,
    document: &Document<'_>,
    context: &ParseContext,
) -> Read {
    if !matches!(root.value, yaml::Value::Map(_)) {
        if !root.is_refused() {
            let at = Place {
                line: document.line,
                column: root.at.column,
            };
            let at = if root.is_null() { at } else { root.at };
            decoder.errors.push(
                Finding::new(
                    at,
                    "a document must be a map with keys like `schedule` and `do`",
                )
                .hint("end a key with a colon and a space: `id: nightly`"),
            );
        }
        return Read::default();
    }
    if let Some(header) = root.entry("document") {
        let name = header.value.entry("name");
        return Read {
            id: name.and_then(|name| name.value.text.parse().ok()),
            kind: Kind::Workflow,
            whole: ows::definition(decoder, root, context).map(Parsed::of),
        };
    }
    let stated = stated_id(root, stem);
    let is_older = other_formats::older(decoder, root);
    let id = match &stated {
        StatedId::Known(id) => Some(id.clone()),
        _ => None,
    };
    if is_older {
        return Read {
            id,
            ..Read::default()
        };
    }
    let kind = document::kind(decoder, root);
    let whole = match kind {
        Some(Kind::Workflow) => {
            document::definition(decoder, root, &stated, context).map(Parsed::of)
        }
        Some(Kind::Calendar) => day_calendar(decoder, root, &stated)
            .map(|calendar| Parsed::Calendar(Arc::new(calendar))),
        Some(Kind::EventType) => event_type(decoder, root, &stated)
            .map(|event_type| Parsed::EventType(Arc::new(event_type))),
        None => None,
    };
    Read {
        id,
        kind: kind.unwrap_or_default(),
        whole,
    }
}

fn stated_id(root: &Node<'_>, stem: Option<&str>) -> StatedId {
    if let Some(entry) = root.entry("id") {
        return match entry.value.text.parse() {
            Ok(id) => StatedId::Known(id),
            Err(_) => StatedId::Bad,
        };
    }
    if let yaml::Value::Map(entries) = &root.value
        && entries
            .iter()
            .any(|entry| nearest::nearest(&entry.key, &["id"]).is_some())
    {
        // The key `id` is mistyped. It is reported as an unknown key.
        return StatedId::Bad;
    }
    let Some(stem) = stem else {
        return StatedId::Missing;
    };
    match stem.parse() {
        Ok(id) => StatedId::Known(id),
        Err(_) => StatedId::BadStem(stem.to_owned()),
    }
}

/// Ids that a document states, read from its lines alone: the values of `id: …` without
/// indentation, and of `name: …` in a block `document:`. `None` stands for a value that is not a
/// valid id.
fn scan_ids(lines: &Lines<'_>) -> BTreeSet<Option<DefinitionId>> {
    let mut found = BTreeSet::new();
    let mut in_header = false;
    for line in lines.all() {
        let indented = line.starts_with([' ', '\t']);
        if !indented && !line.is_empty() && !line.starts_with('#') {
            in_header = line.trim_end() == "document:";
        }
        let value = if indented {
            line.trim_start()
                .strip_prefix("name:")
                .filter(|_| in_header)
        } else {
            line.strip_prefix("id:")
        };
        if let Some(value) = value.filter(|value| value.starts_with([' ', '\t'])) {
            let value = value.split(" #").next().unwrap_or(value).trim();
            found.insert(value.trim_matches(['"', '\'']).parse().ok());
        }
    }
    found
}

/// Kind that a document states, read from its lines alone; `workflow` if there is none.
fn scan_kind(lines: &Lines<'_>) -> Kind {
    let stated = |line: &str| {
        let value = line.strip_prefix("kind:")?;
        let value = value.split(" #").next().unwrap_or(value).trim();
        let name = value.trim_matches(['"', '\'']);
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    };
    lines
        .all()
        .find_map(|line| stated(&line))
        .unwrap_or_default()
}
