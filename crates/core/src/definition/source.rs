//! Separation of a file's bytes into documents, and places in them.
//!
//! A line that begins with `---` or `...` separates documents at any place, because YAML forbids
//! such a line inside scalars. So the documents are separated before any of them is parsed, and a
//! syntax error in one document cannot affect another.

use super::diagnostic::{Diagnostic, Severity, snippet};

/// Maximum size of a document, in bytes.
pub(super) const DOCUMENT_LIMIT: usize = 256 * 1024;
/// Maximum number of findings listed for one document. The last one counts the rest.
const FINDINGS_LIMIT: usize = 200;

/// Maximum length, in bytes, of a line that is searched for places inside scalars.
const LONG_LINE: usize = 4096;

/// A place in a file: line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The text of one document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    /// Line of the file at which `bytes` begin, from 1.
    pub(super) first_line: usize,
    /// Line of the first text that is neither blank nor a comment.
    pub(super) line: usize,
    pub(super) bytes: &'a [u8],
}

/// Separates a file into its documents. Parts that hold only blank lines and comments are not
/// documents.
pub(super) fn documents(bytes: &[u8]) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let mut part = Part::new(0, 1);
    let mut start = 0;
    let mut number = 1;
    while start < bytes.len() {
        let (line, next) = line_at(bytes, start);
        if is_marker(line, b"---") && !part.awaits_start {
            part.finish(bytes, start, &mut documents);
            part = Part::new(start, number);
        }
        part.add(line, number);
        start = next;
        number += 1;
        if is_marker(line, b"...") {
            part.finish(bytes, start, &mut documents);
            part = Part::new(start, number);
        }
    }
    part.finish(bytes, bytes.len(), &mut documents);
    documents
}

/// A document whose end has not been reached.
struct Part {
    start: usize,
    first_line: usize,
    /// Line of the first content.
    content: Option<usize>,
    /// `true` if the part has only directives so far. The next `---` then begins this document, not
    /// another.
    awaits_start: bool,
}

impl Part {
    fn new(start: usize, first_line: usize) -> Self {
        Self {
            start,
            first_line,
            content: None,
            awaits_start: false,
        }
    }

    fn add(&mut self, line: &[u8], number: usize) {
        let directive = line.starts_with(b"%") && (self.content.is_none() || self.awaits_start);
        let line = if is_marker(line, b"---") || is_marker(line, b"...") {
            &line[3..]
        } else {
            line
        };
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        self.content.get_or_insert(number);
        self.awaits_start = directive;
    }

    fn finish<'a>(&self, bytes: &'a [u8], end: usize, documents: &mut Vec<Document<'a>>) {
        if let Some(line) = self.content {
            documents.push(Document {
                first_line: self.first_line,
                line,
                bytes: &bytes[self.start..end],
            });
        }
    }
}

/// The line that begins at `start`, without its line break, and the start of the next line.
fn line_at(bytes: &[u8], start: usize) -> (&[u8], usize) {
    let rest = &bytes[start..];
    let Some(length) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
        return (rest, bytes.len());
    };
    let width = if rest[length..].starts_with(b"\r\n") {
        2
    } else {
        1
    };
    (&rest[..length], start + length + width)
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'\t')))
}

/// Returns the text of a document, or an error if it is too long or not text that YAML allows.
pub(super) fn text<'a>(document: &Document<'a>) -> Result<&'a str, Finding> {
    if document.bytes.len() > DOCUMENT_LIMIT {
        let at = Place {
            line: document.line,
            column: 1,
        };
        return Err(Finding::new(
            at,
            format!(
                "the document has {} bytes, over the limit of {DOCUMENT_LIMIT}",
                document.bytes.len()
            ),
        ));
    }
    let text = match std::str::from_utf8(document.bytes) {
        Ok(text) => text,
        Err(error) => {
            let (good, bad) = document.bytes.split_at(error.valid_up_to());
            let good = std::str::from_utf8(good).unwrap_or_default();
            let at = place_after(good, document.first_line);
            let byte = bad.first().copied().unwrap_or_default();
            return Err(
                Finding::new(at, format!("byte 0x{byte:02x} is not valid UTF-8"))
                    .hint("save the file as UTF-8"),
            );
        }
    };
    // A parser may treat some of these characters as the end of its input.
    match text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        None => Ok(text),
        Some((offset, c)) => Err(Finding::new(
            place_after(&text[..offset], document.first_line),
            format!(
                "the control character U+{:04X} is not allowed in YAML",
                u32::from(c)
            ),
        )
        .hint("write it as an escape in a double-quoted string")),
    }
}

fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || c == '\u{feff}'
}

/// The place after `text`, which begins at the first column of `first_line`.
fn place_after(text: &str, first_line: usize) -> Place {
    let bytes = text.as_bytes();
    let (mut line, mut start) = (first_line, 0);
    loop {
        let (content, next) = line_at(bytes, start);
        // No line break follows, so the place is in this line.
        if start + content.len() == next {
            let column = text[start..].chars().count() + 1;
            return Place { line, column };
        }
        start = next;
        line += 1;
    }
}

