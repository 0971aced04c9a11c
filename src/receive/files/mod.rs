//! Files of spans: OTLP JSON lines and length-prefixed messages as the Collector's file exporter writes them, plain
//! or compressed, and headroom's own Parquet.
//!
//! What a file is, its first bytes tell, never its name. Everything streams: memory is bounded by one line, one
//! message or one Parquet batch. A file that is still written, or was cut, is read up to there. One document of Tempo,
//! Jaeger or Zipkin is read as well, also where it is spread over lines. What is not as it was sent is in the
//! [notes](Spans::notes).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::decode::{self, DecodeError, Encoding, Format, Mended, Rejected};
use crate::model::SpanBatch;
use crate::model::spans::NotSpans;

mod json_lines;
mod messages;
mod parquet;

pub use json_lines::{OtlpJsonLines, WriteError};
use messages::{Torn, is_cut_off};
pub use parquet::{ParquetWriter, write_parquet};

/// What to do with a part that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Damage {
    /// End with an error that says where.
    #[default]
    Refuse,
    /// Count it and go on after it.
    PassOver,
}

/// Bytes of the longest line or message: the receivers' own limit for a request.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {cause}")]
    Io { path: String, cause: io::Error },
    #[error("{path} line {line}: {cause}; one ExportTraceServiceRequest a line is expected, `jq -c .` writes it so")]
    Line { path: String, line: u64, cause: DecodeError },
    #[error(
        "{path} line {line}: longer than {MESSAGE_BYTES_MAX} bytes; one ExportTraceServiceRequest a line is expected"
    )]
    LongLine { path: String, line: u64 },
    #[error("{path} message {message}: {cause}")]
    Message { path: String, message: u64, cause: DecodeError },
    #[error("{path} message {message}: {cause}; the file is cut off or damaged there")]
    Frame { path: String, message: u64, cause: String },
    #[error("{path}: {cause}")]
    Parquet { path: String, cause: ::parquet::errors::ParquetError },
    #[error("{path}: {cause}")]
    NotSpans { path: String, cause: NotSpans },
    #[error("Parquet cannot be read from standard input: give the file's name")]
    ParquetOnStdin,
    #[error("{path} is neither OTLP JSON lines, nor length-prefixed OTLP, nor Parquet (it begins with {begins})")]
    Unknown { path: String, begins: String },
}

/// The batches of one file, in its order.
pub struct Spans {
    source: Source,
    path: String,
    damage: Damage,
    options: decode::Options,
    /// Lines or messages read so far; errors name the one they are about.
    position: u64,
    passed_over: u64,
    rejected: Rejected,
    mended: Mended,
    /// Whose documents were in it, beside OTLP's.
    foreign: Option<Format>,
    /// It ends in the midst of the part at `position`.
    is_cut_off: bool,
    ended: bool,
}

enum Source {
    Lines(Box<dyn BufRead + Send>),
    Messages(Box<dyn BufRead + Send>),
    Parquet(Box<parquet::Batches>),
    Empty,
}

/// Opens a file, or standard input as `-`, and finds out what it is.
pub fn open(path: &str, options: decode::Options, damage: Damage) -> Result<Spans, Error> {
    let failed = |cause| Error::Io { path: path.to_owned(), cause };
    let detected = if path == "-" {
        detect(path, Box::new(BufReader::new(io::stdin())), None)
    } else {
        let file = File::open(path).map_err(failed)?;
        detect(path, Box::new(BufReader::with_capacity(BUFFER_BYTES, file)), Some(Path::new(path).to_owned()))
    };
    // Of a compressed file not even the beginning may be whole.
    let (source, is_cut_off) = match detected {
        Err(Error::Io { cause, .. }) if is_cut_off(&cause) => (Source::Empty, true),
        detected => (detected?, false),
    };
    let path = if path == "-" { "standard input" } else { path }.to_owned();
    Ok(Spans {
        source,
        path,
        damage,
        options,
        position: u64::from(is_cut_off),
        passed_over: 0,
        rejected: Rejected::default(),
        mended: Mended::default(),
        foreign: None,
        is_cut_off,
        ended: false,
    })
}

