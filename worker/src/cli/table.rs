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

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["a".to_owned(), "ünïcode".to_owned(), "x".to_owned()],
            ["longer-id".to_owned(), String::new(), String::new()],
        ];
        insta::assert_snapshot!(render(["ID", "NOTE", "LAST"], &rows), @r"
        ID         NOTE     LAST
        a          ünïcode  x
        longer-id
        ");
    }
}
