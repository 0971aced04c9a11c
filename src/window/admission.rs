//! Which spans are taken in when more come than may be analysed: whole traces by a hash of their id, at a share that
//! is known, and fairly between services.
//!
//! Every quarter of a second the capacity is divided between services by what each sent lately, so that all get the
//! same and none more than it asks for (max-min fairness, Bertsekas and Gallager, "Data Networks", 6.5.2): what a quiet
//! service sends is below the level and taken whole, and the loud ones share the rest. A trace is judged once, when its
//! first spans come, by the quietest service among them; the rest of it goes the same way. What is taken in stands for
//! what is not: its weight is divided by the share at which it was taken (Horvitz and Thompson 1952).
//!
//! Spans of the past have what the present leaves of the capacity, and are not thinned: their sender keeps what it cannot
//! send yet.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Float64Type, UInt16Type};
use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::model::spans::OTHER;
use crate::model::{ClockStep, SpanBatch, Time, TraceId, is_fresh};

/// Columns of the `spans` table.
const SERVICE: &str = "service";
const WEIGHT: &str = "sampled_weight";

/// How often shares are set anew: a flood is met within two of these.
const SLOT: Duration = Duration::from_millis(250);
/// What the last slot counts for in the demand that is divided: after a second 94 % of a change are seen, and the
/// batches of an SDK that sends once a second still blur into a rate.
const NEWEST: f64 = 0.5;
/// How long a judged trace is remembered, in slots; twice this for one judged early. Far more than the parts of a trace
/// are apart that is not late.
const GENERATION_SLOTS: i64 = 40;
/// Traces remembered in each of the two generations, about 40 bytes each. Past it a part that comes later is judged by
/// the share of then: it mostly goes the same way, as the hash is the same.
const JUDGED_MAX: usize = 1_000_000;
/// Traces are judged by their quietest service, so that more come in than the shares say; the level is corrected by what
/// came in, within these bounds.
const CORRECTION: std::ops::RangeInclusive<f64> = 0.02..=2.0;
/// What the present leaves may be used this many slots later: a sender that was refused comes back after a second, and must
/// then find what it could have had meanwhile.
const PAST_SLOTS: f64 = 8.0;
/// Services told apart; the rest count as one. Past this the names are not those of services.
const SERVICES_MAX: usize = 10_000;
/// A service that sends less than this a slot is forgotten.
const DEMAND_MIN: f64 = 0.01;

/// What became of the spans of all batches, since the start: `admitted` and `shed` make up all that were ingested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdmissionCounters {
    pub admitted: u64,
    /// Of traces that were not taken in.
    pub shed: u64,
}

/// What one service sends, in spans a slot.
#[derive(Clone, Copy, Default)]
struct Demand {
    slot: f64,
    lately: f64,
}

#[derive(Default)]
pub(super) struct Admission {
    seed: u64,
    /// Number of the slot at hand since the epoch.
    slot: i64,
    services: IndexMap<Arc<str>, Demand, RandomState>,
    /// Of the present admitted, all services together, in spans a slot.
    admitted: Demand,
    /// Spans of the past that may still come; below zero after a large request.
    past: f64,
    /// What a service may have in a slot; None while everything is taken.
    level: Option<f64>,
    correction: f64,
    /// The share at which a trace was taken, or 0: those judged lately and those before.
    judged: [IndexMap<TraceId, f32, RandomState>; 2],
    counters: AdmissionCounters,
}

impl Admission {
    pub fn new(seed: u64) -> Admission {
        Admission { seed, ..Admission::default() }
    }

    /// The part of a batch that is taken. `per_second` is the capacity; `is_open` tells traces that are taken already.
    pub fn admit(
        &mut self,
        per_second: Option<u64>,
        received_at: Time,
        batch: SpanBatch,
        is_open: impl Fn(&TraceId) -> bool,
    ) -> SpanBatch {
        let offered = batch.len();
        let batch = match per_second {
            None => batch,
            Some(per_second) => {
                self.turn(capacity(per_second), received_at);
                if is_fresh(received_at, &batch) { self.thin(batch, is_open) } else { self.take_past(batch, is_open) }
            }
        };
        self.counters.admitted += batch.len() as u64;
        self.counters.shed += (offered - batch.len()) as u64;
        batch
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        self.slot += step.nanos() / SLOT.as_nanos() as i64;
    }

