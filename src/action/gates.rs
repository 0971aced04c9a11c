//! What an action asks of the gates that all actions pass, and the limits that actions hold by themselves.

use std::time::Duration;

/// What must be seen before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing: it holds what was planned, also while headroom is blind.
    Unneeded,
    /// Spans arrive.
    Arriving,
    /// Enough of its target to tell what taking capacity away would do.
    OfTarget,
}

/// How it is paced: which cooldowns, windows and budgets it meets. Durations in seconds, as rules give them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Adds replicas.
    Out { cooldown_s: Option<f64> },
    /// Takes replicas away.
    In { stabilisation_s: Option<f64> },
    /// Changes pods and leaves the replicas.
    Pods,
    /// Turns requests away, and leaves pods and replicas.
    Traffic,
    /// Moves requests between versions, and turns none away.
    Weights,
    /// Gives back what headroom lent: breakers, cooldowns and budgets do not hold it up.
    Return,
}

impl Pace {
    pub const fn is_out(self) -> bool {
        matches!(self, Pace::Out { .. })
    }

    pub const fn is_in(self) -> bool {
        matches!(self, Pace::In { .. })
    }
}

/// Replicas before and after, as the gates let them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub from: u32,
    pub to: u32,
}

/// The limits that actions hold by themselves; `guard::Config` says why each has its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub resize_factor_max: f64,
    pub resize_lasting_max: Duration,
    pub shape_lasting_max: Duration,
    pub shift_lasting_max: Duration,
}
