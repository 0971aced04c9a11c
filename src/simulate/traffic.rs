//! Open-loop traffic: Poisson arrivals whose rate follows the shapes of an entry. Time is cut into slots; each
//! slot's count and instants come from a stream keyed by entry and slot, so arrivals never depend on what
//! the system does with them.

use rand_distr::{Distribution, Poisson};

use super::random::{Key, between, lognormal};
use super::scenario::{Entry, Shape};

/// Within a slot the rate is constant. A twentieth of the shortest rise that matters (20 s) is far above.
pub(super) const SLOT_NS: i64 = 100_000_000;

/// Requests a second of an entry at an instant, without noise.
pub(super) fn rate(entry: &Entry, at_s: f64) -> f64 {
    let base = if entry.table.is_empty() { entry.rate } else { entry.rate * interpolate(&entry.table, at_s) };
    let own = entry.shapes.iter().map(|shape| factor(shape, at_s)).product::<f64>() * base;
    own + entry.surges.iter().map(|surge| surge.rate(at_s)).sum::<f64>()
}

fn factor(shape: &Shape, at: f64) -> f64 {
    match *shape {
        Shape::Step { at_s, factor } if at >= at_s => factor,
        Shape::Ramp { from_s, to_s, factor } if at >= from_s => 1.0 + (factor - 1.0) * progress(at, from_s, to_s),
        Shape::Burst { at_s, rise_s, hold_s, fall_s, factor } if at >= at_s => {
            let falls_at = at_s + rise_s + hold_s;
            let level = progress(at, at_s, at_s + rise_s) - progress(at, falls_at, falls_at + fall_s);
            1.0 + (factor - 1.0) * level
        }
        Shape::Bells { first_s, every_s, width_s, factor } => {
            // The nearest bell counts; the first has none before it.
            let bell = ((at - first_s) / every_s).round().max(0.0);
            let distance = (at - first_s - bell * every_s) / width_s;
            1.0 + (factor - 1.0) * (-0.5 * distance * distance).exp()
        }
        Shape::Step { .. } | Shape::Ramp { .. } | Shape::Burst { .. } | Shape::Noise { .. } | Shape::Csv(_) => 1.0,
    }
}

/// How far `at` is from one instant to the other, from 0 to 1.
fn progress(at: f64, from: f64, to: f64) -> f64 {
    if at >= to { 1.0 } else { ((at - from) / (to - from)).max(0.0) }
}

/// Linear between the rows, constant before the first and after the last.
fn interpolate(table: &[(f64, f64)], at: f64) -> f64 {
    let next = table.partition_point(|row| row.0 <= at);
    match (next.checked_sub(1).map(|i| table[i]), table.get(next)) {
        (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (at - a.0) / (b.0 - a.0),
        (Some(edge), None) => edge.1,
        (None, Some(edge)) => edge.1,
        (None, None) => 0.0,
    }
}

/// The noise of an entry at an instant: a product over its noise shapes, each drawn once a period.
fn noise(entry: &Entry, at_s: f64, key: Key) -> f64 {
    let drawn = entry.shapes.iter().enumerate().map(|(i, shape)| match *shape {
        Shape::Noise { sigma, every_s } => {
            let period = (at_s / every_s) as u64;
            lognormal(&mut key.child(i as u64).child(period).stream(), 1.0, sigma)
        }
        _ => 1.0,
    });
    drawn.product()
}

/// Appends the arrivals of one slot, in order: nanoseconds since the start of the simulation.
pub(super) fn arrivals(entry: &Entry, slot: i64, arrivals_key: Key, noise_key: Key, out: &mut Vec<i64>) {
    let middle_s = (slot as f64 + 0.5) * SLOT_NS as f64 / 1e9;
    let mean = rate(entry, middle_s) * noise(entry, middle_s, noise_key) * SLOT_NS as f64 / 1e9;
    let Ok(poisson) = Poisson::new(mean) else {
        return; // a rate of zero is no distribution, and no arrival
    };
    let mut rng = arrivals_key.child(slot as u64).stream();
    let count: f64 = poisson.sample(&mut rng);
    let start = slot * SLOT_NS;
    out.extend((0..count as u64).map(|_| start + between(&mut rng, 0.0, SLOT_NS as f64) as i64));
    out.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::Purpose;
    use crate::simulate::scenario::Scenario;

    fn entry(shapes: Vec<Shape>) -> Entry {
        // Any shipped entry will do: only rate and shapes are read here.
        let mut entry = Scenario::by_name("calm").expect("shipped").entries.remove(0);
        (entry.rate, entry.shapes) = (100.0, shapes);
        entry
    }

    #[test]
    fn shapes_multiply_the_rate() {
        let burst = Shape::Burst { at_s: 60.0, rise_s: 20.0, hold_s: 180.0, fall_s: 10.0, factor: 10.0 };
        let at = |shape: &Shape, seconds: &[f64]| -> Vec<f64> {
            let entry = entry(vec![shape.clone()]);
            seconds.iter().map(|s| rate(&entry, *s)).collect()
        };
        assert_eq!(
            at(&burst, &[59.9, 60.0, 70.0, 80.0, 260.0, 265.0, 270.0]),
            [100.0, 100.0, 550.0, 1000.0, 1000.0, 550.0, 100.0]
        );
        let ramp = Shape::Ramp { from_s: 10.0, to_s: 20.0, factor: 0.0 };
        assert_eq!(at(&ramp, &[5.0, 15.0, 25.0]), [100.0, 50.0, 0.0]);
        assert_eq!(at(&Shape::Step { at_s: 10.0, factor: 3.0 }, &[9.0, 10.0]), [100.0, 300.0]);
        let bells = Shape::Bells { first_s: 100.0, every_s: 100.0, width_s: 5.0, factor: 4.0 };
        assert_eq!(at(&bells, &[100.0, 200.0]), [400.0, 400.0]);
        assert!(at(&bells, &[0.0, 150.0]).iter().all(|r| (r - 100.0).abs() < 1e-6));
    }

    #[test]
    fn csv_rows_are_requests_a_minute_joined_by_lines() {
        let table = [(0.0, 1.0), (10.0, 3.0)];
        assert_eq!([-1.0, 0.0, 5.0, 10.0, 99.0].map(|s| interpolate(&table, s)), [1.0, 1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn counts_are_poisson_and_sorted() {
        let entry = entry(vec![]);
        let (a, n) = (Key::of(5, Purpose::Arrivals), Key::of(5, Purpose::Noise));
        let counts: Vec<f64> = (0..5000)
            .map(|slot| {
                let mut out = Vec::new();
                arrivals(&entry, slot, a, n, &mut out);
                assert!(out.is_sorted() && out.iter().all(|t| t / SLOT_NS == slot));
                out.len() as f64
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / 5000.0;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 5000.0;
        assert!((mean - 10.0).abs() < 0.2 && (variance / mean - 1.0).abs() < 0.1, "{mean} {variance}");
    }
}
