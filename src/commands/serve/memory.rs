//! The memory limit: what it is where none is configured, and the window's part in keeping it.
//!
//! Queue, requests and SQL have bounds of their own. The window is the one that can give way: what it holds has been
//! analysed, and is kept for people.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rlimit::Resource;
use tracing::{info, warn};

use crate::clock::Stopwatch;
use crate::commands::error::Error;
use crate::config::Config;
use crate::receive::{self, queue};

/// Of the memory a cgroup allows, when nothing is configured: the rest is for the page cache of the journal and for what
/// an allocator keeps.
const CGROUP_SHARE: f64 = 0.75;
/// From this share of the limit on the window grows no more, and
const FULL: f64 = 0.90;
/// below this one it may grow again. In between an allocator's own holdings move.
const ROOM: f64 = 0.80;
/// The window is left this much: a few seconds of spans, for exemplars.
const WINDOW_BYTES_MIN: usize = 16 << 20;

/// How many bytes the window may have, tick by tick.
#[derive(Debug)]
pub struct Memory {
    limit: Option<u64>,
    window_max: usize,
    /// What the window may have now, and the process had when that was set.
    window: usize,
    resident: u64,
}

impl Memory {
    pub fn of(config: &Config) -> Memory {
        Memory::new(limit(config), config.window.bytes_max)
    }

    pub fn new(limit: Option<u64>, window_max: usize) -> Memory {
        Memory { limit, window_max, window: window_max, resident: 0 }
    }

    /// Bytes for the window, of which it uses `held` now, when the process has `resident` bytes.
    pub fn window_bytes(&mut self, resident: u64, held: usize) -> usize {
        let Some(limit) = self.limit else { return self.window_max };
        let share = resident as f64 / limit as f64;
        if share > FULL {
            // What was evicted is used again before the process shrinks: only growth since the last step counts. The
            // first step holds the window where it is.
            let grown = usize::try_from(resident.saturating_sub(self.resident.max(1))).unwrap_or(usize::MAX);
            let next = if self.resident == 0 { held } else { self.window.min(held).saturating_sub(grown) };
            if self.resident == 0 || resident > self.resident {
                self.window = next.clamp(WINDOW_BYTES_MIN.min(self.window_max), self.window_max);
                self.resident = resident;
            }
        } else if share < ROOM && self.resident > 0 {
            self.window = (self.window + self.window / 64).min(self.window_max);
            if self.window == self.window_max {
                self.resident = 0;
            }
        }
        self.window
    }
}

/// The configured limit, else that of the cgroup.
pub fn limit(config: &Config) -> Option<u64> {
    config.limits.memory_bytes.or_else(default_limit)
}

/// Beside what is resident: stacks, what an allocator sets aside, the program itself.
const ADDRESSES_BESIDE: u64 = 1 << 30;

/// Refuses to start where the system would refuse memory (`ulimit -v`) before the configured limit is reached: an
/// allocation that fails ends the process.
pub fn check_address_space(config: &Config) -> Result<(), Error> {
    let Some(memory) = config.limits.memory_bytes else { return Ok(()) };
    let needed = memory + memory / 4 + ADDRESSES_BESIDE;
    let given = [Resource::AS, Resource::DATA]
        .into_iter()
        .filter_map(|of| rlimit::getrlimit(of).ok())
        .map(|(soft, _)| soft)
        .min();
    match given {
        Some(given) if given < needed => Err(Error::AddressSpace { memory, given, needed }),
        _ => Ok(()),
    }
}

