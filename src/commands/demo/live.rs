//! A demo at a finite speed: the embedded cluster as a child process, `serve` in this one with the configuration
//! that an operator of the scenario's system would write, and somebody who watches both.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::ctrl_c;

use super::picture::{Picture, Title};
use super::quit::Quit;
use super::story::Story;
use super::summary::Summary;
use super::{Play, course};
use crate::act::embedded::Embedded;
use crate::clock::Clock;
use crate::commands::cluster::Shown;
use crate::commands::error::Error;
use crate::commands::serve::serve;
use crate::commands::stations;
use crate::commands::terminal::Terminal;
use crate::config::{self, Bounds, Config, Mode, Pattern, Selector};
use crate::journal::{Entry, What};
use crate::model::Time;
use crate::simulate::{Measures, References, Scenario};

/// Between two looks: what moves on a screen faster than this is noise.
const LOOK: Duration = Duration::from_millis(200);

/// The child only reads its scenario and opens a socket before it answers.
const START_MAX: Duration = Duration::from_secs(20);

/// After the scenario's end: for what headroom has not taken yet, and for the child to leave.
const END_MAX: Duration = Duration::from_secs(5);

/// A cluster or ticks further behind than this show headroom something else than the scenario.
const BEHIND_S_MAX: f64 = 3.0;

/// None when it was left early.
pub fn play(play: &Play, speed: f64, out: &mut dyn Write) -> Result<Option<Summary>, Error> {
    let references = play.compares().then(|| {
        let (scenario, seed) = (play.scenario.clone(), play.seed);
        thread::spawn(move || References::run(&scenario, seed))
    });
    let journal = Kept::create(play.journal.as_deref())?;
    // Who watches by the API, such as Prometheus, sets what is told beside their own clock.
    let begins = if play.api.is_some() { Clock::system().now().floor_second() } else { course::START };
    let mut story = Story::new(&play.scenario, begins);
    let start = || Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime);
    let (runtime, queries) = (start()?, start()?);
    let mut quit = Quit::listen(!play.json);
    let watched = runtime.block_on(async {
        let otlp = free_port()?;
        let mut cluster = Cluster::start(play, speed, begins, otlp).await?;
        let config = config(play, otlp, &cluster.url, &journal.path);
        let clock = stations::clock(&config).await?;
        tokio::select! {
            served = serve(&config, clock, queries.handle(), None) => served.map(|()| None),
            _ = ctrl_c() => Ok(None),
            () = quit.pressed() => Ok(None),
            measures = watch(play, speed, &cluster.client, &journal.path, &mut story, out) => {
                let measures = measures?;
                cluster.stop().await;
                Ok(Some(measures))
            }
        }
    });
    // From here on keys are lines again.
    drop(quit);
    [runtime, queries].into_iter().for_each(Runtime::shutdown_background);
    let Some(measures) = watched? else {
        if !play.json {
            writeln!(out, "stopped before the end; nothing to compare")?;
        }
        return Ok(None);
    };
    story.close(play.json, out)?;
    let references = references.map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let references = references.map(|references| play.with_perfect_admission(references, &story));
    Ok(Some(Summary::new(play, &story, &measures, references.as_ref())))
}

/// Tells what happens until the scenario has come to its end.
async fn watch(
    play: &Play,
    speed: f64,
    cluster: &Embedded,
    journal: &Path,
    story: &mut Story,
    out: &mut dyn Write,
) -> Result<Measures, Error> {
    let terminal = if play.json { None } else { Terminal::enter(out)? };
    if terminal.is_none() {
        story.open(play, out)?;
    }
    let Scenario { name, horizon_s, truth, .. } = &play.scenario;
    let title = Title { scenario: name.clone(), seed: play.seed, speed, horizon_s: *horizon_s, onset_s: truth.onset_s };
    let (mut picture, mut tail) = (Picture::new(title), Tail::open(journal)?);
    let (mut left, mut ticks) = (END_MAX, Ticks::default());
    let last = loop {
        tokio::time::sleep(LOOK).await;
        let shown: Shown = cluster.get("live").await?;
        for entry in tail.read()? {
            ticks.see(&entry);
            match terminal {
                Some(_) => story.take(&entry),
                None => story.tell(&entry, play.json, out)?,
            }
        }
        picture.observe(&shown.live);
        if let Some(terminal) = &terminal {
            terminal.draw(&picture.frame(&shown.live, story, Terminal::size(), terminal.colour), out)?;
        }
        if shown.finished {
            left = left.saturating_sub(LOOK);
            if shown.waiting == 0 || left.is_zero() {
                break shown;
            }
        }
    };
    if let Some(terminal) = terminal {
        terminal.leave(out)?;
        // The picture is gone; what it told stays.
        for told in &story.told {
            writeln!(out, "{told}")?;
        }
    }
    let behind_s = last.behind_s.max(ticks.late_s);
    if !play.json && (behind_s > BEHIND_S_MAX || last.dropped > 0) {
        let dropped = last.dropped;
        writeln!(
            out,
            "This machine could not keep pace at {speed} times real time: it was up to {behind_s:.1} s behind and lost {dropped} \
             exports, so what is told may be of that rather than of the system; play it at a lower --speed, or at --speed max."
        )?;
    }
    Ok(cluster.get("measures").await?)
}

