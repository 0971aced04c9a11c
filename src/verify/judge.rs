//! One intervention on its way, as a state with its transitions. [`State::next`] is the whole of it: from a state and
//! what a tick shows to the next state and what is to be reported. What it promises is a
//! [`Criterion`](crate::action::Criterion) of its action: `scaling.rs` and `pods.rs` judge by it.

use std::collections::BTreeSet;

use super::config::Config;
use super::relief::Relief;
use super::report::{InterventionReport, Stage};
use super::shaping::{Shaping, runs_out};
use super::verifier::Verification;
use crate::action::{Criterion, Done};
use crate::analyse::{Findings, ServiceFinding};
use crate::decide::Proposal;
use crate::model::cluster::replicas;
use crate::model::{ClockStep, ClusterState, InterventionRecord, Origin, ServiceId, Time, Workload};

const NS_PER_MS: f64 = 1e6;

/// An intervention, its last report, and where it stands.
pub(super) struct Watch {
    pub(super) report: InterventionReport,
    pub(super) record: InterventionRecord,
    pub(super) done: Done,
    pub(super) state: State,
}

/// Where an intervention stands, with all that is remembered of it there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// Written; its pods come or go.
    Applied(Applied),
    /// At work since then; its effect is judged.
    Judging(Judging),
    /// Held until the deadline, then given back.
    Held,
    /// Requests go elsewhere until the deadline.
    Relief(Relief),
    /// Traffic is kept away until the load fits again.
    Shaping(Shaping),
    /// It ends at its deadline.
    RunsOut,
    /// It had no effect and is given back once calm has lasted.
    Owed { calm_since: Option<Time> },
    /// It has ended; the removal of its record was asked for then.
    Ended { close_asked_at: Option<Time> },
    /// Nothing is left to follow.
    Gone,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Applied {
    /// The worst waiting from the decision until the pods are warm, in milliseconds. A burst is often answered
    /// before its queue has built up; judged against that first moment alone the right answer would look useless.
    pub(super) waiting_ms_worst: f64,
    pub(super) is_reported_late: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judging {
    /// When its pods were ready and warm.
    pub(super) warm_at: Time,
    pub(super) waiting_ms_worst: f64,
}

/// What a tick shows of one intervention.
pub(super) struct Tick<'a> {
    pub(super) now: Time,
    pub(super) report: &'a InterventionReport,
    pub(super) record: &'a InterventionRecord,
    pub(super) done: &'a Done,
    pub(super) criterion: Criterion,
    /// When the cluster was so, and its workload; None where it is gone or opted out.
    pub(super) cluster_at: Time,
    pub(super) workload: Option<&'a Workload>,
    pub(super) findings: &'a Findings,
    /// The finding on its service, where telemetry is there and tells enough.
    pub(super) sight: Option<&'a ServiceFinding>,
    pub(super) pods_with_spans: Option<&'a BTreeSet<String>>,
    /// It holds what nobody asks for any more.
    pub(super) is_dropped: bool,
    pub(super) config: &'a Config,
}

/// The next state, and what is to be reported on the way there.
pub(super) type Next = (State, Vec<Verification>);

impl Watch {
    pub(super) fn new(service: ServiceId, record: InterventionRecord, done: Done, from: u32, reason: String) -> Watch {
        let waiting_ms_before = record.waiting_ns_before as f64 / NS_PER_MS;
        let report = InterventionReport {
            id: record.id,
            decision: record.id.decision(),
            origin: record.origin.clone(),
            service,
            from,
            to: record.replicas_after,
            applied_at: record.applied_at,
            deadline: record.deadline,
            stage: Stage::Applied,
            reason,
            waiting_ms_before,
            waiting_ms_now: None,
            idle_pods: Vec::new(),
        };
        let state = match done.criterion(&record) {
            Criterion::LessWaiting
            | Criterion::LoadIsCarried
            | Criterion::PodsAlike { .. }
            | Criterion::Returned(_) => {
                State::Applied(Applied { waiting_ms_worst: waiting_ms_before, is_reported_late: false })
            }
            Criterion::Held => State::Held,
            Criterion::Relieved => State::Relief(Relief::default()),
            Criterion::ShorterQueue => {
                State::Shaping(Shaping { queue_ms_worst: waiting_ms_before, ..Shaping::default() })
            }
            Criterion::RunsOut => State::RunsOut,
        };
        Watch { report, record, done, state }
    }

