//! What a parent and its child say to each other over their socket: a length, then JSON or text.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::QueryError;

/// A statement, and all that its child needs to answer it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub sql: String,
    pub tables: Vec<Handed>,
    pub limits: Limits,
    pub form: Form,
}

/// What one statement may take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// What sorts, joins and grouped aggregates may hold at once; beyond it they are refused by DataFusion.
    pub memory_bytes: u64,
    /// What the process may take beyond what it had before its first statement; beyond it the system refuses.
    pub process_bytes: u64,
    /// Seconds on a processor; None: as long as it takes.
    pub cpu_s: Option<u64>,
    /// Threads that one statement may use.
    pub partitions: usize,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Form {
    /// One JSON document, as the API answers; what is past either bound is left out, and it says so.
    Document { rows_max: usize, bytes_max: usize },
    /// A line of column names, then an object a row, each a line.
    Lines,
}

/// Where on the shelf something lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    pub offset: u64,
    pub bytes: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Handed {
    pub name: String,
    pub schema: Place,
    /// None: the statement does not mention the table, and was not given its rows.
    pub batches: Option<Vec<(Place, usize)>>,
}

/// A child's words: any number of texts, then how it ended.
#[derive(Debug)]
pub(super) enum Reply {
    Text(Vec<u8>),
    End(Result<(), QueryError>),
}

/// Longest message either side takes from the other: a directory of a window in its smallest batches, or a row.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

pub(super) fn write_request(out: &mut impl Write, request: &Request) -> io::Result<()> {
    write(out, b'Q', &serde_json::to_vec(request)?)
}

/// None when the parent is gone.
pub(super) fn read_request(input: &mut impl Read) -> io::Result<Option<Request>> {
    match read(input) {
        Ok((b'Q', body)) => Ok(Some(serde_json::from_slice(&body)?)),
        Ok((kind, _)) => Err(io::Error::other(format!("a request of kind {kind}"))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn write_text(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    write(out, b'T', text)
}

pub(super) fn write_end(out: &mut impl Write, end: &Result<(), QueryError>) -> io::Result<()> {
    write(out, b'E', &serde_json::to_vec(end)?)
}

pub(super) fn read_reply(input: &mut impl Read) -> io::Result<Reply> {
    match read(input)? {
        (b'T', body) => Ok(Reply::Text(body)),
        (b'E', body) => Ok(Reply::End(serde_json::from_slice(&body)?)),
        (kind, _) => Err(io::Error::other(format!("a reply of kind {kind}"))),
    }
}

fn write(out: &mut impl Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut head = [kind; 5];
    head[1..].copy_from_slice(&length.to_le_bytes());
    out.write_all(&head)?;
    out.write_all(body)?;
    out.flush()
}

fn read(input: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    input.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok((kind, body))
}
