//! Whether a count of bad requests is more than chance brings.

pub use crate::analyse::thresholds::chance::{LIKELY, SURELY};

/// Whether `bad` of `all` shows a share above `allowed`: the chance of so many or more, were it exactly the allowed
/// share, is at most `chance` (the binomial test; exact, because two of nine tell as well as forty of a thousand).
pub fn exceeds(bad: i64, all: i64, allowed: f64, chance: f64) -> bool {
    let (k, n) = (bad as f64, all as f64);
    if bad <= 0 || k <= n * allowed {
        return false;
    }
    let choose: f64 = (1..=bad).map(|i| ((n - k + i as f64) / i as f64).ln()).sum();
    // Certain not to happen is `0 * -inf` where all are bad.
    let rest = if bad == all { 0.0 } else { (n - k) * (-allowed).ln_1p() };
    let mut term = (choose + k * allowed.ln() + rest).exp();
    let mut tail = term;
    let odds = allowed / (1.0 - allowed);
    // Beyond the mean each term is smaller than the one before, so this ends.
    for i in bad..all {
        term *= (all - i) as f64 / (i + 1) as f64 * odds;
        tail += term;
        if term < chance * 1e-6 {
            break;
        }
    }
    tail <= chance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_not_a_missed_objective() {
        assert!(!exceeds(3, 100, 0.01, SURELY), "three of a hundred happen by chance");
        assert!(exceeds(10, 100, 0.01, SURELY));
        assert!(!exceeds(0, 0, 0.01, SURELY));
        assert!(!exceeds(5, 5, 0.5, SURELY), "one in 32");
        assert!(exceeds(10, 10, 0.5, SURELY), "one in 1024");
        assert!(!exceeds(5, 5, 1.0, SURELY), "everything is allowed");
        assert!(exceeds(1, 1000, 0.0, SURELY), "nothing is allowed");
    }

    #[test]
    fn few_requests_tell_when_many_of_them_miss() {
        assert!(!exceeds(2, 20, 0.01, SURELY) && exceeds(2, 20, 0.01, LIKELY), "one in 59");
        assert!(exceeds(3, 11, 0.01, SURELY));
    }

    #[test]
    fn the_chance_is_that_of_the_binomial_distribution() {
        // P(X >= 6) of ten throws of a coin is 386/1024.
        assert!(exceeds(6, 10, 0.5, 386.5 / 1024.0) && !exceeds(6, 10, 0.5, 385.5 / 1024.0));
        // Normal far out: a million at one per cent, five standard deviations (99.5 each).
        assert!(exceeds(10_498, 1_000_000, 0.01, 1e-6) && !exceeds(10_298, 1_000_000, 0.01, SURELY));
    }
}
