//! Between the engine and a cluster: applies permits, reads the state, and feeds both outcomes back as events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::act::{ActError, Cluster};
use crate::api::Metrics;
use crate::clock::Clock;
use crate::engine::Event;
use crate::guard::Permit;
use crate::shape::Limits;

/// How often, and how patiently.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two readings of the state.
    pub poll: Duration,
    /// How long one call of the cluster may take.
    pub call_max: Duration,
}

impl Pace {
    pub fn new(poll: Duration) -> Pace {
        // Well above the p99 of an API server, well below the life of a permit.
        Pace { poll, call_max: Duration::from_secs(5) }
    }
}

/// The adapter's parts: its channels from and to the engine, and its pace.
pub struct Adapter<W> {
    pub clock: Clock,
    pub pace: Pace,
    pub permits: mpsc::Receiver<Permit>,
    pub events: mpsc::Sender<Event>,
    /// What the front door of the cluster is to keep, where it has one.
    pub limits: watch::Receiver<Arc<Limits>>,
    pub metrics: Arc<Metrics>,
    /// What only the leader may still say, once the engine is gone.
    pub last_words: W,
}

impl<W: Future> Adapter<W> {
    /// Runs until the engine is gone and the last words are said, then takes its leave of the cluster.
    pub async fn run(mut self, mut cluster: impl Cluster) {
        self.serve(&mut cluster).await;
        self.last_words.await;
        cluster.leave().await;
    }

    async fn serve(&mut self, cluster: &mut impl Cluster) {
        let mut reachable = true;
        loop {
            let state = deadline(&self.clock, self.pace, cluster.state()).await;
            self.metrics.poll(state.is_ok());
            match state {
                Ok(state) => {
                    if !std::mem::replace(&mut reachable, true) {
                        info!("the cluster answers again");
                    }
                    if self.events.send(Event::Cluster(state)).await.is_err() {
                        return;
                    }
                }
                // Said once and counted after; it is asked again at the next poll.
                Err(error) if std::mem::replace(&mut reachable, false) => warn!("cannot read the cluster: {error}"),
                Err(_) => {}
            }
            if let Ok(Some(traffic)) = deadline(&self.clock, self.pace, cluster.traffic()).await
                && self.events.send(Event::Traffic(traffic)).await.is_err()
            {
                return;
            }
            // A change is followed by a reading at once, so that the next tick decides on what is.
            tokio::select! {
                permit = self.permits.recv() => match permit {
                    Some(permit) => {
                        let error = self.apply(cluster, &permit).await.err();
                        let (decision, change) = (permit.decision(), permit.change().clone());
                        if self.events.send(Event::Acted { decision, change, error }).await.is_err() {
                            return;
                        }
                    }
                    None => return,
                },
                Ok(()) = self.limits.changed() => {
                    let limits = self.limits.borrow_and_update().clone();
                    // Those of the next tick follow, and these run out by themselves.
                    let _ = deadline(&self.clock, self.pace, cluster.limit(&limits)).await;
                }
                () = self.clock.sleep(self.pace.poll) => {}
            }
        }
    }

    async fn apply(&self, cluster: &mut impl Cluster, permit: &Permit) -> Result<(), ActError> {
        if self.clock.now() > permit.valid_until() {
            return Err(ActError::Stale { service: permit.service().to_string() });
        }
        deadline(&self.clock, self.pace, cluster.apply(permit)).await
    }
}

async fn deadline<T>(
    clock: &Clock,
    pace: Pace,
    call: impl Future<Output = Result<T, ActError>>,
) -> Result<T, ActError> {
    let late = || ActError::Unreachable { cause: format!("no answer within {} s", pace.call_max.as_secs_f64()) };
    clock.within(pace.call_max, call).await.unwrap_or_else(|| Err(late()))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::by_hand::{self, Hand};
    use crate::model::{ClusterState, Time};

    /// A cluster whose first reading fails.
    #[derive(Default)]
    struct Recovering {
        readings: i64,
        left: Option<oneshot::Sender<()>>,
    }

    impl Cluster for Recovering {
        async fn state(&mut self) -> Result<ClusterState, ActError> {
            self.readings += 1;
            match self.readings {
                1 => Err(ActError::Unreachable { cause: "connection refused".into() }),
                // An answer that never comes: the deadline ends it.
                2 => std::future::pending().await,
                n => Ok(ClusterState { at: Time(n), workloads: vec![] }),
            }
        }

        async fn apply(&mut self, _permit: &Permit) -> Result<(), ActError> {
            Ok(())
        }

        async fn leave(&mut self) {
            self.left.take().map(|left| left.send(()));
        }
    }

    const POLL: Duration = Duration::from_secs(1);

    /// An adapter whose clock a test moves, and what it tells the engine.
    fn adapter<W>(permits: mpsc::Receiver<Permit>, last_words: W) -> (Adapter<W>, Hand, mpsc::Receiver<Event>) {
        let (events, heard) = mpsc::channel(8);
        let metrics = Arc::default();
        let (clock, hand) = by_hand::clock(Time(0));
        let (_, limits) = watch::channel(Arc::default());
        (Adapter { clock, pace: Pace::new(POLL), permits, events, limits, metrics, last_words }, hand, heard)
    }

    #[tokio::test]
    async fn a_cluster_that_fails_is_read_again() {
        let (_permits_in, permits) = mpsc::channel(1);
        let (adapter, hand, mut events) = adapter(permits, ready(()));
        let pace = adapter.pace;
        tokio::spawn(adapter.run(Recovering::default()));
        // The first fails, the second is given up, and each is followed by a pause.
        for wait in [pace.poll, pace.call_max, pace.poll] {
            assert!(events.try_recv().is_err());
            hand.advance_when_idle(wait).await;
        }
        match events.recv().await {
            Some(Event::Cluster(state)) => assert_eq!(state.at, Time(3)),
            other => panic!("expected the third reading, got {other:?}"),
        }
    }

    /// What was learnt was lost where the leave was taken first: then another one leads, and nobody else may write.
    #[tokio::test]
    async fn it_leaves_after_the_engine_and_the_last_words() {
        let (permits_in, permits) = mpsc::channel(1);
        let (said_in, said) = oneshot::channel::<()>();
        let (left_in, mut left) = oneshot::channel();
        drop(permits_in);
        let cluster = Recovering { left: Some(left_in), ..Recovering::default() };
        let (adapter, hand, _events) = adapter(permits, said);
        tokio::spawn(adapter.run(cluster));
        hand.advance_when_idle(Duration::from_secs(3_600)).await;
        assert!(left.try_recv().is_err(), "not while there is something to be said");
        drop(said_in);
        assert_eq!(left.await, Ok(()));
    }
}
