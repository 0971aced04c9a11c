//! Forecasts of requests: series in, quantiles out. Pure and deterministic: no clock, no file, no chance but a seed.
//!
//! Candidates ([`Candidate`]) forecast over a rolling origin and are judged by their pinball loss; what does not beat the naive
//! forecast is not used. Intervals are conformal, so that what is said to be above nineteen of twenty is.

mod calendar;
mod conformal;
mod contest;
mod decomposed;
mod events;
mod features;
mod frame;
mod hash;
mod judge;
mod naive;
mod quantiles;
mod series;
#[cfg(test)]
mod tests;
mod trees;

pub use calendar::{Calendar, PlannedEvent};
pub use contest::{Expected, Judged, Outcome, Plan, Score, walk};
pub use events::PARTICIPANTS_MAX;
pub use judge::{CANDIDATES, Candidate};
pub use quantiles::{Coverage, LEVELS, Quantiles, pinball};
pub use series::{Absent, Series, Step};

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} has no counts; a forecast needs two days of them at the least")]
    Empty { name: String },
    #[error(
        "of {name} no bucket is known whole; give --absent zero where nothing came in rows that are absent, or another --step"
    )]
    Unknown { name: String },
    #[error("{name} has a count every {every} s, which cannot be told apart by {step} s; give a longer --step")]
    Coarse { name: String, every: i64, step: i64 },
    #[error("{name} would be {buckets} buckets long, of at most {buckets_max}; give a longer --step, or cut it")]
    Long { name: String, buckets: u64, buckets_max: u64 },
    #[error("there is no series to forecast; name a column that holds counts")]
    Nothing,
    #[error("a horizon of {buckets} buckets; give one from one bucket to two weeks")]
    Horizon { buckets: usize },
    #[error(
        "{name} begins at another time, or has another step, than {first}; series that are learnt from together begin together"
    )]
    Apart { name: String, first: String },
    #[error("{name} is too short to forecast from; two days before the first origin are the least")]
    Short { name: String },
    #[error(
        "no forecast of {name} is made and comes true between --from and --until; it has counts from {from} to {until}, so name times within, or a shorter --horizon"
    )]
    NoOrigin { name: String, from: String, until: String },
    #[error("the trees could not be trained: {0}; report it as a bug")]
    Trees(String),
}
