//! Judging a restart: it has proved itself when the pod's successor serves like its siblings.

use super::judge::{Applied, Judging, Next, State, Tick};
use super::report::Stage;
use crate::analyse::Verdict;
use crate::model::{Time, Workload};

impl Applied {
    /// Applied → Judging: the pod is gone and all others are ready and warm. Applied → Ended: not so by the deadline.
    pub(super) fn await_successor(self, tick: &Tick<'_>, workload: &Workload, pod: &str, created_at: Time) -> Next {
        let (now, config) = (tick.now, tick.config);
        let gone = !workload.pods.iter().any(|one| one.name == pod && one.created_at == created_at);
        let newest = workload.pods.iter().filter_map(|pod| pod.ready_at).max();
        let is_warm = newest.is_some_and(|at| at.max(tick.record.applied_at) + config.warm_up <= now);
        let ready = workload.ready();
        if gone && ready >= workload.replicas && is_warm {
            let judging = Judging { warm_at: now, waiting_ms_worst: self.waiting_ms_worst };
            let reason = format!("{pod} is gone, and {ready} pods are ready and warm");
            return (State::Judging(judging), vec![tick.enter(Stage::Judging, &reason)]);
        }
        if now >= tick.report.deadline {
            let what = if gone { "its successor is not ready" } else { "it is still there" };
            return tick.no_effect(&format!("{pod} was to be restarted, and {what} at the deadline"));
        }
        (State::Applied(self), Vec::new())
    }
}

impl Judging {
    /// Judging → Ended: none of its pods is far slower any more, or one still is at the deadline.
    pub(super) fn judge_pods_alike(self, tick: &Tick<'_>, pod: &str) -> Next {
        if tick.sight.is_none() || !self.has_worked_long_enough(tick) {
            return (State::Judging(self), Vec::new());
        }
        let service = tick.report.service.as_str();
        let mut bottlenecks = tick.findings.bottlenecks.iter();
        match bottlenecks.find(|b| b.service == service && b.verdict == Verdict::BadInstance) {
            None => tick.end(Stage::Verified, "none of its pods is far slower than the others any more"),
            Some(again) if tick.now >= tick.report.deadline => {
                let worst = again.pod.as_deref().unwrap_or("another one");
                tick.no_effect(&format!("{pod} was replaced, and {worst} is as slow: it is not the pod"))
            }
            Some(_) => (State::Judging(self), Vec::new()),
        }
    }
}
