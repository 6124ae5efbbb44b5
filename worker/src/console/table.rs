//! Tables that fit the width of a terminal.

use almanac_base::text;

use super::{Cell, Medium, Tone};

/// Number of columns between two columns of a table.
const GAP: usize = 2;
/// Mark of a text that was cut.
const CUT: &str = "…";

/// Rows under a header. Each column is as wide as its widest cell, as far as the terminal is
/// wide enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    header: &'static str,
    shrinks_to: Option<usize>,
}

impl Column {
    /// A column that is never cut.
    pub(crate) const fn new(header: &'static str) -> Self {
        Self {
            header,
            shrinks_to: None,
        }
    }

    /// A column that is cut to no less than `least` columns if the terminal is too narrow.
    pub(crate) const fn shrinking(header: &'static str, least: usize) -> Self {
        Self {
            header,
            shrinks_to: Some(least),
        }
    }
}

impl Table {
    /// Creates a table without rows. If the terminal is too narrow, the widest of the shrinking
    /// columns shrinks first.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Missing cells at its end are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter().map(Cell::escaped);
        self.rows.push(cells.collect());
    }

    /// Writes the table.
    pub(super) fn write(&self, medium: Medium, out: &mut String) {
        let widths = self.widths(medium.width);
        let header = self.columns.iter();
        let header: Vec<Cell> = header
            .map(|column| Cell::toned(Tone::Strong, column.header))
            .collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            write_row(row, &widths, medium.colors, out);
        }
    }

    /// The width of each column.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| text::width(column.header))
            .collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(text::width(&cell.text));
            }
        }
        let Some(limit) = limit else {
            return widths;
        };
        let gaps = GAP * widths.len().saturating_sub(1);
        let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
        for _ in 0..excess {
            let shrinking = self.columns.iter().zip(&mut widths);
            let widest = shrinking
                .filter_map(|(column, width)| {
                    let least = column.shrinks_to?;
                    (*width > least).then_some(width)
                })
                .max_by_key(|width| **width);
            let Some(widest) = widest else { break };
            *widest -= 1;
        }
        widths
    }
}

fn write_row(row: &[Cell], widths: &[usize], colors: bool, out: &mut String) {
    let Some(last) = row.iter().rposition(|cell| !cell.text.is_empty()) else {
        out.push('\n');
        return;
    };
    for (index, (cell, width)) in row.iter().zip(widths).enumerate().take(last + 1) {
        let cut = cut(&cell.text, *width);
        let padding = width.saturating_sub(text::width(&cut));
        let cell = Cell {
            tone: cell.tone,
            text: cut,
        };
        cell.write(colors, out);
        if index < last {
            out.extend(std::iter::repeat_n(' ', padding + GAP));
        }
    }
    out.push('\n');
}

/// A text of at most `width` columns, with a mark at its end if it was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text::width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(text::width(CUT));
    let mut end = 0;
    for (offset, c) in text.char_indices() {
        let next = offset + c.len_utf8();
        if text::width(&text[..next]) > room {
            break;
        }
        end = next;
    }
    format!("{}{CUT}", text[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::Page;
    use super::*;

    fn page() -> Page {
        let mut table = Table::new([
            Column::shrinking("ID", 6),
            Column::new("STATE"),
            Column::shrinking("NOTE", 4),
        ]);
        table.row(["a".into(), Cell::toned(Tone::Good, "ünïcode"), "x".into()]);
        table.row(["a-longer-id".into(), Cell::default(), Cell::default()]);
        table.row([
            "日本語日本語日本".into(),
            "a\nb".into(),
            "é is the rest".into(),
        ]);
        let mut page = Page::default();
        page.table(table);
        page
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        insta::assert_snapshot!(page(), @r"
        ID                STATE    NOTE
        a                 ünïcode  x
        a-longer-id
        日本語日本語日本  a\nb     é is the rest
        ");
        let colors = Medium {
            colors: true,
            width: None,
        };
        let colored = page().rendered(colors);
        assert!(colored.contains("\u{1b}[32münïcode\u{1b}[0m  x"));
        assert!(colored.starts_with("\u{1b}[1mID\u{1b}[0m"));
    }

    #[test]
    fn the_widest_shrinking_column_is_cut_first_and_keeps_its_least_width() {
        let at = |width| {
            page().rendered(Medium {
                colors: false,
                width: Some(width),
            })
        };
        insta::assert_snapshot!(at(35), @r"
        ID            STATE    NOTE
        a             ünïcode  x
        a-longer-id
        日本語日本…   a\nb     é is the re…
        ");
        insta::assert_snapshot!(at(24), @r"
        ID       STATE    NOTE
        a        ünïcode  x
        a-long…
        日本語…  a\nb     é is…
        ");
        // Nothing shrinks below its least width; the terminal wraps the lines.
        assert_eq!(at(1), at(21));
        for width in 21..60 {
            for line in at(width).lines() {
                assert!(text::width(line) <= width, "{width}: {line}");
            }
        }
    }
}
