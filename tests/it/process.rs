//! The real binary: run to its end, or run as a daemon that is always ended with its test.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

/// The binary, with nothing of this shell's environment but where programs are. HEADROOM_BIN names another one, such as
/// the release build that a scorecard measures.
pub fn headroom(directory: &Path) -> Command {
    let mut command =
        Command::new(std::env::var_os("HEADROOM_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_headroom").into()));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(directory);
    command
}

/// What a run to the end said: exit code, standard output, standard error.
pub fn run(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let output = headroom(directory).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A running `headroom serve`; killed when dropped.
pub struct Daemon {
    child: Child,
    log: Arc<Log>,
    pub api: String,
    pub http: String,
    /// Address and port alone.
    pub grpc: String,
    /// The log as far as it was read.
    pub seen: Vec<Value>,
}

/// What a daemon writes to standard error. A thread takes it as it comes, so that a daemon never waits for a reader, and
/// all of it is shown when a test fails.
#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// The daemon has ended, or closed it.
    is_closed: bool,
}

/// Far longer than anything that a daemon is waited for takes, on the busiest of machines.
const DEADLINE: Duration = Duration::from_secs(90);

/// Lines shown of a log that a test failed on.
const SHOWN: usize = 60;

impl Log {
    fn drain(stderr: ChildStderr) -> Arc<Log> {
        let log = Arc::<Log>::default();
        let filled = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                filled.change(|lines| lines.lines.push(line));
            }
            filled.change(|lines| lines.is_closed = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lines.lock().unwrap());
        self.grown.notify_all();
    }

    /// The line at this place; None once the log has ended before it, or at the deadline.
    fn line(&self, at: usize) -> Option<String> {
        let is_missing = |lines: &mut Lines| lines.lines.len() <= at && !lines.is_closed;
        let lines = self.lines.lock().unwrap();
        let (lines, _) = self.grown.wait_timeout_while(lines, DEADLINE, is_missing).unwrap();
        lines.lines.get(at).cloned()
    }

    /// Whether it ended within the deadline.
    fn ends(&self) -> bool {
        let lines = self.lines.lock().unwrap();
        let (lines, _) = self.grown.wait_timeout_while(lines, DEADLINE, |lines| !lines.is_closed).unwrap();
        lines.is_closed
    }

    fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap();
        lines.lines[lines.lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

impl Daemon {
    /// Starts it and waits until it says that it is ready.
    pub fn start(directory: &Path, args: &[&str]) -> Daemon {
        Daemon::start_with(directory, args, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_with(directory: &Path, args: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let mut command = headroom(directory);
        command.arg("serve").args(args).envs(environment.iter().copied());
        Daemon::spawn(command)
    }

    /// The same, under what a shell's command sets first, such as `ulimit -n 256`.
    pub fn start_under(directory: &Path, limit: &str, args: &[&str]) -> Daemon {
        let program = headroom(directory).get_program().to_owned();
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(directory);
        command.arg("-c").arg(format!("{limit}; exec \"$0\" serve \"$@\"")).arg(program).args(args);
        Daemon::spawn(command)
    }

    fn spawn(mut command: Command) -> Daemon {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::drain(child.stderr.take().unwrap());
        let mut daemon =
            Daemon { child, log, api: String::new(), http: String::new(), grpc: String::new(), seen: vec![] };
        let listening = daemon.wait_for("listening");
        daemon.api = format!("http://{}", listening["api"].as_str().unwrap());
        daemon.http = format!("http://{}", listening["http"].as_str().unwrap());
        daemon.grpc = listening["grpc"].as_str().unwrap_or_default().to_owned();
        daemon.wait_for("ready");
        daemon
    }

    /// The next line of the log that is the one wanted. Ends with the log and at a deadline, so that no test waits for
    /// ever.
    #[track_caller]
    fn next_line(&mut self, wanted: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.log.line(self.seen.len()) {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            self.seen.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
        panic!("no '{wanted}' in the log, which ends so:\n{}", self.log.tail());
    }

    /// Reads the log up to a message.
    #[track_caller]
    pub fn wait_for(&mut self, message: &str) -> Value {
        self.next_line(message, |line| line["message"] == message)
    }

    /// Reads the log up to a message that begins so, unless it was read already, and returns all of it.
    #[track_caller]
    pub fn wait_for_start(&mut self, beginning: &str) -> String {
        let begins = |line: &Value| line["message"].as_str().is_some_and(|said| said.starts_with(beginning));
        let line = self.seen.iter().find(|line| begins(line)).cloned();
        let line = line.unwrap_or_else(|| self.next_line(beginning, begins));
        line["message"].as_str().unwrap().to_owned()
    }

    /// Reads the log up to a message, unless it was read already.
    #[track_caller]
    pub fn await_said(&mut self, message: &str) {
        if !self.seen.iter().any(|line| line["message"] == message) {
            self.wait_for(message);
        }
    }

    /// The most memory it has had so far, in KiB (`VmHWM`, proc_pid_status(5)).
    pub fn memory_peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends SIGTERM, and reads the log to its end: the exit code, and the whole log.
    pub fn terminate_and_read(mut self) -> (i32, Vec<Value>) {
        self.signal();
        let code = self.end();
        while let Some(line) = self.log.line(self.seen.len()) {
            self.seen.push(serde_json::from_str(&line).unwrap_or_default());
        }
        (code, std::mem::take(&mut self.seen))
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub fn signal(&self) {
        self.send_signal("TERM");
    }

    /// Sends the signal of this name.
    pub fn send_signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Sends SIGTERM, and waits for the end. The exit code.
    pub fn terminate(mut self) -> i32 {
        self.signal();
        self.end()
    }

    /// The exit code, once it has ended by itself: its log ends with it.
    fn end(&mut self) -> i32 {
        assert!(self.log.ends(), "it does not end; its log ends so:\n{}", self.log.tail());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail once it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "the daemon's log ends so:\n{}", self.log.tail());
        }
    }
}

/// One HTTP exchange: status and body.
pub fn http(method: reqwest::Method, url: &str, body: Option<&Value>) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut request = reqwest::Client::builder().no_proxy().build().unwrap().request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    })
}

/// Waits beside what runs elsewhere.
pub fn pause(duration: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // The timer is made inside, where there is a runtime.
    runtime.block_on(async { tokio::time::sleep(duration).await });
}
