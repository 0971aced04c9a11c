//! The gates, in the order a proposal meets them. Each lets it through, cuts it down, or refuses with one
//! sentence. Reasons hold no number that changes from tick to tick, so that the same refusal is recognised.

use std::time::Duration;

use super::config::Config;
use super::decision::Gate;
use super::needs::WINDOW_MAX;
use super::review::{Context, Guard};
use super::target::Target;
use crate::analyse::ServiceFinding;
use crate::decide::{Proposal, Wish};
use crate::model::{Ceiling, Deed, Hold, InterventionRecord, Time, Workload};

/// What is left of a proposal on its way through the gates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Where a gate cut it down.
    pub(super) notes: Vec<String>,
}

impl Step {
    pub(super) fn is_out(&self) -> bool {
        self.to > self.from
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) gate: Gate,
    pub(super) reason: String,
}

pub(super) fn refuse<T>(gate: Gate, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { gate, reason: reason.into() })
}

impl Guard {
    /// Through every gate. `None` where there is nothing to change, or an answer for this target is awaited.
    pub(super) fn pass(&self, proposal: &Proposal, context: &Context<'_>) -> Result<Option<Step>, Refusal> {
        let (service, to, is_out, lapse_s) = match &proposal.wish {
            Wish::ScaleOut { service, to, cooldown_s } => (service, *to, true, *cooldown_s),
            Wish::ScaleIn { service, to, stabilisation_s } => (service, *to, false, *stabilisation_s),
            Wish::RestartPod { .. } | Wish::ResizeCpu { .. } => return self.pass_pods(proposal, context),
            Wish::Notify { .. } => return Ok(None), // touches nothing and meets no gate
        };
        let workload = context.cluster.workload(service.as_str());
        let target = self.targets.get(service);
        if let Some(workload) = workload
            && (if is_out { to <= workload.replicas } else { to >= workload.replicas }
                || target.is_some_and(|t| t.awaits(workload)))
        {
            return Ok(None);
        }
        if context.paused {
            return refuse(Gate::Pause, "headroom is paused; resume it to let it act");
        }
        let (Some(workload), Some(target)) = (workload, target) else {
            return refuse(Gate::OptIn, format!("no workload of {service} has opted in"));
        };
        let finding = context.findings.service(service.as_str());
        let lapse = lapse_s.and_then(|s| Duration::try_from_secs_f64(s).ok());
        held(workload, Gate::OptIn)?;
        let mut step = Step { from: workload.replicas, to, notes: Vec::new() };
        telemetry(is_out, context, finding, &self.config)?;
        held(workload, Gate::Breaker)?;
        self.breaker(proposal, context.now)?;
        cooldown(&step, workload, target, lapse, context.now, &self.config)?;
        if !is_out {
            stabilisation(&mut step, target, lapse, context.now, &self.config)?;
        }
        if !bounds(&mut step, workload, &self.config)? {
            return Ok(None);
        }
        if is_out {
            self.ceilings(&mut step, workload, context)?;
        }
        self.budget(&mut step, target, context)?;
        held(workload, Gate::Admission)?;
        Ok(Some(step))
    }

    pub(super) fn breaker(&self, proposal: &Proposal, now: Time) -> Result<(), Refusal> {
        let key = (proposal.rule.clone(), proposal.wish.service().clone());
        match self.breakers.get(&key).filter(|breaker| now < breaker.until) {
            Some(breaker) => refuse(
                Gate::Breaker,
                format!("the breaker of {} for {} is open until {}: {}", key.0, key.1, breaker.until, breaker.cause),
            ),
            None => Ok(()),
        }
    }

    /// What headroom may have added at once over all targets, and how often it may act.
    fn budget(&self, step: &mut Step, target: &Target, context: &Context<'_>) -> Result<(), Refusal> {
        self.actions_left()?;
        if !step.is_out() {
            // What headroom itself has added is given back freely; below that is a change like others.
            return self.changed_left(target.baseline.unwrap_or(step.from).saturating_sub(step.to), context);
        }
        let config = &self.config;
        let all = self.changed(context);
        let here = target.added(step.from);
        let left = config.added_replicas_max.saturating_sub(all.saturating_sub(here));
        let ceiling = target.baseline.unwrap_or(step.from).saturating_add(left);
        let limit = config.added_replicas_max;
        if ceiling <= step.from {
            return refuse(Gate::Budget, format!("headroom has added all of the {limit} replicas it may add at once"));
        }
        if ceiling < step.to {
            step.notes.push(format!("asked for {}, cut to {ceiling}: it may add {limit} replicas at once", step.to));
            step.to = ceiling;
        }
        Ok(())
    }
}