/// An error or a warning in a document, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) at: Place,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Finding {
    pub(super) fn new(at: Place, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The lines of a document, for snippets and for places inside scalars.
pub(super) struct Lines<'a> {
    first_line: usize,
    lines: Vec<&'a [u8]>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(document: &Document<'a>) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        while start < document.bytes.len() {
            let (line, next) = line_at(document.bytes, start);
            lines.push(line);
            start = next;
        }
        Self {
            first_line: document.first_line,
            lines,
        }
    }

    /// Length of the document in bytes, without line breaks.
    pub(super) fn size(&self) -> usize {
        self.lines.iter().map(|line| line.len()).sum()
    }

    /// Text of a line of the file. Empty if the line is not part of the document.
    pub(super) fn get(&self, line: usize) -> std::borrow::Cow<'a, str> {
        let line = line
            .checked_sub(self.first_line)
            .and_then(|index| self.lines.get(index))
            .copied()
            .unwrap_or_default();
        String::from_utf8_lossy(line)
    }

    /// Returns `true` if a line is too long to be searched for places inside scalars: each of many
    /// findings would search the whole line.
    pub(super) fn is_long(&self, line: usize) -> bool {
        let index = line.checked_sub(self.first_line);
        let line = index.and_then(|index| self.lines.get(index));
        line.is_some_and(|line| line.len() > LONG_LINE)
    }

    /// Place of a byte of a scalar's text. If the file does not contain the text before the byte
    /// unchanged (folded lines, escapes), the place is the scalar's own.
    pub(super) fn within(&self, at: Place, text: &str, offset: usize) -> Place {
        let Some(before) = text.get(..offset).filter(|before| !before.is_empty()) else {
            return at;
        };
        // The lines of a literal block stand below one another.
        let (above, before) = match before.rsplit_once('\n') {
            Some((above, last)) => (above.matches('\n').count() + 1, last),
            None => (0, before),
        };
        if self.is_long(at.line + above) {
            return at;
        }
        let line = self.get(at.line + above);
        let written: String = line.chars().skip(at.column.saturating_sub(1)).collect();
        let quotes: &[&str] = if above == 0 { &["", "\"", "'"] } else { &[""] };
        let quote = quotes.iter().find(|quote| {
            let inside = written.strip_prefix(**quote);
            inside.is_some_and(|inside| inside.starts_with(before))
        });
        quote.map_or(at, |quote| Place {
            line: at.line + above,
            column: at.column + quote.len() + before.chars().count(),
        })
    }

    /// All lines of the document, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = std::borrow::Cow<'a, str>> {
        self.lines.iter().map(|line| String::from_utf8_lossy(line))
    }

    /// Converts findings to diagnostics, in the order of the text and limited in number.
    pub(super) fn diagnostics(
        &self,
        path: &str,
        severity: Severity,
        mut findings: Vec<Finding>,
    ) -> Vec<Diagnostic> {
        findings.sort_by_key(|finding| finding.at);
        let surplus = findings.len().saturating_sub(FINDINGS_LIMIT);
        if surplus > 0 {
            findings.truncate(FINDINGS_LIMIT);
            if let Some(last) = findings.last_mut() {
                last.message = format!("and {} more errors of this kind", surplus + 1);
                last.hint = None;
            }
        }
        findings
            .into_iter()
            .map(|finding| self.diagnostic(path, severity, finding))
            .collect()
    }

    /// Converts a finding to a diagnostic.
    pub(super) fn diagnostic(
        &self,
        path: &str,
        severity: Severity,
        finding: Finding,
    ) -> Diagnostic {
        Diagnostic {
            path: path.to_owned(),
            line: finding.at.line,
            column: finding.at.column,
            severity,
            message: finding.message,
            hint: finding.hint,
            snippet: Some(snippet(&self.get(finding.at.line), finding.at.column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(usize, usize, &str)> {
        documents(text.as_bytes())
            .into_iter()
            .map(|d| (d.first_line, d.line, std::str::from_utf8(d.bytes).unwrap()))
            .collect()
    }

    #[test]
    fn documents_are_cut_at_markers_and_empty_ones_left_out() {
        assert_eq!(cut(""), []);
        assert_eq!(cut("# nothing\n---\n---\n...\n"), []);
        assert_eq!(
            cut("a: 1\n---\nb: 2"),
            [(1, 1, "a: 1\n"), (2, 3, "---\nb: 2")]
        );
        assert_eq!(
            cut("a: 1\n...\n\nb: 2\n"),
            [(1, 1, "a: 1\n...\n"), (3, 4, "\nb: 2\n")]
        );
        assert_eq!(
            cut("a: |\n ---\n---- x\n"),
            [(1, 1, "a: |\n ---\n---- x\n")]
        );
        assert_eq!(
            cut("--- {a: 1}\r\n--- # x\r\nb: 2"),
            [(1, 1, "--- {a: 1}\r\n"), (2, 3, "--- # x\r\nb: 2")]
        );
        assert_eq!(
            cut("# x\n%YAML 1.2\n---\na: 1\n"),
            [(1, 2, "# x\n%YAML 1.2\n---\na: 1\n")]
        );
    }

    #[test]
    fn a_bad_byte_is_found_at_its_place() {
        let documents = documents("a: 1\n---\nid: x\nname: \u{e4}\u{e4}Z\n".as_bytes());
        let mut bytes = documents[1].bytes.to_vec();
        let z = bytes.iter().position(|b| *b == b'Z').unwrap();
        bytes[z] = 0xff;
        let broken = Document {
            bytes: &bytes,
            ..documents[1]
        };
        let finding = text(&broken).unwrap_err();
        assert_eq!(finding.at, Place { line: 4, column: 9 });
        assert_eq!(finding.message, "byte 0xff is not valid UTF-8");
    }

    #[test]
    fn control_characters_and_long_documents_are_refused() {
        let nul = documents(b"id: a\x00b");
        assert_eq!(text(&nul[0]).unwrap_err().at, Place { line: 1, column: 6 });
        let long = vec![b'x'; DOCUMENT_LIMIT + 1];
        assert!(
            text(&documents(&long)[0])
                .unwrap_err()
                .message
                .contains("262145 bytes")
        );
        assert!(text(&documents(&long[1..])[0]).is_ok());
    }
}
