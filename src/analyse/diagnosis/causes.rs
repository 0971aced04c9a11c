//! What a cause at a place would make one see: there, on the calls to it, and at everyone who waits for it.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::observe::Shown;
use super::observed::{Blame, BlameKind, Endpoint, Observed};
use super::signs::{AT, At, OF, ServiceSigns, Signs};
use crate::analyse::findings::{Sign, Verdict};
use crate::analyse::rollup::window_totals::BlameAnswer;
use crate::analyse::statistics::mathematics::perhaps;
use crate::analyse::thresholds::causes::*;
use crate::model::Text;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Saturated,
    Degraded,
    Regression,
    Amplification,
    BadInstance(Text),
    Failing,
    Unreachable,
    // Of a callee that sends no spans.
    SlowPeer,
    FailingPeer,
    GonePeer,
    PeerAskedMore,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The service, or the callee without spans.
    pub place: Text,
    pub kind: Kind,
}

impl Kind {
    pub fn is_of_peer(&self) -> bool {
        matches!(self, Kind::SlowPeer | Kind::FailingPeer | Kind::GonePeer | Kind::PeerAskedMore)
    }

    pub fn verdict(&self) -> Verdict {
        match self {
            Kind::Saturated => Verdict::Saturated,
            Kind::Degraded => Verdict::Degraded,
            Kind::Regression => Verdict::Regression,
            Kind::Amplification | Kind::PeerAskedMore => Verdict::Amplification,
            Kind::BadInstance(_) => Verdict::BadInstance,
            Kind::Failing | Kind::FailingPeer => Verdict::Failing,
            Kind::Unreachable | Kind::GonePeer => Verdict::Unreachable,
            Kind::SlowPeer => Verdict::SlowDependency,
        }
    }

    /// The chances of the signs where requests are held up, and where they fail for it.
    fn modes(&self) -> [Chances; 2] {
        match self {
            Kind::Saturated => SATURATED,
            Kind::Degraded => DEGRADED,
            Kind::Regression => REGRESSION,
            Kind::Amplification => AMPLIFICATION,
            Kind::BadInstance(_) => BAD_INSTANCE,
            Kind::Failing => FAILING,
            Kind::Unreachable => UNREACHABLE,
            Kind::SlowPeer => SLOW_PEER,
            Kind::FailingPeer => FAILING_PEER,
            Kind::GonePeer => GONE_PEER,
            Kind::PeerAskedMore => PEER_ASKED_MORE,
        }
    }
}

/// What one cause would make one see, as far as a certain endpoint is concerned.
pub struct Prediction {
    /// By place, how much likelier it makes what is seen there.
    places: BTreeMap<Text, f64>,
    /// At its own.
    own: f64,
    /// Of each row of the endpoint's blame, how much it explains.
    explains: Vec<f64>,
}

impl Prediction {
    /// How much of what it explains speaks of its own place, as a logarithm; None where nothing there speaks for it. Who explains
    /// only what others show as well is likely one of them.
    pub fn own_share(&self) -> Option<f64> {
        let all: f64 = self.places.values().sum();
        (self.own > 0.0).then(|| (self.own / all.max(self.own)).max(OWN_EVIDENCE_MIN).ln())
    }
}

/// Everything that is seen of an endpoint.
pub struct Scene<'a> {
    observed: &'a Observed,
    signs: &'a Signs,
    graph: &'a Graph,
    endpoint: &'a Endpoint,
    reached: BTreeSet<Text>,
    /// Of each place that is reached, what waiting for somebody further down explains.
    victims: BTreeMap<Text, f64>,
}

