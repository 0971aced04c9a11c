//! Pods, as the cluster tells of them.

use std::time::Duration;

/// After readiness a pod is warming for a while (caches, JIT, pools); what it does then is neither its capacity nor
/// a fault. Without it: new pods are slow ones, and their first answers their capacity.
pub const WARM_UP: Duration = Duration::from_secs(10);
/// For so long after it was ready a pod differs from its siblings for reasons of its own: caches and pools fill,
/// code is compiled, and what queued before it came stays with the old ones. Longer than the warm-up of most
/// runtimes. Without it: old pods that work off a queue beside new ones are bad.
pub const YOUNG: Duration = Duration::from_secs(60);
/// A pod is silent that serves less than this share of what is expected, as it did in healthy time or as its
/// siblings do. Without it: a pod that serves one request while it hangs is not silent.
pub const SILENT: f64 = 0.1;
/// And that chance leaves it so little is as rare as this (Poisson): none of twelve, or one of fifteen. Silence
/// alone names nobody, calls that nobody answers are asked for as well. Without it: pods of quiet services are
/// silent by chance.
pub const CHANCE: f64 = 1e-5;
