//! Queues whose arrivals are known, told as their spans tell of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::analyse::rollup::HealthSums;
use crate::analyse::statistics::chance::Chance;
use crate::analyse::statistics::histogram::{bucket_of, upper_ns};

/// What ended of a queue, second by second.
#[derive(Default)]
struct Told {
    rows: Vec<ServiceSecond>,
    ended: Vec<Ended>,
}

impl Told {
    fn new(seconds: i64) -> Told {
        let row = |second| ServiceSecond { second, ..ServiceSecond::default() };
        Told { rows: (0..seconds).map(row).collect(), ..Told::default() }
    }

    /// A call of which so much was spent inside the service's own span; `answered` or given up.
    fn end(&mut self, started_s: f64, ended_s: f64, held_s: f64, answered: bool) {
        let Some(row) = self.rows.get_mut(ended_s as usize) else { return };
        let nanos = |s: f64| (s * 1e9) as i64;
        let sojourn_ns = nanos(ended_s - started_s);
        row.sums.requests += i64::from(answered);
        row.sums.gave_up += i64::from(!answered);
        row.sums.hold_ns += nanos(held_s);
        row.sums.sojourn_ns += sojourn_ns;
        row.sums.wait_ns += sojourn_ns - nanos(held_s);
        let bucket = bucket_of(sojourn_ns);
        let sojourn_s = (upper_ns(bucket) + upper_ns(bucket - 1)) as f64 / 2e9;
        self.ended.push(Ended { second: row.second, sojourn_s, calls: 1 });
    }

    fn estimate(&self, until: i64) -> Arrivals {
        let seen: Vec<Ended> = self.ended.iter().filter(|e| e.second < until).copied().collect();
        let rows: Vec<ServiceSecond> = self.rows.iter().filter(|r| r.second < until).copied().collect();
        Arrivals::estimate(&rows, until, Some(&seen), Scaling::Settled)
    }
}

/// Arrivals by chance at a rate that depends on time.
fn arrivals(chance: &mut Chance, seconds: i64, rate: impl Fn(f64) -> f64) -> Vec<f64> {
    let most = (0..seconds * 10).map(|t| rate(t as f64 / 10.0)).fold(0.0, f64::max);
    let mut at = 0.0;
    let mut all = Vec::new();
    while at < seconds as f64 {
        at -= (1.0 - chance.unit()).ln() / most;
        if chance.unit() * most < rate(at) {
            all.push(at);
        }
    }
    all
}

/// One queue in front of some workers; callers give up after their patience.
fn fifo(arrivals: &[f64], seconds: i64, capacity: f64, patience_s: f64) -> Told {
    let mut told = Told::new(seconds);
    let (mut free_s, service_s) = (0.0_f64, 1.0 / capacity);
    for &at in arrivals {
        free_s = free_s.max(at) + service_s;
        if free_s - at > patience_s {
            told.end(at, at + patience_s, 0.0, false);
        } else {
            told.end(at, free_s, service_s, true);
        }
    }
    told
}

/// Processors that all requests share, each with work by chance around the mean.
fn shared(chance: &mut Chance, arrivals: &[f64], seconds: i64, capacity: f64) -> Told {
    let mut told = Told::new(seconds);
    // By attained service: who came at `v` with work `w` leaves at `v + w`. Neither is negative, so their bits sort alike.
    let (mut attained, mut now, mut running) = (0.0_f64, 0.0_f64, BinaryHeap::<Reverse<(u64, u64)>>::new());
    let mut coming = arrivals.iter().copied().peekable();
    loop {
        let next_arrival = coming.peek().copied();
        let speed = capacity / running.len().max(1) as f64;
        let leaves = running.peek().map(|Reverse((at, _))| now + (f64::from_bits(*at) - attained).max(0.0) / speed);
        match (leaves, next_arrival) {
            (None, None) => break,
            (Some(leaves), next) if next.is_none_or(|next| leaves <= next) => {
                attained += (leaves - now) * speed;
                now = leaves;
                let Some(Reverse((_, started))) = running.pop() else { break };
                let started_s = f64::from_bits(started);
                told.end(started_s, now, now - started_s, true);
            }
            (_, Some(next)) => {
                attained += if running.is_empty() { 0.0 } else { (next - now) * speed };
                now = next;
                coming.next();
                let leaves_at = attained + chance.between(0.4, 1.6);
                running.push(Reverse((leaves_at.to_bits(), now.to_bits())));
            }
            (Some(_), None) => unreachable!("it leaves before nobody comes"),
        }
    }
    told
}

