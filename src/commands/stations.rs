//! From the checked configuration to each station's own: the one place that knows both.

use std::fs::File;

use crate::act::embedded::Embedded;
use crate::act::fixed::Fixed;
use crate::clock::Clock;
use crate::commands::error::Error;
use crate::config::{self, Config};
use crate::disk;
use crate::journal::{self, Writer};
use crate::model::{ServiceId, Time};
use crate::receive::queue;
use crate::{analyse, engine, guard, net, receive, window};

pub fn settings(config: &Config) -> engine::Settings {
    let objective = |entry: String, bounds: &config::Bounds| analyse::Objective {
        entry,
        latency_ns: i64::try_from(bounds.latency.as_nanos()).unwrap_or(i64::MAX),
        quantile: bounds.quantile,
        errors: bounds.errors,
    };
    let of = |o: &config::Objective| match &o.selector {
        config::Selector::Entry(pattern) => objective(pattern.to_string(), &o.bounds),
        config::Selector::Service(name) => objective(format!("{name} *"), &o.bounds),
    };
    let configured = |(name, of): (&String, &config::Service)| {
        let (min_replicas, max_replicas) = (of.min_replicas, of.max_replicas);
        (name.clone(), guard::Configured { min_replicas, max_replicas })
    };
    engine::Settings {
        mode: config.mode,
        analysis: config.analysis,
        window: window::Config { spans_per_second: config.limits.spans_per_second, ..config.window.clone() },
        analyse: analyse::Config {
            objectives: config.objectives.iter().map(of).collect(),
            default_objective: Some(objective("*".into(), &config.default_objective)),
            keep: config.window.duration,
            ..config.analyse.station.clone()
        },
        decide: config.rules.limits.clone(),
        verify: config.verify.clone(),
        guard: guard::Config { services: config.services.iter().map(configured).collect(), ..config.guard.clone() },
        assume_weight: receive(config).assume_weight,
    }
}

pub fn receive(config: &Config) -> receive::Config {
    let received = config.receive.clone();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    receive::Config {
        grpc: Some(received.grpc),
        http: Some(received.http),
        tls: received.tls.as_ref().map(tls),
        token: received.token.map(|token| receive::Token::new(token.reveal())),
        body_bytes_max: bytes(received.body_bytes_max),
        decompressed_bytes_max: bytes(received.decompressed_bytes_max),
        requests_bytes_max: bytes(received.requests_bytes_max),
        connections_max: received.connections_max,
        request_timeout: received.request_timeout,
        hand_over_timeout: received.hand_over_timeout,
        retry_after: received.retry_after,
        future_max: received.future_max,
        // The embedded cluster's spans say so when they were sampled; without a word each stands for itself.
        assume_weight: received.assume_weight.or(embedded_url(config).map(|_| 1.0)),
        ..receive::Config::default()
    }
}

/// The files by which a socket speaks TLS.
pub fn tls(tls: &config::Tls) -> net::Tls {
    net::Tls { cert: tls.cert.clone(), key: tls.key.clone(), client_ca: tls.client_ca.clone() }
}

pub fn queue_limits(config: &Config) -> queue::Limits {
    queue::Limits {
        spans_max: config.receive.queue_spans_max,
        bytes_max: usize::try_from(config.receive.queue_bytes_max).unwrap_or(usize::MAX),
    }
}

fn embedded_url(config: &Config) -> Option<&str> {
    match &config.cluster {
        Some(config::Cluster::Embedded { url }) => Some(url),
        Some(config::Cluster::Kubernetes(_) | config::Cluster::Fixed(_)) | None => None,
    }
}

/// None where another cluster or none is configured.
pub fn embedded(config: &Config) -> Result<Option<Embedded>, Error> {
    Ok(embedded_url(config).map(Embedded::new).transpose()?)
}

/// Services that nothing scales, where they are configured.
pub fn fixed(config: &Config, clock: Clock) -> Option<Fixed> {
    let Some(config::Cluster::Fixed(services)) = &config.cluster else { return None };
    let one = |of: &config::FixedService| (ServiceId::from(of.service.as_str()), of.instances.clone());
    Some(Fixed::new(&services.iter().map(one).collect::<Vec<_>>(), clock))
}

/// The embedded cluster's own, so that both live in the same time; else the system's.
pub async fn clock(config: &Config) -> Result<Clock, Error> {
    let Some(embedded) = embedded(config)? else { return Ok(Clock::system()) };
    let reading = embedded.clock().await?;
    Ok(Clock::scaled(Time(reading.origin_wall_ns), Time(reading.origin_virtual_ns), reading.speed))
}

/// The journal's file. At its bound it becomes `FILE.1`, in place of the one before.
pub fn journal(config: &config::Journal) -> Result<Journal, Error> {
    let failed = |source| Error::Write { path: config.path.clone(), source };
    let file = disk::append_private(&config.path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let path = config.path.clone();
    let rotate = move || {
        let mut older = path.clone().into_os_string();
        older.push(".1");
        std::fs::rename(&path, older)?;
        disk::append_private(&path)
    };
    Ok(Writer::bounded(file, bytes, Box::new(rotate), config.bytes_max, journal::writer::RING_BYTES_MAX))
}

pub type Journal = Writer<File>;
