//! What gateways ask: whether one request may come in. Envoy's two protocols for it are answered from the same decision:
//! `envoy.service.ratelimit.v3.RateLimitService` and `envoy.service.auth.v3.Authorization` (feature `gateway`).
//!
//! An answer waits for nobody: it is made from the limits of the last tick, in memory. A gateway that gets none lets its
//! request in, as the shipped configurations say; so does this one for whatever it does not understand.

pub mod asked;
#[cfg(feature = "gateway")]
mod authorization;
mod entries;
#[cfg(feature = "gateway")]
mod ratelimit;
#[cfg(feature = "gateway")]
mod server;

use std::sync::{Mutex, MutexGuard, PoisonError};

use asked::{Asked, Counts, Unknown};
use entries::Entries;
#[cfg(feature = "gateway")]
pub use server::{Error, Server};

use crate::clock::Clock;
use crate::config::{self, Objective, PRIORITY_MAX};
use crate::shape::{Admission, Answer, EntryTraffic, Level, Limits, Request};

/// The decision as several tasks share it.
pub struct Gateway {
    config: config::Gateway,
    objectives: Vec<Objective>,
    clock: Clock,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    admission: Admission,
    entries: Entries,
    counts: Counts,
}

impl Gateway {
    pub fn new(config: config::Gateway, objectives: Vec<Objective>, clock: Clock) -> Gateway {
        Gateway { config, objectives, clock, inner: Mutex::default() }
    }

    /// A panic in a decision leaves counts that are still true.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn domain(&self) -> &str {
        &self.config.domain
    }

    /// What is to be kept from now on, and the entry operations that traces know.
    pub fn set<'a>(&self, limits: &Limits, entries: impl Iterator<Item = &'a str>) {
        let now = self.clock.now();
        let part = limits.share(1.0 / f64::from(self.config.replicas.max(1)));
        let mut inner = self.inner();
        inner.admission.set(now, &part);
        inner.entries.learn(entries, |entry| self.config.priority(entry, &self.objectives));
    }

    /// What came since the last call; of several replicas, each sees its part, and tells of the whole.
    pub fn take_traffic(&self) -> Vec<EntryTraffic> {
        let replicas = u64::from(self.config.replicas.max(1));
        let mut traffic = self.inner().admission.take_traffic();
        for one in &mut traffic {
            (one.offered, one.admitted) = (one.offered * replicas, one.admitted * replicas);
        }
        traffic
    }

    pub fn counts(&self) -> Counts {
        self.inner().counts.clone()
    }

    /// Answers for one request.
    pub fn ask(&self, asked: &Asked<'_>) -> Answer {
        let now = self.clock.now();
        let mut inner = self.inner();
        let Inner { admission, entries, counts } = &mut *inner;
        let Some((entry, own)) = entries.of(asked) else {
            counts.unknown(Unknown::Entry);
            return Answer::Admitted;
        };
        let said = asked.priority.parse().ok().filter(|priority| *priority <= PRIORITY_MAX);
        let is_retry = asked.retries.parse::<u32>().is_ok_and(|retries| retries > 0);
        let level = Level::new(said.unwrap_or(own), is_retry);
        let answer = admission.decide(now, &Request { entry, level, client: asked.client });
        counts.answered(&answer);
        answer
    }

    pub fn unknown(&self, what: Unknown) {
        self.inner().counts.unknown(what);
    }

    pub fn headers(&self) -> Headers<'_> {
        Headers {
            client: self.config.client_header.as_deref(),
            priority: self.config.priority_header.as_deref(),
            retry: self.config.retry_header.as_deref(),
        }
    }
}

/// Headers that tell of a request; None: none does.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    pub client: Option<&'a str>,
    pub priority: Option<&'a str>,
    pub retry: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::by_hand;
    use crate::model::Time;
    use crate::shape::{Cost, ServiceLimit};

    const SUBMIT: &str = "shop POST /submit";
    const VIDEO: &str = "shop GET /video/{id}";

    fn limits(valid_until: Time) -> Limits {
        let cost = Cost { calls: 1.0, work_s: 0.1 };
        let limit = ServiceLimit {
            service: "exam".into(),
            work_per_s: 1.0,
            levels: vec![Level::new(2, false), Level::new(8, false)],
            costs: [(SUBMIT.to_owned(), cost), (VIDEO.to_owned(), cost)].into(),
        };
        Limits { valid_until, services: vec![limit], routes: Vec::new() }
    }

    fn gateway() -> (Gateway, by_hand::Hand) {
        let of = |entry: &str, priority| config::Priority { entry: config::Pattern::new(entry), priority };
        let priorities = vec![of(SUBMIT, 8), of("* GET /video/*", 2)];
        let (clock, hand) = by_hand::clock(Time(1_000_000_000));
        let config = config::Gateway { priorities, ..config::Gateway::default() };
        (Gateway::new(config, Vec::new(), clock), hand)
    }

    #[tokio::test]
    async fn what_a_service_cannot_serve_is_shed_from_below_until_nobody_renews_the_limit() {
        let (gateway, hand) = gateway();
        let until = Time(1_000_000_000) + Duration::from_secs(10);
        gateway.set(&limits(until), [SUBMIT, VIDEO].into_iter());
        let video = Asked { method: "GET", path: "/video/7", ..Asked::default() };
        let submit = Asked { entry: SUBMIT, ..Asked::default() };
        let mut admitted = [0, 0];
        // 20 a second of each, for 5 s: ten of both have room.
        for _ in 0..100 {
            hand.advance(Duration::from_millis(50));
            admitted[0] += u32::from(gateway.ask(&video).is_admitted());
            admitted[1] += u32::from(gateway.ask(&submit).is_admitted());
        }
        assert!(admitted[0] <= 4 && (40..=60).contains(&admitted[1]), "videos and submits: {admitted:?}");
        let traffic = gateway.take_traffic();
        assert!(traffic.iter().all(|one| one.offered == 100), "{traffic:?}");
        hand.advance(Duration::from_secs(6));
        assert!((0..50).all(|_| gateway.ask(&video).is_admitted()), "the limit is void");
    }

    #[tokio::test]
    async fn what_is_not_known_is_let_in_and_counted() {
        let (gateway, _) = gateway();
        let strange = Asked { entry: "shop GET /never-seen", ..Asked::default() };
        assert!(gateway.ask(&strange).is_admitted());
        assert_eq!(gateway.counts().of_unknown(Unknown::Entry), 1);
        assert_eq!(gateway.counts().admitted, 0);
    }
}
