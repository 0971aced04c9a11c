//! Text to checked values. Goes through the whole file and collects every problem on the way.

mod access;
mod cluster;
mod gateway;
mod history;
mod notify;
mod schedule;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::expand::expand;
use super::keys::{Key, ROOT, Shape};
use super::node::{Misread, Node};
use super::problem::Problem;
use super::units::{HumanBytes, HumanDuration};
use super::{
    Analyse, Api, Bounds, Cluster, Config, Journal, Kubernetes, Limits, Metrics, Mode, Objective, Pattern, Receive,
    Rules, Selector, Service,
};
use crate::model::nearest;
use crate::model::setting::Setting;
use crate::model::{Declared, Work};
use crate::{decide, guard, verify, window};

/// Check a whole file. `directory` anchors relative paths.
pub fn check(root: &Node, directory: &Path) -> Result<Config, Vec<Problem>> {
    let (root, problems) = expand(root, directory);
    let mut checker = Checker { problems, directory };
    let config = checker.root(&root);
    if checker.problems.is_empty() { Ok(config) } else { Err(checker.problems) }
}

/// What to write for a key.
fn such(key: &Key) -> String {
    let name = key.name;
    let example = |key: &Key| match &key.default {
        Some(default) => format!("{}: {default}", key.name),
        None => format!("{}: {}", key.name, key.example),
    };
    let first = || key.keys().iter().find(|key| matches!(key.shape, Shape::Value(_))).map(example).unwrap_or_default();
    match key.shape {
        Shape::Value(_) => format!("write one value, such as `{}`", example(key)),
        Shape::Section(_) => format!("write its keys, such as `{name}: {{{}}}`", first()),
        Shape::List(_) => format!("write a list, such as `{name}: [{{{}}}]`", first()),
        Shape::Named(_) => format!("write sections by their names, such as `{name}: {{auth: {{{}}}}}`", first()),
    }
}

/// Texts with commas between them.
fn listed(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

struct Checker<'a> {
    problems: Vec<Problem>,
    directory: &'a Path,
}

/// A section with its place in the file.
struct At<'a> {
    path: String,
    node: &'a Node,
}

impl At<'_> {
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether this section asks those who connect who they are. A token or a certificate that was asked for and is wrong
    /// has a problem of its own already.
    fn authenticates(&self) -> bool {
        ["token", "token_file"].iter().any(|key| self.node.text(key).is_some())
            || self.node.section("tls").is_some_and(|tls| tls.text("client_ca").is_some())
    }
}