/// A line of a Collector's file is some hundred kilobytes: fewer system calls than with the default of 8 KiB.
const BUFFER_BYTES: usize = 256 << 10;

/// `file` can be opened anew, which Parquet needs: it is read from its end.
fn detect(path: &str, mut source: Box<dyn BufRead + Send>, file: Option<PathBuf>) -> Result<Source, Error> {
    let failed = |cause| Error::Io { path: path.to_owned(), cause };
    for _layer in 0..COMPRESSIONS_MAX {
        let (begins, whole) = peek(source).map_err(failed)?;
        source = whole;
        match begins.as_slice() {
            [] => return Ok(Source::Empty),
            [0x1f, 0x8b, ..] => source = Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(source))),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(source).map_err(failed)?;
                source = Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder));
            }
            b"PAR1" => {
                let file = file.ok_or(Error::ParquetOnStdin)?;
                return Ok(Source::Parquet(Box::new(parquet::Batches::open(path, &file)?)));
            }
            // A byte order mark, blank lines or the first object.
            [0xef, 0xbb, 0xbf, ..] => {
                source.consume(3);
                return Ok(Source::Lines(source));
            }
            [b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n', ..] => return Ok(Source::Lines(source)),
            // The length of a message that is not too long: text never begins so.
            &[a, b, c, d] if u32::from_be_bytes([a, b, c, d]) as usize <= MESSAGE_BYTES_MAX => {
                return Ok(Source::Messages(source));
            }
            begins => {
                let begins = format!("{:?}", String::from_utf8_lossy(begins));
                return Err(Error::Unknown { path: path.to_owned(), begins });
            }
        }
    }
    Err(Error::Unknown { path: path.to_owned(), begins: "too many layers of compression".to_owned() })
}

/// Compressed once, and once more by whoever sent the file; deeper is no file of spans.
const COMPRESSIONS_MAX: usize = 3;

/// The first four bytes, which stay in the source.
#[allow(clippy::type_complexity)] // the pair is what the name says
fn peek(mut source: Box<dyn BufRead + Send>) -> io::Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    let mut begins = Vec::new();
    source.by_ref().take(4).read_to_end(&mut begins)?;
    let again = io::Cursor::new(begins.clone()).chain(source);
    Ok((begins, Box::new(again)))
}

impl Spans {
    /// Spans that were understood and cannot be used, so far.
    pub fn rejected(&self) -> &Rejected {
        &self.rejected
    }

