//! One tick's proposals, reviewed: at most one permit a target, and a decision for everything worth saying.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::causes::Causes;
use super::config::{Config, Mode};
use super::decision::{Decision, Outcome, Reviewed};
use super::decision_dedup::DecisionDedup;
use super::gates::{Refusal, Step, waiting_ns};
use super::permit::{Change, Permit};
use super::target::{Before, Pending, Target};
use crate::analyse::Findings;
use crate::decide::{Proposal, Wish};
use crate::model::{ClockStep, ClusterState, Deed, Hold, InterventionRecord, ServiceId, Time, Workload};

/// The span of the rate of actions.
const MINUTE: Duration = Duration::from_secs(60);

/// What the guard looks at beside the proposals.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: Time,
    pub mode: Mode,
    pub paused: bool,
    /// The latest state, with the interventions recorded on the objects.
    pub cluster: &'a ClusterState,
    pub findings: &'a Findings,
}

pub(super) struct Breaker {
    pub(super) until: Time,
    pub(super) cause: String,
}

pub struct Guard {
    pub(super) config: Config,
    /// Of the workloads in the cluster's last state.
    pub(super) targets: BTreeMap<ServiceId, Target>,
    /// By rule and target.
    pub(super) breakers: BTreeMap<(String, ServiceId), Breaker>,
    /// When permits were made, over the last minute; never longer than the rate allows.
    pub(super) actions: VecDeque<Time>,
    pub(super) causes: Causes,
    said: DecisionDedup,
    /// The second and number of the last id: ids only rise, whatever the clock does.
    last_id: (i64, u32),
}

/// The second and number in `i-<unix seconds>-<n>`; None for an id that somebody else made.
fn id_parts(intervention: &str) -> Option<(i64, u32)> {
    let (second, n) = intervention.strip_prefix("i-")?.rsplit_once('-')?;
    Some((second.parse().ok()?, n.parse().ok()?))
}

/// The decision that an intervention came from: their ids share all but the first letter.
pub fn decision_of(intervention: &str) -> String {
    match intervention.strip_prefix("i-") {
        Some(rest) => format!("d-{rest}"),
        None => intervention.to_string(),
    }
}

impl Guard {
    pub fn new(config: Config) -> Guard {
        Guard {
            config,
            targets: BTreeMap::new(),
            breakers: BTreeMap::new(),
            actions: VecDeque::new(),
            causes: Causes::default(),
            said: DecisionDedup::default(),
            last_id: (i64::MIN, 0),
        }
    }

    /// Take over what the objects record, after a restart: cooldowns and the budget go on where they were.
    /// `review` does the same at every tick; this is for a caller that wants it earlier.
    pub fn adopt(&mut self, cluster: &ClusterState) {
        for workload in &cluster.workloads {
            self.targets.entry(workload.service.clone()).or_default().adopt(workload);
            let recorded = workload.intervention.as_ref().and_then(|record| id_parts(&record.id));
            self.last_id = self.last_id.max(recorded.unwrap_or(self.last_id));
        }
    }

    /// Pass every proposal through the gates. Of several for one target the largest scale-out wins, and any
    /// scale-out that asks for a change silences scale-ins. What asks for no change, and what was said at an
    /// earlier tick already, yields nothing.
    pub fn review(&mut self, proposals: Vec<Proposal>, context: &Context<'_>) -> Vec<Reviewed> {
        self.see(&proposals, context);
        let mut reviewed = Vec::new();
        let mut by_target: BTreeMap<ServiceId, Vec<Proposal>> = BTreeMap::new();
        for proposal in proposals {
            match &proposal.wish {
                Wish::Notify { .. } => reviewed.extend(self.decide(proposal, Outcome::Notified, Vec::new(), context)),
                wish => by_target.entry(wish.service().clone()).or_default().push(proposal),
            }
        }
        // The budget goes to what matters most.
        let priority = |service: &ServiceId| context.cluster.workload(service.as_str()).map_or(0, |w| w.terms.priority);
        let mut by_target: Vec<_> = by_target.into_iter().collect();
        by_target.sort_by_key(|(service, _)| std::cmp::Reverse(priority(service))); // stable: then by name
        for (service, mut candidates) in by_target {
            let replicas = context.cluster.workload(service.as_str()).map_or(0, |w| w.replicas);
            candidates.sort_by(|a, b| preference(&b.wish).cmp(&preference(&a.wish)).then_with(|| a.rule.cmp(&b.rule)));
            let grows = candidates.iter().any(|p| matches!(p.wish, Wish::ScaleOut { to, .. } if to > replicas));
            for proposal in candidates {
                if grows && matches!(proposal.wish, Wish::ScaleIn { .. }) {
                    break; // sorted: only scale-ins follow
                }
                match self.pass(&proposal, context) {
                    Ok(None) => {}
                    Ok(Some(step)) => {
                        reviewed.extend(self.permit(proposal, step, context));
                        break;
                    }
                    Err(Refusal { gate, reason }) => {
                        let outcome = Outcome::Refused { gate, reason };
                        reviewed.extend(self.decide(proposal, outcome, Vec::new(), context));
                    }
                }
            }
        }
        reviewed
    }

