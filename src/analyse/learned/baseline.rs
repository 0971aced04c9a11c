//! Healthy time: learned only from seconds in which objectives held, and went on to hold for a while after
//! ([quarantine](super::quarantine)).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringViewArray};

use super::quarantine::Released;
use crate::analyse::rollup::sql::baseline_paths_schema;
use crate::analyse::rollup::{EntryKey, EntrySums, HealthKey, HealthSums, PathKey, PathKind, Rollups, Sums};
use crate::analyse::statistics::eviction::{NAMES_MAX, forget_rare};
use crate::analyse::thresholds::healthy::{BASELINE_REQUESTS, HALVE_AT_REQUESTS, POD_REMEMBERED_S};
use crate::model::{ClockStep, Text, Time};

mod snapshot;

use super::hour_of_day::Hours;
pub use super::hour_of_day::Load;

/// How much of the healthy load came to one pod.
#[derive(Clone, Copy, Debug, Default)]
struct PodBaseline {
    requests: i64,
    /// Requests that these stand for, in thousandths.
    adjusted_milli: i64,
    seconds: i64,
    /// A tick ends in the middle of a second, so the rows of one second come in two portions: it is counted once.
    last_second: i64,
}

/// Healthy behaviour of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ServiceBaseline {
    pub sums: HealthSums,
    pub seconds: i64,
    /// Pods that served, summed over those seconds.
    pub pod_seconds: i64,
    /// What this hour of the day brought on the days before, and was borne.
    #[serde(skip)]
    pub this_hour: Option<Load>,
}

impl ServiceBaseline {
    pub fn hold_s(&self) -> f64 {
        per_request(self.sums.hold_ns, self.sums.requests)
    }

    pub fn own_s(&self) -> f64 {
        per_request(self.sums.own_ns, self.sums.requests)
    }

    pub fn wait_s(&self) -> f64 {
        per_request(self.sums.wait_ns, self.sums.requests)
    }

    /// Time of a request that its callees take.
    pub fn callees_s(&self) -> f64 {
        (self.hold_s() - self.own_s()).max(0.0)
    }

    pub fn rate(&self) -> f64 {
        self.sums.requests as f64 * self.sums.weight() / self.seconds.max(1) as f64
    }

    pub fn rate_per_pod(&self) -> f64 {
        self.sums.requests as f64 * self.sums.weight() / self.pod_seconds.max(1) as f64
    }

    /// Requests a second that are no news: of late, or at this hour on the days before.
    pub fn usual_rate(&self) -> f64 {
        self.this_hour.map_or(0.0, Load::rate).max(self.rate())
    }

    pub fn usual_rate_per_pod(&self) -> f64 {
        self.this_hour.map_or(0.0, Load::rate_per_pod).max(self.rate_per_pod())
    }
}

fn per_request(nanos: i64, requests: i64) -> f64 {
    nanos as f64 / 1e9 / requests.max(1) as f64
}

/// A path's place in an entry operation: service, operation, peer and kind.
type PathPlace = (Text, Text, Text, Text, PathKind);

#[derive(Default)]
pub struct Baseline {
    entries: BTreeMap<Text, EntrySums>,
    paths: BTreeMap<PathPlace, i64>,
    services: BTreeMap<Text, (ServiceBaseline, i64)>,
    /// By service and pod.
    pods: BTreeMap<(Text, Text), PodBaseline>,
    versions: BTreeMap<(Text, Text), HealthSums>,
    /// Requests by service and ReplicaSet.
    replica_sets: BTreeMap<(Text, Text), i64>,
    hours: Hours,
    /// The time of the tick at hand: its hour of the day is asked for.
    now: Time,
}

/// The texts of rows as shared ones: each is made once.
#[derive(Default)]
struct Names<'a>(HashMap<&'a str, Text, foldhash::fast::RandomState>);

impl<'a> Names<'a> {
    fn of(&mut self, text: &'a str) -> Text {
        self.0.entry(text).or_insert_with(|| text.into()).clone()
    }
}

/// The rows of a tick in the order of their keys, each key once, however many absorbers they come from.
fn health_of(rollups: &[Rollups]) -> Vec<(HealthKey<&str>, HealthSums)> {
    let mut rows: Vec<(HealthKey<&str>, HealthSums)> = rollups.iter().flat_map(Rollups::rows).collect();
    // Those of one absorber are.
    if rollups.len() > 1 {
        rows.sort_by_key(|(key, _)| *key);
        rows.dedup_by(|(key, sums), (kept, kept_sums)| {
            let is_same = key == kept;
            if is_same {
                kept_sums.merge(sums);
            }
            is_same
        });
    }
    rows
}

/// The part that names of pods of one ReplicaSet share, by the convention of Kubernetes: all but the last.
pub fn replica_set(pod: &str) -> &str {
    pod.rsplit_once('-').map_or("", |(set, _)| set)
}

