//! The one seam for the outside world: what is running, and apply this permit.
//!
//! Implemented by [`embedded`], the simulated cluster over loopback, by [`kubernetes`], a Kubernetes API server, and by
//! [`fixed`], services that nothing scales. All take a [`Permit`](crate::guard::Permit), which only `guard` can make.

pub mod embedded;
pub mod fixed;
pub mod kubernetes;

use std::future::Future;

pub use crate::guard::ActError;
use crate::guard::Permit;
use crate::model::ClusterState;
use crate::shape::{EntryTraffic, Limits};

/// A place where workloads run.
pub trait Cluster: Send {
    /// What is running now, with the interventions recorded on it.
    fn state(&mut self) -> impl Future<Output = Result<ClusterState, ActError>> + Send;

    /// Apply one permitted change: all of it in one write, or none of it. Applying the same permit twice
    /// is answered by `Conflict`, because the first write moved the resource version.
    fn apply(&mut self, permit: &Permit) -> impl Future<Output = Result<(), ActError>> + Send;

    /// What came to a front door of its own since the last call; None where it has none.
    fn traffic(&mut self) -> impl Future<Output = Result<Option<Vec<EntryTraffic>>, ActError>> + Send {
        async { Ok(None) }
    }

    /// What that front door is to keep from now on.
    fn limit(&mut self, _limits: &Limits) -> impl Future<Output = Result<(), ActError>> + Send {
        async { Ok(()) }
    }

    /// Nothing is applied any more: whoever stands by may take over at once. Takes a few seconds at most.
    fn leave(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
