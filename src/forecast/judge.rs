//! Which candidate is used for one series and one horizon: what each would have lost so far is kept, and whatever does not beat the
//! naive forecast is not used.

use std::collections::VecDeque;

use serde::Serialize;

use super::conformal::Conformal;
use super::features::Scale;
use super::quantiles::{LEVELS, Quantiles, pinball};

/// Ways to forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// Quantiles of the last four same hours of the week.
    Naive,
    /// The same, moved by what it missed by.
    NaiveCalibrated,
    /// MSTL and ETS.
    Decomposed,
    Trees,
    /// The mean of trees and decomposition.
    Blend,
    /// The mean of the trees and naive.
    Hedge,
    /// What planned events are to bring, on top of hours without any. Used wherever one is planned, or was in the same hours: too few come
    /// for a proof, and naive knows none.
    Planned,
}

pub const CANDIDATES: [Candidate; 7] = [
    Candidate::Naive,
    Candidate::NaiveCalibrated,
    Candidate::Decomposed,
    Candidate::Trees,
    Candidate::Blend,
    Candidate::Hedge,
    Candidate::Planned,
];

/// The share of naive's loss that a model must stay below: what is not better is not worth not being understood.
const BEATS: f64 = 0.97;

/// A forecast that is so many forecasts old counts half: habits change, and so does who knows them best.
const HALF_LIFE: f64 = 400.0;

/// From here on the mean of it and naive is used, which can lose half as much at the most.
const BEATS_CLEARLY: f64 = 0.9;

/// Naive's upper quantiles are those of four weeks, and cover too little: moved to cover they are used where that costs no more than
/// so much, and half moved up to so much.
const COVERING_COSTS: [f64; 2] = [1.05, 1.5];

/// Stretches of time, each as long as the horizon, in which a model must have been seen: forecasts that overlap say the same thing
/// many times.
const STRETCHES_MIN: i32 = 4;

/// The share of them in which it must have lost less than naive: one lucky week is no skill.
const WON_MIN: f64 = 0.6;

/// A stretch that is one stretch older counts so much less.
const STRETCH_DECAY: f64 = 0.9;

/// What each candidate says of one bucket, in requests; None where it says nothing.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub by: [Option<Quantiles>; CANDIDATES.len()],
    /// What that was put around, on the models' scale.
    middle: [f64; CANDIDATES.len()],
    scale: Scale,
    target: usize,
}

/// What the models gave, before anything is added.
pub(super) struct Given {
    pub target: usize,
    pub scale: Scale,
    /// In requests.
    pub naive: Quantiles,
    /// In requests; where an event is planned.
    pub planned: Option<Quantiles>,
    /// In requests.
    pub decomposed: Option<f64>,
    /// On the scale of logarithms.
    pub trees: Option<Quantiles>,
}

/// What a candidate lost at one level, beside what naive lost on the same forecasts.
#[derive(Clone, Copy, Default)]
struct Record {
    lost: f64,
    naive: f64,
    /// Of the stretch that goes on.
    stretch: [f64; 2],
    seen: usize,
    stretches: f64,
    won: f64,
}

impl Record {
    fn add(&mut self, lost: f64, naive: f64, stretch: usize) {
        let decay = 0.5_f64.powf(1.0 / HALF_LIFE);
        self.lost = self.lost * decay + lost;
        self.naive = self.naive * decay + naive;
        self.stretch[0] += lost;
        self.stretch[1] += naive;
        self.seen += 1;
        if self.seen >= stretch {
            self.seen = 0;
            let [lost, naive] = std::mem::take(&mut self.stretch);
            self.stretches = self.stretches * STRETCH_DECAY + 1.0;
            self.won = self.won * STRETCH_DECAY + f64::from(u8::from(lost < naive));
        }
    }

    fn share(&self) -> Option<f64> {
        (self.naive > 0.0).then(|| self.lost / self.naive)
    }

    /// The share of naive's loss, where that is known well enough to rely on it.
    fn proven(&self) -> Option<f64> {
        let is_known = self.stretches >= (1.0 - STRETCH_DECAY.powi(STRETCHES_MIN)) / (1.0 - STRETCH_DECAY) - 1e-9;
        self.share().filter(|_| is_known && self.won >= WON_MIN * self.stretches)
    }
}

pub(super) struct Judge {
    /// Forecasts of a stretch.
    stretch: usize,
    conformal: [Conformal; CANDIDATES.len()],
    records: [[Record; LEVELS.len()]; CANDIDATES.len()],
    pending: VecDeque<Said>,
}

impl Candidate {
    pub fn name(self) -> &'static str {
        match self {
            Candidate::Naive => "naive",
            Candidate::NaiveCalibrated => "naive_calibrated",
            Candidate::Decomposed => "decomposed",
            Candidate::Trees => "trees",
            Candidate::Blend => "blend",
            Candidate::Hedge => "hedge",
            Candidate::Planned => "planned",
        }
    }
}

