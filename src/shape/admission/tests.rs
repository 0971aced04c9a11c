use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::shape::limits::{RouteLimit, ServiceLimit};

const SUBMIT: &str = "ingress POST /submit";
const PAGE: &str = "ingress GET /page";
const VIDEO: &str = "ingress GET /video";
const OTHER_ENTRY: &str = "ingress GET /static";
const ENTRIES: [(&str, u8); 3] = [(VIDEO, 0), (PAGE, 1), (SUBMIT, 3)];

/// A service that does four seconds of work a second, for requests of 40 ms: a hundred a second.
fn limits() -> Limits {
    let mut levels: Vec<Level> = ENTRIES.iter().map(|(_, priority)| Level::new(*priority, false)).collect();
    levels.extend(ENTRIES.iter().map(|(_, priority)| Level::new(*priority, true)));
    levels.sort();
    let costs: BTreeMap<String, Cost> =
        ENTRIES.iter().map(|(entry, _)| ((*entry).to_owned(), Cost { calls: 1.0, work_s: 0.04 })).collect();
    let service = ServiceLimit { service: "exam".into(), work_per_s: 4.0, levels, costs };
    Limits { valid_until: Time(i64::MAX), services: vec![service], routes: Vec::new() }
}

fn admission(limits: &Limits) -> Admission {
    let mut admission = Admission::default();
    admission.set(Time(0), limits);
    admission
}

/// A stream: requests a second of an entry operation, by one client, as first attempts or not.
#[derive(Clone, Copy, Debug)]
struct Stream {
    entry: &'static str,
    priority: u8,
    client: &'static str,
    is_retry: bool,
    per_s: i64,
}

fn stream(entry: &'static str, priority: u8, per_s: i64) -> Stream {
    Stream { entry, priority, client: "", is_retry: false, per_s }
}

/// Lets the streams run for so many seconds, evenly spaced, and gives the share of each that was let in after the first.
fn play(admission: &mut Admission, seconds: i64, streams: &[Stream]) -> Vec<f64> {
    let mut arrivals: Vec<(i64, usize)> = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        let step = 1_000_000_000 / stream.per_s.max(1);
        // Not all at the same instant.
        let first = step * (index as i64 + 1) / (streams.len() as i64 + 1);
        arrivals.extend((0..seconds * stream.per_s).map(|n| (first + n * step, index)));
    }
    arrivals.sort_unstable();
    let mut counts = vec![(0_u64, 0_u64); streams.len()];
    for (at, index) in arrivals {
        let Stream { entry, priority, client, is_retry, .. } = streams[index];
        let answer = admission.decide(Time(at), &Request { entry, level: Level::new(priority, is_retry), client });
        if at >= 1_000_000_000 {
            counts[index].0 += 1;
            counts[index].1 += u64::from(answer.is_admitted());
        }
    }
    counts.into_iter().map(|(all, admitted)| admitted as f64 / all.max(1) as f64).collect()
}

#[test]
fn the_lowest_priority_goes_first_and_what_is_above_hardly_notices() {
    // Three times what it can do, a fifth of that submits: 60 submits, 150 pages, 90 videos a second.
    let mut admission = admission(&limits());
    let shares = play(&mut admission, 60, &[stream(SUBMIT, 3, 60), stream(PAGE, 1, 150), stream(VIDEO, 0, 90)]);
    assert!(shares[0] > 0.995, "{shares:?}");
    assert!((0.2..0.3).contains(&shares[1]), "pages get what is left, 40 of 150: {shares:?}");
    assert!((0.005..0.05).contains(&shares[2]), "video is shed first, and does not starve: {shares:?}");
}

#[test]
fn retries_go_before_first_attempts_whatever_their_priority() {
    let mut admission = admission(&limits());
    let retries = Stream { is_retry: true, ..stream(SUBMIT, 3, 200) };
    let shares = play(&mut admission, 30, &[retries, stream(VIDEO, 0, 80)]);
    assert!(shares[1] > 0.99 && shares[0] < 0.2, "{shares:?}");
}

#[test]
fn of_two_equal_clients_the_one_that_floods_is_shed() {
    let mut admission = admission(&limits());
    let flood = Stream { client: "flood", ..stream(PAGE, 1, 400) };
    let quiet = Stream { client: "quiet", ..stream(PAGE, 1, 30) };
    let shares = play(&mut admission, 60, &[flood, quiet]);
    assert!(shares[1] > 0.95, "{shares:?}");
    assert!((0.1..0.2).contains(&shares[0]), "what is left, 70 of 400: {shares:?}");
}

#[test]
fn what_does_not_cross_the_service_is_never_shed() {
    let mut admission = admission(&limits());
    let shares = play(&mut admission, 10, &[stream(PAGE, 1, 900), stream(OTHER_ENTRY, 0, 500)]);
    assert_eq!(shares[1], 1.0);
}

