//! What held requests back lately. While a callee is slow, or a burst is worked off, healthy pods are slow too, one more
//! than the others: a pod is taken for the cause only where nothing else was found to be one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::analyse::{Findings, Verdict};
use crate::model::{ClockStep, ServiceId, Time};

/// By service and verdict: when it was last found. No longer than there are bottlenecks within a minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes(BTreeMap<(ServiceId, Verdict), Time>);

impl Causes {
    /// Takes in what is found now, and forgets what was found longer than `kept` ago.
    pub(super) fn see(&mut self, findings: &Findings, now: Time, kept: Duration) {
        for bottleneck in findings.bottlenecks.iter().filter(|b| b.verdict.names_a_cause()) {
            self.0.insert((bottleneck.service.as_str().into(), bottleneck.verdict), now);
        }
        self.0.retain(|_, at| now < *at + kept);
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.0.values_mut());
    }

    /// A cause other than a bad pod of this service.
    pub(super) fn other_than_bad_pod_of(&self, service: &ServiceId) -> Option<(&ServiceId, Verdict)> {
        let is_other = |of: &ServiceId, verdict: Verdict| of != service || verdict != Verdict::BadInstance;
        self.0.keys().map(|(of, verdict)| (of, *verdict)).find(|(of, verdict)| is_other(of, *verdict))
    }
}
