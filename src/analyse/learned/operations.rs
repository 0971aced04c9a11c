//! What requests of each operation do in healthy time: own time, time in callees, calls made. Learnt from rows of
//! healthy seconds, asked when a trace is absorbed.
//!
//! Each request is set beside what healthy time would have made of *its* operation, and both are summed: observed over
//! expected, as epidemiology standardises (W. Farr, 1859). A service or a pod that merely gets another mix of
//! requests then looks no slower, and no product of operations and pods has to be kept.

use std::collections::BTreeMap;

use super::quarantine::Released;
use super::snapshot::{Calls, Learnt, Operation};
use crate::analyse::rollup::{EdgeKey, EdgeSums, OperationKey, OperationSums, Rollups, Sums};
use crate::analyse::statistics::eviction::{NAMES_MAX, forget_rare};
use crate::analyse::thresholds::healthy::{HALVE_AT_REQUESTS, OPERATION_REQUESTS};
use crate::analyse::thresholds::memory::OPERATIONS_MAX;
use crate::model::Text;

/// One operation's healthy requests.
#[derive(Clone, Debug, Default)]
pub struct Healthy {
    sums: OperationSums,
    /// By callee, and whether it sends spans of its own.
    calls: BTreeMap<(Text, bool), EdgeSums>,
}

impl Healthy {
    fn per_request(&self, nanos: i64) -> i64 {
        nanos / self.sums.requests.max(1)
    }

    pub fn own_ns(&self) -> i64 {
        self.per_request(self.sums.own_ns)
    }

    pub fn callees_ns(&self) -> i64 {
        self.per_request(self.sums.callees_ns)
    }

    /// Callee, whether it answers with spans, and thousandths of a call for each request.
    pub fn calls(&self) -> impl Iterator<Item = (&Text, bool, i64)> {
        let requests = self.sums.requests.max(1);
        self.calls.iter().map(move |((callee, answered), sums)| (callee, *answered, sums.calls * 1000 / requests))
    }
}

/// Healthy time by service and operation.
#[derive(Clone, Debug, Default)]
pub struct Operations {
    known: BTreeMap<Text, BTreeMap<Text, Healthy>>,
}

impl Operations {
    /// Learns the rows of a tick whose quarantine is over.
    pub fn learn(&mut self, Released { rollups, tainted }: &Released) {
        for (key, sums) in rollups.iter().flat_map(Rollups::rows::<OperationKey<&str>>) {
            if !tainted.contains(key.service) {
                self.entry(key.service, key.operation).sums.merge(&sums);
            }
        }
        for (key, sums) in rollups.iter().flat_map(Rollups::rows::<EdgeKey<&str>>) {
            if !tainted.contains(key.caller) {
                let calls = &mut self.entry(key.caller, key.operation).calls;
                calls.entry((key.callee.into(), key.answered)).or_default().merge(&sums);
            }
        }
        self.forget(OPERATIONS_MAX);
        let large = |h: &&mut Healthy| h.sums.requests > HALVE_AT_REQUESTS;
        for healthy in self.known.values_mut().flat_map(BTreeMap::values_mut).filter(large) {
            healthy.sums.halve();
            healthy.calls.values_mut().for_each(EdgeSums::halve);
        }
    }

    /// Of a service whose operations, or their callees, carry identifiers, the rare ones go.
    fn forget(&mut self, max: usize) {
        for operations in self.known.values_mut() {
            forget_rare(operations, max, |healthy| healthy.sums.requests);
            for healthy in operations.values_mut() {
                forget_rare(&mut healthy.calls, max, |sums| sums.calls);
            }
        }
        forget_rare(&mut self.known, NAMES_MAX, |operations| operations.values().map(|h| h.sums.requests).sum());
    }

    fn entry(&mut self, service: &str, operation: &str) -> &mut Healthy {
        // Looked up before a text is made: mostly it is known.
        if !self.known.contains_key(service) {
            self.known.insert(service.into(), BTreeMap::new());
        }
        let operations = self.known.get_mut(service).expect("inserted above");
        if !operations.contains_key(operation) {
            operations.insert(operation.into(), Healthy::default());
        }
        operations.get_mut(operation).expect("inserted above")
    }

