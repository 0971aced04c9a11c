//! The rolling origin: as time goes on, each candidate forecasts from what was known then, and is judged by what came. The same walk,
//! taken up to now, chooses and calibrates what is used for the forecast of tomorrow.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Error;
use super::calendar::Calendar;
use super::decomposed::Decomposed;
use super::features::{Scale, features};
use super::frame::{Frame, HORIZON_WEEKS_MAX};
use super::hash::ModelHash;
use super::judge::{CANDIDATES, Candidate, Given, Judge};
use super::naive::{planned, seasonal_naive};
use super::quantiles::{Coverage, LEVELS, Quantiles, pinball};
use super::series::Series;
use super::trees::{ROWS_MAX, Rows, Trees};

/// Models are trained so often while they are only calibrated, and so often while they are scored.
const FITS_BEFORE: usize = 2;
const FITS_SCORED: usize = 4;

/// Where forecasts begin, are scored, and end; in buckets of the series.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Buckets from the origin to the end of what is forecast, at least one.
    pub horizons: Vec<usize>,
    /// From here on origins are forecast from, to calibrate and to choose.
    pub from: usize,
    /// From here on they are scored.
    pub score_from: usize,
    pub until: usize,
    /// Of the origins before `score_from` every so manieth is taken.
    pub stride: usize,
    pub seed: u64,
}

impl Plan {
    /// The second half is scored; forecasts begin where two weeks are known, or a quarter of what there is.
    pub fn halves(series: &Series, horizons: Vec<usize>) -> Plan {
        let (length, week) = (series.len(), series.step().a_week());
        let score_from = length / 2;
        Plan {
            horizons,
            from: (2 * week).max(length / 4).min(score_from),
            score_from,
            until: length,
            stride: 1,
            seed: 1,
        }
    }
}

/// How one candidate did at one horizon.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Score {
    pub forecasts: u64,
    /// Mean pinball loss at each of [`LEVELS`].
    pub pinball: [f64; 3],
    /// How often what came stayed below each quantile, ties as a draw would have it.
    pub coverage: [f64; 3],
    #[serde(skip)]
    sums: [f64; 3],
    #[serde(skip)]
    covered: [Coverage; 3],
}

impl Score {
    fn add(&mut self, said: Quantiles, came: f64) {
        self.forecasts += 1;
        for (at, level) in LEVELS.into_iter().enumerate() {
            self.sums[at] += pinball(level, said.0[at], came);
            self.covered[at].add(said.0[at], came);
        }
        let all = self.forecasts as f64;
        self.pinball = self.sums.map(|sum| sum / all);
        self.coverage = std::array::from_fn(|at| self.covered[at].share(LEVELS[at]));
    }

    /// The mean over the levels.
    pub fn loss(&self) -> f64 {
        self.pinball.iter().sum::<f64>() / LEVELS.len() as f64
    }
}

/// What a backtest of one series at one horizon came to.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    pub series: String,
    /// In buckets.
    pub horizon: usize,
    /// The share of known buckets in which nothing came.
    pub empty_share: f64,
    pub naive: Score,
    /// What was chosen from origin to origin.
    pub chosen: Score,
    /// Every candidate, had it always been used.
    pub candidates: BTreeMap<&'static str, Score>,
    /// How often each was chosen.
    pub choices: BTreeMap<&'static str, u64>,
}

/// What is expected of a bucket.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    pub series: String,
    /// The second the bucket begins at.
    pub at_s: i64,
    pub horizon: usize,
    pub quantiles: Quantiles,
    /// Who said so, at each level.
    pub by: [Candidate; LEVELS.len()],
}

/// Of all series of a kind.
pub struct Outcome {
    pub judged: Vec<Judged>,
    /// From the end of what is known on.
    pub expected: Vec<Expected>,
    /// Of the data, the code and the seed of the last models.
    pub hash: String,
}

/// One series on its walk.
struct Walk<'s> {
    series: &'s Series,
    judges: Vec<Judge>,
    judged: Vec<Judged>,
}