impl<'a> Scene<'a> {
    pub fn new(shown: &'a Shown, endpoint: &'a Endpoint) -> Scene<'a> {
        let Shown { observed, signs, graph } = shown;
        let reached = graph.reached_from(&endpoint.crossed);
        let mut scene = Scene { observed, signs, graph, endpoint, reached, victims: BTreeMap::new() };
        scene.victims = scene.reached.iter().map(|place| (place.clone(), scene.as_victim(place))).collect();
        scene
    }

    /// Causes that anything at their place speaks for. Where no time can be blamed on anybody, which the query of an operator
    /// may say, there are none.
    pub fn candidates(&self) -> BTreeSet<Cause> {
        let mut found = BTreeSet::new();
        if self.endpoint.blame.is_empty() {
            return found;
        }
        let blamed = |service: &Text| {
            let rows = self.endpoint.blame.iter().filter(|row| row.service == *service);
            rows.map(|row| row.share).sum::<f64>() > BLAMED_MIN
        };
        for service in &self.reached {
            let Some(signs) = self.signs.services.get(service) else { continue };
            if !blamed(service) && signs.at.iter().all(|log| *log <= 0.0) {
                continue;
            }
            let mut kinds = vec![Kind::Saturated, Kind::Degraded, Kind::Failing, Kind::Unreachable];
            if signs.at(At::SlowVersion) > 0.0 {
                kinds.push(Kind::Regression);
            }
            if signs.at(At::AskedMore) > 0.0 {
                kinds.push(Kind::Amplification);
            }
            let odd = signs.pods.iter().filter(|(_, log)| **log > 0.0).map(|(pod, _)| pod.clone());
            kinds.extend(odd.map(Kind::BadInstance));
            found.extend(kinds.into_iter().map(|kind| Cause { place: service.clone(), kind }));
        }
        for ((caller, callee), signs) in &self.signs.calls {
            if signs.is_peer && self.reached.contains(caller) && signs.of.iter().any(|log| *log > 0.0) {
                let kinds = [Kind::SlowPeer, Kind::FailingPeer, Kind::GonePeer, Kind::PeerAskedMore];
                found.extend(kinds.into_iter().map(|kind| Cause { place: callee.clone(), kind }));
            }
        }
        found.retain(|cause| self.own(cause, false) > 0.0);
        found
    }

    /// How many causes there might be: each as likely before anything is seen.
    pub fn possible(&self) -> f64 {
        (4 * self.reached.len()).max(4) as f64
    }

    pub fn predict(&self, cause: &Cause, is_over: bool) -> Prediction {
        let callers = self.graph.callers_of(&cause.place);
        let own = self.own(cause, is_over);
        let victims = callers.iter().filter_map(|caller| Some((caller.clone(), *self.victims.get(caller)?)));
        let mut places: BTreeMap<Text, f64> = victims.collect();
        places.insert(cause.place.clone(), own);
        let explains = self.endpoint.blame.iter().map(|row| explains(cause, row, &callers)).collect();
        Prediction { places, own, explains }
    }

    /// How much likelier a cause makes what is seen at its own place.
    fn own(&self, cause: &Cause, is_over: bool) -> f64 {
        let Cause { place, kind } = cause;
        let signs = self.signs.services.get(place).filter(|_| !kind.is_of_peer());
        let best = |modes: [Chances; 2]| modes.iter().map(|mode| self.at(cause, signs, mode)).fold(f64::MIN, f64::max);
        if is_over {
            let grows = signs.is_some_and(|signs| signs.queue_grows);
            best(WORKED_OFF).max(0.0) + WORKED_OFF_LOG + if grows { WORKED_OFF_GROWS } else { 0.0 }
        } else {
            best(kind.modes()) + signs.map_or(0.0, |signs| terms(kind, signs))
        }
    }

    /// How much likelier what is seen at a place is where each sign has its chance.
    fn at(&self, cause: &Cause, signs: Option<&ServiceSigns>, (at, of): &Chances) -> f64 {
        let log = |signs: &ServiceSigns, sign: At| match (&cause.kind, sign) {
            // What is the matter with all of a service shows at other pods than the odd one, too.
            (Kind::Saturated | Kind::Degraded | Kind::Regression | Kind::Amplification, At::Slow) => {
                signs.others_slow.filter(|_| signs.at(At::OddPod) > 0.0).unwrap_or(signs.at(At::Slow))
            }
            (Kind::BadInstance(pod), At::OddPod) => signs.pods.get(pod).copied().unwrap_or(0.0),
            _ => signs.at(sign),
        };
        let here = signs
            .map_or(0.0, |signs| AT.iter().map(|sign| perhaps(at[*sign as usize], log(signs, *sign))).sum::<f64>());
        let calls = self.calls_to(&cause.place);
        here + calls.map(|logs| (0..OF.len()).map(|i| perhaps(of[i], logs[i])).sum::<f64>()).sum::<f64>()
    }

    /// What speaks for a cause most, of all that is seen at its place and on the calls to it.
    pub fn shows(&self, cause: &Cause) -> Option<Sign> {
        let signs = self.signs.services.get(&cause.place).filter(|_| !cause.kind.is_of_peer());
        let log = |signs: &ServiceSigns, sign: At| match &cause.kind {
            Kind::BadInstance(pod) if sign == At::OddPod => signs.pods.get(pod).copied().unwrap_or(0.0),
            _ => signs.at(sign),
        };
        let mut seen: Vec<(f64, Sign)> = Vec::new();
        for (at, of) in cause.kind.modes() {
            if let Some(signs) = signs {
                seen.extend(AT.map(|sign| (perhaps(at[sign as usize], log(signs, sign)), sign.shown())));
            }
            for logs in self.calls_to(&cause.place) {
                seen.extend(OF.map(|sign| (perhaps(of[sign as usize], logs[sign as usize]), sign.shown())));
            }
        }
        let best = seen.into_iter().max_by(|(a, sign), (b, other)| a.total_cmp(b).then(other.cmp(sign)));
        best.filter(|(log, _)| *log > 0.0).map(|(_, sign)| sign)
    }

    /// Everyone who waits for a place.
    pub fn waits_for(&self, place: &Text) -> BTreeSet<Text> {
        self.graph.callers_of(place)
    }

    fn calls_to(&self, place: &Text) -> impl Iterator<Item = &[f64; OF.len()]> {
        self.callers_of(place)
            .filter_map(move |caller| Some(&self.signs.calls.get(&(caller.clone(), place.clone()))?.of))
    }

    /// What waiting for somebody further down explains of a place. A queue that its own load would make is not explained by it,
    /// unless so few calls are answered that this is not seen.
    fn as_victim(&self, place: &Text) -> f64 {
        let (at, of) = &VICTIM;
        let here = self.signs.services.get(place).map_or(0.0, |signs| {
            let answers_few = signs.at(At::Vain).max(signs.at(At::Refused)) > FEW_ANSWERED;
            let held = if answers_few { SURE } else { (1.0 / (1.0 + signs.own_load.exp())).clamp(1.0 - SURE, SURE) };
            let chance = |sign: At| if sign == At::Slow { held } else { at[sign as usize] };
            AT.iter().map(|sign| perhaps(chance(*sign), signs.at(*sign)).max(0.0)).sum()
        });
        let calls =
            self.calls_to(place).map(|logs| (0..OF.len()).map(|i| perhaps(of[i], logs[i]).max(0.0)).sum::<f64>());
        here + calls.sum::<f64>()
    }

    /// How likely everything is that is seen, against that nothing is wrong. Of causes beside one another, each place is as the
    /// one makes it that explains it better.
    pub fn log_likelihood(&self, predictions: &[&Prediction]) -> f64 {
        let mut places: BTreeMap<&Text, f64> = BTreeMap::new();
        for (place, log) in predictions.iter().flat_map(|prediction| &prediction.places) {
            let known = places.entry(place).or_insert(*log);
            *known = known.max(*log);
        }
        let explained = |row: usize| predictions.iter().map(|p| p.explains[row]).fold(0.0, f64::max);
        places.values().sum::<f64>() + self.blame(explained)
    }

    /// The same of a cause that is none of those known.
    pub fn log_likelihood_of_unknown(&self) -> f64 {
        self.blame(|_| UNKNOWN_EXPLAINS) + UNKNOWN_SIGNS
    }

    /// Requests that missed tell whose time it is.
    fn blame(&self, explained: impl Fn(usize) -> f64) -> f64 {
        if self.endpoint.blame.is_empty() {
            return 0.0;
        }
        let rows = self.endpoint.blame.iter().enumerate();
        let share: f64 = rows.map(|(index, row)| row.share * explained(index)).sum();
        self.endpoint.missed.min(BLAME_REQUESTS) * share.max(EXPLAINED_MIN).ln()
    }

    /// How much of a row of blame a cause explains, 0 to 1.
    pub fn explained(&self, cause: &Cause, row: &BlameAnswer) -> f64 {
        explains(cause, &Blame::of(row, 1.0), &self.graph.callers_of(&cause.place))
    }

    pub fn callers_of(&self, place: &Text) -> impl Iterator<Item = &Text> {
        self.graph.direct_callers(place).filter(move |caller| self.reached.contains(*caller))
    }

    pub fn slow_version(&self, service: &Text) -> Option<&Text> {
        self.observed.services.get(service)?.slow_version.as_ref()
    }

    /// By how much calls take longer (log).
    pub fn calls_longer(&self, caller: &Text, callee: &Text) -> Option<f64> {
        Some(self.observed.calls.get(&(caller.clone(), callee.clone()))?.longer?.log)
    }

    /// Share of the endpoint's blame that a cause explains.
    pub fn share(&self, prediction: &Prediction) -> f64 {
        self.endpoint.blame.iter().zip(&prediction.explains).map(|(row, explained)| row.share * explained).sum()
    }
}

