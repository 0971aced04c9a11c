//! Reads a journal back. A line that a kill cut short is tolerated and reported; any other bad line is an
//! error with its number, because a replay over it would be a different story.

use std::io::{self, BufRead, Read};

use super::entry::{Entry, What};

/// Longest line that is read: findings of a large system take a few hundred kilobytes.
pub const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("line {line} of the journal is not an entry: {cause}; remove the line to read the rest")]
    Line { line: u64, cause: serde_json::Error },
    #[error("line {line} of the journal is longer than {LINE_BYTES_MAX} bytes; is this a journal?")]
    TooLong { line: u64 },
    #[error("cannot read the journal: {0}; check the file and its permissions")]
    Io(#[from] io::Error),
}

#[derive(Debug, Default)]
pub struct Journal {
    /// As they were written.
    pub entries: Vec<Entry>,
    /// Numbers (from 1) of lines cut short by a kill: the last one, or one before a `started`.
    pub torn: Vec<u64>,
}

/// Read every line. Empty lines are skipped.
pub fn read(mut source: impl BufRead) -> Result<Journal, ReadError> {
    let mut journal = Journal::default();
    // A bad line is torn when nothing or a new start follows, so its error waits for the next line.
    let mut bad: Option<(u64, serde_json::Error)> = None;
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let n = (&mut source).take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        if n == 0 {
            break;
        }
        if n as u64 == LINE_BYTES_MAX && text.last() != Some(&b'\n') {
            return Err(ReadError::TooLong { line });
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let entry = serde_json::from_slice::<Entry>(&text);
        if let Some((line, cause)) = bad.take() {
            match &entry {
                Ok(Entry { what: What::Started { .. }, .. }) => journal.torn.push(line),
                _ => return Err(ReadError::Line { line, cause }),
            }
        }
        match entry {
            Ok(entry) => journal.entries.push(entry),
            Err(cause) => bad = Some((line, cause)),
        }
    }
    match bad {
        Some((line, _)) if text_is_cut(&journal, line) => journal.torn.push(line),
        Some((line, cause)) => return Err(ReadError::Line { line, cause }),
        None => {}
    }
    Ok(journal)
}

/// A bad last line is torn only in a journal: a file of one bad line is something else.
fn text_is_cut(journal: &Journal, line: u64) -> bool {
    line > 1 && !journal.entries.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    const TICK: &str = r#"{"at":5,"what":"ticked"}"#;

    #[test]
    fn lines_come_back_as_entries() {
        let journal = read(format!("{TICK}\n\n{TICK}\n").as_bytes()).unwrap();
        assert_eq!(journal.entries, vec![Entry { at: Time(5), what: What::Ticked }; 2]);
        assert!(journal.torn.is_empty());
    }

    #[test]
    fn a_torn_last_line_is_tolerated_and_reported() {
        let journal = read(format!("{TICK}\n{}", &TICK[..12]).as_bytes()).unwrap();
        assert_eq!((journal.entries.len(), journal.torn), (1, vec![2]));
    }

    #[test]
    fn a_bad_line_in_the_middle_is_an_error_with_its_number() {
        let error = read(format!("{TICK}\n{{\"at\":5}}\n{TICK}\n").as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("line 2 of the journal is not an entry"), "{error}");
        assert!(read("hello\n".as_bytes()).is_err(), "not a journal at all");
    }
}
