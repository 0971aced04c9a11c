//! The gates, in the order a proposal meets them. Each lets it through, cuts it down, or refuses with one
//! sentence. Reasons hold no number that changes from tick to tick, so that the same refusal is recognised.
//!
//! All actions take this one way. Where they differ, the action says so: by its [`Sight`], its [`Pace`] and its own bounds.

use std::time::Duration;

use super::config::{Config, Mode};
use super::decision::{Gate, Refusal};
use super::floors::Bounds;
use super::memory::Memory;
use super::needs::WINDOW_MAX;
use super::review::{Context, Guard};
use crate::action::{Action, Done, Pace, Sight, Slot, Step};
use crate::analyse::{ServiceFinding, SightLevel};
use crate::decide::Proposal;
use crate::model::cluster::replicas;
use crate::model::{Ceiling, Hold, Origin, ServiceId, Time, Workload};

/// What is left of a proposal on its way through the gates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Passing {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Where a gate cut it down.
    pub(super) notes: Vec<String>,
    /// The gates that refuse it, in their order.
    pub(super) refusals: Vec<Refusal>,
}

impl Passing {
    pub(super) fn step(&self) -> Step {
        Step { from: self.from, to: self.to }
    }

    /// A gate's answer. A refusal is kept, once, and the gates behind are asked all the same: what is only observed is
    /// told with all that stands against it.
    fn hear(&mut self, answer: Result<(), Refusal>) {
        self.refusals.extend(answer.err().filter(|refusal| !self.refusals.contains(refusal)));
    }

    fn cut(&mut self, to: u32, why: &str) {
        self.notes.push(format!("asked for {}, cut to {to}: {why}", self.to));
        self.to = to;
    }
}

pub(super) fn refuse<T>(gate: Gate, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { gate, reason: reason.into() })
}

impl Guard {
    /// Through every gate, to its refusals: without any it is let through. `None` where there is nothing to change, or an
    /// answer is awaited.
    pub(super) fn pass(&self, proposal: &Proposal, context: &Context<'_>) -> Option<Passing> {
        let (action, service) = (&proposal.action, proposal.service());
        let slot = action.slot()?; // what touches nothing meets no gate
        let opted_in = context.cluster.workload(service.as_str());
        let finding = context.findings.service(service.as_str());
        if let Some(workload) = opted_in
            && (action.is_moot(workload)
                || self.memories.get(service).is_some_and(|memory| memory.awaits(slot, workload)))
        {
            return None;
        }
        // What would be done is told of services that no cluster knows, too: from the pods that their spans came from.
        let presumed = Workload {
            service: service.clone(),
            replicas: finding.map_or(0, |finding| finding.replicas),
            max_replicas: u32::MAX,
            ..Workload::default()
        };
        let (workload, nothing) = (opted_in.unwrap_or(&presumed), Memory::default());
        let memory = self.memories.get(service).unwrap_or(&nothing);
        let to = action.replicas_asked().unwrap_or(workload.replicas);
        let mut passing = Passing { from: workload.replicas, to, notes: Vec::new(), refusals: Vec::new() };
        let known = finding.is_some() && action.replicas_asked().is_some();
        if opted_in.is_none() && context.mode == Mode::Observe && known && action.is_moot(workload) {
            return None;
        }

        passing.hear(paused(service, context));
        if opted_in.is_none() {
            passing.hear(refuse(Gate::OptIn, format!("no workload of {service} has opted in")));
        }
        passing.hear(held(workload, Gate::OptIn));
        if let Some(objection) = action.owner_objects(workload).filter(|_| opted_in.is_some()) {
            passing.hear(refuse(Gate::OptIn, objection));
        }
        // Who observes is told all the same what would be turned away.
        if action.pace() == Pace::Traffic && !context.gateways_ask && context.mode == Mode::Enforce {
            let reason =
                "no gateway asks which requests may come in; attach one (docs/shaping.md), or limit traffic there";
            passing.hear(refuse(Gate::OptIn, reason));
        }
        passing.hear(telemetry(action.sight(), context, finding, &self.config));

        let (now, pace) = (context.now, action.pace());
        // What was lent goes back whatever else is going on.
        if pace != Pace::Return {
            passing.hear(held(workload, Gate::Breaker));
            passing.hear(self.breaker(proposal, now));
            passing.hear(refused_too_often(slot, memory, now, &self.config));
            passing.hear(cooldown(action, &passing, workload, memory, now, &self.config));
        }
        if let Pace::In { stabilisation_s } = pace {
            let lent = memory.returnable(now, &self.config).filter(|_| proposal.origin == Origin::GiveBack);
            let answer = match lent {
                Some(lent) => back_to(&mut passing, lent.before),
                None => stabilisation(&mut passing, memory, seconds(stabilisation_s), now, &self.config),
            };
            passing.hear(answer);
        }
        match pace {
            // What runs is not known, so that no step can be measured.
            Pace::Out { .. } if opted_in.is_none() && finding.is_none() => {}
            Pace::Out { .. } => {
                let answer = bounds_out(&mut passing, workload, &self.bounds(workload, now), &self.config);
                passing.hear(answer);
                let answer = self.ceilings(&mut passing, workload, context);
                passing.hear(answer);
            }
            Pace::In { .. } => match bounds_in(&mut passing, &self.bounds(workload, now), &self.config) {
                Ok(true) => {}
                // It rests at its minimum. Who observes is told of no change that would be none.
                Ok(false) if passing.refusals.is_empty() || context.mode == Mode::Observe => return None,
                Ok(false) => {}
                Err(refusal) => passing.hear(Err(refusal)),
            },
            // Of what no cluster knows there are no pods to ask about.
            Pace::Pods | Pace::Traffic | Pace::Weights | Pace::Return if opted_in.is_none() => {}
            Pace::Pods | Pace::Traffic | Pace::Weights | Pace::Return => {
                match action.bounds(workload, &self.config.limits()) {
                    Ok(note) => passing.notes.extend(note),
                    Err(reason) => passing.hear(refuse(Gate::Bounds, reason)),
                }
            }
        }
        if action.needs_sole_cause() {
            passing.hear(self.sole_cause(workload));
        }
        let answer = self.budget(action, &mut passing, workload, memory, context);
        passing.hear(answer);
        // A policy that refused other replicas was not asked about pods.
        if slot == Slot::Replicas {
            passing.hear(held(workload, Gate::Admission));
        }
        Some(passing)
    }

