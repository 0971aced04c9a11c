//! Who has a place, and who loses it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio_util::sync::CancellationToken;

use crate::clock::Stopwatch;

/// How many connections there may be, and how long one may keep its place.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_max: usize,
    /// From its start (TLS, the HTTP/2 preface and settings included) to its first request's head.
    pub first_request: Duration,
    /// Without a request, once one was answered.
    pub idle: Duration,
}

/// A request that is still arriving after this long is slow: its connection is among those that give way.
const SLOW_MS: u64 = 2_000;

/// A connection keeps its place for so long whoever else wants it: its request is read by then, where it was sent at once.
const SETTLED_MS: u64 = 50;

/// What becomes of a newcomer.
pub(super) enum Taken {
    Place(Place),
    /// Not yet: all that would give way have only just come.
    Wait(Duration),
    /// All places are worked for.
    Full,
}

pub(super) struct Places {
    limits: Limits,
    seats: Mutex<Slab<Arc<Seat>>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    peer: IpAddr,
    since: Stopwatch,
    /// Ends the connection at once.
    pub evicted: CancellationToken,
    begun: AtomicU64,
    answered: AtomicU64,
    /// Requests whose body is complete and that are worked on.
    received: AtomicU64,
    /// When a request last began or was answered, in milliseconds from the start.
    active_ms: AtomicU64,
}

impl Seat {
    fn age_ms(&self) -> u64 {
        self.since.elapsed().as_millis().min(u128::from(u64::MAX)) as u64 // capped just here
    }

    fn touch(&self) {
        self.active_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    fn under_way(&self) -> u64 {
        self.begun.load(Ordering::Relaxed).saturating_sub(self.answered.load(Ordering::Relaxed))
    }

    fn quiet_ms(&self) -> u64 {
        self.age_ms().saturating_sub(self.active_ms.load(Ordering::Relaxed))
    }

    /// How long it may go on from now on; None: its time is up.
    fn time_left(&self, limits: &Limits) -> Option<Duration> {
        let limit = match (self.begun.load(Ordering::Relaxed), self.under_way()) {
            (0, _) => limits.first_request,
            (_, 0) => limits.idle,
            // A request has deadlines of its own.
            _ => return Some(limits.first_request),
        };
        limit.checked_sub(Duration::from_millis(self.quiet_ms())).filter(|left| !left.is_zero())
    }

    /// The more it deserves its place the later it comes; None where it may not be ended.
    fn rank(&self) -> Option<Rank> {
        let answered = self.answered.load(Ordering::Relaxed) > 0;
        let is_worked_on = self.received.load(Ordering::Relaxed) > 0;
        let tier = match (answered, self.under_way()) {
            (_, 1..) if is_worked_on => return None,
            // Never answered: silent, slow, or new.
            (false, _) => 0,
            (true, 1..) if self.quiet_ms() > SLOW_MS => 1,
            (true, 1..) => return None,
            (true, 0) => 2,
        };
        Some(Rank { tier, freshness_ms: std::cmp::Reverse(self.quiet_ms()) })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    tier: u8,
    /// The longest quiet come first.
    freshness_ms: std::cmp::Reverse<u64>,
}

/// A connection's place, given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    key: usize,
    pub seat: Arc<Seat>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.places.lock();
        // Of one that was evicted the newcomer has the key.
        if seats.get(self.key).is_some_and(|seat| Arc::ptr_eq(seat, &self.seat)) {
            seats.remove(self.key);
        }
    }
}

