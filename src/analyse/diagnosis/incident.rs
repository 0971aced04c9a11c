//! What an outage was found to be, for as long as it lasts.
//!
//! A judgement looks at some seconds. In the course of an outage these seconds show its consequences ever more clearly, and
//! its cause ever less: pods that work off a backlog differ from one another, callers that gave up ask nobody, and what a
//! service served while it was held back says nothing of its load. So a cause that was found holds against what it explains
//! (trouble of those who wait for it) for as long as it is seen itself, and until what queued meanwhile is served. What
//! explains *it* (trouble further down) takes its place at once, and anything else when it has lasted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attribution::{Attribution, Judgement};
use crate::analyse::findings::Verdict;
use crate::analyse::thresholds::course::{BACKLOG, BY_ITSELF, CONFIRMED, CONFIRMED_BESIDE, RECOVERED, SETTLED};
use crate::model::{ClockStep, Text, Time};

/// By entry operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidents(BTreeMap<Text, Incident>);

#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// None while the first cause is yet to be confirmed.
    cause: Option<Judgement>,
    /// When the cause itself was last there, and when the objective was last missed.
    seen: Time,
    missed: Time,
    /// Another one, and since when it was named instead.
    rival: Option<(Judgement, Time)>,
}

impl Incidents {
    /// What to tell of an endpoint that misses its objective, where its last seconds show `found`; and what to remember.
    pub fn settle(
        &self,
        entry: &Text,
        found: Option<Judgement>,
        attribution: &Attribution<'_>,
        at: Time,
    ) -> (Option<Judgement>, Option<Incident>) {
        let known = self.0.get(entry).filter(|known| known.missed + RECOVERED >= at);
        let is_open = found.as_ref().is_none_or(|found| found.verdict == Verdict::Unknown);
        let Some(known) = known else {
            return match found {
                Some(found) if !is_open => Incident::begun(at).rivalled(found, at, Duration::ZERO),
                found => (found, None),
            };
        };
        let next = Incident { missed: at, ..known.clone() };
        let Some(cause) = &known.cause else {
            return match found {
                Some(found) if !is_open => next.rivalled(found, at, Duration::ZERO),
                found => (found, Some(Incident { rival: None, ..next })),
            };
        };
        let is_there = attribution.still_holds(cause);
        let next = Incident { seen: if is_there { at } else { known.seen }, ..next };
        let holds = is_there || at < known.seen + lasts_after(cause.verdict);
        let Some(found) = found.filter(|_| !is_open) else {
            return if holds {
                (Some(refreshed(cause, attribution)), Some(Incident { rival: None, ..next }))
            } else {
                (unknown(cause, attribution), Some(Incident { rival: None, ..next }))
            };
        };
        if is_same(cause, &found) {
            return next.of(found, at);
        }
        let (place, found_place) = (place_of(cause), place_of(&found));
        let is_beside = place != found_place;
        if is_beside && found.verdict != Verdict::BadInstance && attribution.callers_of(found_place).contains(place) {
            return next.of(found, at);
        }
        let is_pod = found.verdict == Verdict::BadInstance;
        let refines = !is_beside && !is_pod && found.verdict != Verdict::Degraded;
        let is_explained = is_pod && !is_beside || is_beside && held_back_by(cause, attribution).contains(found_place);
        if refines {
            next.of(found, at)
        } else if is_explained && holds {
            (Some(refreshed(cause, attribution)), Some(Incident { rival: None, ..next }))
        } else {
            next.rivalled(found, at, if is_there { CONFIRMED_BESIDE } else { CONFIRMED })
        }
    }

    /// Takes over what a tick settled.
    pub fn learn(&mut self, settled: BTreeMap<Text, Incident>, at: Time) {
        self.0.extend(settled);
        self.0.retain(|_, incident| incident.missed + RECOVERED >= at);
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.0.values_mut().flat_map(|incident| {
            let since = incident.rival.as_mut().map(|(_, since)| since);
            [Some(&mut incident.seen), Some(&mut incident.missed), since].into_iter().flatten()
        }));
    }
}

impl Incident {
    fn begun(at: Time) -> Incident {
        Incident { cause: None, seen: at, missed: at, rival: None }
    }

    /// It is this.
    fn of(self, found: Judgement, at: Time) -> (Option<Judgement>, Option<Incident>) {
        let incident = Incident { cause: Some(found.clone()), seen: at, missed: at, rival: None };
        (Some(found), Some(incident))
    }

    /// Something else was found, which counts from the time that it has lasted.
    fn rivalled(self, found: Judgement, at: Time, least: Duration) -> (Option<Judgement>, Option<Incident>) {
        let least = if found.verdict == Verdict::Degraded { least.max(BY_ITSELF) } else { least };
        let since = self.rival.as_ref().filter(|(rival, _)| is_same(rival, &found)).map_or(at, |(_, since)| *since);
        if since + least <= at {
            return self.of(found, at);
        }
        let told = match &self.cause {
            Some(cause) => cause.clone(),
            None => Judgement { verdict: Verdict::Unknown, ..found.clone() },
        };
        (Some(told), Some(Incident { rival: Some((found, since)), ..self }))
    }
}

fn lasts_after(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Saturated | Verdict::Exhausted | Verdict::Amplification | Verdict::Regression | Verdict::Degraded => {
            SETTLED
        }
        _ => BACKLOG,
    }
}

fn is_same(one: &Judgement, other: &Judgement) -> bool {
    (&one.service, one.verdict, &one.peer, &one.pod) == (&other.service, other.verdict, &other.peer, &other.pod)
}

/// Everyone a cause holds back; a callee without spans holds back who waits for it, even where that calls nobody any more.
fn held_back_by(cause: &Judgement, attribution: &Attribution<'_>) -> BTreeSet<Text> {
    let mut held = attribution.callers_of(place_of(cause));
    if cause.peer.is_some() {
        held.extend(attribution.callers_of(&cause.service));
        held.insert(cause.service.clone());
    }
    held
}

/// Where the fault lies: a callee without spans, or the service.
fn place_of(judgement: &Judgement) -> &Text {
    judgement.peer.as_ref().unwrap_or(&judgement.service)
}

/// A cause with what is measured of its service now; it says nothing of what that can serve.
fn refreshed(cause: &Judgement, attribution: &Attribution<'_>) -> Judgement {
    let now = attribution.now.get(&cause.service);
    let evidence = now.map(|now| now.evidence(attribution.baseline.service(&cause.service)));
    Judgement { evidence: evidence.unwrap_or_default(), at_limit: false, ..cause.clone() }
}

/// The cause is gone and nothing else was found: whatever it is, it is no longer known.
fn unknown(cause: &Judgement, attribution: &Attribution<'_>) -> Option<Judgement> {
    let cause = refreshed(cause, attribution);
    Some(Judgement { verdict: Verdict::Unknown, pod: None, peer: None, caller: None, version: None, ..cause })
}
