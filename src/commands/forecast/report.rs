//! What a forecast and a backtest say: tables for people, documents for programs.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::commands::table::aligned;
use crate::config::HumanDuration;
use crate::forecast::{Candidate, Expected, Judged, LEVELS, Outcome, Plan, Series};
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

/// Below this share of known buckets what is learnt from is no more what comes: it is told by name.
const KNOWN_MIN: f64 = 0.8;

/// Series that are told of by name.
const TOLD_MAX: usize = 5;

/// What is to come, as it is asked for.
pub struct Forecast<'a> {
    pub series: &'a [Series],
    pub outcome: &'a Outcome,
    pub zone: Tz,
    /// The horizons of a course, in buckets; empty where none was asked for.
    pub course: &'a [usize],
}

impl Forecast<'_> {
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let head = ["SERIES", "AT", "HORIZON", "HALF", "9 OF 10", "19 OF 20", "BY"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for expected in &self.outcome.expected {
            let [half, nine, nineteen] = expected.quantiles.0.map(|value| rounded(value).to_string());
            let (name, at) = (printable(&expected.series).to_string(), self.at(expected));
            rows.push(vec![
                name,
                at,
                horizon(&self.series[0], expected.horizon),
                half,
                nine,
                nineteen,
                by(expected.by),
            ]);
        }
        for line in aligned(&rows) {
            writeln!(out, "{line}")?;
        }
        let step = horizon(&self.series[0], 1);
        writeln!(out, "\nrequests a bucket of {step} that are not exceeded so often; model {}", self.outcome.hash)?;
        writeln!(
            out,
            "AT is when the bucket begins, in {}; BY is who said so, of each level where they differ",
            self.zone
        )?;
        for peak in self.peaks() {
            let (name, most) = (printable(&peak.series), rounded(peak.quantiles.0[LEVELS.len() - 1]));
            writeln!(out, "the highest of `{name}`: {most} (19 of 20) at {}", self.at(peak))?;
        }
        write_known(out, self.series)
    }

    pub fn document(&self, plan: &Plan) -> Value {
        let step = self.series[0].step().seconds();
        let told = |expected: &Expected| {
            json!({
                "series": expected.series,
                "at": Time::from_secs(expected.at_s).to_string(),
                "at_local": self.local(expected).to_rfc3339(),
                "horizon_s": expected.horizon as i64 * step,
                "quantiles": quantiles(expected.quantiles.0),
                "by": expected.by.map(Candidate::name),
            })
        };
        json!({
            "step_s": step,
            "seed": plan.seed,
            "model": self.outcome.hash,
            "zone": self.zone.name(),
            "data": known_document(self.series),
            "forecasts": self.outcome.expected.iter().map(told).collect::<Vec<_>>(),
            "peaks": self.peaks().map(told).collect::<Vec<_>>(),
        })
    }

    fn local(&self, expected: &Expected) -> DateTime<Tz> {
        DateTime::<Utc>::from_timestamp(expected.at_s, 0).unwrap_or_default().with_timezone(&self.zone)
    }

    /// The zone's name of the hour is said, as one comes twice in autumn.
    fn at(&self, expected: &Expected) -> String {
        self.local(expected).format("%a %Y-%m-%d %H:%M %Z").to_string()
    }

    /// Of each series the bucket of the course that may be the highest, the first of equals.
    fn peaks(&self) -> impl Iterator<Item = &Expected> {
        let level = |expected: &Expected| expected.quantiles.0[LEVELS.len() - 1];
        self.series.iter().filter_map(move |series| {
            let of = |expected: &&Expected| expected.series == series.name() && self.course.contains(&expected.horizon);
            self.outcome
                .expected
                .iter()
                .filter(of)
                .reduce(|most, next| if level(next) > level(most) { next } else { most })
        })
    }
}

/// How much of the past is known, and what was made of what is not.
fn write_known(out: &mut dyn Write, series: &[Series]) -> io::Result<()> {
    let (known, buckets) = (|series: &Series| series.known(), series[0].len());
    let (least, most) = (series.iter().map(known).min().unwrap_or(0), series.iter().map(known).max().unwrap_or(0));
    let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
    writeln!(out, "{range} of {buckets} buckets are known")?;
    let mut tell = |which: &dyn Fn(&Series) -> bool, what: &dyn Fn(&Series) -> String| -> io::Result<()> {
        let found: Vec<&Series> = series.iter().filter(|series| which(series)).collect();
        for series in found.iter().take(TOLD_MAX) {
            writeln!(out, "`{}`: {}", printable(series.name()), what(series))?;
        }
        let more = found.len().saturating_sub(TOLD_MAX);
        if more > 0 { writeln!(out, "and so of {more} more") } else { Ok(()) }
    };
    tell(&|series: &Series| (series.known() as f64) < KNOWN_MIN * series.len() as f64, &|series: &Series| {
        let known = series.known();
        format!("learnt from {known} of {buckets} buckets alone; if nothing came in the others, give --absent zero")
    })?;
    tell(&|series: &Series| series.is_guessed_zero(), &|_: &Series| {
        "most rows are absent, and taken for zero; if nobody counted then, give --absent unknown".to_owned()
    })
}

