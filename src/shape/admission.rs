//! Whether one request is let in: the answer to a gateway, from the limits of the last tick.
//!
//! Each limited service has one bucket of work, which fills at its rate. A level may take from it only what those above it
//! do not need: the lowest needs a bucket that is nearly full, the highest takes the last of it. When less comes than the
//! bucket takes in, it is full and nobody notices; when more comes, it empties to where the levels below can take no more,
//! from one request to the next and without anybody having to know how much of which level comes. So a burst of exam
//! submits takes the place of pages at once, not at the next tick.
//!
//! Within a level clients share fairly: who had more of late than the line is shed, and the line falls while the level has
//! less than it asks for (approximate fair dropping: R. Pan and others, 2003).

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::clients::{Clients, Place};
use super::config::{
    BURST_REQUESTS, BURST_S, ENTRIES_MAX, FAIR_EVERY_NS, FAIR_LEAST, FAIR_STEP, RETRY_AFTER_S, TRICKLE, TRICKLE_SAVED_S,
};
use super::limits::{Cost, Limits};
use super::traffic::{EntryTraffic, Level};
use crate::model::{ServiceId, Time};

/// Entries past so many are counted together under this name.
const OTHER: &str = "_other";

/// What a gateway asks about.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `service operation`, as traces name it.
    pub entry: &'a str,
    pub level: Level,
    /// Who asks; empty where that is not known.
    pub client: &'a str,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Admitted,
    /// It is to come again after so long, if at all.
    Shed {
        retry_after_s: f64,
        /// The service that it is kept from; None where its route alone is limited.
        service: Option<ServiceId>,
        /// Requests like it that are let in a second.
        per_s: f64,
    },
}

impl Answer {
    pub fn is_admitted(&self) -> bool {
        *self == Answer::Admitted
    }
}

/// Work that may still be done, filling at a rate.
#[derive(Clone, Debug)]
struct Bucket {
    tokens: f64,
    most: f64,
    per_s: f64,
    at: i64,
}

impl Bucket {
    fn new(per_s: f64, most: f64, tokens: f64, at: i64) -> Bucket {
        Bucket { tokens, most, per_s, at }
    }

    fn fill(&mut self, now: i64) {
        let elapsed_s = (now - self.at).max(0) as f64 / 1e9;
        self.tokens = (self.tokens + elapsed_s * self.per_s).min(self.most);
        self.at = self.at.max(now);
    }

    /// What is taken beyond the bottom is owed, up to once the whole.
    fn take(&mut self, work: f64) {
        self.tokens = (self.tokens - work).max(-self.most);
    }
}

/// One level of a limited service.
#[derive(Clone, Debug)]
struct Rank {
    level: Level,
    /// What the bucket must hold for it.
    needs: f64,
    /// What it gets in any case, so that none starves.
    trickle: Bucket,
    /// Share of the whole limit that one client may have.
    line: f64,
}

#[derive(Clone, Debug)]
struct Limited {
    service: ServiceId,
    bucket: Bucket,
    /// Lowest first.
    ranks: Vec<Rank>,
    clients: Clients,
    costs: HashMap<String, Cost, FixedState>,
    lines_at: i64,
}

impl Limited {
    fn cost(&self, entry: &str) -> Option<Cost> {
        self.costs.get(entry).copied()
    }

    /// The rank of a level; one that was not seen before counts as the next below.
    fn rank(&self, level: Level) -> usize {
        self.ranks.partition_point(|rank| rank.level <= level).saturating_sub(1)
    }

    /// Every so often the line of each level falls while that level lacks, and rises while it does not.
    fn move_lines(&mut self, now: i64) {
        let band = self.bucket.most / self.ranks.len().max(1) as f64;
        let mut steps = 0;
        while now - self.lines_at >= FAIR_EVERY_NS {
            // After a long silence everybody is equal again.
            self.lines_at = if steps > 200 { now } else { self.lines_at + FAIR_EVERY_NS };
            steps += 1;
            for rank in &mut self.ranks {
                let lacks = self.bucket.tokens < rank.needs + band / 2.0;
                let factor = if lacks { 1.0 / FAIR_STEP } else { FAIR_STEP };
                rank.line = (rank.line * factor).clamp(FAIR_LEAST, 1.0);
            }
        }
    }

    fn has_room(&mut self, request: &Request<'_>, place: Option<Place>, work: f64, now: i64) -> bool {
        self.bucket.fill(now);
        self.move_lines(now);
        let index = self.rank(request.level);
        let had = place.map_or(0.0, |place| self.clients.rate(place, now));
        let Some(rank) = self.ranks.get_mut(index) else { return true };
        rank.trickle.fill(now);
        let is_fair = had <= rank.line * self.bucket.per_s;
        (is_fair && self.bucket.tokens >= rank.needs + work.min(rank.needs)) || {
            let trickles = rank.trickle.tokens >= work && self.bucket.tokens > -self.bucket.most / 2.0;
            if trickles {
                rank.trickle.take(work);
            }
            trickles
        }
    }

    fn take(&mut self, place: Option<Place>, work: f64, now: i64) {
        self.bucket.take(work);
        if let Some(place) = place {
            self.clients.add(place, work, now);
        }
    }
}

/// The decision, with the little that it remembers.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    valid_until: Time,
    services: Vec<Limited>,
    routes: HashMap<String, Bucket, FixedState>,
    counted: HashMap<(String, Level), (u64, u64), FixedState>,
    decisions: u64,
}