    /// The permit that ends an intervention: its record goes, its replicas stay. None while that is not for
    /// us to do: paused, observing, another replica leads, an answer awaited, or the record already gone.
    pub fn close(&self, service: &ServiceId, intervention: &str, context: &Context<'_>) -> Option<Permit> {
        let workload = context.cluster.workload(service.as_str())?;
        let recorded = workload.intervention.as_ref().is_some_and(|record| record.id == intervention);
        let awaited = self.targets.get(service).is_some_and(|target| target.awaits(workload));
        let watches = matches!(workload.held, Some(Hold::Leader { .. } | Hold::Owner { .. }));
        if !recorded || awaited || watches || context.paused || context.mode == Mode::Observe {
            return None;
        }
        Some(Permit {
            change: Change::Close { service: service.clone(), intervention: intervention.into() },
            resource_version: workload.resource_version,
            decision: decision_of(intervention),
            valid_until: context.now + self.config.permit_valid,
        })
    }

    /// The cluster answered a permit. What it did not do is undone here too, so that the next tick may decide
    /// anew without waiting for a cooldown. The target waits until this is called and a state that shows the
    /// change is seen, at most until the permit is stale.
    pub fn settled(&mut self, decision: &str, applied: bool) {
        for target in self.targets.values_mut() {
            // A close goes by the id of the same decision and must not undo what was answered before it.
            let open = |pending: &&mut Pending| pending.decision == decision && !pending.answered;
            let Some(pending) = target.pending.as_mut().filter(open) else { continue };
            if applied {
                pending.answered = true;
                if pending.changes_pods {
                    target.pods_refused_since = None;
                }
                continue;
            }
            if pending.changes_pods {
                // Its time stays: what was refused is asked for again after a while, not at the next tick.
                target.pods_refused_since = target.pods_refused_since.or(target.last_pod_change);
                target.pending = None;
                continue;
            }
            let Before { last_scale_out, last_scale_in, baseline } = pending.before;
            (target.last_scale_out, target.last_scale_in, target.baseline) = (last_scale_out, last_scale_in, baseline);
            target.answered_need = None;
            target.pending = None;
        }
    }

    /// No further step by this rule on this target for a time: an intervention of its kind had no effect.
    pub fn open_breaker(&mut self, rule: &str, service: &ServiceId, cause: &str, now: Time) {
        let breaker = Breaker { until: now + self.config.breaker_open, cause: cause.into() };
        self.breakers.insert((rule.into(), service.clone()), breaker);
    }

    /// All clocks stepped: cooldowns, needs and breakers keep their age.
    pub fn step_clock(&mut self, step: ClockStep) {
        self.targets.values_mut().for_each(|target| target.step_clock(step));
        step.move_all(self.breakers.values_mut().map(|breaker| &mut breaker.until));
        step.move_all(&mut self.actions);
        self.causes.step_clock(step);
        self.said.step_clock(step);
    }

    /// Bring the memory to this tick: targets, needs, panic, and what has run out.
    fn see(&mut self, proposals: &[Proposal], context: &Context<'_>) {
        let now = context.now;
        self.adopt(context.cluster);
        self.targets.retain(|service, _| context.cluster.workload(service.as_str()).is_some());
        for workload in &context.cluster.workloads {
            let found = context.findings.service(workload.service.as_str());
            let found = found.filter(|_| !context.findings.blind).and_then(|f| f.replicas_needed);
            let wished = proposals.iter().filter_map(|p| match &p.wish {
                Wish::ScaleOut { service, to, .. } if *service == workload.service => Some(*to),
                _ => None,
            });
            let need = wished.chain(found).max();
            let target = self.targets.entry(workload.service.clone()).or_default();
            target.see(workload, need, now, &self.config);
        }
        self.causes.see(context.findings, now, self.config.restart_after_other_cause);
        self.breakers.retain(|_, breaker| now < breaker.until);
        self.said.forget(now, self.config.repeat_after, self.config.notify_again);
        while self.actions.front().is_some_and(|at| *at + MINUTE <= now) {
            self.actions.pop_front();
        }
    }