fn known_document(series: &[Series]) -> Value {
    let one = |series: &Series| {
        json!({
            "series": series.name(),
            "buckets": series.len(),
            "known": series.known(),
            "absent_by_guess_zero": series.is_guessed_zero(),
        })
    };
    series.iter().map(one).collect()
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
        // Of no forecast nothing is measured.
        let is_judged = judged.chosen.forecasts > 0;
        let or_dash = |text: String| if is_judged { text } else { "-".to_owned() };
        rows.push(vec![
            printable(&judged.series).to_string(),
            horizon(&series[0], judged.horizon),
            judged.chosen.forecasts.to_string(),
            or_dash(rounded(judged.naive.loss()).to_string()),
            or_dash(rounded(judged.chosen.loss()).to_string()),
            ratio(judged).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
            or_dash(format!("{:.3}", judged.chosen.coverage[2])),
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
    )?;
    write_known(out, series)?;
    for remark in outcome.judged.iter().filter_map(|judged| uncovered(&series[0], judged)) {
        writeln!(out, "{remark}")?;
    }
    Ok(())
}

/// In how many of its horizons a quantile must have been followed before it is expected to cover: until then few of its forecasts
/// have come true, and most of those that did say the same.
const FOLLOWED_MIN: f64 = 4.0;

/// So many standard deviations are no chance: of ten forecasts two that are missed are one.
const CHANCE: f64 = 3.0;

/// Where clearly less was covered than is meant: more than twice as often not, and by more than chance.
fn uncovered(series: &Series, judged: &Judged) -> Option<String> {
    if judged.chosen.forecasts == 0 {
        return None;
    }
    let (all, covered) = (judged.chosen.forecasts as f64, judged.chosen.coverage[LEVELS.len() - 1]);
    let meant = LEVELS[LEVELS.len() - 1];
    let (missed, allowed) = (all * (1.0 - covered), all * (1.0 - meant));
    if missed <= 2.0 * allowed || missed <= allowed + CHANCE * (allowed * meant).sqrt() {
        return None;
    }
    let horizons = all / judged.horizon.max(1) as f64;
    let why = if horizons < FOLLOWED_MIN {
        format!("they span {horizons:.1} horizons, and it takes {FOLLOWED_MIN} and more for quantiles to follow")
    } else {
        "habits changed, or the past is too short to tell them".to_owned()
    };
    let (name, ahead) = (printable(&judged.series).to_string(), horizon(series, judged.horizon));
    Some(format!(
        "`{name}` {ahead} ahead: {covered:.3} of {all} forecasts covered what came, where {meant} are meant: {why}; reckon with more"
    ))
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
                "covers_clearly_less": uncovered(&series[0], judged).is_some(),
            })
        })
        .collect();
    json!({
        "step_s": step,
        "seed": plan.seed,
        "model": outcome.hash,
        "levels": LEVELS,
        "data": known_document(series),
        "scored_from": Time::from_secs(series[0].second_of(plan.score_from)).to_string(),
        "scored_until": Time::from_secs(series[0].second_of(plan.until)).to_string(),
        "series": judged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{Score, Step};

    /// A week ahead two of three were covered, of nineteen of twenty, and nothing was said.
    #[test]
    fn what_covers_clearly_less_than_is_meant_is_told_in_words() {
        let series = Series::new("logins", 0, Step::HOUR, vec![1.0; 24]);
        let told = |horizon: usize, forecasts: u64, covered: f64| {
            let mut chosen = Score::default();
            (chosen.forecasts, chosen.coverage[2]) = (forecasts, covered);
            let judged = Judged {
                series: "logins".into(),
                horizon,
                empty_share: 0.0,
                naive: Score::default(),
                chosen,
                candidates: Default::default(),
                choices: Default::default(),
            };
            uncovered(&series, &judged)
        };
        let week = told(168, 85, 0.659).unwrap();
        assert!(
            week.starts_with("`logins` 7d ahead: 0.659 of 85 forecasts covered what came, where 0.95 are meant"),
            "{week}"
        );
        assert!(week.contains("they span 0.5 horizons"), "{week}");
        assert!(told(1, 2_000, 0.85).unwrap().contains("habits changed"));
        for (forecasts, covered) in [(85, 0.93), (2_000, 0.91), (10, 0.8), (0, 0.0)] {
            assert_eq!(told(1, forecasts, covered), None, "{covered} of {forecasts}");
        }
    }
}