impl Judge {
    pub(super) fn new(stretch: usize) -> Judge {
        Judge {
            stretch: stretch.max(1),
            conformal: Default::default(),
            records: Default::default(),
            pending: VecDeque::new(),
        }
    }

    /// What came before `origin` is known now.
    pub(super) fn learn(&mut self, origin: usize, came: impl Fn(usize) -> Option<f64>) {
        while let Some(said) = self.pending.front() {
            if said.target >= origin {
                break;
            }
            let Some(said) = self.pending.pop_front() else { break };
            let Some(came) = came(said.target) else { continue };
            let naive = said.by[Candidate::Naive as usize].unwrap_or_default();
            for (at, by) in said.by.iter().enumerate() {
                let Some(by) = by else { continue };
                for (level, record) in self.records[at].iter_mut().enumerate() {
                    let loss = |said: &Quantiles| pinball(LEVELS[level], said.0[level], came);
                    record.add(loss(by), loss(&naive), self.stretch);
                }
                let by = Quantiles(by.0.map(|requests| said.scale.of_requests(requests)));
                let waiting = self.pending.len();
                self.conformal[at].learn(said.middle[at], by, said.scale.of_requests(came), waiting);
            }
        }
    }

    /// Puts together what each candidate says.
    pub(super) fn say(&mut self, given: Given) -> Said {
        let scale = given.scale;
        let naive = given.naive.ordered();
        let of_naive = Quantiles(naive.0.map(|requests| scale.of_requests(requests)));
        let conformal = |candidate: Candidate| &self.conformal[candidate as usize];
        let mut own: [Option<Quantiles>; CANDIDATES.len()] = [None; CANDIDATES.len()];
        let mut middle = [0.0; CANDIDATES.len()];
        middle[Candidate::NaiveCalibrated as usize] = of_naive.0[0];
        own[Candidate::NaiveCalibrated as usize] = Some(conformal(Candidate::NaiveCalibrated).moved(of_naive));
        if let Some(requests) = given.decomposed {
            let at = Candidate::Decomposed as usize;
            middle[at] = scale.of_requests(requests);
            let moved = self.conformal[at].around(middle[at]);
            own[at] = Some(moved);
        }
        own[Candidate::Trees as usize] = given.trees.map(|trees| conformal(Candidate::Trees).moved(trees));
        if let (Some(decomposed), Some(trees)) = (own[Candidate::Decomposed as usize], given.trees) {
            let raw = decomposed.mean_with(trees);
            middle[Candidate::Blend as usize] = raw.0[0];
            own[Candidate::Blend as usize] = Some(conformal(Candidate::Blend).moved(raw));
        }
        if let Some(trees) = given.trees {
            let raw = trees.mean_with(of_naive);
            middle[Candidate::Hedge as usize] = raw.0[0];
            own[Candidate::Hedge as usize] = Some(conformal(Candidate::Hedge).moved(raw));
            middle[Candidate::Trees as usize] = trees.0[0];
        }
        let mut by = own.map(|own| own.map(|own| Quantiles(own.0.map(|value| scale.to_requests(value))).ordered()));
        by[Candidate::Naive as usize] = Some(naive);
        by[Candidate::Planned as usize] = given.planned.map(Quantiles::ordered);
        let said = Said { by, middle, scale, target: given.target };
        self.pending.push_back(said.clone());
        said
    }

    /// What is used of what was said, at each level whoever did best.
    pub(super) fn choice(&self, said: &Said) -> ([Candidate; LEVELS.len()], Quantiles) {
        if let Some(planned) = said.by[Candidate::Planned as usize] {
            return ([Candidate::Planned; LEVELS.len()], planned);
        }
        let mut chosen = [Candidate::Naive; LEVELS.len()];
        let naive = said.by[Candidate::Naive as usize].unwrap_or_default();
        let mut quantiles = naive;
        for (level, by_whom) in chosen.iter_mut().enumerate() {
            let mut best = BEATS;
            for candidate in CANDIDATES.into_iter().skip(1) {
                let Some(by) = said.by[candidate as usize] else { continue };
                let record = &self.records[candidate as usize][level];
                if let Some(share) = record.proven().filter(|share| *share < best) {
                    best = share;
                    *by_whom = candidate;
                    let hedged = (by.0[level] + naive.0[level]) / 2.0;
                    quantiles.0[level] = if share < BEATS_CLEARLY { by.0[level] } else { hedged };
                }
            }
            if *by_whom == Candidate::Naive && level > 0 {
                let at = Candidate::NaiveCalibrated as usize;
                let covering = said.by[at].unwrap_or(naive).0[level];
                let costs = self.records[at][level].share().unwrap_or(1.2);
                let part = if costs < COVERING_COSTS[0] {
                    1.0
                } else if costs < COVERING_COSTS[1] {
                    0.5
                } else {
                    0.0
                };
                quantiles.0[level] += part * (covering - quantiles.0[level]);
                if part > 0.0 {
                    *by_whom = Candidate::NaiveCalibrated;
                }
            }
        }
        (chosen, quantiles.ordered())
    }
}
