//! Localisation on a small shop whose faults we know, and the commands that use it.

mod commands;
mod shop;

use headroom::analyse::Suspect;
use headroom::analyse::Verdict;
use headroom::analyse::change::{Diagnosis, Parameters, Profile, localise};

use rand::{RngExt, SeedableRng};
use shop::{Fault, Shop, profile};

/// Healthy time of one seed against time with a fault of another.
fn diagnose(fault: Fault) -> Diagnosis {
    let healthy = Shop::new(1).run(300);
    let faulty = Shop { fault, ..Shop::new(2) }.run(300);
    localise(&profile(&healthy), &profile(&faulty), &Parameters::default())
}

/// The first suspect is sure, and it is this one.
fn culprit(fault: Fault, service: &str) -> Suspect {
    let first = diagnose(fault).suspects.into_iter().next().unwrap();
    assert_eq!(first.service, service, "{fault:?}: {first:?}");
    assert!(first.score > 0.8, "{fault:?}: {first:?}");
    first
}

fn evidence(suspect: &Suspect, measure: &str) -> (f64, f64) {
    let found = suspect.evidence.iter().find(|e| e.measure == measure);
    found.map(|e| (e.now, e.baseline.unwrap())).unwrap_or_else(|| panic!("no {measure} in {suspect:?}"))
}

#[test]
fn healthy_time_against_healthy_time_has_no_suspect() {
    for seed in 2..12 {
        let (one, other) = (Shop::new(1).run(150), Shop::new(seed).run(150));
        let diagnosis = localise(&profile(&one), &profile(&other), &Parameters::default());
        assert!(diagnosis.suspects[0].score < 0.5, "seed {seed}: {:?}", diagnosis.suspects[0]);
    }
}

#[test]
fn a_callee_that_all_callers_wait_for_is_the_suspect() {
    let suspect = culprit(Fault::SlowToAccept("stock"), "stock");
    assert_eq!(suspect.verdict, Verdict::Degraded, "slow at the load and version of healthy time");
    let (now, healthy) = evidence(&suspect, "waiting_ms");
    assert!(now > 5.0 * healthy, "{now} against {healthy}");
}

#[test]
fn a_starved_caller_is_the_suspect_though_only_its_calls_are_slow() {
    // Both of its callees answer others as well as ever, or have no other caller: less sure than a fault of a callee.
    let first = diagnose(Fault::Starved("order")).suspects.remove(0);
    assert_eq!(first.service, "order", "{first:?}");
    assert!(first.score > 0.7, "{first:?}");
}

#[test]
fn work_that_takes_longer_is_found_where_it_is_done() {
    let suspect = culprit(Fault::SlowWork("payment"), "payment");
    assert_eq!(suspect.operation, "POST /charge");
    assert!(!suspect.exemplars.is_empty());
}

#[test]
fn more_load_makes_it_saturated() {
    let healthy = Shop::new(1).run(300);
    // Twice the requests in the same time.
    let busy = Shop { fault: Fault::SlowWork("payment"), period_ms: 50, ..Shop::new(2) }.run(600);
    let first = localise(&profile(&healthy), &profile(&busy), &Parameters::default()).suspects.remove(0);
    assert_eq!((first.service.as_str(), first.verdict), ("payment", Verdict::Saturated), "{first:?}");
}

#[test]
fn a_new_version_at_old_load_is_a_regression() {
    let healthy = Shop::new(1).run(300);
    let rolled_out = Shop { fault: Fault::SlowWork("payment"), version: "2", ..Shop::new(2) }.run(300);
    let first = localise(&profile(&healthy), &profile(&rolled_out), &Parameters::default()).suspects.remove(0);
    assert_eq!((first.service.as_str(), first.verdict), ("payment", Verdict::Regression), "{first:?}");
}

#[test]
fn one_slow_pod_is_named() {
    let suspect = culprit(Fault::SlowPod("stock", 1), "stock");
    assert_eq!((suspect.verdict, suspect.pod.as_deref()), (Verdict::BadInstance, Some("stock-1")), "{suspect:?}");
}

#[test]
fn a_slow_database_is_a_peer_and_its_caller_a_victim() {
    let suspect = culprit(Fault::SlowPeer, "postgresql:shop");
    assert!(suspect.peer);
    assert_eq!(suspect.verdict, Verdict::SlowDependency);
}

#[test]
fn errors_are_blamed_on_the_service_they_begin_in() {
    let suspect = culprit(Fault::Errors("payment"), "payment");
    assert_eq!(suspect.verdict, Verdict::Failing);
    let (now, healthy) = evidence(&suspect, "error_share");
    assert!(now > 0.2 && healthy == 0.0, "{now} against {healthy}");
}

#[test]
fn a_service_that_no_longer_answers_is_blamed_not_its_caller() {
    for fault in [Fault::Refused("payment"), Fault::Hangs("payment"), Fault::Refused("stock"), Fault::Hangs("stock")] {
        let (Fault::Refused(gone) | Fault::Hangs(gone)) = fault else { unreachable!("of the list above") };
        assert_eq!(culprit(fault, gone).verdict, Verdict::Unreachable, "{fault:?}");
    }
}

