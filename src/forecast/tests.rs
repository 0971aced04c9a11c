//! Forecasts as a whole, on series whose law is known.

use chrono_tz::Tz;

use super::*;

/// 2026-01-05 00:00 UTC, a Monday.
const MONDAY: i64 = 1_767_571_200;

/// A stream of numbers in [0, 1) that looks like chance, and is the same each time.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// So many weeks of hours with a day's and a week's pattern, a level that wanders, and noise.
fn hours(name: &str, weeks: usize, seed: u64) -> Series {
    let mut draw = noise(seed);
    let mut level = 1.0_f64;
    let value = |hour: usize| {
        level *= 1.0 + 0.04 * (draw() - 0.5);
        let day = 1.0 + 0.8 * ((hour % 24) as f64 / 24.0 * std::f64::consts::TAU).sin();
        let week = if (hour / 24) % 7 >= 5 { 0.4 } else { 1.0 };
        (1_000.0 * level * day * week * (0.9 + 0.2 * draw())) as f32
    };
    Series::new(name, MONDAY, Step::HOUR, (0..weeks * 168).map(value).collect())
}

/// Nothing is scored: two fits to choose and to calibrate, and one for what is forecast from the end.
fn from_the_end(series: &Series, horizons: Vec<usize>) -> Plan {
    let (until, week) = (series.len(), series.step().a_week());
    Plan { horizons, from: until - 2 * week, score_from: until, until, stride: 9, seed: 1 }
}

fn quietly(series: &[Series], calendar: &Calendar, plan: &Plan) -> Outcome {
    walk(series, calendar, plan, |_, _| ()).unwrap()
}

#[test]
fn a_level_that_wanders_is_followed_and_intervals_cover_what_they_say() {
    let series = [hours("a", 16, 3), hours("b", 16, 4)];
    let plan = Plan { stride: 3, ..Plan::halves(&series[0], vec![1, 24]) };
    let outcome = quietly(&series, &Calendar::default(), &plan);
    assert_eq!(outcome.judged.len(), 4);
    for judged in &outcome.judged {
        let ratio = judged.chosen.loss() / judged.naive.loss();
        assert!(ratio < 0.85, "{} at {}: {ratio}", judged.series, judged.horizon);
        let covered = judged.chosen.coverage[2];
        assert!((0.92..=0.98).contains(&covered), "{} at {}: {covered}", judged.series, judged.horizon);
    }
}

#[test]
fn the_same_data_and_seed_give_the_same_forecast_and_hash() {
    let series = [hours("a", 6, 5)];
    let plan = from_the_end(&series[0], vec![1, 24]);
    let told = |plan: &Plan, series: &[Series]| {
        let outcome = quietly(series, &Calendar::default(), plan);
        (outcome.hash, outcome.expected.iter().map(|expected| expected.quantiles).collect::<Vec<_>>())
    };
    let first = told(&plan, &series);
    assert_eq!(told(&plan, &series), first);
    assert_ne!(told(&Plan { seed: 2, ..plan.clone() }, &series).0, first.0, "another seed");
    assert_ne!(told(&plan, &[hours("a", 6, 6)]).0, first.0, "other data");
}

/// Nothing of what comes later may be known earlier.
#[test]
fn what_comes_after_the_origin_changes_no_forecast() {
    let whole = hours("a", 8, 7);
    let known = 6 * 168;
    let mut changed = whole.values().to_vec();
    changed[known..].iter_mut().for_each(|value| *value = 1e6);
    let changed = Series::new("a", MONDAY, Step::HOUR, changed);
    let said = |series: &Series| {
        let series = [series.until(known)];
        let plan = Plan { from: 5 * 168, score_from: known, until: known, horizons: vec![1, 168], stride: 5, seed: 1 };
        quietly(&series, &Calendar::default(), &plan).expected.iter().map(|said| said.quantiles).collect::<Vec<_>>()
    };
    assert_eq!(said(&whole), said(&changed));
    // And within a backtest: the forecasts of the first half of the scored time are those of a file that ends there.
    let judged = |series: &Series, until: usize| {
        let plan = Plan { from: 4 * 168, score_from: 5 * 168, until, horizons: vec![24], stride: 3, seed: 1 };
        quietly(&[series.until(until)], &Calendar::default(), &plan).judged[0].chosen.pinball
    };
    assert_eq!(judged(&whole, known), judged(&changed, known));
}

#[test]
fn chance_is_not_taken_for_a_pattern() {
    let mut draw = noise(11);
    let values = (0..12 * 168).map(|_| if draw() > 0.97 { (draw() * 5_000.0) as f32 } else { (draw() * 40.0) as f32 });
    let series = [Series::new("bursts", MONDAY, Step::HOUR, values.collect())];
    let plan = Plan { stride: 3, ..Plan::halves(&series[0], vec![1, 24, 168]) };
    for judged in quietly(&series, &Calendar::default(), &plan).judged {
        let ratio = judged.chosen.loss() / judged.naive.loss();
        assert!(ratio <= 1.03, "at {}: {ratio}", judged.horizon);
    }
}

