//! One tick's proposals, reviewed: at most one permit a target, and a decision for everything worth saying.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::causes::Causes;
use super::config::{Config, Mode};
use super::decision::{Decision, Outcome, Refusal, Reviewed};
use super::decision_dedup::DecisionDedup;
use super::floors::Floors;
use super::gates::{Passing, waiting_ns};
use super::memory::{Before, Lent, Memory, Pending};
use super::permit::Permit;
use crate::action::{Change, Slot, Step};
use crate::analyse::Findings;
use crate::decide::Proposal;
use crate::model::{
    ClockStep, ClusterState, DecisionId, Hold, InterventionId, InterventionRecord, Origin, Pauses, ServiceId, Time,
    Workload,
};

/// The span of the rate of actions.
const MINUTE: Duration = Duration::from_secs(60);

/// What the guard looks at beside the proposals.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: Time,
    pub mode: Mode,
    pub pauses: &'a Pauses,
    /// The latest state, with the interventions recorded on the objects.
    pub cluster: &'a ClusterState,
    pub findings: &'a Findings,
    /// A gateway asked of late which requests may come in: what is shed would be.
    pub gateways_ask: bool,
}

pub(super) struct Breaker {
    pub(super) until: Time,
    pub(super) cause: String,
}

pub struct Guard {
    pub(super) config: Config,
    /// Of the workloads in the cluster's last state.
    pub(super) memories: BTreeMap<ServiceId, Memory>,
    pub(super) floors: Floors,
    /// By origin and service.
    pub(super) breakers: BTreeMap<(Origin, ServiceId), Breaker>,
    /// When permits were made, over the last minute; never longer than the rate allows.
    pub(super) actions: VecDeque<Time>,
    pub(super) causes: Causes,
    dedup: DecisionDedup,
    /// Ids only rise, whatever the clock does.
    last_id: DecisionId,
}

impl Guard {
    pub fn new(config: Config) -> Guard {
        Guard {
            config,
            memories: BTreeMap::new(),
            floors: Floors::default(),
            breakers: BTreeMap::new(),
            actions: VecDeque::new(),
            causes: Causes::default(),
            dedup: DecisionDedup::default(),
            last_id: DecisionId::new(i64::MIN, 0),
        }
    }

    /// Take over what the objects record, after a restart: cooldowns and the budget go on where they were.
    /// `review` does the same at every tick; this is for a caller that wants it earlier.
    pub fn adopt(&mut self, cluster: &ClusterState) {
        for workload in &cluster.workloads {
            self.memories.entry(workload.service.clone()).or_default().adopt(workload);
            let recorded = workload.interventions.iter().map(|record| record.id.decision());
            self.last_id = recorded.fold(self.last_id, DecisionId::max);
        }
    }

    /// Pass every proposal, and those that the floors make, through the gates. Of several for one service the largest
    /// scale-out wins, and any scale-out that asks for a change silences scale-ins. What asks for no change, and what
    /// was decided alike at an earlier tick already, yields nothing.
    pub fn review(&mut self, mut proposals: Vec<Proposal>, context: &Context<'_>) -> Vec<Reviewed> {
        self.see(&proposals, context);
        proposals.extend(self.floor_proposals(context));
        proposals.extend(self.return_proposals(&proposals, context));
        let mut reviewed = Vec::new();
        let mut by_target: BTreeMap<ServiceId, Vec<Proposal>> = BTreeMap::new();
        for proposal in proposals {
            match proposal.action.slot() {
                None => reviewed.extend(self.decide(proposal, Outcome::Notified, Vec::new(), context)),
                Some(_) => by_target.entry(proposal.service().clone()).or_default().push(proposal),
            }
        }
        // The budget goes to what matters most.
        let priority = |service: &ServiceId| context.cluster.workload(service.as_str()).map_or(0, |w| w.terms.priority);
        let mut by_target: Vec<_> = by_target.into_iter().collect();
        by_target.sort_by_key(|(service, _)| std::cmp::Reverse(priority(service))); // stable: then by name
        for (service, mut candidates) in by_target {
            let replicas = context.cluster.workload(service.as_str()).map_or(0, |w| w.replicas);
            candidates.sort_by(|a, b| {
                let preferred_first = b.action.preference().cmp(&a.action.preference());
                preferred_first.then_with(|| a.origin.cmp(&b.origin))
            });
            let grows = |p: &Proposal| p.action.pace().is_out() && p.action.replicas_asked() > Some(replicas);
            let grows = candidates.iter().any(grows);
            for proposal in candidates {
                if grows && proposal.action.pace().is_in() {
                    break; // sorted: only scale-ins follow
                }
                let Some(passing) = self.pass(&proposal, context) else { continue };
                let is_refused = !passing.refusals.is_empty();
                reviewed.extend(self.outcome(proposal, passing, context));
                if !is_refused {
                    break;
                }
            }
        }
        reviewed
    }

