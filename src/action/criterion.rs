//! What an intervention promises: by this `verify` judges it.

use crate::model::Time;

#[derive(Clone, Debug, PartialEq)]
pub enum Criterion {
    /// Waiting and blame at the target fall once its pods are ready and warm.
    LessWaiting,
    /// The load is carried with fewer pods.
    LoadIsCarried,
    /// The pod's successor serves like its siblings. A name may come again: the time of creation tells them apart.
    PodsAlike { pod: String, created_at: Time },
    /// Requests wait less at the target while traffic is kept from it. It ends as soon as the load fits.
    ShorterQueue,
    /// The service holds nobody back any more, soon after requests went elsewhere. It is held until its deadline, and then given back.
    Relieved,
    /// Nothing is to be proved, and nothing given back: it ends with its record, at its deadline.
    RunsOut,
    /// Nothing is to be proved: it is held for a time and then given back.
    Held,
    /// Nothing is left to follow: what was lent is back, as this sentence says.
    Returned(String),
}
