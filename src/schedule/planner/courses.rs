//! The course of an event: whether its participants come, and what they load.

use std::collections::BTreeMap;

use crate::analyse::{Demand, Findings};
use crate::model::Time;
use crate::schedule::event::Planned;
use crate::schedule::plan::Raised;
use crate::schedule::settings::Settings;

/// Seconds over which a rate is smoothed: a few ticks, so that one busy second is no crowd.
const SMOOTH_S: f64 = 10.0;

/// Seconds over which the usual load is smoothed: it moves by minutes.
const USUAL_S: f64 = 120.0;

/// Who comes brings at least this share of what was planned for, or of what is usual at a service.
const CAME_SHARE: f64 = 0.2;

/// A rate stands out that is above its usual by this share …
const STANDS_OUT: f64 = 0.2;

/// … and by so many standard deviations of chance (Poisson) over the time that it is smoothed over.
const DEVIATIONS: f64 = 3.0;

/// Services that are remembered: telemetry may name any number.
const SERVICES_MAX: usize = 2_000;

/// What comes and what is usual, smoothed.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// Requests a second by entry operation: of now, and when no event is on.
    entries: BTreeMap<String, (f64, f64)>,
    /// Arrivals a second by service, likewise.
    services: BTreeMap<String, (f64, f64)>,
    /// Erlangs by service when no event is on.
    erlangs: BTreeMap<String, f64>,
    /// Erlangs of a pod now, by service.
    per_pod: BTreeMap<String, f64>,
    at: Option<Time>,
}

fn smoothed(known: &mut f64, seen: f64, weight: f64) {
    *known += weight * (seen - *known);
}

impl Rates {
    pub(super) fn see(&mut self, now: Time, findings: &Findings, is_calm: bool) {
        if self.entries.len() + self.services.len() > SERVICES_MAX {
            *self = Rates { at: self.at, ..Rates::default() };
        }
        let passed = self.at.replace(now).map_or(SMOOTH_S, |at| now.seconds_since(at)).max(0.0);
        let weight = |over_s: f64| 1.0 - (-passed / over_s).exp();
        let rates = findings.entries.iter().map(|entry| (&entry.entry, entry.requests_per_s));
        for (entry, rate) in rates {
            see(&mut self.entries, entry, rate, weight(SMOOTH_S), is_calm.then(|| weight(USUAL_S)));
        }
        for service in &findings.services {
            let (name, rate) = (service.service.as_str(), service.arrivals_per_s);
            see(&mut self.services, name, rate, weight(SMOOTH_S), is_calm.then(|| weight(USUAL_S)));
            let per_pod = self.per_pod.entry(name.to_owned()).or_insert(service.concurrency_per_pod);
            smoothed(per_pod, service.concurrency_per_pod, weight(SMOOTH_S));
            let erlangs = service.concurrency_per_pod * f64::from(service.ready);
            if is_calm && !service.objective_missed {
                let known = self.erlangs.entry(name.to_owned()).or_insert(erlangs);
                smoothed(known, erlangs, weight(USUAL_S));
            }
        }
    }

    /// The most that pods carry while no objective is missed.
    pub(super) fn carried(&self, findings: &Findings, most: &mut BTreeMap<String, f64>) {
        for service in findings.services.iter().filter(|service| !service.objective_missed && !service.low_traffic) {
            let Some(per_pod) = self.per_pod.get(service.service.as_str()) else { continue };
            if let Some(known) = most.get_mut(service.service.as_str()) {
                *known = known.max(*per_pod);
            } else if most.len() < SERVICES_MAX {
                most.insert(service.service.to_string(), *per_pod);
            }
        }
    }

    /// The usual load as it is now, in place of that of some time ago.
    pub(super) fn usual(&self, demand: &mut Demand) {
        for (service, erlangs) in &self.erlangs {
            if let Some(known) = demand.services.get_mut(service) {
                known.usual = *erlangs;
            }
        }
    }

    fn usual_of_entry(&self, entry: &str) -> f64 {
        self.entries.get(entry).map_or(0.0, |(_, usual)| *usual)
    }
}

