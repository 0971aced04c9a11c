//! What a forecast and a backtest say: tables for people, documents for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::commands::table::aligned;
use crate::config::HumanDuration;
use crate::forecast::{Candidate, Judged, LEVELS, Outcome, Plan, Series};
use crate::model::{Time, printable};

/// What may be lost against naive before a backtest says no: less is chance.
const RATIO_MAX: f64 = 1.03;

/// Naive lost nothing where nothing ever came: there is nothing to compare then.
fn ratio(judged: &Judged) -> Option<f64> {
    let naive = judged.naive.loss();
    (naive > 0.0).then(|| judged.chosen.loss() / naive)
}

pub fn keeps_up(judged: &Judged) -> bool {
    ratio(judged).is_none_or(|ratio| ratio <= RATIO_MAX)
}

fn horizon(series: &Series, buckets: usize) -> String {
    let seconds = buckets as u64 * series.step().seconds() as u64;
    HumanDuration(std::time::Duration::from_secs(seconds)).to_string()
}

/// Three digits are more than a forecast knows.
fn rounded(value: f64) -> f64 {
    if value.abs() >= 100.0 { value.round() } else { (value * 1_000.0).round() / 1_000.0 }
}

/// Who said so: once, where all levels are of one.
fn by(candidates: [Candidate; LEVELS.len()]) -> String {
    let mut names = candidates.map(Candidate::name).to_vec();
    names.dedup();
    names.join(", ")
}

pub fn write_forecast(out: &mut dyn Write, series: &[Series], outcome: &Outcome) -> io::Result<()> {
    let mut rows = vec![["SERIES", "AT", "HORIZON", "HALF", "9 OF 10", "19 OF 20", "BY"].map(str::to_owned).to_vec()];
    for expected in &outcome.expected {
        let [half, nine, nineteen] = expected.quantiles.0.map(|value| rounded(value).to_string());
        let at = Time::from_secs(expected.at_s).to_string();
        let name = printable(&expected.series).to_string();
        rows.push(vec![name, at, horizon(&series[0], expected.horizon), half, nine, nineteen, by(expected.by)]);
    }
    for line in aligned(&rows) {
        writeln!(out, "{line}")?;
    }
    writeln!(
        out,
        "\nrequests a bucket of {} that are not exceeded so often; model {}",
        horizon(&series[0], 1),
        outcome.hash
    )
}

pub fn forecast_document(series: &[Series], outcome: &Outcome, plan: &Plan) -> Value {
    let step = series[0].step().seconds();
    let expected: Vec<Value> = (outcome.expected.iter())
        .map(|expected| {
            json!({
                "series": expected.series,
                "at": Time::from_secs(expected.at_s).to_string(),
                "horizon_s": expected.horizon as i64 * step,
                "quantiles": quantiles(expected.quantiles.0),
                "by": expected.by.map(Candidate::name),
            })
        })
        .collect();
    json!({ "step_s": step, "seed": plan.seed, "model": outcome.hash, "forecasts": expected })
}

/// By their level, as "0.95".
fn quantiles(values: [f64; 3]) -> Value {
    LEVELS
        .iter()
        .zip(values)
        .map(|(level, value)| (level.to_string(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub fn write_backtest(out: &mut dyn Write, series: &[Series], outcome: &Outcome) -> io::Result<()> {
    let head = ["SERIES", "HORIZON", "FORECASTS", "NAIVE", "CHOSEN", "RATIO", "COVERED", "MOST USED"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for judged in &outcome.judged {
        let most = judged.choices.iter().max_by_key(|(_, times)| **times);
        rows.push(vec![
            printable(&judged.series).to_string(),
            horizon(&series[0], judged.horizon),
            judged.chosen.forecasts.to_string(),
            rounded(judged.naive.loss()).to_string(),
            rounded(judged.chosen.loss()).to_string(),
            ratio(judged).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
            format!("{:.3}", judged.chosen.coverage[2]),
            most.map_or_else(|| "-".to_owned(), |(by, _)| (*by).to_owned()),
        ]);
    }
    for line in aligned(&rows) {
        writeln!(out, "{line}")?;
    }
    writeln!(
        out,
        "\npinball loss, the mean over 0.5, 0.9 and 0.95, in requests a bucket of {}; COVERED is of 0.95",
        horizon(&series[0], 1)
    )
}

pub fn backtest_document(series: &[Series], outcome: &Outcome, plan: &Plan) -> Value {
    let step = series[0].step().seconds();
    let judged: Vec<Value> = (outcome.judged.iter())
        .map(|judged| {
            json!({
                "series": judged.series,
                "horizon_s": judged.horizon as i64 * step,
                "empty_share": judged.empty_share,
                "ratio": ratio(judged),
                "naive": judged.naive,
                "chosen": judged.chosen,
                "candidates": judged.candidates,
                "choices": judged.choices,
            })
        })
        .collect();
    json!({
        "step_s": step,
        "seed": plan.seed,
        "model": outcome.hash,
        "levels": LEVELS,
        "scored_from": Time::from_secs(series[0].second_of(plan.score_from)).to_string(),
        "scored_until": Time::from_secs(series[0].second_of(plan.until)).to_string(),
        "series": judged,
    })
}