    /// All clocks stepped: what is remembered keeps its age.
    pub(super) fn step_clock(&mut self, step: ClockStep) {
        let Watch { report, record, state, .. } = self;
        step.move_all([&mut report.applied_at, &mut report.deadline, &mut record.applied_at, &mut record.deadline]);
        match state {
            State::Judging(judging) => step.move_all([&mut judging.warm_at]),
            State::Owed { calm_since: since } | State::Ended { close_asked_at: since } => step.move_all(since),
            State::Shaping(shaping) => step.move_all(&mut shaping.fits_since),
            State::Relief(relief) => relief.step_clock(step),
            State::Applied(_) | State::Held | State::RunsOut | State::Gone => {}
        }
    }

    /// Moves on by one tick.
    pub(super) fn tick(
        &mut self,
        now: Time,
        findings: &Findings,
        cluster: &ClusterState,
        pods_with_spans: Option<&BTreeSet<String>>,
        is_dropped: bool,
        config: &Config,
    ) -> Vec<Verification> {
        let service = self.report.service.as_str();
        let sight = findings.service(service).filter(|f| !findings.blind && !f.low_traffic);
        self.report.waiting_ms_now = sight.map(|f| f.waiting_ms);
        let workload = cluster.workload(service);
        if let (State::Judging(_), Some(workload)) = (&self.state, workload) {
            self.report.idle_pods = idle_pods(workload, pods_with_spans, now, config);
        }
        let tick = Tick {
            now,
            report: &self.report,
            record: &self.record,
            done: &self.done,
            criterion: self.done.criterion(&self.record),
            cluster_at: cluster.at,
            workload,
            findings,
            sight,
            pods_with_spans,
            is_dropped,
            config,
        };
        let (state, reported) = self.state.clone().next(&tick);
        self.state = state;
        for one in &reported {
            if let Verification::Reported(report) = one {
                self.report = report.clone();
            }
        }
        reported
    }

    /// It is to be given back, so that a return is its end.
    pub(super) fn is_owed(&self) -> bool {
        match self.state {
            State::Held | State::Relief(_) | State::Owed { .. } => true,
            State::Applied(_)
            | State::Judging(_)
            | State::Shaping(_)
            | State::RunsOut
            | State::Ended { .. }
            | State::Gone => false,
        }
    }
}

impl State {
    /// The next state, and what is to be reported.
    pub(super) fn next(self, tick: &Tick<'_>) -> Next {
        let Some(workload) = tick.workload else { return self.without_workload(tick) };
        if workload.record_of(tick.record.id).is_none() {
            if tick.done.is_out_of_sight(workload) {
                return (self, Vec::new());
            }
            return self.without_record(tick);
        }
        match self {
            State::Applied(applied) => applied.next(tick, workload),
            State::Judging(judging) => judging.next(tick, workload),
            State::Held => held(tick, workload),
            State::Relief(relief) => relief.next(tick, workload),
            State::Shaping(shaping) => shaping.next(tick),
            State::RunsOut => runs_out(tick),
            State::Owed { calm_since } => owed(calm_since, tick, workload),
            State::Ended { close_asked_at } => ended(close_asked_at, tick),
            State::Gone => (State::Gone, Vec::new()),
        }
    }

    fn is_end(&self) -> bool {
        matches!(self, State::Ended { .. } | State::Gone)
    }