impl Guard {
    /// What the cluster has room for, and what everything that its replicas connect to can bear.
    fn ceilings(&self, step: &mut Step, workload: &Workload, context: &Context<'_>) -> Result<(), Refusal> {
        let mut ceilings: Vec<Ceiling> = workload.terms.ceilings.clone();
        for taken in &workload.terms.connections {
            let all = context.cluster.workloads.iter().flat_map(|of| of.terms.connections.iter().map(move |c| (of, c)));
            let (mut most, mut by_others) = (taken.max, 0_u32);
            for (of, connections) in all.filter(|(_, connections)| connections.to == taken.to) {
                most = most.min(connections.max);
                if of.service != workload.service {
                    let ordered =
                        self.targets.get(&of.service).map_or(of.replicas, |target| target.ordered(of.replicas));
                    by_others = by_others.saturating_add(ordered.saturating_mul(connections.per_replica));
                }
            }
            let replicas = most.saturating_sub(by_others) / taken.per_replica.max(1);
            let reason = format!(
                "{} bears {most} connections, {by_others} are for others, and each replica takes {}",
                taken.to, taken.per_replica
            );
            ceilings.push(Ceiling { replicas, reason });
        }
        ceilings.sort_by_key(|ceiling| ceiling.replicas);
        match ceilings.first() {
            Some(ceiling) if ceiling.replicas <= step.from => refuse(Gate::Bounds, ceiling.reason.clone()),
            Some(ceiling) if ceiling.replicas < step.to => {
                let Ceiling { replicas, reason } = ceiling;
                step.notes.push(format!("asked for {}, cut to {replicas}: {reason}", step.to));
                step.to = *replicas;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn actions_left(&self) -> Result<(), Refusal> {
        let limit = self.config.actions_per_minute_max;
        if self.actions.len() < limit {
            return Ok(());
        }
        refuse(Gate::Budget, format!("{limit} changes within a minute are the limit over all targets"))
    }

    /// Whether so many replicas more may be changed, beside all that are.
    pub(super) fn changed_left(&self, more: u32, context: &Context<'_>) -> Result<(), Refusal> {
        let limit = self.config.added_replicas_max;
        if more == 0 || self.changed(context).saturating_add(more) <= limit {
            return Ok(());
        }
        refuse(Gate::Budget, format!("headroom may have changed {limit} replicas at once, and this would be more"))
    }

    /// Replicas that headroom has changed and that have not come to an end, over all targets.
    fn changed(&self, context: &Context<'_>) -> u32 {
        let of = |w: &Workload| {
            let added = self.targets.get(&w.service).map_or(0, |t| t.added(w.replicas));
            let open = w.intervention.as_ref().map_or(0, |record| match record.deed {
                Deed::Scaled => record.replicas_before.saturating_sub(record.replicas_after),
                Deed::RestartedPod { .. } => 1,
                Deed::ResizedCpu { .. } => w.replicas,
            });
            added.saturating_add(open)
        };
        context.cluster.workloads.iter().map(of).fold(0, u32::saturating_add)
    }
}

/// What the cluster says against a change of this workload, at the gate that it belongs to.
pub(super) fn held(workload: &Workload, at: Gate) -> Result<(), Refusal> {
    let Some(hold) = &workload.held else { return Ok(()) };
    let (gate, reason) = match hold {
        // Who does not lead is as good as paused; there is a workload to say it of only from here on.
        Hold::Leader { leader } => (Gate::Pause, format!("{leader} leads and acts; this replica watches")),
        Hold::Owner { reason } => (Gate::OptIn, reason.clone()),
        Hold::Reverted { manager, until } => (
            Gate::Breaker,
            format!("{manager} undid the last change of {} within a minute; closed again at {until}", workload.service),
        ),
        Hold::Admission { reason } => (Gate::Admission, reason.clone()),
    };
    if gate <= at { refuse(gate, reason) } else { Ok(()) }
}

/// Blind or stale means hold still; giving back needs good sight of the target too.
pub(super) fn telemetry(
    is_out: bool,
    context: &Context<'_>,
    finding: Option<&ServiceFinding>,
    config: &Config,
) -> Result<(), Refusal> {
    if context.findings.blind {
        return refuse(Gate::Telemetry, "no spans arrive; nothing is changed while blind");
    }
    if context.now > context.findings.at + config.findings_age_max {
        return refuse(Gate::Telemetry, format!("the last findings are of {}; they are too old", context.findings.at));
    }
    if is_out {
        return Ok(());
    }
    if let Some(changed_at) = context.findings.sampling_changed_at.filter(|at| context.now < *at + config.stabilisation)
    {
        let reason = format!("senders sample otherwise since {changed_at}; fewer spans are not less load");
        return refuse(Gate::Telemetry, reason);
    }
    let is_gap =
        |f: &ServiceFinding| context.findings.missing_parents.iter().any(|gap| gap.service == f.service.as_str());
    match finding {
        None => refuse(Gate::Telemetry, "no spans of it are seen; nothing is given back unseen"),
        Some(f) if f.low_traffic => refuse(Gate::Telemetry, "too few requests to judge what a scale-in would do"),
        Some(f) if is_gap(f) => refuse(Gate::Telemetry, "spans of its callers are lost; what is seen is a part"),
        Some(f) if f.objective_missed => {
            refuse(Gate::Telemetry, "an objective that crosses it is missed; nothing is given back meanwhile")
        }
        Some(_) => Ok(()),
    }
}

fn cooldown(
    step: &Step,
    workload: &Workload,
    target: &Target,
    lapse: Option<Duration>,
    now: Time,
    config: &Config,
) -> Result<(), Refusal> {
    let still = |what: &str, last: Option<Time>, cooldown: Duration| match last {
        Some(last) if now < last + cooldown => {
            refuse(Gate::Cooldown, format!("its last {what} was at {last}, less than {} s ago", cooldown.as_secs_f64()))
        }
        _ => Ok(()),
    };
    if step.is_out() {
        // Pods that are still coming are the answer to the need that they were ordered for.
        if target.answered_need.is_some_and(|need| step.to <= need) && workload.ready() < workload.replicas {
            return refuse(Gate::Cooldown, "the pods ordered for this need are still coming");
        }
        let restarted = |record: &&InterventionRecord| match record.deed {
            Deed::RestartedPod { .. } => now < record.applied_at + config.scale_out_after_restart,
            Deed::Scaled | Deed::ResizedCpu { .. } => false,
        };
        if let Some(restart) = workload.intervention.as_ref().filter(restarted) {
            let seconds = config.scale_out_after_restart.as_secs_f64();
            let reason = format!("its pod was restarted at {}, less than {seconds} s ago", restart.applied_at);
            return refuse(Gate::Cooldown, format!("{reason}; what is missing meanwhile is no need of the load"));
        }
        return still("scale-out", target.last_scale_out, lapse.unwrap_or(config.scale_out_cooldown));
    }
    still("scale-out", target.last_scale_out, config.scale_in_after_scale_out)?;
    still("scale-in", target.last_scale_in, config.scale_in_cooldown)
}

/// A scale-in goes to the highest need of its window, never in panic, never on a history shorter than the
/// window.
fn stabilisation(
    step: &mut Step,
    target: &Target,
    lapse: Option<Duration>,
    now: Time,
    config: &Config,
) -> Result<(), Refusal> {
    if target.panic_until.is_some_and(|until| now < until) {
        let reason = format!("in panic: the load needed more than {} times its ready pods", config.panic_factor);
        return refuse(Gate::Stabilisation, reason);
    }
    let window = lapse.unwrap_or(config.stabilisation).max(config.stabilisation).min(WINDOW_MAX);
    let seconds = window.as_secs_f64();
    match target.needs.known_since() {
        Some(since) if since + window <= now => {}
        Some(since) => {
            let reason = format!("its need is known since {since} only, and the window is {seconds} s");
            return refuse(Gate::Stabilisation, reason);
        }
        None => return refuse(Gate::Stabilisation, "its need is not known"),
    }
    let highest = target.needs.highest_since(now - window).unwrap_or(step.from);
    if highest >= step.from {
        let reason = format!("the load needed {highest} replicas within the last {seconds} s");
        return refuse(Gate::Stabilisation, reason);
    }
    if highest > step.to {
        step.notes.push(format!("asked for {}, held at {highest}: the highest need of {seconds} s", step.to));
        step.to = highest;
    }
    Ok(())
}

/// The owner's bounds, and how far one step may go. False for a scale-in that is at its minimum: that is
/// where it rests, not a refusal.
fn bounds(step: &mut Step, workload: &Workload, config: &Config) -> Result<bool, Refusal> {
    let cut = |step: &mut Step, to: u32, why: &str| {
        step.notes.push(format!("asked for {}, cut to {to}: {why}", step.to));
        step.to = to;
    };
    if step.is_out() {
        if workload.max_replicas <= step.from {
            return refuse(Gate::Bounds, format!("it is at its maximum of {} replicas", workload.max_replicas));
        }
        let furthest =
            step.from.saturating_mul(config.step_factor_max).max(step.from.saturating_add(config.step_replicas_min));
        if step.to > furthest {
            cut(step, furthest, "the furthest one step may go");
        }
        let by_owner = workload.terms.step_max.map_or(u32::MAX, |most| step.from.saturating_add(most));
        if step.to > by_owner {
            cut(step, by_owner, "the furthest that its owner lets one step go");
        }
        if step.to > workload.max_replicas {
            cut(step, workload.max_replicas, "its maximum");
        }
        // A need below the owner's minimum is answered with the minimum.
        step.to = step.to.max(workload.min_replicas.min(workload.max_replicas));
        return Ok(true);
    }
    let furthest = (f64::from(step.from) * config.scale_in_share_min).ceil() as u32;
    if step.to < furthest {
        cut(step, furthest, "the furthest one step may go");
    }
    if step.to < workload.min_replicas {
        cut(step, workload.min_replicas, "its minimum");
    }
    if step.to > workload.max_replicas {
        step.to = workload.max_replicas; // the owner lowered the maximum
    }
    Ok(step.to < step.from)
}

/// The mean waiting at the target as the record keeps it.
pub(super) fn waiting_ns(finding: Option<&ServiceFinding>) -> i64 {
    finding.map_or(0, |f| (f.waiting_ms * 1e6) as i64) // ms to ns
}
