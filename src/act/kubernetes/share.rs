//! How much of the spans each replica sees. All of them are sent all spans, so one that sees fewer than another decides
//! on a part: each reports its rate on the Lease, and a leader that is well below the best hands the Lease to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

use super::Now;
use super::leadership::Standing;
use super::record::{MANAGER, pointer};
use super::status::Sight;
use crate::model::Time;

/// Between two reports: a leader that misses spans is followed within half a minute, and the Lease is written six times
/// more often for its own sake.
const EVERY: Duration = Duration::from_secs(5);
/// Rates are over this much: exporters send in batches of seconds, and never at the same instant to all.
const WINDOW: Duration = Duration::from_secs(20);
/// A report that was not renewed for so long is of a replica that is gone, or that cannot reach the API server.
const FRESH: Duration = Duration::from_secs(15);
/// Below this share of the best a replica misses more than two exporters' batches differ by.
const SHARE_MIN: f64 = 0.8;
/// So often below in a row before the Lease is handed over: a restarting Collector fills one replica's queue first.
const BELOW_MAX: u32 = 3;
/// Spans a second of the best below which shares are chance.
const RATE_MIN: f64 = 10.0;
/// A report of so long ago is taken off: names of pods that are gone would add up.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Of the annotations that reports are; the rest is the replica's identity.
const PREFIX: &str = "seen.headroom.dev/";

/// What one replica says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    at: Time,
    spans_per_s: f64,
}

/// Spans received so far, as they add up: gives their rate.
#[derive(Default)]
struct Received {
    seen: VecDeque<(Time, u64)>,
}

impl Received {
    /// None until a whole window was seen: a replica that has just started has not seen what it is sent.
    fn rate(&mut self, now: Time, total: u64) -> Option<f64> {
        self.seen.push_back((now, total));
        while self.seen.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.seen.pop_front();
        }
        let (since, before) = *self.seen.front()?;
        let elapsed_s = now.seconds_since(since);
        (elapsed_s >= WINDOW.as_secs_f64()).then(|| total.saturating_sub(before) as f64 / elapsed_s)
    }
}

/// The share of what the best of the others saw, and who that is; None where nobody else tells.
fn share(own: f64, others: &BTreeMap<String, Report>, now: Time) -> Option<(f64, &str)> {
    let fresh = others.iter().filter(|(_, report)| now <= report.at + FRESH && report.spans_per_s >= RATE_MIN);
    let (name, best) = fresh.max_by(|a, b| a.1.spans_per_s.total_cmp(&b.1.spans_per_s))?;
    Some((own / best.spans_per_s, name))
}

/// Whether a Lease is that of a headroom, which reports on it a few seconds after it started.
pub fn is_of_headroom(lease: &Lease) -> bool {
    lease.annotations().keys().any(|key| key.starts_with(PREFIX))
}

fn reports(lease: &Lease) -> BTreeMap<String, Report> {
    let report = |(key, value): (&String, &String)| {
        Some((key.strip_prefix(PREFIX)?.to_owned(), serde_json::from_str(value).ok()?))
    };
    lease.annotations().iter().filter_map(report).collect()
}

/// Reports, and hands over, until the client's side is gone.
pub async fn run(client: Client, standing: Standing, sight: watch::Receiver<Arc<Sight>>, now: Now) {
    let leases = Api::<Lease>::namespaced(client, &standing.namespace);
    let by = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let (mut received, mut below, mut known) = (Received::default(), 0, BTreeMap::new());
    while sight.has_changed().is_ok() {
        tokio::time::sleep(EVERY).await;
        let at = now();
        let Some(own) = received.rate(at, sight.borrow().spans_received) else { continue };
        let report = Patch::Merge(report(&standing.identity, own, at, &known));
        // The Lease may not be there yet, and a report that is lost is followed by the next.
        let Ok(lease) = leases.patch(&standing.lease, &by, &report).await else { continue };
        known = reports(&lease);
        known.remove(&standing.identity);
        let holds = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()) == Some(&standing.identity);
        let seen = share(own, &known, at).filter(|(share, _)| *share < SHARE_MIN);
        below = if seen.is_some() { below + 1 } else { 0 };
        let Some((share, best)) = seen.filter(|_| holds && below >= BELOW_MAX) else { continue };
        let percent = (share * 100.0).round();
        let handed = json_patch(&lease, &standing.identity, best, at);
        match leases.patch(&standing.lease, &by, &handed).await {
            Ok(_) => info!(to = best, "hands over: it sees {percent} % of the spans that {best} sees"),
            Err(error) => {
                warn!(to = best, "sees {percent} % of the spans that {best} sees, and cannot hand over: {error}")
            }
        }
    }
}

