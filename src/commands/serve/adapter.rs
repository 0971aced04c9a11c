//! Between the engine and a cluster: applies permits, reads the state, and feeds both outcomes back as events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::act::{ActError, Cluster};
use crate::api::Metrics;
use crate::clock::Clock;
use crate::config;
use crate::engine::Event;
use crate::guard::Permit;
use crate::model::ClusterState;

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

/// Runs until the engine is gone, then takes its leave of the cluster.
pub async fn run(
    mut cluster: impl Cluster,
    clock: Clock,
    pace: Pace,
    bounds: BTreeMap<String, config::Service>,
    permits: mpsc::Receiver<Permit>,
    events: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
) {
    serve(&mut cluster, clock, pace, bounds, permits, events, metrics).await;
    cluster.leave().await;
}

async fn serve(
    cluster: &mut impl Cluster,
    clock: Clock,
    pace: Pace,
    bounds: BTreeMap<String, config::Service>,
    mut permits: mpsc::Receiver<Permit>,
    events: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
) {
    let mut reachable = true;
    loop {
        let state = deadline(pace, cluster.state()).await;
        metrics.poll(state.is_ok());
        match state {
            Ok(mut state) => {
                narrow(&mut state, &bounds);
                if !std::mem::replace(&mut reachable, true) {
                    info!("the cluster answers again");
                }
                if events.send(Event::Cluster(state)).await.is_err() {
                    return;
                }
            }
            // Said once and counted after; it is asked again at the next poll.
            Err(error) if std::mem::replace(&mut reachable, false) => warn!("cannot read the cluster: {error}"),
            Err(_) => {}
        }
        // A change is followed by a reading at once, so that the next tick decides on what is.
        tokio::select! {
            permit = permits.recv() => match permit {
                Some(permit) => {
                    let error = apply(cluster, &clock, pace, &permit).await.err();
                    let (decision, change) = (permit.decision().to_owned(), permit.change().clone());
                    if events.send(Event::Acted { decision, change, error }).await.is_err() {
                        return;
                    }
                }
                None => return,
            },
            () = clock.sleep(pace.poll) => {}
        }
    }
}

/// The operator's bounds narrow those of the workloads, and never widen them.
fn narrow(state: &mut ClusterState, bounds: &BTreeMap<String, config::Service>) {
    for workload in &mut state.workloads {
        let named = |name: &str| bounds.get(name);
        // The whole identity goes before the bare name.
        let Some(service) = named(workload.service.as_str()).or_else(|| named(workload.service.name())) else {
            continue;
        };
        let (least, most) = (workload.min_replicas, workload.max_replicas);
        let within = |bound: u32| bound.max(least).min(most);
        workload.min_replicas = service.min_replicas.map_or(least, within);
        workload.max_replicas = service.max_replicas.map_or(most, within);
    }
}

async fn apply(cluster: &mut impl Cluster, clock: &Clock, pace: Pace, permit: &Permit) -> Result<(), ActError> {
    if clock.now() > permit.valid_until() {
        return Err(ActError::Stale { service: permit.service().to_string() });
    }
    deadline(pace, cluster.apply(permit)).await
}

async fn deadline<T>(pace: Pace, call: impl Future<Output = Result<T, ActError>>) -> Result<T, ActError> {
    tokio::time::timeout(pace.call_max, call).await.unwrap_or_else(|_| {
        Err(ActError::Unreachable { cause: format!("no answer within {} s", pace.call_max.as_secs_f64()) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ServiceId, Time, Workload};

    /// A cluster whose first reading fails.
    #[derive(Default)]
    struct Recovering {
        readings: i64,
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
    }

    #[tokio::test]
    async fn a_cluster_that_fails_is_read_again() {
        let (_permits_in, permits) = mpsc::channel(1);
        let (events_in, mut events) = mpsc::channel(1);
        let pace = Pace { poll: Duration::from_millis(1), call_max: Duration::from_millis(1) };
        tokio::spawn(run(
            Recovering::default(),
            Clock::system(),
            pace,
            BTreeMap::new(),
            permits,
            events_in,
            Default::default(),
        ));
        match events.recv().await {
            Some(Event::Cluster(state)) => assert_eq!(state.at, Time(3)),
            other => panic!("expected the third reading, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn it_ends_with_the_engine() {
        let (permits_in, permits) = mpsc::channel(1);
        let (events_in, _events) = mpsc::channel(8);
        drop(permits_in);
        let pace = Pace::new(Duration::from_secs(3_600));
        run(Recovering::default(), Clock::system(), pace, BTreeMap::new(), permits, events_in, Default::default())
            .await;
    }

    #[test]
    fn the_operators_bounds_narrow_and_never_widen() {
        let workload = |service: &str| Workload {
            service: ServiceId::from(service),
            replicas: 3,
            min_replicas: 2,
            max_replicas: 10,
            resource_version: 1,
            pods: vec![],
            intervention: None,
            held: None,
            terms: Default::default(),
        };
        let mut state =
            ClusterState { at: Time(0), workloads: ["auth", "exam", "web"].map(workload).into_iter().collect() };
        let bounds =
            [("auth", Some(4), Some(6)), ("exam", Some(1), Some(99))].map(|(name, min_replicas, max_replicas)| {
                (name.to_owned(), config::Service { min_replicas, max_replicas })
            });
        narrow(&mut state, &bounds.into());
        let narrowed: Vec<_> = state.workloads.iter().map(|w| (w.min_replicas, w.max_replicas)).collect();
        assert_eq!(narrowed, [(4, 6), (2, 10), (2, 10)]);
    }
}
