//! Gradient-boosted trees: one model for all series of a kind, which gives every quantile at once.
//!
//! The same rows, seed and version give the same model on any machine: the crate adds up in one order, and no clock, free memory
//! or number of cores has a say.

use hessboost::config::{GrowPolicy, LeafEstimation, TrainingParams, TreeMethod};
use hessboost::model::BoostedModel;
use hessboost::objective::{Objective, Quantiles as Levels};
use hessboost::prelude::{DMatrix, train};

use super::Error;
use super::features::{FEATURES, Scale, features};
use super::frame::Frame;
use super::quantiles::{LEVELS, Quantiles};

/// Rows a model is trained on: past that it takes longer and gets hardly better.
pub(super) const ROWS_MAX: usize = 20_000;

/// Below that the trees repeat what they were shown.
const ROWS_MIN: usize = 200;

const ROUNDS: usize = 120;
const LEAVES: usize = 24;
const LEARNING_RATE: f64 = 0.08;

/// What a leaf must hold, in units of the loss' curvature: some tens of rows, as fewer tell nothing of a quantile of 0.95.
const LEAF_WEIGHT_MIN: f64 = 15.0;

/// Where one row costs a hundred times another in requests, it is not worth a hundred.
const WEIGHT_MAX: f64 = 20.0;

/// Rows and answers, on the scale of [`Scale`].
#[derive(Default)]
pub(super) struct Rows {
    values: Vec<f32>,
    answers: Vec<f32>,
    weights: Vec<f32>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// Of the first `known` buckets of one series: forecasts of what came, at most `rows_max` of them, spread over the time.
    pub(super) fn add(&mut self, frame: &Frame<'_>, known: usize, horizons: &[usize], rows_max: usize) {
        let week = frame.series.step().a_week();
        // Before a week there is no same hour.
        let first = week.min(known / 4).max(1);
        let origins = known.saturating_sub(first);
        if origins == 0 || horizons.is_empty() {
            return;
        }
        // A stride without a factor of the day, so that all hours come up.
        let stride = (origins * horizons.len()).div_ceil(rows_max.max(1)).max(1);
        let stride = if stride > 1 { stride | 1 } else { 1 };
        for (turn, place) in (0..origins * horizons.len()).step_by(stride).enumerate() {
            let origin = first + place / horizons.len();
            let horizon = horizons[(place + turn) % horizons.len()];
            let target = origin + horizon - 1;
            let Some(came) = (target < known).then(|| frame.series.at(target)).flatten() else { continue };
            let scale = Scale::of(frame, origin, target);
            self.values.extend(features(frame, origin, target));
            self.answers.push(scale.of_requests(came) as f32);
            self.weights.push(scale.weight(came).clamp(1.0 / WEIGHT_MAX, WEIGHT_MAX) as f32);
        }
    }

    /// The bytes a model is made of, for its hash.
    pub(super) fn bytes(&self) -> impl Iterator<Item = [u8; 4]> {
        self.values.iter().chain(&self.answers).chain(&self.weights).map(|value| value.to_le_bytes())
    }
}

/// A trained model.
pub(super) struct Trees(BoostedModel);

impl Trees {
    /// None where there are too few rows to learn of.
    pub(super) fn train(rows: &Rows, seed: u64) -> Result<Option<Trees>, Error> {
        if rows.len() < ROWS_MIN {
            return Ok(None);
        }
        let failed = |error: hessboost::error::HessboostError| Error::Trees(error.to_string());
        let data = DMatrix::from_dense(&rows.values, rows.len(), FEATURES)
            .and_then(|data| data.with_labels(&rows.answers))
            .and_then(|data| data.with_weights(&rows.weights))
            .map_err(failed)?;
        let params = TrainingParams::builder()
            .objective(Objective::Quantile(Levels::new(LEVELS).map_err(failed)?))
            .tree_method(TreeMethod::Hist)
            .grow_policy(GrowPolicy::LossGuide)
            .max_leaves(LEAVES)
            .max_depth(8)
            .max_bin(64)
            .eta(LEARNING_RATE)
            .min_child_weight(LEAF_WEIGHT_MIN)
            .subsample(0.7)
            .colsample_bytree(0.6)
            .leaf_estimation(LeafEstimation::Exact)
            .nthread(1)
            .seed(seed)
            .build()
            .map_err(failed)?;
        train(&params, &data, ROUNDS).map(Trees).map(Some).map_err(failed)
    }

    /// One answer a row, on the scale of logarithms.
    pub(super) fn predict(&self, values: &[f32]) -> Result<Vec<Quantiles>, Error> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error: hessboost::error::HessboostError| Error::Trees(error.to_string());
        let data = DMatrix::from_dense(values, values.len() / FEATURES, FEATURES).map_err(failed)?;
        let found = self.0.predict(&data, ..).map_err(failed)?;
        Ok(found.rows().map(|row| Quantiles(std::array::from_fn(|at| f64::from(row[at])))).collect())
    }
}