impl<'s> Walk<'s> {
    fn new(series: &'s Series, plan: &Plan) -> Walk<'s> {
        let judged = |horizon: &usize| Judged {
            series: series.name().to_owned(),
            horizon: *horizon,
            empty_share: series.empty_share(),
            naive: Score::default(),
            chosen: Score::default(),
            candidates: BTreeMap::new(),
            choices: BTreeMap::new(),
        };
        let a_day = series.step().a_day();
        Walk {
            series,
            judges: plan
                .horizons
                .iter()
                .map(|horizon| Judge::new((*horizon).max(a_day) / plan.stride.max(1)))
                .collect(),
            judged: plan.horizons.iter().map(judged).collect(),
        }
    }
}

/// Walks over all series of a kind, which share one model. They begin at the same time and have the same step. `told` hears of each
/// fit, as (done, of).
pub fn walk(
    series: &[Series],
    calendar: &Calendar,
    plan: &Plan,
    mut told: impl FnMut(usize, usize),
) -> Result<Outcome, Error> {
    check(series, plan)?;
    let fits = fits(plan);
    let mut walks: Vec<Walk<'_>> = series.iter().map(|series| Walk::new(series, plan)).collect();
    let (mut expected, mut hash) = (Vec::new(), String::new());
    for (turn, (from, until)) in fits.iter().copied().enumerate() {
        told(turn, fits.len());
        let frames: Vec<Frame<'_>> = series.iter().map(|series| Frame::new(series, calendar, from)).collect();
        let mut rows = Rows::default();
        for frame in &frames {
            rows.add(frame, from.min(frame.series.len()), &plan.horizons, ROWS_MAX / series.len().max(1));
        }
        let trees = Trees::train(&rows, plan.seed)?;
        hash = ModelHash::of(rows.bytes(), plan.seed).to_string();
        for (walk, frame) in walks.iter_mut().zip(&frames) {
            stretch(walk, frame, plan, trees.as_ref(), from..until, &mut expected)?;
        }
    }
    told(fits.len(), fits.len());
    Ok(Outcome { judged: walks.into_iter().flat_map(|walk| walk.judged).collect(), expected, hash })
}

fn check(series: &[Series], plan: &Plan) -> Result<(), Error> {
    let Some(first) = series.first() else { return Err(Error::Nothing) };
    let weeks = HORIZON_WEEKS_MAX * first.step().a_week();
    if let Some(horizon) = plan.horizons.iter().find(|horizon| !(1..=weeks).contains(*horizon)) {
        return Err(Error::Horizon { buckets: *horizon });
    }
    let other = series.iter().find(|series| (series.start_s(), series.step()) != (first.start_s(), first.step()));
    if let Some(other) = other {
        return Err(Error::Apart { name: other.name().to_owned(), first: first.name().to_owned() });
    }
    if let Some(unknown) = series.iter().find(|series| series.known() == 0) {
        return Err(Error::Unknown { name: unknown.name().to_owned() });
    }
    if plan.from >= plan.until || first.len() < 2 * first.step().a_day() {
        return Err(Error::Short { name: first.name().to_owned() });
    }
    Ok(())
}

/// From where to where each fit is used; the last is of the bucket after the end.
fn fits(plan: &Plan) -> Vec<(usize, usize)> {
    let mut fits = Vec::new();
    let mut cut = |from: usize, until: usize, parts: usize| {
        let mut bounds: Vec<usize> = (0..=parts).map(|part| from + (until - from) * part / parts).collect();
        bounds.dedup();
        fits.extend(bounds.windows(2).map(|pair| (pair[0], pair[1])));
    };
    cut(plan.from, plan.score_from.max(plan.from), FITS_BEFORE);
    cut(plan.score_from, plan.until.max(plan.score_from), FITS_SCORED);
    fits.push((plan.until, plan.until + 1));
    fits
}

/// One series from one fit to the next.
fn stretch(
    walk: &mut Walk<'_>,
    frame: &Frame<'_>,
    plan: &Plan,
    trees: Option<&Trees>,
    between: std::ops::Range<usize>,
    expected: &mut Vec<Expected>,
) -> Result<(), Error> {
    let series = walk.series;
    let is_taken = |origin: usize| origin >= plan.score_from || (origin - plan.from).is_multiple_of(plan.stride.max(1));
    let origins: Vec<usize> = between.clone().filter(|origin| is_taken(*origin)).collect();
    let forecasts = origins.iter().flat_map(|origin| plan.horizons.iter().map(move |horizon| (*origin, *horizon)));
    let told = match trees {
        Some(trees) => {
            let mut values = Vec::new();
            for (origin, horizon) in forecasts {
                values.extend(features(frame, origin, origin + horizon - 1));
            }
            trees.predict(&values)?.into_iter().map(Some).collect()
        }
        None => vec![None; origins.len() * plan.horizons.len()],
    };
    let mut decomposed = Decomposed::fit(frame, between.start);
    let mut followed = between.start;
    for (turn, origin) in origins.into_iter().enumerate() {
        if let Some(decomposed) = &mut decomposed {
            (followed..origin).for_each(|index| decomposed.follow(index, series.at(index)));
        }
        followed = origin;
        for (at, horizon) in plan.horizons.iter().copied().enumerate() {
            let target = origin + horizon - 1;
            let judge = &mut walk.judges[at];
            judge.learn(origin, |index| series.at(index));
            let said = judge.say(Given {
                target,
                scale: Scale::of(frame, origin, target),
                naive: seasonal_naive(frame, origin, target),
                planned: planned(frame, origin, target),
                decomposed: decomposed.as_ref().map(|decomposed| decomposed.forecast(target)),
                trees: told[turn * plan.horizons.len() + at],
            });
            let (by, quantiles) = judge.choice(&said);
            if origin == plan.until {
                let (at_s, series) = (series.second_of(target), series.name().to_owned());
                expected.push(Expected { series, at_s, horizon, quantiles, by });
                continue;
            }
            let Some(came) = (origin >= plan.score_from && target < plan.until).then(|| series.at(target)).flatten()
            else {
                continue;
            };
            let judged = &mut walk.judged[at];
            judged.chosen.add(quantiles, came);
            by.iter().for_each(|by| *judged.choices.entry(by.name()).or_default() += 1);
            for candidate in CANDIDATES {
                let Some(said) = said.by[candidate as usize] else { continue };
                judged.candidates.entry(candidate.name()).or_default().add(said, came);
                if candidate == Candidate::Naive {
                    judged.naive.add(said, came);
                }
            }
        }
    }
    Ok(())
}
