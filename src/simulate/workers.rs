//! A pod's queue, first kind: a thread pool with a FIFO accept queue and a limit, past which it refuses.
//! A worker is held from the moment it takes a request until the answer, calls to others included.

use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// A worker takes it now.
    Started,
    Queued,
    /// The queue is at its limit.
    Refused,
}

pub(super) struct Workers<J> {
    threads: u32,
    queue_limit: u32,
    held: u32,
    queue: VecDeque<J>,
    /// Integral of held workers over time, in worker-nanoseconds, up to `since`.
    held_ns: i64,
    since: i64,
}

impl<J> Workers<J> {
    pub fn new(threads: u32, queue_limit: u32, now: i64) -> Workers<J> {
        Workers { threads, queue_limit, held: 0, queue: VecDeque::new(), held_ns: 0, since: now }
    }

    fn advance(&mut self, now: i64) {
        self.held_ns += i64::from(self.held) * (now - self.since);
        self.since = now;
    }

    pub fn offer(&mut self, job: J, now: i64) -> Offer {
        if self.held < self.threads {
            self.advance(now);
            self.held += 1;
            Offer::Started
        } else if (self.queue.len() as u32) < self.queue_limit {
            self.queue.push_back(job);
            Offer::Queued
        } else {
            Offer::Refused
        }
    }

    /// A worker is free again; the job it takes next, if one waits.
    pub fn release(&mut self, now: i64) -> Option<J> {
        let next = self.queue.pop_front();
        if next.is_none() {
            self.advance(now);
            self.held -= 1;
        }
        next
    }

    /// Worker-nanoseconds held so far.
    pub fn held_ns(&self, now: i64) -> i64 {
        self.held_ns + i64::from(self.held) * (now - self.since)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::{Key, Purpose};
    use crate::simulate::schedule::Schedule;
    use rand_distr::{Distribution, Exp1};

    #[test]
    fn first_come_first_served_up_to_the_limit() {
        let mut pool = Workers::new(1, 2, 0);
        let offers: Vec<_> = (1..=4).map(|job| pool.offer(job, 0)).collect();
        assert_eq!(offers, [Offer::Started, Offer::Queued, Offer::Queued, Offer::Refused]);
        assert_eq!((pool.release(5), pool.release(6), pool.release(7)), (Some(2), Some(3), None));
        assert_eq!(pool.held_ns(10), 7);
    }

    /// Erlang C: the probability that an arrival waits in an M/M/c queue offered `a` Erlang.
    fn erlang_c(c: u32, a: f64) -> f64 {
        let mut term = 1.0;
        let mut sum = 1.0;
        for n in 1..c {
            term *= a / f64::from(n);
            sum += term;
        }
        let last = term * a / f64::from(c) / (1.0 - a / f64::from(c));
        last / (sum + last)
    }

    /// M/M/c against Erlang C, and Little's law on the same run.
    #[test]
    fn waiting_is_that_of_erlang_c_and_littles_law_holds() {
        const JOBS: u64 = 200_000;
        let (threads, service_ns, utilisation) = (4, 10e6, 0.8);
        let gap_ns = service_ns / (f64::from(threads) * utilisation);
        enum Event {
            Arrival(u64),
            Done,
        }
        let key = Key::of(3, Purpose::Request);
        let exp = |purpose: u64, n: u64, mean: f64| {
            let draw: f64 = Exp1.sample(&mut key.child(purpose).child(n).stream());
            (draw * mean) as i64
        };
        let mut pool = Workers::new(threads, u32::MAX, 0);
        let mut schedule = Schedule::default();
        let mut arrived = vec![0; JOBS as usize];
        let (mut waited_ns, mut queue_area, mut last) = (0_i64, 0_i64, 0);
        schedule.push(0, Event::Arrival(0));
        while let Some((now, event)) = schedule.pop_until(i64::MAX) {
            queue_area += pool.waiting() as i64 * (now - last);
            last = now;
            let started = match event {
                Event::Arrival(n) => {
                    arrived[n as usize] = now;
                    if n + 1 < JOBS {
                        schedule.push(now + exp(0, n, gap_ns), Event::Arrival(n + 1));
                    }
                    (pool.offer(n, now) == Offer::Started).then_some(n)
                }
                Event::Done => pool.release(now),
            };
            if let Some(n) = started {
                waited_ns += now - arrived[n as usize];
                schedule.push(now + exp(1, n, service_ns), Event::Done);
            }
        }
        let mean = waited_ns as f64 / JOBS as f64;
        let offered = f64::from(threads) * utilisation;
        let theory = erlang_c(threads, offered) * service_ns / (f64::from(threads) - offered);
        assert!((mean / theory - 1.0).abs() < 0.04, "mean wait {mean}, Erlang C {theory}");
        // L = lambda W, exact over a run that starts and ends empty.
        assert_eq!(queue_area, waited_ns);
        let held = pool.held_ns(last) as f64 / last as f64 / f64::from(threads);
        assert!((held - utilisation).abs() < 0.01, "utilisation {held}");
    }
}
