//! Who is to blame for an entry operation that misses its objective, and why.
//!
//! The search starts at the service with the most blame and asks whose fault its time is: a queue in front of a service whose
//! workers are held by a slow callee is the callee's fault; a queue that the load alone would fill is its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyse::diagnosis::amplification::{Amplification, amplification};
use crate::analyse::diagnosis::service_state::{GROWN, ServiceState};
use crate::analyse::findings::{Evidence, Verdict};
use crate::analyse::learned::Operations;
use crate::analyse::learned::baseline::{Baseline, ServiceBaseline};
use crate::analyse::rollup::PathKind;
use crate::analyse::rollup::window_totals::{Answers, BlameAnswer, EdgeAnswer};
use crate::analyse::trace::SegmentKind;
use crate::model::Text;

#[cfg(test)]
mod tests;

const OWN: PathKind = PathKind::Time(SegmentKind::Own);
const PEER: PathKind = PathKind::Time(SegmentKind::Peer);

/// With its callees as fast as in healthy time, the load would keep this share of the seen concurrency busy:
/// below, the service is a victim of what it calls; above one, the queue is its own; between, a callee decides that is
/// at fault itself.
const OWN_SHARE: f64 = 0.75;
/// Calls below which a callee is slow only if they take so many times as long: of three, one that took longer makes half more.
const SLOW_CALLS: i64 = 10;
const SLOW_FEW: f64 = 3.0;
/// A slow callee's callee's callee … is followed this far; graphs of services are seldom deeper.
const DEPTH_MAX: usize = 8;

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
    pub score: f64,
    pub blame_ns: i64,
    pub evidence: Vec<Evidence>,
    /// It rests on all requests of the service, not only on those of traces that missed their objective.
    pub borne_out: bool,
    /// Of one pod: the requests that missed no objective show it as well.
    pub shown_beside: bool,
    /// Its pods do all they can: what they serve now is what they can serve.
    pub at_limit: bool,
    /// The share of a request's hold that is not inflated by slow callees: capacity is corrected by it.
    pub undisturbed_share: f64,
    /// Services that were passed on the way here: their time is the doing of what they call.
    pub victims: Vec<Text>,
}

/// Blame at one service by kind.
struct Blame {
    own: i64,
    peer: i64,
    /// Waiting to be taken, in vain or not, and being turned away: no room.
    no_room: i64,
    error: i64,
}

impl Blame {
    fn at(service: &Text, rows: &[&BlameAnswer]) -> Blame {
        let mut blame = Blame { own: 0, peer: 0, no_room: 0, error: 0 };
        for row in rows.iter().filter(|row| row.service == *service) {
            let sum = match row.kind {
                PathKind::Time(SegmentKind::Own) => &mut blame.own,
                PathKind::Time(SegmentKind::Peer) => &mut blame.peer,
                PathKind::Time(SegmentKind::Queue) | PathKind::Refused | PathKind::GaveUp => &mut blame.no_room,
                PathKind::Error => &mut blame.error,
            };
            *sum += row.blame_ns;
        }
        blame
    }
}

/// What blame is attributed by; nothing of it changes meanwhile.
pub struct Attribution<'a> {
    pub answers: &'a Answers,
    pub baseline: &'a Baseline,
    pub operations: &'a Operations,
    pub now: &'a BTreeMap<Text, ServiceState<'a>>,
    /// Services whose requests may have begun to wait when a callee held them back (`backlog`).
    pub held: BTreeSet<Text>,
}

