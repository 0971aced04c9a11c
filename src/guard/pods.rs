//! The gates of what changes pods rather than replicas: a restart, a resize. At most one at a time for a workload, and
//! never what would leave it without a pod that serves.

use super::decision::Gate;
use super::gates::{Refusal, Step, held, refuse, telemetry};
use super::review::{Context, Guard};
use super::target::Target;
use crate::decide::{GIVE_BACK, Proposal, Wish};
use crate::model::{Time, Workload};

impl Guard {
    /// Through every gate. `None` where there is nothing to change, or an answer for this target is awaited.
    pub(super) fn pass_pods(&self, proposal: &Proposal, context: &Context<'_>) -> Result<Option<Step>, Refusal> {
        let service = proposal.wish.service();
        let (workload, target) = (context.cluster.workload(service.as_str()), self.targets.get(service));
        if context.paused {
            return refuse(Gate::Pause, "headroom is paused; resume it to let it act");
        }
        let (Some(workload), Some(target)) = (workload, target) else {
            return refuse(Gate::OptIn, format!("no workload of {service} has opted in"));
        };
        if target.awaits(workload) {
            return Ok(None);
        }
        held(workload, Gate::OptIn)?;
        let mut step = Step { from: workload.replicas, to: workload.replicas, notes: Vec::new() };
        telemetry(true, context, None, &self.config)?;
        if proposal.rule == GIVE_BACK {
            return Ok(Some(step)); // what was lent goes back whatever else is going on
        }
        held(workload, Gate::Breaker)?;
        self.breaker(proposal, context.now)?;
        self.one_at_a_time(workload, target, context.now)?;
        let changed = match &proposal.wish {
            Wish::RestartPod { pod, .. } => {
                let Some(()) = restartable(workload, pod)? else { return Ok(None) };
                self.no_other_cause(workload)?;
                1
            }
            Wish::ResizeCpu { factor, .. } => {
                self.resizable(&mut step, workload, *factor)?;
                workload.replicas
            }
            Wish::ScaleOut { .. } | Wish::ScaleIn { .. } | Wish::Notify { .. } => return Ok(None), // go elsewhere
        };
        self.actions_left()?;
        self.changed_left(changed, context)?;
        Ok(Some(step))
    }

    /// An object carries one record, and what the last change did must be seen before the next.
    fn one_at_a_time(&self, workload: &Workload, target: &Target, now: Time) -> Result<(), Refusal> {
        if let Some(open) = &workload.intervention {
            return refuse(Gate::Cooldown, format!("{} is not over yet; one change of its pods at a time", open.id));
        }
        let config = &self.config;
        if let Some(since) = target.pods_refused_since.filter(|since| now >= *since + config.prove_within) {
            let again = since + config.prove_within + config.breaker_open;
            return refuse(
                Gate::Breaker,
                format!("the cluster has refused it since {since}; not asked again until {again}"),
            );
        }
        let lapse = if target.pods_refused_since.is_some() { config.pod_again } else { config.pod_cooldown };
        match target.last_pod_change {
            Some(last) if now < last + lapse => {
                let seconds = lapse.as_secs_f64();
                refuse(Gate::Cooldown, format!("its pods were last changed at {last}, less than {seconds} s ago"))
            }
            _ => Ok(()),
        }
    }

    fn no_other_cause(&self, workload: &Workload) -> Result<(), Refusal> {
        let Some((service, verdict)) = self.causes.other_than_bad_pod_of(&workload.service) else { return Ok(()) };
        let (what, seconds) = (verdict.as_str(), self.config.restart_after_other_cause.as_secs_f64());
        let reason =
            format!("{service} was found {what} less than {seconds} s ago; meanwhile healthy pods are slow too");
        refuse(Gate::Cooldown, reason)
    }

    fn resizable(&self, step: &mut Step, workload: &Workload, factor: f64) -> Result<(), Refusal> {
        if !workload.terms.resizable {
            return refuse(Gate::OptIn, "its owner does not let its pods be resized");
        }
        if factor <= 1.0 {
            return refuse(Gate::Bounds, "less CPU than the template says is never lent");
        }
        let most = self.config.resize_factor_max;
        if factor > most {
            step.notes.push(format!("asked for {factor} times the CPU, cut to {most}: the most that is lent"));
        }
        Ok(())
    }
}

/// Whether a pod may be taken away; None where it is gone already.
fn restartable(workload: &Workload, pod: &str) -> Result<Option<()>, Refusal> {
    if !workload.pods.iter().any(|one| one.name == pod) {
        return Ok(None);
    }
    let others = workload.pods.iter().filter(|one| one.name != pod);
    let (ready, coming): (Vec<_>, Vec<_>) = others.partition(|one| one.ready_at.is_some());
    if ready.is_empty() {
        return refuse(Gate::Bounds, format!("{pod} is its last Ready pod"));
    }
    if !coming.is_empty() || ready.len() as u32 + 1 < workload.replicas {
        return refuse(Gate::Bounds, "not all of its other pods are ready; it loses no further one");
    }
    match &workload.terms.eviction_blocked_by {
        Some(reason) => refuse(Gate::Bounds, reason.clone()),
        None => Ok(Some(())),
    }
}
