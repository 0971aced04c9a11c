//! Rows of CSV, read within bounds: what is named may be a device that never ends, or a file of one field that fills all memory.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use crate::disk;
use crate::model::printable;

/// Bytes of a row: the head of a thousand endpoints has fewer.
const ROW_BYTES_MAX: usize = 1 << 20;

/// What the reader takes at once, and may have taken of the next row.
const BUFFER_BYTES: usize = 64 << 10;

/// What is quoted of a text of others.
const QUOTED_CHARS: usize = 200;

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("{0}; {remedy}", remedy = disk::remedy(.0))]
    Unreadable(io::Error),
    #[error("it is no regular file; write what it gives into one first")]
    NotRegular,
}

pub fn open(path: &str) -> Result<File, Unfit> {
    disk::open_regular(Path::new(path)).map_err(|unfit| match unfit {
        disk::Unfit::NotRegular => Unfit::NotRegular,
        disk::Unfit::Unreadable(error) => Unfit::Unreadable(error),
        disk::Unfit::TooLarge { .. } => Unfit::Unreadable(unfit.into()),
    })
}

/// Rows with a head.
pub struct Rows<'r> {
    reader: csv::Reader<Bounded<'r>>,
    of_row: Rc<Cell<usize>>,
    record: csv::StringRecord,
}

impl<'r> Rows<'r> {
    pub fn of(source: Box<dyn Read + 'r>) -> Rows<'r> {
        let of_row = Rc::new(Cell::new(0));
        let bounded = Bounded { source, of_row: of_row.clone() };
        let mut builder = csv::ReaderBuilder::new();
        let reader = builder.flexible(false).trim(csv::Trim::All).buffer_capacity(BUFFER_BYTES).from_reader(bounded);
        Rows { reader, of_row, record: csv::StringRecord::new() }
    }

    pub fn head(&mut self) -> Result<Vec<String>, csv::Error> {
        let head = self.reader.headers()?.iter().map(str::to_owned).collect();
        self.of_row.set(0);
        Ok(head)
    }

    /// The next row and its line; None behind the last.
    pub fn read(&mut self) -> Result<Option<(u64, &csv::StringRecord)>, csv::Error> {
        let is_there = self.reader.read_record(&mut self.record)?;
        self.of_row.set(0);
        let line = self.record.position().map_or(0, csv::Position::line);
        Ok(is_there.then_some((line, &self.record)))
    }
}

/// An error where a row does not end.
struct Bounded<'r> {
    source: Box<dyn Read + 'r>,
    /// Read since the last row that was whole.
    of_row: Rc<Cell<usize>>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.of_row.get() > ROW_BYTES_MAX + BUFFER_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a row is longer than 1 MiB"));
        }
        let read = self.source.read(buffer)?;
        self.of_row.set(self.of_row.get() + read);
        Ok(read)
    }
}

/// A text of others, as far as an error quotes it.
pub fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    printable(&quoted).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(source: impl Read) -> Result<usize, csv::Error> {
        let mut rows = Rows::of(Box::new(source));
        rows.head()?;
        let mut count = 0;
        while rows.read()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn many_rows_are_read_and_one_without_end_is_refused() {
        let text = format!("a,b\n{}", "1,2\n".repeat(1_000_000));
        assert_eq!(rows(text.as_bytes()).unwrap(), 1_000_000);
        for endless in [0, b'x', b'\n'] {
            // The line ends of a quoted field are no end of its row.
            let source = io::Cursor::new(b"a,b\n1,\"").chain(io::repeat(endless));
            let error = rows(source).unwrap_err().to_string();
            assert!(error.contains("a row is longer than 1 MiB"), "{error}");
        }
        assert!(rows(io::repeat(0)).is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        for path in ["/dev/zero", "/", "/nowhere"] {
            let error = open(path).unwrap_err().to_string();
            assert!(error.contains("; "), "{path}: {error}");
        }
    }
}
