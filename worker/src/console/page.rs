//! Text for people: lines, each escaped, and colors.

use std::fmt::{self, Write as _};

use almanac_base::text;
use anstyle::{AnsiColor, Color, Style};

/// The meaning that a color gives to a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something is, or becomes, as it should be.
    Good,
    /// Something changes, or waits for a person.
    Caution,
    /// Something is wrong, or is removed.
    Bad,
}

impl Tone {
    /// Returns the tone of a line of a plan or a report, by the sign that begins the
    /// line.
    fn of_line(line: &str) -> Option<Self> {
        const SIGNS: [(&str, Tone); 7] = [
            ("+ ", Tone::Good),
            ("~ ", Tone::Caution),
            ("- ", Tone::Bad),
            ("! ", Tone::Bad),
            ("held: ", Tone::Caution),
            ("error: ", Tone::Bad),
            ("warning: ", Tone::Caution),
        ];
        let line = line.trim_start();
        let found = SIGNS.iter().find(|(sign, _)| line.starts_with(sign));
        found.map(|(_, tone)| *tone)
    }

    fn style(self) -> Style {
        let color = match self {
            Self::Good => AnsiColor::Green,
            Self::Caution => AnsiColor::Yellow,
            Self::Bad => AnsiColor::Red,
        };
        Style::new().fg_color(Some(Color::Ansi(color)))
    }
}

/// A part of a line, with or without a tone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    tone: Option<Tone>,
    text: String,
}

/// A cell of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    tone: Option<Tone>,
    text: String,
}

impl Cell {
    /// Creates a cell with a tone.
    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone: Some(tone),
            text: text.into(),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            tone: None,
            text: text.into(),
        }
    }
}

/// Lines of text. A line break within a line is escaped with the rest of the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page(Vec<Vec<Span>>);

impl Page {
    /// Creates a page of one line.
    pub(crate) fn of_line(text: impl AsRef<str>) -> Self {
        let mut page = Self::default();
        page.line(text);
        page
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.add(None, text.as_ref());
    }

    /// Adds a line with a tone.
    pub(crate) fn toned(&mut self, tone: Tone, text: impl AsRef<str>) {
        self.add(Some(tone), text.as_ref());
    }

    /// Adds a line with the tone of its sign: `+ `, `- `, `error: ` and the like.
    pub(crate) fn signed(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.add(Tone::of_line(text), text);
    }

    /// Adds a table: rows under a header, each column as wide as its widest cell.
    pub(crate) fn table<const N: usize>(&mut self, header: [&str; N], rows: &[[Cell; N]]) {
        let header = header.map(Cell::from);
        let rows: Vec<[Cell; N]> = std::iter::once(&header)
            .chain(rows)
            .map(|row| row.clone().map(Cell::escaped))
            .collect();
        let mut widths = [0; N];
        for row in &rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(text::width(&cell.text));
            }
        }
        self.0
            .extend(rows.into_iter().map(|row| columns(row, &widths)));
    }

    /// Returns the page as text.
    pub(crate) fn rendered(&self, colours: bool) -> String {
        let mut out = String::new();
        for line in &self.0 {
            for Span { tone, text } in line {
                match tone.filter(|_| colours) {
                    Some(tone) => {
                        let style = tone.style();
                        write!(out, "{style}{text}{style:#}").unwrap_or_default();
                    }
                    None => out += text,
                }
            }
            out.push('\n');
        }
        out
    }

    fn add(&mut self, tone: Option<Tone>, text: &str) {
        let text = text::line(text).into_owned();
        self.0.push(vec![Span { tone, text }]);
    }
}

impl Cell {
    /// Escapes the cell's text as a line, since a row may begin with the cell.
    fn escaped(self) -> Self {
        Self {
            text: text::line(&self.text).into_owned(),
            ..self
        }
    }
}

fn columns<const N: usize>(row: [Cell; N], widths: &[usize; N]) -> Vec<Span> {
    let filled = row.iter().rposition(|cell| !cell.text.is_empty());
    let mut spans = Vec::new();
    for (column, (cell, wanted)) in row.into_iter().zip(widths).enumerate() {
        let Cell { tone, text } = cell;
        let padding = wanted + 2 - text::width(&text);
        spans.push(Span { tone, text });
        if filled.is_none_or(|last| column >= last) {
            break;
        }
        spans.push(Span {
            tone: None,
            text: " ".repeat(padding),
        });
    }
    spans
}

impl fmt::Display for Page {
    /// Writes the page without colors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_whatever_it_holds() {
        let mut page = Page::default();
        page.line("note: ok\nforged row\u{1b}[2J");
        page.toned(Tone::Bad, "\u{1b}[0m::x\u{202e}");
        page.line("  ::error::x");
        assert_eq!(
            page.rendered(true),
            "note: ok\\nforged row\\u{1b}[2J\n\u{1b}[31m\\u{1b}[0m::x\\u{202e}\u{1b}[0m\n  \\u{3a}:error::x\n"
        );
    }

    #[test]
    fn a_sign_colours_its_line_and_no_other() {
        let mut page = Page::default();
        for line in ["pass 1", "  + a: create", "  confirm", "- b: delete"] {
            page.signed(line);
        }
        assert_eq!(
            page.rendered(true),
            "pass 1\n\u{1b}[32m  + a: create\u{1b}[0m\n  confirm\n\u{1b}[31m- b: delete\u{1b}[0m\n"
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut page = Page::default();
        page.table(
            ["ID", "NOTE", "LAST"],
            &[
                ["a".into(), Cell::toned(Tone::Good, "ünïcode"), "x".into()],
                ["longer-id".into(), Cell::default(), Cell::default()],
                ["日本".into(), "a\nb".into(), "é".into()],
            ],
        );
        insta::assert_snapshot!(page, @r"
        ID         NOTE     LAST
        a          ünïcode  x
        longer-id
        日本       a\nb     é
        ");
        assert!(
            page.rendered(true)
                .contains("\u{1b}[32münïcode\u{1b}[0m  x")
        );
    }
}