#[test]
fn callers_that_give_up_do_not_take_the_blame_from_what_they_waited_for() {
    for service in ["stock", "payment", "cart"] {
        let queue = culprit(Fault::SlowToAcceptSomeGiveUp(service), service);
        assert_eq!(queue.verdict, Verdict::Degraded, "{queue:?}");
        let work = culprit(Fault::SlowWorkSomeGiveUp(service), service);
        assert_eq!(work.verdict, Verdict::Degraded, "{work:?}");
    }
}

/// The same traces with a share of the spans lost, in healthy time too.
fn diagnose_lossy(fault: Fault, lost: f64, mesh: bool) -> Diagnosis {
    let keep = |traces: Vec<shop::Trace>, seed| {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        traces.into_iter().map(|spans| spans.into_iter().filter(|_| random.random_bool(1.0 - lost)).collect()).collect()
    };
    let healthy: Vec<shop::Trace> = keep(Shop { mesh, ..Shop::new(1) }.run(400), 7);
    let faulty: Vec<shop::Trace> = keep(Shop { fault, mesh, ..Shop::new(2) }.run(400), 8);
    localise(&profile(&healthy), &profile(&faulty), &Parameters::default())
}

#[test]
fn lost_spans_are_no_evidence_and_hide_none() {
    for (lost, mesh) in [(0.0, true), (0.1, false), (0.3, true), (0.3, false), (0.5, true)] {
        let healthy = diagnose_lossy(Fault::None, lost, mesh);
        assert!(healthy.suspects[0].score < 0.3, "{lost}: {:?}", healthy.suspects[0]);
        let faults = [
            (Fault::Refused("payment"), "payment"),
            (Fault::Hangs("stock"), "stock"),
            (Fault::SlowWork("stock"), "stock"),
            (Fault::SlowWork("catalog"), "catalog"),
            (Fault::SlowToAccept("cart"), "cart"),
            (Fault::SlowToAcceptSomeGiveUp("stock"), "stock"),
            (Fault::SlowWorkSomeGiveUp("payment"), "payment"),
            (Fault::Errors("order"), "order"),
        ];
        // Where callers do not say whom they call, a refused call that was lost cannot be told from one never made.
        let is_told = |fault: &Fault| mesh || lost <= 0.1 || !matches!(fault, Fault::Refused(_));
        for (fault, service) in faults.into_iter().filter(|(fault, _)| is_told(fault)) {
            let first = &diagnose_lossy(fault, lost, mesh).suspects[0];
            assert_eq!(first.service, service, "{lost} of {fault:?}, mesh {mesh}: {first:?}");
        }
    }
}

#[test]
fn an_early_return_is_blamed_on_the_service_that_stopped_calling() {
    let suspect = culprit(Fault::EarlyReturn("order"), "order");
    assert_eq!(suspect.verdict, Verdict::Failing);
}

#[test]
fn names_and_the_pace_of_time_do_not_matter() {
    let fault = Fault::Starved("order");
    let run = |stretch: f64, backwards: bool| {
        let healthy = Shop { stretch, backwards, ..Shop::new(1) }.run(300);
        let faulty = Shop { fault, stretch, backwards, ..Shop::new(2) }.run(300);
        localise(&profile(&healthy), &profile(&faulty), &Parameters::default())
    };
    let plain = run(1.0, false);
    let renamed = run(1.0, true);
    for (a, b) in plain.suspects.iter().zip(&renamed.suspects) {
        assert!((a.score - b.score).abs() < 1e-9, "{a:?}\n{b:?}");
    }
    assert_eq!(renamed.suspects[0].service, "redro");
    for stretch in [0.5, 3.0] {
        let stretched = run(stretch, false);
        assert_eq!(stretched.suspects[0].service, "order");
        // Buckets are read at their middle, and stretching moves durations within them.
        assert!((stretched.suspects[0].score - plain.suspects[0].score).abs() < 0.05);
    }
}

#[test]
fn order_of_traces_and_batches_do_not_matter() {
    let spans = Shop { fault: Fault::Starved("order"), ..Shop::new(2) }.run(60);
    let mut reversed = spans.clone();
    reversed.reverse();
    assert_eq!(profile(&spans), profile(&reversed));
    let mut merged = Profile::default();
    reversed.chunks(7).for_each(|traces| merged.merge(&profile(traces)));
    merged.observed(profile(&spans).observed_s() as i64);
    let healthy = profile(&Shop::new(1).run(60));
    let scores = |profile: &Profile| {
        let suspects = localise(&healthy, profile, &Parameters::default()).suspects;
        suspects.into_iter().map(|s| (s.service, s.score)).collect::<Vec<_>>()
    };
    assert_eq!(scores(&merged), scores(&profile(&spans)));
}