const STEP_S: f64 = 12.0;

/// Estimates of a load that stepped: seconds since, and the estimate over the truth.
fn stepped(of: impl Fn(&mut Chance, &[f64], i64, f64) -> Told, capacity: f64, factor: f64, seed: u64) -> Vec<Arrivals> {
    let mut chance = Chance(seed);
    let seconds = 26;
    let rate = |t: f64| if t < STEP_S { capacity / 2.0 } else { capacity * factor };
    let arrivals = arrivals(&mut chance, seconds, rate);
    let told = of(&mut chance, &arrivals, seconds, capacity);
    (17..=seconds).step_by(3).map(|until| told.estimate(until)).collect()
}

#[track_caller]
fn check(of: impl Fn(&mut Chance, &[f64], i64, f64) -> Told, covered: f64, off_most: f64) {
    let (mut all, mut within) = (0, 0);
    for seed in 0..40 {
        let mut chance = Chance(1_000 + seed);
        let (capacity, factor) = (chance.between(60.0, 600.0), chance.between(0.3, 3.0));
        let truth = capacity * factor;
        for found in stepped(&of, capacity, factor, seed) {
            all += 1;
            within += usize::from(found.per_s.low <= truth && truth <= found.per_s.high);
            let off = found.per_s.middle / truth;
            assert!(off < off_most, "{found:?} for {truth} of {capacity}");
            assert!(found.per_s.low <= found.per_s.middle && found.per_s.middle <= found.per_s.high, "{found:?}");
        }
    }
    assert!(within as f64 >= covered * all as f64, "{within} of {all}");
}

#[test]
fn the_bounds_hold_the_arrivals_of_drawn_queues() {
    check(|_, arrivals, seconds, capacity| fifo(arrivals, seconds, capacity, 60.0), 0.85, 1.5);
}

#[test]
fn the_bounds_hold_the_arrivals_where_callers_give_up() {
    check(|_, arrivals, seconds, capacity| fifo(arrivals, seconds, capacity, 2.0), 0.85, 1.3);
}

#[test]
fn the_bounds_hold_the_arrivals_of_shared_processors() {
    check(shared, 0.7, 1.8);
}

#[test]
fn shared_processors_do_more_than_ends_while_ever_more_share_them() {
    let (mut all, mut within) = (0, 0);
    for seed in 0..20 {
        let mut chance = Chance(2_000 + seed);
        let (capacity, factor) = (chance.between(100.0, 600.0), chance.between(1.5, 3.0));
        for found in stepped(shared, capacity, factor, seed) {
            let done = found.throughput_per_s * found.shared_factor / capacity;
            all += 1;
            within += usize::from((0.7..1.3).contains(&done));
            assert!(found.shared_factor >= 1.0, "{found:?}");
        }
    }
    assert!(within as f64 > 0.8 * all as f64, "{within} of {all}");
}

#[test]
fn a_backlog_that_drains_is_no_load() {
    for seed in 0..10 {
        let mut chance = Chance(seed);
        let load = chance.between(100.0, 300.0);
        let arrivals = arrivals(&mut chance, 40, |t| if t < 10.0 { load / 2.0 } else { load });
        // Too small for the load until twelve seconds later, and six times as large from then on.
        let mut told = Told::new(40);
        let mut free_s = 0.0_f64;
        for &at in &arrivals {
            let start_s = free_s.max(at);
            free_s = start_s + if start_s < 22.0 { 1.5 / load } else { 0.25 / load };
            told.end(at, free_s, 0.02, true);
        }
        for until in 24..=36 {
            let found = told.estimate(until);
            let by_end = found.throughput_per_s;
            assert!(found.per_s.middle < 1.35 * load, "{found:?} at {until} s for {load}, {by_end} end");
        }
    }
}

#[test]
fn a_steady_overload_is_seen_behind_the_throughput() {
    for (capacity, rate) in [(706.0, 1414.0), (706.0, 2140.0), (706.0, 2702.0)] {
        let mut chance = Chance(7);
        let arrivals = arrivals(&mut chance, 12, |t| if t < 5.0 { capacity / 2.0 } else { rate });
        let told = fifo(&arrivals, 12, capacity, 60.0);
        for until in 8..=12 {
            let found = told.estimate(until);
            assert!((found.per_s.middle / rate - 1.0).abs() < 0.2, "{found:?} at {until} s for {rate}");
            assert!(found.throughput_per_s <= capacity * 1.01);
        }
    }
}