    /// Into a snapshot.
    pub fn keep(&self, learnt: &mut Learnt) {
        for (service, operations) in &self.known {
            let service = learnt.services.entry(service.to_string()).or_default();
            for (operation, healthy) in operations {
                let calls = |((callee, answered), sums): (&(Text, bool), &EdgeSums)| Calls {
                    callee: callee.to_string(),
                    answered: *answered,
                    sums: *sums,
                };
                let calls = healthy.calls.iter().map(calls).collect();
                service.operations.insert(operation.to_string(), Operation { sums: healthy.sums, calls });
            }
        }
    }

    /// Out of a snapshot, where not enough is known yet.
    pub fn restore(&mut self, learnt: &Learnt) {
        for (service, kept) in &learnt.services {
            for (operation, kept) in &kept.operations {
                let known = self.entry(service, operation);
                if known.sums.requests < OPERATION_REQUESTS {
                    let calls = kept.calls.iter().map(|of| ((of.callee.as_str().into(), of.answered), of.sums));
                    *known = Healthy { sums: kept.sums, calls: calls.collect() };
                }
            }
        }
    }

    /// None until enough healthy requests were seen.
    pub fn get(&self, service: &str, operation: &str) -> Option<&Healthy> {
        self.known.get(service)?.get(operation).filter(|h| h.sums.requests >= OPERATION_REQUESTS)
    }

    /// Who calls whom; a pair comes once for each operation that makes the call.
    pub fn pairs(&self) -> impl Iterator<Item = (&Text, &Text)> {
        let known = self.known.iter().flat_map(|(caller, operations)| operations.values().map(move |h| (caller, h)));
        known.flat_map(|(caller, healthy)| healthy.calls.keys().map(move |(callee, _)| (caller, callee)))
    }

    /// How long a call of the operation takes, as the caller sees it, in nanoseconds.
    pub fn call_ns(&self, service: &str, operation: &str, callee: &Text) -> Option<f64> {
        let calls = &self.get(service, operation)?.calls;
        let both = [true, false].map(|answered| calls.get(&(callee.clone(), answered)).copied().unwrap_or_default());
        let (count, nanos) = (both[0].calls + both[1].calls, both[0].caller_ns + both[1].caller_ns);
        (count > 0).then(|| nanos as f64 / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::analyse::rollup::by_hand::Rows;

    fn learned(requests: i64) -> Operations {
        let mut rows = Rows::default();
        let (service, version, operation): (Text, Text, Text) = ("shop".into(), "".into(), "GET /".into());
        let key = OperationKey {
            second: 1,
            service: service.clone(),
            version: version.clone(),
            operation: operation.clone(),
        };
        let sums = OperationSums { requests, own_ns: 30 * requests, callees_ns: 7 * requests, ..Default::default() };
        Rows::add(&mut rows.operations, key, sums);
        let key = EdgeKey { second: 1, caller: service, version, operation, callee: "db".into(), answered: false };
        let sums = EdgeSums { calls: requests * 5 / 2, caller_ns: requests * 5, ..EdgeSums::default() };
        Rows::add(&mut rows.edges, key, sums);
        let mut operations = Operations::default();
        for tainted in ["other", "shop"] {
            let tainted = BTreeSet::from([tainted.into()]);
            operations.learn(&Released { rollups: vec![rows.clone().tables()], tainted });
        }
        operations
    }

    #[test]
    fn an_operation_is_known_by_its_mean_request() {
        let operations = learned(100);
        let healthy = operations.get("shop", "GET /").expect("enough");
        assert_eq!((healthy.own_ns(), healthy.callees_ns()), (30, 7));
        assert_eq!(healthy.calls().collect::<Vec<_>>(), [(&"db".into(), false, 2500)]);
        assert_eq!(operations.call_ns("shop", "GET /", &"db".into()), Some(2.0));
        assert_eq!(operations.call_ns("shop", "GET /", &"cache".into()), None);
    }

    #[test]
    fn few_requests_say_nothing() {
        assert!(learned(OPERATION_REQUESTS - 1).get("shop", "GET /").is_none());
    }
}