/// How far apart ticks were, beyond the second that they should be.
#[derive(Default)]
struct Ticks {
    last: Option<Time>,
    late_s: f64,
}

impl Ticks {
    fn see(&mut self, entry: &Entry) {
        if let What::Ticked = entry.what {
            let apart_s = self.last.map_or(0.0, |last| entry.at.seconds_since(last));
            self.late_s = self.late_s.max(apart_s - course::TICK_NS as f64 / 1e9);
            self.last = Some(entry.at);
        }
    }
}

/// What an operator of the scenario's system would write.
fn config(play: &Play, otlp: SocketAddr, cluster: &str, journal: &Path) -> Config {
    let objective = |o: crate::analyse::Objective| config::Objective {
        selector: Selector::Entry(Pattern::new(&o.entry)),
        bounds: Bounds {
            latency: Duration::from_nanos(o.latency_ns.max(0) as u64),
            quantile: o.quantile,
            errors: o.errors,
        },
    };
    let settings = course::settings(&play.scenario);
    Config {
        mode: Mode::Enforce,
        objectives: settings.analyse.objectives.into_iter().map(objective).collect(),
        receive: config::Receive { grpc: otlp, http: any_port(), ..config::Receive::default() },
        api: config::Api { listen: play.api.unwrap_or_else(any_port), ..config::Api::default() },
        rules: play.rules_config(),
        // One file whatever its size, because `replay` reads one.
        journal: Some(config::Journal { path: journal.to_owned(), bytes_max: u64::MAX }),
        cluster: Some(config::Cluster::Embedded { url: cluster.to_owned() }),
        ..Config::default()
    }
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A port that both processes can be told before either listens; nobody else is likely to take it meanwhile.
fn free_port() -> Result<SocketAddr, Error> {
    let listen = |source| Error::Listen { what: "OTLP", address: any_port(), source };
    TcpListener::bind(any_port()).and_then(|listener| listener.local_addr()).map_err(listen)
}

/// The child, ended with its parent's interest in it.
struct Cluster {
    process: Child,
    client: Embedded,
    url: String,
}

impl Cluster {
    async fn start(play: &Play, speed: f64, begins: Time, otlp: SocketAddr) -> Result<Cluster, Error> {
        let failed = |error: io::Error| Error::ClusterStart(error.to_string());
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .args(["cluster", "--scenario", &play.scenario_argument])
            .args(play.variant.options())
            .args(["--seed", &play.seed.to_string(), "--speed", &speed.to_string()])
            .args(["--start", &begins.second().to_string()])
            .args(["--otlp-grpc", &format!("http://{otlp}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(spans) = &play.spans {
            command.arg("--spans").arg(spans);
        }
        let mut process = command.spawn().map_err(failed)?;
        let nothing = || Error::ClusterStart("it ended before it listened".into());
        let mut said = BufReader::new(process.stdout.take().ok_or_else(nothing)?).lines();
        let first = tokio::time::timeout(START_MAX, said.next_line()).await;
        let first = first.map_err(|_| Error::ClusterStart(format!("nothing within {} s", START_MAX.as_secs())))?;
        let url = first.map_err(failed)?.ok_or_else(nothing)?;
        Ok(Cluster { process, client: Embedded::new(&url)?, url })
    }

    /// It writes its files out before it goes.
    async fn stop(&mut self) {
        // It may be gone before it has answered; past the deadline it is killed.
        let _ = self.client.post("stop", &()).await;
        let _ = tokio::time::timeout(END_MAX, self.process.wait()).await;
    }
}

/// The journal's file: the one that was asked for, or one that goes with the demo.
struct Kept {
    path: PathBuf,
    temporary: bool,
}

impl Kept {
    fn create(asked: Option<&Path>) -> Result<Kept, Error> {
        let unnamed = || std::env::temp_dir().join(format!("headroom-demo-{}.journal", std::process::id()));
        let path = asked.map_or_else(unnamed, Path::to_owned);
        File::create(&path).map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok(Kept { path, temporary: asked.is_none() })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Reads the journal as it grows.
struct Tail {
    path: PathBuf,
    file: File,
    /// A line that is not whole yet.
    rest: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> Result<Tail, Error> {
        let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Ok(Tail { path: path.to_owned(), file, rest: Vec::new() })
    }

    fn read(&mut self) -> Result<Vec<Entry>, Error> {
        let unreadable = |source| Error::Read { path: self.path.clone(), source };
        self.file.read_to_end(&mut self.rest).map_err(unreadable)?;
        let whole = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(|error| unreadable(error.into()))).collect()
    }
}