    /// A batch of the present, or the part of it that is taken.
    fn thin(&mut self, batch: SpanBatch, is_open: impl Fn(&TraceId) -> bool) -> SpanBatch {
        let demands = self.count(&batch);
        let batch = match self.level {
            None => batch,
            Some(level) => self.sift(&batch, &demands, level, is_open),
        };
        self.admitted.slot += batch.len() as f64;
        batch
    }

    /// A batch of the past, whole but for traces that were shed before.
    fn take_past(&mut self, batch: SpanBatch, is_open: impl Fn(&TraceId) -> bool) -> SpanBatch {
        self.past -= batch.len() as f64;
        if self.judged.iter().all(IndexMap::is_empty) {
            return batch;
        }
        // At a level that everybody is below.
        let services = batch.record_batch()[SERVICE].as_dictionary::<UInt16Type>().values().len();
        self.sift(&batch, &vec![0.0; services], 1.0, is_open)
    }

    /// Whether a batch of the past may be taken now.
    pub fn has_room_for_past(&self, per_second: Option<u64>, received_at: Time) -> bool {
        per_second.is_none_or(|per_second| self.room_for_past(capacity(per_second), received_at) > 0.0)
    }

    fn room_for_past(&self, capacity: f64, received_at: Time) -> f64 {
        let passed = (slot_of(received_at) - self.slot).min(GENERATION_SLOTS) as i32;
        if passed <= 0 {
            return self.past;
        }
        // What the present will have asked for lately when the slot turns.
        let demand = |of: &Demand| (of.lately + NEWEST * (of.slot - of.lately)) * (1.0 - NEWEST).powi(passed - 1);
        let spare = (capacity - self.services.values().map(demand).sum::<f64>()).max(0.0);
        (self.past + spare * f64::from(passed)).min(spare * PAST_SLOTS)
    }

    /// Sets the shares anew when a slot has ended.
    fn turn(&mut self, capacity: f64, received_at: Time) {
        let slot = slot_of(received_at);
        // Requests are received side by side: one of the slot before may come a little later.
        if slot <= self.slot {
            return;
        }
        self.past = self.room_for_past(capacity, received_at);
        let passed = (slot - self.slot).min(GENERATION_SLOTS) as i32;
        if slot / GENERATION_SLOTS != self.slot / GENERATION_SLOTS {
            let [lately, before] = &mut self.judged;
            before.clear();
            std::mem::swap(lately, before);
        }
        self.slot = slot;
        // Slots without any batch count as empty ones.
        let fade = |demand: &mut Demand| {
            demand.lately += NEWEST * (demand.slot - demand.lately);
            demand.lately *= (1.0 - NEWEST).powi(passed - 1);
            demand.slot = 0.0;
        };
        self.services.values_mut().for_each(fade);
        self.services.retain(|_, demand| demand.lately > DEMAND_MIN);
        fade(&mut self.admitted);
        let mut demands: Vec<f64> = self.services.values().map(|demand| demand.lately).collect();
        if demands.iter().sum::<f64>() <= capacity {
            (self.level, self.correction) = (None, 1.0);
            return;
        }
        if self.level.is_some() && self.admitted.lately > 0.0 {
            let wanted = self.correction * (capacity / self.admitted.lately).sqrt();
            self.correction = wanted.clamp(*CORRECTION.start(), *CORRECTION.end());
        }
        self.level = Some(fair_level(&mut demands, capacity * self.correction));
    }

    /// Counts what each service sent; the demand of each key of the batch's column `service`.
    fn count(&mut self, batch: &SpanBatch) -> Vec<f64> {
        let column = batch.record_batch()[SERVICE].as_dictionary::<UInt16Type>();
        let values = column.values().as_string::<i32>();
        let mut counts = vec![0_u64; values.len()];
        for &key in column.keys().values() {
            counts[usize::from(key)] += 1; // a dictionary's keys lie within its values
        }
        let mut demands = vec![0.0; counts.len()];
        for ((&count, name), demand) in counts.iter().zip(values.iter()).zip(&mut demands) {
            let name = name.unwrap_or_default();
            let crowded = self.services.len() >= SERVICES_MAX;
            let of = match self.services.get_mut(name) {
                Some(of) => of,
                None if count == 0 => continue,
                None => self.services.entry(if crowded { OTHER } else { name }.into()).or_default(),
            };
            of.slot += count as f64;
            // One that begins to shout is heard in the slot itself.
            *demand = of.lately.max(of.slot);
        }
        demands
    }

