//! What is wrong with a document, and where.

use serde::Serialize;

/// One finding, at its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// The file, as it was named to the parser.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Whether the document is refused.
    pub severity: Severity,
    /// Lower-case, names the field and the bad value, ends without a period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The source line it points at.
    pub snippet: Option<String>,
}

/// Whether a finding refuses the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It does.
    Error,
    /// The server would take it, but a person almost never means it.
    Warning,
}
