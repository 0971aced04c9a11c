//! The programs that send spans: load, Envoy, the shop of three services, the Collector. Each is a child of its own
//! and ends with the value that stands for it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::probe;
use super::programs::{Programs, script};

/// Until a program serves: an interpreter starts in a second, and in ten on a machine that compiles meanwhile.
const STARTS: Duration = Duration::from_secs(60);
/// Until the load driver has the answers to what it sent: its own timeout is 10 s, and some wait behind others.
const ENDS: Duration = Duration::from_secs(30);

/// Ports that are free now, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // Held together until all are known, so that none is given out twice.
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

/// A program, with its messages in a file.
struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(directory: &Path, name: &'static str, command: &mut Command) -> Running {
        let log = directory.join(format!("{name}.log"));
        let out = File::create(&log).unwrap();
        let both = out.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(both).spawn().unwrap();
        Running { name, child, log }
    }

    /// Waits until it answers there.
    fn ready(mut self, urls: &[String]) -> Running {
        for url in urls {
            probe::until(&format!("{} answers at {url}", self.name), STARTS, || {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "{} ended: {}", self.name, fs::read_to_string(&self.log).unwrap_or_default());
                probe::get(url)
            });
        }
        self
    }

    /// Asks it to end, and waits until it has.
    fn end(&mut self) {
        let ask = format!("kill -TERM {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &ask]).status();
        self.wait(ENDS);
    }

    fn wait(&mut self, within: Duration) {
        let child = &mut self.child;
        probe::until(&format!("{} has ended", self.name), within, || child.try_wait().unwrap());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail once it has ended. The shop's services end with their launcher.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the spans travel.
pub struct Route<'a> {
    /// From the services to the Collector: `grpc` or `http`.
    pub sdk: &'a str,
    /// Options of `otelcol.sh`: from the Collector to headroom.
    pub collector: &'a [&'a str],
    /// Options of `shop.py`.
    pub shop: &'a [&'a str],
    /// Options of `envoy.sh`.
    pub envoy: &'a [&'a str],
}

/// Envoy, the shop and the Collector. In the order they end: senders before what they send to.
pub struct Ensemble {
    _envoy: Running,
    _shop: Running,
    _collector: Running,
    directory: PathBuf,
    python: PathBuf,
    envoy_port: u16,
    stock_port: u16,
    metrics_port: u16,
}

impl Ensemble {
    pub fn start(programs: &Programs, directory: &Path, route: &Route<'_>) -> Ensemble {
        let [envoy, admin, frontend, orders, stock, grpc, http, metrics] = free_ports();
        let at = |port: u16, path: &str| format!("http://127.0.0.1:{port}{path}");
        let option = |name: &str, port: u16| [format!("--{name}-port"), port.to_string()];
        // The Collector first: what cannot reach it would drop its spans.
        let collector = Running::start(
            directory,
            "collector",
            Command::new(script("otelcol.sh"))
                .args(route.collector)
                .args([option("grpc", grpc), option("http", http), option("metrics", metrics)].as_flattened()),
        )
        .ready(&[at(metrics, "/metrics")]);
        let otlp = if route.sdk == "grpc" { grpc } else { http };
        let shop = Running::start(
            directory,
            "shop",
            Command::new(&programs.python)
                .arg(script("shop.py"))
                .args(["--exporter", route.sdk, "--endpoint", &format!("127.0.0.1:{otlp}")])
                .args([option("frontend", frontend), option("orders", orders), option("stock", stock)].as_flattened())
                .args(route.shop),
        )
        .ready(&[stock, orders, frontend].map(|port| at(port, "/healthz")));
        let envoy_ports = [option("admin", admin), option("frontend", frontend), option("otlp", grpc)];
        let proxy = Running::start(
            directory,
            "envoy",
            Command::new(script("envoy.sh"))
                .args(["--port", &envoy.to_string()])
                .args(envoy_ports.as_flattened())
                .args(route.envoy),
        )
        .ready(&[at(admin, "/ready")]);
        Ensemble {
            _envoy: proxy,
            _shop: shop,
            _collector: collector,
            directory: directory.to_owned(),
            python: programs.python.clone(),
            envoy_port: envoy,
            stock_port: stock,
            metrics_port: metrics,
        }
    }

    /// Requests for so many seconds, or until it is stopped. Several may run at once, under names of their own.
    pub fn load(&self, name: &'static str, rate: u32, seconds: u32) -> Load {
        self.load_of(name, "/checkout/book", rate, seconds)
    }

    /// The same of another path.
    pub fn load_of(&self, name: &'static str, path: &str, rate: u32, seconds: u32) -> Load {
        let traces = self.directory.join(format!("{name}.traces"));
        let mut command = Command::new(&self.python);
        command
            .arg(script("load.py"))
            .args(["--url", &format!("http://127.0.0.1:{}{path}", self.envoy_port)])
            .args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string()])
            .args([Path::new("--traces"), &traces]);
        Load { running: Running::start(&self.directory, name, &mut command), traces }
    }

    /// Each request to `stock` takes that much longer from now on.
    pub fn slow_stock(&self, ms: u32) {
        let url = format!("http://127.0.0.1:{}/slow?ms={ms}", self.stock_port);
        probe::ask(Method::POST, &url, None).expect("stock takes the setting");
    }

    /// A series of the Collector's own metrics, summed over its labels.
    pub fn collector_metric(&self, name: &str) -> u64 {
        let page = probe::get(&format!("http://127.0.0.1:{}/metrics", self.metrics_port)).unwrap_or_default();
        probe::series(&page, name)
    }
}

/// The load driver at work.
pub struct Load {
    running: Running,
    traces: PathBuf,
}

/// What the load driver says of its run.
pub struct Answered {
    /// The driver's own document.
    pub report: Value,
    /// The trace id of each request answered with 200.
    pub traces: Vec<String>,
}

impl Load {
    /// Waits until all requests have their answers.
    pub fn finish(mut self, within: Duration) -> Answered {
        self.running.wait(within);
        self.answered()
    }

    /// Sends no further request, and waits for the answers to those under way.
    pub fn stop(mut self) -> Answered {
        self.running.end();
        self.answered()
    }

    fn answered(&self) -> Answered {
        let output = fs::read_to_string(&self.running.log).unwrap();
        let report: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        let traces = fs::read_to_string(&self.traces).unwrap().lines().map(str::to_owned).collect();
        Answered { report, traces }
    }
}