    fn breaker(&self, proposal: &Proposal, now: Time) -> Result<(), Refusal> {
        let key = (proposal.origin.clone(), proposal.service().clone());
        match self.breakers.get(&key).filter(|breaker| now < breaker.until) {
            Some(breaker) => refuse(
                Gate::Breaker,
                format!("the breaker of {} for {} is open until {}: {}", key.0, key.1, breaker.until, breaker.cause),
            ),
            None => Ok(()),
        }
    }

    fn sole_cause(&self, workload: &Workload) -> Result<(), Refusal> {
        let Some((service, verdict)) = self.causes.other_than_bad_pod_of(&workload.service) else { return Ok(()) };
        let (found, seconds) = (verdict.as_str(), self.config.restart_after_other_cause.as_secs_f64());
        let reason =
            format!("{service} was found {found} less than {seconds} s ago; meanwhile healthy pods are slow too");
        refuse(Gate::Cooldown, reason)
    }

    /// What headroom may have changed at once over all targets, and how often it may act.
    fn budget(
        &self,
        action: &Action,
        passing: &mut Passing,
        workload: &Workload,
        memory: &Memory,
        context: &Context<'_>,
    ) -> Result<(), Refusal> {
        match action.pace() {
            Pace::Return => Ok(()),
            Pace::Traffic | Pace::Weights => self.actions_left(),
            Pace::Pods => {
                self.actions_left()?;
                self.changed_left(action.at_stake(workload), context)
            }
            Pace::In { .. } => {
                self.actions_left()?;
                // What headroom itself has added is given back freely; below that is a change like others.
                self.changed_left(memory.baseline.unwrap_or(passing.from).saturating_sub(passing.to), context)
            }
            Pace::Out { .. } => {
                self.actions_left()?;
                self.added_left(passing, memory, context)
            }
        }
    }