    fn permit(&mut self, proposal: Proposal, step: Step, context: &Context<'_>) -> Option<Reviewed> {
        let Step { from, to, notes } = step;
        if context.mode == Mode::Observe {
            return self.decide(proposal, Outcome::Observed { from, to }, notes, context);
        }
        let service = proposal.wish.service().clone();
        let mut reviewed = self.decide(proposal, Outcome::Permitted { from, to }, notes, context)?;
        let workload = context.cluster.workload(service.as_str())?; // the opt-in gate has seen it
        let (decision, now) = (&reviewed.decision, context.now);
        // One object carries one record. A further scale-out replaces the open one's and keeps what was there
        // before the first, so that a restart still knows what headroom has added.
        let before_first = workload.intervention.as_ref().filter(|r| to > from && r.replicas_after > r.replicas_before);
        let record = InterventionRecord {
            id: format!("i-{}", decision.id.trim_start_matches("d-")),
            rule: decision.proposal.rule.clone(),
            reason: decision.proposal.because.clone(),
            applied_at: now,
            deadline: now + self.config.prove_within,
            replicas_before: before_first.map_or(from, |r| r.replicas_before.min(from)),
            replicas_after: to,
            waiting_ns_before: waiting_ns(context.findings.service(service.as_str())),
            deed: Deed::Scaled,
        };
        let change = self.change(&decision.proposal.wish, workload, (from, to), record, now)?;
        let changes_pods = !matches!(change, Change::Scale { .. });
        let asked = if let Wish::ScaleOut { to, .. } = decision.proposal.wish { to } else { to };
        let permit = Permit {
            change,
            resource_version: workload.resource_version,
            decision: decision.id.clone(),
            valid_until: now + self.config.permit_valid,
        };
        self.actions.push_back(now);
        let target = self.targets.entry(service).or_default();
        let (last_scale_out, last_scale_in, baseline) = (target.last_scale_out, target.last_scale_in, target.baseline);
        target.pending = Some(Pending {
            decision: permit.decision.clone(),
            resource_version: permit.resource_version,
            valid_until: permit.valid_until,
            answered: false,
            to,
            changes_pods,
            before: Before { last_scale_out, last_scale_in, baseline },
        });
        if changes_pods {
            target.last_pod_change = Some(now);
        } else if to > from {
            target.last_scale_out = Some(now);
            target.answered_need = Some(asked);
            target.baseline.get_or_insert(from);
        } else {
            target.last_scale_in = Some(now);
        }
        reviewed.permit = Some(permit);
        Some(reviewed)
    }

    /// What a wish comes to, with its record.
    fn change(
        &self,
        wish: &Wish,
        workload: &Workload,
        (from, to): (u32, u32),
        record: InterventionRecord,
        now: Time,
    ) -> Option<Change> {
        let service = workload.service.clone();
        Some(match wish {
            Wish::RestartPod { pod, .. } => {
                // The bounds gate has seen it.
                let created_at = workload.pods.iter().find(|one| one.name == *pod)?.created_at;
                let deed = Deed::RestartedPod { pod: pod.clone(), created_at };
                Change::RestartPod {
                    service,
                    pod: pod.clone(),
                    created_at,
                    record: InterventionRecord { deed, ..record },
                }
            }
            Wish::ResizeCpu { factor, lasting_s, .. } => {
                let factor = factor.clamp(1.0, self.config.resize_factor_max);
                let lasting = Duration::try_from_secs_f64(*lasting_s).unwrap_or(self.config.resize_lasting_max);
                let deadline = now + lasting.min(self.config.resize_lasting_max);
                let record = InterventionRecord { deed: Deed::ResizedCpu { factor }, deadline, ..record };
                Change::ResizeCpu { service, factor, record }
            }
            _ => Change::Scale { service, from, to, record },
        })
    }

    /// A decision, unless the same was said already.
    fn decide(
        &mut self,
        proposal: Proposal,
        outcome: Outcome,
        notes: Vec<String>,
        context: &Context<'_>,
    ) -> Option<Reviewed> {
        let (rule, service) = (proposal.rule.as_str(), proposal.wish.service());
        let topic = match (&proposal.wish, &outcome) {
            (_, Outcome::Notified) => proposal.verdict.as_str(),
            (Wish::RestartPod { pod, .. }, _) => pod,
            _ => "",
        };
        if !self.said.is_new((rule, service, topic), &outcome, context.now, self.config.notify_again) {
            return None;
        }
        let (second, n) = self.last_id;
        self.last_id = if second < context.now.second() { (context.now.second(), 1) } else { (second, n + 1) };
        let id = format!("d-{}-{}", self.last_id.0, self.last_id.1);
        let decision = Decision { id, at: context.now, proposal, outcome, notes };
        Some(Reviewed { decision, permit: None })
    }
}

/// Larger is preferred: scale-outs, then what changes pods, then scale-ins; the larger need first of either.
fn preference(wish: &Wish) -> (u8, u32) {
    match wish {
        Wish::ScaleOut { to, .. } => (3, *to),
        Wish::RestartPod { .. } => (2, 0),
        Wish::ResizeCpu { .. } => (1, 0),
        Wish::ScaleIn { to, .. } => (0, *to),
        Wish::Notify { .. } => (0, 0),
    }
}
