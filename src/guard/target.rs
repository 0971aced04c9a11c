//! What the guard remembers of one target between ticks. All of it is derived again from the cluster's
//! records and from what is seen, so a crash forgets nothing that could do harm.

use super::config::Config;
use super::needs::Needs;
use crate::model::{ClockStep, Time, Workload};

#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    pub(super) needs: Needs,
    pub(super) last_scale_out: Option<Time>,
    pub(super) last_scale_in: Option<Time>,
    /// The last restart or resize, done or refused.
    pub(super) last_pod_change: Option<Time>,
    /// Since when the cluster refuses those.
    pub(super) pods_refused_since: Option<Time>,
    /// The need that the last scale-out answered, until its pods are ready: no second step is taken for it.
    pub(super) answered_need: Option<u32>,
    /// Replicas before headroom added any; None while it has added none.
    pub(super) baseline: Option<u32>,
    pub(super) panic_until: Option<Time>,
    /// A permit whose answer is awaited: the next step waits for it, or until it is stale.
    pub(super) pending: Option<Pending>,
}

#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) decision: String,
    pub(super) resource_version: u64,
    pub(super) valid_until: Time,
    /// The cluster said it did it; the state that shows so may still be on its way.
    pub(super) answered: bool,
    pub(super) to: u32,
    /// It scales nothing.
    pub(super) changes_pods: bool,
    /// What to return to when the cluster did not do it.
    pub(super) before: Before,
}

#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) last_scale_out: Option<Time>,
    pub(super) last_scale_in: Option<Time>,
    pub(super) baseline: Option<u32>,
}

impl Target {
    /// Take over what the object itself records, whoever wrote it.
    pub(super) fn adopt(&mut self, workload: &Workload) {
        let Some(record) = &workload.intervention else { return };
        if !record.deed.is_scaling() {
            self.last_pod_change = self.last_pod_change.max(Some(record.applied_at));
        } else if record.replicas_after > record.replicas_before {
            self.last_scale_out = self.last_scale_out.max(Some(record.applied_at));
            self.baseline.get_or_insert(record.replicas_before);
        } else {
            self.last_scale_in = self.last_scale_in.max(Some(record.applied_at));
        }
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        self.needs.step_clock(step);
        let own = [
            &mut self.last_scale_out,
            &mut self.last_scale_in,
            &mut self.last_pod_change,
            &mut self.pods_refused_since,
            &mut self.panic_until,
        ];
        step.move_all(own.into_iter().flatten());
        if let Some(pending) = &mut self.pending {
            let before = [&mut pending.before.last_scale_out, &mut pending.before.last_scale_in];
            step.move_all(before.into_iter().flatten().chain([&mut pending.valid_until]));
        }
    }

    /// An answer, or the sight of what was done, is still to come.
    pub(super) fn awaits(&self, workload: &Workload) -> bool {
        self.pending.as_ref().is_some_and(|p| !p.answered || p.resource_version == workload.resource_version)
    }

    pub(super) fn see(&mut self, workload: &Workload, need: Option<u32>, now: Time, config: &Config) {
        if self.pending.as_ref().is_some_and(|p| now > p.valid_until) || !self.awaits(workload) {
            self.pending = None;
        }
        if let (Some(since), Some(last)) = (self.pods_refused_since, self.last_pod_change) {
            // A refusal that was not asked about again is over; one that was, to the end, is left alone for a while.
            let (deadline, asked_until) = (since + config.prove_within, last + config.pod_again + config.pod_again);
            if (asked_until < now && asked_until < deadline) || now >= deadline + config.breaker_open {
                self.pods_refused_since = None;
            }
        }
        if self.pending.is_none() && self.baseline.is_some_and(|baseline| workload.replicas <= baseline) {
            self.baseline = None;
        }
        if self.pending.is_none() && workload.ready() >= workload.replicas {
            self.answered_need = None;
        }
        if let Some(need) = need {
            self.needs.record(now, need);
        }
        let recent = self.needs.highest_since(now - config.panic_window).unwrap_or(0);
        if f64::from(recent) > config.panic_factor * f64::from(workload.ready()) {
            self.panic_until = Some(now + config.panic_hold);
        }
    }

    /// Replicas once what is under way has arrived.
    pub(super) fn ordered(&self, replicas: u32) -> u32 {
        self.pending.as_ref().map_or(replicas, |pending| pending.to.max(replicas))
    }

    /// Of those the ones above the baseline.
    pub(super) fn added(&self, replicas: u32) -> u32 {
        self.baseline.map_or(0, |baseline| self.ordered(replicas).saturating_sub(baseline))
    }
}
