//! Text in columns.

/// A head and rows, each cell as wide as the widest of its column, two spaces between.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(width);
    for row in rows {
        for (width_so_far, cell) in widths.iter_mut().zip(row) {
            *width_so_far = (*width_so_far).max(width(cell));
        }
    }
    let line = |cells: [&str; N]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide - width(cell)))).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(head);
    for row in rows {
        text.push_str(&line(row.each_ref().map(String::as_str)));
    }
    text
}

/// A label and what it says, one line each; a line without a label goes on with the one before.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let wide = rows.iter().map(|(label, _)| width(label)).max().unwrap_or_default();
    rows.iter().map(|(label, says)| format!("{label:wide$}  {says}").trim_end().to_owned() + "\n").collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["ä".to_owned(), "long cell".to_owned()], ["bcd".to_owned(), String::new()]];
        assert_eq!(table(["A", "B"], &rows), "A    B\nä    long cell\nbcd\n");
        assert_eq!(
            pairs(&[("a", "1".to_owned()), ("", "2".to_owned()), ("long", "3".to_owned())]),
            "a     1\n      2\nlong  3\n"
        );
    }
}
