//! Columns of text.

/// Rows under a header, each column as wide as its widest cell.
pub(super) fn render<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(width);
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut out = line(header, &widths);
    for row in rows {
        out += &line(row.each_ref().map(String::as_str), &widths);
    }
    out
}

fn line<const N: usize>(cells: [&str; N], widths: &[usize; N]) -> String {
    let mut out = String::new();
    for (cell, wanted) in cells.iter().zip(widths) {
        out += cell;
        out.extend(std::iter::repeat_n(' ', wanted - width(cell) + 2));
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// How many characters are seen of it: colours take no room.
fn width(cell: &str) -> usize {
    let seen = anstream::adapter::strip_str(cell);
    seen.map(|part| part.chars().count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::{Tone, toned};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["a".to_owned(), toned(Tone::Good, "ünïcode"), "x".to_owned()],
            ["longer-id".to_owned(), String::new(), String::new()],
        ];
        let table = render(["ID", "NOTE", "LAST"], &rows);
        insta::assert_snapshot!(anstream::adapter::strip_str(&table), @r"
        ID         NOTE     LAST
        a          ünïcode  x
        longer-id
        ");
    }
}
