//! A pod's queue, second kind: processor sharing (Go, Node, async Rust). Every request runs at once and all
//! share the cores evenly; a CPU quota is enforced in periods, as the Linux CFS bandwidth controller does:
//! a pod that spent its period's quota stands still until the next period.
//!
//! Equal sharing means that every job has received the same work per unit of *attained service*, so a job
//! that arrives at attained service `v` with work `w` leaves at `v + w`; only the front of a heap matters.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// `cpu.cfs_period_us` as Kubernetes leaves it: 100 ms.
const PERIOD_NS: f64 = 100e6;

/// Work below a nanosecond is no work: instants are whole nanoseconds, so rounding leaves such rests.
const REST_NS: f64 = 1.0;

struct Running<J> {
    leaves_at: f64,
    sequence: u64,
    job: J,
}

impl<J> PartialEq for Running<J> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<J> Eq for Running<J> {}

impl<J> PartialOrd for Running<J> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<J> Ord for Running<J> {
    /// Reversed: the least attained service leaves first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.leaves_at.total_cmp(&self.leaves_at).then(other.sequence.cmp(&self.sequence))
    }
}

pub(super) struct Shared<J> {
    /// CPU-nanoseconds a period may use.
    quota_ns: f64,
    /// How many cores run at the same time, at most; above the quota's cores a burst can be throttled.
    parallel: f64,
    running: BinaryHeap<Running<J>>,
    sequence: u64,
    /// Work that each job present from the beginning would have received, in nanoseconds.
    attained_ns: f64,
    /// CPU-nanoseconds used: in this period, and ever.
    period_used_ns: f64,
    used_ns: f64,
    period_end: f64,
    now: f64,
    /// Rises with every change of the future, so that an event computed before it is known to be stale.
    pub epoch: u32,
}

impl<J> Shared<J> {
    pub fn new(cores: f64, burst_cores: f64, now: i64) -> Shared<J> {
        let now = now as f64;
        Shared {
            quota_ns: cores * PERIOD_NS,
            parallel: burst_cores,
            running: BinaryHeap::new(),
            sequence: 0,
            attained_ns: 0.0,
            period_used_ns: 0.0,
            used_ns: 0.0,
            period_end: now + PERIOD_NS,
            now,
            epoch: 0,
        }
    }

    /// Lets time pass up to `now`; never past a departure, because the caller acts on [`Self::next_event`].
    fn advance(&mut self, now: i64) {
        let now = now as f64;
        while self.now < now {
            if now >= self.period_end && self.running.is_empty() {
                let periods = ((now - self.period_end) / PERIOD_NS).floor() + 1.0;
                self.period_end += periods * PERIOD_NS;
                self.period_used_ns = 0.0;
                self.now = now;
                return;
            }
            let step_end = now.min(self.period_end);
            let (jobs, busy) = self.busy();
            if busy > 0.0 {
                let ran = (step_end - self.now).min((self.quota_ns - self.period_used_ns).max(0.0) / busy);
                self.attained_ns += ran * busy / jobs;
                self.period_used_ns += ran * busy;
                self.used_ns += ran * busy;
            }
            self.now = step_end;
            if self.now >= self.period_end {
                self.period_end += PERIOD_NS;
                self.period_used_ns = 0.0;
            }
        }
    }

    /// Jobs present, and the cores they keep busy when the quota allows.
    fn busy(&self) -> (f64, f64) {
        let jobs = self.running.len() as f64;
        (jobs, jobs.min(self.parallel))
    }

    /// Another CPU quota from now on, as of an in-place resize.
    pub fn resize(&mut self, cores: f64, burst_cores: f64, now: i64) {
        self.advance(now);
        (self.quota_ns, self.parallel) = (cores * PERIOD_NS, burst_cores);
        self.epoch = self.epoch.wrapping_add(1);
    }

