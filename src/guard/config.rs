//! The limits the guard holds, each with the reason for its default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floors::Configured;
use crate::action::Limits;
use crate::model::setting::{Kind, Setting};
use crate::settings;

/// Whether permits are made at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Say what would be done; touch nothing. The default, so that trust can grow first.
    #[default]
    Observe,
    Enforce,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The operator's bounds by service: its whole identity, or its bare name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Configured>,
    /// Between two scale-outs of one target, where the rule gives none. Pods that are still coming count as
    /// there, so this only spaces the steps of a need that keeps rising; a burst multiplies load in seconds.
    pub scale_out_cooldown: Duration,
    /// No scale-in so soon after a scale-out: longer than a pod takes to start (p95 35 s) and to warm up, so
    /// that what was ordered is seen at work before any of it is given back.
    pub scale_in_after_scale_out: Duration,
    /// Between two scale-ins of one target: long enough to see what the last one did.
    pub scale_in_cooldown: Duration,
    /// A scale-in goes no lower than the highest need of this window: the 300 s of the Kubernetes HPA. A rule
    /// may ask for a longer one, never for a shorter.
    pub stabilisation: Duration,
    /// The short window beside the long one (6 s, as Knative's autoscaler) …
    pub panic_window: Duration,
    /// … over which a need above this many times the ready pods is panic (200 %, likewise) …
    pub panic_factor: f64,
    /// … which forbids scale-in for so long after (60 s, likewise).
    pub panic_hold: Duration,
    /// One step multiplies replicas by no more than this: bursts of ten times within seconds are the job.
    pub step_factor_max: u32,
    /// … or adds this many, whichever is more, so that a single replica can grow too.
    pub step_replicas_min: u32,
    /// One scale-in leaves at least this share of the replicas (a half, Knative's max down rate of 2).
    pub scale_in_share_min: f64,
    /// Replicas that headroom may have changed at once, over all targets: added and not given back, taken away and not
    /// yet proved, restarted, resized. What a runaway could cost.
    pub added_replicas_max: u32,
    /// Changes in any 60 s, over all targets: an API server and people can follow so many.
    pub actions_per_minute_max: usize,
    /// Between two changes of pods of one target, restarts and resizes: a pod starts and warms up (45 s), and the verdict
    /// on it looks at half a minute of work.
    pub pod_cooldown: Duration,
    /// No restart so soon after anything but a bad pod of that service was found to hold requests back: a backlog that
    /// ordered pods work off lasts as long as they take to start (p95 35 s) and to warm up (10 s), and so does a doubt.
    pub restart_after_other_cause: Duration,
    /// No scale-out so soon after a pod of the same service was restarted: what the others lack until another has taken
    /// its place (p50 12 s with the image to pull, 10 s of warm-up) is no need of the load.
    pub scale_out_after_restart: Duration,
    /// One that the cluster refused is asked for again after this, until `prove_within` is over: a disruption budget is
    /// free again once another pod is ready.
    pub pod_again: Duration,
    /// CPU is lent up to this many times what the template says: more is a matter of the template, not of a burst.
    pub resize_factor_max: f64,
    /// CPU is lent for so long at most; an hour of need is no burst.
    pub resize_lasting_max: Duration,
    /// Between two decisions to shape the traffic of one service: the second one needs findings that the first one shows in.
    pub shape_cooldown: Duration,
    /// Requests are turned away for so long at most without being decided anew: a burst of any length is decided again, and
    /// what nobody looks at ends.
    pub shape_lasting_max: Duration,
    /// Between two steps of weights to a service: what a step brought is seen after the lag of telemetry and a window of it.
    pub shift_cooldown: Duration,
    /// Weight is kept away for so long at most without being decided anew: people have taken a bad release back by then.
    pub shift_lasting_max: Duration,
    /// How long a breaker stays open: a cause that no scaling cured is not tried again at once, and a pager
    /// has been answered by then.
    pub breaker_open: Duration,
    /// Findings older than this are not acted on; a tick comes every second or so.
    pub findings_age_max: Duration,
    /// A permit unused for so long is stale.
    pub permit_valid: Duration,
    /// An intervention must have proved itself by then: a node that must first arrive (75 s), a slow pod start
    /// (35 s), warm-up (10 s) and half a minute at work.
    pub prove_within: Duration,
    /// A refusal that has not recurred for so long is said again when it does; so is a notification, whose cause ended.
    pub repeat_after: Duration,
    /// A notification with the same verdict is repeated after this while its cause lasts.
    pub notify_again: Duration,
}