/// What requests may take where all may take so much: a fifth while they arrive and are decompressed, an eighth while they
/// wait for the engine, and each of the threads that decode one a part beside it. The rest is the program's own (80 MiB), what
/// it knows, and what an allocator holds after a flood.
pub fn within(
    limit: Option<u64>,
    mut receive: receive::Config,
    mut queue: queue::Limits,
) -> (receive::Config, queue::Limits) {
    if let Some(limit) = limit {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        receive.requests_bytes_max = receive.requests_bytes_max.min(limit / 5);
        // A body and its content are there at once, and the content twice while it grows.
        receive.decompressed_bytes_max = receive.decompressed_bytes_max.min(receive.requests_bytes_max / 3);
        receive.body_bytes_max = receive.body_bytes_max.min(receive.decompressed_bytes_max);
        receive.decoders = (limit / 5 / DECODER_BYTES).clamp(2, receive.decoders);
        receive.decoded_bytes_max = receive.decoded_bytes_max.min(limit / 5 / receive.decoders.min(cores()));
        queue.bytes_max = queue.bytes_max.min(limit / 8);
    }
    (receive, queue)
}

/// What a request of a Collector's usual size takes while it is decoded, and more.
const DECODER_BYTES: usize = 16 << 20;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

/// How often resident memory is looked at: what one core can decode meanwhile is some megabytes.
const LOOK: Duration = Duration::from_millis(50);
/// Senders are let in again below this share of the limit, or
const REOPEN: f64 = 0.97;
/// after this long: what stays resident for so long is held by an allocator, and a daemon that hears nothing is of no use.
const FULL_MAX: Duration = Duration::from_secs(10);

/// Sets `full` while more is resident than allowed, so that receivers tell senders to come back: what none of the bounds on
/// single things has foreseen.
pub async fn watch(limit: u64, shelf_bytes: Arc<AtomicU64>, full: Arc<AtomicBool>) {
    let mut since: Option<Stopwatch> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(resident) = resident_bytes() else { return std::future::pending().await };
        let share = (resident + shelf_bytes.load(Ordering::Relaxed)) as f64 / limit as f64;
        let is_full = match &since {
            None => share > 1.0,
            Some(since) => share > REOPEN && since.elapsed() < FULL_MAX,
        };
        match (is_full, &since) {
            (true, None) => {
                warn!(resident, limit, "memory is full: senders are told to come back");
                since = Some(Stopwatch::start());
            }
            (false, Some(_)) => {
                info!(resident, limit, "senders are let in again");
                since = None;
            }
            _ => {}
        }
        full.store(is_full, Ordering::Relaxed);
    }
}

/// Resident bytes of this process (proc(5)); None where there is no procfs.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The limit that holds when none is configured: a share of what the cgroup allows (v2, then v1); None without one.
fn default_limit() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().find_map(|file| of_cgroup(&std::fs::read_to_string(Path::new(file)).ok()?))
}

/// Cgroups without a limit say `max`, or a number near 2^63.
fn of_cgroup(text: &str) -> Option<u64> {
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < 1 << 60).then_some((bytes as f64 * CGROUP_SHARE) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_window_stops_growing_gives_way_and_comes_back() {
        let max = 512 << 20;
        let mut memory = Memory::new(Some(GIB), max);
        assert_eq!(memory.window_bytes(GIB / 2, 100 << 20), max);
        let full = (GIB as f64 * 0.91) as u64;
        assert_eq!(memory.window_bytes(full, 300 << 20), 300 << 20, "held where it is");
        assert_eq!(memory.window_bytes(full, 300 << 20), 300 << 20);
        assert_eq!(memory.window_bytes(full + (20 << 20), 300 << 20), 280 << 20, "gives what the process grew by");
        assert_eq!(memory.window_bytes(full, 280 << 20), 280 << 20, "the allocator has not given it back yet");
        let calm = (GIB as f64 * 0.7) as u64;
        assert!(memory.window_bytes(calm, 280 << 20) > 280 << 20);
        (0..100).for_each(|_| _ = memory.window_bytes(calm, 280 << 20));
        assert_eq!(memory.window_bytes(calm, 280 << 20), max);
    }

    #[test]
    fn without_a_limit_the_windows_own_bound_holds() {
        assert_eq!(Memory::new(None, 77).window_bytes(u64::MAX, 5), 77);
    }

    #[test]
    fn cgroups_are_read_as_they_write() {
        assert_eq!(of_cgroup("1073741824\n"), Some(805_306_368));
        assert_eq!((of_cgroup("max\n"), of_cgroup("9223372036854771712\n")), (None, None));
    }
}
