//! How sure a count must be.

/// One entry operation is asked every second, some 86 000 times a day, whether its objective is missed: the chance
/// of three standard deviations, 1 in 740, is as loose as one may be; the verdict needs further evidence anyway.
/// Looser, calm endpoints count as missing their objective several times a day.
pub const SURELY: f64 = 0.001_35;
/// Two standard deviations: enough to look, not enough to say anything without further evidence. Looser, every tick
/// looks into noise; tighter, quiet endpoints are looked into seconds later.
pub const LIKELY: f64 = 0.022_8;