fn see(known: &mut BTreeMap<String, (f64, f64)>, name: &str, rate: f64, weight: f64, usual_weight: Option<f64>) {
    if !known.contains_key(name) {
        known.insert(name.to_owned(), (rate, rate));
    }
    let Some((now, usual)) = known.get_mut(name) else { return };
    smoothed(now, rate, weight);
    if let Some(weight) = usual_weight {
        smoothed(usual, rate, weight);
    }
}

/// An event from its first raise to its end.
#[derive(Clone, Debug)]
pub(super) struct Course {
    event: Planned,
    kind: Option<String>,
    pub(super) until: Time,
    raised: Vec<String>,
    /// What was usual before it.
    before: Rates,
    came: bool,
    is_absent: bool,
    /// Seconds seen since its start.
    seen_s: f64,
    seen_at: Option<Time>,
    /// Another event went on beside it, so that it teaches nothing.
    is_mixed: bool,
    /// The most of each entry operation, above the usual.
    most: BTreeMap<String, f64>,
    turned: bool,
}

impl Course {
    pub(super) fn new(raised: &Raised, until: Time, rates: &Rates) -> Course {
        Course {
            event: raised.event.clone(),
            kind: raised.kind.clone(),
            until,
            raised: raised.raises.iter().map(|raise| raise.service.clone()).collect(),
            before: rates.clone(),
            came: false,
            is_absent: false,
            seen_s: 0.0,
            seen_at: None,
            is_mixed: false,
            most: BTreeMap::new(),
            turned: false,
        }
    }

    /// It is still the event that it was: not moved, not cancelled.
    pub(super) fn is_of(&self, event: &Planned) -> bool {
        let same = |event: &Planned| (event.starts, event.ends, event.cancelled, event.participants);
        same(&self.event) == same(event)
    }

    pub(super) fn is_absent(&self) -> bool {
        self.is_absent
    }

    /// Its participants may be there.
    pub(super) fn is_on(&self, now: Time) -> bool {
        now < self.until
    }

    /// It is found at this tick that nobody comes, or it is over.
    pub(super) fn turns_at(&self, now: Time) -> bool {
        self.turned || now >= self.until
    }

    pub(super) fn see(&mut self, now: Time, rates: &Rates, settings: &Settings, alone: bool) {
        self.turned = false;
        self.is_mixed |= !alone;
        if now >= self.event.starts {
            let passed = self.seen_at.replace(now).map_or(0.0, |at| now.seconds_since(at));
            // A gap is time that was not seen.
            self.seen_s += if passed <= SMOOTH_S { passed.max(0.0) } else { 0.0 };
        }
        for (entry, (rate, _)) in &rates.entries {
            let usual = self.before.usual_of_entry(entry);
            let more = rate - usual;
            if more > STANDS_OUT * usual && more > DEVIATIONS * (usual.max(0.1) / SMOOTH_S).sqrt() {
                let most = self.most.entry(entry.clone()).or_default();
                *most = most.max(more);
            }
        }
        let service_grew = self.raised.iter().any(|service| {
            let usual = self.before.services.get(service).map_or(0.0, |(_, usual)| *usual);
            let rate = rates.services.get(service).map_or(0.0, |(rate, _)| *rate);
            rate - usual > CAME_SHARE * usual && rate - usual > DEVIATIONS * (usual.max(0.1) / SMOOTH_S).sqrt()
        });
        self.came |= service_grew;
        let grace_s = settings.grace.as_secs_f64();
        // Who was not looked at for half of the time may have come unseen.
        let is_over_grace = now.seconds_since(self.event.starts) >= grace_s && self.seen_s >= grace_s / 2.0;
        if is_over_grace && !self.came && !self.is_absent {
            (self.is_absent, self.turned) = (true, true);
        }
    }

    /// What its participants loaded, each of them; None where that is not known.
    pub(super) fn observed(&self) -> Option<(String, BTreeMap<String, f64>)> {
        let participants = self.event.participants.filter(|count| *count > 0)?;
        if !self.came || self.is_mixed || self.event.cancelled || self.most.is_empty() {
            return None;
        }
        let each = self.most.iter().map(|(entry, most)| (entry.clone(), most / f64::from(participants)));
        Some((self.kind.clone()?, each.collect()))
    }
}