    /// Keeps the traces that are taken.
    fn sift(
        &mut self,
        batch: &SpanBatch,
        demands: &[f64],
        level: f64,
        is_open: impl Fn(&TraceId) -> bool,
    ) -> SpanBatch {
        let shares: Vec<f32> = demands.iter().map(|demand| (level / demand.max(level)) as f32).collect();
        let columns = batch.columns();
        let keys = batch.record_batch()[SERVICE].as_dictionary::<UInt16Type>().keys().values();
        let mut traces: IndexMap<TraceId, f32, RandomState> = IndexMap::default();
        let mut of_row = Vec::with_capacity(batch.len());
        for (row, &key) in keys.iter().enumerate() {
            let entry = traces.entry(columns.trace_id(row));
            of_row.push(entry.index());
            let share = entry.or_default();
            *share = share.max(shares[usize::from(key)]);
        }
        for (trace, share) in &mut traces {
            *share = self.judge(trace, *share, &is_open);
        }
        let taken = |row: usize| traces[of_row[row]];
        let mask = BooleanArray::from((0..batch.len()).map(|row| taken(row) > 0.0).collect::<Vec<_>>());
        let weights = batch.record_batch()[WEIGHT].as_primitive::<Float64Type>();
        // An unknown weight counts as one, as it does in the rollups.
        let weight = |row: usize| if weights.is_valid(row) { weights.value(row) } else { 1.0 };
        let known = |row: usize| weights.is_valid(row).then(|| weights.value(row));
        let corrected = |row: usize| match taken(row) {
            share if share < 1.0 => Some(weight(row) / f64::from(share)),
            _ => known(row),
        };
        let corrected: Float64Array = (0..batch.len()).map(corrected).collect();
        keep(batch, corrected, &mask).unwrap_or_else(|| batch.clone())
    }

    /// The share at which a trace is taken; 0 when it is not.
    fn judge(&mut self, trace: &TraceId, share: f32, is_open: impl Fn(&TraceId) -> bool) -> f32 {
        let [lately, before] = &mut self.judged;
        if let Some(&known) = lately.get(trace).or_else(|| before.get(trace)) {
            return known;
        }
        // Taken before anything was shed.
        if is_open(trace) {
            return 1.0;
        }
        let judged = if place(trace, self.seed) < share { share } else { 0.0 };
        if lately.len() < JUDGED_MAX {
            lately.insert(*trace, judged);
        }
        judged
    }

    /// The share of what came lately that was taken.
    pub fn share(&self) -> f64 {
        let demand: f64 = self.services.values().map(|demand| demand.lately).sum();
        if self.level.is_some() && demand > 0.0 { (self.admitted.lately / demand).min(1.0) } else { 1.0 }
    }

    pub fn counters(&self) -> AdmissionCounters {
        self.counters
    }
}

/// In spans a slot.
fn capacity(per_second: u64) -> f64 {
    per_second as f64 * SLOT.as_secs_f64()
}

/// The number of a slot since the epoch.
fn slot_of(time: Time) -> i64 {
    time.0.div_euclid(SLOT.as_nanos() as i64) // a quarter of a second: fits
}

/// The level at which demands cut off at it sum up to the capacity; demands together are more than that.
fn fair_level(demands: &mut [f64], capacity: f64) -> f64 {
    demands.sort_unstable_by(f64::total_cmp);
    let mut left = capacity;
    for (index, &demand) in demands.iter().enumerate() {
        let even = left / (demands.len() - index) as f64;
        if demand > even {
            return even;
        }
        left -= demand;
    }
    demands.last().copied().unwrap_or(capacity)
}

/// Where a trace stands between 0 and 1. Who does not know the seed cannot choose ids that are all taken.
fn place(trace: &TraceId, seed: u64) -> f32 {
    // The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    let mix = |x: u64| {
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let id = u128::from_be_bytes(trace.0);
    let (high, low) = ((id >> 64) as u64, id as u64); // the halves
    let mixed = mix(mix(high ^ seed).wrapping_add(low) ^ seed.rotate_left(32));
    (mixed >> 40) as f32 / (1_u32 << 24) as f32 // 24 bits: exact in f32, and below 1
}

/// The rows of the mask, with other weights.
fn keep(batch: &SpanBatch, weights: Float64Array, mask: &BooleanArray) -> Option<SpanBatch> {
    let whole = batch.record_batch();
    let mut columns = whole.columns().to_vec();
    columns[whole.schema().index_of(WEIGHT).ok()?] = Arc::new(weights);
    let whole = RecordBatch::try_new(whole.schema(), columns).ok()?;
    SpanBatch::try_from(filter_record_batch(&whole, mask).ok()?).ok()
}

#[cfg(test)]
mod tests;