#[test]
fn without_saturation_arrivals_are_throughput() {
    let mut chance = Chance(7);
    let told = fifo(&arrivals(&mut chance, 10, |_| 500.0), 10, 1000.0, 60.0);
    let found = told.estimate(10);
    assert!((found.per_s.middle - 500.0).abs() < 40.0 && found.trend_per_s2 == 0.0, "{found:?}");
}

/// Calls of 50 ms; of some, what comes on top of that.
fn with_delays(seconds: i64, load: f64, seed: u64, mut delay: impl FnMut(&mut Chance, f64) -> f64) -> Told {
    let mut chance = Chance(seed);
    let mut told = Told::new(seconds);
    for at in arrivals(&mut chance, seconds, |_| load) {
        let delay_s = delay(&mut chance, at);
        told.end(at, at + 0.05 + delay_s, 0.05, true);
    }
    told
}

/// Ten a second, of which three wait ever longer for one another, were once read as 55 a second.
#[test]
fn a_few_that_wait_ever_longer_are_no_burst() {
    for seed in 0..20 {
        let mut free_s = 0.0_f64;
        let queue = |chance: &mut Chance, at: f64| {
            if at < 8.0 || chance.unit() > 0.3 {
                return 0.0;
            }
            free_s = free_s.max(at) + 1.0;
            free_s - at
        };
        let told = with_delays(24, 10.0, seed, queue);
        for until in 8..=24 {
            let found = told.estimate(until).per_s;
            assert!(found.middle < 22.0 && found.low < 14.0, "{found:?} at {until} s");
        }
    }
}

#[test]
fn half_of_the_calls_that_take_a_second_longer_at_once_are_no_burst() {
    for seed in 0..20 {
        let load = 30.0 * (seed + 1) as f64;
        let slower = |chance: &mut Chance, at: f64| if at > 10.3 && chance.unit() < 0.5 { 1.0 } else { 0.0 };
        let told = with_delays(20, load, seed, slower);
        for until in 10..=20 {
            let found = told.estimate(until).per_s;
            assert!(found.middle < 1.6 * load, "{found:?} at {until} s for {load}");
        }
    }
}

#[test]
fn calls_refused_and_given_up_are_arrivals() {
    let sums = HealthSums { requests: 100, refused: 300, gave_up: 50, sojourn_ns: 150, ..HealthSums::default() };
    let rows: Vec<_> = (0..4).map(|second| ServiceSecond { second, sums }).collect();
    assert_eq!(Arrivals::estimate(&rows, 4, None, Scaling::Settled).per_s.middle, 450.0);
}

#[test]
fn a_ramp_shows_its_trend() {
    let of = |seed| {
        let told = fifo(&arrivals(&mut Chance(seed), 12, |t| 100.0 + 50.0 * t), 12, 10_000.0, 60.0);
        let found = told.estimate(12);
        assert!(found.ahead(3.0).middle >= found.per_s.middle && found.ahead(3.0).low == found.per_s.low);
        found.trend_per_s2
    };
    let trend = (0..20).map(of).sum::<f64>() / 20.0;
    assert!((trend - 50.0).abs() < 15.0, "{trend}");
}

#[test]
fn more_calls_are_never_fewer_arrivals() {
    let rows = |answered: i64, refused: i64| -> Vec<ServiceSecond> {
        let sums = HealthSums { requests: answered, refused, ..HealthSums::default() };
        (0..8).map(|second| ServiceSecond { second, sums }).collect()
    };
    let found = |answered, refused| Arrivals::estimate(&rows(answered, refused), 8, None, Scaling::Settled).per_s;
    for answered in 0..60 {
        for refused in 0..10 {
            let (fewer, more) = (found(answered, refused), found(answered + 1, refused));
            assert!(fewer.low <= more.low && fewer.middle < more.middle && fewer.high <= more.high);
            assert_eq!(found(answered + 1, refused).middle, found(answered, refused + 1).middle);
        }
    }
}

#[test]
fn no_spans_no_arrivals() {
    let found = Arrivals::estimate(&[], 10, None, Scaling::Settled);
    assert_eq!((found.per_s.low, found.per_s.middle, found.throughput_per_s), (0.0, 0.0, 0.0));
}
