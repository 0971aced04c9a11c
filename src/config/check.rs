//! Raw text to checked values. Goes through the whole file and collects every problem on the way.

mod cluster;

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::problem::{Problem, did_you_mean};
use super::raw::{self, Section};
use super::units::{HumanBytes, HumanDuration, parse_bytes, parse_duration, parse_share};
use super::{
    Api, Bounds, Config, Journal, Limits, Mode, Objective, Pattern, Receive, Rules, Selector, Service, Tls, Token,
    Window,
};
use crate::{decide, guard, journal};

/// Check a whole file. `directory` anchors relative paths.
pub fn check(root: &raw::Root, directory: &Path) -> Result<Config, Vec<Problem>> {
    let mut checker = Checker { problems: Vec::new(), directory };
    let config = checker.root(root);
    if checker.problems.is_empty() { Ok(config) } else { Err(checker.problems) }
}

/// Sections that were left out read as empty ones.
macro_rules! section {
    ($section:expr) => {
        $section.as_ref().unwrap_or(&Default::default())
    };
}

type Text = Option<String>;

struct Checker<'a> {
    problems: Vec<Problem>,
    directory: &'a Path,
}

impl Checker<'_> {
    fn root(&mut self, raw: &raw::Root) -> Config {
        self.keys("", raw);
        let default = Config::default();
        let default_objective = self.default_objective(section!(raw.default_objective));
        let config = Config {
            mode: self.mode(&raw.mode),
            analysis: self.analysis(&raw.analysis),
            tick: self.duration("tick", &raw.tick, default.tick, "100ms", "1m"),
            objectives: self.objectives(raw.objectives.as_deref().unwrap_or_default(), &default_objective),
            default_objective,
            services: (raw.services.iter().flatten())
                .map(|(name, service)| (name.clone(), self.service(name, service)))
                .collect(),
            receive: self.receive(section!(raw.receive)),
            api: self.api(section!(raw.api)),
            window: self.window(section!(raw.window)),
            limits: self.limits(section!(raw.limits)),
            rules: self.rules(section!(raw.rules)),
            guard: self.guard(section!(raw.guard)),
            journal: raw.journal.as_ref().and_then(|journal| self.journal(journal)),
            learnt: raw.learnt.as_ref().and_then(|learnt| self.learnt(learnt)),
            cluster: raw.cluster.as_ref().and_then(|cluster| self.cluster(cluster)),
        };
        if config.mode == Mode::Enforce && raw.cluster.is_none() {
            self.problem("mode", "enforce needs a cluster to act on", "add a `cluster` section or set mode: observe");
        }
        if config.mode == Mode::Enforce && !config.analysis {
            self.problem("analysis", "nothing is found without it, so nothing can be enforced", "set it to on");
        }
        if config.window.duration < config.tick * 10 {
            let tick = HumanDuration(config.tick);
            self.problem(
                "window.duration",
                format!("{} holds fewer than ten ticks of {tick}", HumanDuration(config.window.duration)),
                format!("set it to {} or more", HumanDuration(config.tick * 10)),
            );
        }
        config
    }

    fn mode(&mut self, text: &Text) -> Mode {
        match text.as_deref() {
            None | Some("observe") => Mode::Observe,
            Some("enforce") => Mode::Enforce,
            Some(other) => {
                self.problem("mode", format!("`{other}` is no mode"), "write observe or enforce");
                Mode::Observe
            }
        }
    }

    fn analysis(&mut self, text: &Text) -> bool {
        match text.as_deref() {
            None | Some("on" | "true") => true,
            Some("off" | "false") => false,
            Some(other) => {
                self.problem("analysis", format!("`{other}` is neither on nor off"), "write on or off");
                true
            }
        }
    }

    fn default_objective(&mut self, raw: &raw::Bounds) -> Bounds {
        self.keys("default_objective", raw);
        self.bounds("default_objective", [&raw.latency, &raw.quantile, &raw.errors], &Bounds::default())
    }

    fn objectives(&mut self, raw: &[raw::Objective], default: &Bounds) -> Vec<Objective> {
        let mut objectives = Vec::new();
        for (index, objective) in raw.iter().enumerate() {
            let path = format!("objectives[{index}]");
            self.keys(&path, objective);
            let bounds = self.bounds(&path, [&objective.latency, &objective.quantile, &objective.errors], default);
            let selector = match (&objective.entry, &objective.service) {
                (Some(entry), None) if entry.contains([' ', '*']) => Selector::Entry(Pattern::new(entry)),
                (Some(entry), None) => {
                    let remedy = format!("write \"{entry} GET /path\", or `service: {entry}` for all of its entries");
                    self.problem(&format!("{path}.entry"), format!("`{entry}` names no operation"), remedy);
                    continue;
                }
                (None, Some(service)) => Selector::Service(service.clone()),
                (Some(_), Some(_)) => {
                    self.problem(&path, "has both entry and service", "keep one of them");
                    continue;
                }
                (None, None) => {
                    self.problem(&path, "says not what it is for", "add entry: \"service operation\" or service: name");
                    continue;
                }
            };
            objectives.push(Objective { selector, bounds });
        }
        objectives
    }

    fn bounds(&mut self, path: &str, [latency, quantile, errors]: [&Text; 3], default: &Bounds) -> Bounds {
        Bounds {
            latency: self.duration(&format!("{path}.latency"), latency, default.latency, "1ms", "1h"),
            // Below the median a tail has no meaning; past 0.9999 a window holds too few requests to tell.
            quantile: self.number(&format!("{path}.quantile"), quantile, default.quantile, 0.5..=0.9999),
            errors: self.share(&format!("{path}.errors"), errors, default.errors),
        }
    }

    fn service(&mut self, name: &str, raw: &raw::Service) -> Service {
        let path = |key: &str| format!("services.{name}.{key}");
        self.keys(&format!("services.{name}"), raw);
        let service = Service {
            min_replicas: self.optional(&path("min_replicas"), &raw.min_replicas, 0..=REPLICAS_MAX),
            max_replicas: self.optional(&path("max_replicas"), &raw.max_replicas, 1..=REPLICAS_MAX),
        };
        if let (Some(min), Some(max)) = (service.min_replicas, service.max_replicas)
            && min > max
        {
            let remedy = format!("set it to {max} or less, or raise max_replicas");
            self.problem(&path("min_replicas"), format!("{min} is more than max_replicas {max}"), remedy);
        }
        service
    }

    fn receive(&mut self, raw: &raw::Receive) -> Receive {
        self.keys("receive", raw);
        let default = Receive::default();
        let tls = raw.tls.as_ref().and_then(|tls| self.tls(tls));
        let token = self.token("receive", &raw.token, &raw.token_file);
        // One that was asked for and is wrong has its own problem already.
        let client_ca = raw.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        let authenticated = raw.token.is_some() || raw.token_file.is_some() || client_ca.is_some();
        let receive = Receive {
            grpc: self.address("receive.grpc", &raw.grpc, default.grpc),
            http: self.address("receive.http", &raw.http, default.http),
            tls,
            token,
            body_bytes_max: self.bytes("receive.body_max", &raw.body_max, default.body_bytes_max, "64KiB", "1GiB"),
            decompressed_bytes_max: self.bytes(
                "receive.decompressed_max",
                &raw.decompressed_max,
                default.decompressed_bytes_max,
                "64KiB",
                "4GiB",
            ),
            queue_spans_max: self.number(
                "receive.queue_spans",
                &raw.queue_spans,
                default.queue_spans_max,
                1_000..=100_000_000,
            ),
            queue_bytes_max: self.bytes(
                "receive.queue_memory",
                &raw.queue_memory,
                default.queue_bytes_max,
                "1MiB",
                "64GiB",
            ),
            connections_max: self.number(
                "receive.connections_max",
                &raw.connections_max,
                default.connections_max,
                1..=65_536,
            ),
        };
        for (key, address) in [("grpc", receive.grpc), ("http", receive.http)] {
            if !authenticated {
                let remedy = "add receive.token_file or receive.tls.client_ca, or listen on 127.0.0.1";
                self.loopback(&format!("receive.{key}"), address, remedy);
            }
        }
        if receive.decompressed_bytes_max < receive.body_bytes_max {
            let body = HumanBytes(receive.body_bytes_max);
            let cause = format!("is less than body_max, {body}");
            self.problem("receive.decompressed_max", cause, format!("set it to {body} or more"));
        }
        if receive.grpc == receive.http && receive.grpc.port() != 0 {
            self.problem("receive.http", "is the address of receive.grpc too", "give each a port of its own");
        }
        receive
    }

    fn tls(&mut self, raw: &raw::Tls) -> Option<Tls> {
        self.keys("receive.tls", raw);
        let cert = self.file("receive.tls.cert", raw.cert.as_ref(), "the certificate chain, PEM");
        let key = self.file("receive.tls.key", raw.key.as_ref(), "the private key, PEM");
        let client_ca = match &raw.client_ca {
            Some(_) => Some(self.file("receive.tls.client_ca", raw.client_ca.as_ref(), "the authority, PEM")?),
            None => None,
        };
        Some(Tls { cert: cert?, key: key?, client_ca })
    }

    fn api(&mut self, raw: &raw::Api) -> Api {
        self.keys("api", raw);
        let default = Api::default();
        let token = self.token("api", &raw.token, &raw.token_file);
        let api = Api {
            listen: self.address("api.listen", &raw.listen, default.listen),
            token,
            sql_timeout: self.duration("api.sql_timeout", &raw.sql_timeout, default.sql_timeout, "100ms", "5m"),
            sql_memory_bytes: self.bytes("api.sql_memory", &raw.sql_memory, default.sql_memory_bytes, "1MiB", "64GiB"),
            sql_rows_max: self.number("api.sql_rows_max", &raw.sql_rows_max, default.sql_rows_max, 1..=1_000_000),
        };
        if api.token.is_none() && raw.token.is_none() && raw.token_file.is_none() {
            self.loopback("api.listen", api.listen, "add api.token_file, or listen on 127.0.0.1");
        }
        api
    }

    fn window(&mut self, raw: &raw::Window) -> Window {
        self.keys("window", raw);
        let default = Window::default();
        Window {
            duration: self.duration("window.duration", &raw.duration, default.duration, "10s", "1d"),
            memory_bytes: self.bytes("window.memory", &raw.memory, default.memory_bytes, "16MiB", "1TiB"),
        }
    }

    fn limits(&mut self, raw: &raw::Limits) -> Limits {
        self.keys("limits", raw);
        // Below 64 MiB not even the planned queries and an empty window have room.
        let memory = raw.memory.is_some().then(|| self.bytes("limits.memory", &raw.memory, 1 << 30, "64MiB", "16TiB"));
        // Below a thousand spans a second a share says little of a service.
        let spans = self.optional("limits.spans_per_second", &raw.spans_per_second, 1_000..=1_000_000_000);
        Limits { memory_bytes: memory, spans_per_second: spans }
    }

    fn rules(&mut self, raw: &raw::Rules) -> Rules {
        self.keys("rules", raw);
        let directory = raw.directory.as_ref().map(|directory| self.directory.join(directory));
        if let Some(directory) = &directory
            && !directory.is_dir()
        {
            let cause = format!("{} is not a directory", directory.display());
            self.problem("rules.directory", cause, "create it, or leave the key out to run the shipped rules");
        }
        let default = decide::Limits::default();
        let (least, most) = ("64B", "1MiB");
        let strings =
            self.bytes("rules.string_bytes_max", &raw.string_bytes_max, default.string_bytes as u64, least, most);
        let limits = decide::Limits {
            operations: self.number(
                "rules.operations_max",
                &raw.operations_max,
                default.operations,
                1_000..=1_000_000_000,
            ),
            call_levels: self.number("rules.call_levels_max", &raw.call_levels_max, default.call_levels, 4..=256),
            string_bytes: usize::try_from(strings).unwrap_or(usize::MAX),
            array_elements: self.number(
                "rules.array_elements_max",
                &raw.array_elements_max,
                default.array_elements,
                100..=10_000_000,
            ),
            ..default
        };
        Rules { directory, limits }
    }

    fn guard(&mut self, raw: &raw::Guard) -> guard::Config {
        self.keys("guard", raw);
        let default = guard::Config::default();
        let mut duration = |key: &str, text, default| self.duration(&format!("guard.{key}"), text, default, "0s", "1d");
        let scale_out_cooldown = duration("scale_out_cooldown", &raw.scale_out_cooldown, default.scale_out_cooldown);
        let scale_in_cooldown = duration("scale_in_cooldown", &raw.scale_in_cooldown, default.scale_in_cooldown);
        let stabilisation = duration("stabilisation", &raw.stabilisation, default.stabilisation);
        let after_scale_out = &raw.scale_in_after_scale_out;
        let scale_in_after_scale_out =
            duration("scale_in_after_scale_out", after_scale_out, default.scale_in_after_scale_out);
        let panic_hold = duration("panic_hold", &raw.panic_hold, default.panic_hold);
        guard::Config {
            scale_out_cooldown,
            scale_in_cooldown,
            scale_in_after_scale_out,
            panic_hold,
            stabilisation,
            step_factor_max: self.number(
                "guard.step_factor_max",
                &raw.step_factor_max,
                default.step_factor_max,
                // Below 2 a single replica could not grow; past 100 a step is no longer a bound.
                2..=100,
            ),
            added_replicas_max: self.number(
                "guard.added_replicas_max",
                &raw.added_replicas_max,
                default.added_replicas_max,
                1..=REPLICAS_MAX,
            ),
            actions_per_minute_max: self.number(
                "guard.actions_per_minute",
                &raw.actions_per_minute,
                default.actions_per_minute_max,
                1..=1_000,
            ),
            ..default
        }
    }

    fn journal(&mut self, raw: &raw::Journal) -> Option<Journal> {
        self.keys("journal", raw);
        let bytes_max = self.bytes("journal.size_max", &raw.size_max, journal::writer::FILE_BYTES_MAX, "1MiB", "1TiB");
        self.written("journal.path", &raw.path).map(|path| Journal { path, bytes_max })
    }

    fn learnt(&mut self, raw: &raw::Learnt) -> Option<PathBuf> {
        self.keys("learnt", raw);
        self.written("learnt.path", &raw.path)
    }

    /// A file that will be written, in a directory that is there.
    fn written(&mut self, key: &str, file: &Text) -> Option<PathBuf> {
        let Some(file) = file else {
            self.problem(key, "is missing", "name the file, or leave the section out");
            return None;
        };
        let path = self.directory.join(file);
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                self.problem(key, format!("{} is not a directory", parent.display()), "create it");
                None
            }
            _ => Some(path),
        }
    }
}

