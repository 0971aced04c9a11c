//! The two framings of a Collector's file: lines, and messages after their length, both within a limit.

use std::io::{self, BufRead, Read};

/// A line, unless it was too long to hold.
pub enum Line {
    Whole(Vec<u8>),
    TooLong,
}

impl Line {
    pub fn whole(self) -> Option<Vec<u8>> {
        if let Line::Whole(line) = self { Some(line) } else { None }
    }
}

/// The next line; None at the end. A line past the limit is read to its end and not kept.
pub fn read_line(source: &mut impl BufRead, bytes_max: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let limit = bytes_max as u64 + 1;
    if source.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() <= bytes_max || line.ends_with(b"\n") {
        return Ok(Some(Line::Whole(line)));
    }
    source.skip_until(b'\n')?;
    Ok(Some(Line::TooLong))
}

/// The next message after its length of four bytes, most significant first; None at the end. The Collector
/// compresses each message by itself, so one that begins as zstd does is decompressed.
pub fn read_message(source: &mut impl BufRead, bytes_max: usize) -> Result<Option<Vec<u8>>, Torn> {
    if source.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        return Err(Torn::Wrong(format!("its length is {length} bytes, more than {bytes_max}")));
    }
    let mut message = Vec::new();
    source.take(length as u64).read_to_end(&mut message)?;
    if message.len() < length {
        return Err(Torn::CutOff);
    }
    if !message.starts_with(&ZSTD_MAGIC) {
        return Ok(Some(message));
    }
    let mut content = Vec::new();
    zstd::stream::read::Decoder::with_buffer(&*message)
        .and_then(|decoder| decoder.take(bytes_max as u64 + 1).read_to_end(&mut content))
        .map_err(|error| Torn::Wrong(error.to_string()))?;
    if content.len() > bytes_max {
        return Err(Torn::Wrong(format!("it is more than {bytes_max} bytes")));
    }
    Ok(Some(content))
}

/// Why there is no message where one begins.
pub enum Torn {
    /// The file ends in the midst of it.
    CutOff,
    Wrong(String),
}

impl From<io::Error> for Torn {
    fn from(error: io::Error) -> Torn {
        if is_cut_off(&error) { Torn::CutOff } else { Torn::Wrong(error.to_string()) }
    }
}

/// Whether a file ends too early: one that is still written, or was rotated in the midst of a part. Decompressors say it
/// of what they were given, too.
pub fn is_cut_off(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
