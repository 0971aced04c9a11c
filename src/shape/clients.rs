//! What each client got of a limit lately, in memory that no number of clients makes grow.
//!
//! Each client has a cell in each of two rows, and has had at most what the lesser of both says (a count-min sketch:
//! G. Cormode and S. Muthukrishnan, 2005). A client that shares both cells with a flood suffers with it: one in a million
//! pairs does.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

const CELLS: usize = 1024;

/// What was had fades with this time: long enough to tell a flood from a page that loads ten pictures, short enough that
/// a client which stops is forgiven in seconds.
const FADE_NS: f64 = 2e9;

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    work: f64,
    at: i64,
}

impl Cell {
    fn now(self, now: i64) -> f64 {
        self.work * (-((now - self.at).max(0) as f64) / FADE_NS).exp()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Clients(Box<[[Cell; CELLS]; 2]>);

impl Default for Clients {
    fn default() -> Clients {
        Clients(Box::new([[Cell::default(); CELLS]; 2]))
    }
}

/// Where a client's cells are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place([usize; 2]);

impl Place {
    pub fn of(client: &str) -> Place {
        // The same on every machine, so that a replay sheds the same.
        let mut hasher = FixedState::with_seed(0).build_hasher();
        hasher.write(client.as_bytes());
        let hash = hasher.finish();
        Place([hash as usize % CELLS, (hash >> 32) as usize % CELLS])
    }
}

impl Clients {
    /// Work a second that it had of late, at most.
    pub fn rate(&self, Place(at): Place, now: i64) -> f64 {
        let [a, b] = &*self.0;
        a[at[0]].now(now).min(b[at[1]].now(now)) / (FADE_NS / 1e9)
    }

    pub fn add(&mut self, Place(at): Place, work: f64, now: i64) {
        for (row, cell) in self.0.iter_mut().zip(at) {
            let cell = &mut row[cell];
            *cell = Cell { work: cell.now(now) + work, at: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_client_is_known_by_its_rate_and_forgiven_when_it_stops() {
        let (mut clients, place) = (Clients::default(), Place::of("a"));
        for ms in 0..10_000 {
            clients.add(place, 0.05, ms * 1_000_000);
        }
        let rate = clients.rate(place, 10_000_000_000);
        assert!((rate - 50.0).abs() < 1.0, "{rate}");
        assert!(clients.rate(place, 20_000_000_000) < 1.0);
    }

    #[test]
    fn ten_thousand_clients_hardly_change_what_is_known_of_one() {
        let (mut clients, place) = (Clients::default(), Place::of("quiet"));
        clients.add(place, 1.0, 0);
        for n in 0..10_000 {
            clients.add(Place::of(&format!("client {n}")), 0.001, n);
        }
        let rate = clients.rate(place, 10_000);
        assert!((0.5..0.52).contains(&rate), "{rate}");
    }
}