    /// Any state → Gone: its workload is gone. A snapshot from before the write says nothing.
    fn without_workload(self, tick: &Tick<'_>) -> Next {
        if tick.cluster_at < tick.record.applied_at {
            return (self, Vec::new());
        }
        let is_end = self.is_end() || matches!(self, State::Owed { .. });
        let reported = (!is_end).then(|| tick.enter(Stage::Superseded, "its workload is gone or opted out"));
        (State::Gone, reported.into_iter().collect())
    }

    /// Ended → Gone: its record is off the object, as was asked for. Any other state → Gone, once the snapshot is late
    /// enough to know: another hand took it off.
    fn without_record(self, tick: &Tick<'_>) -> Next {
        let is_end = self.is_end() || matches!(self, State::Owed { .. });
        let was_removed = tick.cluster_at > tick.record.applied_at + tick.config.close_again;
        match (is_end, was_removed) {
            (true, _) => (State::Gone, Vec::new()),
            (false, true) => {
                let reason = "its record was removed from the object by another hand";
                (State::Gone, vec![tick.enter(Stage::Superseded, reason)])
            }
            (false, false) => (self, Vec::new()),
        }
    }
}

impl Applied {
    fn next(self, tick: &Tick<'_>, workload: &Workload) -> Next {
        match &tick.criterion {
            Criterion::LessWaiting | Criterion::LoadIsCarried => {
                tick.another_hand(workload).unwrap_or_else(|| self.await_replicas(tick, workload))
            }
            Criterion::PodsAlike { pod, created_at } => self.await_successor(tick, workload, pod, *created_at),
            // Applied → Ended: nothing was promised.
            Criterion::Returned(reason) => tick.end(Stage::Verified, reason),
            Criterion::Held | Criterion::Relieved | Criterion::ShorterQueue | Criterion::RunsOut => {
                held(tick, workload)
            }
        }
    }
}

impl Judging {
    fn next(self, tick: &Tick<'_>, workload: &Workload) -> Next {
        match &tick.criterion {
            Criterion::LessWaiting => tick.another_hand(workload).unwrap_or_else(|| self.judge_less_waiting(tick)),
            Criterion::LoadIsCarried => tick.another_hand(workload).unwrap_or_else(|| self.judge_load_carried(tick)),
            Criterion::PodsAlike { pod, .. } => self.judge_pods_alike(tick, pod),
            Criterion::Held
            | Criterion::Relieved
            | Criterion::ShorterQueue
            | Criterion::RunsOut
            | Criterion::Returned(_) => (State::Judging(self), Vec::new()),
        }
    }
}

/// Held → Held, asking for the return from the deadline on, or once nobody asks for it; the return takes its place. Held → Ended: another hand set
/// other replicas than were held.
fn held(tick: &Tick<'_>, workload: &Workload) -> Next {
    if let Some(next) = tick.another_hand(workload) {
        return next;
    }
    let is_over = tick.now >= tick.done.held_until(tick.record);
    let reported = match tick.is_dropped {
        _ if is_over => tick.give_back(),
        true => tick.give_back_early(),
        false => Vec::new(),
    };
    (State::Held, reported)
}

/// Owed → Ended: fewer replicas run. Owed → Owed otherwise, asking for the return once calm has lasted: nothing is undone
/// before. The record stays on the object until then, so that a crash does not forget what is owed.
fn owed(calm_since: Option<Time>, tick: &Tick<'_>, workload: &Workload) -> Next {
    if workload.replicas < tick.report.to {
        return tick.end(Stage::GivenBack, &format!("back at {}", replicas(workload.replicas)));
    }
    let calm_since = match tick.sight {
        Some(sight) if !sight.objective_missed => calm_since.or(Some(tick.now)),
        _ => None,
    };
    let has_lasted = calm_since.is_some_and(|since| tick.now >= since + tick.config.calm);
    (State::Owed { calm_since }, if has_lasted { tick.give_back() } else { Vec::new() })
}

