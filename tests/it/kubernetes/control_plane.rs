//! A private Kubernetes on loopback, as `tests/control-plane/up.sh` starts it; ended with its test, however that ends.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::skip::{cache, skip};

/// Pretend nodes of 16 cores, 64 GiB and 250 pods each: room for what a test scales out.
const NODES: usize = 3;
/// What a controller, the scheduler or kwok does takes a second or two; a machine that compiles meanwhile takes longer.
const SOON: &str = "60s";

pub struct ControlPlane {
    directory: PathBuf,
    /// `up.sh`, which ends what it started when its standard input ends: when this drops, or the test process dies.
    process: Child,
}

/// A cluster whose API server is stopped; goes on when dropped.
pub struct Paused<'a>(&'a ControlPlane);

impl ControlPlane {
    /// The one that all tests of this binary share which disturb nobody outside namespaces of their own. None where the
    /// programs are missing: then the test is skipped and says so, or fails with HEADROOM_NO_SKIP=1.
    pub fn shared(test: &str) -> Option<&'static ControlPlane> {
        static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        let start = || {
            // Never dropped, so never removed: the logs of a run that failed are still there, until the next.
            let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes");
            found().map(|()| ControlPlane::start_in(&directory, NODES))
        };
        SHARED.get_or_init(start).as_ref().map_err(|reason| skip(test, reason)).ok()
    }

    /// One of the test's own, to be paused, killed or filled, in a directory that outlives it.
    pub fn start(test: &str, directory: &Path, nodes: usize) -> Option<ControlPlane> {
        found().map(|()| ControlPlane::start_in(directory, nodes)).map_err(|reason| skip(test, &reason)).ok()
    }

    fn start_in(directory: &Path, nodes: usize) -> ControlPlane {
        let mut process = Command::new(script("up.sh"))
            .arg(directory)
            .arg(nodes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("KUBECONFIG="), "the control plane did not start: see {}", directory.display());
        ControlPlane { directory: directory.to_owned(), process }
    }

    /// For a client that may do everything, straight to the API server.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// Where the API server listens: `https://127.0.0.1:PORT`.
    pub fn server(&self) -> String {
        let text = fs::read_to_string(self.kubeconfig()).unwrap();
        let start = text.find("https://").unwrap();
        text[start..].split('"').next().unwrap().to_owned()
    }

    /// What `up.sh` put there: certificates, logs, process ids.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a kubeconfig for a service account that exists, with a token for an hour, through `server` (that of
    /// [`ControlPlane::server`] or a proxy's).
    pub fn kubeconfig_of(&self, namespace: &str, account: &str, server: &str) -> PathBuf {
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace, "--duration", "1h"]);
        let path =
            self.directory.join(format!("{namespace}-{account}-{}.kubeconfig", server.rsplit(':').next().unwrap()));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             contexts: [{{ name: test, context: {{ cluster: test, user: test, namespace: {namespace} }} }}]\n\
             clusters: [{{ name: test, cluster: {{ server: '{server}', certificate-authority: ca.crt }} }}]\n\
             users: [{{ name: test, user: {{ token: {} }} }}]\n",
            token.trim()
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// `kubectl ARGS`, which must succeed: its output.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args, "").unwrap_or_else(|error| panic!("kubectl {args:?}: {error}"))
    }

    /// `kubectl ARGS` with this standard input: its output, or what it said was wrong.
    pub fn try_kubectl(&self, args: &[&str], input: &str) -> Result<String, String> {
        self.program("kubectl", args, input)
    }

    /// One of the programs, as admin.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory.join("bin").join(name));
        // With a home of its own it finds no settings of whoever runs the test.
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.directory).env("NO_PROXY", "127.0.0.1");
        command
    }

    /// One of the programs, which is to say `kubectl` or `helm`, as admin, run to its end.
    pub fn program(&self, name: &str, args: &[&str], input: &str) -> Result<String, String> {
        let mut command = self.command(name);
        command.args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // Written beside the reading, or each would wait for the other. A program that reads nothing breaks the pipe.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Creates or changes objects, given as YAML.
    pub fn apply(&self, yaml: &str) {
        self.try_kubectl(&["apply", "--server-side", "--filename", "-"], yaml)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// One object, or a list of them: `get(&["deployment", "web", "-n", "shop"])`.
    pub fn get(&self, what: &[&str]) -> Value {
        let output = self.kubectl(&[&["get", "--output", "json"], what].concat());
        serde_json::from_str(&output).unwrap()
    }

    /// Installs the CRDs of a module of `tests/control-plane/crds.txt`, and waits until they are served.
    pub fn install_crds(&self, module: &str) {
        let folder = self.directory.join("crds").join(module);
        self.kubectl(&["apply", "--server-side", "--filename", folder.to_str().unwrap()]);
        self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    }

    /// Watches one object until it is as it should be. It must exist, or be named by `--field-selector`.
    pub fn wait_until(&self, what: &[&str], holds: impl Fn(&Value) -> bool) -> Value {
        let mut command = self.command("kubectl");
        command.args(["get", "--watch", "--output", "json", "--request-timeout", SOON]).args(what);
        let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut last = Value::Null;
        let stdout = BufReader::new(watch.stdout.take().unwrap());
        // The watch ends when its time is over, so this does.
        for object in serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().map_while(Result::ok) {
            last = object;
            if holds(&last) {
                let _ = watch.kill();
                let _ = watch.wait();
                return last;
            }
        }
        let _ = watch.wait();
        panic!("{what:?} is not as awaited within {SOON}, but\n{last:#}");
    }

    /// Every write so far that was not the control plane's own, as `audit.k8s.io/v1` events.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.join("audit.jsonl")).unwrap();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Stops the API server where it is: connections stay open and nothing answers.
    pub fn pause(&self) -> Paused<'_> {
        self.signal("kube-apiserver", "STOP");
        Paused(self)
    }

    fn signal(&self, program: &str, signal: &str) {
        let pid = fs::read_to_string(self.directory.join(format!("{program}.pid"))).unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status().unwrap().success());
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.signal("kube-apiserver", "CONT");
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Fails when it has ended before, which a test has noticed.
        let _ = self.process.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane").join(name)
}

/// Whether the programs are there, as `build.sh` left word; or why not.
fn found() -> Result<(), String> {
    let cache = cache().join("control-plane");
    if fs::read_to_string(cache.join("env")).is_ok_and(|env| env.contains("KUBEBUILDER_ASSETS=")) {
        return Ok(());
    }
    match fs::read_to_string(cache.join("skipped")) {
        Ok(reason) if !reason.is_empty() => Err(reason.trim().to_owned()),
        _ => Err("there is no control plane: run tests/control-plane/build.sh".to_owned()),
    }
}
