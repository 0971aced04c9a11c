//! What happens often and is said seldom: the first time at once, and then how often it happened since.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;

/// Between two lines about the same.
const QUIET: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Often(Mutex<Option<(Stopwatch, u64)>>);

impl Often {
    pub const fn new() -> Often {
        Often(Mutex::new(None))
    }

    /// Counts one more. Some: it is to be said now, and how often it happened since it was said last, this time included.
    pub fn happened(&self) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *said {
            Some((since, count)) if since.elapsed() < QUIET => {
                *count += 1;
                None
            }
            other => {
                let count = other.as_ref().map_or(0, |(_, count)| *count) + 1;
                *other = Some((Stopwatch::start(), 0));
                Some(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_those_after_it_are_counted() {
        let often = Often::new();
        assert_eq!(often.happened(), Some(1));
        assert_eq!((often.happened(), often.happened()), (None, None));
    }
}
