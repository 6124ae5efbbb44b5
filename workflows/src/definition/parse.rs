//! From a file's bytes to its documents.

use jiff::Timestamp;

use super::{Definition, Diagnostic};
use crate::names::DefinitionId;

/// The largest file, in bytes.
pub(super) const FILE_LIMIT: usize = 1024 * 1024;
/// The largest document, in bytes.
pub(super) const DOCUMENT_LIMIT: usize = 256 * 1024;

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
/// diagnostics name it; its stem is the default id.
pub fn parse_file(_path: &str, _bytes: &[u8], _context: &ParseContext) -> Vec<ParsedDocument> {
    Vec::new()
}
