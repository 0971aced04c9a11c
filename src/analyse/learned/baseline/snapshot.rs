//! Healthy time put into a snapshot and taken out of one. What was seen here goes before what was kept: only what is
//! not known yet is taken over.

use super::{BASELINE_REQUESTS, Baseline};
use crate::analyse::learned::snapshot::{Entry, Learnt, Path};
use crate::analyse::rollup::PathKind;
use crate::model::Text;

impl Baseline {
    pub(in crate::analyse) fn keep(&self, learnt: &mut Learnt) {
        for (name, sums) in &self.entries {
            learnt.entries.insert(name.to_string(), Entry { sums: *sums, paths: Vec::new() });
        }
        for ((name, service, operation, peer, kind), ns) in &self.paths {
            let Some(entry) = learnt.entries.get_mut(&**name) else { continue };
            let (service, operation, peer) = (service.to_string(), operation.to_string(), peer.to_string());
            entry.paths.push(Path { service, operation, peer, kind: kind.as_str().into(), ns: *ns });
        }
        for (name, (healthy, _)) in &self.services {
            learnt.services.entry(name.to_string()).or_default().healthy = Some(*healthy);
        }
        for ((name, version), sums) in &self.versions {
            let service = learnt.services.entry(name.to_string()).or_default();
            service.versions.insert(version.to_string(), *sums);
        }
        for ((name, set), requests) in &self.replica_sets {
            let service = learnt.services.entry(name.to_string()).or_default();
            service.replica_sets.insert(set.to_string(), *requests);
        }
        for (name, hours) in self.hours.keep() {
            learnt.services.entry(name.to_string()).or_default().hours = hours;
        }
    }

    pub(in crate::analyse) fn restore(&mut self, learnt: &Learnt) {
        for (name, kept) in &learnt.entries {
            let name = Text::from(name.as_str());
            if self.entries.get(&name).is_some_and(|known| known.requests >= BASELINE_REQUESTS) {
                continue;
            }
            self.entries.insert(name.clone(), kept.sums);
            self.paths.retain(|place, _| place.0 != name);
            for path in &kept.paths {
                let Some(kind) = PathKind::parse(&path.kind) else { continue };
                let text = |text: &str| Text::from(text);
                let place = (name.clone(), text(&path.service), text(&path.operation), text(&path.peer), kind);
                self.paths.insert(place, path.ns);
            }
        }
        for (name, kept) in &learnt.services {
            let name = Text::from(name.as_str());
            if let Some(healthy) = kept.healthy {
                let (known, _) = self.services.entry(name.clone()).or_default();
                if known.sums.requests < BASELINE_REQUESTS {
                    *known = healthy;
                }
            }
            self.hours.restore(&name, &kept.hours);
            for (set, requests) in &kept.replica_sets {
                let known = self.replica_sets.entry((name.clone(), set.as_str().into())).or_default();
                *known = (*known).max(*requests);
            }
            for (version, sums) in &kept.versions {
                let known = self.versions.entry((name.clone(), version.as_str().into())).or_default();
                if known.requests < sums.requests {
                    *known = *sums;
                }
            }
        }
    }
}
