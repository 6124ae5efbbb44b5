//! Diagnostics: errors and warnings of a document, each with its place.

use std::fmt;

use almanac_base::text;
use serde::Serialize;

/// Maximum length of the part of a source line that a snippet shows, in characters.
const SNIPPET_WIDTH: usize = 160;
/// Number of characters that a shortened line shows before the place of the finding.
const SNIPPET_BEFORE: usize = 60;
/// Character that stands for the omitted part of a line.
const CUT: char = '…';

/// An error or a warning in a document, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct Diagnostic {
    /// Path of the file, as the parser was given it.
    pub path: String,
    /// Line number, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Severity: an error refuses the document, a warning does not.
    pub severity: Severity,
    /// Message: lower-case, names the field and the bad value, ends without a period.
    pub message: String,
    /// Advice on how to correct the problem.
    pub hint: Option<String>,
    /// Source line of the finding, or the part of a long line around the column.
    pub snippet: Option<String>,
}

/// Severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The server would accept the value, but a person almost never means it.
    Warning,
}

impl Diagnostic {
    /// An error at a place, without hint and snippet.
    pub fn error(
        path: impl Into<String>,
        line: usize,
        column: usize,
        message: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            line,
            column,
            severity: Severity::Error,
            message: message.into(),
            hint: None,
            snippet: None,
        }
    }

    /// The diagnostic as lines for people, escaped: its message, the source line with a caret, and
    /// the hint.
    ///
    /// ```text
    /// jobs/a.yaml:3:10: schedule.every: …
    ///   3 |   every: 90
    ///     |          ^
    ///   hint: …
    /// ```
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![text::line(&self.to_string()).into_owned()];
        if let Some(snippet) = &self.snippet {
            let gutter = self.line.to_string().len();
            let start = snippet.char_indices().nth(caret(snippet, self.column));
            let before = &snippet[..start.map_or(snippet.len(), |(at, _)| at)];
            // An escape is wider than the character that it stands for.
            let indent = text::width(&text::escaped(before));
            let shown = text::escaped(snippet.trim_end()).into_owned();
            lines.push(format!("  {} | {shown}", self.line));
            lines.push(format!("  {:gutter$} | {:indent$}^", "", ""));
        }
        let hint = self.hint.as_ref();
        lines.extend(hint.map(|hint| text::hint_line(text::escaped(hint))));
        lines
    }

    /// The lines of [`lines`](Self::lines) as one text, without a final newline.
    pub fn render(&self) -> String {
        self.lines().join("\n")
    }
}

impl fmt::Display for Diagnostic {
    /// Writes one line, `path:line:column: message`, with `warning:` before a warning's message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(
            f,
            "{}:{}:{}: {kind}{}",
            self.path, self.line, self.column, self.message
        )
    }
}

/// Part of a source line that a diagnostic at `column` shows: the whole line, or a window of a long
/// line. Control characters other than tabs are replaced, because they could move a terminal's
/// cursor.
pub(super) fn snippet(line: &str, column: usize) -> String {
    let clean = |c: char| {
        if c.is_control() && c != '\t' {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let start = if line.chars().nth(SNIPPET_WIDTH).is_none() {
        0
    } else {
        column.saturating_sub(1 + SNIPPET_BEFORE)
    };
    let mut out = String::new();
    if start > 0 {
        out.push(CUT);
    }
    let mut rest = line[nth_char(line, start)..].chars().map(clean);
    out.extend(rest.by_ref().take(SNIPPET_WIDTH));
    if rest.next().is_some() {
        out.push(CUT);
    }
    out
}

/// Byte offset of character `n` (from 0) of a line, or the line's length if the line is shorter.
/// The search must be fast: a line may be long, and many findings may point into it.
pub(super) fn nth_char(line: &str, n: usize) -> usize {
    const CHUNK: usize = 1024;
    let begins = |byte: &u8| (*byte & 0xc0) != 0x80;
    let mut left = n;
    let mut at = 0;
    for chunk in line.as_bytes().chunks(CHUNK) {
        let characters = chunk.iter().filter(|byte| begins(byte)).count();
        if characters > left {
            let firsts = chunk.iter().enumerate().filter(|(_, byte)| begins(byte));
            let place = firsts.map(|(place, _)| place).nth(left);
            return at + place.unwrap_or_default();
        }
        left -= characters;
        at += chunk.len();
    }
    line.len()
}

/// Number of characters of a snippet before the character at `column`.
fn caret(snippet: &str, column: usize) -> usize {
    if snippet.starts_with(CUT) && column > SNIPPET_BEFORE + 1 {
        SNIPPET_BEFORE + 1
    } else {
        (column - 1).min(snippet.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::nth_char;

    proptest! {
        #[test]
        fn a_character_is_found_where_it_stands(text in "[aä€🦀]{0,20}", times in 1_usize..200, n in 0_usize..4200) {
            let line = text.repeat(times);
            let place = line.char_indices().nth(n).map_or(line.len(), |(place, _)| place);
            prop_assert_eq!(nth_char(&line, n), place);
        }
    }
}