impl Admission {
    /// Takes new limits over. What is left in a bucket, and who had how much, stays.
    pub fn set(&mut self, now: Time, limits: &Limits) {
        self.valid_until = limits.valid_until;
        let mut before = std::mem::take(&mut self.services);
        for limit in &limits.services {
            let known = before.iter().position(|of| of.service == limit.service).map(|at| before.swap_remove(at));
            let dearest = limit.costs.values().map(|cost| cost.work_s).fold(0.0, f64::max);
            let count = limit.levels.len().max(1) as f64;
            let most = (limit.work_per_s * BURST_S).max(dearest * BURST_REQUESTS * count);
            let (mut bucket, clients, ranks, lines_at) = match known {
                Some(known) => (known.bucket, known.clients, known.ranks, known.lines_at),
                // It begins empty: a queue is there already.
                None => (Bucket::new(0.0, most, 0.0, now.0), Clients::default(), Vec::new(), now.0),
            };
            bucket.fill(now.0);
            (bucket.per_s, bucket.most) = (limit.work_per_s, most);
            let rank = |(index, level): (usize, &Level)| {
                let known = ranks.iter().find(|rank| rank.level == *level);
                let per_s = limit.work_per_s * TRICKLE;
                let saved = (per_s * TRICKLE_SAVED_S).max(dearest);
                let mut trickle =
                    known.map_or_else(|| Bucket::new(per_s, saved, 0.0, now.0), |rank| rank.trickle.clone());
                trickle.fill(now.0);
                (trickle.per_s, trickle.most) = (per_s, saved);
                let needs = most * (count - 1.0 - index as f64) / count;
                Rank { level: *level, needs, trickle, line: known.map_or(1.0, |rank| rank.line) }
            };
            let ranks = limit.levels.iter().enumerate().map(rank).collect();
            let costs = limit.costs.iter().map(|(entry, cost)| (entry.clone(), *cost)).collect();
            self.services.push(Limited { service: limit.service.clone(), bucket, ranks, clients, costs, lines_at });
        }
        let mut before = std::mem::take(&mut self.routes);
        for limit in &limits.routes {
            let most = (limit.per_s * BURST_S).max(1.0);
            let mut bucket = before.remove(&limit.entry).unwrap_or_else(|| Bucket::new(limit.per_s, most, most, now.0));
            bucket.fill(now.0);
            (bucket.per_s, bucket.most) = (limit.per_s, most);
            self.routes.insert(limit.entry.clone(), bucket);
        }
    }

    /// Answers for one request, and counts it.
    pub fn decide(&mut self, now: Time, request: &Request<'_>) -> Answer {
        self.decisions = self.decisions.wrapping_add(1);
        let answer = if now <= self.valid_until { self.judge(now.0, request) } else { Answer::Admitted };
        self.count(request, answer.is_admitted());
        answer
    }

    fn judge(&mut self, now: i64, request: &Request<'_>) -> Answer {
        let place = (!request.client.is_empty()).then(|| Place::of(request.client));
        if let Some(bucket) = self.routes.get_mut(request.entry) {
            bucket.fill(now);
            if bucket.tokens < 1.0 {
                return Answer::Shed {
                    retry_after_s: self.retry_after(),
                    service: None,
                    per_s: self.route_rate(request),
                };
            }
        }
        // All are asked before any is charged.
        let mut crossed = [None; CROSSED_MAX];
        for (index, limited) in self.services.iter_mut().enumerate() {
            let Some(cost) = limited.cost(request.entry) else { continue };
            if !limited.has_room(request, place, cost.work_s, now) {
                let (service, per_s) = (limited.service.clone(), limited.bucket.per_s / cost.work_s.max(1e-9));
                return Answer::Shed { retry_after_s: self.retry_after(), service: Some(service), per_s };
            }
            if let Some(free) = crossed.iter_mut().find(|of| of.is_none()) {
                *free = Some((index, cost.work_s));
            }
        }
        for (index, work) in crossed.into_iter().flatten() {
            if let Some(limited) = self.services.get_mut(index) {
                limited.take(place, work, now);
            }
        }
        if let Some(bucket) = self.routes.get_mut(request.entry) {
            bucket.take(1.0);
        }
        Answer::Admitted
    }

    fn route_rate(&self, request: &Request<'_>) -> f64 {
        self.routes.get(request.entry).map_or(0.0, |bucket| bucket.per_s)
    }

    /// Spread evenly from once to twice the least, so that those who were shed together do not come back together. The
    /// golden ratio spreads any number of them (Weyl's sequence).
    fn retry_after(&self) -> f64 {
        let spread = (self.decisions as f64 * 0.618_033_988_749_895).fract();
        RETRY_AFTER_S * (1.0 + spread)
    }

    fn count(&mut self, request: &Request<'_>, admitted: bool) {
        let Admission { counted, .. } = self;
        let key = (request.entry.to_owned(), request.level);
        let key = if counted.len() < ENTRIES_MAX || counted.contains_key(&key) {
            key
        } else {
            (OTHER.to_owned(), request.level)
        };
        let (offered, let_in) = counted.entry(key).or_default();
        *offered += 1;
        *let_in += u64::from(admitted);
    }

    /// What came since the last call, in the order of entries and levels.
    pub fn take_traffic(&mut self) -> Vec<EntryTraffic> {
        let one = |((entry, level), (offered, admitted)): ((String, Level), (u64, u64))| EntryTraffic {
            entry,
            level,
            offered,
            admitted,
        };
        let mut traffic: Vec<EntryTraffic> = self.counted.drain().map(one).collect();
        traffic.sort_by(|a, b| (&a.entry, a.level).cmp(&(&b.entry, b.level)));
        traffic
    }
}

/// Limited services that one request crosses; no path is so long, and more are not charged.
const CROSSED_MAX: usize = 8;

#[cfg(test)]
mod tests;
