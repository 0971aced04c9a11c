//! Judging a scaling: on its target's own waiting and blame, never on what users see end to end, and only once its pods
//! are ready and warm.

use super::judge::{Applied, Judging, Next, State, Tick, idle_pods};
use super::report::{InterventionReport, Stage};
use super::verifier::Verification;
use crate::action::Criterion;
use crate::analyse::Verdict;
use crate::model::{Time, Workload};

impl Applied {
    /// Applied → Judging: the pods are there, ready and warm. Applied → Applied otherwise; once past the deadline that
    /// is reported.
    pub(super) fn await_replicas(mut self, tick: &Tick<'_>, workload: &Workload) -> Next {
        let (now, record, config) = (tick.now, tick.record, tick.config);
        let is_out = tick.criterion == Criterion::LessWaiting;
        if let Some(sight) = tick.sight {
            self.waiting_ms_worst = self.waiting_ms_worst.max(sight.waiting_ms);
        }
        let wanted = tick.report.to as usize;
        let settled_at = if is_out {
            let mut ready: Vec<Time> = workload.pods.iter().filter_map(|pod| pod.ready_at).collect();
            ready.sort_unstable();
            wanted.checked_sub(1).and_then(|last| ready.get(last).copied())
        } else {
            (workload.pods.len() <= wanted).then_some(record.applied_at)
        };
        let warm_at = settled_at.map(|at| at.max(record.applied_at) + config.warm_up);
        if let Some(warm_at) = warm_at.filter(|warm_at| *warm_at <= now) {
            return self.judged_from(warm_at, wanted, tick, workload);
        }
        let is_late = settled_at.is_none() && now > tick.report.deadline && !self.is_reported_late;
        if !is_late {
            return (State::Applied(self), Vec::new());
        }
        self.is_reported_late = true;
        let reason = if is_out {
            let ready = workload.ready();
            format!(
                "past its deadline with {ready} of {wanted} pods ready; look at the pending ones, it is judged when they are"
            )
        } else {
            format!("past its deadline with {} pods where {wanted} are wanted", workload.pods.len())
        };
        (State::Applied(self), vec![tick.enter(Stage::Applied, &reason)])
    }

    fn judged_from(self, warm_at: Time, wanted: usize, tick: &Tick<'_>, workload: &Workload) -> Next {
        let idle_pods = idle_pods(workload, tick.pods_with_spans, tick.now, tick.config);
        let is_out = tick.criterion == Criterion::LessWaiting;
        let reason = match (is_out, idle_pods.len()) {
            (true, 0) => format!("all {wanted} pods ready and warm; measuring effect"),
            (true, idle) => format!(
                "all {wanted} pods ready and warm, but {idle} receive no spans: long-lived connections pin the load elsewhere"
            ),
            (false, _) => format!("{wanted} pods left; measuring effect"),
        };
        let entered = InterventionReport { stage: Stage::Judging, reason, idle_pods, ..tick.report.clone() };
        let judging = Judging { warm_at, waiting_ms_worst: self.waiting_ms_worst };
        // What this very tick shows may already prove it.
        let tick = Tick { report: &entered, criterion: tick.criterion.clone(), ..*tick };
        let (state, mut reported) = match is_out {
            true => judging.judge_less_waiting(&tick),
            false => judging.judge_load_carried(&tick),
        };
        reported.insert(0, Verification::Reported(entered.clone()));
        (state, reported)
    }
}

impl Judging {
    /// Judging → Ended: verified, waiting fell and it is no longer a bottleneck. Judging → Owed: past the deadline without.
    pub(super) fn judge_less_waiting(self, tick: &Tick<'_>) -> Next {
        let Some(sight) = tick.sight else { return (State::Judging(self), Vec::new()) };
        let (service, config) = (tick.report.service.as_str(), tick.config);
        let blamed = tick.is_blamed();
        let (worst, waiting) = (self.waiting_ms_worst, sight.waiting_ms);
        let telling = worst > config.waiting_noise_ms;
        let fell_to = |share: f64| waiting <= config.waiting_noise_ms.max(worst * share);
        let measured = if telling {
            format!("waiting at {service} went from {worst:.0} ms to {waiting:.0} ms")
        } else {
            format!("waiting at {service} was never more than noise ({worst:.1} ms)")
        };
        if !blamed && (!telling || fell_to(config.proof_share)) {
            return tick.end(Stage::Verified, &format!("{measured}, and it is no longer a bottleneck"));
        }
        // A load that outgrew the step meanwhile says nothing against it: the next step is the rule's to ask for.
        let outgrown = sight.replicas_needed.is_some_and(|needed| needed > tick.report.to);
        if tick.now < tick.report.deadline || !self.has_worked_long_enough(tick) || outgrown {
            return (State::Judging(self), Vec::new());
        }
        if !blamed || (telling && fell_to(config.no_effect_share)) {
            let rest = if blamed { "though it is still a bottleneck" } else { "and it is no bottleneck" };
            return tick.end(Stage::Verified, &format!("{measured}, {rest}"));
        }
        let idle = match tick.report.idle_pods.len() {
            0 => String::new(),
            n => format!(" {n} of its pods receive no spans: long-lived connections pin the load elsewhere."),
        };
        tick.no_effect(&format!(
            "{measured} and it is still a bottleneck.{idle} Kept while an objective is missed, then rolled back; not repeated for this cause"
        ))
    }

    /// Judging → Ended: verified after a while at work, or found out at once by saturation.
    pub(super) fn judge_load_carried(self, tick: &Tick<'_>) -> Next {
        if tick.sight.is_none() {
            return (State::Judging(self), Vec::new());
        }
        match (tick.is_blamed(), self.has_worked_long_enough(tick)) {
            (true, _) => tick.no_effect("it saturates with fewer replicas: too much was given back"),
            (false, true) => tick.end(Stage::Verified, "the load is carried with fewer replicas"),
            (false, false) => (State::Judging(self), Vec::new()),
        }
    }

    pub(super) fn has_worked_long_enough(&self, tick: &Tick<'_>) -> bool {
        tick.now >= self.warm_at + tick.config.judge_at_least
    }
}

impl Tick<'_> {
    /// Its service is the bottleneck of an entry operation for want of capacity.
    fn is_blamed(&self) -> bool {
        let service = self.report.service.as_str();
        let for_capacity = |verdict| matches!(verdict, Verdict::Saturated | Verdict::Exhausted);
        self.findings.bottlenecks.iter().any(|b| b.service == service && for_capacity(b.verdict))
    }
}