impl Default for Config {
    fn default() -> Config {
        let seconds = Duration::from_secs;
        Config {
            services: BTreeMap::new(),
            scale_out_cooldown: seconds(3),
            scale_in_after_scale_out: seconds(120),
            scale_in_cooldown: seconds(30),
            stabilisation: seconds(300),
            panic_window: seconds(6),
            panic_factor: 2.0,
            panic_hold: seconds(60),
            step_factor_max: 10,
            step_replicas_min: 4,
            scale_in_share_min: 0.5,
            added_replicas_max: 200,
            actions_per_minute_max: 30,
            pod_cooldown: seconds(120),
            restart_after_other_cause: seconds(60),
            scale_out_after_restart: seconds(30),
            pod_again: seconds(15),
            resize_factor_max: 2.0,
            resize_lasting_max: seconds(3600),
            shape_cooldown: seconds(5),
            shape_lasting_max: seconds(600),
            shift_cooldown: seconds(8),
            shift_lasting_max: seconds(3600),
            breaker_open: seconds(600),
            findings_age_max: seconds(10),
            permit_valid: seconds(5),
            prove_within: seconds(150),
            repeat_after: seconds(60),
            notify_again: seconds(300),
        }
    }
}

impl Config {
    /// Those that actions hold by themselves.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            resize_factor_max: self.resize_factor_max,
            resize_lasting_max: self.resize_lasting_max,
            shape_lasting_max: self.shape_lasting_max,
            shift_lasting_max: self.shift_lasting_max,
        }
    }
}

const DAY: u64 = 86_400;
/// More replicas than any cluster runs of one service (Kubernetes is tested to 150 000 pods in all).
const REPLICAS_MAX: u64 = 100_000;

impl Config {
    /// What an operator may set.
    pub const SETTINGS: &'static [Setting<Config>] = settings![Config;
        // Below 2 a single replica could not grow; past 100 a step is no longer a bound.
        step_factor_max: Kind::count(2, 100), "one scale-out multiplies the replicas by this at most";
        step_replicas_min: Kind::count(1, REPLICAS_MAX), "or adds this many, whichever is more";
        scale_in_share_min: Kind::Share, "one scale-in leaves at least this share of the replicas";
        scale_out_cooldown: Kind::seconds(0, DAY),
            "between two scale-outs of one service, where the rule gives none";
        scale_in_cooldown: Kind::seconds(0, DAY), "between two scale-ins of one service";
        scale_in_after_scale_out: Kind::seconds(0, DAY), "no scale-in so soon after a scale-out of the same service";
        stabilisation: Kind::seconds(0, DAY), "a scale-in goes no lower than the highest need of this window";
        panic_window: Kind::seconds(1, DAY), "a need in this window above `panic_factor` times the ready pods is panic";
        panic_factor: Kind::number(1.0, 100.0), "how many times the ready pods a need must be to be panic";
        panic_hold: Kind::seconds(0, DAY), "no scale-in so soon after panic";
        added_replicas_max: Kind::count(1, REPLICAS_MAX),
            "replicas that headroom may have changed at once, over all services: added, taken away and not yet proved, restarted, resized";
        actions_per_minute_max as "actions_per_minute": Kind::count(1, 1_000), "actions in any minute, over all services";
        pod_cooldown: Kind::seconds(0, DAY), "between two restarts or resizes of pods of one service";
        restart_after_other_cause: Kind::seconds(0, DAY),
            "no restart so soon after anything but a bad pod of that service was found to hold requests back";
        scale_out_after_restart: Kind::seconds(0, DAY),
            "no scale-out so soon after a pod of the same service was restarted";
        pod_again: Kind::seconds(1, DAY), "before a restart or resize that the cluster refused is asked for again";
        resize_factor_max: Kind::number(1.0, 100.0), "CPU is lent up to this many times what the template says";
        resize_lasting_max: Kind::seconds(1, DAY), "CPU is lent for so long at most";
        shape_cooldown: Kind::seconds(0, DAY), "between two decisions to shape the traffic of one service, or the rate of one endpoint";
        shape_lasting_max: Kind::seconds(1, DAY), "requests are turned away for so long at most without being decided anew";
        shift_cooldown: Kind::seconds(0, DAY), "between two steps of the weights of routes to one service";
        shift_lasting_max: Kind::seconds(1, DAY), "weight is kept away from a version for so long at most without being decided anew";
        breaker_open: Kind::seconds(0, DAY), "no further step of a rule on a service where its last one had no effect";
        prove_within: Kind::seconds(1, DAY), "an action must be confirmed by then";
        findings_age_max: Kind::seconds(1, DAY), "older findings are not acted on";
        permit_valid: Kind::seconds(1, DAY), "an action that the cluster has not taken by then is decided anew";
        repeat_after: Kind::seconds(0, DAY), "a refusal or a notification that has not recurred for so long is reported again when it does";
        notify_again: Kind::seconds(0, DAY), "a notification is repeated after this while its cause lasts";
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set() {
        crate::model::setting::check(Config::SETTINGS, &[]);
    }
}
