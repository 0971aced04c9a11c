//! From the rows of a tick to counters that only rise.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::analyse::rollup::{
    CrossingKey, EdgeSums, Key, OperationSums, PathSums, Rollups, StoredKey, Sums, TABLES, batch, exemplars::TRACES,
};
use crate::analyse::statistics::histogram::bucket_of;
use crate::analyse::trace::SegmentKind;
use crate::api::metrics::text::Text;

const MS: i64 = 1_000_000;

/// Rows of some tables, as a tick closes them.
#[derive(Default)]
struct Rows {
    entries: Vec<(EntryKey<&'static str>, EntrySums)>,
    paths: Vec<(PathKey<&'static str>, PathSums)>,
    health: Vec<(HealthKey<&'static str>, HealthSums)>,
    operations: Vec<(OperationKey<&'static str>, OperationSums)>,
    edges: Vec<(EdgeKey<&'static str>, EdgeSums)>,
}

impl Rows {
    fn closed(&self) -> Closed {
        fn table<'a, K>(rows: &'a [(K, K::Sums)]) -> RecordBatch
        where
            K: StoredKey<'a> + Key<Text = &'a str> + 'a,
            K::Sums: Sums + 'a,
        {
            batch(rows.iter(), |text| text)
        }
        let rollups = Rollups::new([
            table(&self.entries),
            table(&self.paths),
            table(&self.health),
            RecordBatch::new_empty(TABLES[DurationKey::<&str>::TABLE].schema.clone()),
            table(&self.edges),
            table(&self.operations),
            RecordBatch::new_empty(TABLES[CrossingKey::<&str>::TABLE].schema.clone()),
        ]);
        Closed { rollups, traces: RecordBatch::new_empty(TRACES.clone()) }
    }
}

fn entry(second: i64, entry: &'static str, ms: i64, requests: i64) -> (EntryKey<&'static str>, EntrySums) {
    let sums = EntrySums {
        requests,
        slow: requests,
        missed: requests,
        duration_ns: ms * MS * requests,
        adjusted_milli: requests * 10_000,
        ..EntrySums::default()
    };
    (EntryKey { second, entry, bucket: bucket_of(ms * MS) }, sums)
}

fn shown(traffic: &Traffic) -> String {
    let mut page = Page::default();
    traffic.show(&mut page);
    Text::Prometheus.write(&page)
}

/// The value of a series, by its name and labels as they are written.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

#[test]
fn rows_of_a_tick_become_counters_and_a_histogram() {
    let mut traffic = Traffic::new(&config::Metrics::default());
    let rows = Rows { entries: vec![entry(7, "shop/web GET /", 240, 3)], ..Rows::default() };
    traffic.add(Time(1), &rows.closed());
    let labels = r#"{service_namespace="shop",service_name="web",entry="shop/web GET /""#;
    let text = shown(&traffic);
    for (metric, wanted) in [
        ("headroom_entry_requests_total", 3.0),
        ("headroom_entry_adjusted_requests_total", 30.0),
        ("headroom_entry_slow_requests_total", 3.0),
        ("headroom_entry_request_duration_seconds_count", 3.0),
    ] {
        assert_eq!(value(&text, &format!("{metric}{labels}}}")), wanted, "{metric}");
    }
    let bucket =
        |le: &str| value(&text, &format!("headroom_entry_request_duration_seconds_bucket{labels},le=\"{le}\"}}"));
    assert_eq!([bucket("0.1"), bucket("0.25"), bucket("+Inf")], [0.0, 3.0, 3.0]);
}

/// A trace that waited for its spans closes seconds after the others of its second: its rows come with a later tick.
#[test]
fn rows_of_an_older_second_are_counted_with_the_tick_that_closed_them() {
    let mut traffic = Traffic::new(&config::Metrics::default());
    for second in [7, 8, 3] {
        let rows = Rows { entries: vec![entry(second, "web GET /", 10, 1)], ..Rows::default() };
        traffic.add(Time(1), &rows.closed());
    }
    let series = r#"headroom_entry_requests_total{service_name="web",entry="web GET /"}"#;
    assert_eq!(value(&shown(&traffic), series), 3.0);
}

#[test]
fn time_and_failures_are_told_apart_by_their_kind() {
    let mut traffic = Traffic::new(&config::Metrics::default());
    let path = |kind: PathKind, service, peer| PathKey {
        second: 7,
        entry: "web GET /",
        missed: true,
        at_risk: false,
        service,
        operation: "op",
        peer,
        kind,
    };
    let sums = PathSums { traces: 2, exclusive_ns: 1_500 * MS };
    let rows = Rows {
        paths: vec![
            (path(PathKind::Time(SegmentKind::Own), "auth", ""), sums),
            (path(PathKind::Time(SegmentKind::Peer), "auth", "postgres"), sums),
            (path(PathKind::Refused, "auth", ""), sums),
        ],
        ..Rows::default()
    };
    traffic.add(Time(1), &rows.closed());
    let text = shown(&traffic);
    let labels = r#"{service_name="web",entry="web GET /",path_service="auth""#;
    assert_eq!(value(&text, &format!("headroom_entry_critical_path_seconds_total{labels},kind=\"own\"}}")), 1.5);
    let peer = format!("headroom_entry_critical_path_seconds_total{labels},peer=\"postgres\",kind=\"peer\"}}");
    assert_eq!(value(&text, &peer), 1.5);
    assert_eq!(value(&text, &format!("headroom_entry_failures_total{labels},kind=\"refused\"}}")), 2.0);
}

#[test]
fn what_is_counted_of_pods_and_operations_adds_up_to_the_service() {
    let mut traffic = Traffic::new(&config::Metrics { pods_max: 1, operations_max: 1, ..config::Metrics::default() });
    let health = |pod| {
        let sums = HealthSums { requests: 5, hold_ns: 100 * MS, own_ns: 40 * MS, ..HealthSums::default() };
        (HealthKey { second: 7, service: "auth", pod, version: "v1" }, sums)
    };
    let operation = |operation| {
        let sums = OperationSums { requests: 5, own_ns: 40 * MS, callees_ns: 60 * MS, ..OperationSums::default() };
        (OperationKey { second: 7, service: "auth", version: "v1", operation }, sums)
    };
    let rows = Rows {
        health: vec![health("auth-1"), health("auth-2")],
        operations: vec![operation("login"), operation("logout")],
        ..Rows::default()
    };
    traffic.add(Time(1), &rows.closed());
    let text = shown(&traffic);
    assert_eq!(value(&text, r#"headroom_service_requests_total{service_name="auth"}"#), 10.0);
    let pods = r#"headroom_pod_requests_total{service_name="auth",k8s_pod_name="#;
    assert_eq!(value(&text, &format!(r#"{pods}"auth-1",service_version="v1"}}"#)), 5.0);
    assert_eq!(value(&text, &format!(r#"{pods}"_other"}}"#)), 5.0);
    let other = r#"headroom_operation_request_duration_seconds_count{service_name="auth",operation="_other"}"#;
    assert_eq!(value(&text, other), 5.0);
    assert_eq!(value(&text, r#"headroom_metrics_other_rows_total{dimension="pods"}"#), 1.0);
    assert_eq!(value(&text, r#"headroom_metrics_names{dimension="pods"}"#), 1.0);
}

#[test]
fn a_call_that_nobody_made_is_none() {
    let mut traffic = Traffic::new(&config::Metrics::default());
    let key = |callee| EdgeKey { second: 7, caller: "web", version: "", operation: "GET /", callee, answered: true };
    let made = EdgeSums { calls: 2, caller_ns: 10 * MS, ..EdgeSums::default() };
    let expected = EdgeSums { expected_milli: 4_000, ..EdgeSums::default() };
    let rows = Rows { edges: vec![(key("auth"), made), (key("db"), expected)], ..Rows::default() };
    traffic.add(Time(1), &rows.closed());
    let text = shown(&traffic);
    assert_eq!(value(&text, r#"headroom_call_requests_total{service_name="web",callee="auth"}"#), 2.0);
    assert!(!text.contains("\"db\""), "{text}");
}

/// Twenty thousand operations: as many series as are allowed, and the rest told.
#[test]
fn operations_past_the_bound_are_one_series_a_service() {
    let mut traffic = Traffic::new(&config::Metrics { operations_max: 100, ..config::Metrics::default() });
    let names: Vec<&'static str> = (0..20_000).map(|n| &*format!("op{n}").leak()).collect();
    let sums = OperationSums { requests: 1, ..OperationSums::default() };
    let row = |operation: &&'static str| {
        (OperationKey { second: 7, service: "auth", version: "", operation: *operation }, sums)
    };
    let rows = Rows { operations: names.iter().map(row).collect(), ..Rows::default() };
    traffic.add(Time(1), &rows.closed());
    let text = shown(&traffic);
    let series = text.lines().filter(|line| line.starts_with("headroom_operation_errors_total{")).count();
    assert_eq!(series, 101);
    assert_eq!(value(&text, r#"headroom_metrics_other_rows_total{dimension="operations"}"#), 19_900.0);
    let other = r#"headroom_operation_request_duration_seconds_count{service_name="auth",operation="_other"}"#;
    assert_eq!(value(&text, other), 19_900.0);
}

/// Where the engine hands over faster than it is added up, what found no room comes with the next tick.
#[test]
fn nothing_is_lost_on_the_way() {
    let traffic = Arc::new(Mutex::new(Traffic::new(&config::Metrics::default())));
    let (mut handing, keeper) = feed(traffic.clone());
    let ticks = TICKS_WAITING_MAX + 20;
    for second in 0..ticks as i64 {
        let rows = Rows { entries: vec![entry(second, "web GET /", 10, 1)], ..Rows::default() };
        handing.closed(Time(second), vec![rows.closed()]);
    }
    let Feed { held, sender } = handing;
    assert_eq!(held.len(), 20);
    drop(sender);
    keeper.run();
    let series = r#"headroom_entry_requests_total{service_name="web",entry="web GET /"}"#;
    assert_eq!(value(&shown(&lock(&traffic)), series) as usize + held.len(), ticks);
}

fn lock(traffic: &Mutex<Traffic>) -> std::sync::MutexGuard<'_, Traffic> {
    traffic.lock().unwrap()
}

proptest! {
    /// Whatever the rows are and whatever their order, no counter falls, and all requests are there.
    #[test]
    fn counters_only_rise(ticks in prop::collection::vec(prop::collection::vec((0_usize..6, 0_i64..9, 1_i64..5_000), 0..6), 0..12)) {
        const NAMES: [&str; 6] = ["a GET /", "b GET /", "c GET /", "d GET /", "e GET /", "_other"];
        let mut traffic = Traffic::new(&config::Metrics { entries_max: 3, ..config::Metrics::default() });
        let (mut before, mut sent) = (BTreeMap::<String, f64>::new(), 0.0);
        for (tick, rows) in ticks.iter().enumerate() {
            let rows = rows.iter().map(|&(name, requests, ms)| entry(tick as i64, NAMES[name], ms, requests)).collect();
            let rows = Rows { entries: rows, ..Rows::default() };
            sent += rows.entries.iter().map(|(_, sums)| sums.requests as f64).sum::<f64>();
            traffic.add(Time(tick as i64), &rows.closed());
            let text = shown(&traffic);
            let samples = text.lines().filter(|line| line.starts_with("headroom_entry_")).filter_map(|line| line.rsplit_once(' '));
            let now: BTreeMap<String, f64> = samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect();
            prop_assert!(before.iter().all(|(series, value)| now.get(series) >= Some(value)));
            let requests = now.iter().filter(|(series, _)| series.starts_with("headroom_entry_requests_total")).map(|(_, value)| value);
            prop_assert_eq!(requests.sum::<f64>(), sent);
            before = now;
        }
    }
}
