//! `headroom forecast` and `headroom backtest`: what will come, and how well that would have been known.

mod events;
mod files;
mod histories;
mod report;
mod rows;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use chrono_tz::Tz;

use self::files::Counts;
use super::answer::Answer;
use super::error::Error;
use crate::config::parse_duration;
use crate::forecast::{self, Absent, Calendar, Outcome, Plan, Series, Step};
use crate::history::Store;
use crate::model::Time;

pub use events::Error as EventsError;
pub use files::Error as FileError;

/// Where series come from and what is known beside them.
#[derive(clap::Args)]
pub struct Data {
    /// CSV (plain, gzip or zstd) or Parquet: a column of times (time_s, time, timestamp, ts or at, else the first) and columns of counts;
    /// or the folder of a history, as `history.store` and `import --to` name it
    #[arg(value_name = "FILE")]
    file: String,
    /// Of a history: what comes to each service, in place of requests by entry operation
    #[arg(long)]
    services: bool,
    /// Of a history: the cluster, where it has several
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Take these columns alone; all that are taken learn from each other
    #[arg(long = "column", value_name = "NAME")]
    columns: Vec<String>,
    /// Buckets of this length: from 1m to 1h; by default as the file has them, and 15m of a history
    #[arg(long, value_name = "DURATION", value_parser = step)]
    step: Option<Step>,
    /// How far ahead, up to two weeks; several may be given
    #[arg(long = "horizon", value_name = "DURATION", value_parser = duration)]
    horizons: Vec<Duration>,
    /// What an absent row means; by default zero where most are absent and none is empty, else unknown
    #[arg(long, value_name = "MEANING", value_enum)]
    absent: Option<Meaning>,
    /// The time zone of those who send the requests: hours of the week and holidays are theirs
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    zone: Tz,
    /// Days off, as 2026-12-25; several may be given
    #[arg(long = "holiday", value_name = "DATE", value_parser = date)]
    holidays: Vec<chrono::NaiveDate>,
    /// Planned events, past and coming: CSV with the columns kind, start, end, participants
    #[arg(long, value_name = "FILE")]
    events: Option<String>,
    /// The same data and seed give the same model
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Meaning {
    /// Nothing came
    Zero,
    /// Nobody counted
    Unknown,
}

/// Forecast requests from counts of the past: what half of the time, nine times of ten, and 19 times of 20 is not exceeded.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom forecast requests.csv
  headroom forecast requests.csv.gz --column exam --horizon 5m --horizon 1h --zone Europe/Berlin
  headroom forecast requests.csv --step 1h --course 1d --zone Europe/Berlin      the next day hour by hour, and its peak
  headroom forecast requests.parquet --at 2026-11-24T08:00+01:00 --json
  headroom forecast requests.csv --events exams.csv       kind,start,end,participants a line
  headroom forecast history --column 'ingress GET /exam'  of what headroom saw itself (section history of its configuration)

Exit codes: 0 forecast; 2 usage or input error.")]
pub struct ForecastArgs {
    #[command(flatten)]
    data: Data,
    /// Forecast as of this day or time (of UTC where it has no offset), with what was known then; by default the end of the file
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
    /// Forecast bucket by bucket up to so far ahead, and name the highest; of a long course of short buckets some are shown
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    course: Option<Duration>,
}

/// Measure forecasts on the past: from a rolling origin, each with what was known then, by pinball loss against the naive forecast.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom backtest requests.csv.gz
  headroom backtest requests.csv --step 1h --horizon 1h --horizon 1d --horizon 7d
  headroom backtest requests.csv --step 1m --from 2026-10-19T07:00 --until 2026-10-19T09:00
  headroom backtest requests.parquet --json | jq '.series[] | {series, horizon, ratio}'

naive is the empirical quantiles of the last four same hours of the week; ratio is the loss of what was chosen over naive's.

Exit codes: 0 measured; 1 what was chosen lost more than 1.03 of naive somewhere; 2 usage or input error.")]
pub struct BacktestArgs {
    #[command(flatten)]
    data: Data,
    /// Score forecasts made from this day or time on (of UTC where it has no offset); by default from the middle of the file
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Time>,
    /// And up to this one; by default to the end of the file
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
}

/// The horizons of the issue of anticipation: pods start within minutes, nodes within an hour, people plan by the day and the week.
const HORIZONS_S: [u64; 4] = [300, 3_600, 86_400, 604_800];

/// Before what is scored, forecasts are made over so many weeks, to calibrate them and to choose.
const WEEKS_BEFORE: usize = 4;

/// Of those, so many origins are taken: a week of minutes tells no more when each of them is asked.
const ORIGINS_BEFORE: usize = 6_000;

/// But fewer where a course asks for many horizons, as each is walked; so many calibrate a quantile of 0.95 well.
const ORIGINS_OF_A_COURSE: usize = 500;

/// Buckets of a course that are forecast: a day of quarters of an hour.
const COURSE_MAX: usize = 96;

/// What is looked at before the last origin: fifteen weeks of minutes, seventeen years of hours.
const BUCKETS_MAX: usize = 150_000;

pub fn forecast(args: ForecastArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    let (mut series, calendar) = args.data.read()?;
    let first = series.first().ok_or(forecast::Error::Nothing)?;
    let end = match args.at {
        Some(at) => usize::try_from(first.index_of(at.second())).unwrap_or(0).min(first.len()),
        None => first.len(),
    };
    cut(&mut series, end);
    let end = series[0].len();
    let course = args.course.map_or_else(Vec::new, |course| course_of(series[0].step(), course));
    let horizons = args.data.horizons(&series[0], &course);
    let plan = args.data.plan(&series[0], horizons, end, end);
    let outcome = run(&series, &calendar, &plan)?;
    let forecast = report::Forecast { series: &series, outcome: &outcome, zone: args.data.zone, course: &course };
    if args.data.json {
        writeln!(out, "{:#}", forecast.document(&plan))?;
    } else {
        forecast.write(out)?;
    }
    Ok(Answer::Yes)
}

pub fn backtest(args: BacktestArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    let (mut series, calendar) = args.data.read()?;
    let first = series.first().ok_or(forecast::Error::Nothing)?;
    let bucket = |at: Time| usize::try_from(first.index_of(at.second())).unwrap_or(0).min(first.len());
    let until = args.until.map_or(first.len(), bucket);
    let from = args.from.map_or(until / 2, bucket);
    let none = forecast::Error::NoOrigin {
        name: first.name().to_owned(),
        from: Time::from_secs(first.start_s()).to_string(),
        until: Time::from_secs(first.second_of(first.len())).to_string(),
    };
    if from >= until {
        return Err(none.into());
    }
    let from = from.saturating_sub(cut(&mut series, until));
    let until = series[0].len();
    let horizons = args.data.horizons(&series[0], &[]);
    let plan = args.data.plan(&series[0], horizons, from, until);
    let outcome = run(&series, &calendar, &plan)?;
    if outcome.judged.iter().all(|judged| judged.chosen.forecasts == 0) {
        return Err(none.into());
    }
    if args.data.json {
        writeln!(out, "{:#}", report::backtest_document(&series, &outcome, &plan))?;
    } else {
        report::write_backtest(out, &series, &outcome)?;
    }
    Ok(if outcome.judged.iter().all(report::keeps_up) { Answer::Yes } else { Answer::No })
}

impl Data {
    fn read(&self) -> Result<(Vec<Series>, Calendar), Error> {
        let absent = match self.absent {
            Some(Meaning::Zero) => Absent::Zero,
            Some(Meaning::Unknown) => Absent::Unknown,
            None => Absent::Guess,
        };
        let counts: Counts = if Store::is_place(&self.file) {
            histories::read(self, absent == Absent::Zero)?
        } else {
            files::read(&self.file, &self.columns)?
        };
        let series = counts.series(self.step, absent)?;
        let events = self.events.as_deref().map(events::read).transpose()?.unwrap_or_default();
        Ok((series, Calendar { zone: self.zone, holidays: self.holidays.iter().copied().collect(), events }))
    }

