//! A child as its parent sees it: started, asked, ended, and its last words understood.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::QueryError;
use super::message::{Form, Limits, Reply, Request, read_reply, write_request};
use super::shelf::Builder;

use crate::clock::Stopwatch;

/// Set for a child that a unit test starts.
pub(super) const CHILD_OF_TESTS: &str = "HEADROOM_SQL_CHILD_OF_TESTS";

/// A request is handed over within this: the child does nothing else then.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);
/// Of what a child said as it died: the words of the allocator or of the stack's guard are among the first.
const LAST_WORDS_BYTES: u64 = 4096;

/// What is started as a child: this program, with the subcommand that serves.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<&'static str>,
    of_tests: bool,
}

impl Program {
    /// The subcommand.
    pub const SUBCOMMAND: &'static str = "sql-child";

    /// This very program, also when its file was replaced meanwhile.
    pub fn own() -> io::Result<Program> {
        let path = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
        let args = if cfg!(test) {
            vec!["sql::child::tests::serves_as_a_child_of_other_tests", "--exact", "--quiet", "--nocapture"]
        } else {
            vec![Program::SUBCOMMAND]
        };
        Ok(Program { path, args, of_tests: cfg!(test) })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        // Nothing of the environment is the child's: least of all a token in it.
        command.args(&self.args).env_clear().current_dir("/");
        // mimalloc commits what it reserves, a gibibyte, at once, which would count against the limit; and gives back late.
        command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0").env("MIMALLOC_PURGE_DELAY", "0");
        if self.of_tests {
            command.env(CHILD_OF_TESTS, "1");
        }
        command
    }
}

/// A child that waits or runs.
pub(super) struct Child {
    process: Arc<Mutex<process::Child>>,
    socket: UnixStream,
}

/// Ends a child from another thread.
#[derive(Clone)]
pub(super) struct Killer(Arc<Mutex<process::Child>>);

impl Killer {
    pub fn kill(&self) {
        // Fails only when it has ended already.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}

impl Child {
    pub fn start(program: &Program, shelf: File) -> io::Result<Child> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut command = program.command();
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(shelf)).stderr(Stdio::piped());
        let process = command.spawn()?;
        Ok(Child { process: Arc::new(Mutex::new(process)), socket })
    }

    pub fn killer(&self) -> Killer {
        Killer(self.process.clone())
    }

    /// Whether it waits for a statement, as far as one can tell.
    pub fn is_alive(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(process.try_wait(), Ok(None))
    }

    /// Has it answer; `text` takes the answer as it comes. An outer error means that this child is of no use any more.
    pub fn ask(
        &mut self,
        request: &Request,
        limit: Option<Duration>,
        mut text: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Result<(), QueryError>, Broken> {
        let stopwatch = Stopwatch::start();
        self.socket.set_write_timeout(Some(HAND_OVER_MAX)).map_err(Broken::Io)?;
        write_request(&mut self.socket, request).map_err(Broken::Io)?;
        loop {
            if let Some(limit) = limit {
                let left = limit.checked_sub(stopwatch.elapsed()).filter(|left| !left.is_zero());
                self.socket.set_read_timeout(Some(left.ok_or(Broken::TimedOut)?)).map_err(Broken::Io)?;
            }
            match read_reply(&mut self.socket) {
                Ok(Reply::Text(part)) => text(&part).map_err(Broken::Output)?,
                Ok(Reply::End(end)) => return Ok(end),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(Broken::TimedOut);
                }
                Err(error) => return Err(Broken::Io(error)),
            }
        }
    }

    /// Ends it, and tells from its last words why it ended by itself if it did.
    pub fn end(self) -> Option<QueryError> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // It may be ending just now: the socket closes before the process is gone.
        let by_itself = ended_within(&mut process, Duration::from_millis(500));
        let _ = process.kill();
        let status = process.wait().ok()?;
        let mut words = String::new();
        if let Some(said) = process.stderr.take() {
            let _ = said.take(LAST_WORDS_BYTES).read_to_string(&mut words);
        }
        by_itself.then(|| understood(status, &words))
    }
}

/// Why a child is of no use any more.
#[derive(Debug)]
pub(super) enum Broken {
    TimedOut,
    /// The socket: most likely it died.
    Io(io::Error),
    /// Whoever reads the answer has gone.
    Output(io::Error),
}

fn ended_within(process: &mut process::Child, limit: Duration) -> bool {
    let stopwatch = Stopwatch::start();
    loop {
        match process.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) if stopwatch.elapsed() < limit => std::thread::park_timeout(Duration::from_millis(2)),
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Rust says why it aborts, and the kernel by which signal it ended a process.
fn understood(status: ExitStatus, words: &str) -> QueryError {
    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    if words.contains("memory allocation of") || words.contains("out of memory") {
        return QueryError::Memory;
    }
    if words.contains("has overflowed its stack") {
        return QueryError::Stack;
    }
    match status.signal() {
        // Nobody here killed it: the kernel was out of memory.
        Some(SIGKILL) => QueryError::Memory,
        Some(SIGXCPU) => QueryError::Failed { cause: "it used more processor time than it may".into() },
        _ => {
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            QueryError::Failed { cause: format!("its process ended ({status}) {words}").trim_end().to_owned() }
        }
    }
}

/// Asks one statement of tables that lie on one shelf, in a child that ends with it; `line` takes the answer's lines: first the column
/// names.
pub fn ask_once(
    program: &Program,
    tables: &[(&str, &Builder)],
    sql: &str,
    limits: Limits,
    mut line: impl FnMut(&str) -> io::Result<()>,
) -> Result<Result<(), QueryError>, io::Error> {
    let shelf = tables.first().ok_or_else(|| io::Error::other("there is no table to ask"))?.1.file()?;
    let mut child = Child::start(program, shelf)?;
    let tables = tables.iter().map(|(name, table)| table.table(name)).collect();
    let request = Request { sql: sql.to_owned(), tables, limits, form: Form::Lines };
    let mut lines = Lines::default();
    let asked = child.ask(&request, None, |text| lines.feed(text, &mut line));
    match asked {
        Ok(end) => {
            child.killer().kill();
            let _ = child.end();
            Ok(end)
        }
        Err(Broken::Output(error)) => {
            child.killer().kill();
            let _ = child.end();
            Err(error)
        }
        Err(Broken::TimedOut) => Ok(Err(QueryError::Failed { cause: "its process did not answer".into() })),
        Err(Broken::Io(error)) => {
            Ok(Err(child.end().unwrap_or_else(|| QueryError::Failed { cause: error.to_string() })))
        }
    }
}

/// Whole lines out of pieces of text.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, text: &[u8], line: &mut impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let mut text = text;
        while !text.is_empty() {
            let read = text.read_until(b'\n', &mut self.begun)?;
            if read > 0 && self.begun.ends_with(b"\n") {
                self.begun.pop();
                line(std::str::from_utf8(&self.begun).map_err(io::Error::other)?)?;
                self.begun.clear();
            }
        }
        Ok(())
    }
}
