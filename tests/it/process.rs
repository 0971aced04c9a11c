//! The real binary: run to its end, or run as a daemon that is always ended with its test.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

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
    log: BufReader<ChildStderr>,
    pub api: String,
    pub http: String,
    /// Address and port alone.
    pub grpc: String,
    /// The log as far as it was read.
    pub seen: Vec<Value>,
}

impl Daemon {
    /// PodStartup it and waits until it says that it is ready.
    pub fn start(directory: &Path, args: &[&str]) -> Daemon {
        Daemon::start_with(directory, args, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_with(directory: &Path, args: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let mut command = headroom(directory);
        command.arg("serve").args(args).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut daemon =
            Daemon { child, log, api: String::new(), http: String::new(), grpc: String::new(), seen: vec![] };
        let listening = daemon.wait_for("listening");
        daemon.api = format!("http://{}", listening["api"].as_str().unwrap());
        daemon.http = format!("http://{}", listening["http"].as_str().unwrap());
        daemon.grpc = listening["grpc"].as_str().unwrap_or_default().to_owned();
        daemon.wait_for("ready");
        daemon
    }

    /// Reads the log up to a message. Ends with the log, so it cannot wait for ever on a process that died.
    pub fn wait_for(&mut self, message: &str) -> Value {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            assert!(self.log.read_line(&mut seen).unwrap() > 0, "no '{message}' in the log:\n{seen}");
            let line: Value = serde_json::from_str(&seen[start..]).unwrap_or_default();
            self.seen.push(line.clone());
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Reads the log up to a message that begins so, and returns all of it.
    pub fn wait_for_start(&mut self, beginning: &str) -> String {
        let begins =
            |line: &Value| line["message"].as_str().filter(|said| said.starts_with(beginning)).map(str::to_owned);
        if let Some(said) = self.seen.iter().find_map(begins) {
            return said;
        }
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "nothing in the log begins with '{beginning}'");
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            self.seen.push(line.clone());
            if let Some(said) = begins(&line) {
                return said;
            }
        }
    }

    /// Reads the log up to a message, unless it was read already.
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
        let rest = self.log.by_ref().lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap_or_default());
        self.seen.extend(rest);
        (self.child.wait().unwrap().code().unwrap(), std::mem::take(&mut self.seen))
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub fn signal(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Sends SIGTERM, and waits for the end. The exit code.
    pub fn terminate(mut self) -> i32 {
        self.signal();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail once it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
