//! What is told of an endpoint: a cause, with the place, the names and the measures that people and rules look at.

use std::collections::BTreeMap;

use super::amplification::{Amplification, amplification};
use super::belief::Told;
use super::causes::{Cause, Kind, Scene};
use super::observe::Window;
use super::service_state::ServiceState;
use crate::analyse::findings::{Evidence, RunnerUp, Verdict};
use crate::analyse::rollup::window_totals::BlameAnswer;
use crate::model::Text;

/// The service blamed, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    pub service: Text,
    pub operation: Text,
    pub pod: Option<Text>,
    pub peer: Option<Text>,
    /// Who asks more than it used to.
    pub caller: Option<Text>,
    /// The new version that is slow, or that asks more.
    pub version: Option<Text>,
    pub verdict: Verdict,
    /// How likely it is; of an unknown cause, the share of the blame.
    pub score: f64,
    pub blame_ns: i64,
    pub evidence: Vec<Evidence>,
    /// It rests on all requests of the service, not only on those of traces that missed their objective.
    pub borne_out: bool,
    /// Its pods do all they can: what they serve now is what they can serve.
    pub at_limit: bool,
    /// The share of a request's hold that is not inflated by slow callees: capacity is corrected by it.
    pub undisturbed_share: f64,
    /// The second likeliest cause.
    pub runner_up: Option<RunnerUp>,
}

impl Judgement {
    /// A cause that is told. What the last window no longer shows is as it was `before`.
    pub fn of(
        told: &Told,
        scene: &Scene<'_>,
        window: &Window<'_>,
        rows: &[&BlameAnswer],
        before: Option<&Judgement>,
    ) -> Judgement {
        let Cause { place, kind } = &told.cause;
        let service = if kind.is_of_peer() { caller_of(place, scene, rows, before) } else { Some(place.clone()) };
        let service = service.unwrap_or_else(|| place.clone());
        let state = window.states.get(&service);
        let baseline = window.baseline.service(&service);
        let evidence = state.map(|state| state.evidence(baseline)).unwrap_or_default();
        let explained = rows.iter().map(|row| (row.blame_ns as f64 * scene.explained(&told.cause, row)) as i64);
        let judgement = Judgement {
            pod: if let Kind::BadInstance(pod) = kind { Some(pod.clone()) } else { None },
            peer: kind.is_of_peer().then(|| place.clone()),
            verdict: kind.verdict(),
            score: told.chance,
            blame_ns: explained.sum(),
            borne_out: is_borne_out(&told.cause, state, window),
            at_limit: is_at_limit(told, state, window),
            undisturbed_share: state.map_or(1.0, ServiceState::undisturbed_share),
            operation: operation(&service, kind, rows).or(before.map(|b| b.operation.clone())).unwrap_or_default(),
            runner_up: None,
            caller: before.and_then(|before| before.caller.clone()),
            version: before.and_then(|before| before.version.clone()),
            service,
            evidence,
        };
        judgement.with_details(&told.cause, scene, window)
    }