    /// The permit that ends an intervention: its record goes, its replicas stay. None while that is not for
    /// us to do: paused, observing, another replica leads, an answer awaited, or the record already gone.
    pub fn close(&self, service: &ServiceId, intervention: InterventionId, context: &Context<'_>) -> Option<Permit> {
        let workload = context.cluster.workload(service.as_str())?;
        let recorded = workload.record_of(intervention).is_some();
        let awaited = self.memories.get(service).is_some_and(|memory| memory.awaits_any(workload));
        let watches = matches!(workload.held, Some(Hold::Leader { .. } | Hold::Owner { .. }));
        if !recorded || awaited || watches || context.pauses.holds(service) || context.mode == Mode::Observe {
            return None;
        }
        Some(Permit {
            change: Change::Close { service: service.clone(), intervention },
            resource_version: workload.resource_version,
            decision: intervention.decision(),
            valid_until: context.now + self.config.permit_valid,
        })
    }

    /// The cluster answered a permit. What it did not do is undone here too, so that the next tick may decide
    /// anew without waiting for a cooldown. The target waits until this is called and a state that shows the
    /// change is seen, at most until the permit is stale.
    pub fn settled(&mut self, decision: DecisionId, applied: bool) {
        self.memories.values_mut().for_each(|memory| memory.settle(decision, applied));
    }

    /// No further step by this origin on this service for a time: an intervention of its kind had no effect.
    pub fn open_breaker(&mut self, origin: &Origin, service: &ServiceId, cause: &str, now: Time) {
        let breaker = Breaker { until: now + self.config.breaker_open, cause: cause.into() };
        self.breakers.insert((origin.clone(), service.clone()), breaker);
    }

    /// Whether people were told of this by a notification, and its cause goes on.
    pub fn is_notified(&self, origin: &Origin, service: &ServiceId, verdict: &str) -> bool {
        self.dedup.is_notified(origin, service, verdict)
    }

    /// Breakers that are open: whose steps, on which service.
    pub fn open_breakers(&self) -> Vec<(Origin, ServiceId)> {
        self.breakers.keys().cloned().collect()
    }

    /// All clocks stepped: cooldowns, needs and breakers keep their age. Floors stay, as calendars do.
    pub fn step_clock(&mut self, step: ClockStep) {
        self.memories.values_mut().for_each(|memory| memory.step_clock(step));
        step.move_all(self.breakers.values_mut().map(|breaker| &mut breaker.until));
        step.move_all(&mut self.actions);
        self.causes.step_clock(step);
        self.dedup.step_clock(step);
    }

    /// Bring the memory to this tick: targets, needs, panic, and what has run out.
    fn see(&mut self, proposals: &[Proposal], context: &Context<'_>) {
        let now = context.now;
        self.adopt(context.cluster);
        self.memories.retain(|service, _| context.cluster.workload(service.as_str()).is_some());
        for workload in &context.cluster.workloads {
            let found = context.findings.service(workload.service.as_str());
            let found = found.filter(|_| !context.findings.blind);
            let (is_seen, found) = (found.is_some(), found.and_then(|f| f.replicas_needed));
            let proposed = proposals.iter().filter(|p| *p.service() == workload.service);
            let need = proposed.filter_map(|p| p.action.need()).chain(found).max();
            let memory = self.memories.entry(workload.service.clone()).or_default();
            memory.see(workload, need, is_seen, now, &self.config);
        }
        self.causes.see(context.findings, now, self.config.restart_after_other_cause);
        self.breakers.retain(|_, breaker| now < breaker.until);
        if context.findings.blind {
            self.dedup.hold_notified(now);
        }
        self.dedup.forget(now, self.config.repeat_after);
        while self.actions.front().is_some_and(|at| *at + MINUTE <= now) {
            self.actions.pop_front();
        }
    }