    /// In buckets, with those of a course; by default without those that are shorter than a bucket.
    fn horizons(&self, series: &Series, course: &[usize]) -> Vec<usize> {
        let step = series.step();
        let mut horizons: Vec<usize> = if self.horizons.is_empty() && course.is_empty() {
            let fits = HORIZONS_S.iter().filter(|seconds| **seconds >= step.seconds() as u64);
            fits.map(|seconds| step.buckets(*seconds as i64)).collect()
        } else {
            let asked = self.horizons.iter().map(|horizon| step.buckets(horizon.as_secs() as i64));
            asked.chain(course.iter().copied()).collect()
        };
        horizons.sort_unstable();
        horizons.dedup();
        horizons
    }

    fn plan(&self, series: &Series, horizons: Vec<usize>, score_from: usize, until: usize) -> Plan {
        let mut plan = Plan::halves(series, horizons);
        let before = WEEKS_BEFORE * series.step().a_week();
        plan.seed = self.seed;
        plan.until = until;
        plan.score_from = score_from;
        let least = (2 * series.step().a_week()).min(score_from / 2);
        // Long enough that the longest horizon has come true for some.
        let longest = plan.horizons.last().copied().unwrap_or(0);
        plan.from = score_from.saturating_sub(before + longest).max(least);
        let origins =
            (ORIGINS_BEFORE * HORIZONS_S.len() / plan.horizons.len().max(HORIZONS_S.len())).max(ORIGINS_OF_A_COURSE);
        plan.stride = ((score_from - plan.from) / origins).max(1) | 1;
        plan
    }
}

/// The horizons of a course: every bucket, or as many of them as a day is evenly cut into.
fn course_of(step: Step, course: Duration) -> Vec<usize> {
    let buckets = step.buckets(course.as_secs() as i64);
    let a_day = step.a_day();
    let every = (buckets.div_ceil(COURSE_MAX)..=a_day).find(|every| a_day.is_multiple_of(*every)).unwrap_or(a_day);
    (1..=buckets / every).map(|turn| turn * every).collect()
}

/// Takes what lies before `until`, as far back as is looked at; how many buckets went at the front.
fn cut(series: &mut [Series], until: usize) -> usize {
    let from = until.saturating_sub(BUCKETS_MAX);
    series.iter_mut().for_each(|series| *series = series.until(until).since(from));
    from
}

/// Says how far it is, where a person looks on.
fn run(series: &[Series], calendar: &Calendar, plan: &Plan) -> Result<Outcome, Error> {
    let mut screen = std::io::stderr();
    let is_watched = screen.is_terminal();
    let mut tell = |text: &str| {
        if is_watched {
            // Nobody misses what cannot be shown.
            let _ = write!(screen, "\r\x1b[K{text}").and_then(|()| screen.flush());
        }
    };
    let outcome = forecast::walk(series, calendar, plan, |done, of| tell(&format!("{done} of {of} fits")))?;
    tell("");
    Ok(outcome)
}

fn step(text: &str) -> Result<Step, String> {
    let seconds = parse_duration(text).map(|duration| duration.as_secs() as i64);
    seconds
        .and_then(Step::of_seconds)
        .ok_or_else(|| "no length of a bucket; write one that divides an hour, such as 1m, 15m or 1h".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let whole = parse_duration(text).filter(|duration| duration.as_secs() > 0);
    whole.ok_or_else(|| "no duration; write one such as 5m, 1h or 7d".to_owned())
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "no time; write a day or one such as 2026-11-24T14:03+01:00".to_owned())
}

fn date(text: &str) -> Result<chrono::NaiveDate, String> {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "no date; write one such as 2026-12-25".to_owned())
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "no time zone; write a name of the IANA database, such as Europe/Berlin".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_has_every_bucket_or_cuts_a_day_evenly() {
        let course = |step, hours: u64| course_of(step, Duration::from_secs(hours * 3_600));
        assert_eq!(course(Step::HOUR, 24), (1..=24).collect::<Vec<_>>());
        assert_eq!(course(Step::MINUTE, 24), (1..=96).map(|turn| turn * 15).collect::<Vec<_>>());
        let week = course(Step::QUARTER_HOUR, 7 * 24);
        assert_eq!((week.len(), week[0], week[83]), (84, 8, 672));
    }
}
