//! Whom gateways ask before they let a request in, and what an operator says of their traffic.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::written::{settings, with};
use super::{Objective, Pattern, Selector, Tls, Token};
use crate::model::pattern::matches_written_entry;
use crate::model::setting::{Kind, Setting};
use crate::settings;

/// The highest priority; the lowest is 0.
pub const PRIORITY_MAX: u8 = 9;

/// The priority of an endpoint that nobody says anything of, and of one that has an objective of its own: who wrote one down
/// cares.
const PRIORITY: u8 = 4;
const PRIORITY_WITH_OBJECTIVE: u8 = 5;

/// Part of the replicas of headroom that answer gateways; far more than anybody runs.
const REPLICAS_MAX: u64 = 100;

/// The section `gateway`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// None: no gateway asks.
    pub listen: Option<SocketAddr>,
    pub token: Option<Token>,
    pub tls: Option<Tls>,
    /// Of the rate limit service: who asks for another domain is let in.
    pub domain: String,
    /// In the order written; the first that matches holds.
    pub priorities: Vec<Priority>,
    /// Headers that the authorization service looks at. A client can write a header, so the gateway must set or strip them.
    pub client_header: Option<String>,
    pub priority_header: Option<String>,
    pub retry_header: Option<String>,
    /// Replicas of headroom that answer gateways, each with its part of every limit.
    pub replicas: u32,
}

/// Who goes last.
#[derive(Clone, Debug, PartialEq)]
pub struct Priority {
    pub entry: Pattern,
    pub priority: u8,
}

impl Gateway {
    pub const SETTINGS: &'static [Setting<Gateway>] = settings![Gateway;
        listen: Kind::Address, "where Envoy asks, gRPC; without it no gateway does";
        replicas: Kind::count(1, REPLICAS_MAX), "replicas of headroom that gateways ask, each with its part of every limit";
    ];

    /// Which of an endpoint's requests go last, of 0 to 9.
    pub fn priority(&self, entry: &str, objectives: &[Objective]) -> u8 {
        let has_own = |objective: &&Objective| match &objective.selector {
            Selector::Entry(pattern) => matches_written_entry(pattern.as_str(), entry),
            Selector::Service(_) => false,
        };
        let written = self.priorities.iter().find(|of| matches_written_entry(of.entry.as_str(), entry));
        match (written, objectives.iter().find(has_own)) {
            (Some(written), _) => written.priority,
            (None, Some(_)) => PRIORITY_WITH_OBJECTIVE,
            (None, None) => PRIORITY,
        }
    }

    /// As it is printed.
    pub(super) fn written(&self) -> Value {
        let one = |of: &Priority| json!({"entry": of.entry.as_str(), "priority": of.priority});
        let priorities: Vec<Value> = self.priorities.iter().map(one).collect();
        let more = [
            ("tls", self.tls.as_ref().map_or(Value::Null, super::written::tls)),
            ("domain", json!(self.domain)),
            ("priorities", if priorities.is_empty() { Value::Null } else { priorities.into() }),
            ("client_header", json!(self.client_header)),
            ("priority_header", json!(self.priority_header)),
            ("retry_header", json!(self.retry_header)),
        ];
        with(settings(Gateway::SETTINGS, self), more)
    }
}

impl Default for Gateway {
    fn default() -> Gateway {
        Gateway {
            listen: None,
            token: None,
            tls: None,
            domain: "headroom".into(),
            priorities: Vec::new(),
            client_header: None,
            priority_header: None,
            retry_header: None,
            replicas: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bounds;

    #[test]
    fn what_is_written_goes_before_an_objective_and_that_before_nothing() {
        let of = |entry: &str, priority| Priority { entry: Pattern::new(entry), priority };
        let gateway = Gateway { priorities: vec![of("web POST /submit*", 8), of("web *", 2)], ..Gateway::default() };
        let objective = |selector| Objective { selector, bounds: Bounds::default() };
        let objectives =
            [objective(Selector::Entry(Pattern::new("shop GET /"))), objective(Selector::Service("jobs".into()))];
        let priority = |entry: &str| gateway.priority(entry, &objectives);
        assert_eq!([priority("web POST /submit/7"), priority("web GET /video")], [8, 2]);
        assert_eq!([priority("shop GET /"), priority("shop GET /x"), priority("jobs nightly")], [5, 4, 4]);
    }
}
