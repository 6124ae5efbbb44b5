//! Untrusted text made fit to show to people: on terminals, in text logs, in Markdown
//! and in the output of continuous integration.
//!
//! Every text that Almanac shows may be untrusted: files, notes, ids, reasons and answers
//! of services. The code that writes output (the console of the `worker` crate, the details
//! of the workflows) passes all texts through these functions. The code that composes a
//! message does not have to.
//!
//! A result never contains a control character, a line break of any kind, or a character
//! that reorders, hides or joins its neighbours. Escaping a result again changes nothing, so
//! a text may be escaped several times. Backslashes are left alone: a text that only looks
//! like an escape does no harm, and source lines, JSON and regular expressions look as they
//! were written.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Maximum number of combining marks in a row that are shown. A longer sequence would cover
/// the lines above and below.
const MARKS: usize = 6;

/// The invisible characters beyond the control characters: Unicode's format characters
/// (`Cf`), the characters that Unicode lists as ignorable by default, the separators of lines
/// and paragraphs, and the code points that are noncharacters.
const INVISIBLE: [(char, char); 36] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{1fffe}', '\u{1ffff}'),
    ('\u{2fffe}', '\u{2ffff}'),
    ('\u{3fffe}', '\u{3ffff}'),
    ('\u{4fffe}', '\u{4ffff}'),
    ('\u{5fffe}', '\u{5ffff}'),
    ('\u{6fffe}', '\u{6ffff}'),
    ('\u{7fffe}', '\u{7ffff}'),
    ('\u{8fffe}', '\u{8ffff}'),
    ('\u{9fffe}', '\u{dffff}'),
    ('\u{e0000}', '\u{10ffff}'),
];

/// Returns `true` if a character is escaped in every text that is shown.
pub fn is_hidden(c: char) -> bool {
    if c < '\u{ad}' {
        return c.is_control();
    }
    INVISIBLE
        .binary_search_by(|(first, last)| {
            if c < *first {
                std::cmp::Ordering::Greater
            } else if c > *last {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

/// Escapes a text for use as part of one line, on terminals and in logs.
///
/// Hidden characters become `\n`, `\r`, `\t` or `\u{…}`. The beginning of a command to a
/// build server in the middle of a line (`##[…]`, `##vso[…]`) is escaped, too.
pub fn escaped(text: &str) -> Cow<'_, str> {
    rewritten(text, &|c, out| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default(),
    })
}

/// Escapes a text for use as a whole line. In addition to [`escaped`], the result cannot begin
/// with a command to a build server (`::error::`).
pub fn line(text: &str) -> Cow<'_, str> {
    let escaped = escaped(text);
    let blank = escaped.len() - escaped.trim_start().len();
    if escaped[blank..].starts_with("::") {
        let (blank, rest) = escaped.split_at(blank);
        return Cow::Owned(format!("{blank}\\u{{3a}}{}", &rest[1..]));
    }
    escaped
}

/// A JSON document with its hidden characters written as JSON's own escapes. The value of the
/// document and the line breaks between its parts do not change.
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.contains('\n') {
        return json_line(document);
    }
    let lines: Vec<_> = document.split('\n').map(json_line).collect();
    if lines.iter().all(|line| matches!(line, Cow::Borrowed(_))) {
        Cow::Borrowed(document)
    } else {
        Cow::Owned(lines.join("\n"))
    }
}

fn json_line(line: &str) -> Cow<'_, str> {
    rewritten(line, &|c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            write!(out, "\\u{unit:04x}").unwrap_or_default();
        }
    })
}

/// A text as inline code of Markdown, cut to `limit` characters. The text cannot become a
/// heading, a link, an image or HTML, and cannot end the cell of a table.
pub fn code(text: &str, limit: usize) -> String {
    // Renderers differ in how they read longer fences and escaped bars.
    let shown = cut(&escaped(&cut(text, limit)), limit)
        .replace('`', "'")
        .replace('|', "/");
    match shown.trim() {
        "" => "` `".to_owned(),
        _ => format!("`{shown}`"),
    }
}

/// A text unchanged in Markdown if no part of it could be markup, and as inline code
/// otherwise.
pub fn markdown(text: &str, limit: usize) -> String {
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | ' ' | ':' | ',' | '-' | '_' | '.');
    let begins = text.starts_with(char::is_alphanumeric);
    let has_link = text.contains("//") || text.contains("www.");
    let marks = text.contains("__") || text.contains(" _") || text.contains("_ ");
    if begins && !has_link && !marks && text.chars().all(is_plain) {
        cut(text, limit)
    } else {
        code(text, limit)
    }
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// An untrusted text as messages show it: in backquotes, on one line, cut to a limit.
pub fn quoted(text: &str) -> String {
    const LIMIT: usize = 80;
    let mut out = String::from("`");
    for (index, c) in text.chars().enumerate() {
        if index == LIMIT {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('`');
    out
}

/// The line below a message that says what to do. The caller escapes the hint or the line.
pub fn hint_line(hint: impl std::fmt::Display) -> String {
    format!("  hint: {hint}")
}

/// Number of columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` with its hidden characters, and the marks above [`MARKS`], passed to `escape`.
fn rewritten<'a>(text: &'a str, escape: &dyn Fn(char, &mut String)) -> Cow<'a, str> {
    let mut out: Option<String> = None;
    let mut marks = 0;
    for (offset, c) in text.char_indices() {
        marks = if c > '\u{2ff}' && c.width() == Some(0) {
            marks + 1
        } else {
            0
        };
        let is_escaped =
            is_hidden(c) || marks > MARKS || (c == '#' && begins_command(text, offset));
        if is_escaped {
            let out = out.get_or_insert_with(|| text[..offset].to_owned());
            escape(c, out);
        } else if let Some(out) = &mut out {
            out.push(c);
        }
    }
    out.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Returns `true` if the `#` at `offset` is the second one of `##[` or `##name[`, which build
/// servers read as a command anywhere in a line.
fn begins_command(text: &str, offset: usize) -> bool {
    let name = &text[offset + 1..];
    let name = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-');
    text[..offset].ends_with('#') && name.starts_with('[')
}

#[cfg(test)]
mod tests;