/// `ln(chance)` of what must be so, from its log odds.
fn must(log: f64) -> f64 {
    -((-log).exp().ln_1p()).min(MUST_MAX)
}

fn terms(kind: &Kind, signs: &ServiceSigns) -> f64 {
    match kind {
        // What callers ask beside the requests they have is no load of the requests.
        Kind::Saturated if signs.at(At::AskedMore) > 0.0 => must(signs.load_alone) + must(signs.own_load),
        Kind::Saturated => must(signs.load) + must(signs.own_load),
        Kind::Degraded => must(-signs.load) + perhaps(OWN_TIME_GROWS, signs.own_time.min(0.0)),
        Kind::BadInstance(_) => signs.others_slow.map_or(0.0, |log| must(-log)),
        // The requests alone would be too many.
        Kind::Amplification => must(-signs.load_alone),
        Kind::Regression => must(-signs.load) / 2.0,
        _ => 0.0,
    }
}

/// How much of a row of blame a cause explains.
fn explains(cause: &Cause, row: &Blame, callers: &BTreeSet<Text>) -> f64 {
    let is_here = if cause.kind.is_of_peer() {
        row.peer.as_ref() == Some(&cause.place)
    } else {
        row.service == cause.place && row.peer.is_none()
    };
    if is_here {
        return match (&cause.kind, row.kind) {
            (Kind::Failing | Kind::FailingPeer | Kind::GonePeer, BlameKind::Error) => 1.0,
            (Kind::Unreachable, BlameKind::NoRoom | BlameKind::Error) => 1.0,
            (Kind::GonePeer, BlameKind::NoRoom) => 1.0,
            (Kind::Failing | Kind::Unreachable, BlameKind::Own) => SELDOM,
            (Kind::Failing, _) => SOMETIMES,
            (Kind::SlowPeer, BlameKind::Error) => MOSTLY,
            (_, BlameKind::Error) => SOMETIMES,
            _ => 1.0,
        };
    }
    // Too many requests make too many calls of their own.
    if matches!(cause.kind, Kind::Saturated | Kind::Amplification) && row.service == cause.place {
        return OFTEN;
    }
    if callers.contains(&row.service) && row.peer.is_none() {
        return match row.kind {
            BlameKind::NoRoom | BlameKind::Error => MOSTLY,
            BlameKind::Own | BlameKind::Peer => SOMETIMES,
        };
    }
    0.0
}
