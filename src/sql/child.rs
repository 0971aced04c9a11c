//! The child: takes statements from its parent one after another, and answers each within the limits that come with it.
//!
//! Its standard input is the socket to the parent, its standard output the shelf. A statement runs on a thread with a
//! large stack; the first thread waits for the parent's next word, so that the child ends with its parent, however busy.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use rlimit::{Resource, setrlimit};
use serde_json::{Value, json};

use super::QueryError;
use super::handed::HandedTable;
use super::message::{Form, Limits, Request, read_request, write_end, write_text};
use super::query::{self, Sink};
use super::rows::json_rows;

/// Planning recurses over a statement; what `bounds` lets through takes a few megabytes of this, the rest is never touched.
const STACK_BYTES: usize = 64 << 20;
/// The text of an answer is handed over in pieces of this size.
const TEXT_BYTES: usize = 64 << 10;
/// Rows that are turned into text at once.
const ROWS_AT_ONCE: usize = 256;
/// Files a child may have open: the three it was given, and what its runtime needs.
const FILES_MAX: u64 = 32;

/// Serves the parent until it is gone. Its thread runs the statements; see the module.
pub fn serve() -> io::Result<()> {
    let parent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let shelf = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    confine()?;
    std::panic::set_hook(Box::new(|_| {}));
    let (requests_in, requests) = sync_channel(1);
    let answering = parent.try_clone()?;
    let run = move || answer_all(&requests, answering, shelf);
    std::thread::Builder::new().name("headroom-sql".into()).stack_size(STACK_BYTES).spawn(run)?;
    let mut parent = parent;
    while let Some(request) = read_request(&mut parent)? {
        if requests_in.send(request).is_err() {
            break;
        }
    }
    Ok(())
}

/// What holds for every statement.
fn confine() -> io::Result<()> {
    for (resource, limit) in [(Resource::CORE, 0), (Resource::FSIZE, 0), (Resource::NOFILE, FILES_MAX)] {
        setrlimit(resource, limit, limit)?;
    }
    // Where memory runs out, this is the process to end. Raising it needs no right; without procfs there is nothing to do.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

fn answer_all(requests: &Receiver<Request>, parent: UnixStream, shelf: File) {
    let shelf = Arc::new(shelf);
    // What the program holds before its first statement is not the statement's.
    let own_bytes = private_bytes().unwrap_or(0);
    let mut parent = BufWriter::new(parent);
    while let Ok(request) = requests.recv() {
        let end = confine_statement(&request.limits, own_bytes)
            .map_err(|error| QueryError::Process { cause: error.to_string() })
            .and_then(|()| answer(request, &shelf, &mut parent));
        if write_end(&mut parent, &end).is_err() {
            return;
        }
    }
}

fn confine_statement(limits: &Limits, own_bytes: u64) -> io::Result<()> {
    setrlimit(Resource::DATA, own_bytes.saturating_add(limits.process_bytes), rlimit::INFINITY)?;
    if let Some(seconds) = limits.cpu_s {
        setrlimit(Resource::CPU, processor_seconds().unwrap_or(0) + seconds, rlimit::INFINITY)?;
    }
    Ok(())
}

fn answer(request: Request, shelf: &Arc<File>, parent: &mut impl Write) -> Result<(), QueryError> {
    let Request { sql, tables, limits, form } = request;
    let failed = |cause: String| QueryError::Failed { cause };
    let run = AssertUnwindSafe(|| {
        let mut opened: Vec<(String, Arc<dyn TableProvider>)> = Vec::with_capacity(tables.len());
        for handed in tables {
            let name = handed.name.clone();
            let table = HandedTable::open(shelf, handed).map_err(|error| failed(error.to_string()))?;
            opened.push((name, Arc::new(table)));
        }
        let runtime = if limits.partitions > 1 {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(limits.partitions).thread_stack_size(STACK_BYTES).build()
        } else {
            tokio::runtime::Builder::new_current_thread().build()
        };
        let runtime = runtime.map_err(|error| QueryError::Process { cause: error.to_string() })?;
        let mut sink = Writer { out: parent, form, text: Vec::new(), written: 0, rows: 0, truncated: false };
        runtime.block_on(query::run(opened, &sql, &limits, &mut sink))?;
        sink.finish()
    });
    // A panic of DataFusion's is the statement's failure; nothing of it is used again.
    catch_unwind(run).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(failed(format!("DataFusion failed: {}", words.unwrap_or("it did not say why"))))
    })
}

/// Writes rows as text, in pieces.
struct Writer<'a, W> {
    out: &'a mut W,
    form: Form,
    text: Vec<u8>,
    /// Bytes of the answer and its rows, so far.
    written: usize,
    rows: usize,
    truncated: bool,
}

impl<W: Write> Sink for Writer<'_, W> {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), QueryError> {
        let columns: Vec<Value> = match self.form {
            Form::Document { .. } => (schema.fields().iter())
                .map(|field| json!({"name": field.name(), "type": field.data_type().to_string()}))
                .collect(),
            Form::Lines => schema.fields().iter().map(|field| field.name().as_str().into()).collect(),
        };
        let columns = Value::Array(columns).to_string();
        self.push(match self.form {
            Form::Document { .. } => format!("{{\"columns\":{columns},\"rows\":["),
            Form::Lines => format!("{columns}\n"),
        })
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<ControlFlow<()>, QueryError> {
        for first in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
            let part = batch.slice(first, ROWS_AT_ONCE.min(batch.num_rows() - first));
            let rows = json_rows(&part).map_err(|error| QueryError::Failed { cause: error.to_string() })?;
            for row in rows {
                let row = Value::Object(row).to_string();
                if let Form::Document { rows_max, bytes_max } = self.form
                    && (self.rows == rows_max || self.written + row.len() > bytes_max)
                {
                    self.truncated = true;
                    return Ok(ControlFlow::Break(()));
                }
                let comma = if self.rows > 0 { "," } else { "" };
                self.push(match self.form {
                    Form::Document { .. } => format!("{comma}{row}"),
                    Form::Lines => format!("{row}\n"),
                })?;
                self.rows += 1;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl<W: Write> Writer<'_, W> {
    fn push(&mut self, text: String) -> Result<(), QueryError> {
        self.written += text.len();
        self.text.extend_from_slice(text.as_bytes());
        if self.text.len() >= TEXT_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), QueryError> {
        let sent = write_text(self.out, &self.text);
        self.text.clear();
        sent.map_err(|error| QueryError::Failed { cause: error.to_string() })
    }

    fn finish(mut self) -> Result<(), QueryError> {
        if let Form::Document { .. } = self.form {
            self.push(format!("],\"truncated\":{}}}", self.truncated))?;
        }
        self.flush()
    }
}

/// Bytes that count against RLIMIT_DATA (proc(5)); None where there is no procfs.
fn private_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Seconds that this process was on a processor, in user and system mode (proc(5)), rounded up.
fn processor_seconds() -> Option<u64> {
    // Hundredths of a second on every Linux, whatever the kernel's own clock.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut times = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(ticks.div_ceil(TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    /// Not a test of its own: the tests' program has no subcommands, so a child of theirs runs this one.
    #[test]
    fn serves_as_a_child_of_other_tests() {
        if std::env::var_os(super::super::process::CHILD_OF_TESTS).is_some() {
            super::serve().unwrap();
        }
    }
}