/// More replicas than any cluster runs of one service (Kubernetes is tested to 150 000 pods in all).
const REPLICAS_MAX: u32 = 100_000;

/// Single values.
impl Checker<'_> {
    fn problem(&mut self, path: &str, cause: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), cause: cause.into(), remedy: remedy.into() });
    }

    fn keys<S: Section>(&mut self, path: &str, section: &S) {
        for key in section.unknown() {
            let at = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let remedy = match did_you_mean(key, S::KEYS) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the keys here are {}", S::KEYS.join(", ")),
            };
            self.problem(&at, "unknown key", remedy);
        }
    }

    fn duration(&mut self, path: &str, text: &Text, default: Duration, least: &str, most: &str) -> Duration {
        let Some(text) = text else { return default };
        let range = parse_duration(least).unwrap_or_default()..=parse_duration(most).unwrap_or(Duration::MAX);
        match parse_duration(text) {
            Some(duration) if range.contains(&duration) => return duration,
            Some(_) => self.problem(path, format!("{text} is out of range"), format!("write {least} to {most}")),
            None => self.problem(
                path,
                format!("`{text}` is not a duration"),
                format!("write a number with its unit, such as {}", HumanDuration(default.max(Duration::from_secs(1)))),
            ),
        }
        default
    }

    fn bytes(&mut self, path: &str, text: &Text, default: u64, least: &str, most: &str) -> u64 {
        let Some(text) = text else { return default };
        let range = parse_bytes(least).unwrap_or_default()..=parse_bytes(most).unwrap_or(u64::MAX);
        match parse_bytes(text) {
            Some(bytes) if range.contains(&bytes) => return bytes,
            Some(_) => self.problem(path, format!("{text} is out of range"), format!("write {least} to {most}")),
            None => self.problem(
                path,
                format!("`{text}` is not a size"),
                format!("write a number with its unit, such as {}", HumanBytes(default)),
            ),
        }
        default
    }

    fn number<N>(&mut self, path: &str, text: &Text, default: N, range: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        self.optional(path, text, range).unwrap_or(default)
    }

    fn optional<N>(&mut self, path: &str, text: &Text, range: RangeInclusive<N>) -> Option<N>
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let text = text.as_deref()?;
        let remedy = format!("write {} to {}", range.start(), range.end());
        match text.parse::<N>() {
            Ok(number) if range.contains(&number) => return Some(number),
            Ok(_) => self.problem(path, format!("{text} is out of range"), remedy),
            Err(_) => self.problem(path, format!("`{text}` is not such a number"), remedy),
        }
        None
    }

    fn share(&mut self, path: &str, text: &Text, default: f64) -> f64 {
        let Some(text) = text else { return default };
        match parse_share(text) {
            Some(share) if (0.0..=1.0).contains(&share) => share,
            _ => {
                self.problem(path, format!("`{text}` is not a share"), "write 0% to 100%, or 0 to 1");
                default
            }
        }
    }

    fn address(&mut self, path: &str, text: &Text, default: SocketAddr) -> SocketAddr {
        let Some(text) = text else { return default };
        let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        named.as_deref().unwrap_or(text).parse().unwrap_or_else(|_| {
            self.problem(path, format!("`{text}` is not an address"), format!("write IP:PORT, such as {default}"));
            default
        })
    }

    fn loopback(&mut self, path: &str, address: SocketAddr, remedy: &str) {
        if !address.ip().is_loopback() {
            self.problem(path, format!("{address} is reached from beyond this machine without authentication"), remedy);
        }
    }

    fn token(&mut self, section: &str, token: &Text, file: &Text) -> Option<Token> {
        let (path, text) = match (token, file) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                self.problem(&format!("{section}.token"), "is given twice", "keep token or token_file");
                return None;
            }
            (Some(token), None) => (format!("{section}.token"), token.clone()),
            (None, Some(file)) => {
                let path = format!("{section}.token_file");
                match std::fs::read_to_string(self.directory.join(file)) {
                    Ok(text) => (path, text.trim().to_owned()),
                    Err(error) => {
                        let remedy = "name a file that exists and is readable";
                        self.problem(&path, format!("cannot read {file}: {error}"), remedy);
                        return None;
                    }
                }
            }
        };
        if text.len() < Token::CHARACTERS_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let remedy = "make one with `openssl rand -base64 24`";
            let cause =
                format!("a token has at least {} characters, printable and without spaces", Token::CHARACTERS_MIN);
            self.problem(&path, cause, remedy);
            return None;
        }
        Some(Token::new(&text))
    }

    fn file(&mut self, path: &str, file: Option<&String>, what: &str) -> Option<PathBuf> {
        let Some(file) = file else {
            self.problem(path, "is missing", format!("name the file that holds {what}"));
            return None;
        };
        let found = self.directory.join(file);
        if found.is_file() {
            return Some(found);
        }
        self.problem(path, format!("{} is not a file", found.display()), format!("name the file that holds {what}"));
        None
    }
}
