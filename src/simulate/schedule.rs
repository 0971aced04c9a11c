//! The future: events in order of time and, at the same instant, in the order they were scheduled.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

struct Scheduled<E> {
    at: i64,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    /// Reversed, because `BinaryHeap` gives the greatest first and the earliest is wanted.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// Events to come. Instants are nanoseconds since the start of the simulation.
pub(super) struct Schedule<E> {
    heap: BinaryHeap<Scheduled<E>>,
    sequence: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Schedule { heap: BinaryHeap::new(), sequence: 0 }
    }
}

impl<E> Schedule<E> {
    pub fn push(&mut self, at: i64, event: E) {
        self.heap.push(Scheduled { at, sequence: self.sequence, event });
        self.sequence += 1;
    }

    /// The next event, if it happens at or before `until`.
    pub fn pop_until(&mut self, until: i64) -> Option<(i64, E)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|s| (s.at, s.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_ties_in_order_of_scheduling() {
        let mut schedule = Schedule::default();
        [(5, "late"), (1, "a"), (1, "b"), (3, "c")].into_iter().for_each(|(at, e)| schedule.push(at, e));
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop_until(4)).collect();
        assert_eq!(order, [(1, "a"), (1, "b"), (3, "c")]);
        assert_eq!(schedule.pop_until(5), Some((5, "late")));
    }
}
