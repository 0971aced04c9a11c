//! How likely each cause is, from second to second: a hidden Markov chain over the causes of one endpoint's trouble.
//!
//! Each second the causes are weighed by what is seen in it, and a little of their probability is spread over all others: so
//! what was seen long ago is forgotten exponentially, a second in which little comes changes little, and a cause stays
//! until another explains what is seen better by more than the chance that causes change at all. A cause that is over leaves
//! a queue, which is worked off: that is a state of its own, and the same is told of it.

use std::collections::{BTreeMap, BTreeSet};

use super::causes::{Cause, Prediction, Scene};
use crate::analyse::statistics::mathematics::log_sum_exp;
use crate::analyse::thresholds::belief::*;

#[cfg(test)]
mod tests;

/// A cause, and whether it is over and what it held back is still worked off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    pub cause: Cause,
    pub is_over: bool,
}

/// Log probabilities; what is missing to one is 'unknown' (of a second cause: that there is none).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Belief {
    states: BTreeMap<State, f64>,
    unknown: f64,
    is_begun: bool,
}

/// The trouble of an endpoint: its first cause, and another beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    first: Belief,
    /// The first, and what is believed beside it.
    beside: Option<(Cause, Belief)>,
}

/// A cause that is told, and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub cause: Cause,
    pub chance: f64,
    /// It is over, as far as one can tell, and what it held back is worked off.
    pub is_over: bool,
}

impl Belief {
    /// With what `weight` windows show. `beside` is what is taken for certain.
    fn after(&self, scene: &Scene<'_>, weight: f64, beside: Option<&Cause>) -> Belief {
        let given: Option<Prediction> = beside.map(|cause| scene.predict(cause, false));
        let given: Vec<&Prediction> = given.iter().collect();
        let is_other = |cause: &Cause| beside.is_none_or(|known| known.place != cause.place);
        let seen: BTreeSet<Cause> = scene.candidates().into_iter().filter(is_other).collect();
        let none = if beside.is_some() { NO_SECOND } else { UNKNOWN };
        let prior = ((1.0 - none) / scene.possible()).ln();
        let comes = if self.is_begun { CHANGES.ln() } else { 0.0 };
        let stays = (1.0 - CHANGES).ln();
        let known = self.states.keys().map(|state| &state.cause);
        let causes: BTreeSet<&Cause> = seen.iter().chain(known).collect();
        let mut next: Vec<(State, f64, f64)> = Vec::new();
        for cause in causes {
            let was = |is_over: bool| self.states.get(&State { cause: cause.clone(), is_over }).copied();
            let mut add = |is_over: bool, logs: Vec<f64>, prediction: &Prediction| {
                let all: Vec<&Prediction> = given.iter().copied().chain([prediction]).collect();
                let state = State { cause: cause.clone(), is_over };
                next.push((state, log_sum_exp(&logs), scene.log_likelihood(&all)));
            };
            let prediction = scene.predict(cause, false);
            let new = prediction.own_share().map(|own| comes + prior + own);
            let stayed = was(false).map(|log| log + stays);
            let here: Vec<f64> = stayed.into_iter().chain(new).collect();
            if !here.is_empty() {
                add(false, here, &prediction);
            }
            let ended = was(false).map(|log| log + ENDS.ln());
            let over: Vec<f64> = was(true).map(|log| log + stays).into_iter().chain(ended).collect();
            if !over.is_empty() && beside.is_none() {
                add(true, over, &scene.predict(cause, true));
            }
        }
        let unknown = match self.is_begun {
            true => log_sum_exp(&[stays + self.unknown, comes + none.ln()]),
            false => none.ln(),
        };
        let unknown_seen =
            if beside.is_some() { scene.log_likelihood(&given) } else { scene.log_likelihood_of_unknown() };
        // However much one window shows, it does not outweigh what several have shown.
        let best = next.iter().map(|(_, _, seen)| *seen).fold(unknown_seen, f64::max);
        let weighed = |log: f64, seen: f64| log + weight * seen.max(best - WINDOW_SAYS_MAX);
        let unknown = weighed(unknown, unknown_seen);
        let next: Vec<(State, f64)> = next.into_iter().map(|(state, log, seen)| (state, weighed(log, seen))).collect();
        let all: Vec<f64> = next.iter().map(|(_, log)| *log).chain([unknown]).collect();
        let sum = log_sum_exp(&all);
        let states = next.into_iter().map(|(state, log)| (state, log - sum)).filter(|(_, log)| *log > FORGOTTEN);
        Belief { states: states.collect(), unknown: unknown - sum, is_begun: true }
    }

    /// Causes by their probability, whether or not they are over.
    pub fn chances(&self) -> BTreeMap<Cause, f64> {
        let mut chances = BTreeMap::new();
        for (state, log) in &self.states {
            *chances.entry(state.cause.clone()).or_insert(0.0) += log.exp();
        }
        chances
    }

    /// The likeliest of all but one.
    fn second_to(&self, first: &Cause) -> Option<(Cause, f64)> {
        let others = self.chances().into_iter().filter(|(cause, _)| cause != first);
        others.max_by(|(a, p), (b, q)| p.total_cmp(q).then(b.cmp(a)))
    }

    fn likeliest(&self, least: f64) -> Option<(Cause, f64)> {
        let likeliest = self.chances().into_iter().max_by(|(a, p), (b, q)| p.total_cmp(q).then(b.cmp(a)));
        likeliest.filter(|(_, chance)| *chance >= least)
    }
}

impl Course {
    /// After another window, of which `weight` is new.
    pub fn after(&self, scene: &Scene<'_>, weight: f64) -> Course {
        let first = self.first.after(scene, weight, None);
        let beside = first.likeliest(TOLD).map(|(cause, _)| {
            let before = self.beside.as_ref().filter(|(known, _)| *known == cause).map(|(_, belief)| belief.clone());
            let belief = before.unwrap_or_default().after(scene, weight, Some(&cause));
            (cause, belief)
        });
        Course { first, beside }
    }

    /// It is likelier one of the known causes than none.
    pub fn is_known(&self) -> bool {
        self.first.is_begun && self.first.unknown < 0.5_f64.ln()
    }

    /// What was believed next to the first cause, and how likely it is.
    pub fn runner_up(&self, first: &Cause) -> Option<(Cause, f64)> {
        self.first.second_to(first)
    }

    /// What is told, the first cause first; nothing where none is likely enough.
    pub fn told(&self, scene: &Scene<'_>) -> Vec<Told> {
        let told = |belief: &Belief, least: f64| {
            let (cause, chance) = belief.likeliest(least)?;
            let was = |is_over: bool| belief.states.get(&State { cause: cause.clone(), is_over }).copied();
            Some(Told { is_over: was(true) > was(false), cause, chance })
        };
        let share = |told: &Told| scene.share(&scene.predict(&told.cause, false));
        let second = self.beside.as_ref().and_then(|(_, belief)| told(belief, SECOND_TOLD));
        let second = second.filter(|second| share(second) >= SECOND_SHARE_MIN);
        told(&self.first, TOLD).into_iter().chain(second).collect()
    }
}
