//! What the guard remembers of one workload between ticks. All of it is derived again from the cluster's
//! records and from what is seen, so a crash forgets nothing that could do harm.

use std::collections::BTreeMap;

use super::config::Config;
use super::needs::Needs;
use crate::action::{Action, Done, Slot, scaled_kind};
use crate::model::{ClockStep, DecisionId, Details, InterventionRecord, Time, Workload};

#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) needs: Needs,
    pub(super) last_scale_out: Option<Time>,
    pub(super) last_scale_in: Option<Time>,
    /// The last change of each slot other than replicas, done or refused.
    pub(super) last_change: BTreeMap<Slot, Time>,
    /// Since when the cluster refuses changes of a slot.
    pub(super) refused_since: BTreeMap<Slot, Time>,
    /// The need that the last scale-out answered, until its pods are ready: no second step is taken for it.
    pub(super) answered_need: Option<u32>,
    /// Replicas before headroom added any; None while it has added none.
    pub(super) baseline: Option<u32>,
    /// What floors added, for as long as nobody else sets other replicas.
    pub(super) lent: Option<Lent>,
    /// Since when it is seen and nobody can tell what it needs.
    pub(super) unknown_since: Option<Time>,
    pub(super) panic_until: Option<Time>,
    /// Permits whose answers are awaited: the next step of a slot waits for them, or until they are stale.
    pub(super) pending: BTreeMap<Slot, Pending>,
}

/// Replicas that a floor raised and that are not all given back. They are headroom's own to return, also where nobody knows what
/// the load needs; what another hand scales is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lent {
    /// What ran before.
    pub(super) before: u32,
    /// What headroom left there last.
    pub(super) now: u32,
}

impl Lent {
    /// The record of a step back that leaves some of it says so: who takes over goes on from there.
    const FIELD: &'static str = "lent_before";

    pub(super) fn details(self) -> Details {
        let fields = [(Lent::FIELD.to_owned(), self.before.into())].into_iter().collect();
        Details { kind: scaled_kind().into(), fields }
    }

    /// What a record tells of it.
    fn of(record: &InterventionRecord) -> Option<Lent> {
        let now = record.replicas_after;
        match Done::of(record)? {
            Done::RaisedFloor(_) => Some(Lent { before: record.replicas_before, now }),
            Done::Scaled => {
                let before = record.details.as_ref()?.fields.get(Lent::FIELD)?.as_u64()?;
                Some(Lent { before: u32::try_from(before).ok()?, now })
            }
            Done::RestartedPod(_)
            | Done::ResizedCpu(_)
            | Done::Shed(_)
            | Done::LimitedRate(_)
            | Done::ShiftedWeight(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) decision: DecisionId,
    pub(super) resource_version: u64,
    pub(super) valid_until: Time,
    /// The cluster said it did it; the state that shows so may still be on its way.
    pub(super) answered: bool,
    pub(super) to: u32,
    /// What to return to when the cluster did not do it.
    pub(super) before: Before,
}

#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) last_scale_out: Option<Time>,
    pub(super) last_scale_in: Option<Time>,
    pub(super) baseline: Option<u32>,
    pub(super) lent: Option<Lent>,
}

impl Memory {
    /// Take over what the object itself records, whoever wrote it.
    pub(super) fn adopt(&mut self, workload: &Workload) {
        for record in &workload.interventions {
            if self.lent.is_none() && !self.pending.contains_key(&Slot::Replicas) {
                self.lent = Lent::of(record).filter(|lent| lent.before < lent.now);
                if let Some(lent) = self.lent {
                    self.baseline.get_or_insert(lent.before);
                }
            }
            match Slot::of(record) {
                Some(Slot::Replicas) if record.replicas_after > record.replicas_before => {
                    self.last_scale_out = self.last_scale_out.max(Some(record.applied_at));
                    self.baseline.get_or_insert(record.replicas_before);
                }
                Some(Slot::Replicas) => self.last_scale_in = self.last_scale_in.max(Some(record.applied_at)),
                Some(slot @ (Slot::Pods | Slot::Cpu | Slot::Traffic | Slot::Rate | Slot::Weight)) => {
                    let last = self.last_change.entry(slot).or_insert(record.applied_at);
                    *last = (*last).max(record.applied_at);
                }
                None => {} // of a newer version, which follows it
            }
        }
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        self.needs.step_clock(step);
        let own = [&mut self.last_scale_out, &mut self.last_scale_in, &mut self.panic_until, &mut self.unknown_since];
        step.move_all(own.into_iter().flatten());
        step.move_all(self.last_change.values_mut().chain(self.refused_since.values_mut()));
        for pending in self.pending.values_mut() {
            let before = [&mut pending.before.last_scale_out, &mut pending.before.last_scale_in];
            step.move_all(before.into_iter().flatten().chain([&mut pending.valid_until]));
        }
    }