#[test]
fn a_series_of_nothing_is_forecast_as_nothing() {
    let series = [Series::new("empty", MONDAY, Step::HOUR, vec![0.0; 6 * 168])];
    let plan = Plan::halves(&series[0], vec![1]);
    let outcome = quietly(&series, &Calendar::default(), &plan);
    assert_eq!(outcome.expected[0].quantiles, Quantiles([0.0; 3]));
    assert_eq!(outcome.judged[0].chosen.coverage[2], 0.95, "all are ties");
}

#[test]
fn holes_are_not_taken_for_lulls() {
    let whole = hours("a", 10, 13);
    let mut holed = whole.values().to_vec();
    // Two days of each second week are not known.
    for week in (0..10).step_by(2) {
        holed[week * 168 + 24..week * 168 + 72].iter_mut().for_each(|value| *value = f32::NAN);
    }
    let series = [Series::new("a", MONDAY, Step::HOUR, holed)];
    let plan = Plan { stride: 3, ..Plan::halves(&series[0], vec![24]) };
    let outcome = quietly(&series, &Calendar::default(), &plan);
    let ratio = outcome.judged[0].chosen.loss() / outcome.judged[0].naive.loss();
    assert!(ratio < 0.95, "{ratio}");
    let last = outcome.expected[0].quantiles.0[0];
    let came = f64::from(whole.values()[whole.len() - 168 + 23]);
    assert!((last / came - 1.0).abs() < 0.5, "{last} beside {came} a week ago");
}

#[test]
fn an_exam_of_400_teaches_an_exam_of_900() {
    let mut draw = noise(17);
    let exams: Vec<PlannedEvent> = [(1, 380.0), (3, 420.0), (4, 400.0), (6, 900.0)]
        .iter()
        .map(|(week, people)| {
            let start_s = MONDAY + week * 604_800 + 2 * 86_400 + 9 * 3_600;
            PlannedEvent { kind: "exam".into(), start_s, end_s: start_s + 3_600, participants: *people }
        })
        .collect();
    let end = 6 * 7 * 24 * 4 + 2 * 96 + 9 * 4 - 4; // an hour before the last
    let value = |quarter: usize| {
        let second = MONDAY + quarter as i64 * 900;
        let extra: f64 = (exams.iter())
            .filter(|exam| second >= exam.start_s && second < exam.end_s)
            .map(|exam| 3.0 * exam.participants * (0.9 + 0.2 * draw()))
            .sum();
        (20.0 + 10.0 * draw() + extra) as f32
    };
    let series = [Series::new("exams", MONDAY, Step::QUARTER_HOUR, (0..end).map(value).collect())];
    let forecast = |events: Vec<PlannedEvent>| {
        let calendar = Calendar { zone: Tz::Europe__Berlin, events, ..Calendar::default() };
        let plan = from_the_end(&series[0], vec![6]);
        quietly(&series, &calendar, &plan).expected[0].quantiles.0
    };
    let known = forecast(exams.clone());
    assert!((1_500.0..4_500.0).contains(&known[0]), "the middle of 2 700: {known:?}");
    let mut cancelled = exams.clone();
    cancelled.pop();
    assert!(forecast(cancelled)[2] < 1_000.0, "without it in the calendar nothing is expected");
    // A kind that was never seen borrows from all.
    let mut other = exams;
    other[3].kind = "resit".into();
    assert!((1_500.0..4_500.0).contains(&forecast(other)[0]));
}

#[test]
fn a_calendar_that_lies_is_bounded() {
    let series = [hours("a", 6, 19)];
    let start_s = MONDAY + 6 * 604_800;
    let lies = [f64::INFINITY, f64::NAN, -5.0, 1e12].map(|participants| PlannedEvent {
        kind: "lecture".into(),
        start_s,
        end_s: i64::MAX,
        participants,
    });
    let calendar = Calendar { events: lies.to_vec(), ..Calendar::default() };
    let plan = from_the_end(&series[0], vec![1]);
    for said in quietly(&series, &calendar, &plan).expected[0].quantiles.0 {
        assert!(said.is_finite() && said < 1e4, "{said}");
    }
}

#[test]
fn what_cannot_be_forecast_is_said_with_a_remedy() {
    let series = hours("a", 1, 1);
    let plan = |horizons, until| Plan { horizons, from: 24, score_from: 48, until, stride: 1, seed: 1 };
    let error =
        |series: &[Series], plan: &Plan| walk(series, &Calendar::default(), plan, |_, _| ()).err().unwrap().to_string();
    assert!(error(&[], &plan(vec![1], 168)).contains("name a column"));
    assert!(error(std::slice::from_ref(&series), &plan(vec![10_000], 168)).contains("to two weeks"));
    assert!(error(&[series.until(30)], &plan(vec![1], 30)).contains("too short"));
    let unknown = Series::new("c", MONDAY, Step::HOUR, vec![f32::NAN; 168]);
    assert!(error(&[unknown], &plan(vec![1], 168)).contains("give --absent zero"));
    let other = Series::new("b", MONDAY + 3_600, Step::HOUR, vec![1.0; 168]);
    assert!(error(&[series, other], &plan(vec![1], 168)).contains("begins at another time"));
}
