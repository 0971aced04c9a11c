//! Changes to a text: some of its bytes, or some of its parts, put elsewhere, away, or in again and again.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Steps of one change, and how often a part is repeated at most.
const STEPS_MAX: usize = 5;
const TIMES_MAX_LOG2: u32 = 13;

/// One of several.
pub fn choose<'a, T: ?Sized>(chance: &mut Pcg64Mcg, from: &[&'a T]) -> &'a T {
    from[chance.random_range(0..from.len())]
}

/// A number whose size is drawn before its value: most are small, some are large.
pub fn times(chance: &mut Pcg64Mcg) -> usize {
    let most = 1usize << chance.random_range(0..=TIMES_MAX_LOG2);
    chance.random_range(1..=most)
}

/// Changes the text in a few places; it stays below `bytes_max`.
pub fn mutate(text: &mut Vec<u8>, pieces: &[&str], bytes_max: usize, chance: &mut Pcg64Mcg) {
    for _ in 0..chance.random_range(1..=STEPS_MAX) {
        step(text, pieces, bytes_max, chance);
        text.truncate(bytes_max);
    }
}

fn step(text: &mut Vec<u8>, pieces: &[&str], bytes_max: usize, chance: &mut Pcg64Mcg) {
    let at = chance.random_range(0..=text.len());
    let end = (at + times(chance).min(200)).min(text.len());
    match chance.random_range(0..7) {
        0 => {
            if let Some(byte) = text.get_mut(at) {
                *byte = chance.random();
            }
        }
        1 => drop(text.drain(at..end)),
        2 => {
            let part = text[at..end].to_vec();
            let to = chance.random_range(0..=text.len());
            text.splice(to..to, part);
        }
        3 => {
            let part = repeated(&text[at..end], bytes_max, chance);
            text.splice(at..at, part);
        }
        4 | 5 => drop(text.splice(at..at, choose(chance, pieces).bytes())),
        _ => {
            let part = repeated(choose(chance, pieces).as_bytes(), bytes_max, chance);
            text.splice(at..at, part);
        }
    }
}

fn repeated(part: &[u8], bytes_max: usize, chance: &mut Pcg64Mcg) -> Vec<u8> {
    part.repeat(times(chance).min(bytes_max / part.len().max(1)))
}
