//! What kind of fault a place may have, and how much better each kind explains what is seen there than healthy drift does.
//!
//! A fault shows in what makes its kind and leaves the rest as it is. Whoever asks all components of every place alike holds
//! against a callee that refuses its calls that it is as fast as ever.

use crate::analyse::findings::Components;
use crate::analyse::statistics::mathematics::{log_sum_exp, perhaps};
use crate::analyse::thresholds::mechanisms::{ASKS_MORE, CUT_OFF, EARLY, FAILING, GONE, SLOW, STARVED, Shows};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Slow,
    Gone,
    Failing,
    Early,
    AsksMore,
    Starved,
    CutOff,
}

impl Mechanism {
    const ALL: [Mechanism; 7] = [
        Mechanism::Slow,
        Mechanism::Gone,
        Mechanism::Failing,
        Mechanism::Early,
        Mechanism::AsksMore,
        Mechanism::Starved,
        Mechanism::CutOff,
    ];

    fn shows(self) -> Shows {
        match self {
            Mechanism::Slow => SLOW,
            Mechanism::Gone => GONE,
            Mechanism::Failing => FAILING,
            Mechanism::Early => EARLY,
            Mechanism::AsksMore => ASKS_MORE,
            Mechanism::Starved => STARVED,
            Mechanism::CutOff => CUT_OFF,
        }
    }
}

/// The log-likelihood ratio of each kind, by how likely it is. `pods` is by how much better one pod explains the time.
fn each(components: &Components, pods: f64) -> impl Iterator<Item = (Mechanism, f64)> {
    let Components { own, calls_in, calls_out, lost, failing, refused, cut_off, asks_more } = *components;
    let seen = [own, calls_in, calls_out, lost, failing, refused, cut_off, asks_more];
    Mechanism::ALL.into_iter().map(move |mechanism| {
        let (chance, shows) = mechanism.shows();
        let seen = shows.into_iter().zip(seen).filter_map(|(shows, log)| Some(perhaps(shows, log?)));
        let pods = if mechanism == Mechanism::Slow { pods } else { 0.0 };
        (mechanism, chance.ln() + seen.sum::<f64>() + pods)
    })
}

/// How much better a fault of some kind explains the place.
pub(super) fn log_likelihood(components: &Components, pods: f64) -> f64 {
    log_sum_exp(&each(components, pods).map(|(_, log)| log).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_fault_is_not_held_against_what_it_leaves_alone() {
        let refused = Components { refused: Some(6.0), ..Components::default() };
        let calm = Components { own: Some(-4.0), lost: Some(-5.0), asks_more: Some(-2.0), ..refused };
        let (alone, beside) = (log_likelihood(&refused, 0.0), log_likelihood(&calm, 0.0));
        assert!(alone > 4.0 && alone - beside < 1.0, "{alone} {beside}");
    }

    #[test]
    fn a_place_where_all_is_as_ever_is_less_likely_than_none() {
        let calm = Components { own: Some(-1.0), calls_in: Some(-1.5), refused: Some(-1.5), ..Components::default() };
        assert!(log_likelihood(&calm, 0.0) < 0.0);
    }
}
