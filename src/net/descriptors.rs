//! File descriptors: as many as the system gives, shared out so that connections never take those that files need.

use tracing::warn;

/// For the journal, rules, the cluster's connections, children and what libraries open.
const RESERVED: u64 = 128;
/// More than all connections that may be configured.
const WANTED: u64 = 65_536 * 3 + RESERVED;

/// What connections may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    left: usize,
}

/// Raises this process's limit as far as it may be, and says what is left for connections.
pub fn raise() -> Descriptors {
    let limit = rlimit::increase_nofile_limit(WANTED).unwrap_or(1024);
    Descriptors { left: usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(3) }
}

impl Descriptors {
    /// The connections that each of `listeners` sockets may have, which wants so many; said where that is less.
    pub fn share(self, wanted: usize, listeners: usize) -> usize {
        let share = self.left / listeners.max(1);
        if wanted > share {
            warn!(
                wanted,
                given = share,
                "the limit of open files (ulimit -n) is too low for all connections; raise it, or lower connections_max"
            );
        }
        wanted.min(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_is_left_in_equal_parts() {
        let few = Descriptors { left: 896 };
        assert_eq!((few.share(1024, 3), few.share(100, 3)), (298, 100));
    }
}
