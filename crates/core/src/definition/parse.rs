//! From a file's bytes to its documents.

use std::collections::BTreeSet;
use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_base::nearest;
use jiff::Timestamp;
use serde::Serialize;

use super::day_calendar::day_calendar;
use super::decode::Decoder;
use super::document::{self, StatedId};
use super::source::{self, Document, Finding, Lines, Place};
use super::yaml::{self, Node};
use super::{CalendarUse, DayCalendar, Definition, Diagnostic, Severity, other_formats, ows};

/// The largest file, in bytes.
const FILE_LIMIT: usize = 1024 * 1024;
/// The most documents, of a file as of all files together.
const DOCUMENTS_LIMIT: usize = 50_000;

/// What a parser must be told of the world, since it reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseContext {
    /// The present time, for warnings (an end that has passed, a change of
    /// the clocks that is near); never decides what is valid.
    pub now: Timestamp,
}

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedDocument {
    /// The line it begins at, from 1.
    pub line: usize,
    /// The id it states, or the file's stem where that is the default; readable
    /// even where the document fails, `None` only when nothing is sure.
    pub id: Option<DefinitionId>,
    /// What it is; `Workflow` where that cannot be read.
    pub kind: Kind,
    /// What it says, or all that is wrong with it, in the order of the text.
    pub result: Result<Parsed, Vec<Diagnostic>>,
    /// The calendars that a definition names. Its `exclude` lacks them until
    /// [`Calendars::resolve`](super::Calendars::resolve).
    pub calendars: Box<[CalendarUse]>,
    /// What a person almost never means; of documents that fail, too.
    pub warnings: Vec<Diagnostic>,
}

/// What a valid document says.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// A document of `kind: workflow`.
    Definition(Arc<Definition>),
    /// A document of `kind: calendar`.
    Calendar(Arc<DayCalendar>),
}

impl Parsed {
    fn of(definition: Definition) -> Self {
        Self::Definition(Arc::new(definition))
    }
}

/// The kinds of document.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something that runs.
    #[default]
    Workflow,
    /// A type of events; not supported yet.
    EventType,
    /// Whole days under a name.
    Calendar,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Workflow, Self::EventType, Self::Calendar];

    /// As a document states it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::EventType => "event_type",
            Self::Calendar => "calendar",
        }
    }
}

impl ParsedDocument {
    /// The definition that it is, when it is a valid one.
    pub fn definition(&self) -> Option<&Arc<Definition>> {
        match &self.result {
            Ok(Parsed::Definition(definition)) => Some(definition),
            _ => None,
        }
    }

    /// The calendar that it is, when it is a valid one.
    pub fn calendar(&self) -> Option<&Arc<DayCalendar>> {
        match &self.result {
            Ok(Parsed::Calendar(calendar)) => Some(calendar),
            _ => None,
        }
    }
}

/// Parses and validates every document of a file. `path` is the file as
/// diagnostics name it; its stem is the id of a lone document that states none.
///
/// A file of nothing but comments has no documents. A file without even these
/// is an error: it is what a write that was cut short leaves behind.
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
            "the file holds {} documents, over the limit of {DOCUMENTS_LIMIT}",
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

/// The file's name without folders and ending.
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
        // The stem is no default here: the broken part may be the `id:`.
        parsed.id = scan_ids(&lines).pop_first().flatten();
        parsed.kind = scan_kind(&lines);
    }
    if !decoder.errors.is_empty() && scan_ids(&lines).len() > 1 {
        // Stated twice, and nothing says which one is meant.
        parsed.id = None;
    }
    let Decoder {
        mut errors,
        warnings,
        calendars,
        ..
    } = decoder;
    let start = Place {
        line: document.line,
        column: 1,
    };
    let result = match parsed.whole {
        Some(whole) if errors.is_empty() => Ok(whole),
        _ => {
            if errors.is_empty() {
                // Not known to happen; a document that fails must say so.
                errors.push(Finding::new(start, "the document cannot be read"));
            }
            Err(lines.diagnostics(path, Severity::Error, errors))
        }
    };
    ParsedDocument {
        line: document.line,
        id: parsed.id,
        kind: parsed.kind,
        result,
        calendars: calendars
            .into_iter()
            .map(|(calendar, at)| {
                let at = lines.diagnostic(path, Severity::Error, Finding::new(at, ""));
                CalendarUse { calendar, at }
            })
            .collect(),
        warnings: lines.diagnostics(path, Severity::Warning, warnings),
    }
}

/// What could be read of a document.
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
                .hint("a key ends with a colon and a blank: `id: nightly`"),
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
        Some(Kind::EventType) => {
            if let Some(entry) = root.entry("kind") {
                decoder.not_yet(entry.at, &format!("`kind: {}`", entry.value.text));
            }
            None
        }
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
        // An `id` that was mistyped: an unknown key, so an error anyway.
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

/// The ids that a document states, read by its lines alone: those `id: …`
/// without indentation, and `name: …` in a block `document:`. `None` stands
/// for one that is no id.
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

/// The kind that a document states, read by its lines alone.
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