    pub fn add(&mut self, job: J, work_ns: f64, now: i64) {
        self.advance(now);
        self.running.push(Running { leaves_at: self.attained_ns + work_ns, sequence: self.sequence, job });
        self.sequence += 1;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// A job whose work is done by `now`, if any; call until there is none.
    pub fn pop_done(&mut self, now: i64) -> Option<J> {
        self.advance(now);
        if self.running.peek()?.leaves_at - self.attained_ns > REST_NS {
            return None;
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.running.pop().map(|r| r.job)
    }

    /// The next instant at which something changes by itself: a departure, the quota spent, a new period.
    pub fn next_event(&self) -> Option<i64> {
        let front = self.running.peek()?;
        let (jobs, busy) = self.busy();
        let quota_left = self.quota_ns - self.period_used_ns;
        let departure = self.now + (front.leaves_at - self.attained_ns).max(0.0) * jobs / busy;
        // A pod that cannot run more cores than its quota never spends the quota early.
        let at = if self.parallel * PERIOD_NS <= self.quota_ns {
            departure
        } else if quota_left <= REST_NS {
            self.period_end
        } else {
            departure.min(self.now + quota_left / busy).min(self.period_end)
        };
        Some(at.ceil() as i64)
    }

    /// CPU-nanoseconds used up to the last change.
    pub fn used_ns(&self) -> f64 {
        self.used_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::{Key, Purpose, lognormal};
    use crate::simulate::schedule::Schedule;
    use proptest::prelude::*;
    use rand_distr::{Distribution, Exp1};

    /// Runs jobs (arrival, work) and gives their departures.
    fn departures(mut pod: Shared<usize>, jobs: &[(i64, f64)]) -> Vec<i64> {
        run(&mut pod, jobs)
    }

    fn run(pod: &mut Shared<usize>, jobs: &[(i64, f64)]) -> Vec<i64> {
        enum Event {
            Arrival(usize),
            Pod(u32),
        }
        let mut schedule = Schedule::default();
        let mut left = vec![0; jobs.len()];
        jobs.iter().enumerate().for_each(|(n, job)| schedule.push(job.0, Event::Arrival(n)));
        while let Some((now, event)) = schedule.pop_until(i64::MAX) {
            match event {
                Event::Pod(epoch) if epoch != pod.epoch => continue,
                Event::Pod(_) => {}
                Event::Arrival(n) => pod.add(n, jobs[n].1, now),
            }
            while let Some(n) = pod.pop_done(now) {
                left[n] = now;
            }
            pod.epoch += 1;
            if let Some(at) = pod.next_event() {
                schedule.push(at, Event::Pod(pod.epoch));
            }
        }
        left
    }

    #[test]
    fn two_jobs_share_one_core_evenly() {
        let left = departures(Shared::new(1.0, 1.0, 0), &[(0, 10e6), (5_000_000, 10e6)]);
        // The first has 5 ms left when the second comes: 10 ms shared, then the second's last 5 ms alone.
        assert_eq!(left, [15_000_000, 20_000_000]);
    }

    #[test]
    fn a_spent_quota_waits_for_the_next_period() {
        // Four jobs of 40 ms on four cores with a quota of one: 100 of 160 ms of CPU in the first period.
        let left = departures(Shared::new(1.0, 4.0, 0), &[(0, 40e6); 4]);
        assert!(left.iter().all(|&at| (115_000_000..=115_000_002).contains(&at)), "{left:?}");
    }

    #[test]
    fn lent_cores_count_from_the_moment_they_are_lent() {
        let mut pod = Shared::new(1.0, 1.0, 0);
        [0, 1].into_iter().for_each(|job| pod.add(job, 20e6, 0));
        // 5 ms of each job are done by 10 ms; the 15 ms left of each run side by side on two cores.
        pod.resize(2.0, 2.0, 10_000_000);
        assert_eq!(pod.next_event(), Some(25_000_000));
    }

    /// M/G/1 under processor sharing: mean sojourn = mean work / (1 - utilisation), whatever the distribution.
    #[test]
    fn sojourn_is_that_of_processor_sharing() {
        const JOBS: usize = 200_000;
        let (median, sigma, utilisation) = (8e6, 0.8_f64, 0.7);
        let mean_work = median * (sigma * sigma / 2.0).exp();
        let key = Key::of(11, Purpose::Request);
        let mut at = 0.0;
        let jobs: Vec<(i64, f64)> = (0..JOBS as u64)
            .map(|n| {
                let mut rng = key.child(n).stream();
                let gap: f64 = Exp1.sample(&mut rng);
                at += gap * mean_work / utilisation;
                (at as i64, lognormal(&mut rng, median, sigma))
            })
            .collect();
        let left = departures(Shared::new(1.0, 1.0, 0), &jobs);
        let mean = left.iter().zip(&jobs).map(|(&left, job)| (left - job.0) as f64).sum::<f64>() / JOBS as f64;
        let theory = mean_work / (1.0 - utilisation);
        assert!((mean / theory - 1.0).abs() < 0.04, "mean sojourn {mean}, theory {theory}");
    }

    proptest! {
        /// Whatever comes: no job is faster than its work, none is lost, and the CPU used is the work done.
        #[test]
        fn work_is_conserved(
            jobs in prop::collection::vec((0_i64..2_000_000_000, 1e5..3e8_f64), 1..40),
            cores in 0.25..4.0_f64,
            burst in 1.0..4.0_f64,
        ) {
            let mut pod = Shared::new(cores, cores * burst, 0);
            let left = run(&mut pod, &jobs);
            let fastest = (cores * burst).min(1.0);
            for (left, (arrived, work)) in left.iter().zip(&jobs) {
                prop_assert!(*left as f64 >= *arrived as f64 + work / fastest - 2.0, "{left} {arrived} {work}");
            }
            let work: f64 = jobs.iter().map(|job| job.1).sum();
            prop_assert!((pod.used_ns() - work).abs() < 2.0 * jobs.len() as f64, "{} {work}", pod.used_ns());
        }
    }
}