    /// The cause is not known: the service with the most blame.
    pub fn unknown(window: &Window<'_>, entry: &Text) -> Option<Judgement> {
        let rows: Vec<&BlameAnswer> = window.answers.blame.iter().filter(|row| row.entry == *entry).collect();
        let total: i64 = rows.iter().map(|row| row.blame_ns).sum();
        let mut by_service: BTreeMap<&Text, i64> = BTreeMap::new();
        rows.iter().for_each(|row| *by_service.entry(&row.service).or_default() += row.blame_ns);
        let (service, blame_ns) = by_service.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0)))?;
        let worst = rows.iter().find(|row| row.service == *service && !row.operation.is_empty());
        let state = window.states.get(service);
        Some(Judgement {
            service: service.clone(),
            operation: worst.map(|row| row.operation.clone()).unwrap_or_default(),
            verdict: Verdict::Unknown,
            score: blame_ns as f64 / total.max(1) as f64,
            blame_ns,
            evidence: state.map(|state| state.evidence(window.baseline.service(service))).unwrap_or_default(),
            undisturbed_share: 1.0,
            ..Judgement::default()
        })
    }

    /// With what is second likeliest, beside the cause that is told.
    pub fn before(self, second: Option<(Cause, f64)>, first: &Cause, scene: &Scene<'_>) -> Judgement {
        let runner_up = second.map(|(second, chance)| RunnerUp {
            service: second.place.to_string(),
            verdict: second.kind.verdict(),
            score: chance,
            shows: scene.shows(&second),
            first_shows: scene.shows(first),
            waits_for_first: scene.waits_for(&first.place).contains(&second.place),
            first_waits: scene.waits_for(&second.place).contains(&first.place),
        });
        Judgement { runner_up, ..self }
    }

    /// What only a cause of this kind has.
    fn with_details(self, cause: &Cause, scene: &Scene<'_>, window: &Window<'_>) -> Judgement {
        let Cause { place, kind } = cause;
        let state = window.states.get(place);
        match kind {
            Kind::BadInstance(pod) => self.with(state.map(|state| state.pod_evidence(pod)).unwrap_or_default()),
            Kind::Saturated => {
                let own_share = state.map(|state| fact("own_share_of_concurrency", state.own_share(), None));
                self.with(own_share)
            }
            Kind::Amplification | Kind::PeerAskedMore => match amplification(window.answers, place) {
                Some(amplified) => self.amplified(&amplified, window),
                None => self,
            },
            Kind::Regression => {
                let slow = scene.slow_version(place).cloned();
                let new = state.and_then(|state| state.new_version(place, window.baseline)).cloned();
                Judgement { version: slow.or(new).filter(|v| !v.is_empty()).or(self.version.clone()), ..self }
            }
            Kind::SlowPeer => {
                let longer = scene.calls_longer(&self.service, place);
                self.with(longer.map(|log| fact("callee_time_factor", log.exp(), Some(1.0))))
            }
            _ => self,
        }
    }

    fn with(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Judgement {
        self.evidence.extend(evidence);
        self
    }

    /// Names the caller, and its version if that is new.
    fn amplified(self, amplified: &Amplification, window: &Window<'_>) -> Judgement {
        let Amplification { caller, version, by_caller, .. } = amplified;
        let is_new = window.baseline.service(caller).is_some() && !window.baseline.knows_version(caller, version);
        // Of the caller's operation, for each healthy call: the requests behind it are the same.
        let evidence = fact("calls_for_each_expected", by_caller.factor(), Some(1.0));
        let judgement = Judgement { caller: Some(caller.clone()), version: is_new.then(|| version.clone()), ..self };
        judgement.with([evidence])
    }
}

fn fact(measure: &str, now: f64, baseline: Option<f64>) -> Evidence {
    Evidence { measure: measure.into(), now, baseline }
}

/// Of those who call a callee without spans, the one that users wait for most.
fn caller_of(peer: &Text, scene: &Scene<'_>, rows: &[&BlameAnswer], before: Option<&Judgement>) -> Option<Text> {
    let mut blame: BTreeMap<&Text, i64> = BTreeMap::new();
    rows.iter().filter(|row| row.peer == *peer).for_each(|row| *blame.entry(&row.service).or_default() += row.blame_ns);
    let most = blame.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0))).map(|(service, _)| service.clone());
    before.map(|before| before.service.clone()).or(most).or_else(|| scene.callers_of(peer).next().cloned())
}

/// Where at the service the requests that missed spent most.
fn operation(service: &Text, kind: &Kind, rows: &[&BlameAnswer]) -> Option<Text> {
    let is_of_kind = |row: &&&BlameAnswer| row.service == *service && kind.is_of_peer() != row.peer.is_empty();
    rows.iter().filter(is_of_kind).map(|row| row.operation.clone()).find(|operation| !operation.is_empty())
}

/// Whether all requests of the service bear it out, so that an objective which is only likely missed counts as missed.
fn is_borne_out(cause: &Cause, state: Option<&ServiceState<'_>>, window: &Window<'_>) -> bool {
    match cause.kind {
        Kind::Saturated | Kind::BadInstance(_) | Kind::Regression | Kind::Amplification | Kind::Unreachable => true,
        Kind::Failing => state.is_some_and(|state| state.fails_clearly(window.baseline.service(&cause.place))),
        _ => false,
    }
}

fn is_at_limit(told: &Told, state: Option<&ServiceState<'_>>, window: &Window<'_>) -> bool {
    let is_of_load = matches!(told.cause.kind, Kind::Saturated | Kind::Amplification) && !told.is_over;
    let healthy = window.baseline.service(&told.cause.place);
    is_of_load && state.is_some_and(|state| healthy.is_none_or(|healthy| state.most_pods_suffer(healthy)))
}
