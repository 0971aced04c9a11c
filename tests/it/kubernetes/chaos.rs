//! What goes wrong in production goes wrong here: headroom is killed at any point of a change, the API server answers
//! what servers in trouble answer or nothing at all, the leader dies in the middle of a burst. Whatever happens, each
//! change is made once, followed to its end, and the need is met.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use headroom::clock::Clock;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;

use super::audit;
use super::control_plane::ControlPlane;
use super::faults::{Call, Fault, Proxy, watches};
use super::shop::{self, Shop};
use super::traffic::{Burst, Traffic};
use crate::process::{Daemon, http};
use crate::skip::measured;

/// A change is under way within this, or something is wrong: a tick, the pods, their warming up and its judgement.
const SOON: Duration = Duration::from_secs(90);

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("s-{n}")).collect()
}

/// Bursts that do not end, one every `apart_s` from `at_s` on.
fn bursts(names: &[String], at_s: f64, apart_s: f64) -> Vec<Burst> {
    names.iter().enumerate().map(|(n, name)| Burst::lasting(name, at_s + n as f64 * apart_s)).collect()
}

/// Waits until every service has what it needs and no record is left.
fn settled(shop: &Shop<'_>, names: &[String]) {
    for name in names {
        let deployment = ["deployment", name.as_str(), "--namespace", shop.namespace];
        shop.cluster.wait_until(&deployment, |of| {
            let record = &of["metadata"]["annotations"]["headroom.dev/intervention"];
            of["spec"]["replicas"].as_u64() > Some(2) && record.is_null()
        });
    }
}

/// Of the daemon's own counts of calls: `reason outcome` to how many.
fn attempts(daemon: &Daemon) -> BTreeMap<String, u64> {
    let (status, metrics) = http(reqwest::Method::GET, &format!("{}/metrics", daemon.api), None);
    assert_eq!(status, 200, "{metrics}");
    let label = |line: &str, name: &str| {
        let start = line.find(&format!("{name}=\""))? + name.len() + 2;
        line[start..].split('"').next().map(str::to_owned)
    };
    let count = |line: &str| {
        let key = format!("{} {}", label(line, "reason")?, label(line, "outcome")?);
        Some((key, line.rsplit(' ').next()?.parse().ok()?))
    };
    metrics.lines().filter(|line| line.starts_with("headroom_act_api_attempts_total")).filter_map(count).collect()
}

/// Where in the life of a change headroom is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    BeforeTry,
    AfterTry,
    AfterTryOfScale,
    BeforeWrite,
    /// Written, and headroom does not know.
    AfterWrite,
    BeforeEvent,
    AfterEvent,
    /// Some seconds later: its pods come, it is warming up or judged.
    Following,
    BeforeClose,
    AfterClose,
}

const POINTS: [Point; 10] = [
    Point::BeforeTry,
    Point::AfterTry,
    Point::AfterTryOfScale,
    Point::BeforeWrite,
    Point::AfterWrite,
    Point::BeforeEvent,
    Point::AfterEvent,
    Point::Following,
    Point::BeforeClose,
    Point::AfterClose,
];

impl Point {
    /// Has the next call of this point wait in the proxy; says when it is there.
    fn await_in(self, proxy: &Proxy) -> Receiver<()> {
        let (here, reached) = sync_channel(1);
        let (before, after) = (Fault::HeldBefore(here.clone()), Fault::HeldAfter(here));
        match self {
            Point::BeforeTry => proxy.inject(before, 1, |call| call.tries(false)),
            Point::AfterTry => proxy.inject(after, 1, |call| call.tries(false)),
            Point::AfterTryOfScale => proxy.inject(after, 1, |call| call.tries(true)),
            Point::BeforeWrite => proxy.inject(before, 1, Call::begins),
            Point::AfterWrite => proxy.inject(after, 1, Call::begins),
            Point::BeforeEvent => proxy.inject(before, 1, Call::tells),
            Point::AfterEvent | Point::Following => proxy.inject(after, 1, Call::tells),
            Point::BeforeClose => proxy.inject(before, 1, Call::closes),
            Point::AfterClose => proxy.inject(after, 1, Call::closes),
        }
        reached
    }
}

