//! The objective of each entry operation: promised by a workload's owner, else configured, else the default.

use std::collections::BTreeMap;

use crate::analyse::objective::Objective;
use crate::analyse::statistics::eviction::NAMES_MAX;
use crate::model::{ClusterState, Promise, Text, Work, Workload};

#[derive(Clone, Debug, Default)]
pub struct Objectives {
    /// What owners promise; the first that matches counts.
    promised: Vec<Objective>,
    configured: Vec<Objective>,
    default: Option<Objective>,
    /// Entry operations that are no requests.
    works: BTreeMap<Text, Work>,
    /// What was matched before.
    known: BTreeMap<Text, Option<Objective>>,
}

impl Objectives {
    pub fn new(configured: Vec<Objective>, default: Option<Objective>) -> Objectives {
        Objectives { configured, default, ..Objectives::default() }
    }

    /// Takes the objectives that the cluster states. Returns whether they changed.
    pub fn promise(&mut self, cluster: &ClusterState) -> bool {
        let of = |workload: &Workload| {
            let service = workload.service.clone();
            let objective = move |promise: &Promise| Objective {
                entry: promise.entry.clone().unwrap_or_else(|| format!("{service} *")),
                latency_ns: promise.latency_ns,
                quantile: promise.quantile,
                errors: promise.errors,
            };
            workload.terms.objectives.iter().map(objective).collect::<Vec<_>>()
        };
        let promised: Vec<Objective> = cluster.workloads.iter().flat_map(of).collect();
        let changed = promised != self.promised;
        if changed {
            self.promised = promised;
            self.known.clear();
        }
        changed
    }

    /// Matches entry operations that were seen, so that each is matched once.
    pub fn learn<'a>(&mut self, entries: impl Iterator<Item = &'a str>) {
        let mut last = None;
        for entry in entries {
            // Rows of one entry operation follow one another.
            if last.replace(entry) != Some(entry) && !self.known.contains_key(entry) {
                if self.known.len() >= NAMES_MAX {
                    self.known.clear();
                }
                let found = self.of_work(entry, self.work(entry)).cloned();
                self.known.insert(entry.into(), found);
            }
        }
    }

    /// Takes in which entry operations are no requests.
    pub fn learn_works<'a>(&mut self, works: impl Iterator<Item = (&'a Text, Work)>) {
        for (entry, work) in works {
            if self.works.get(entry) != Some(&work) {
                if self.works.len() >= NAMES_MAX {
                    self.works.clear();
                }
                self.works.insert(entry.clone(), work);
                self.known.remove(entry);
            }
        }
    }

    /// What kind of work an entry operation is.
    pub fn work(&self, entry: &str) -> Work {
        self.works.get(entry).copied().unwrap_or_default()
    }

    /// None for an entry operation that was promised nothing.
    pub fn of(&self, entry: &str) -> Option<&Objective> {
        self.known.get(entry).map_or_else(|| self.of_work(entry, self.work(entry)), Option::as_ref)
    }

    /// The same of an entry operation that is known to be of this kind. Nobody waits for messages and jobs: they have the
    /// objectives that name them, and none that is for everything.
    pub fn of_work(&self, entry: &str, work: Work) -> Option<&Objective> {
        if work.is_request() {
            return self.find(entry);
        }
        let mut stated = self.promised.iter().chain(&self.configured).filter(|objective| objective.entry != "*");
        stated.find(|objective| objective.matches(entry))
    }

    fn find(&self, entry: &str) -> Option<&Objective> {
        let stated = self.promised.iter().chain(&self.configured).find(|objective| objective.matches(entry));
        stated.or(self.default.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Terms;

    #[test]
    fn a_promise_goes_before_the_configuration_and_this_before_the_default() {
        let objective = |entry: &str, ms: i64| Objective {
            entry: entry.into(),
            latency_ns: ms * 1_000_000,
            quantile: 0.99,
            errors: 0.01,
        };
        let mut objectives = Objectives::new(vec![objective("shop *", 200)], Some(objective("*", 500)));
        let latency_ms = |objectives: &Objectives, entry: &str| objectives.of(entry).map(|o| o.latency_ns / 1_000_000);
        for matched_before in [false, true] {
            assert_eq!(latency_ms(&objectives, "shop GET /"), Some(200), "{matched_before}");
            assert_eq!(latency_ms(&objectives, "exam GET /"), Some(500), "{matched_before}");
            objectives.learn(["shop GET /", "exam GET /"].into_iter());
        }
        let promise = Promise { entry: None, latency_ns: 100_000_000, quantile: 0.99, errors: 0.01 };
        let terms = Terms { objectives: vec![promise], ..Terms::default() };
        let workload = Workload { service: "shop".into(), terms, ..Workload::default() };
        let cluster = ClusterState { workloads: vec![workload], ..ClusterState::default() };
        assert!(objectives.promise(&cluster) && !objectives.promise(&cluster));
        assert_eq!(latency_ms(&objectives, "shop GET /"), Some(100));
    }

    #[test]
    fn a_message_has_the_objective_that_names_it_and_no_other() {
        let objective = |entry: &str| Objective { entry: entry.into(), latency_ns: 1, quantile: 0.99, errors: 0.01 };
        let configured = vec![objective("mailer *"), objective("*")];
        let mut objectives = Objectives::new(configured, Some(objective("*")));
        let is_held = |objectives: &Objectives, entry: &str| objectives.of(entry).is_some();
        objectives.learn(["cart process orders", "mailer process orders"].into_iter());
        assert!(is_held(&objectives, "cart process orders"));
        let works = ["cart process orders", "mailer process orders"].map(Text::from);
        objectives.learn_works(works.iter().map(|entry| (entry, Work::Message)));
        assert!(!is_held(&objectives, "cart process orders") && is_held(&objectives, "mailer process orders"));
    }
}
