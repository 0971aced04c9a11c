//! One intervention on its way: Applied until its pods are ready and warm, Judging until its target shows
//! the effect or the deadline passes without, then closed, or given back once calm.

use std::collections::BTreeSet;

use super::config::Config;
use super::pods::Tick;
use super::report::{InterventionReport, Stage};
use super::verifier::Verification;
use crate::analyse::{Findings, ServiceFinding, Verdict};
use crate::decide::{GIVE_BACK, Proposal, Wish};
use crate::guard::decision_of;
use crate::model::{ClockStep, ClusterState, InterventionRecord, ServiceId, Time, Workload};

const NS_PER_MS: f64 = 1e6;

pub(super) struct Watch {
    pub(super) report: InterventionReport,
    pub(super) record: InterventionRecord,
    /// The worst waiting from the decision until the pods are warm, in milliseconds. A burst is often answered
    /// before its queue has built up; judged against that first moment alone the right answer would look useless.
    waiting_ms_worst: f64,
    /// When its pods were ready and warm.
    pub(super) warm_at: Option<Time>,
    late_said: bool,
    calm_since: Option<Time>,
    close_asked_at: Option<Time>,
}

/// What one tick brought for one intervention.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) said: Vec<Verification>,
    /// Nothing is left to follow.
    pub(super) gone: bool,
}