    /// Damaged lines and messages left out so far; always 0 with [`Damage::Refuse`].
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// What is not as it was sent, a sentence each: none of a whole file of OTLP.
    pub fn notes(&self) -> Vec<String> {
        let Spans { path, mended, .. } = self;
        let mut notes = Vec::new();
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                notes.push(format!("{path}: {count} {what}"));
            }
        };
        note(
            mended.rescaled,
            "spans have times in milliseconds or microseconds where OTLP has nanoseconds; taken as such",
        );
        note(mended.broken, "texts are not UTF-8; what is none of their letters was replaced");
        note(mended.left_out, "attributes or fields cannot be read; their spans were taken without them");
        note(
            mended.unnamed,
            "spans are of services without service.name (unknown_service); set OTEL_SERVICE_NAME there",
        );
        if !self.rejected.is_empty() {
            notes.push(format!("{path}: {}", self.rejected));
        }
        if let Some(format) = self.foreign {
            notes.push(format!("{path}: {format}; it was read as far as it says what OTLP says"));
        }
        if self.is_cut_off {
            let part = if matches!(self.source, Source::Messages(_)) { "message" } else { "line" };
            notes.push(format!("{path}: {part} {} is cut off; the file was read up to there", self.position));
        }
        notes
    }

    /// The next part's batch: None at the end, `Ok(None)` for a part without one.
    fn read(&mut self) -> Option<Result<Option<SpanBatch>, Error>> {
        match &mut self.source {
            Source::Empty => None,
            Source::Parquet(batches) => batches.next().map(|batch| batch.map(Some)),
            Source::Lines(_) => self.read_line(),
            Source::Messages(_) => self.read_message(),
        }
    }

    fn read_line(&mut self) -> Option<Result<Option<SpanBatch>, Error>> {
        let Source::Lines(source) = &mut self.source else { return None };
        let (path, line) = (self.path.clone(), self.position + 1);
        let read = match messages::read_line(source, MESSAGE_BYTES_MAX) {
            Ok(read) => read?,
            Err(error) if is_cut_off(&error) => return self.end_cut_off(line),
            Err(cause) => return Some(Err(Error::Io { path, cause })),
        };
        self.position = line;
        let Some(mut text) = read.whole() else { return Some(Err(Error::LongLine { path, line })) };
        if text.trim_ascii().is_empty() {
            return Some(Ok(None));
        }
        match self.decode(Encoding::Json, &text) {
            Ok(batch) => Some(Ok(batch)),
            Err(cause) => {
                // A document that others have spread over lines goes on where its first line ends.
                let goes_on = line == 1 && matches!(text.trim_ascii_end().last(), Some(b'{' | b'[' | b','));
                if goes_on
                    && self.read_rest(&mut text)
                    && let Ok(batch) = self.decode(Encoding::Json, &text)
                {
                    return Some(Ok(batch));
                }
                if !text.ends_with(b"\n") && !goes_on {
                    return self.end_cut_off(line);
                }
                Some(Err(Error::Line { path, line, cause }))
            }
        }
    }

    /// Takes the rest of the lines to a first one; false where they are too long for one document, or cannot be read.
    fn read_rest(&mut self, text: &mut Vec<u8>) -> bool {
        let Source::Lines(source) = &mut self.source else { return false };
        let left = (MESSAGE_BYTES_MAX - text.len().min(MESSAGE_BYTES_MAX)) as u64;
        source.take(left + 1).read_to_end(text).is_ok_and(|read| read as u64 <= left)
    }

    fn read_message(&mut self) -> Option<Result<Option<SpanBatch>, Error>> {
        let Source::Messages(source) = &mut self.source else { return None };
        let (path, message) = (self.path.clone(), self.position + 1);
        let content = match messages::read_message(source, MESSAGE_BYTES_MAX) {
            Ok(content) => content?,
            Err(Torn::CutOff) => return self.end_cut_off(message),
            Err(Torn::Wrong(cause)) => return Some(Err(Error::Frame { path, message, cause })),
        };
        self.position = message;
        let encoding = if content.first() == Some(&b'{') { Encoding::Json } else { Encoding::Protobuf };
        Some(self.decode(encoding, &content).map_err(|cause| Error::Message { path, message, cause }))
    }

    /// Ends in the midst of this line or message.
    fn end_cut_off(&mut self, position: u64) -> Option<Result<Option<SpanBatch>, Error>> {
        (self.is_cut_off, self.position) = (true, position);
        None
    }

    fn decode(&mut self, encoding: Encoding, bytes: &[u8]) -> Result<Option<SpanBatch>, DecodeError> {
        let decoded = match decode::decode(encoding, bytes, &self.options) {
            Err(DecodeError::Foreign { format }) => {
                let decoded = decode::decode_foreign(bytes, &self.options)?;
                self.foreign = Some(format);
                decoded
            }
            decoded => decoded?,
        };
        self.rejected.merge(decoded.rejected);
        self.mended.add(decoded.mended);
        Ok((!decoded.batch.is_empty()).then_some(decoded.batch))
    }
}

impl Error {
    /// The parts after this one can still be read.
    fn is_of_one_part(&self) -> bool {
        matches!(self, Error::Line { .. } | Error::LongLine { .. } | Error::Message { .. })
    }
}

impl Iterator for Spans {
    type Item = Result<SpanBatch, Error>;

    fn next(&mut self) -> Option<Result<SpanBatch, Error>> {
        while !self.ended {
            match self.read() {
                None => self.ended = true,
                Some(Ok(None)) => {}
                Some(Ok(Some(batch))) => return Some(Ok(batch)),
                Some(Err(error)) if self.damage == Damage::PassOver && error.is_of_one_part() => self.passed_over += 1,
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
