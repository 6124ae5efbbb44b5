//! Text for people: lines and tables, each part escaped, and colors.

use std::fmt::{self, Write as _};

use almanac_base::text;
use anstyle::{AnsiColor, Color, Style};

use super::table::{Table, cut};

/// Minimum number of columns that a cut end keeps, however narrow the terminal is.
const END_KEEPS: usize = 20;

/// The meaning that a style gives to a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something is, or becomes, as it should be.
    Good,
    /// Something changes, or waits for a person.
    Caution,
    /// Something is wrong, or is removed.
    Bad,
    /// A heading, or the answer to the question that was asked.
    Strong,
    /// A detail.
    Muted,
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
            Self::Strong => return Style::new().bold(),
            Self::Muted => return Style::new().dimmed(),
        };
        Style::new().fg_color(Some(Color::Ansi(color)))
    }
}

/// A part of a line or a cell of a table, with or without a tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(super) tone: Option<Tone>,
    pub(super) text: String,
}

impl Cell {
    /// Creates a cell with a tone.
    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone: Some(tone),
            text: text.into(),
        }
    }

    /// Returns `true` if the cell has no text.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Removes the spaces at the end of the text.
    pub(crate) fn trim_end(&mut self) {
        self.text.truncate(self.text.trim_end().len());
    }

    /// Escapes the cell's text as a line, since a line may begin with the cell.
    pub(super) fn escaped(self) -> Self {
        Self {
            text: text::line(&self.text).into_owned(),
            ..self
        }
    }

    pub(super) fn write(&self, colors: bool, out: &mut String) {
        match self.tone.filter(|_| colors && !self.text.is_empty()) {
            Some(tone) => {
                let style = tone.style();
                write!(out, "{style}{}{style:#}", self.text).unwrap_or_default();
            }
            None => *out += &self.text,
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

/// The place where a page is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Medium {
    /// Tones are printed as colors.
    pub(crate) colors: bool,
    /// Number of columns of the terminal. `None` if the place has no width, like a file:
    /// then nothing is cut.
    pub(crate) width: Option<usize>,
}

/// Text for people: lines and tables. A line break within a line is escaped with the rest of
/// the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Line(Vec<Cell>),
    /// A line whose last cell is cut at the edge of the terminal.
    CutLine(Vec<Cell>),
    Table(Table),
}

impl Page {
    /// Creates a page of one line.
    pub(crate) fn of_line(text: impl AsRef<str>) -> Self {
        let mut page = Self::default();
        page.line(text);
        page
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.cells([Cell::from(text.as_ref())]);
    }

    /// Adds a line with a tone.
    pub(crate) fn toned(&mut self, tone: Tone, text: impl AsRef<str>) {
        self.cells([Cell::toned(tone, text.as_ref())]);
    }

    /// Adds a line with the tone of its sign: `+ `, `- `, `error: ` and the like.
    pub(crate) fn signed(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let tone = Tone::of_line(text);
        let text = text.to_owned();
        self.cells([Cell { tone, text }]);
    }

    /// Adds a line that consists of these parts.
    pub(crate) fn cells(&mut self, parts: impl IntoIterator<Item = Cell>) {
        let line = parts.into_iter().map(Cell::escaped).collect();
        self.0.push(Part::Line(line));
    }

    /// Adds a line that consists of these parts. If the terminal is too narrow, the last part
    /// is cut.
    pub(crate) fn cut_cells(&mut self, parts: impl IntoIterator<Item = Cell>) {
        let line = parts.into_iter().map(Cell::escaped).collect();
        self.0.push(Part::CutLine(line));
    }

    /// Adds a table.
    pub(crate) fn table(&mut self, table: Table) {
        self.0.push(Part::Table(table));
    }

    /// Adds lines of a name and a value each, with the values below each other.
    pub(crate) fn facts<'a>(
        &mut self,
        indent: usize,
        facts: impl IntoIterator<Item = (&'a str, Cell)>,
    ) {
        let facts: Vec<_> = facts.into_iter().collect();
        let widest = facts.iter().map(|(name, _)| text::width(name)).max();
        let widest = widest.unwrap_or_default();
        for (name, value) in facts {
            let padding = widest - text::width(name) + 2;
            let start = " ".repeat(indent);
            let name = Cell::toned(Tone::Muted, name);
            self.cells([start.into(), name, " ".repeat(padding).into(), value]);
        }
    }

