//! What kind of work a span is: most is a request that somebody waits for, and some is not.

use serde::{Deserialize, Serialize};

/// See the module; the discriminants are the dictionary keys of the column `work`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Work {
    /// Somebody waits for its answer.
    #[default]
    Request = 0,
    /// Taken from a queue, after whoever sent it has gone on.
    Message = 1,
    /// Started by a clock or by hand: batches, cron jobs.
    Job = 2,
    /// Open for as long as both sides like: websockets, server-sent events, streaming calls, long polls.
    Stream = 3,
    /// Asked by a machine whether one lives: health checks, scrapes.
    Probe = 4,
}

impl Work {
    pub const NAMES: [&str; 5] = ["request", "message", "job", "stream", "probe"];

    pub const ALL: [Work; 5] = [Work::Request, Work::Message, Work::Job, Work::Stream, Work::Probe];

    pub const fn as_str(self) -> &'static str {
        Work::NAMES[self as usize]
    }

    /// None for a name that is none of [`NAMES`](Work::NAMES).
    pub fn named(name: &str) -> Option<Work> {
        Work::ALL.into_iter().find(|work| work.as_str() == name)
    }

    pub const fn is_request(&self) -> bool {
        matches!(self, Work::Request)
    }

    /// Whether how long it takes says how a service does.
    pub const fn is_timed(self) -> bool {
        matches!(self, Work::Request | Work::Message | Work::Job)
    }

    /// By the path in an operation's name, such as `GET /healthz`; a path that only begins so is another.
    pub fn of_operation(operation: &str) -> Option<Work> {
        let operation = operation.as_bytes();
        let from = operation.iter().rposition(|byte| *byte == b' ').map_or(0, |at| at + 1);
        let is_probe = PROBE_OPERATIONS.iter().any(|probe| probe.as_bytes() == operation);
        Work::of_path(&operation[from..]).or(is_probe.then_some(Work::Probe))
    }

    /// By the path asked for, without its parameters.
    pub fn of_path(path: &[u8]) -> Option<Work> {
        let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
        let path = &path[..end];
        let is_probe = PROBE_PATHS.iter().any(|probe| path.eq_ignore_ascii_case(probe.as_bytes()))
            || path.starts_with(ACTUATOR.as_bytes());
        is_probe.then_some(Work::Probe)
    }

    /// By who asks: probes of Kubernetes, load balancers and monitors name themselves.
    pub fn of_user_agent(agent: &[u8]) -> Option<Work> {
        let first = agent.first();
        // The first letter alone tells most agents to be none of these.
        let mut agents = PROBE_AGENTS.iter().map(|probe| probe.as_bytes()).filter(|probe| probe.first() == first);
        agents.any(|probe| agent.starts_with(probe)).then_some(Work::Probe)
    }
}

/// What Kubernetes' documentation, frameworks and load balancers use by default.
const PROBE_PATHS: [&str; 14] = [
    "/healthz",
    "/livez",
    "/readyz",
    "/health",
    "/health/live",
    "/health/ready",
    "/healthcheck",
    "/health-check",
    "/liveness",
    "/readiness",
    "/-/healthy",
    "/-/ready",
    "/ping",
    "/metrics",
];
/// Spring Boot's health groups.
const ACTUATOR: &str = "/actuator/health";
/// gRPC's health checking protocol.
const PROBE_OPERATIONS: [&str; 2] = ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"];

/// Beginnings of what probes call themselves.
const PROBE_AGENTS: [&str; 9] = [
    "kube-probe/",
    "ELB-HealthChecker/",
    "Amazon-Route53-Health-Check",
    "GoogleHC/",
    "GoogleStackdriverMonitoring",
    "Consul Health Check",
    "Envoy/HC",
    "Prometheus/",
    "Blackbox Exporter/",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_known_by_path_protocol_and_agent() {
        for operation in
            ["GET /healthz", "GET /actuator/health/liveness", "/ready/../livez", "grpc.health.v1.Health/Check"]
        {
            let expected = (!operation.contains("..")).then_some(Work::Probe);
            assert_eq!(Work::of_operation(operation), expected, "{operation}");
        }
        assert_eq!(Work::of_operation("GET /health-insurance"), None);
        assert_eq!(Work::of_operation("GET /users/ping"), None);
        assert_eq!(Work::of_user_agent(b"kube-probe/1.31"), Some(Work::Probe));
        assert_eq!(Work::of_user_agent(b"Mozilla/5.0"), None);
    }

    #[test]
    fn a_name_is_read_back() {
        assert!(Work::ALL.iter().all(|work| Work::named(work.as_str()) == Some(*work)));
        assert_eq!(Work::named("batch"), None);
    }
}