impl Watch {
    pub(super) fn new(service: ServiceId, record: InterventionRecord, from: u32, reason: String) -> Watch {
        let waiting_ms_before = record.waiting_ns_before as f64 / NS_PER_MS;
        let report = InterventionReport {
            id: record.id.clone(),
            decision: decision_of(&record.id),
            rule: record.rule.clone(),
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
        Watch {
            report,
            record,
            waiting_ms_worst: waiting_ms_before,
            warm_at: None,
            late_said: false,
            calm_since: None,
            close_asked_at: None,
        }
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        step.move_all([
            &mut self.report.applied_at,
            &mut self.report.deadline,
            &mut self.record.applied_at,
            &mut self.record.deadline,
        ]);
        let own = [&mut self.warm_at, &mut self.calm_since, &mut self.close_asked_at];
        step.move_all(own.into_iter().flatten());
    }

    fn is_out(&self) -> bool {
        self.record.replicas_after > self.record.replicas_before
    }

    pub(super) fn tick(
        &mut self,
        now: Time,
        findings: &Findings,
        cluster: &ClusterState,
        pods_with_spans: Option<&BTreeSet<String>>,
        config: &Config,
    ) -> Moved {
        let mut moved = Moved::default();
        // A snapshot from before the write knows nothing of it.
        let stale = cluster.at < self.record.applied_at;
        let Some(workload) = cluster.workload(self.report.service.as_str()) else {
            if !stale {
                moved.gone = true;
                if !self.report.stage.is_end() {
                    self.enter(Stage::Superseded, "its workload is gone or opted out", &mut moved);
                }
            }
            return moved;
        };
        if workload.intervention.as_ref().is_none_or(|record| record.id != self.report.id) {
            let removed = cluster.at > self.record.applied_at + config.close_again;
            if self.report.stage.is_end() || removed {
                moved.gone = true;
            }
            if removed && !self.report.stage.is_end() {
                self.enter(Stage::Superseded, "its record was removed from the object by another hand", &mut moved);
            }
            return moved;
        }

        let sight = findings.service(self.report.service.as_str()).filter(|f| !findings.blind && !f.low_traffic);
        self.report.waiting_ms_now = sight.map(|f| f.waiting_ms);
        self.calm_since = match sight {
            Some(f) if !f.objective_missed => self.calm_since.or(Some(now)),
            _ => None,
        };
        if !self.record.deed.is_scaling() {
            let tick = Tick { now, workload, findings, is_seen: sight.is_some(), config };
            self.tick_pods(&tick, &mut moved);
            return moved;
        }
        if matches!(self.report.stage, Stage::Applied | Stage::Judging) && workload.replicas != self.report.to {
            let reason = format!("another hand set {} replicas", workload.replicas);
            self.enter(Stage::Superseded, &reason, &mut moved);
        }
        if self.report.stage == Stage::Applied {
            self.await_pods(now, sight, workload, pods_with_spans, config, &mut moved);
        }
        if self.report.stage == Stage::Judging {
            self.report.idle_pods = idle_pods(workload, pods_with_spans, now, config);
            if let Some(sight) = sight {
                self.judge(now, sight, findings, config, &mut moved);
            }
        }
        match self.report.stage {
            Stage::Applied | Stage::Judging => {}
            Stage::NoEffect if self.is_out() => self.give_back(now, workload, config, &mut moved),
            _ => self.close(now, config, &mut moved),
        }
        moved
    }

    /// Applied: are the pods there, ready and warm?
    fn await_pods(
        &mut self,
        now: Time,
        sight: Option<&ServiceFinding>,
        workload: &Workload,
        pods_with_spans: Option<&BTreeSet<String>>,
        config: &Config,
        moved: &mut Moved,
    ) {
        if let Some(sight) = sight {
            self.waiting_ms_worst = self.waiting_ms_worst.max(sight.waiting_ms);
        }
        let wanted = self.report.to as usize;
        let settled_at = if self.is_out() {
            let mut ready: Vec<Time> = workload.pods.iter().filter_map(|pod| pod.ready_at).collect();
            ready.sort_unstable();
            wanted.checked_sub(1).and_then(|last| ready.get(last).copied())
        } else {
            (workload.pods.len() <= wanted).then_some(self.record.applied_at)
        };
        match settled_at.map(|at| at.max(self.record.applied_at) + config.warm_up) {
            Some(warm_at) if warm_at <= now => {
                self.warm_at = Some(warm_at);
                self.report.idle_pods = idle_pods(workload, pods_with_spans, now, config);
                let reason = match (self.is_out(), self.report.idle_pods.len()) {
                    (true, 0) => format!("all {wanted} pods are ready and warm; its effect is judged from here"),
                    (true, idle) => format!(
                        "all {wanted} pods are ready and warm, but {idle} receive no spans: long-lived connections pin the load elsewhere"
                    ),
                    (false, _) => format!("{wanted} pods are left; judged from here"),
                };
                self.enter(Stage::Judging, &reason, moved);
            }
            None if now > self.report.deadline && !self.late_said => {
                self.late_said = true;
                let ready = workload.ready();
                let reason = if self.is_out() {
                    format!(
                        "past its deadline with {ready} of {wanted} pods ready; look at the pending ones, it is judged when they are"
                    )
                } else {
                    format!("past its deadline with {} pods where {wanted} are wanted", workload.pods.len())
                };
                self.enter(Stage::Applied, &reason, moved);
            }
            _ => {}
        }
    }

    /// Judging: on the target's own waiting and blame, never on what the user sees end to end.
    fn judge(&mut self, now: Time, sight: &ServiceFinding, findings: &Findings, config: &Config, moved: &mut Moved) {
        let service = self.report.service.as_str();
        let blamed = findings
            .bottlenecks
            .iter()
            .any(|b| b.service == service && matches!(b.verdict, Verdict::Saturated | Verdict::Exhausted));
        let warm_at = self.warm_at.unwrap_or(self.record.applied_at);
        let long_enough = now >= warm_at + config.judge_at_least;
        if !self.is_out() {
            match (blamed, long_enough) {
                (true, _) => {
                    self.no_effect("it saturates with fewer replicas: too much was given back", moved);
                }
                (false, true) => self.enter(Stage::Verified, "the load is carried with fewer replicas", moved),
                (false, false) => {}
            }
            return;
        }
        let (worst, waiting) = (self.waiting_ms_worst, sight.waiting_ms);
        let telling = worst > config.waiting_noise_ms;
        let fell_to = |share: f64| waiting <= config.waiting_noise_ms.max(worst * share);
        let measured = if telling {
            format!("waiting at {service} went from {worst:.0} ms to {waiting:.0} ms")
        } else {
            format!("waiting at {service} was never more than noise ({worst:.1} ms)")
        };
        if !blamed && (!telling || fell_to(config.proof_share)) {
            self.enter(Stage::Verified, &format!("{measured}, and it holds no requests back any more"), moved);
            return;
        }
        // A load that outgrew the step meanwhile says nothing against it: the next step is the rule's to ask for.
        let outgrown = sight.replicas_needed.is_some_and(|needed| needed > self.report.to);
        if now < self.report.deadline || !long_enough || outgrown {
            return;
        }
        if !blamed || (telling && fell_to(config.no_effect_share)) {
            let rest = if blamed { "though it still holds requests back" } else { "and it holds no requests back" };
            self.enter(Stage::Verified, &format!("{measured}, {rest}"), moved);
            return;
        }
        let idle = match self.report.idle_pods.len() {
            0 => String::new(),
            n => format!(" {n} of its pods receive no spans: long-lived connections pin the load elsewhere."),
        };
        let cause = format!(
            "{measured} and it still holds requests back.{idle} Kept while an objective misses, then given back; not repeated for this cause"
        );
        self.no_effect(&cause, moved);
    }

    pub(super) fn no_effect(&mut self, cause: &str, moved: &mut Moved) {
        self.enter(Stage::NoEffect, cause, moved);
        let cause = format!("{} had no effect", self.report.id);
        let (rule, service) = (self.report.rule.clone(), self.report.service.clone());
        moved.said.push(Verification::OpenBreaker { rule, service, cause });
    }

    /// No effect: nothing is undone until calm has lasted. The record stays on the object until then, so that
    /// a crash does not forget what is owed.
    fn give_back(&mut self, now: Time, workload: &Workload, config: &Config, moved: &mut Moved) {
        if workload.replicas < self.report.to {
            let reason = format!("back at {} replicas", workload.replicas);
            self.enter(Stage::GivenBack, &reason, moved);
            self.close(now, config, moved);
        } else if self.calm_since.is_some_and(|since| now >= since + config.calm) {
            let service = self.report.service.clone();
            let because = format!("{} had no effect on {service}, and all is calm: it is given back", self.report.id);
            let wish = Wish::ScaleIn { service, to: self.record.replicas_before, stabilisation_s: None };
            let proposal = Proposal { rule: GIVE_BACK.into(), wish, because, verdict: String::new() };
            moved.said.push(Verification::GiveBack(proposal));
        }
    }

    pub(super) fn close(&mut self, now: Time, config: &Config, moved: &mut Moved) {
        if self.close_asked_at.is_some_and(|asked| now < asked + config.close_again) {
            return;
        }
        self.close_asked_at = Some(now);
        let (service, intervention) = (self.report.service.clone(), self.report.id.clone());
        moved.said.push(Verification::Close { service, intervention });
    }

    pub(super) fn enter(&mut self, stage: Stage, reason: &str, moved: &mut Moved) {
        self.report.stage = stage;
        self.report.reason = reason.into();
        moved.said.push(Verification::Reported(self.report.clone()));
    }
}

/// Ready and warm pods that no span came from, while spans do name pods of this service.
fn idle_pods(workload: &Workload, seen: Option<&BTreeSet<String>>, now: Time, config: &Config) -> Vec<String> {
    let Some(seen) = seen.filter(|seen| !seen.is_empty()) else { return Vec::new() };
    let warm = |ready_at: Option<Time>| ready_at.is_some_and(|at| at + config.warm_up <= now);
    let idle = workload.pods.iter().filter(|pod| warm(pod.ready_at) && !seen.contains(&pod.name));
    idle.map(|pod| pod.name.clone()).collect()
}