impl Attribution<'_> {
    /// The judgement for one entry operation; None when no time can be blamed on anybody.
    pub fn judge(&self, entry: &str) -> Option<Judgement> {
        let rows: Vec<&BlameAnswer> = self.answers.blame.iter().filter(|b| *b.entry == *entry).collect();
        let total: i64 = rows.iter().map(|b| b.blame_ns).sum();
        let mut by_service: BTreeMap<&Text, i64> = BTreeMap::new();
        rows.iter().for_each(|b| *by_service.entry(&b.service).or_default() += b.blame_ns);
        let (service, blame_ns) = by_service.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0)))?;
        let mut judgement = self.judge_service(service, &rows, 0);
        // Followed to a callee: the blame that was seen at the victim is its doing as well.
        let own_blame: i64 = rows.iter().filter(|b| b.service == judgement.service).map(|b| b.blame_ns).sum();
        judgement.blame_ns = if judgement.service == *service { blame_ns } else { blame_ns + own_blame };
        judgement.score = judgement.blame_ns as f64 / total.max(1) as f64;
        judgement.borne_out |= matches!(
            judgement.verdict,
            Verdict::Saturated
                | Verdict::BadInstance
                | Verdict::Regression
                | Verdict::Amplification
                | Verdict::Unreachable
        );
        if judgement.operation.is_empty() {
            let of_service = rows.iter().filter(|b| b.service == judgement.service);
            judgement.operation = of_service.map(|b| b.operation.clone()).find(|o| !o.is_empty()).unwrap_or_default();
        }
        Some(judgement)
    }

    fn judge_service(&self, service: &Text, rows: &[&BlameAnswer], depth: usize) -> Judgement {
        let blame = Blame::at(service, rows);
        let unknown = Judgement { service: service.clone(), verdict: Verdict::Unknown, ..Judgement::default() };
        let Some(now) = self.now.get(service) else { return unknown };
        let baseline = self.baseline.service(service);
        let mut judgement = Judgement { evidence: now.evidence(baseline), undisturbed_share: 1.0, ..unknown };
        let seconds = self.answers.services.get(service).map_or(&[][..], Vec::as_slice);
        if now.is_unreachable(seconds, baseline) {
            return Judgement { verdict: Verdict::Unreachable, ..judgement };
        }
        // One bad pod does not hide that the others cannot bear the load.
        let too_much = baseline.is_some_and(|b| now.has_more_load(b, 1.0) && now.most_pods_suffer(b));
        if let Some(pod) = now.odd_pod(baseline).filter(|_| !too_much) {
            // The first pod of a new version is no bad pod among its siblings: the next one will be the same.
            let is_new = |pod: &Text| baseline.is_some() && now.is_new(pod, service, self.baseline);
            if is_new(pod) && now.pods.iter().any(|p| !is_new(&p.pod)) {
                return Judgement { verdict: Verdict::Regression, version: now.version_of(pod).cloned(), ..judgement };
            }
            let own = self.answers.blame.iter().filter(|b| b.service == *service && b.kind == OWN);
            let shown_beside = now.is_far_beside(pod, own.map(|b| b.blame_ns).sum(), baseline);
            judgement.evidence.extend(now.pod_evidence(pod));
            return Judgement { verdict: Verdict::BadInstance, pod: Some(pod.clone()), shown_beside, ..judgement };
        }
        if blame.error > blame.own + blame.no_room + blame.peer {
            return failing(judgement, service, rows, now.fails_clearly(baseline));
        }
        if blame.peer > blame.own + blame.no_room {
            return self.slow_peer(judgement, service, rows);
        }
        let Some(baseline) = baseline else {
            judgement.verdict = verdict_within_the_window(now, blame.no_room >= blame.own + blame.peer);
            judgement.at_limit = judgement.verdict == Verdict::Saturated;
            return judgement;
        };
        // Where a victim's callees were followed to here, the time may pass through.
        if depth > 0
            && now.waits_for_callees(baseline)
            && let Some(followed) = self.follow_callee(&judgement, service, rows, depth)
        {
            return followed;
        }
        if blame.no_room >= blame.own {
            judgement.undisturbed_share = now.undisturbed_share();
            let own_share = now.own_share();
            judgement.evidence.push(Evidence {
                measure: "own_share_of_concurrency".into(),
                now: own_share,
                baseline: None,
            });
            if own_share < 1.0
                && let Some(followed) = self.follow_callee(&judgement, service, rows, depth)
                && (own_share < OWN_SHARE || followed.verdict != Verdict::Unknown)
            {
                return followed;
            }
            // Its callees look well by now, and it works off what came while they were not.
            if own_share < OWN_SHARE || self.held.contains(service) {
                let own = self.own_fault(judgement.clone(), service, now, baseline);
                return if matches!(own.verdict, Verdict::Saturated | Verdict::Degraded) { judgement } else { own };
            }
        }
        self.own_fault(judgement, service, now, baseline)
    }

    /// The time is the service's own: too much is asked of it, or it became slow.
    fn own_fault(
        &self,
        mut judgement: Judgement,
        service: &Text,
        now: &ServiceState<'_>,
        baseline: ServiceBaseline,
    ) -> Judgement {
        let suffers = now.most_pods_suffer(baseline);
        let new_version = now.slow_new_version(service, self.baseline, baseline);
        // Each call is served as ever; if they cost more, there are more of them. A slow version that serves few yet is not
        // seen in the whole.
        if new_version.is_none() && !suffers && !now.is_slower(baseline) && !now.loses_calls() {
            return self.amplified_above(service, 0).unwrap_or(judgement);
        }
        if let Some(amplified) = amplification(self.answers, service).filter(Amplification::is_felt) {
            // Evidence even where the load alone would be too much.
            judgement = self.amplified(judgement, &amplified);
            if !now.has_more_load(baseline, amplified.factor) {
                return Judgement { verdict: Verdict::Amplification, at_limit: suffers, ..judgement };
            }
        }
        // Pods that serve beside it as fast as ever show that it is not the load, and so does more slowness than load.
        let by_itself = new_version.as_ref().is_some_and(|new| new.beside || now.outgrows_load(baseline));
        if now.has_more_load(baseline, 1.0) && suffers && now.serves(baseline) && !by_itself {
            return Judgement { verdict: Verdict::Saturated, at_limit: true, ..judgement };
        }
        let version = new_version.map(|new| new.version);
        if version.is_some() || now.is_hung_release() {
            let version = version.or_else(|| now.new_version(service, self.baseline).cloned());
            return Judgement { verdict: Verdict::Regression, version, ..judgement };
        }
        let verdict = if now.is_degraded(baseline) { Verdict::Degraded } else { judgement.verdict };
        Judgement { verdict, ..judgement }
    }

    /// The nearest place at or above a service whose callers ask more than their own requests explain.
    fn amplified_above(&self, service: &Text, depth: usize) -> Option<Judgement> {
        if let Some(amplified) = amplification(self.answers, service) {
            let now = self.now.get(service)?;
            let baseline = self.baseline.service(service);
            let at_limit = baseline.is_some_and(|b| now.most_pods_suffer(b));
            let evidence = now.evidence(baseline);
            let verdict = Verdict::Amplification;
            let judgement = Judgement { service: service.clone(), verdict, evidence, at_limit, ..Judgement::default() };
            return Some(Judgement { undisturbed_share: 1.0, ..self.amplified(judgement, &amplified) });
        }
        if depth == DEPTH_MAX {
            return None;
        }
        let calls = |edges: &[EdgeAnswer]| edges.iter().filter(|e| e.callee == *service).map(|e| e.sums.calls).sum();
        let callers = self.answers.edges.iter().map(|(caller, edges)| (calls(edges), caller));
        let mut callers: Vec<(i64, &Text)> =
            callers.filter(|(calls, caller)| *calls > 0 && *caller != service).collect();
        callers.sort_by(|a, b| b.cmp(a));
        callers.into_iter().find_map(|(_, caller)| self.amplified_above(caller, depth + 1))
    }

    /// Names the caller, and its version if that is new.
    fn amplified(&self, judgement: Judgement, amplified: &Amplification) -> Judgement {
        let Amplification { caller, version, by_caller, .. } = amplified;
        // Of the caller's operation, for each healthy call: the requests behind it are the same.
        let evidence =
            Evidence { measure: "calls_for_each_expected".into(), now: by_caller.factor(), baseline: Some(1.0) };
        let is_new = self.baseline.service(caller).is_some() && !self.baseline.knows_version(caller, version);
        Judgement {
            caller: Some(caller.clone()),
            version: is_new.then(|| version.clone()),
            evidence: judgement.evidence.into_iter().chain([evidence]).collect(),
            ..judgement
        }
    }

    /// A caller's span that nobody answers has the most blame: the callee is slow, or it is asked too often.
    fn slow_peer(&self, judgement: Judgement, service: &Text, rows: &[&BlameAnswer]) -> Judgement {
        let worst = rows.iter().find(|b| b.service == *service && b.kind == PEER);
        let judgement = Judgement {
            verdict: Verdict::SlowDependency,
            peer: worst.map(|b| b.peer.clone()),
            operation: worst.map(|b| b.operation.clone()).unwrap_or_default(),
            ..judgement
        };
        match &judgement.peer {
            Some(peer) => self.asked_too_often(judgement.clone(), service, peer),
            None => judgement,
        }
    }

    /// A callee without spans whose calls grew in number more than in length is not slow.
    fn asked_too_often(&self, judgement: Judgement, caller: &Text, peer: &Text) -> Judgement {
        let amplified = amplification(self.answers, peer).filter(|a| a.caller == *caller && a.is_felt());
        let edges = self.answers.edges.get(caller).map_or(&[][..], Vec::as_slice);
        let calls: i64 = edges.iter().filter(|e| e.callee == *peer).map(|e| e.sums.calls).sum();
        let longer = self.longer(caller, peer);
        match amplified {
            Some(amplified) if longer <= amplified.factor => {
                Judgement { verdict: Verdict::Amplification, ..self.amplified(judgement, &amplified) }
            }
            None if longer < GROWN => {
                let unknown = Judgement { verdict: Verdict::Unknown, peer: None, ..judgement };
                self.amplified_above(caller, 0).unwrap_or(unknown)
            }
            // A mean of few calls is soon half as long again.
            None if calls < SLOW_CALLS && longer < SLOW_FEW => {
                Judgement { verdict: Verdict::Unknown, peer: None, ..judgement }
            }
            _ => judgement,
        }
    }

    /// How many times as long calls to somebody take as healthy ones of the same operations; infinity where that is unknown.
    fn longer(&self, caller: &Text, callee: &Text) -> f64 {
        let edges = self.answers.edges.get(caller).map_or(&[][..], Vec::as_slice);
        let (mut now_ns, mut healthy_ns) = (0.0, 0.0);
        for edge in edges.iter().filter(|e| e.callee == *callee) {
            if let Some(call_ns) = self.operations.call_ns(caller, &edge.operation, callee) {
                now_ns += edge.sums.caller_ns as f64;
                healthy_ns += edge.sums.calls as f64 * call_ns;
            }
        }
        if healthy_ns > 0.0 { now_ns / healthy_ns } else { f64::INFINITY }
    }

    /// Whether what was found to be the cause is still there, whatever else its consequences look like by now.
    pub fn still_holds(&self, cause: &Judgement) -> bool {
        let service = &cause.service;
        let Some(now) = self.now.get(service) else { return cause.verdict == Verdict::Unreachable };
        let baseline = self.baseline.service(service);
        let suffers = baseline.is_some_and(|b| now.most_pods_suffer(b) || now.is_slower(b));
        match cause.verdict {
            Verdict::SlowDependency => cause.peer.as_ref().is_some_and(|peer| self.holds_up(service, peer)),
            Verdict::Unreachable => now.loses_calls(),
            Verdict::BadInstance => now.odd_pod(baseline) == cause.pod.as_ref(),
            Verdict::Failing => now.fails_clearly(baseline),
            Verdict::Saturated | Verdict::Exhausted | Verdict::Amplification => suffers,
            Verdict::Regression | Verdict::Degraded => suffers,
            Verdict::Healthy | Verdict::Unknown | Verdict::Blind | Verdict::Partial => false,
        }
    }

    /// A callee without spans is slow or fails, or is not even asked any more because nobody comes to it.
    fn holds_up(&self, service: &Text, peer: &Text) -> bool {
        let edges = self.answers.edges.get(service).map_or(&[][..], Vec::as_slice);
        let to_peer = || edges.iter().filter(|e| e.callee == *peer);
        let calls: i64 = to_peer().map(|e| e.sums.calls).sum();
        let errors: i64 = to_peer().map(|e| e.sums.errors).sum();
        calls == 0 || self.longer(service, peer) > GROWN || 2 * errors > calls
    }

    /// All that a place can hold back: those that call it, and those that call them.
    pub fn callers_of(&self, place: &Text) -> BTreeSet<Text> {
        let (mut found, mut pending) = (BTreeSet::new(), vec![place.clone()]);
        while let Some(callee) = pending.pop() {
            for (caller, edges) in &self.answers.edges {
                if edges.iter().any(|edge| edge.callee == callee) && !found.contains(caller) && *caller != *place {
                    found.insert(caller.clone());
                    pending.push(caller.clone());
                }
            }
        }
        found
    }

    /// Its workers are held by what it calls: the callee whose calls grew most, in length or in number, is the place
    /// to look. None when none of them grew.
    fn follow_callee(
        &self,
        victim: &Judgement,
        service: &Text,
        rows: &[&BlameAnswer],
        depth: usize,
    ) -> Option<Judgement> {
        // By callee: time of its calls now, and of the calls that healthy requests of the same operations make.
        let mut times: BTreeMap<&Text, (f64, f64)> = BTreeMap::new();
        for edge in self.answers.edges.get(service).into_iter().flatten() {
            let call_ns = self.operations.call_ns(service, &edge.operation, &edge.callee);
            let Some(call_ns) = call_ns else { continue };
            let (now_ns, healthy_ns) = times.entry(&edge.callee).or_default();
            *now_ns += edge.sums.caller_ns as f64;
            *healthy_ns += edge.sums.expected_milli as f64 / 1e3 * call_ns;
        }
        let grown = times.into_iter().filter(|(_, (now_ns, healthy_ns))| *now_ns > GROWN * healthy_ns);
        let excess = |(now_ns, healthy_ns): (f64, f64)| now_ns - healthy_ns;
        let (callee, (now_ns, healthy_ns)) =
            grown.max_by(|a, b| excess(a.1).total_cmp(&excess(b.1)).then(b.0.cmp(a.0)))?;
        let growth =
            Evidence { measure: "callee_time_factor".into(), now: now_ns / healthy_ns.max(1.0), baseline: Some(1.0) };
        if self.now.contains_key(callee) && depth < DEPTH_MAX {
            let mut judgement = self.judge_service(callee, rows, depth + 1);
            judgement.evidence.push(growth);
            if judgement.verdict != Verdict::Unknown {
                judgement.victims.push(service.clone());
            }
            return Some(judgement);
        }
        let victim = victim.clone();
        let evidence = victim.evidence.into_iter().chain([growth]).collect();
        let slow = Judgement { verdict: Verdict::SlowDependency, peer: Some(callee.clone()), evidence, ..victim };
        Some(self.asked_too_often(slow, service, callee))
    }
}

/// Errors begin here, or at a callee of its that sends no spans.
fn failing(judgement: Judgement, service: &Text, rows: &[&BlameAnswer], borne_out: bool) -> Judgement {
    let worst = rows.iter().find(|b| b.service == *service && b.kind == PathKind::Error);
    Judgement {
        verdict: Verdict::Failing,
        borne_out,
        peer: worst.map(|b| b.peer.clone()).filter(|peer| !peer.is_empty()),
        operation: worst.map(|b| b.operation.clone()).unwrap_or_default(),
        ..judgement
    }
}

/// Without a baseline (just after a start) only what the window itself shows counts: requests that wait longer
/// than they are served, at a service whose own work holds its workers. Anything else stays unknown.
fn verdict_within_the_window(now: &ServiceState<'_>, waiting_dominates: bool) -> Verdict {
    let (hold_s, own_s) = (now.hold_s(), now.own_s());
    let turned_away = now.sums.refused + now.sums.gave_up;
    let queues = now.wait_s() > hold_s || turned_away > now.sums.requests;
    if waiting_dominates && queues && own_s > hold_s / 2.0 { Verdict::Saturated } else { Verdict::Unknown }
}