/// The points of as many kills, each kind as often as the others, in an order drawn from `HEADROOM_SEED`.
fn drawn(kills: usize) -> Vec<(Point, Duration)> {
    let seed = std::env::var("HEADROOM_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut points: Vec<Point> = POINTS.into_iter().cycle().take(kills).collect();
    points.shuffle(&mut random);
    // Nothing is closed before its pods have warmed up: until then the others have their turn.
    points.sort_by_key(|point| matches!(point, Point::BeforeClose | Point::AfterClose));
    let later = |point| match point {
        Point::Following => Duration::from_millis(random.random_range(0..5_000)),
        _ => Duration::ZERO,
    };
    points.iter().copied().zip(points.iter().copied().map(later)).collect()
}

#[test]
fn killed_at_twenty_points_of_its_changes_it_makes_each_once_and_forgets_none() {
    const NAMESPACE: &str = "kills";
    const KILLS: usize = 20;
    let test = "killed_at_twenty_points_of_its_changes_it_makes_each_once_and_forgets_none";
    let directory = tempfile::tempdir().unwrap();
    let Some(cluster) = ControlPlane::start(test, directory.path(), 2) else { return };
    let shop = Shop::open(&cluster, NAMESPACE, directory.path());
    let names = names(KILLS);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    shop.add(&all);
    let proxy = Proxy::start(&cluster);
    let kubeconfig = shop.kubeconfig(&proxy.server);
    let otlp = shop::address();
    let home = shop.home("one", &otlp, "");
    // One step is enough for it, so that a record closes soon.
    let mut bursts = bursts(&names, 2.0, 0.0);
    bursts.iter_mut().for_each(|burst| burst.factor = 6.0);
    let traffic = Traffic::start(&cluster, NAMESPACE, &bursts, &[otlp]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let points = drawn(KILLS);
    let mut daemon = home.serve(&kubeconfig);
    for (n, (point, later)) in points.iter().enumerate() {
        let reached = point.await_in(&proxy);
        // It has needed more all the time; from here on headroom may give it more.
        shop.opt_in(&[&names[n]]);
        reached.recv_timeout(SOON).unwrap_or_else(|_| panic!("kill {n}: nothing came to {point:?} of {points:?}"));
        runtime.block_on(Clock::system().sleep(*later));
        drop(daemon); // by SIGKILL
        proxy.clear();
        daemon = home.serve(&kubeconfig);
    }
    settled(&shop, &names);
    drop(traffic);
    assert_eq!(daemon.terminate(), 0);

    let writes = audit::writes(&cluster, &shop.user());
    let audit::Account { begun: done, twice, dangling } = audit::account(&writes, NAMESPACE);
    measured("kubernetes.kills", points.len(), "kills");
    measured("kubernetes.kills.changes", done.values().map(Vec::len).sum::<usize>(), "changes");
    measured("kubernetes.kills.twice", twice.len(), "changes");
    measured("kubernetes.kills.dangling", dangling.len(), "records");
    assert!(twice.is_empty() && dangling.is_empty(), "{points:?}: {twice:?} {dangling:?} of {done:#?}");
    assert_eq!(done.len(), names.len(), "{points:?}: {done:#?}");
    for (service, records) in &done {
        // What comes already counts: nobody orders twice for one need, however often headroom forgets.
        assert!(records.last().unwrap().replicas_after <= 12, "{service}: {records:#?}");
        assert!(records.is_sorted_by(|a, b| a.replicas_after < b.replicas_after), "{service}: {records:#?}");
    }
    assert!(audit::beyond(&writes, NAMESPACE, &all).is_empty());
}

#[test]
fn an_api_server_in_trouble_is_asked_again_and_nothing_is_done_twice() {
    const NAMESPACE: &str = "trouble";
    const PAUSE: Duration = Duration::from_secs(8);
    let test = "an_api_server_in_trouble_is_asked_again_and_nothing_is_done_twice";
    let directory = tempfile::tempdir().unwrap();
    let Some(cluster) = ControlPlane::start(test, directory.path(), 1) else { return };
    let shop = Shop::open(&cluster, NAMESPACE, directory.path());
    let names = names(4);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    shop.add(&all);
    shop.opt_in(&all);
    let proxy = Proxy::start(&cluster);
    let otlp = shop::address();
    let mut daemon = shop.home("one", &otlp, "").serve(&shop.kubeconfig(&proxy.server));
    daemon.await_said("leads");
    let traffic = Traffic::start(&cluster, NAMESPACE, &bursts(&names, 8.0, 8.0), &[otlp]);
    let deployment = |name: &'static str| ["deployment", name, "--namespace", NAMESPACE];
    let grown = |of: &Value| of["spec"]["replicas"].as_u64() > Some(2);

    // One change after the other meets all of this on its way.
    proxy.inject(Fault::Status(429), 1, |call| call.tries(false));
    proxy.inject(Fault::Status(503), 2, |call| call.tries(true));
    proxy.inject(Fault::Status(409), 1, Call::begins);
    proxy.inject(Fault::Lost, 1, Call::begins);
    proxy.inject(Fault::Status(500), 1, Call::tells);
    cluster.wait_until(&deployment("s-0"), grown);

    // Every watch is told that it asks for what is gone, and begins anew.
    proxy.inject(Fault::Expired, 8, watches);
    proxy.cut();
    cluster.wait_until(&deployment("s-1"), grown);

    // So slow that some calls take longer than anybody waits for.
    proxy.inject(Fault::Late(Duration::from_millis(700)), 12, |call| !watches(call));
    cluster.wait_until(&deployment("s-2"), grown);
    let left = proxy.left();
    proxy.clear();

    // Nothing answers, from the moment at which the next need shows until the Lease has nearly run out.
    let clock = Clock::system();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let until = clock.now() + SOON;
        while !traffic.evidence().contains_key("s-3") {
            assert!(clock.now() < until, "no burst of s-3");
            clock.sleep(Duration::from_millis(20)).await;
        }
    });
    let paused = cluster.pause();
    runtime.block_on(clock.sleep(PAUSE));
    let (alive, _) = http(reqwest::Method::GET, &format!("{}/livez", daemon.api), None);
    assert_eq!(alive, 200);
    drop(paused);
    cluster.wait_until(&deployment("s-3"), grown);

    settled(&shop, &names);
    let attempts = attempts(&daemon);
    for needed in ["throttled done", "server done", "conflict done", "expired again", "first done"] {
        assert!(attempts[needed] > 0, "{needed}: {attempts:#?}");
    }
    drop(traffic);
    assert_eq!(daemon.terminate(), 0);
    let writes = audit::writes(&cluster, &shop.user());
    let audit::Account { begun: done, twice, .. } = audit::account(&writes, NAMESPACE);
    measured("kubernetes.trouble.twice", twice.len(), "changes");
    assert_eq!(twice, [""; 0], "{done:#?}");
    assert_eq!(done.len(), names.len(), "{done:#?}");
    assert!(audit::beyond(&writes, NAMESPACE, &all).is_empty());
    let again: u64 = attempts.iter().filter(|(key, _)| !key.starts_with("first")).map(|(_, count)| count).sum();
    measured("kubernetes.trouble.attempts_again", again, "attempts");
    measured("kubernetes.trouble.slow_calls", 12 - left, "calls");
}