    /// Adds the parts of another page.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns the page as text.
    pub(crate) fn rendered(&self, medium: Medium) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Line(cells) => write_line(cells, medium, &mut out),
                Part::CutLine(cells) => match (medium.width, cells.split_last()) {
                    (Some(width), Some((last, before))) => {
                        let used: usize = before.iter().map(|cell| text::width(&cell.text)).sum();
                        let room = width.saturating_sub(used).max(END_KEEPS);
                        let last = Cell {
                            tone: last.tone,
                            text: cut(&last.text, room),
                        };
                        write_line(before.iter().chain([&last]), medium, &mut out);
                    }
                    _ => write_line(cells, medium, &mut out),
                },
                Part::Table(table) => table.write(medium, &mut out),
            }
        }
        out
    }

    /// The text on a terminal of 80 columns with colors. `ESC` stands for the escape character.
    #[cfg(test)]
    pub(crate) fn in_color(&self) -> String {
        self.in_color_at(80)
    }

    /// The text on a terminal of `width` columns with colors. `ESC` stands for the escape
    /// character.
    #[cfg(test)]
    pub(crate) fn in_color_at(&self, width: usize) -> String {
        let medium = Medium {
            colors: true,
            width: Some(width),
        };
        self.rendered(medium).replace('\u{1b}', "ESC")
    }

    /// The text on a terminal of `width` columns without colors.
    #[cfg(test)]
    pub(crate) fn at_width(&self, width: usize) -> String {
        self.rendered(Medium {
            colors: false,
            width: Some(width),
        })
    }
}

fn write_line<'a>(cells: impl IntoIterator<Item = &'a Cell>, medium: Medium, out: &mut String) {
    for cell in cells {
        cell.write(medium.colors, out);
    }
    out.push('\n');
}

impl fmt::Display for Page {
    /// Writes the page without colors, and cuts nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered(Medium::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLORS: Medium = Medium {
        colors: true,
        width: None,
    };

    #[test]
    fn a_line_stays_one_line_whatever_it_holds() {
        let mut page = Page::default();
        page.line("note: ok\nforged row\u{1b}[2J");
        page.toned(Tone::Bad, "\u{1b}[0m::x\u{202e}");
        page.line("  ::error::x");
        assert_eq!(
            page.rendered(COLORS),
            "note: ok\\nforged row\\u{1b}[2J\n\u{1b}[31m\\u{1b}[0m::x\\u{202e}\u{1b}[0m\n  \\u{3a}:error::x\n"
        );
    }

    #[test]
    fn a_sign_colors_its_line_and_no_other() {
        let mut page = Page::default();
        for line in ["pass 1", "  + a: create", "  confirm", "- b: delete"] {
            page.signed(line);
        }
        assert_eq!(
            page.rendered(COLORS),
            "pass 1\n\u{1b}[32m  + a: create\u{1b}[0m\n  confirm\n\u{1b}[31m- b: delete\u{1b}[0m\n"
        );
    }

    #[test]
    fn the_values_of_facts_stand_below_each_other() {
        let mut page = Page::default();
        page.facts(
            2,
            [
                ("state", Cell::toned(Tone::Good, "active")),
                ("note", "a\nb".into()),
            ],
        );
        insta::assert_snapshot!(page, @r"
          state  active
          note   a\nb
        ");
    }

    #[test]
    fn the_end_of_a_line_is_cut_at_the_edge_of_the_terminal() {
        let mut page = Page::default();
        page.cut_cells(["a: ".into(), Cell::toned(Tone::Muted, "ü".repeat(100))]);
        page.cut_cells(["a: short ".into(), "end".into()]);
        page.cut_cells(["b".repeat(75).into(), "c".repeat(30).into()]);
        let cut = page.at_width(80);
        let lines: Vec<_> = cut.lines().collect();
        assert_eq!(lines[0], format!("a: {}…", "ü".repeat(76)));
        assert_eq!(lines[1], "a: short end");
        assert_eq!(lines[2], format!("{}{}…", "b".repeat(75), "c".repeat(19)));
        assert!(!page.to_string().contains('…'), "{page}");
        assert!(page.in_color().contains("…ESC[0m\n"), "{page}");
    }
}