#[test]
fn what_fits_is_let_in_whole() {
    let mut admission = admission(&limits());
    let shares = play(&mut admission, 30, &[stream(SUBMIT, 3, 30), stream(PAGE, 1, 40), stream(VIDEO, 0, 15)]);
    assert!(shares.iter().all(|share| *share == 1.0), "{shares:?}");
}

#[test]
fn a_level_that_is_not_known_counts_as_the_next_below() {
    let mut admission = admission(&limits());
    // Priority 2 as 1; priority 9 as 3.
    let shares = play(&mut admission, 30, &[stream(SUBMIT, 9, 60), stream(PAGE, 2, 150)]);
    assert!(shares[0] > 0.99 && shares[1] < 0.5, "{shares:?}");
}

#[test]
fn a_route_is_held_to_its_rate() {
    let routes = vec![RouteLimit { entry: VIDEO.into(), per_s: 20.0 }];
    let mut admission = admission(&Limits { valid_until: Time(i64::MAX), services: Vec::new(), routes });
    let shares = play(&mut admission, 60, &[stream(VIDEO, 0, 100), stream(PAGE, 1, 100)]);
    assert!((0.19..0.22).contains(&shares[0]) && shares[1] == 1.0, "{shares:?}");
}

#[test]
fn limits_that_nobody_renews_are_void() {
    let mut admission = admission(&Limits { valid_until: Time(2_000_000_000), ..limits() });
    let shares = play(&mut admission, 20, &[stream(VIDEO, 0, 1000)]);
    assert!(shares[0] > 0.9, "{shares:?}");
}

#[test]
fn those_who_are_shed_together_do_not_come_back_together() {
    let mut admission = admission(&limits());
    let request = Request { entry: VIDEO, level: Level::new(0, false), client: "" };
    let mut again: Vec<f64> = (0..1000)
        .filter_map(|_| match admission.decide(Time(0), &request) {
            Answer::Shed { retry_after_s, .. } => Some(retry_after_s),
            Answer::Admitted => None,
        })
        .collect();
    again.sort_by(f64::total_cmp);
    assert!(again.len() > 900 && again[0] >= RETRY_AFTER_S && again[again.len() - 1] <= 2.0 * RETRY_AFTER_S);
    let widest = again.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(widest < 0.01, "spread evenly: {widest}");
}

#[test]
fn counts_are_bounded_and_taken_once() {
    let mut admission = Admission::default();
    for n in 0..10_000 {
        let entry = format!("web GET /{n}");
        let _ = admission.decide(Time(n), &Request { entry: &entry, level: Level::new(1, false), client: "" });
    }
    let traffic = admission.take_traffic();
    assert!(traffic.len() <= ENTRIES_MAX + 1, "{}", traffic.len());
    assert_eq!(traffic.iter().map(|one| one.offered).sum::<u64>(), 10_000);
    assert!(traffic.is_sorted_by_key(|one| (one.entry.clone(), one.level)) && admission.take_traffic().is_empty());
}

#[test]
fn shares_of_several_gateways_come_to_the_whole() {
    let whole = limits();
    let parts = [0.5, 0.3, 0.2].map(|share| whole.share(share).services[0].work_per_s);
    assert!((parts.iter().sum::<f64>() - whole.services[0].work_per_s).abs() < 1e-9);
}

proptest! {
    /// Whatever comes, the work that is let in keeps the rate, but for what a bucket holds.
    #[test]
    fn the_work_let_in_keeps_the_rate(rates in prop::collection::vec(1_i64..400, 3), clients in 0_usize..3) {
        let mut admission = admission(&limits());
        let names = ["", "a", "b"];
        let streams: Vec<Stream> = ENTRIES.iter().zip(&rates).enumerate().map(|(n, ((entry, priority), per_s))| {
            Stream { client: names[(n + clients) % 3], ..stream(entry, *priority, *per_s) }
        }).collect();
        let shares = play(&mut admission, 20, &streams);
        let admitted: f64 = streams.iter().zip(&shares).map(|(stream, share)| stream.per_s as f64 * share * 0.04).sum();
        prop_assert!(admitted <= 4.0 * 1.1, "{admitted}");
        // Nor is what it can do left unused while there is more than enough.
        let offered: f64 = streams.iter().map(|stream| stream.per_s as f64 * 0.04).sum();
        prop_assert!(offered < 6.0 || admitted >= 3.4, "{admitted} of {offered}");
    }

    /// A higher level of the same rate never gets less, but for a request or two.
    #[test]
    fn a_higher_level_never_gets_less(per_s in 20_i64..300) {
        let mut admission = admission(&limits());
        let streams = [stream(SUBMIT, 3, per_s), stream(PAGE, 1, per_s), stream(VIDEO, 0, per_s)];
        let shares = play(&mut admission, 20, &streams);
        prop_assert!(shares[0] >= shares[1] - 0.02 && shares[1] >= shares[2] - 0.02, "{shares:?}");
    }
}
