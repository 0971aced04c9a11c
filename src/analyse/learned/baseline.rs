//! What healthy time looks like: learnt only from seconds in which objectives held, and stayed held for a
//! while after, so that no incident teaches itself to be normal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Float64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::operations::Operations;
use crate::analyse::diagnosis::pod_health::replica_set;
use crate::analyse::rollup::{EntrySums, HealthSums, Merge, PathKind, Rows};
use crate::analyse::statistics::eviction::{NAMES_MAX, forget_rare};
use crate::analyse::statistics::histogram::quantile_ns;
use crate::model::{ClockStep, Time};

mod snapshot;

use super::hour_of_day::Hours;
pub use super::hour_of_day::Load;

type Text = Arc<str>;

/// How long rows wait before they are learnt. An incident is noticed by its missed objective a few seconds
/// after it began; what came in between must not be learnt.
const QUARANTINE: Duration = Duration::from_secs(15);
/// Requests after which the old half of a baseline fades: a few minutes at a hundred a second, hours at one.
const HALVE_AT_REQUESTS: i64 = 50_000;
/// Seconds after which a pod that served nothing is forgotten: far more than a second's rows are ever apart.
const POD_REMEMBERED_S: i64 = 60;
/// Requests that make a baseline: the mean of fewer says little.
const ENOUGH_REQUESTS: i64 = 50;
/// Requests from which an objective may be derived: a 99th percentile needs a few hundred.
const DERIVE_REQUESTS: i64 = 300;
/// A derived objective allows twice the healthy 99th percentile: objectives that people choose for themselves
/// mostly lie above that, and ordinary noise below.
const DERIVED_FACTOR: i64 = 2;

#[derive(Clone, Debug, Default)]
struct EntryBaseline {
    sums: EntrySums,
    buckets: BTreeMap<i32, i64>,
}

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
    entries: BTreeMap<Text, EntryBaseline>,
    paths: BTreeMap<PathPlace, i64>,
    services: BTreeMap<Text, (ServiceBaseline, i64)>,
    /// By service and pod.
    pods: BTreeMap<(Text, Text), PodBaseline>,
    versions: BTreeMap<(Text, Text), HealthSums>,
    /// Requests by service and ReplicaSet.
    replica_sets: BTreeMap<(Text, Text), i64>,
    operations: Operations,
    hours: Hours,
    /// The time of the last advance.
    now: Time,
    /// Rows not yet learnt, with the time they were seen.
    waiting: VecDeque<(Time, Rows)>,
    /// When an entry operation last missed, or a service was last crossed by one that did.
    last_missed: BTreeMap<Text, Time>,
}

impl Baseline {
    pub fn offer(&mut self, at: Time, rows: Rows) {
        if !rows.is_empty() {
            self.waiting.push_back((at, rows));
        }
    }

    /// `names` (entry operations and services they cross) miss their objective now.
    pub fn missed(&mut self, at: Time, names: impl IntoIterator<Item = Text>) {
        self.last_missed.extend(names.into_iter().map(|name| (name, at)));
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all([&mut self.now]);
        step.move_all(self.waiting.iter_mut().map(|(at, _)| at));
        step.move_all(self.last_missed.values_mut());
        let services = self.services.values_mut().map(|(_, last_second)| last_second);
        let seconds = services.chain(self.pods.values_mut().map(|pod| &mut pod.last_second));
        seconds.for_each(|second| *second = step.second(*second));
        self.waiting.iter_mut().for_each(|(_, rows)| rows.step_clock(step));
    }