/// Ended → Ended, asking again where the record is still there after a while.
fn ended(close_asked_at: Option<Time>, tick: &Tick<'_>) -> Next {
    if close_asked_at.is_some_and(|asked| tick.now < asked + tick.config.close_again) {
        return (State::Ended { close_asked_at }, Vec::new());
    }
    let close = Verification::Close { service: tick.report.service.clone(), intervention: tick.report.id };
    (State::Ended { close_asked_at: Some(tick.now) }, vec![close])
}

impl Tick<'_> {
    /// A report of a new stage.
    pub(super) fn enter(&self, stage: Stage, reason: &str) -> Verification {
        Verification::Reported(InterventionReport { stage, reason: reason.into(), ..self.report.clone() })
    }

    /// Any state → Ended, with its record to be removed.
    pub(super) fn end(&self, stage: Stage, reason: &str) -> Next {
        let (state, mut close) = ended(None, self);
        close.insert(0, self.enter(stage, reason));
        (state, close)
    }

    /// Any state → Owed, or Ended where nothing can be given back: no effect, and the breaker opens.
    pub(super) fn no_effect(&self, cause: &str) -> Next {
        let mut reported = self.in_vain(cause);
        if self.criterion == Criterion::LessWaiting {
            return (State::Owed { calm_since: None }, reported);
        }
        let (state, close) = ended(None, self);
        reported.extend(close);
        (state, reported)
    }

    /// It had no effect, and its origin does not try again for a while.
    pub(super) fn in_vain(&self, cause: &str) -> Vec<Verification> {
        vec![self.enter(Stage::NoEffect, cause), self.open_breaker(format!("{} had no effect", self.report.id))]
    }

    fn open_breaker(&self, cause: String) -> Verification {
        let (origin, service) = (self.report.origin.clone(), self.report.service.clone());
        Verification::OpenBreaker { origin, service, cause }
    }

    /// Applied, Judging, Held or Relief → Ended: the replicas, or whatever else it set, are no longer so.
    pub(super) fn another_hand(&self, workload: &Workload) -> Option<Next> {
        if let Some(reason) = self.done.overruled(workload) {
            // Whoever set it knows why; it is not set again at the next tick.
            let (state, mut reported) = self.end(Stage::Superseded, &reason);
            reported.push(self.open_breaker(reason));
            return Some((state, reported));
        }
        let sets_replicas = self.record.replicas_after != self.record.replicas_before;
        let reason = format!("another hand set {}", replicas(workload.replicas));
        (sets_replicas && workload.replicas != self.report.to).then(|| self.end(Stage::Superseded, &reason))
    }

    /// As [`Self::give_back`], before its time.
    fn give_back_early(&self) -> Vec<Verification> {
        let InterventionReport { service, origin, to, .. } = self.report;
        let because = format!("{} asks for {} of {service} no more", origin.in_words(), replicas(*to));
        let mut back = self.give_back();
        for one in &mut back {
            if let Verification::GiveBack(proposal) = one {
                proposal.because.clone_from(&because);
            }
        }
        back
    }

    /// A proposal like a rule's: it passes the guard.
    pub(super) fn give_back(&self) -> Vec<Verification> {
        let back = self.done.give_back(&self.report.service, self.record);
        let proposal =
            |(action, because)| Proposal { origin: Origin::GiveBack, action, because, verdict: String::new() };
        back.map(proposal).map(Verification::GiveBack).into_iter().collect()
    }
}

/// Ready and warm pods that no span came from, while spans do name pods of this service.
pub(super) fn idle_pods(
    workload: &Workload,
    seen: Option<&BTreeSet<String>>,
    now: Time,
    config: &Config,
) -> Vec<String> {
    let Some(seen) = seen.filter(|seen| !seen.is_empty()) else { return Vec::new() };
    let warm = |ready_at: Option<Time>| ready_at.is_some_and(|at| at + config.warm_up <= now);
    let idle = workload.pods.iter().filter(|pod| warm(pod.ready_at) && !seen.contains(&pod.name));
    idle.map(|pod| pod.name.clone()).collect()
}