impl Baseline {
    /// A new tick begins.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all([&mut self.now]);
        let services = self.services.values_mut().map(|(_, last_second)| last_second);
        let seconds = services.chain(self.pods.values_mut().map(|pod| &mut pod.last_second));
        seconds.for_each(|second| *second = step.second(*second));
    }

    /// Learns the rows of a tick whose quarantine is over.
    pub fn learn(&mut self, Released { rollups, tainted }: &Released) {
        let mut names = Names::default();
        for (key, sums) in rollups.iter().flat_map(Rollups::rows::<EntryKey<&str>>) {
            if !tainted.contains(key.entry) {
                self.entries.entry(names.of(key.entry)).or_default().merge(&sums);
            }
        }
        for (key, sums) in rollups.iter().flat_map(Rollups::rows::<PathKey<&str>>) {
            if !tainted.contains(key.entry) {
                let [entry, service, operation, peer] =
                    [key.entry, key.service, key.operation, key.peer].map(|text| names.of(text));
                *self.paths.entry((entry, service, operation, peer, key.kind)).or_default() += sums.exclusive_ns;
            }
        }
        let health = health_of(rollups);
        for (key, sums) in health.iter().filter(|(key, _)| !tainted.contains(key.service)) {
            self.learn_service(key, sums, &mut names);
        }
        let newest = health.iter().map(|(key, _)| key.second).max().unwrap_or(i64::MIN);
        self.pods.retain(|_, pod| pod.last_second >= newest.saturating_sub(POD_REMEMBERED_S));
        self.fade();
        self.forget();
    }

    fn learn_service<'a>(&mut self, key: &HealthKey<&'a str>, sums: &HealthSums, names: &mut Names<'a>) {
        let name = names.of(key.service);
        let (service, last_second) = self.services.entry(name.clone()).or_default();
        service.sums.merge(sums);
        let mut load = Load {
            adjusted_milli: (sums.requests as f64 * sums.weight() * 1e3) as i64,
            seconds: i64::from(key.second > *last_second),
            pod_seconds: 0,
        };
        service.seconds += load.seconds;
        *last_second = key.second.max(*last_second);
        if !key.pod.is_empty() {
            let pod = self.pods.entry((name.clone(), names.of(key.pod))).or_default();
            load.pod_seconds = i64::from(key.second > pod.last_second);
            service.pod_seconds += load.pod_seconds;
            pod.seconds += load.pod_seconds;
            pod.requests += sums.requests;
            pod.adjusted_milli += load.adjusted_milli;
            pod.last_second = key.second.max(pod.last_second);
            let set = (name.clone(), names.of(replica_set(key.pod)));
            *self.replica_sets.entry(set).or_default() += sums.requests;
        }
        self.hours.learn(&name, key.second, load);
        self.versions.entry((name, names.of(key.version))).or_default().merge(sums);
    }

    /// See [`forget_rare`].
    fn forget(&mut self) {
        forget_rare(&mut self.entries, NAMES_MAX, |sums| sums.requests);
        forget_rare(&mut self.paths, NAMES_MAX, |nanos| *nanos);
        if forget_rare(&mut self.services, NAMES_MAX, |(service, _)| service.sums.requests) {
            self.hours.forget(|service| self.services.contains_key(service));
        }
        forget_rare(&mut self.versions, NAMES_MAX, |sums| sums.requests);
        forget_rare(&mut self.replica_sets, NAMES_MAX, |requests| *requests);
    }

    /// Halves what has become large, so that the last minutes to hours decide.
    fn fade(&mut self) {
        let full: Vec<Text> = self
            .entries
            .iter()
            .filter(|(_, sums)| sums.requests > HALVE_AT_REQUESTS)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &full {
            if let Some(sums) = self.entries.get_mut(name) {
                sums.halve();
            }
            self.paths.iter_mut().filter(|(place, _)| place.0 == *name).for_each(|(_, ns)| *ns /= 2);
        }
        for (service, _) in self.services.values_mut().filter(|(s, _)| s.sums.requests > HALVE_AT_REQUESTS) {
            service.sums.halve();
            service.seconds /= 2;
            service.pod_seconds /= 2;
        }
        for pod in self.pods.values_mut().filter(|pod| pod.requests > HALVE_AT_REQUESTS) {
            pod.requests /= 2;
            pod.adjusted_milli /= 2;
            pod.seconds /= 2;
        }
        self.versions.values_mut().filter(|v| v.requests > HALVE_AT_REQUESTS).for_each(HealthSums::halve);
    }

    /// None until enough healthy requests were seen.
    pub fn service(&self, name: &str) -> Option<ServiceBaseline> {
        let known = self.services.get(name).map(|(service, _)| *service);
        let known = known.filter(|service| service.sums.requests >= BASELINE_REQUESTS)?;
        Some(ServiceBaseline { this_hour: self.hours.usual(name, self.now.second()), ..known })
    }

    /// Whether this version served in healthy time.
    pub fn knows_version(&self, service: &Text, version: &Text) -> bool {
        let known = self.versions.get(&(service.clone(), version.clone()));
        known.is_some_and(|sums| sums.requests >= BASELINE_REQUESTS)
    }

    /// Requests a second that a pod served in the seconds of healthy time in which it served any.
    pub fn pod_rate(&self, service: &Text, pod: &Text) -> Option<f64> {
        let pod = self.pods.get(&(service.clone(), pod.clone())).filter(|pod| pod.requests >= BASELINE_REQUESTS)?;
        Some(pod.adjusted_milli as f64 / 1e3 / pod.seconds.max(1) as f64)
    }

    /// Whether pods of this ReplicaSet served in healthy time; nothing is strange while no other is known.
    pub fn knows_replica_set(&self, service: &Text, set: &str) -> bool {
        let of_service = self.replica_sets.range((service.clone(), Text::from(""))..);
        let mut known = of_service.take_while(|((of, _), _)| of == service).filter(|(_, n)| **n >= BASELINE_REQUESTS);
        let is_it = |((_, known), _): (&(Text, Text), &i64)| **known == *set;
        known.next().is_none_or(|first| is_it(first) || known.any(is_it))
    }

    /// The share of an entry operation's requests that are at risk of missing its objective, or miss it, in healthy time.
    pub fn at_risk_share(&self, entry: &str) -> Option<f64> {
        let sums = self.entries.get(entry).filter(|sums| sums.requests >= BASELINE_REQUESTS)?;
        // Of none in so many, the next is one by the rule of succession (Laplace, 1814).
        Some((sums.at_risk + sums.missed + 1) as f64 / (sums.requests + 2) as f64)
    }

    /// The table `baseline_paths`: critical-path nanoseconds a healthy trace of the entry operation spends there.
    pub fn paths_table(&self) -> RecordBatch {
        let rows: Vec<(&PathPlace, f64)> = self
            .paths
            .iter()
            .filter_map(|(place, ns)| {
                let traces = self.entries.get(&place.0)?.requests;
                (traces >= BASELINE_REQUESTS).then(|| (place, *ns as f64 / traces as f64))
            })
            .collect();
        let text = |of: fn(&PathPlace) -> &str| {
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(|(place, _)| of(place)))) as _
        };
        let columns = vec![
            text(|p| &p.0),
            text(|p| &p.1),
            text(|p| &p.2),
            text(|p| &p.3),
            text(|p| p.4.as_str()),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, ns)| *ns))) as _,
        ];
        // Six columns of `rows`, in the order and of the types of the schema.
        RecordBatch::try_new(baseline_paths_schema(), columns).expect("columns follow the schema")
    }

    /// The services an entry operation crosses in healthy time.
    pub fn crossed_by(&self, entry: &str) -> BTreeSet<Text> {
        self.paths.keys().filter(|place| *place.0 == *entry).map(|place| place.1.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::analyse::rollup::PathSums;
    use crate::analyse::rollup::by_hand::Rows;
    use crate::analyse::trace::SegmentKind;

    fn released(rows: Vec<Rows>) -> Released {
        Released { rollups: rows.into_iter().map(Rows::tables).collect(), tainted: BTreeSet::new() }
    }

    fn pod(second: i64, pod: &str, requests: i64) -> Rows {
        let mut rows = Rows::default();
        let key = HealthKey { second, service: "s".into(), pod: pod.into(), version: "1".into() };
        Rows::add(&mut rows.health, key, HealthSums { requests, ..HealthSums::default() });
        rows
    }

    #[test]
    fn a_second_that_comes_in_two_portions_is_one_second_of_its_pod() {
        let mut baseline = Baseline::default();
        // Each tick brings the end of one second and the beginning of the next: ten requests a second and pod.
        for tick in 0..40 {
            let rows = [(tick, "a"), (tick, "b"), (tick + 1, "a"), (tick + 1, "b")];
            // In any order, as portions of several absorbers come.
            baseline.learn(&released(rows.into_iter().rev().map(|(second, name)| pod(second, name, 5)).collect()));
        }
        let rate = baseline.service("s").unwrap().rate_per_pod();
        assert!((rate - 10.0).abs() < 0.5, "{rate}");
    }

    #[test]
    fn it_fades_but_keeps_its_means() {
        let mut baseline = Baseline::default();
        for second in 0..2000 {
            let mut rows = Rows::default();
            let sums = EntrySums { requests: 100, ..EntrySums::default() };
            Rows::add(&mut rows.entries, EntryKey { second, entry: "e".into(), bucket: 100 }, sums);
            let key = PathKey {
                second,
                entry: "e".into(),
                missed: false,
                at_risk: false,
                service: "s".into(),
                operation: "op".into(),
                peer: "".into(),
                kind: PathKind::Time(SegmentKind::Own),
            };
            Rows::add(&mut rows.paths, key, PathSums { traces: 100, exclusive_ns: 1000 });
            baseline.learn(&released(vec![rows]));
        }
        let mean = baseline.paths_table().column(5).as_primitive::<Float64Type>().value(0);
        assert!((mean - 10.0).abs() < 0.1, "{mean}");
        assert!(baseline.paths.values().sum::<i64>() <= 10 * (HALVE_AT_REQUESTS + 200));
    }

    #[test]
    fn pods_of_one_replica_set_share_what_their_names_begin_with() {
        assert_eq!(replica_set("auth-5d8f7c-x2x4z"), "auth-5d8f7c");
        assert_eq!(replica_set("10.0.0.7:8080"), "");
    }
}
