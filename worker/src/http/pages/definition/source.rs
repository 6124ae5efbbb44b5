//! The document as it is on disk, with its errors under their lines.

use almanac_core::definition::Diagnostic;
use almanac_core::snapshot::file_of;
use maud::{Markup, html};

use super::Subject;

/// Maximum number of lines that are shown.
const LINES: usize = 1000;
/// Maximum number of characters of a line that are shown.
const WIDTH: usize = 400;

/// The lines of a document.
#[derive(Debug)]
pub(super) struct SourceText {
    /// Number of the first line, from 1.
    first: usize,
    lines: Vec<String>,
    /// Number of lines that are left out.
    left_out: usize,
}

impl SourceText {
    /// Cuts the document out of its file. `source` is `path` or `path:line`.
    pub(super) fn of(text: &str, source: Option<&str>) -> Self {
        let line = source.and_then(|source| {
            let rest = source.strip_prefix(file_of(source))?;
            rest.strip_prefix(':')?.parse::<usize>().ok()
        });
        let first = line.unwrap_or(1).max(1);
        let begins_next = |line: &str| line.trim_end() == "---";
        let lines: Vec<_> = text.lines().skip(first - 1).collect();
        let end = match line {
            Some(_) => lines
                .iter()
                .skip(1)
                .position(|line| begins_next(line))
                .map(|at| at + 1),
            None => None,
        };
        let all = &lines[..end.unwrap_or(lines.len())];
        let shown = all.iter().take(LINES).map(|line| cut(line));
        Self {
            first,
            lines: shown.collect(),
            left_out: all.len().saturating_sub(LINES),
        }
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

pub(super) fn section(subject: &Subject) -> Markup {
    let errors = subject.reading.errors.as_ref();
    let found = errors.map_or(&[][..], |view| &view.load_errors);
    let path = errors
        .map(|view| view.source.as_str())
        .or(subject.row.source.as_deref());
    html! {
        section.sec id="source" {
            header {
                h2 { "Source" }
                span.mono.dim { (path.unwrap_or("no file")) }
            }
            @match &subject.reading.source {
                Some(text) => (lines(text, found)),
                None => {
                    p.dim { "The file cannot be shown: this worker does not have it." }
                    @for error in found { (super::super::error_badge::message(error)) }
                },
            }
        }
    }
}

fn lines(text: &SourceText, errors: &[Diagnostic]) -> Markup {
    let last = text.first + text.lines.len();
    let elsewhere = errors
        .iter()
        .filter(|error| !(text.first..last).contains(&error.line));
    html! {
        @for error in elsewhere { (super::super::error_badge::message(error)) }
        ol.src start=(text.first) tabindex="0" aria-label="Lines of the source" {
            @for (number, line) in (text.first..).zip(&text.lines) {
                @let own: Vec<_> = errors.iter().filter(|error| error.line == number).collect();
                li value=(number) id={ "L" (number) } {
                    code.bad[!own.is_empty()] { (colored(line, own.first().map(|error| error.column))) }
                    @for error in own {
                        div.msg role="note" {
                            b { (error.message) }
                            @if let Some(hint) = &error.hint { "\n" (hint) }
                        }
                    }
                }
            }
        }
        @if text.left_out > 0 { p.dim { (text.left_out) " more lines" } }
    }
}

/// A line of YAML: its key, its comment and its quoted texts in their colors, and the place
/// of an error underlined.
fn colored(line: &str, error: Option<usize>) -> Markup {
    if let Some(column) = error {
        let start = line
            .char_indices()
            .nth(column.saturating_sub(1))
            .map_or(line.len(), |(at, _)| at);
        let (before, rest) = line.split_at(start);
        let end = rest
            .find([' ', ',', '}', ']'])
            .filter(|at| *at > 0)
            .unwrap_or(rest.len());
        let (bad, after) = rest.split_at(end);
        return html! { (before) u { (bad) } (after) };
    }
    let (text, comment) = match comment_start(line) {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let body = text.trim_start_matches([' ', '-']);
    let (lead, key_end) = (
        text.len() - body.len(),
        body.find(": ")
            .or_else(|| body.strip_suffix(':').map(str::len)),
    );
    html! {
        @match key_end {
            Some(end) if is_key(&body[..end]) => {
                (&text[..lead]) span.k { (&body[..end]) } (value(&body[end..]))
            },
            _ => (value(text)),
        }
        @if !comment.is_empty() { span.c { (comment) } }
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "_-./\"'".contains(c))
}

/// A value, in the color of texts if it is quoted.
fn value(text: &str) -> Markup {
    let trimmed = text.trim_start_matches([':', ' ']);
    if trimmed.starts_with(['"', '\'']) {
        html! { (&text[..text.len() - trimmed.len()]) span.s { (trimmed) } }
    } else {
        html! { (text) }
    }
}

/// The place at which a comment begins.
fn comment_start(line: &str) -> Option<usize> {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, error: Option<usize>) -> String {
        colored(line, error).into_string()
    }

    #[test]
    fn keys_texts_and_comments_are_colored_and_all_of_a_line_is_shown() {
        for (line, expected) in [
            ("id: a", "<span class=\"k\">id</span>: a"),
            (
                "  - cron: \"0 * * * *\"",
                "  - <span class=\"k\">cron</span>: <span class=\"s\">&quot;0 * * * *&quot;</span>",
            ),
            ("schedule:", "<span class=\"k\">schedule</span>:"),
            (
                "a: b # c",
                "<span class=\"k\">a</span>: b <span class=\"c\"># c</span>",
            ),
            (
                "a: \"b # c\"",
                "<span class=\"k\">a</span>: <span class=\"s\">&quot;b # c&quot;</span>",
            ),
            ("<script>", "&lt;script&gt;"),
            ("", ""),
        ] {
            assert_eq!(shown(line, None), expected, "{line}");
        }
        assert_eq!(shown("  every: 90, x", Some(10)), "  every: <u>90</u>, x");
        assert_eq!(shown("ü", Some(9)), "ü<u></u>");
    }

    #[test]
    fn a_document_is_cut_out_of_its_file() {
        let text = "a: 1\n---\nb: 2\nc: 3\n---\nd: 4\n";
        let cut = |source| {
            let text = SourceText::of(text, Some(source));
            (text.first, text.lines.join("|"))
        };
        assert_eq!(cut("x.yaml:3"), (3, "b: 2|c: 3".to_owned()));
        assert_eq!(cut("x.yaml:6"), (6, "d: 4".to_owned()));
        assert_eq!(cut("x.yaml").0, 1);
        assert_eq!(cut("x.yaml:99"), (99, String::new()));
        let long = "x\n".repeat(LINES + 5);
        assert_eq!(SourceText::of(&long, None).left_out, 5);
        let wide = "y".repeat(WIDTH + 1);
        assert_eq!(
            SourceText::of(&wide, None).lines[0].chars().count(),
            WIDTH + 1
        );
    }
}
