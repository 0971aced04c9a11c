//! The life of a change of pods: a restarted pod has proved itself when its successor serves like its siblings; CPU that
//! was lent is given back at its deadline, whatever it did.

use super::config::Config;
use super::judge::{Moved, Watch};
use super::report::Stage;
use super::verifier::Verification;
use crate::analyse::{Findings, Verdict};
use crate::decide::{GIVE_BACK, Proposal, Wish};
use crate::model::{Deed, Time, Workload};

/// What a tick shows of the workload.
pub(super) struct Tick<'a> {
    pub(super) now: Time,
    pub(super) workload: &'a Workload,
    pub(super) findings: &'a Findings,
    /// Its telemetry is there and tells enough.
    pub(super) is_seen: bool,
    pub(super) config: &'a Config,
}

impl Watch {
    pub(super) fn tick_pods(&mut self, tick: &Tick<'_>, moved: &mut Moved) {
        let (now, deadline) = (tick.now, self.record.deadline);
        match self.record.deed.clone() {
            _ if self.report.stage.is_end() => {}
            Deed::Scaled => {}
            Deed::RestartedPod { pod, created_at } => self.follow_restart(tick, &pod, created_at, moved),
            Deed::ResizedCpu { factor } if factor <= 1.0 => {
                self.enter(Stage::Verified, "its pods have the CPU of their template again", moved);
            }
            Deed::ResizedCpu { factor } if now >= deadline => {
                let service = self.report.service.clone();
                let because = format!("{factor} times their CPU was lent to the pods of {service} until {deadline}");
                let wish = Wish::ResizeCpu { service, factor: 1.0, lasting_s: 0.0 };
                let proposal = Proposal { rule: GIVE_BACK.into(), wish, because, verdict: String::new() };
                moved.said.push(Verification::GiveBack(proposal));
            }
            Deed::ResizedCpu { .. } => {}
        }
        if self.report.stage.is_end() {
            self.close(now, tick.config, moved);
        }
    }

    fn follow_restart(&mut self, tick: &Tick<'_>, pod: &str, created_at: Time, moved: &mut Moved) {
        let Tick { now, workload, config, .. } = *tick;
        let late = now >= self.report.deadline;
        if self.report.stage == Stage::Applied {
            let gone = !workload.pods.iter().any(|one| one.name == pod && one.created_at == created_at);
            let newest = workload.pods.iter().filter_map(|pod| pod.ready_at).max();
            let is_warm = newest.is_some_and(|at| at.max(self.record.applied_at) + config.warm_up <= now);
            let ready = workload.ready();
            if gone && ready >= workload.replicas && is_warm {
                self.warm_at = Some(now);
                self.enter(Stage::Judging, &format!("{pod} is gone, and {ready} pods are ready and warm"), moved);
            } else if late {
                let what = if gone { "its successor is not ready" } else { "it is still there" };
                self.no_effect(&format!("{pod} was to be restarted, and {what} at the deadline"), moved);
            }
            return;
        }
        if !tick.is_seen || self.warm_at.is_none_or(|at| now < at + config.judge_at_least) {
            return;
        }
        let service = self.report.service.as_str();
        let mut bottlenecks = tick.findings.bottlenecks.iter();
        match bottlenecks.find(|b| b.service == service && b.verdict == Verdict::BadInstance) {
            None => self.enter(Stage::Verified, "none of its pods is far slower than the others any more", moved),
            Some(again) if late => {
                let worst = again.pod.as_deref().unwrap_or("another one");
                self.no_effect(&format!("{pod} was replaced, and {worst} is as slow: it is not the pod"), moved);
            }
            Some(_) => {}
        }
    }
}