    /// Cuts a scale-out down to what may still be added.
    fn added_left(&self, passing: &mut Passing, memory: &Memory, context: &Context<'_>) -> Result<(), Refusal> {
        let limit = self.config.added_replicas_max;
        let elsewhere = self.changed(context).saturating_sub(memory.added(passing.from));
        let left = limit.saturating_sub(elsewhere);
        let ceiling = memory.baseline.unwrap_or(passing.from).saturating_add(left);
        if ceiling <= passing.from {
            return refuse(Gate::Budget, format!("headroom has added all of the {limit} replicas it may add at once"));
        }
        if ceiling < passing.to {
            passing.cut(ceiling, &format!("it may add {limit} replicas at once"));
        }
        Ok(())
    }

    /// What the cluster has room for, and what everything that its replicas connect to can bear.
    fn ceilings(&self, passing: &mut Passing, workload: &Workload, context: &Context<'_>) -> Result<(), Refusal> {
        let mut ceilings: Vec<Ceiling> = workload.terms.ceilings.clone();
        for taken in &workload.terms.connections {
            let all = context.cluster.workloads.iter().flat_map(|of| of.terms.connections.iter().map(move |c| (of, c)));
            let (mut most, mut by_others) = (taken.max, 0_u32);
            for (of, connections) in all.filter(|(_, connections)| connections.to == taken.to) {
                most = most.min(connections.max);
                if of.service != workload.service {
                    let ordered =
                        self.memories.get(&of.service).map_or(of.replicas, |memory| memory.ordered(of.replicas));
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
            Some(ceiling) if ceiling.replicas <= passing.from => refuse(Gate::Bounds, ceiling.reason.clone()),
            Some(ceiling) if ceiling.replicas < passing.to => {
                passing.cut(ceiling.replicas, &ceiling.reason);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn actions_left(&self) -> Result<(), Refusal> {
        let limit = self.config.actions_per_minute_max;
        if self.actions.len() < limit {
            return Ok(());
        }
        refuse(Gate::Budget, format!("{limit} changes within a minute are the limit over all targets"))
    }

    /// Whether so many replicas more may be changed, beside all that are.
    fn changed_left(&self, more: u32, context: &Context<'_>) -> Result<(), Refusal> {
        let limit = self.config.added_replicas_max;
        if more == 0 || self.changed(context).saturating_add(more) <= limit {
            return Ok(());
        }
        refuse(Gate::Budget, format!("headroom may have changed {limit} replicas at once, and this would be more"))
    }

    /// Replicas that headroom has changed and that have not come to an end, over all targets.
    fn changed(&self, context: &Context<'_>) -> u32 {
        let of = |w: &Workload| {
            let added = self.memories.get(&w.service).map_or(0, |memory| memory.added(w.replicas));
            let at_stake = |record| Done::of(record).map_or(0, |done| done.at_stake(record, w.replicas));
            w.interventions.iter().map(at_stake).fold(added, u32::saturating_add)
        };
        context.cluster.workloads.iter().map(of).fold(0, u32::saturating_add)
    }
}

fn paused(service: &ServiceId, context: &Context<'_>) -> Result<(), Refusal> {
    if context.pauses.all().is_some() {
        return refuse(Gate::Pause, "headroom is paused; resume it to let it act");
    }
    match context.pauses.of_service(service) {
        Some(_) => refuse(Gate::Pause, format!("{service} is paused; resume it to let headroom act on it")),
        None => Ok(()),
    }
}

/// What the cluster says against a change of this workload, at the gate that it belongs to.
fn held(workload: &Workload, at: Gate) -> Result<(), Refusal> {
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

/// Blind or stale means hold still, but for what was planned; giving back needs good sight of the target too.
fn telemetry(
    sight: Sight,
    context: &Context<'_>,
    finding: Option<&ServiceFinding>,
    config: &Config,
) -> Result<(), Refusal> {
    if sight == Sight::Unneeded {
        return Ok(());
    }
    if context.findings.blind {
        return refuse(Gate::Telemetry, "no spans arrive; nothing is changed while blind");
    }
    if context.now > context.findings.at + config.findings_age_max {
        return refuse(Gate::Telemetry, format!("the last findings are of {}; they are too old", context.findings.at));
    }
    if sight == Sight::Arriving {
        return Ok(());
    }
    if let Some(changed_at) = context.findings.sampling_changed_at.filter(|at| context.now < *at + config.stabilisation)
    {
        let reason = format!("sampling changed at {changed_at}; scale-in is suspended until rates are comparable");
        return refuse(Gate::Telemetry, reason);
    }
    if context.findings.sight.level == SightLevel::Partial {
        return refuse(Gate::Telemetry, "a part of the traces is not seen; nothing is given back meanwhile");
    }
    let is_gap =
        |f: &ServiceFinding| context.findings.missing_parents.iter().any(|gap| gap.service == f.service.as_str());
    match finding {
        None => refuse(Gate::Telemetry, "no spans of it are seen; nothing is given back unseen"),
        Some(f) if f.low_traffic => refuse(Gate::Telemetry, "too few requests to judge what a scale-in would do"),
        Some(f) if is_gap(f) => refuse(Gate::Telemetry, "caller spans are missing; data incomplete"),
        Some(f) if f.objective_missed => {
            refuse(Gate::Telemetry, "an objective that crosses it is missed; nothing is given back meanwhile")
        }
        Some(_) => Ok(()),
    }
}

/// A slot whose changes the cluster went on refusing is left alone for a while.
fn refused_too_often(slot: Slot, memory: &Memory, now: Time, config: &Config) -> Result<(), Refusal> {
    match memory.refused_since.get(&slot) {
        Some(since) if now >= *since + config.prove_within => {
            let again = *since + config.prove_within + config.breaker_open;
            refuse(Gate::Breaker, format!("the cluster has refused it since {since}; not asked again until {again}"))
        }
        _ => Ok(()),
    }
}

fn cooldown(
    action: &Action,
    passing: &Passing,
    workload: &Workload,
    memory: &Memory,
    now: Time,
    config: &Config,
) -> Result<(), Refusal> {
    if let Some(open) = action.waits_for(workload) {
        return refuse(Gate::Cooldown, format!("{} is not over yet; one change of its pods at a time", open.id));
    }
    let still = |what: &str, last: Option<Time>, cooldown: Duration| match last {
        Some(last) if now < last + cooldown => {
            refuse(Gate::Cooldown, format!("{what} at {last}, less than {} s ago", cooldown.as_secs_f64()))
        }
        _ => Ok(()),
    };
    match action.pace() {
        Pace::Out { cooldown_s } => {
            // Pods that are still coming are the answer to the need that they were ordered for.
            if memory.answered_need.is_some_and(|need| passing.to <= need) && workload.ready() < workload.replicas {
                return refuse(Gate::Cooldown, "the pods ordered for this need are still coming");
            }
            let restart = Slot::Pods.open(workload);
            if let Some(restart) = restart.filter(|record| now < record.applied_at + config.scale_out_after_restart) {
                let seconds = config.scale_out_after_restart.as_secs_f64();
                let reason = format!("its pod was restarted at {}, less than {seconds} s ago", restart.applied_at);
                return refuse(Gate::Cooldown, format!("{reason}; what is missing meanwhile is no need of the load"));
            }
            let lapse = seconds(cooldown_s).unwrap_or(config.scale_out_cooldown);
            still("its last scale-out was", memory.last_scale_out, lapse)
        }
        Pace::In { .. } => {
            still("its last scale-out was", memory.last_scale_out, config.scale_in_after_scale_out)?;
            still("its last scale-in was", memory.last_scale_in, config.scale_in_cooldown)
        }
        Pace::Pods => {
            let slot = action.slot().unwrap_or(Slot::Pods);
            let refused = memory.refused_since.contains_key(&slot);
            let lapse = if refused { config.pod_again } else { config.pod_cooldown };
            still("its pods were last changed", memory.last_change_of_pods(slot), lapse)
        }
        // What was let go is not limited again at once, or a load at the edge would be shed and let in by turns. Limits of rates hold side
        // by side: each waits for its own last one alone, unless the cluster refuses them.
        Pace::Traffic => {
            let slot = action.slot().unwrap_or(Slot::Traffic);
            let is_alone = slot == Slot::Rate && !memory.refused_since.contains_key(&slot);
            let last = if is_alone {
                action.replaces(workload).map(|record| record.applied_at)
            } else {
                memory.last_change.get(&slot).copied()
            };
            still("its traffic was last shaped", last, config.shape_cooldown)
        }
        Pace::Weights => {
            let last = memory.last_change.get(&Slot::Weight).copied();
            still("its weights were last moved", last, config.shift_cooldown)
        }
        Pace::Return => Ok(()),
    }
}

/// A scale-in goes to the highest need of its window, never in panic, never on a history shorter than the
/// window.
fn stabilisation(
    passing: &mut Passing,
    memory: &Memory,
    lapse: Option<Duration>,
    now: Time,
    config: &Config,
) -> Result<(), Refusal> {
    if memory.panic_until.is_some_and(|until| now < until) {
        let reason = format!("scale-in held: demand exceeded {}x ready pods", config.panic_factor);
        return refuse(Gate::Stabilisation, reason);
    }
    let window = lapse.unwrap_or(config.stabilisation).max(config.stabilisation).min(WINDOW_MAX);
    let seconds = window.as_secs_f64();
    match memory.needs.known_since() {
        Some(since) if since + window <= now => {}
        Some(since) => {
            let reason = format!("its need is known since {since} only, and the window is {seconds} s");
            return refuse(Gate::Stabilisation, reason);
        }
        None => return refuse(Gate::Stabilisation, "its need is not known"),
    }
    let highest = memory.needs.highest_since(now - window).unwrap_or(passing.from);
    if highest >= passing.from {
        let reason = format!("the load needed {highest} replicas within the last {seconds} s");
        return refuse(Gate::Stabilisation, reason);
    }
    if highest > passing.to {
        let note = format!("asked for {}, held at {highest}: the highest need of {seconds} s", passing.to);
        passing.notes.push(note);
        passing.to = highest;
    }
    Ok(())
}

/// What a floor raised goes back to what ran before it and no further, also where nobody knows what the load needs: a service
/// that was never full would else keep it for ever.
fn back_to(passing: &mut Passing, before: u32) -> Result<(), Refusal> {
    if passing.to < before {
        passing.cut(before, "what ran before its floor");
    }
    if passing.to < passing.from { Ok(()) } else { refuse(Gate::Stabilisation, "its need is not known") }
}

/// The bounds in force, and how far one step out may go.
fn bounds_out(passing: &mut Passing, workload: &Workload, bounds: &Bounds, config: &Config) -> Result<(), Refusal> {
    let Bounds { min, max } = bounds;
    if max.replicas <= passing.from {
        return refuse(Gate::Bounds, format!("it is at its maximum of {} ({})", replicas(max.replicas), max.by));
    }
    let furthest =
        passing.from.saturating_mul(config.step_factor_max).max(passing.from.saturating_add(config.step_replicas_min));
    if passing.to > furthest {
        passing.cut(furthest, "the furthest one step may go");
    }
    let by_owner = workload.terms.step_max.map_or(u32::MAX, |most| passing.from.saturating_add(most));
    if passing.to > by_owner {
        passing.cut(by_owner, "the furthest that its owner lets one step go");
    }
    if passing.to > max.replicas {
        passing.cut(max.replicas, &format!("its maximum ({})", max.by));
    }
    // A need below the minimum is answered with the minimum.
    if passing.to < min.replicas {
        passing.notes.push(format!("asked for {}, raised to {}: its minimum ({})", passing.to, min.replicas, min.by));
        passing.to = min.replicas;
    }
    Ok(())
}

/// The bounds in force, and how far one step in may go. False where it rests at its minimum: that is no refusal, unless
/// the minimum holds for a time only.
fn bounds_in(passing: &mut Passing, bounds: &Bounds, config: &Config) -> Result<bool, Refusal> {
    let Bounds { min, max } = bounds;
    let furthest = (f64::from(passing.from) * config.scale_in_share_min).ceil() as u32;
    if passing.to < furthest {
        passing.cut(furthest, "the furthest one step may go");
    }
    if passing.to < min.replicas {
        if min.replicas >= passing.from && min.is_for_a_time() {
            return refuse(Gate::Bounds, format!("its minimum is {}: {}", min.replicas, min.by));
        }
        passing.cut(min.replicas, &format!("its minimum ({})", min.by));
    }
    if passing.to > max.replicas {
        passing.to = max.replicas; // the maximum was lowered
    }
    Ok(passing.to < passing.from)
}

/// A duration that a rule gave; None where it gave none, or one that is no duration.
fn seconds(given: Option<f64>) -> Option<Duration> {
    given.and_then(|s| Duration::try_from_secs_f64(s).ok())
}

/// The mean waiting at the target as the record keeps it.
pub(super) fn waiting_ns(finding: Option<&ServiceFinding>) -> i64 {
    finding.map_or(0, |f| (f.waiting_ms * 1e6) as i64) // ms to ns
}
