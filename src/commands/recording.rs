//! Files that a demo keeps, so that `replay` can make its decisions again: spans as OTLP JSON lines, one line a
//! delivered request in order, and the journal.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::commands::error::Error;
use crate::journal::Entry;
use crate::receive::files::{OtlpJsonLines, WriteError};

/// What is not asked for is not kept.
pub struct Recording {
    spans: Option<(PathBuf, OtlpJsonLines<BufWriter<File>>)>,
    journal: Option<(PathBuf, BufWriter<File>)>,
}

impl Recording {
    /// Creates the files, or empties them.
    pub fn create(spans: Option<&Path>, journal: Option<&Path>) -> Result<Recording, Error> {
        let create = |path: &Path| {
            let file = File::create(path).map_err(|source| failed(path, source))?;
            Ok::<_, Error>((path.to_owned(), BufWriter::new(file)))
        };
        let spans = spans.map(create).transpose()?.map(|(path, writer)| (path, OtlpJsonLines::new(writer)));
        Ok(Recording { spans, journal: journal.map(create).transpose()? })
    }

    pub fn spans(&mut self, request: &ExportTraceServiceRequest) -> Result<(), Error> {
        let Some((path, lines)) = &mut self.spans else { return Ok(()) };
        lines.write(request).map_err(|error| match error {
            WriteError::Io(source) => failed(path, source),
            other => failed(path, io::Error::other(other)),
        })
    }

    pub fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let Some((path, writer)) = &mut self.journal else { return Ok(()) };
        let line = serde_json::to_string(entry).map_err(|error| failed(path, error.into()))?;
        writeln!(writer, "{line}").map_err(|source| failed(path, source))
    }

    /// Writes out what is buffered, and says whether all of it could be.
    pub fn finish(self) -> Result<(), Error> {
        if let Some((path, mut lines)) = self.spans {
            lines.flush().map_err(|source| failed(&path, source))?;
        }
        if let Some((path, mut writer)) = self.journal {
            writer.flush().map_err(|source| failed(&path, source))?;
        }
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Write { path: path.to_owned(), source }
}