    /// What comes of a proposal that was at the gates.
    fn outcome(&mut self, proposal: Proposal, passing: Passing, context: &Context<'_>) -> Option<Reviewed> {
        let Step { from, to } = passing.step();
        if context.mode == Mode::Observe {
            let Passing { notes, refusals: refused_by, .. } = passing;
            return self.decide(proposal, Outcome::Observed { from, to, refused_by }, notes, context);
        }
        match passing.refusals.into_iter().next() {
            Some(Refusal { gate, reason }) => {
                self.decide(proposal, Outcome::Refused { gate, reason }, Vec::new(), context)
            }
            None => self.permit(proposal, Step { from, to }, passing.notes, context),
        }
    }

    fn permit(
        &mut self,
        proposal: Proposal,
        step: Step,
        notes: Vec<String>,
        context: &Context<'_>,
    ) -> Option<Reviewed> {
        let Step { from, to } = step;
        let service = proposal.service().clone();
        let mut reviewed = self.decide(proposal, Outcome::Permitted { from, to }, notes, context)?;
        let workload = context.cluster.workload(service.as_str())?; // the opt-in gate has seen it
        let (decision, now) = (&reviewed.decision, context.now);
        let action = &decision.proposal.action;
        let slot = action.slot()?; // what touches nothing has no permit
        // What a step back leaves of what a floor raised is recorded, so that a successor knows it.
        let left =
            self.memories.get(&service).and_then(|memory| memory.lent).filter(|lent| to < from && lent.before < to);
        let details = left.filter(|_| slot == Slot::Replicas && decision.proposal.origin == Origin::GiveBack);
        let record = InterventionRecord {
            id: decision.id.intervention(),
            origin: decision.proposal.origin.clone(),
            reason: decision.proposal.because.clone(),
            applied_at: now,
            deadline: now + self.config.prove_within,
            replicas_before: first_before(workload, from, to),
            replicas_after: to,
            waiting_ns_before: waiting_ns(context.findings.service(service.as_str())),
            details: details.map(Lent::details),
        };
        let permit = Permit {
            change: action.change(workload, step, record, &self.config.limits())?,
            resource_version: workload.resource_version,
            decision: decision.id,
            valid_until: now + self.config.permit_valid,
        };
        self.actions.push_back(now);
        let memory = self.memories.entry(service).or_default();
        let (last_scale_out, last_scale_in) = (memory.last_scale_out, memory.last_scale_in);
        let (baseline, lent) = (memory.baseline, memory.lent);
        if slot == Slot::Replicas {
            memory.lend(action, from, to);
        }
        let pending = Pending {
            decision: permit.decision,
            resource_version: slot.version(workload),
            valid_until: permit.valid_until,
            answered: false,
            to,
            before: Before { last_scale_out, last_scale_in, baseline, lent },
        };
        memory.pending.insert(slot, pending);
        match slot {
            Slot::Replicas if to > from => {
                memory.last_scale_out = Some(now);
                memory.answered_need = action.replicas_asked();
                memory.baseline.get_or_insert(from);
            }
            Slot::Replicas => memory.last_scale_in = Some(now),
            Slot::Pods | Slot::Cpu | Slot::Traffic | Slot::Rate | Slot::Weight => {
                memory.last_change.insert(slot, now);
            }
        }
        reviewed.permit = Some(permit);
        Some(reviewed)
    }

    /// A decision, unless it is no other than the one before.
    fn decide(
        &mut self,
        proposal: Proposal,
        outcome: Outcome,
        notes: Vec<String>,
        context: &Context<'_>,
    ) -> Option<Reviewed> {
        let target = proposal.action.target();
        let topic = if outcome == Outcome::Notified { proposal.verdict.as_str() } else { target.part() };
        let key = (&proposal.origin, target.service(), topic);
        if !self.dedup.is_new(key, &outcome, context.now, self.config.notify_again) {
            return None;
        }
        self.last_id = self.last_id.next(context.now.second());
        let decision = Decision { id: self.last_id, at: context.now, proposal, outcome, notes };
        Some(Reviewed { decision, permit: None })
    }
}

/// The replicas before this step; of a further step out those before the first, so that a restart still knows what
/// headroom has added: the newer record takes the place of the one before.
fn first_before(workload: &Workload, from: u32, to: u32) -> u32 {
    let open = Slot::Replicas.open(workload).filter(|open| to > from && open.replicas_after > open.replicas_before);
    open.map_or(from, |open| open.replicas_before.min(from))
}
