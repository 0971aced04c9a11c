//! What is forgotten where names carry identifiers (`GET /user/4711`): each is new, and a baseline lives for months.

pub use crate::analyse::thresholds::memory::NAMES_MAX;

use std::collections::BTreeMap;

/// Once there are more than so many, the half that was seen least goes. A name that is used outgrows those that are not
/// before they are too many again.
/// Returns whether any did.
pub fn forget_rare<K: Ord, V>(known: &mut BTreeMap<K, V>, max: usize, seen: impl Fn(&V) -> i64) -> bool {
    if known.len() <= max {
        return false;
    }
    let mut counts: Vec<i64> = known.values().map(&seen).collect();
    let (_, &mut middle, _) = counts.select_nth_unstable(max / 2);
    known.retain(|_, value| seen(value) > middle);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_identifiers_go() {
        let mut known: BTreeMap<String, i64> = BTreeMap::new();
        for request in 0..100_000 {
            for name in ["GET /".to_owned(), format!("GET /user/{request}")] {
                *known.entry(name).or_default() += 1;
            }
            if request % 100 == 0 {
                *known.entry("GET /seldom".into()).or_default() += 1;
            }
            forget_rare(&mut known, 1_000, |seen| *seen);
            assert!(known.len() <= 1_000);
        }
        assert_eq!((known["GET /"], known["GET /seldom"]), (100_000, 1_000));
    }

    #[test]
    fn as_long_as_there_is_room_nothing_goes() {
        let mut known: BTreeMap<i64, i64> = (0..10).map(|n| (n, n)).collect();
        forget_rare(&mut known, 10, |seen| *seen);
        assert_eq!(known.len(), 10);
    }
}
