//! Rows of text as people and programs read them: aligned, and as CSV.

/// Each row as a line, its columns aligned; the last is as long as it is.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// As RFC 4180 has it.
pub fn csv(rows: &[Vec<String>]) -> String {
    let cell = |cell: &String| {
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    let line = |row: &Vec<String>| format!("{}\r\n", row.iter().map(cell).collect::<Vec<_>>().join(","));
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["SERVICE", "N"], ["auth", "12"], ["ingress", "3"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), ["SERVICE  N", "auth     12", "ingress  3"]);
    }

    #[test]
    fn csv_quotes_what_would_be_read_otherwise() {
        let rows = [vec!["a,b".to_owned(), "say \"no\"".to_owned(), "plain".to_owned()]];
        assert_eq!(csv(&rows), "\"a,b\",\"say \"\"no\"\"\",plain\r\n");
    }
}
