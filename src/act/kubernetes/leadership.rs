//! Who acts: of several replicas the one that holds the Lease. A Lease does not fence, so its holder is looked up
//! again before each write.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseParams};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::model::Time;

/// A holder that died is followed within this and a second of drawing lots: well below the 15 s that a failover may
/// take, well above a pause of the API server of a few seconds.
const LEASE_SECONDS: u64 = 10;

/// Renewed so long before it ends: a renewal may fail once or twice, and clocks may differ by this.
const GRACE_SECONDS: u64 = 5;

/// Before the Lease is tried again where it could not even be read.
const AGAIN: Duration = Duration::from_secs(2);

/// Giving the Lease back is two calls of a server that answers; one that does not lets it run out.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Which Lease, and as whom.
#[derive(Clone, Debug)]
pub struct Standing {
    pub namespace: String,
    pub lease: String,
    /// Unique among replicas, and the same after a restart where that is possible: a pod's name.
    pub identity: String,
}

pub struct Leadership {
    standing: Standing,
    leases: Api<Lease>,
    leads: watch::Receiver<bool>,
    holder: watch::Receiver<Option<String>>,
    /// Ends the election, and its task.
    election: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Ended with it.
    tasks: JoinSet<()>,
}

impl Leadership {
    /// Stands for election until it is dropped.
    pub fn stand(client: Client, standing: Standing) -> Leadership {
        let leases = Api::<Lease>::namespaced(client.clone(), &standing.namespace);
        let (leads_in, leads) = watch::channel(false);
        let (holder_in, holder) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let (leave, left) = oneshot::channel();
        let election = tokio::spawn(elect(client, standing.clone(), leads_in, holder.clone(), left));
        tasks.spawn(follow(leases.clone(), standing.lease.clone(), holder_in));
        Leadership { standing, leases, leads, holder, election: Some((leave, election)), tasks }
    }

    /// A candidacy or a watch that panicked takes its owner along: who leads would never be heard again.
    pub fn check(&mut self) {
        let is_over = self.election.as_ref().is_some_and(|(_, election)| election.is_finished());
        let over = if is_over { self.election.take() } else { None };
        let elected = over.and_then(|(_, election)| election.now_or_never());
        let followed = self.tasks.try_join_next();
        for error in [elected, followed].into_iter().flatten().filter_map(Result::err) {
            if let Ok(panic) = error.try_into_panic() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Gives the Lease back where it is held, so that nobody waits for it to run out.
    pub async fn leave(&mut self) {
        let Some((leave, election)) = self.election.take() else { return };
        let _ = leave.send(());
        if tokio::time::timeout(LEAVE_MAX, election).await.is_err() {
            warn!(lease = self.standing.lease, "could not give it back; it runs out");
        }
    }

    /// Who leads, where it is not this replica, as far as was last heard.
    pub fn other(&self) -> Option<String> {
        let holder = self.holder.borrow().clone();
        match holder {
            Some(holder) if holder == self.standing.identity && *self.leads.borrow() => None,
            Some(holder) if holder != self.standing.identity => Some(holder),
            _ => Some("nobody yet".into()),
        }
    }

    /// Whether this replica leads, as it changes.
    pub fn watched(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    /// Asks the server who holds the Lease now.
    ///
    /// # Errors
    /// The holder, where it is not this replica or its time has run out.
    pub async fn confirm(&self, now: Time) -> Result<(), Result<String, kube::Error>> {
        let lease = self.leases.get(&self.standing.lease).await.map_err(Err)?;
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let until = spec.renew_time.map(|renewed| {
            let renewed = Time(i64::try_from(renewed.0.as_nanosecond()).unwrap_or(i64::MAX));
            renewed + Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0))
        });
        if holder == self.standing.identity && until.is_some_and(|until| now < until) {
            return Ok(());
        }
        Err(Ok(if holder.is_empty() || holder == self.standing.identity { "nobody".into() } else { holder }))
    }
}

/// Why one candidacy is over.
enum End {
    Failed,
    Released,
    Left,
}

fn tell(standing: &Standing, leads: &watch::Sender<bool>, now: bool) {
    info!(lease = standing.lease, identity = standing.identity, "{}", if now { "leads" } else { "follows" });
    leads.send_replace(now);
}

/// Resolves when another holder is heard of, or that there is none any more: then true. Never where nobody listens.
async fn released(holder: &mut watch::Receiver<Option<String>>) -> bool {
    if holder.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    holder.borrow_and_update().is_none()
}

/// Takes the Lease when it is free and renews it while it is held; gives it back when told to leave, or when whoever
/// could tell is gone.
async fn elect(
    client: Client,
    standing: Standing,
    leads: watch::Sender<bool>,
    mut holder: watch::Receiver<Option<String>>,
    mut left: oneshot::Receiver<()>,
) {
    loop {
        let parameters = LeaseParams::new(standing.identity.clone(), LEASE_SECONDS, GRACE_SECONDS);
        let manager = LeaseManagerBuilder::new(client.clone(), standing.lease.clone())
            .with_namespace(standing.namespace.clone())
            .with_parameters(parameters)
            .build()
            .await;
        match manager {
            Ok(manager) => {
                let (mut changes, task) = manager.watch().await;
                let end = loop {
                    tokio::select! {
                        changed = changes.changed() => match changed {
                            Ok(()) => tell(&standing, &leads, *changes.borrow_and_update()),
                            Err(_) => break End::Failed,
                        },
                        // The manager sleeps until the Lease that it knows would run out, and hears of nothing before.
                        released = released(&mut holder) => if released && !*leads.borrow() { break End::Released },
                        _ = &mut left => break End::Left,
                    }
                };
                leads.send_replace(false);
                match end {
                    // It gives the Lease back when nobody listens any more.
                    End::Left => {
                        drop(changes);
                        match task.await {
                            Ok(Ok(_)) => info!(lease = standing.lease, "given back"),
                            Ok(Err(error)) => warn!(lease = standing.lease, "cannot be given back: {error}"),
                            Err(error) => warn!(lease = standing.lease, "{error}"),
                        }
                        break;
                    }
                    End::Released => {
                        task.abort();
                        continue;
                    }
                    End::Failed => task.abort(),
                }
            }
            Err(error) => warn!(lease = standing.lease, "cannot stand for election: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = &mut left => break,
        }
    }
}

/// Keeps the name of the holder.
async fn follow(leases: Api<Lease>, name: String, holder: watch::Sender<Option<String>>) {
    let seen = watcher(leases, watcher::Config::default().fields(&format!("metadata.name={name}")));
    let mut seen = std::pin::pin!(seen.default_backoff().touched_objects());
    while let Some(lease) = seen.next().await {
        // What breaks is taken up again by the watcher, and every write asks for itself.
        if let Ok(lease) = lease {
            holder.send_replace(lease.spec.and_then(|spec| spec.holder_identity));
        }
    }
}
