//! The arithmetic of a route's weights: one bounded step away from a version, and one back to what its owner had.

use crate::model::Route;

/// Weights may be small numbers, such as 1 and 1: a step as small as its owner wants needs a sum of this at least.
const SUM_MIN: u64 = 100;

/// The weights after one step away from a version; None where nothing may be moved.
pub(super) fn away(route: &Route, version: &str) -> Option<Vec<u32>> {
    let mut weights = fine(&route.weights());
    let total = sum(&weights);
    let least = least(total, route.least_share);
    let is_of = |index: usize| route.backends[index].version == version;
    // What its owner sends nothing to may have no pod.
    let receivers: Vec<usize> = (0..weights.len()).filter(|&index| !is_of(index) && weights[index] > 0).collect();
    let mut left = step(total, route.step_max);
    let mut moved = 0;
    for index in (0..weights.len()).filter(|&index| is_of(index)) {
        let take = weights[index].saturating_sub(least).min(left);
        weights[index] -= take;
        (moved, left) = (moved + take, left - take);
    }
    if moved == 0 || receivers.is_empty() {
        return None;
    }
    let parts: Vec<u32> = receivers.iter().map(|&index| weights[index]).collect();
    for (index, more) in receivers.into_iter().zip(spread(moved, &parts)) {
        weights[index] += more;
    }
    Some(weights)
}

/// Whether a version gets no more than its least share.
pub(super) fn is_at_least(route: &Route, version: &str) -> bool {
    let weights = fine(&route.weights());
    let least = least(sum(&weights), route.least_share);
    let mut of_it = route.backends.iter().zip(weights).filter(|(backend, _)| backend.version == version);
    of_it.all(|(_, weight)| weight <= least)
}

fn least(total: u64, share: f64) -> u32 {
    (share * total as f64 - 1e-9).ceil() as u32
}

/// The weights after one step from those of now to `before`, which are given back whole with the last.
pub(super) fn back(now: &[u32], before: &[u32], step_max: f64) -> Vec<u32> {
    let (total, total_before) = (sum(now), sum(before));
    if now.len() != before.len() || total_before == 0 || total % total_before != 0 {
        return before.to_vec(); // not what a step of ours made of them: no step measures
    }
    let factor = u32::try_from(total / total_before).unwrap_or(1);
    let aim: Vec<u32> = before.iter().map(|weight| weight * factor).collect();
    let more: Vec<u32> = aim.iter().zip(now).map(|(aim, now)| aim.saturating_sub(*now)).collect();
    let less: Vec<u32> = aim.iter().zip(now).map(|(aim, now)| now.saturating_sub(*aim)).collect();
    let step = step(total, step_max);
    if sum(&more) <= u64::from(step) {
        return before.to_vec();
    }
    let changes = spread(step, &more).into_iter().zip(spread(step, &less));
    now.iter().zip(changes).map(|(now, (more, less))| now + more - less).collect()
}

/// The same shares in numbers that a small step can be told in.
fn fine(weights: &[u32]) -> Vec<u32> {
    let total = sum(weights).max(1);
    let factor = u32::try_from(SUM_MIN.div_ceil(total)).unwrap_or(1);
    weights.iter().map(|weight| weight * factor).collect()
}

/// What one step moves at most: something, whatever the share.
fn step(total: u64, share: f64) -> u32 {
    ((share * total as f64 + 1e-9) as u32).max(1)
}

fn sum(weights: &[u32]) -> u64 {
    weights.iter().copied().map(u64::from).sum()
}

/// An amount spread over parts in proportion to them, by largest remainders (A. Hamilton's method of apportionment). Of an amount
/// below their sum no part gets more than it has.
fn spread(amount: u32, parts: &[u32]) -> Vec<u32> {
    let total = sum(parts).max(1);
    let share = |part: u32| u64::from(amount) * u64::from(part);
    let mut spread: Vec<u32> = parts.iter().map(|&part| (share(part) / total) as u32).collect();
    let mut rest: Vec<(u64, usize)> = parts.iter().enumerate().map(|(at, &part)| (share(part) % total, at)).collect();
    rest.sort_by_key(|&(remainder, at)| (std::cmp::Reverse(remainder), at));
    let left = amount as usize - sum(&spread) as usize;
    rest.into_iter().take(left).for_each(|(_, at)| spread[at] += 1);
    spread
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Backend;

    fn route(weights: &[u32], step_max: f64, least_share: f64) -> Route {
        let backend = |(n, &weight): (usize, &u32)| Backend { name: format!("b{n}"), version: format!("v{n}"), weight };
        Route {
            name: "HTTPRoute shop/a".into(),
            backends: weights.iter().enumerate().map(backend).collect(),
            step_max,
            least_share,
            ..Route::default()
        }
    }

    #[test]
    fn a_step_moves_what_the_owner_lets_it_and_no_more() {
        assert_eq!(away(&route(&[50, 50], 0.25, 0.0), "v1"), Some(vec![75, 25]));
        assert_eq!(away(&route(&[75, 25], 0.25, 0.05), "v1"), Some(vec![95, 5]));
        assert_eq!(away(&route(&[95, 5], 0.25, 0.05), "v1"), None, "it keeps its least share");
        assert!(is_at_least(&route(&[94, 6], 0.25, 0.055), "v1") && !is_at_least(&route(&[93, 7], 0.25, 0.055), "v1"));
        assert_eq!(
            away(&route(&[0, 100], 0.5, 0.0), "v1"),
            None,
            "nobody sends requests there, so there may be nobody"
        );
        assert_eq!(away(&route(&[100], 0.5, 0.0), "v0"), None, "there is nobody to take it");
        assert_eq!(away(&route(&[50, 50], 0.25, 0.0), "v7"), None);
    }

    #[test]
    fn small_weights_are_told_in_larger_numbers() {
        assert_eq!(away(&route(&[1, 1], 0.25, 0.0), "v1"), Some(vec![75, 25]));
        assert_eq!(back(&[75, 25], &[1, 1], 0.1), [65, 35]);
        assert_eq!(back(&[55, 45], &[1, 1], 0.1), [1, 1], "as its owner wrote them");
    }

    proptest! {
        /// Steps away and back: the sum stays, no step is larger than it may be, and the last one gives back what was there.
        #[test]
        fn every_step_is_bounded_and_the_way_back_ends(
            weights in proptest::collection::vec(0_u32..2_000, 2..6),
            step_max in 0.05_f64..1.0,
            least_share in 0.0_f64..0.3,
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let before = weights.clone();
            let mut now = route(&weights, step_max, least_share);
            let largest = |a: &[u32], b: &[u32]| a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            for _ in 0..200 {
                let Some(next) = away(&now, "v0") else { break };
                let fine = fine(&now.weights());
                prop_assert_eq!(sum(&fine), sum(&next));
                prop_assert!(largest(&fine, &next) <= step(sum(&fine), step_max));
                now.backends.iter_mut().zip(next).for_each(|(backend, weight)| backend.weight = weight);
            }
            prop_assert!(away(&now, "v0").is_none(), "it ends");
            let mut weights = now.weights();
            for _ in 0..200 {
                if weights == before { break }
                let next = back(&weights, &before, step_max);
                if next != before {
                    prop_assert_eq!(sum(&weights), sum(&next));
                    prop_assert!(largest(&weights, &next) <= step(sum(&weights), step_max));
                }
                weights = next;
            }
            prop_assert_eq!(weights, before);
        }
    }
}
