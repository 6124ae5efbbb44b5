//! From a file's bytes to its documents.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::decode::Decoder;
use super::document::{self, StatedId};
use super::source::{self, Document, Finding, Lines, Place};
use super::yaml::{self, Node};
use super::{Definition, Diagnostic, Severity, nearest, ows};
use crate::names::DefinitionId;

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
    /// The definition, or all that is wrong with it, in the order of the text.
    pub result: Result<Definition, Vec<Diagnostic>>,
    /// What a person almost never means; of documents that fail, too.
    pub warnings: Vec<Diagnostic>,
}

/// The kinds of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Kind {
    /// Something that runs.
    #[default]
    Workflow,
    /// A type of events; not supported yet.
    EventType,
    /// A calendar; not supported yet.
    Calendar,
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
    let mut decoder = Decoder {
        lines: &lines,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let root = match source::text(document) {
        Ok(text) => yaml::parse(text, document.first_line, &mut decoder.errors),
        Err(finding) => {
            decoder.errors.push(finding);
            None
        }
    };
    let mut parsed = Read::default();
    match &root {
        Some(root) => parsed = read(&mut decoder, root, stem, document, context),
        // The stem is no default here: the broken part may be the `id:`.
        None => parsed.id = scan_ids(&lines).pop_first().flatten(),
    }
    if !decoder.errors.is_empty() && scan_ids(&lines).len() > 1 {
        // Stated twice, and nothing says which one is meant.
        parsed.id = None;
    }
    let Decoder {
        mut errors,
        warnings,
        ..
    } = decoder;
    let start = Place {
        line: document.line,
        column: 1,
    };
    let result = match parsed.definition {
        Some(definition) if errors.is_empty() => Ok(definition),
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
        warnings: lines.diagnostics(path, Severity::Warning, warnings),
    }
}

/// What could be read of a document.
#[derive(Default)]
struct Read {
    id: Option<DefinitionId>,
    kind: Kind,
    definition: Option<Definition>,
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
            definition: ows::definition(decoder, root, context),
        };
    }
    let stated = stated_id(root, stem);
    let id = match &stated {
        StatedId::Known(id) => Some(id.clone()),
        _ => None,
    };
    let kind = document::kind(decoder, root);
    let definition = match kind {
        Some(Kind::Workflow) => document::definition(decoder, root, &stated, context),
        Some(Kind::EventType | Kind::Calendar) => {
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
        definition,
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