/// Its own report, and those taken off that are of long ago.
fn report(identity: &str, spans_per_s: f64, at: Time, known: &BTreeMap<String, Report>) -> Value {
    let gone = known.iter().filter(|(_, report)| at > report.at + FORGOTTEN);
    let mut annotations: serde_json::Map<String, Value> =
        gone.map(|(name, _)| (format!("{PREFIX}{name}"), Value::Null)).collect();
    let own = Report { at, spans_per_s: (spans_per_s * 10.0).round() / 10.0 };
    annotations.insert(format!("{PREFIX}{identity}"), json!(json!(own).to_string()));
    json!({"metadata": {"annotations": annotations}})
}

/// The Lease is the other's from now on; only where it is still this one's. The other one finds itself to be the holder
/// when it would try for it, and until then nobody acts.
fn json_patch(lease: &Lease, from: &str, to: &str, at: Time) -> Patch<()> {
    let renewed = MicroTime(Timestamp::from_nanosecond(at.0.into()).unwrap_or_default());
    let operations = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": lease.resource_version()},
        {"op": "test", "path": "/spec/holderIdentity", "value": from},
        {"op": "replace", "path": "/spec/holderIdentity", "value": to},
        {"op": "add", "path": "/spec/renewTime", "value": renewed},
        {"op": "add", "path": pointer("headroom.dev/handed-over-by"), "value": from},
    ]);
    // Operations of our own, of which every path is one.
    Patch::Json(serde_json::from_value(operations).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_000);

    fn told(of: &[(&str, f64, i64)]) -> BTreeMap<String, Report> {
        let report = |(name, spans_per_s, age_s): &(&str, f64, i64)| {
            ((*name).to_owned(), Report { at: NOW - Duration::from_secs(*age_s as u64), spans_per_s: *spans_per_s })
        };
        of.iter().map(report).collect()
    }

    #[test]
    fn a_share_is_of_the_best_that_still_tells() {
        let others = told(&[("headroom-1", 100.0, 3), ("headroom-2", 400.0, 60), ("headroom-3", 90.0, 1)]);
        assert_eq!(share(40.0, &others, NOW), Some((0.4, "headroom-1")));
        assert_eq!(share(40.0, &told(&[("headroom-1", 4.0, 0)]), NOW), None, "that few are chance");
        assert_eq!(share(40.0, &told(&[]), NOW), None);
    }

    #[test]
    fn a_rate_needs_a_whole_window() {
        let mut received = Received::default();
        let rates: Vec<Option<f64>> =
            (0..8).map(|n| received.rate(NOW + EVERY * n, 1_000 + u64::from(n) * 500)).collect();
        assert_eq!(rates[..4], [None; 4]);
        assert_eq!(rates[4..], [Some(100.0); 4]);
    }

    #[test]
    fn reports_come_back_and_those_of_long_ago_are_taken_off() {
        let mut lease = Lease::default();
        let written = report("headroom-0", 123.44, NOW, &told(&[("gone", 5.0, 601), ("headroom-1", 5.0, 30)]));
        let annotations = &written["metadata"]["annotations"];
        assert!(
            annotations["seen.headroom.dev/gone"].is_null()
                && annotations.get("seen.headroom.dev/headroom-1").is_none()
        );
        let own = annotations["seen.headroom.dev/headroom-0"].as_str().unwrap().to_owned();
        lease.metadata.annotations = Some([("seen.headroom.dev/headroom-0".to_owned(), own)].into());
        assert_eq!(reports(&lease), [("headroom-0".to_owned(), Report { at: NOW, spans_per_s: 123.4 })].into());
    }
}