impl Checker<'_> {
    fn problem(&mut self, path: &str, cause: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), cause: cause.into(), remedy: remedy.into() });
    }

    /// What could not be read of one section.
    fn misread(&mut self, at: &At<'_>, keys: &[Key]) {
        let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
        for (name, misread) in &at.node.misread {
            // Without a name it is the section itself: one of a list, or one by its name.
            let path = if name.is_empty() { at.path.clone() } else { at.key(name) };
            match misread {
                Misread::Unknown => {
                    let remedy = match nearest(name, &known) {
                        Some(known) => format!("did you mean `{known}`?"),
                        None => format!("the keys here are {}", known.join(", ")),
                    };
                    self.problem(&path, "unknown key", remedy);
                }
                Misread::Twice => self.problem(&path, "is written twice", "keep one of them"),
                Misread::Kind(found) => {
                    let remedy = match keys.iter().find(|key| key.name == name) {
                        Some(key) => such(key),
                        None => format!("write its keys: {}", known.join(", ")),
                    };
                    self.problem(&path, format!("is {found}"), remedy);
                }
            }
        }
    }

    /// Everything that could not be read, section by section.
    fn all_misread(&mut self, at: &At<'_>, keys: &[Key]) {
        self.misread(at, keys);
        for key in keys {
            let path = at.key(key.name);
            if let Some(node) = at.node.section(key.name) {
                self.all_misread(&At { path: path.clone(), node }, key.keys());
            }
            for (index, node) in at.node.list(key.name).iter().enumerate() {
                self.all_misread(&At { path: format!("{path}[{index}]"), node }, key.keys());
            }
            for (name, node) in at.node.named(key.name) {
                self.all_misread(&At { path: format!("{path}.{name}"), node }, key.keys());
            }
        }
    }

    /// What a section says of a station's settings; the rest stays as it is.
    fn settings<C>(&mut self, at: &At<'_>, settings: &[Setting<C>], mut config: C) -> C {
        for setting in settings {
            let Some(text) = at.node.text(setting.key) else { continue };
            let default = (setting.value)(&config);
            if let Some(value) = self.value(&at.key(setting.key), setting.kind, text, default) {
                (setting.set)(&mut config, value);
            }
        }
        config
    }

    fn root(&mut self, root: &Node) -> Config {
        let whole = At { path: String::new(), node: root };
        self.all_misread(&whole, &ROOT);
        let nothing = Node::default();
        let at = |key: &str| At { path: key.to_owned(), node: root.section(key).unwrap_or(&nothing) };
        let default = Config::default();
        let default_objective = self.settings(&at("default_objective"), Bounds::SETTINGS, Bounds::default());
        let config = Config {
            mode: self.mode(root),
            analysis: self.analysis(root),
            tick: self.settings(&whole, Config::SETTINGS, Config::default()).tick,
            objectives: self.objectives(root, &default_objective),
            default_objective,
            services: (root.named("services").iter())
                .map(|(name, node)| (name.clone(), self.service(&At { path: format!("services.{name}"), node })))
                .collect(),
            receive: self.receive(&at("receive")),
            api: self.api(&at("api")),
            gateway: self.gateway(&at("gateway")),
            notify: self.notify(&at("notify")),
            metrics: self.settings(&at("metrics"), Metrics::SETTINGS, Metrics::default()),
            window: window::Config {
                operations: self.operations(root),
                sidecars: root.text("sidecars").map_or_else(Vec::new, listed),
                ..self.settings(&at("window"), window::Config::SETTINGS, default.window)
            },
            limits: self.settings(&at("limits"), Limits::SETTINGS, Limits::default()),
            analyse: self.analyse(&at("analyse")),
            rules: self.rules(&at("rules")),
            guard: self.settings(&at("guard"), guard::Config::SETTINGS, guard::Config::default()),
            verify: self.settings(&at("verify"), verify::Config::SETTINGS, verify::Config::default()),
            schedule: self.schedule(&at("schedule")),
            history: self.history(&at("history")),
            journal: root.section("journal").and_then(|_| self.journal(&at("journal"))),
            learnt: root.section("learnt").and_then(|node| self.written("learnt.path", node.text("path"))),
            cluster: root.section("cluster").and_then(|_| self.cluster(&at("cluster"))),
        };
        self.together(root, &config);
        config
    }

    /// No two listeners on one port of one address, nor beside one that takes all addresses.
    fn ports(&mut self, config: &Config) {
        let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
        let scaler = match &config.cluster {
            Some(Cluster::Kubernetes(Kubernetes { scaler, .. })) => *scaler,
            Some(Cluster::Embedded { .. } | Cluster::Fixed(_)) | None => None,
        };
        let listeners = [
            ("receive.grpc", Some(config.receive.grpc)),
            ("receive.http", Some(config.receive.http)),
            ("api.listen", Some(config.api.listen)),
            ("gateway.listen", config.gateway.listen),
            ("cluster.kubernetes.scaler", scaler),
        ];
        for (path, address) in listeners.into_iter().filter_map(|(path, address)| Some((path, address?))) {
            let meets = |other: &SocketAddr| {
                let (a, b) = (address.ip(), other.ip());
                address.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
            };
            let other = taken.iter().find(|(_, other)| address.port() != 0 && meets(other));
            if let Some((other, _)) = other {
                let cause = format!("{address} is taken by {other} already");
                self.problem(path, cause, "give each a port of its own");
            }
            taken.push((path, address));
        }
    }

    /// Values that are right, each by itself, and not together.
    fn together(&mut self, root: &Node, config: &Config) {
        if config.mode == Mode::Enforce && root.section("cluster").is_none() {
            self.problem("mode", "enforce needs a cluster to act on", "add a `cluster` section or set mode: observe");
        }
        if config.mode == Mode::Enforce && !config.analysis {
            self.problem("analysis", "no bottleneck is found without it, so nothing can be enforced", "set it to on");
        }
        self.ports(config);
        let mut window_holds = |least: Duration, what: String| {
            if config.window.duration < least {
                let cause = format!("{} {what}", HumanDuration(config.window.duration));
                self.problem("window.duration", cause, format!("set it to {} or more", HumanDuration(least)));
            }
        };
        window_holds(config.tick * 10, format!("holds fewer than ten ticks of {}", HumanDuration(config.tick)));
        let fast = config.analyse.station.fast;
        window_holds(fast * 2, format!("does not hold twice analyse.fast, {}", HumanDuration(fast)));
        if config.verify.proof_share > config.verify.no_effect_share {
            let cause = "is more than verify.no_effect_share, so that one waiting would both prove and disprove";
            self.problem("verify.proof_share", cause, "set it to no_effect_share or less");
        }
    }

    fn mode(&mut self, root: &Node) -> Mode {
        match self.choice("mode", root.text("mode"), &["observe", "enforce"]) {
            Some("enforce") => Mode::Enforce,
            _ => Mode::Observe,
        }
    }

    fn analysis(&mut self, root: &Node) -> bool {
        self.choice("analysis", root.text("analysis"), &["on", "off", "true", "false"])
            .is_none_or(|written| matches!(written, "on" | "true"))
    }

    /// One of some words, in whatever case; None where none is written, or another.
    fn choice(&mut self, path: &str, written: Option<&str>, choices: &[&'static str]) -> Option<&'static str> {
        let text = written?;
        let chosen = choices.iter().copied().find(|choice| choice.eq_ignore_ascii_case(text));
        if chosen.is_none() {
            let remedy = match nearest(text, choices) {
                Some(choice) => format!("did you mean `{choice}`?"),
                None => format!("write {}", choices.join(" or ")),
            };
            self.problem(path, format!("`{text}` is none of {}", choices.join(", ")), remedy);
        }
        chosen
    }

    fn objectives(&mut self, root: &Node, default: &Bounds) -> Vec<Objective> {
        let mut objectives = Vec::new();
        for (index, node) in root.list("objectives").iter().enumerate() {
            let at = At { path: format!("objectives[{index}]"), node };
            let bounds = self.settings(&at, Bounds::SETTINGS, default.clone());
            let selector = match (node.text("entry"), node.text("service")) {
                (Some(entry), None) if entry.contains([' ', '*']) => Selector::Entry(Pattern::new(entry)),
                (Some(entry), None) => {
                    let remedy = format!("write \"{entry} GET /path\", or `service: {entry}` for all of its entries");
                    self.problem(&at.key("entry"), format!("`{entry}` names no operation"), remedy);
                    continue;
                }
                (None, Some(service)) => Selector::Service(service.to_owned()),
                (Some(_), Some(_)) => {
                    self.problem(&at.path, "has both entry and service", "keep one of them");
                    continue;
                }
                (None, None) => {
                    let remedy = "add entry: \"service operation\" or service: name";
                    self.problem(&at.path, "needs `entry` or `service`", remedy);
                    continue;
                }
            };
            objectives.push(Objective { selector, bounds });
        }
        objectives
    }

    fn operations(&mut self, root: &Node) -> Vec<Declared> {
        let mut operations = Vec::new();
        for (index, node) in root.list("operations").iter().enumerate() {
            let at = At { path: format!("operations[{index}]"), node };
            let Some(entry) = node.text("entry") else {
                self.problem(&at.path, "needs `entry`", "add entry: \"service operation\"");
                continue;
            };
            let name = node.text("name").filter(|name| !name.is_empty()).map(str::to_owned);
            let written = node.text("work");
            let work = self.choice(&at.key("work"), written, &Work::NAMES).and_then(Work::named);
            if name.is_none() && written.is_none() {
                self.problem(&at.path, "says nothing of these operations", "add `name`, `work` or both");
            }
            operations.push(Declared { entry: entry.to_owned(), name, work });
        }
        operations
    }

    fn service(&mut self, at: &At<'_>) -> Service {
        let service = self.settings(at, Service::SETTINGS, Service::default());
        if let (Some(min), Some(max)) = (service.min_replicas, service.max_replicas)
            && min > max
        {
            let remedy = format!("set it to {max} or less, or raise max_replicas");
            self.problem(&at.key("min_replicas"), format!("{min} is more than max_replicas {max}"), remedy);
        }
        service
    }

    fn receive(&mut self, at: &At<'_>) -> Receive {
        let default = Receive { tls: self.tls(at), token: self.token(at), ..Receive::default() };
        let authenticated = at.authenticates();
        let receive = self.settings(at, Receive::SETTINGS, default);
        for (key, address) in [("grpc", receive.grpc), ("http", receive.http)] {
            if !authenticated {
                let remedy = "add receive.token_file or receive.tls.client_ca, or listen on 127.0.0.1";
                self.loopback(&at.key(key), address, remedy);
            }
        }
        let body = HumanBytes(receive.body_bytes_max);
        if receive.decompressed_bytes_max < receive.body_bytes_max {
            let cause = format!("is less than body_max, {body}");
            self.problem(&at.key("decompressed_max"), cause, format!("set it to {body} or more"));
        }
        if receive.requests_bytes_max < receive.decompressed_bytes_max {
            let largest = HumanBytes(receive.decompressed_bytes_max);
            let cause = format!("has no room for a request of decompressed_max, {largest}");
            self.problem(&at.key("requests_memory"), cause, format!("set it to {largest} or more"));
        }
        receive
    }

    fn api(&mut self, at: &At<'_>) -> Api {
        let default = Api {
            token: self.token(at),
            callers: self.callers(at),
            tls: self.tls(at),
            oidc: self.oidc(at),
            token_review: self.token_review(at),
            hosts: self.hosts(at),
            origins: self.origins(at),
            ..Api::default()
        };
        let api = self.settings(at, Api::SETTINGS, default);
        // One that was asked for and is wrong has its own problem already.
        let authenticates = ["token", "token_file", "tokens_file"].iter().any(|key| at.node.text(key).is_some())
            || ["oidc", "token_review"].iter().any(|key| at.node.section(key).is_some());
        if !authenticates {
            let remedy = "add api.token_file, api.tokens_file, api.oidc or api.token_review, or listen on 127.0.0.1";
            self.loopback(&at.key("listen"), api.listen, remedy);
        }
        api
    }

    fn analyse(&mut self, at: &At<'_>) -> Analyse {
        Analyse {
            station: self.settings(at, crate::analyse::Config::SETTINGS, crate::analyse::Config::default()),
            queries: self.existing_directory(at, "queries", "run the shipped queries"),
        }
    }

    /// A directory that exists already; `without` is what leaving the key out means.
    fn existing_directory(&mut self, at: &At<'_>, key: &str, without: &str) -> Option<PathBuf> {
        let directory = self.directory.join(at.node.text(key)?);
        if !directory.is_dir() {
            let cause = format!("{} is not a directory", directory.display());
            self.problem(&at.key(key), cause, format!("create it, or leave the key out to {without}"));
        }
        Some(directory)
    }

    fn rules(&mut self, at: &At<'_>) -> Rules {
        let directory = self.existing_directory(at, "directory", "run the shipped rules");
        Rules { directory, limits: self.settings(at, decide::Limits::SETTINGS, decide::Limits::default()) }
    }

    fn journal(&mut self, at: &At<'_>) -> Option<Journal> {
        let journal = self.settings(at, Journal::SETTINGS, Journal::default());
        self.written(&at.key("path"), at.node.text("path")).map(|path| Journal { path, ..journal })
    }

    /// A file that will be written, in a directory that is there.
    fn written(&mut self, key: &str, file: Option<&str>) -> Option<PathBuf> {
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
