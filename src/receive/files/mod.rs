//! Files of spans: OTLP JSON lines and length-prefixed messages as the Collector's file exporter writes them, plain
//! or compressed, and headroom's own Parquet.
//!
//! What a file is, its first bytes tell, never its name. Everything streams: memory is bounded by one line, one
//! message or one Parquet batch.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::decode::{self, DecodeError, Encoding, Rejected};
use crate::model::SpanBatch;
use crate::model::spans::NotSpans;

mod json_lines;
mod messages;
mod parquet;

pub use json_lines::{OtlpJsonLines, WriteError};
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
    let source = if path == "-" {
        detect(path, Box::new(BufReader::new(io::stdin())), None)?
    } else {
        let file = File::open(path).map_err(failed)?;
        detect(path, Box::new(BufReader::with_capacity(BUFFER_BYTES, file)), Some(Path::new(path).to_owned()))?
    };
    let path = if path == "-" { "standard input" } else { path }.to_owned();
    let rejected = Rejected::default();
    Ok(Spans { source, path, damage, options, position: 0, passed_over: 0, rejected, ended: false })
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
            [b'{' | b' ' | b'\t' | b'\r' | b'\n', ..] => return Ok(Source::Lines(source)),
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

    /// The next part's batch: None at the end, `Ok(None)` for a part without one.
    fn read(&mut self) -> Option<Result<Option<SpanBatch>, Error>> {
        let (path, position) = (self.path.clone(), self.position + 1);
        match &mut self.source {
            Source::Empty => None,
            Source::Parquet(batches) => batches.next().map(|batch| batch.map(Some)),
            Source::Lines(source) => {
                let line = messages::read_line(source, MESSAGE_BYTES_MAX);
                let line = match line.map_err(|cause| Error::Io { path: path.clone(), cause }) {
                    Ok(line) => line?,
                    Err(error) => return Some(Err(error)),
                };
                self.position = position;
                let Some(line) = line.whole() else { return Some(Err(Error::LongLine { path, line: position })) };
                if line.trim_ascii().is_empty() {
                    return Some(Ok(None));
                }
                Some(self.decode(Encoding::Json, &line, |cause| Error::Line { path, line: position, cause }))
            }
            Source::Messages(source) => {
                let message = match messages::read_message(source, MESSAGE_BYTES_MAX) {
                    Ok(message) => message?,
                    Err(cause) => return Some(Err(Error::Frame { path, message: position, cause })),
                };
                self.position = position;
                let encoding = if message.first() == Some(&b'{') { Encoding::Json } else { Encoding::Protobuf };
                Some(self.decode(encoding, &message, |cause| Error::Message { path, message: position, cause }))
            }
        }
    }

    fn decode(
        &mut self,
        encoding: Encoding,
        bytes: &[u8],
        failed: impl FnOnce(DecodeError) -> Error,
    ) -> Result<Option<SpanBatch>, Error> {
        let decoded = decode::decode(encoding, bytes, &self.options).map_err(failed)?;
        self.rejected.merge(decoded.rejected);
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