impl Places {
    pub fn new(limits: Limits) -> Arc<Places> {
        Arc::new(Places { limits, seats: Mutex::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slab<Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a newcomer, if need be that of another.
    pub fn take(self: &Arc<Places>, peer: IpAddr) -> Taken {
        let seat = Arc::new(Seat {
            peer,
            since: Stopwatch::start(),
            evicted: CancellationToken::new(),
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            received: AtomicU64::new(0),
            active_ms: AtomicU64::new(0),
        });
        let mut seats = self.lock();
        if seats.len() >= self.limits.connections_max {
            let Some(key) = who_gives_way(&seats) else { return Taken::Full };
            // However many come, each has had its moment to say something: those behind them wait at the door, in order.
            let age_ms = seats.get(key).map_or(SETTLED_MS, |seat| seat.age_ms());
            if age_ms < SETTLED_MS {
                return Taken::Wait(Duration::from_millis(SETTLED_MS - age_ms));
            }
            // Its place is free from now on; its task sees that it was evicted, and takes nothing more.
            seats.remove(key).evicted.cancel();
        }
        let key = seats.insert(seat.clone());
        drop(seats);
        Taken::Place(Place { places: self.clone(), key, seat })
    }

    /// Waits until the connection's time is up.
    pub async fn time_is_up(&self, seat: &Seat) {
        while let Some(left) = seat.time_left(&self.limits) {
            tokio::time::sleep(left).await;
        }
    }
}

/// Of the peer address with most places the connection that deserves its own least; where that has none to give, of all.
fn who_gives_way(seats: &Slab<Arc<Seat>>) -> Option<usize> {
    let mut held: HashMap<IpAddr, usize> = HashMap::new();
    for (_, seat) in seats {
        *held.entry(seat.peer).or_default() += 1;
    }
    let most = held.values().copied().max().unwrap_or(0);
    let least = |of_most: bool| {
        let candidates = seats.iter().filter(|(_, seat)| !of_most || held[&seat.peer] == most);
        candidates.filter_map(|(key, seat)| Some((seat.rank()?, key))).min().map(|(_, key)| key)
    };
    least(true).or_else(|| least(false))
}

/// What a request tells of its connection; it lies in the request's extensions.
#[derive(Clone, Debug)]
pub struct Receipt(Arc<Answering>);

/// A request from its head to its answer.
#[derive(Debug)]
struct Answering {
    seat: Arc<Seat>,
    received: AtomicU64,
}

impl Receipt {
    pub(super) fn begin(seat: &Arc<Seat>) -> Receipt {
        seat.begun.fetch_add(1, Ordering::Relaxed);
        seat.touch();
        Receipt(Arc::new(Answering { seat: seat.clone(), received: AtomicU64::new(0) }))
    }

    /// All of the request is here: from now on its connection is kept until it is answered.
    pub fn received(&self) {
        if self.0.received.swap(1, Ordering::Relaxed) == 0 {
            self.0.seat.received.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.seat.received.fetch_sub(self.received.load(Ordering::Relaxed), Ordering::Relaxed);
        self.seat.answered.fetch_add(1, Ordering::Relaxed);
        self.seat.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Heard;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn places(connections_max: usize) -> Arc<Places> {
        let (first_request, idle) = (Duration::from_secs(10), Duration::from_secs(60));
        Places::new(Limits { connections_max, first_request, idle })
    }

    /// A place for a newcomer, as soon as those there have settled.
    fn taken(places: &Arc<Places>, peer: IpAddr) -> Place {
        loop {
            match places.take(peer) {
                Taken::Place(place) => return place,
                Taken::Wait(left) => std::thread::park_timeout(left),
                Taken::Full => panic!("all are worked for"),
            }
        }
    }

    fn answer(place: &Place) {
        Receipt::begin(&place.seat).received();
    }

    #[test]
    fn the_silent_give_way_before_those_that_were_answered() {
        let places = places(3);
        let honest = taken(&places, ONE);
        answer(&honest);
        let silent: Vec<Place> = (0..2).map(|_| taken(&places, ONE)).collect();
        let newcomer = taken(&places, ONE);
        assert!(!honest.seat.evicted.is_cancelled() && !newcomer.seat.evicted.is_cancelled());
        assert_eq!(silent.iter().filter(|place| place.seat.evicted.is_cancelled()).count(), 1);
        drop(silent);
        assert_eq!(places.lock().len(), 2, "an evicted one gives back nothing");
    }

    #[test]
    fn the_peer_with_most_places_loses_one() {
        let places = places(4);
        let few = taken(&places, OTHER);
        let many: Vec<Place> = (0..3).map(|_| taken(&places, ONE)).collect();
        many.iter().for_each(answer);
        let _newcomer = taken(&places, OTHER);
        assert!(!few.seat.evicted.is_cancelled(), "though it was never answered");
        assert_eq!(many.iter().filter(|place| place.seat.evicted.is_cancelled()).count(), 1);
    }

    #[test]
    fn who_has_only_just_come_is_not_sent_away_at_once() {
        let places = places(1);
        let first = taken(&places, ONE);
        assert!(matches!(places.take(OTHER), Taken::Wait(left) if left <= Duration::from_millis(SETTLED_MS)));
        assert!(!first.seat.evicted.is_cancelled());
        taken(&places, OTHER);
        assert!(first.seat.evicted.is_cancelled());
    }

    /// A request whose body trickles held a place of the API for as long as its answer may take.
    #[tokio::test]
    async fn a_request_is_worked_on_from_the_end_of_its_body() {
        use http_body_util::{BodyExt, Full, StreamBody};
        use hyper::body::Frame;

        let places = places(1);
        let place = taken(&places, ONE);
        let request = Receipt::begin(&place.seat);
        let frames = ["a", "b"].map(|text| Ok::<_, std::io::Error>(Frame::data(text.as_bytes())));
        let mut body = Heard::new(StreamBody::new(futures::stream::iter(frames)), Some(request.clone()));
        let is_worked_on = || place.seat.rank().is_none();
        assert!(body.frame().await.is_some() && !is_worked_on());
        assert!(body.frame().await.is_some() && body.frame().await.is_none() && is_worked_on());
        drop((body, request));
        let request = Receipt::begin(&place.seat);
        let nothing = Heard::new(Full::<bytes::Bytes>::default(), Some(request.clone()));
        assert!(is_worked_on(), "there is no body to wait for");
        drop(nothing);
    }

    #[test]
    fn what_is_worked_on_is_never_ended() {
        let places = places(1);
        let place = taken(&places, ONE);
        let request = Receipt::begin(&place.seat);
        request.received();
        assert!(matches!(places.take(OTHER), Taken::Full));
        drop(request);
        taken(&places, OTHER);
        assert!(place.seat.evicted.is_cancelled());
    }

    #[test]
    fn time_runs_out_without_a_first_request_and_then_without_any() {
        let limits = Limits { connections_max: 1, first_request: Duration::ZERO, idle: Duration::from_secs(60) };
        let place = taken(&Places::new(limits), ONE);
        assert_eq!(place.seat.time_left(&limits), None);
        answer(&place);
        assert!(place.seat.time_left(&limits) > Some(Duration::from_secs(50)));
    }
}