    /// Learns the rows whose quarantine is over.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
        while self.waiting.front().is_some_and(|(at, _)| *at + QUARANTINE <= now) {
            let Some((at, rows)) = self.waiting.pop_front() else { return };
            // Missed while the rows waited, or just before they came: their quarantine looks both ways.
            let since = at - QUARANTINE;
            let tainted: BTreeSet<Text> =
                self.last_missed.iter().filter(|(_, missed)| **missed >= since).map(|(name, _)| name.clone()).collect();
            self.learn(&rows, &tainted);
        }
        self.last_missed.retain(|_, missed| *missed + QUARANTINE + QUARANTINE > now);
    }

    fn learn(&mut self, rows: &Rows, tainted: &BTreeSet<Text>) {
        for (key, sums) in rows.entries.iter().filter(|(key, _)| !tainted.contains(&key.entry)) {
            let entry = self.entries.entry(key.entry.clone()).or_default();
            entry.sums.merge(sums);
            *entry.buckets.entry(key.bucket).or_default() += sums.requests;
        }
        for (key, sums) in rows.paths.iter().filter(|(key, _)| !tainted.contains(&key.entry)) {
            let place = (key.entry.clone(), key.service.clone(), key.operation.clone(), key.peer.clone(), key.kind);
            *self.paths.entry(place).or_default() += sums.exclusive_ns;
        }
        for (key, sums) in rows.health.iter().filter(|(key, _)| !tainted.contains(&key.service)) {
            let (service, last_second) = self.services.entry(key.service.clone()).or_default();
            service.sums.merge(sums);
            let mut load = Load {
                adjusted_milli: (sums.requests as f64 * sums.weight() * 1e3) as i64,
                seconds: i64::from(key.second > *last_second),
                pod_seconds: 0,
            };
            service.seconds += load.seconds;
            *last_second = key.second.max(*last_second);
            if !key.pod.is_empty() {
                let pod = self.pods.entry((key.service.clone(), key.pod.clone())).or_default();
                load.pod_seconds = i64::from(key.second > pod.last_second);
                service.pod_seconds += load.pod_seconds;
                pod.seconds += load.pod_seconds;
                pod.requests += sums.requests;
                pod.adjusted_milli += load.adjusted_milli;
                pod.last_second = key.second.max(pod.last_second);
                let set = (key.service.clone(), replica_set(&key.pod).into());
                *self.replica_sets.entry(set).or_default() += sums.requests;
            }
            self.hours.learn(&key.service, key.second, load);
            self.versions.entry((key.service.clone(), key.version.clone())).or_default().merge(sums);
        }
        self.operations.learn(rows, |service| tainted.contains(service));
        let newest = rows.health.keys().map(|key| key.second).max().unwrap_or(i64::MIN);
        self.pods.retain(|_, pod| pod.last_second >= newest.saturating_sub(POD_REMEMBERED_S));
        self.fade();
        self.forget();
    }

    /// See [`forget_rare`].
    fn forget(&mut self) {
        forget_rare(&mut self.entries, NAMES_MAX, |entry| entry.sums.requests);
        forget_rare(&mut self.paths, NAMES_MAX, |nanos| *nanos);
        if forget_rare(&mut self.services, NAMES_MAX, |(service, _)| service.sums.requests) {
            self.hours.forget(|service| self.services.contains_key(service));
        }
        forget_rare(&mut self.versions, NAMES_MAX, |sums| sums.requests);
        forget_rare(&mut self.replica_sets, NAMES_MAX, |requests| *requests);
    }

    /// Whether anything is remembered of an entry operation.
    pub fn knows_entry(&self, entry: &str) -> bool {
        self.entries.contains_key(entry)
    }

    /// Halves what has become large, so that the last minutes to hours decide.
    fn fade(&mut self) {
        let full: Vec<Text> = self
            .entries
            .iter()
            .filter(|(_, e)| e.sums.requests > HALVE_AT_REQUESTS)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &full {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.sums.halve();
                entry.buckets.values_mut().for_each(|count| *count /= 2);
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
        let known = known.filter(|service| service.sums.requests >= ENOUGH_REQUESTS)?;
        Some(ServiceBaseline { this_hour: self.hours.usual(name, self.now.second()), ..known })
    }

    /// Whether this version served in healthy time.
    pub fn knows_version(&self, service: &Text, version: &Text) -> bool {
        let known = self.versions.get(&(service.clone(), version.clone()));
        known.is_some_and(|sums| sums.requests >= ENOUGH_REQUESTS)
    }

    /// Requests a second that a pod served in the seconds of healthy time in which it served any.
    pub fn pod_rate(&self, service: &Text, pod: &Text) -> Option<f64> {
        let pod = self.pods.get(&(service.clone(), pod.clone())).filter(|pod| pod.requests >= ENOUGH_REQUESTS)?;
        Some(pod.adjusted_milli as f64 / 1e3 / pod.seconds.max(1) as f64)
    }

    /// Whether pods of this ReplicaSet served in healthy time; nothing is strange while no other is known.
    pub fn knows_replica_set(&self, service: &Text, set: &str) -> bool {
        let of_service = self.replica_sets.range((service.clone(), Text::from(""))..);
        let mut known = of_service.take_while(|((of, _), _)| of == service).filter(|(_, n)| **n >= ENOUGH_REQUESTS);
        let is_it = |((_, known), _): (&(Text, Text), &i64)| **known == *set;
        known.next().is_none_or(|first| is_it(first) || known.any(is_it))
    }

    /// What requests of each operation do in healthy time.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The share of an entry operation's requests that come near its objective in healthy time.
    pub fn near_share(&self, entry: &str) -> Option<f64> {
        let sums = self.entries.get(entry).map(|e| e.sums).filter(|sums| sums.requests >= ENOUGH_REQUESTS)?;
        // Of none in so many, the next is one by the rule of succession (Laplace, 1814).
        Some((sums.near + sums.missed + 1) as f64 / (sums.requests + 2) as f64)
    }

    /// A latency bound for an entry operation that has none: see [`DERIVED_FACTOR`].
    pub fn derived_objective_ns(&self, entry: &str) -> Option<i64> {
        let baseline = self.entries.get(entry).filter(|e| e.sums.requests >= DERIVE_REQUESTS)?;
        Some(DERIVED_FACTOR * quantile_ns(baseline.buckets.iter().map(|(b, n)| (*b, *n)), 0.99))
    }

    pub fn schema() -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8View, false);
        Arc::new(Schema::new(vec![
            text("entry"),
            text("service"),
            text("operation"),
            text("peer"),
            text("kind"),
            Field::new("ns_per_trace", DataType::Float64, false),
        ]))
    }

    /// The table `baseline_paths`: critical-path nanoseconds a healthy trace of the entry operation spends there.
    pub fn paths_table(&self) -> RecordBatch {
        let rows: Vec<(&PathPlace, f64)> = self
            .paths
            .iter()
            .filter_map(|(place, ns)| {
                let traces = self.entries.get(&place.0)?.sums.requests;
                (traces >= ENOUGH_REQUESTS).then(|| (place, *ns as f64 / traces as f64))
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
        RecordBatch::try_new(Baseline::schema(), columns).expect("columns follow the schema")
    }

    /// The services an entry operation crosses in healthy time.
    pub fn crossed_by(&self, entry: &str) -> BTreeSet<Text> {
        self.paths.keys().filter(|place| *place.0 == *entry).map(|place| place.1.clone()).collect()
    }

    /// Sums of critical-path time, for tests.
    #[cfg(test)]
    pub fn path_ns(&self, entry: &str) -> i64 {
        self.paths.iter().filter(|(place, _)| *place.0 == *entry).map(|(_, ns)| ns).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::{EntryKey, HealthKey, PathKey, PathSums};
    use crate::analyse::trace::SegmentKind;

    fn rows(second: i64, requests: i64) -> Rows {
        let mut rows = Rows::default();
        let sums = EntrySums { requests, ..EntrySums::default() };
        Rows::add(&mut rows.entries, EntryKey { second, entry: "e".into(), bucket: 100 }, sums);
        let key = PathKey {
            second,
            entry: "e".into(),
            missed: false,
            near: false,
            service: "s".into(),
            operation: "op".into(),
            peer: "".into(),
            kind: PathKind::Time(SegmentKind::Own),
        };
        Rows::add(&mut rows.paths, key, PathSums { traces: requests, exclusive_ns: 10 * requests });
        rows
    }

    #[test]
    fn an_incident_does_not_teach_itself_to_be_normal() {
        let mut baseline = Baseline::default();
        for second in 0..40 {
            let at = Time::from_secs(second);
            baseline.offer(at, rows(second, 100));
            if second >= 30 {
                baseline.missed(at, ["e".into()]);
            }
            baseline.advance(at);
        }
        assert_eq!(
            baseline.path_ns("e"),
            1000 * 15,
            "seconds 0 to 14; 15 and later lie within the quarantine of the miss"
        );
        baseline.advance(Time::from_secs(60));
        assert_eq!(baseline.path_ns("e"), 1000 * 15);
    }

    #[test]
    fn a_second_that_comes_in_two_portions_is_one_second_of_its_pod() {
        let mut baseline = Baseline::default();
        // Each tick brings the end of one second and the beginning of the next: ten requests a second and pod.
        for tick in 0..40 {
            let mut rows = Rows::default();
            for (second, pod) in [(tick, "a"), (tick, "b"), (tick + 1, "a"), (tick + 1, "b")] {
                let (service, version) = ("s".into(), "1".into());
                let key = HealthKey { second, service, pod: pod.into(), version };
                Rows::add(&mut rows.health, key, HealthSums { requests: 5, ..HealthSums::default() });
            }
            baseline.offer(Time::from_secs(tick), rows);
            baseline.advance(Time::from_secs(tick));
        }
        let rate = baseline.service("s").unwrap().rate_per_pod();
        assert!((rate - 10.0).abs() < 0.5, "{rate}");
    }

    #[test]
    fn it_fades_but_keeps_its_means() {
        let mut baseline = Baseline::default();
        for second in 0..2000 {
            baseline.offer(Time::from_secs(second), rows(second, 100));
            baseline.advance(Time::from_secs(second));
        }
        let table = baseline.paths_table();
        use arrow::array::AsArray;
        let mean = table.column(5).as_primitive::<arrow::datatypes::Float64Type>().value(0);
        assert!((mean - 10.0).abs() < 0.1, "{mean}");
        assert!(baseline.path_ns("e") <= 10 * (HALVE_AT_REQUESTS + 200));
    }
}