    /// For this slot an answer, or the sight of what was done, is still to come. A write for another slot of the same object is
    /// waited for only until the state shows it: on the version before it, this one would conflict.
    pub(super) fn awaits(&self, slot: Slot, workload: &Workload) -> bool {
        let conflicts = |of: Slot, pending: &Pending| {
            of.is_of_routes() == slot.is_of_routes() && pending.resource_version == of.version(workload)
        };
        self.pending.iter().any(|(of, pending)| conflicts(*of, pending) || (*of == slot && !pending.answered))
    }

    /// Whether any write is not seen yet.
    pub(super) fn awaits_any(&self, workload: &Workload) -> bool {
        Slot::ALL.into_iter().any(|slot| self.awaits(slot, workload))
    }

    /// `is_seen`: spans of it are, so that not to know what it needs is not to see nothing.
    pub(super) fn see(&mut self, workload: &Workload, need: Option<u32>, is_seen: bool, now: Time, config: &Config) {
        let unseen = |slot: &Slot, pending: &Pending| pending.resource_version == slot.version(workload);
        self.pending.retain(|slot, pending| now <= pending.valid_until && (!pending.answered || unseen(slot, pending)));
        let last_change = &self.last_change;
        self.refused_since.retain(|slot, since| {
            // A refusal that was not asked about again is over; one that was, to the end, is left alone for a while.
            let last = last_change.get(slot).copied().unwrap_or(*since);
            let (deadline, asked_until) = (*since + config.prove_within, last + config.pod_again + config.pod_again);
            !((asked_until < now && asked_until < deadline) || now >= deadline + config.breaker_open)
        });
        let is_pending = self.pending.contains_key(&Slot::Replicas);
        if !is_pending && self.baseline.is_some_and(|baseline| workload.replicas <= baseline) {
            self.baseline = None;
        }
        // Another hand set other replicas, which are not ours to take back.
        if !is_pending && self.lent.is_some_and(|lent| workload.replicas != lent.now) {
            self.lent = None;
        }
        self.unknown_since = (need.is_none() && is_seen).then(|| self.unknown_since.unwrap_or(now));
        if !is_pending && workload.ready() >= workload.replicas {
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

    /// A step of replicas is on its way: what of them is lent from now on.
    pub(super) fn lend(&mut self, action: &Action, from: u32, to: u32) {
        let known = self.lent.filter(|lent| lent.now == from);
        let before = if matches!(action, Action::RaiseFloor(_)) {
            Some(known.map_or(from, |lent| lent.before))
        } else if to > from {
            None // what a rule adds has a reason of its own, and its own way back
        } else {
            known.map(|lent| lent.before)
        };
        self.lent = before.map(|before| Lent { before, now: to }).filter(|lent| lent.before < lent.now);
    }

    /// What floors added goes back without anybody knowing the need, once that was not known for a whole window.
    pub(super) fn returnable(&self, now: Time, config: &Config) -> Option<Lent> {
        let has_lasted = self.unknown_since.is_some_and(|since| since + config.stabilisation <= now);
        let is_known = self.needs.highest_since(now - config.stabilisation).is_some();
        self.lent.filter(|_| has_lasted && !is_known)
    }

    /// The last change of pods that was done, or that was tried for this slot.
    pub(super) fn last_change_of_pods(&self, slot: Slot) -> Option<Time> {
        let is_of_pods = |of: &Slot| matches!(of, Slot::Pods | Slot::Cpu);
        let counts = |of: &Slot| is_of_pods(of) && (*of == slot || !self.refused_since.contains_key(of));
        self.last_change.iter().filter(|(of, _)| counts(of)).map(|(_, at)| *at).max()
    }

    /// The cluster answered a permit of this decision. What it did not do is forgotten, so that the next tick may decide
    /// anew without waiting for a cooldown.
    pub(super) fn settle(&mut self, decision: DecisionId, applied: bool) {
        // A close goes by the id of the same decision and must not undo what was answered before it.
        let open = |pending: &Pending| pending.decision == decision && !pending.answered;
        let Some((&slot, pending)) = self.pending.iter_mut().find(|(_, pending)| open(pending)) else { return };
        if applied {
            pending.answered = true;
            self.refused_since.remove(&slot);
            return;
        }
        let Before { last_scale_out, last_scale_in, baseline, lent } = pending.before;
        self.pending.remove(&slot);
        match slot {
            Slot::Replicas => {
                (self.last_scale_out, self.last_scale_in) = (last_scale_out, last_scale_in);
                (self.baseline, self.lent) = (baseline, lent);
                self.answered_need = None;
            }
            // Its time stays: what was refused is asked for again after a while, not at the next tick.
            Slot::Pods | Slot::Cpu | Slot::Traffic | Slot::Rate | Slot::Weight => {
                if let Some(last) = self.last_change.get(&slot) {
                    self.refused_since.entry(slot).or_insert(*last);
                }
            }
        }
    }

    /// Replicas once what is under way has arrived.
    pub(super) fn ordered(&self, replicas: u32) -> u32 {
        self.pending.get(&Slot::Replicas).map_or(replicas, |pending| pending.to.max(replicas))
    }

    /// Of those the ones above the baseline.
    pub(super) fn added(&self, replicas: u32) -> u32 {
        self.baseline.map_or(0, |baseline| self.ordered(replicas).saturating_sub(baseline))
    }
}