#[test]
fn the_leader_is_killed_in_mid_burst_and_the_other_acts_on_what_it_has_seen() {
    const NAMESPACE: &str = "failover";
    let test = "the_leader_is_killed_in_mid_burst_and_the_other_acts_on_what_it_has_seen";
    let directory = tempfile::tempdir().unwrap();
    let Some(cluster) = ControlPlane::start(test, directory.path(), 1) else { return };
    let shop = Shop::open(&cluster, NAMESPACE, directory.path());
    let names = names(4);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    shop.add(&all);
    shop.opt_in(&all);
    let kubeconfig = shop.kubeconfig(&cluster.server());
    let mut leader = shop.home("first", "127.0.0.1:0", "").serve(&kubeconfig);
    leader.await_said("leads");
    let home = shop.home("second", "127.0.0.1:0", "");
    let second = home.serve(&kubeconfig);
    // The second burst comes when nobody leads.
    let otlp = [leader.http.clone(), second.http.clone()];
    let traffic = Traffic::start(&cluster, NAMESPACE, &bursts(&names, 10.0, 6.0), &otlp);
    let first = ["deployment", "s-0", "--namespace", NAMESPACE];
    cluster.wait_until(&first, |of| of["spec"]["replicas"].as_u64() > Some(2));
    leader.kill();
    let died = Clock::system().now();
    settled(&shop, &names);
    drop(traffic);
    assert_eq!(second.terminate(), 0);

    let writes = audit::writes(&cluster, &shop.user());
    let done = audit::once_each(&writes, NAMESPACE);
    assert_eq!(done.len(), names.len(), "{done:#?}");
    let acts = writes.iter().find(|write| write.done() && write.at > died && write.begins().is_some()).unwrap();
    let failover = acts.at.seconds_since(died);
    assert!(failover < 15.0, "{failover}");
    measured("kubernetes.failover", format!("{failover:.1}"), "s");
    // It had followed what it did not order to its end.
    let adopted = |entry: &Value| entry["report"]["service"] == "s-0" && entry["report"]["stage"] == "verified";
    assert!(home.journal().iter().any(adopted));
}
